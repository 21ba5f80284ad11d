"""The store of one process: bounded, quick, and gone with it."""

from __future__ import annotations

import heapq
import secrets
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from .._core.base.fork_lock import Guard
from .._core.base.store import (
    LEASE_MEMORY,
    Changes,
    Epoch,
    Lease,
    Mark,
    check_lease,
    check_lifetime,
    check_name,
    check_value,
)
from .._refusals import bounded
from ..exceptions import StoreException

#: Entries of one topic, at most, unless told otherwise.
DEFAULT_MAX_ENTRIES = 100_000
#: Leases and marks that are over go after so many new ones.
_PRUNED_EVERY = 256

_Name = tuple[str, str]


class _Kept(NamedTuple):
    value: bytes
    expires_at: float


class _Leased(NamedTuple):
    number: int
    until: float


class MemoryStore:
    """Keep everything in this process: the default where nothing else is given.

    Other processes see nothing of it, and a restart forgets it. For several processes take
    :class:`~py_identity_model.stores.SqliteStore` or :class:`~py_identity_model.stores.RedisStore`.

    Args:
        max_entries: Entries of one topic at most. A topic that is full of what still counts takes no more: dropping
            an entry would let a used proof be used again.
        clock: Returns seconds since 1970.

    Raises:
        ConfigurationException: *max_entries* is no positive integer.

    >>> store = MemoryStore()
    >>> store.add("replay", "a", b"", 60), store.add("replay", "a", b"", 60)
    (True, False)
    """

    engine = "memory"
    blocking = False
    #: Nobody else can write here.
    authenticated = True

    def __init__(self, max_entries: int = DEFAULT_MAX_ENTRIES, *, clock: Callable[[], float] = time.time) -> None:
        self.max_entries: int = bounded(max_entries, "max_entries", int, 1, code="store_size_invalid")
        self._clock = clock
        self._lock = Guard()
        self._forget_all()

    def _forget_all(self) -> None:
        self._kept: dict[_Name, _Kept] = {}
        #: How many entries each topic has.
        self._sizes: dict[str, int] = {}
        #: When to look whether an entry can go. An entry that was replaced or deleted is found in its place or not.
        self._queue: list[tuple[float, _Name]] = []
        self._leases: dict[_Name, _Leased] = {}
        self._number = 0
        #: What was published, each with its number.
        self._marks: dict[str, list[tuple[int, Mark]]] = {}
        self._epoch = Epoch(secrets.token_urlsafe(12), self._clock())

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._kept)} entries, at most {self.max_entries} per topic)"

    def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`~py_identity_model.stores.Store.get`."""
        check_name(topic, key)
        with self._lock:
            return self._value((topic, key), self._clock())

    def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        check_value(topic, key, value, lifetime)
        check_lease(lease, topic, key)
        with self._lock:
            return self._holds(lease) and self._write((topic, key), value, lifetime)

    def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.add`."""
        check_value(topic, key, value, lifetime)
        with self._lock:
            if made_at is not None and made_at < self._epoch.since:
                raise memory_lost()
            known = self._value((topic, key), self._clock())
            return known is None and self._write((topic, key), value, lifetime)

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        check_value(topic, key, value, lifetime)
        check_lease(lease, topic, key)
        with self._lock:
            known = self._value((topic, key), self._clock())
            return known == expected and self._holds(lease) and self._write((topic, key), value, lifetime)

    def delete(self, topic: str, key: str) -> bool:
        """See :meth:`~py_identity_model.stores.Store.delete`."""
        check_name(topic, key)
        with self._lock:
            there = self._value((topic, key), self._clock()) is not None
            self._drop((topic, key))
            return there

    def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`~py_identity_model.stores.Store.lease`."""
        check_name(topic, key)
        check_lifetime(lifetime)
        with self._lock:
            now = self._clock()
            running = self._leases.get((topic, key))
            if running is not None and running.until > now:
                return None
            self._count(now)
            self._leases[topic, key] = _Leased(self._number, now + lifetime)
            return Lease(topic, key, self._number)

    def release(self, lease: Lease) -> bool:
        """See :meth:`~py_identity_model.stores.Store.release`."""
        with self._lock:
            now = self._clock()
            running = self._leases.get((lease.topic, lease.key))
            if running is None or running.number != lease.number or running.until <= now:
                return False
            self._leases[lease.topic, lease.key] = running._replace(until=now)
            return True

    def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`~py_identity_model.stores.Store.publish`."""
        check_value(topic, "-", value, lifetime)
        with self._lock:
            now = self._clock()
            if len(self._marks.setdefault(topic, [])) >= self.max_entries:
                self._prune(now)
            if len(self._marks[topic]) >= self.max_entries:
                raise store_full(topic, self.max_entries, self._marks[topic][0][1].expires_at - now)
            self._count(now)
            self._marks[topic].append((self._number, Mark(value, now + lifetime)))

    def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`~py_identity_model.stores.Store.changes`."""
        check_name(topic)
        memory, _, reached = (cursor or "").rpartition(":")
        with self._lock:
            now, name = self._clock(), self._epoch.name
            after = int(reached) if memory == name and reached.isdecimal() else 0
            marks = self._marks.get(topic, [])
            first = bisect_right(marks, after, key=lambda one: one[0])
            new = [one for _, one in marks[first:] if one.expires_at > now]
            return Changes(f"{name}:{self._number}", tuple(new), memory=name)

    def epoch(self) -> Epoch:
        """See :meth:`~py_identity_model.stores.Store.epoch`."""
        return self._epoch

    def close(self) -> None:
        """Do nothing: there is nothing to give back, and what is kept stays."""

    def _value(self, name: _Name, now: float) -> bytes | None:
        kept = self._kept.get(name)
        return kept.value if kept is not None and kept.expires_at > now else None

    def _holds(self, lease: Lease | None) -> bool:
        """Tell whether no later lease than *lease* was given out."""
        last = self._leases.get((lease.topic, lease.key)) if lease is not None else None
        return lease is None or last is None or last.number <= lease.number

    def _write(self, name: _Name, value: bytes, lifetime: float) -> bool:
        now = self._clock()
        self._sweep(now)
        topic = name[0]
        if name not in self._kept:
            if self._sizes.get(topic, 0) >= self.max_entries:
                raise store_full(topic, self.max_entries, self._queue[0][0] - now)
            self._sizes[topic] = self._sizes.get(topic, 0) + 1
        self._kept[name] = _Kept(value, now + lifetime)
        heapq.heappush(self._queue, (now + lifetime, name))
        if len(self._queue) > 2 * len(self._kept) + _PRUNED_EVERY:
            self._queue = [(kept.expires_at, one) for one, kept in self._kept.items()]
            heapq.heapify(self._queue)
        return True

    def _count(self, now: float) -> None:
        """Take the next number, and once in a while drop leases and marks that are over."""
        self._number += 1
        if self._number % _PRUNED_EVERY == 0:
            self._prune(now)

    def _prune(self, now: float) -> None:
        self._leases = {name: one for name, one in self._leases.items() if one.until + LEASE_MEMORY > now}
        self._marks = {t: [one for one in marks if one[1].expires_at > now] for t, marks in self._marks.items()}

    def _sweep(self, now: float) -> None:
        """Drop what is over. A replaced entry has several places in the queue; the last one counts."""
        while self._queue and self._queue[0][0] <= now:
            _, name = heapq.heappop(self._queue)
            kept = self._kept.get(name)
            if kept is not None and kept.expires_at <= now:
                self._drop(name)

    def _drop(self, name: _Name) -> None:
        if self._kept.pop(name, None) is not None:
            self._sizes[name[0]] -= 1


def store_full(topic: str, most: int | None = None, retry_after: float | None = None) -> StoreException:
    """Build the exception for a store that takes no more."""
    told = f": {most} entries of {topic!r} still count" if most is not None else ""
    return StoreException(
        f"The store is full{told}",
        code="store_full",
        claim=topic,
        retry_after=max(0.0, retry_after) if retry_after is not None else None,
        hint="raise max_entries, or take a store with more room",
    )


def memory_lost() -> StoreException:
    """Build the exception for a question about a time that the store does not remember."""
    return StoreException(
        "The store's memory began after this was made: it cannot tell whether it was used before",
        code="store_memory_lost",
        hint="ask for a new one; what is made from now on can be told",
    )


__all__ = ["DEFAULT_MAX_ENTRIES", "MemoryStore", "memory_lost", "store_full"]
