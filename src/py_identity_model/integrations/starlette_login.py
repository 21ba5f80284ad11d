"""Starlette: people log in, and ``request.state.session`` says who they are.

login = StarletteLogin(WebLogin(client, store=SqliteStore("sessions.db"), base_url="https://app.example.com"))
app = Starlette(routes=[Route("/account", account), *login.routes])

@login.require(max_age=300)
async def account(request): return PlainTextResponse(request.state.session.subject)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar, overload

from .._core.base.scopes import Scopes
from .._core.web_login.messages import MAX_FORM, WebRequest
from .._core.web_login.session import SessionBase
from .._core.web_login.visits import Demand, demand
from ..aio._clients import HTTPClient
from ._packages import framework_missing
from ._requests import pairs
from ._starlette_answers import called, response_of
from ._web_login import (
    AnyLogin,
    LoginRefused,
    answered_in_loop,
    check_login,
    demanded_in_loop,
    page_headers,
    request_of_scope,
)
from ._web_proxy import ProxyApplication
from .asgi import answer
from .routes import Published

try:
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route, WebSocketRoute
except ImportError:
    raise framework_missing("Starlette", "starlette") from None

F = TypeVar("F", bound=Callable[..., Any])


class StarletteLogin:
    """The routes of a login, and sessions for endpoints."""

    def __init__(self, login: AnyLogin) -> None:
        """Have people log in.

        Args:
            login: A ``WebLogin``; one of ``aio`` where there is a choice.

        Raises:
            ConfigurationException: It is none.
        """
        self.login: AnyLogin = check_login(login)

    @property
    def routes(self) -> list[Route]:
        """The routes of the login, as its ``paths`` and ``base_url`` say; add them without a prefix."""
        return [Route(path, self.serve, methods=[*methods]) for path, methods in self.login.routes.items()]

    def proxy(
        self,
        prefix: str,
        *,
        to: str,
        scopes: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        allow_insecure_http: bool = False,
        http_client: HTTPClient | None = None,
    ) -> list[BaseRoute]:
        """Return routes by which pages call an API: HTTP, server-sent events, and WebSockets.

        Every request must bring the header ``X-CSRF: 1``, and a WebSocket the origin of this application.

        Args:
            prefix: The path below which requests are for the API: ``/api``.
            to: The address of the API.
            scopes: The scopes of its tokens; those of the login if None.
            resource: What its tokens are for (RFC 8707).
            allow_insecure_http: Whether the API may be http on another machine than this one.
            http_client: A client for the API; by default one with connections for it alone.

        Raises:
            ConfigurationException: The arguments cannot be used safely.
        """
        rule = self.login._proxy(
            prefix, to=to, scopes=scopes, resource=resource, allow_insecure_http=allow_insecure_http
        )
        serve = ProxyApplication(self.login, rule, http_client)
        paths = (prefix, prefix + "/{rest:path}")
        return [*(Route(path, serve) for path in paths), *(WebSocketRoute(path, serve) for path in paths)]

    async def serve(self, request: Request) -> Response:
        """Answer a request to a route of the login."""
        body = await bounded_body(request) if request.method == "POST" else b""
        return response_of(await answered_in_loop(self.login, request_of_scope(request.scope, body)))

    async def session(self, connection: HTTPConnection) -> SessionBase | None:
        """Return who is logged in; None for nobody.

        Args:
            connection: A request, or a WebSocket.

        Raises:
            LoginRefused: The store is away, or another site sent the request.
        """
        return await session_at(self.login, connection, Demand(), optional=True)

    def require(
        self, *, acr: str | Iterable[str] | None = None, max_age: int | None = None, csrf: bool = True
    ) -> Callable[[F], F]:
        """Let only users who are logged in come to an endpoint, a function of a request; others are sent to the login.

        Args:
            acr: Authentication context classes, any one of which will do.
            max_age: Seconds since the user authenticated, at most.
            csrf: Whether requests that change something must show that a page of ours sent them.
        """
        wanted = demand(acr, max_age, csrf=csrf)

        def requiring(endpoint: F) -> F:
            @wraps(endpoint)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                connection = next(each for each in (*args, *kwargs.values()) if isinstance(each, HTTPConnection))
                try:
                    session = await session_at(self.login, connection, wanted)
                except LoginRefused as refusal:
                    return await _refuse(connection, refusal)
                made = await called(endpoint, args, kwargs)
                if isinstance(made, Response):
                    made.raw_headers += pairs(page_headers(session, made.headers))
                return made

            return guarded  # type: ignore[return-value] # it has the signature of *endpoint*

        return requiring


@overload
async def session_at(login: AnyLogin, connection: HTTPConnection, wanted: Demand) -> SessionBase: ...
@overload
async def session_at(
    login: AnyLogin, connection: HTTPConnection, wanted: Demand, *, optional: bool
) -> SessionBase | None: ...
async def session_at(
    login: AnyLogin, connection: HTTPConnection, wanted: Demand, *, optional: bool = False
) -> SessionBase | None:
    """Return the session of a connection, and keep it in its state; None for nobody where that is enough.

    Raises:
        LoginRefused: There is none that is enough.
    """
    request = await read_request(connection)
    session = await demanded_in_loop(login, request, wanted, optional=optional)
    connection.state.session = session
    return session


async def read_request(connection: HTTPConnection) -> WebRequest:
    """Return a connection as a value; of its body only a form is read, where the token of a session is looked for."""
    bare = request_of_scope(connection.scope)
    if bare.is_safe or not isinstance(connection, Request) or bare.header("x-csrf-token") or bare.header("x-csrf"):
        return bare
    kind = (bare.header("content-type") or "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data" or getattr(connection, "_form", None) is not None:
        form = await connection.form()
        fields = tuple((name, value) for name, value in form.multi_items() if isinstance(value, str))
        return request_of_scope(connection.scope, fields=fields)
    if kind == "application/x-www-form-urlencoded":
        return request_of_scope(connection.scope, await connection.body())
    return bare


async def bounded_body(request: Request) -> bytes:
    """Return the body of a request to the login; one that is too long is none."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            return b""
    return body


async def _refuse(connection: HTTPConnection, refusal: LoginRefused) -> Response | None:
    if connection.scope["type"] == "websocket":
        made = refusal.answer
        published = Published(made.status, made.headers, made.body)
        await answer(connection.scope, connection._send, published)  # type: ignore[attr-defined] # it is a WebSocket
        return None
    return response_of(refusal.answer)


__all__ = ["StarletteLogin", "bounded_body", "read_request", "session_at"]
