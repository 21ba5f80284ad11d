"""What the doors of frameworks have in common: one decision for each request, WebSockets, the next nonce."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer as AiohttpServer
from fastapi import APIRouter, Depends, FastAPI, Security
from flask import Flask
from litestar import Litestar, Router, WebSocket, get
from litestar import websocket as litestar_websocket
from quart import Quart
from quart import websocket as quart_websocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from door_world import DoorWorld, renewed_nonce
from py_identity_model import parse_challenges
from py_identity_model.integrations.aiohttp import AiohttpGuard, of_request, principal_of
from py_identity_model.integrations.asgi import ResourceServerMiddleware
from py_identity_model.integrations.fastapi import FastAPIGuard
from py_identity_model.integrations.flask import FlaskGuard
from py_identity_model.integrations.flask import current_principal as flask_principal
from py_identity_model.integrations.litestar import LitestarGuard
from py_identity_model.integrations.quart import QuartGuard, current_principal
from py_identity_model.integrations.starlette import StarletteGuard

#: A request: status, and the headers of the answer, each with its name in lower case.
Answer = tuple[int, list[tuple[str, str]]]
Ask = Callable[[dict[str, str]], Answer]


@pytest.fixture
def world() -> DoorWorld:
    """A provider and its resource servers."""
    return DoorWorld()


def asgi_ask(app: Any) -> Ask:
    """Return how an ASGI application answers."""

    def ask(headers: dict[str, str]) -> Answer:
        answer = TestClient(app, base_url="http://127.0.0.1").get("/orders", headers=headers)
        return answer.status_code, answer.headers.multi_items()

    return ask


def fastapi_twice(api: Any, blocking: Any) -> Ask:
    """A router and a route that both ask."""
    guard = FastAPIGuard(api)
    app, router = FastAPI(), APIRouter(dependencies=[Depends(guard)])
    router.add_api_route("/orders", lambda: None, dependencies=[Security(guard, scopes=["orders.read"])])
    app.include_router(router)
    return asgi_ask(app)


def starlette_twice(api: Any, blocking: Any) -> Ask:
    """A middleware and an endpoint that both ask."""
    guard = StarletteGuard(api)

    @guard.protect(scopes=["orders.read"])
    async def orders(request: Any) -> Any:
        return PlainTextResponse(request.user.subject)

    return asgi_ask(Starlette(routes=[Route("/orders", orders)], middleware=[guard.protected()]))


def litestar_twice(api: Any, blocking: Any) -> Ask:
    """An application, a router and a handler that all ask."""
    guard = LitestarGuard(api)

    @get("/orders", **guard.protect(scopes=["orders.read"]), sync_to_thread=False)
    def orders() -> None:
        return None

    router = Router("/", route_handlers=[orders], guards=[guard.require()])
    return asgi_ask(Litestar([router], plugins=[guard], guards=[guard.require()]))


def quart_twice(api: Any, blocking: Any) -> Ask:
    """An application and a view that both ask."""
    app = Quart(__name__)
    guard = QuartGuard(api, app)
    guard.protect_all(app)

    @app.get("/orders")
    @guard.protect(scopes=["orders.read"])
    async def orders() -> Any:
        return {"subject": current_principal.subject}

    def ask(headers: dict[str, str]) -> Answer:
        async def asked() -> Answer:
            answer = await app.test_client().get("/orders", headers=headers, scheme="http")
            return answer.status_code, [(name.lower(), value) for name, value in answer.headers.items()]

        return asyncio.run(asked())

    return ask


def flask_twice(api: Any, blocking: Any) -> Ask:
    """An application and a view that both ask."""
    app = Flask(__name__)
    guard = FlaskGuard(blocking, app)
    guard.protect_all(app)

    @app.get("/orders")
    @guard.protect(scopes=["orders.read"])
    def orders() -> Any:
        return {"subject": flask_principal.subject}

    def ask(headers: dict[str, str]) -> Answer:
        answer = app.test_client().get("/orders", headers=headers)
        return answer.status_code, [(name.lower(), value) for name, value in answer.headers.items()]

    return ask


def aiohttp_twice(api: Any, blocking: Any) -> Ask:
    """A middleware and a handler that both ask."""
    guard = AiohttpGuard(api)

    @guard.protect(scopes=["orders.read"])
    async def orders(request: web.Request) -> web.Response:
        return web.json_response({"subject": principal_of(request).subject})

    def ask(headers: dict[str, str]) -> Answer:
        async def asked() -> Answer:
            app = web.Application(middlewares=[guard.middleware()])
            app.router.add_get("/orders", orders)
            guard.setup(app)
            async with AiohttpClient(AiohttpServer(app)) as client:
                answer = await client.get("/orders", headers={**headers, "Host": HOSTS[aiohttp_twice]})
                return answer.status, [(name.lower(), value) for name, value in answer.headers.items()]

        return asyncio.run(asked())

    return ask


#: The host that each application sees.
HOSTS: dict[Any, str] = {
    fastapi_twice: "127.0.0.1",
    starlette_twice: "127.0.0.1",
    litestar_twice: "127.0.0.1",
    quart_twice: "localhost",
    flask_twice: "localhost",
    aiohttp_twice: "api.example.com",
}


@pytest.mark.parametrize("build", HOSTS, ids=lambda build: build.__name__)
def test_a_request_is_decided_once_whatever_asks_about_it(build: Any, world: DoorWorld) -> None:
    """A DPoP proof is good once, for all who ask about its request; the second request with it is a replay."""
    ask = build(world.awaiting(), world.blocking())
    proof = world.bound("GET", f"http://{HOSTS[build]}/orders")
    assert [ask(proof)[0], ask(proof)[0]] == [200, 401]
    status, headers = ask(world.bearer(scope="other"))
    assert (status, [name for name, _ in headers].count("www-authenticate")) == (403, 2)
    assert ask({})[0] == 401


@pytest.mark.parametrize("build", list(HOSTS), ids=lambda build: build.__name__)
def test_the_next_nonce_is_told_once(build: Any, world: DoorWorld) -> None:
    """On the response of the application, by whoever decided."""
    dpop, nonce = renewed_nonce()
    ask = build(world.awaiting(dpop=dpop), world.blocking(dpop=dpop))
    status, headers = ask(world.bound("GET", f"http://{HOSTS[build]}/orders", nonce))
    assert (status, [name for name, _ in headers].count("dpop-nonce")) == (200, 1)


def test_starlettes_own_middleware_takes_the_guard_as_a_backend(world: DoorWorld) -> None:
    """A bad token is answered exactly, a request without one is from nobody."""
    guard = StarletteGuard(world.awaiting())

    async def who(request: Any) -> Any:
        return PlainTextResponse(str(request.user.is_authenticated and request.user.subject))

    own = Middleware(AuthenticationMiddleware, backend=guard, on_error=guard.on_error)
    client = TestClient(Starlette(routes=[Route("/", who)], middleware=[own]))
    assert client.get("/").text == "False"
    bad = client.get("/", headers={"Authorization": "Bearer x.y.z"})
    assert (bad.status_code, len(bad.headers.get_list("www-authenticate"))) == (401, 2)
    assert client.get("/", headers=world.bearer()).text == "ada"


def test_a_websocket_of_starlette_is_refused_before_it_is_accepted(world: DoorWorld) -> None:
    """By an HTTP answer."""
    guard = StarletteGuard(world.awaiting())

    @guard.protect(scopes=["orders.read"])
    async def live(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.user.subject)
        await websocket.close()

    client = TestClient(Starlette(routes=[WebSocketRoute("/ws", live)]))
    with client.websocket_connect("/ws", headers=world.bearer()) as socket:
        assert socket.receive_text() == "ada"
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
        pass
    assert denied.value.status_code == 401


def test_a_websocket_of_litestar_is_answered_by_guard_and_middleware(world: DoorWorld) -> None:
    """Before it is accepted, both; a guard only closes it where its plugin is not at work."""
    guard = LitestarGuard(world.awaiting())

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.user.subject)
        await socket.close()

    guarded = litestar_websocket("/ws", guards=[guard.require()])(live)
    behind = Litestar([litestar_websocket("/ws")(live)], plugins=[guard], middleware=[guard.middleware()])
    for app in (Litestar([guarded], plugins=[guard]), behind):
        with TestClient(app).websocket_connect("/ws", headers=world.bearer()) as socket:
            assert socket.receive_text() == "ada"
        with pytest.raises(WebSocketDenialResponse) as denied, TestClient(app).websocket_connect("/ws"):
            pass
        assert (denied.value.status_code, denied.value.headers["cache-control"]) == (401, "no-store")
    with pytest.raises(WebSocketDisconnect), TestClient(Litestar([guarded])).websocket_connect("/ws"):
        pass


def test_a_websocket_is_answered_with_one_header_of_each_name(world: DoorWorld) -> None:
    """Granian ends with all its connections where an answer has two: anybody could have stopped the service."""
    quart, fastapi = Quart("app"), FastAPI()
    QuartGuard(world.awaiting(), quart).protect_all(quart)
    quart.websocket("/ws")(lambda: None)
    guard, starlette, litestar = FastAPIGuard(world.awaiting()), StarletteGuard(world.awaiting()), world.awaiting()
    plugin = LitestarGuard(litestar)

    @fastapi.websocket("/ws", dependencies=[Depends(guard)])
    async def live(websocket: Any) -> None: ...

    async def socket(socket: WebSocket) -> None: ...

    handler = litestar_websocket("/ws", guards=[plugin.require()])(socket)
    apps: list[Any] = [
        quart,
        fastapi,
        Starlette(routes=[WebSocketRoute("/ws", starlette.protect()(live))]),
        Starlette(routes=[WebSocketRoute("/ws", live)], middleware=[starlette.protected()]),
        Litestar([handler], plugins=[plugin]),
        ResourceServerMiddleware(live, world.awaiting()),
    ]
    for app in apps:
        with pytest.raises(WebSocketDenialResponse) as denied, TestClient(app).websocket_connect("/ws"):
            pass
        names = [name for name, _ in denied.value.headers.multi_items()]
        assert len(names) == len(set(names))
        challenges = parse_challenges([denied.value.headers["www-authenticate"]])
        assert [each.scheme for each in challenges] == ["Bearer", "DPoP"]


def test_a_websocket_of_quart_is_refused_before_it_is_accepted(world: DoorWorld) -> None:
    """With the gate's status."""
    app = Quart(__name__)
    guard = QuartGuard(world.awaiting(), app)

    @app.websocket("/ws")
    @guard.protect(scopes=["orders.read"])
    async def live() -> None:
        await quart_websocket.send(str(current_principal.subject))

    with TestClient(app).websocket_connect("/ws", headers=world.bearer()) as socket:
        assert socket.receive_text() == "ada"
    with pytest.raises(WebSocketDenialResponse) as denied, TestClient(app).websocket_connect("/ws"):
        pass
    assert denied.value.status_code == 401


def test_requests_of_aiohttp_keep_headers_apart_and_the_path_as_it_was_sent() -> None:
    """What a proof signs must not be decoded and encoded again."""
    seen: list[Any] = []

    async def look(request: web.Request) -> web.Response:
        seen.append(of_request(request))
        return web.Response()

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/{tail:.*}", look)
        async with AiohttpServer(app) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(b"GET /a%2Fb%7e?q=%61 HTTP/1.1\r\nHost: api.example.com\r\nX-A: 1\r\nX-A: 2\r\n\r\n")
            await reader.readline()
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())
    assert seen[0].url == "http://api.example.com/a%2Fb%7e?q=%61"
    assert (seen[0].header_values("x-a"), seen[0].peer) == (["1", "2"], "127.0.0.1")


def test_applications_of_litestar_keep_their_schemes_apart(world: DoorWorld) -> None:
    """Litestar's default configuration is one object for all applications: none leaves its scheme to the next."""
    found = []
    for name in ("first", "second"):
        app = Litestar([], plugins=[LitestarGuard(world.awaiting(), scheme_name=name)])
        found.append(
            set((app.openapi_schema.components.security_schemes or {}) if app.openapi_schema.components else {})
        )
    assert found == [{"first"}, {"second"}]
