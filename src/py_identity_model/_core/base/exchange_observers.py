"""Who is told of each HTTP exchange, when it begins and when it ends: for traces and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from ...observability import logger
from .flow import Reply, Request
from .fork_lock import Guard

#: Hears how an exchange ended: with a reply, or with an error.
Ended: TypeAlias = Callable[[Reply | None, BaseException | None], None]
#: Hears that an exchange begins, in the thread or task at hand, and returns who hears of its end, if anybody.
ExchangeObserver: TypeAlias = Callable[[Request], Ended | None]

_observers: tuple[ExchangeObserver, ...] = ()
_lock = Guard()


def add_exchange_observer(observer: ExchangeObserver) -> None:
    """Tell *observer* of every later exchange."""
    global _observers
    with _lock:
        _observers = (*_observers, observer)


def remove_exchange_observer(observer: ExchangeObserver) -> None:
    """Stop telling *observer*."""
    global _observers
    with _lock:
        _observers = tuple(one for one in _observers if one != observer)


@contextmanager
def observed(request: Request) -> Iterator[Callable[[Reply], Reply]]:
    """Tell the observers of an exchange, whose reply is handed to what this yields. One that fails harms nobody."""
    ends = [end for observer in _observers if (end := _begun(observer, request)) is not None]
    replies: list[Reply] = []

    def answered(reply: Reply) -> Reply:
        replies.append(reply)
        return reply

    try:
        yield answered
    except BaseException as error:
        _tell(ends, None, error)
        raise
    _tell(ends, replies[0] if replies else None, None)


def _begun(observer: ExchangeObserver, request: Request) -> Ended | None:
    try:
        return observer(request)
    except Exception as error:  # an observer is foreign code: whatever it raises must not fail a fetch
        logger().error("exchange observer failed: %s", type(error).__name__)
        return None


def _tell(ends: list[Ended], reply: Reply | None, error: BaseException | None) -> None:
    for end in reversed(ends):
        try:
            end(reply, error)
        except Exception as failure:  # as above
            logger().error("exchange observer failed: %s", type(failure).__name__)


__all__ = ["Ended", "ExchangeObserver", "add_exchange_observer", "observed", "remove_exchange_observer"]
