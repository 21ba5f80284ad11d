"""Django's users behind a web login: found and made by issuer and subject, with groups, staff and the admin.

login = WebLogin(client, store=..., base_url=..., on_login=LoginUsers(staff="administrators"))
have_staff_log_in(admin.site)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._core.resource.principal import AuthenticatedPrincipal, PrincipalRules, RoleSource
from .._core.web_login.site import local_path
from .._refusals import must_be
from ..exceptions import ConfigurationException
from ._django_linking import EmailLinking
from ._django_login import logout_of, response_of, web_login
from ._django_options import LOOKUP
from ._django_users import UserRules, unfit_for_model
from ._packages import framework_missing
from ._web_login import answered
from .django_auth import PrincipalBackend
from .django_login import USER, require

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.contrib.auth.base_user import AbstractBaseUser

try:
    from django.core.exceptions import PermissionDenied
    from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
    from django.urls import reverse
except ImportError:
    raise framework_missing("Django", "django") from None


class LoginUsers(PrincipalBackend):
    """Gives each identity that logs in a user of the database: ``WebLogin(..., on_login=LoginUsers())``.

    Users are found by issuer and subject, never by e-mail unless that is asked for. Override ``find(principal)``,
    ``create(principal)`` and ``update(user, principal)`` for models of your own. Where nobody is found and nobody
    created, or the user is not active, the login is refused.
    """

    def __init__(
        self,
        *,
        create: bool = True,
        claims: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
        roles: Iterable[RoleSource] | None = None,
        staff: str | None = None,
        issuer_field: str | None = None,
        subject_field: str | None = None,
        link_existing_users_by_verified_email_of: str | Iterable[str] | None = None,
    ) -> None:
        """Map identities to users.

        Args:
            create: Whether users are made that are not there.
            claims: Claims of the ID token by the text fields that they are kept in.
            groups: Names of groups by the roles that they are for; users join and leave these, and no others.
            roles: The claims in which roles are, a tuple of names for one within others; by default the usual ones.
            staff: The role whose users are staff, and may open the admin; None leaves it to the database.
            issuer_field: The field that has the issuer; without it, a username is made of issuer and subject.
            subject_field: The field that has the subject.
            link_existing_users_by_verified_email_of: The issuers whose word on e-mail addresses is taken: an identity
                that has no user yet, and an address that such an issuer has verified, gets the one user with that
                address, for good; the user's password is gone then, as whoever registered with the address may have
                chosen it. Staff, and users of another identity, are never linked so, and neither is one of several
                with the same address: the login is refused. It needs *issuer_field*.

        Raises:
            ConfigurationException: The user model does not have the fields, or they may not be set by claims.
        """
        if (issuer_field is None) != (subject_field is None):
            raise must_be("subject_field", "named together with issuer_field")
        named = {"USER_ISSUER_FIELD": issuer_field, "USER_SUBJECT_FIELD": subject_field, "USER_CLAIMS": claims}
        for issue in unfit_for_model({**named, LOOKUP: None}):
            raise ConfigurationException(issue.message, claim=issue.keys[0].removeprefix("USER_").lower())
        self._rules = UserRules(
            create=create, issuer_field=issuer_field, subject_field=subject_field, claims=claims, groups=groups
        )
        self._roles = None if roles is None else PrincipalRules(roles)
        self._staff = staff
        self._linking: EmailLinking | None = None
        if link_existing_users_by_verified_email_of is not None:
            self._linking = EmailLinking(link_existing_users_by_verified_email_of, issuer_field, subject_field)

    @property
    def rules(self) -> UserRules:
        """How identities become users."""
        return self._rules

    def __call__(self, claims: Mapping[str, Any]) -> dict[str, str] | None:
        """Return the key of the user whose claims an ID token has; None refuses the login.

        Args:
            claims: The claims.
        """
        user = self.authenticate(None, principal=AuthenticatedPrincipal(claims, rules=self._roles))
        return None if user is None else {USER: str(user.pk)}

    def find(self, principal: AuthenticatedPrincipal) -> AbstractBaseUser | None:
        """Return the user of an identity, None if there is none."""
        known = super().find(principal)
        return known if known is not None or self._linking is None else self._linking.linked(principal)

    def update(self, user: AbstractBaseUser, principal: AuthenticatedPrincipal) -> None:
        """Write what the claims say into fields and groups, and whether the user is staff."""
        super().update(user, principal)
        member: Any = user  # that a user model has the field is the model's own affair
        if self._staff is not None and member.is_staff is not (is_staff := self._staff in principal.roles):
            member.is_staff = is_staff
            member.save(update_fields=["is_staff"])


def have_staff_log_in(site: AdminSite) -> None:
    """Have the users of an admin site log in here, not by a password, and log out here and at the provider.

    Args:
        site: The site, ``django.contrib.admin.site`` mostly.
    """

    def login(request: HttpRequest, extra_context: object = None) -> HttpResponse:
        if not site.has_permission(request):
            raise PermissionDenied
        wanted = local_path(request.GET.get("next"))
        return HttpResponseRedirect(wanted or reverse("admin:index", current_app=site.name))

    def logout(request: HttpRequest, extra_context: object = None) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseRedirect(reverse("oidc_logout"))
        return response_of(answered(web_login(), logout_of(request)))

    site.login, site.logout = require()(login), logout


__all__ = ["LoginUsers", "have_staff_log_in"]
