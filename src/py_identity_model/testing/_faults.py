"""Faults the embedded provider can play: a table of names and of what each does to an answer.

A fault is a function from :class:`Answer` to :class:`Answer`, so faults combine, and each works the same in process,
under ASGI and on a real socket.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._core.base.flow import Reply, Request
from .._core.base.transport import Intake, failure
from ..exceptions import ConfigurationException, printable
from ._keys import pooled_key

#: Bytes of a "huge" answer: above every limit of the library, small enough for a test.
HUGE = 4 * 1024 * 1024

#: Pieces in which a dripping answer is sent.
DRIPS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider does about one request: a reply, and how it travels."""

    reply: Reply
    #: Seconds before the first byte.
    delay: float = 0.0
    #: Seconds between any two of the :data:`DRIPS` pieces of the body.
    pause: float = 0.0
    #: Whether the connection breaks before anything is said.
    disconnect: bool = False
    #: Bytes of the body after which the connection breaks; None sends all of it.
    cut: int | None = None


Change = Callable[[Answer], Answer]


@dataclass(frozen=True, slots=True)
class Fault:
    """A named misbehaviour; ``on`` holds the endpoints it concerns, None meaning every one."""

    name: str
    change: Change = field(repr=False)
    on: frozenset[str] | None = None


def deliver(answer: Answer, request: Request) -> Reply:
    """Turn an answer into what an HTTP client of this library would make of it.

    Raises:
        TransportException: The connection broke, or the body is encoded or larger than the request allows.
    """
    if answer.disconnect:
        raise failure("connect_failed", "no connection could be made", request)
    if answer.cut is not None:
        raise failure("protocol_error", "the reply breaks the HTTP protocol or ends early", request)
    reply = answer.reply
    raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    Intake(request, reply.status, raw_headers).add(reply.body)
    return replace(reply, url=request.url)


def total_delay(answer: Answer) -> float:
    """Return the seconds an answer takes where it arrives in one piece."""
    return answer.delay + answer.pause * DRIPS


def body_pieces(answer: Answer) -> Iterator[bytes]:
    """Yield the body as it travels: in one piece, or dripping, and no further than to the cut."""
    body = answer.reply.body[: answer.cut]
    size = max(1, -(-len(body) // DRIPS)) if answer.pause else len(body)
    yield from (body[start : start + size] for start in range(0, len(body), size or 1))


def build_fault(name: str | int | Fault, on: frozenset[str] | None = None, **options: object) -> Fault:
    """Look a fault up by name and set its options.

    Args:
        name: A key of :data:`FAULTS`, or a fault made by hand, which is taken as it is.
        on: Endpoints to play it on instead of the fault's own.
        options: What the fault takes, for example ``seconds`` for ``slow`` or ``retry_after`` for ``503``.

    Raises:
        ConfigurationException: There is no fault of that name, or it does not take such an option.
    """
    if isinstance(name, Fault):
        return replace(name, on=on or name.on)
    row = FAULTS.get(str(name))
    if row is None:
        raise ConfigurationException(
            f"There is no fault {printable(str(name), 40)!r}", code="fault_unknown", expected=sorted(FAULTS)
        )
    try:
        row.change(_PROBE, **options)
    except TypeError:
        raise ConfigurationException(
            f"The fault {name} does not take these options", code="fault_unknown", actual=sorted(options)
        ) from None
    return Fault(str(name), functools.partial(row.change, **options), on or row.on)


def _status(status: int, retry_after: float | None = None) -> Callable[..., Answer]:
    def change(answer: Answer, *, retry_after: float | str | None = retry_after) -> Answer:
        extra = {} if retry_after is None else {"retry-after": f"{retry_after}"}
        return _said(answer, status, b'{"error":"temporarily_unavailable"}', "application/json", **extra)

    return change


def _said(answer: Answer, status: int, body: bytes, content_type: str, **headers: str) -> Answer:
    said = (("content-type", content_type), *headers.items())
    return replace(answer, reply=replace(answer.reply, status=status, headers=said, body=body))


def _body(answer: Answer, body: bytes) -> Answer:
    return replace(answer, reply=replace(answer.reply, body=body))


def _headed(answer: Answer, name: str, value: str) -> Answer:
    kept = tuple(header for header in answer.reply.headers if header[0] != name)
    return replace(answer, reply=replace(answer.reply, headers=(*kept, (name, value))))


def _outage(answer: Answer) -> Answer:
    return replace(answer, disconnect=True)


def _slow(answer: Answer, *, seconds: float = 5.0) -> Answer:
    return replace(answer, delay=answer.delay + seconds)


def _drip(answer: Answer, *, seconds: float = 10.0) -> Answer:
    return replace(answer, pause=seconds / DRIPS)


def _truncated(answer: Answer) -> Answer:
    return replace(answer, cut=len(answer.reply.body) // 2)


def _html(answer: Answer) -> Answer:
    return _said(answer, 200, b"<!doctype html><title>Sign in</title><h1>Welcome to the lobby</h1>", "text/html")


def _huge(answer: Answer, *, size: int = HUGE) -> Answer:
    return _body(answer, answer.reply.body.ljust(size))


@functools.lru_cache(maxsize=2)
def _bomb(size: int) -> bytes:
    return gzip.compress(b" " * size, compresslevel=1)


def _gzip_bomb(answer: Answer, *, size: int = 16 * 1024 * 1024) -> Answer:
    return _headed(_body(answer, _bomb(size)), "content-encoding", "gzip")


def _wrong_content_type(answer: Answer, *, content_type: str = "application/octet-stream") -> Answer:
    return _headed(answer, "content-type", content_type)


def _invalid_json(answer: Answer) -> Answer:
    return _body(answer, answer.reply.body[:-1] + b",")


def _empty_body(answer: Answer) -> Answer:
    return _body(answer, b"")


def _duplicate_members(answer: Answer) -> Answer:
    members = _members(answer)
    if not members:
        return answer
    name, value = next(iter(members.items()))
    return _body(answer, f"{{{json.dumps(name)}: {json.dumps(value)}, ".encode() + answer.reply.body[1:])


def _wrong_issuer(answer: Answer, *, issuer: str = "https://evil.example.com") -> Answer:
    return _edited(answer, issuer=issuer)


def _redirect(answer: Answer, *, to: str = "https://elsewhere.example.com/", status: int = 302) -> Answer:
    return _headed(_said(answer, status, b"", "text/plain"), "location", to)


def _empty_key_set(answer: Answer) -> Answer:
    return _edited(answer, keys=[])


def _symmetric_key(answer: Answer) -> Answer:
    return _with_keys(answer, {"kty": "oct", "kid": "hs256-1", "alg": "HS256", "k": "A" * 43})


def _private_key_members(answer: Answer) -> Answer:
    leaked = pooled_key("leaked", "ES256", 1)
    # RFC 7517 4: a set that is served should hold public keys only; this one shows what a key holds beside them.
    return _with_keys(answer, {**(leaked.public_jwk or {}), "kid": "leaked-1", "d": "A" * 43})


_UNUSABLE: tuple[dict[str, Any], ...] = (
    {"kty": "RSA", "kid": "too-short", "n": "AQAB", "e": "AQAB"},
    {"kty": "EC", "kid": "off-the-curve", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
    {"kty": "lattice", "kid": "from-the-future"},
    {"kid": "kty-missing"},
)


def _unusable_key(answer: Answer) -> Answer:
    return _with_keys(answer, *_UNUSABLE)


def _all_keys_unusable(answer: Answer) -> Answer:
    return _edited(answer, keys=list(_UNUSABLE))


def _members(answer: Answer) -> dict[str, Any]:
    try:
        members = json.loads(answer.reply.body)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _edited(answer: Answer, **members: Any) -> Answer:
    return _body(answer, json.dumps({**_members(answer), **members}).encode())


def _with_keys(answer: Answer, *keys: Mapping[str, Any]) -> Answer:
    return _edited(answer, keys=[*keys, *_members(answer).get("keys", [])])


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One row of :data:`FAULTS`: what it is, where it makes sense, and what it does."""

    summary: str
    change: Callable[..., Answer] = field(repr=False)
    on: frozenset[str] | None = None


_METADATA = frozenset({"discovery", "oauth_metadata"})
_KEY_SET = frozenset({"jwks"})

#: Every fault by name. Options are the keyword arguments of the function in the row.
FAULTS: Mapping[str, FaultRow] = {
    "outage": FaultRow("the connection is refused, or reset on a socket", _outage),
    "slow": FaultRow("the answer comes `seconds` late", _slow),
    "drip": FaultRow("the body trickles for `seconds`", _drip),
    "400": FaultRow("400 with a JSON body", _status(400)),
    "404": FaultRow("404 with a JSON body", _status(404)),
    "429": FaultRow("429, `retry_after` seconds", _status(429, 1)),
    "500": FaultRow("500 with a JSON body", _status(500)),
    "503": FaultRow("503, `retry_after` seconds", _status(503, 1)),
    "truncated": FaultRow("the connection breaks in the middle of the body", _truncated),
    "html": FaultRow("200 with an HTML page", _html),
    "huge": FaultRow("the right body, followed by blanks up to `size` bytes", _huge),
    "gzip_bomb": FaultRow("a small compressed body that is `size` bytes unpacked", _gzip_bomb),
    "wrong_content_type": FaultRow("the right body under another `content_type`", _wrong_content_type),
    "invalid_json": FaultRow("a body that is nearly JSON", _invalid_json),
    "empty_body": FaultRow("200 with nothing in it", _empty_body),
    "duplicate_members": FaultRow("a JSON body whose first member stands twice", _duplicate_members),
    "redirect": FaultRow("`status` 302 `to` another host", _redirect),
    "wrong_issuer": FaultRow("metadata that names another `issuer`", _wrong_issuer, _METADATA),
    "empty_key_set": FaultRow("a key set without keys", _empty_key_set, _KEY_SET),
    "symmetric_key": FaultRow("a symmetric key before the good ones", _symmetric_key, _KEY_SET),
    "private_key_members": FaultRow("a private key before the good ones", _private_key_members, _KEY_SET),
    "unusable_key": FaultRow("keys that nobody can use before the good ones", _unusable_key, _KEY_SET),
    "all_keys_unusable": FaultRow("nothing but keys that nobody can use", _all_keys_unusable, _KEY_SET),
}

_PROBE = Answer(Reply(200, (), b"{}"))

__all__ = [
    "DRIPS",
    "FAULTS",
    "HUGE",
    "Answer",
    "Fault",
    "FaultRow",
    "body_pieces",
    "build_fault",
    "deliver",
    "total_delay",
]
