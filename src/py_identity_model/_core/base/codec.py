"""How values of one type lie in a store: as JSON, in an envelope, and read as that type or not at all."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from .store import pack, unpack, unreadable

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class Codec(Generic[T]):
    """Writes and reads values of one type.

    Args:
        kind: The type.
        topic: Where they lie, for the event of one that cannot be read.
        version: The version of the type: an older and a newer one are a miss.

    >>> numbers = Codec(list[int], "numbers")
    >>> numbers.decoded(numbers.encoded([1, 2])), numbers.decoded(numbers.encoded([1, 2])[:-1]), numbers.decoded(None)
    ([1, 2], None, None)
    """

    def __init__(self, kind: type[T], topic: str, version: int = 1) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._topic, self._version = topic, version

    def encoded(self, value: T) -> bytes:
        """Return a value as it lies in a store."""
        return pack(_encode(value), self._version)

    def decoded(self, data: bytes | None) -> T | None:
        """Return a value; None for none, and, with an event, for what is torn, or of another version or type."""
        value = unpack(data, self._version, topic=self._topic)
        if value is None:
            return None
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            unreadable(self._topic, "of another type")
            return None


__all__ = ["Codec"]
