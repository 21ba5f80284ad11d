"""Django REST framework: authentication by access tokens, permissions by what they grant, OpenAPI.

class Orders(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [requires(scopes=["orders.read"])]

    def get(self, request): return Response({"subject": request.auth.subject})

``request.auth`` is the :class:`~py_identity_model.AuthenticatedPrincipal`. Settings are those of
:mod:`py_identity_model.integrations.django`. Where the view has an exception handler of its own, that one answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from .._core.binding.challenges import Refusal
from .._core.resource.principal import AuthenticatedPrincipal
from .._core.resource.requirement import Requirement
from ..exceptions import MissingCredentialsException
from ..sync._driver import run
from ._django_gate import DECIDES, GateResponse, decide_about, demanded_by, inbound_request
from ._django_settings import door
from ._guard import Demanded, demanded
from ._packages import framework_missing
from .routes import joined

try:
    from django.conf import settings
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.exceptions import APIException
    from rest_framework.permissions import BasePermission
except ImportError:
    raise framework_missing("Django REST framework", "djangorestframework") from None


if TYPE_CHECKING:  # REST framework brings no types: a checker would know nothing of what is built on it
    from rest_framework.request import Request  # their modules import this one, where the settings name it
    from rest_framework.views import APIView

    class _APIException(Exception):
        pass

    class _BaseAuthentication:
        pass

    class _BasePermission:
        pass

else:
    _APIException, _BaseAuthentication, _BasePermission = APIException, BaseAuthentication, BasePermission


class AccessRefused(_APIException):
    """A request may not pass. Its answer is ``refusal``; an exception handler of your own may send another."""

    def __init__(self, refusal: Refusal) -> None:
        headers = joined(refusal.headers)
        self.refusal = refusal
        self.status_code: int = refusal.status
        self.detail: Any = {}  # REST framework's own handler would put words of its own here
        self.auth_header: str | None = headers.get("www-authenticate")
        self.wait: int | None = int(headers["retry-after"]) if "retry-after" in headers else None


class TokenAuthentication(_BaseAuthentication):
    """Finds out who a request is from; requests without a token are from nobody."""

    def authenticate(self, request: Request) -> tuple[object, AuthenticatedPrincipal] | None:
        """Return user and principal, None for nobody.

        Raises:
            AccessRefused: The request brings a token that is not valid, or in a way that is not allowed.
        """
        optional = not door().protect_all or request.path_info in door().excluded
        decision = decide_about(request._request, optional=optional, named=demanded_by(_view(request)))
        if isinstance(decision, Refusal):
            raise _refused(request, decision)
        if decision is None:
            return None
        _view(request).headers.update(joined(decision.headers))
        return decision.user, decision

    def authenticate_header(self, request: Request) -> str:
        """Return the challenges to a request from nobody, for permissions that are not :func:`requires`."""
        api, inbound = door().api, inbound_request(request._request)
        missing = MissingCredentialsException("The request carries no access token")
        named = demanded_by(_view(request))
        return str(_refused(request, run(api.gate.refuse(missing, inbound, named), api._http_client)).auth_header)


class _Requires(_BasePermission):
    requirement: Requirement | None = None

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether a request may pass; where nothing else can let it pass, refuse it.

        Raises:
            AccessRefused: It may not.
        """
        inner: Any = request._request  # its class does not have what is put on it
        if isinstance(request.auth, AuthenticatedPrincipal):
            inner.principal = request.auth
        decision = decide_about(inner, self.requirement, named=demanded_by(view))
        if not isinstance(decision, Refusal):
            return True
        alone = [each.requirement for each in view.get_permissions() if getattr(each, DECIDES, False)]
        if self.requirement in alone:
            raise _refused(request, decision)
        return False  # a part of a permission that is made of several


def requires(requirement: Requirement | None = None, **demands: Unpack[Demanded]) -> type[_Requires]:
    """Return a permission class: ``permission_classes = [requires(scopes=["orders.read"])]``.

    It can be combined with others by ``&``, ``|`` and ``~``.

    Args:
        requirement: What a request must bring besides a valid token.
        demands: What it must bring, by the names of :class:`~py_identity_model.Requirement`.

    Raises:
        ConfigurationException: A demand could never be met.
    """
    return type("Requires", (_Requires,), {"requirement": demanded(requirement, **demands)})


def _view(request: Request) -> APIView:
    return request.parser_context["view"]  # pyright: ignore[reportOptionalSubscript] # every view sets it


def _refused(request: Request, refusal: Refusal) -> AccessRefused:
    """Return the exception for a refusal, and see to it that nothing of the answer is lost on the way."""
    from rest_framework.views import exception_handler  # its module imports this one, where the settings name it

    view = _view(request)
    view.headers.update(joined(refusal.headers))
    handler = view.get_exception_handler()
    if handler is exception_handler:

        def answer(error: Exception, context: object) -> GateResponse:
            exception_handler(error, context)  # it rolls back
            return GateResponse(refusal)

        view.get_exception_handler = lambda: answer
    return AccessRefused(refusal)


setattr(TokenAuthentication, DECIDES, True)
setattr(_Requires, DECIDES, True)

if "drf_spectacular" in settings.INSTALLED_APPS:
    from . import _django_schema as _django_schema  # tells it how the API is protected

__all__ = ["AccessRefused", "TokenAuthentication", "requires"]
