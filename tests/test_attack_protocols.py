"""Attacks on what speaks MCP or gRPC: right servers hold, wrong ones are told by name, over real connections."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer

import wrong_apis
from doors import free_port
from py_identity_model import aio
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.integrations.grpc import AsyncResourceServerInterceptor
from py_identity_model.integrations.mcp import MCPGuard
from py_identity_model.testing import Answered, EmbeddedProvider, Shot, attack_api
from py_identity_model.testing._attack.protocols import asked_by, reading_mcp
from test_attack_api import found

METHOD = "/shop.Orders/List"


@pytest.fixture(scope="module")
def provider() -> Iterator[EmbeddedProvider]:
    """A provider that runs, for servers to ask."""
    made = EmbeddedProvider(algorithms=["RS256", "ES256"])
    with made.serve():
        yield made


def right(provider: EmbeddedProvider) -> aio.ResourceServer:
    """Return what guards a server as it should."""
    return aio.ResourceServer(aio.TokenValidator(provider.issuer, audience=provider.audience))


@contextmanager
def in_a_loop(serve: Callable[[asyncio.Event], Any]) -> Iterator[None]:
    """Run a server in a loop of its own, in a thread, until the end of the block."""
    made: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    begun = threading.Event()

    async def main() -> None:
        made.append((asyncio.get_running_loop(), asyncio.Event()))
        begun.set()
        await serve(made[0][1])
        await aio.close_async_http_client()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert begun.wait(30)
    try:
        yield
    finally:
        loop, ended = made[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)


# ---- gRPC


class Methods(grpc.GenericRpcHandler):  # type: ignore[misc] # gRPC brings no types
    """One method."""

    def service(self, details: Any) -> Any:
        """Return what serves it."""

        async def orders(request: Any, context: Any) -> bytes:
            return b"orders"

        return grpc.unary_unary_rpc_method_handler(orders) if details.method == METHOD else None


class Careless(grpc.aio.ServerInterceptor):  # type: ignore[misc] # as above
    """An interceptor of somebody's own, which verifies tokens in some way."""

    def __init__(self, verify: wrong_apis.Verify) -> None:
        self._verify = verify

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Let in whoever's token is verified."""
        sent = [value for name, value in details.invocation_metadata if name == "authorization"]
        try:
            self._verify(sent[0].removeprefix("Bearer "))
        except Exception:  # as it was written
            code = grpc.StatusCode.UNAUTHENTICATED

            async def refuse(request: Any, context: Any) -> None:
                await context.abort(code, "no")

            return grpc.unary_unary_rpc_method_handler(refuse)
        return await continuation(details)


@contextmanager
def grpc_server(interceptor: Any) -> Iterator[str]:
    """Serve the method over aio, and give its address."""
    port, ready = free_port(), threading.Event()

    async def serve(ended: asyncio.Event) -> None:
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers((Methods(),))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        ready.set()
        await ended.wait()
        await server.stop(None)

    with in_a_loop(serve):
        assert ready.wait(30)
        yield f"http://127.0.0.1:{port}{METHOD}"


def test_a_grpc_server_behind_the_interceptor_holds(provider: EmbeddedProvider) -> None:
    """Every forged token is refused with a status of gRPC, and nothing breaks."""
    with grpc_server(AsyncResourceServerInterceptor(right(provider))) as url:
        report = attack_api(url, provider, protocol="grpc", rate=1000)
    assert [each for each in report.results if each.outcome != "refused"] == []
    assert (report.verdict, report.control, len(report.results) > 180) == ("held", 200, True)


def test_a_grpc_server_that_does_not_look_at_the_audience_is_told(provider: EmbeddedProvider) -> None:
    """An interceptor that verifies all but ``aud`` lets in the tokens of other APIs, and that is what is said."""
    careless = Careless(wrong_apis.by_pyjwt(provider, audience=None, options={"verify_aud": False}))
    with grpc_server(careless) as url:
        report = attack_api(url, provider, protocol="grpc", rate=1000)
    assert (report.verdict, report.fails()) == ("let_in", True)
    assert "audience" in found(report)
    assert "signature" not in found(report)


# ---- MCP


@contextmanager
def mcp_server(guarded: Callable[[Any], Any]) -> Iterator[str]:
    """Serve the official SDK over streamable HTTP, and give its address."""
    port, inner = free_port(), MCPServer("Orders").streamable_http_app()
    config = uvicorn.Config(guarded(inner), port=port, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    ready = threading.Event()

    async def serve(ended: asyncio.Event) -> None:
        running = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        ready.set()
        await ended.wait()
        server.should_exit = True
        await running

    with in_a_loop(serve):
        assert ready.wait(30)
        yield f"http://127.0.0.1:{port}/mcp"


def believing(inner: Any) -> Any:
    """Guard a server by whatever a token says of itself."""
    believe = wrong_apis.without_verification(EmbeddedProvider(algorithms=["ES256"]))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sent = dict(scope.get("headers", ())).get(b"authorization", b"").decode("latin-1")
        try:
            if scope["type"] == "http":
                believe(sent.removeprefix("Bearer "))
        except Exception:  # as it was written
            await send({"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await inner(scope, receive, send)

    return app


def test_an_mcp_server_behind_the_guard_holds(provider: EmbeddedProvider) -> None:
    """Every forged token is refused before the first message is read, and nothing breaks."""
    validator = aio.TokenValidator(provider.issuer, audience=provider.audience)
    api = aio.ResourceServer(validator, resource=provider.audience)
    with mcp_server(MCPGuard(api).protect) as url:
        report = attack_api(url, provider, protocol="mcp", rate=1000)
    assert [each for each in report.results if each.outcome != "refused"] == []
    assert (report.verdict, report.control, len(report.results) > 180) == ("held", 200, True)


def test_an_mcp_server_that_believes_tokens_is_told(provider: EmbeddedProvider) -> None:
    """A server that reads tokens without verifying them fails, by the names of its mistakes."""
    with mcp_server(believing) as url:
        report = attack_api(url, provider, protocol="mcp", rate=1000)
    assert (report.verdict, report.fails()) == ("let_in", True)
    assert {"signature", "alg_none", "audience"} <= found(report)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', 200),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001}}', 400),
        (b'event: message\r\ndata: {"jsonrpc":"2.0","id":1,"error":{"code":-32001}}\r\n\r\n', 400),
        (b'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"tools":[]}}\n\n', 200),
        (b'[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"error":{}}]', 400),
        (b"data: no json\n\n", 200),
        (b"", 200),
    ],
)
def test_an_error_of_json_rpc_lets_nobody_in(body: bytes, status: int) -> None:
    """A server that answers refusals with 200 and an error is not taken for one that let somebody in."""
    asked = reading_mcp(lambda shot: Answered(200, body=body))
    assert asked(Shot("POST", "/mcp")).status == status
    assert reading_mcp(lambda shot: Answered(401, body=body))(Shot("POST", "/mcp")).status == 401


def test_what_is_asked_of_an_mcp_server() -> None:
    """The first message of a client, unless there is another; what the caller says goes before."""
    method, headers, body = asked_by("mcp", "GET", {"accept": "*/*"}, b"")
    assert (method, headers) == ("POST", {"Content-Type": "application/json", "accept": "*/*"})
    assert json.loads(body)["method"] == "initialize"
    assert asked_by("mcp", "GET", {}, b"{}")[2] == b"{}"
    assert asked_by("http", "GET", {}, b"") == ("GET", {}, b"")


def test_a_protocol_that_is_none_is_refused(provider: EmbeddedProvider) -> None:
    """What an API speaks is one of three words."""
    with pytest.raises(ConfigurationException) as caught:
        attack_api("http://127.0.0.1:1/", provider, protocol="ftp")  # type: ignore[arg-type] # on purpose
    assert caught.value.claim == "protocol"
