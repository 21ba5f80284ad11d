"""What is verified: one case per algorithm, with its key, its tokens, and the bare verification of a signature."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from .timing import Call

AUDIENCE = "https://api.example.com"
#: Long enough for any run, so that nothing expires under way.
LIFETIME = 24 * 3600


def b64(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class Made:
    """A key, ready to sign, to be published, and to verify bare."""

    sign: Callable[[bytes], bytes]
    jwk: dict[str, str]
    #: From a signature as JWS carries it and the signing input to the bare call that verifies it.
    floor: Callable[[bytes, bytes], Call]
    pem: bytes | None = None


def _pem(key: Any) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _rsa(bits: int, scheme: padding.AsymmetricPadding) -> Made:
    key, digest = rsa.generate_private_key(65537, bits), hashes.SHA256()
    public = key.public_key()
    numbers = public.public_numbers()
    return Made(
        lambda message: key.sign(message, scheme, digest),
        {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)},
        lambda signature, message: Call(public.verify, (signature, message, scheme, digest)),
        _pem(public),
    )


def _ecdsa(curve: ec.EllipticCurve, crv: str, digest: hashes.HashAlgorithm) -> Made:
    key, scheme, size = ec.generate_private_key(curve), ec.ECDSA(digest), curve.key_size // 8
    public = key.public_key()
    numbers = public.public_numbers()

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, scheme))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def floor(signature: bytes, message: bytes) -> Call:
        r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
        return Call(public.verify, (encode_dss_signature(r, s), message, scheme))

    x, y = (b64(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
    return Made(sign, {"kty": "EC", "crv": crv, "x": x, "y": y}, floor, _pem(public))


def _ed25519() -> Made:
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return Made(key.sign, jwk, lambda signature, message: Call(public.verify, (signature, message)), _pem(public))


def _ml_dsa() -> Made:
    key = mldsa.MLDSA65PrivateKey.generate()
    public = key.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    jwk = {"kty": "AKP", "pub": b64(raw)}
    return Made(key.sign, jwk, lambda signature, message: Call(public.verify, (signature, message)), _pem(public))


def hmac_key(secret: bytes) -> Made:
    """Make the case's part of a shared secret."""

    def tag(message: bytes) -> bytes:
        made = hmac.HMAC(secret, hashes.SHA256())
        made.update(message)
        return made.finalize()

    def verify(signature: bytes, message: bytes) -> None:
        made = hmac.HMAC(secret, hashes.SHA256())
        made.update(message)
        made.verify(signature)

    return Made(tag, {"kty": "oct", "k": b64(secret)}, lambda signature, message: Call(verify, (signature, message)))


_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
_MAKERS: dict[str, tuple[str, Callable[[], Made]]] = {
    "RS256-2048": ("RS256", lambda: _rsa(2048, padding.PKCS1v15())),
    "RS256-4096": ("RS256", lambda: _rsa(4096, padding.PKCS1v15())),
    "PS256": ("PS256", lambda: _rsa(2048, _PSS)),
    "ES256": ("ES256", lambda: _ecdsa(ec.SECP256R1(), "P-256", hashes.SHA256())),
    "ES384": ("ES384", lambda: _ecdsa(ec.SECP384R1(), "P-384", hashes.SHA384())),
    "Ed25519": ("EdDSA", _ed25519),
    "ML-DSA-65": ("ML-DSA-65", _ml_dsa),
    "HS256": ("HS256", lambda: hmac_key(secrets.token_bytes(32))),
}
NAMES = tuple(_MAKERS)


@dataclass(frozen=True)
class Case:
    """One algorithm and one shape of token, at one issuer."""

    name: str
    alg: str
    issuer: str
    made: Made = field(repr=False)
    #: Groups in the token; 60 make about 4 KB.
    groups: int = 0
    kid: str = "key-1"
    typ: str = "JWT"

    @property
    def symmetric(self) -> bool:
        """Whether the key is a secret."""
        return self.alg.startswith("HS")

    @property
    def jwk(self) -> dict[str, str]:
        """The public key, or the secret."""
        return {**self.made.jwk, "kid": self.kid, "alg": self.alg, "use": "sig"}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the 12 claims of a usual access token."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "248289761001",
            "exp": now + LIFETIME,
            "nbf": now - 10,
            "iat": now - 10,
            "jti": secrets.token_urlsafe(16),
            "scope": "orders.read orders.write profile",
            "client_id": "web-shop",
            "name": "Ada Lovelace",
            "email": "ada@example.org",
            "roles": ["admin", "user"],
        }
        if self.groups:
            claims["groups"] = [f"group-{number:04d}-{'x' * 26}" for number in range(self.groups)]
        return {**claims, **changes}

    def token(self, **changes: Any) -> str:
        """Sign a token with these changes to its claims."""
        header = b64(json.dumps({"alg": self.alg, "kid": self.kid, "typ": self.typ}).encode())
        signing_input = f"{header}.{b64(json.dumps(self.claims(**changes), separators=(',', ':')).encode())}"
        return f"{signing_input}.{b64(self.made.sign(signing_input.encode()))}"

    def floor(self, token: str) -> Call:
        """Return the bare verification of a token's signature."""
        signing_input, _, signature = token.rpartition(".")
        return self.made.floor(base64.urlsafe_b64decode(signature + "=="), signing_input.encode())

    def forgeries(self) -> dict[str, str]:
        """Return tokens that every candidate must refuse."""
        now = int(time.time())
        head, payload, signature = self.token().split(".")
        changed = payload[:20] + ("A" if payload[20] != "A" else "B") + payload[21:]
        other = self.token(sub="another").split(".")[1]
        return {
            "wrong iss": self.token(iss="https://another.example"),
            "wrong aud": self.token(aud="https://another.example"),
            "expired": self.token(exp=now - 3600),
            "early": self.token(nbf=now + 3600),
            "tampered": f"{head}.{other}.{signature}",
            "broken": f"{head}.{changed}.{signature}",
        }


def make_case(name: str, issuer: str, groups: int = 0) -> Case:
    """Make a key and the case around it."""
    alg, maker = _MAKERS[name]
    return Case(name, alg, issuer, maker(), groups)


def with_groups(case: Case, groups: int) -> Case:
    """Return the same key with larger tokens."""
    return Case(case.name, case.alg, case.issuer, case.made, groups, case.kid)
