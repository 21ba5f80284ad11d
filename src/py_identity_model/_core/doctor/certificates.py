"""Certificates beside keys: whether ``x5c`` is of the key, its thumbprints fit, and it has not ended (RFC 7517 4.7)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from ..base.base64url import b64url_encode
from ..jose.verification_keys import PublicKey, export_jwk
from .findings import Check, Finding

_DAY: Final = 86400.0
#: Days before its end that a certificate is told of.
_SOON: Final = 21
#: Characters of one certificate that are read at most.
_LONGEST: Final = 20_000


def certificates(
    check: Check, members: Sequence[tuple[str, Mapping[str, Any], PublicKey | None]], wall: float
) -> Iterator[Finding]:
    """Judge the certificates of a set: each that is wrong, or that all are well.

    Args:
        check: Makes the findings.
        members: Name, members and key of each JWK.
        wall: The time, in seconds since 1970.
    """
    told = [found for name, jwk, key in members if "x5c" in jwk for found in _judged(check, name, jwk, key, wall)]
    if not any("x5c" in jwk for _, jwk, _ in members):
        yield check.skipped("there are no certificates")
    elif told:
        yield from told[:4]
    else:
        yield check.passed("of their keys, and not expired")


def _judged(check: Check, name: str, jwk: Mapping[str, Any], key: PublicKey | None, wall: float) -> Iterator[Finding]:
    der = _first(jwk["x5c"])
    if der is None:
        yield check.warned(f"{name}: x5c is no list of base64 texts", "x5c_unreadable")
        return
    try:
        certificate = x509.load_der_x509_certificate(der)
        public: Any = certificate.public_key()
        ends = certificate.not_valid_after_utc.timestamp()
        differs = key is not None and export_jwk(public) != export_jwk(key.material)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # KeyRefused is one too: a key of another kind
        yield check.warned(f"{name}: the certificate cannot be read, or its key is of another kind", "x5c_unreadable")
        return
    if differs:
        yield check.failed(f"{name}: the certificate is of another key", "x5c_of_another_key")
    yield from _thumbprints(check, name, jwk, der)
    if ends < wall:
        yield check.warned(f"{name}: the certificate ended {(wall - ends) / _DAY:.0f} days ago", "x5c_expired")
    elif ends - wall < _SOON * _DAY:
        yield check.warned(f"{name}: the certificate ends in {(ends - wall) / _DAY:.0f} days", "x5c_ends_soon")


def _first(chain: object) -> bytes | None:
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str) or len(chain[0]) > _LONGEST:
        return None
    try:
        # RFC 7517 4.7: base64, not base64url.
        return base64.b64decode(chain[0], validate=True)
    except ValueError:
        return None


def _thumbprints(check: Check, name: str, jwk: Mapping[str, Any], der: bytes) -> Iterator[Finding]:
    for member, digest in (("x5t#S256", hashlib.sha256(der)), ("x5t", hashlib.sha1(der, usedforsecurity=False))):
        said = jwk.get(member)
        if isinstance(said, str) and said != b64url_encode(digest.digest()):
            yield check.warned(f"{name}: {member} is not that of the certificate", "x5t_of_another_certificate")


__all__ = ["certificates"]
