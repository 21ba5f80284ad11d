"""Compact JWS: algorithms, keys, signing, and the attacks on all of them."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import pickle
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from py_identity_model._core.base.base64url import b64url_decode, b64url_encode
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.jose import algorithms as algorithms_module
from py_identity_model._core.jose.algorithms import (
    ALGORITHMS,
    ASYMMETRIC_ALGORITHMS,
    EC_CURVES,
    SYMMETRIC_ALGORITHMS,
    KeyRefused,
    ml_dsa,
)
from py_identity_model._core.jose.jws import half_hash, jwk_thumbprint, parse_compact, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import (
    PreparedKey,
    PublicKey,
    export_jwk,
    import_key,
    import_pem,
    prepare,
)
from py_identity_model.exceptions import ConfigurationException, TokenValidationException

CLAIMS = {"iss": "https://issuer.example", "sub": "ada"}


@cache
def signing_key(alg: str) -> SigningKey:
    """One key per algorithm for all tests; making RSA keys is slow."""
    return SigningKey.generate(alg, kid=f"{alg}-key")


def public_key(alg: str) -> PublicKey:
    key = signing_key(alg)
    if key.public_jwk is None:
        return PublicKey("oct", None, None, None, None, None, b"k" * 64)
    return import_key(key.public_jwk)


def ready(alg: str) -> PreparedKey:
    return prepare(public_key(alg), alg)


def token_with(header: Any, payload: bytes = b"{}", signature: bytes = b"x" * 64) -> str:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return ".".join(map(b64url_encode, (raw, payload, signature)))


def code_of(token: Any, **limits: Any) -> str:
    with pytest.raises(TokenValidationException) as caught:
        parse_compact(token, **limits)
    assert caught.value.__cause__ is None
    return caught.value.code


def reason_of(attempt: Callable[[], object]) -> str | None:
    """Return why a key is refused, None if it is not."""
    try:
        attempt()
    except KeyRefused as error:
        return error.reason
    return None


def refusal(jwk: Any, alg: str | None = None) -> str:
    with pytest.raises(KeyRefused) as caught:
        prepare(import_key(jwk), alg or jwk["alg"])
    return caught.value.reason


# ---- every algorithm


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_every_algorithm_signs_and_verifies(alg: str) -> None:
    """A token signed with a new key is good under its published half, and under nothing else."""
    key, prepared = signing_key(alg), ready(alg)
    jws = parse_compact(sign_compact(CLAIMS, key, typ="at+jwt"))
    assert jws.header == {"alg": alg, "typ": "at+jwt", "kid": f"{alg}-key"}
    assert json.loads(jws.payload) == CLAIMS
    assert len(jws.signature) == prepared.signature_length
    assert prepared.verify(jws.signing_input, jws.signature)
    flipped = bytes([jws.signature[0] ^ 1]) + jws.signature[1:]
    for bad in (b"", b"\0", flipped, jws.signature[:-1], jws.signature + b"\0", bytes(len(jws.signature))):
        assert not prepared.verify(jws.signing_input, bad)
    assert not prepared.verify(jws.signing_input + b" ", jws.signature)


@pytest.mark.parametrize("alg", SYMMETRIC_ALGORITHMS)
def test_hmac_verifies_with_an_explicit_secret_only(alg: str) -> None:
    """HS* takes the octets of a secret; its length is at least that of the hash (RFC 7518 3.2) (A10)."""
    secret = b"k" * 64
    prepared = prepare(import_key({"kty": "oct", "k": b64url_encode(secret)}), alg)
    jws = parse_compact(sign_compact(CLAIMS, SigningKey.from_secret(secret, alg)))
    assert prepared.verify(jws.signing_input, jws.signature)
    assert not prepared.verify(jws.signing_input, jws.signature[:-1])
    assert prepared.spki == secret
    size = ALGORITHMS[alg].signature_length
    assert size is not None
    assert refusal({"kty": "oct", "k": b64url_encode(b"k" * (size - 1))}, alg) == "secret_too_short"


def test_the_table_is_total() -> None:
    """[J5] Every row knows its key type, its hash and its signature; the tuples split the table in two."""
    assert set(ASYMMETRIC_ALGORITHMS) | set(SYMMETRIC_ALGORITHMS) == set(ALGORITHMS)
    assert [row.name for row in ALGORITHMS.values() if row.kty == "oct"] == list(SYMMETRIC_ALGORITHMS)
    for name, row in ALGORITHMS.items():
        assert name == row.name
        assert half_hash(name, "value")
        assert (row.crv is None) == (len(row.crvs) != 1)
        assert "function" not in repr(row)
    assert "none" not in ALGORITHMS


@pytest.mark.parametrize("crv", EC_CURVES)
def test_curve_orders_are_those_of_cryptography(crv: str) -> None:
    """The table's numbers agree with a second source."""
    row = EC_CURVES[crv]
    assert row.order == row.curve.group_order
    assert row.size == (row.curve.key_size + 7) // 8


# ---- ECDSA forms


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "ES256K"])
def test_ecdsa_conversion_agrees_with_cryptography(alg: str) -> None:
    """Numbers with leading zeros and set top bits become the same DER as in the general way."""
    size = EC_CURVES[ALGORITHMS[alg].crvs[0]].size
    to_der = algorithms_module._der_encoder(size)
    edges = [1, 0x7F, 0x80, 0xFF, 1 << 8 * size - 9, (1 << 8 * size - 8) - 1, 1 << 8 * size - 8]
    edges += [(1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1]
    for r in edges:
        for s in edges:
            assert to_der(r.to_bytes(size, "big"), s.to_bytes(size, "big")) == encode_dss_signature(r, s)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "ES256K"])
def test_many_ecdsa_signatures(alg: str) -> None:
    """Signatures with every shape of r and s verify."""
    key, prepared = signing_key(alg), ready(alg)
    for i in range(150):
        message = b"%d" % i
        assert prepared.verify(message, key.sign(message))


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "ES256K"])
def test_psychic_signatures_are_refused(alg: str) -> None:
    """r or s of 0, n or more, DER, and too many octets are no signatures (CVE-2022-21449) (A5)."""
    prepared, message = ready(alg), b"message"
    curve = EC_CURVES[ALGORITHMS[alg].crvs[0]]
    size, order = curve.size, curve.order
    good = signing_key(alg).sign(message)
    r, s = (int.from_bytes(part, "big") for part in (good[:size], good[size:]))
    pairs = [(0, 0), (0, s), (r, 0), (order, order), (order, s), (r, order), (1, 1), (0, 1)]
    if r + order < 1 << 8 * size:
        pairs.append((r + order, s))
    for a, b in pairs:
        assert not prepared.verify(message, a.to_bytes(size, "big") + b.to_bytes(size, "big"))
    for bad in (encode_dss_signature(r, s), good + b"\0", b"\0" + good, good * 2, good[:size]):
        assert not prepared.verify(message, bad)


def test_ecdsa_is_deterministic() -> None:
    """[J8] Two signatures of one message are equal (RFC 6979), so no weak random number can give the key away."""
    key = signing_key("ES256")
    assert key.sign(b"message") == key.sign(b"message")


def test_ecdsa_without_rfc_6979(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenSSL that cannot sign deterministically signs with random numbers."""
    SigningKey.generate("ES256").sign(b"m")  # cryptography looks for its class once, and must find it as it is
    real = ec.ECDSA

    def picky(digest: hashes.HashAlgorithm, deterministic_signing: bool = False) -> ec.ECDSA:
        if deterministic_signing:
            raise algorithms_module.UnsupportedAlgorithm("no")
        return real(digest)

    monkeypatch.setattr(algorithms_module.ec, "ECDSA", picky)
    key = SigningKey.generate("ES256")
    verify, one, two = prepare(import_key(key.public_jwk or {}), "ES256").verify, key.sign(b"m"), key.sign(b"m")
    assert one != two
    assert verify(b"m", one)
    assert verify(b"m", two)


# ---- A1: none, A3: one algorithm for all checks


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "alg_invalid"),
        ({"alg": ""}, "alg_invalid"),
        ({"alg": None}, "alg_invalid"),
        ({"alg": ["RS256"]}, "alg_invalid"),
        ({"alg": {"name": "RS256"}}, "alg_invalid"),
        ({"alg": 256}, "alg_invalid"),
        ({"alg": True}, "alg_invalid"),
        ({"alg": "RS256", "crit": ["exp"]}, "crit_unsupported"),
        ({"alg": "RS256", "crit": []}, "crit_unsupported"),
        ({"alg": "RS256", "crit": ["b64", "b64"], "b64": True}, "crit_unsupported"),
        ({"alg": "RS256", "crit": None}, "crit_unsupported"),
        ({"alg": "RS256", "crit": ["http://example.invalid/UNDEFINED"]}, "crit_unsupported"),
        ({"alg": "RS256", "b64": False}, "b64_unsupported"),
        ({"alg": "RS256", "b64": True}, "b64_unsupported"),
        ({"alg": "RS256", "cty": "JWT"}, "token_nested"),
        ({"alg": "RS256", "cty": "application/jwt"}, "token_nested"),
        ({"alg": "RS256", "kid": 1}, "header_invalid"),
        ({"alg": "RS256", "kid": {"$ne": None}}, "header_invalid"),
        ({"alg": "RS256", "kid": None}, "header_invalid"),
        ({"alg": "RS256", "kid": "k" * 257}, "header_invalid"),
        ({"alg": "RS256", "typ": ["JWT"]}, "header_invalid"),
        ({"alg": "RS256", "cty": 1}, "header_invalid"),
        ([], "header_invalid"),
        (b'{"alg":"RS256","alg":"none"}', "header_invalid"),
        (b'{"alg":"RS256","kid":"a","kid":"b"}', "header_invalid"),
        (b'{"alg":"RS256","jwk":{"a":1,"a":2}}', "header_invalid"),
        (b'{"alg":"RS256","x":NaN}', "header_invalid"),
        (b'{"alg":"RS256","x":1e400}', "header_invalid"),
        (b'\xef\xbb\xbf{"alg":"RS256"}', "header_invalid"),
        ('{"alg":"RS256"}'.encode("utf-16"), "header_invalid"),
        (b'{"alg":"RS256","kid":"\xff"}', "header_invalid"),
        (b'{"alg":"RS256","kid":"\\ud800"}', "header_invalid"),
        (b'{"alg":"RS256","x":' + b"[" * 500 + b"]" * 500 + b"}", "header_invalid"),
        (b'{"alg":"RS256","x":' + b"9" * 4400 + b"}", "header_invalid"),
        (b'{"alg":"RS256"} {}', "header_invalid"),
        (b"null", "header_invalid"),
    ],
)
def test_headers_that_are_refused(header: Any, code: str) -> None:
    """A header that is malformed, ambiguous or wants what is not understood is refused before any key is looked for."""
    assert code_of(token_with(header)) == code


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "nOnE", "typ": "JWT"},
        {"alg": "RS256", "jku": "https://evil.example/keys", "x5u": "file:///etc/passwd", "x5c": ["MII"]},
        {"alg": "RS256", "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
        {"alg": "RS256", "zip": "DEF"},
        {"alg": "RS256", "cty": "json", "kid": "", "unknown": {"a": [1]}},
        {"alg": "RS256", "kid": "../../../../dev/null"},
        {"alg": "RS256", "kid": "k" * 256},
    ],
)
def test_headers_that_are_handed_on(header: dict[str, Any]) -> None:
    """What only the allow-list or the key can decide is handed on; nothing in a header is fetched or decompressed."""
    assert parse_compact(token_with(header)).header == header


def test_nested_tokens_on_request() -> None:
    """A JWT in a JWS is let through where the caller says so (RFC 7519 5.2)."""
    token = token_with({"alg": "RS256", "cty": "JWT"})
    assert parse_compact(token, allow_nested=True).header["cty"] == "JWT"


@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "NONE", "none ", "", "HS1", "RS1", "ES521", "rs256", "RSA-OAEP"]
)
def test_no_key_serves_an_algorithm_without_a_row(alg: str) -> None:
    """Names are compared exactly; what is not in the table can be neither verified nor signed (A1)."""
    for key in (public_key("RS256"), public_key("HS256")):
        with pytest.raises(KeyRefused, match="alg_unsupported"):
            prepare(key, alg)
    with pytest.raises(ConfigurationException) as caught:
        SigningKey.generate(alg)
    assert caught.value.code == "alg_unsupported"


@pytest.mark.parametrize("alg", [["RS256"], None, 1])
def test_an_algorithm_is_a_string(alg: Any) -> None:
    """Signing with something that is no name is a configuration error, not a TypeError."""
    with pytest.raises(ConfigurationException):
        SigningKey.generate(alg)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_serves_only_algorithms_of_its_family(alg: str) -> None:
    """Of all keys exactly those whose type, curve and own algorithm fit can be prepared (A3, A6, A15)."""
    fitting = set()
    for other in ALGORITHMS:
        bare = {name: value for name, value in (signing_key(other).public_jwk or {}).items() if name != "alg"}
        if ALGORITHMS[other].kty == "AKP":
            bare["alg"] = other
        key = import_key(bare) if bare else public_key(other)
        if (reason := reason_of(lambda key=key: prepare(key, alg))) is None:
            fitting.add(other)
        assert reason in (None, "kty_mismatch", "crv_mismatch", "alg_mismatch")
    family = {"EdDSA", "Ed25519"} if alg in ("EdDSA", "Ed25519") else {alg}
    if ALGORITHMS[alg].kty in ("RSA", "oct"):
        family = {name for name, row in ALGORITHMS.items() if row.kty == ALGORITHMS[alg].kty}
    if alg == "EdDSA":
        family = {"EdDSA", "Ed25519", "Ed448"}
    if alg == "Ed448":
        family = {"Ed448"}
    assert fitting == family


@pytest.mark.parametrize("own", [None, "RS256", "PS256"])
@pytest.mark.parametrize("wanted", ["RS256", "PS256", "ES256"])
def test_the_keys_own_algorithm_counts(own: str | None, wanted: str) -> None:
    """A key that names its algorithm serves that one only (RFC 8725 3.1)."""
    jwk = {**(signing_key("RS256").public_jwk or {}), "alg": own}
    allowed = wanted != "ES256" and own in (None, wanted)
    assert (reason_of(lambda: prepare(import_key(jwk), wanted)) is None) == allowed


def test_eddsa_resolves_by_curve() -> None:
    """[J9] EdDSA takes either curve; Ed25519 and Ed448, which we sign with, take their own (RFC 9864)."""
    for crv, length in (("Ed25519", 64), ("Ed448", 114)):
        key = signing_key(crv)
        bare = {name: value for name, value in (key.public_jwk or {}).items() if name != "alg"}
        prepared = prepare(import_key(bare), "EdDSA")
        assert prepared.signature_length == length
        assert prepared.crv == crv
        assert prepared.verify(b"m", key.sign(b"m"))
    assert refusal(bare, "Ed25519") == "crv_mismatch"


# ---- A2: the public key as HMAC secret


def public_forms(alg: str) -> dict[str, bytes]:
    """Every way in which the public key of *alg* is written down."""
    jwk = signing_key(alg).public_jwk or {}
    key = import_key(jwk).material
    forms = {
        "PEM": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "SSH": key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "certificate": certificate(alg),
        "JWK": json.dumps(jwk).encode(),
        "JWKS": json.dumps({"keys": [jwk]}).encode(),
    }
    if alg == "RS256":
        forms["PKCS1"] = key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    forms["PEM after a newline"] = b"\n" + forms["PEM"]
    forms["PEM after a mark"] = b"\xef\xbb\xbf" + forms["PEM"]
    forms["PEM without end"] = forms["PEM"].rstrip()
    return forms


@cache
def certificate(alg: str) -> bytes:
    """A self-signed certificate in PEM."""
    key: Any = signing_key(alg)._private
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer.example")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + datetime.timedelta(days=1))
    made = builder.sign(key, None if alg == "Ed25519" else hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
@pytest.mark.parametrize("hs", SYMMETRIC_ALGORITHMS)
def test_a_public_key_never_becomes_a_secret(alg: str, hs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token MACed with any written form of a public key meets a key that no HMAC ever sees (A2)."""
    calls: list[object] = []
    monkeypatch.setattr(hmac, "digest", lambda *args: calls.append(args) or b"")
    jwk = signing_key(alg).public_jwk or {}
    for form in public_forms(alg).values():
        header = b64url_encode(json.dumps({"alg": hs}).encode())
        signing_input = f"{header}.{b64url_encode(b'{}')}".encode()
        mac = hmac.new(form, signing_input, ALGORITHMS[hs].hash_name).digest()
        jws = parse_compact(f"{signing_input.decode()}.{b64url_encode(mac)}")
        with pytest.raises(KeyRefused, match="kty_mismatch"):
            prepare(import_key(jwk), jws.header["alg"])
        assert not ready(alg).verify(jws.signing_input, jws.signature)
    assert calls == []


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_a_pem_is_a_public_key_or_nothing(alg: str) -> None:
    """PEM and certificates keep their family; DER, SSH and JSON offered as PEM are refused, never taken as octets."""
    expected = import_key(signing_key(alg).public_jwk or {}).material
    for name, form in public_forms(alg).items():
        if name in ("DER", "SSH", "JWK", "JWKS"):
            assert reason_of(lambda form=form: import_pem(form)) == "pem_unreadable"
        else:
            assert import_pem(form).material == expected
            assert import_pem(form).kty == ALGORITHMS[alg].kty


# ---- A7: purpose


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ({"use": "enc"}, "use_mismatch"),
        ({"use": "SIG"}, "use_mismatch"),
        ({"use": ""}, "use_mismatch"),
        ({"key_ops": ["encrypt"]}, "key_ops_mismatch"),
        ({"key_ops": ["sign"]}, "key_ops_mismatch"),
        ({"key_ops": []}, "key_ops_mismatch"),
        ({"key_ops": "verify"}, "key_ops_invalid"),
        ({"key_ops": ["verify", 1]}, "key_ops_invalid"),
        ({"key_ops": ["verify", "verify"]}, "key_ops_invalid"),
        ({"use": 1}, "use_invalid"),
        ({"kid": 1}, "kid_invalid"),
        ({"kid": "k" * 257}, "kid_invalid"),
        ({"alg": ["ES256"]}, "alg_invalid"),
        ({"alg": "ES384"}, "alg_mismatch"),
    ],
)
def test_keys_for_other_purposes_are_refused(marks: dict[str, Any], reason: str) -> None:
    """A key that is not for verifying, or says so in a malformed way, verifies nothing (A7)."""
    assert refusal({**(signing_key("ES256").public_jwk or {}), **marks}, "ES256") == reason


@pytest.mark.parametrize(
    "marks", [{"use": None}, {"use": "sig", "key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}]
)
def test_keys_for_verifying_are_accepted(marks: dict[str, Any]) -> None:
    """Absent marks, and marks that agree, allow verifying."""
    key = import_key({**(signing_key("ES256").public_jwk or {}), **marks})
    assert prepare(key, "ES256").key is key


# ---- A13, A14: weak and invalid keys


def rsa_jwk(n: int, e: int = 65537) -> dict[str, str]:
    values = {"n": n, "e": e}
    return {
        "kty": "RSA",
        **{k: b64url_encode(v.to_bytes((v.bit_length() + 7) // 8 or 1, "big")) for k, v in values.items()},
    }


MODULUS = int.from_bytes(b64url_decode((signing_key("RS256").public_jwk or {})["n"]), "big")


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        (rsa_jwk((1 << 511) + 1), "rsa_key_too_small"),
        (rsa_jwk((1 << 1023) + 1), "rsa_key_too_small"),
        (rsa_jwk((1 << 2046) + 1), "rsa_key_too_small"),
        (rsa_jwk((1 << 8192) + 1), "rsa_key_too_large"),
        (rsa_jwk((1 << 16383) + 1), "rsa_key_too_large"),
        (rsa_jwk((1 << 65535) + 1), "jwk_member_too_long"),
        (rsa_jwk(MODULUS, 0), "rsa_exponent_invalid"),
        (rsa_jwk(MODULUS, 1), "rsa_exponent_invalid"),
        (rsa_jwk(MODULUS, 2), "rsa_exponent_invalid"),
        (rsa_jwk(MODULUS, 65536), "rsa_exponent_invalid"),
        (rsa_jwk(MODULUS, (1 << 32) + 1), "rsa_exponent_invalid"),
        (rsa_jwk(MODULUS, (1 << 64) + 1), "rsa_exponent_invalid"),
        (rsa_jwk(MODULUS + 1), "rsa_modulus_weak"),
        # All that ROCA leaves of a modulus: a power of 65537 modulo every small prime.
        (rsa_jwk(pow(65537, 150)), "rsa_modulus_weak"),
        ({**rsa_jwk(MODULUS), "n": ""}, "jwk_member_missing"),
        ({**rsa_jwk(MODULUS), "n": 1}, "jwk_member_missing"),
        ({"kty": "RSA", "e": "AQAB"}, "jwk_member_missing"),
        ({**rsa_jwk(MODULUS), "e": "AQAB="}, "jwk_member_not_base64url"),
        ({**rsa_jwk(MODULUS), "n": "\u00e9" * 10}, "jwk_member_not_base64url"),
    ],
    ids=range(19),
)
def test_weak_rsa_keys_are_refused(jwk: dict[str, Any], reason: str) -> None:
    """2048 to 8192 bits, an odd exponent from 3 to below 2^32, no ROCA; else the key is refused (A13)."""
    assert refusal(jwk, "RS256") == reason


@pytest.mark.parametrize("e", [3, 17, 65537, (1 << 32) - 1])
def test_exponents_in_use_are_accepted(e: int) -> None:
    """The bounds of the exponent are inside."""
    assert import_key(rsa_jwk(MODULUS, e)).bits == 2048


def test_a_zero_octet_before_the_modulus_is_let_pass() -> None:
    """Some libraries write n with its sign octet (RFC 7518 6.3.1.1); the number is the same."""
    padded = {**rsa_jwk(MODULUS), "n": b64url_encode(b"\0" + b64url_decode(rsa_jwk(MODULUS)["n"]))}
    assert import_key(padded) == import_key(rsa_jwk(MODULUS))


def without(jwk: Mapping[str, str] | None, name: str) -> dict[str, str]:
    return {key: value for key, value in (jwk or {}).items() if key != name}


def ec_jwk(**changes: Any) -> dict[str, Any]:
    return {**(signing_key("ES256").public_jwk or {}), **changes}


@pytest.mark.parametrize(
    ("jwk", "alg", "reason"),
    [
        (ec_jwk(y=b64url_encode(b"\1" * 32)), "ES256", "ec_point_invalid"),
        (ec_jwk(x=b64url_encode(bytes(32)), y=b64url_encode(bytes(32))), "ES256", "ec_point_invalid"),
        (ec_jwk(x=b64url_encode(b"\xff" * 32)), "ES256", "ec_point_invalid"),
        (ec_jwk(x=b64url_encode(b"\1" * 31)), "ES256", "ec_coordinate_length"),
        (ec_jwk(y=b64url_encode(b"\1" * 33)), "ES256", "ec_coordinate_length"),
        (ec_jwk(crv="P-384"), "ES384", "ec_coordinate_length"),
        (ec_jwk(crv="secp256k1", alg="ES256K"), "ES256K", "ec_point_invalid"),
        (ec_jwk(crv="P-192"), "ES256", "crv_unsupported"),
        (ec_jwk(crv="Ed25519"), "ES256", "crv_unsupported"),
        (ec_jwk(crv=None), "ES256", "crv_unsupported"),
        (without(ec_jwk(), "y"), "ES256", "jwk_member_missing"),
        (ec_jwk(kty="RSA"), "RS256", "jwk_member_missing"),
        ({"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(b"\1" * 31)}, "EdDSA", "key_length_invalid"),
        ({"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(b"\1" * 57)}, "EdDSA", "key_length_invalid"),
        ({"kty": "OKP", "crv": "Ed448", "x": b64url_encode(b"\1" * 56)}, "EdDSA", "key_length_invalid"),
        ({"kty": "OKP", "crv": "X25519", "x": b64url_encode(b"\1" * 32)}, "EdDSA", "crv_unsupported"),
        ({"kty": "OKP", "crv": "P-256", "x": b64url_encode(b"\1" * 32)}, "EdDSA", "crv_unsupported"),
        ({"kty": "AKP", "alg": "ML-DSA-44", "pub": b64url_encode(b"\1" * 1311)}, "ML-DSA-44", "key_length_invalid"),
        ({"kty": "AKP", "alg": "ML-DSA-65", "pub": b64url_encode(b"\1" * 1312)}, "ML-DSA-65", "key_length_invalid"),
        ({"kty": "AKP", "pub": b64url_encode(b"\1" * 1312)}, "ML-DSA-44", "alg_unsupported"),
        ({"kty": "AKP", "alg": "SLH-DSA-128s", "pub": "AA"}, "ML-DSA-44", "alg_unsupported"),
        ({"kty": "AKP", "alg": ["ML-DSA-44"], "pub": "AA"}, "ML-DSA-44", "alg_invalid"),
        ({"kty": "oct", "k": ""}, "HS256", "jwk_member_missing"),
        ({"kty": "oct"}, "HS256", "jwk_member_missing"),
        ({"kty": "unknown"}, "RS256", "kty_unsupported"),
        ({"kty": ["RSA"]}, "RS256", "kty_unsupported"),
        ({}, "RS256", "kty_unsupported"),
        ([], "RS256", "jwk_not_an_object"),
        (None, "RS256", "jwk_not_an_object"),
    ],
    ids=range(29),
)
def test_malformed_keys_are_refused(jwk: Any, alg: str, reason: str) -> None:
    """Points off the curve, wrong lengths, wrong types: the key is refused with a reason of its own (A14)."""
    assert refusal(jwk, alg) == reason


def test_private_members_stay_outside() -> None:
    """Of a private JWK only the public half is taken over."""
    private = ed25519.Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(private.public_key().public_bytes_raw())}
    key = import_key({**jwk, "d": b64url_encode(private.private_bytes_raw())})
    assert key == import_key(jwk)
    assert not hasattr(key.material, "sign")


@pytest.mark.parametrize(
    ("material", "reason"),
    [
        (x25519.X25519PrivateKey.generate().public_key(), "kty_unsupported"),
        (ec.generate_private_key(ec.SECP224R1()).public_key(), "crv_unsupported"),
        (dsa.generate_private_key(1024).public_key(), "kty_unsupported"),
        (rsa.generate_private_key(65537, 1024).public_key(), "rsa_key_too_small"),
    ],
)
def test_pem_keys_meet_the_same_rules(material: Any, reason: str) -> None:
    """A key in PEM is no better than one in JSON."""
    pem = material.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyRefused) as caught:
        import_pem(pem)
    assert caught.value.reason == reason


def test_pem_that_is_none() -> None:
    """Private keys and garbage are named as what they are."""
    private = signing_key("ES256").private_pem or ""
    for pem, reason in (
        (private, "pem_is_a_private_key"),
        ("-----BEGIN nothing", "pem_unreadable"),
        ("", "pem_unreadable"),
    ):
        with pytest.raises(KeyRefused) as caught:
            import_pem(pem)
        assert caught.value.reason == reason
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(KeyRefused, match="pem_unreadable"):
        import_pem(broken)


def test_sizes() -> None:
    """``bits`` tells the size that policies speak of."""
    sizes = {alg: public_key(alg).bits for alg in ("RS256", "ES256", "ES512", "Ed25519", "Ed448", "ML-DSA-44", "HS256")}
    assert sizes == {
        "RS256": 2048,
        "ES256": 256,
        "ES512": 521,
        "Ed25519": 256,
        "Ed448": 456,
        "ML-DSA-44": 10496,
        "HS256": 512,
    }


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_spki_is_the_key(alg: str) -> None:
    """A second engine gets the key as SubjectPublicKeyInfo in DER."""
    prepared = ready(alg)
    assert serialization.load_der_public_key(prepared.spki) == prepared.key.material


def test_an_algorithm_that_openssl_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that this OpenSSL cannot load is refused, not a crash."""

    def lacking(*_: object) -> Any:
        raise algorithms_module.UnsupportedAlgorithm("no such curve")

    monkeypatch.setattr(ec.EllipticCurvePublicNumbers, "public_key", lacking, raising=False)
    monkeypatch.setattr("py_identity_model._core.jose.verification_keys._READERS", {"EC": lacking})
    assert refusal(ec_jwk()) == "key_unsupported_by_cryptography"
    monkeypatch.setattr("cryptography.hazmat.primitives.serialization.load_pem_public_key", lacking)
    with pytest.raises(KeyRefused, match="key_unsupported_by_cryptography"):
        import_pem("-----BEGIN PUBLIC KEY-----")


def test_ml_dsa_needs_a_cryptography_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an older cryptography everything else works, and ML-DSA says what is missing."""
    jwk = signing_key("ML-DSA-44").public_jwk or {}

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(algorithms_module, "import_module", missing)
    ml_dsa.cache_clear()
    try:
        assert refusal(jwk) == "ml_dsa_needs_newer_cryptography"
        with pytest.raises(ConfigurationException) as caught:
            SigningKey.generate("ML-DSA-44")
        assert caught.value.code == "alg_unavailable"
        assert "pip install" in (caught.value.hint or "")
        with pytest.raises(KeyRefused, match="kty_unsupported"):
            export_jwk(object())
        assert import_key(signing_key("ES256").public_jwk or {}).kty == "EC"
    finally:
        ml_dsa.cache_clear()


# ---- compact form: P5, P8, A11


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e.f",
        "eyJhbGciOiJSUzI1NiJ9..AA",
        ".e30.AA",
        "eyJhbGciOiJSUzI1NiJ9.e30",
        None,
        b"eyJhbGciOiJSUzI1NiJ9.e30.AA",
        1,
        ["a", "b", "c"],
        '{"payload":"e30","signatures":[{"protected":"eyJhbGciOiJSUzI1NiJ9","signature":"AA"}]}',
        "eyJhbGciOiJSUzI1NiJ9=.e30.AA",
        "eyJhbGciOiJSUzI1NiJ9.e30=.AA",
        "eyJhbGciOiJSUzI1NiJ9.e30.AA==",
        " eyJhbGciOiJSUzI1NiJ9.e30.AA",
        "eyJhbGciOiJSUzI1NiJ9.e30.AA\n",
        "eyJhbGciOiJSUzI1NiJ9.e30.AB",
        "eyJhbGciOiJSUzI1NiJ9.e30.+/AA",
        "eyJhbGciOiJSUzI1NiJ9.e30.A\0AA",
        "eyJhbGciOiJSUzI1NiJ9.e31.AA",
        "eyJhbGciOiJSUzI1NiJ9.\u00e9\u00e930.AA",
        "eyJhbGciOiJSUzI1NiJ9.e30.\ud800AAA",
        "Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA",
    ],
)
def test_what_is_no_compact_jws(token: Any) -> None:
    """Exactly three segments of canonical base64url, the first two not empty; anything else is malformed (A4)."""
    assert code_of(token) == "token_malformed"


def test_encrypted_tokens_are_told_apart() -> None:
    """Five segments are a JWE, which no signature check should ever see (A11)."""
    assert code_of("eyJhbGciOiJkaXIifQ....") == "token_encrypted"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("Bearer eyJ.e30", "without the word Bearer"),
        ('{"payload":""}', "looks like JSON"),
        ("8xLOxBtZp8", "opaque token"),
        ("eyJhbGciOiJSUzI1NiJ9.e30.AA ", "white space"),
    ],
)
def test_malformed_tokens_get_a_hint(token: str, said: str) -> None:
    """Where the mistake is a common one, the error says which."""
    with pytest.raises(TokenValidationException) as caught:
        parse_compact(token)
    assert said in (caught.value.hint or "")
    assert token.strip() not in str(caught.value)


def test_sizes_are_checked_before_anything_else() -> None:
    """Tokens and headers have limits, exact and adjustable; megabytes and 100,000 dots cost next to nothing (P8)."""
    token = token_with({"alg": "RS256", "pad": "x" * 100})
    header = token.partition(".")[0]
    assert parse_compact(token, max_token=len(token), max_header=len(header) * 3 // 4)
    assert code_of(token, max_token=len(token) - 1) == "token_too_large"
    assert code_of(token, max_header=len(header) * 3 // 4 - 1) == "header_too_large"
    assert code_of(token_with({"alg": "RS256", "pad": "x" * 16384})) == "header_too_large"
    began = time.process_time()
    assert code_of("a" * 8_000_000) == "token_too_large"
    assert code_of("." * 100_000) == "token_too_large"
    assert code_of("." * 60_000) == "token_malformed"
    assert time.process_time() - began < 0.5


def test_the_parts_of_a_good_token() -> None:
    """A token taken apart shows header, payload, signature and what was signed, and hides all but the header."""
    token = sign_compact(b"payload", signing_key("ES256"), headers={"jwk": {"kty": "EC"}})
    jws = parse_compact(token)
    segments = token.split(".")
    assert jws.header_segment == segments[0]
    assert jws.signing_input == f"{segments[0]}.{segments[1]}".encode()
    assert jws.payload == b"payload"
    assert jws.signature == b64url_decode(segments[2])
    assert jws.header["jwk"] == {"kty": "EC"}
    assert "payload" not in repr(jws)


def test_errors_repeat_nothing_of_the_token() -> None:
    """Whatever is wrong, neither message nor facts nor context hold a piece of the token."""
    canary = "c4n4ryC4N4RY"
    tokens = [
        canary,
        f"{canary}.{canary}.{canary}=",
        token_with({"alg": "RS256", "crit": [canary]}),
        token_with({"alg": [canary]}),
        token_with({"alg": "RS256", "kid": canary * 40}),
        token_with(f'{{"alg":"{canary}'.encode()),
        token_with(canary.encode() + b"\xff"),
    ]
    for token in tokens:
        with pytest.raises(TokenValidationException) as caught:
            parse_compact(token)
        error: BaseException | None = caught.value
        while error is not None:
            assert canary not in f"{error} {error!r} {vars(error)}"
            error = error.__context__


# ---- signing


@pytest.mark.parametrize("name", ["alg", "b64", "crit"])
def test_the_key_decides_about_the_header(name: str) -> None:
    """What says how the signature was made cannot be set by hand."""
    with pytest.raises(ConfigurationException) as caught:
        sign_compact(CLAIMS, signing_key("ES256"), headers={name: "none"})
    assert (caught.value.code, caught.value.claim) == ("header_reserved", name)


@pytest.mark.parametrize(
    "claims", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {"a": b"x"}, {"a": "\ud800"}]
)
def test_claims_must_be_json(claims: dict[str, Any]) -> None:
    """What JSON cannot say is not signed."""
    with pytest.raises(ConfigurationException) as caught:
        sign_compact(claims, signing_key("ES256"))
    assert caught.value.code == "claims_not_json"


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_a_key_survives_pem_and_jwk(alg: str) -> None:
    """A key written as PEM or as JWK and read again is the same key."""
    key = signing_key(alg)
    again = SigningKey.from_pem(key.private_pem or "", alg, key.kid)
    assert again.public_jwk == key.public_jwk
    assert ready(alg).verify(b"m", again.sign(b"m"))
    assert key.public_jwk is not None
    assert {"d", "p", "q", "priv"}.isdisjoint(key.public_jwk)


def private_jwk(alg: str) -> dict[str, Any]:
    key: Any = signing_key(alg)._private
    jwk: dict[str, Any] = dict(signing_key(alg).public_jwk or {})
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        values = {"d": numbers.d, "p": numbers.p, "q": numbers.q}
        values |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
        return jwk | {name: b64url_encode(v.to_bytes((v.bit_length() + 7) // 8, "big")) for name, v in values.items()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = EC_CURVES[jwk["crv"]].size
        return jwk | {"d": b64url_encode(key.private_numbers().private_value.to_bytes(size, "big"))}
    return jwk | {"priv" if jwk["kty"] == "AKP" else "d": b64url_encode(key.private_bytes_raw())}


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_a_private_jwk_signs(alg: str) -> None:
    """A private JWK is read with its name and algorithm; a wrong public half, length or purpose is refused."""
    jwk = private_jwk(alg)
    key = SigningKey.from_jwk(jwk)
    assert (key.alg, key.kid) == (alg, f"{alg}-key")
    assert ready(alg).verify(b"m", key.sign(b"m"))
    assert SigningKey.from_jwk(without(jwk, "use")).public_jwk == key.public_jwk
    secret = "priv" if "priv" in jwk else "d"
    other = SigningKey.generate(alg)
    foreign = {name: (other.public_jwk or {}).get(name, value) for name, value in jwk.items() if name != "kid"}
    wrong = [
        {**jwk, "use": "enc"},
        {**jwk, "key_ops": ["verify"]},
        {**jwk, "alg": "HS256" if "priv" not in jwk else "RS256"},
        {**jwk, secret: jwk[secret][:-8]},
        {**jwk, secret: "?" * len(jwk[secret])},
        without(jwk, secret),
        foreign,
    ]
    for bad in wrong:
        with pytest.raises(ConfigurationException) as caught:
            SigningKey.from_jwk(bad)
        assert caught.value.code in ("signing_key_unreadable", "signing_key_mismatch")
        assert jwk[secret] not in str(vars(caught.value))


def test_rsa_by_its_private_exponent_alone() -> None:
    """The primes may be left out (RFC 7518 6.3.2), but more than two are not supported."""
    jwk = private_jwk("RS256")
    short = {name: jwk[name] for name in ("kty", "n", "e", "d")}
    key = SigningKey.from_jwk(short, "PS256")
    assert prepare(import_key(without(key.public_jwk, "alg")), "PS256").verify(b"m", key.sign(b"m"))
    for bad in ({**jwk, "oth": []}, {"kty": "RSA"}, {"kty": "nothing"}, {}):
        with pytest.raises(ConfigurationException) as caught:
            SigningKey.from_jwk(bad, "RS256")
        assert caught.value.code == "signing_key_unreadable"


def test_a_private_jwk_needs_an_algorithm() -> None:
    """Neither guessed nor contradicted."""
    jwk = without(private_jwk("RS256"), "alg")
    assert SigningKey.from_jwk(jwk, "RS512").alg == "RS512"
    for alg in (None, "ES256"):
        with pytest.raises(ConfigurationException) as caught:
            SigningKey.from_jwk(jwk, alg)
        assert caught.value.code == "signing_key_mismatch"


def test_encrypted_pem() -> None:
    """A password may be text, bytes or a Secret; a wrong or missing one is a configuration error that hides it."""
    private: Any = signing_key("ES256")._private
    algorithm = serialization.BestAvailableEncryption(b"open sesame")
    pem = private.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, algorithm)
    for password in ("open sesame", b"open sesame", Secret("open sesame")):
        assert SigningKey.from_pem(pem, "ES256", password=password).alg == "ES256"
    for wrong in (None, "open barley"):
        with pytest.raises(ConfigurationException) as caught:
            SigningKey.from_pem(pem, "ES256", password=wrong)
        assert caught.value.code == "signing_key_unreadable"
        assert "barley" not in repr(vars(caught.value))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: SigningKey.from_pem("nothing", "ES256"), "signing_key_unreadable"),
        (lambda: SigningKey.from_pem(None, "ES256"), "signing_key_unreadable"),
        (lambda: SigningKey.from_pem(certificate("ES256"), "ES256"), "signing_key_unreadable"),
        (lambda: SigningKey.from_pem(signing_key("ES256").private_pem or "", "ES384"), "signing_key_mismatch"),
        (lambda: SigningKey.from_pem(signing_key("ES256").private_pem or "", "RS256"), "signing_key_mismatch"),
        (lambda: SigningKey.from_pem(signing_key("ES256").private_pem or "", "HS256"), "signing_key_mismatch"),
        (lambda: SigningKey.from_cryptography(public_key("ES256").material, "ES256"), "signing_key_unreadable"),
        (lambda: SigningKey.from_cryptography(rsa.generate_private_key(65537, 1024), "RS256"), "signing_key_mismatch"),
        (lambda: SigningKey.from_cryptography(x25519.X25519PrivateKey.generate(), "EdDSA"), "signing_key_mismatch"),
        (lambda: SigningKey.generate("RS256", bits=1024), "signing_key_mismatch"),
        (lambda: SigningKey.from_secret("k" * 32, "ES256"), "signing_key_mismatch"),
        (lambda: SigningKey.from_secret("k" * 31, "HS256"), "secret_too_short"),
        (lambda: SigningKey.from_secret(b"k" * 47, "HS384"), "secret_too_short"),
        (lambda: SigningKey.from_jwk({"kty": "oct", "k": "AAAA"}, "HS512"), "secret_too_short"),
        (lambda: SigningKey.from_callable(lambda _: b"", "XX256"), "alg_unsupported"),
    ],
)
def test_unfit_signing_keys(make: Any, code: str) -> None:
    """A key that cannot or must not sign is a configuration error."""
    with pytest.raises(ConfigurationException) as caught:
        make()
    assert caught.value.code == code


def test_shared_secrets_sign() -> None:
    """Text stands for its UTF-8, a Secret for its text (OpenID Connect Core 10.1)."""
    text = "Grüße " * 8
    expected = hmac.new(text.encode(), b"m", "sha256").digest()
    for secret in (text, text.encode(), Secret(text)):
        key = SigningKey.from_secret(secret, "HS256", "shared")
        assert key.sign(b"m") == expected
        assert (key.public_jwk, key.private_pem) == (None, None)
    assert SigningKey.from_jwk({"kty": "oct", "k": b64url_encode(text.encode())}, "HS256").sign(b"m") == expected


def test_a_key_that_is_elsewhere() -> None:
    """A KMS may answer in DER or in the form of JOSE; anything else is no signature."""
    private: Any = signing_key("ES256")._private
    as_der = SigningKey.from_callable(lambda m: private.sign(m, ec.ECDSA(hashes.SHA256())), "ES256", "kms")
    as_jose = SigningKey.from_callable(signing_key("ES256").sign, "ES256")
    for key in (as_der, as_jose):
        assert ready("ES256").verify(b"m", key.sign(b"m"))
        assert (key.public_jwk, key.private_pem) == (None, None)
    rsa_private: Any = signing_key("RS256")._private
    key = SigningKey.from_callable(lambda m: rsa_private.sign(m, padding.PKCS1v15(), hashes.SHA256()), "RS256")
    assert ready("RS256").verify(b"m", key.sign(b"m"))
    huge = encode_dss_signature(1 << 300, 1)
    for alg, answer in (("ES256", b""), ("ES256", b"0junk"), ("ES256", huge), ("EdDSA", b""), ("Ed25519", b"x" * 63)):
        with pytest.raises(ConfigurationException) as caught:
            SigningKey.from_callable(lambda _, answer=answer: answer, alg).sign(b"m")
        assert caught.value.code == "signature_unusable"


def test_der_and_jose_forms_hold_the_same_numbers() -> None:
    """r and s stand side by side, each as long as a coordinate."""
    signature = signing_key("ES512").sign(b"m")
    der = algorithms_module._der_encoder(66)(signature[:66], signature[66:])
    assert decode_dss_signature(der) == tuple(int.from_bytes(part, "big") for part in (signature[:66], signature[66:]))


def test_signing_keys_show_nothing() -> None:
    """Neither repr nor pickle gives a private key away."""
    key = SigningKey.from_secret("correct horse battery staple, thirty-two", "HS256")
    assert "correct" not in repr(key)
    assert "PRIVATE" not in repr(signing_key("ES256"))
    secret = import_key({"kty": "oct", "k": b64url_encode(b"correct horse")})
    assert "correct" not in repr(secret)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        pickle.dumps(key)


# ---- A16: hashes for ID tokens


@pytest.mark.parametrize(
    ("alg", "crv", "octets"),
    [
        ("RS256", None, hashlib.sha256(b"token").digest()),
        ("PS384", None, hashlib.sha384(b"token").digest()),
        ("ES512", None, hashlib.sha512(b"token").digest()),
        ("ES256K", None, hashlib.sha256(b"token").digest()),
        ("HS256", None, hashlib.sha256(b"token").digest()),
        ("EdDSA", None, hashlib.sha512(b"token").digest()),
        ("EdDSA", "Ed25519", hashlib.sha512(b"token").digest()),
        ("Ed25519", None, hashlib.sha512(b"token").digest()),
        ("EdDSA", "Ed448", hashlib.shake_256(b"token").digest(114)),
        ("Ed448", None, hashlib.shake_256(b"token").digest(114)),
        ("ML-DSA-65", None, hashlib.shake_256(b"token").digest(64)),
    ],
)
def test_half_hashes(alg: str, crv: str | None, octets: bytes) -> None:
    """The left half of the hash that belongs to the algorithm (OpenID Connect Core 3.1.3.6)."""
    assert half_hash(alg, "token", crv) == base64.urlsafe_b64encode(octets[: len(octets) // 2]).rstrip(b"=").decode()


@pytest.mark.parametrize("alg", ["XX999", "none", "", None, ["RS256"]])
def test_an_unknown_algorithm_has_no_hash(alg: Any) -> None:
    """A hash that cannot be made is a refusal, never a match (CVE-2026-28498) (A16)."""
    with pytest.raises(TokenValidationException) as caught:
        half_hash(alg, "token")
    assert caught.value.code == "alg_invalid"


def test_only_ascii_is_hashed() -> None:
    """Codes and tokens are ASCII (OpenID Connect Core 3.1.3.6)."""
    with pytest.raises(TokenValidationException) as caught:
        half_hash("RS256", "t\u00f6ken")
    assert caught.value.code == "half_hash_invalid"


# ---- thumbprints


def test_a_thumbprint_ignores_what_does_not_make_the_key() -> None:
    """Order, names and purposes change nothing; a missing or malformed member is refused."""
    for alg in ASYMMETRIC_ALGORITHMS:
        jwk = signing_key(alg).public_jwk or {}
        bare = export_jwk(import_key(jwk).material)
        assert jwk_thumbprint(dict(reversed(jwk.items()))) == jwk_thumbprint(bare)
        assert len(b64url_decode(jwk_thumbprint(jwk, "sha512"))) == 64
        for name in bare:
            with pytest.raises(ConfigurationException):
                jwk_thumbprint({**bare, name: None})
    assert jwk_thumbprint({"kty": "oct", "k": "AAAA"})
    for wrong, hash_name, code in (
        ({"kty": ["RSA"]}, "sha256", "kty_unsupported"),
        ({"kty": "oct"}, "sha256", "jwk_member_missing"),
        ({"kty": "oct", "k": "AAAA"}, "sha-256", "hash_unsupported"),
        ({"kty": "oct", "k": "AAAA"}, "shake_128", "hash_unsupported"),
    ):
        with pytest.raises(ConfigurationException) as caught:
            jwk_thumbprint(wrong, hash_name)
        assert caught.value.code == code


def test_ed448_keys_are_those_of_cryptography() -> None:
    """The raw octets in ``x`` are the key."""
    private = ed448.Ed448PrivateKey.generate()
    key = SigningKey.from_cryptography(private, "EdDSA")
    assert key.public_jwk == {
        "crv": "Ed448",
        "kty": "OKP",
        "x": b64url_encode(private.public_key().public_bytes_raw()),
        "alg": "EdDSA",
        "use": "sig",
    }
