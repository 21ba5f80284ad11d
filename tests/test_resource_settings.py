"""A resource server's settings in the environment: read whole, every fault named at once, no value repeated."""

from __future__ import annotations

from typing import Any

import pytest

import py_identity_model
import py_identity_model.aio
from py_identity_model import ConfigError, stores
from py_identity_model._resource_settings import read_settings

GOOD = {"OIDC_ISSUER": "https://id.example.com", "OIDC_AUDIENCE": "api"}


def faults(**variables: str) -> dict[str, str]:
    """Return the faults of an environment: code by variable."""
    with pytest.raises(ConfigError) as error:
        read_settings(environment=variables)
    assert "canary" not in str(error.value)
    return {issue.keys[0]: issue.code for issue in error.value.issues}


def test_everything_that_is_missing_or_wrong_is_named_at_once() -> None:
    """One run tells all there is to mend."""
    found = faults(
        OIDC_ISSUER="canary",
        OIDC_SENDER_CONSTRAINT="canary",
        OIDC_TRUSTED_PROXIES="canary",
        OIDC_LEEWAY="canary",
        OIDC_STORE="canary",
        OIDC_INTROSPECTION_URL="https://id.example.com/introspect",
    )
    assert found == {
        "OIDC_ISSUER": "CFG-003",
        "OIDC_AUDIENCE": "CFG-001",
        "OIDC_SENDER_CONSTRAINT": "CFG-003",
        "OIDC_TRUSTED_PROXIES": "CFG-003",
        "OIDC_LEEWAY": "CFG-003",
        "OIDC_STORE": "CFG-003",
        "OIDC_CLIENT_ID": "CFG-002",
    }


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_none(empty: str) -> None:
    """Compose files set variables to nothing."""
    assert faults(OIDC_ISSUER=empty, OIDC_AUDIENCE="api") == {"OIDC_ISSUER": "CFG-001"}
    assert read_settings(environment={**GOOD, "OIDC_RESOURCE": empty}).resource is None


def test_several_values_are_parted_by_spaces_or_commas() -> None:
    """Both are written in practice."""
    settings = read_settings(
        environment={"OIDC_ISSUER": "https://a.example.com, https://b.example.com", "OIDC_AUDIENCE": "api other"}
    )
    assert settings.issuer == ("https://a.example.com", "https://b.example.com")
    assert settings.audience == ("api", "other")


def test_the_variable_of_the_published_package_counts_too() -> None:
    """``OIDC_DISCOVERY_URL`` names the issuer where ``OIDC_ISSUER`` does not."""
    given = {"OIDC_DISCOVERY_URL": "https://id.example.com", "OIDC_AUDIENCE": "api"}
    assert read_settings(environment=given).issuer == ("https://id.example.com",)


@pytest.mark.parametrize("door", [py_identity_model, py_identity_model.aio])
def test_a_resource_server_is_built_of_the_environment(door: Any, monkeypatch: Any, tmp_path: Any) -> None:
    """With its metadata, its introspector and its store."""
    more = {
        "MY_ISSUER": "https://id.example.com",
        "MY_AUDIENCE": "api",
        "MY_RESOURCE": "https://api.example.com/v1",
        "MY_SCOPES_SUPPORTED": "read write",
        "MY_STORE": f"sqlite:///{tmp_path}/proofs.db",
        "MY_INTROSPECTION_URL": "https://id.example.com/introspect",
        "MY_CLIENT_ID": "orders",
        "MY_CLIENT_SECRET": "canary",
        "MY_EXTERNAL_URL": "https://api.example.com",
    }
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    server = door.ResourceServer.from_env(prefix="MY_", realm="orders")
    assert server.blocking is (door is py_identity_model)
    assert server.metadata.scopes_supported == ("read", "write")
    assert isinstance(server.gate.dpop.store, stores.SqliteStore)
    assert server.gate.proxies.external_url == "https://api.example.com"
    assert server.gate.policy.realm == "orders"
    assert "canary" not in repr(server) + repr(vars(server))
