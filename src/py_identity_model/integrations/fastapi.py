"""FastAPI: one guard, a dependency of every route that needs a token.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
guard = FastAPIGuard(api)
app = FastAPI(lifespan=guard.lifespan)
app.include_router(guard.routes)

@app.get("/orders")
async def orders(user: Annotated[AuthenticatedPrincipal, Security(guard, scopes=["orders.read"])]): ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any, Unpack

from .._arguments import checks_arguments
from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement, either
from .._resource_server import AnyResourceServer
from ._guard import Demanded, demanded, warm_up
from ._once import decide_once_in_loop
from ._packages import framework_missing
from ._requests import of_scope
from .asgi import POLICY_VIOLATION, encoded
from .routes import METHODS, ServiceRoute, ServiceRoutes, as_published, is_published, joined

try:
    from fastapi import APIRouter, FastAPI
    from fastapi.openapi.models import OAuth2, OAuthFlowAuthorizationCode, OAuthFlows, OpenIdConnect
    from fastapi.openapi.models import SecurityBase as SecurityModel
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
    from starlette.exceptions import HTTPException, WebSocketException
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
except ImportError:
    raise framework_missing("FastAPI", "fastapi") from None


class AccessRefused(HTTPException):
    """A request may not pass. Its answer is ``refusal``; a handler for this class may send another."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, headers=joined(refusal.headers))
        self.refusal = refusal


class FastAPIGuard(SecurityBase):
    """Lets requests with a valid access token into a route; the scopes of ``Security`` are demanded of it."""

    @checks_arguments
    def __init__(
        self,
        api: AnyResourceServer,
        *,
        requirement: Requirement | None = None,
        optional: bool = False,
        scheme_name: str = "access_token",
        **demands: Unpack[Demanded],
    ) -> None:
        """Guard routes.

        Args:
            api: Who decides.
            requirement: What every route demands besides a valid token.
            optional: Whether requests without any token pass; the principal is None then.
            scheme_name: The name of the security scheme in OpenAPI.
            demands: What every route demands, by the names of :class:`~py_identity_model.Requirement`.
        """
        self.api = api
        self.optional = optional
        self.scheme_name = scheme_name
        self._requirement = demanded(requirement, **demands)

    @checks_arguments
    def require(
        self, requirement: Requirement | None = None, *, optional: bool | None = None, **demands: Unpack[Demanded]
    ) -> FastAPIGuard:
        """Return a guard that demands more: ``Depends(guard.require(roles=["auditor"]))``.

        Args:
            requirement: What it demands.
            optional: Whether requests without any token pass; by default as here.
            demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.
        """
        more = either(self._requirement, demanded(requirement, **demands))
        here = self.optional if optional is None else optional
        return FastAPIGuard(self.api, requirement=more, optional=here, scheme_name=self.scheme_name)

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes, response: Response
    ) -> AuthenticatedPrincipal | None:
        """Decide about a request or a WebSocket; FastAPI calls this."""
        if is_published(connection.scope.get("endpoint")):  # of an application whose every route asks this guard
            return None
        scopes = security_scopes.scopes
        requirement = either(self._requirement, Requirement(scopes=scopes) if scopes else None)
        request = of_scope(connection.scope)
        decision = await decide_once_in_loop(self.api, connection.scope, request, requirement, optional=self.optional)
        if isinstance(decision, Refusal):
            raise _refused(connection, decision)
        connection.state.principal = decision
        if decision is not None:
            response.headers.update(dict(decision.headers))
        return decision

    @property
    def model(self) -> SecurityModel:
        """The security scheme in OpenAPI: the authorization code flow, where the provider's metadata can be had."""
        endpoints = self.api.login_endpoints()
        if endpoints is None:
            return OpenIdConnect(openIdConnectUrl=self.api.discovery_url() or "")
        scopes = dict.fromkeys(endpoints.scopes, "")
        flow = OAuthFlowAuthorizationCode(
            authorizationUrl=endpoints.authorization_endpoint, tokenUrl=endpoints.token_endpoint, scopes=scopes
        )
        return OAuth2(flows=OAuthFlows(authorizationCode=flow))

    @model.setter
    def model(self, value: object) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] # it is written late
        raise AttributeError("model")

    @checks_arguments
    def swagger_ui(
        self, client_id: str, *, scopes: str = "openid", **parameters: str
    ) -> dict[str, Any]:  # as it is taken
        """Return what makes the Authorize button of the docs page work: ``FastAPI(swagger_ui_init_oauth=...)``.

        Args:
            client_id: A public client whose redirect URI is ``/docs/oauth2-redirect`` of this application.
            scopes: What the page asks for unless its user chooses others.
            parameters: More of the authorization request: the ``resource`` that the token is for (RFC 8707 2), or
                what a provider wants in its place, as Auth0 an ``audience``.
        """
        made: dict[str, Any] = {"clientId": client_id, "scopes": scopes, "usePkceWithAuthorizationCodeGrant": True}
        return made | ({"additionalQueryStringParams": parameters} if parameters else {})

    @property
    def routes(self) -> APIRouter:
        """Metadata, health and readiness, to be included; :meth:`published` takes settings."""
        return self.published(ServiceRoutes(self.api))

    @checks_arguments
    def published(self, routes: ServiceRoutes) -> APIRouter:
        """Return a router of *routes*."""
        router = APIRouter(include_in_schema=False)

        for each in routes:
            router.add_api_route(each.path, _serving(each), methods=list(METHODS))
        return router

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Fetch the keys while the application starts; it starts in any case: ``FastAPI(lifespan=guard.lifespan)``."""
        warm_up(self.api)
        with self._described_anew(app) if isinstance(app, FastAPI) else nullcontext():
            yield

    @contextmanager
    def _described_anew(self, app: FastAPI) -> Iterator[None]:
        """Have OpenAPI made again for as long as nobody knows where people log in: FastAPI would keep the first."""
        make = app.openapi

        def openapi() -> dict[str, Any]:  # as FastAPI says
            kept = app.openapi_schema is not None or self.api.login_endpoints() is not None
            made = make()
            if not kept:
                app.openapi_schema = None
            return made

        app.openapi = openapi  # type: ignore[method-assign] # as FastAPI's pages say
        yield
        app.openapi = make  # type: ignore[method-assign] # the same application may be started once more


# FastAPI 0.115 cannot find what annotations mean that are text, as all are in this module, of an object's call.
FastAPIGuard.__call__.__annotations__.update(
    connection=HTTPConnection, security_scopes=SecurityScopes, response=Response
)


def _serving(published: ServiceRoute) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        made = published.answer(request.method)
        return Response(made.body, made.status, dict(made.headers))

    return as_published(serve)


def _refused(connection: HTTPConnection, refusal: Refusal) -> Exception:
    websocket = connection.scope["type"] == "websocket"
    if websocket and "websocket.http.response" not in (connection.scope.get("extensions") or {}):
        return WebSocketException(POLICY_VIOLATION)
    # Handlers of the application come first; without one, the answer is sent as it is.
    handlers: tuple[dict[Any, Any], Any] = connection.scope.get("starlette.exception_handlers") or ({}, {})
    handlers[0].setdefault(AccessRefused, _answered)
    return AccessRefused(refusal)


async def _answered(connection: HTTPConnection, error: AccessRefused) -> Response:
    made = error.refusal
    response = Response(made.body, made.status)
    response.raw_headers += encoded(made.headers, connection.scope)
    return response


__all__ = ["AccessRefused", "FastAPIGuard"]
