"""Assertions: what they say, who signs them, and that none is ever used twice (RFC 7523 3)."""

from __future__ import annotations

import dataclasses
import json
import traceback
from urllib.parse import parse_qsl

import pytest

import py_identity_model._core.client.grants as grants
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.client.assertions import (
    MAX_LIFETIME,
    JwtBearerAssertion,
    build_client_assertion,
    build_jwt_bearer_assertion,
    check_lifetime,
    read_signing_key,
    sign_assertion,
)
from py_identity_model._core.client.client_auth import PrivateKeyJwt
from py_identity_model._core.jose.jws import parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model.exceptions import ConfigurationException, TransportException
from py_identity_model.settings import Settings

ISSUER = "https://id.example.com"
ENDPOINT = ISSUER + "/token"
WALL = 1_800_000_000.9
KEY = SigningKey.generate("ES256", kid="k1")
JSON = ("content-type", "application/json")
TOKENS = Reply(200, (JSON,), b'{"access_token": "t", "token_type": "Bearer"}', ENDPOINT)
BOUND = Reply(200, (JSON,), b'{"access_token": "t", "token_type": "DPoP"}', ENDPOINT)
WANTS_NONCE = Reply(400, (JSON, ("dpop-nonce", "n-1")), b'{"error": "use_dpop_nonce"}', ENDPOINT)
LOST = TransportException("connection lost", code="connection_lost")


def read(token):
    jws = parse_compact(token)
    return jws.header, json.loads(jws.payload)


def form(request):
    return dict(parse_qsl(request.body.decode()))


def vouch(**fields):
    return JwtBearerAssertion(**{"private_key": KEY, "issuer": "svc", "subject": "ada", "audience": ISSUER, **fields})


# ---- what they say


def test_a_client_assertion():
    """[F12] [S16] RFC 7523 3: iss and sub are the client, aud is one string, and the time is short."""
    header, claims = read(build_client_assertion(KEY, "app", ISSUER, WALL))
    assert header == {"alg": "ES256", "typ": "client-authentication+jwt", "kid": "k1"}
    assert len(claims.pop("jti")) >= 22
    assert claims == {"iss": "app", "sub": "app", "aud": ISSUER, "iat": 1_800_000_000, "exp": 1_800_000_300}


def test_a_bearer_assertion():
    """RFC 7523 3: a bearer assertion says who vouches for whom before whom, with claims of its own beside."""
    header, claims = read(build_jwt_bearer_assertion(vouch(lifetime=60, claims={"scope": "read"}), WALL))
    assert header == {"alg": "ES256", "typ": "JWT", "kid": "k1"}
    assert len(claims.pop("jti")) >= 22
    assert claims == {
        "iss": "svc",
        "sub": "ada",
        "aud": ISSUER,
        "iat": 1_800_000_000,
        "exp": 1_800_000_060,
        "scope": "read",
    }


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "jti"])
def test_own_claims_replace_nothing(name):
    """What an assertion says by itself cannot be replaced; a fixed jti would make it replayable."""
    _, claims = read(build_jwt_bearer_assertion(vouch(claims={name: "evil"}), WALL))
    assert claims[name] != "evil"


def test_the_signature_holds():
    """The signature is the key's own, over the assertion as it is sent."""
    for token in (build_client_assertion(KEY, "app", ISSUER, WALL), build_jwt_bearer_assertion(vouch(), WALL)):
        jws = parse_compact(token)
        assert prepare(import_key(KEY.public_jwk), "ES256").verify(jws.signing_input, jws.signature)


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME + 1, True, 1.5, "300", None])
def test_lifetimes_are_short(lifetime):
    """An assertion lives for 1 to 3600 seconds."""
    for make in (check_lifetime, lambda value: vouch(lifetime=value)):
        with pytest.raises(ConfigurationException) as error:
            make(lifetime)
        assert error.value.code == "lifetime_invalid"


@pytest.mark.parametrize("name", ["issuer", "subject", "audience"])
@pytest.mark.parametrize("value", ["", None, [ISSUER], ["a", "b"], 5])
def test_an_assertion_is_complete(name, value):
    """[F12] Issuer, subject and audience are one text each: with several audiences each could use it at the others."""
    with pytest.raises(ConfigurationException) as error:
        vouch(**{name: value})
    assert (error.value.code, error.value.claim) == ("parameter_missing", name)


# ---- who signs them


@pytest.mark.parametrize("alg", ["ES256", "ES384", "PS256", "Ed25519"])
def test_keys_of_each_kind(alg):
    """[F35] [J4] A PEM key signs with the algorithm it is given, and only with one that fits it."""
    pem = SigningKey.generate(alg).private_pem
    for given in (pem, pem.encode(), Secret(pem)):
        assertion = vouch(private_key=given, algorithm=alg, kid="k2")
        assert read(build_jwt_bearer_assertion(assertion, WALL))[0] == {"alg": alg, "typ": "JWT", "kid": "k2"}
    with pytest.raises(ConfigurationException):
        build_jwt_bearer_assertion(vouch(private_key=pem, algorithm="RS512" if alg != "PS256" else "ES256"), WALL)


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "", "RS1"])
def test_a_pem_key_never_signs_with_these(alg):
    """[J6] [F36] none is no algorithm, and a private key is no shared secret."""
    with pytest.raises(ConfigurationException):
        build_jwt_bearer_assertion(vouch(private_key=KEY.private_pem, algorithm=alg), WALL)


def test_an_encrypted_pem_key():
    """An encrypted key is read with its password, and refused without."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    pem = KEY._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary-password"))
    assert read_signing_key(pem, "ES256", None, Secret("canary-password")).alg == "ES256"
    for password in (None, "canary-wrong"):
        with pytest.raises(ConfigurationException) as error:
            read_signing_key(pem, "ES256", None, password)
        assert "canary" not in str(error.value)


def test_a_signer_elsewhere():
    """A KMS or HSM signs through a callable, which gets the signing input and nothing else."""
    seen = []

    def sign(signing_input):
        seen.append(signing_input)
        return KEY.sign(signing_input)

    remote = SigningKey.from_callable(sign, "ES256", "hsm-1")
    jws = parse_compact(build_client_assertion(remote, "app", ISSUER, WALL))
    assert seen == [jws.signing_input]
    assert jws.header["kid"] == "hsm-1"
    assert prepare(import_key(KEY.public_jwk), "ES256").verify(jws.signing_input, jws.signature)


@pytest.mark.parametrize("failure", [RuntimeError("canary-hsm"), ValueError("canary"), KeyError("canary")])
def test_a_signer_that_fails(failure):
    """[S25] Whatever a foreign signer raises becomes one error that repeats nothing of it."""

    def sign(_):
        raise failure

    remote = SigningKey.from_callable(sign, "ES256")
    with pytest.raises(ConfigurationException) as error:
        sign_assertion({"sub": "canary-sub"}, remote, typ="JWT")
    assert error.value.code == "signing_failed"
    assert error.value.__suppress_context__
    assert "canary" not in "".join(traceback.format_exception(error.value)).replace("canary-sub", "")


@pytest.mark.parametrize("signature", [b"", b"short", b"a" * 63, "text"])
def test_a_signer_that_answers_nonsense(signature):
    """A signature of the wrong size or type is never sent."""
    with pytest.raises(ConfigurationException):
        build_client_assertion(SigningKey.from_callable(lambda _: signature, "ES256"), "app", ISSUER, WALL)


@pytest.mark.parametrize("claims", [{"a": float("nan")}, {"a": object()}])
def test_claims_that_are_no_json(claims):
    """Claims that JSON cannot hold are a configuration error."""
    with pytest.raises(ConfigurationException):
        build_jwt_bearer_assertion(vouch(claims=claims), WALL)


def test_the_key_does_not_show():
    """[S25] The private key is in no repr, equality aside."""
    pem = KEY.private_pem
    for value in (vouch(private_key=pem), vouch(private_key=Secret(pem)), vouch()):
        assert "PRIVATE" not in repr(value) + str(value)
    assert dataclasses.replace(vouch(), subject="bob").subject == "bob"


# ---- never twice


def test_no_two_assertions_share_a_jti():
    """[F39] Each assertion has a jti of its own, of 128 bits at least."""
    made = [build_client_assertion(KEY, "app", ISSUER, WALL) for _ in range(50)]
    made += [build_jwt_bearer_assertion(vouch(), WALL) for _ in range(50)]
    assert len({read(token)[1]["jti"] for token in made}) == 100


def sent_assertions(requests, name):
    return [read(form(request)[name])[1]["jti"] for request in requests]


@pytest.mark.parametrize("trouble", [LOST, Reply(503), Reply(429, (("retry-after", "1"),))])
def test_a_repeat_never_resends_an_assertion(perform, trouble):
    """[F39] Where a request is repeated, the client assertion is made anew: its jti is never sent twice."""
    request = grants.ClientCredentialsTokenRequest(ENDPOINT, "app", private_key_jwt=PrivateKeyJwt(KEY))
    flow = grants.request_client_credentials_token(request, Settings(http_retry_max_attempts=3))
    _, sent = perform(flow, trouble, trouble, TOKENS)
    assert len(set(sent_assertions(sent, "client_assertion"))) == 3


@pytest.mark.parametrize("trouble", [LOST, Reply(503), Reply(429)])
def test_a_bearer_assertion_is_sent_once(perform, trouble):
    """An assertion that may have arrived is not sent again: the caller makes a new one."""
    request = grants.JwtBearerTokenRequest(ENDPOINT, vouch())
    _, sent = perform(grants.request_jwt_bearer_token(request), trouble)
    assert len(sent) == 1
    _, again = perform(grants.request_jwt_bearer_token(request), TOKENS)
    assert len(set(sent_assertions([*sent, *again], "assertion"))) == 2


def test_a_dpop_nonce_does_not_resend_an_assertion(perform):
    """[F15] [D16] The one repeat with the provider's nonce carries new assertions of both kinds."""
    request = grants.JwtBearerTokenRequest(
        ENDPOINT, vouch(), client_id="app", private_key_jwt=PrivateKeyJwt(KEY), dpop_key=DPoPKey()
    )
    _, sent = perform(grants.request_jwt_bearer_token(request), WANTS_NONCE, BOUND)
    for name in ("assertion", "client_assertion"):
        assert len(set(sent_assertions(sent, name))) == 2
