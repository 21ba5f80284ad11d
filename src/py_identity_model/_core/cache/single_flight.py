"""One cache for both APIs. It decides; it never waits, never fetches and reads no clock.

Use it through three names::

    entry = cache.peek(key, steady)                    # warm path: lock-free; None means: take the next line
    entry = yield from cached(cache, key, fetch)       # an entry that may be used now, fetched at most once
    entry = yield from cached(cache, key, fetch, newer_than=entry.version)    # a forced refresh, rationed

``fetch`` takes the previous :class:`Entry` (or None) and is a flow of :class:`Fetched`; it raises where there is
nothing good to keep, and whatever it raises leaves the last good entry in place. With the previous entry's ``etag`` it
can ask ``If-None-Match`` and renew ``previous.value`` on 304; after a failure the entry comes without its ``etag``.

* One fetch per key at a time (a *lease*); everybody else follows it. A leader that is cancelled hands over, a dead one
  loses the lease when it expires, which is later than any fetch ends.
* From 80 % of its freshness on an entry is refreshed in the background by the first who asks. After its freshness it is
  used on while it is refreshed (``stale_while_revalidate``), and for longer while refreshing fails
  (``stale_if_error``). Nobody waits for a refresh that is failing or slow; past ``stale_while_revalidate``, with no
  failure of late on record, callers give the refresh :data:`GRACE` seconds before they use the stale entry.
* After a failure the next attempt is held back, doubling, with jitter, or as long as the provider's ``Retry-After``
  asks; until then callers get the stale entry, or a copy of the last error, at once. What a caller did wrong itself,
  such as a closed client, is neither shared nor remembered: the next caller leads.
* Forced refreshes (an unknown ``kid``, a bad signature) draw from a bucket of :data:`BURST` that refills by one per
  cooldown; failures count, first fills do not. When it is empty, up to ``max_waiters`` callers wait up to ``patience``
  seconds for the next one; everybody else gets :class:`RefreshDenied` or :class:`RefreshCrowded` at once. Where waiting
  blocks a thread (``bounds_followers``), no more may wait for a forced refresh under way either, except for a moment
  while such refreshes are rare. A set fetched before a token came says little about the token's key: where
  ``entry.started_at`` is not later than its arrival, a second forced refresh is due.
* Entries make room for others in this order: those nobody has vouched for, then those not used of late.

Events: ``cache_refresh_failed`` (each failure), ``cache_stale_served`` (once per outage), ``cache_recovered``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from ...exceptions import NetworkException, PyIdentityModelException
from ...observability import emit
from ..base.budget import within_budget
from ..base.flow import IMPATIENT, Flow, background, now, wait
from .answers import Follow, Later, Lead, RefreshDenied, Refuse, Use
from .cache import Cache
from .entry import COOLDOWN, Entry, Fetched, Lease, copied, is_callers_own

T = TypeVar("T")

#: Seconds a caller waits for the next permitted forced refresh.
PATIENCE: Final = 2.0


def cached(
    cache: Cache[T],
    key: Hashable,
    fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]],
    *,
    newer_than: int | None = None,
    cooldown: float = COOLDOWN,
    patience: float = PATIENCE,
    counted: bool = True,
    vouched: bool = True,
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
        counted: Whether a caller that waits takes one of the places; not where the application bounds the number.
        vouched: Whether this use keeps the entry from making room for others; not where a forger may be asking.

    Raises:
        RefreshDenied: The forced refresh is not permitted soon enough; ``retry_after`` says when it is.
        NetworkException: The fetch failed, or failed a moment ago; ``retry_after`` says when to ask again.
    """
    steady = (yield from now()).steady
    until, lost = steady + patience, None
    while True:
        answer = cache.claim(
            key, steady, newer_than=newer_than, cooldown=cooldown, until=until, lost=lost, counted=counted
        )
        lost, entry = None, None
        match answer:
            case Use():
                entry = yield from _use(cache, answer, fetch)
            case Lead(lease):
                entry = yield from _lead(cache, lease, fetch)
            case Refuse():
                try:
                    raise answer.error
                finally:
                    del answer  # or error, traceback and frame would keep each other alive
            case Follow():
                entry, lost = yield from _follow(cache, key, answer, steady)
            case Later():
                yield from _stand_by(cache, key, answer, steady)
        if entry is not None:
            if vouched and isinstance(answer, Use):
                cache.vouch(key)
            return entry
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


def _follow(
    cache: Cache[T], key: Hashable, follow: Follow, steady: float
) -> Flow[tuple[Entry[T] | None, Lease | None]]:
    """Wait for the fetch of another caller. Returns the entry, or the lease if it is lost; neither means: ask again."""
    lease = follow.lease
    try:
        outcome = yield from wait(lease.future, follow.until - steady)
    finally:
        cache.leave(key, follow.place)
    if isinstance(outcome, Entry):
        return outcome, None
    if isinstance(outcome, PyIdentityModelException):
        raise copied(outcome)
    if outcome is not IMPATIENT:  # the leader went away
        return None, None
    steady = (yield from now()).steady
    # The driver may not block here, or the leader is dead: stop following this lease.
    return None, lease if follow.until >= lease.expires or steady < follow.until else None


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
            fetched = yield from within_budget(fetch(lease.previous), lease.started, cache.fetch_for)
        except Exception as error:  # whatever it was, followers must hear of it
            if is_callers_own(error):
                raise  # what the provider did is shared, what this caller did wrong is not: the next one may lead
            pause = cache.fail(lease, error, (yield from now()).steady)
            if isinstance(error, NetworkException) and error.retry_after is None:
                raise copied(error, pause) from error.__cause__
            raise
        return cache.settle(lease, fetched, (yield from now()).steady)
    finally:
        cache.abandon(lease)  # only a leader that was cancelled, or is to blame itself, still holds it here


def _refresh(cache: Cache[T], lease: Lease, fetch: Callable[[Entry[T] | None], Flow[Fetched[T]]]) -> Flow[None]:
    try:
        yield from _lead(cache, lease, fetch)
    except Exception as error:  # as an event, by fail() or here; nobody waits for a background flow
        if is_callers_own(error):
            emit("background_failed", error=getattr(error, "code", type(error).__name__))


def _stand_by(cache: Cache[Any], key: Hashable, later: Later, steady: float) -> Flow[None]:
    try:
        outcome = yield from wait(later.gate, later.at - steady + 0.005)  # timers may fire a moment early
    finally:
        cache.leave(key, later.place)
    steady = (yield from now()).steady
    if outcome is IMPATIENT and steady < later.at:  # the driver may not block here
        raise RefreshDenied(later.at - steady)


__all__ = ["PATIENCE", "cached", "cached_soon"]
