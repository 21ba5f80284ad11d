"""The signature algorithms of JOSE, one table row each.

RFC 7518 3 (RS, PS, ES, HS), RFC 8812 (ES256K), RFC 8037 (EdDSA), RFC 9864 (Ed25519, Ed448), RFC 9964 (ML-DSA).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

#: The algorithms whose verifier needs no secret, by the names of the IANA registry "JSON Web Signature Algorithms".
AsymmetricAlgorithm: TypeAlias = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "ES256K",
    "EdDSA",
    "Ed25519",
    "Ed448",
    "ML-DSA-44",
    "ML-DSA-65",
    "ML-DSA-87",
]
SymmetricAlgorithm: TypeAlias = Literal["HS256", "HS384", "HS512"]
SignatureAlgorithm: TypeAlias = AsymmetricAlgorithm | SymmetricAlgorithm
Verify: TypeAlias = Callable[[bytes, bytes], bool]
Sign: TypeAlias = Callable[[bytes], bytes]

# All that a verification can raise: UnsupportedAlgorithm where OpenSSL was built or configured without the algorithm.
_REFUSALS = (InvalidSignature, ValueError, UnsupportedAlgorithm)


class KeyRefused(ValueError):
    """A key cannot be used; ``reason`` is a stable lower_snake name of the cause and never holds key material."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row: an algorithm of RFC 7518 or one of its extensions, with all that is known about it."""

    name: str
    #: The key type it takes, and the curves; no curves where the key type has none.
    kty: str
    crvs: tuple[str, ...]
    #: Digest of the signature, and of ``at_hash`` and its like (:func:`py_identity_model._core.jose.jws.half_hash`).
    hash_name: str
    verifier: Callable[[Any], Verify] = field(repr=False)
    signer: Callable[[Any], Sign] = field(repr=False)
    #: Octets that a signature has; None where the key decides (RSA) and where the curve does (EdDSA).
    signature_length: int | None = None

    @property
    def crv(self) -> str | None:
        """The one curve, if there is one."""
        return self.crvs[0] if len(self.crvs) == 1 else None

    @property
    def symmetric(self) -> bool:
        """Whether verifier and signer share one secret."""
        return self.kty == "oct"


@dataclass(frozen=True, slots=True)
class Curve:
    """An elliptic curve of RFC 7518 6.2.1.1 or RFC 8812: size of a coordinate in octets, order of the group."""

    curve: ec.EllipticCurve
    size: int
    order: int


EC_CURVES: Mapping[str, Curve] = MappingProxyType(
    {
        "P-256": Curve(ec.SECP256R1(), 32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
        "P-384": Curve(
            ec.SECP384R1(),
            48,
            0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        ),
        "P-521": Curve(
            ec.SECP521R1(),
            66,
            0x01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
        ),
        "secp256k1": Curve(ec.SECP256K1(), 32, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141),
    }
)

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@cache
def ml_dsa(name: str) -> tuple[Any, Any]:
    """Return the public and the private key class of ``ML-DSA-44``, ``-65`` or ``-87``.

    Raises:
        KeyRefused: The installed ``cryptography`` is too old to have them.
    """
    try:
        module = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
    except ImportError:
        raise KeyRefused("ml_dsa_needs_newer_cryptography") from None
    stem = name.replace("-", "")
    return getattr(module, f"{stem}PublicKey"), getattr(module, f"{stem}PrivateKey")


def _hashed(bits: int) -> tuple[Callable[[bytes], Any], utils.Prehashed]:
    """Return the hash, and what tells ``cryptography`` that it was taken: 0.3 µs less than having it take the hash."""
    return getattr(hashlib, f"sha{bits}"), utils.Prehashed(_HASHES[f"sha{bits}"])


def _rsa(name: str, bits: int, scheme: padding.AsymmetricPadding, verifier: Callable[[Any], Verify]) -> Algorithm:
    digest = _HASHES[f"sha{bits}"]

    def signer(key: Any) -> Sign:
        return lambda signing_input: bytes(key.sign(signing_input, scheme, digest))

    return Algorithm(name, "RSA", (), f"sha{bits}", verifier, signer)


def _pss(bits: int) -> Algorithm:
    # RFC 7518 3.5: MGF1 with the same hash, and a salt as long as its output.
    scheme = padding.PSS(padding.MGF1(_HASHES[f"sha{bits}"]), padding.PSS.DIGEST_LENGTH)
    return _rsa(f"PS{bits}", bits, scheme, lambda key: _by_verifying(key, bits, scheme))


def _by_verifying(key: Any, bits: int, scheme: padding.AsymmetricPadding) -> Verify:
    length, verify_bare = (key.key_size + 7) // 8, key.verify
    hashed, prehashed = _hashed(bits)

    def verify(signing_input: bytes, signature: bytes) -> bool:
        if len(signature) != length:
            return False
        try:
            verify_bare(signature, hashed(signing_input).digest(), scheme, prehashed)
        except _REFUSALS:
            return False
        return True

    return verify


#: RFC 8017 9.2 note 1: the DER that stands before the hash in what is signed with PKCS#1 v1.5.
_DIGEST_INFOS = {
    256: bytes.fromhex("3031300d060960864801650304020105000420"),
    384: bytes.fromhex("3041300d060960864801650304020205000430"),
    512: bytes.fromhex("3051300d060960864801650304020305000440"),
}


def _pkcs1(bits: int) -> Algorithm:
    scheme = padding.PKCS1v15()
    return _rsa(f"RS{bits}", bits, scheme, lambda key: _by_recovering(key, bits, scheme))


def _by_recovering(key: Any, bits: int, scheme: padding.PKCS1v15) -> Verify:
    """Return how to verify by RFC 8017 8.2.2: what was signed is recovered, and is the one encoding of the hash.

    ``verify`` of ``cryptography`` comes to the same, and takes 1.3 µs longer. OpenSSL recovers what stands behind a
    whole padding, so that nothing is left open where it is as long as the encoding.
    """
    length, recover, head = (key.key_size + 7) // 8, key.recover_data_from_signature, _DIGEST_INFOS[bits]
    hashed, verify_without = _hashed(bits)[0], _by_verifying(key, bits, scheme)

    def verify(signing_input: bytes, signature: bytes) -> bool:
        if len(signature) != length:
            return False
        try:
            recovered: bytes = recover(signature, scheme, None)
            encoded: bytes = head + hashed(signing_input).digest()
        except InvalidSignature:
            return False
        except _REFUSALS:  # an OpenSSL that recovers nothing
            return verify_without(signing_input, signature)
        return recovered == encoded

    return verify


def _ecdsa(name: str, bits: int, crv: str) -> Algorithm:
    hash_name = f"sha{bits}"
    size, order = EC_CURVES[crv].size, EC_CURVES[crv].order
    length, zero, limit = 2 * size, bytes(size), order.to_bytes(size, "big")
    to_der = _der_encoder(size)
    digest, (hashed, prehashed) = _HASHES[hash_name], _hashed(bits)

    def verifier(key: Any) -> Verify:
        verify_bare, scheme = key.verify, ec.ECDSA(prehashed)

        def verify(signing_input: bytes, signature: bytes) -> bool:
            r, s = signature[:size], signature[size:]
            # RFC 7518 3.4: exactly so many octets; FIPS 186-5 6.4.2: r and s in [1, n-1]. Big-endian octets of one
            # length order like the numbers.
            if len(signature) != length or not (zero < r < limit and zero < s < limit):
                return False
            try:
                verify_bare(to_der(r, s), hashed(signing_input).digest(), scheme)
            except _REFUSALS:
                return False
            return True

        return verify

    def signer(key: Any) -> Sign:
        scheme = _deterministic_ecdsa(digest)
        return lambda signing_input: ecdsa_from_der(key.sign(signing_input, scheme), size)

    return Algorithm(name, "EC", (crv,), hash_name, verifier, signer, length)


def _deterministic_ecdsa(digest: hashes.HashAlgorithm) -> ec.ECDSA:
    try:
        return ec.ECDSA(digest, deterministic_signing=True)  # RFC 6979
    except UnsupportedAlgorithm:
        return ec.ECDSA(digest)


def _der_encoder(size: int) -> Callable[[bytes, bytes], bytes]:
    """Return how to write r and s as ECDSA-Sig-Value (RFC 3279 2.2.3): by template, three times as fast as in general.

    The template needs one-octet lengths and numbers that fill their octets, so it serves all but the 66-octet curve
    and 1 in 128 signatures.
    """

    def plain(r: bytes, s: bytes) -> bytes:
        return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))

    if 2 * (size + 3) > 127:
        return plain
    # By the top bit of a number: an INTEGER is signed, so a set bit wants a zero octet in front.
    integer = (bytes((2, size)), bytes((2, size + 1, 0)))
    head = [[bytes((0x30, 4 + 2 * size + i + j)) + integer[i] for j in (0, 1)] for i in (0, 1)]

    def templated(r: bytes, s: bytes) -> bytes:
        r_top, s_top = r[0], s[0]
        if not r_top or not s_top:
            return plain(r, s)
        s_bit = s_top >> 7
        return head[r_top >> 7][s_bit] + r + integer[s_bit] + s

    return templated


def ecdsa_from_der(signature: bytes, size: int) -> bytes:
    """Turn an ECDSA-Sig-Value into r and s side by side (RFC 7518 3.4)."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _direct_verifier(key: Any) -> Verify:
    verify_bare = key.verify

    def verify(signing_input: bytes, signature: bytes) -> bool:
        try:
            verify_bare(signature, signing_input)
        except _REFUSALS:
            return False
        return True

    return verify


def _direct_signer(key: Any) -> Sign:
    return lambda signing_input: bytes(key.sign(signing_input))


def _hmac(name: str, bits: int) -> Algorithm:
    hash_name = f"sha{bits}"

    def verifier(secret: Any) -> Verify:
        import hmac  # asymmetric keys need none of it

        def verify(signing_input: bytes, signature: bytes) -> bool:
            return hmac.compare_digest(hmac.digest(secret, signing_input, hash_name), signature)

        return verify

    def signer(secret: Any) -> Sign:
        import hmac

        return lambda signing_input: hmac.digest(secret, signing_input, hash_name)

    return Algorithm(name, "oct", (), hash_name, verifier, signer, bits // 8)


def _direct(name: str, kty: str, crvs: tuple[str, ...], hash_name: str, length: int | None = None) -> Algorithm:
    return Algorithm(name, kty, crvs, hash_name, _direct_verifier, _direct_signer, length)


_ROWS = (
    *map(_pkcs1, (256, 384, 512)),
    *map(_pss, (256, 384, 512)),
    _ecdsa("ES256", 256, "P-256"),
    _ecdsa("ES384", 384, "P-384"),
    _ecdsa("ES512", 512, "P-521"),
    _ecdsa("ES256K", 256, "secp256k1"),
    # For half hashes: Ed25519 hashes with SHA-512, Ed448 with 114 octets of SHAKE256 (RFC 8032 5.1, 5.2). No text names
    # one for ML-DSA, which takes 64 octets of SHAKE256 of the message (FIPS 204 6.2); so does this library.
    _direct("EdDSA", "OKP", ("Ed25519", "Ed448"), "sha512"),
    _direct("Ed25519", "OKP", ("Ed25519",), "sha512", 64),
    _direct("Ed448", "OKP", ("Ed448",), "shake256_114", 114),
    _direct("ML-DSA-44", "AKP", (), "shake256_64", 2420),
    _direct("ML-DSA-65", "AKP", (), "shake256_64", 3309),
    _direct("ML-DSA-87", "AKP", (), "shake256_64", 4627),
    *(_hmac(f"HS{bits}", bits) for bits in (256, 384, 512)),
)

ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType({row.name: row for row in _ROWS})
ASYMMETRIC_ALGORITHMS: tuple[AsymmetricAlgorithm, ...] = get_args(AsymmetricAlgorithm)
SYMMETRIC_ALGORITHMS: tuple[SymmetricAlgorithm, ...] = get_args(SymmetricAlgorithm)

#: Octets of a signature of the curves that EdDSA leaves open (RFC 8032 5.1.6, 5.2.6).
EDDSA_SIGNATURE_LENGTHS = {"Ed25519": 64, "Ed448": 114}


def digest(hash_name: str, data: bytes) -> bytes:
    """Hash *data* with a row's ``hash_name``; of SHAKE256 the number of octets is part of the name."""
    name, _, octets = hash_name.partition("_")
    return hashlib.shake_256(data).digest(int(octets)) if octets else hashlib.new(name, data).digest()


__all__ = [
    "ALGORITHMS",
    "ASYMMETRIC_ALGORITHMS",
    "EC_CURVES",
    "EDDSA_SIGNATURE_LENGTHS",
    "SYMMETRIC_ALGORITHMS",
    "Algorithm",
    "AsymmetricAlgorithm",
    "Curve",
    "KeyRefused",
    "Sign",
    "SignatureAlgorithm",
    "SymmetricAlgorithm",
    "Verify",
    "digest",
    "ecdsa_from_der",
    "ml_dsa",
]
