"""Events: what the library notices, for logs, metrics and alarms. Nothing on the warm path makes one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from ._arguments import explains_arguments

if TYPE_CHECKING:
    import logging

#: Levels of :mod:`logging`, which is not loaded before there is something to say.
INFO: Final = 20
WARNING: Final = 30


@cache
def logger() -> logging.Logger:
    """Return the logger ``py_identity_model``."""
    import logging

    found = logging.getLogger("py_identity_model")
    found.addHandler(logging.NullHandler())
    return found


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth knowing, with a stable ``name`` and facts that never hold a token, a key or a secret."""

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: A level of :mod:`logging`.
    level: int = INFO


@runtime_checkable
class Observer(Protocol):
    """A receiver of events. It is called in the thread or task at hand and must be quick."""

    def __call__(self, event: Event, /) -> None:
        """Take note of *event*."""


_observers: tuple[Observer, ...] = ()
_lock = threading.Lock()


@explains_arguments
def add_observer(observer: Observer) -> None:
    """Send every later event to *observer* too.

    >>> seen = []
    >>> add_observer(seen.append)
    >>> emit("keys_refreshed", issuer="https://id.example.com")
    >>> seen[0].name
    'keys_refreshed'
    >>> remove_observer(seen.append)
    """
    global _observers
    with _lock:
        _observers = (*_observers, observer)


@explains_arguments
def remove_observer(observer: Observer) -> None:
    """Stop sending events to *observer*."""
    global _observers
    with _lock:
        _observers = tuple(o for o in _observers if o != observer)


def emit(name: str, level: int = INFO, **facts: object) -> None:
    """Tell all observers, and the logger ``py_identity_model``. A failing observer is logged and harms nobody."""
    event = Event(name, facts, level)
    if logger().isEnabledFor(level):
        logger().log(level, "%s %s", name, " ".join(f"{k}={v!r}" for k, v in facts.items()))
    for observer in _observers:
        try:
            observer(event)
        except Exception as error:  # an observer is foreign code: whatever it raises must not fail a validation
            logger().error("observer failed on %s: %s", name, type(error).__name__)


__all__ = ["Event", "Observer", "add_observer", "emit", "remove_observer"]
