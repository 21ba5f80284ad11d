"""Sessions on the server: the browser has an opaque id of 256 bits, the store has the rest, sealed under that id.

========  =====================================  ========  =========================================================
state     event                                  next      what happens
========  =====================================  ========  =========================================================
none      a login is complete                    alive     a new id, whatever the browser brought
alive     a request                              alive     noted, at most once a minute
alive     tokens are renewed                     alive     nothing: the id stays
alive     a login of the same user               replaced  it lasts a moment for requests under way
alive     a login of another user                over      ended at once
alive     idle or absolute lifetime is over      over
alive     logout, here or at the provider        over      ended at once, for all processes
replaced  a moment later                         over
========  =====================================  ========  =========================================================
"""

from __future__ import annotations

import msgspec

from ...exceptions import StoreException
from ..base.flow import Flow, now
from ..base.store import AnyStore, ask, digest_of
from . import index
from .cookies import Cookies
from .index import Entry, Whose
from .messages import Headers, WebRequest
from .records import RECORDS, SESSION, TOPIC, Held, Lifetimes, Record, SessionInfo, is_id, new_id
from .sealing import Seal, key_of

#: Seconds that a session lasts whose user logged in anew in the same browser: for requests that are under way.
GRACE = 10.0
#: Attempts to change a session that others change at the same time.
_TRIES = 10


class SessionEnded(Exception):  # an outcome between two modules; nobody else sees it
    """The provider ended the session before it began here."""


class StoredSessions:
    """Sessions in a store.

    Args:
        store: The store.
        seal: Returns it with values sealed under a key.
        cookies: How cookies are set.
        lifetimes: How long sessions live.
    """

    #: Whether sessions can be listed, and ended by somebody else than their browser.
    shared: bool = True

    def __init__(self, store: AnyStore, seal: Seal, cookies: Cookies, lifetimes: Lifetimes) -> None:
        self._store, self._seal, self._cookies = store, seal, cookies
        self.lifetimes: Lifetimes = lifetimes
        self._name = cookies.named(SESSION)

    def _sealed(self, session_id: str) -> AnyStore:
        return self._seal(self._store, key_of("session", session_id))

    @staticmethod
    def handle(session_id: str) -> str:
        """Return the name of a session: a digest, that opens nothing."""
        return digest_of("session", session_id)

    # ---- a session begins

    def create(self, record: Record, issued_at: float, tokens: str) -> Flow[tuple[Held, list[Entry]]]:
        """Begin a session under a new id.

        Args:
            record: What it remembers.
            issued_at: When its ID token was issued, in seconds since 1970.
            tokens: Where its tokens are, as a digest.

        Returns:
            The session, and those of the same user that are too many now.

        Raises:
            SessionEnded: The provider ended it meanwhile.
            StoreException: The store cannot answer.
        """
        wall, session_id = record.seen_at, new_id()
        entry = Entry(self.handle(session_id), tokens, record.created_at, record.ends_at)
        surplus: list[Entry] = []
        for whose in lists_of(record):
            surplus += yield from index.enter(self._store, whose, entry, wall)
        yield from self._put(session_id, record, wall)
        for whose in lists_of(record):
            if (yield from index.was_ended(self._store, whose, issued_at)):
                yield from self.end_entry(entry)
                raise SessionEnded
        cookie = self._cookies.setting(self._name, session_id, record.ends_at - wall)
        return Held(session_id, record, wall, (cookie,)), surplus

    def _put(self, session_id: str, record: Record, wall: float) -> Flow[None]:
        key, value = self.handle(session_id), RECORDS.encoded(record)
        lifetime = max(1.0, record.ends_in(wall, self.lifetimes))
        yield from ask(self._sealed(session_id), lambda one: one.put(TOPIC, key, value, lifetime))

    # ---- a session is used

    def find(self, request: WebRequest) -> Flow[Held | None]:
        """Return the session of a request; None if it has none.

        Raises:
            StoreException: The store cannot answer: whether there is a session is not known.
        """
        session_id = request.cookie(self._name)
        return None if session_id is None else (yield from self.recalled(session_id))

    def recalled(self, session_id: str) -> Flow[Held | None]:
        """Return the session of an id.

        Raises:
            StoreException: The store cannot answer.
        """
        if not is_id(session_id):
            return None
        key, sealed = self.handle(session_id), self._sealed(session_id)
        raw = yield from ask(sealed, lambda one: one.get(TOPIC, key))
        record, wall = RECORDS.decoded(raw), (yield from now()).wall
        if raw is None or record is None or record.ends_in(wall, self.lifetimes) <= 0:
            return None
        if wall - record.seen_at >= self.lifetimes.noted_every and not record.replaced:
            record = record.seen(wall)
            yield from self._note(sealed, key, raw, record, wall)
        return Held(session_id, record, wall)

    def _note(self, sealed: AnyStore, key: str, raw: bytes, record: Record, wall: float) -> Flow[None]:
        """Note that a session was used: in place of what was read, so that one that ended meanwhile stays ended."""
        value, lifetime = RECORDS.encoded(record), max(1.0, record.ends_in(wall, self.lifetimes))
        try:
            yield from _swapped(sealed, key, raw, value, lifetime)
        except StoreException:
            pass  # it was read, so it is alive; the next request notes it

    def cleared(self, request: WebRequest) -> Headers:
        """Return the headers that take away what the browser has of a session."""
        return (self._cookies.clearing(self._name),) if any(n == self._name for n, _ in request.cookies()) else ()

    def outlived(self, request: WebRequest) -> Headers:
        """Return the headers that take away a cookie that has no session any more."""
        return self.cleared(request)

    # ---- a session changes or ends

    def _changed(self, held: Held, record: Record) -> Flow[bool]:
        """Keep *record* for a session, under the same id; tell whether it is still there.

        Raises:
            StoreException: The store cannot answer, or the session is written too often at once.
        """
        sealed, key = self._sealed(held.id), self.handle(held.id)
        value, lifetime = RECORDS.encoded(record), max(1.0, record.ends_in(held.at, self.lifetimes))
        for _ in range(_TRIES):
            raw = yield from ask(sealed, lambda one: one.get(TOPIC, key))
            if raw is None:
                return False
            if (yield from _swapped(sealed, key, raw, value, lifetime)):
                return True
        raise StoreException("The session is written too often at once", code="store_busy", retry_after=1.0)

    def replace(self, held: Held) -> Flow[None]:
        """Let a session last for a moment only: its user has another one now.

        Raises:
            StoreException: The store cannot answer.
        """
        ends = min(held.record.ends_at, held.at + GRACE)
        yield from self._changed(held, msgspec.structs.replace(held.record, ends_at=ends, replaced=True))

    def end(self, held: Held) -> Flow[None]:
        """End a session.

        Raises:
            StoreException: The store cannot answer: it is not known whether it ended.
        """
        key = self.handle(held.id)
        yield from ask(self._store, lambda one: one.delete(TOPIC, key))
        for whose in lists_of(held.record):
            yield from index.leave(self._store, whose, key, held.at)

    def end_entry(self, entry: Entry) -> Flow[bool]:
        """End a session of a list; tell whether it was alive.

        Raises:
            StoreException: The store cannot answer.
        """
        ended: bool = yield from ask(self._store, lambda one: one.delete(TOPIC, entry.session))
        return ended

    def end_all(self, whose: Whose, before: float) -> Flow[list[Entry]]:
        """End all sessions of a list, also those that are just beginning; return what was listed.

        Raises:
            StoreException: The store cannot answer: ask again.
        """
        wall = (yield from now()).wall
        yield from index.note_end(self._store, whose, before, wall)
        entries = yield from index.listed(self._store, whose)
        for entry in entries:
            yield from self.end_entry(entry)
        return entries

    def listed(self, whose: Whose) -> Flow[list[SessionInfo]]:
        """Return the sessions of a list that are alive, the newest first.

        Raises:
            StoreException: The store cannot answer.
        """
        entries = yield from index.living(self._store, whose)
        found = [SessionInfo(one.session, one.created_at, one.ends_at) for one in entries]
        return sorted(found, key=lambda one: -one.created_at)


def _swapped(sealed: AnyStore, key: str, raw: bytes, value: bytes, lifetime: float) -> Flow[bool]:
    swapped: bool = yield from ask(sealed, lambda one: one.swap(TOPIC, key, raw, value, lifetime))
    return swapped


def lists_of(record: Record) -> list[Whose]:
    """Return the lists that a session stands in."""
    owners = [index.of_user(issuer, subject) for issuer, subject in ((record.issuer, record.subject), *record.linked)]
    return owners if record.sid is None else [*owners, index.of_sid(record.issuer, record.sid)]


__all__ = ["GRACE", "SessionEnded", "StoredSessions", "lists_of"]
