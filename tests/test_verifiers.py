"""The verifiers of this library beside `verify` of `cryptography`, on signatures that only the key's owner can make."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from py_identity_model._core.jose.algorithms import ALGORITHMS

KEY = rsa.generate_private_key(65537, 2048)
PUBLIC, NUMBERS = KEY.public_key(), KEY.private_numbers()
SIZE, MESSAGE = 256, b"header.payload"
HASHES: dict[int, Any] = {256: hashes.SHA256(), 384: hashes.SHA384(), 512: hashes.SHA512()}
#: The last octet of the hash's object identifier (RFC 8017 B.1).
LAST = {256: 1, 384: 2, 512: 3}


def der(tag: int, *parts: bytes, long: bool = False) -> bytes:
    """Return a DER value; with *long*, its length in more octets than it needs."""
    content = b"".join(parts)
    return bytes((tag, *((0x81,) if long else ()), len(content))) + content


def digest_info(bits: int, *, octets: bytes | None = None, null: bytes = b"\5\0", long: bool = False) -> bytes:
    """Return what is signed: the name of a hash, and the hash of the message unless told otherwise."""
    oid = der(6, bytes.fromhex("608648016503040200")[:-1], bytes((LAST[bits],)))
    hashed = hashlib.new(f"sha{bits}", MESSAGE).digest() if octets is None else octets
    return der(0x30, der(0x30, oid, null, long=long), der(4, hashed), long=long)


def padded(info: bytes, *, pad: bytes = b"\xff", kind: int = 1, less: int = 0) -> bytes:
    """Return the block of a signature (RFC 8017 9.2), with *less* octets of padding and zeros behind it."""
    return bytes((0, kind)) + pad * (SIZE - 3 - len(info) - less) + b"\0" + info + bytes(less)


@cache
def signed(block: bytes) -> bytes:
    """Sign a block as it is."""
    return pow(int.from_bytes(block, "big"), NUMBERS.d, NUMBERS.public_numbers.n).to_bytes(SIZE, "big")


def blocks(bits: int) -> dict[str, bytes]:
    """Return blocks of which the first alone is right."""
    good = digest_info(bits)
    other = digest_info(512 if bits == 256 else 256)
    return {
        "good": padded(good),
        "no parameters": padded(digest_info(bits, null=b"")),
        "other parameters": padded(digest_info(bits, null=b"\5\1\0")),
        "long lengths": padded(digest_info(bits, long=True)),
        "another hash": padded(other),
        "the hash alone": padded(hashlib.new(f"sha{bits}", MESSAGE).digest()),
        "a name that lies": padded(digest_info(bits, octets=hashlib.new("sha1", MESSAGE).digest())),
        "half a hash": padded(good[:-8]),
        "more behind the hash": padded(good + b"\0"),
        "garbage behind it": padded(good, less=64),  # Bleichenbacher, 2006
        "garbage, and eight octets of padding": padded(good, less=SIZE - 3 - len(good) - 8),
        "no padding": bytes(SIZE - len(good)) + good,
        "other padding": padded(good, pad=b"\xfe"),
        "a zero in the padding": b"\0\1" + b"\xff" * 8 + b"\0" + padded(good)[11:],
        "padding of encryption": padded(good, kind=2),
        "padding of zeros": padded(good, kind=0, pad=b"\0"),
        "nothing": bytes(SIZE),
        "one": bytes(SIZE - 1) + b"\1",
    }


def verified_bare(signature: bytes, bits: int) -> bool:
    """Tell what `cryptography` says of a signature of the right length."""
    try:
        PUBLIC.verify(signature, MESSAGE, padding.PKCS1v15(), HASHES[bits])
    except (InvalidSignature, ValueError):
        return False
    return len(signature) == SIZE


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_one_encoding_of_the_hash_is_the_only_good_one(bits: int) -> None:
    """What is recovered from an RSA signature is held against the one encoding there is, as `verify` does it."""
    verify = ALGORITHMS[f"RS{bits}"].verifier(PUBLIC)
    for name, block in blocks(bits).items():
        assert verify(MESSAGE, signed(block)) is verified_bare(signed(block), bits) is (name == "good"), name


def test_a_signature_is_one_number_below_the_modulus() -> None:
    """A number that is greater, shorter or longer, or has a bit changed, is refused as by `verify`."""
    verify, good = ALGORITHMS["RS256"].verifier(PUBLIC), signed(padded(digest_info(256)))
    number, modulus = int.from_bytes(good, "big"), NUMBERS.public_numbers.n
    odd = [good[1:], good + b"\0", b"\0" + good, b"", b"\xff" * SIZE, (modulus - number).to_bytes(SIZE, "big")]
    odd += [(number ^ 1 << bit).to_bytes(SIZE, "big") for bit in range(0, 2048, 7)]
    odd += [(number + modulus).to_bytes(SIZE, "big")] if number + modulus < 1 << 2048 else []
    assert verify(MESSAGE, good)
    assert not any(verify(MESSAGE, one) or verified_bare(one, 256) for one in odd)


class Unable:
    """A key under an OpenSSL that recovers nothing."""

    key_size, verify = PUBLIC.key_size, staticmethod(PUBLIC.verify)

    @staticmethod
    def recover_data_from_signature(*_: Any) -> bytes:
        """Refuse."""
        raise UnsupportedAlgorithm("not here")


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_where_nothing_can_be_recovered_the_signature_is_verified(bits: int) -> None:
    """An OpenSSL without that operation gives the same verdicts."""
    verify = ALGORITHMS[f"RS{bits}"].verifier(Unable)
    found = {name for name, block in blocks(bits).items() if verify(MESSAGE, signed(block))}
    assert found == {"good"}


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_a_salt_is_as_long_as_the_hash(bits: int) -> None:
    """PS signatures with another salt, or another hash in the mask, are refused (RFC 7518 3.5)."""
    digest, verify = HASHES[bits], ALGORITHMS[f"PS{bits}"].verifier(PUBLIC)
    other = HASHES[384 if bits == 256 else 256]
    for mask, salt in ((digest, bits // 8), (digest, 0), (digest, bits // 8 - 1), (other, bits // 8)):
        made = KEY.sign(MESSAGE, padding.PSS(padding.MGF1(mask), salt), digest)
        assert verify(MESSAGE, made) is (mask is digest and salt == bits // 8)


@pytest.mark.parametrize(("name", "curve"), [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1())])
def test_the_hash_that_an_algorithm_names_is_the_one_that_counts(name: str, curve: Any) -> None:
    """An ECDSA signature over another hash of the message is refused, and so is one over the hash itself."""
    key, size = ec.generate_private_key(curve), curve.key_size // 8
    verify = ALGORITHMS[name].verifier(key.public_key())
    named = hashlib.new(ALGORITHMS[name].hash_name, MESSAGE).digest()
    for bits, digest in HASHES.items():
        for message in (MESSAGE, named):
            r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
            made = r.to_bytes(size, "big") + s.to_bytes(size, "big")
            assert verify(MESSAGE, made) is (message is MESSAGE and name == f"ES{bits}")
