"""The library under FAPI 2.0 against the real provider, over https: logins that keep the profile."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from e2e import driver
from e2e.clients import OPAQUE_RESOURCE
from e2e.library import Library
from py_identity_model._core.client.grants import ClientCredentialsTokenRequest
from py_identity_model._core.client.introspection import TokenIntrospectionRequest
from py_identity_model._core.login.begin import LoginRequest
from py_identity_model._core.login.client import LoginClient
from py_identity_model._core.login.fapi import FAPI2LoginClient, FAPI2Profile
from py_identity_model._core.login.fapi_verdicts import validate_fapi_discovery


@pytest.fixture(params=["sync", "asyncio", "trio"])
def library(request: pytest.FixtureRequest, provider: driver.Provider) -> Library:
    """The library in each of its ways."""
    return Library(request.param, provider)


def fapi_client(library: Library, name: str, profile: FAPI2Profile) -> FAPI2LoginClient:
    """Return a client as it is registered, under *profile* and behind https."""
    known = library.login_client(library.provider.clients[name], issuer=library.provider.mtls_issuer)
    values: dict[str, Any] = {f.name: getattr(known, f.name) for f in fields(LoginClient) if f.init}
    return FAPI2LoginClient(**{**values, "profile": profile, "pushed": True, "require_iss": True})


PROFILES = {
    "fapi2-dpop": FAPI2Profile(),
    "fapi2-mtls": FAPI2Profile(),
    "fapi2-message-signing": FAPI2Profile.message_signing(),
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_login_under_the_profile(library: Library, name: str) -> None:
    """[F23] [M1] [M3] A real provider that is held to FAPI 2.0 itself logs users in, and refreshes."""
    client = fapi_client(library, name, replace(PROFILES[name]))
    tokens = library.log_in(client, LoginRequest(scope="openid offline_access", prompt="consent"))
    assert tokens.is_successful, tokens.error
    assert tokens.claims["sub"] == "alice"
    again = library.call("login.refresh_login", client, tokens.refresh_token, tokens.claims)
    assert again.is_successful, again.error


def test_the_metadata_of_the_provider(library: Library) -> None:
    """The published check has nothing to say about the provider behind https."""
    assert validate_fapi_discovery(library.metadata(secure=True)).violations == []


def test_signed_introspection_under_the_profile(library: Library) -> None:
    """[M4] A token of a machine is asked about, and the answer is signed; both requests keep the profile."""
    profile = FAPI2Profile.message_signing()
    client = library.provider.clients["fapi2-message-signing"]
    known = fapi_client(library, client.client_id, profile)
    metadata = library.metadata(secure=True)
    request = ClientCredentialsTokenRequest(
        metadata.token_endpoint,
        known.client_id,
        private_key_jwt=known.private_key_jwt,
        issuer=known.issuer,
        dpop_key=known.dpop_key,
        scope="api:read",
        resource=OPAQUE_RESOURCE,
    )
    token = library.call("grants.request_client_credentials_token", profile.check_request(request))
    assert token.is_successful, token.error
    profile.check_token_response(request, token)
    policy = replace(library.signed_response(client, "introspection"), disco_doc_address=known.issuer)
    question = TokenIntrospectionRequest(
        metadata.introspection_endpoint,
        token.access_token,
        known.client_id,
        private_key_jwt=known.private_key_jwt,
        issuer=known.issuer,
        signed_response=policy,
    )
    answer = library.call("introspection.introspect_token", profile.check_request(question))
    assert answer.is_successful, answer.error
    profile.check_access_token(answer.claims)
