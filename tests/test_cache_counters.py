"""The counters and the clearing of caches, as programs of earlier versions use them."""

from __future__ import annotations

import asyncio
import types
from typing import Any

import pytest
import trio

from py_identity_model import CacheCounters, JwksRequest, aio, sync
from py_identity_model.testing import EmbeddedProvider

CLEARING = ("clear_discovery_cache", "clear_jwks_cache")


def fetch(door: types.ModuleType, provider: EmbeddedProvider) -> None:
    """Get the key set of *provider* through one API."""
    answer = door.get_jwks(JwksRequest(address=provider.url("jwks")), provider.transport)
    answer = asyncio.run(answer) if door is aio else answer
    assert answer.is_successful


@pytest.mark.parametrize("door", [sync, aio], ids=["sync", "aio"])
def test_counters_are_live(door: Any) -> None:
    """Counters that were taken once count on, a snapshot stays, and a reset begins anew without emptying a cache."""
    provider, counters = EmbeddedProvider(), door.get_cache_counters()
    assert isinstance(counters, CacheCounters)
    counters.reset()
    assert set(counters.snapshot().values()) == {0}
    fetch(door, provider)
    before = counters.snapshot()
    fetch(door, provider)
    assert before == {"disco_hits": 0, "disco_misses": 0, "jwks_hits": 0, "jwks_misses": 1, "jwks_refreshes": 0}
    assert (counters.jwks_hits, counters.jwks_misses) == (1, 1)
    assert door.get_cache_counters() is counters
    held = door._discovery._get_jwks_response.cache_info()
    counters.reset()
    assert counters.jwks_misses == 0
    assert door._discovery._get_jwks_response.cache_info() == held


def test_counters_start_anew_with_their_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches that were replaced after a reset are counted from their own zero."""
    sync.get_cache_counters().reset()
    fetch(sync, EmbeddedProvider())
    sync.get_cache_counters().reset()
    sync._validation.default_stores.cache_clear()
    assert sync.get_cache_counters().jwks_misses == 0
    fetch(sync, EmbeddedProvider())
    assert sync.get_cache_counters().jwks_misses == 1


def test_counters_of_ones_own() -> None:
    """Counters can be made and reset by a program, for its own tests."""
    counters = CacheCounters(1, 2, 3, 4, 5)
    assert list(counters.snapshot().values()) == [1, 2, 3, 4, 5]
    counters.reset()
    assert counters == CacheCounters()


@pytest.mark.parametrize("name", CLEARING)
def test_clearing_may_be_awaited(name: str) -> None:
    """Clearing a cache happens at once: with await, without, as a task, and as a whole program, with no warning."""
    clear = getattr(aio, name)

    async def main() -> list[Any]:
        clear()
        return [await clear(), *await asyncio.gather(clear(), asyncio.create_task(clear()))]

    assert asyncio.run(main()) == [None, None, None]
    assert asyncio.run(clear()) is None
    trio.run(clear)
    assert getattr(sync, name)() is None


def test_clearing_empties_without_await() -> None:
    """The plain call has emptied the cache when it returns."""
    fetch(aio, EmbeddedProvider())
    assert aio._discovery._get_jwks_response.cache_info().currsize
    aio.clear_jwks_cache()
    assert not aio._discovery._get_jwks_response.cache_info().currsize


def test_an_error_thrown_into_a_cleared_cache_comes_out() -> None:
    """What is returned behaves as a coroutine that is over: an error thrown in is raised, closing does nothing."""
    done: Any = aio.clear_jwks_cache()
    done.close()
    with pytest.raises(KeyError):
        done.throw(KeyError())
    with pytest.raises(StopIteration):
        done.send(None)
