"""The key of a token found by hand, for programs that verify with a library of their own (RFC 7515 4.1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...exceptions import UnknownKeyException, printable
from .algorithms import ALGORITHMS
from .jwk import JsonWebKey
from .jws import parse_compact


def extract_jwt_header_fields(jwt: str) -> tuple[str | None, str | None]:
    """Return ``kid`` and ``alg`` of a token's header, of which nothing has been verified.

    Raises:
        TokenValidationException: It is no compact JWS that can be verified at all.
    """
    header = parse_compact(jwt).header
    return header.get("kid"), header.get("alg")


def extract_kid_from_jwt(jwt: str) -> str | None:
    """Return the ``kid`` of a token's header, of which nothing has been verified; None if it names no key.

    Raises:
        TokenValidationException: It is no compact JWS that can be verified at all.
    """
    return extract_jwt_header_fields(jwt)[0]


def find_key_by_kid(
    kid: str | None, keys: Sequence[JsonWebKey], jwt_alg: str | None = None
) -> tuple[dict[str, Any], str]:
    """Return the one key that fits a token's header, as a JWK, and the algorithm to verify with.

    Args:
        kid: The ``kid`` of the header; without one, the only key that signs is taken.
        keys: The issuer's keys.
        jwt_alg: The ``alg`` of the header; keys of another type or algorithm do not fit.

    Raises:
        UnknownKeyException: No key fits, or more than one does and nothing tells which.
    """
    named = [key for key in keys if kid is None or key.kid == kid]
    fitting = [key for key in named if key.use in (None, "sig") and _fits(key, jwt_alg)]
    if len(fitting) != 1:
        raise UnknownKeyException(
            f"Expected one key for the token, {len(fitting)} of the {len(keys)} in the set fit",
            {"available_kids": [printable(key.kid) for key in keys if key.kid], "keys": len(keys)},
            claim="kid",
            expected="one key",
            actual=printable(kid) if kid is not None else "absent",
        )
    return fitting[0].as_dict(), fitting[0].alg or jwt_alg or "RS256"


def _fits(key: JsonWebKey, alg: str | None) -> bool:
    # RFC 8725 3.1: an algorithm goes with keys of one type; what is no algorithm fits no key.
    if alg is None:
        return True
    known = ALGORITHMS.get(alg)
    return known is not None and key.kty == known.kty and key.alg in (None, alg)


__all__ = ["extract_jwt_header_fields", "extract_kid_from_jwt", "find_key_by_kid"]
