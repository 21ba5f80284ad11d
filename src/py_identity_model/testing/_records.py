"""What the embedded provider saw, and the faults that it is told to play."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from .._core.base.flow import Request
from ._faults import Fault

#: Requests that are remembered; counters go on.
MEMORY = 10_000


@dataclass(frozen=True, slots=True)
class Received:
    """One request the provider saw, with the name of the endpoint it was for."""

    endpoint: str
    request: Request


@dataclass(slots=True)
class Playing:
    """A fault being played: how often it is still to strike (None: until it is stopped), how often it did."""

    fault: Fault
    left: int | None = None
    hits: int = 0


class RequestLog:
    """The last requests, and how many came to each endpoint.

    Args:
        memory: Requests that are remembered.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._lock = threading.Lock()
        self._received: deque[Received] = deque(maxlen=memory)
        self._counts: Counter[str] = Counter()

    def add(self, endpoint: str, request: Request) -> None:
        """Remember one more request."""
        with self._lock:
            self._received.append(Received(endpoint, request))
            self._counts[endpoint] += 1

    def all(self) -> tuple[Received, ...]:
        """Return the requests that are remembered, the oldest first."""
        with self._lock:
            return tuple(self._received)

    def count(self, endpoint: str | None) -> int:
        """Return how many came to one endpoint, or altogether."""
        with self._lock:
            return self._counts.total() if endpoint is None else self._counts[endpoint]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._received.clear()
            self._counts.clear()


class FaultsAtPlay:
    """The faults that are played now, in the order they were started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._playing: list[Playing] = []

    def start(self, playing: Playing) -> None:
        """Play one more."""
        with self._lock:
            # What has struck for the last time is only remembered by who started it.
            going_on = [each for each in self._playing if each.left is None or each.left > 0]
            self._playing = [*going_on, playing]

    def all(self) -> tuple[Playing, ...]:
        """Return those that are not over."""
        with self._lock:
            return tuple(each for each in self._playing if each.left is None or each.left > 0)

    def stop(self, playing: Playing) -> None:
        """Stop one."""
        with self._lock:
            self._playing = [each for each in self._playing if each is not playing]

    def clear(self) -> None:
        """Stop all."""
        with self._lock:
            self._playing = []

    def striking(self, endpoint: str) -> list[Fault]:
        """Return the faults that strike at a request to *endpoint*, and count the blows."""
        with self._lock:
            striking = [each for each in self._playing if each.fault.on is None or endpoint in each.fault.on]
            striking = [each for each in striking if each.left is None or each.left > 0]
            for each in striking:
                each.hits += 1
                each.left = None if each.left is None else each.left - 1
            return [each.fault for each in striking]


__all__ = ["MEMORY", "FaultsAtPlay", "Playing", "Received", "RequestLog"]
