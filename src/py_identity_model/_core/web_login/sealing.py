"""What the store keeps for a browser is sealed with a key that only the browser brings.

A session, a login under way and the tokens of a session are each sealed under a secret of their own: the session's id,
the ``state``, the name of the tokens, which is in the session. Who reads the store has none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ..base.store import AnyStore, digest_of

#: Returns a store that seals every value of another with a key of 32 bytes.
Seal: TypeAlias = Callable[[AnyStore, bytes], AnyStore]


class CookieSealer(Protocol):
    """Seals what is kept in cookies; see ``stores.Sealer``."""

    def seal(self, topic: str, key: str, value: bytes) -> bytes:
        """Return *value* so that only the application can read it."""
        ...

    def open(self, topic: str, key: str, data: bytes | None) -> bytes | None:
        """Return what was sealed; None for anything else."""
        ...


def key_of(kind: str, secret: str) -> bytes:
    """Return the key that a secret of 256 bits gives for one kind of value."""
    return bytes.fromhex(digest_of("sealed under", kind, secret))


__all__ = ["CookieSealer", "Seal", "key_of"]
