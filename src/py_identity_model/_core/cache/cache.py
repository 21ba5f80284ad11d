"""The state of all keys and every decision about it; :mod:`single_flight` says what it is for and acts on it."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import replace
from math import inf
from typing import Any, Final, Generic, NamedTuple, TypeVar
from weakref import WeakSet

from ...exceptions import printable
from ...observability import emit
from ..base.fork_lock import on_fork
from .answers import Answer, Follow, Later, Lead, RefreshCrowded, RefreshDenied, Refuse, Use
from .entry import (
    BURST,
    COOLDOWN,
    GRACE,
    Entry,
    Fetched,
    Lease,
    Slot,
    SlotState,
    build_entry,
    copied,
    worsen,
)

T = TypeVar("T")

#: Seconds by which a lease outlasts the longest fetch, so that no second fetch begins beside one that is alive.
LEASE_MARGIN: Final = 5.0


class CacheInfo(NamedTuple):
    """Counters of a cache, as :func:`functools.lru_cache` shows them."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


_RANDOM = secrets.SystemRandom()
_every_cache: WeakSet[Cache[Any]] = WeakSet()


class Cache(Generic[T]):
    """Entries by key, with everything needed to decide who fetches when.

    Args:
        name: What events call it.
        maxsize: Entries kept. Entries in use survive a flood of others.
        lease_for: Seconds after which a leader that says nothing is taken for dead; a fetch is ended before that.
        max_waiters: Callers per key that may wait for the next permitted forced refresh.
        bounds_followers: Whether as few may wait for a forced refresh that is under way; where a caller that waits
            blocks a thread.
        jitter: A random number from 0 to 1.

    All methods may be called from any thread. Counters are exact with the GIL and close without it.
    """

    def __init__(
        self,
        name: str = "cache",
        *,
        maxsize: int = 128,
        lease_for: float = 60.0,
        max_waiters: int = 32,
        bounds_followers: bool = False,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.name = name
        #: Entries that were replaced by a newer fetch.
        self.refreshes: int = 0
        #: Seconds that a fetch may take in all.
        self.fetch_for: float = max(lease_for - LEASE_MARGIN, lease_for / 2)
        self._maxsize, self._lease_for, self._jitter = maxsize, lease_for, jitter
        self._max_waiters, self._bounds_followers = max_waiters, bounds_followers
        # Reentrant: a dropped flow is closed by the garbage collector, which may run while this thread holds the lock.
        self._lock = threading.RLock()
        self._slots: OrderedDict[Hashable, Slot] = OrderedDict()  # with an entry
        self._absent: OrderedDict[Hashable, Slot] = OrderedDict()  # without: they never push an entry out
        self._untried: OrderedDict[Hashable, None] = OrderedDict()  # keys of entries that were new and unused
        self._version = self._barrier = 0
        self._hits = self._misses = 0
        _every_cache.add(self)

    def look(self, key: Hashable, steady: float) -> Entry[T] | None:
        """Do as :meth:`peek` for a caller that may turn out a forger: what it asks for does not count as in use."""
        slot = self._slots.get(key)
        if slot is None or steady >= slot.ready[1]:
            return None
        self._hits += 1
        return slot.ready[0]

    def vouch(self, key: Hashable) -> None:
        """Count the entry of *key* as in use: it makes room for others last."""
        slot = self._slots.get(key)
        if slot is not None:
            slot.used = True

    def peek(self, key: Hashable, steady: float) -> Entry[T] | None:
        """Return the entry of *key* if it may be used at *steady* and there is nothing to decide; never blocks."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        entry, due = slot.ready
        if steady >= due:
            return None
        slot.hits += 1
        if not slot.used:
            slot.used = True
        return entry

    def slot(self, key: Hashable) -> Slot | None:
        """Return what is known of *key*, for a reader that does by itself what :meth:`peek` does."""
        return self._slots.get(key)

    def version(self, key: Hashable) -> int:
        """Return the version of the entry of *key*, 0 if there is none: what a refresh must be newer than."""
        slot = self._slots.get(key)
        return slot.entry.version if slot is not None and slot.entry is not None else 0

    def claim(
        self,
        key: Hashable,
        steady: float,
        *,
        newer_than: int | None = None,
        cooldown: float = COOLDOWN,
        until: float = -inf,
        lost: Lease | None = None,
        counted: bool = True,
    ) -> Answer:
        """Decide what the caller does about *key* at *steady*; :func:`cached` acts on it.

        Args:
            key: The key.
            steady: The steady clock, in seconds.
            newer_than: Force a refresh: only an entry newer than this version will do.
            cooldown: Seconds per forced refresh.
            until: How long the caller is ready to wait for a permitted one, on the steady clock.
            lost: A lease the caller has lost patience with; it counts as dead.
            counted: Whether the caller needs one of the places of those that wait.
        """
        with self._lock:
            slot = self._slot(key)
            lease = slot.lease
            alive = lease if lease is not None and lease is not lost and steady < lease.expires else None
            entry = slot.entry
            usable = entry is not None and steady < entry.stale_until
            if newer_than is not None and usable and entry is not None and entry.version <= newer_than:
                return self._forced(slot, alive, steady, newer_than, cooldown, until, counted)
            answer = self._regular(slot, alive, steady)
            trouble = slot.trouble
            announce = isinstance(answer, Use) and trouble is not None and steady >= answer.entry.fresh_until
            announce, slot.announced = announce and not slot.announced, slot.announced or announce
        if announce and entry is not None and trouble is not None:
            age, left = round(steady - entry.fetched_at, 1), round(entry.stale_until - steady, 1)
            self._emit("cache_stale_served", key, logging.WARNING, age=age, usable_for=left, code=trouble.error.code)
        return answer

    def _regular(self, slot: Slot, alive: Lease | None, steady: float) -> Answer:
        entry = slot.entry
        if entry is not None and steady < entry.stale_until:
            self._hits += 1
            due = alive is None and steady >= entry.refresh_at and not slot.held_back(steady)
            lease = self._grant(slot, steady) if due else None
            grace = slot.grace(steady)
            slot.asked(steady)
            return Use(entry, lease, slot.lease, grace) if grace > 0 else Use(entry, lease)
        self._misses += 1
        if alive is not None:
            return Follow(alive, alive.expires)
        if slot.trouble is not None and slot.held_back(steady):
            return Refuse(copied(slot.trouble.error, slot.trouble.next_attempt - steady))
        return Lead(self._grant(slot, steady))

    def _forced(
        self,
        slot: Slot,
        alive: Lease | None,
        steady: float,
        newer_than: int,
        cooldown: float,
        until: float,
        counted: bool,
    ) -> Answer:
        if alive is not None and alive.version > newer_than:
            return self._followed(slot, alive, steady, counted)
        trouble = slot.trouble
        if trouble is not None and slot.held_back(steady):
            return Refuse(copied(trouble.error, trouble.next_attempt - steady))
        at = slot.permit(cooldown, steady)
        if at <= steady:
            return Lead(self._grant(slot, steady, cooldown))
        if trouble is not None:
            return Refuse(copied(trouble.error, at - steady))
        if at > until:
            return Refuse(RefreshDenied(at - steady))
        place = slot.place(at, steady, self._max_waiters) if counted else None
        if counted and place is None:
            return Refuse(RefreshCrowded(at - steady))
        slot.gate = slot.gate or _gate()
        return Later(slot.gate, at, place)

    def _followed(self, slot: Slot, lease: Lease, steady: float, counted: bool) -> Answer:
        """Let a caller wait for the forced refresh under way.

        Where that blocks a thread, all may for a moment while refreshes are rare, so that a rotation costs no valid
        token; in a flood of unknown keys only as many as there are places.
        """
        if not self._bounds_followers or not counted:
            return Follow(lease, lease.expires)
        place = slot.place(lease.expires, steady, self._max_waiters)
        if place is not None:
            return Follow(lease, lease.expires, place)
        if lease.rare and steady < lease.started + GRACE:
            return Follow(lease, lease.started + GRACE)
        return Refuse(RefreshCrowded(GRACE))

    def leave(self, key: Hashable, place: float | None) -> None:
        """Free the place of a caller that waited."""
        with self._lock:
            slot = self._known(key)
            if slot is not None and place is not None and place in slot.waiting:
                slot.waiting.remove(place)

    def settle(self, lease: Lease, fetched: Fetched[T], steady: float) -> Entry[T]:
        """End *lease* with a good value; it replaces the older entry in one step. Returns the new entry."""
        entry = build_entry(lease, fetched, steady)
        with self._lock:
            slot = self._known(lease.key)
            stored = self._outdates(lease, slot)
            trouble = slot.trouble if slot is not None else None
            if stored:
                self._store(slot or self._slot(lease.key), entry)
            gate = self._close(lease, steady)
        _open(lease.future, entry)
        _open(gate, None)
        if stored and trouble is not None:
            outage = round(steady - trouble.began, 1)
            self._emit("cache_recovered", lease.key, logging.INFO, failures=trouble.count, outage=outage)
        return entry

    def fail(self, lease: Lease, error: Exception, steady: float) -> float:
        """End *lease* with an error, which is shared but never kept as an answer. Returns the pause that follows."""
        shared = copied(error)
        with self._lock:
            slot = self._known(lease.key)
            counts = self._outdates(lease, slot)
            if counts:
                slot = slot or self._slot(lease.key)
                slot.trouble = worsen(slot.trouble, shared, steady, self._jitter())
            gate = self._close(lease, steady)
            trouble = slot.trouble if slot is not None else None
        pause = max(0.0, trouble.next_attempt - steady) if trouble is not None else 0.0
        _open(lease.future, copied(shared, pause))
        _open(gate, None)
        if counts and trouble is not None:
            facts = {"error": type(error).__name__, "code": shared.code, "failures": trouble.count}
            self._emit("cache_refresh_failed", lease.key, logging.WARNING, **facts, next_attempt=round(pause, 1))
        return pause

    def abandon(self, lease: Lease) -> None:
        """End *lease* without an answer: the leader was cancelled or died. Does nothing for a lease that has ended."""
        if lease.future.done():
            return
        with self._lock:
            slot = self._known(lease.key)
            gate = slot.close(lease) if slot is not None else None
            if slot is not None:
                slot.refund(lease)
                slot.ready = (slot.entry, -inf)
        _open(lease.future, None)
        _open(gate, None)

    def clear(self) -> None:
        """Forget everything, also what is being fetched right now, and set the counters to zero."""
        with self._lock:
            self._barrier = self._version
            for slot in self._slots.values():
                slot.drop()
            self._slots, self._absent, self._untried = OrderedDict(), OrderedDict(), OrderedDict()
            self._hits = self._misses = 0
            self.refreshes = 0

    def remove(self, key: Hashable) -> bool:
        """Forget *key*, also what is being fetched right now. Returns whether there was an entry."""
        with self._lock:
            self._barrier = self._version  # fetches of other keys under way are not kept either: rare and harmless
            self._absent.pop(key, None)
            self._untried.pop(key, None)
            slot = self._slots.pop(key, None)
            self._hits += slot.drop() if slot is not None else 0
            return slot is not None

    def info(self) -> CacheInfo:
        """Return the counters. Forced refreshes are neither hits nor misses."""
        hits = self._hits + sum(slot.hits for slot in list(self._slots.values()))
        return CacheInfo(hits, self._misses, self._maxsize, len(self._slots))

    def snapshot(self, key: Hashable, steady: float) -> SlotState:
        """Return the state of *key* for health checks; counts nothing and starts nothing."""
        with self._lock:
            return (self._known(key) or Slot(key)).snapshot(steady)

    def after_fork(self) -> None:
        """Forget, in a forked child, locks and fetches of threads that do not exist there; entries stay."""
        self._lock = threading.RLock()
        for slot in (*self._slots.values(), *self._absent.values()):
            slot.lease, slot.gate, slot.waiting = None, None, []
            slot.ready = (slot.entry, -inf)

    def _known(self, key: Hashable) -> Slot | None:
        return self._slots.get(key) or self._absent.get(key)

    def _slot(self, key: Hashable) -> Slot:
        slot = self._known(key)
        if slot is None:
            while len(self._absent) >= self._maxsize:
                self._absent.popitem(last=False)
            slot = self._absent[key] = Slot(key)
        return slot

    def _grant(self, slot: Slot, steady: float, cooldown: float | None = None) -> Lease:
        self._version += 1
        previous = slot.entry
        if previous is not None and slot.trouble is not None:
            # Whatever went wrong, the condition of the request may have been why.
            previous = replace(previous, etag=None)
        rare = slot.in_a_row <= BURST
        slot.lease = Lease(slot.key, self._version, steady, steady + self._lease_for, previous, cooldown, rare)
        return slot.lease

    def _close(self, lease: Lease, steady: float) -> Future[None] | None:
        slot = self._known(lease.key)
        if slot is None:
            return None
        gate = slot.close(lease)
        slot.asked(steady)
        return gate

    def _outdates(self, lease: Lease, slot: Slot | None) -> bool:
        """Tell whether what *lease* brings still matters: not cleared meanwhile, not overtaken by a later fetch."""
        known = slot.entry.version if slot is not None and slot.entry is not None else 0
        return lease.version > max(self._barrier, known)

    def _store(self, slot: Slot, entry: Entry[T]) -> None:
        if self._absent.pop(slot.key, None) is not None:
            while len(self._slots) >= self._maxsize:
                self._evict()
            self._slots[slot.key] = slot
            self._untried[slot.key] = None
        if slot.entry is not None:
            self.refreshes += 1
        slot.entry, slot.trouble, slot.announced, slot.refunded = entry, None, False, False

    def _evict(self) -> None:
        while self._untried:  # first what nobody has vouched for
            key, _ = self._untried.popitem(last=False)
            slot = self._slots.get(key)
            if slot is not None and not slot.used:
                self._hits += self._slots.pop(key).drop()
                return
        key, slot = self._slots.popitem(last=False)
        if slot.used:  # second chance: readers mark without the lock, so there is no exact order to go by
            slot.used = False
            self._slots[key] = slot
        else:
            self._hits += slot.drop()

    def _emit(self, event: str, key: Hashable, level: int, **facts: Any) -> None:
        emit(event, level, cache=self.name, key=printable(key), **facts)


def _gate() -> Future[None]:
    gate: Future[None] = Future()
    gate.set_running_or_notify_cancel()
    return gate


def _open(future: Future[Any] | None, result: object) -> None:
    if future is not None and not future.done():
        future.set_result(result)


def _after_fork() -> None:
    """Make every cache of this process usable in a forked child."""
    for cache in list(_every_cache):
        cache.after_fork()


on_fork(_after_fork)


__all__ = ["LEASE_MARGIN", "Cache", "CacheInfo"]
