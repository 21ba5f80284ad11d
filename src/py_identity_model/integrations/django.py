"""Django: a decorator, a mixin and a middleware; ``PY_IDENTITY_MODEL`` in the settings says who decides.

INSTALLED_APPS = [..., "py_identity_model.integrations.django"]  # for manage.py check
MIDDLEWARE = ["py_identity_model.integrations.django.PrincipalMiddleware", ...]
PY_IDENTITY_MODEL = {"ISSUER": "https://id.example.com", "AUDIENCE": "https://api.example.com"}

@protect(scopes=["orders.read"])
def orders(request): return JsonResponse({"subject": request.principal.subject})

Keys that are not there are read from the environment, as ``OIDC_ISSUER`` and so on. ``RESOURCE_SERVER`` names a
:class:`~py_identity_model.ResourceServer` of your own instead.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, TypeVar, Unpack

from .._config import ConfigError
from .._core.binding.challenges import Refusal
from .._core.resource.requirement import Requirement, either
from .._refusals import must_be
from . import _django_checks
from ._django_gate import DECIDES, GateResponse, decide_about, decide_about_in_loop, told
from ._django_settings import door
from ._guard import Demanded, demanded
from ._packages import framework_missing

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.core import checks
    from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
    from django.http.response import HttpResponseBase
    from django.urls import URLPattern, URLResolver, re_path
    from django.views.generic import View
except ImportError:
    raise framework_missing("Django", "django") from None

_AS = {"HEAD": "GET"}
Endpoint = Callable[..., object]
#: The next handler, blocking or async.
GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
V = TypeVar("V", bound=Callable[..., Any])


def protect(
    requirement: Requirement | None = None, *, optional: bool = False, **demands: Unpack[Demanded]
) -> Callable[[V], V]:
    """Protect a view, blocking or async; it finds who the request is from in ``request.principal``.

    Where a token is demanded, no other login is: the view is exempt from CSRF checks and from
    ``LoginRequiredMiddleware``.

    Args:
        requirement: What it demands besides a valid token.
        optional: Whether requests without any token pass, as nobody.
        demands: What it demands, by the names of :class:`~py_identity_model.Requirement`.

    Raises:
        ConfigurationException: A demand could never be met.
    """
    wanted = demanded(requirement, **demands)

    def protected(view: V) -> V:
        if iscoroutinefunction(view):

            @wraps(view)
            async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                refused = await _check_in_loop(request, wanted, optional)
                return told(request, await view(request, *args, **kwargs)) if refused is None else refused

            made: Any = awaited
        else:

            @wraps(view)
            def called(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                refused = _check(request, wanted, optional)
                return told(request, view(request, *args, **kwargs)) if refused is None else refused

            made = called
        marked: V = _marked(made, optional)
        return marked

    return protected


class ProtectMixin:
    """Protects a class-based view, blocking or async: ``class Orders(ProtectMixin, View)``.

    Attributes:
        requirement: What it demands besides a valid token.
        requirements: What single methods demand besides: ``{"POST": Requirement(scopes=["orders.write"])}``; HEAD is
            as GET.
        optional: Whether requests without any token pass, as nobody.
    """

    requirement: Requirement | None = None
    requirements: Mapping[str, Requirement] = MappingProxyType({})
    optional: bool = False

    def __init_subclass__(cls, **options: object) -> None:
        """Refuse bases among which Django's view comes first: the gate would never be asked.

        Raises:
            ConfigurationException: ``class Orders(View, ProtectMixin)``.
        """
        super().__init_subclass__(**options)
        order = cls.__mro__
        if View in order and order.index(View) < order.index(ProtectMixin):
            named = ", ".join(base.__name__ for base in cls.__bases__)
            raise must_be("bases", "ProtectMixin before View, as in class Orders(ProtectMixin, View)", named)

    @classmethod
    def as_view(cls, **initkwargs: object) -> Callable[..., HttpResponseBase]:
        """Return the view function.

        Raises:
            ConfigurationException: ``requirements`` names something else than methods, in capitals.
        """
        parent: Any = super()
        named: Any = initkwargs.get("requirements", cls.requirements)
        for method in named:
            if method.lower() not in parent.http_method_names or not method.isupper():
                raise must_be("requirements", "requirements by method, such as POST", method)
        view: Callable[..., HttpResponseBase] = parent.as_view(**initkwargs)
        return _marked(view, bool(initkwargs.get("optional", cls.optional)))

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Ask the gate first; as Django's own, it returns what must be awaited where the view is async."""
        if getattr(self, "view_is_async", False):
            return self._dispatch_in_loop(request, *args, **kwargs)  # pyright: ignore[reportReturnType] # as Django's
        refused = _check(request, self._wanted(request), self.optional)
        parent: Any = super()
        return told(request, parent.dispatch(request, *args, **kwargs)) if refused is None else refused

    async def _dispatch_in_loop(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        refused = await _check_in_loop(request, self._wanted(request), self.optional)
        if refused is not None:
            return refused
        parent: Any = super()
        made = parent.dispatch(request, *args, **kwargs)
        return told(request, await made if inspect.isawaitable(made) else made)

    def _wanted(self, request: HttpRequest) -> Requirement | None:
        method = str(request.method)
        method = method if method in self.requirements else _AS.get(method, method)
        return either(self.requirement, self.requirements.get(method))


class PrincipalMiddleware:
    """Puts ``request.principal`` on every request: who it is from, or None for nobody.

    A token that is not valid is refused everywhere but at paths of ``EXCLUDE``. With ``PROTECT_ALL`` a request without
    one is, too. Views that ask the gate themselves are left to it. Place it before Django's CSRF middleware.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        """Take the next handler, blocking or async.

        Raises:
            ConfigError: The settings are not usable; ``issues`` has all that is wrong.
        """
        self.get_response: Callable[[HttpRequest], Any] = get_response  # blocking or async, as _awaits tells
        self._awaits: bool = iscoroutinefunction(get_response)
        self.process_view: Callable[..., Any] = self._process_view_in_loop if self._awaits else self._process_view
        if self._awaits:
            markcoroutinefunction(self)
        door()

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        request.principal = None  # pyright: ignore[reportAttributeAccessIssue] # as Django does with users
        return self._respond(request) if self._awaits else told(request, self.get_response(request))

    async def _respond(self, request: HttpRequest) -> HttpResponseBase:
        return told(request, await self.get_response(request))

    def _process_view(self, request: HttpRequest, view: Endpoint, args: object, kwargs: object) -> HttpResponse | None:
        return None if _decides(request, view) else _check(request, None, not door().protect_all)

    async def _process_view_in_loop(
        self, request: HttpRequest, view: Endpoint, args: object, kwargs: object
    ) -> HttpResponse | None:
        return None if _decides(request, view) else await _check_in_loop(request, None, not door().protect_all)


def _check(request: HttpRequest, requirement: Requirement | None, optional: bool) -> HttpResponse | None:
    decision = decide_about(request, requirement, optional=optional)
    return GateResponse(decision) if isinstance(decision, Refusal) else None


async def _check_in_loop(request: HttpRequest, requirement: Requirement | None, optional: bool) -> HttpResponse | None:
    decision = await decide_about_in_loop(request, requirement, optional=optional)
    return GateResponse(decision) if isinstance(decision, Refusal) else None


def _marked(view: V, optional: bool) -> V:
    made: Any = view  # functions take attributes, as Django's own decorators know
    setattr(made, DECIDES, True)
    made.login_required = False
    if not optional:  # nobody comes in by a cookie
        made.csrf_exempt = True
    return view


def _decides(request: HttpRequest, view: Endpoint) -> bool:
    """Tell whether a view asks the gate itself, or needs no token; those of REST framework say it by their classes."""
    if getattr(view, DECIDES, False) or request.path_info in door().excluded:
        return True
    classes = getattr(getattr(view, "cls", None), "authentication_classes", ())
    return any(getattr(each, DECIDES, False) for each in classes)


# ---- metadata, health, readiness


def published(request: HttpRequest, path: str) -> HttpResponse:
    """Answer with what the service publishes at *path*."""
    made = door().routes.answer(str(request.method), path)
    return HttpResponseNotFound() if made is None else GateResponse(made)


_marked(published, optional=False)


def __getattr__(name: str) -> list[URLPattern | URLResolver]:
    if name != "urlpatterns":  # of path("", include("py_identity_model.integrations.django"))
        raise AttributeError(name)
    try:
        paths = door().routes.paths
    except ConfigError:  # the middleware and every view say so, and so does manage.py check, which reads this first
        return []
    return [re_path(f"^{re.escape(path[1:])}$", published, {"path": path}) for path in paths]


checks.register(_django_checks.check_settings)

__all__ = ["PrincipalMiddleware", "ProtectMixin", "protect", "published"]
