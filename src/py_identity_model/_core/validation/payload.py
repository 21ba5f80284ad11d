"""What is inside a token: its claims and, before it is verified, the issuer that it names."""

from __future__ import annotations

import msgspec

from ...exceptions import TokenValidationException
from ..base.base64url import Base64Error, b64url_decode
from ..base.strict_json import StrictJSONError, loads_claims
from ..jose.jws import CompactJws
from .claim_checks import Claims


class _Issuer(msgspec.Struct):
    iss: str


_decode_issuer = msgspec.json.Decoder(_Issuer).decode


def peek_issuer(token: str) -> str | None:
    """Return the unverified ``iss`` of a token, to choose the keys by; None where there is none to be read."""
    try:
        return _decode_issuer(b64url_decode(token.split(".", 2)[1])).iss
    except (Base64Error, IndexError, AttributeError, ValueError, RecursionError):
        return None


def peek(token: str) -> tuple[str | None, bytes | None]:
    """Return the unverified ``iss`` of a token and the payload that it was read from, which nobody decodes again.

    The payload is all that stands between the first dot and the last: with a third dot among it there is none.
    """
    try:
        payload = b64url_decode(token[token.index(".") + 1 : token.rindex(".")])
        return _decode_issuer(payload).iss, payload
    except (Base64Error, ValueError, RecursionError):
        return None, None


def payload_claims(jws: CompactJws) -> Claims:
    """Return the payload as claims.

    Raises:
        TokenValidationException: It is no JSON object that everybody reads the same way.
    """
    try:
        return loads_claims(jws.payload)
    except StrictJSONError as error:
        raise TokenValidationException(
            f"The payload is not acceptable: {error.reason}",
            "payload",
            code="payload_invalid",
            expected="a JSON object",
            actual=error.reason,
        ) from None


__all__ = ["payload_claims", "peek", "peek_issuer"]
