"""The library against the real provider: discovery, validation, rotation, and every grant, over both APIs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from e2e import driver
from e2e.clients import ID_TOKEN_ALGORITHMS, JWT_RESOURCES, Client
from e2e.library import Library, authorization_url, credentials
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.binding.dpop_client import DPoPKey, build_dpop_headers
from py_identity_model._core.binding.dpop_nonces import DPoPNonces
from py_identity_model._core.binding.dpop_server import DPoPValidator
from py_identity_model._core.binding.inbound_request import InboundRequest
from py_identity_model._core.binding.mtls import compute_certificate_thumbprint, validate_certificate_binding
from py_identity_model._core.client.ciba import (
    BackchannelAuthenticationRequest,
    CibaTokenRequest,
    generate_client_notification_token,
)
from py_identity_model._core.client.ciba_notification import parse_ciba_notification
from py_identity_model._core.client.device import DeviceAuthorizationRequest, DeviceTokenRequest
from py_identity_model._core.client.grants import (
    ClientCredentialsTokenRequest,
    ExtensionGrantTokenRequest,
    RefreshTokenRequest,
)
from py_identity_model._core.client.token_exchange import ExchangeTokenType, TokenExchangeRequest
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.resource.presented_token import read_token
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._dpop import create_dpop_proof
from py_identity_model.exceptions import (
    CertificateBindingError,
    IdTokenValidationException,
    InvalidAudienceException,
    SignatureVerificationException,
    TokenValidationException,
    UnknownKeyException,
)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def library(request: pytest.FixtureRequest, provider: driver.Provider) -> Library:
    """The library in each of its ways."""
    return Library(request.param, provider)


def get_token(library: Library, client: Client, **fields: Any) -> Any:
    """Get a token by client credentials."""
    request = ClientCredentialsTokenRequest(
        library.endpoint("token_endpoint", client), **credentials(client, library.issuer_of(client)), **fields
    )
    return library.call("grants.request_client_credentials_token", request)


def log_in(library: Library, client: Client, **parameters: str) -> tuple[Any, Mapping[str, str]]:
    """Log in with code and PKCE; return the tokens and what the authorization request said."""
    endpoint = library.endpoint("authorization_endpoint", client)
    url, sent = authorization_url(endpoint, client, **parameters)
    returned = library.provider.follow_login(url).params
    assert returned["state"] == sent["state"]
    tokens = library.redeem(client, returned["code"], sent["code_verifier"])
    tokens.raise_for_error()
    return tokens, sent


# ---- discovery and validation


def test_discovery(library: Library) -> None:
    """Both issuers are discovered, and the https one has its aliases for clients with certificates."""
    plain, secure = library.metadata(), library.metadata(secure=True)
    assert plain.issuer == library.provider.issuer
    assert plain.mtls_endpoint_aliases is None
    assert secure.mtls_endpoint_aliases["token_endpoint"].startswith(library.provider.mtls_origin)
    assert "S256" in secure.code_challenge_methods_supported


@pytest.mark.parametrize("alg", JWT_RESOURCES)
def test_access_tokens(library: Library, alg: str) -> None:
    """An access token of each algorithm is valid to the letter of RFC 9068, for its audience, unaltered."""
    provider, resource = library.provider, JWT_RESOURCES[alg]
    token = get_token(library, provider.clients["secret-basic"], resource=resource, scope="api:read").access_token
    with_profile = library.validator(provider.issuer, resource, kind="rfc9068_access_token", algorithms=[alg])
    claims = library.validate(with_profile, token)
    assert (claims["aud"], claims["client_id"], claims["scope"]) == (resource, "secret-basic", "api:read")
    config = TokenValidationConfig(perform_disco=True, audience=resource)
    assert library.call("validation.validate_token", token, config, provider.issuer) == claims
    with pytest.raises(InvalidAudienceException):
        library.validate(library.validator(provider.issuer, "https://api.example/other"), token)
    header, payload, signature = token.split(".")
    with pytest.raises(SignatureVerificationException):
        library.validate(with_profile, f"{header}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}")
    others = [name for name in JWT_RESOURCES if name != alg]
    with pytest.raises(TokenValidationException):
        library.validate(library.validator(provider.issuer, resource, algorithms=others), token)


@pytest.fixture(scope="module")
def logins() -> dict[str, tuple[Any, Mapping[str, str]]]:
    """The logins that the three ways of validating share."""
    return {}


@pytest.mark.parametrize("alg", ID_TOKEN_ALGORITHMS)
def test_id_tokens(library: Library, logins: dict[str, Any], alg: str) -> None:
    """An ID token of each algorithm is valid for its client, with the nonce of its login, and is no access token."""
    provider, client = library.provider, library.provider.clients[f"id-token-{alg}"]
    if alg not in logins:
        logins[alg] = log_in(library, client, max_age="3600")
    tokens, sent = logins[alg]
    expected = {"nonce": sent["nonce"], "access_token": tokens.access_token, "max_age": 3600}
    keys: dict[str, Any] = {}
    if alg.startswith("HS"):
        keys["keys"] = {"kty": "oct", "k": b64url_encode((client.client_secret or "").encode())}
    validator = library.validator(provider.issuer, client.client_id, kind="id_token", algorithms=[alg], **keys)
    claims = library.validate(validator, tokens.id_token, **expected)
    assert (claims["sub"], claims["aud"], claims["nonce"]) == ("alice", client.client_id, sent["nonce"])
    for wrong in ("another", sent["nonce"].swapcase()):
        with pytest.raises(IdTokenValidationException) as refusal:
            library.validate(validator, tokens.id_token, **{**expected, "nonce": wrong})
        assert refusal.value.claim == "nonce"
    with pytest.raises(TokenValidationException):
        library.validate(library.validator(provider.issuer, client.client_id, **keys), tokens.id_token)
    if not keys:
        config = TokenValidationConfig(perform_disco=True, audience=client.client_id)
        api_module = ("validation.validate_id_token", tokens.id_token, config, provider.issuer)
        assert library.call(*api_module, nonce=sent["nonce"], access_token=tokens.access_token) == claims


def test_hashes_of_the_front_channel(library: Library) -> None:
    """In a hybrid flow the ID token holds its code and access token; another code or token does not fit."""
    provider, client = library.provider, library.provider.clients["hybrid"]
    endpoint = library.endpoint("authorization_endpoint", client)
    url, sent = authorization_url(endpoint, client, response_type="code id_token token")
    returned = provider.follow_login(url).params
    validator = library.validator(provider.issuer, client.client_id, kind="id_token")
    expected = {
        "nonce": sent["nonce"],
        "code": returned["code"],
        "access_token": returned["access_token"],
        "hashes_required": ["c_hash", "at_hash"],
    }
    assert library.validate(validator, returned["id_token"], **expected)["sub"] == "alice"
    for name, claim in (("code", "c_hash"), ("access_token", "at_hash")):
        with pytest.raises(IdTokenValidationException) as refusal:
            library.validate(validator, returned["id_token"], **{**expected, name: "another"})
        assert refusal.value.claim == claim


def test_a_rotation(library: Library) -> None:
    """A token of a key published a moment ago is accepted at once; one of a key that is gone is refused then."""
    provider, client, resource = library.provider, library.provider.clients["secret-basic"], JWT_RESOURCES["ES256"]
    validator = library.validator(provider.issuer, resource)

    def token() -> str:
        made: str = get_token(library, client, resource=resource).access_token
        return made

    first = token()
    assert library.validate(validator, first)["aud"] == resource
    provider.rotate_keys()
    second = token()
    assert library.validate(validator, second)["aud"] == resource
    assert library.validate(validator, first)["aud"] == resource
    provider.rotate_keys(keep_previous=False)
    assert library.validate(validator, token())["aud"] == resource
    for gone in (first, second):
        with pytest.raises(UnknownKeyException):
            library.validate(validator, gone)


# ---- clients and grants


@pytest.mark.parametrize(
    "name",
    [
        *("secret-basic", "spe: c+ial%", "secret-post", "secret-jwt", "private-key-jwt", "jwks-uri"),
        *("tls", "tls-san", "tls-self-signed"),
    ],
)
def test_client_authentication(library: Library, name: str) -> None:
    """Each method gets a token, and without its credential the client is refused."""
    client = library.provider.clients[name]
    response = get_token(library, client, scope="api:read", resource=JWT_RESOURCES["ES256"])
    assert response.is_successful, response.error
    assert (response.token_type, response.scope) == ("Bearer", "api:read")
    endpoint = library.endpoint("token_endpoint", client)
    anonymous = library.call(
        "grants.request_client_credentials_token", ClientCredentialsTokenRequest(endpoint, client.client_id)
    )
    assert (anonymous.is_successful, anonymous.error_code) == (False, "invalid_client")


def test_a_rich_authorization_request(library: Library) -> None:
    """Authorization details come back with the token, and malformed ones are refused by name."""
    client = library.provider.clients["secret-basic"]
    details = [{"type": "payment", "amount": "12.50"}]
    granted = get_token(library, client, authorization_details=details, resource=JWT_RESOURCES["ES256"])
    assert granted.authorization_details == details, granted.error
    refused = get_token(library, client, authorization_details=[{"type": "payment"}])
    assert refused.error_code == "invalid_authorization_details"


def test_a_code_serves_once_and_only_with_its_verifier(library: Library) -> None:
    """The verifier that was not hashed into the request, or a second use, gets no tokens."""
    client = library.provider.clients["public"]
    endpoint = library.endpoint("authorization_endpoint", client)
    url, sent = authorization_url(endpoint, client)
    code = library.provider.follow_login(url).params["code"]
    assert library.redeem(client, code, sent["code_verifier"]).is_successful
    assert library.redeem(client, code, sent["code_verifier"]).error_code == "invalid_grant"
    url, sent = authorization_url(endpoint, client)
    code = library.provider.follow_login(url).params["code"]
    assert library.redeem(client, code, sent["code_verifier"][::-1]).error_code == "invalid_grant"


def test_a_refresh_rotates_and_a_reuse_ends_the_grant(library: Library) -> None:
    """Each refresh brings another refresh token; the use of an old one takes the new one down with it."""
    client = library.provider.clients["secret-basic"]
    tokens, _ = log_in(library, client)
    endpoint = library.endpoint("token_endpoint", client)

    def refresh(token: str) -> Any:
        request = RefreshTokenRequest(endpoint, refresh_token=token, **credentials(client, library.issuer_of(client)))
        return library.call("grants.refresh_token", request)

    first = refresh(tokens.refresh_token)
    assert first.refresh_token != tokens.refresh_token
    validator = library.validator(library.provider.issuer, client.client_id, kind="id_token")
    assert library.validate(validator, first.id_token)["sub"] == "alice"
    second = refresh(first.refresh_token)
    assert second.is_successful
    assert refresh(tokens.refresh_token).error_code == "invalid_grant"
    assert refresh(second.refresh_token).error_code == "invalid_grant"


@pytest.mark.parametrize("approve", [True, False])
def test_the_device_grant(library: Library, approve: bool) -> None:
    """The device waits for the person at the provider's pace, and hears either decision."""
    client, provider = library.provider.clients["device"], library.provider
    who = credentials(client, provider.issuer)
    authorization = library.call(
        "device.request_device_authorization",
        DeviceAuthorizationRequest(library.endpoint("device_authorization_endpoint", client), **who),
    )
    request = DeviceTokenRequest(
        library.endpoint("token_endpoint", client), device_code=authorization.device_code, **who
    )
    assert library.call("device.poll_device_token", request).error_code == "authorization_pending"
    provider.confirm_device(authorization.verification_uri, authorization.user_code, approve=approve)
    response = library.call("device.wait_for_device_token", request, authorization)
    assert response.error_code == (None if approve else "access_denied")
    if approve:
        validator = library.validator(provider.issuer, client.client_id, kind="id_token")
        assert library.validate(validator, response.id_token, access_token=response.access_token)["sub"] == "alice"


def authenticate(library: Library, client: Client, **fields: Any) -> tuple[Any, CibaTokenRequest]:
    """Begin a CIBA request; return the answer and the request that polls for it."""
    who = credentials(client, library.provider.issuer)
    endpoint = library.endpoint("backchannel_authentication_endpoint", client)
    request = BackchannelAuthenticationRequest(endpoint, login_hint="bob", **who, **fields)
    authentication = library.call("ciba.request_backchannel_authentication", request)
    authentication.raise_for_error()
    polling = CibaTokenRequest(
        library.endpoint("token_endpoint", client), auth_req_id=authentication.auth_req_id, **who
    )
    return authentication, polling


@pytest.mark.parametrize("approve", [True, False])
def test_ciba_by_polling(library: Library, approve: bool) -> None:
    """The client asks until the person has decided on her own device."""
    client = library.provider.clients["ciba-poll"]
    authentication, polling = authenticate(library, client, binding_message="W4SCT")
    assert library.call("ciba.poll_ciba_token", polling).error_code == "authorization_pending"
    library.provider.decide_ciba(authentication.auth_req_id, approve=approve)
    response = library.call("ciba.wait_for_ciba_token", polling, authentication)
    assert response.error_code == (None if approve else "access_denied")
    if approve:
        validator = library.validator(library.provider.issuer, client.client_id, kind="id_token")
        assert library.validate(validator, response.id_token)["sub"] == "bob"


@pytest.mark.parametrize("name", ["ciba-ping", "ciba-signed"])
def test_ciba_by_ping(library: Library, name: str) -> None:
    """The notification is read with its bearer token, and then there are tokens; also after a signed request."""
    client, expected = library.provider.clients[name], generate_client_notification_token()
    signed = {"request_key": SigningKey.from_jwk(client.keys["ES256"], "ES256")} if name == "ciba-signed" else {}
    authentication, polling = authenticate(library, client, client_notification_token=expected, **signed)
    library.provider.decide_ciba(authentication.auth_req_id)
    call = library.provider.take_call("/ciba/ping")
    notification = parse_ciba_notification(call.headers, call.body.encode(), expected)
    assert (notification.kind, notification.auth_req_id) == ("ping", authentication.auth_req_id)
    assert library.call("ciba.poll_ciba_token", polling).is_successful


def test_a_grant_that_the_provider_lacks(library: Library) -> None:
    """An extension grant that this provider has not: its refusal arrives by name."""
    client = library.provider.clients["secret-basic"]
    endpoint, who = library.endpoint("token_endpoint", client), credentials(client, library.provider.issuer)
    request = ExtensionGrantTokenRequest(endpoint, grant_type="urn:example:grant", parameters={}, **who)
    response = library.call("grants.request_extension_grant_token", request)
    assert (response.is_successful, response.error_code) == (False, "unsupported_grant_type")


def test_a_token_that_cannot_be_exchanged(library: Library) -> None:
    """What is no token is not exchanged: the provider's refusal arrives by name."""
    client = library.provider.clients["secret-basic"]
    endpoint, who = library.endpoint("token_endpoint", client), credentials(client, library.provider.issuer)
    request = TokenExchangeRequest(
        endpoint, subject_token="token", subject_token_type=ExchangeTokenType.ACCESS_TOKEN, **who
    )
    response = library.call("token_exchange.exchange_token", request)
    assert (response.is_successful, response.error_code) == (False, "invalid_request")


# ---- tokens that are bound to their sender


@pytest.mark.parametrize(("name", "algorithm"), [("dpop", "ES256"), ("dpop", "EdDSA"), ("dpop-no-nonce", "PS256")])
def test_dpop(library: Library, name: str, algorithm: str) -> None:
    """[D16] The proof gets its nonce on the way, the token its key, and our resource takes the two together only."""
    client, key, resource = library.provider.clients[name], DPoPKey(algorithm), JWT_RESOURCES["ES256"]
    response = get_token(library, client, resource=resource, dpop_key=key)
    assert response.is_successful, response.error
    assert response.token_type == "DPoP"
    assert key.nonces.get(library.endpoint("token_endpoint", client)), "the provider's nonce was not kept"
    claims = library.validate(library.validator(library.provider.issuer, resource), response.access_token)
    assert claims["cnf"] == {"jkt": key.jwk_thumbprint}
    nonces = DPoPNonces()
    checks = DPoPValidator(nonces=nonces)
    for signer, outcome in ((DPoPKey(algorithm), "dpop_key_mismatch"), (key, None)):
        nonce = nonces.current(time.time())
        proof = create_dpop_proof(signer, "GET", resource, access_token=response.access_token, nonce=nonce)
        request = InboundRequest.build("GET", resource, build_dpop_headers(proof, response.access_token))
        assert outcome_of(library, request, claims, checks) == outcome


def outcome_of(library: Library, request: InboundRequest, claims: Mapping[str, Any], checks: DPoPValidator) -> Any:
    """Return the code with which our resource refuses the sender, None if it does not."""
    check = library.module("protected_resource").check_sender
    presented = read_token(request)

    try:
        if library.way == "sync":
            check(request, presented, claims, dpop=checks)
        else:

            async def main() -> None:
                await check(request, presented, claims, dpop=checks)

            library._loop(main)
    except TokenValidationException as refusal:
        return refusal.code
    return None


@pytest.mark.parametrize("name", ["tls-bound", "tls-self-signed-bound"])
def test_a_token_bound_to_a_certificate(library: Library, name: str) -> None:
    """Over https with mutual TLS the token carries the client's thumbprint, and fits no other certificate."""
    client, resource = library.provider.clients[name], JWT_RESOURCES["PS256"]
    assert client.certificate is not None
    token = get_token(library, client, resource=resource).access_token
    config = TokenValidationConfig(perform_disco=True, audience=resource)
    claims = library.call("validation.validate_token", token, config, library.provider.mtls_issuer)
    own = client.certificate.cert_file.read_text()
    assert claims["cnf"] == {"x5t#S256": compute_certificate_thumbprint(own)}
    validate_certificate_binding(claims, own)
    with pytest.raises(CertificateBindingError):
        validate_certificate_binding(claims, library.provider.certificates.server.cert_file.read_text())


def test_a_login_with_mutual_tls(library: Library) -> None:
    """A code is redeemed at the alias, and the ID token names the issuer, not the alias."""
    client = library.provider.clients["tls-bound"]
    tokens, sent = log_in(library, client)
    config = TokenValidationConfig(perform_disco=True, audience=client.client_id)
    issuer = library.provider.mtls_issuer
    claims = library.call("validation.validate_id_token", tokens.id_token, config, issuer, nonce=sent["nonce"])
    assert claims["iss"] == issuer


def test_tokens_travel_in_no_error(library: Library) -> None:
    """Not even a refusal of the real provider brings a secret into a response's text."""
    client = library.provider.clients["secret-post"]
    request = ClientCredentialsTokenRequest(
        library.endpoint("token_endpoint", client), client.client_id, "canary-secret", "api:read"
    )
    response = library.call("grants.request_client_credentials_token", request)
    assert response.error_code == "invalid_client"
    assert "canary-secret" not in json.dumps([str(response), repr(response), str(request), repr(request)])
