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
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, Unpack

from .._arguments import checks_arguments
from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import ResourceServerBase
from ..exceptions import MissingCredentialsException
from ._guard import Demanded, blocking, demanded, somebody
from ._once import decide_once, new_headers
from ._packages import framework_missing
from ._paths import Paths
from ._requests import of_environ
from .routes import Answer, ServiceRoutes

try:
    from flask import Blueprint, Flask, Response, after_this_request, g, request
    from werkzeug.local import LocalProxy
except ImportError:
    raise framework_missing("Flask", "flask") from None

F = TypeVar("F", bound=Callable[..., Any])


def _principal() -> AuthenticatedPrincipal:
    return somebody(g.get("principal"))


#: Who the request at hand is from; falsy, and without attributes, where it is from nobody.
current_principal: AuthenticatedPrincipal = LocalProxy(_principal)  # type: ignore[assignment] # it stands for one


class FlaskGuard:
    """Lets requests with a valid access token into a view."""

    @checks_arguments
    def __init__(
        self, api: ResourceServerBase, app: Flask | None = None, *, routes: ServiceRoutes | None = None
    ) -> None:
        """Guard views.

        Args:
            api: Who decides; its validator is one of the blocking API.
            app: The application; or call :meth:`init_app` later.
            routes: Metadata, health and readiness; by default ``ServiceRoutes(api)``.

        Raises:
            ConfigurationException: The validator must be awaited.
        """
        self.api: ResourceServerBase = blocking(api, "Flask")
        self._routes = ServiceRoutes(api) if routes is None else routes
        if app is not None:
            self.init_app(app)

    @checks_arguments
    def init_app(self, app: Flask) -> None:
        """Publish metadata, health and readiness, and answer :class:`MissingCredentialsException` of views."""
        app.extensions["py_identity_model"] = self
        for path in self._routes.paths:
            endpoint = f"py_identity_model{path}".replace(".", "_").replace("/", "_")
            app.add_url_rule(path, endpoint, self._published, methods=["GET", "HEAD", "OPTIONS"])
        app.register_error_handler(MissingCredentialsException, self._nobody)

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

    @checks_arguments
    def protect_all(
        self,
        where: Flask | Blueprint,
        requirement: Requirement | None = None,
        *,
        exclude: Iterable[str] = (),
        optional: bool = False,
        **demands: Unpack[Demanded],
    ) -> None:
        """Protect every view of a blueprint or an application.

        Args:
            where: The blueprint or application.
            requirement: What each demands besides a valid token.
            exclude: Paths that need no token: ``/docs``, or ``/public/*`` for all below.
            optional: Whether requests without any token pass, as nobody.
            demands: What each demands, by the names of :class:`~py_identity_model.Requirement`.
        """
        wanted = demanded(requirement, **demands)
        free = Paths([*exclude, *self._routes.paths])

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

    def _published(self) -> Response:
        made = self._routes.answer(request.method, request.path)
        return _response(made) if made is not None else Response(status=404)

    def _nobody(self, error: MissingCredentialsException) -> Response:
        refused = self._check(None, optional=False)
        return refused if refused is not None else Response(status=500)


def _response(made: Answer) -> Response:
    return Response(made.body, made.status, list(made.headers))


__all__ = ["FlaskGuard", "current_principal"]
