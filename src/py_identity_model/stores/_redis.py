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
from ._redis_clients import connect, connected, module, read_address, read_error
from ._redis_commands import SHARDS, Command, Commands

if TYPE_CHECKING:
    import redis
    import redis.asyncio

T = TypeVar("T")

#: Seconds that one operation may take, unless told otherwise.
DEFAULT_TIMEOUT = 1.0
#: Seconds after a failure in which nobody asks; doubled with each further failure.
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Codes of failures after which it is of no use to ask again at once.
AWAY = frozenset({"store_unavailable", "store_tls_failed"})


class Breaker:
    """Keep callers from a server that does not answer: one of them tries, once per pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Guard()
        self._pause = 0.0
        self._closed_until = 0.0
        self._error: StoreException | None = None

    def check(self) -> None:
        """Let the caller pass, or refuse it.

        Raises:
            StoreException: The server failed a moment ago, or another caller is trying it right now.
        """
        if not self._pause:
            return
        with self._lock:
            now, error = self._clock(), self._error
            if now >= self._closed_until:
                self._closed_until = now + self._pause  # this caller tries; the others go on waiting
                return
            rest = self._closed_until - now
        code, hint = (error.code, error.hint) if error is not None else ("store_unavailable", None)
        raise StoreException("The store did not answer a moment ago", code=code, hint=hint, retry_after=rest)

    @property
    def is_open(self) -> bool:
        """Whether callers are refused right now; after the pause one of them is let through."""
        return self._pause > 0 and self._clock() < self._closed_until

    def succeeded(self) -> None:
        """Let everybody pass."""
        if self._pause:
            self._pause = 0.0
            emit("store_back")

    def failed(self, error: StoreException | None = None) -> None:
        """Let nobody pass for a while."""
        with self._lock:
            first = not self._pause
            self._pause = min(max(SHORTEST_PAUSE, self._pause * 2), LONGEST_PAUSE)
            self._closed_until, self._error = self._clock() + self._pause, error
        if first:
            emit("store_away", 30)


class Breakers:
    """A breaker for each server that answers for keys: a dead node of a cluster keeps nobody from the others."""

    def __init__(self) -> None:
        self._by_node: dict[str, Breaker] = {"": Breaker()}

    @property
    def is_open(self) -> bool:
        """Whether any of them keeps callers away."""
        return any(breaker.is_open for breaker in list(self._by_node.values()))

    def of(self, client: Any, key: str) -> Breaker:
        """Return the breaker of the server that *key* belongs to."""
        find = getattr(client, "get_node_from_key", None)
        if find is None:
            return self._by_node[""]
        try:
            name = str(find(key).name)
        except Exception:  # which node it is cannot be told, for whatever reason
            name = ""
        return self._by_node.setdefault(name, Breaker())


class _Connected:
    """What both classes share: settings, commands, breakers, and how errors are read."""

    engine = "redis"

    def __init__(
        self,
        url: str | None,
        client: object,
        cluster: bool,
        prefix: str,
        timeout: float,
        allow_secrets_unencrypted_over_the_network: bool,
        options: dict[str, object],
    ) -> None:
        check_lifetime(timeout)
        if (url is None) == (client is None):
            raise ConfigurationException(
                "Give the store a url, or a client of redis-py", code="store_argument_invalid", claim="url"
            )
        module("redis")
        self._address = None if url is None else read_address(url, cluster, options)
        self._given, self._cluster, self._timeout = client, cluster, timeout
        self._commands = Commands(prefix, SHARDS if cluster else 1)
        #: What is asked before anything else: the memory of every shard begins at once.
        self._first = self._commands.epochs()
        #: When the youngest of them began that was asked.
        self._since = 0.0
        self._open = allow_secrets_unencrypted_over_the_network
        self._breakers = Breakers()

    def __repr__(self) -> str:  # the url may hold a password
        return f"{type(self).__name__}(cluster={self._cluster})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise ConfigurationException(
            "A store cannot be pickled: it holds credentials and connections", code="secret_not_picklable"
        )

    @property
    def circuit_open(self) -> bool:
        """Whether the server, or a node of the cluster, is left in peace for a while because it did not answer."""
        return self._breakers.is_open

    def _guarded(self, topic: str, value: bytes) -> None:
        if not self._open:
            check_network(topic, value)

    def _connect(self, awaited: bool) -> Any:
        return self._given if self._address is None else connect(self._address, awaited, self._timeout)

    def _failed(self, error: Exception, breaker: Breaker) -> StoreException:
        """Return the exception for what redis-py raised."""
        read = read_error(error)
        if read.code in AWAY:
            breaker.failed(read)
            read.retry_after = SHORTEST_PAUSE
        return read

    def _answered(self, breaker: Breaker, began: float) -> None:
        """Note that the server answered; one that took longer than it may is left alone as if it had not."""
        if time.monotonic() - began > self._timeout:
            breaker.failed()
        else:
            breaker.succeeded()

    def _begun(self, first: Command[Epoch], answer: Any) -> None:
        self._since = max(self._since, first.read(answer).since)
        self._first = [one for one in self._first if one is not first]

    def _youngest(self, epoch: Epoch) -> Epoch:
        """Return the memory of a cluster as one: it began when the last of its shards did."""
        return epoch._replace(since=max(self._since, epoch.since)) if self._cluster else epoch

    def _read(self, command: Command[T], answer: Any) -> T:
        try:
            return command.read(answer)
        except StoreException:  # one shard lost its memory, and others may have: all of them begin anew at once
            if self._cluster:
                self._first = self._commands.epochs()
            raise


class RedisStore(_Connected):
    """Keep everything in Redis 7 or Valkey 8, for the blocking API (extra ``[redis]``).

    In ``aio`` it is called in worker threads; :class:`AsyncRedisStore` needs none under asyncio.

    Args:
        url: ``rediss://user:password@redis.example.com:6380/0`` for one server;
            ``rediss+sentinel://user:password@a:26379,b:26379/name/0`` for the master that sentinels know under a name;
            with *cluster* the hosts of some of its nodes. ``redis`` in place of ``rediss`` does without TLS.
        client: A client of redis-py instead.
        cluster: Whether the url leads to a cluster.
        prefix: What all keys begin with.
        timeout: Seconds for each answer, and for each step of opening a connection: TCP, TLS, user, database; with
            sentinels for each of them as well. Whatever takes longer in all is taken for a failure, after which
            nobody asks for a while.
        allow_secrets_unencrypted_over_the_network: Whether tokens, sessions and logins may be sent unsealed. Wrap the
            store into :class:`~py_identity_model.stores.EncryptedStore` instead.
        options: What else clients of redis-py take: ``ssl_ca_certs`` for a CA of one's own, ``ssl_certfile`` and
            ``ssl_keyfile`` for a client certificate, ``sentinel_kwargs={"username": ..., "password": ...}`` for
            sentinels with users of their own.

    Raises:
        ConfigurationException: Neither or both of *url* and *client* are given, one cannot be used, an option would
            turn the verification of certificates off, or redis-py is not installed.
    """

    blocking = True

    def __init__(
        self,
        url: str | None = None,
        *,
        client: redis.Redis | redis.RedisCluster | None = None,
        cluster: bool = False,
        prefix: str = "pim",
        timeout: float = DEFAULT_TIMEOUT,
        allow_secrets_unencrypted_over_the_network: bool = False,
        **options: object,
    ) -> None:
        open_network = allow_secrets_unencrypted_over_the_network
        super().__init__(url, client, cluster, prefix, timeout, open_network, options)
        #: A client of a cluster asks for its nodes when it is made, so that it is made when it is used.
        self._client: Any = None if cluster and client is None else self._connect(awaited=False)

    def _run(self, command: Command[T]) -> T:
        left = self._first
        for first in left:
            try:
                self._begun(first, self._ask(first))
            except StoreException:
                if len(left) == 1:
                    raise
                continue  # other nodes of a cluster serve what is theirs
        return self._read(command, self._ask(command))

    def _ask(self, command: Command[Any]) -> Any:
        breaker = self._breakers.of(self._client, command.keys[0])
        breaker.check()
        numbered = len(command.keys), *command.keys, *command.args
        answer = failure = None
        began = time.monotonic()
        try:
            client = self._client = self._client or self._connect(awaited=False)
            try:
                answer = client.evalsha(_sha(command.script), *numbered)
            except module("redis").exceptions.NoScriptError:
                answer = client.eval(command.script, *numbered)
        except ConfigurationException:
            raise
        except Exception as error:  # whatever a client raises means that the store cannot answer
            failure = self._failed(error, breaker)
        if failure is not None:  # raised out here: the foreign exception holds the command, and with it the value
            raise failure
        self._answered(breaker, began)
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
        return self._youngest(self._run(self._commands.epoch()))

    def close(self) -> None:
        """Close the connections, but not those of a client that was given."""
        if self._given is None and self._client is not None:
            for one in connected(self._client):
                one.close()


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
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster | None = None,
        cluster: bool = False,
        prefix: str = "pim",
        timeout: float = DEFAULT_TIMEOUT,
        allow_secrets_unencrypted_over_the_network: bool = False,
        **options: object,
    ) -> None:
        open_network = allow_secrets_unencrypted_over_the_network
        super().__init__(url, client, cluster, prefix, timeout, open_network, options)
        self._client: Any = None
        self._loop: Any = None

    async def _run(self, command: Command[T]) -> T:
        left = self._first
        for first in left:
            try:
                self._begun(first, await self._ask(first))
            except StoreException:
                if len(left) == 1:
                    raise
                continue  # other nodes of a cluster serve what is theirs
        return self._read(command, await self._ask(command))

    async def _ask(self, command: Command[Any]) -> Any:
        client = await self._of_this_loop()
        breaker = self._breakers.of(client, command.keys[0])
        breaker.check()
        numbered = len(command.keys), *command.keys, *command.args
        answer = failure = None
        began = time.monotonic()
        try:
            try:
                answer = await client.evalsha(_sha(command.script), *numbered)
            except module("redis").exceptions.NoScriptError:
                answer = await client.eval(command.script, *numbered)
        except Exception as error:  # whatever a client raises means that the store cannot answer
            failure = self._failed(error, breaker)
        if failure is not None:  # raised out here: the foreign exception holds the command, and with it the value
            raise failure
        self._answered(breaker, began)
        return answer

    async def _of_this_loop(self) -> Any:
        """Return the client whose connections belong to the running loop; those of an earlier one are let go."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._client is None or (self._loop is not loop and self._given is None):
            self._client = self._connect(awaited=True)
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
        return self._youngest(await self._run(self._commands.epoch()))

    async def close(self) -> None:
        """Close the connections, but not those of a client that was given."""
        client, self._client = self._client, None
        if client is not None and self._given is None:
            for one in connected(client):
                await one.aclose()


def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


__all__ = ["DEFAULT_TIMEOUT", "AsyncRedisStore", "Breaker", "RedisStore"]
