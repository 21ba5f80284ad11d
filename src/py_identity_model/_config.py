"""Settings of an application, read from the environment or from anywhere else, and checked whole before they are used.

A :class:`ConfigSource` hands over text and nothing more. Reading, defaults and checks happen here, once for all
sources, and every fault is found before anything is told: one :class:`ConfigError` lists them all.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

from ._arguments import explains_arguments
from ._core.base.secret import Secret
from ._core.base.urls import parse_url
from ._core.client.client_auth import ClientAuthMethod
from ._refusals import must_be
from .exceptions import ConfigurationException, printable
from .settings import Settings

#: What the names of variables about the client begin with, unless another prefix is given.
PREFIX = "OIDC_"
CLIENT = "client."

# ---------------------------------------------------------------------------------------------------------------------
# What can be wrong


@dataclass(frozen=True)
class ConfigIssue:
    """One fault of a configuration. It names keys, never a value.

    Attributes:
        code: ``CFG-001`` a required key is missing; ``CFG-002`` keys that belong together are not all there;
            ``CFG-003`` a value is not what it must be; ``CFG-004`` a source failed, or handed over something else than
            text.
        keys: The keys concerned.
        message: What was expected, in words.
    """

    code: str
    keys: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{self.code} {', '.join(self.keys)}: {self.message}"


class ConfigError(ConfigurationException):
    """A configuration is not usable.

    Attributes:
        issues: Every fault, in the order of the keys.
    """

    code = "config_invalid"

    @explains_arguments
    def __init__(self, issues: Sequence[ConfigIssue]) -> None:
        self.issues: tuple[ConfigIssue, ...] = tuple(issues)
        told = "".join(f"\n- {issue}" for issue in self.issues)
        super().__init__(
            f"The configuration is not usable:{told}",
            {"issues": [{"code": i.code, "keys": list(i.keys), "message": i.message} for i in self.issues]},
            claim=self.issues[0].keys[0] if self.issues else None,
        )


class _Unusable(Exception):
    """A value cannot be read; the text says what was expected and holds nothing of the value."""


# ---------------------------------------------------------------------------------------------------------------------
# The keys

_ABSENT: Any = object()


class _Key(NamedTuple):
    """A row of the table: a key, the variables it is read from, how, and what it is without a value."""

    name: str
    variables: tuple[str, ...]
    read: Callable[[str], Any]
    default: Any = _ABSENT

    @property
    def field(self) -> str:
        """The attribute of :class:`Config`."""
        return self.name.replace(".", "_")


def _text(text: str) -> str:
    if not text.strip():
        raise _Unusable("a text that is not empty")
    return text


def _secret(text: str) -> Secret:
    return Secret(_text(text))


def _metadata_address(text: str) -> str:
    try:
        parse_url(text.strip(), require_https=False)
    except ConfigurationException as error:
        reason = str(error.expected)
    else:
        return text.strip()
    raise _Unusable(reason)


def _absolute_url(text: str) -> str:
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or not parts.netloc:
        raise _Unusable("an absolute URL")
    return text.strip()


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _of_settings(name: str, setting: str) -> _Key:
    """Return the row of a value that the library itself reads: names, range and default are the library's."""
    knob = next(field for field in fields(Settings) if field.name == setting)
    kind = cast("type[float]", type(knob.default))
    low, high = knob.metadata["low"], knob.metadata["high"]

    whole = "a whole number" if kind is int else "a number"
    expected = f"{whole} of at least {low:g}" if math.isinf(high) else f"{whole} from {low:g} to {high:g}"

    def read(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            raise _Unusable(expected) from None
        if not low <= value <= high:
            raise _Unusable(expected)
        return value

    return _Key(name, knob.metadata["names"], read, knob.default)


KEYS: tuple[_Key, ...] = (
    _of_settings("http.timeout", "http_timeout"),
    _of_settings("http.retry.max_attempts", "http_retry_max_attempts"),
    _of_settings("http.retry.base_delay", "http_retry_base_delay"),
    _of_settings("jwks.max_size", "max_jwks_size"),
    _of_settings("jwks.max_keys", "max_jwks_keys"),
    _of_settings("jwks.cache.ttl", "jwks_cache_ttl"),
    _of_settings("discovery.cache.ttl", "disco_cache_ttl"),
    _of_settings("jwks.kid_miss_cooldown", "kid_miss_refresh_cooldown"),
    _of_settings("jwks.cache.max_entries", "jwks_cache_max_entries"),
    _of_settings("discovery.cache.max_entries", "disco_cache_max_entries"),
    _Key("client.discovery_url", ("OIDC_DISCOVERY_URL",), _metadata_address),
    _Key("client.id", ("OIDC_CLIENT_ID",), _text),
    _Key("client.secret", ("OIDC_CLIENT_SECRET",), _secret, None),
    _Key("client.scope", ("OIDC_SCOPE",), _text, "openid profile email"),
    _Key("client.audience", ("OIDC_AUDIENCE",), _text, None),
    _Key("client.redirect_uri", ("OIDC_REDIRECT_URI",), _absolute_url, ""),
    _Key("client.post_login_redirect", ("OIDC_POST_LOGIN_REDIRECT",), _text, "/"),
    _Key("client.post_logout_redirect", ("OIDC_POST_LOGOUT_REDIRECT",), _text, "/"),
    _Key("client.excluded_paths", ("OIDC_EXCLUDED_PATHS",), _list, ("/docs", "/openapi.json", "/health")),
)
_NAMES = tuple(key.name for key in KEYS)
_REQUIRED = tuple(key.name for key in KEYS if key.default is _ABSENT)

# ---------------------------------------------------------------------------------------------------------------------
# Sources


@runtime_checkable
class ConfigSource(Protocol):
    """Whatever holds settings: the environment, a file, a vault."""

    def resolve(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the text of those of *keys* that are there; no defaults, nothing read or checked."""
        ...


class MappingSource:
    """A source that is a mapping from keys such as ``client.id`` to text.

    Args:
        values: The settings.
        name: What faults call the source.

    >>> MappingSource({"client.id": "app"}).resolve(["client.id", "client.secret"])
    {'client.id': 'app'}
    """

    @explains_arguments
    def __init__(self, values: Mapping[str, str], *, name: str = "mapping") -> None:
        self._values = dict(values)
        self.name = name

    def __repr__(self) -> str:  # the values may be secrets
        return f"MappingSource(name={self.name!r})"

    @explains_arguments
    def resolve(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the text of those of *keys* that are there."""
        return {key: self._values[key] for key in keys if key in self._values}


class EnvSource:
    """The environment, read when it is asked and not before.

    Args:
        prefix: What the names of variables about the client begin with, such as ``OIDC_CLIENT_ID``.
        name: What faults call the source.
    """

    @explains_arguments
    def __init__(self, *, prefix: str = PREFIX, name: str = "env") -> None:
        if not isinstance(prefix, str):
            raise must_be("prefix", "a text", prefix)
        self.prefix = prefix
        self.name = name

    @explains_arguments
    def resolve(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the text of those of *keys* whose variable is set; the first name of a variable wins."""
        found = ((key.name, self._value(key)) for key in KEYS if key.name in keys)
        return {name: text for name, text in found if text is not None}

    def _value(self, key: _Key) -> str | None:
        names = [self.prefix + v.removeprefix(PREFIX) if key.name.startswith(CLIENT) else v for v in key.variables]
        return next((os.environ[name] for name in names if name in os.environ), None)


# ---------------------------------------------------------------------------------------------------------------------
# The configuration


@dataclass(frozen=True)
class Config:
    """The settings of an application: HTTP and caches, as the library reads them, and the client it is.

    Make one with :meth:`from_env` or :meth:`build`; its values have then been checked.

    Attributes:
        http_timeout: Seconds for one HTTP exchange.
        http_retry_max_attempts: Repeats of a failed request.
        http_retry_base_delay: Seconds of the first pause between repeats.
        jwks_max_size: Bytes of a key set.
        jwks_max_keys: Keys of a key set.
        jwks_cache_ttl: Seconds that a key set is fresh.
        discovery_cache_ttl: Seconds that metadata is fresh.
        jwks_kid_miss_cooldown: Seconds for one forced refresh of a key set.
        jwks_cache_max_entries: Key sets kept.
        discovery_cache_max_entries: Metadata documents kept.
        client_discovery_url: The issuer, or the address of its metadata.
        client_id: The client.
        client_secret: Its secret, which shows itself nowhere.
        client_scope: What it asks for.
        client_audience: The audience of tokens; the client itself unless another is given.
        client_redirect_uri: Where logins come back to; empty where none is given.
        client_post_login_redirect: Where the user goes after a login.
        client_post_logout_redirect: Where the user goes after a logout.
        client_excluded_paths: Paths that need no login.
    """

    http_timeout: float
    http_retry_max_attempts: int
    http_retry_base_delay: float
    jwks_max_size: int
    jwks_max_keys: int
    jwks_cache_ttl: float
    discovery_cache_ttl: float
    jwks_kid_miss_cooldown: float
    jwks_cache_max_entries: int
    discovery_cache_max_entries: int
    client_discovery_url: str | None
    client_id: str | None
    client_secret: Secret | None
    client_scope: str
    client_audience: str | None
    client_redirect_uri: str
    client_post_login_redirect: str
    client_post_logout_redirect: str
    client_excluded_paths: tuple[str, ...]

    @classmethod
    @explains_arguments
    def from_env(
        cls,
        *,
        prefix: str = PREFIX,
        group: str | None = None,
        client_auth_method: ClientAuthMethod = ClientAuthMethod.NONE,
    ) -> Config:
        """Read the environment.

        Args:
            prefix: What the names of variables about the client begin with.
            group: ``client`` demands the settings of a client; None takes them where they are.
            client_auth_method: How the client authenticates, which decides whether its secret is demanded.

        Raises:
            ConfigError: Something is missing or wrong; ``issues`` has all of it.
        """
        sources = [EnvSource(prefix=prefix)]
        return cls.build(sources=sources, env=False, group=group, client_auth_method=client_auth_method)

    @classmethod
    @explains_arguments
    def build(
        cls,
        *,
        sources: Sequence[ConfigSource] | None = None,
        overrides: Mapping[str, str] | None = None,
        env: bool = True,
        group: str | None = None,
        client_auth_method: ClientAuthMethod = ClientAuthMethod.NONE,
    ) -> Config:
        """Read several sources, the first that has a key deciding it.

        Args:
            sources: Where to look, the most important first.
            overrides: Text by key; it goes before all sources.
            env: Whether the environment is looked at last.
            group: ``client`` demands the settings of a client; None takes them where they are.
            client_auth_method: How the client authenticates, which decides whether its secret is demanded.

        Raises:
            ConfigError: Something is missing or wrong; ``issues`` has all of it.

        >>> values = {"client.discovery_url": "https://id.example.com", "client.id": "app"}
        >>> config = Config.build(overrides=values, env=False, group="client")
        >>> config.client_id, config.client_audience, config.http_timeout
        ('app', 'app', 30.0)
        """
        if group not in (None, "client"):
            raise must_be("group", "'client' or None", group)
        if client_auth_method not in tuple(ClientAuthMethod):
            raise must_be("client_auth_method", "a ClientAuthMethod", client_auth_method)
        issues: list[ConfigIssue] = []
        listed = [*_overriding(overrides, issues), *(sources or ()), *([EnvSource()] if env else [])]
        found = _found(listed, issues)
        values = {key.name: _read(key, found.get(key.name), issues) for key in KEYS}
        issues += _lacking(found, group, ClientAuthMethod(client_auth_method))
        if issues:
            order = {name: at for at, name in enumerate(_NAMES)}
            raise ConfigError(sorted(issues, key=lambda issue: order.get(issue.keys[-1], -1)))
        values["client.audience"] = values["client.audience"] or values["client.id"]
        return cls(**{key.field: values[key.name] for key in KEYS})


def _overriding(overrides: Mapping[str, str] | None, issues: list[ConfigIssue]) -> list[ConfigSource]:
    if overrides is None:
        return []
    unknown = [name for name in overrides if name not in _NAMES]
    issues += [
        ConfigIssue("CFG-003", (printable(name, 60),), f"expected one of {', '.join(_NAMES)}") for name in unknown
    ]
    return [MappingSource(overrides, name="overrides")]


def _found(sources: Sequence[ConfigSource], issues: list[ConfigIssue]) -> dict[str, str]:
    """Return the text of every key that a source has; a source that fails is a fault and is not passed over."""
    found: dict[str, str] = {}
    for source in sources:
        wanted = [name for name in _NAMES if name not in found]
        named = f"source:{printable(getattr(source, 'name', type(source).__name__), 60)}"
        try:
            supplied = {name: text for name, text in source.resolve(wanted).items() if name in wanted}
        except Exception as error:  # a source is foreign code, and what it raises may hold what it read
            issues.append(ConfigIssue("CFG-004", (named,), f"expected settings, it raised {type(error).__name__}"))
            continue
        wrong = [name for name, text in supplied.items() if not isinstance(text, str)]
        issues += [ConfigIssue("CFG-004", (named, name), "expected text from the source") for name in wrong]
        found.update(supplied)
    return found


def _read(key: _Key, text: str | None, issues: list[ConfigIssue]) -> Any:
    if not isinstance(text, str):
        return None if key.default is _ABSENT else key.default
    try:
        return key.read(text)
    except _Unusable as fault:
        issues.append(ConfigIssue("CFG-003", (key.name,), f"expected {fault}"))
        return None


def _lacking(found: Mapping[str, str], group: str | None, method: ClientAuthMethod) -> Iterator[ConfigIssue]:
    """Yield what the settings of a client lack."""
    if group == "client":
        yield from (ConfigIssue("CFG-001", (name,), "required, and missing") for name in _REQUIRED if name not in found)
        if method.requires_secret and "client.secret" not in found:
            yield ConfigIssue("CFG-002", ("client", "client.secret"), f"{method.value} needs it")
    elif "client.discovery_url" not in found and any(name.startswith(CLIENT) for name in found):
        yield ConfigIssue("CFG-002", ("client", "client.discovery_url"), "needed where other settings of a client are")


__all__ = ["Config", "ConfigError", "ConfigIssue", "ConfigSource", "EnvSource", "MappingSource"]
