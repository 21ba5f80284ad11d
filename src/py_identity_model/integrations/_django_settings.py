"""The setting ``PY_IDENTITY_MODEL`` of Django: read whole, with the environment behind it, and checked by ``check``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._config import PREFIX, ConfigError, ConfigIssue
from .._core.base.fork_lock import Guard
from .._core.binding.challenges import build_challenge
from .._core.resource.principal import PrincipalRules
from .._resource_server import ResourceServerBase
from .._resource_settings import (
    ResourceSettings,
    introspector_arguments,
    read_settings,
    server_arguments,
    validator_arguments,
)
from .._token_validator import TokenValidatorBase
from ..exceptions import ConfigurationException, printable
from ..sync._introspection import TokenIntrospector
from ..sync._resource_server import ResourceServer
from ..sync._validation import TokenValidator
from ._packages import framework_missing
from ._paths import Paths
from .routes import ServiceRoutes

try:
    from django.apps import apps
    from django.conf import settings
    from django.core.signals import setting_changed
    from django.utils.module_loading import import_string
except ImportError:
    raise framework_missing("Django", "django") from None

NAME = "PY_IDENTITY_MODEL"
_LOOKUP = "ALLOW_USER_LOOKUP_BY_CLAIMS_THAT_MAY_BE_REASSIGNED"
#: What the environment may say too, with ``OIDC_`` in front.
FROM_ENVIRONMENT = (*(name.upper() for name in ResourceSettings.__dataclass_fields__), "DISCOVERY_URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRules:
    """How principals become users of the database."""

    create: bool = True
    issuer_field: str | None = None
    subject_field: str | None = None
    claims: Mapping[str, str] | None = None
    groups: Mapping[str, str] | None = None
    reassignable: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the settings come to."""

    api: ResourceServerBase
    routes: ServiceRoutes
    protect_all: bool
    excluded: Paths
    load_user: Callable[..., Any] | None
    maps_users: bool
    users: UserRules


# ---- reading


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def _named(value: object) -> Any:
    try:
        return import_string(value) if isinstance(value, str) else value
    except ImportError:
        raise ValueError("a dotted path that can be imported") from None


def _function(value: object) -> Callable[..., Any]:
    found = _named(value)
    if not callable(found):
        raise ValueError("a function, or the dotted path of one")
    return found  # type: ignore[no-any-return] # any callable


def _server(value: object) -> ResourceServerBase:
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


def _roles(value: Any) -> Any:
    try:
        return PrincipalRules(value).roles
    except (ConfigurationException, TypeError):
        raise ValueError("a list of claims, or of tuples of names that lead to one") from None


def _hierarchy(value: Any) -> Any:
    try:
        PrincipalRules(scope_hierarchy=value)
    except (ConfigurationException, TypeError, AttributeError):
        raise ValueError("lists of scopes by scope") from None
    return value


def _realm(value: Any) -> Any:
    try:
        build_challenge("Bearer", {"realm": value})
    except (ConfigurationException, TypeError):
        raise ValueError("printable ASCII on one line") from None
    return value


_OPTIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
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
    _LOOKUP: (_names, None),
}
#: What belongs to a ResourceServer made here, and not to one that is named.
_OF_SERVER = (*FROM_ENVIRONMENT, "ON_REFUSAL", "ROLES", "SCOPE_HIERARCHY", "REALM")


def _option(name: str, given: Mapping[str, Any], issues: list[ConfigIssue]) -> Any:
    read, default = _OPTIONS[name]
    if name not in given:
        return default
    try:
        return read(given[name])
    except ValueError as fault:
        issues.append(ConfigIssue("CFG-003", (name,), f"expected {fault}"))
        return default


def _text(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(one, str) for one in value):
        return " ".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a text, a number or a list of texts")
    return str(value)


def _texts(given: Mapping[str, Any], issues: list[ConfigIssue]) -> dict[str, str]:
    texts = {name: os.environ[PREFIX + name] for name in FROM_ENVIRONMENT if PREFIX + name in os.environ}
    for name in FROM_ENVIRONMENT:
        if given.get(name) is None:
            continue
        try:
            texts[name] = _text(given[name])
        except ValueError as fault:
            issues.append(ConfigIssue("CFG-003", (name,), f"expected {fault}"))
    return texts


def _unknown(given: Mapping[str, Any]) -> Iterator[ConfigIssue]:
    known = (*FROM_ENVIRONMENT, *_OPTIONS)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            yield ConfigIssue("CFG-003", (str(name),), f"no such key{f'; is it {near[0]}?' if near else ''}")


def _made_here(given: Mapping[str, Any], options: Mapping[str, Any], issues: list[ConfigIssue]) -> Any:
    texts = _texts(given, issues)
    try:
        read = read_settings("", texts)
    except ConfigError as error:
        named = {name for issue in issues for name in issue.keys}
        issues += [issue for issue in error.issues if not named & set(issue.keys)]
        return None
    named_options = {name.lower(): options[name] for name in ("ON_REFUSAL", "ROLES", "SCOPE_HIERARCHY", "REALM")}
    try:
        asked = introspector_arguments(read)
        introspector = None if asked is None else TokenIntrospector(**asked)
        validator = TokenValidator(**validator_arguments(read))
        return ResourceServer(validator, introspector=introspector, **server_arguments(read), **named_options)
    except ConfigurationException as error:  # what only shows when it is put together
        issues.append(ConfigIssue("CFG-003", ((error.claim or NAME).upper(),), str(error)))
        return None


def read_door() -> Door:
    """Read the settings.

    Raises:
        ConfigError: Something is missing or wrong; ``issues`` has all of it.
    """
    given = getattr(settings, NAME, {})
    if not isinstance(given, Mapping):
        raise ConfigError([ConfigIssue("CFG-003", (NAME,), "expected a dictionary")])
    issues = list(_unknown(given))
    options = {name: _option(name, given, issues) for name in _OPTIONS}
    issues += _apart(given)
    issues += _of_model(options) if _maps_users() else ()
    server = options["RESOURCE_SERVER"] if "RESOURCE_SERVER" in given else _made_here(given, options, issues)
    issues += () if server is None else _one_issuer(server, options)
    if server is None or issues:
        raise ConfigError(issues)
    return Door(
        api=server,
        routes=ServiceRoutes(
            server, health=options["HEALTH"], readiness=options["READINESS"], metrics=options["METRICS"]
        ),
        protect_all=options["PROTECT_ALL"],
        excluded=options["EXCLUDE"],
        load_user=options["LOAD_USER"],
        maps_users=_maps_users(),
        users=_users(options),
    )


def _users(options: Mapping[str, Any]) -> UserRules:
    return UserRules(
        create=options["USER_CREATE"],
        issuer_field=options["USER_ISSUER_FIELD"],
        subject_field=options["USER_SUBJECT_FIELD"],
        claims=options["USER_CLAIMS"],
        groups=options["USER_GROUPS"],
        reassignable=options[_LOOKUP],
    )


def _apart(given: Mapping[str, Any]) -> Iterator[ConfigIssue]:
    if "RESOURCE_SERVER" in given:
        for name in _OF_SERVER:
            if given.get(name) is not None:
                yield ConfigIssue("CFG-002", (name, "RESOURCE_SERVER"), "one of them, not both")
    if ("USER_ISSUER_FIELD" in given) != ("USER_SUBJECT_FIELD" in given):
        yield ConfigIssue("CFG-002", ("USER_ISSUER_FIELD", "USER_SUBJECT_FIELD"), "both or neither")
    if given.get("LOAD_USER") is not None and _maps_users():
        yield ConfigIssue("CFG-002", ("LOAD_USER",), "not beside a PrincipalBackend, which loads users too")
    if given.get(_LOOKUP) and given.get("USER_CREATE", True):
        yield ConfigIssue(
            "CFG-002", (_LOOKUP, "USER_CREATE"), "an account that is looked up by what it says must exist: set False"
        )


def _of_model(options: Mapping[str, Any]) -> Iterator[ConfigIssue]:
    """Yield what does not fit the user model: what a user is known by is not a claim's to change, nor are rights."""
    from django.contrib.auth import get_user_model
    from django.core.exceptions import FieldDoesNotExist
    from django.db.models import CharField, TextField

    model: Any = get_user_model()
    known_by = [name for name in (options["USER_ISSUER_FIELD"], options["USER_SUBJECT_FIELD"]) if name]
    known_by = known_by or [model.USERNAME_FIELD]
    for option in ("USER_ISSUER_FIELD", "USER_SUBJECT_FIELD", "USER_CLAIMS", _LOOKUP):
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


def _one_issuer(api: ResourceServerBase, options: Mapping[str, Any]) -> Iterator[ConfigIssue]:
    known = api.validator
    issuers = len(known._validator.by_issuer) if isinstance(known, TokenValidatorBase) else 0
    if options[_LOOKUP] and issuers != 1:  # any of several could say that somebody is its user
        yield ConfigIssue("CFG-002", (_LOOKUP, "ISSUER"), "exactly one issuer")


def _maps_users() -> bool:
    if not apps.is_installed("django.contrib.auth"):
        return False
    from django.contrib.auth import get_backends

    return any(getattr(backend, "maps_principals", False) for backend in get_backends())


# ---- once

_lock = Guard()
_read: list[Door] = []


def door() -> Door:
    """Return what the settings come to, read once; nothing is fetched for it.

    Raises:
        ConfigError: Something is missing or wrong; ``issues`` has all of it.
    """
    with _lock:
        if not _read:
            _read.append(read_door())
        return _read[0]


def _forget(*, setting: str, **_: object) -> None:
    if setting in (NAME, "AUTHENTICATION_BACKENDS"):
        _read.clear()


setting_changed.connect(_forget)

__all__ = ["FROM_ENVIRONMENT", "NAME", "Door", "UserRules", "door", "read_door"]
