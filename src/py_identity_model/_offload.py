"""Where work for the processor goes: over how many threads, and away from an event loop."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ._core.validation.batch import Threads

T = TypeVar("T")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def threads(wanted: int | None = None) -> Threads:
    """Return how many threads a batch is worth, *wanted* if that is said.

    Where they share a GIL one more than cores, and none beside the calling one for signatures that take little.
    """
    from ._core.validation.batch import Threads  # whoever validates one by one has no batch

    shared = getattr(sys, "_is_gil_enabled", lambda: True)()
    if wanted is None:
        wanted = cores() + 1 if shared and cores() > 1 else cores()
    return Threads(wanted, 1 if shared else wanted)


def of_loaded(module: str, name: str) -> Any:
    """Return what a module has under a name; None if it is not loaded, or another thread is loading it right now."""
    return getattr(sys.modules.get(module), name, None)


async def in_worker(function: Callable[[], T]) -> T:
    """Call *function* in a worker thread of the event loop; a cancellation is heard when it has returned."""
    from anyio import to_thread

    return await to_thread.run_sync(function)


class Source:
    """What comes out of an iterable or an asynchronous one, a few at a time."""

    def __init__(self, values: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._waiting = aiter(values) if isinstance(values, AsyncIterable) else None
        self._ready: Iterator[Any] = iter(()) if isinstance(values, AsyncIterable) else iter(values)

    async def take(self, count: int) -> list[Any]:
        """Return the next *count* values, fewer at the end."""
        if self._waiting is None:
            return list(islice(self._ready, count))
        taken: list[Any] = []
        while len(taken) < count:
            try:
                taken.append(await anext(self._waiting))
            except StopAsyncIteration:
                break
        return taken


__all__ = ["Source", "cores", "in_worker", "threads"]
