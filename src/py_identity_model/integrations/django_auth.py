"""Django's users behind principals: an authentication backend, with create, update and groups.

AUTHENTICATION_BACKENDS = ["py_identity_model.integrations.django_auth.PrincipalBackend", ...]

A user is who an issuer says by ``sub``, and nothing else: other claims change hands (OpenID Connect Core 5.7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .._core.base.base64url import b64url_encode
from .._core.resource.principal import AuthenticatedPrincipal
from ._django_settings import door
from ._django_users import UserRules
from ._packages import framework_missing

try:
    from asgiref.sync import sync_to_async
    from django.contrib.auth import get_user_model
    from django.contrib.auth.backends import ModelBackend
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import Group
    from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
    from django.db import IntegrityError, transaction
except ImportError:
    raise framework_missing("Django", "django") from None


_atomic: Any = transaction.atomic


def username_of(principal: AuthenticatedPrincipal) -> str:
    """Return a name that stands for issuer and subject, and for no other pair of them."""
    pair = msgspec.json.encode([principal.issuer, principal.subject])
    return f"oidc-{b64url_encode(hashlib.sha256(pair).digest())}"


if TYPE_CHECKING:  # Django brings no types: a checker would know nothing of what is built on it

    class _ModelBackend:
        def user_can_authenticate(self, user: AbstractBaseUser) -> bool:
            return bool(user.is_active)

else:
    _ModelBackend = ModelBackend


class PrincipalBackend(_ModelBackend):
    """Makes users of principals. Users are found by issuer and subject: in ``USER_ISSUER_FIELD`` and
    ``USER_SUBJECT_FIELD``, or by a username made of both.

    Override :meth:`find`, :meth:`create` and :meth:`update` for models of your own.
    """

    maps_principals = True

    # Passwords are no business of this backend, in neither colour.
    def authenticate(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: object, *, principal: AuthenticatedPrincipal
    ) -> AbstractBaseUser | None:
        """Return the user of a principal.

        Args:
            request: The request.
            principal: Whose token was accepted.

        Returns:
            The user; None for a machine, a principal without issuer or subject, an inactive user, and one that is not
            there and not to be created.
        """
        if principal.is_machine or not principal.issuer or not principal.subject:
            return None
        try:
            user = self.find(principal)
        except MultipleObjectsReturned:  # whose tokens these are cannot be told
            return None
        if user is None and self.rules.create:
            user = self.create(principal)
        if user is None or not self.user_can_authenticate(user):
            return None
        self.update(user, principal)
        return user

    async def aauthenticate(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: object, *, principal: AuthenticatedPrincipal
    ) -> AbstractBaseUser | None:
        """Do what :meth:`authenticate` does, in an event loop."""
        return await sync_to_async(self.authenticate)(request, principal=principal)

    @property
    def rules(self) -> UserRules:
        """The settings ``USER_...``."""
        return door().users

    def identity(self, principal: AuthenticatedPrincipal) -> dict[str, object]:
        """Return the fields, and their values, by which a user is known."""
        rules, model = self.rules, get_user_model()
        if rules.issuer_field is None or rules.subject_field is None:
            return {model.USERNAME_FIELD: username_of(principal)}
        return {rules.issuer_field: principal.issuer, rules.subject_field: principal.subject}

    def find(self, principal: AuthenticatedPrincipal) -> AbstractBaseUser | None:
        """Return the user of a principal, None if there is none."""
        known = self._only(self.identity(principal))
        if known is not None:
            # Somebody may have chosen this name at a registration of the site's own, with a password.
            own = self.rules.issuer_field is None and known.has_usable_password()
            return None if own else known
        return self._by_reassignable_claims(principal) if self.rules.reassignable else None

    def _by_reassignable_claims(self, principal: AuthenticatedPrincipal) -> Any:
        claims = self.rules.reassignable or {}
        said = {field: principal.claims.get(claim) for field, claim in claims.items()}
        if not all(isinstance(value, str) and value for value in said.values()):
            return None
        if "email" in claims.values() and principal.claims.get("email_verified") is not True:
            return None
        user = self._only(said)
        if user is None or self.rules.issuer_field is None:
            return user
        names = list(self.identity(principal))
        if any(getattr(user, name) for name in names):  # of somebody else, or this one would have been found
            return None
        for name, value in self.identity(principal).items():
            setattr(user, name, value)
        user.save(update_fields=names)
        return user

    def _only(self, fields: Mapping[str, object]) -> Any:
        try:
            user = get_user_model()._default_manager.get(**fields)
        except ObjectDoesNotExist:
            return None
        # Some databases compare without regard to case; OpenID Connect Core 2 does not.
        return user if all(getattr(user, name) == value for name, value in fields.items()) else None

    def create(self, principal: AuthenticatedPrincipal) -> AbstractBaseUser | None:
        """Create the user of a principal, without a password; another request may be faster."""
        model = get_user_model()
        user = model(**{model.USERNAME_FIELD: username_of(principal), **self.identity(principal)})
        user.set_unusable_password()
        self._set(user, principal)
        try:
            with _atomic():
                user.save(force_insert=True)
        except IntegrityError:
            return self.find(principal)
        return user

    def update(self, user: AbstractBaseUser, principal: AuthenticatedPrincipal) -> None:
        """Write what the claims say into fields and groups, where it differs."""
        changed = self._set(user, principal)
        if changed:
            try:
                with _atomic():
                    user.save(update_fields=changed)
            except IntegrityError:  # another user has such a value already: each keeps what it has
                user.refresh_from_db(fields=changed)
        if self.rules.groups:
            self._set_groups(user, {group for role, group in self.rules.groups.items() if role in principal.roles})

    def _set(self, user: Any, principal: AuthenticatedPrincipal) -> list[str]:
        changed = []
        for name, claim in (self.rules.claims or {}).items():
            value = principal.claims.get(claim)
            if isinstance(value, str):
                value = value[: user._meta.get_field(name).max_length]
                if getattr(user, name) != value:
                    setattr(user, name, value)
                    changed.append(name)
        return changed

    def _set_groups(self, user: Any, wanted: set[str]) -> None:
        """Join and leave the groups that the settings name; others are the site's own business."""
        managed = set((self.rules.groups or {}).values())
        held = set(user.groups.filter(name__in=managed).values_list("name", flat=True))
        if held - wanted:
            user.groups.remove(*Group.objects.filter(name__in=held - wanted))
        for name in wanted - held:
            user.groups.add(Group.objects.get_or_create(name=name)[0])


__all__ = ["PrincipalBackend", "username_of"]
