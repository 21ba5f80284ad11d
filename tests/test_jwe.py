"""Encrypted tokens: what is opened, what never is, and that nobody learns why."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import pickle
import struct
import sys
import traceback
import zlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from py_identity_model._core.base.base64url import b64url_decode, b64url_encode
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.jose import jwe as jwe_module
from py_identity_model._core.jose.jwe import (
    CONTENT_ALGORITHMS,
    MAX_JWE,
    Decryption,
    Encryption,
    decrypt_compact,
    decrypt_nested,
    encrypt_compact,
)
from py_identity_model._core.jose.jwe_keys import (
    KEY_ALGORITHMS,
    SYMMETRIC_KEY_ALGORITHMS,
    EncryptionKey,
    choose_encryption_key,
)
from py_identity_model._core.jose.jwk import JsonWebKey
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException, TokenValidationException
from rfc_examples import RFC_7516

RSA_KEY = rsa.generate_private_key(65537, 2048)
SIGNER = SigningKey.generate("ES256")


def pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


KEYS = {
    "RSA": EncryptionKey.from_pem(pem(RSA_KEY), kid="rsa"),
    "P-256": EncryptionKey.from_pem(pem(ec.generate_private_key(ec.SECP256R1()))),
    "P-384": EncryptionKey.from_pem(pem(ec.generate_private_key(ec.SECP384R1()))),
    "P-521": EncryptionKey.from_pem(pem(ec.generate_private_key(ec.SECP521R1()))),
    "X25519": EncryptionKey.from_pem(pem(x25519.X25519PrivateKey.generate())),
    "X448": EncryptionKey.from_pem(pem(x448.X448PrivateKey.generate())),
}
PAIRS = [
    (crv, alg) for crv, key in KEYS.items() for alg in KEY_ALGORITHMS if (key.kty == "RSA") == alg.startswith("RSA")
]


def reheaded(token: str, **changes: Any) -> str:
    """Change the header of a JWE; None takes a parameter away."""
    head, rest = token.split(".", 1)
    header = {**json.loads(b64url_decode(head)), **changes}
    kept = {name: value for name, value in header.items() if value is not None}
    return b64url_encode(json.dumps(kept).encode()) + "." + rest


def segments(token: str, **changes: str) -> str:
    """Replace segments of a JWE by name."""
    parts = dict(zip(("header", "key", "iv", "text", "tag"), token.split("."), strict=True))
    return ".".join((parts | changes).values())


def opened(token: str, *keys: Any, algs: Any = KEY_ALGORITHMS, encs: Any = CONTENT_ALGORITHMS) -> bytes:
    return decrypt_compact(token, list(keys) or KEYS["RSA"], algs=algs, encs=encs)


def refused(token: Any, *keys: Any, **allowed: Any) -> TokenValidationException:
    with pytest.raises(TokenValidationException) as caught:
        opened(token, *keys, **allowed)
    return caught.value


def rsa_token(payload: bytes | str = b"canary-plaintext", **more: Any) -> str:
    return encrypt_compact(payload, KEYS["RSA"], alg="RSA-OAEP-256", enc="A256GCM", **more)


# ---- what works


@pytest.mark.parametrize("enc", CONTENT_ALGORITHMS)
@pytest.mark.parametrize(("crv", "alg"), PAIRS)
def test_what_is_encrypted_can_be_opened(crv: str, alg: str, enc: str) -> None:
    """Every algorithm with every kind of key gives back what was put in."""
    token = encrypt_compact("grüße", KEYS[crv], alg=alg, enc=enc)
    assert decrypt_compact(token, KEYS[crv], algs=(alg,), encs=(enc,)).decode() == "grüße"


@pytest.mark.parametrize("enc", CONTENT_ALGORITHMS)
@pytest.mark.parametrize("alg", SYMMETRIC_KEY_ALGORITHMS)
def test_shared_secrets_work_where_they_are_given_as_such(alg: str, enc: str) -> None:
    """AES key wrap and dir take a secret of exactly the algorithm's length."""
    wanted = {"A128KW": 16, "A192KW": 24, "A256KW": 32}.get(alg) or jwe_module._CONTENT[enc].key
    key = EncryptionKey.from_client_secret(Secret("correct horse battery staple"), wanted)
    token = encrypt_compact(b"hello", key, alg=alg, enc=enc)
    assert decrypt_compact(token, key, algs=SYMMETRIC_KEY_ALGORITHMS, encs=(enc,)) == b"hello"


def test_the_secret_of_a_client_is_hashed_and_cut() -> None:
    """OpenID Connect Core 10.2: the left-most bits of SHA-256, SHA-384 or SHA-512 of the client_secret."""
    import hashlib

    for length, name in ((16, "sha256"), (32, "sha256"), (48, "sha384"), (64, "sha512")):
        expected = EncryptionKey.from_secret(hashlib.new(name, b"canary").digest()[:length])
        assert EncryptionKey.from_client_secret("canary", length)._material == expected._material


def test_header_parameters_are_written_as_asked() -> None:
    """kid comes from the key unless it is given; cty, typ and repeated claims are written."""
    token = rsa_token(cty="JWT", typ="JWT", headers={"iss": "https://id.example.com"})
    header = json.loads(b64url_decode(token.split(".")[0]))
    assert header == {
        "alg": "RSA-OAEP-256",
        "enc": "A256GCM",
        "typ": "JWT",
        "kid": "rsa",
        "cty": "JWT",
        "iss": "https://id.example.com",
    }
    assert opened(token) == b"canary-plaintext"


def test_compression_is_never_asked_for() -> None:
    """[J14] Nothing is compressed when it is encrypted."""
    assert "zip" not in json.loads(b64url_decode(rsa_token("a" * 4096).split(".")[0]))


@pytest.mark.parametrize("name", ["alg", "enc", "zip", "crit", "b64", "epk", "apu", "apv"])
def test_what_the_algorithm_decides_cannot_be_set(name: str) -> None:
    """Header parameters that are not the caller's are refused."""
    with pytest.raises(ConfigurationException) as caught:
        rsa_token(headers={name: "DEF"})
    assert caught.value.code == "header_reserved"


# ---- keys


def test_kid_selects_among_several_keys() -> None:
    """The key that is named is used; keys without a name are tried otherwise."""
    other = EncryptionKey.from_pem(pem(rsa.generate_private_key(65537, 2048)), kid="other")
    assert opened(rsa_token(), other, KEYS["RSA"]) == b"canary-plaintext"
    assert refused(rsa_token(kid="third"), other, KEYS["RSA"]).code == "decryption_key_unknown"
    unnamed = EncryptionKey.from_pem(pem(RSA_KEY))
    assert opened(rsa_token(kid="third"), other, unnamed) == b"canary-plaintext"


def test_one_key_needs_no_name() -> None:
    """Where there is one key, a kid in the token does not matter."""
    assert opened(rsa_token(kid="whatever")) == b"canary-plaintext"


def test_keys_come_in_every_usual_form() -> None:
    """PEM, JWK, JWK set, JsonWebKey and lists of them are read; keys for signatures in a set are passed over."""
    private = ec.generate_private_key(ec.SECP256R1())
    numbers = private.private_numbers()
    point = numbers.public_numbers
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": b64url_encode(point.x.to_bytes(32, "big")),
        "y": b64url_encode(point.y.to_bytes(32, "big")),
        "d": b64url_encode(numbers.private_value.to_bytes(32, "big")),
        "use": "enc",
        "kid": "ec",
    }
    token = encrypt_compact(b"x", public_pem(private), alg="ECDH-ES", enc="A128GCM")
    signing = {**(SIGNER.public_jwk or {}), "use": "sig"}
    for keys in (jwk, JsonWebKey(**jwk), {"keys": [signing, jwk]}, [jwk], pem(private), pem(private).decode()):
        assert opened(token, keys) == b"x"


def test_a_key_in_encrypted_pem_needs_its_password() -> None:
    """The password opens the PEM; without it the key is refused."""
    locked = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary-pass"))
    assert opened(rsa_token(), EncryptionKey.from_pem(locked, password=Secret("canary-pass"))) == b"canary-plaintext"
    for password in (None, "wrong"):
        with pytest.raises(ConfigurationException) as caught:
            EncryptionKey.from_pem(locked, password=password)
        assert caught.value.code == "encryption_key_refused"


RSA_JWK = {
    "kty": "RSA",
    "n": b64url_encode(RSA_KEY.public_key().public_numbers().n.to_bytes(256, "big")),
    "e": "AQAB",
}
X_JWK = {"kty": "OKP", "crv": "X25519", "x": b64url_encode(bytes(31) + b"\x09")}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ({"kty": "RSA", "n": b64url_encode(b"\xff" * 128), "e": "AQAB"}, "rsa_key_too_small"),
        ({**RSA_JWK, "use": "sig"}, "use_mismatch"),
        ({**RSA_JWK, "key_ops": ["verify"]}, "key_ops_mismatch"),
        ({**RSA_JWK, "kid": 7}, "kid_invalid"),
        ({**RSA_JWK, "n": "!"}, "jwk_member_not_base64url"),
        ({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, "crv_unsupported"),
        ({"kty": "EC", "crv": "P-256", "x": b64url_encode(bytes(32)), "y": b64url_encode(bytes(32))}, "ec_point"),
        ({"kty": "OKP", "crv": "Ed25519", "x": "AA"}, "crv_unsupported"),
        ({**X_JWK, "x": "AA"}, "key_length_invalid"),
        ({**X_JWK, "d": "AA"}, "private_key_length_invalid"),
        ({**X_JWK, "d": b64url_encode(b"\x07" * 32)}, "private_key_mismatch"),
        ({**RSA_JWK, "d": "AQAB"}, "private_key_invalid"),
        ({"kty": "oct", "k": b64url_encode(b"short")}, "secret_length_invalid"),
        ({"kty": "AKP"}, "kty_unsupported"),
        ({}, "kty_unsupported"),
        (b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----", "pem_unreadable"),
        ("correct horse", "pem_unreadable"),
        (7, "key_type_unknown"),
    ],
)
def test_keys_that_must_not_be_used_are_refused(key: Any, reason: str) -> None:
    """Weak keys, keys for something else and no keys at all are mistakes of the caller."""
    with pytest.raises(ConfigurationException) as caught:
        Encryption(key)
    assert caught.value.code == "encryption_key_refused"
    assert reason in str(caught.value.actual)


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], "keys_missing"),
        ({"keys": []}, "keys_missing"),
        (public_pem(RSA_KEY), "encryption_key_refused"),
        ([KEYS["RSA"], EncryptionKey.from_secret(bytes(16))], "keys_mixed"),
    ],
)
def test_what_opens_tokens_is_private(keys: Any, code: str) -> None:
    """A public key opens nothing, and shared secrets never stand beside key pairs."""
    with pytest.raises(ConfigurationException) as caught:
        Decryption(keys)
    assert caught.value.code == code


def test_keys_are_not_used_for_what_they_do_not_fit() -> None:
    """[J2] [J4] Encrypting to a key of another type, with another alg, or of another length is refused."""
    for key, alg in (
        (KEYS["P-256"], "RSA-OAEP"),
        (KEYS["RSA"], "ECDH-ES"),
        (EncryptionKey.from_secret(bytes(16)), "A256KW"),
        (EncryptionKey.from_secret(bytes(16)), "dir"),
        ({**RSA_JWK, "alg": "RSA-OAEP"}, "RSA-OAEP-256"),
    ):
        with pytest.raises(ConfigurationException) as caught:
            encrypt_compact(b"x", key, alg=alg, enc="A256GCM")
        assert caught.value.code == "encryption_key_mismatch"


@pytest.mark.parametrize("alg", ["RSA1_5", "PBES2-HS256+A128KW", "A128GCMKW", "none", ""])
def test_refused_algorithms_cannot_be_allowed(alg: str) -> None:
    """[J23] RSA1_5, PBES2 and unknown names cannot be configured at all, in either direction."""
    for make in (lambda: Encryption(KEYS["RSA"], alg), lambda: Decryption(KEYS["RSA"], (alg,))):
        with pytest.raises(ConfigurationException) as caught:
            make()
        assert caught.value.code == "alg_unsupported"


def test_an_empty_allow_list_turns_nothing_off() -> None:
    """No algorithm allowed is a mistake, not freedom."""
    with pytest.raises(ConfigurationException):
        Decryption(KEYS["RSA"], ())
    with pytest.raises(ConfigurationException):
        Decryption(KEYS["RSA"], None, ())


def test_the_key_of_a_provider_is_the_one_made_for_encryption() -> None:
    """use=enc and a named alg come first; keys for signatures, secrets and weak keys are never taken."""
    weak = {"kty": "RSA", "n": b64url_encode(b"\xff" * 128), "e": "AQAB", "use": "enc", "alg": "RSA-OAEP-256"}
    keys: list[Any] = [
        {**RSA_JWK, "use": "sig", "kid": "sig"},
        {"kty": "oct", "k": b64url_encode(bytes(16)), "kid": "oct"},
        weak,
        {**RSA_JWK, "kid": "any"},
        JsonWebKey(**RSA_JWK, use="enc", kid="enc"),
    ]
    assert choose_encryption_key(keys, "RSA-OAEP-256").kid == "enc"
    assert choose_encryption_key(keys[:4], "RSA-OAEP").kid == "any"
    for alg in ("ECDH-ES", "A128KW", "dir", "RSA1_5"):
        with pytest.raises(ConfigurationException) as caught:
            choose_encryption_key(keys, alg)
        assert caught.value.code == "encryption_key_missing"


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """joserfc missing is a mistake of the installation, told with the very line that mends it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "joserfc"]:
        monkeypatch.setitem(sys.modules, name, None)
    for make in (rsa_token, lambda: Decryption(KEYS["RSA"]), lambda: opened("a.b.c.d.e")):
        with pytest.raises(ConfigurationException) as caught:
            make()
        assert caught.value.code == "jwe_missing"
        assert "py-identity-model[jwe]" in str(caught.value.hint)


# ---- attacks


def test_e1_compressed_content_is_refused() -> None:
    """E1 [J25]: zip is refused by the header alone, before any key is used, so no bomb ever unfolds."""
    bomb = zlib.compress(bytes(100_000_000))[2:-4]
    token = reheaded(rsa_token(bomb[:40000]), zip="DEF")
    assert refused(token).code == "zip_refused"


@pytest.mark.parametrize("count", [2**31 - 1, 0, 1.5, True])
def test_e2_pbes2_is_refused(count: Any) -> None:
    """E2 [J23]: PBES2 is not supported, whatever its count."""
    token = reheaded(rsa_token(), alg="PBES2-HS256+A128KW", p2c=count, p2s="AAAA")
    assert refused(token).code == "alg_not_allowed"


def test_e3_rsa1_5_is_refused() -> None:
    """E3 [J7]: RSA1_5 is not offered, so there is no padding to be asked about."""
    assert refused(reheaded(rsa_token(), alg="RSA1_5")).code == "alg_not_allowed"


def test_e3_a_content_key_that_cannot_be_had_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """E3: after a failed key the content is decrypted with a random one, so that both failures look alike."""
    token = rsa_token()
    drawn: list[int] = []
    real = jwe_module.secrets.token_bytes
    monkeypatch.setattr(jwe_module.secrets, "token_bytes", lambda n: drawn.append(n) or real(n))
    broken = segments(token, key=b64url_encode(bytes(256)))
    assert refused(broken).code == "decryption_failed"
    assert drawn == [32]


def failures() -> list[tuple[str, str, str]]:
    """Tokens that cannot be opened, each by another cause."""
    cases = []
    for crv, alg in (("RSA", "RSA-OAEP"), ("P-256", "ECDH-ES"), ("X25519", "ECDH-ES+A128KW")):
        for enc in ("A128CBC-HS256", "A256GCM"):
            good = encrypt_compact(b"canary-plaintext", KEYS[crv], alg=alg, enc=enc)
            key, iv, text, tag = good.split(".")[1:]
            other = b64url_encode(b64url_decode(tag)[:-1] + bytes([b64url_decode(tag)[-1] ^ 1]))
            cases += [
                (f"{alg} {enc} {what}", crv, token)
                for what, token in {
                    "tag changed": segments(good, tag=other),
                    "tag cut": segments(good, tag=b64url_encode(b64url_decode(tag)[:8])),
                    "tag long": segments(good, tag=b64url_encode(b64url_decode(tag) + b"x")),
                    "tag missing": segments(good, tag=""),
                    "iv short": segments(good, iv=b64url_encode(b64url_decode(iv)[:-1])),
                    "iv missing": segments(good, iv=""),
                    "text changed": segments(good, text=b64url_encode(bytes(len(b64url_decode(text))))),
                    "text missing": segments(good, text=""),
                    "text odd": segments(good, text=b64url_encode(b"x" * 17)),
                    "key missing or present": segments(good, key="" if key else b64url_encode(bytes(40))),
                    "key nonsense": segments(good, key=b64url_encode(b"\x00" * 24)),
                    "header changed": reheaded(good, typ="JWT"),
                    "agreement spoiled": reheaded(good, epk={"kty": "EC"}, apu="AAAA"),
                }.items()
            ]
    return cases


@pytest.mark.parametrize(("what", "crv", "token"), [pytest.param(*case, id=case[0]) for case in failures()])
def test_e4_no_failure_is_told_from_another(what: str, crv: str, token: str) -> None:
    """E4 E6 [J10]: wrong keys, tags, vectors, lengths, empty segments: one error, the same to the letter, for all."""
    error = refused(token, KEYS[crv])
    facts = (error.code, str(error), error.claim, error.expected, error.actual, error.hint, error.details)
    assert facts == ("decryption_failed", "The token cannot be decrypted", None, None, None, None, {})
    assert (error.__cause__, error.__context__) == (None, None)


def test_the_wrong_key_fails_like_everything_else() -> None:
    """A token for another key cannot be told from a broken one."""
    other = EncryptionKey.from_pem(pem(rsa.generate_private_key(65537, 2048)))
    assert refused(rsa_token(), other).code == "decryption_failed"


def agreed(**changes: Any) -> str:
    """Make an ECDH-ES token by hand, every part of it good under the ``epk`` that is changed only then."""
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    recipient = KEYS["P-256"]._material.public_key()
    point, d = ephemeral.public_key().public_numbers(), ephemeral.private_numbers().private_value
    x, y, d = (b64url_encode(number.to_bytes(32, "big")) for number in (point.x, point.y, d))
    epk = {"kty": "EC", "crv": "P-256", "x": x, "y": y} | ({"d": d} if changes.pop("private", False) else {}) | changes
    header = b64url_encode(json.dumps({"alg": "ECDH-ES", "enc": "A128GCM", "epk": epk}).encode())
    info = struct.pack(">I7s3I", 7, b"A128GCM", 0, 0, 128)
    cek = ConcatKDFHash(SHA256(), 16, info).derive(ephemeral.exchange(ec.ECDH(), recipient))
    sealed = AESGCM(cek).encrypt(bytes(12), b"agreed", header.encode())
    return ".".join((header, "", *map(b64url_encode, (bytes(12), sealed[:-16], sealed[-16:]))))


@pytest.mark.parametrize(
    "changes",
    [
        {"private": True},
        {"k": "AAAA"},
        {"x": b64url_encode(bytes(31) + b"\x01")},
        {"x": b64url_encode(bytes(31))},
        {"y": "!"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": "X25519"},
        {"kty": "OKP"},
        {"crv": ["P-256"]},
        {"x": 1},
    ],
)
def test_e5_ephemeral_keys_are_validated(changes: dict[str, Any]) -> None:
    """E5 [J12]: a point off the curve, another curve, a private member: nothing is computed with it."""
    assert opened(agreed(alg="ES256"), KEYS["P-256"]) == b"agreed"
    assert refused(agreed(**changes), KEYS["P-256"]).code == "decryption_failed"


@pytest.mark.parametrize("epk", [None, 7, [], "x", {}])
def test_e5_an_ephemeral_key_is_needed(epk: Any) -> None:
    """E5 [J12]: epk missing or of another type is refused like any other failure."""
    token = encrypt_compact(b"x", KEYS["P-256"], alg="ECDH-ES+A256KW", enc="A128GCM")
    assert refused(reheaded(token, epk=epk), KEYS["P-256"]).code == "decryption_failed"


@pytest.mark.parametrize("u", [0, 1])
def test_e5_points_of_small_order_are_refused(u: int) -> None:
    """E5 [J12]: RFC 8037 3.2: an X25519 secret of all zeros gives no key."""
    token = encrypt_compact(b"x", KEYS["X25519"], alg="ECDH-ES", enc="A128GCM")
    epk = {"kty": "OKP", "crv": "X25519", "x": b64url_encode(bytes([u]) + bytes(31))}
    assert refused(reheaded(token, epk=epk), KEYS["X25519"]).code == "decryption_failed"


@pytest.mark.parametrize("info", [7, "!", "A" * 600])
def test_e5_party_info_is_bounded(info: Any) -> None:
    """E5: apu and apv are short base64url or the token is refused."""
    token = encrypt_compact(b"x", KEYS["P-256"], alg="ECDH-ES", enc="A128GCM")
    assert refused(reheaded(token, apu=info), KEYS["P-256"]).code == "decryption_failed"


@pytest.mark.parametrize(
    "token",
    [
        json.dumps({"protected": "e30", "recipients": [{}] * 1000, "aad": "A" * 1000}),
        "a.b.c.d",
        "a.b.c.d.e.f",
        "....",
        "",
        None,
        7,
        b"a.b.c.d.e",
        "!.b.c.d.e",
        "e30=.AA.AA.AA.AA",
        "é.b.c.d.e",
    ],
)
def test_e5_only_the_compact_serialization_is_read(token: Any) -> None:
    """E5 E6: JSON with many recipients, wrong segments, other types: one family of errors, nothing foreign."""
    assert refused(token).code in ("token_malformed", "header_invalid")


def test_sizes_are_bounded() -> None:
    """Tokens and headers past their limit are refused before they are decoded."""
    assert refused("a" * (MAX_JWE + 1)).code == "token_too_large"
    assert refused("a" * 30000 + ".b.c.d.e").code == "header_too_large"
    largest = rsa_token(bytes(60000))
    assert len(opened(largest)) == 60000


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ('{"alg":"RSA-OAEP-256","alg":"dir","enc":"A256GCM"}', "header_invalid"),
        ('{"alg":"RSA-OAEP-256","enc":"A256GCM","x":{"a":1,"a":2}}', "header_invalid"),
        ('["alg"]', "header_invalid"),
        ("{", "header_invalid"),
        ('{"enc":"A256GCM"}', "alg_not_allowed"),
        ('{"alg":["RSA-OAEP-256"],"enc":"A256GCM"}', "alg_not_allowed"),
        ('{"alg":"rsa-oaep-256","enc":"A256GCM"}', "alg_not_allowed"),
        ('{"alg":"RSA-OAEP-256 ","enc":"A256GCM"}', "alg_not_allowed"),
        ('{"alg":"RSA-OAEP-256"}', "enc_not_allowed"),
        ('{"alg":"RSA-OAEP-256","enc":"A256CBC"}', "enc_not_allowed"),
        ('{"alg":"RSA-OAEP-256","enc":"A256GCM","crit":["exp"],"exp":1}', "crit_unsupported"),
        ('{"alg":"RSA-OAEP-256","enc":"A256GCM","b64":false}', "b64_unsupported"),
        ('{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":7}', "header_invalid"),
        ('{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"' + "a" * 300 + '"}', "header_invalid"),
    ],
)
def test_headers_are_read_strictly(header: str, code: str) -> None:
    """Duplicate members, other types, other spellings and critical extensions are refused before any key is used."""
    token = b64url_encode(header.encode()) + rsa_token()[len(rsa_token().split(".")[0]) :]
    assert refused(token).code == code


def test_only_what_is_allowed_is_opened() -> None:
    """The allow-lists hold exactly: a good token with another alg or enc is refused."""
    assert refused(rsa_token(), algs=("RSA-OAEP",)).code == "alg_not_allowed"
    assert refused(rsa_token(), encs=("A128GCM",)).code == "enc_not_allowed"


def test_a_secret_is_never_taken_for_a_key_pair() -> None:
    """A token that says dir or AES key wrap finds no key where the key at hand is a pair."""
    secret = EncryptionKey.from_secret(bytes(32))
    token = encrypt_compact(b"x", secret, alg="dir", enc="A256GCM")
    assert refused(token, KEYS["RSA"], algs=("dir", "RSA-OAEP")).code == "decryption_key_unknown"


def test_keys_named_in_the_header_are_ignored() -> None:
    """jku, jwk, x5u and their like neither help nor are they followed."""
    token = encrypt_compact(
        b"x", KEYS["RSA"], alg="RSA-OAEP", enc="A128GCM", headers={"jku": "https://evil.example", "jwk": {}}
    )
    assert opened(token) == b"x"


# ---- nested tokens


INNER = sign_compact({"iss": "https://id.example.com", "aud": ["app", "b"], "sub": "ada"}, SIGNER)
DECRYPTION = Decryption(KEYS["RSA"])


def nested(payload: bytes | str = INNER, **more: Any) -> str:
    return decrypt_nested(rsa_token(payload, **{"cty": "JWT", **more}), DECRYPTION)


@pytest.mark.parametrize("cty", ["JWT", "jwt", "application/JWT", None])
def test_the_signed_token_inside_comes_out(cty: str | None) -> None:
    """cty is JWT in any spelling, or absent, as with providers that leave it out."""
    assert nested(cty=cty) == INNER


def test_repeated_claims_are_accepted_if_they_agree() -> None:
    """RFC 7519 5.3: iss, aud and sub in the header are fine where the token says the same."""
    assert nested(headers={"iss": "https://id.example.com", "aud": "app", "sub": "ada"}) == INNER


@pytest.mark.parametrize(
    "headers", [{"iss": "https://evil.example"}, {"aud": "c"}, {"sub": "eve"}, {"aud": ["app", "c"]}]
)
def test_repeated_claims_that_differ_are_refused(headers: dict[str, Any]) -> None:
    """RFC 7519 5.3: a header that says something else than the token is refused."""
    with pytest.raises(TokenValidationException) as caught:
        nested(headers=headers)
    assert caught.value.code == "header_claim_mismatch"


UNSECURED = b64url_encode(b'{"alg":"none"}') + "." + INNER.split(".")[1] + "."


@pytest.mark.parametrize(
    "payload",
    [
        UNSECURED,
        UNSECURED + "AAAA",
        b64url_encode(b'{"alg":"nOnE "}') + "." + INNER.split(".")[1] + ".AAAA",
        INNER.rpartition(".")[0] + ".",
        '{"iss": "https://id.example.com"}',
        "",
        b"\xff\xfe",
        INNER + ".x",
        rsa_token(INNER),
        sign_compact(INNER.encode(), SIGNER, headers={"cty": "JWT"}),
    ],
)
def test_a12_encryption_is_no_signature(payload: Any) -> None:
    """A12 [J11] [J26]: an unsecured token, bare claims, or another layer inside an encrypted token are refused."""
    with pytest.raises(TokenValidationException) as caught:
        nested(payload)
    assert caught.value.code == "nested_not_signed"


def test_the_content_type_must_be_a_token() -> None:
    """A JWE that says it holds something else is not searched for a token."""
    with pytest.raises(TokenValidationException) as caught:
        nested(cty="text/plain")
    assert (caught.value.code, caught.value.claim) == ("nested_not_signed", "cty")


def test_a_signed_token_is_refused_where_encryption_was_agreed_upon() -> None:
    """[T8] [O1] A token that comes in the clear, though encryption was registered, is refused."""
    with pytest.raises(TokenValidationException) as caught:
        decrypt_nested(INNER, DECRYPTION)
    assert caught.value.code == "token_not_encrypted"


def test_an_inner_header_is_read_strictly_too() -> None:
    """What is wrong with the header inside is told, as for any signed token."""
    inner = b64url_encode(b'{"alg":"ES256","crit":["x"],"x":1}') + INNER[INNER.index(".") :]
    with pytest.raises(TokenValidationException) as caught:
        nested(inner)
    assert caught.value.code == "crit_unsupported"


# ---- nothing secret shows


def test_nothing_secret_shows() -> None:
    """Keys, tokens and plaintexts are in no repr, message, traceback, log record or pickle of an error."""
    secret = b"canary-secret-of-32-octets-long!"
    key = EncryptionKey.from_secret(secret)
    encryption, decryption = Encryption(key, "A256KW"), Decryption(key)
    token = encrypt_compact("canary-plaintext", key, alg="A256KW", enc="A256GCM")
    seen = [repr(key), repr(encryption), repr(decryption)]
    for bad in (segments(token, tag=""), reheaded(token, zip="DEF"), token + ".x", reheaded(token, kid="k")):
        try:
            decrypt_compact(
                bad, [key, EncryptionKey.from_secret(bytes(32), kid="z")], algs=("A256KW",), encs=["A256GCM"]
            )
        except PyIdentityModelException as error:
            seen += [repr(error), traceback.format_exc(), repr(vars(error)), str(pickle.dumps(error))]
            logging.getLogger("test").error("x", exc_info=True)
    assert len(seen) == 3 + 4 * 4
    canaries = ("canary", b64url_encode(secret), token, token.split(".")[3])
    assert not [text for text in seen for canary in canaries if canary in text]


@pytest.mark.parametrize("value", [KEYS["RSA"], Decryption(KEYS["RSA"]), Encryption(KEYS["RSA"])], ids=repr)
def test_keys_are_not_pickled(value: Any) -> None:
    """What holds a key is copied as itself, and never written down."""
    assert copy.copy(value) is copy.deepcopy(value) is value
    with pytest.raises(ConfigurationException) as caught:
        pickle.dumps(value)
    assert caught.value.code == "secret_not_picklable"


# ---- vectors


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_rfc_7516() -> None:
    """RFC 7516 appendix A: A.1 and A.3 are opened, A.2 (RSA1_5) is refused."""
    for section, alg, enc in (("A.1", "RSA-OAEP", "A256GCM"), ("A.3", "A128KW", "A128CBC-HS256")):
        vector = RFC_7516[section]
        assert decrypt_compact(vector["jwe"], vector["key"], algs=[alg], encs=[enc]).decode() == vector["plaintext"]
    vector = RFC_7516["A.2"]
    assert refused(vector["jwe"], vector["key"]).code == "alg_not_allowed"


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("jwe/5_1.key_encryption_using_rsa_v15_and_aes-hmac-sha2", False),
        ("jwe/5_2.key_encryption_using_rsa-oaep_with_aes-gcm", True),
        ("jwe/5_3.key_wrap_using_pbes2-aes-keywrap_with-aes-cbc-hmac-sha2", False),
        ("jwe/5_4.key_agreement_with_key_wrapping_using_ecdh-es_and_aes-keywrap_with_aes-gcm", True),
        ("jwe/5_5.key_agreement_using_ecdh-es_with_aes-cbc-hmac-sha2", True),
        ("jwe/5_6.direct_encryption_using_aes-gcm", True),
        ("jwe/5_7.key_wrap_using_aes-gcm_keywrap_with_aes-cbc-hmac-sha2", False),
        ("jwe/5_8.key_wrap_using_aes-keywrap_with_aes-gcm", True),
        ("jwe/5_9.compressed_content", False),
        ("curve25519/ecdh-es", True),
    ],
)
def test_cookbook(vectors: Path, name: str, accepted: bool) -> None:
    """RFC 7520 5: what is supported is opened, RSA1_5, PBES2, GCM key wrap and compression are refused."""
    vector = load(vectors / "cookbook" / f"{name}.json")
    key, token = vector["input"].get("key"), vector["output"]["compact"]
    if not accepted:
        key = EncryptionKey.from_secret(bytes(16)) if key is None else {**key, "alg": None}
        algs = SYMMETRIC_KEY_ALGORITHMS if getattr(key, "kty", "") or key["kty"] == "oct" else KEY_ALGORITHMS
        assert refused(token, key, algs=algs).code in ("alg_not_allowed", "zip_refused")
        return
    plaintext = decrypt_compact(token, key, algs=[vector["input"]["alg"]], encs=[vector["input"]["enc"]])
    assert plaintext.decode() == vector["input"]["plaintext"]


def test_cookbook_nested(vectors: Path) -> None:
    """RFC 7520 6: the signed token inside the encrypted one comes out."""
    vector = load(vectors / "cookbook" / "6.nesting_signatures_and_encryption.json")
    decryption = Decryption(vector["encrypt"]["input"]["key"], ["RSA-OAEP"], ["A128GCM"])
    token = vector["encrypt"]["output"]["compact"]
    assert decrypt_nested(token, decryption) == vector["sign"]["output"]["compact"]


def test_no_seed_crashes_the_parser(vectors: Path) -> None:
    """Seeds of go-jose's fuzzer end in one family of errors, as tokens and as what is in them."""
    families = load(vectors / "go-jose-fuzz-seeds" / "seeds.json").values()
    seeds = [seed for family in families if isinstance(family, dict) for group in family.values() for seed in group]
    texts = [".".join(seed) if isinstance(seed, list) else seed for seed in seeds]
    assert len(texts) == 148
    for text in texts:
        assert refused(text).code
        with contextlib.suppress(TokenValidationException):
            assert nested(text) == text


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_change_to_a_token_crashes_or_opens_it(data: st.DataObject) -> None:
    """[J10] Whatever is changed in a token, it is refused by an error of the library's own."""
    kind, token = data.draw(st.sampled_from(GOOD))
    at = data.draw(st.integers(0, len(token) - 1))
    text = data.draw(st.text(st.sampled_from('abcXYZ019-_.=+/ {"é'), max_size=4))
    changed = token[:at] + text + token[at + data.draw(st.integers(0, 3)) :]
    if changed != token:
        assert refused(changed, KEYS[kind]).code


GOOD = [
    ("RSA", rsa_token()),
    *((crv, encrypt_compact(b"x", KEYS[crv], alg="ECDH-ES+A128KW", enc="A128CBC-HS256")) for crv in ("P-256", "X448")),
]


def test_wycheproof(vectors: Path) -> None:
    """Wycheproof JWE: each verdict is theirs, but for what is refused here on purpose (RSA1_5, PBES2, GCMKW, zip)."""
    wrong = []
    for group in load(vectors / "wycheproof" / "json_web_encryption_test.json")["testGroups"]:
        for case in group["tests"]:
            verdict, code = _verdict(group["private"], case)
            expected = case["result"] == "valid"
            if verdict != expected and code not in ("alg_not_allowed", "zip_refused", "encryption_key_refused"):
                wrong.append((case["tcId"], case["comment"], case["result"], code))
    assert wrong == []


def _verdict(private: Any, case: dict[str, Any]) -> tuple[bool, str]:
    try:
        decryption = Decryption(private)
        plaintext = decrypt_compact(case["jwe"], private, algs=decryption.algs or (), encs=CONTENT_ALGORITHMS)
    except PyIdentityModelException as error:
        return False, error.code
    return plaintext.hex() == case["pt"], "opened"
