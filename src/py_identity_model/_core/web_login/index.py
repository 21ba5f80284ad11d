"""Whose sessions there are: what "log out everywhere" and the provider's logouts are answered from.

The index holds digests and times, never an id. A session is named there before it exists, and a logout is noted before
the index is read: whichever comes first, no session outlives the logout that it falls under.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ...exceptions import StoreException
from ..base.codec import Codec
from ..base.flow import Flow
from ..base.store import AnyStore, ask, digest_of
from .records import INDEX, TOPIC

#: Sessions of one user at most; the oldest ends for a new one.
MAX_SESSIONS = 100
#: Attempts to write an index that others write at the same time.
_TRIES = 50
#: Seconds that a logout is remembered for sessions that are only just beginning.
NOTED = 86400.0


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One session: the digests of its id and of its tokens, and when it began and ends."""

    session: str
    tokens: str
    created_at: float
    ends_at: float


class Whose(NamedTuple):
    """Whose sessions are meant: those of a user, or those of one session at the provider."""

    kind: str
    issuer: str
    value: str

    def __repr__(self) -> str:
        return f"Whose({self.kind}, {self.issuer})"

    @property
    def key(self) -> str:
        """The name of the list."""
        return digest_of("sessions of", self.kind, self.issuer, self.value)

    @property
    def mark(self) -> str:
        """The name of the note that they were ended."""
        return digest_of("sessions ended", self.kind, self.issuer, self.value)


def of_user(issuer: str, subject: str) -> Whose:
    """Return the sessions of a user."""
    return Whose("sub", issuer, subject)


def of_sid(issuer: str, sid: str) -> Whose:
    """Return the sessions that belong to one at the provider."""
    return Whose("sid", issuer, sid)


_LISTS = Codec(list[Entry], INDEX)
_ENDS = Codec(float, INDEX)


def listed(store: AnyStore, whose: Whose) -> Flow[list[Entry]]:
    """Return the sessions in a list, those included that are over.

    Raises:
        StoreException: The store cannot answer.
    """
    return _LISTS.decoded((yield from ask(store, lambda one: one.get(INDEX, whose.key)))) or []


def living(store: AnyStore, whose: Whose) -> Flow[list[Entry]]:
    """Return the sessions in a list that still exist.

    Raises:
        StoreException: The store cannot answer.
    """
    found = []
    for entry in (yield from listed(store, whose)):
        found += [entry] if (yield from _exists(store, entry.session)) else []
    return found


def _exists(store: AnyStore, session: str) -> Flow[bool]:
    return (yield from ask(store, lambda one: one.get(TOPIC, session))) is not None


def enter(store: AnyStore, whose: Whose, entry: Entry, wall: float) -> Flow[list[Entry]]:
    """Add a session to a list; return those that are too many and have to end.

    Raises:
        StoreException: The store cannot answer.
    """
    surplus: list[Entry] = []

    def add(entries: list[Entry]) -> list[Entry]:
        kept = sorted((one for one in entries if one.ends_at > wall), key=lambda one: one.created_at)
        surplus[:] = kept[: max(0, len(kept) + 1 - MAX_SESSIONS)]
        return [*kept[len(surplus) :], entry]

    yield from _changed(store, whose, add, wall)
    return surplus


def leave(store: AnyStore, whose: Whose, session: str, wall: float) -> Flow[None]:
    """Take a session out of a list.

    Raises:
        StoreException: The store cannot answer.
    """
    yield from _changed(store, whose, lambda entries: [one for one in entries if one.session != session], wall)


def _changed(store: AnyStore, whose: Whose, change: Callable[[list[Entry]], list[Entry]], wall: float) -> Flow[None]:
    for _ in range(_TRIES):
        raw = yield from ask(store, lambda one: one.get(INDEX, whose.key))
        before = _LISTS.decoded(raw) or []
        entries = change(before)
        if entries == before:
            return
        # Never a shorter time than what is in it, also where that is nothing any more.
        ends = max((one.ends_at for one in entries), default=wall + 1.0)
        if (yield from _swapped(store, whose, raw, _LISTS.encoded(entries), max(1.0, ends - wall))):
            return
    raise StoreException("The list of sessions is written too often at once", code="store_busy", retry_after=1.0)


def _swapped(store: AnyStore, whose: Whose, raw: bytes | None, value: bytes, lifetime: float) -> Flow[bool]:
    swapped: bool = yield from ask(store, lambda one: one.swap(INDEX, whose.key, raw, value, lifetime))
    return swapped


def note_end(store: AnyStore, whose: Whose, before: float, wall: float) -> Flow[None]:
    """Remember that sessions were ended whose ID tokens were issued before *before*.

    Raises:
        StoreException: The store cannot answer.
    """
    del wall
    value = _ENDS.encoded(before)
    yield from ask(store, lambda one: one.put(INDEX, whose.mark, value, NOTED))


def was_ended(store: AnyStore, whose: Whose, issued_at: float) -> Flow[bool]:
    """Tell whether a session with an ID token of that time was ended before it began.

    Raises:
        StoreException: The store cannot answer.
    """
    raw = yield from ask(store, lambda one: one.get(INDEX, whose.mark))
    before = _ENDS.decoded(raw)
    return raw is not None and (before is None or issued_at < before)  # one that cannot be read ends them all


__all__ = [
    "MAX_SESSIONS",
    "Entry",
    "Whose",
    "enter",
    "leave",
    "listed",
    "living",
    "note_end",
    "of_sid",
    "of_user",
    "was_ended",
]
