"""MCP servers of both SDKs behind the guard, over HTTP: what the revision of 2026-07-28 demands of a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from doors import EXAMPLES, FORBIDDEN, INVALID, Issuer, free_port, relay, running, send
from py_identity_model import ConfigurationException, Requirement, TokenValidator, examine, parse_challenges
from py_identity_model.aio import ResourceServer
from py_identity_model.integrations.mcp import MCPGuard

RESOURCE = "https://mcp.example.com/mcp"
METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """A provider that runs as long as the servers do."""
    made = Issuer()
    with made.provider.serve():
        yield made


@pytest.fixture(scope="module", params=["mcp", "fastmcp"])
def server(request: pytest.FixtureRequest, issuer: Issuer) -> Iterator[int]:
    """The port of a server of each SDK."""
    port = free_port()
    variables = {
        "OIDC_ISSUER": issuer.provider.issuer,
        "OIDC_AUDIENCE": RESOURCE,
        "OIDC_RESOURCE": RESOURCE,
        "OIDC_SCOPES_SUPPORTED": "orders.read orders.write offline_access",
    }
    command = f"uvicorn --log-level warning --port {port} app:app".split()
    with running(command, EXAMPLES / request.param, port, **variables):
        yield port


def token(issuer: Issuer, **changes: Any) -> str:
    """Mint a token for the server."""
    return issuer.provider.mint(**{"audience": RESOURCE, "subject": "ada", "scope": "orders.read"} | changes)


def post(port: int, message: Any, bearer: str | None) -> tuple[int, dict[str, str], bytes]:
    """Post one message as a client of the protocol would: status, the Bearer challenge, body."""
    headers = {"Accept": "application/json, text/event-stream"}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    headers["Content-Type"] = "application/json"
    answer = httpx2.post(f"http://127.0.0.1:{port}/mcp", content=content, headers=headers, timeout=30)
    challenges = parse_challenges(answer.headers.get_list("www-authenticate"))
    found = next((dict(each.parameters) for each in challenges if each.has_scheme("Bearer")), {})
    return answer.status_code, found, answer.content


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """Return a message that calls a tool."""
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def tool(port: int, bearer: str, name: str, **arguments: Any) -> Any:
    """Call a tool with the client of the official SDK."""
    from mcp.client.session import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def main() -> Any:
        headers = {"Authorization": f"Bearer {bearer}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as client,
            streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=client) as streams,
            ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()
            return await session.call_tool(name, arguments)

    return asyncio.run(main())


def test_a_tool_is_called_by_the_client_of_the_sdk_and_knows_who_calls(server: int, issuer: Issuer) -> None:
    """Through initialization, a session, and a tool in a task of its own."""
    answer = tool(server, token(issuer), "whoami")
    assert (answer.is_error, answer.content[0].text) == (False, "ada")
    answer = tool(server, token(issuer, scope="orders.read orders.write"), "cancel", order=7)
    assert answer.content[0].text == "ada cancels 7"


def test_without_a_token_the_challenge_leads_to_the_metadata_and_names_the_scopes(server: int) -> None:
    """401 without an error code (RFC 6750 3.1), ``resource_metadata`` and ``scope``."""
    status, told, body = post(server, call("whoami"), None)
    assert (status, told, body) == (401, {"resource_metadata": METADATA, "scope": "orders.read"}, b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "https://other.example.com/mcp"},
        {"audience": "https://mcp.example.com"},
        {"audience": RESOURCE + "/"},
        {"aud": None},
        {"expires_in": -60},
    ],
)
def test_a_token_that_was_not_made_for_this_server_is_refused(
    changes: dict[str, Any], server: int, issuer: Issuer
) -> None:
    """The audience is the server itself (RFC 8707), compared as a string."""
    status, told, body = post(server, call("whoami"), token(issuer, **changes))
    assert (status, json.loads(body), told["error"]) == (401, INVALID, "invalid_token")


def test_a_tool_that_demands_more_is_refused_before_it_is_called(server: int, issuer: Issuer) -> None:
    """403 with all scopes of the call, those of every request among them."""
    status, told, body = post(server, call("cancel", order=7), token(issuer))
    assert (status, json.loads(body)) == (403, FORBIDDEN)
    assert (told["error"], told["scope"]) == ("insufficient_scope", "orders.read orders.write")
    assert told["resource_metadata"] == METADATA


@pytest.mark.parametrize(
    "message",
    [
        [call("whoami"), call("cancel", order=7)],
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"cancel"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","name":"cancel"}}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cancel"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\u0063ancel"}}',
        json.dumps(call("cancel", order=7)).encode("utf-16"),
        b" " * (5 * 1024 * 1024) + b"{}",
    ],
)
def test_no_spelling_of_a_message_reaches_a_tool_that_demands_more(message: Any, server: int, issuer: Issuer) -> None:
    """What the guard and the SDK could read in two ways is refused."""
    status, _, body = post(server, message, token(issuer))
    assert status in (400, 403, 413)
    assert b"cancels" not in body


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"])
def test_the_metadata_names_the_server_and_its_provider(path: str, server: int, issuer: Issuer) -> None:
    """At the path first, then at the root; ``offline_access`` is nothing a resource asks for."""
    status, headers, body = send(server, "GET", path, [])
    document = json.loads(body)
    assert status == 200
    assert document["resource"] == RESOURCE
    assert document["authorization_servers"] == [issuer.provider.issuer]
    assert document["scopes_supported"] == ["orders.read", "orders.write"]
    assert document["bearer_methods_supported"] == ["header"]
    assert dict(headers)["access-control-allow-origin"] == "*"


def test_a_page_may_ask_for_the_metadata_with_headers_of_its_own(server: int) -> None:
    """Clients in browsers send a protocol version, for which the browser asks first."""
    asked = [("Origin", "https://inspector.example.com"), ("Access-Control-Request-Method", "GET")]
    status, headers, _ = send(server, "OPTIONS", "/.well-known/oauth-protected-resource/mcp", asked)
    assert (status, dict(headers)["access-control-allow-headers"]) == (204, "*")


def test_the_doctor_finds_nothing_but_a_provider_that_knows_no_clients(server: int) -> None:
    """All that the revision asks of a server passes; the provider of the tests registers its clients by hand."""
    options: dict[str, Any] = {"active": True, "allow_private_addresses": True}
    found = examine(RESOURCE, http_client=relay(server), **options)
    assert found.kind == "mcp"
    assert found.causes == ("registration_by_hand",), str(found)


def test_a_token_in_the_query_is_refused(server: int, issuer: Issuer) -> None:
    """Tokens do not belong into addresses (the specification, and RFC 6750 5.3)."""
    status, _, _ = send(server, "POST", f"/mcp?access_token={token(issuer)}", [])
    assert status == 400


def test_a_guard_wants_a_server_with_an_address_whose_tokens_are_its_own() -> None:
    """Else tokens that were made for others would be taken (the confused deputy)."""
    with pytest.raises(ConfigurationException) as error:
        MCPGuard(ResourceServer(TokenValidator("https://id.example.com", audience=RESOURCE)))
    assert error.value.claim == "resource"
    with pytest.raises(ConfigurationException) as error:
        MCPGuard(ResourceServer(TokenValidator("https://id.example.com", audience="api"), resource=RESOURCE))
    assert error.value.claim == "audience"
    trusted = TokenValidator("https://id.example.com", audience=RESOURCE)
    with pytest.raises(ConfigurationException) as error:
        MCPGuard(ResourceServer(trusted, resource=RESOURCE, token_header="X-Token"))
    assert error.value.claim == "token_header"


def test_an_sdk_that_reads_requests_itself_finds_a_verifier(issuer: Issuer) -> None:
    """``verify_token`` gives what the SDK wants to know; a bound token has no proof there."""
    from mcp.server.auth.provider import AccessToken

    api = ResourceServer(TokenValidator(issuer.provider.issuer, audience=RESOURCE), resource=RESOURCE)
    guard = MCPGuard(api, requirement=Requirement(scopes=["orders.read"]))
    known = asyncio.run(guard.verify_token(token(issuer, client_id="agent")))
    assert isinstance(known, AccessToken)
    assert (known.client_id, known.subject, known.scopes, known.resource) == ("agent", "ada", ["orders.read"], RESOURCE)
    assert guard.required_scopes == ["orders.read"]
    for bad in ("opaque", token(issuer, audience="other"), token(issuer, scope="x"), token(issuer, cnf={"jkt": "x"})):
        assert asyncio.run(guard.verify_token(bad)) is None
