"""Requests of a browser and the answers to them, as values: what the door of each framework translates from and to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

import msgspec

from ..._arguments import explains_arguments
from ..._refusals import must_be
from ..base.flow import media_type_of

#: Octets of a form at most, and its fields.
MAX_FORM = 128 * 1024
MAX_FIELDS = 64
_FORM = "application/x-www-form-urlencoded"

#: The method of a request that opens a WebSocket, whatever it is in HTTP.
WEBSOCKET = "WEBSOCKET"

#: Header fields, in order; names may stand several times.
Headers = tuple[tuple[str, str], ...]

#: What is said of every answer that is made for one user (RFC 9111 5.2.2.5).
NOT_KEPT: Headers = (("cache-control", "no-store"), ("pragma", "no-cache"))


@dataclass(frozen=True, slots=True, repr=False)
class WebRequest:
    """One request of a browser.

    Attributes:
        method: The method, in capitals; :data:`WEBSOCKET` for the opening of one.
        path: The path below the point where the application is mounted, decoded: ``/login``.
        query: The query as it came, without the question mark.
        headers: Names and values; names in any case.
        body: The body; needed for POST requests to the login's own routes, and for forms that are checked here.
        fields: The fields of a form, where the framework has read the body; None for those in *body*.
    """

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] | None = None

    def __post_init__(self) -> None:
        for name, kind in _KINDS:
            if not isinstance(getattr(self, name), kind):
                raise must_be(name, kind.__name__, type(getattr(self, name)).__name__, code="argument_invalid")
        for name, pairs in (("headers", self.headers), ("fields", self.fields or ())):
            if not all(isinstance(pair, tuple) and len(pair) == 2 and _are_texts(*pair) for pair in pairs):
                raise must_be(name, "pairs of text", code="argument_invalid")

    def __repr__(self) -> str:  # query, headers and body carry secrets
        return f"WebRequest({self.method} {self.path})"

    def values(self, name: str) -> list[str]:
        """Return every value of the header *name*, which is in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str | None:
        """Return the one value of the header *name*; None if there is none, or several."""
        found = self.values(name)
        return found[0] if len(found) == 1 else None

    @property
    def is_safe(self) -> bool:
        """Whether the method changes nothing (RFC 9110 9.2.1)."""
        return self.method in ("GET", "HEAD", "OPTIONS", "TRACE")

    @property
    def shows_page(self) -> bool:
        """Whether a browser shows the answer as a page; else a program reads it."""
        if self.header("x-requested-with") is not None:
            return False
        mode = self.header("sec-fetch-mode")
        if mode is not None:
            return mode == "navigate"
        return any("text/html" in value.lower() for value in self.values("accept"))

    @property
    def is_navigation(self) -> bool:
        """Whether the browser can be sent elsewhere and back, and nothing is lost."""
        return self.method in ("GET", "HEAD") and self.shows_page

    @property
    def is_framed(self) -> bool:
        """Whether the browser shows the answer in a frame."""
        return self.header("sec-fetch-dest") in ("iframe", "frame")

    def cookies(self) -> list[tuple[str, str]]:
        """Return names and values of the cookies (RFC 6265 4.2), in order."""
        pairs = (pair.strip().partition("=") for value in self.values("cookie") for pair in value.split(";"))
        return [(name, value.strip('"')) for name, _, value in pairs if name]

    def cookie(self, name: str) -> str | None:
        """Return the value of the one cookie *name*; None if there is none, or several."""
        found = [value for key, value in self.cookies() if key == name]
        return found[0] if len(found) == 1 else None

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the query; one that stands twice is none."""
        return _single(self.query)

    def form(self) -> dict[str, str]:
        """Return the fields of a form; none for another body, one that is too long, or cannot be read."""
        if self.fields is not None:
            return _once(self.fields)
        if media_type_of(self.header("content-type")) != _FORM or len(self.body) > MAX_FORM:
            return {}
        return _single(self.body.decode("latin-1"))


_KINDS = (("method", str), ("path", str), ("query", str), ("headers", tuple), ("body", bytes))


def _are_texts(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, str)


def _single(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:  # too many, or no UTF-8
        return {}
    return _once(pairs)


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    pairs = list(pairs)
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


@dataclass(frozen=True, slots=True, repr=False)
class WebAnswer:
    """One answer to a browser.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case, and values; ``set-cookie`` may stand several times.
        body: The body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:  # headers carry cookies
        return f"WebAnswer({self.status})"

    @property
    def location(self) -> str | None:
        """Where the browser is sent; None if it is not."""
        return next((value for name, value in self.headers if name == "location"), None)

    @explains_arguments
    def adding(self, headers: Iterable[tuple[str, str]]) -> WebAnswer:
        """Return the answer with more headers."""
        return replace(self, headers=(*self.headers, *headers))


def redirect(url: str, headers: Iterable[tuple[str, str]] = ()) -> WebAnswer:
    """Send the browser to *url*, to fetch it with GET (RFC 9110 15.4.4).

    The address it comes from may hold a code or a state, so that it is not told (RFC 9700 4.2.4).
    """
    own = (("location", url), ("referrer-policy", "no-referrer"))
    return WebAnswer(303, (*own, *NOT_KEPT, *headers))


def json_answer(status: int, value: object, headers: Iterable[tuple[str, str]] = ()) -> WebAnswer:
    """Return an answer for programs."""
    own = (("content-type", "application/json"), ("x-content-type-options", "nosniff"))
    return WebAnswer(status, (*own, *NOT_KEPT, *headers), msgspec.json.encode(value))


__all__ = [
    "MAX_FIELDS",
    "MAX_FORM",
    "NOT_KEPT",
    "WEBSOCKET",
    "Headers",
    "WebAnswer",
    "WebRequest",
    "json_answer",
    "redirect",
]
