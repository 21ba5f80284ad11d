"""Tokens that were revoked: marks that every process sees, and refuses what they match.

A mark names claims: one token (``jti``), the tokens of a session (``sid``), of a user (``sub``) or of an issuer, or of
several of these at once; with ``before`` only those that were issued earlier. Marks go through a store. Each process
looks for new ones once per second while it validates, so that a revocation is seen everywhere within two.

A store that lost its memory, as by a failover, may have lost marks that processes know. Who notices tells them again,
so that processes which begin later know them too.

A store that is away brings no marks. What is known goes on being refused, and everything else accepted, for a bounded
time with an event; after that nothing is, since nobody knows what was revoked: 503.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Protocol, TypeAlias

import msgspec

from ..._arguments import explains_arguments
from ..._refusals import bounded, is_number, must_be
from ...exceptions import ConfigurationException, NetworkException, StoreException, TokenValidationException, printable
from ...observability import emit
from ..base.codec import Codec
from ..base.flow import Flow, background, now
from ..base.fork_lock import Guard
from ..base.store import AnyStore, Mark, ask
from ..base.store_records import record_of
from .defaults import SILENT_FOR

#: The topic of revocations.
TOPIC = "revocations"
#: Seconds between two looks for new marks.
LOOK_EVERY = 1.0
#: Seconds between two looks whether the store still has the memory that it had.
EPOCH_EVERY = 30.0
#: Seconds for which one process alone tells again what a store has lost.
TELLS_FOR = 30.0
#: Marks that are held before those that are over are first looked for.
_SWEPT_FROM = 1000
#: Claims that a mark can name, the most telling first.
NAMES = ("jti", "sid", "sub", "iss")


class Revoked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is revoked: the tokens that have all of these claims, and were issued earlier than *before*."""

    jti: str | None = None
    sid: str | None = None
    sub: str | None = None
    iss: str | None = None
    before: float | None = None

    def __post_init__(self) -> None:
        if self.before is not None and not is_number(self.before, float):
            raise must_be("before", "seconds since 1970", code="argument_invalid")

    def named(self) -> list[tuple[str, str]]:
        """Return the claims that are named, the most telling first."""
        return [(name, value) for name in NAMES if (value := getattr(self, name)) is not None]

    @explains_arguments
    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether a token with these claims is revoked. One that hides when it was issued is."""
        if any(claims.get(name) != value for name, value in self.named()):
            return False
        issued = claims.get("iat")
        return self.before is None or not isinstance(issued, int | float) or issued < self.before


@dataclass(frozen=True, slots=True)
class MarksHealth:
    """What a process knows of revocations. Durations are seconds.

    Attributes:
        count: Marks that are kept; those that are over go when the last of them is.
        look_age: Since it last heard from the store which marks there are; None before that, and without a store.
        mark_age: Since the last mark was made or came; None before that.
    """

    count: int = 0
    look_age: float | None = None
    mark_age: float | None = None


#: What is revoked, each until when, in seconds since 1970.
Marks: TypeAlias = tuple[tuple[Revoked, float], ...]

_MARKS = Codec(Revoked, TOPIC)


def revoked(
    jti: str | None = None,
    sid: str | None = None,
    sub: str | None = None,
    iss: str | None = None,
    before: float | None = None,
) -> Revoked:
    """Return what is revoked.

    Raises:
        ConfigurationException: No claim is named, or one is no text.
    """
    given = {"jti": jti, "sid": sid, "sub": sub, "iss": iss}
    for name, value in given.items():
        if value is not None and (not isinstance(value, str) or not value):
            raise must_be(name, "text that is not empty", value)
    if all(value is None for value in given.values()):
        raise ConfigurationException(
            "Say which tokens are revoked",
            code="policy_invalid",
            claim="jti",
            expected="one or more of jti sid sub iss",
        )
    if before is not None:
        bounded(before, "before", float, 0, unit="seconds since 1970")
    return Revoked(**given, before=before)


def revoked_token(claims: Mapping[str, Any]) -> Revoked:
    """Return what is revoked with one token.

    Raises:
        ConfigurationException: The token has no identifier that tells it from others.
    """
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise ConfigurationException(
            "The token has no jti, which would tell it from others",
            code="policy_invalid",
            claim="jti",
            expected="a token with jti",
            hint="revoke its session, by sid, or what its user had before now, by sub, iss and before",
        )
    return revoked(jti=jti, iss=claims["iss"])


class Revoker(Protocol):
    """What refuses tokens that others say are revoked: a ``TokenValidator``."""

    def revoking(self, what: Revoked, lifetime: float) -> Flow[None]:
        """Refuse tokens from now on, for *lifetime* seconds, here and wherever the store is looked at."""
        ...

    def refusing_revoked(self, claims: Mapping[str, Any]) -> Flow[None]:
        """Refuse claims of a token that was revoked."""
        ...


def _covers(one: tuple[Revoked, float], other: tuple[Revoked, float]) -> bool:
    """Tell whether all that *other* refuses is refused by *one*, for as long."""
    (what, until), (asked, asked_until) = one, other
    later = what.before is None or (asked.before is not None and asked.before <= what.before)
    return later and until >= asked_until and what.named() == asked.named()


def _publish(mark: tuple[bytes, float], store: Any) -> Any:
    return store.publish(TOPIC, *mark)


class Revocations:
    """The marks that a process knows.

    Args:
        store: Through which processes tell each other; None keeps marks in this process.
        silent_for: Seconds that the store may be away before nothing is accepted any more.
        marks: What is known to be revoked.

    Any thread may call any method.
    """

    def __init__(self, store: AnyStore | None, silent_for: float = SILENT_FOR, marks: Marks = ()) -> None:
        self._store = store
        self._silent_for = silent_for
        #: When to look for new marks, on the steady clock; the warm path does not, and hands over instead.
        self.due = -inf if store is not None else inf
        self._cursor: str | None = None
        #: Which memory of the store the marks came from, and what is known that it may have lost.
        self._memory, self._tells_memory = "", False
        self._lost: dict[Revoked, float] = {}
        self._heard_at: float | None = None
        self._silent = False
        self._epoch_due = -inf
        self._marked_at: float | None = None
        #: Marks by the most telling claim that they name.
        self._by_claim: dict[tuple[str, str], list[tuple[Revoked, float]]] = {}
        self._latest = 0.0
        self._lock = Guard()
        #: Marks held, and how many there were when those that are over were last left out.
        self._held = self._swept = 0
        for what, expires_at in marks:
            self._keep(what, expires_at)

    def marks(self) -> Marks:
        """Return what is known to be revoked."""
        with self._lock:
            return tuple(mark for marks in self._by_claim.values() for mark in marks)

    def check(self, claims: Mapping[str, Any], wall: float) -> None:
        """Refuse claims that a mark matches.

        Raises:
            TokenValidationException: The token is revoked; the code is ``token_revoked``.
        """
        if not self._by_claim or wall >= self._latest:
            return
        for name in NAMES:
            value = claims.get(name)
            marks = self._by_claim.get((name, value)) if type(value) is str else None
            if marks and any(expires > wall and mark.matches(claims) for mark, expires in marks):
                raise TokenValidationException(
                    "The token was revoked",
                    "payload",
                    code="token_revoked",
                    claim=name,
                    expected="a token that is not revoked",
                    hint="get a new token, or log in again",
                )

    def revoke(self, what: Revoked, lifetime: float) -> Flow[None]:
        """Refuse tokens from now on, here at once and in every process that looks.

        Raises:
            StoreException: The others cannot be told; here the tokens are refused all the same.
        """
        clock = yield from now()
        self._add(what, clock.wall + lifetime, clock.steady)
        self._sweep(clock.wall)
        store = self._store
        if store is not None:
            value = _MARKS.encoded(what)
            yield from ask(store, lambda one: one.publish(TOPIC, value, lifetime))

    def refresh(self) -> Flow[None]:
        """Look for new marks, if it is time.

        Raises:
            NetworkException: Nobody has known for too long what is revoked; the code is ``revocations_unknown``.
        """
        clock = yield from now()
        if self._store is None or clock.steady < self.due:
            return
        self.due = clock.steady + LOOK_EVERY  # others go on meanwhile with what is known
        try:
            yield from self._look(self._store, clock.steady)
        except StoreException as error:
            self._went_silent(clock.steady, error)
            return
        self._heard_at, self._silent = clock.steady, False
        self._sweep(clock.wall)

    def _sweep(self, wall: float) -> None:
        """Forget marks that are over, now and then: a feed of revocations never ends."""
        with self._lock:
            if wall < self._latest and self._held < 2 * self._swept + _SWEPT_FROM:
                return
            left = {}
            for name, marks in self._by_claim.items():
                if counting := [mark for mark in marks if mark[1] > wall]:
                    left[name] = counting
            self._by_claim = left
            self._held = self._swept = sum(map(len, left.values()))

    def refuses_in(self, steady: float) -> float | None:
        """Return the seconds until nothing is accepted any more if the store stays away; None while it answers."""
        if not self._silent or self._heard_at is None:
            return None
        return max(0.0, self._heard_at + self._silent_for - steady)

    def health(self, steady: float) -> MarksHealth:
        """Tell what is known."""
        looked, marked = (None if at is None else steady - at for at in (self._heard_at, self._marked_at))
        count = sum(len(marks) for marks in list(self._by_claim.values()))
        return MarksHealth(count, None if self._store is None else looked, marked)

    def _look(self, store: AnyStore, steady: float) -> Flow[None]:
        yield from self._read(store, steady)
        if steady >= self._epoch_due:
            epoch = yield from ask(store, lambda one: one.epoch())
            self._epoch_due = steady + EPOCH_EVERY
            if not self._tells_memory:
                self._comes_from(epoch.name)
            if record_of(store).remembers(epoch.name) is not None:
                emit("store_memory_new", logging.WARNING, since=epoch.since)
        if self._lost:
            yield from background(lambda: self._tell_again(store))

    def _read(self, store: AnyStore, steady: float) -> Flow[None]:
        complete = False
        while not complete:
            found = yield from ask(store, lambda one: one.changes(TOPIC, self._cursor))
            self._tells_memory = bool(found.memory)
            self._comes_from(found.memory)
            for mark in found.marks:
                self._take(mark, steady)
            self._cursor, complete = found.cursor, found.complete

    def _comes_from(self, memory: str) -> None:
        """Note which memory marks come from. Another one may not have what is known; it tells all that it has."""
        if memory and self._memory not in ("", memory):
            self._lost, self._cursor = dict(self.marks()), None
        self._memory = memory or self._memory

    def _tell_again(self, store: AnyStore) -> Flow[None]:
        """Publish what the store has lost, unless another process does."""
        try:
            lease = yield from ask(store, lambda one: one.lease(TOPIC, "told-again", TELLS_FOR))
            if lease is None:
                return
            clock = yield from now()
            yield from self._read(store, clock.steady)  # another one may just have done it
            lost, self._lost = self._lost, {}
            yield from self._published(store, {what: until - clock.wall for what, until in lost.items()})
            yield from ask(store, lambda one: one.release(lease))
        except StoreException:
            self._lost, self._cursor = dict(self.marks()), None  # at a later look

    def _published(self, store: AnyStore, lost: dict[Revoked, float]) -> Flow[None]:
        left = [(_MARKS.encoded(what), lifetime) for what, lifetime in lost.items() if lifetime > 0]
        if left:
            emit("revocations_told_again", logging.WARNING, count=len(left))
        for mark in left:
            yield from ask(store, partial(_publish, mark))

    def _take(self, mark: Mark, steady: float) -> None:
        what = _MARKS.decoded(mark.value)
        if what is not None and what.named():
            if mark.expires_at > self._lost.get(what, inf) - 1.0:
                self._lost.pop(what, None)
            self._add(what, mark.expires_at, steady)

    def _keep(self, what: Revoked, expires_at: float) -> bool:
        """Keep a mark; False if what is known says the same, as what this process published and reads again."""
        new, name = (what, expires_at), what.named()[0]
        with self._lock:
            marks = self._by_claim.get(name, [])
            if any(_covers(one, new) for one in marks):
                return False
            kept = [one for one in marks if not _covers(new, one)]
            self._held += 1 + len(kept) - len(marks)
            self._by_claim[name] = [*kept, new]  # a new list: readers take no lock
            self._latest = max(self._latest, expires_at)
        return True

    def _add(self, what: Revoked, expires_at: float, steady: float) -> None:
        self._marked_at = steady
        if not self._keep(what, expires_at):
            return
        emit("tokens_revoked", claims=[name for name, _ in what.named()], before=what.before)

    def _went_silent(self, steady: float, error: StoreException) -> None:
        if self._heard_at is None:
            self._heard_at = steady
        self._epoch_due = -inf  # a store that comes back may be another
        silent = steady - self._heard_at
        if not self._silent:
            self._silent = True
            emit("revocations_unheard", logging.WARNING, code=error.code, accepts_for=self._silent_for - silent)
        if silent >= self._silent_for:
            self.due = -inf  # nothing passes before the store answers
            raise NetworkException(
                f"What was revoked in the last {silent:.0f} s is not known: {printable(error.message)}",
                code="revocations_unknown",
                retry_after=error.retry_after if error.retry_after is not None else LOOK_EVERY,
            )


__all__ = [
    "LOOK_EVERY",
    "TOPIC",
    "Marks",
    "MarksHealth",
    "Revocations",
    "Revoked",
    "Revoker",
    "revoked",
    "revoked_token",
]
