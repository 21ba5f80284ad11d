"""One deadline over connect, TLS, headers and body of a blocking exchange.

Blocking clients know a timeout per operation only, so that a server which drips bytes can hold a caller for hours.
Two documented extensions of httpcore close the gap: ``timeout``, asked before each phase, and ``trace``, which hands
out each new connection.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from ipaddress import ip_address
from math import inf
from typing import Any

from ._peers import PeerCheck
from .exceptions import TransportException

_deadline: ContextVar[float | None] = ContextVar("py_identity_model_deadline", default=None)


class DeadlinePassed(TimeoutError):
    """The time of the exchange at hand is over."""


@contextmanager
def within(seconds: float | None) -> Iterator[float]:
    """Let everything inside end within *seconds*, or earlier if a deadline around it says so; lends what is left."""
    now, around = time.monotonic(), _deadline.get()
    ends = [end for end in (None if seconds is None else now + seconds, around) if end is not None]
    token = _deadline.set(min(ends, default=None))
    try:
        yield min(ends, default=inf) - now
    finally:
        _deadline.reset(token)


def remaining(timeout: float | None = None) -> float | None:
    """Return how long the next operation may take: *timeout*, or less if the deadline comes before.

    Raises:
        DeadlinePassed: There is no time left.
    """
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise DeadlinePassed
    return rest if timeout is None else min(rest, timeout)


def raise_if_passed() -> None:
    """Raise :class:`DeadlinePassed` if there is no time left."""
    remaining()


class Timeouts(dict[str, float | None]):
    """The ``timeout`` extension, whose answers shrink as the deadline comes nearer.

    Args:
        own: The client's own timeouts, which apply too.
        host: The host to be connected to, if its addresses are to share the time.
    """

    def __init__(self, own: Mapping[str, float | None], host: str | None = None) -> None:
        super().__init__(own)
        self._host = host

    def get(self, phase: str, default: Any = None) -> float | None:
        """Return the timeout of *phase* as of now."""
        rest = remaining(super().get(phase, default))
        if phase != "connect" or rest is None or self._host is None or not _needs_look_up(self._host):
            return rest
        # Addresses are tried one after another, each with the whole timeout.
        return (remaining(rest) or rest) / max(1, len(look_up(self._host, rest)))


def _needs_look_up(host: str) -> bool:
    from urllib.request import getproxies  # not at the top: it loads ssl

    if host == "localhost" or getproxies():  # behind a proxy the name may mean nothing here
        return False
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return True
    return False


def look_up(host: str, seconds: float | None) -> list[Any]:
    """Return what ``getaddrinfo`` knows of *host*.

    The system's look-up knows no timeout, so it gets a thread that can be left.

    Raises:
        DeadlinePassed: It took longer than *seconds*.
        OSError: The name leads nowhere.
    """
    found: list[list[Any] | OSError] = []

    def ask() -> None:
        try:
            found.append(list(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)))
        except OSError as error:
            found.append(error)
        except UnicodeError:  # no name at all: the client says so in its own way
            found.append([])

    thread = threading.Thread(target=ask, name="py-identity-model-dns", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is shutting down, or the system is out of threads
        return []
    thread.join(seconds)
    if not found:
        raise DeadlinePassed
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def tracer(opened: Callable[[Any], None], check: PeerCheck) -> Callable[[str, dict[str, Any]], None]:
    """Return the ``trace`` extension that holds each new connection to the deadline; *opened* is told its socket.

    *check* looks at where it leads, before and after it was made.
    """

    def trace(event: str, info: dict[str, Any]) -> None:
        _check_peer(event, info, check)
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info.get("return_value")
            if stream is not None:
                _bind(stream)
                if (sock := stream.get_extra_info("socket")) is not None:
                    opened(sock)

    return trace


def _check_peer(event: str, info: dict[str, Any], check: PeerCheck) -> None:
    name = check.name_to_resolve(event, info)
    if name is not None:
        with suppress(OSError):  # the attempt to connect fails for the same reason, and says so
            check.check_addresses(entry[4] for entry in look_up(name, remaining()))
    stream = check.new_connection(event, info)
    if stream is not None:
        try:
            check.check_connection(stream)
        except TransportException:
            stream.close()
            raise


def _bind(stream: Any) -> None:
    read = stream.read

    def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = read(max_bytes, timeout=remaining(timeout))
        return data

    stream.read = bounded


__all__ = ["DeadlinePassed", "Timeouts", "look_up", "raise_if_passed", "remaining", "tracer", "within"]
