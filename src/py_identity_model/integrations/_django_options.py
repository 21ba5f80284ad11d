"""The values of the setting ``PY_IDENTITY_MODEL`` that the environment cannot say: each is read, and named if unfit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .._config import ConfigIssue
from .._core.binding.challenges import build_challenge
from .._core.resource.principal import PrincipalRules
from .._resource_server import AnyResourceServer, ResourceServerBase
from ..exceptions import ConfigurationException
from ._packages import framework_missing
from ._paths import Paths

try:
    from django.utils.module_loading import import_string
except ImportError:
    raise framework_missing("Django", "django") from None

#: Users are found by what another may be called tomorrow.
LOOKUP = "ALLOW_USER_LOOKUP_BY_CLAIMS_THAT_MAY_BE_REASSIGNED"


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def _named(value: object) -> object:
    try:
        return import_string(value) if isinstance(value, str) else value
    except ImportError:
        raise ValueError("a dotted path that can be imported") from None


def _function(value: object) -> Callable[..., Any]:
    found = _named(value)
    if not callable(found):
        raise ValueError("a function, or the dotted path of one")
    return found


def _server(value: object) -> AnyResourceServer:
    found = _named(value)
    if not isinstance(found, ResourceServerBase):
        raise ValueError("a ResourceServer, or the dotted path of one")
    return found


def _paths(value: object) -> Paths:
    try:
        return Paths(value)  # type: ignore[arg-type] # it looks itself
    except (ConfigurationException, TypeError):
        raise ValueError("a list of paths such as /docs or /public/*") from None


def _path(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and value.startswith("/")):
        raise ValueError("a path that begins with a slash, or None")
    return value


def _field(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("the name of a field of the user model")
    return value


def _names(value: object) -> dict[str, str]:
    words = [word for pair in value.items() for word in pair] if isinstance(value, Mapping) else [None]
    if not all(isinstance(word, str) and word for word in words):
        raise ValueError("names by name")
    return dict(value)  # type: ignore[call-overload, no-any-return] # a mapping, as was seen


def _roles(value: Any) -> object:
    try:
        return PrincipalRules(value).roles
    except (ConfigurationException, TypeError):
        raise ValueError("a list of claims, or of tuples of names that lead to one") from None


def _hierarchy(value: Any) -> object:
    try:
        PrincipalRules(scope_hierarchy=value)
    except (ConfigurationException, TypeError, AttributeError):
        raise ValueError("lists of scopes by scope") from None
    return value


def _realm(value: Any) -> object:
    try:
        build_challenge("Bearer", {"realm": value})
    except (ConfigurationException, TypeError):
        raise ValueError("printable ASCII on one line") from None
    return value


#: Settings that were read: each is of the type that its reader returns.
Options: TypeAlias = Mapping[str, Any]

#: How each is read, and what it is where it is not there.
OPTIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "RESOURCE_SERVER": (_server, None),
    "PROTECT_ALL": (_flag, False),
    "EXCLUDE": (_paths, Paths(())),
    "LOAD_USER": (_function, None),
    "ON_REFUSAL": (_function, None),
    "ROLES": (_roles, None),
    "SCOPE_HIERARCHY": (_hierarchy, None),
    "REALM": (_realm, None),
    "HEALTH": (_path, "/healthz"),
    "READINESS": (_path, "/readyz"),
    "METRICS": (_path, None),
    "USER_CREATE": (_flag, True),
    "USER_ISSUER_FIELD": (_field, None),
    "USER_SUBJECT_FIELD": (_field, None),
    "USER_CLAIMS": (_names, None),
    "USER_GROUPS": (_names, None),
    LOOKUP: (_names, None),
}


def read_option(name: str, given: Mapping[str, object], issues: list[ConfigIssue]) -> Any:  # each of its type
    """Return a value, and its default where *issues* gets what is wrong with it."""
    read, default = OPTIONS[name]
    if name not in given:
        return default
    try:
        return read(given[name])
    except ValueError as fault:
        issues.append(ConfigIssue("CFG-003", (name,), f"expected {fault}"))
        return default


__all__ = ["LOOKUP", "OPTIONS", "Options", "read_option"]
