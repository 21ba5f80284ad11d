"""What is inside a verified token, as claims and as the type that the application asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from ...exceptions import (
    ClaimsValidationError,
    ConfigurationException,
    TokenValidationException,
    printable,
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


def converted(claims: Claims, kind: Any) -> Any:
    """Return *claims* as the type asked for: a msgspec Struct, a dataclass or a TypedDict.

    Raises:
        ClaimsValidationError: They do not fit.
    """
    try:
        return msgspec.convert(claims, kind)
    except msgspec.ValidationError as error:
        raise ClaimsValidationError(
            f"The claims do not fit {getattr(kind, '__name__', 'the type')}: {printable(str(error))}",
            code="claims_type_mismatch",
            expected=getattr(kind, "__name__", None),
        ) from None
    except TypeError:
        raise ConfigurationException(
            "type must be a msgspec Struct, a dataclass or a TypedDict", code="policy_invalid", claim="type"
        ) from None


__all__ = ["converted", "payload_claims"]
