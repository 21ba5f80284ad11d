"""How principals become users of Django's database: the settings of it, held against the user model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._config import ConfigIssue
from ..exceptions import printable
from ._django_options import LOOKUP, Options
from ._packages import framework_missing

try:
    from django.apps import apps
except ImportError:
    raise framework_missing("Django", "django") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRules:
    """How principals become users of the database."""

    create: bool = True
    issuer_field: str | None = None
    subject_field: str | None = None
    claims: Mapping[str, str] | None = None
    groups: Mapping[str, str] | None = None
    reassignable: Mapping[str, str] | None = None


def user_rules(options: Options) -> UserRules:
    """Return what the settings say of users."""
    return UserRules(
        create=options["USER_CREATE"],
        issuer_field=options["USER_ISSUER_FIELD"],
        subject_field=options["USER_SUBJECT_FIELD"],
        claims=options["USER_CLAIMS"],
        groups=options["USER_GROUPS"],
        reassignable=options[LOOKUP],
    )


def unfit_for_model(options: Options) -> Iterator[ConfigIssue]:
    """Yield what does not fit the user model: what a user is known by is not a claim's to change, nor are rights."""
    from django.contrib.auth import get_user_model
    from django.core.exceptions import FieldDoesNotExist
    from django.db.models import CharField, TextField

    model: Any = get_user_model()
    known_by = [name for name in (options["USER_ISSUER_FIELD"], options["USER_SUBJECT_FIELD"]) if name]
    known_by = known_by or [model.USERNAME_FIELD]
    for option in ("USER_ISSUER_FIELD", "USER_SUBJECT_FIELD", "USER_CLAIMS", LOOKUP):
        named = options[option]
        for name in (named,) if isinstance(named, str) else named or ():
            try:
                fits = isinstance(model._meta.get_field(name), CharField | TextField) and name != "password"
            except FieldDoesNotExist:
                fits = False
            if not fits:
                yield ConfigIssue("CFG-003", (option,), f"the user model has no text field {printable(name, 60)}")
            elif option == "USER_CLAIMS" and name in known_by:
                yield ConfigIssue("CFG-003", (option,), f"users are known by {name}, so no claim may change it")


def maps_users() -> bool:
    """Tell whether a backend makes users of principals."""
    if not apps.is_installed("django.contrib.auth"):
        return False
    from django.contrib.auth import get_backends

    return any(getattr(backend, "maps_principals", False) for backend in get_backends())


__all__ = ["UserRules", "maps_users", "unfit_for_model", "user_rules"]
