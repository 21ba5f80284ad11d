"""What one session keeps: sealed under a key of its own, and no longer than the session can last."""

from __future__ import annotations

from collections.abc import Callable

from .._core.base.store import AnyStore, Lease, Store
from ._encrypted import AsyncEncryptedStore, EncryptedStore


class SessionStore(EncryptedStore):
    """Seal the values of one session.

    Args:
        store: Where they are kept.
        key: 32 bytes that belong to the session.
        longest: Seconds that they are kept at most.
    """

    def __init__(self, store: Store, key: bytes, longest: float) -> None:
        super().__init__(store, key)
        #: Which store its operations count for.
        self.recorded_as = store
        self._longest = longest

    def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        return super().put(topic, key, value, min(lifetime, self._longest), lease=lease)

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        return super().swap(topic, key, expected, value, min(lifetime, self._longest), lease=lease)


class AsyncSessionStore(AsyncEncryptedStore):
    """Seal the values of one session, to be awaited; see :class:`SessionStore`."""

    def __init__(self, store: AnyStore, key: bytes, longest: float) -> None:
        super().__init__(store, key)  # type: ignore[arg-type] # one that is to be awaited, as the caller looked
        self.recorded_as = store
        self._longest = longest

    async def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        return await super().put(topic, key, value, min(lifetime, self._longest), lease=lease)

    async def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        return await super().swap(topic, key, expected, value, min(lifetime, self._longest), lease=lease)


def sealing(longest: float) -> Callable[[AnyStore, bytes], AnyStore]:
    """Return what seals a store of either colour under a key, for so many seconds at most."""

    def seal(store: AnyStore, key: bytes) -> AnyStore:
        blocking = getattr(store, "blocking", None) is not None
        return SessionStore(store, key, longest) if blocking else AsyncSessionStore(store, key, longest)  # type: ignore[arg-type] # mypy cannot tell the colours apart

    return seal


__all__ = ["AsyncSessionStore", "SessionStore", "sealing"]
