"""Registration and its management against the real provider, open and with an initial access token, over both APIs."""

from __future__ import annotations

from typing import Any

import pytest

from e2e import driver
from e2e.library import Library
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.client.grants import ClientCredentialsTokenRequest
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.registration.registration import (
    ClientDeleteRequest,
    ClientReadRequest,
    ClientRegistrationRequest,
    ClientUpdateRequest,
)

CALLBACK = "https://app.example.com/callback"


@pytest.fixture(params=["sync", "asyncio", "trio"])
def library(request: pytest.FixtureRequest, provider: driver.Provider) -> Library:
    """The library in each of its ways."""
    return Library(request.param, provider)


def register(library: Library, *, secure: bool = False, **fields: Any) -> Any:
    """Register a client."""
    endpoint = library.metadata(secure=secure).registration_endpoint
    return library.call("registration.register_client", ClientRegistrationRequest(endpoint, [CALLBACK], **fields))


def test_a_registration_from_beginning_to_end(library: Library) -> None:
    """A client registers, uses its secret, reads, changes and deletes its registration; then it is unknown."""
    made = register(
        library,
        client_name="App",
        grant_types=["authorization_code", "client_credentials"],
        token_endpoint_auth_method="client_secret_basic",
        extra_metadata={"client_name#de": "Anwendung"},
    )
    made.raise_for_error()
    assert made.client_secret_expires_at == 0
    assert "redirect_uris" not in made.changes

    endpoint = library.metadata().token_endpoint
    request = ClientCredentialsTokenRequest(endpoint, made.client_id, made.client_secret)
    library.call("grants.request_client_credentials_token", request).raise_for_error()

    read = library.call(
        "registration.read_client", ClientReadRequest(made.registration_client_uri, made.registration_access_token)
    )
    read.raise_for_error()
    assert (read.client_id, read.metadata["client_name"]) == (made.client_id, "App")

    update = ClientUpdateRequest.from_registration(read, client_name="New name")
    changed = library.call("registration.update_client", update)
    changed.raise_for_error()
    assert changed.metadata["client_name"] == "New name"
    assert changed.metadata["grant_types"] == read.metadata["grant_types"]
    assert changed.changes == {}

    gone = ClientDeleteRequest(changed.registration_client_uri, changed.registration_access_token)
    library.call("registration.delete_client", gone).raise_for_error()
    after = library.call("registration.read_client", ClientReadRequest(gone.address, changed.registration_access_token))
    assert (after.is_successful, after.status_code) == (False, 401)
    refused = library.call("grants.request_client_credentials_token", request)
    assert refused.error_code == "invalid_client"


def test_an_initial_access_token(library: Library) -> None:
    """Where registration is not open, the initial access token opens it, and nothing else does."""
    token = library.provider.initial_access_token
    assert register(library, secure=True, initial_access_token=Secret(token)).is_successful
    for wrong in (None, "wrong"):
        response = register(library, secure=True, initial_access_token=wrong)
        assert (response.is_successful, response.status_code) == (False, 401)
        assert token not in str(response.error)


def test_a_client_with_keys_of_its_own(library: Library) -> None:
    """A client that registers its public keys needs no secret, and gets none."""
    key = SigningKey.generate("ES256", kid="k1")
    response = register(library, token_endpoint_auth_method="private_key_jwt", jwks={"keys": [key.public_jwk]})
    response.raise_for_error()
    assert response.client_secret is None
    assert "jwks" not in response.changes


def test_a_refused_registration(library: Library) -> None:
    """The provider's refusal reaches the response in its own words."""
    response = register(library, token_endpoint_auth_method="no_such_method")
    assert (response.error_code, response.status_code) == ("invalid_client_metadata", 400)
    assert response.error_description
