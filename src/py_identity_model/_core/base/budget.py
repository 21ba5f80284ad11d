"""One budget of time for a whole operation, however many requests, pauses and waits it is made of."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from ...exceptions import TransportException
from .flow import IMPATIENT, Clock, Effect, ExchangeTimeout, Flow, Now, Send, Sleep, Wait, performed
from .transport import failure

T = TypeVar("T")

#: How many times the timeout of one exchange an operation may take in all.
FACTOR: Final = 2.0


def within_budget(flow: Flow[T], began: float, seconds: float | None = None) -> Flow[T]:
    """Perform *flow* so that it ends in time.

    Exchanges and waits get what is left at most. Whatever comes when nothing is left, or would outlast it, fails like
    an exchange that ran into its timeout, and *flow* decides what becomes of that.

    Args:
        flow: The operation.
        began: When it began, on the steady clock.
        seconds: The budget; by default twice what one exchange may take with the transport at hand.

    Raises:
        TransportException: ``timeout``, where the operation does not raise something else for it.
    """
    end = None if seconds is None else began + seconds

    def perform(effect: Effect) -> Flow[Any]:
        nonlocal end
        if not isinstance(effect, Send | Sleep | Wait):
            return (yield effect)
        if end is None:
            end = began + FACTOR * (yield ExchangeTimeout())
        return (yield from _in_time(effect, began, end))

    return (yield from performed(flow, perform))


def _in_time(effect: Send | Sleep | Wait, began: float, end: float) -> Flow[object]:
    clock: Clock = yield Now()
    left = end - clock.steady
    if left <= 0 or (isinstance(effect, Sleep) and effect.seconds >= left):
        raise _exhausted(effect, end - began)
    answer: object = yield _cut(effect, left)
    if isinstance(effect, Wait) and answer is IMPATIENT and effect.seconds > left:
        clock = yield Now()
        if clock.steady >= end:  # else the driver could not wait at all
            raise _exhausted(effect, end - began)
    return answer


def _cut(effect: Send | Sleep | Wait, left: float) -> Effect:
    match effect:
        case Send(request, seconds):
            return Send(request, left if seconds is None else min(left, seconds))
        case Wait(future, seconds):
            return Wait(future, min(left, seconds))
        case _:
            return effect


def _exhausted(effect: Send | Sleep | Wait, seconds: float) -> TransportException:
    message = f"the {seconds:g} s that the whole operation may take are over"
    if isinstance(effect, Send):
        return failure("timeout", message, effect.request, expected=f"{seconds:g} s")
    return TransportException(message[0].upper() + message[1:], code="timeout", expected=f"{seconds:g} s")


__all__ = ["FACTOR", "within_budget"]
