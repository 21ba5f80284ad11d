"""Flask: a guard with a decorator, for routes, blueprints and whole applications.

api = ResourceServer(TokenValidator("https://id.example.com", audience="https://api.example.com"))
guard = FlaskGuard(api)
guard.init_app(app)

@app.get("/orders")
@guard.protect(scopes=["orders.read"])
def orders(): return current_principal.subject
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, Unpack

from .._arguments import checks_arguments
from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import AnyResourceServer
from ..exceptions import MissingCredentialsException
from ._guard import Demanded, blocking, demanded
from ._once import decide_once, new_headers
from ._packages import framework_missing
from ._paths import Paths
from ._requests import of_environ
from .routes import Answer, ServiceRoute

try:
    from flask import Blueprint, Flask, Response, after_this_request, g, request

    from ._views import ViewGuard, principal_in
except ImportError:
    raise framework_missing("Flask", "flask") from None

F = TypeVar("F", bound=Callable[..., Any])


#: Who the request at hand is from; falsy, and without attributes, where it is from nobody.
current_principal: AuthenticatedPrincipal = principal_in(g)


class FlaskGuard(ViewGuard[Flask, Flask | Blueprint]):
    """Lets requests with a valid access token into a view; its validator is one of the blocking API."""

    @checks_arguments
    def protect(
        self, requirement: Requirement | None = None, *, optional: bool = False, **demands: Unpack[Demanded]
    ) -> Callable[[F], F]:
        """Protect a view, blocking or async.

        Args:
            requirement: What it demands besides a valid token.
            optional: Whether requests without any token pass, as nobody.
            demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: A demand could never be met.
        """
        wanted = demanded(requirement, **demands)

        def protected(view: F) -> F:
            if inspect.iscoroutinefunction(view):

                @wraps(view)
                async def awaiting(*args: Any, **kwargs: Any) -> Any:
                    refused = self._check(wanted, optional)
                    return await view(*args, **kwargs) if refused is None else refused

                return awaiting  # type: ignore[return-value] # it has the signature of *view*

            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                refused = self._check(wanted, optional)
                return view(*args, **kwargs) if refused is None else refused

            return guarded  # type: ignore[return-value] # it has the signature of *view*

        return protected

    def _fit(self, api: AnyResourceServer) -> AnyResourceServer:
        return blocking(api, "Flask")

    def _serving(self, published: ServiceRoute) -> Callable[[], Response]:
        return lambda: _response(published.answer(request.method))

    def _check_before(self, where: Flask | Blueprint, wanted: Requirement | None, optional: bool, free: Paths) -> None:
        def check() -> Response | None:
            return None if request.path in free else self._check(wanted, optional)

        where.before_request(check)

    def _check(self, requirement: Requirement | None, optional: bool) -> Response | None:
        with new_headers(request.environ) as added:
            asked = of_environ(request.environ)
            decision = decide_once(self.api, request.environ, asked, requirement, optional=optional)
        if isinstance(decision, Refusal):
            return _response(decision)
        g.principal = decision
        if added:

            @after_this_request
            def tell(response: Response) -> Response:
                response.headers.extend(added)
                return response

        return None

    def _nobody(self, error: MissingCredentialsException) -> Response:
        refused = self._check(None, optional=False)
        return refused if refused is not None else Response(status=500)


def _response(made: Answer) -> Response:
    return Response(made.body, made.status, list(made.headers))


__all__ = ["FlaskGuard", "current_principal"]
