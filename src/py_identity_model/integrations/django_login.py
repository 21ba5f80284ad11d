"""Django: people log in, and ``request.login_session`` says who they are.

PY_IDENTITY_MODEL_LOGIN = "shop.login.login"  # in the settings: where your WebLogin is
MIDDLEWARE = [..., "py_identity_model.integrations.django_login.LoginMiddleware"]  # after Django's own of users
urlpatterns = [path("", include("py_identity_model.integrations.django_login")), ...]

@require()
def account(request): return JsonResponse({"subject": request.login_session.subject})

Nothing of it needs ``django.contrib.sessions``. For users of the database see
:mod:`~py_identity_model.integrations.django_login_users`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any, TypeVar, cast

from .._core.base.scopes import Scopes
from .._core.web_login.messages import MAX_FORM
from .._core.web_login.visits import demand
from ..sync._clients import HTTPClient
from ._django_login import asession_of as asession_of
from ._django_login import bare_request, find, find_in_loop, in_thread, tell
from ._django_login import response_of as response_of
from ._django_login import session_of as session_of
from ._django_login import web_login as web_login
from ._django_proxy import proxy_pattern
from ._packages import framework_missing
from ._web_login import LoginRefused, answered
from ._web_proxy_blocking import BlockingProxy

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.apps import apps
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from django.urls import URLPattern, re_path
    from django.utils.functional import SimpleLazyObject
except ImportError:
    raise framework_missing("Django", "django") from None

#: What ``on_login`` of Django's users returns: their key in the database, under this name.
USER = "django_user"
V = TypeVar("V", bound=Callable[..., Any])


# ---- views


def require(
    *, acr: str | Iterable[str] | None = None, max_age: int | None = None, csrf: bool = True
) -> Callable[[V], V]:
    """Let only users who are logged in come to a view, blocking or async; others are sent to the login.

    Args:
        acr: Authentication context classes, any one of which will do.
        max_age: Seconds since the user authenticated, at most.
        csrf: Whether requests that change something must show that a page of ours sent them, where Django's own
            CSRF middleware has not checked that.

    Raises:
        ConfigurationException: The demands could never be met.
    """
    wanted = demand(acr, max_age, csrf=csrf)

    def requiring(view: V) -> V:
        if iscoroutinefunction(view):

            @wraps(view)
            async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                try:
                    await find_in_loop(request, wanted)
                except LoginRefused as refusal:
                    return response_of(refusal.answer)
                return tell(request, await view(request, *args, **kwargs))

            return cast(V, _open_to_all(awaited))

        @wraps(view)
        def called(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                find(request, wanted)
            except LoginRefused as refusal:
                return response_of(refusal.answer)
            return tell(request, view(request, *args, **kwargs))

        return cast(V, _open_to_all(called))

    return requiring


class RequireMixin:
    """Lets only users who are logged in come to a class-based view: ``class Account(RequireMixin, View)``.

    Attributes:
        acr: Authentication context classes, any one of which will do.
        max_age: Seconds since the user authenticated, at most.
    """

    acr: str | Iterable[str] | None = None
    max_age: int | None = None

    @classmethod
    def as_view(cls, **initkwargs: object) -> Callable[..., HttpResponseBase]:
        """Return the view function."""
        parent: Any = super()
        given: dict[str, Any] = {"acr": cls.acr, "max_age": cls.max_age, **initkwargs}
        view: Callable[..., HttpResponseBase] = parent.as_view(**initkwargs)
        return require(acr=given["acr"], max_age=given["max_age"])(view)


def _open_to_all(view: Any) -> Any:
    view.login_required = False  # of LoginRequiredMiddleware: the view asks itself
    return view


class LoginMiddleware:
    """Puts ``request.login_session`` on every request, found when it is asked for, and ``request.user`` of its user.

    Requests without a session keep the user that Django's ``AuthenticationMiddleware`` gave them; place this after it.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        """Take the next handler, blocking or async.

        Raises:
            ConfigurationException: The settings name no ``WebLogin``, or one that must be awaited.
        """
        self.get_response: Callable[[HttpRequest], Any] = get_response  # blocking or async, as _awaits tells
        self._awaits: bool = iscoroutinefunction(get_response)
        if self._awaits:
            markcoroutinefunction(self)
        web_login()

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        held: Any = request
        held.login_session = SimpleLazyObject(lambda: session_of(request))
        if apps.is_installed("django.contrib.auth"):
            user = partial(_user_of, request, getattr(request, "user", None))
            held.user, held.auser = SimpleLazyObject(user), partial(in_thread, user)
        return self._respond(request) if self._awaits else tell(request, self.get_response(request))

    async def _respond(self, request: HttpRequest) -> Any:
        return tell(request, await self.get_response(request))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a view that found no session when it asked for one."""
        return response_of(exception.answer) if isinstance(exception, LoginRefused) else None


def _user_of(request: HttpRequest, before: Any) -> Any:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import AnonymousUser

    session = session_of(request)
    if session is None:
        return AnonymousUser() if before is None else before
    key = session.user.get(USER) if isinstance(session.user, dict) else None
    user = None if key is None else get_user_model()._default_manager.filter(pk=key).first()
    return user if user is not None and user.is_active else AnonymousUser()


# ---- the routes of the login, and of pages that call an API


def proxy(
    prefix: str,
    *,
    to: str,
    scopes: Scopes | None = None,
    resource: str | Sequence[str] | None = None,
    allow_insecure_http: bool = False,
    http_client: HTTPClient | None = None,
) -> URLPattern:
    """Return the URL pattern by which pages call an API: ``urlpatterns = [proxy("/api", to=...), ...]``, at the root.

    Every request must bring the header ``X-CSRF: 1``. Bodies and server-sent events are streamed, and each takes a
    thread of the server while it lasts. A WebSocket is answered with 501: Django has none.

    Args:
        prefix: The path below which requests are for the API: ``/api``.
        to: The address of the API.
        scopes: The scopes of its tokens; those of the login if None.
        resource: What its tokens are for (RFC 8707).
        allow_insecure_http: Whether the API may be http on another machine than this one.
        http_client: A client for the API; by default one with connections for it alone.

    Raises:
        ConfigurationException: The arguments cannot be used safely, or the settings name no ``WebLogin``.
    """
    login = web_login()
    rule = login._proxy(prefix, to=to, scopes=scopes, resource=resource, allow_insecure_http=allow_insecure_http)
    return proxy_pattern(BlockingProxy(login, rule, http_client))


def serve(request: HttpRequest) -> HttpResponse:
    """Answer a request to a route of the login."""
    body = b"" if request.method in ("GET", "HEAD") else request.read(MAX_FORM + 1)
    if len(body) > MAX_FORM:
        return HttpResponse(status=413)
    return response_of(answered(web_login(), bare_request(request, body)))


serve.csrf_exempt = True  # type: ignore[attr-defined] # the login checks its own forms
_open_to_all(serve)


def __getattr__(name: str) -> Any:
    if name != "urlpatterns":  # of path("", include("py_identity_model.integrations.django_login"))
        raise AttributeError(name)
    names = {path: "oidc_" + path[1:].replace("/", "_") for path in web_login().routes}
    return [re_path(rf"^{re.escape(path[1:])}\Z", serve, name=name) for path, name in names.items()]


__all__ = [
    "LoginMiddleware",
    "RequireMixin",
    "proxy",
    "require",
    "serve",
]
