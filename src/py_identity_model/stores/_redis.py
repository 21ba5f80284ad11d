"""The store of a fleet: Redis 7 or Valkey 8, alone, behind sentinels or as a cluster.

Every operation is one script and one round trip. A server that is away costs one timeout per interval, not one per
call: in between, calls are refused at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha1
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.base.fork_lock import Guard
from .._core.base.store import Changes, Epoch, Lease, check_lifetime, check_network
from ..exceptions import ConfigurationException, StoreException
from ..observability import emit
from ._memory import store_full
from ._redis_commands import SHARDS, Command, Commands

if TYPE_CHECKING:
    from types import ModuleType

T = TypeVar("T")

#: Seconds that one operation may take, unless told otherwise.
DEFAULT_TIMEOUT = 1.0
#: Seconds after a failure in which nobody asks; doubled with each further failure.
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class Breaker:
    """Keep callers from a server that does not answer: one of them tries, once per pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Guard()
        self._pause = 0.0
        self._closed_until = 0.0

    def check(self) -> None:
        """Let the caller pass, or refuse it.

        Raises:
            StoreException: The server failed a moment ago, or another caller is trying it right now.
        """
        if not self._pause:
            return
        with self._lock:
            now = self._clock()
            if now >= self._closed_until:
                self._closed_until = now + self._pause  # this caller tries; the others go on waiting
                return
            rest = self._closed_until - now
        raise StoreException("The store did not answer a moment ago", code="store_unavailable", retry_after=rest)

    @property
    def is_open(self) -> bool:
        """Whether callers are refused right now; after the pause one of them is let through."""
        return self._pause > 0 and self._clock() < self._closed_until

    def succeeded(self) -> None:
        """Let everybody pass."""
        if self._pause:
            self._pause = 0.0
            emit("store_back")

    def failed(self) -> None:
        """Let nobody pass for a while."""
        with self._lock:
            first = not self._pause
            self._pause = min(max(SHORTEST_PAUSE, self._pause * 2), LONGEST_PAUSE)
            self._closed_until = self._clock() + self._pause
        if first:
            emit("store_away", 30)


class _Connected:
    """What both classes share: settings, commands, the breaker, and how errors are read."""

    engine = "redis"

    def __init__(
        self,
        url: str | None,
        client: Any,
        cluster: bool,
        prefix: str,
        timeout: float,
        allow_secrets_unencrypted_over_the_network: bool,
        options: dict[str, Any],
    ) -> None:
        check_lifetime(timeout)
        if (url is None) == (client is None):
            raise ConfigurationException(
                "Give the store a url, or a client of redis-py", code="store_argument_invalid", claim="url"
            )
        self._url, self._given, self._cluster, self._timeout, self._options = url, client, cluster, timeout, options
        self._commands = Commands(prefix, SHARDS if cluster else 1)
        #: What is asked before anything else: the memory of every shard begins at once.
        self._first = self._commands.epochs()
        self._open = allow_secrets_unencrypted_over_the_network
        self._breaker = Breaker()

    def __repr__(self) -> str:  # the url may hold a password
        return f"{type(self).__name__}(cluster={self._cluster})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise ConfigurationException(
            "A store cannot be pickled: it holds credentials and connections", code="secret_not_picklable"
        )

    @property
    def circuit_open(self) -> bool:
        """Whether the server is left in peace for a while because it did not answer."""
        return self._breaker.is_open

    def _guarded(self, topic: str, value: bytes) -> None:
        if not self._open:
            check_network(topic, value)

    def _connect(self, redis: Any, retry: Any) -> Any:
        """Return a client that waits no longer than it may, and asks once more where a connection had gone stale."""
        if self._given is not None:
            return self._given
        options = {
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
            "health_check_interval": 30,
            **self._options,
        }
        if self._cluster:
            return redis.RedisCluster.from_url(self._url, **options)
        # Nothing is asked twice but where the connection broke; a script that ran unseen answers False the second time.
        tried = retry(_no_pause(), 1, supported_errors=(_module("redis").exceptions.ConnectionError,))
        return redis.Redis.from_url(self._url, retry=tried, retry_on_error=[], **options)

    def _failure(self, error: Exception) -> StoreException:
        """Return the exception for what redis-py raised."""
        known = _module("redis").exceptions
        name = type(error).__name__
        if isinstance(error, known.OutOfMemoryError):
            return store_full("redis")
        if isinstance(error, known.ReadOnlyError):
            return StoreException("The store is a replica that takes no writes", code="store_read_only")
        if isinstance(error, known.AuthenticationError | known.NoPermissionError | known.AuthorizationError):
            return StoreException(f"The store refuses this user: {name}", code="store_forbidden")
        if isinstance(error, known.ResponseError):
            return StoreException(f"The store failed with {name}", code="store_failed")
        self._breaker.failed()
        return StoreException(
            f"The store does not answer: {name}", code="store_unavailable", retry_after=SHORTEST_PAUSE
        )


class RedisStore(_Connected):
    """Keep everything in Redis 7 or Valkey 8, for the blocking API (extra ``[redis]``).

    In ``aio`` it is called in worker threads; :class:`AsyncRedisStore` needs none under asyncio.

    Args:
        url: Such as ``rediss://user:password@redis.example.com:6380/0``; TLS, ACL user and database as redis-py reads
            them.
        client: A client of redis-py instead, for sentinels: ``Sentinel([...]).master_for("name")``.
        cluster: Whether the url leads to a cluster.
        prefix: What all keys begin with.
        timeout: Seconds that connecting, and each operation, may take.
        allow_secrets_unencrypted_over_the_network: Whether tokens, sessions and logins may be sent unsealed. Wrap the
            store into :class:`~py_identity_model.stores.EncryptedStore` instead.
        options: What else redis-py's ``from_url`` takes.

    Raises:
        ConfigurationException: Neither or both of *url* and *client* are given, or redis-py is not installed.
    """

    blocking = True

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        cluster: bool = False,
        prefix: str = "pim",
        timeout: float = DEFAULT_TIMEOUT,
        allow_secrets_unencrypted_over_the_network: bool = False,
        **options: Any,
    ) -> None:
        open_network = allow_secrets_unencrypted_over_the_network
        super().__init__(url, client, cluster, prefix, timeout, open_network, options)
        self._client = self._connect(_module("redis"), _module("redis.retry").Retry)

    def _run(self, command: Command[T]) -> T:
        self._breaker.check()
        for first in self._first:
            self._ask(first)
        self._first = []
        answer = self._ask(command)
        self._breaker.succeeded()
        return command.read(answer)

    def _ask(self, command: Command[Any]) -> Any:
        numbered = len(command.keys), *command.keys, *command.args
        answer = failure = None
        try:
            try:
                answer = self._client.evalsha(_sha(command.script), *numbered)
            except _module("redis").exceptions.NoScriptError:
                answer = self._client.eval(command.script, *numbered)
        except Exception as error:  # whatever a client raises means that the store cannot answer
            failure = self._failure(error)
        if failure is not None:  # raised out here: the foreign exception holds the command, and with it the value
            raise failure
        return answer

    def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`~py_identity_model.stores.Store.get`."""
        return self._run(self._commands.get(topic, key))

    def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        self._guarded(topic, value)
        return self._run(self._commands.put(topic, key, value, lifetime, lease))

    def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.add`."""
        self._guarded(topic, value)
        return self._run(self._commands.add(topic, key, value, lifetime, made_at))

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        self._guarded(topic, value)
        return self._run(self._commands.swap(topic, key, expected, value, lifetime, lease))

    def delete(self, topic: str, key: str) -> bool:
        """See :meth:`~py_identity_model.stores.Store.delete`."""
        return self._run(self._commands.delete(topic, key))

    def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`~py_identity_model.stores.Store.lease`."""
        return self._run(self._commands.lease(topic, key, lifetime))

    def release(self, lease: Lease) -> bool:
        """See :meth:`~py_identity_model.stores.Store.release`."""
        return self._run(self._commands.release(lease))

    def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`~py_identity_model.stores.Store.publish`."""
        self._guarded(topic, value)
        self._run(self._commands.publish(topic, value, lifetime))

    def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`~py_identity_model.stores.Store.changes`."""
        return self._run(self._commands.changes(topic, cursor))

    def epoch(self) -> Epoch:
        """See :meth:`~py_identity_model.stores.Store.epoch`."""
        return self._run(self._commands.epoch())

    def close(self) -> None:
        """Close the connections, but not those of a client that was given."""
        if self._given is None:
            self._client.close()


class AsyncRedisStore(_Connected):
    """Keep everything in Redis 7 or Valkey 8, to be awaited under asyncio (extra ``[redis]``).

    The arguments are those of :class:`RedisStore`. Under trio take :class:`RedisStore`, which runs in worker threads.

    Raises:
        ConfigurationException: Neither or both of *url* and *client* are given, or redis-py is not installed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        cluster: bool = False,
        prefix: str = "pim",
        timeout: float = DEFAULT_TIMEOUT,
        allow_secrets_unencrypted_over_the_network: bool = False,
        **options: Any,
    ) -> None:
        open_network = allow_secrets_unencrypted_over_the_network
        super().__init__(url, client, cluster, prefix, timeout, open_network, options)
        self._client: Any = None
        self._loop: Any = None

    async def _run(self, command: Command[T]) -> T:
        self._breaker.check()
        for first in self._first:
            await self._ask(first)
        self._first = []
        answer = await self._ask(command)
        self._breaker.succeeded()
        return command.read(answer)

    async def _ask(self, command: Command[Any]) -> Any:
        client = await self._of_this_loop()
        numbered = len(command.keys), *command.keys, *command.args
        answer = failure = None
        try:
            try:
                answer = await client.evalsha(_sha(command.script), *numbered)
            except _module("redis").exceptions.NoScriptError:
                answer = await client.eval(command.script, *numbered)
        except Exception as error:  # whatever a client raises means that the store cannot answer
            failure = self._failure(error)
        if failure is not None:  # raised out here: the foreign exception holds the command, and with it the value
            raise failure
        return answer

    async def _of_this_loop(self) -> Any:
        """Return the client whose connections belong to the running loop; those of an earlier one are let go."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._client is None or (self._loop is not loop and self._given is None):
            self._client = self._connect(_module("redis.asyncio"), _module("redis.asyncio.retry").Retry)
            self._loop = loop
        return self._client

    async def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`~py_identity_model.stores.Store.get`."""
        return await self._run(self._commands.get(topic, key))

    async def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.put`."""
        self._guarded(topic, value)
        return await self._run(self._commands.put(topic, key, value, lifetime, lease))

    async def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`~py_identity_model.stores.Store.add`."""
        self._guarded(topic, value)
        return await self._run(self._commands.add(topic, key, value, lifetime, made_at))

    async def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`~py_identity_model.stores.Store.swap`."""
        self._guarded(topic, value)
        return await self._run(self._commands.swap(topic, key, expected, value, lifetime, lease))

    async def delete(self, topic: str, key: str) -> bool:
        """See :meth:`~py_identity_model.stores.Store.delete`."""
        return await self._run(self._commands.delete(topic, key))

    async def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`~py_identity_model.stores.Store.lease`."""
        return await self._run(self._commands.lease(topic, key, lifetime))

    async def release(self, lease: Lease) -> bool:
        """See :meth:`~py_identity_model.stores.Store.release`."""
        return await self._run(self._commands.release(lease))

    async def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`~py_identity_model.stores.Store.publish`."""
        self._guarded(topic, value)
        await self._run(self._commands.publish(topic, value, lifetime))

    async def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`~py_identity_model.stores.Store.changes`."""
        return await self._run(self._commands.changes(topic, cursor))

    async def epoch(self) -> Epoch:
        """See :meth:`~py_identity_model.stores.Store.epoch`."""
        return await self._run(self._commands.epoch())

    async def close(self) -> None:
        """Close the connections, but not those of a client that was given."""
        client, self._client = self._client, None
        if client is not None and self._given is None:
            await client.aclose()


def _module(name: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigurationException(
            "RedisStore needs redis-py",
            code="store_package_missing",
            claim="redis",
            expected="redis",
            hint="pip install 'py-identity-model[redis]'",
        ) from None


def _no_pause() -> Any:
    return _module("redis.backoff").NoBackoff()


def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


__all__ = ["DEFAULT_TIMEOUT", "AsyncRedisStore", "Breaker", "RedisStore"]
