"""A clock that stands still until a test moves it, for everything in this library that asks for the time."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace, TracebackType
from typing import Any, Self

from .._core.base.flow import Clock
from ..exceptions import ConfigurationException

_DRIVERS = ("sync._driver", "aio._driver")
_VALIDATORS = ("sync._validation", "aio._validation", "_token_validator")
_MAKERS = ("_dpop", "_jar")


class FrozenClock:
    """The time for validators, gates, clients and sessions of this process, for the length of a ``with`` block.

    It is a function that returns seconds since 1970, as providers and stores take as their ``clock``.

    >>> from py_identity_model import TokenExpiredException, TokenValidator
    >>> from py_identity_model.testing import EmbeddedProvider, FrozenClock
    >>> with FrozenClock() as clock:
    ...     provider = EmbeddedProvider("https://id.test", clock=clock, algorithms=["ES256"])
    ...     validator = TokenValidator(provider.issuer, audience=provider.audience, http_client=provider.transport)
    ...     token = provider.mint(expires_in=60)
    ...     _ = validator.validate(token)
    ...     clock.advance(61)
    ...     try:
    ...         _ = validator.validate(token)
    ...     except TokenExpiredException as error:
    ...         print(error.code)
    token_expired
    """

    def __init__(self, now: float | None = None) -> None:
        """Begin at a time.

        Args:
            now: Seconds since 1970; by default the real time, in whole seconds.
        """
        self._lock = threading.Lock()
        self._wall, self._steady = (float(int(time.time())) if now is None else float(now)), time.monotonic()
        self._before: list[tuple[Any, str, Any]] = []

    def __call__(self) -> float:
        return self._wall

    @property
    def now(self) -> float:
        """The time in seconds since 1970."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass; a negative number turns the clock back, as operators do, and leaves durations alone.

        Args:
            seconds: How much.
        """
        with self._lock:
            self._wall += seconds
            self._steady += max(0.0, seconds)

    def set(self, now: float) -> None:
        """Make it another time.

        Args:
            now: Seconds since 1970.
        """
        self.advance(now - self._wall)

    def __enter__(self) -> Self:
        if self._before:
            raise ConfigurationException("This clock is in use already", code="clock_in_use")
        for module, name, value in self._places():
            self._before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._before:
            setattr(*self._before.pop())

    def _places(self) -> Iterator[tuple[Any, str, Any]]:
        # Where the library reads its clocks: a test of its own holds that there are no others.
        async def pause(seconds: float) -> None:
            self.advance(seconds)

        for name in _DRIVERS:
            yield _module(name), "read_clock", self._both
            yield _module(name), "pause", pause if name.startswith("aio") else self.advance
        for name in _VALIDATORS:
            yield _module(name), "time", self
            yield _module(name), "monotonic", self._monotonic
        for name in _MAKERS:
            yield _module(name), "time", SimpleNamespace(time=self, monotonic=self._monotonic)

    def _both(self) -> Clock:
        return Clock(self._wall, self._steady)

    def _monotonic(self) -> float:
        return self._steady


def _module(name: str) -> Any:
    return importlib.import_module(f"py_identity_model.{name}")


__all__ = ["FrozenClock"]
