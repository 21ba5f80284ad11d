"""A loopback HTTP server on raw sockets that misbehaves on request: the path says how."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

OK = b'{"ok": true}'
#: Seconds between two drips: many of them fit into the deadlines of the tests.
DRIP = 0.02


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    peer_certificate: dict[str, Any] | None = field(default=None, repr=False)

    def header(self, name: str) -> list[str]:
        """Return every value of a header field."""
        return [value for key, value in self.headers if key.lower() == name]


def head(status: str, *fields: str) -> bytes:
    """Return the head of a reply."""
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin-1")


def whole(body: bytes = OK, status: str = "200 OK", *fields: str) -> bytes:
    """Return a complete reply."""
    return head(status, "Content-Type: application/json", f"Content-Length: {len(body)}", *fields) + body


@lru_cache
def bomb() -> bytes:
    """Return 32 KiB that inflate to 32 MiB."""
    return gzip.compress(bytes(32 * 1024 * 1024))


class FaultServer:
    """Serves until closed.

    Args:
        context: The server's TLS context; None for plain HTTP.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[Seen] = []
        #: Connections accepted, and those among them that are over.
        self.opened = 0
        self.closed = 0
        #: Body bytes that were handed to the network.
        self.sent = 0
        self._start(self._accept)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the URL of a behaviour."""
        return f"{'https' if self._context else 'http'}://{host}:{self.port}/{path}"

    def wait_until(self, condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Wait for a condition to come true, a few milliseconds at a time."""
        pause = threading.Event()
        for _ in range(int(seconds / 0.005)):
            if condition():
                return True
            pause.wait(0.005)
        return condition()

    def close(self) -> None:
        """End every connection and thread."""
        self._stop.set()
        for each in (self._listener, *self._connections):
            with suppress(OSError):  # it is over already
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.opened += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._connections.add(connection)
            connection.settimeout(0.05)
            while (seen := self._read(connection)) is not None:
                self.requests.append(seen)
                for piece in self._answer(seen, connection):
                    connection.settimeout(5)
                    connection.sendall(piece)
                    self.sent += len(piece)
                    connection.settimeout(0.05)
        except OSError:
            pass  # the client went away, which is what most tests make it do
        finally:
            self._connections.discard(connection)
            connection.close()
            self.closed += 1

    def _read(self, connection: socket.socket) -> Seen | None:
        data = self._until(connection, b"", lambda got: b"\r\n\r\n" in got)
        if data is None:
            return None
        top, _, body = data.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = self._until(connection, body, lambda got: len(got) >= length) or b""
        method, target, _ = first.split(" ")
        peer = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        return Seen(method, target, headers, body, peer)

    def _until(self, connection: socket.socket, data: bytes, enough: Callable[[bytes], bool]) -> bytes | None:
        while not enough(data):
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                if self._stop.is_set():
                    return None
                continue
            if not piece:
                return None
            data += piece
        return data

    def _answer(self, seen: Seen, connection: socket.socket) -> Iterator[bytes]:
        parts = urlsplit(seen.target)
        name, _, argument = parts.path.strip("/").partition("/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        behaviour: Callable[..., Iterator[bytes]] = getattr(self, f"_play_{name.replace('-', '_')}")
        return behaviour(seen, connection, argument, query)

    def _drip(self, data: bytes) -> Iterator[bytes]:
        for byte in data:
            if self._stop.wait(DRIP):
                return
            yield bytes([byte])

    def _play_ok(self, *_: Any) -> Iterator[bytes]:
        yield whole()

    def _play_echo(self, seen: Seen, *_: Any) -> Iterator[bytes]:
        yield whole(json.dumps({"method": seen.method, "target": seen.target, "body": seen.body.decode()}).encode())

    def _play_cookie(self, *_: Any) -> Iterator[bytes]:
        yield whole(OK, "200 OK", "Set-Cookie: session=stolen; Path=/")

    def _play_delay(self, *_: Any) -> Iterator[bytes]:
        self._stop.wait(10)
        yield whole()

    def _play_drip(self, *_: Any) -> Iterator[bytes]:
        yield head("200 OK", "Content-Length: 5000")
        yield from self._drip(b"x" * 5000)

    def _play_drip_head(self, *_: Any) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX-Long: "
        yield from self._drip(b"x" * 5000)

    def _play_status(self, _: Seen, __: socket.socket, status: str, query: dict[str, str]) -> Iterator[bytes]:
        fields = [f"Retry-After: {query['after']}"] if "after" in query else []
        yield whole(b"{}", f"{status} Status", *fields)

    def _play_truncated(self, _: Seen, connection: socket.socket, *__: Any) -> Iterator[bytes]:
        yield head("200 OK", "Content-Length: 100") + b'{"a": '
        connection.shutdown(socket.SHUT_RDWR)

    def _play_reset(self, _: Seen, connection: socket.socket, *__: Any) -> Iterator[bytes]:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        yield from ()

    def _play_garbage(self, _: Seen, connection: socket.socket, *__: Any) -> Iterator[bytes]:
        yield b"220 smtp.example.com ESMTP\r\n\r\n"
        connection.shutdown(socket.SHUT_RDWR)

    def _play_huge(self, *_: Any) -> Iterator[bytes]:
        yield head("200 OK", f"Content-Length: {64 * 1024 * 1024}")
        yield from (bytes(65536) for _ in range(1024))

    def _play_endless(self, *_: Any) -> Iterator[bytes]:
        yield head("200 OK", "Transfer-Encoding: chunked")
        while not self._stop.is_set():
            yield b"10000\r\n" + bytes(65536) + b"\r\n"

    def _play_unsized(self, *_: Any) -> Iterator[bytes]:
        yield head("200 OK", "Connection: close")
        while not self._stop.is_set():
            yield bytes(65536)

    def _play_boastful(self, *_: Any) -> Iterator[bytes]:
        yield head("200 OK", "Content-Length: 999999999999999999") + OK

    def _play_modest(self, *_: Any) -> Iterator[bytes]:
        yield head("200 OK", "Content-Length: 4", "Connection: close") + OK

    def _play_bomb(self, *_: Any) -> Iterator[bytes]:
        yield whole(bomb(), "200 OK", "Content-Encoding: gzip")

    def _play_identity(self, *_: Any) -> Iterator[bytes]:
        yield whole(OK, "200 OK", "Content-Encoding: identity")

    def _play_redirect(self, _: Seen, __: socket.socket, left: str, query: dict[str, str]) -> Iterator[bytes]:
        target = query.get("to") or (f"/redirect/{int(left) - 1}" if int(left) > 1 else "/ok")
        yield whole(b"", f"{query.get('status', '302')} Moved", f"Location: {target}")


__all__ = ["DRIP", "OK", "FaultServer", "Seen"]
