"""What a served issuer was asked and what it answered, within bounds of number and size."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..._core.base.flow import Reply, Request, media_type_of

#: Exchanges that one issuer remembers, bytes of all of them, and of one body.
MOST, MOST_BYTES, MOST_BODY = 500, 2 * 1024 * 1024, 64 * 1024
#: Seconds that a request for exchanges may wait.
LONGEST_WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; *broken* says that no usable answer left."""

    number: int
    at: float
    endpoint: str
    request: Request
    reply: Reply
    faults: tuple[str, ...] = ()
    broken: bool = False

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address."""
        return dict(parse_qsl(urlsplit(self.request.url).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """The parameters of a form that was posted."""
        kind = media_type_of(self.header("content-type"))
        text = self.request.body.decode("utf-8", "replace") if kind == "application/x-www-form-urlencoded" else ""
        return dict(parse_qsl(text, keep_blank_values=True))

    def header(self, name: str) -> str:
        """Return a header of the request; empty if it was not sent."""
        return next((value for key, value in self.request.headers if key == name), "")

    @property
    def client_id(self) -> str | None:
        """The client that the request names, in its parameters or by HTTP Basic."""
        from .._endpoints import basic_of

        carried = dict(parse_qsl(self.form.get("request", "")))  # by the login page
        named = self.form.get("client_id") or self.query.get("client_id") or carried.get("client_id")
        basic = None if named else basic_of(self.request)
        return named or (basic[0] if basic else None)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, secrets and all: this is a test server."""
        return {
            "number": self.number,
            "at": self.at,
            "endpoint": self.endpoint,
            "method": self.request.method,
            "path": urlsplit(self.request.url).path,
            "query": self.query,
            "headers": [list(header) for header in self.request.headers],
            "form": self.form,
            "body": self.request.body.decode("utf-8", "replace"),
            "client_id": self.client_id,
            "status": None if self.broken else self.reply.status,
            "response_headers": [list(header) for header in self.reply.headers],
            "response_body": self.reply.body.decode("utf-8", "replace"),
            "faults": list(self.faults),
        }


class ExchangeLog:
    """The last exchanges of one issuer, numbered from 1. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._kept: deque[tuple[int, Exchange]] = deque()
        self._bytes = 0
        self.last = 0

    def add(self, endpoint: str, request: Request, reply: Reply, faults: tuple[str, ...], broken: bool) -> None:
        """Remember one more."""
        request = replace(request, body=request.body[:MOST_BODY])
        reply = replace(reply, body=reply.body[:MOST_BODY])
        size = _size(request.url, request.headers, request.body) + _size("", reply.headers, reply.body)
        with self._changed:
            self.last += 1
            self._kept.append((size, Exchange(self.last, self._clock(), endpoint, request, reply, faults, broken)))
            self._bytes += size
            while len(self._kept) > MOST or (self._bytes > MOST_BYTES and len(self._kept) > 1):
                self._bytes -= self._kept.popleft()[0]
            self._changed.notify_all()

    def all(self) -> list[Exchange]:
        """Return what is remembered, the oldest first."""
        with self._changed:
            return [exchange for _, exchange in self._kept]

    def await_some(self, found: Callable[[Exchange], bool], seconds: float) -> list[Exchange]:
        """Return the exchanges that are asked for, waiting until there is one or the time is over."""
        end = time.monotonic() + min(seconds, LONGEST_WAIT)
        with self._changed:
            while True:
                matching = [exchange for _, exchange in self._kept if found(exchange)]
                left = end - time.monotonic()
                if matching or left <= 0:
                    return matching
                self._changed.wait(left)

    def clear(self) -> None:
        """Forget all; the numbers go on."""
        with self._changed:
            self._kept.clear()
            self._bytes = 0


def _size(url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> int:
    return len(url) + len(body) + sum(len(name) + len(value) for name, value in headers) + 200


__all__ = ["LONGEST_WAIT", "MOST", "MOST_BODY", "MOST_BYTES", "Exchange", "ExchangeLog"]
