"""base64url as JOSE writes it: no padding, one spelling per value (RFC 7515 2, RFC 4648 3.5)."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable

import msgspec

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DIGITS = _ALPHABET + b"-_"
_TO_BASE64URL = bytes.maketrans(b"+/", b"-_")
# Whatever is not base64url becomes a character that is no base64 either, so that the decoder refuses it: quotes,
# backslashes and control characters too, which mean something in JSON.
_REFUSED = b"-"
_FROM_BASE64URL = bytes(
    b"+/"[b"-_".index(c)] if c in b"-_" else c if c in _ALPHABET else _REFUSED[0] for c in range(256)
)
#: For a segment of a token with the dot before it, which becomes the quote that begins the JSON string. A dot anywhere
#: else ends that string too soon.
FROM_SEGMENT = _FROM_BASE64URL[: ord(".")] + b'"' + _FROM_BASE64URL[ord(".") + 1 :]
#: RFC 4648 3.5: the unused bits of the last character are zero. By length modulo four; one alone encodes nothing.
LAST = (frozenset(_DIGITS), frozenset[int](), frozenset(_DIGITS[::16]), frozenset(_DIGITS[::4]))
#: The padding that is missing, and the quote that ends the JSON string.
TAIL = (b'"', b'"', b'=="', b'="')
#: Above this length a look for single characters takes a quarter of the time that translating all of them takes.
LONG = 1024
#: The decoder for JSON strings of base64 (RFC 4648 4) takes a third of the time of binascii in strict mode.
decode_quoted: Callable[[bytes], bytes] = msgspec.json.Decoder(bytes).decode


class Base64Error(ValueError):
    """A text is not canonical base64url."""


def b64url_encode(data: bytes) -> str:
    """Encode *data* as base64url without padding.

    >>> b64url_encode(b"\\xff\\xfe")
    '__4'
    """
    return b2a_base64(data, newline=False).translate(_TO_BASE64URL, b"=").decode("ascii")


def b64url_decode(text: str | bytes) -> bytes:
    """Decode canonical base64url.

    Raises:
        Base64Error: There is padding, a character of another alphabet, or bits that say nothing.

    >>> b64url_decode("__4")
    b'\\xff\\xfe'
    """
    try:
        data = text.encode("ascii") if isinstance(text, str) else text
        rest = len(data) & 3
        if data[-1] in LAST[rest]:
            digits = translated_long(data) if len(data) > LONG else data.translate(_FROM_BASE64URL)
            return decode_quoted(b'"' + digits + TAIL[rest])
    except IndexError:  # nothing encodes nothing
        return b""
    except ValueError:  # msgspec's errors are ValueErrors, UnicodeEncodeError is one too
        pass
    raise Base64Error("not canonical base64url")


def translated_long(data: bytes) -> bytes:
    """Do to a long text what translating it does: JSON in ASCII hardly ever has a digit to translate."""
    # What the decoder would take, and is no base64url: the two other digits, and JSON's escapes of any. A quote ends
    # the string, and what follows is one too many; of all other characters the decoder wants none.
    if b"-" in data or b"_" in data or b"+" in data or b"/" in data or b"\\" in data:
        return data.translate(_FROM_BASE64URL)
    return data


__all__ = [
    "FROM_SEGMENT",
    "LAST",
    "LONG",
    "TAIL",
    "Base64Error",
    "b64url_decode",
    "b64url_encode",
    "decode_quoted",
    "translated_long",
]
