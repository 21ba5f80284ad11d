"""A load generator with little to do of its own: it sends what it is given, and looks for the end of each answer."""

from __future__ import annotations

import selectors
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter

#: Seconds that the last answers may take.
PATIENCE = 10.0


@dataclass
class Answers:
    """What came back: how many of which status, seconds that each good one took, seconds in all."""

    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0


class Connection:
    """One connection that is kept, with one request under way."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.port, self.requests = port, requests
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read, self.began = b"", 0.0

    def ask(self) -> None:
        """Send the next request."""
        self.read, self.began = b"", perf_counter()
        self.socket.sendall(next(self.requests))

    def take(self) -> int:
        """Take what has come; return the status once the answer is whole, else 0.

        Raises:
            ConnectionError: The server hung up.
        """
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the server hung up")
        self.read += part
        return int(self.read[9:12]) if is_whole(self.read) else 0


def is_whole(answer: bytes) -> bool:
    """Tell whether an answer has come to its end."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    _, length, rest = head.lower().partition(b"\r\ncontent-length:")
    if length:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n") or head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304"))


def hammer(port: int, requests: Sequence[bytes], seconds: float, connections: int) -> Answers:
    """Send requests over and over, one at a time on each connection."""
    answers, order = Answers(), cycle(requests)
    with selectors.DefaultSelector() as selector:
        begun = perf_counter()
        for _ in range(connections):
            _open(selector, port, order)
        end = begun + seconds
        while selector.get_map() and perf_counter() < end + PATIENCE:
            for key, _ in selector.select(1.0):
                _served(selector, key.data, answers, end)
        answers.seconds = perf_counter() - begun
        for key in list(selector.get_map().values()):
            key.data.socket.close()
            answers.statuses[0] += 1
    return answers


def _open(selector: selectors.BaseSelector, port: int, order: Iterator[bytes]) -> None:
    connection = Connection(port, order)
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    connection.ask()


def _served(selector: selectors.BaseSelector, connection: Connection, answers: Answers, end: float) -> None:
    try:
        status = connection.take()
    except OSError:
        selector.unregister(connection.socket)
        connection.socket.close()
        answers.statuses[0] += 1
        if perf_counter() < end:
            _open(selector, connection.port, connection.requests)
        return
    if not status:
        return
    now = perf_counter()
    answers.statuses[status] += 1
    if status == 200:
        answers.times.append(now - connection.began)
    if b"connection: close" in connection.read.partition(b"\r\n\r\n")[0].lower() or now >= end:
        selector.unregister(connection.socket)
        connection.socket.close()
        if now < end:
            _open(selector, connection.port, connection.requests)
    else:
        connection.ask()
