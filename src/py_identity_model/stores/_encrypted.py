"""Values that only the application can read: AES-GCM around any store.

A sealed value is a mark, the first four bytes of the SHA-256 of its key, a random nonce, and the ciphertext. Topic and
key of the entry are authenticated along with it, so that a value cannot be moved to another place.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.base.store import SEALED, AsyncStore, Changes, Epoch, Lease, Mark, Store, check_value, unreadable
from .._core.base.store_records import circuit_of, engine_of
from ..exceptions import ConfigurationException

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

T = TypeVar("T")
#: Steps of one operation: each yields what a store of either colour answered, and is sent the value of it.
Steps = Generator[Any, Any, T]

_NONCE = 12
_HEAD = len(SEALED) + 4
#: Bytes by which a sealed value is longer.
OVERHEAD = _HEAD + _NONCE + 16


class Sealer:
    """Seal with the newest key, open with any.

    Args:
        keys: One key of 32 bytes, or several, the newest first. To rotate, put a new one in front, and take the old
            one away when all that it sealed is over.

    Raises:
        ConfigurationException: There is no key, or one is no 32 bytes.
    """

    def __init__(self, keys: bytes | Sequence[bytes]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        listed = (keys,) if isinstance(keys, bytes) else tuple(keys) if isinstance(keys, list | tuple) else ()
        if not listed or not all(isinstance(key, bytes) and len(key) == 32 for key in listed):
            raise ConfigurationException(
                "An encryption key is 32 random bytes",
                code="store_key_invalid",
                claim="encryption_key",
                expected="32 bytes, or a list of such",
                hint="secrets.token_bytes(32), kept where secrets are kept",
            )
        self._keys: dict[bytes, AESGCM] = {SEALED + hashlib.sha256(key).digest()[:4]: AESGCM(key) for key in listed}
        self._newest = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"Sealer({len(self._keys)} keys)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise ConfigurationException("Encryption keys cannot be pickled", code="secret_not_picklable")

    def seal(self, topic: str, key: str, value: bytes) -> bytes:
        """Return *value* as it may be kept by others."""
        nonce = os.urandom(_NONCE)
        return self._newest + nonce + self._keys[self._newest].encrypt(nonce, value, _place(topic, key))

    def open(self, topic: str, key: str, data: bytes | None) -> bytes | None:
        """Return what was sealed; None, and an event, for anything else."""
        from cryptography.exceptions import InvalidTag

        if data is None:
            return None
        cipher = self._keys.get(data[:_HEAD])
        if cipher is None:
            unreadable(topic, "key unknown" if data.startswith(SEALED) else "not sealed")
            return None
        try:
            return cipher.decrypt(data[_HEAD : _HEAD + _NONCE], data[_HEAD + _NONCE :], _place(topic, key))
        except (InvalidTag, ValueError):
            unreadable(topic, "changed")
            return None

    def opened(self, topic: str, found: Changes) -> Changes:
        """Return the marks that can be opened."""
        values = [(self.open(topic, "-", mark.value), mark.expires_at) for mark in found.marks]
        return found._replace(marks=tuple(Mark(value, expires) for value, expires in values if value is not None))


def _place(topic: str, key: str) -> bytes:
    return f"{topic}\0{key}".encode()


class Sealing:
    """What sealing adds to each operation of a store, written once: the classes below only take the steps.

    Args:
        store: Where sealed values are kept, blocking or to be awaited.
        keys: As :class:`Sealer` takes them.
    """

    def __init__(self, store: Any, keys: bytes | Sequence[bytes]) -> None:
        self._store, self._sealer = store, Sealer(keys)

    def get(self, topic: str, key: str) -> Steps[bytes | None]:
        """Open what is there."""
        return self._sealer.open(topic, key, (yield self._store.get(topic, key)))

    def put(self, topic: str, key: str, value: bytes, lifetime: float, lease: Lease | None) -> Steps[bool]:
        """Seal what is to be kept."""
        check_value(topic, key, value, lifetime)
        kept: bool = yield self._store.put(topic, key, self._sealer.seal(topic, key, value), lifetime, lease=lease)
        return kept

    def add(self, topic: str, key: str, value: bytes, lifetime: float, made_at: float | None) -> Steps[bool]:
        """Seal what is to be kept."""
        check_value(topic, key, value, lifetime)
        sealed = self._sealer.seal(topic, key, value)
        added: bool = yield self._store.add(topic, key, sealed, lifetime, made_at=made_at)
        return added

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, lease: Lease | None
    ) -> Steps[bool]:
        """Compare what is inside, and swap what is around it: no value is sealed the same way twice."""
        check_value(topic, key, value, lifetime)
        found = yield self._store.get(topic, key)
        if self._sealer.open(topic, key, found) != expected:
            return False
        sealed = self._sealer.seal(topic, key, value)
        swapped: bool = yield self._store.swap(topic, key, found, sealed, lifetime, lease=lease)
        return swapped

    def publish(self, topic: str, value: bytes, lifetime: float) -> Steps[None]:
        """Seal what is published: a mark has no key."""
        check_value(topic, "-", value, lifetime)
        yield self._store.publish(topic, self._sealer.seal(topic, "-", value), lifetime)

    def changes(self, topic: str, cursor: str | None) -> Steps[Changes]:
        """Open the marks."""
        return self._sealer.opened(topic, (yield self._store.changes(topic, cursor)))


def _taken(steps: Steps[T]) -> T:
    """Take the steps at a blocking store."""
    answer = None
    while True:
        try:
            answer = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result


async def _awaited(steps: Steps[T]) -> T:
    """Take the steps at a store that is to be awaited."""
    answer = None
    while True:
        try:
            pending = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        answer = await pending


class EncryptedStore:
    """Seal every value of another store.

    Args:
        store: Where sealed values are kept.
        keys: One key of 32 bytes, or several, the newest first; older ones open what they sealed. A key seals 2**32
            values safely: change it before.

    Raises:
        ConfigurationException: There is no key, or one is no 32 bytes.

    >>> from py_identity_model.stores import MemoryStore
    >>> plain = MemoryStore()
    >>> store = EncryptedStore(plain, bytes(range(32)))
    >>> store.put("tokens", "a", b"secret", 60), store.get("tokens", "a"), b"secret" in plain.get("tokens", "a")
    (True, b'secret', False)
    """

    authenticated = True

    def __init__(self, store: Store, keys: bytes | Sequence[bytes]) -> None:
        self._store = store
        self._sealing = Sealing(store, keys)
        self.blocking: bool = store.blocking

    def __repr__(self) -> str:
        return f"EncryptedStore({self._store!r})"

    @property
    def engine(self) -> str:
        """What kind of store is behind."""
        return engine_of(self._store)

    @property
    def circuit_open(self) -> bool | None:
        """Whether the store behind is left in peace because it did not answer; None where it has no such thing."""
        return circuit_of(self._store)

    def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`~py_identity_model.stores.Store.get`."""
        return _taken(self._sealing.get(topic, key))

    def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        return _taken(self._sealing.put(topic, key, value, lifetime, lease))

    def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.add`."""
        return _taken(self._sealing.add(topic, key, value, lifetime, made_at))

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`. It takes a ``get`` beforehand."""
        return _taken(self._sealing.swap(topic, key, expected, value, lifetime, lease))

    def delete(self, topic: str, key: str) -> bool:
        """See :meth:`~py_identity_model.stores.Store.delete`."""
        return self._store.delete(topic, key)

    def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`~py_identity_model.stores.Store.lease`."""
        return self._store.lease(topic, key, lifetime)

    def release(self, lease: Lease) -> bool:
        """See :meth:`~py_identity_model.stores.Store.release`."""
        return self._store.release(lease)

    def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`~py_identity_model.stores.Store.publish`."""
        _taken(self._sealing.publish(topic, value, lifetime))

    def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`~py_identity_model.stores.Store.changes`."""
        return _taken(self._sealing.changes(topic, cursor))

    def epoch(self) -> Epoch:
        """See :meth:`~py_identity_model.stores.Store.epoch`."""
        return self._store.epoch()

    def close(self) -> None:
        """Close the store behind."""
        self._store.close()


class AsyncEncryptedStore:
    """Seal every value of another store, to be awaited; see :class:`EncryptedStore`.

    Args:
        store: Where sealed values are kept.
        keys: One key of 32 bytes, or several, the newest first.

    Raises:
        ConfigurationException: There is no key, or one is no 32 bytes.
    """

    authenticated = True

    def __init__(self, store: AsyncStore, keys: bytes | Sequence[bytes]) -> None:
        self._store = store
        self._sealing = Sealing(store, keys)

    def __repr__(self) -> str:
        return f"AsyncEncryptedStore({self._store!r})"

    @property
    def engine(self) -> str:
        """What kind of store is behind."""
        return engine_of(self._store)

    @property
    def circuit_open(self) -> bool | None:
        """Whether the store behind is left in peace because it did not answer; None where it has no such thing."""
        return circuit_of(self._store)

    async def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`~py_identity_model.stores.Store.get`."""
        return await _awaited(self._sealing.get(topic, key))

    async def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        return await _awaited(self._sealing.put(topic, key, value, lifetime, lease))

    async def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.add`."""
        return await _awaited(self._sealing.add(topic, key, value, lifetime, made_at))

    async def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        return await _awaited(self._sealing.swap(topic, key, expected, value, lifetime, lease))

    async def delete(self, topic: str, key: str) -> bool:
        """See :meth:`~py_identity_model.stores.Store.delete`."""
        return await self._store.delete(topic, key)

    async def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`~py_identity_model.stores.Store.lease`."""
        return await self._store.lease(topic, key, lifetime)

    async def release(self, lease: Lease) -> bool:
        """See :meth:`~py_identity_model.stores.Store.release`."""
        return await self._store.release(lease)

    async def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`~py_identity_model.stores.Store.publish`."""
        await _awaited(self._sealing.publish(topic, value, lifetime))

    async def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`~py_identity_model.stores.Store.changes`."""
        return await _awaited(self._sealing.changes(topic, cursor))

    async def epoch(self) -> Epoch:
        """See :meth:`~py_identity_model.stores.Store.epoch`."""
        return await self._store.epoch()

    async def close(self) -> None:
        """Close the store behind."""
        await self._store.close()


__all__ = ["OVERHEAD", "AsyncEncryptedStore", "EncryptedStore", "Sealer"]
