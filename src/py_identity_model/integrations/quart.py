"""Quart: a guard with a decorator, for routes, blueprints and whole applications, WebSockets too.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
guard = QuartGuard(api)
guard.init_app(app)

@app.get("/orders")
@guard.protect(scopes=["orders.read"])
async def orders(): return {"subject": current_principal.subject}
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar, Unpack

from .._arguments import checks_arguments
from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from ..exceptions import MissingCredentialsException
from ._guard import Demanded, demanded, warm_up
from ._once import decide_once_in_loop, new_headers
from ._packages import framework_missing
from ._paths import Paths
from ._requests import of_scope
from .routes import Answer, ServiceRoute, joined

try:
    from quart import Blueprint, Quart, Response, after_this_request, current_app, g, has_websocket_context, websocket
    from quart import request as asked

    from ._views import ViewGuard, principal_in
except ImportError:
    raise framework_missing("Quart", "quart") from None

F = TypeVar("F", bound=Callable[..., Any])


#: Who the request or WebSocket at hand is from; falsy, and without attributes, where it is from nobody.
current_principal: AuthenticatedPrincipal = principal_in(g)


class QuartGuard(ViewGuard[Quart, Quart | Blueprint]):
    """Lets requests with a valid access token into a view."""

    @checks_arguments
    def init_app(self, app: Quart) -> None:
        """Do what the guard of Flask does, and fetch the keys while the application starts."""
        super().init_app(app)
        app.before_serving(self._start)

    @checks_arguments
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

    def _serving(self, published: ServiceRoute) -> Callable[[], Awaitable[Response]]:
        async def serve() -> Response:
            return _response(published.answer(asked.method))

        return serve

    def _check_before(self, where: Quart | Blueprint, wanted: Requirement | None, optional: bool, free: Paths) -> None:
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
    # As in front of any ASGI application, a WebSocket is answered with one header of each name.
    for name, value in joined(made.headers).items() if has_websocket_context() else made.headers:
        response.headers.add(name, value) if name != "content-type" else response.headers.set(name, value)
    return response


__all__ = ["QuartGuard", "current_principal"]
