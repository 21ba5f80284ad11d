"""What the caches look like from outside: counters, and the two calls that published code knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._core.cache.single_flight import Cache, CacheInfo
from ._core.discovery.key_sources import Stores


@dataclass(frozen=True)
class CacheCounters:
    """How often the caches answered (hits), could not (misses), and how often a key set was replaced (refreshes)."""

    disco_hits: int = 0
    disco_misses: int = 0
    jwks_hits: int = 0
    jwks_misses: int = 0
    jwks_refreshes: int = 0


def count(stores: Stores) -> CacheCounters:
    """Read the counters of one API."""
    discovery, keys = stores.discovery.info(), stores.keys.info()
    return CacheCounters(discovery.hits, discovery.misses, keys.hits, keys.misses, stores.keys.refreshes)


class CacheView:
    """A cached call in the shape of :func:`functools.lru_cache`."""

    def __init__(self, cache: Callable[[], Cache[Any]]) -> None:
        self._cache = cache

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maxsize and currsize."""
        return self._cache().info()

    def cache_clear(self) -> None:
        """Forget everything, also what a fetch under way brings."""
        self._cache().clear()


__all__ = ["CacheCounters", "CacheView", "count"]
