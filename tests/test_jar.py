"""Signed authorization requests: what they say, who they are for, and that nothing outside can say otherwise."""

from __future__ import annotations

import json
import pickle
import traceback
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from py_identity_model import _jar as door
from py_identity_model._core.base.base64url import b64url_decode, b64url_encode
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.jose.jws import parse_compact, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model._core.login.authorization import AuthorizationRequest, build_authorization_parameters
from py_identity_model._core.login.jar import (
    RequestSigning,
    build_jar_authorization_url,
    build_request_object,
    build_request_uri_url,
    build_signed_parameters,
)
from py_identity_model._jar import create_request_object
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException
from rfc_examples import RFC_9101

NOW = 1_800_000_000
ISSUER = "https://id.example.com"
ENDPOINT = ISSUER + "/authorize"
KEY = SigningKey.generate("ES256", kid="sig-1")
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.fixture(autouse=True)
def _at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still."""
    monkeypatch.setattr(door.time, "time", lambda: NOW + 0.7)


def created(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "private_key": KEY,
        "algorithm": "ES256",
        "client_id": "app",
        "audience": ISSUER,
        "redirect_uri": "https://app.example.com/cb",
    }
    return create_request_object(**{**arguments, **changes})


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(parse_compact(token).payload)
    return claims


def refusal(**changes: Any) -> ConfigurationException:
    with pytest.raises(ConfigurationException) as caught:
        created(**changes)
    return caught.value


def parameters(**fields: Any) -> list[tuple[str, str]]:
    request = AuthorizationRequest(client_id="app", redirect_uri="https://app.example.com/cb", **fields)
    return build_authorization_parameters(request)


def query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


# ---- what it says


def test_the_request_object_says_who_asks_whom_and_until_when() -> None:
    """[M1] typ, iss, aud as one string, iat, nbf, exp within the hour, and a jti with 128 bits and more."""
    token = created(state="s", nonce="n", code_challenge=CHALLENGE, kid="ignored")
    assert parse_compact(token).header == {"alg": "ES256", "typ": "oauth-authz-req+jwt", "kid": "sig-1"}
    claims = claims_of(token)
    assert len(b64url_decode(claims.pop("jti"))) >= 16
    assert claims == {
        "iss": "app",
        "aud": ISSUER,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 300,
        "client_id": "app",
        "response_type": "code",
        "redirect_uri": "https://app.example.com/cb",
        "scope": "openid",
        "state": "s",
        "nonce": "n",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }


def test_the_signature_is_good_and_each_object_is_new() -> None:
    """[M1] The signature verifies under the client's key; no two objects have the same jti."""
    one, two = parse_compact(created()), parse_compact(created())
    assert prepare(import_key(KEY.public_jwk or {}), "ES256").verify(one.signing_input, one.signature)
    assert json.loads(one.payload)["jti"] != json.loads(two.payload)["jti"]


def test_values_keep_their_json_types() -> None:
    """RFC 9101 4, RFC 9396 3: numbers, objects and lists are such in the request object, not texts."""
    details = [{"type": "payment", "amount": 12}]
    claims = claims_of(
        created(
            max_age=600,
            claims={"id_token": {"acr": {"essential": True}}},
            authorization_details=details,
            resource=["https://a.example.com", "https://b.example.com"],
            purpose={"text": "x"},
            prompt="login",
            response_mode="jwt",
        )
    )
    assert claims["max_age"] == 600
    assert claims["claims"] == {"id_token": {"acr": {"essential": True}}}
    assert claims["authorization_details"] == details
    assert claims["resource"] == ["https://a.example.com", "https://b.example.com"]
    assert (claims["purpose"], claims["prompt"], claims["response_mode"]) == ({"text": "x"}, "login", "jwt")


@pytest.mark.parametrize(
    "name",
    [
        *("iss", "aud", "exp", "nbf", "iat", "jti", "sub", "request", "request_uri"),
        *("client_secret", "client_assertion", "client_assertion_type", "code_verifier"),
    ],
)
def test_what_is_its_own_cannot_be_set(name: str) -> None:
    """[M1] No claim of the object itself, no sub, no request in the request, no secret can be set by a parameter."""
    error = refusal(**{name: "x"})
    assert (error.code, error.claim) == ("parameter_reserved", name)


def test_a_parameter_stands_once() -> None:
    """A parameter given twice is refused, but for resource."""
    with pytest.raises(ConfigurationException) as caught:
        build_request_object([*parameters(), ("scope", "more")], RequestSigning(KEY), ISSUER, NOW)
    assert caught.value.claim == "scope"
    with pytest.raises(ConfigurationException) as caught:
        build_request_object(parameters(), RequestSigning(KEY), ISSUER, NOW, claims={"scope": "more"})
    assert caught.value.claim == "scope"


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"client_id": ""}, "client_id"),
        ({"audience": ""}, "audience"),
        ({"audience": [ISSUER]}, "audience"),
        ({"redirect_uri": "http://app.example.com/cb"}, "redirect_uri"),
        ({"response_type": "token"}, "response_type"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "plain"}, "code_challenge_method"),
        ({"lifetime": 0}, "lifetime"),
        ({"lifetime": 3601}, "lifetime"),
        ({"lifetime": True}, "lifetime"),
        ({"algorithm": "PS256"}, "algorithm"),
        ({"algorithm": "none", "private_key": "x"}, "algorithm"),
        ({"max_age": -1}, "max_age"),
    ],
)
def test_requests_that_make_no_safe_sense(changes: dict[str, Any], claim: str) -> None:
    """[M1] [F36] What an authorization request may not say, a signed one may not either; none is no algorithm."""
    assert refusal(**changes).claim == claim


def test_values_that_are_no_json_are_refused() -> None:
    """What cannot be written as JSON is a mistake of the caller."""
    assert refusal(purpose=float("nan")).code == "claims_not_json"


# ---- keys


@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA", "Ed25519", "RS256", "ES384"])
def test_any_key_signs(alg: str) -> None:
    """PEM text, bytes and ready keys of every algorithm sign."""
    key = SigningKey.generate(alg)
    for given in (key, key.private_pem, (key.private_pem or "").encode()):
        jws = parse_compact(created(private_key=given, algorithm=alg, kid="k"))
        assert prepare(import_key(key.public_jwk or {}), alg).verify(jws.signing_input, jws.signature)
        assert jws.header.get("kid") == (None if given is key else "k")


def test_a_callable_signs() -> None:
    """A key in a KMS or HSM signs through a callable; its error repeats nothing."""
    remote = SigningKey.from_callable(KEY.sign, "ES256", "kms-1")
    assert parse_compact(created(private_key=remote)).header["kid"] == "kms-1"

    def broken(data: bytes) -> bytes:
        raise RuntimeError("canary")

    error = refusal(private_key=SigningKey.from_callable(broken, "ES256"))
    assert error.code == "signing_failed"
    assert "canary" not in repr(error)


def test_a_client_secret_signs_where_it_is_given_as_such() -> None:
    """OpenID Connect Core 6.1: HS256 with the client_secret works with an explicit shared secret only."""
    shared = SigningKey.from_secret(Secret("canary-secret-of-at-least-32-octets"), "HS256")
    assert parse_compact(created(private_key=shared, algorithm="HS256")).header["alg"] == "HS256"
    assert refusal(private_key="canary-secret-of-at-least-32-octets", algorithm="HS256")


def test_signed_and_encrypted() -> None:
    """RFC 9101 4: signed, then encrypted to the provider, with cty JWT."""
    from py_identity_model._core.jose.jwe import Decryption, Encryption, decrypt_nested
    from py_identity_model._core.jose.jwe_keys import EncryptionKey

    key = EncryptionKey.from_secret(bytes(32))
    signing = RequestSigning(KEY, encryption=Encryption(key, "A256KW", "A256GCM"))
    token = build_request_object(parameters(), signing, ISSUER, NOW)
    assert claims_of(decrypt_nested(token, Decryption(key)))["client_id"] == "app"
    assert json.loads(b64url_decode(token.split(".")[0]))["cty"] == "JWT"
    assert dict(query(build_jar_authorization_url(ENDPOINT, "app", token)))["request"] == token


# ---- how it travels


def test_in_the_url_with_what_has_to_stand_beside_it() -> None:
    """RFC 9101 5, OpenID Connect Core 6.1: client_id, response_type and scope stand outside, and say the same."""
    pairs = dict(build_signed_parameters(parameters(state="s"), RequestSigning(KEY), ISSUER, NOW))
    assert list(pairs) == ["client_id", "response_type", "scope", "request"]
    claims = claims_of(pairs.pop("request"))
    assert pairs == {name: claims[name] for name in pairs}
    assert claims["state"] == "s"


def test_pushed_it_travels_alone() -> None:
    """[M1] RFC 9126 3: pushed, nothing stands beside the request object but the client."""
    pairs = build_signed_parameters(parameters(state="s"), RequestSigning(KEY), ISSUER, NOW, pushed=True)
    assert [name for name, _ in pairs] == ["client_id", "request"]


def test_the_url_keeps_the_endpoint() -> None:
    """The endpoint's own query is kept, and nothing is sent that was not given."""
    token = created()
    url = build_jar_authorization_url(ENDPOINT + "?tenant=1", "app", token)
    assert query(url) == [("tenant", "1"), ("client_id", "app"), ("request", token)]
    url = build_jar_authorization_url(ENDPOINT, "app", token, "openid", "code")
    assert [name for name, _ in query(url)] == ["client_id", "response_type", "scope", "request"]


@pytest.mark.parametrize(
    ("outside", "claim"),
    [
        ({"client_id": "other"}, "client_id"),
        ({"scope": "openid admin"}, "scope"),
        ({"response_type": "code id_token"}, "response_type"),
    ],
)
def test_nothing_outside_says_otherwise(outside: dict[str, str], claim: str) -> None:
    """RFC 9101 5: a parameter outside that differs from the one inside is refused."""
    with pytest.raises(ConfigurationException) as caught:
        build_jar_authorization_url(ENDPOINT, **{"client_id": "app", "request_object": created(), **outside})
    assert (caught.value.code, caught.value.claim) == ("request_object_mismatch", claim)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        None,
        b64url_encode(b'{"alg":"none"}') + ".e30.",
        b64url_encode(b'{"alg":"none"}') + ".e30.AAAA",
        sign_compact({}, KEY).rpartition(".")[0] + ".",
        sign_compact(b"[]", KEY),
    ],
)
def test_what_is_no_signed_request_is_not_sent(token: Any) -> None:
    """[F36] Unsecured, unsigned or broken request objects are refused before they travel."""
    with pytest.raises(ConfigurationException) as caught:
        build_jar_authorization_url(ENDPOINT, "app", token)
    assert caught.value.code == "request_object_invalid"


@pytest.mark.parametrize("uri", ["urn:ietf:params:oauth:request_uri:6esc", "https://app.example.com/r#hash"])
def test_by_reference_only_client_and_reference_travel(uri: str) -> None:
    """[F27] RFC 9126 4: client_id and request_uri, nothing else."""
    assert query(build_request_uri_url(ENDPOINT, "app", uri)) == [("client_id", "app"), ("request_uri", uri)]
    assert query(build_request_uri_url(ENDPOINT, "app", Secret(uri)))[1] == ("request_uri", uri)


def test_beside_a_request_that_the_client_publishes() -> None:
    """OpenID Connect Core 6.2: scope and response_type stand outside, too; beside a pushed request nothing does."""
    uri = "https://app.example.com/requests/1"
    pairs = [("client_id", "app"), ("response_type", "code"), ("scope", "openid email"), ("request_uri", uri)]
    assert query(build_request_uri_url(ENDPOINT, "app", uri, scope="openid email", response_type="code")) == pairs
    for outside in ({"scope": "openid"}, {"response_type": "code"}):
        with pytest.raises(ConfigurationException) as caught:
            build_request_uri_url(ENDPOINT, "app", "urn:ietf:params:oauth:request_uri:6esc", **outside)
        assert caught.value.code == "parameter_reserved"
    with pytest.raises(ConfigurationException):
        build_request_uri_url(ENDPOINT, "app", uri, scope="")


@pytest.mark.parametrize("uri", ["", None, "http://app.example.com/r", "urn:" + "a" * 600, "javascript:x", "urn:a b"])
def test_references_that_are_none(uri: Any) -> None:
    """RFC 9101 5.2: https or a URN, 512 characters at most."""
    with pytest.raises(ConfigurationException) as caught:
        build_request_uri_url(ENDPOINT, "app", uri)
    assert caught.value.code == "request_uri_invalid"


# ---- nothing secret shows, and the example of the RFC


def test_nothing_secret_shows() -> None:
    """Keys and passwords are in no repr, message, traceback or pickle of an error."""
    signing = RequestSigning("canary-pem", password="canary-pass")
    seen = [repr(signing)]
    for attempt in (signing.signing_key, lambda: created(private_key="canary-pem"), lambda: created(sub="canary")):
        try:
            attempt()
        except PyIdentityModelException as error:
            seen += [repr(error), traceback.format_exc().replace('"canary', ""), repr(vars(error))]
            seen.append(str(pickle.dumps(error)))
    assert len(seen) == 13
    with pytest.raises(ConfigurationException):
        pickle.dumps(signing)
    assert not [text for text in seen if "canary-" in text]


def test_rfc_9101() -> None:
    """RFC 9101 4: the example's request is made of the same parameters, and its own signed object is sent as it is."""
    expected, jwk, token = (RFC_9101[name] for name in ("request", "jwk", "token"))
    own = {"iss", "aud", "client_id"}
    made = claims_of(
        create_request_object(
            KEY, "ES256", expected["client_id"], expected["aud"], **{k: v for k, v in expected.items() if k not in own}
        )
    )
    assert {name: made[name] for name in expected} == expected
    jws = parse_compact(token)
    assert prepare(import_key(jwk), "RS256").verify(jws.signing_input, jws.signature)
    url = build_jar_authorization_url("https://server.example.com/authorize", "s6BhdRkqt3", token)
    assert url == f"https://server.example.com/authorize?client_id=s6BhdRkqt3&request={token}"
