"""The library against the real provider: logins of every kind, and what is done with their tokens, over both APIs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from e2e import driver
from e2e.clients import JWT_RESOURCES, OPAQUE_RESOURCE, POST_LOGOUT_REDIRECT_URI, SECOND_FACTOR, Client
from e2e.library import Library, credentials
from py_identity_model._core.client.grants import ClientCredentialsTokenRequest
from py_identity_model._core.client.introspection import TokenIntrospectionRequest
from py_identity_model._core.client.revocation import TokenRevocationRequest
from py_identity_model._core.client.userinfo import UserInfoRequest
from py_identity_model._core.login.begin import LoginRequest
from py_identity_model._core.login.client import LoginClient
from py_identity_model._core.login.logout import build_end_session_url, validate_post_logout_state
from py_identity_model._core.registration.registration import (
    ClientDeleteRequest,
    ClientReadRequest,
    ClientRegistrationRequest,
    ClientUpdateRequest,
)
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model.exceptions import LogoutTokenValidationException


@pytest.fixture(params=["sync", "asyncio", "trio"])
def library(request: pytest.FixtureRequest, provider: driver.Provider) -> Library:
    """The library in each of its ways."""
    return Library(request.param, provider)


def userinfo(library: Library, client: Client, known: LoginClient, tokens: Any, **fields: Any) -> Any:
    """Ask for the user's claims with the tokens of a login."""
    request = UserInfoRequest(
        library.endpoint("userinfo_endpoint", client),
        token=tokens.access_token,
        dpop_key=known.dpop_key,
        mtls=known.mtls,
        **{"expected_sub": tokens.claims["sub"], **fields},
    )
    return library.call("userinfo.get_userinfo", request)


# ---- logins


@pytest.mark.parametrize(
    "name",
    [
        *("secret-basic", "public", "private-key-jwt", "par", "jar", "jarm", "jarm-encrypted"),
        *("id-token-encrypted", "id-token-encrypted-ecdh", "dpop", "dpop-public", "tls-bound"),
        *("fapi2-dpop", "fapi2-mtls", "fapi2-message-signing"),
    ],
)
def test_a_login_as_registered(library: Library, name: str) -> None:
    """Whatever the client is registered for, it logs in, gets the user's claims, and refreshes."""
    client = library.provider.clients[name]
    known = library.login_client(client, scope="openid profile offline_access")
    tokens = library.log_in(known, LoginRequest(prompt="consent"))
    assert tokens.is_successful, tokens.error
    assert (tokens.claims["sub"], tokens.claims["aud"]) == ("alice", client.client_id)
    assert (tokens.token_type.lower() == "dpop") == (known.dpop_key is not None)
    claims = userinfo(library, client, known, tokens)
    assert claims.is_successful, claims.error
    assert claims.claims["name"] == "Alice Liddell"
    if "refresh_token" in client.metadata["grant_types"]:
        again = library.call("login.refresh_login", known, tokens.refresh_token, tokens.claims)
        assert again.is_successful, again.error
        assert again.claims["sub"] == "alice"


@pytest.mark.parametrize("mode", ["query", "fragment", "form_post", "query.jwt", "fragment.jwt", "form_post.jwt"])
def test_every_response_mode(library: Library, mode: str) -> None:
    """A response is read where it was asked for, in the clear and in a JWT."""
    client = library.provider.clients["secret-basic"]
    tokens = library.log_in(library.login_client(client, response_mode=mode))
    assert tokens.is_successful, tokens.error
    assert tokens.claims["sub"] == "alice"


@pytest.mark.parametrize(
    ("name", "response_type"),
    [
        ("hybrid", "code id_token"),
        ("hybrid", "code token"),
        ("hybrid", "code id_token token"),
        ("implicit", "id_token"),
        ("implicit", "id_token token"),
    ],
)
def test_every_response_type(library: Library, name: str, response_type: str) -> None:
    """Tokens of the front channel are bound to their response, and belong to the same user as those of the back."""
    client = library.provider.clients[name]
    tokens = library.log_in(library.login_client(client, response_type=response_type))
    assert tokens.is_successful, tokens.error
    assert tokens.claims["sub"] == "alice"
    assert (tokens.access_token is not None) == (response_type != "id_token")


def test_a_login_serves_once_and_its_own_browser(library: Library) -> None:
    """A second completion is refused, and so is the response to another login."""
    client = library.login_client(library.provider.clients["secret-basic"])
    mine, other = (library.call("login.begin_login", client) for _ in range(2))
    callback = library.provider.follow_login(mine.url).url
    assert not library.call("login.complete_login", client, callback, other.transaction).is_successful
    assert library.call("login.complete_login", client, callback, mine.transaction).is_successful
    assert not library.call("login.complete_login", client, callback, mine.transaction).is_successful


def test_a_response_of_another_provider_is_refused(library: Library) -> None:
    """[I2] The issuer in the response of one provider does not pass for the other's (RFC 9207)."""
    client = library.login_client(library.provider.clients["secret-basic"])
    start = library.call("login.begin_login", client)
    callback = library.provider.follow_login(start.url).url
    elsewhere = callback.replace("iss=http%3A", "iss=https%3A")
    assert elsewhere != callback
    response = library.call("login.complete_login", client, elsewhere, start.transaction)
    assert (response.is_successful, response.error_code) == (False, "authorization_issuer_mismatch")


def test_a_user_who_refuses(library: Library) -> None:
    """The provider's own error arrives by name."""
    client = library.login_client(library.provider.clients["secret-basic"])
    assert library.log_in(client, LoginRequest(login_hint="deny")).error_code == "access_denied"


def test_how_the_user_is_authenticated(library: Library) -> None:
    """The context and age of the authentication are asked for and checked; without a session ``none`` is refused."""
    client = library.login_client(library.provider.clients["secret-basic"])
    tokens = library.log_in(client, LoginRequest(acr_values=SECOND_FACTOR, max_age=300, login_hint="bob"))
    assert tokens.is_successful, tokens.error
    assert (tokens.claims["acr"], tokens.claims["sub"]) == (SECOND_FACTOR, "bob")
    assert library.log_in(client, LoginRequest(prompt="none")).error_code == "login_required"


@pytest.mark.parametrize("pushed", [False, True])
def test_a_login_for_one_payment(library: Library, pushed: bool) -> None:
    """What exactly is asked for comes back granted, through the browser or pushed (RFC 9396, RFC 9126)."""
    client = library.login_client(library.provider.clients["secret-basic"], pushed=pushed)
    details = [{"type": "payment", "amount": "12.50"}]
    resource = JWT_RESOURCES["ES256"]
    tokens = library.log_in(client, LoginRequest(authorization_details=details, resource=resource))
    assert tokens.is_successful, tokens.error
    assert tokens.authorization_details == details
    claims = library.validate(library.validator(client.issuer, resource), tokens.access_token)
    assert claims["authorization_details"] == details


# ---- claims of the user


@pytest.mark.parametrize("name", ["userinfo-signed", "userinfo-encrypted"])
def test_userinfo_in_a_jwt(library: Library, name: str) -> None:
    """An answer that must be signed, or encrypted as well, is verified; in the clear it is refused."""
    client = library.provider.clients[name]
    known = library.login_client(client, scope="openid email")
    tokens = library.log_in(known)
    policy = library.signed_response(client, "userinfo")
    answer = userinfo(library, client, known, tokens, signed_response=policy)
    assert answer.is_successful, answer.error
    assert answer.claims["email"] == "alice@example.com"
    wrong = userinfo(library, client, known, tokens, signed_response=policy, expected_sub="bob")
    assert (wrong.is_successful, wrong.error_code) == (False, "subject_mismatch")
    plain = library.provider.clients["secret-basic"]
    known = library.login_client(plain)
    tokens = library.log_in(known)
    policy = library.signed_response(plain, "userinfo")
    assert not userinfo(library, plain, known, tokens, signed_response=policy).is_successful


# ---- introspection and revocation


def opaque_token(library: Library, client: Client) -> str:
    """Get a token that only the provider can read."""
    request = ClientCredentialsTokenRequest(
        library.endpoint("token_endpoint", client),
        **credentials(client, library.issuer_of(client)),
        scope="api:read",
        resource=OPAQUE_RESOURCE,
    )
    response = library.call("grants.request_client_credentials_token", request)
    assert response.is_successful, response.error
    return str(response.access_token)


def introspect(library: Library, client: Client, token: str, **fields: Any) -> Any:
    """Ask the provider about a token."""
    request = TokenIntrospectionRequest(
        library.endpoint("introspection_endpoint", client),
        token,
        **credentials(client, library.issuer_of(client)),
        expected_audience=OPAQUE_RESOURCE,
        **fields,
    )
    return library.call("introspection.introspect_token", request)


def test_introspection_and_revocation(library: Library) -> None:
    """An opaque token is active until it is revoked; for another resource, or unknown, it is not."""
    client = library.provider.clients["secret-basic"]
    token = opaque_token(library, client)
    answer = introspect(library, client, token)
    assert answer.is_successful, answer.error
    assert (answer.active, answer.claims["scope"], answer.claims["client_id"]) == (True, "api:read", client.client_id)
    request = TokenRevocationRequest(
        library.endpoint("revocation_endpoint", client), token, **credentials(client, library.issuer_of(client))
    )
    assert library.call("revocation.revoke_token", request).is_successful
    for gone in (token, "never-heard-of"):
        assert introspect(library, client, gone).active is False


@pytest.mark.parametrize("name", ["secret-basic", "introspection-encrypted"])
def test_introspection_in_a_jwt(library: Library, name: str) -> None:
    """An answer that must be signed, or encrypted as well, is verified (RFC 9701)."""
    client = library.provider.clients[name]
    token = opaque_token(library, client)
    policy = library.signed_response(client, "introspection")
    answer = introspect(library, client, token, signed_response=policy)
    assert answer.is_successful, answer.error
    assert (answer.active, answer.claims["aud"]) == (True, OPAQUE_RESOURCE)


def test_one_api_for_both_kinds_of_token(library: Library) -> None:
    """An API that takes whatever comes validates a JWT by itself and asks the provider about an opaque token."""
    client = library.provider.clients["secret-basic"]
    request = ClientCredentialsTokenRequest(
        library.endpoint("token_endpoint", client),
        **credentials(client, client_issuer := library.issuer_of(client)),
        scope="api:read",
        resource=JWT_RESOURCES["EdDSA"],
    )
    structured = library.call("grants.request_client_credentials_token", request).access_token
    validator = library.validator(client_issuer, JWT_RESOURCES["EdDSA"])
    asking = TokenIntrospectionRequest(
        library.endpoint("introspection_endpoint", client), "", **credentials(client, client_issuer)
    )

    def introspect_it(token: str) -> Any:
        return library.module("introspection").introspect_token(replace(asking, token=token))

    audience = [JWT_RESOURCES["EdDSA"], OPAQUE_RESOURCE]
    authenticate = library.module("protected_resource").authenticate_token
    for token in (structured, opaque_token(library, client)):
        claims = library.wait(lambda t: authenticate(t, validator.validate, introspect_it, audience=audience), token)
        assert (claims["scope"], claims["client_id"]) == ("api:read", client.client_id)


# ---- logout


def test_a_logout_from_both_sides(library: Library) -> None:
    """The user signs out at the provider, which tells the client; the logout token serves once."""
    provider, client = library.provider, library.provider.clients["logout"]
    known = library.login_client(client)
    with provider.browser() as browser:
        tokens = library.log_in(known, browser=browser)
        url = build_end_session_url(
            library.endpoint("end_session_endpoint", client),
            id_token_hint=tokens.id_token,
            post_logout_redirect_uri=POST_LOGOUT_REDIRECT_URI,
            state="bye",
        )
        target = browser.logout(url)
    validate_post_logout_state("bye", target.partition("state=")[2])
    call = provider.take_call("/logout")
    config = TokenValidationConfig(perform_disco=True, audience=client.client_id)
    receiver = library.module("logout").BackChannelLogoutReceiver(config, provider.issuer)
    received, again = (library.wait(receiver.receive, call.body, call.headers["content-type"]) for _ in range(2))
    assert received.is_successful, received.error
    assert (received.claims["sub"], received.claims["sid"]) == ("alice", tokens.claims["sid"])
    assert (received.answer.status, again.answer.status) == (200, 400)
    assert again.error_code == "logout_token_replayed"
    with pytest.raises(LogoutTokenValidationException):
        library.call("logout.validate_logout_token", tokens.id_token, config, provider.issuer)


# ---- clients


def test_a_client_registers_changes_and_leaves(library: Library) -> None:
    """A registration is read, changed and deleted with its own token (RFC 7591, RFC 7592)."""
    provider = library.provider
    request = ClientRegistrationRequest(
        library.metadata(secure=True).registration_endpoint,
        redirect_uris=["https://client.example/callback"],
        client_name="Registered by itself",
        token_endpoint_auth_method="client_secret_basic",
        initial_access_token=provider.initial_access_token,
    )
    made = library.call("registration.register_client", request)
    assert made.is_successful, made.error
    read = ClientReadRequest(made.registration_client_uri, registration_access_token=made.registration_access_token)
    assert library.call("registration.read_client", read).metadata["client_name"] == "Registered by itself"
    update = ClientUpdateRequest.from_registration(made, client_name="Renamed")
    changed = library.call("registration.update_client", update)
    assert changed.is_successful, changed.error
    assert changed.metadata["client_name"] == "Renamed"
    known = LoginClient(
        issuer=provider.mtls_issuer,
        client_id=made.client_id,
        client_secret=changed.client_secret or made.client_secret,
        redirect_uri="https://client.example/callback",
    )
    assert library.log_in(known).claims["aud"] == made.client_id
    token = changed.registration_access_token or made.registration_access_token
    delete = ClientDeleteRequest(made.registration_client_uri, registration_access_token=token)
    assert library.call("registration.delete_client", delete).is_successful
    assert not library.call("registration.read_client", read).is_successful


def test_registration_is_not_open(library: Library) -> None:
    """Without the initial access token the provider refuses, and says so."""
    request = ClientRegistrationRequest(
        library.metadata(secure=True).registration_endpoint, redirect_uris=["https://client.example/callback"]
    )
    refused = library.call("registration.register_client", request)
    assert (refused.is_successful, refused.status_code) == (False, 401)


def test_a_client_known_by_its_document(library: Library) -> None:
    """A client whose name is the address of its document logs in without any registration."""
    client_id = library.provider.rp_origin + "/metadata-document"
    known = LoginClient(
        issuer=library.provider.issuer, client_id=client_id, redirect_uri="https://client.example/callback"
    )
    tokens = library.log_in(known)
    assert tokens.is_successful, tokens.error
    assert tokens.claims["aud"] == client_id
