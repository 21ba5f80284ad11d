"""Stores: what outlives a call or is shared by processes, in memory, in a file, or in Redis.

Open ``_memory`` first; ``_core/base/store`` says what every store can do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .._core.base.store import AnyStore as AnyStore
    from .._core.base.store import AsyncStore as AsyncStore
    from .._core.base.store import Changes as Changes
    from .._core.base.store import Epoch as Epoch
    from .._core.base.store import Lease as Lease
    from .._core.base.store import Mark as Mark
    from .._core.base.store import Store as Store
    from ._awaitable import AwaitableStore as AwaitableStore
    from ._encrypted import AsyncEncryptedStore as AsyncEncryptedStore
    from ._encrypted import EncryptedStore as EncryptedStore
    from ._keyring import KeyringBackend as KeyringBackend
    from ._keyring import KeyringStore as KeyringStore
    from ._memory import MemoryStore as MemoryStore
    from ._redis import AsyncRedisStore as AsyncRedisStore
    from ._redis import RedisStore as RedisStore
    from ._sqlite import SqliteStore as SqliteStore

if not TYPE_CHECKING:  # a type checker would take any name for there
    __all__, __getattr__, __dir__ = lazy(globals())
