"""JSON as tokens, key sets and metadata must be read: every reader understands the same (RFC 8725 2.7).

:func:`loads` is the strict parser. :func:`loads_claims` reads payloads on the warm path at the speed of msgspec with
the same verdicts: it parses strictly only what it cannot prove harmless.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, NoReturn, TypeAlias

import msgspec

MAX_DEPTH = 32
#: The longest number that is read: no claim needs one, and reading an integer costs the square of its length
#: (CVE-2020-10735).
MAX_DIGITS = 400

# A string runs to its closing quote or, unterminated, to the end: every quote is visited once, so this is linear.
_BRACKET_OR_STRING = re.compile(r'[\[\]{}]|"[^"\\]*+(?:\\.[^"\\]*+)*(?:"|\\?\Z)', re.DOTALL)
_DEEPER = {"[": 1, "{": 1, "]": -1, "}": -1}


class StrictJSONError(ValueError):
    """A text is not JSON that everybody reads the same way; ``reason`` says why without repeating any of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def loads(data: bytes | str, *, max_depth: int = MAX_DEPTH, max_size: int | None = None) -> Any:
    """Parse JSON, refusing whatever readers disagree about.

    Args:
        data: The text, or its UTF-8.
        max_depth: Arrays and objects inside one another at most.
        max_size: Bytes (characters of a str) at most.

    Raises:
        StrictJSONError: It is too large or too deep, no UTF-8, no JSON (RFC 8259), has a byte order mark, a member
            twice, a lone surrogate, or a number that is not finite.

    >>> loads('{"alg": "ES256", "alg": "none"}')
    Traceback (most recent call last):
    py_identity_model._core.base.strict_json.StrictJSONError: an object has a member twice
    """
    if max_size is not None and len(data) > max_size:
        raise StrictJSONError("it is too large")
    text = data if isinstance(data, str) else _decode_utf8(data)
    if text.startswith("\ufeff"):
        raise StrictJSONError("it starts with a byte order mark")
    _check_depth(text, max_depth)
    reason = "it is not valid JSON"
    try:
        value = _DECODER.decode(text)
        _check_surrogates(text, value)
        return value
    except StrictJSONError as error:
        reason = error.reason
    except RecursionError:  # the caller's own stack is nearly used up
        reason = "it is nested too deeply"
    except ValueError:
        pass
    # Raised outside the handlers: JSONDecodeError and UnicodeEncodeError hold the text, and would be its context.
    raise StrictJSONError(reason)


def loads_object(data: bytes | str, *, max_depth: int = MAX_DEPTH, max_size: int | None = None) -> dict[str, Any]:
    """Do as :func:`loads`, and demand an object."""
    value = loads(data, max_depth=max_depth, max_size=max_size)
    if not isinstance(value, dict):
        raise StrictJSONError("it is not a JSON object")
    return value


def loads_claims(payload: bytes) -> dict[str, Any]:
    """Parse the payload of a token: :func:`loads_object` at the speed of msgspec.

    msgspec itself refuses malformed UTF-8, byte order marks, lone surrogates, NaN and overflow; what it lets pass,
    depth and duplicate members, is looked for here.
    """
    claims = None
    try:
        claims = _decode_claims(payload)
        if _encode(claims) == payload:  # an encoding has no member twice
            return claims
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, UnicodeDecodeError is one too
        pass
    if claims is None or duplicate_suspect(claims, payload):
        return loads_object(payload)
    return claims


def duplicate_suspect(claims: dict[str, Any], payload: bytes) -> bool:
    """Tell whether *payload*, which msgspec decoded to *claims*, may have a member twice.

    False is proof. Where no quote is escaped, each quote delimits a string: a member that was dropped takes the two
    quotes of its name with it, and the encoding of what was decoded has fewer.
    """
    try:
        encoded = _encode(claims)
    except RecursionError:  # the caller's own stack is nearly used up
        return True
    escaped = any(b"\\" in text and b'\\"' in text for text in (payload, encoded))
    return escaped or encoded.count(b'"') != payload.count(b'"')


# Integers of 64 bits: longer ones are looked at digit by digit by the strict parser before they are read.
_Integer: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Scalar: TypeAlias = str | _Integer | float | bool | None
# Objects and arrays inside one another as they occur in tokens; msgspec holds a payload to this depth at no cost, and
# what is deeper is parsed strictly.
_Shallow: Any = _Scalar
for _ in range(6):
    _Shallow = _Scalar | list[_Shallow] | dict[str, _Shallow]
_decode_claims = msgspec.json.Decoder(dict[str, _Shallow]).decode
_encode = msgspec.json.Encoder().encode


def _decode_utf8(data: bytes) -> str:
    text: str | None = None
    try:
        text = str(data, "utf-8", "strict")
    except UnicodeDecodeError:  # it holds the data, so nothing is raised in its context
        pass
    if text is None:
        raise StrictJSONError("it is not UTF-8")
    return text


def _check_depth(text: str, max_depth: int) -> None:
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        depth += _DEEPER.get(text[match.start()], 0)
        if depth > max_depth:
            raise StrictJSONError("it is nested too deeply")


def _check_surrogates(text: str, value: Any) -> None:
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    elif not text.isascii():
        text.encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJSONError("an object has a member twice")
    return members


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise StrictJSONError("a number is too large")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= MAX_DIGITS else math.inf
    if not math.isfinite(value):
        raise StrictJSONError("a number is too large")
    return value


def _constant(name: str) -> NoReturn:
    raise StrictJSONError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)

__all__ = ["MAX_DEPTH", "StrictJSONError", "duplicate_suspect", "loads", "loads_claims", "loads_object"]
