"""What outlives a call or is shared by processes: a handful of operations on bytes, each with a time to live.

Every topic (used proofs, logins under way, tokens, key snapshots, revocation marks) goes through :class:`Store`. A
topic names its entries by short texts without secrets; where a name would carry one, it is a digest. Values are bytes
in an envelope (:func:`pack`), so that a torn one, or one of a newer version, is a miss and never an error.

An engine that cannot answer raises :class:`~py_identity_model.exceptions.StoreException`. What that means is for the
topic to say; nothing is ever accepted because a store is away.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..._refusals import is_number
from ...exceptions import ConfigurationException, PyIdentityModelException, StoreException, printable
from ...observability import emit
from .flow import Flow, call, now, resolve
from .store_records import Operation, Watched, record_of

#: Bytes of one value, at most.
MAX_VALUE = 1024 * 1024
#: Seconds that anything is kept, at most: ten years.
MAX_LIFETIME = 10 * 366 * 86400.0
#: Seconds for which the number of a lease that is over is remembered, so that its holder is told apart from later ones.
LEASE_MEMORY = 86400.0
#: Topics whose values are secrets: an engine that sends them over a network wants them sealed.
SECRET_TOPICS = frozenset({"logins", "sessions", "tokens"})
#: What every sealed value begins with.
SEALED = b"\xe1"

_TOPIC = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")
_KEY = re.compile(r"[!-~]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do something alone, for a while.

    Attributes:
        topic: The topic it belongs to.
        key: What it is for.
        number: Larger than that of every earlier lease on the same key; ``put`` and ``swap`` can demand that there is
            no later one.
    """

    topic: str
    key: str
    number: int


class Mark(NamedTuple):
    """One thing that was published.

    Attributes:
        value: What was published.
        expires_at: When it stops to count, in seconds since 1970.
    """

    value: bytes
    expires_at: float


class Changes(NamedTuple):
    """What was published since the last look.

    Attributes:
        cursor: Where to go on: give it to the next call.
        marks: In the order in which they were published.
        complete: False where there may be more: call again at once.
        memory: Which memory this comes from, in any text: another one after the store lost what it knew. Empty where an
            engine cannot say; then :meth:`Store.epoch` tells.
    """

    cursor: str
    marks: tuple[Mark, ...]
    complete: bool = True
    memory: str = ""


class Epoch(NamedTuple):
    """One memory of a store. A store that lost what it knew has another.

    Attributes:
        name: A random text.
        since: When this memory began, in seconds since 1970.
    """

    name: str
    since: float


@runtime_checkable
class Store(Protocol):
    """What an engine offers to the blocking API. It may be called from any thread.

    Every method raises :class:`~py_identity_model.exceptions.StoreException` where the store cannot answer, and
    ``ConfigurationException`` for a topic, key, value or lifetime that no store takes. Lifetimes are seconds.

    Attributes:
        blocking: Whether a call may wait for a disk or a network, so that an event loop must not make it itself.

    A store that has ``authenticated`` set says that what it gives out was put there by the application: values are
    sealed, or nobody else can write them. Without it no keys are shared through it.
    """

    blocking: bool

    def get(self, topic: str, key: str) -> bytes | None:
        """Return the value, None if there is none."""
        ...

    def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """Keep a value, whatever was there; False, and nothing kept, if there was a later lease than *lease*."""
        ...

    def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """Keep a value if there is none yet, as one step; False if there is one.

        With *made_at* (seconds since 1970) the answer is only given if the store's memory reaches back so far: an
        entry from before could have been forgotten. Else a ``StoreException`` is raised, ``store_memory_lost``.
        """
        ...

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """Replace *expected* by *value*, as one step; None expects that there is nothing.

        False, and nothing changed, if something else is there, or there was a later lease than *lease*.
        """
        ...

    def delete(self, topic: str, key: str) -> bool:
        """Forget a value; True for the one caller whose call made it go."""
        ...

    def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """Take the lease on *key* for *lifetime* seconds; None while another one runs."""
        ...

    def release(self, lease: Lease) -> bool:
        """Give a lease back before its time; False if it was over."""
        ...

    def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """Tell every process that looks at *topic*, until the lifetime is over."""
        ...

    def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """Return what was published after *cursor*; without one, all that still counts."""
        ...

    def epoch(self) -> Epoch:
        """Return which memory this is."""
        ...

    def close(self) -> None:
        """Give back files and connections. A closed store opens again when it is used."""
        ...


@runtime_checkable
class AsyncStore(Protocol):
    """What an engine offers that is to be awaited: the methods of :class:`Store`, as coroutines."""

    async def get(self, topic: str, key: str) -> bytes | None:
        """See :meth:`Store.get`."""
        ...

    async def put(self, topic: str, key: str, value: bytes, lifetime: float, *, lease: Lease | None = None) -> bool:
        """See :meth:`Store.put`."""
        ...

    async def add(self, topic: str, key: str, value: bytes, lifetime: float, *, made_at: float | None = None) -> bool:
        """See :meth:`Store.add`."""
        ...

    async def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, *, lease: Lease | None = None
    ) -> bool:
        """See :meth:`Store.swap`."""
        ...

    async def delete(self, topic: str, key: str) -> bool:
        """See :meth:`Store.delete`."""
        ...

    async def lease(self, topic: str, key: str, lifetime: float) -> Lease | None:
        """See :meth:`Store.lease`."""
        ...

    async def release(self, lease: Lease) -> bool:
        """See :meth:`Store.release`."""
        ...

    async def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        """See :meth:`Store.publish`."""
        ...

    async def changes(self, topic: str, cursor: str | None = None) -> Changes:
        """See :meth:`Store.changes`."""
        ...

    async def epoch(self) -> Epoch:
        """See :meth:`Store.epoch`."""
        ...

    async def close(self) -> None:
        """See :meth:`Store.close`."""
        ...


AnyStore = Store | AsyncStore


# ---------------------------------------------------------------------------------------------------------------------
# What every engine takes


def check_name(topic: object, key: object = "-") -> None:
    """Refuse a topic or a key that no engine takes.

    Raises:
        ConfigurationException: The topic is no short lower-case name, or the key no printable ASCII text.
    """
    if not isinstance(topic, str) or not _TOPIC.match(topic):
        raise _unusable("topic", "a lower-case name of at most 64 characters", topic)
    if not isinstance(key, str) or not _KEY.match(key):
        raise _unusable("key", "1 to 255 printable ASCII characters without spaces", type(key).__name__)


def check_value(topic: str, key: str, value: object, lifetime: object) -> None:
    """Refuse what no engine keeps.

    Raises:
        ConfigurationException: A name is unusable, the value is no bytes or too long, the lifetime no positive number.
    """
    check_name(topic, key)
    if not isinstance(value, bytes) or len(value) > MAX_VALUE:
        raise _unusable("value", f"at most {MAX_VALUE} bytes", _size(value))
    check_lifetime(lifetime)


def check_lease(lease: Lease | None, topic: str, key: str) -> None:
    """Refuse a lease on something else than what is written.

    Raises:
        ConfigurationException: It is on another topic or key.
    """
    if lease is not None and (lease.topic, lease.key) != (topic, key):
        raise _unusable("lease", "the lease on the very topic and key", f"one on {lease.topic} {lease.key}")


def check_lifetime(lifetime: object) -> None:
    """Refuse a lifetime that is no positive number of seconds.

    Raises:
        ConfigurationException: It is not.
    """
    if not lifetime or not is_number(lifetime, float, 0, MAX_LIFETIME):
        raise _unusable("lifetime", f"seconds, more than 0 and at most {MAX_LIFETIME:.0f}", lifetime)


def check_network(topic: str, value: bytes) -> None:
    """Refuse to send a secret over a network as it is.

    Raises:
        ConfigurationException: The topic holds secrets and the value is not sealed; ``store_unencrypted``.
    """
    if topic in SECRET_TOPICS and not value.startswith(SEALED):
        raise ConfigurationException(
            f"The topic {topic!r} holds secrets, which this store would send over a network unencrypted",
            code="store_unencrypted",
            claim="topic",
            expected="EncryptedStore(store, keys)",
            hint="wrap the store: EncryptedStore(RedisStore(url), keys)",
        )


def _size(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__


def _unusable(claim: str, expected: str, actual: object) -> ConfigurationException:
    shown = printable(actual, 60)
    return ConfigurationException(
        f"A store takes as {claim} {expected}, got {shown}",
        code="store_argument_invalid",
        claim=claim,
        expected=expected,
        actual=shown,
    )


def digest_of(*parts: str) -> str:
    """Build a key that carries no secret.

    Args:
        parts: The kind of value, whose it is, and the value itself.

    Returns:
        A digest of fixed length; no two lists of parts share one.

    >>> digest_of("jti", "a", "bc") == digest_of("jti", "ab", "c")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Envelopes


def pack(value: bytes, version: int = 1) -> bytes:
    """Return *value* in an envelope: its version, a checksum, and the value itself.

    >>> unpack(pack(b"value"))
    b'value'
    """
    return bytes((version,)) + zlib.crc32(value).to_bytes(4, "big") + value


def unpack(data: bytes | None, version: int = 1, *, topic: str = "") -> bytes | None:
    """Return what :func:`pack` was given; None, and an event, for an envelope that is torn or of another version."""
    if data is None:
        return None
    reason = None
    if len(data) < 5:
        reason = "torn"
    elif data[0] != version:
        reason = "newer" if data[0] > version else "older"
    elif zlib.crc32(data[5:]).to_bytes(4, "big") != data[1:5]:
        reason = "torn"
    if reason is not None:
        unreadable(topic, reason)
        return None
    return data[5:]


def unreadable(topic: str, reason: str) -> None:
    """Tell that a value is taken for a miss, and why."""
    emit("store_value_unreadable", 30, topic=printable(topic, 64), reason=reason)


# ---------------------------------------------------------------------------------------------------------------------
# For flows


def ask(store: AnyStore, operation: Callable[[Any], Any]) -> Flow[Any]:
    """Perform one operation of a store of either colour.

    Raises:
        StoreException: The store cannot answer.
        ConfigurationException: It is to be awaited, and the API at hand cannot.
    """
    began = (yield from now()).steady
    watched = Watched(store)
    answer = failure = None
    try:
        answer = yield from _asked(store, watched, operation)
    except StoreException as error:
        yield from _noted(store, watched, error.code, began)
        raise
    except PyIdentityModelException:  # it was not the store that refused
        raise
    except Exception as error:  # the store may be foreign code, and its error may hold what it was to keep
        failure = type(error).__name__
    yield from _noted(store, watched, "ok" if failure is None else "store_failed", began)
    if failure is not None:
        raise StoreException(f"The store failed with {printable(failure, 60)}", code="store_failed")
    return answer


def _noted(store: AnyStore, watched: Watched, outcome: str, began: float) -> Flow[None]:
    steady = (yield from now()).steady
    if not watched.name:  # it has no such method, or was not asked
        return
    record_of(store).note(Operation(watched.topic, watched.name, outcome), steady - began, steady)


def _asked(store: AnyStore, watched: Watched, operation: Callable[[Any], Any]) -> Flow[Any]:
    if getattr(store, "blocking", False):
        return (yield from call(lambda: operation(watched)))
    return (yield from resolve(operation(watched)))


__all__ = [
    "LEASE_MEMORY",
    "MAX_LIFETIME",
    "MAX_VALUE",
    "SEALED",
    "SECRET_TOPICS",
    "AnyStore",
    "AsyncStore",
    "Changes",
    "Epoch",
    "Lease",
    "Mark",
    "Store",
    "ask",
    "check_lease",
    "check_lifetime",
    "check_name",
    "check_network",
    "check_value",
    "digest_of",
    "pack",
    "unpack",
    "unreadable",
]
