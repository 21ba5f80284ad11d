"""Settings of an application: sources, precedence, and faults that are told all at once and never with a value."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from py_identity_model import (
    ClientAuthMethod,
    Config,
    ConfigError,
    ConfigIssue,
    ConfigSource,
    ConfigurationException,
    EnvSource,
    MappingSource,
    Secret,
)
from py_identity_model._config import KEYS
from py_identity_model.settings import Settings

CANARY = "canary-9f2"
CLIENT = {"client.discovery_url": "https://id.example.com", "client.id": "app"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        for name in key.variables:
            monkeypatch.delenv(name, raising=False)


def built(values: Mapping[str, Any], **options: Any) -> Config:
    """Build a configuration of nothing but *values*."""
    return Config.build(sources=[MappingSource(values)], env=False, **options)


def faults(values: Mapping[str, Any], **options: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Return codes and keys of all that is wrong with *values*."""
    with pytest.raises(ConfigError) as caught:
        built(values, **options)
    assert all(str(issue) in str(caught.value) for issue in caught.value.issues)
    return [(issue.code, issue.keys) for issue in caught.value.issues]


def test_defaults_are_those_of_the_library() -> None:
    """Nothing given, nothing wrong: what the library reads by itself is the same here, and the client is open."""
    config, settings = Config.from_env(), Settings()
    assert (config.http_timeout, config.jwks_cache_ttl) == (settings.http_timeout, settings.jwks_cache_ttl)
    assert (config.client_id, config.client_secret, config.client_audience) == (None, None, None)
    assert config.client_excluded_paths == ("/docs", "/openapi.json", "/health")
    assert [key.field for key in KEYS] == [field.name for field in fields(Config)]


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the client have a prefix, those of the library have none; the first of several names wins."""
    monkeypatch.setenv("OIDC_DISCOVERY_URL", "https://id.example.com")
    monkeypatch.setenv("OIDC_CLIENT_ID", "app")
    monkeypatch.setenv("OIDC_CLIENT_SECRET", CANARY)
    monkeypatch.setenv("OIDC_EXCLUDED_PATHS", " /a, ,/b ")
    monkeypatch.setenv("HTTP_RETRY_COUNT", "1")
    monkeypatch.setenv("HTTP_TIMEOUT", "5")
    config = Config.from_env(group="client", client_auth_method=ClientAuthMethod.CLIENT_SECRET_POST)
    assert (config.client_id, config.client_audience, config.http_timeout) == ("app", "app", 5.0)
    assert config.client_secret == Secret(CANARY)
    assert (config.client_excluded_paths, config.http_retry_max_attempts) == (("/a", "/b"), 1)
    monkeypatch.setenv("HTTP_RETRY_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("SHOP_DISCOVERY_URL", "https://shop.example.com")
    monkeypatch.setenv("SHOP_CLIENT_ID", "shop")
    other = Config.from_env(prefix="SHOP_", group="client")
    assert (other.client_id, other.client_secret, other.http_retry_max_attempts) == ("shop", None, 2)


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overrides go before sources, sources in their order, the environment last, if at all."""
    monkeypatch.setenv("OIDC_CLIENT_ID", "from-env")
    monkeypatch.setenv("OIDC_SCOPE", "from-env")
    first = MappingSource({**CLIENT, "client.id": "first"}, name="first")
    second = MappingSource({"client.id": "second", "client.audience": "second"}, name="second")
    config = Config.build(sources=[first, second], overrides={"client.redirect_uri": "https://app.example.com/cb"})
    assert (config.client_id, config.client_audience, config.client_scope) == ("first", "second", "from-env")
    assert config.client_redirect_uri == "https://app.example.com/cb"
    assert Config.build(sources=[first], env=False).client_scope == "openid profile email"
    assert Config.build(sources=[first], overrides={"client.id": "over"}, env=False).client_id == "over"


def test_all_faults_are_told_at_once_in_the_order_of_the_keys() -> None:
    """One error lists missing, unreadable and incomplete settings together."""
    values = {"client.id": " ", "http.timeout": "soon", "jwks.cache.ttl": "59", "jwks.max_keys": "0"}
    method = ClientAuthMethod.CLIENT_SECRET_BASIC
    assert faults(values, group="client", client_auth_method=method) == [
        ("CFG-003", ("http.timeout",)),
        ("CFG-003", ("jwks.max_keys",)),
        ("CFG-003", ("jwks.cache.ttl",)),
        ("CFG-001", ("client.discovery_url",)),
        ("CFG-003", ("client.id",)),
        ("CFG-002", ("client", "client.secret")),
    ]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("http.timeout", text) for text in ("", " ", "0", "-1", "nan", "inf", "301", "1e999", "five", "0x5")),
        *(("http.retry.max_attempts", text) for text in ("1.5", "-1", "11", "9" * 5000)),
        *(("jwks.max_size", text) for text in ("0", "-5", "many")),
        *(
            ("client.discovery_url", text)
            for text in ("id.example.com", "ftp://x", "https://", "https://u:p@x.example")
        ),
        *(("client.redirect_uri", text) for text in ("/cb", "app.example.com", "https://[", "")),
        *((f"client.{name}", " \t") for name in ("id", "secret", "scope", "audience", "post_login_redirect")),
    ],
)
def test_values_that_cannot_be_read(key: str, text: str) -> None:
    """Each key is read strictly, within the range that the library itself has."""
    assert faults({**CLIENT, key: text}) == [("CFG-003", (key,))]


@pytest.mark.parametrize("method", list(ClientAuthMethod))
def test_a_secret_is_demanded_where_the_method_needs_one(method: ClientAuthMethod) -> None:
    """Methods with a shared secret demand it; others take a client without."""
    if method.requires_secret:
        missing = [("CFG-002", ("client", "client.secret"))]
        assert faults(CLIENT, group="client", client_auth_method=method) == missing
    secret = {"client.secret": CANARY} if method.requires_secret else {}
    assert built({**CLIENT, **secret}, group="client", client_auth_method=method).client_id == "app"


def test_a_client_is_whole_or_not_there() -> None:
    """Settings of a client without its address are a fault, also where no client is demanded."""
    assert faults({"client.id": "app"}) == [("CFG-002", ("client", "client.discovery_url"))]
    assert faults({}, group="client") == [("CFG-001", ("client.discovery_url",)), ("CFG-001", ("client.id",))]
    assert built({"client.discovery_url": "http://localhost:8080"}).client_id is None


class Broken:
    """A source that fails, and tells a secret while it does."""

    def resolve(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Fail."""
        raise RuntimeError(CANARY)


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        (Broken(), ("source:Broken",)),
        (MappingSource({"client.secret": 7}), ("source:mapping", "client.secret")),  # type: ignore[dict-item]
        (MappingSource({"client.id": None}), ("source:mapping", "client.id")),  # type: ignore[dict-item]
        (None, ("source:NoneType",)),
    ],
)
def test_a_source_that_fails_is_a_fault(source: Any, keys: tuple[str, ...]) -> None:
    """A source is never passed over in silence: what it could not tell might have decided."""
    with pytest.raises(ConfigError) as caught:
        Config.build(sources=[source, MappingSource(CLIENT)], env=False)
    assert [(issue.code, issue.keys) for issue in caught.value.issues] == [("CFG-004", keys)]
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_an_override_must_name_a_key() -> None:
    """A misspelt override is a fault; a source may hold more than is asked for."""
    with pytest.raises(ConfigError) as caught:
        Config.build(overrides={**CLIENT, "client.ids": "x"}, env=False)
    assert [(issue.code, issue.keys) for issue in caught.value.issues] == [("CFG-003", ("client.ids",))]
    assert built({**CLIENT, "database": "x"}).client_id == "app"


@pytest.mark.parametrize(
    "options", [{"group": "clients"}, {"group": ""}, {"client_auth_method": "password"}, {"client_auth_method": None}]
)
def test_words_that_name_nothing(options: dict[str, Any]) -> None:
    """A group or a method that there is none of is a mistake of the caller."""
    with pytest.raises(ConfigurationException) as caught:
        built(CLIENT, **options)
    assert caught.value.code == "policy_invalid"


def test_no_value_shows() -> None:
    """Neither the configuration nor an error shows a secret, and no error shows any value."""
    config = built({**CLIENT, "client.secret": CANARY})
    assert CANARY not in f"{config!r}{config}"
    values = {key.name: CANARY for key in KEYS} | {"client.secret": CANARY, "http.timeout": CANARY}
    with pytest.raises(ConfigError) as caught:
        built(values)
    error = caught.value
    assert CANARY not in f"{error!r}{error}{error.details}{error.issues}{error.__dict__}"
    assert isinstance(error, ConfigurationException)
    assert error.code == "config_invalid"
    assert pickle.loads(pickle.dumps(error)).issues == error.issues
    assert CANARY not in repr(MappingSource(values))


def test_a_configuration_does_not_change() -> None:
    """What was checked stays as it was."""
    with pytest.raises(FrozenInstanceError):
        built(CLIENT).client_id = "other"  # type: ignore[misc]
    assert isinstance(EnvSource(), ConfigSource)
    assert isinstance(MappingSource({}), ConfigSource)
    assert not isinstance(object(), ConfigSource)
    with pytest.raises(ConfigurationException):
        EnvSource(prefix=None)  # type: ignore[arg-type]
    assert str(ConfigIssue("CFG-001", ("a", "b"), "missing")) == "CFG-001 a, b: missing"
