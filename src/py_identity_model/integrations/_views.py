"""What the guards of Flask and Quart have in common, whose applications are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar, Unpack, cast

from werkzeug.local import LocalProxy

from .._arguments import checks_arguments
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import AnyResourceServer
from ..exceptions import MissingCredentialsException
from ._guard import Demanded, demanded, somebody
from ._paths import Paths
from .routes import METHODS, ServiceRoute, ServiceRoutes


class Context(Protocol):
    """What is kept for a request: ``flask.g`` and ``quart.g``."""

    def get(self, name: str, /) -> AuthenticatedPrincipal | None:
        """Return what was kept under *name*, or None."""


class Application(Protocol):
    """What a guard wants of an application."""

    extensions: dict[str, Any]  # as the frameworks say, and whatever an extension keeps there

    @property
    def add_url_rule(self) -> Callable[..., None]:
        """Add a route."""
        raise NotImplementedError  # a protocol

    @property
    def register_error_handler(self) -> Callable[..., None]:
        """Add a handler of exceptions."""
        raise NotImplementedError  # a protocol


A = TypeVar("A", bound=Application)
#: An application or a blueprint.
W = TypeVar("W")


class ViewGuard(Generic[A, W]):
    """Lets requests with a valid access token into views."""

    @checks_arguments
    def __init__(self, api: AnyResourceServer, app: A | None = None, *, routes: ServiceRoutes | None = None) -> None:
        """Guard views.

        Args:
            api: Who decides.
            app: The application; or call :meth:`init_app` later.
            routes: Metadata, health and readiness; by default ``ServiceRoutes(api)``.

        Raises:
            ConfigurationException: The framework has no event loop, and the validator must be awaited.
        """
        self.api: AnyResourceServer = self._fit(api)
        self._routes = ServiceRoutes(api) if routes is None else routes
        if app is not None:
            self.init_app(app)

    @checks_arguments
    def init_app(self, app: A) -> None:
        """Publish metadata, health and readiness, and answer :class:`MissingCredentialsException` of views."""
        app.extensions["py_identity_model"] = self
        for each in self._routes:
            app.add_url_rule(each.path, each.name, self._serving(each), methods=list(METHODS))
        app.register_error_handler(MissingCredentialsException, self._nobody)

    @checks_arguments
    def protect_all(
        self,
        where: W,
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
        self._check_before(where, demanded(requirement, **demands), optional, Paths([*exclude, *self._routes.paths]))

    # ---- what each framework does in its own way

    def _fit(self, api: AnyResourceServer) -> AnyResourceServer:
        return api

    def _serving(self, published: ServiceRoute) -> Callable[[], object]:
        raise NotImplementedError  # each framework's own

    def _nobody(self, error: MissingCredentialsException) -> object:
        raise NotImplementedError  # each framework's own

    def _check_before(self, where: W, wanted: Requirement | None, optional: bool, free: Paths) -> None:
        raise NotImplementedError  # each framework's own


def principal_in(context: Context) -> AuthenticatedPrincipal:
    """Return what stands for the principal of the request at hand; falsy, and without attributes, for nobody."""
    return cast(AuthenticatedPrincipal, LocalProxy(lambda: somebody(context.get("principal"))))


__all__ = ["ViewGuard", "principal_in"]
