"""What ``manage.py check`` says about the settings."""

from __future__ import annotations

from collections.abc import Iterator

from .._config import PREFIX, ConfigError, ConfigIssue
from ._django_settings import FROM_ENVIRONMENT, NAME, Door, read_door
from ._packages import framework_missing

try:
    from django.conf import settings
    from django.core import checks
except ImportError:
    raise framework_missing("Django", "django") from None

_MIDDLEWARE = "py_identity_model.integrations.django.PrincipalMiddleware"
_CSRF = "django.middleware.csrf.CsrfViewMiddleware"


def check_settings(app_configs: object, **_: object) -> list[checks.CheckMessage]:
    """Return every fault of the settings."""
    try:
        read = read_door()
    except ConfigError as error:
        return [_error(issue) for issue in error.issues]
    return list(_warnings(read))


def _error(issue: ConfigIssue) -> checks.CheckMessage:
    where = " and ".join(f'{NAME}["{key}"]' if key != NAME else key for key in issue.keys)
    key = issue.keys[0]
    hint = f"It may be {PREFIX}{key} of the environment too." if key in FROM_ENVIRONMENT else None
    return checks.Error(f"{where}: {issue.message}", hint=hint, id=f"py_identity_model.E{issue.code[-3:]}")


def _warnings(read: Door) -> Iterator[checks.CheckMessage]:
    placed = list(settings.MIDDLEWARE)
    if read.protect_all and _MIDDLEWARE not in placed:
        yield checks.Error(
            f'{NAME}["PROTECT_ALL"] is on, and the middleware that does it is not there.',
            hint=f"Add {_MIDDLEWARE} to MIDDLEWARE.",
            id="py_identity_model.E010",
        )
    if _MIDDLEWARE in placed and _CSRF in placed and placed.index(_MIDDLEWARE) > placed.index(_CSRF):
        yield checks.Warning(
            "Requests with a token must pass the CSRF check as well.",
            hint=f"Place {_MIDDLEWARE} before {_CSRF}.",
            id="py_identity_model.W001",
        )
    of_users = [name for name in getattr(settings, NAME, {}) if name.startswith(("USER_", "ALLOW_USER_"))]
    if of_users and not read.maps_users:
        yield checks.Warning(
            f"{NAME} says how users are made, and no backend makes any.",
            hint="Add py_identity_model.integrations.django_auth.PrincipalBackend to AUTHENTICATION_BACKENDS.",
            id="py_identity_model.W002",
        )
    if read.users.issuer_field is not None and read.maps_users and not _unique(read):
        yield checks.Warning(
            "Two users may be known by one issuer and subject.",
            hint="Add a UniqueConstraint over both fields to the user model.",
            id="py_identity_model.W003",
        )


def _unique(read: Door) -> bool:
    from django.contrib.auth import get_user_model

    both = {read.users.issuer_field, read.users.subject_field}
    meta = get_user_model()._meta
    apart = [set(names) for names in meta.unique_together]
    return both in apart or any(set(getattr(each, "fields", ())) == both for each in meta.constraints)


__all__ = ["check_settings"]
