"""The sessions of Django's requests: which web login the settings name, and whose a request is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from .._core.web_login.csrf import FIELD
from .._core.web_login.messages import Headers, WebAnswer, WebRequest
from .._core.web_login.session import SessionBase
from .._core.web_login.visits import Demand
from ..exceptions import ConfigurationException
from ..sync._web_login import Session
from ._packages import framework_missing
from ._web_login import AnyLogin, Fields, blocking_login, demanded, demanded_in_loop, page_headers

try:
    from asgiref.sync import sync_to_async
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.utils.module_loading import import_string
except ImportError:
    raise framework_missing("Django", "django") from None

NAME = "PY_IDENTITY_MODEL_LOGIN"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def web_login() -> AnyLogin:
    """Return the ``WebLogin`` that the settings name.

    Raises:
        ConfigurationException: They name none, or one that must be awaited.
    """
    try:
        found = import_string(getattr(settings, NAME, ""))
    except ImportError as error:
        raise ConfigurationException(
            f"{NAME} names nothing that can be imported", claim=NAME, expected="the dotted path of a WebLogin"
        ) from error
    return blocking_login(found, "Django under WSGI")


# ---- sessions of requests


def session_of(request: HttpRequest) -> Session | None:
    """Return who is logged in, found once; None for nobody.

    Raises:
        LoginRefused: The store is away, or another site sent the request; the middleware answers it.
    """
    if not hasattr(request, "_login_session"):
        return find(request, Demand(), optional=True)
    known: Session | None = vars(request)["_login_session"]
    return known


def find(request: HttpRequest, wanted: Demand, *, optional: bool = False) -> Session | None:
    """Return the session of a request, and keep it there; None for nobody where that is enough.

    Raises:
        LoginRefused: There is none that is enough.
    """
    return _noted(request, demanded(web_login(), request_of(request), _for(request, wanted), optional=optional))


async def asession_of(request: HttpRequest) -> Session | None:
    """Do what :func:`session_of` does, for a view in an event loop.

    Raises:
        LoginRefused: The store is away, or another site sent the request; the middleware answers it.
    """
    return cast("Session | None", await in_thread(lambda: session_of(request)))


async def in_thread(function: Callable[[], Any]) -> Any:
    """Call what blocks where Django has such calls made."""
    return await sync_to_async(function)()


async def find_in_loop(request: HttpRequest, wanted: Demand) -> Session | None:
    """Do what :func:`find` does, in an event loop.

    Raises:
        LoginRefused: There is none that is enough.
    """
    return _noted(request, await demanded_in_loop(web_login(), request_of(request), _for(request, wanted)))


def _for(request: HttpRequest, wanted: Demand) -> Demand:
    """Return what is still to be demanded: what Django's CSRF middleware has checked is not checked again."""
    return wanted._replace(csrf=False) if getattr(request, "csrf_processing_done", False) else wanted


def _noted(request: HttpRequest, session: SessionBase | None) -> Session | None:
    vars(request).update(_login_session=session, login_session=session)
    return cast("Session | None", session)  # the login blocks, as was seen to


def request_of(request: HttpRequest) -> WebRequest:
    """Return a request as a value; of its body only a form is read, which views find as always."""
    bare = bare_request(request)
    checked = getattr(request, "csrf_processing_done", False) or bare.header("x-csrf-token") or bare.header("x-csrf")
    if bare.is_safe or checked or request.content_type not in _FORMS:
        return bare
    pairs = tuple((name, value) for name, values in request.POST.lists() for value in values)
    return bare_request(request, fields=pairs)


def bare_request(request: HttpRequest, body: bytes = b"", fields: Fields | None = None) -> WebRequest:
    """Return a request as a value, with this body."""
    query, headers = request.META.get("QUERY_STRING", ""), tuple(dict(cast(Any, request).headers).items())
    return WebRequest(str(request.method), request.path_info, query, headers, body, fields)


def logout_of(request: HttpRequest) -> WebRequest:
    """Return the request that logs out who is logged in; who calls this has seen that a page of ours asks for it."""
    session, login = session_of(request), web_login()
    fields = () if session is None else ((FIELD, session.csrf_token),)
    made = bare_request(request, fields=fields)
    return WebRequest("POST", login._parts.paths.logout, "", made.headers, fields=fields)


# ---- answers


def tell(request: HttpRequest, response: Any) -> Any:
    """Add the headers of the session to a response."""
    session: Session | None = getattr(request, "_login_session", None)
    return response if session is None else _added(response, page_headers(session, response.headers))


def response_of(made: WebAnswer) -> HttpResponse:
    """Return an answer as a response of Django."""
    response = HttpResponse(made.body, status=made.status)
    del response["content-type"]
    return _added(response, made.headers)


def _added(response: Any, headers: Headers) -> Any:
    for name, value in headers:
        if name == "set-cookie":
            response.cookies.load(value)
        else:
            response[name] = value
    return response


__all__ = [
    "asession_of",
    "bare_request",
    "find",
    "find_in_loop",
    "in_thread",
    "logout_of",
    "response_of",
    "session_of",
    "tell",
    "web_login",
]
