"""How the gate is asked about a request of Django, and how its answer leaves: in a thread or in the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .._core.base.flow import Flow
from .._core.binding.challenges import Refusal
from .._core.binding.inbound_request import InboundRequest
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement, either
from ..aio._driver import run as run_in_loop
from ..exceptions import TokenValidationException
from ..sync._driver import run
from ._django_settings import door
from ._guard import Decision, decide, decide_in_loop
from ._packages import framework_missing
from ._requests import of_environ, of_scope
from .routes import Answer, joined

try:
    from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
except ImportError:
    raise framework_missing("Django", "django") from None

if TYPE_CHECKING:  # Django goes without REST framework
    from rest_framework.views import APIView

#: Set on views and classes that ask the gate themselves: the middleware leaves them alone.
DECIDES = "decides_about_its_principal"
_CHALLENGE = "www-authenticate"


class GateResponse(HttpResponse):  # type: ignore[misc] # Django brings no types
    """The gate's answer as it is: each challenge leaves in a header of its own, which Django's headers cannot say."""

    def __init__(self, made: Answer) -> None:
        super().__init__(made.body, status=made.status)
        del self["content-type"]
        self._challenges = [value for name, value in made.headers if name == _CHALLENGE]
        for name, value in joined(made.headers).items():
            self[name] = value

    # Django returns a view of a dict, which has each name once.
    def items(self) -> Iterator[tuple[str, str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the headers as servers send them."""
        as_made = self.get(_CHALLENGE) == ", ".join(self._challenges)
        for name, value in super().items():
            split = as_made and name.lower() == _CHALLENGE
            yield from ((name, each) for each in (self._challenges if split else (value,)))


class TokenUser:
    """``request.user`` where nobody of the database stands for the principal; it has no permissions of Django's."""

    is_authenticated = is_active = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, principal: AuthenticatedPrincipal) -> None:
        self.principal = principal
        #: Unlike for every issuer and subject; throttles count by it.
        self.pk = self.id = f"{principal.issuer}|{principal.subject or principal.client_id}"
        self.username = principal.subject or principal.client_id or ""

    def get_username(self) -> str:
        """Return the subject, or the client of a token that has none."""
        return self.username

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Return False: what a token may is said by scopes and roles."""
        return False

    def has_perms(self, perm_list: object, obj: object = None) -> bool:
        """Return False, as :meth:`has_perm` does."""
        return False

    def has_module_perms(self, app_label: str) -> bool:
        """Return False, as :meth:`has_perm` does."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenUser) and self.pk == other.pk

    def __hash__(self) -> int:
        return hash(self.pk)

    def __str__(self) -> str:
        return self.username


# ---- deciding


def decide_about(
    request: HttpRequest,
    requirement: Requirement | None = None,
    *,
    optional: bool = False,
    named: Requirement | None = None,
) -> Decision:
    """Decide about a request, and put principal and user on it, blocking.

    Args:
        request: The request.
        requirement: What it must bring besides a valid token.
        optional: Whether it may come from nobody.
        named: What is demanded later, told to a client that is refused already.
    """
    api, inbound = door().api, inbound_request(request)
    if not api.blocking:  # its validator awaits: under ASGI in the loop of this request, under WSGI in one of its own
        waiting: Callable[..., Decision] = async_to_sync(decide_about_in_loop)
        return waiting(request, requirement, optional=optional, named=named)
    decision = decide(api, inbound, requirement, optional=optional, known=_known(request), named=named)
    if not isinstance(decision, AuthenticatedPrincipal):
        return decision
    if decision.user is None:
        load = _loader(request, decision)
        decision.user = (async_to_sync(load) if iscoroutinefunction(load) else load)(decision)
    if decision.user is None:
        return run(_refusing(inbound, requirement), api._http_client)
    return _admitted(request, decision)


async def decide_about_in_loop(
    request: HttpRequest,
    requirement: Requirement | None = None,
    *,
    optional: bool = False,
    named: Requirement | None = None,
) -> Decision:
    """Decide about a request in an event loop; for the arguments see :func:`decide_about`."""
    api, inbound = door().api, inbound_request(request)
    decision = await decide_in_loop(api, inbound, requirement, optional=optional, known=_known(request), named=named)
    if not isinstance(decision, AuthenticatedPrincipal):
        return decision
    if decision.user is None:
        load = _loader(request, decision)
        if load is TokenUser:
            decision.user = TokenUser(decision)
        else:
            decision.user = await (load if iscoroutinefunction(load) else sync_to_async(load))(decision)
    if decision.user is None:
        return await run_in_loop(_refusing(inbound, requirement), api._http_client)
    return _admitted(request, decision)


def inbound_request(request: HttpRequest) -> InboundRequest:
    """Return a request as the gate reads it."""
    scope = getattr(request, "scope", None)
    if scope is not None and isinstance(scope.get("query_string"), str):  # as Django's AsyncClient has it
        scope = {**scope, "query_string": scope["query_string"].encode("latin-1")}
    return of_environ(request.META) if scope is None else of_scope(scope)


def _known(request: HttpRequest) -> AuthenticatedPrincipal | None:
    principal = getattr(request, "principal", None)
    return principal if isinstance(principal, AuthenticatedPrincipal) else None


def _loader(request: HttpRequest, principal: AuthenticatedPrincipal) -> Callable[[AuthenticatedPrincipal], Any]:
    settings = door()
    if settings.load_user is not None:
        return settings.load_user
    if principal.is_machine or not settings.maps_users:
        return TokenUser
    from django.contrib.auth import authenticate

    return lambda principal: authenticate(request, principal=principal)


def _refusing(request: InboundRequest, requirement: Requirement | None) -> Flow[Refusal]:
    error = TokenValidationException(
        "The token is valid, and its subject is no user here",
        "payload",
        code="user_unknown",
        claim="sub",
        expected="a subject that LOAD_USER or the authentication backend makes a user of",
    )
    return door().api.gate.refuse(error, request, requirement)


def _admitted(request: Any, principal: AuthenticatedPrincipal) -> AuthenticatedPrincipal:
    async def user() -> object:
        return principal.user

    # Django puts such things on its requests, too: their class does not have them.
    request.principal, request.user, request.auser = principal, principal.user, user
    # Only scripts of pages that were allowed to can send an Authorization header: nothing to forge here.
    request._dont_enforce_csrf_checks = True
    return principal


def demanded_by(view: APIView) -> Requirement | None:
    """Return what the permissions of a REST framework's view demand together."""
    wanted: Requirement | None = None
    for permission in view.get_permissions():
        if getattr(permission, DECIDES, False):
            wanted = either(wanted, permission.requirement)
    return wanted


def told(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return a response with the headers that the client needs for its next request."""
    principal = _known(request)
    for name, value in () if principal is None else joined(principal.headers).items():
        response[name] = value
    return response


__all__ = [
    "DECIDES",
    "GateResponse",
    "TokenUser",
    "decide_about",
    "decide_about_in_loop",
    "demanded_by",
    "inbound_request",
    "told",
]
