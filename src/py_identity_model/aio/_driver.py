"""The awaiting driver, for asyncio and trio: it performs what a flow asks for, in this task."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.base import transport
from .._core.base.exchange_observers import observed
from .._core.base.flow import (
    Await,
    Background,
    Call,
    Clock,
    Effect,
    ExchangeTimeout,
    Flow,
    Now,
    Reply,
    Request,
    Send,
    Sleep,
    Wait,
)
from .._fork import register_after_fork
from .._http_client import check_certificate, seconds_of
from .._offload import in_worker
from ..observability import emit
from ._loop import call_into_loop, running_loop, running_trio

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ._clients import Transport

T = TypeVar("T")


def read_clock() -> Clock:
    """Read the system's clocks. Tests put a frozen clock in its place."""
    return Clock(time.time(), time.monotonic())


async def pause(seconds: float) -> None:
    """Let *seconds* pass. Tests put a clock in its place that only moves its hands."""
    import anyio

    await anyio.sleep(seconds)


async def run(flow: Flow[T], http_client: Transport | None = None) -> T:
    """Perform what *flow* asks for until it returns.

    Args:
        flow: The operation.
        http_client: The transport: None for the running loop's own client, an :class:`HTTPClient`, an ``AsyncClient``
            of httpx2 or httpx, or a function from ``Request`` to ``Reply``, which may be a coroutine function.

    Raises:
        ConfigurationException: *http_client* is of another kind.
    """
    step: Callable[[Any], Effect] = flow.send
    given: Any = None
    try:
        exchange = _by_own_client if http_client is None else _sender(http_client)
        while True:
            effect = step(given)
            try:
                step, given = flow.send, await _perform(effect, exchange, http_client)
            except Exception as error:  # whatever it is, the flow decides what becomes of it
                step, given = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
        given = None  # an exception here would refer to itself through this frame


def _sender(http_client: Transport | None) -> Callable[[Request], Awaitable[Reply]]:
    from ._clients import exchange_of  # not at the top: where nothing is sent, nothing of it is needed

    return exchange_of(http_client)


async def _by_own_client(request: Request) -> Reply:
    return await _sender(None)(request)


async def _perform(
    effect: Effect, exchange: Callable[[Request], Awaitable[Reply]], http_client: Transport | None
) -> Any:
    match effect:
        case Send(request, seconds):
            if request.certificate is not None:
                check_certificate(request.certificate)
            with observed(request) as answered:
                sent = exchange(request) if seconds is None else _sent_within(seconds, request, exchange)
                return answered(await sent)
        case Now():
            return read_clock()
        case Sleep(seconds):
            return await pause(seconds)
        case Wait(future, seconds):
            return await _wait(future, seconds)
        case Background(start):
            return in_background(start, http_client)
        case ExchangeTimeout():
            return seconds_of(http_client)
        case Await(value):
            return await value if inspect.isawaitable(value) else value
        case Call(function):
            return await in_worker(function)


async def _sent_within(seconds: float, request: Request, exchange: Callable[[Request], Awaitable[Reply]]) -> Reply:
    import anyio

    with anyio.move_on_after(seconds):
        return await exchange(request)
    raise transport.deadline_passed(request, seconds)


async def _wait(future: Future[Any], seconds: float) -> Any:
    # Not asyncio.wrap_future: a cancelled waiter would cancel the future that others wait for.
    import anyio

    resolved, tell = anyio.Event(), call_into_loop()

    def wake(_: object) -> None:
        try:
            tell(resolved.set)
        except RuntimeError:  # that loop is over, and with it the wait
            pass

    future.add_done_callback(wake)
    with anyio.move_on_after(seconds):
        await resolved.wait()
    return transport.outcome(future)


# ---------------------------------------------------------------------------------------------------------------------
# In the background

#: Work under way. A loop keeps only weak references to its tasks.
_background: set[_Work] = set()
register_after_fork(_background.clear)


class _Work:
    """A flow that runs on its own: the caller that asked for it may be cancelled or gone long before it ends."""

    def __init__(self, start: Callable[[], Flow[Any]], http_client: Transport | None) -> None:
        self._start = start
        self._http_client = http_client
        self._begun = False
        self.task: object = None

    async def run(self) -> None:
        """Perform the flow; an error becomes an event, as nobody is there to catch it."""
        self._begun = True
        try:
            await run(self._start(), self._http_client)
        except Exception as error:  # whatever it is, it must not end the loop
            emit("background_failed", error=getattr(error, "code", type(error).__name__))
        finally:
            _background.discard(self)

    def end(self, _: object = None) -> None:
        """Hand over what was not even begun, as happens when a loop ends right away."""
        _background.discard(self)
        if not self._begun:
            transport.abandon(self._start())


def in_background(start: Callable[[], Flow[Any]], http_client: Transport | None) -> None:
    """Run a flow beside its caller, who does not wait; an error becomes an event."""
    work = _Work(start, http_client)
    _background.add(work)
    trio = running_trio()
    if trio:  # a system task begins in any case, and is cancelled when the run ends
        work.task = trio.lowlevel.spawn_system_task(work.run)
        return
    work.task = task = running_loop().create_task(work.run())
    task.add_done_callback(work.end)


__all__ = ["in_background", "run"]
