"""What a receiver of signals answers, as a value that any web framework can send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._arguments import explains_arguments
from ...exceptions import (
    InvalidAudienceException,
    InvalidIssuerException,
    NetworkException,
    PyIdentityModelException,
    SignatureVerificationException,
    ValidationException,
)


@dataclass(frozen=True, slots=True)
class SignalAnswer:
    """What to answer whoever sent a signal; nobody may keep it.

    Attributes:
        status: The HTTP status.
        headers: Header fields, each a name and a value.
        body: The body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "no-store"),)
    body: bytes = b""


#: The codes of RFC 8935 2.4 and SSF 8.1.4.1, and what they mean to the sender; the same words for every cause.
DESCRIPTIONS = {
    "invalid_request": "The request holds no security event token that can be understood",
    "invalid_key": "The signature of the token does not fit a key of its issuer",
    "invalid_issuer": "The token is by another issuer",
    "invalid_audience": "The token is for another recipient",
    "authentication_failed": "The sender could not be authenticated",
    "invalid_state": "The state is not the one that was expected",
}
#: Codes of ours that have one of their own there.
_NAMED = {"event_sender_unknown": "authentication_failed", "event_state_mismatch": "invalid_state"}


def error_of(error: PyIdentityModelException) -> str:
    """Return what the sender of a security event token is told about a refusal (RFC 8935 2.4)."""
    if error.code in _NAMED:
        return _NAMED[error.code]
    if isinstance(error, InvalidIssuerException):
        return "invalid_issuer"
    if isinstance(error, InvalidAudienceException):
        return "invalid_audience"
    return "invalid_key" if isinstance(error, SignatureVerificationException) else "invalid_request"


def refusal_of(error: PyIdentityModelException) -> dict[str, str]:
    """Return ``err`` and ``description`` for a refusal."""
    code = error_of(error)
    return {"err": code, "description": DESCRIPTIONS[code]}


@explains_arguments
def build_event_answer(error: PyIdentityModelException | None = None) -> SignalAnswer:
    """Build the answer to a security event token that was pushed (RFC 8935 2.2 to 2.4).

    >>> build_event_answer().status
    202
    """
    if error is None:
        return SignalAnswer(202)
    if isinstance(error, ValidationException):
        return _json(400, refusal_of(error), ("Content-Language", "en"))
    return unavailable(error)


def unavailable(error: PyIdentityModelException) -> SignalAnswer:
    """Return the answer where nothing was decided: 503, or 500 where the settings are at fault."""
    if not isinstance(error, NetworkException):
        return SignalAnswer(500)
    if error.retry_after is None:
        return SignalAnswer(503)
    return SignalAnswer(503, (*SignalAnswer(503).headers, ("Retry-After", str(max(1, round(error.retry_after))))))


def _json(status: int, body: Mapping[str, Any], *headers: tuple[str, str]) -> SignalAnswer:
    kept = (*SignalAnswer(status).headers, ("Content-Type", "application/json"), *headers)
    return SignalAnswer(status, kept, json.dumps(body, separators=(",", ":")).encode())


__all__ = ["SignalAnswer", "build_event_answer", "error_of", "refusal_of", "unavailable"]
