"""Every framework gives the same answers: one table of requests, sent over HTTP to a real program on a real server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from doors import (
    CASES,
    EXAMPLES,
    FORWARDED,
    HOSTILE,
    INVALID,
    MALFORMED,
    METADATA,
    OPENINGS,
    RESOURCE,
    Case,
    Issuer,
    Opening,
    answers,
    check,
    check_opening,
    free_port,
    relay,
    running,
    send,
    send_raw,
    settings,
)
from py_identity_model import examine
from py_identity_model.stores import SqliteStore
from py_identity_model.testing import attack_api


class Program(NamedTuple):
    """A program of ``examples/`` on a server: how it is started, with ``{port}`` for the port."""

    folder: str
    command: str
    processes: int = 1
    by_http: bool = True

    @property
    def name(self) -> str:
        """The framework and the server."""
        return f"{self.folder}-{self.command.split()[0]}"


UVICORN = "uvicorn --log-level warning --port {port} app:app"
HYPERCORN = "hypercorn --bind 127.0.0.1:{port} app:app"
GRANIAN = "granian --interface asgi --port {port} app:app"
GUNICORN = "gunicorn --preload --workers 2 --bind 127.0.0.1:{port} app:app"
WAITRESS = "waitress --no-clear-untrusted-proxy-headers --listen=127.0.0.1:{port} app:app"

PROGRAMS = [
    Program("fastapi", UVICORN),
    Program("starlette", HYPERCORN),
    Program("quart", HYPERCORN),
    Program("litestar", UVICORN),
    Program("aiohttp", "aiohttp.web --hostname 127.0.0.1 --port {port} app:make"),
    Program("asgi", GRANIAN),
    Program("wsgi", GUNICORN, processes=2),
    Program("django", UVICORN.replace("app:app", "app:asgi")),
    Program("django", GUNICORN.replace("app:app", "app:wsgi"), processes=2),
    Program("django_rest", WAITRESS),
    Program("flask", WAITRESS),
]
#: The other servers, on which frameworks differ in WebSockets and processes: DOOR_SERVERS=all, `make servers`.
OTHERS = [
    *(Program(name, HYPERCORN) for name in ("fastapi", "litestar", "asgi")),
    *(Program(name, GRANIAN) for name in ("fastapi", "starlette", "litestar")),
    Program("quart", GRANIAN, by_http=False),  # Quart sends its answer in pieces, which Granian takes for none: 403
    *(Program(name, UVICORN) for name in ("starlette", "quart", "asgi")),
    Program("flask", GUNICORN, processes=2),
    Program("django_rest", GUNICORN, processes=2),
    Program("wsgi", WAITRESS),
]
EVERY = PROGRAMS + (OTHERS if os.environ.get("DOOR_SERVERS") == "all" else [])
#: Those that are attacked with every forged token: three in the default run.
ATTACKED = [
    each for each in EVERY if EVERY != PROGRAMS or each.name in ("fastapi-uvicorn", "django-gunicorn", "flask-waitress")
]
#: Programs with a WebSocket.
LIVE = {"fastapi", "starlette", "quart", "litestar", "aiohttp", "asgi"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """A provider that runs as long as the programs do."""
    made = Issuer()
    with made.provider.serve():
        yield made


@pytest.fixture(scope="module", params=EVERY, ids=lambda program: program.name)
def started(
    request: pytest.FixtureRequest, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Program, int]]:
    """Each program in turn and its port; several processes of one remember used proofs in one store."""
    port = free_port()
    command = request.param.command.format(port=port).split()
    told = settings(issuer.provider.issuer) | {"KID_MISS_REFRESH_COOLDOWN": "0.5"}
    if request.param.processes > 1:
        file = tmp_path_factory.mktemp("store") / "proofs.db"
        # A minute old, so that nobody has to show that a proof was made since it began.
        store = SqliteStore(file, clock=lambda: time.time() - 60)
        store.epoch()
        store.close()
        told["OIDC_STORE"] = f"sqlite:///{file}"
    with running(command, EXAMPLES / request.param.folder, port, **told):
        yield request.param, port


@pytest.fixture
def program(started: tuple[Program, int]) -> int:
    """The port of the program."""
    return started[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_the_answer_is_the_same_in_every_framework(case: Case, program: int, issuer: Issuer) -> None:
    """Status, body and challenge are those of the table."""
    check(program, case, issuer)


@pytest.mark.parametrize("started", ATTACKED, ids=lambda program: program.name, indirect=True)
def test_no_attack_gets_in(started: tuple[Program, int], issuer: Issuer) -> None:
    """Of two hundred attempts every one is refused, on every server; none makes a program break."""
    url = f"http://127.0.0.1:{started[1]}/orders"
    before = issuer.provider.key_set()["keys"]
    report = attack_api(url, issuer.provider, scopes=["orders.read"], headers=dict(FORWARDED), rate=1000)
    for key in issuer.provider.key_set()["keys"]:
        if key not in before:  # forged signatures of another algorithm had it made
            issuer.provider.remove_key(key["kid"])
    assert [each for each in report.results if each.outcome != "refused"] == []
    assert (report.verdict, report.notes) == ("held", ())


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
    eventually(lambda: all(answers(program, "/readyz") for _ in range(8)))


def test_the_doctor_finds_nothing_and_no_forged_token_is_let_in(program: int) -> None:
    """Challenges, metadata, preflight and the refusal of forged tokens pass every check of the doctor."""
    options: dict[str, Any] = {"active": True, "allow_private_addresses": True}
    found = examine(f"{RESOURCE}/orders", http_client=relay(program, "/v1"), **options)
    assert found.kind == "api"
    told = {each.code for each in found.of("fail", "warn")} - {"key_rotation"}  # other tests gave the issuer new keys
    assert told == set(), str(found)
    assert [one.verdict for one in found.findings if one.code == "forged_tokens"] == ["pass"]


@pytest.mark.parametrize("name", [name for name, _, _ in HOSTILE], ids=lambda name: name.replace(" ", "_"))
def test_no_request_is_answered_by_a_fault(name: str, program: int, issuer: Issuer) -> None:
    """By the gate, the router or the server itself; what reaches the gate gets one of its own answers."""
    _, request, right = next(each for each in HOSTILE if each[0] == name)
    status, body = send_raw(program, request(": ".join(issuer.bearer())))
    assert status in right, (status, body[:200])
    if b'"error"' in body:
        assert any(json.dumps(each, separators=(",", ":")).encode() in body for each in (INVALID, MALFORMED))


@pytest.mark.parametrize("opening", OPENINGS, ids=lambda opening: opening.name.replace(" ", "_"))
def test_a_websocket_is_opened_or_refused_before_it_is_accepted(
    opening: Opening, started: tuple[Program, int], issuer: Issuer
) -> None:
    """With the gate's status and challenge, where the server lets the application answer."""
    program, port = started
    if program.folder in LIVE and (opening.anywhere or program.folder == "asgi"):
        check_opening(port, opening, issuer, program.by_http)


def eventually(done: Callable[[], bool]) -> None:
    """Wait until a process may ask for keys again: an unknown key is looked up once in a few seconds only."""
    end = time.monotonic() + 90
    while not done():
        assert time.monotonic() < end
        time.sleep(0.5)


def told_by_each(port: int, header: tuple[str, str], processes: int) -> list[tuple[int, dict[str, str]]]:
    """Ask so often, and so many at a time, that each process of a program answers: status and headers."""
    if processes == 1:
        answers = [send(port, "GET", "/orders", [header]) for _ in range(2)]
    else:  # a process that waits for its next request would take them all, one after the other
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: send(port, "GET", "/orders", [header]), range(32)))
    return [(status, dict(headers)) for status, headers, _ in answers]


def test_a_rotation_refuses_no_token_of_either_key(started: tuple[Program, int], issuer: Issuer) -> None:
    """Tokens of the old key go on; those of the new one are good as soon as its process may ask for keys again."""
    program, port = started
    old = issuer.bearer()
    assert {status for status, _ in told_by_each(port, old, program.processes)} == {200}
    issuer.provider.rotate()
    new = issuer.bearer()
    eventually(lambda: {status for status, _ in told_by_each(port, new, program.processes)} == {200})
    assert {status for status, _ in told_by_each(port, old, program.processes)} == {200}


def test_an_outage_refuses_no_token_whose_key_is_known(started: tuple[Program, int], issuer: Issuer) -> None:
    """Tokens of a key that nobody could fetch get 503 with Retry-After and no challenge, until the provider is back."""
    program, port = started
    known = issuer.bearer()
    assert {status for status, _ in told_by_each(port, known, program.processes)} == {200}
    issuer.provider.play("outage", times=None)
    try:
        issuer.provider.rotate()
        unknown = issuer.bearer()
        eventually(lambda: {status for status, _ in told_by_each(port, unknown, program.processes)} == {503})
        for _, headers in told_by_each(port, unknown, program.processes):
            assert (headers["cache-control"], "www-authenticate" in headers) == ("no-store", False)
            assert int(headers["retry-after"]) > 0
        assert {status for status, _ in told_by_each(port, known, program.processes)} == {200}
        assert answers(port, "/healthz")
    finally:
        issuer.provider.recover()
    eventually(lambda: {status for status, _ in told_by_each(port, unknown, program.processes)} == {200})


@pytest.mark.parametrize("program", [PROGRAMS[0], PROGRAMS[-1]], ids=lambda program: program.name, indirect=False)
def test_a_program_starts_while_the_provider_is_down(program: Program) -> None:
    """It is healthy and not ready, and says of each token that it cannot be verified now."""
    port = free_port()
    told = settings(f"http://127.0.0.1:{free_port()}")
    with running(program.command.format(port=port).split(), EXAMPLES / program.folder, port, **told):
        status, headers, body = send(port, "GET", "/orders", [Issuer().bearer(iss=told["OIDC_ISSUER"])])
        assert (status, json.loads(body)["error"]) == (503, "temporarily_unavailable")
        assert int(dict(headers)["retry-after"]) > 0
        assert send(port, "GET", "/orders", [])[0] == 401
        assert send(port, "GET", "/readyz", [])[0] == 503
