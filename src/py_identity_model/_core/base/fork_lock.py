"""A lock that survives a fork: the child has no thread that could ever release what was held in the parent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakSet


class Guard:
    """A lock for ``with``, and to be tried; a forked child gets it anew.

    Args:
        renewed: Called in the child then: it forgets what belonged to threads that are not there any more.
    """

    __slots__ = ("__weakref__", "_lock", "_renewed")

    def __init__(self, renewed: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._renewed = renewed
        _guards.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def tried(self) -> bool:
        """Take it if nobody has it; ``release`` gives it back."""
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        """Give back what was tried and taken."""
        self._lock.release()

    def renew(self) -> None:
        """Make it free, even if another thread held it."""
        self._lock = threading.Lock()
        if self._renewed is not None:
            self._renewed()


_guards: WeakSet[Guard] = WeakSet()
_others: list[Callable[[], None]] = []


def on_fork(callback: Callable[[], None]) -> None:
    """Call *callback* in a forked child too, once for the module that has more than guards to renew."""
    _others.append(callback)


def after_fork() -> None:
    """Free every lock in a forked child; the drivers register it."""
    for callback in _others:
        callback()
    for guard in list(_guards):
        guard.renew()


__all__ = ["Guard", "after_fork", "on_fork"]
