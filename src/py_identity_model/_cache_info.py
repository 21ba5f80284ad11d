"""What the caches look like from outside: counters, and the two calls that published code knows."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._core.cache.cache import Cache, CacheInfo
    from ._core.discovery.trust import Stores


@dataclass
class CacheCounters:
    """How often the caches answered (hits), could not (misses), and how often a key set was replaced (refreshes).

    >>> CacheCounters(jwks_hits=2).snapshot()["jwks_hits"]
    2
    """

    disco_hits: int = 0
    disco_misses: int = 0
    jwks_hits: int = 0
    jwks_misses: int = 0
    jwks_refreshes: int = 0

    def snapshot(self) -> dict[str, int]:
        """Return the counts of this moment by name, in a dict that does not change any more."""
        return asdict(self)

    def reset(self) -> None:
        """Count from zero again. What the caches hold stays, and so does what ``cache_info()`` says."""
        for name in _NAMES:
            setattr(self, name, 0)


_NAMES = tuple(field.name for field in fields(CacheCounters))


class LiveCounters(CacheCounters):
    """The counters of one API: each look at them shows the counts of that moment.

    Args:
        stores: Returns the caches of the API.
    """

    def __init__(self, stores: Callable[[], Stores]) -> None:
        self._stores = stores
        #: The caches at the last reset, and their counts then.
        self._since: tuple[Stores, dict[str, int]] | None = None

    def __getattribute__(self, name: str) -> Any:
        return self.snapshot()[name] if name in _NAMES else super().__getattribute__(name)

    def snapshot(self) -> dict[str, int]:
        """Return the counts of this moment by name, in a dict that does not change any more."""
        stores, since = self._stores(), self._since
        counts = _counts(stores)
        if since is None or since[0] is not stores:
            return counts
        return {name: count - since[1][name] for name, count in counts.items()}

    def reset(self) -> None:
        """Count from zero again. What the caches hold stays, and so does what ``cache_info()`` says."""
        stores = self._stores()
        self._since = stores, _counts(stores)


def _counts(stores: Stores) -> dict[str, int]:
    discovery, keys = stores.discovery.info(), stores.keys.info()
    counts = discovery.hits, discovery.misses, keys.hits, keys.misses, stores.keys.refreshes
    return dict(zip(_NAMES, counts, strict=True))


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


class Cleared(Coroutine[Any, Any, None]):
    """What clearing a cache returns where it could be awaited in earlier versions: nothing is left to wait for."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()

    def send(self, value: Any, /) -> Any:
        """End at once."""
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Any:
        """Raise what is thrown in."""
        raise kind if value is None else value

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


__all__ = ["CacheCounters", "CacheView", "Cleared", "LiveCounters"]
