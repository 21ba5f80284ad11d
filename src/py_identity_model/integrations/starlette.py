"""Starlette: ``request.user`` is the principal, its scopes are those of ``@requires``; every refusal is exact.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
guard = StarletteGuard(api)
app = Starlette(
    routes=[Route("/orders", orders), *guard.routes],
    middleware=[guard.middleware],
    exception_handlers=guard.exception_handlers,
    lifespan=guard.lifespan,
)

@guard.protect(scopes=["orders.read"])
async def orders(request): return JSONResponse({"subject": request.user.subject})
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, TypeVar, Unpack

from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import AnyResourceServer
from ..aio._driver import run
from ..exceptions import InsufficientScopeException, MissingCredentialsException
from ._guard import Decision, Demanded, demanded, warm_up
from ._once import decide_once_in_loop, new_headers
from ._packages import framework_missing
from ._paths import Paths
from ._requests import of_scope, sent_path
from ._starlette_answers import called, response_of
from .asgi import Application, Receive, Scope, Send, answer, path_in, with_headers
from .routes import METHODS, ServiceRoute, ServiceRoutes

try:
    from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError
    from starlette.authentication import UnauthenticatedUser as Nobody
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route
except ImportError:
    raise framework_missing("Starlette", "starlette") from None

F = TypeVar("F", bound=Callable[..., Any])


#: Handlers of exceptions as Starlette and FastAPI take them: each is for an exception of its own.
Handlers = dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]


class AccessRefused(AuthenticationError):
    """A request may not pass; its answer is ``refusal``."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__("The request is refused")
        self.refusal = refusal


class _AskedScopes(list[str]):
    """Granted scopes that remember what was asked of them, so that a refusal can name it."""

    def __init__(self, granted: Iterable[str]) -> None:
        super().__init__(granted)
        self.asked: list[str] = []

    def __contains__(self, scope: object) -> bool:
        self.asked.append(str(scope))
        return super().__contains__(scope)


class StarletteGuard(AuthenticationBackend):
    """Says who a request is from; as a backend of Starlette's own ``AuthenticationMiddleware`` too."""

    def __init__(self, api: AnyResourceServer, *, routes: ServiceRoutes | None = None) -> None:
        """Guard an application.

        Args:
            api: Who decides.
            routes: Metadata, health and readiness; by default ``ServiceRoutes(api)``.
        """
        self.api = api
        self._routes = ServiceRoutes(api) if routes is None else routes

    async def authenticate(  # type: ignore[override] # a principal has what Starlette asks of a user, by another base
        self, conn: HTTPConnection
    ) -> tuple[AuthCredentials, AuthenticatedPrincipal | Nobody]:
        """Return scopes and principal of a connection; Starlette's middleware calls this.

        Raises:
            AccessRefused: It has a token that is not valid; :meth:`on_error` answers.
        """
        decision = await self._decide(conn.scope, None, optional=True)
        if isinstance(decision, Refusal):
            raise AccessRefused(decision)
        return _credentials(decision)

    @staticmethod
    def on_error(conn: HTTPConnection, error: AuthenticationError) -> Response:
        """Answer what :meth:`authenticate` refused: ``AuthenticationMiddleware(on_error=guard.on_error)``."""
        del conn
        return response_of(error.refusal) if isinstance(error, AccessRefused) else PlainTextResponse(str(error), 400)

    @property
    def middleware(self) -> Middleware:
        """The middleware that says who each request is from; :meth:`protected` is the one that also demands."""
        return Middleware(_Authenticates, guard=self, requirement=None, optional=True, exclude=())

    def protected(
        self, requirement: Requirement | None = None, *, exclude: Iterable[str] = (), **demands: Unpack[Demanded]
    ) -> Middleware:
        """Return a middleware that lets only requests with a valid token pass.

        Args:
            requirement: What each demands besides it.
            exclude: Paths that need no token: ``/docs``, or ``/public/*`` for all below.
            demands: What each demands, by the names of :class:`~py_identity_model.Requirement`.
        """
        wanted = demanded(requirement, **demands)
        free = (*exclude, *self._routes.paths)
        return Middleware(_Authenticates, guard=self, requirement=wanted, optional=False, exclude=free)

    def protect(
        self, requirement: Requirement | None = None, *, optional: bool = False, **demands: Unpack[Demanded]
    ) -> Callable[[F], F]:
        """Protect an endpoint: a function of a request or a WebSocket, or a method of an ``HTTPEndpoint``.

        Args:
            requirement: What it demands besides a valid token.
            optional: Whether requests without any token pass, as nobody.
            demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.
        """
        wanted = demanded(requirement, **demands)

        def protecting(endpoint: F) -> F:
            @wraps(endpoint)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                connection = next(each for each in (*args, *kwargs.values()) if isinstance(each, HTTPConnection))
                with new_headers(connection.scope) as added:
                    decision = await self._decide(connection.scope, wanted, optional)
                if isinstance(decision, Refusal):
                    return await _refuse(connection, decision)
                connection.scope["auth"], connection.scope["user"] = _credentials(decision)
                made = await called(endpoint, args, kwargs)
                if isinstance(made, Response):
                    made.raw_headers += [(name.encode(), value.encode()) for name, value in added]
                return made

            return guarded  # type: ignore[return-value] # it has the signature of *endpoint*

        return protecting

    async def _decide(self, scope: Scope, requirement: Requirement | None, optional: bool) -> Decision:
        return await decide_once_in_loop(self.api, scope, of_scope(scope), requirement, optional=optional)

    @property
    def routes(self) -> list[Route]:
        """Metadata, health and readiness."""
        return [Route(each.path, _serving(each), methods=list(METHODS)) for each in self._routes]

    @property
    def exception_handlers(self) -> Handlers:
        """What answers a refusal by ``@requires`` as the gate does: ``Starlette(exception_handlers=...)``."""
        return {HTTPException: self._explained}

    async def _explained(self, request: Request, error: HTTPException) -> Response:
        scopes = getattr(request.scope.get("auth"), "scopes", None)
        asked = scopes.asked if isinstance(scopes, _AskedScopes) else []
        if error.status_code != 403 or not asked or set(asked) <= set(scopes or ()):
            return PlainTextResponse(error.detail, error.status_code, headers=error.headers)
        nobody = not isinstance(request.user, AuthenticatedPrincipal)
        named = [scope for scope in asked if scope != "authenticated"]  # Starlette's word for anybody with a token
        cause = MissingCredentialsException("The request has no access token") if nobody else _lacking(named)
        refusing = self.api.gate.refuse(cause, of_scope(request.scope), Requirement(scopes=named))
        return response_of(await run(refusing, self.api._http_client))

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Fetch the keys while the application starts, which it does in any case: ``lifespan=guard.lifespan``."""
        warm_up(self.api)
        yield


class _Authenticates:
    def __init__(
        self,
        app: Application,
        guard: StarletteGuard,
        requirement: Requirement | None,
        optional: bool,
        exclude: Iterable[str],
    ) -> None:
        self._app, self._guard, self._requirement, self._optional = app, guard, requirement, optional
        self._excluded = Paths(exclude)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            pass
        elif self._excluded.frees(path_in(scope), sent_path(scope)):
            scope["auth"], scope["user"] = _credentials(None)
        else:
            with new_headers(scope) as added:
                decision = await self._guard._decide(scope, self._requirement, self._optional)
            if isinstance(decision, Refusal):
                await answer(scope, send, decision)
                return
            scope["auth"], scope["user"] = _credentials(decision)
            send = with_headers(tuple(added), send)
        await self._app(scope, receive, send)


def _credentials(
    principal: AuthenticatedPrincipal | None,
) -> tuple[AuthCredentials, AuthenticatedPrincipal | Nobody]:
    granted = AuthCredentials()
    granted.scopes = _AskedScopes(() if principal is None else ("authenticated", *sorted(principal.scopes)))
    return granted, Nobody() if principal is None else principal


def _lacking(asked: list[str]) -> InsufficientScopeException:
    return InsufficientScopeException("The token does not grant enough", tuple(asked), claim="scope")


def _serving(published: ServiceRoute) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return response_of(published.answer(request.method))

    return serve


async def _refuse(connection: HTTPConnection, refusal: Refusal) -> Response | None:
    if connection.scope["type"] == "websocket":
        await answer(connection.scope, connection._send, refusal)  # type: ignore[attr-defined] # it is a WebSocket
        return None
    return response_of(refusal)


__all__ = ["AccessRefused", "StarletteGuard"]
