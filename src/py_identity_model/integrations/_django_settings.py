"""The setting ``PY_IDENTITY_MODEL`` of Django: read whole, with the environment behind it, and checked by ``check``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._config import PREFIX, ConfigError, ConfigIssue
from .._core.base.fork_lock import Guard
from .._resource_server import AnyResourceServer
from .._resource_settings import (
    ResourceSettings,
    introspector_arguments,
    read_settings,
    server_arguments,
    validator_arguments,
)
from .._token_validator import TokenValidatorBase
from ..exceptions import ConfigurationException
from ..sync._introspection import TokenIntrospector
from ..sync._resource_server import ResourceServer
from ..sync._validation import TokenValidator
from ._django_options import LOOKUP, OPTIONS, Options, read_option
from ._django_users import UserRules, maps_users, unfit_for_model, user_rules
from ._packages import framework_missing
from ._paths import Paths
from .routes import ServiceRoutes

try:
    from django.conf import settings
    from django.core.signals import setting_changed
except ImportError:
    raise framework_missing("Django", "django") from None

NAME = "PY_IDENTITY_MODEL"
#: What the environment may say too, with ``OIDC_`` in front.
FROM_ENVIRONMENT = (*(name.upper() for name in ResourceSettings.__dataclass_fields__), "DISCOVERY_URL")
#: What belongs to a ResourceServer made here, and not to one that is named.
_OF_SERVER = (*FROM_ENVIRONMENT, "ON_REFUSAL", "ROLES", "SCOPE_HIERARCHY", "REALM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the settings come to."""

    api: AnyResourceServer
    routes: ServiceRoutes
    protect_all: bool
    excluded: Paths
    load_user: Callable[..., Any] | None
    maps_users: bool
    users: UserRules


def _text(value: object) -> str:
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(one, str) for one in value):
        return " ".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a text, a number or a list of texts")
    return str(value)


def _texts(given: Mapping[str, object], issues: list[ConfigIssue]) -> dict[str, str]:
    texts = {name: os.environ[PREFIX + name] for name in FROM_ENVIRONMENT if PREFIX + name in os.environ}
    for name in FROM_ENVIRONMENT:
        if given.get(name) is None:
            continue
        try:
            texts[name] = _text(given[name])
        except ValueError as fault:
            issues.append(ConfigIssue("CFG-003", (name,), f"expected {fault}"))
    return texts


def _unknown(given: Mapping[str, object]) -> Iterator[ConfigIssue]:
    known = (*FROM_ENVIRONMENT, *OPTIONS)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            yield ConfigIssue("CFG-003", (str(name),), f"no such key{f'; is it {near[0]}?' if near else ''}")


def _made_here(given: Mapping[str, object], options: Options, issues: list[ConfigIssue]) -> AnyResourceServer | None:
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
    options = {name: read_option(name, given, issues) for name in OPTIONS}
    issues += _apart(given)
    issues += unfit_for_model(options) if maps_users() else ()
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
        maps_users=maps_users(),
        users=user_rules(options),
    )


def _apart(given: Mapping[str, object]) -> Iterator[ConfigIssue]:
    if "RESOURCE_SERVER" in given:
        for name in _OF_SERVER:
            if given.get(name) is not None:
                yield ConfigIssue("CFG-002", (name, "RESOURCE_SERVER"), "one of them, not both")
    if ("USER_ISSUER_FIELD" in given) != ("USER_SUBJECT_FIELD" in given):
        yield ConfigIssue("CFG-002", ("USER_ISSUER_FIELD", "USER_SUBJECT_FIELD"), "both or neither")
    if given.get("LOAD_USER") is not None and maps_users():
        yield ConfigIssue("CFG-002", ("LOAD_USER",), "not beside a PrincipalBackend, which loads users too")
    if given.get(LOOKUP) and given.get("USER_CREATE", True):
        yield ConfigIssue(
            "CFG-002", (LOOKUP, "USER_CREATE"), "an account that is looked up by what it says must exist: set False"
        )


def _one_issuer(api: AnyResourceServer, options: Options) -> Iterator[ConfigIssue]:
    known = api.validator
    issuers = len(known._validator.by_issuer) if isinstance(known, TokenValidatorBase) else 0
    if options[LOOKUP] and issuers != 1:  # any of several could say that somebody is its user
        yield ConfigIssue("CFG-002", (LOOKUP, "ISSUER"), "exactly one issuer")


# ---- once

_lock = Guard()
_read: list[Door] = []


def door() -> Door:
    """Return what the settings come to, read once; nothing is fetched for it.

    Raises:
        ConfigError: Something is missing or wrong; ``issues`` has all of it.
    """
    try:
        return _read[0]  # without the lock: threads would queue for it at every request
    except IndexError:
        with _lock:
            if not _read:
                _read.append(read_door())
            return _read[0]


def _forget(*, setting: str, **_: object) -> None:
    if setting in (NAME, "AUTHENTICATION_BACKENDS"):
        _read.clear()


setting_changed.connect(_forget)

__all__ = ["FROM_ENVIRONMENT", "NAME", "Door", "door", "read_door"]
