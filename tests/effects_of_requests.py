"""Every request: a field that is changed changes what is sent, or what is made of the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import py_identity_model as p
from effects import Case, Recorder, When, parameters, wait
from py_identity_model._core.jose.signing_keys import SigningKey

ISSUER, NOW = "https://id.example.com", 1_800_000_000
KEY = SigningKey.generate("ES256", kid="k1")
DPOP = p.generate_dpop_key()
JWT_KEY = p.SigningKey.generate("ES256", kid="k2")
ASSERTION = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ANSWER = {
    "access_token": "t",
    "token_type": "Bearer",
    "issued_token_type": TOKEN_TYPE,
    "expires_in": 60,
    "device_code": "d",
    "user_code": "u",
    "verification_uri": "https://id.example.com/device",
    "request_uri": "urn:x",
    "auth_req_id": "a",
    "active": True,
    "sub": "ada",
    "iss": ISSUER,
    "client_id": "app",
}
SECRET = {"client_secret": "s" * 64}


CLIENT: dict[str, Any] = {
    "address": "https://id.example.com/other",
    "client_id": "other",
    "backchannel": "https://inside.example.com",
    "issuer": When("https://other.example.com", {"private_key_jwt": p.PrivateKeyJwt(JWT_KEY)}),
    "client_secret": "s" * 64,
    "private_key_jwt": p.PrivateKeyJwt(JWT_KEY),
    "mtls": p.MtlsClientAuth("cert.pem", "key.pem"),
    "client_assertion": ASSERTION,
    "auth_method": When("client_secret_post", SECRET),
    "auth_methods_supported": When(["client_secret_post"], SECRET),
    "client_secret_jwt_algorithm": When("HS512", {**SECRET, "auth_method": "client_secret_jwt"}),
    "attestation": lambda _: ("a.b.c", "d.e.f"),
    "extra": {"more": "1"},
    "headers": {"X-More": "1"},
    "allow_insecure_http": When(True, {"address": "http://id.example.com/endpoint"}),
    "scope": "more",
    "resource": "https://api.example.com",
    "authorization_details": [{"type": "x"}],
    "dpop_key": DPOP,
    "token_types": ["N_A"],
}


def requesting(
    request: str, function: str, base: dict[str, Any] | None = None, other: dict[str, Any] | None = None, **answer: Any
) -> dict[str, Case]:
    """Return the cases of a request and of the function that performs it, over a transport that always answers so."""
    status = answer.pop("status", 200)
    recorder = Recorder(status=status, **ANSWER | answer)
    known = parameters(getattr(p, request))
    full = {name: value for name, value in {"client_id": "app", **(base or {})}.items() if name in known}
    full.setdefault(next(iter(known)), "https://id.example.com/endpoint")

    def use(door: Any, value: Any) -> Any:
        recorder.requests.clear()
        try:
            result = wait(getattr(door, function)(value, http_client=recorder))
        except p.PyIdentityModelException as error:
            result = error
        return result, list(recorder.requests)

    def performed(**fields: Any) -> Any:
        return getattr(p, request)(**full | fields)

    changes = {name: value for name, value in (CLIENT | (other or {})).items() if name in known}
    first = next(iter(parameters(getattr(p, function))))
    elsewhere = next(iter(known)), changes[next(iter(known))]
    return {
        request: Case(full, changes, use),
        function: Case(
            {first: performed(), "http_client": recorder},
            {
                first: performed(**dict([elsewhere])),
                "http_client": Recorder("second", 400, error="invalid_request"),
            },
        ),
    }


URL, NAMES = "https://app.example.com/cb", {"redirect_uris": ["https://app.example.com/cb"]}
SIGNED = p.SignedResponsePolicy(p.TokenValidationConfig(True, audience="app", algorithms=["ES256"]), ISSUER)
LOGIN: dict[str, Any] = {
    "prompt": "login",
    "max_age": 60,
    "acr_values": "gold",
    "ui_locales": "de",
    "claims_locales": "de",
    "claims": {"id_token": {"email": None}},
    "login_hint": "ada",
    "id_token_hint": ASSERTION,
    "display": "page",
    "dpop_jkt": DPOP.jwk_thumbprint,
    "allow_challenge_that_shows_the_verifier": When(
        True, {"code_challenge": "c" * 43, "code_challenge_method": "plain"}
    ),
    "allow_redirect_uri_over_insecure_http": When(True, {"redirect_uri": "http://app.example.com/cb"}),
    "redirect_uri": "https://app.example.com/other",
    "response_type": "code id_token",
    "response_mode": "form_post",
    "state": "other",
    "nonce": "other",
    "code_challenge": When("c" * 43, {"code_challenge_method": "S256"}),
    "code_challenge_method": When("plain", {"code_challenge": "c" * 43}),
}
REGISTRATION: dict[str, Any] = {
    "redirect_uris": ["https://app.example.com/other"],
    "response_types": ["code"],
    "grant_types": ["authorization_code"],
    "application_type": "native",
    "contacts": ["ada@example.com"],
    "client_name": "App",
    "logo_uri": URL,
    "client_uri": URL,
    "policy_uri": URL,
    "tos_uri": URL,
    "token_endpoint_auth_method": "client_secret_basic",
    "jwks_uri": URL,
    "jwks": {"keys": [JWT_KEY.public_jwk]},
    "software_id": "x",
    "software_version": "1",
    "software_statement": ASSERTION,
    "extra_metadata": {"subject_type": "pairwise"},
    "unchecked_metadata": {"own_member": "x"},
    "leave_out": When(["application_type"], {"application_type": "web"}),
    "initial_access_token": "t",
    "registration_access_token": "other",
    "client_secret": "s" * 64,
}
USED = {"registration_access_token": "t"}
METADATA = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}/jwks",
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "response_types_supported": ["code"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["ES256"],
}
CODE = {"code": "c", "redirect_uri": URL}
REQUESTS: dict[str, Case] = {
    **requesting("ClientCredentialsTokenRequest", "request_client_credentials_token"),
    **requesting(
        "AuthorizationCodeTokenRequest",
        "request_authorization_code_token",
        CODE,
        {"code": "other", "redirect_uri": "https://app.example.com/other", "code_verifier": "v" * 43},
    ),
    **requesting("RefreshTokenRequest", "refresh_token", {"refresh_token": "r"}, {"refresh_token": "other"}),
    **requesting(
        "JwtBearerTokenRequest", "request_jwt_bearer_token", {"assertion": ASSERTION}, {"assertion": ASSERTION + "a"}
    ),
    **requesting(
        "ExtensionGrantTokenRequest",
        "request_extension_grant_token",
        {"grant_type": "urn:x:y", "parameters": {"a": "b"}},
        {"grant_type": "urn:x:z", "parameters": {"a": "c"}},
    ),
    **requesting(
        "TokenExchangeRequest",
        "exchange_token",
        {"subject_token": "t", "subject_token_type": TOKEN_TYPE},
        {
            "subject_token": "other",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "actor_token": When("other", {"actor_token": "t", "actor_token_type": TOKEN_TYPE}),
            "actor_token_type": When("urn:x:y", {"actor_token": "t", "actor_token_type": TOKEN_TYPE}),
            "audience": "api",
            "requested_token_type": TOKEN_TYPE,
        },
    ),
    **requesting("DeviceAuthorizationRequest", "request_device_authorization"),
    **requesting("DeviceTokenRequest", "poll_device_token", {"device_code": "d"}, {"device_code": "other"}),
    **requesting(
        "BackchannelAuthenticationRequest",
        "request_backchannel_authentication",
        {"login_hint": "ada", **SECRET},
        {
            "client_secret": "t" * 64,
            "login_hint": "other",
            "login_hint_token": When("t", {"login_hint": None}),
            "id_token_hint": When(ASSERTION, {"login_hint": None}),
            "binding_message": "x",
            "user_code": "x",
            "acr_values": "gold",
            "requested_expiry": 60,
            "client_notification_token": "n" * 32,
            "request_key": JWT_KEY,
            "request_lifetime": When(60, {"request_key": JWT_KEY, "issuer": ISSUER}),
        },
    ),
    **requesting(
        "CibaTokenRequest",
        "poll_ciba_token",
        {"auth_req_id": "a", **SECRET},
        {"auth_req_id": "b", "client_secret": "t" * 64},
        id_token="x",
    ),
    **requesting(
        "PushedAuthorizationRequest",
        "push_authorization_request",
        {"redirect_uri": URL, "state": "s", "nonce": "n"},
        LOGIN | {"request_object": ASSERTION},
        status=201,
    ),
    **requesting(
        "TokenIntrospectionRequest",
        "introspect_token",
        {"token": "t"},
        {
            "token": "other",
            "token_type_hint": "access_token",
            "authorization": "bearer",
            "expected_audience": "api",
            "allow_missing_audience": When(True, {"expected_audience": "api"}),
            "expected_issuer": "https://other.example.com",
            "signed_response": SIGNED,
        },
    ),
    **requesting(
        "TokenRevocationRequest", "revoke_token", {"token": "t"}, {"token": "other", "token_type_hint": "access_token"}
    ),
    **requesting(
        "UserInfoRequest",
        "get_userinfo",
        {"token": "t"},
        {"token": "other", "expected_sub": "other", "signed_response": SIGNED},
    ),
    **requesting("ClientRegistrationRequest", "register_client", NAMES, REGISTRATION, status=201),
    **requesting("ClientUpdateRequest", "update_client", USED | NAMES, REGISTRATION),
    **requesting("ClientReadRequest", "read_client", USED, REGISTRATION),
    **requesting("ClientDeleteRequest", "delete_client", USED, REGISTRATION, status=204),
    **requesting(
        "ClientMetadataDocumentRequest",
        "get_client_metadata_document",
        None,
        {"address": "https://app.example.com/other", "allow_private_addresses": True},
        client_id="https://id.example.com/endpoint",
    ),
    **requesting(
        "ProtectedResourceMetadataRequest",
        "get_protected_resource_metadata",
        None,
        {
            "address": "https://api.example.com/other",
            "resource": "https://other.example.com",
            "require_signed_metadata": True,
            "allow_private_addresses": When(
                True, {"address": "https://other.example.com/x", "resource": "https://id.example.com"}
            ),
        },
        resource="https://id.example.com/endpoint",
    ),
    **requesting(
        "WebFingerRequest",
        "discover_issuer",
        {"identifier": "acct:ada@example.com"},
        {"identifier": "acct:ada@example.org", "allow_private_addresses": True},
        links=[{"rel": "http://openid.net/specs/connect/1.0/issuer", "href": ISSUER}],
    ),
    **requesting(
        "DiscoveryDocumentRequest",
        "get_discovery_document",
        {"address": ISSUER},
        {"address": "https://other.example.com", "policy": p.DiscoveryPolicy(authority="https://other.example.com")},
        **METADATA,
    ),
    **requesting(
        "JwksRequest",
        "get_jwks",
        {"address": f"{ISSUER}/jwks"},
        {"address": "https://other.example.com", "policy": p.DiscoveryPolicy(require_public_addresses=True)},
        keys=[KEY.public_jwk],
    ),
}

for name in ("get_discovery_document", "get_jwks"):
    found = REQUESTS[name]
    REQUESTS[name] = replace(found, changes=found.changes | {"refresh": True}, twice=True)
