"""What the doors of a web login share: requests as servers hand them over, in either colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from .._core.web_login.messages import WEBSOCKET, Headers, WebAnswer, WebRequest
from .._core.web_login.session import SessionBase
from .._core.web_login.visits import Demand
from .._core.web_login.web_login import WebLoginBase
from .._offload import in_worker
from .._refusals import must_be
from ..aio._driver import run as run_in_loop
from ..exceptions import ConfigurationException
from ..sync._driver import run
from ._requests import Connection, Environment
from .asgi import path_in

#: A web login of either API.
AnyLogin: TypeAlias = WebLoginBase[Any, Any]  # sessions that await, and such as do not
Fields: TypeAlias = tuple[tuple[str, str], ...]
#: Header fields that WSGI names in another way than all others (PEP 3333).
_OF_BODIES = ("CONTENT_TYPE", "CONTENT_LENGTH")


class LoginRefused(Exception):  # the answer for a request without a session; doors turn it into their frameworks' own
    """A request has no session that is enough; ``answer`` is what to send."""

    def __init__(self, answer: WebAnswer) -> None:
        super().__init__("The request has no session that is enough")
        self.answer = answer


def page_headers(session: SessionBase, said: Iterable[str]) -> Headers:
    """Return what a session adds to a page: its cookies, and that nothing keeps the page for whoever comes next.

    Args:
        session: The session.
        said: Names of the header fields that the page has; one that says how it is kept is kept so.
    """
    kept = any(name.lower() == "cache-control" for name in said)
    return session.headers if kept else (*session.headers, ("cache-control", "no-store"))


def request_of_scope(scope: Connection, body: bytes = b"", fields: Fields | None = None) -> WebRequest:
    """Return the request of an ASGI connection, HTTP or WebSocket.

    Args:
        scope: The connection.
        body: Its body.
        fields: The fields of its form, where the framework has read the body.
    """
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    method = WEBSOCKET if scope["type"] == "websocket" else str(scope["method"])
    return WebRequest(method, path_in(scope), scope.get("query_string", b"").decode("latin-1"), headers, body, fields)


def request_of_environ(environ: Environment, body: bytes = b"", fields: Fields | None = None) -> WebRequest:
    """Return the request of a WSGI environment.

    Args:
        environ: The environment.
        body: The body.
        fields: The fields of its form, where the framework has read the body.
    """
    headers = [(name[5:].replace("_", "-").lower(), str(v)) for name, v in environ.items() if name.startswith("HTTP_")]
    headers += [(name.lower().replace("_", "-"), environ[name]) for name in _OF_BODIES if environ.get(name)]
    path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace") or "/"
    return WebRequest(
        environ.get("REQUEST_METHOD", "GET"), path, environ.get("QUERY_STRING", ""), tuple(headers), body, fields
    )


# ---------------------------------------------------------------------------------------------------------------------
# In either colour


def check_login(login: object) -> AnyLogin:
    """Return *login*.

    Raises:
        ConfigurationException: It is no ``WebLogin``.
    """
    if not isinstance(login, WebLoginBase):
        raise must_be("login", "a WebLogin", type(login).__name__)
    return login


def blocking_login(login: object, door: str) -> AnyLogin:
    """Return *login* for a door that has no event loop.

    Raises:
        ConfigurationException: It is none, or one that must be awaited.
    """
    checked = check_login(login)
    if not checked.blocking:
        raise ConfigurationException(
            f"{door} has no event loop, and this WebLogin must be awaited",
            code="awaitable_refused",
            claim="login",
            expected="py_identity_model.WebLogin",
            hint="import WebLogin from py_identity_model, not from py_identity_model.aio",
        )
    return checked


def answered(login: AnyLogin, request: WebRequest) -> WebAnswer:
    """Answer a request to a route of the login, blocking."""
    return run(login._answer(request), login._http_client)


async def answered_in_loop(login: AnyLogin, request: WebRequest) -> WebAnswer:
    """Answer a request to a route of the login, in an event loop."""
    if login.blocking:
        return await in_worker(lambda: answered(login, request))
    return await run_in_loop(login._answer(request), login._http_client)


def demanded(login: AnyLogin, request: WebRequest, wanted: Demand, *, optional: bool = False) -> SessionBase | None:
    """Return the session of a request, blocking; None for nobody where that is enough.

    Raises:
        LoginRefused: There is none that is enough.
    """
    if optional and _comes_alone(login, request):
        return None
    return _or_refused(run(login._decide(request, wanted), login._http_client), optional=optional)


async def demanded_in_loop(
    login: AnyLogin, request: WebRequest, wanted: Demand, *, optional: bool = False
) -> SessionBase | None:
    """Return the session of a request in an event loop; None for nobody where that is enough.

    Raises:
        LoginRefused: There is none that is enough.
    """
    if login.blocking:
        return await in_worker(lambda: demanded(login, request, wanted, optional=optional))
    if optional and _comes_alone(login, request):
        return None
    return _or_refused(await run_in_loop(login._decide(request, wanted), login._http_client), optional=optional)


def _comes_alone(login: AnyLogin, request: WebRequest) -> bool:
    return not any(login._parts.sessions.cleared(request))


def _or_refused(found: SessionBase | WebAnswer, *, optional: bool) -> SessionBase | None:
    if not isinstance(found, WebAnswer):
        return found
    # Nobody is somebody's absence; a store that is away, and what another site sent, are something else.
    if optional and found.status in (303, 401):
        return None
    raise LoginRefused(found)


__all__ = [
    "AnyLogin",
    "Fields",
    "LoginRefused",
    "answered",
    "answered_in_loop",
    "blocking_login",
    "check_login",
    "demanded",
    "demanded_in_loop",
    "page_headers",
    "request_of_environ",
    "request_of_scope",
]
