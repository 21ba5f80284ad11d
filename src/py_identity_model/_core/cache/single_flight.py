"""One cache for both APIs. It decides; it never waits, never fetches and reads no clock.

Use it through three names::

    entry = cache.peek(key, steady)                    # warm path: lock-free; None means: take the next line
    entry = yield from cached(cache, key, fetch)       # an entry that may be used now, fetched at most once
    entry = yield from cached(cache, key, fetch, newer_than=entry.version)    # a forced refresh, rationed

``fetch`` takes the previous :class:`Entry` (or None) and is a flow of :class:`Fetched`; it raises where there is
nothing good to keep, and whatever it raises leaves the last good entry in place. With the previous entry's ``etag`` it
can ask ``If-None-Match`` and renew ``previous.value`` on 304; after a failure the entry comes without its ``etag``.

* One fetch per key at a time (a *lease*); everybody else follows it. A leader that is cancelled hands over, a dead one
  loses the lease when it expires.
* From 80 % of its freshness on an entry is refreshed in the background by the first who asks. After its freshness it is
  used on while it is refreshed (``stale_while_revalidate``), and for longer while refreshing fails
  (``stale_if_error``). Nobody waits for a refresh that is failing or slow; past ``stale_while_revalidate``, with no
  failure on record, callers give the refresh :data:`GRACE` seconds before they use the stale entry.
* After a failure the next attempt is held back, doubling, with jitter, or as long as the provider's ``Retry-After``
  asks; until then callers get the stale entry, or a copy of the last error, at once.
* Forced refreshes (an unknown ``kid``, a bad signature) draw from a bucket of :data:`BURST` that refills by one per
  cooldown; failures count, first fills do not. When it is empty, up to ``max_waiters`` callers wait up to ``patience``
  seconds for the next one; everybody else gets :class:`RefreshDenied` at once. A set fetched before a token came says
  little about the token's key: where ``entry.started_at`` is not later than its arrival, a second forced refresh is
  due.

Events: ``cache_refresh_failed`` (each failure), ``cache_stale_served`` (once per outage), ``cache_recovered``.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import replace
from math import inf
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
from weakref import WeakSet

from ...exceptions import NetworkException, PyIdentityModelException, printable
from ...observability import emit
from ..base.flow import IMPATIENT, Flow, background, now, wait
from .entry import COOLDOWN, Entry, Fetched, Lease, Slot, SlotState, build_entry, copied, worsen

T = TypeVar("T")

#: Seconds a caller waits for the next permitted forced refresh.
PATIENCE: Final = 2.0


class CacheInfo(NamedTuple):
    """Counters of a cache, as :func:`functools.lru_cache` shows them."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class RefreshDenied(NetworkException):
    """A forced refresh is not permitted yet; ``retry_after`` says in how many seconds it will be."""

    code = "refresh_denied"

    def __init__(self, retry_after: float) -> None:
        wanted = max(0.0, retry_after)
        super().__init__(f"The next forced refresh is permitted in {wanted:.1f} s", retry_after=wanted)


class Use(NamedTuple):
    """Take *entry*. The caller that gets a *lease* refreshes in the background; *young* is worth *patience* seconds."""

    entry: Entry[Any]
    lease: Lease | None = None
    young: Lease | None = None
    patience: float = 0.0


class Lead(NamedTuple):
    """You fetch."""

    lease: Lease


class Follow(NamedTuple):
    """Another caller is fetching; wait for it."""

    lease: Lease


class Later(NamedTuple):
    """A forced refresh is permitted *at* that time; *gate* resolves if one ends earlier. Then ask again."""

    gate: Future[None]
    at: float


class Refuse(NamedTuple):
    """There is nothing to use now, and trying again is not permitted yet."""

    error: PyIdentityModelException


Answer: TypeAlias = Use | Lead | Follow | Later | Refuse

_RANDOM = secrets.SystemRandom()
_caches: WeakSet[Cache[Any]] = WeakSet()


class Cache(Generic[T]):
    """Entries by key, with everything needed to decide who fetches when.

    Args:
        name: What events call it.
        maxsize: Entries kept. Entries in use survive a flood of others.
        lease_for: Seconds after which a leader that says nothing is taken for dead; longer than any fetch takes.
        max_waiters: Callers per key that may wait for the next permitted forced refresh.
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
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.name = name
        #: Entries that were replaced by a newer fetch.
        self.refreshes: int = 0
        self._maxsize, self._lease_for, self._max_waiters, self._jitter = maxsize, lease_for, max_waiters, jitter
        # Reentrant: a dropped flow is closed by the garbage collector, which may run while this thread holds the lock.
        self._lock = threading.RLock()
        self._slots: OrderedDict[Hashable, Slot] = OrderedDict()  # with an entry
        self._absent: OrderedDict[Hashable, Slot] = OrderedDict()  # without: they never push an entry out
        self._version = self._barrier = 0
        self._hits = self._misses = 0
        _caches.add(self)

    def peek(self, key: Hashable, steady: float) -> Entry[T] | None:
        """Return the entry of *key* if it may be used at *steady* and there is nothing to decide; never blocks."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        entry, due = slot.ready
        if steady >= due:
            return None
        self._hits += 1
        if not slot.used:
            slot.used = True
        return entry

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
    ) -> Answer:
        """Decide what the caller does about *key* at *steady*; :func:`cached` acts on it.

        Args:
            key: The key.
            steady: The steady clock, in seconds.
            newer_than: Force a refresh: only an entry newer than this version will do.
            cooldown: Seconds per forced refresh.
            until: How long the caller is ready to wait for a permitted one, on the steady clock.
            lost: A lease the caller has lost patience with; it counts as dead.
        """
        with self._lock:
            slot = self._slot(key)
            lease = slot.lease
            alive = lease if lease is not None and lease is not lost and steady < lease.expires else None
            entry = slot.entry
            usable = entry is not None and steady < entry.stale_until
            if newer_than is not None and usable and entry is not None and entry.version <= newer_than:
                return self._forced(slot, alive, steady, newer_than, cooldown, until)
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
            slot.used = True
            due = alive is None and steady >= entry.refresh_at and not slot.held_back(steady)
            lease = self._grant(slot, steady) if due else None
            grace = slot.grace(steady)
            slot.asked(steady)
            return Use(entry, lease, slot.lease, grace) if grace > 0 else Use(entry, lease)
        self._misses += 1
        if alive is not None:
            return Follow(alive)
        if slot.trouble is not None and slot.held_back(steady):
            return Refuse(copied(slot.trouble.error, slot.trouble.next_attempt - steady))
        return Lead(self._grant(slot, steady))

    def _forced(
        self, slot: Slot, alive: Lease | None, steady: float, newer_than: int, cooldown: float, until: float
    ) -> Answer:
        if alive is not None and alive.version > newer_than:
            return Follow(alive)
        trouble = slot.trouble
        if trouble is not None and slot.held_back(steady):
            return Refuse(copied(trouble.error, trouble.next_attempt - steady))
        at = slot.permit(cooldown, steady)
        if at <= steady:
            return Lead(self._grant(slot, steady, cooldown))
        if trouble is not None:
            return Refuse(copied(trouble.error, at - steady))
        slot.waiting = [end for end in slot.waiting if end > steady]
        if at > until or len(slot.waiting) >= self._max_waiters:
            return Refuse(RefreshDenied(at - steady))
        slot.waiting.append(at)
        slot.gate = slot.gate or _gate()
        return Later(slot.gate, at)

    def leave(self, key: Hashable, later: Later) -> None:
        """Free the place of a caller that waited."""
        with self._lock:
            slot = self._known(key)
            if slot is not None and later.at in slot.waiting:
                slot.waiting.remove(later.at)

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
            self._slots, self._absent = OrderedDict(), OrderedDict()
            self._hits = self._misses = 0
            self.refreshes = 0

    def remove(self, key: Hashable) -> bool:
        """Forget *key*, also what is being fetched right now. Returns whether there was an entry."""
        with self._lock:
            self._barrier = self._version  # fetches of other keys under way are not kept either: rare and harmless
            self._absent.pop(key, None)
            return self._slots.pop(key, None) is not None

    def info(self) -> CacheInfo:
        """Return the counters. Forced refreshes are neither hits nor misses."""
        return CacheInfo(self._hits, self._misses, self._maxsize, len(self._slots))

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
        slot.lease = Lease(slot.key, self._version, steady, steady + self._lease_for, previous, cooldown)
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
        if slot.entry is not None:
            self.refreshes += 1
        slot.entry, slot.trouble, slot.announced, slot.refunded = entry, None, False, False

    def _evict(self) -> None:
        key, slot = self._slots.popitem(last=False)
        if slot.used:  # second chance: readers mark without the lock, so there is no exact order to go by
            slot.used = False
            self._slots[key] = slot

    def _emit(self, event: str, key: Hashable, level: int, **facts: Any) -> None:
        emit(event, level, cache=self.name, key=printable(key), **facts)


def cached(
    cache: Cache[T],
    key: Hashable,
    fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]],
    *,
    newer_than: int | None = None,
    cooldown: float = COOLDOWN,
    patience: float = PATIENCE,
) -> Flow[Entry[T]]:
    """Return an entry of *key* that may be used now, fetching at most once however many callers ask.

    Args:
        cache: The cache.
        key: The key.
        fetch: Makes the flow that fetches, from the previous entry or None.
        newer_than: Force a refresh: the entry must be newer than this version (0: than none). A usable entry is
            refreshed in step with everybody else who asks for it.
        cooldown: Seconds per forced refresh, after a burst of two; 0 rations nothing.
        patience: Seconds to wait for the next permitted forced refresh.

    Raises:
        RefreshDenied: The forced refresh is not permitted soon enough; ``retry_after`` says when it is.
        NetworkException: The fetch failed, or failed a moment ago; ``retry_after`` says when to ask again.
    """
    steady = (yield from now()).steady
    until, lost = steady + patience, None
    while True:
        answer = cache.claim(key, steady, newer_than=newer_than, cooldown=cooldown, until=until, lost=lost)
        lost = None
        match answer:
            case Use():
                return (yield from _use(cache, answer, fetch))
            case Lead(lease):
                return (yield from _lead(cache, lease, fetch))
            case Refuse():
                try:
                    raise answer.error
                finally:
                    del answer  # or error, traceback and frame would keep each other alive
            case Follow(lease):
                outcome = yield from wait(lease.future, lease.expires - steady)
                if isinstance(outcome, Entry):
                    return outcome
                if isinstance(outcome, PyIdentityModelException):
                    raise copied(outcome)
                # The driver may not block here, or the leader is dead: stop following this lease.
                lost = lease if outcome is IMPATIENT else None
            case Later():
                yield from _stand_by(cache, key, answer, steady)
        steady = (yield from now()).steady


def cached_soon(
    cache: Cache[T], key: Hashable, fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]]
) -> Flow[Entry[T] | None]:
    """Return an entry of *key* that may be used now; None while there is none, which is fetched in the background."""
    answer = cache.claim(key, (yield from now()).steady)
    if isinstance(answer, Use):
        return (yield from _use(cache, answer, fetch))
    if isinstance(answer, Lead):
        yield from _start(cache, answer.lease, fetch)
    return None


def _use(cache: Cache[T], answer: Use, fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]]) -> Flow[Entry[T]]:
    if answer.lease is not None:
        yield from _start(cache, answer.lease, fetch)
    if answer.young is not None:
        outcome = yield from wait(answer.young.future, answer.patience)
        if isinstance(outcome, Entry):
            return outcome
    return answer.entry


def _start(cache: Cache[T], lease: Lease, fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]]) -> Flow[None]:
    try:
        yield from background(lambda: _refresh(cache, lease, fetch))
    except Exception:  # no thread or task to be had, for whatever reason: what there is is good all the same
        cache.abandon(lease)
    except BaseException:  # cancelled, or told to exit: no lease may outlive that
        cache.abandon(lease)
        raise


def _lead(cache: Cache[T], lease: Lease, fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]]) -> Flow[Entry[T]]:
    try:
        try:
            fetched = yield from fetch(lease.previous)
        except Exception as error:  # whatever it was, followers must hear of it
            pause = cache.fail(lease, error, (yield from now()).steady)
            if isinstance(error, NetworkException) and error.retry_after is None:
                raise copied(error, pause) from error.__cause__
            raise
        return cache.settle(lease, fetched, (yield from now()).steady)
    finally:
        cache.abandon(lease)  # only a leader that was cancelled still holds it here


def _refresh(cache: Cache[T], lease: Lease, fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]]) -> Flow[None]:
    try:
        yield from _lead(cache, lease, fetch)
    except Exception:  # told by fail(), as an event and to followers; nobody waits for a background flow
        pass


def _stand_by(cache: Cache[Any], key: Hashable, later: Later, steady: float) -> Flow[None]:
    try:
        outcome = yield from wait(later.gate, later.at - steady + 0.005)  # timers may fire a moment early
    finally:
        cache.leave(key, later)
    steady = (yield from now()).steady
    if outcome is IMPATIENT and steady < later.at:  # the driver may not block here
        raise RefreshDenied(later.at - steady)


def _gate() -> Future[None]:
    gate: Future[None] = Future()
    gate.set_running_or_notify_cancel()
    return gate


def _open(future: Future[Any] | None, result: object) -> None:
    if future is not None and not future.done():
        future.set_result(result)


def after_fork() -> None:
    """Make every cache of this process usable in a forked child; the drivers register it."""
    for cache in list(_caches):
        cache.after_fork()


__all__ = ["Cache", "CacheInfo", "RefreshDenied", "after_fork", "cached", "cached_soon"]
