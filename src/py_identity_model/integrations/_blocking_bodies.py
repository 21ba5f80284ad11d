"""Bodies of answers that are handed on piece by piece where there is no event loop.

Nothing wakes what waits for an API there, so a stream of events is read in a thread of its own: while it is silent the
session is looked after, and the page gets a comment, by which the server sees that it has gone away.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol

import anyio
import anyio.to_thread
import httpx2

from .._core.web_login.proxy import is_event_stream
from ..exceptions import TransportException
from . import _web_proxy

#: A line that every reader of events leaves out (HTML 9.2.6), and where one may stand: after a whole event.
_COMMENT, _ENDS = b":\n\n", (b"\n\n", b"\r\n\r\n", b"\r\r")


class Body(Protocol):
    """The body of an answer, to be iterated once and closed in any case."""

    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Whole(tuple[bytes, ...]):
    """A body that is there."""

    __slots__ = ()

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


class Streamed:
    """The body of an API's answer; it ends with an error soon after its session has ended.

    Args:
        response: The answer, which has been begun.
        alive: Tells whether the session is still there.
    """

    def __init__(self, response: httpx2.Response, alive: Callable[[], bool]) -> None:
        self._response, self._alive = response, alive
        self._events: _Ahead | None = None
        if is_event_stream(response.headers.items()):
            timeouts = response.request.extensions.get("timeout", {})
            timeouts["read"] = None  # events come when they come
            self._events = _Ahead(response.iter_raw())

    def __iter__(self) -> Iterator[bytes]:
        looked = monotonic()
        try:
            for piece in self._pieces() if self._events is None else self._events_of(self._events):
                if monotonic() - looked >= _web_proxy.LOOK_EVERY:
                    if not self._alive():
                        raise TransportException("The session of the stream has ended", code="connection_lost")
                    looked = monotonic()
                if piece:
                    yield piece
        finally:
            self.close()

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_raw()
        except (httpx2.TransportError, httpx2.StreamError):
            # An error, so that the server does not end the answer as if it were whole.
            raise TransportException("The API went away before its answer was whole", code="connection_lost") from None

    def _events_of(self, events: _Ahead) -> Iterator[bytes]:
        at_rest = True
        while True:
            try:
                piece = events.take(_web_proxy.LOOK_EVERY)
            except Empty:
                yield _COMMENT if at_rest else b""
                continue
            if piece is None:
                return
            at_rest = piece.endswith(_ENDS)
            yield piece

    def close(self) -> None:
        """Give the connection back, and wake what waits for it."""
        if self._events is not None:
            self._events.stop()
            _shut(self._response)
        with suppress(httpx2.TransportError):
            self._response.close()

    def __del__(self) -> None:  # a server that answers HEAD, or whose client has gone, may never begin
        self.close()


def _shut(response: httpx2.Response) -> None:
    """End the connection of a response, also for a thread that waits for more of it: closing would not wake it."""
    stream = response.extensions.get("network_stream")
    found = None if stream is None or response.is_closed else stream.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.shutdown(socket.SHUT_RDWR)


class _Ahead:
    """Reads one piece at a time in a thread of its own, so that waiting for it can be given up."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._asked = pieces, False
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._got: SimpleQueue[bytes | TransportException | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def take(self, seconds: float) -> bytes | None:
        """Return the next piece; None at the end.

        Raises:
            Empty: There is none in the time.
            TransportException: The API went away.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="events of an API", daemon=True)
            self._thread.start()
        if not self._asked:
            self._wanted.put(True)
            self._asked = True
        got = self._got.get(timeout=seconds)
        self._asked = False
        if isinstance(got, TransportException):
            raise got
        return got

    def stop(self) -> None:
        """Have the thread end."""
        self._wanted.put(False)

    def _read(self) -> None:
        try:
            while self._wanted.get():
                self._got.put(next(self._pieces, None))
        except Exception:  # whatever it is, nobody but this thread would see it
            self._got.put(TransportException("The API went away in the middle of its events", code="connection_lost"))


class Awaited:
    """A body for a server with an event loop: each piece is waited for in a thread.

    Args:
        body: The body.
    """

    def __init__(self, body: Body) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces, own = iter(self._body), anyio.CapacityLimiter(1)  # others wait for their APIs at the same time
        try:
            while True:
                piece = await anyio.to_thread.run_sync(next, pieces, None, abandon_on_cancel=True, limiter=own)
                if piece is None:
                    return
                yield piece
        finally:
            self._body.close()

    def close(self) -> None:
        """Give the connection back."""
        self._body.close()


__all__ = ["Awaited", "Body", "Streamed", "Whole"]
