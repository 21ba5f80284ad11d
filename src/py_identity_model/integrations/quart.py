"""Quart: a guard with a decorator, for routes, blueprints and whole applications, WebSockets too.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
guard = QuartGuard(api)
guard.init_app(app)

@app.get("/orders")
@guard.protect(scopes=["orders.read"])
async def orders(): return {"subject": current_principal.subject}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, Unpack

from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import ResourceServerBase
from ..exceptions import MissingCredentialsException
from ._guard import Demanded, demanded, somebody, warm_up
from ._once import decide_once_in_loop, new_headers
from ._packages import framework_missing
from ._paths import Paths
from ._requests import of_scope
from .routes import Answer, ServiceRoutes

try:
    from quart import Blueprint, Quart, Response, after_this_request, current_app, g, has_websocket_context, websocket
    from quart import request as asked
    from werkzeug.local import LocalProxy
except ImportError:
    raise framework_missing("Quart", "quart") from None

F = TypeVar("F", bound=Callable[..., Any])


def _principal() -> AuthenticatedPrincipal:
    return somebody(g.get("principal"))


#: Who the request or WebSocket at hand is from; falsy, and without attributes, where it is from nobody.
current_principal: AuthenticatedPrincipal = LocalProxy(_principal)  # type: ignore[assignment] # it stands for one


class QuartGuard:
    """Lets requests with a valid access token into a view."""

    def __init__(
        self, api: ResourceServerBase, app: Quart | None = None, *, routes: ServiceRoutes | None = None
    ) -> None:
        """Guard views.

        Args:
            api: Who decides.
            app: The application; or call :meth:`init_app` later.
            routes: Metadata, health and readiness; by default ``ServiceRoutes(api)``.
        """
        self.api = api
        self._routes = ServiceRoutes(api) if routes is None else routes
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Publish metadata, health and readiness, and fetch the keys while the application starts."""
        app.extensions["py_identity_model"] = self
        for path in self._routes.paths:
            endpoint = f"py_identity_model{path}".replace(".", "_").replace("/", "_")
            app.add_url_rule(path, endpoint, self._published, methods=["GET", "HEAD", "OPTIONS"])
        app.register_error_handler(MissingCredentialsException, self._nobody)
        app.before_serving(self._start)

    def protect(
        self, requirement: Requirement | None = None, *, optional: bool = False, **demands: Unpack[Demanded]
    ) -> Callable[[F], F]:
        """Protect a view of a request or a WebSocket, async or not.

        Args:
            requirement: What it demands besides a valid token.
            optional: Whether requests without any token pass, as nobody.
            demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: A demand could never be met.
        """
        wanted = demanded(requirement, **demands)

        def protecting(view: F) -> F:
            @wraps(view)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                refused = await self._check(wanted, optional)
                return await current_app.ensure_async(view)(*args, **kwargs) if refused is None else refused

            return guarded  # type: ignore[return-value] # it has the signature of *view*, awaited

        return protecting

    def protect_all(
        self,
        where: Quart | Blueprint,
        requirement: Requirement | None = None,
        *,
        exclude: Iterable[str] = (),
        optional: bool = False,
        **demands: Unpack[Demanded],
    ) -> None:
        """Protect every view of a blueprint or an application, WebSockets too.

        Args:
            where: The blueprint or application.
            requirement: What each demands besides a valid token.
            exclude: Paths that need no token: ``/docs``, or ``/public/*`` for all below.
            optional: Whether requests without any token pass, as nobody.
            demands: What each demands, by the names of :class:`~py_identity_model.Requirement`.
        """
        wanted = demanded(requirement, **demands)
        free = Paths([*exclude, *self._routes.paths])

        async def check() -> Response | None:
            return None if _asked().path in free else await self._check(wanted, optional)

        where.before_request(check)
        where.before_websocket(check)

    async def _check(self, requirement: Requirement | None, optional: bool) -> Response | None:
        scope: Any = _asked().scope
        with new_headers(scope) as added:
            decision = await decide_once_in_loop(self.api, scope, of_scope(scope), requirement, optional=optional)
        if isinstance(decision, Refusal):
            return _response(decision)
        g.principal = decision
        if added and not has_websocket_context():

            @after_this_request
            async def tell(response: Any) -> Any:
                response.headers.extend(added)
                return response

        return None

    async def _published(self) -> Response:
        made = self._routes.answer(asked.method, asked.path)
        return _response(made) if made is not None else Response("", 404)

    async def _nobody(self, error: MissingCredentialsException) -> Response:
        refused = await self._check(None, optional=False)
        return refused if refused is not None else Response("", 500)

    async def _start(self) -> None:
        warm_up(self.api)


def _asked() -> Any:
    return websocket if has_websocket_context() else asked


def _response(made: Answer) -> Response:
    response = Response(made.body, made.status)
    if not any(name == "content-type" for name, _ in made.headers):
        response.headers.pop("content-type", None)
    for name, value in made.headers:
        response.headers.add(name, value) if name != "content-type" else response.headers.set(name, value)
    return response


__all__ = ["QuartGuard", "current_principal"]
