"""FastAPI: people log in, and a dependency says who they are.

from py_identity_model.aio import OAuthClient, Session, WebLogin

login = FastAPILogin(WebLogin(client, store=SqliteStore("sessions.db"), base_url="https://app.example.com"))
app.include_router(login.routes)

@app.get("/account")
async def account(session: Annotated[Session, Depends(login.session)]): return {"subject": session.subject}
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from .._core.base.scopes import Scopes
from .._core.web_login.session import SessionBase
from .._core.web_login.visits import Demand, demand
from ..aio._clients import HTTPClient
from ._packages import framework_missing
from ._requests import pairs
from ._web_login import AnyLogin, LoginRefused, check_login, page_headers
from .asgi import POLICY_VIOLATION

try:
    from fastapi import APIRouter, Request, Response
    from fastapi.exceptions import WebSocketException
    from starlette.requests import HTTPConnection
except ImportError:
    raise framework_missing("FastAPI", "fastapi") from None

from ._starlette_answers import response_of
from .starlette_login import StarletteLogin, session_at

S = TypeVar("S", bound=SessionBase | None)


class FastAPILogin:
    """The routes of a login as a router, and sessions as dependencies. Build it once, or wherever it is needed."""

    def __init__(self, login: AnyLogin) -> None:
        """Have people log in.

        Args:
            login: A ``WebLogin``; one of ``aio`` where there is a choice.

        Raises:
            ConfigurationException: It is none.
        """
        self.login: AnyLogin = check_login(login)

    @property
    def routes(self) -> APIRouter:
        """The routes of the login, as its ``paths`` and ``base_url`` say; include them without a prefix."""
        router, serve = APIRouter(include_in_schema=False), StarletteLogin(self.login).serve
        for path, methods in self.login.routes.items():
            router.add_route(path, serve, methods=[*methods], include_in_schema=False)
        return router

    def proxy(
        self,
        prefix: str,
        *,
        to: str,
        scopes: Scopes | None = None,
        resource: str | Sequence[str] | None = None,
        allow_insecure_http: bool = False,
        http_client: HTTPClient | None = None,
    ) -> APIRouter:
        """Return a router by which pages call an API: HTTP, server-sent events, and WebSockets.

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
        routes = StarletteLogin(self.login).proxy(
            prefix,
            to=to,
            scopes=scopes,
            resource=resource,
            allow_insecure_http=allow_insecure_http,
            http_client=http_client,
        )
        return APIRouter(routes=routes)

    async def session(self, connection: HTTPConnection, response: Response) -> SessionBase:
        """Return who is logged in; others are sent to the login: ``Depends(login.session)``.

        Raises:
            LoginRefused: There is no session; it is answered by itself.
        """
        return await _told(connection, response, session_at(self.login, connection, Demand()))

    async def optional(self, connection: HTTPConnection, response: Response) -> SessionBase | None:
        """Return who is logged in, None for nobody: ``Depends(login.optional)``.

        Raises:
            LoginRefused: The store is away, or another site sent the request; it is answered by itself.
        """
        return await _told(connection, response, session_at(self.login, connection, Demand(), optional=True))

    def require(
        self, *, acr: str | Iterable[str] | None = None, max_age: int | None = None, csrf: bool = True
    ) -> Callable[[HTTPConnection, Response], Awaitable[SessionBase]]:
        """Return a dependency that demands more than a session: ``Depends(login.require(max_age=300))``.

        Args:
            acr: Authentication context classes, any one of which will do.
            max_age: Seconds since the user authenticated, at most.
            csrf: Whether requests that change something must show that a page of ours sent them.
        """
        wanted = demand(acr, max_age, csrf=csrf)

        async def requiring(connection: HTTPConnection, response: Response) -> SessionBase:
            return await _told(connection, response, session_at(self.login, connection, wanted))

        return requiring


async def _told(connection: HTTPConnection, response: Response, finding: Awaitable[S]) -> S:
    try:
        session = await finding
    except LoginRefused as refusal:
        raise _prepared(connection, refusal) from None
    if session is not None:
        response.raw_headers += pairs(page_headers(session, response.headers))
    return session


def _prepared(connection: HTTPConnection, refusal: LoginRefused) -> Exception:
    """Return what FastAPI answers by itself."""
    websocket = connection.scope["type"] == "websocket"
    if websocket and "websocket.http.response" not in (connection.scope.get("extensions") or {}):
        return WebSocketException(POLICY_VIOLATION)
    # Handlers of the application come first; without one, the answer is sent as it is.
    handlers: tuple[dict[Any, Any], Any] = connection.scope.get("starlette.exception_handlers") or ({}, {})
    handlers[0].setdefault(LoginRefused, _answered)
    return refusal


async def _answered(_: Request, error: LoginRefused) -> Response:
    return response_of(error.answer)


__all__ = ["FastAPILogin"]
