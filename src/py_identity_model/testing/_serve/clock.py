"""A clock that a test can set: offset from the real time, or frozen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: The last second of the year 9999, beyond which dates cannot be written.
LAST_SECOND = 253_402_300_799.0


class SettableClock:
    """The time of one issuer. Any thread may use it.

    Args:
        real: Returns the real time in seconds since 1970.

    >>> clock = SettableClock(lambda: 100.0)
    >>> clock.set(now=5000.0, frozen=True)
    >>> clock.advance(60)
    >>> clock.now(), clock.frozen
    (5060.0, True)
    """

    def __init__(self, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self._lock = threading.Lock()
        self._still: float | None = None
        self._offset = 0.0

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        with self._lock:
            return self._now()

    def _now(self) -> float:
        return self._still if self._still is not None else min(LAST_SECOND, max(0.0, self._real() + self._offset))

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._still is not None

    @property
    def offset(self) -> float:
        """Seconds it is ahead of the real time."""
        return self.now() - self._real()

    def set(self, now: float | None = None, frozen: bool | None = None) -> None:
        """Set the time, stop the clock or let it run."""
        with self._lock:
            at = self._now() if now is None else now
            stands = (self._still is not None) if frozen is None else frozen
            self._still, self._offset = (at if stands else None), at - self._real()

    def advance(self, seconds: float) -> None:
        """Move the time, backwards too."""
        with self._lock:
            at = min(LAST_SECOND, max(0.0, self._now() + seconds))
            self._still, self._offset = (None if self._still is None else at), at - self._real()

    def reset(self) -> None:
        """Show the real time again."""
        with self._lock:
            self._still, self._offset = None, 0.0


__all__ = ["LAST_SECOND", "SettableClock"]
