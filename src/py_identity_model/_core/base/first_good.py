"""Several flows at the same time: the first that returns something counts, and none waits for another.

Each runs here until it waits for what another caller does. What would make all others wait, such as an exchange, is
done in the background, with the rest of its flow: it goes on there to its end, whether or not it is still waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ...exceptions import NetworkException
from .flow import IMPATIENT, Await, Background, Call, Effect, Flow, Send, Sleep, Wait, now, sleep, wait
from .transport import outcome

T = TypeVar("T")

#: Seconds between two looks where the driver cannot wait, as the blocking one cannot in a thread that runs a loop.
LOOK_EVERY: Final = 0.02


class Attempt(NamedTuple, Generic[T]):
    """A flow, and until when it is waited for on the steady clock; *late* is its error then."""

    flow: Flow[T]
    end: float
    late: Exception


class First(NamedTuple, Generic[T]):
    """What the first flow returned; or None, and what each of them raised."""

    value: T | None
    errors: tuple[Exception, ...] = ()


def first_good(attempts: Iterable[Attempt[T]]) -> Flow[First[T]]:
    """Perform flows at the same time until the first of them returns, or all have raised.

    Args:
        attempts: The flows, each with its own end. None of them returns None. Those that are not needed any more are
            closed, unless they go on in the background.
    """
    runners = [_Runner(attempt) for attempt in attempts]
    try:
        for runner in runners:
            yield from runner.begin()
            if runner.value is not None:
                return First(runner.value)
        while waiting := [runner for runner in runners if runner.future is not None]:
            yield from _one_is_due(waiting)
            for runner in waiting:
                yield from runner.go_on((yield from now()).steady)
                if runner.value is not None:
                    return First(runner.value)
        return First(None, tuple(runner.error for runner in runners if runner.error is not None))
    finally:
        for runner in runners:
            runner.leave()


def _one_is_due(waiting: list[_Runner[Any]]) -> Flow[None]:
    """Wait until one of these can go on, or is out of time."""
    steady = (yield from now()).steady
    left = min(runner.due for runner in waiting) - steady
    if left <= 0:
        return
    gate: Future[None] = Future()
    gate.set_running_or_notify_cancel()
    for runner in waiting:
        assert runner.future is not None
        runner.future.add_done_callback(lambda _: _open(gate))
    if (yield from wait(gate, left)) is not IMPATIENT or (yield from now()).steady >= steady + left:
        return
    for runner in waiting:  # the driver cannot wait here, which each flow has its own answer to
        runner.due = steady if runner.flow is not None else runner.due
    if all(runner.flow is None for runner in waiting):
        yield from sleep(LOOK_EVERY)


def _open(gate: Future[None]) -> None:
    try:
        gate.set_result(None)
    except InvalidStateError:  # another was faster
        pass


class _Runner(Generic[T]):
    """One of the flows: what it waits for, or how it ended."""

    def __init__(self, attempt: Attempt[T]) -> None:
        #: None where it is done, or goes on in the background.
        self.flow: Flow[T] | None = attempt.flow
        self.value: T | None = None
        self.error: Exception | None = None
        #: What it waits for, and until when on the steady clock.
        self.future: Future[Any] | None = None
        self.due = attempt.end
        self._end = attempt.end
        self._late = attempt.late

    def begin(self) -> Flow[None]:
        """Run until it has to wait."""
        assert self.flow is not None
        yield from self._run(self.flow, self.flow.send, None)

    def go_on(self, steady: float) -> Flow[None]:
        """Go on, if what it waited for is there, or will not be waited for any longer."""
        future, flow = self.future, self.flow
        if future is None or not (future.done() or steady >= self.due):
            return
        if flow is not None and (future.done() or steady < self._end):
            self.future = None
            yield from self._awaited(flow, future)
        elif flow is None and future.done():
            self.future = None
            self.value, self.error = future.result()
        else:
            self.future, self.error = None, self._late

    def leave(self) -> None:
        """Close it, unless it goes on in the background."""
        if self.flow is not None:
            self.flow.close()

    def _awaited(self, flow: Flow[T], future: Future[Any]) -> Flow[None]:
        try:
            given = outcome(future)
        except Exception as error:  # the one the future holds, for the flow to decide about
            yield from self._run(flow, flow.throw, error)
        else:
            yield from self._run(flow, flow.send, given)

    def _run(self, flow: Flow[T], step: Callable[[Any], Effect], given: Any) -> Flow[None]:
        try:
            while True:
                effect = step(given)
                if isinstance(effect, Wait):
                    self.future = effect.future
                    self.due = min(self._end, (yield from now()).steady + effect.seconds)
                    return
                if isinstance(effect, Send | Sleep | Call | Await):
                    yield from self._set_aside(flow, effect)
                    return
                step, given = yield from _performed(flow, effect)
        except StopIteration as done:
            self.flow, self.value = None, done.value
        except Exception as error:  # whatever it is, the caller learns of it beside those of the others
            self.flow, self.error = None, error
        finally:
            given = None  # an exception here would refer to itself through this frame

    def _set_aside(self, flow: Flow[T], effect: Effect) -> Flow[None]:
        """Have the rest of the flow done in the background."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self.flow, self.future, self.due = None, future, self._end
        try:
            yield Background(lambda: _told(flow, effect, future))
        except Exception:  # there is no background to be had, for whatever reason
            self.future = None
            flow.close()
            raise


def _performed(flow: Flow[Any], effect: Effect) -> Flow[tuple[Callable[[Any], Effect], Any]]:
    """Perform *effect*; return how its flow goes on."""
    try:
        return flow.send, (yield effect)
    except Exception as error:  # whatever it is, the flow decides what becomes of it
        return flow.throw, error


def _told(flow: Flow[Any], effect: Effect, future: Future[Any]) -> Flow[None]:
    """Perform the rest of *flow*, which wants *effect* next, and tell *future* how it ended."""
    ended: tuple[Any, Exception | None] = None, NetworkException("The fetch was given up", code="fetch_failed")
    try:
        while True:
            step, given = yield from _performed(flow, effect)
            effect = step(given)
    except StopIteration as done:
        ended = done.value, None
    except Exception as error:  # whatever it is, who waits must hear of it
        ended = None, error
    finally:
        flow.close()
        given = None  # an exception here would refer to itself through this frame
        future.set_result(ended)


__all__ = ["Attempt", "First", "first_good"]
