"""How forged tokens are made: each from a good one, changed in one way."""

from __future__ import annotations

import base64
import datetime
import hmac
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from .._core.base.base64url import b64url_decode, b64url_encode
from .._core.jose.signing_keys import SigningKey
from .._core.jose.verification_keys import import_key
from ._tokens import Workbench, sign_token

Build: TypeAlias = Callable[[Workbench], str]

#: Where nothing good comes from.
SECOND = "https://evil.example.com"
#: The order of the group of P-256: a signature in which r or s is this, or 0, is none (FIPS 186-5 6.4.2).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def unsigned(alg: object = "none") -> Build:
    """Take the signature away, under an algorithm that says so."""
    return lambda bench: bench.sign(bench.header(alg=alg)).rpartition(".")[0] + "."


def headed(**header: Any) -> Build:
    """Sign with the right key under another header."""
    return lambda bench: bench.sign(bench.header(**header))


def claiming(**claims: Any) -> Build:
    """Mint with the right key and other claims."""
    return lambda bench: bench.mint(**claims)


def of_kind(kind: str, **claims: Any) -> Build:
    """Mint a token of another kind."""
    return lambda bench: bench.mint(kind, **claims)


def by_stranger(**header: Any) -> Build:
    """Sign with a key of somebody else, under another header."""
    return lambda bench: bench.sign(bench.header(**header), bench.stranger)


def from_payload(change: Callable[[bytes], bytes]) -> Build:
    """Sign other bytes as the payload."""
    return lambda bench: sign_token(bench.header(), change(b64url_decode(bench.mint().split(".")[1])), bench.key)


def from_header(change: Callable[[bytes], bytes]) -> Build:
    """Sign other bytes as the header."""

    def build(bench: Workbench) -> str:
        header, payload, _ = bench.mint().split(".")
        signing_input = f"{b64url_encode(change(b64url_decode(header)))}.{payload}"
        return f"{signing_input}.{b64url_encode(bench.key.sign(signing_input.encode()))}"

    return build


def with_signature(change: Callable[[bytes], bytes]) -> Build:
    """Change the signature of a good token."""

    def build(bench: Workbench) -> str:
        signing_input, _, signature = bench.mint().rpartition(".")
        return f"{signing_input}.{b64url_encode(change(b64url_decode(signature)))}"

    return build


def respelled(change: Callable[[str], str]) -> Build:
    """Spell a good token in another way."""
    return lambda bench: change(bench.mint())


def mac(alg: str, secret: Callable[[SigningKey], bytes], **header: Any) -> Build:
    """Make an HMAC of something that everybody knows."""

    def build(bench: Workbench) -> str:
        signing_input = bench.sign(bench.header(alg=alg, **header)).rpartition(".")[0]
        made = hmac.digest(secret(bench.key), signing_input.encode(), f"sha{alg[2:]}")
        return f"{signing_input}.{b64url_encode(made)}"

    return build


def public(encoding: Encoding) -> Callable[[SigningKey], bytes]:
    """Return what gives the public key in an encoding."""

    def public(key: SigningKey) -> bytes:
        material = import_key(key.public_jwk or {}).material
        return bytes(material.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo))

    return public


def tampered(bench: Workbench) -> str:
    """Change the claims of a good token."""
    header, payload, signature = bench.mint().split(".")
    claims = {**json.loads(b64url_decode(payload)), "sub": "administrator", "roles": ["admin"]}
    return f"{header}.{b64url_encode(json.dumps(claims).encode())}.{signature}"


def none_with_signature(bench: Workbench) -> str:
    """Say that there is no signature, and leave it."""
    _, payload, signature = bench.mint().split(".")
    return f"{b64url_encode(json.dumps(bench.header(alg='none')).encode())}.{payload}.{signature}"


def embedded_jwk(bench: Workbench) -> str:
    """Bring the key in the header."""
    return bench.sign(bench.header(kid=None, jwk=dict(bench.stranger.public_jwk or {})), bench.stranger)


def embedded_jwk_named(bench: Workbench) -> str:
    """Bring the key in the header, under the name of the good one."""
    jwk = {**(bench.stranger.public_jwk or {}), "kid": bench.key.kid}
    return bench.sign(bench.header(jwk=jwk), bench.stranger)


def embedded_certificate(bench: Workbench) -> str:
    """Bring a certificate of the key in the header."""
    certificate = base64.b64encode(_certificate(bench.stranger)).decode()
    return bench.sign(bench.header(x5c=[certificate]), bench.stranger)


def _certificate(key: SigningKey) -> bytes:
    """Return a certificate that a key signed for itself (RFC 7515 4.1.6)."""
    private: Any = load_pem_private_key((key.private_pem or "").encode(), None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "id.example.com")])
    day = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, private.public_key(), 1, day, day.replace(year=2049))
    signed = made.sign(private, None if key.alg in ("EdDSA", "Ed25519", "Ed448") else hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def ecdsa(r: int, s: int) -> Build:
    """Make a signature of two numbers."""
    return with_signature(lambda _: r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def as_der(signature: bytes) -> bytes:
    """Return a signature of two numbers as X.509 has it."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def member(name: str, value: str) -> Callable[[bytes], bytes]:
    """Return what adds a member to JSON as text, whatever stands there already."""
    return lambda text: text[:-1] + f', "{name}": {value}}}'.encode()


def other_last_bits(token: str) -> str:
    """Change bits of the last character that stand for nothing (RFC 4648 3.5)."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) ^ 1]


def encrypted(**header: Any) -> Build:
    """Make something in the form of an encrypted token, which nobody encrypted."""
    head = {"alg": "dir", "enc": "A256GCM", "typ": "at+jwt", **header}

    def build(bench: Workbench) -> str:
        parts = (json.dumps(head).encode(), b"", b"n" * 12, bench.mint().encode(), b"t" * 16)
        return ".".join(map(b64url_encode, parts))

    return build


def nested(bench: Workbench) -> str:
    """Make a good token the payload of another one."""
    return sign_token(bench.header(cty="JWT"), bench.mint().encode(), bench.key)


def json_form(bench: Workbench) -> str:
    """Write a good token as JSON (RFC 7515 7.2.2)."""
    names = ("protected", "payload", "signature")
    return json.dumps(dict(zip(names, bench.mint().split("."), strict=True)), separators=(",", ":"))


def issuer(change: Callable[[str], object]) -> Build:
    """Mint with another issuer, made of the right one."""
    return lambda bench: bench.mint(iss=change(bench.issuer))


def audience(change: Callable[[str], object]) -> Build:
    """Mint with another audience, made of the right one."""

    def build(bench: Workbench) -> str:
        claims = json.loads(b64url_decode(bench.mint().split(".")[1]))
        return bench.mint(aud=change(str(claims["aud"])))

    return build


__all__ = [
    "P256_ORDER",
    "SECOND",
    "Build",
    "as_der",
    "audience",
    "by_stranger",
    "claiming",
    "ecdsa",
    "embedded_certificate",
    "embedded_jwk",
    "embedded_jwk_named",
    "encrypted",
    "from_header",
    "from_payload",
    "headed",
    "issuer",
    "json_form",
    "mac",
    "member",
    "nested",
    "none_with_signature",
    "of_kind",
    "other_last_bits",
    "public",
    "respelled",
    "tampered",
    "unsigned",
    "with_signature",
]
