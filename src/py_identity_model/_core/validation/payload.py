"""What is inside a verified token, as claims."""

from __future__ import annotations

from ...exceptions import (
    TokenValidationException,
)
from ..base.strict_json import StrictJSONError, loads_claims
from ..jose.jws import CompactJws
from .claim_checks import Claims


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


__all__ = ["payload_claims"]
