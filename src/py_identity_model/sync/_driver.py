"""The blocking driver: it performs what a flow asks for, in this thread."""

from __future__ import annotations

import atexit
import functools
import inspect
import threading
import time
from collections.abc import Callable
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
from .._offload import of_loaded
from ..observability import emit

if TYPE_CHECKING:
    from ._clients import Transport

T = TypeVar("T")


def read_clock() -> Clock:
    """Read the system's clocks. Tests put a frozen clock in its place."""
    return Clock(time.time(), time.monotonic())


def pause(seconds: float) -> None:
    """Let *seconds* pass. Tests put a clock in its place that only moves its hands."""
    if seconds > 0:  # threads take turns by themselves, and the system sleeps 60 microseconds for a 0
        time.sleep(seconds)


def run(flow: Flow[T], http_client: Transport | None = None) -> T:
    """Perform what *flow* asks for until it returns.

    Args:
        flow: The operation.
        http_client: The transport: None for the calling thread's own client, an :class:`HTTPClient`, a ``Client`` of
            httpx2 or httpx, or a function from ``Request`` to ``Reply``.

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
                step, given = flow.send, _perform(effect, exchange, http_client)
            except Exception as error:  # whatever it is, the flow decides what becomes of it
                step, given = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
        given = None  # an exception here would refer to itself through this frame


def _sender(http_client: Transport | None) -> Callable[[Request], Reply]:
    from ._clients import exchange_of  # not at the top: where nothing is sent, nothing of it is needed

    return exchange_of(http_client)


def _by_own_client(request: Request) -> Reply:
    return _sender(None)(request)


def _perform(effect: Effect, exchange: Callable[[Request], Reply], http_client: Transport | None) -> Any:
    match effect:
        case Send(request, seconds):
            if request.certificate is not None:
                check_certificate(request.certificate)
            from .._deadline import within

            with within(seconds), observed(request) as answered:
                return answered(exchange(request))
        case Now():
            return read_clock()
        case Sleep(seconds):
            return pause(seconds)
        case Wait(future, seconds):
            if not _runs_a_loop():  # else the leader may be a task of that very loop: waiting would keep it from ending
                from concurrent.futures import wait

                wait([future], seconds)
            return transport.outcome(future)
        case Background(start):
            return in_background(start, http_client)
        case ExchangeTimeout():
            return seconds_of(http_client)
        case Await(value):
            if inspect.isawaitable(value):
                raise transport.unawaited(value)
            return value
        case Call(function):
            return function()


def _runs_a_loop() -> bool:
    # Looked up, not imported: what is not loaded does not run.
    running = of_loaded("asyncio.events", "_get_running_loop")
    if running is not None and running() is not None:
        return True
    in_trio_run = of_loaded("trio.lowlevel", "in_trio_run")
    return in_trio_run is not None and bool(in_trio_run())


# ---------------------------------------------------------------------------------------------------------------------
# In the background, at fork, at exit

#: Longest wait for background work when the interpreter exits.
_EXIT_PATIENCE = 1.0

_background: set[threading.Thread] = set()


def in_background(start: Callable[[], Flow[Any]], http_client: Transport | None) -> None:
    """Run a flow beside its caller, who does not wait; an error becomes an event."""
    _wait_at_exit()
    thread = threading.Thread(target=_work, args=(start, http_client), name="py-identity-model", daemon=True)
    _background.add(thread)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is shutting down, or the system is out of threads
        _background.discard(thread)
        transport.abandon(start())


def _work(start: Callable[[], Flow[Any]], http_client: Transport | None) -> None:
    try:
        run(start(), http_client)
    except Exception as error:  # nobody is there to catch it: it becomes an event
        emit("background_failed", error=getattr(error, "code", type(error).__name__))
    finally:
        from ._clients import close_http_client

        close_http_client()
        _background.discard(threading.current_thread())


@functools.cache
def _wait_at_exit() -> None:
    from . import _clients  # noqa: F401 # it registers that its clients are closed, which has to come after the wait

    atexit.register(_take_leave)


def _take_leave() -> None:
    """Wait a little for background work."""
    end = time.monotonic() + _EXIT_PATIENCE
    for thread in list(_background):
        thread.join(max(0.0, end - time.monotonic()))


register_after_fork(_background.clear)


__all__ = ["in_background", "run"]
