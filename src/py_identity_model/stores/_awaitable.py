"""A blocking store, to be awaited: its calls are made in worker threads, under asyncio and trio alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .._core.base.store import Changes, Epoch, Lease, Store
from .._core.base.store_records import circuit_of, engine_of
from .._offload import in_worker

T = TypeVar("T")


class AwaitableStore:
    """Offer the methods of a :class:`~py_identity_model.stores.Store` as coroutines.

    Args:
        store: The store. One that never blocks is called at once, any other in a worker thread.

    >>> import asyncio
    >>> from py_identity_model.stores import MemoryStore
    >>> store = AwaitableStore(MemoryStore())
    >>> asyncio.run(store.add("replay", "a", b"", 60))
    True
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.authenticated: bool = getattr(store, "authenticated", False)

    def __repr__(self) -> str:
        return f"AwaitableStore({self._store!r})"

    @property
    def engine(self) -> str:
        """What kind of store is behind."""
        return engine_of(self._store)

    @property
    def circuit_open(self) -> bool | None:
        """Whether the store behind is left in peace because it did not answer; None where it has no such thing."""
        return circuit_of(self._store)

    async def _call(self, function: Callable[[], T]) -> T:
        return await in_worker(function) if self._store.blocking else function()

    async def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`~py_identity_model.stores.Store.get`."""
        return await self._call(lambda: self._store.get(topic, key))

    async def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        return await self._call(lambda: self._store.put(topic, key, value, lifetime, lease=lease))

    async def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.add`."""
        return await self._call(lambda: self._store.add(topic, key, value, lifetime, made_at=made_at))

    async def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        return await self._call(lambda: self._store.swap(topic, key, expected, value, lifetime, lease=lease))

    async def delete(self, topic: str, key: str) -> bool:
        """See :meth:`~py_identity_model.stores.Store.delete`."""
        return await self._call(lambda: self._store.delete(topic, key))

    async def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`~py_identity_model.stores.Store.lease`."""
        return await self._call(lambda: self._store.lease(topic, key, lifetime))

    async def release(self, lease: Lease) -> bool:
        """See :meth:`~py_identity_model.stores.Store.release`."""
        return await self._call(lambda: self._store.release(lease))

    async def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`~py_identity_model.stores.Store.publish`."""
        await self._call(lambda: self._store.publish(topic, value, lifetime))

    async def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`~py_identity_model.stores.Store.changes`."""
        return await self._call(lambda: self._store.changes(topic, cursor))

    async def epoch(self) -> Epoch:
        """See :meth:`~py_identity_model.stores.Store.epoch`."""
        return await self._call(self._store.epoch)

    async def close(self) -> None:
        """Close the store behind."""
        await self._call(self._store.close)


__all__ = ["AwaitableStore"]
