"""A resource server's settings, read from the environment and checked whole: a container needs no code."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from ._config import PREFIX, ConfigError, ConfigIssue
from ._core.base.secret import Secret
from ._core.base.store import AnyStore
from ._core.base.urls import parse_url
from ._core.binding.inbound_request import ProxyPolicy
from ._core.resource.gate import SenderConstraint
from ._core.validation.token_kinds import KINDS
from .exceptions import ConfigurationException


class _Setting(NamedTuple):
    """A variable, how it is read, and what it is without a value."""

    name: str
    read: Callable[[str], Any]
    default: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSettings:
    """What the environment says of a resource server; the variables are the fields in capitals, after a prefix."""

    issuer: tuple[str, ...]
    audience: tuple[str, ...]
    algorithms: tuple[str, ...] | None
    token_kind: str
    leeway: float | None
    resource: str | None
    scopes_supported: tuple[str, ...]
    sender_constraint: SenderConstraint
    external_url: str | None
    trusted_proxies: tuple[str, ...]
    forwarded: str
    introspection_url: str | None
    client_id: str | None
    client_secret: Secret | None
    store: str | None

    def proxies(self) -> ProxyPolicy | None:
        """Return how requests come here, if the environment says so."""
        if self.external_url is None and not self.trusted_proxies:
            return None
        return ProxyPolicy(self.external_url, self.trusted_proxies, cast("Any", self.forwarded))

    def open_store(self) -> AnyStore | None:
        """Return the store that is named: ``sqlite:///path``, or the URL of a Redis."""
        if self.store is None:
            return None
        from . import stores

        if self.store.startswith("sqlite:///"):
            return stores.SqliteStore(self.store.removeprefix("sqlite:///"))
        return stores.RedisStore(self.store)


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("a text that is not empty")
    return text.strip()


def _url(text: str) -> str:
    try:
        parse_url(text.strip(), require_https=False)
    except ConfigurationException:
        raise ValueError("an absolute URL") from None
    return text.strip()


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _urls(text: str) -> tuple[str, ...]:
    return tuple(map(_url, _list(text)))


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.strip() not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text.strip()

    return read


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number of seconds") from None


def _proxies(text: str) -> tuple[str, ...]:
    try:
        ProxyPolicy(trusted_proxies=_list(text))
    except ConfigurationException:
        raise ValueError("addresses or networks such as 10.0.0.0/8") from None
    return _list(text)


def _store(text: str) -> str:
    if not text.startswith(("sqlite:///", "redis://", "rediss://", "unix://")):
        raise ValueError("sqlite:///path, redis://host or rediss://host")
    return text


_SETTINGS = (
    _Setting("issuer", _urls, ()),
    _Setting("audience", _list, ()),
    _Setting("algorithms", _list),
    _Setting("token_kind", _one_of(*KINDS), "access_token"),
    _Setting("leeway", _seconds),
    _Setting("resource", _url),
    _Setting("scopes_supported", _list, ()),
    _Setting("sender_constraint", _one_of("accepted", "required", "refused"), "accepted"),
    _Setting("external_url", _url),
    _Setting("trusted_proxies", _proxies, ()),
    _Setting("forwarded", _one_of("x-forwarded", "forwarded"), "x-forwarded"),
    _Setting("introspection_url", _url),
    _Setting("client_id", _text),
    _Setting("client_secret", lambda text: Secret(_text(text))),
    _Setting("store", _store),
)


def read_settings(prefix: str = PREFIX, environment: Mapping[str, str] | None = None) -> ResourceSettings:
    """Read the environment.

    Args:
        prefix: What the names of variables begin with.
        environment: The variables; by default those of the process.

    Raises:
        ConfigError: Something is missing or wrong; ``issues`` has all of it.
    """
    given = os.environ if environment is None else environment
    issues: list[ConfigIssue] = []
    values = {setting.name: _value(setting, prefix, given, issues) for setting in _SETTINGS}
    # The variable of the published package counts where the newer one is not set.
    address = given.get(prefix + "OIDC_DISCOVERY_URL".removeprefix(PREFIX))
    if not values["issuer"] and address:
        values["issuer"] = (address,)
    for name in ("issuer", "audience"):
        if not values[name] and not any(name.upper() in issue.keys[0] for issue in issues):
            issues.append(ConfigIssue("CFG-001", (prefix + name.upper(),), "required, and missing"))
    if values["introspection_url"] and not values["client_id"]:
        issues.append(ConfigIssue("CFG-002", (prefix + "client_id".upper(),), "needed where an introspection URL is"))
    if issues:
        raise ConfigError(issues)
    return ResourceSettings(**values)


def _value(setting: _Setting, prefix: str, given: Mapping[str, str], issues: list[ConfigIssue]) -> Any:
    text = given.get(prefix + setting.name.upper())
    if text is None or not text.strip():
        return setting.default
    try:
        return setting.read(text)
    except ValueError as fault:
        issues.append(ConfigIssue("CFG-003", (prefix + setting.name.upper(),), f"expected {fault}"))
        return setting.default


def validator_arguments(settings: ResourceSettings) -> dict[str, Any]:
    """Return the arguments of the ``TokenValidator``."""
    return {
        "issuer": settings.issuer,
        "audience": settings.audience,
        "algorithms": settings.algorithms,
        "kind": settings.token_kind,
        "leeway": settings.leeway,
    }


def introspector_arguments(settings: ResourceSettings) -> dict[str, Any] | None:
    """Return the arguments of the ``TokenIntrospector``; None where nobody is asked."""
    if settings.introspection_url is None:
        return None
    secret = {} if settings.client_secret is None else {"client_secret": settings.client_secret}
    return {"address": settings.introspection_url, "client_id": settings.client_id, **secret}


def server_arguments(settings: ResourceSettings) -> dict[str, Any]:
    """Return the arguments of the ``ResourceServer``, its validator aside."""
    return {
        "resource": settings.resource,
        "scopes_supported": settings.scopes_supported,
        "sender_constraint": settings.sender_constraint,
        "proxies": settings.proxies(),
        "store": settings.open_store() if settings.sender_constraint != "refused" else None,
    }


__all__ = [
    "ResourceSettings",
    "introspector_arguments",
    "read_settings",
    "server_arguments",
    "validator_arguments",
]
