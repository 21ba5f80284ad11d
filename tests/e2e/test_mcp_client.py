"""MCP clients and servers of both SDKs, with our auth object and our guard, at the real provider."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from doors import EXAMPLES, free_port, running
from e2e import driver
from py_identity_model.integrations.mcp_client import MCPAuth
from py_identity_model.stores import SqliteStore


@pytest.fixture(scope="module", params=["mcp", "fastmcp"])
def server(request: pytest.FixtureRequest, provider: driver.Provider) -> Iterator[str]:
    """The address of a server of each SDK, behind the guard."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    told = {"OIDC_ISSUER": provider.issuer, "OIDC_AUDIENCE": url, "OIDC_RESOURCE": url}
    command = f"uvicorn --log-level warning --port {port} app:app".split()
    with running(command, EXAMPLES / request.param, port, **told):
        yield url


class User:
    """Somebody with a browser, who agrees to everything."""

    def __init__(self, provider: driver.Provider) -> None:
        self.provider = provider
        self.pages: list[str] = []

    def show(self, page: str) -> None:
        """Take note of a page, and log in there meanwhile."""
        self.pages.append(page)
        threading.Thread(target=self._agree, args=(page,)).start()

    def _agree(self, page: str) -> None:
        back = parse_qs(urlsplit(page).query)["redirect_uri"][0]
        httpx2.get(self.provider.follow_login(page, back).url, timeout=30)

    def program(self, server: str, store: Any) -> MCPAuth:
        """Return the auth object of a program of this user."""
        return MCPAuth(server, store=store, browser=False, show=self.show, seconds=120)


@pytest.fixture
def user(provider: driver.Provider) -> User:
    """A user of each test's own."""
    return User(provider)


async def official(server: str, auth: MCPAuth, *calls: tuple[str, dict[str, Any]]) -> list[str]:
    """Call tools with the client of the official SDK."""
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    http = httpx2.AsyncClient(auth=auth, timeout=60)
    async with http, Client(streamable_http_client(server, http_client=http)) as client:
        return [(await client.call_tool(name, arguments)).content[0].text for name, arguments in calls]


async def fast(server: str, auth: MCPAuth, *calls: tuple[str, dict[str, Any]]) -> list[str]:
    """Call tools with the client of FastMCP."""
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    async with Client(StreamableHttpTransport(server, auth=auth)) as client:
        return [(await client.call_tool(name, arguments)).content[0].text for name, arguments in calls]


WHOAMI: tuple[str, dict[str, Any]] = ("whoami", {})
CANCEL: tuple[str, dict[str, Any]] = ("cancel", {"order": 7})


@pytest.mark.parametrize("sdk", [official, fast])
def test_a_tool_is_called_by_a_user_who_logs_in_and_steps_up(
    sdk: Any, server: str, user: User, provider: driver.Provider, tmp_path: Path
) -> None:
    """Registration, login and a token for this server; then 403 in the middle of a session, and all scopes so far."""
    store = SqliteStore(tmp_path / "tokens.db")
    said = asyncio.run(sdk(server, user.program(server, store), WHOAMI, CANCEL, WHOAMI))
    assert said == [said[0], f"{said[0]} cancels 7", said[0]]
    asked = [parse_qs(urlsplit(page).query) for page in user.pages]
    assert [set(one["scope"][0].split()) for one in asked] == [
        {"orders.read", "offline_access"},
        {"orders.read", "orders.write", "offline_access"},
    ]
    assert [one["resource"] for one in asked] == [[server]] * 2
    assert asked[0]["client_id"] == asked[1]["client_id"]
    # Another program, after a restart.
    assert asyncio.run(sdk(server, user.program(server, store), CANCEL)) == said[1:2]
    assert len(user.pages) == 2


def test_four_programs_that_start_at_once_share_one_login(server: str, user: User, tmp_path: Path) -> None:
    """One page is shown; all four call their tool with its token."""
    said: list[str] = []

    def program() -> None:
        store = SqliteStore(tmp_path / "tokens.db")
        said.extend(asyncio.run(official(server, user.program(server, store), WHOAMI)))

    threads = [threading.Thread(target=program) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert len(said) == 4
    assert len(set(said)) == 1
    assert len(user.pages) == 1


def test_a_blocking_client_is_served_as_well(server: str, user: User, tmp_path: Path) -> None:
    """By hand: the first request is refused, answered with a login, and goes out once more."""
    auth = user.program(server, SqliteStore(tmp_path / "tokens.db"))
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    with httpx2.Client(auth=auth, timeout=60) as http:
        answer = http.post(server, json=message, headers={"Accept": "application/json, text/event-stream"})
    assert answer.status_code != 401
    assert len(user.pages) == 1
