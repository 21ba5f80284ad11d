"""What providers said, as bytes that an application carries along: for a start without a network, and without a store.

A snapshot holds the answers of providers, not what was made of them: whoever takes it reads them under its own policy.
They are as old as they are: fresh for as long as the provider said, and after that of use only while the provider
cannot be reached, up to ``MAX_STALE``. Whoever could write a snapshot could have a key trusted, so that each one is
authenticated by HMAC with a key of the application (RFC 2104).

A snapshot is the line ``pim-keys-1``, 32 bytes of HMAC-SHA-256 over what follows, and that as JSON.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, Literal

import msgspec

from ...exceptions import ConfigurationException
from ...observability import emit
from .shared_fetch import Kept

Kind = Literal["metadata", "keys"]
HEAD: Final = b"pim-keys-1\n"
#: Seconds by which the clock of whoever made it may be ahead.
AHEAD: Final = 300.0
#: Bytes that a key has at least (RFC 2104 3).
SHORTEST_KEY: Final = 32


class Document(msgspec.Struct, frozen=True, array_like=True):
    """One document of a provider: metadata or a key set, where it is, and what was said."""

    kind: Kind
    address: str
    kept: Kept


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """What providers said; times are seconds since 1970."""

    made_at: float
    documents: list[Document]

    def usable(self, wall: float, max_age: float) -> Mapping[tuple[str, str], Kept]:
        """Return what may still be used, by kind and address; nothing, and an event, of one that is too old."""
        age = wall - self.made_at
        if not -AHEAD <= age <= max_age:
            emit("key_snapshot_refused", 30, age=round(age, 1), max_age=max_age)
            return {}
        return {(one.kind, one.address): one.kept for one in self.documents if wall < one.kept.usable_until}


_decode = msgspec.json.Decoder(Snapshot).decode
_encode = msgspec.json.Encoder().encode


def check_keys(keys: bytes | Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the keys, the newest first.

    Raises:
        ConfigurationException: There is none, or one is shorter than 32 bytes.
    """
    listed = (keys,) if isinstance(keys, bytes) else tuple(keys) if isinstance(keys, list | tuple) else ()
    if not listed or not all(isinstance(key, bytes) and len(key) >= SHORTEST_KEY for key in listed):
        raise ConfigurationException(
            "A snapshot is authenticated with a key of at least 32 bytes",
            code="snapshot_key_invalid",
            claim="key",
            expected="32 random bytes or more, or a list of such",
            hint="secrets.token_bytes(32), kept where secrets are kept",
        )
    return listed


def seal_snapshot(snapshot: Snapshot, keys: bytes | Sequence[bytes]) -> bytes:
    """Return *snapshot* as bytes, authenticated with the newest key.

    Raises:
        ConfigurationException: There is no key, or one is too short.
    """
    body = _encode(snapshot)
    return HEAD + _code(check_keys(keys)[0], body) + body


def open_snapshot(data: bytes, keys: bytes | Sequence[bytes]) -> Snapshot:
    """Read what :func:`seal_snapshot` made with any of *keys*.

    Raises:
        ConfigurationException: There is no key (``snapshot_key_invalid``), the bytes are no snapshot of this version
            (``snapshot_invalid``), or none of the keys made them (``snapshot_unauthenticated``).
    """
    listed = check_keys(keys)
    if not isinstance(data, bytes) or not data.startswith(HEAD) or len(data) < len(HEAD) + 32:
        raise _unreadable()
    code, body = data[len(HEAD) : len(HEAD) + 32], data[len(HEAD) + 32 :]
    if not any(hmac.compare_digest(_code(key, body), code) for key in listed):
        raise ConfigurationException(
            "The snapshot was not made with any of these keys, or was changed",
            code="snapshot_unauthenticated",
            claim="data",
            hint="make it anew with the key of this application",
        )
    try:
        return _decode(body)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    ):  # ours, but of a version that this one does not know
        pass
    raise _unreadable()


def _code(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, HEAD + body, sha256)


def _unreadable() -> ConfigurationException:
    return ConfigurationException(
        "These bytes are no snapshot of keys that this version can read",
        code="snapshot_invalid",
        claim="data",
        expected="what export_keys() returned",
    )


__all__ = ["Document", "Kind", "Snapshot", "check_keys", "open_snapshot", "seal_snapshot"]
