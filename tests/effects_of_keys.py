"""For every key, credential and keyring and each of its parameters: what is done with it, and another value."""

from __future__ import annotations

import json
import os
from typing import Any
from unittest.mock import patch

import py_identity_model as p
from effects import Case, When, shown
from effects_of_functions import (
    CERTIFICATE,
    ENCRYPTED_PEM,
    ISSUER,
    KEY,
    KEY_PEM,
    NOW,
    OTHER_CERTIFICATE,
    OTHER_KEY,
    OTHER_PEM,
)
from effects_of_objects import judged, stores, token
from effects_of_requests import REQUESTS
from py_identity_model._core.base.base64url import b64url_decode
from py_identity_model._core.client.assertions import build_jwt_bearer_assertion
from py_identity_model._core.jose.jwe import decrypt_compact, encrypt_compact
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login.jar import build_request_object

OTHER = "https://other.example.com"
RSA = SigningKey.from_pem(KEY_PEM, "RS256")
OTHER_RSA = SigningKey.from_pem(OTHER_PEM, "RS256")
OCT = {"kty": "oct", "k": "A" * 86}
OTHER_OCT = {"kty": "oct", "k": "B" * 85 + "A"}
PEM_KEYS: dict[str, Any] = {
    "private_key": OTHER_PEM,
    "algorithm": "RS512",
    "kid": "k",
    "lifetime": 60,
}
DPOP, OTHER_DPOP = p.generate_dpop_key(), p.generate_dpop_key()


def attempted(function: Any, *args: Any, **named: Any) -> Any:
    """Return what a call comes to, an exception of the library included."""
    try:
        return function(*args, **named)
    except p.PyIdentityModelException as error:
        return error


def signed(door: Any, key: Any) -> Any:
    """Use a signing key: sign with it, and show what a key set would publish."""
    return attempted(sign_compact, {"sub": "ada"}, key, typ="JWT"), key.public_jwk


def proof(door: Any, key: Any) -> Any:
    """Use a key of DPoP: show its proof."""
    return p.create_dpop_proof(key, "GET", "https://api.example.com/x") if key else None, key.public_jwk


# ---- keys of JWE

SECRET, OTHER_SECRET = b"s" * 32, b"t" * 32
EC_JWK = {name: (KEY.public_jwk or {})[name] for name in ("kty", "crv", "x", "y")}
MESSAGES = [
    encrypt_compact(b"hello", secret, alg=alg, enc=enc, kid=kid)
    for secret, alg, enc, kid in (
        (CERTIFICATE, "RSA-OAEP", "A256GCM", None),
        (CERTIFICATE, "RSA-OAEP-256", "A128GCM", "k"),
        (OTHER_CERTIFICATE, "RSA-OAEP-256", "A256GCM", None),
        (EC_JWK, "ECDH-ES", "A256GCM", None),
        (p.EncryptionKey.from_client_secret("s" * 32, 32), "dir", "A256GCM", None),
        (p.EncryptionKey.from_secret(SECRET), "dir", "A256GCM", None),
        (p.EncryptionKey.from_secret(OTHER_SECRET), "A256KW", "A256GCM", None),
    )
]
OWN, FOREIGN = (p.EncryptionKey.from_pem(pem) for pem in (KEY_PEM, OTHER_PEM))
ALGS = ("ECDH-ES", "RSA-OAEP", "RSA-OAEP-256", "dir", "A256KW")
ENCS = ("A256GCM", "A128GCM")


def header(jwe: str) -> dict[str, Any]:
    """Return the header of an encrypted token, without what is random."""
    return {name: value for name, value in json.loads(b64url_decode(jwe.partition(".")[0])).items() if name != "epk"}


def opened(door: Any, key: Any) -> Any:
    """Use a key of JWE: what it opens, and the headers of what is encrypted to it."""
    found = [attempted(decrypt_compact, each, key, algs=ALGS, encs=ENCS) for each in MESSAGES]
    for alg in ("RSA-OAEP-256", "dir", "ECDH-ES"):
        made = attempted(encrypt_compact, b"x", key, alg=alg, enc="A256GCM")
        found.append(header(made) if isinstance(made, str) else made)
    return found


def decrypted(door: Any, decryption: Any) -> Any:
    """Use keys and what they may open."""
    return [
        attempted(decrypt_compact, each, decryption.keys, algs=decryption.algs, encs=decryption.encs)
        for each in MESSAGES
    ]


def requested(door: Any, signing: Any) -> Any:
    """Use what signs requests: sign one, and open it should it be encrypted."""
    asked = [("client_id", "app"), ("response_type", "code")]
    with patch("secrets.token_bytes", os.urandom):  # content keys that are known open everything
        made = build_request_object(asked, signing, ISSUER, float(NOW))
        if made.count(".") == 2:
            return made
        inside = [attempted(decrypt_compact, made, key, algs=ALGS, encs=ENCS) for key in (OWN, FOREIGN)]
    return header(made), inside


def encrypting(door: Any, encryption: Any) -> Any:
    """Use what encrypts requests."""
    return requested(door, p.RequestSigning(KEY, encryption=encryption))


def authenticated(field: str, **more: Any) -> Any:
    """Return a use of a credential: a token is asked for with it."""
    case = REQUESTS["ClientCredentialsTokenRequest"]

    def use(door: Any, credential: Any) -> Any:
        made = attempted(p.ClientCredentialsTokenRequest, **case.base | {field: credential} | more)
        return case.use(door, made), shown(getattr(credential, "client_certificate", lambda: None)())

    return use


TEXTS = ("x5u", "x5t", "x5t_s256", "d", "n", "e", "p", "q", "dp", "dq", "qi", "k", "pub", "priv")


def believed(door: Any, key: Any) -> Any:
    """Use a key of a set: written as JSON, and validating tokens."""
    validator = p.TokenValidator(ISSUER, "api", keys={"keys": [key.as_dict()]}, stores=stores())
    return json.loads(key.to_json()), judged(token(), token(key=OTHER_KEY))(door, validator)


KEYS: dict[str, Case] = {
    "SigningKey": Case(
        {"alg": "HS256", "kid": None, "sign": lambda data: b"a" * 32, "public_jwk": None, "_private": None},
        {"alg": "HS512", "kid": "k", "sign": lambda data: b"b" * 32, "public_jwk": KEY.public_jwk},
        signed,
    ),
    "SigningKey.from_callable": Case(
        {"sign": lambda data: b"a" * 32, "alg": "HS256"},
        {"sign": lambda data: b"b" * 32, "alg": "HS512", "kid": "k"},
        signed,
        lambda door: p.SigningKey,
    ),
    "SigningKey.from_cryptography": Case(
        {"key": RSA._private, "alg": "RS256"},
        {"key": OTHER_RSA._private, "alg": "RS512", "kid": "k"},
        signed,
        lambda door: p.SigningKey,
    ),
    "SigningKey.from_jwk": Case(
        {"jwk": OCT, "alg": "HS256"}, {"jwk": OTHER_OCT, "alg": "HS512"}, signed, lambda door: p.SigningKey
    ),
    "SigningKey.from_pem": Case(
        {"pem": KEY_PEM, "alg": "RS256"},
        {"pem": OTHER_PEM, "alg": "RS512", "kid": "k", "password": When("pw", {"pem": ENCRYPTED_PEM})},
        signed,
        lambda door: p.SigningKey,
    ),
    "SigningKey.from_secret": Case(
        {"secret": b"s" * 64, "alg": "HS256"},
        {"secret": b"t" * 64, "alg": "HS512", "kid": "k"},
        signed,
        lambda door: p.SigningKey,
    ),
    "SigningKey.generate": Case(
        {"alg": "RS256"},
        {"alg": "RS512", "kid": "k", "bits": 2056},
        lambda door, key: (key.alg, key.kid, len(key.public_jwk["n"])),
        lambda door: p.SigningKey,
    ),
    "EncryptionKey": Case(
        {"kty": "EC", "crv": "P-256", "kid": None, "alg": None, "private": True, "_material": KEY._private},
        {"kty": "AKP", "crv": "P-521", "kid": "k", "alg": "A256KW", "private": False},
        opened,
    ),
    "EncryptionKey.from_client_secret": Case(
        {"secret": "s" * 32, "length": 32}, {"secret": "t" * 32, "length": 16}, opened, lambda door: p.EncryptionKey
    ),
    "EncryptionKey.from_jwk": Case(
        {"jwk": {"kty": "oct", "k": "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M"}},
        {"jwk": {"kty": "oct", "k": "dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHQ"}},
        opened,
        lambda door: p.EncryptionKey,
    ),
    "EncryptionKey.from_pem": Case(
        {"pem": KEY_PEM},
        {"pem": OTHER_PEM, "kid": "k", "alg": "RSA-OAEP", "password": When("pw", {"pem": ENCRYPTED_PEM})},
        opened,
        lambda door: p.EncryptionKey,
    ),
    "EncryptionKey.from_secret": Case(
        {"secret": SECRET}, {"secret": OTHER_SECRET, "kid": "k", "alg": "A256KW"}, opened, lambda door: p.EncryptionKey
    ),
    "Encryption": Case(
        {"key": CERTIFICATE}, {"key": OTHER_CERTIFICATE, "alg": "RSA-OAEP", "enc": "A128GCM"}, encrypting
    ),
    "Decryption": Case(
        {"keys": OWN, "algs": ("RSA-OAEP", "RSA-OAEP-256"), "encs": ("A256GCM", "A128GCM")},
        {"keys": FOREIGN, "algs": ("RSA-OAEP",), "encs": ("A256GCM",)},
        decrypted,
    ),
    "RequestSigning": Case(
        {"private_key": KEY_PEM, "algorithm": "RS256"},
        PEM_KEYS
        | {
            "password": When("pw", {"private_key": ENCRYPTED_PEM}),
            "encryption": p.Encryption(CERTIFICATE),
        },
        requested,
    ),
    "PrivateKeyJwt": Case(
        {"private_key": KEY_PEM, "algorithm": "RS256"},
        PEM_KEYS | {"audience": OTHER, "password": When("pw", {"private_key": ENCRYPTED_PEM})},
        authenticated("private_key_jwt"),
    ),
    "MtlsClientAuth": Case(
        {"certificate": "one.pem", "private_key": "one.key"},
        {
            "certificate": "other.pem",
            "private_key": "other.key",
            "password": "pw",
            "auth_method": "self_signed_tls_client_auth",
        },
        authenticated("mtls", auth_methods_supported=["tls_client_auth"]),
    ),
    "JwtBearerAssertion": Case(
        {"private_key": KEY_PEM, "issuer": "app", "subject": "ada", "audience": ISSUER, "algorithm": "RS256"},
        PEM_KEYS | {"issuer": "other", "subject": "eve", "audience": OTHER, "claims": {"more": "1"}},
        lambda door, assertion: build_jwt_bearer_assertion(assertion, float(NOW)),
    ),
    "JsonWebKey": Case(
        EC_JWK | {"kid": "k1"},
        {
            **dict.fromkeys(TEXTS, "AAAA"),
            "kty": "OKP",
            "use": "enc",
            "key_ops": ["sign"],
            "alg": "ES384",
            "kid": "k2",
            "x5c": ["AAAA"],
            "crv": "P-384",
            "x": (OTHER_KEY.public_jwk or {})["x"],
            "y": (OTHER_KEY.public_jwk or {})["y"],
            "oth": [{"r": "AAAA"}],
            "issuer": OTHER,
        },
        believed,
    ),
    "DPoPKey": Case({}, {"algorithm": "ES384"}, lambda door, key: (key.algorithm, key.public_jwk["crv"])),
    "DPoPKey.from_pem": Case(
        {"private_key": KEY_PEM, "algorithm": "RS256"},
        {
            "private_key": OTHER_PEM,
            "algorithm": "RS512",
            "password": When("pw", {"private_key": ENCRYPTED_PEM}),
        },
        proof,
        lambda door: p.DPoPKey,
    ),
    "DPoPKey.from_signing_key": Case(
        {"key": KEY},
        {"key": OTHER_KEY, "public_jwk": OTHER_KEY.public_jwk},
        proof,
        lambda door: p.DPoPKey,
    ),
    "DPoPKeyring": Case(
        {},
        {"algorithm": "ES384", "max_keys": 1},
        lambda door, ring: [shown(attempted(ring.key, ISSUER, name))[:30] for name in ("app", "other")],
    ),
    "DPoPKeyring.add": Case(
        {"provider": ISSUER, "client_id": "app", "key": OTHER_DPOP},
        {"provider": OTHER, "client_id": "other", "key": DPOP},
        of=lambda door: p.DPoPKeyring(),
        left=lambda ring: sorted((*pair, key.jwk_thumbprint) for pair, key in ring._keys.items()),
    ),
    "DPoPKeyring.key": Case(
        {"provider": ISSUER, "client_id": "app"},
        {"provider": OTHER, "client_id": "other"},
        lambda door, key: key is DPOP,
        lambda door: ring(),
    ),
    "NonceStore": Case({}, {"max_origins": 1}, lambda door, store: remembered(store)),
    "DPoPNonces": Case(
        {"secret": b"s" * 32},
        {"secret": b"t" * 32, "window": 60.0},
        lambda door, nonces: (nonces.current(float(NOW)), nonces.accepts(nonces.current(NOW - 100.0), float(NOW))),
    ),
    "DPoPNonces.current": Case({"wall": float(NOW)}, {"wall": NOW + 900.0}, of=lambda door: nonces()),
    "DPoPNonces.accepts": Case(
        {"nonce": p.DPoPNonces(b"s" * 32).current(float(NOW)), "wall": float(NOW)},
        {"nonce": "other", "wall": NOW + 900.0},
        of=lambda door: nonces(),
    ),
    "DPoPNonces.rotate": Case(
        {"secret": b"t" * 32},
        {"secret": b"u" * 32},
        of=lambda door: nonces(),
        left=lambda nonces: nonces.current(float(NOW)),
    ),
}


def nonces() -> p.DPoPNonces:
    """Return nonces."""
    return p.DPoPNonces(b"s" * 32)


def ring() -> p.DPoPKeyring:
    """Return a keyring with one key."""
    made = p.DPoPKeyring()
    made.add(ISSUER, "app", DPOP)
    return made


def remembered(store: p.NonceStore) -> Any:
    """Use a store of nonces: remember two, and ask for both."""
    for url in (ISSUER, OTHER):
        store.remember(url, url)
    return [store.get(url) for url in (ISSUER, OTHER)]
