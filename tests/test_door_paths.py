"""Paths that need no token open nothing else, and the routes of a service are found under every prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer as AiohttpServer
from fastapi import Depends, FastAPI
from flask import Flask
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from door_world import DoorWorld
from py_identity_model.integrations import wsgi
from py_identity_model.integrations.aiohttp import AiohttpGuard
from py_identity_model.integrations.asgi import ResourceServerMiddleware
from py_identity_model.integrations.fastapi import FastAPIGuard
from py_identity_model.integrations.flask import FlaskGuard
from py_identity_model.integrations.litestar import LitestarGuard
from py_identity_model.integrations.quart import QuartGuard
from py_identity_model.integrations.starlette import StarletteGuard

EXCLUDED = ["/public/*", "/docs"]
#: Targets that begin as an excluded path does, and that some application takes for another path.
AROUND = [
    "/orders",
    "/public/../orders",
    "/public/%2e%2e/orders",
    "/public/.%2e/orders",
    "/public%2f..%2forders",
    "/public/..%2forders",
    "/public/..",
    "/public/%252e%252e/orders",
    "/public/%252e%252e%252forders",
    "/public/..;/orders",
    "/public/%5c..%5corders",
    "/public/a%5corders",
    "/public/./orders",
    "/public/.",
    "//orders",
    "/public//../orders",
    "/public/.%09./orders",
    "/public/%00/orders",
    "/PUBLIC/orders",
    "/publicorders",
    "/docs/orders",
    "/docs%00",
    "/docs;x",
    "/docs%3fx",
    "/DOCS",
    "/healthz/../orders",
    "/healthz%2f..%2forders",
    "/healthz/orders",
    "/healthz%20",
]
#: Names with a slash in them, for applications that read the target itself.
NAMES = ["/public%2forders", "/public%2Forders", "/public/a%2forders"]
OPEN = ["/public/a", "/public/a/b", "/docs", "/d%6fcs", "/public/%C3%A4", "/docs?x=%2f..", "/public/100%20percent"]
RESOURCE = "https://api.example.com/v1"
METADATA = "/.well-known/oauth-protected-resource/v1"

#: The status of the answer to a target, sent as it is.
Ask = Callable[[str], int]


def by_asgi(app: Any, root: str = "") -> Ask:
    """Return how an ASGI application answers, mounted at *root*."""

    async def ask(target: str) -> int:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": unquote(root + path),
            "raw_path": (root + path).encode(),
            "query_string": query.encode(),
            "root_path": root,
            "headers": [(b"host", b"api.example.com")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        sent: list[Any] = []
        bodies = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if not bodies:  # the client stays until it has its answer
                await asyncio.Event().wait()
            return bodies.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return int(sent[0]["status"])

    return lambda target: asyncio.run(ask(target))


def by_wsgi(app: Any, root: str = "") -> Ask:
    """Return how a WSGI application answers, mounted at *root*."""

    def ask(target: str) -> int:
        path, _, query = target.partition("?")
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": root,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "api.example.com",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
        }
        statuses: list[str] = []
        list(app(environ, lambda status, headers, *_: statuses.append(status)))
        return int(statuses[0][:3])

    return ask


def by_aiohttp(make: Callable[[], web.Application]) -> Ask:
    """Return how an application of aiohttp answers over a connection."""

    async def ask(target: str) -> int:
        async with AiohttpServer(make()) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(f"GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return int(answer.split()[1])

    return lambda target: asyncio.run(ask(target))


async def anything(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request."""
    await PlainTextResponse("in")(scope, receive, send)


def asgi_door(world: DoorWorld) -> Ask:
    """The middleware for any application."""
    return by_asgi(ResourceServerMiddleware(anything, world.awaiting(), exclude=EXCLUDED))


def starlette_door(world: DoorWorld) -> Ask:
    """The guard of Starlette in front of everything."""
    guard = StarletteGuard(world.awaiting())
    return by_asgi(Starlette(routes=[Mount("/", anything)], middleware=[guard.protected(exclude=EXCLUDED)]))


def litestar_door(world: DoorWorld) -> Ask:
    """The middleware of Litestar."""
    guard = LitestarGuard(world.awaiting())

    @get("/{rest:path}", sync_to_thread=False)
    def handler() -> None:
        return None

    return by_asgi(Litestar([handler], plugins=[guard], middleware=[guard.middleware(exclude=EXCLUDED)]))


def quart_door(world: DoorWorld) -> Ask:
    """A whole application of Quart."""
    app = Quart("app")
    app.add_url_rule("/<path:rest>", "rest", lambda rest: rest)
    QuartGuard(world.awaiting(), app).protect_all(app, exclude=EXCLUDED)
    return by_asgi(app)


def wsgi_door(world: DoorWorld) -> Ask:
    """The middleware for any application."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    return by_wsgi(wsgi.ResourceServerMiddleware(app, world.blocking(), exclude=EXCLUDED))


def flask_door(world: DoorWorld) -> Ask:
    """A whole application of Flask."""
    app = Flask("app")
    app.add_url_rule("/<path:rest>", "rest", lambda rest: rest)
    FlaskGuard(world.blocking(), app).protect_all(app, exclude=EXCLUDED)
    return by_wsgi(app)


def aiohttp_door(world: DoorWorld) -> Ask:
    """The middleware of aiohttp, whose routes read the target: one segment is a route of its own."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    def make() -> web.Application:
        guard = AiohttpGuard(world.awaiting())
        app = web.Application(middlewares=[guard.middleware(exclude=EXCLUDED)])
        app.router.add_get("/{one}", handler)
        app.router.add_get("/{one}/{rest:.*}", handler)
        guard.setup(app)
        return app

    return by_aiohttp(make)


DOORS = [asgi_door, starlette_door, litestar_door, quart_door, wsgi_door, flask_door, aiohttp_door]
READ_TARGETS = [asgi_door, starlette_door, litestar_door, aiohttp_door]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_an_excluded_path_opens_no_other(door: Any, world: DoorWorld) -> None:
    """However it is written: with dots, encoded once or twice, backslashes, control characters or capitals."""
    ask = door(world)
    # Werkzeug sends clients on to the path without a double slash, which asks for a token in its turn.
    assert [target for target in AROUND if ask(target) not in (401, 308)] == []


@pytest.mark.parametrize("door", READ_TARGETS, ids=lambda door: door.__name__)
def test_an_encoded_slash_is_no_way_in(door: Any, world: DoorWorld) -> None:
    """A route for one name gets ``public/orders``, which is below no excluded path."""
    ask = door(world)
    assert [target for target in NAMES if ask(target) != 401] == []


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_excluded_paths_are_open(door: Any, world: DoorWorld) -> None:
    """In every spelling that means the same path."""
    ask = door(world)
    assert [target for target in [*OPEN, "/healthz"] if ask(target) == 401] == []


@pytest.fixture
def world() -> DoorWorld:
    """A provider and its resource servers."""
    return DoorWorld()


# ---------------------------------------------------------------------------------------------------------------------
# Prefixes


def fastapi_under(world: DoorWorld, prefix: str) -> Ask:
    """A router under a prefix."""
    app = FastAPI()
    app.include_router(FastAPIGuard(world.awaiting(resource=RESOURCE)).routes, prefix=prefix)
    return by_asgi(app)


def fastapi_mounted(world: DoorWorld, prefix: str) -> Ask:
    """An application in another."""
    inner, outer = FastAPI(), FastAPI()
    inner.include_router(FastAPIGuard(world.awaiting(resource=RESOURCE)).routes)
    outer.mount(prefix, inner)
    return by_asgi(outer)


def starlette_mounted(world: DoorWorld, prefix: str) -> Ask:
    """Routes in a mount."""
    return by_asgi(Starlette(routes=[Mount(prefix, routes=StarletteGuard(world.awaiting(resource=RESOURCE)).routes)]))


def litestar_under(world: DoorWorld, prefix: str) -> Ask:
    """An application whose paths all have a prefix."""
    return by_asgi(Litestar([], plugins=[LitestarGuard(world.awaiting(resource=RESOURCE))], path=prefix))


def litestar_mounted(world: DoorWorld, prefix: str) -> Ask:
    """An application in another framework's."""
    inner = Litestar([], plugins=[LitestarGuard(world.awaiting(resource=RESOURCE))])
    return by_asgi(Starlette(routes=[Mount(prefix, inner)]))


def quart_mounted(world: DoorWorld, prefix: str) -> Ask:
    """An application in another framework's."""
    app = Quart("app")
    guard = QuartGuard(world.awaiting(resource=RESOURCE), app)
    guard.protect_all(app)
    return by_asgi(Starlette(routes=[Mount(prefix, app)]))


def asgi_mounted(world: DoorWorld, prefix: str) -> Ask:
    """A middleware in front of an application that is mounted."""
    inner = ResourceServerMiddleware(anything, world.awaiting(resource=RESOURCE))
    return by_asgi(Starlette(routes=[Mount(prefix, inner)]))


def aiohttp_below(world: DoorWorld, prefix: str) -> Ask:
    """A protected application in another."""

    def make() -> web.Application:
        guard = AiohttpGuard(world.awaiting(resource=RESOURCE))
        inner, outer = web.Application(middlewares=[guard.middleware()]), web.Application()
        guard.setup(inner)
        outer.add_subapp(prefix, inner)
        return outer

    return by_aiohttp(make)


def flask_mounted(world: DoorWorld, prefix: str) -> Ask:
    """A protected application below a script name."""
    app = Flask("app")
    FlaskGuard(world.blocking(resource=RESOURCE), app).protect_all(app)
    ask = by_wsgi(app, prefix)
    return lambda target: ask(target.removeprefix(prefix))


@pytest.mark.parametrize(
    "door",
    [
        fastapi_under,
        fastapi_mounted,
        starlette_mounted,
        litestar_under,
        litestar_mounted,
        quart_mounted,
        asgi_mounted,
        aiohttp_below,
        flask_mounted,
    ],
    ids=lambda door: door.__name__,
)
def test_the_routes_of_a_service_are_found_under_every_prefix(door: Any, world: DoorWorld) -> None:
    """Health and metadata are served where the application is, and stay open where all of it is protected."""
    ask = door(world, "/inner")
    assert [ask("/inner/healthz"), ask(f"/inner{METADATA}"), ask("/inner/orders") in (401, 404)] == [200, 200, True]


@pytest.mark.parametrize("root", ["", "/api"])
def test_an_application_whose_every_route_asks_serves_its_health(root: str, world: DoorWorld) -> None:
    """Behind a proxy that takes a prefix away, too."""
    guard = FastAPIGuard(world.awaiting())
    app = FastAPI(dependencies=[Depends(guard)])
    app.include_router(guard.routes)
    app.add_api_route("/orders", lambda: None)
    ask = by_asgi(app, root)
    assert [ask("/healthz"), ask("/orders")] == [200, 401]


def test_an_endpoint_of_the_application_is_not_taken_for_one_of_the_service(world: DoorWorld) -> None:
    """Not even at the same path."""
    guard = StarletteGuard(world.awaiting())

    @guard.protect()
    async def health(request: Any) -> Any:
        return PlainTextResponse("in")

    assert by_asgi(Starlette(routes=[Route("/healthz", health), *guard.routes]))("/healthz") == 401
