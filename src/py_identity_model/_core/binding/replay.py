"""Replay memory: values that may be used once (RFC 9449 11.1, RFC 7523 3, OpenID Connect Back-Channel Logout 2.6).

The memory stands behind :class:`ReplayStore`, so that workers can share one. A store that cannot answer, or is full,
refuses: what may have been used already is never let through.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from ..._refusals import bounded, is_number
from ...exceptions import ConfigurationException, NetworkException, PyIdentityModelException
from ..base.flow import Flow, now, resolve
from ..base.fork_lock import Guard

#: Values that :class:`MemoryReplayStore` holds at most unless told otherwise.
DEFAULT_MAX_ENTRIES = 100_000


@runtime_checkable
class ReplayStore(Protocol):
    """A memory of used values. The answer may be awaitable for the async API."""

    def add(self, key: str, lifetime: float, *, now: float) -> bool | Awaitable[bool]:
        """Remember *key* and tell whether it was new, as one atomic step.

        Args:
            key: A short ASCII text, the digest of what was used.
            lifetime: Seconds for which it must be remembered.
            now: A steady clock in seconds, for stores that keep no time of their own.

        Returns:
            True if *key* was not remembered; False if it was.
        """
        ...


class MemoryReplayStore:
    """Remember used values in this process.

    Workers in other processes do not see them: give those a shared :class:`ReplayStore`.

    Args:
        max_entries: Values held at most. A store full of values that still count refuses further ones.

    Raises:
        ConfigurationException: *max_entries* is no positive integer.

    >>> store = MemoryReplayStore()
    >>> store.add("a", 60.0, now=0.0), store.add("a", 60.0, now=59.0), store.add("a", 60.0, now=61.0)
    (True, False, True)
    """

    def __init__(self, max_entries: int = DEFAULT_MAX_ENTRIES) -> None:
        self.max_entries = bounded(max_entries, "max_entries", int, 1, code="replay_store_size_invalid")
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
            NetworkException: The store is full; the ``code`` is ``replay_store_full``.
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

    def _full(self, now: float) -> NetworkException:
        # Dropping a value that still counts would let it be replayed.
        return NetworkException(
            f"The replay memory is full: {self.max_entries} values are still in use",
            code="replay_store_full",
            retry_after=max(0.0, self._queue[0][0] - now),
            hint="raise max_entries, or use a shared store",
        )


def replay_key(*parts: str) -> str:
    """Build the key under which a used value is remembered.

    Args:
        parts: The kind of value, whose it is, and the value itself.

    Returns:
        A digest of fixed length; no two lists of parts share one.

    >>> replay_key("jti", "a", "bc") == replay_key("jti", "ab", "c")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def first_use(store: ReplayStore, key: str, lifetime: float) -> Flow[bool]:
    """Remember *key* for *lifetime* seconds and tell whether this was its first use.

    Raises:
        ConfigurationException: *lifetime* is no positive finite number.
        NetworkException: The store cannot answer; the ``code`` is ``replay_store_failed`` or ``replay_store_full``.
    """
    if not lifetime or not is_number(lifetime, float):
        raise ConfigurationException("A replay lifetime must be positive and finite", code="replay_lifetime_invalid")
    clock = yield from now()
    try:
        answer = yield from resolve(store.add(key, lifetime, now=clock.steady))
    except PyIdentityModelException:
        raise
    except Exception as error:  # the store is foreign code: whatever it raises means that nobody knows
        raise NetworkException(
            f"The replay memory failed with {type(error).__name__}", code="replay_store_failed"
        ) from None
    return bool(answer)


__all__ = ["DEFAULT_MAX_ENTRIES", "MemoryReplayStore", "ReplayStore", "first_use", "replay_key"]
