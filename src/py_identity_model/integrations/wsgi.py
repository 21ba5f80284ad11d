"""A gate in front of any WSGI application, streams untouched.

>>> from py_identity_model import ResourceServer, TokenValidator
>>> def app(environ, start_response): ...
>>> api = ResourceServer(TokenValidator("https://id.example.com", audience="api"))
>>> app = ResourceServerMiddleware(app, api, exclude=["/public/*"])

The application finds the :class:`~py_identity_model.AuthenticatedPrincipal` by ``principal_of(environ)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Unpack
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from .._resource_server import AnyResourceServer
from ._guard import Demanded, blocking, demanded
from ._once import decide_once
from ._paths import Paths
from ._requests import of_environ
from .routes import Answer, ServiceRoutes

Environment = WSGIEnvironment
Application = WSGIApplication

#: Where the principal is in the environment of a request; None for nobody.
PRINCIPAL = "py_identity_model.principal"


class ResourceServerMiddleware:
    """Let requests with a valid access token pass, and answer the others."""

    def __init__(
        self,
        app: Application,
        api: AnyResourceServer,
        *,
        requirement: Requirement | None = None,
        exclude: Iterable[str] = (),
        optional: bool = False,
        routes: ServiceRoutes | None = None,
        **demands: Unpack[Demanded],
    ) -> None:
        """Put a gate in front of *app*.

        Args:
            app: The application.
            api: Who decides; its validator is one of the blocking API.
            requirement: What each request must bring besides a valid token.
            exclude: Paths that need no token: ``/docs``, or ``/public/*`` for all below.
            optional: Whether requests without any token pass, as nobody.
            routes: Metadata, health and readiness to be answered here; by default ``ServiceRoutes(api)``.
            demands: What each request must bring, by the names of :class:`~py_identity_model.Requirement`.

        Raises:
            ConfigurationException: The validator must be awaited, or a demand could never be met.
        """
        self._app = app
        self._api = blocking(api, "WSGI")
        self._requirement = demanded(requirement, **demands)
        self._excluded = Paths(exclude)
        self._optional = optional
        self._routes = ServiceRoutes(api) if routes is None else routes

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path = path_in(environ)
        made: Answer | None = self._routes.answer(environ["REQUEST_METHOD"], path)
        environ[PRINCIPAL] = None
        if made is None and path not in self._excluded:
            request = of_environ(environ)
            decision = decide_once(self._api, environ, request, self._requirement, optional=self._optional)
            if isinstance(decision, Refusal):
                made = decision
            elif decision is not None:
                environ[PRINCIPAL] = decision
                start_response = _with_headers(decision.headers, start_response)
        return self._app(environ, start_response) if made is None else answer(start_response, made)


def principal_of(environ: Environment) -> AuthenticatedPrincipal | None:
    """Return who a request is from; None for nobody."""
    principal: AuthenticatedPrincipal | None = environ.get(PRINCIPAL)
    return principal


def path_in(environ: Environment) -> str:
    """Return the path of a request below the point where the application is mounted."""
    # PEP 3333: text of bytes, which are UTF-8.
    path: str = environ.get("PATH_INFO") or "/"
    return path.encode("latin-1").decode("utf-8", "replace")


def answer(start_response: StartResponse, made: Answer) -> list[bytes]:
    """Send an answer."""
    headers = list(made.headers)
    if made.body:
        headers.append(("content-length", str(len(made.body))))
    start_response(f"{made.status} {_phrase(made.status)}", headers)
    return [made.body] if made.body else []


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # an answer of the application's own
        return "Unknown"


def _with_headers(added: tuple[tuple[str, str], ...], start_response: StartResponse) -> StartResponse:
    if not added:
        return start_response

    def starting(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        return start_response(status, [*headers, *added], *exc_info)

    return starting


__all__ = ["PRINCIPAL", "ResourceServerMiddleware", "principal_of"]
