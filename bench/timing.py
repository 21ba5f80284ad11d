"""Candidates take turns, a block of calls at a time, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter_ns
from typing import Any

#: Calls before each block that do not count: the next candidate finds the processor's caches full of it.
WARM_UP = 5


@dataclass(frozen=True)
class Call:
    """What is timed: a function with its arguments; a coroutine function is awaited on a running loop."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()

    @property
    def awaited(self) -> bool:
        """Whether the call is awaited."""
        return inspect.iscoroutinefunction(self.function)

    def once(self, loop: asyncio.AbstractEventLoop) -> Any:
        """Return what the call returns."""
        result = self.function(*self.args)
        return loop.run_until_complete(result) if self.awaited else result


@dataclass(frozen=True)
class Timing:
    """Microseconds per call: the fastest block, and the median block."""

    low: float
    mid: float
    blocks: tuple[float, ...] = ()

    @classmethod
    def of(cls, blocks: Sequence[float]) -> Timing:
        """Sum up the microseconds per call of all blocks."""
        return cls(min(blocks), statistics.median(blocks), tuple(blocks))


def take_turns(
    calls: Mapping[str, Call], *, seconds: float, block: float = 0.001, loop: asyncio.AbstractEventLoop | None = None
) -> dict[str, Timing]:
    """Time each call for about *seconds*, in blocks of about *block* seconds, one candidate after the other.

    The order is turned by one place each round, so that nobody always follows the same neighbour.
    """
    own = asyncio.new_event_loop() if loop is None else loop
    try:
        sizes = {name: _block_size(call, block, own) for name, call in calls.items()}
        blocks: dict[str, list[float]] = {name: [] for name in calls}
        names = list(calls)
        gc.collect()
        gc.disable()
        for turn in range(max(int(seconds / block), 5)):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                blocks[name].append(_time(calls[name], sizes[name], own))
        return {name: Timing.of(times) for name, times in blocks.items()}
    finally:
        gc.enable()
        if loop is None:
            own.close()


def _block_size(call: Call, block: float, loop: asyncio.AbstractEventLoop) -> int:
    _time(call, 3, loop)
    return max(int(block * 1e6 / _time(call, 5, loop)), 3)


def _time(call: Call, size: int, loop: asyncio.AbstractEventLoop) -> float:
    """Return microseconds per call."""
    if call.awaited:
        return loop.run_until_complete(_time_awaited(call.function, call.args, size))
    function, args = call.function, call.args
    for _ in repeat(None, WARM_UP):
        function(*args)
    start = perf_counter_ns()
    for _ in repeat(None, size):
        function(*args)
    return (perf_counter_ns() - start) / size / 1000


async def _time_awaited(function: Callable[..., Any], args: tuple[Any, ...], size: int) -> float:
    for _ in repeat(None, WARM_UP):
        await function(*args)
    start = perf_counter_ns()
    for _ in repeat(None, size):
        await function(*args)
    return (perf_counter_ns() - start) / size / 1000
