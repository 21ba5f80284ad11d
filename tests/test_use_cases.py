"""The programs of ``examples/use_cases``, each run as a new user would run it, and as long as the page tells."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import snippets
from py_identity_model.testing import EmbeddedProvider

ROOT = snippets.ROOT
PROGRAMS = ROOT / "examples" / "use_cases"
PAGE = ROOT / "docs" / "use-cases.md"
ISSUER, AUDIENCE, MCP = "https://id.example.com", "https://api.example.com", "https://mcp.example.com/mcp"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[snippets.World]:
    """A provider behind the address that the environment names."""
    world = snippets.World(monkeypatch, ISSUER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("OIDC_AUDIENCE", AUDIENCE)
    yield world
    world.forget()


def program(name: str, world: snippets.World) -> dict[str, Any]:
    """Run a program as it stands; return its names."""
    path = PROGRAMS / f"{name}.py"
    return world.run(snippets.Block(path, 1, "python", path.read_text(encoding="utf-8")), {})


def bearer(world: snippets.World, scope: str = "orders.read", audience: str = AUDIENCE) -> dict[str, str]:
    """Return the header of a request of ada's."""
    return {"Authorization": f"Bearer {world.provider.mint(subject='ada', scope=scope, audience=audience)}"}


def protects(client: Any, world: snippets.World) -> None:
    """Ask for the orders with and without the right to."""
    for headers, status in (({}, 401), (bearer(world, "cats"), 403), (bearer(world, audience="other"), 401)):
        assert client.get("/orders", headers=headers).status_code == status
    assert client.get("/orders", headers=bearer(world)).status_code == 200


def test_fastapi(world: snippets.World) -> None:
    """The API lets in who has the scope, and says who it is."""
    client = TestClient(program("protect_fastapi", world)["app"])
    protects(client, world)
    assert client.get("/orders", headers=bearer(world)).json() == {"subject": "ada"}


def test_flask(world: snippets.World) -> None:
    """The API lets in who has the scope, and says who it is."""
    client = program("protect_flask", world)["app"].test_client()
    protects(client, world)
    assert client.get("/orders", headers=bearer(world)).json == {"subject": "ada"}


def test_django_rest() -> None:
    """The API lets in who has the scope, and says who it is; Django has one configuration a process, so it gets one."""
    pytest.importorskip("rest_framework")
    asked = """
        import sys
        from protect_django_rest import app
        from django.test import Client

        client = Client(HTTP_HOST="api.example.com")
        for token in ("", *sys.argv[1:]):
            answer = client.get("/orders", headers={"Authorization": f"Bearer {token}"} if token else {})
            print(answer.status_code, answer.json().get("subject") if answer.content else None)
    """
    provider = EmbeddedProvider(audience=AUDIENCE)
    with provider.serve() as running:
        told = {**os.environ, "OIDC_ISSUER": running.issuer, "OIDC_AUDIENCE": AUDIENCE}
        tokens = [provider.mint(subject="ada", scope=scope) for scope in ("cats", "orders.read")]
        command = [sys.executable, "-c", textwrap.dedent(asked), *tokens]
        done = subprocess.run(command, env=told, cwd=PROGRAMS, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["401 None", "403 None", "200 ada"], done.stderr


def test_websocket(world: snippets.World) -> None:
    """The WebSocket opens for who has the scope, and for nobody else."""
    client = TestClient(program("protect_websocket", world)["app"])
    with client.websocket_connect("/live", headers=bearer(world)) as socket:
        assert socket.receive_json() == {"subject": "ada"}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/live"):
        pass


def test_mcp_server(world: snippets.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of MCP is led to the provider, and with a token to the tools."""
    pytest.importorskip("mcp")
    monkeypatch.setenv("OIDC_AUDIENCE", MCP)
    monkeypatch.setenv("OIDC_RESOURCE", MCP)
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "tests", "version": "1"},
        },
    }
    accepted = {"Accept": "application/json, text/event-stream", "Host": "localhost:8000"}
    with TestClient(program("mcp_server", world)["app"]) as client:
        refused = client.post("/mcp", json=hello, headers=accepted)
        assert (refused.status_code, "resource_metadata=" in refused.headers["www-authenticate"]) == (401, True)
        answer = client.post("/mcp", json=hello, headers={**accepted, **bearer(world, audience=MCP)})
        assert (answer.status_code, "Orders" in answer.text) == (200, True)


@pytest.mark.parametrize("name", ["service_client", "workload_identity"])
def test_services(world: snippets.World, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The service calls the API with a token, got by a secret or by who the platform says it is."""
    program(name, world)
    assert capsys.readouterr().out == "[]\n"
    assert world.platform.accepted == (name == "workload_identity")


def test_web_login(world: snippets.World) -> None:
    """Who is not logged in is sent to the provider, which leads back; then the page knows who it is."""
    app = program("web_login", world)["app"]
    client = TestClient(app, base_url="https://app.example.com", follow_redirects=False)
    page = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    first = client.get("/account", headers=page)
    while first.status_code in (302, 303, 307) and not first.headers["location"].startswith(ISSUER):
        first = client.get(first.headers["location"], headers=page)
    assert first.headers["location"].startswith(f"{ISSUER}/")
    back = world.provider.transport(snippets.Request("GET", first.headers["location"])).header("location")
    done = client.get(back, headers=page)
    while done.status_code in (302, 303, 307):
        done = client.get(done.headers["location"], headers=page)
    assert done.json() == {"subject": "alice"}


def test_tests(world: snippets.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of the API pass, with nobody to ask: no provider is there."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    names = program("test_orders", world)
    for name in [name for name in names if name.startswith("test_")]:
        names[name]()
    assert world.provider.count("jwks") == 0
    sys.modules.pop("protect_fastapi")


def test_metrics(world: snippets.World) -> None:
    """What was accepted and refused is counted."""
    client = TestClient(program("metrics", world)["app"])
    protects(client, world)
    shown = client.get("/metrics/").text
    assert re.search(r"^py_identity_model_\w*(accepted|valid)\w*(\{[^}]*\})? [1-9]", shown, re.MULTILINE)


# ---- the page


def own_lines(path: Path) -> int:
    """Return how many lines of code a program has: without blank ones, comments and its docstring."""
    text = path.read_text(encoding="utf-8")
    docstring = ast.parse(text).body[0]
    lines = text.splitlines()[docstring.end_lineno :]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def test_the_page_counts_right() -> None:
    """The table has every program with its length, and the eleven use cases have one each."""
    rows = re.findall(
        r"^\| \[[^\]]+\]\(#[\w-]+\) \| `([\w/.]+)` \| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {path: int(count) for path, count in rows} == {path: own_lines(ROOT / path) for path, _ in rows}
    listed = {str(path.relative_to(ROOT)) for path in PROGRAMS.glob("*.py")} | {"examples/cli/whoami.py"}
    assert {path for path, _ in rows} == listed
    assert len(rows) == 11
