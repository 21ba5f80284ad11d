"""What a session remembers, and how it lies in a store or a cookie."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ..base.codec import Codec
from .messages import Headers

#: The topic of sessions; the index of whose they are is another, as it holds no secret.
TOPIC = "sessions"
INDEX = "session_index"
VERSION = 1
#: Kinds of cookie: the session, and what a logout must bring back.
SESSION, LOGOUT = "session", "logout"

_ID = re.compile(r"[A-Za-z0-9_-]{43}\Z")


class Lifetimes(NamedTuple):
    """How long sessions live, in seconds.

    Attributes:
        idle: Without a request.
        absolute: In any case.
    """

    idle: float
    absolute: float

    @property
    def noted_every(self) -> float:
        """After how many seconds a request is noted: not every one is worth a write."""
        return min(60.0, self.idle / 10)


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A session. Times are seconds since 1970."""

    provider: str
    issuer: str
    subject: str
    sid: str | None
    claims: dict[str, Any]
    #: The name of its tokens, a secret.
    tokens: str
    created_at: float
    seen_at: float
    ends_at: float
    #: What ``on_login`` returned.
    user: Any = None
    #: Further identities of the same person: issuer and subject.
    linked: tuple[tuple[str, str], ...] = ()
    #: The public key that the browser holds, as a JWK.
    bound_to: dict[str, Any] | None = None
    #: Whether another session of the same user took its place, so that it only lasts for requests under way.
    replaced: bool = False
    #: The ``max_age`` that its login asked the provider for, which the ID token was held against.
    asked_age: int | None = None

    def __repr__(self) -> str:
        return f"Record({self.issuer})"

    def ends_in(self, wall: float, lifetimes: Lifetimes) -> float:
        """Return for how many seconds it lives on if nobody uses it; 0 or less if it is over."""
        return min(self.ends_at, self.seen_at + lifetimes.idle) - wall

    def seen(self, wall: float) -> Record:
        """Return the session as used now."""
        return msgspec.structs.replace(self, seen_at=wall)


class Held(NamedTuple):
    """A session that a request belongs to.

    Attributes:
        id: What the browser brought; secrets of the session are derived from it.
        record: What is remembered.
        at: When the request came, in seconds since 1970.
        headers: For the response.
    """

    id: str
    record: Record
    at: float
    headers: Headers = ()

    def __repr__(self) -> str:
        return f"Held({self.record!r})"


class SessionInfo(NamedTuple):
    """One session of a user, as :meth:`WebLogin.sessions` lists it.

    Attributes:
        handle: Names it, for ending it; it opens nothing.
        created_at: When the user logged in, in seconds since 1970.
        ends_at: When it ends in any case.
    """

    handle: str
    created_at: float
    ends_at: float


#: How sessions are kept.
RECORDS = Codec(Record, TOPIC, VERSION)


def new_id() -> str:
    """Return 256 random bits."""
    return secrets.token_urlsafe(32)


def is_id(value: str | None) -> bool:
    """Tell whether *value* has the form of an id."""
    return value is not None and _ID.match(value) is not None


def kept_claims(claims: Mapping[str, Any], names: frozenset[str] | None) -> dict[str, Any]:
    """Return the claims that a session remembers; None for all."""
    return {name: value for name, value in claims.items() if names is None or name in names}


__all__ = [
    "INDEX",
    "LOGOUT",
    "RECORDS",
    "SESSION",
    "TOPIC",
    "Held",
    "Lifetimes",
    "Record",
    "SessionInfo",
    "is_id",
    "kept_claims",
    "new_id",
]
