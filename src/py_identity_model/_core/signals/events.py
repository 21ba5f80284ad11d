"""Security events: their types, what they mean for tokens, and the token that carries one (RFC 8417, SSF, CAEP, RISC).

An event of a revoking type becomes marks: the tokens of a session, of a user up to the moment of the event, or one
token. Every other event is handed to the application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..._refusals import is_number, refused
from ...exceptions import TokenValidationException, printable
from ..validation.claim_checks import Claims
from ..validation.revocations import Revoked
from ..validation.token_kinds import MARKS, Kind
from .subjects import RevocationScope, Subject, check_subject

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
SESSION_REVOKED = CAEP + "session-revoked"
CREDENTIAL_CHANGE = CAEP + "credential-change"
VERIFICATION = SSF + "verification"
STREAM_UPDATED = SSF + "stream-updated"

#: Events that end tokens, and whose. All others are reported only.
REVOKING: Mapping[str, RevocationScope] = {
    SESSION_REVOKED: "session",
    CREDENTIAL_CHANGE: "account",
    RISC + "account-disabled": "account",
    RISC + "account-purged": "account",
    RISC + "credential-compromise": "account",
    RISC + "sessions-revoked": "account",
}
#: Events of one token, at most: several are alternative names of one (SSF 1.0 4.2.1).
MAX_EVENTS = 8
#: Characters of a ``jti``, at most.
MAX_JTI = 2048

#: RFC 8417 2.2 and SSF 1.0 4.1: typed, so that it is taken for nothing else; without ``exp``, and without ``sub``.
SECURITY_EVENT = Kind(
    "security event token",
    frozenset({"secevent+jwt"}),
    frozenset({"iat", "jti", "events"}),
    frozenset(MARKS) - {"events", "toe"},
    expires=False,
)


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One event that was received.

    Attributes:
        type: The URI of its type.
        subject: Whom or what it is about, as it came; None for events about nothing.
        payload: The members of the event.
        happened_at: When it happened, in seconds since 1970: ``event_timestamp``, else when the token was made.
        marks: The tokens that are refused because of it.
        unresolved: Why an event that ends tokens ended none: the subject names none without doubt (``ambiguous``), is
            of an issuer that the sender does not speak for (``foreign``), has a member that must be understood and is
            not (``critical``), or is missing (``absent``).
        claims: The claims of the token that carried it.
    """

    type: str
    subject: Subject | None
    payload: Mapping[str, Any]
    happened_at: float
    marks: tuple[Revoked, ...] = ()
    unresolved: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def before(self) -> float:
        """Tokens of a user that were issued earlier are ended; whole seconds, so that none of that second is left."""
        return float(int(self.happened_at) + 1)


def read_events(claims: Claims) -> list[SecurityEvent]:
    """Return the events of a security event token that was verified.

    Raises:
        TokenValidationException: It breaks a rule of RFC 8417 or SSF 1.0.
    """
    jti, events = claims["jti"], claims["events"]
    if not jti or len(jti) > MAX_JTI:
        raise _refused("event_token_invalid", "jti must be text", claim="jti")
    # SSF 1.0 4.1.2: sub must not be present, so that no event is taken for an ID token or an access token.
    if "sub" in claims:
        raise _refused("event_subject_confusable", "A security event token has no sub", claim="sub", expected="absent")
    if not isinstance(events, dict) or not 0 < len(events) <= MAX_EVENTS:
        raise _refused("event_token_invalid", f"events must have 1 to {MAX_EVENTS} members", claim="events")
    return [_read(claims, kind, payload) for kind, payload in events.items()]


def _read(claims: Claims, kind: str, payload: object) -> SecurityEvent:
    if not kind or not isinstance(payload, dict):
        raise _refused("event_token_invalid", "An event must be an object", claim="events", actual=printable(kind))
    subject = _subject(claims, payload)
    return SecurityEvent(
        kind,
        None if subject is None else check_subject(subject),
        payload,
        _moment(claims, payload),
        claims=claims,
    )


def _subject(claims: Claims, payload: Mapping[str, Any]) -> object:
    # SSF 1.0 3.1: sub_id; events from before it name their subject inside.
    top, inner = claims.get("sub_id"), payload.get("subject")
    if top is not None and inner is not None and top != inner:
        raise _refused("event_subject_invalid", "The token names two subjects", claim="sub_id")
    return inner if top is None else top


def _moment(claims: Claims, payload: Mapping[str, Any]) -> float:
    issued: float = claims["iat"]
    happened = payload.get("event_timestamp", issued)
    if not is_number(happened, float, -(10**15), 10**15):
        raise _refused("event_token_invalid", "event_timestamp must be a number", claim="event_timestamp")
    # None happens after it was told of; milliseconds, as drafts of CAEP had them, would.
    return min(happened, issued)


def revoking_scope(event: SecurityEvent, revoking: Mapping[str, RevocationScope]) -> RevocationScope | None:
    """Return what an event ends; None for one that is reported only.

    Raises:
        TokenValidationException: The event lacks what its type demands.
    """
    if event.type == CREDENTIAL_CHANGE:
        change = event.payload.get("change_type")
        if not isinstance(change, str):
            raise _refused("event_token_invalid", "change_type must be text", claim="change_type")
        if change == "create":  # a further credential takes nothing away from those before it
            return None
    return revoking.get(event.type)


_refused = partial(refused, TokenValidationException, token_part="payload")

__all__ = [
    "CAEP",
    "CREDENTIAL_CHANGE",
    "MAX_EVENTS",
    "REVOKING",
    "RISC",
    "SECURITY_EVENT",
    "SESSION_REVOKED",
    "SSF",
    "STREAM_UPDATED",
    "VERIFICATION",
    "SecurityEvent",
    "read_events",
    "revoking_scope",
]
