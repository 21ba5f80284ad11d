"""Users who were there before their identity: linked once, by an e-mail address that a named issuer has verified."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._core.resource.principal import AuthenticatedPrincipal
from .._refusals import must_be
from ._django_options import LOOKUP
from ._django_users import unfit_for_model
from ._packages import framework_missing

try:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.hashers import make_password
    from django.core.exceptions import MultipleObjectsReturned
    from django.db import IntegrityError, transaction
    from django.db.models import Q
except ImportError:
    raise framework_missing("Django", "django") from None

_OPTION = "link_existing_users_by_verified_email_of"
_atomic: Any = transaction.atomic


class EmailLinking:
    """Links users to identities by their e-mail address.

    Args:
        issuers: The issuers whose word on addresses is taken.
        issuer_field: The field of a user that has the issuer.
        subject_field: The field that has the subject.

    Raises:
        ConfigurationException: A link could not be remembered, or users have no address.
    """

    def __init__(self, issuers: str | Iterable[str], issuer_field: str | None, subject_field: str | None) -> None:
        named = [issuers] if isinstance(issuers, str) else list(issuers)
        if not named or not all(isinstance(one, str) and one.startswith(("https://", "http://")) for one in named):
            raise must_be(_OPTION, "the issuers that are trusted with all e-mail addresses", named)
        if issuer_field is None or subject_field is None:
            raise must_be("issuer_field", f"given with {_OPTION}, so that a link is remembered")
        self._email: str = get_user_model().get_email_field_name()
        others = dict.fromkeys(("USER_ISSUER_FIELD", "USER_SUBJECT_FIELD", "USER_CLAIMS"))
        if any(unfit_for_model({**others, LOOKUP: [self._email]})):
            raise must_be(_OPTION, "left out, as the user model has no e-mail field", self._email)
        self._issuers, self._issuer, self._subject = frozenset(named), issuer_field, subject_field

    def linked(self, principal: AuthenticatedPrincipal) -> Any:
        """Return the user of an identity that has none yet; None if none has its address.

        Raises:
            MultipleObjectsReturned: It cannot be told whose address it is, or the user may not be linked so.
        """
        email = self._verified(principal)
        if email is None:
            return None
        found = [user for user in self._users(email) if getattr(user, self._email).lower() == email.lower()]
        if not found:
            return None
        if len(found) > 1 or self._is_taken(found[0]) or not self._link(found[0], principal):
            raise MultipleObjectsReturned
        return get_user_model()._default_manager.get(pk=found[0].pk)

    def _verified(self, principal: AuthenticatedPrincipal) -> str | None:
        email, verified = principal.claims.get("email"), principal.claims.get("email_verified")
        if principal.issuer not in self._issuers or verified is not True or not isinstance(email, str):
            return None
        # Some letters are alike to databases, and to no mail server: who owns one address would get another's user.
        return email if email.isascii() and email.isprintable() and "@" in email else None

    def _users(self, email: str) -> Iterable[Any]:
        users: Iterable[Any] = get_user_model()._default_manager.filter(**{f"{self._email}__iexact": email})
        return users

    def _is_taken(self, user: Any) -> bool:
        rights = getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)
        return bool(rights or getattr(user, self._issuer) or getattr(user, self._subject))

    def _link(self, user: Any, principal: AuthenticatedPrincipal) -> bool:
        """Tell whether the user is that identity's now; of two logins at once one is first."""
        empty: dict[str, Any] = {self._issuer: ""}
        missing: dict[str, Any] = {f"{self._issuer}__isnull": True}
        free = Q(**empty) | Q(**missing)
        changed: dict[str, Any] = {
            self._issuer: principal.issuer,
            self._subject: principal.subject,
            "password": make_password(None),
        }
        try:
            with _atomic():
                return bool(get_user_model()._default_manager.filter(free, pk=user.pk).update(**changed))
        except IntegrityError:
            return False


__all__ = ["EmailLinking"]
