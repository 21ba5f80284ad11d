"""Litestar: a plugin, and guards for handlers, controllers, routers and applications; the schemes are in OpenAPI.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
guard = LitestarGuard(api)

@get("/orders", **guard.protect(scopes=["orders.read"]))
async def orders(request: Request) -> dict[str, str]: return {"subject": request.user.subject}

app = Litestar([orders], plugins=[guard])
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, TypedDict, Unpack, cast

from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import AnyResourceServer
from ._guard import Demanded, demanded, warm_up
from ._once import decide_once_in_loop, new_headers
from ._packages import framework_missing
from ._requests import of_scope, pairs
from .asgi import POLICY_VIOLATION, ResourceServerMiddleware, Scope, Send, answer
from .routes import METHODS, Answer, ServiceRoute, ServiceRoutes

try:
    from litestar import Request, Response, route
    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection
    from litestar.exceptions import HTTPException, WebSocketException
    from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
    from litestar.middleware import DefineMiddleware
    from litestar.openapi.spec import Components, OAuthFlow, OAuthFlows, SecurityRequirement, SecurityScheme
    from litestar.plugins import InitPluginProtocol
    from litestar.response.base import ASGIResponse
    from litestar.types import ASGIApp, Guard
except ImportError:
    raise framework_missing("Litestar", "litestar") from None

_ADDED = "py_identity_model.headers"
_REFUSED = "py_identity_model.refusal"


class AccessRefused(HTTPException):
    """A request may not pass. Its answer is ``refusal``; a handler for this class may send another."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(detail="The request is refused", status_code=refusal.status)
        self.refusal = refusal


class Protection(TypedDict):
    """What a handler, a controller or a router is told, to be protected and to show it."""

    guards: list[Any]  # Litestar's own type of a guard is unknown in parts
    security: list[SecurityRequirement]


class LitestarGuard(InitPluginProtocol):
    """Lets requests with a valid access token into handlers; ``request.user`` is the principal."""

    def __init__(
        self, api: AnyResourceServer, *, routes: ServiceRoutes | None = None, scheme_name: str = "access_token"
    ) -> None:
        """Guard handlers.

        Args:
            api: Who decides.
            routes: Metadata, health and readiness; by default ``ServiceRoutes(api)``.
            scheme_name: The name of the security scheme in OpenAPI.
        """
        self.api = api
        self._routes = ServiceRoutes(api) if routes is None else routes
        self._scheme_name = scheme_name

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Answer refusals, publish metadata, health, readiness and the scheme; Litestar calls this."""
        app_config.exception_handlers = {
            AccessRefused: lambda _, e: _Exact(e.refusal),
            **app_config.exception_handlers,
        }
        app_config.route_handlers = [*app_config.route_handlers, *map(_serving, self._routes)]
        app_config.on_startup = [*app_config.on_startup, self._start]
        app_config.before_send = [*app_config.before_send, _tell]
        app_config.middleware = [DefineMiddleware(_AnswersWebSockets), *app_config.middleware]
        if app_config.openapi_config is not None:
            # A configuration of its own: Litestar's default is one object for all applications.
            app_config.openapi_config = config = copy(app_config.openapi_config)
            given = config.components if isinstance(config.components, list) else [config.components]
            config.components = [Components(security_schemes={self._scheme_name: _LazyScheme(self)}), *given]
        return app_config

    def protect(
        self, requirement: Requirement | None = None, *, optional: bool = False, **demands: Unpack[Demanded]
    ) -> Protection:
        """Return what protects a handler, controller or router, and shows it: ``@get("/", **guard.protect())``.

        Args:
            requirement: What it demands besides a valid token.
            optional: Whether requests without any token pass, as nobody.
            demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: A demand could never be met.
        """
        wanted = demanded(requirement, **demands)
        needs: list[SecurityRequirement] = [{self._scheme_name: [] if wanted is None else list(wanted.scopes)}]
        return {"guards": [self._guard(wanted, optional)], "security": [*needs, {}] if optional else needs}

    def require(
        self, requirement: Requirement | None = None, *, optional: bool = False, **demands: Unpack[Demanded]
    ) -> Guard:
        """Return the guard alone, of the same arguments: ``Litestar(guards=[guard.require()])``."""
        return self._guard(demanded(requirement, **demands), optional)

    def _guard(self, wanted: Requirement | None, optional: bool) -> Guard:
        async def guarding(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
            if handler.opt.get(_FREE):
                return
            scope: Any = connection.scope
            with new_headers(scope) as added:
                decision = await decide_once_in_loop(self.api, scope, of_scope(scope), wanted, optional=optional)
            if isinstance(decision, Refusal):
                raise _refused(scope, decision)
            scope["user"] = decision
            if added:
                scope[_ADDED] = added

        return guarding

    def middleware(
        self,
        requirement: Requirement | None = None,
        *,
        exclude: Iterable[str] = (),
        optional: bool = False,
        **demands: Unpack[Demanded],
    ) -> DefineMiddleware:
        """Return a middleware in place of guards; it answers WebSockets by HTTP where the server can.

        Args:
            requirement: What each request must bring besides a valid token.
            exclude: Paths that need no token: ``/docs``, or ``/public/*`` for all below.
            optional: Whether requests without any token pass, as nobody.
            demands: What each must bring, by the names of :class:`~py_identity_model.Requirement`.
        """
        return DefineMiddleware(
            cast(Any, _Authenticates),
            api=self.api,
            requirement=demanded(requirement, **demands),
            exclude=(*exclude, *self._routes.paths),
            optional=optional,
            routes=self._routes,
        )

    @property
    def scheme(self) -> SecurityScheme:
        """The security scheme in OpenAPI: the authorization code flow, where the provider's metadata is at hand."""
        endpoints = None if self.api.blocking else self.api.login_endpoints()
        if endpoints is None:
            return SecurityScheme(type="openIdConnect", open_id_connect_url=self.api.discovery_url() or "")
        flow = OAuthFlow(
            authorization_url=endpoints.authorization_endpoint,
            token_url=endpoints.token_endpoint,
            scopes=dict.fromkeys(endpoints.scopes, ""),
        )
        return SecurityScheme(type="oauth2", flows=OAuthFlows(authorization_code=flow))

    async def _start(self) -> None:
        warm_up(self.api)


class _LazyScheme(SecurityScheme):
    """The scheme as it is when somebody first asks for the document: long after the start, which waits for nobody."""

    def __init__(self, guard: LitestarGuard) -> None:
        super().__init__(type="openIdConnect")
        self._guard = guard

    def __deepcopy__(self, memo: object) -> _LazyScheme:
        return self  # Litestar copies its configuration; there is one guard

    def to_schema(self) -> dict[str, Any]:  # as Litestar says
        """Return it for the document."""
        return self._guard.scheme.to_schema()


#: The option of handlers that no guard of ours asks for a token.
_FREE = "py_identity_model.free"


def _serving(published: ServiceRoute) -> HTTPRouteHandler:
    @route(published.path, http_method=METHODS, include_in_schema=False, opt={_FREE: True}, name=published.name)
    async def serve(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _Exact(published.answer(request.method))

    return serve


class _Authenticates(ResourceServerMiddleware):
    def _admitted(self, scope: Scope, send: Send, principal: AuthenticatedPrincipal | None) -> tuple[Scope, Send]:
        scope, send = super()._admitted(scope, send, principal)
        scope["user"] = principal
        return scope, send


class _Exact(Response[bytes]):
    """An answer as it is: Litestar's own keeps one header of each name, and adds a type to a body that is empty."""

    def __init__(self, made: Answer) -> None:
        super().__init__(made.body, status_code=made.status)
        self._made = made

    def to_asgi_response(self, app: Any, request: Any, **_: Any) -> ASGIResponse:
        """Return it for the server."""
        made = self._made
        response = ASGIResponse(body=made.body, status_code=made.status, headers=list(made.headers))
        if not made.body:
            response.headers.pop("content-type", None)
        return response


def _refused(scope: Any, refusal: Refusal) -> Exception:
    if scope["type"] == "websocket":  # a guard cannot but close it; the middleware of the plugin answers instead
        scope[_REFUSED] = refusal
        return WebSocketException(detail="The request is refused", code=POLICY_VIOLATION)
    return AccessRefused(refusal)


class _AnswersWebSockets:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            refusal = scope.pop(_REFUSED, None) if message["type"] == "websocket.close" else None
            await (send(message) if refusal is None else answer(scope, send, refusal))

        await self._app(scope, receive, sending if scope["type"] == "websocket" else send)


async def _tell(message: Any, scope: Any) -> None:
    if scope.get(_ADDED) and message["type"] in ("http.response.start", "websocket.accept"):
        message["headers"] = [*message.get("headers", ()), *pairs(scope[_ADDED])]


__all__ = ["AccessRefused", "LitestarGuard"]
