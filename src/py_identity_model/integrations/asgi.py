"""A gate in front of any ASGI application: HTTP and WebSocket, streams untouched.

>>> from py_identity_model.aio import ResourceServer, TokenValidator
>>> async def app(scope, receive, send): ...
>>> api = ResourceServer(TokenValidator("https://id.example.com", audience="api"))
>>> app = ResourceServerMiddleware(app, api, exclude=["/public/*"])

The application finds the :class:`~py_identity_model.AuthenticatedPrincipal` in ``scope["state"]["principal"]``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from typing import Any, Unpack

from .._arguments import checks_arguments
from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._refusals import must_be
from .._resource_server import AnyResourceServer
from ._guard import Decision, Demanded, demanded, warm_up
from ._once import decide_once_in_loop
from ._paths import Paths
from ._requests import Connection, of_scope, pairs, sent_path
from .routes import Answer, ServiceRoutes, joined

# As the types of Starlette and of servers say it: what is under each key is of a type of its own.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: WebSocket close code of a refusal where the server cannot answer by HTTP: policy violation (RFC 6455 7.4.1).
POLICY_VIOLATION = 1008


class ResourceServerMiddleware:
    """Let requests with a valid access token pass, and answer the others."""

    @checks_arguments
    def __init__(
        self,
        app: Application,
        api: AnyResourceServer,
        *,
        requirement: Requirement | None = None,
        exclude: Iterable[str] = (),
        optional: bool = False,
        routes: ServiceRoutes | None = None,
        websocket_subprotocol: str | None = None,
        websocket_cookie: str | None = None,
        websocket_origins: Collection[str] = (),
        **demands: Unpack[Demanded],
    ) -> None:
        """Put a gate in front of *app*.

        Args:
            app: The application.
            api: Who decides.
            requirement: What each request must bring besides a valid token.
            exclude: Paths that need no token: ``/docs``, or ``/public/*`` for all below.
            optional: Whether requests without any token pass, as nobody.
            routes: Metadata, health and readiness to be answered here; by default ``ServiceRoutes(api)``.
            websocket_subprotocol: A browser cannot set headers of a WebSocket: where it offers this subprotocol and the
                token as the next one, that is the token.
            websocket_cookie: The cookie that carries the token of a WebSocket; it counts only for pages of
                *websocket_origins*, since browsers send cookies for every page (RFC 6455 10.2).
            websocket_origins: Origins of those pages, such as ``https://app.example.com``.
            demands: What each request must bring, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: The arguments cannot be used together.
        """
        if websocket_cookie is not None and not websocket_origins:
            raise must_be("websocket_origins", "the origins of your pages, where a cookie carries the token")
        self._app = app
        self._api = api
        self._requirement = demanded(requirement, **demands)
        self._excluded = Paths(exclude)
        self._optional = optional
        self._routes = ServiceRoutes(api) if routes is None else routes
        self._subprotocol = websocket_subprotocol
        self._cookie = websocket_cookie
        self._origins = frozenset(websocket_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            receive = _warming(self._api, receive)
        elif scope["type"] in ("http", "websocket"):
            path = path_in(scope)
            made: Answer | None = self._routes.answer(scope["method"], path) if scope["type"] == "http" else None
            if made is None and not self._excluded.frees(path, sent_path(scope)):
                decision = await self._decide(scope)
                if isinstance(decision, Refusal):
                    made = decision
                else:
                    scope, send = self._admitted(scope, send, decision)
            if made is not None:
                await answer(scope, send, made)
                return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _decide(self, scope: Scope) -> Decision:
        request = self._request(scope)
        return await decide_once_in_loop(self._api, scope, request, self._requirement, optional=self._optional)

    def _request(self, scope: Scope) -> InboundRequest:
        if scope["type"] == "http":
            return of_scope(scope)
        return of_scope(scope, tuple(("authorization", f"Bearer {token}") for token in self._tokens(scope)))

    def _tokens(self, scope: Scope) -> list[str]:
        offered = list(scope.get("subprotocols", ()))
        if self._subprotocol in offered[:-1]:
            return [offered[offered.index(self._subprotocol) + 1]]
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._cookie is None or b"authorization" in headers or headers.get(b"origin") not in self._origins:
            return []
        return cookie_values(headers.get(b"cookie", ""), self._cookie)

    def _admitted(self, scope: Scope, send: Send, principal: AuthenticatedPrincipal | None) -> tuple[Scope, Send]:
        inner = {**scope, "state": {**(scope.get("state") or {}), "principal": principal}}
        offered = list(scope.get("subprotocols", ()))
        if scope["type"] == "websocket" and self._subprotocol in offered[:-1]:
            at = offered.index(self._subprotocol)
            inner["subprotocols"] = offered[:at] + offered[at + 2 :]  # the token is nobody's business any more
            send = _choosing(self._subprotocol, send)
        if principal is not None and principal.headers:
            send = with_headers(principal.headers, send)
        return inner, send


def path_in(scope: Connection) -> str:
    """Return the path of a connection below the point where the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def cookie_values(header: str, name: str) -> list[str]:
    """Return what a cookie holds; several of one name are several tokens."""
    found = []
    for pair in header.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name and value:
            found.append(value.strip('"'))
    return found


async def answer(scope: Scope, send: Send, made: Answer) -> None:
    """Send an answer; before a WebSocket is accepted too, if the server can."""
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    if kind == "websocket.http.response" and kind not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
        return
    headers = encoded(made.headers, scope)
    if made.body:
        headers.append((b"content-length", str(len(made.body)).encode()))
    await send({"type": f"{kind}.start", "status": made.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": made.body})


def encoded(headers: tuple[tuple[str, str], ...], scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer as servers take them."""
    # Granian 2.8 ends with its whole worker where an answer to a WebSocket has two headers of one name.
    return pairs(joined(headers).items() if scope["type"] == "websocket" else headers)


def with_headers(headers: tuple[tuple[str, str], ...], send: Send) -> Send:
    """Return what sends the same, with *headers* on the response or the accepted WebSocket."""
    if not headers:
        return send
    added = pairs(headers)

    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sending


def _choosing(subprotocol: str | None, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": subprotocol}
        await send(message)

    return sending


def _warming(api: AnyResourceServer, receive: Receive) -> Receive:
    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "lifespan.startup":
            warm_up(api)
        return message

    return receiving


__all__ = ["ResourceServerMiddleware"]
