"""Every framework gives the same answers: one table of requests, sent over HTTP to a real program on a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from doors import CASES, EXAMPLES, METADATA, RESOURCE, Case, Issuer, answers, check, free_port, running, send, settings
from py_identity_model.stores import SqliteStore


class Program(NamedTuple):
    """A program of ``examples/`` on a server: how it is started, with ``{port}`` for the port."""

    folder: str
    command: str
    processes: int = 1

    @property
    def name(self) -> str:
        """The framework and the server."""
        return f"{self.folder}-{self.command.split()[0]}"


PROGRAMS = [
    Program("fastapi", "uvicorn --log-level warning --port {port} app:app"),
    Program("starlette", "hypercorn --bind 127.0.0.1:{port} app:app"),
    Program("quart", "hypercorn --bind 127.0.0.1:{port} app:app"),
    Program("litestar", "uvicorn --log-level warning --port {port} app:app"),
    Program("aiohttp", "aiohttp.web --hostname 127.0.0.1 --port {port} app:make"),
    Program("asgi", "granian --interface asgi --port {port} app:app"),
    Program("wsgi", "gunicorn --preload --workers 2 --bind 127.0.0.1:{port} app:app", processes=2),
    Program("django", "uvicorn --log-level warning --port {port} app:asgi"),
    Program("django", "gunicorn --preload --workers 2 --bind 127.0.0.1:{port} app:wsgi", processes=2),
    Program("django_rest", "waitress --no-clear-untrusted-proxy-headers --listen=127.0.0.1:{port} app:app"),
    Program("flask", "waitress --no-clear-untrusted-proxy-headers --listen=127.0.0.1:{port} app:app"),
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """A provider that runs as long as the programs do."""
    made = Issuer()
    with made.provider.serve():
        yield made


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def program(request: pytest.FixtureRequest, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of each program in turn; several processes of one remember used proofs in one store."""
    port = free_port()
    command = request.param.command.format(port=port).split()
    told = settings(issuer.provider.issuer)
    if request.param.processes > 1:
        file = tmp_path_factory.mktemp("store") / "proofs.db"
        # A minute old, so that nobody has to show that a proof was made since it began.
        store = SqliteStore(file, clock=lambda: time.time() - 60)
        store.epoch()
        store.close()
        told["OIDC_STORE"] = f"sqlite:///{file}"
    with running(command, EXAMPLES / request.param.folder, port, **told):
        yield port


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_the_answer_is_the_same_in_every_framework(case: Case, program: int, issuer: Issuer) -> None:
    """Status, body and challenge are those of the table."""
    check(program, case, issuer)


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource/v1", "/.well-known/oauth-protected-resource"])
def test_the_metadata_is_where_clients_look_for_it(path: str, program: int, issuer: Issuer) -> None:
    """The path first, then the root (RFC 9728 3.1); any page may read it, and needs no token."""
    status, headers, body = send(program, "GET", path, [])
    document = json.loads(body)
    assert (status, document["resource"]) == (200, RESOURCE)
    assert document["authorization_servers"] == [issuer.provider.issuer]
    assert dict(headers)["access-control-allow-origin"] == "*"
    assert METADATA.endswith("/.well-known/oauth-protected-resource/v1")


def test_health_and_readiness_need_no_token(program: int) -> None:
    """A service becomes ready by being asked, without a single token; each process of it."""
    assert answers(program, "/healthz")
    end = time.monotonic() + 60
    while not all(answers(program, "/readyz") for _ in range(8)):
        assert time.monotonic() < end
        time.sleep(0.1)
