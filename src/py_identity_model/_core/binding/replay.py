"""Replay memory: values that may be used once (RFC 9449 11.1, RFC 7523 3, OpenID Connect Back-Channel Logout 2.6).

Workers share a store; without one, each process has a memory of its own. Whichever cannot answer, or is full, refuses:
what may have been used already is never let through.
"""

from __future__ import annotations

import heapq
import math

from ..._refusals import bounded
from ...exceptions import ConfigurationException, StoreException
from ..base.flow import Flow, now
from ..base.fork_lock import Guard
from ..base.store import AnyStore, ask

#: The topic of used values.
TOPIC = "replay"
#: Values that :class:`UsedValues` holds at most unless told otherwise.
DEFAULT_MAX_ENTRIES = 100_000
#: Seconds by which the clocks of an application's servers, that of its store included, may differ.
CLOCKS = 5.0


class UsedValues:
    """What was used, in this process: other processes, and this one after a restart, know nothing of it.

    Args:
        max_entries: Values held at most. A store full of values that still count refuses further ones.

    Raises:
        ConfigurationException: *max_entries* is no positive integer.

    >>> store = UsedValues()
    >>> store.add("a", 60.0, now=0.0), store.add("a", 60.0, now=59.0), store.add("a", 60.0, now=61.0)
    (True, False, True)
    """

    def __init__(self, max_entries: int = DEFAULT_MAX_ENTRIES) -> None:
        self.max_entries = bounded(max_entries, "max_entries", int, 1, code="store_size_invalid")
        self._lock = Guard()
        self._expiries: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._expiries)

    def add(self, key: str, lifetime: float, *, now: float) -> bool:
        """Remember *key* for *lifetime* seconds and tell whether it was new.

        Args:
            key: The digest of what was used.
            lifetime: Seconds for which it is remembered.
            now: A steady clock in seconds.

        Returns:
            True if *key* was not remembered; False if it was.

        Raises:
            StoreException: It is full; the ``code`` is ``store_full``.
        """
        expiry = now + lifetime
        with self._lock:
            self._forget(now)
            if key in self._expiries:
                return False
            if len(self._expiries) >= self.max_entries:
                raise self._full(now)
            self._expiries[key] = expiry
            heapq.heappush(self._queue, (expiry, key))
            return True

    def _forget(self, now: float) -> None:
        while self._queue and self._queue[0][0] <= now:
            del self._expiries[heapq.heappop(self._queue)[1]]

    def _full(self, now: float) -> StoreException:
        # Dropping a value that still counts would let it be replayed.
        return StoreException(
            f"The replay memory is full: {self.max_entries} values are still in use",
            code="store_full",
            retry_after=max(0.0, self._queue[0][0] - now),
            hint="raise max_entries, or use a shared store",
        )


def first_use(used: AnyStore | UsedValues, key: str, lifetime: float, made_at: float | None = None) -> Flow[bool]:
    """Remember *key* for *lifetime* seconds and tell whether this was its first use.

    Args:
        used: A store, or the memory of this process.
        key: What :func:`~py_identity_model._core.base.store.digest_of` makes.
        lifetime: Seconds for which it is remembered.
        made_at: When at the earliest it could have been used, in seconds since 1970: a store whose memory began after
            that refuses.

    Raises:
        ConfigurationException: *lifetime* is no positive finite number.
        StoreException: The store cannot answer.
    """
    if not 0 < lifetime < math.inf:
        raise ConfigurationException("A replay lifetime must be positive and finite", code="replay_lifetime_invalid")
    if isinstance(used, UsedValues):
        clock = yield from now()
        return used.add(key, lifetime, now=clock.steady)
    return bool((yield from ask(used, lambda store: store.add(TOPIC, key, b"", lifetime, made_at=made_at))))


__all__ = ["CLOCKS", "DEFAULT_MAX_ENTRIES", "TOPIC", "UsedValues", "first_use"]
