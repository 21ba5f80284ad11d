"""base64url as JOSE writes it: no padding, one spelling per value (RFC 7515 2, RFC 4648 3.5)."""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Everything that is not base64url becomes a character that is no base64 either, so that the decoder refuses it.
_TO_BASE64 = bytes.maketrans(bytes(range(256)), bytes(c if c in _ALPHABET else 0 for c in range(256)))
_TO_BASE64 = _TO_BASE64[: ord("-")] + b"+" + _TO_BASE64[ord("-") + 1 :]
_TO_BASE64 = _TO_BASE64[: ord("_")] + b"/" + _TO_BASE64[ord("_") + 1 :]
_TO_BASE64URL = bytes.maketrans(b"+/", b"-_")
_DIGITS = _ALPHABET + b"-_"
# RFC 4648 3.5: the unused bits of the last character are zero. By length modulo four; one alone encodes nothing.
_LAST = (frozenset(_DIGITS), frozenset[int](), frozenset(_DIGITS[::16]), frozenset(_DIGITS[::4]))
_PADDING = (b"", b"", b"==", b"=")


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
        if data[-1] in _LAST[rest]:
            return a2b_base64(data.translate(_TO_BASE64) + _PADDING[rest], strict_mode=True)
    except (Error, UnicodeEncodeError):
        pass
    except IndexError:  # nothing encodes nothing
        return b""
    raise Base64Error("not canonical base64url")


__all__ = ["Base64Error", "b64url_decode", "b64url_encode"]
