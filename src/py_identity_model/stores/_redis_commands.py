"""What is asked of Redis or Valkey, as values: a script each, so that every operation is one step and one round trip.

In a cluster keys are spread over shards by a hash tag, and all keys that one operation touches are in one shard, so
that one node serves it. Every shard has an epoch of its own, since a cluster may lose one node's memory alone; all of
them begin when a store is first used. Elsewhere there is one shard.

A memory belongs to one run of one server, which ``INFO`` names. A server that was started again may have lost what it
acknowledged last, and so may a replica that took its master's place: its memory is another one, whatever it kept.

=========================  ================================================================
key                        what it holds
=========================  ================================================================
``pim:{NN}:v:TOPIC:KEY``   a value, with its time to live
``pim:{NN}:l:TOPIC:KEY``   the last lease: its number, and until when it runs
``pim:{NN}:m:TOPIC``       a stream of marks
``pim:{NN}:epoch``         name and beginning of the shard's memory, and the run of the server
=========================  ================================================================
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from .._core.base.store import (
    LEASE_MEMORY,
    Changes,
    Epoch,
    Lease,
    Mark,
    check_lease,
    check_lifetime,
    check_name,
    check_value,
)
from ._memory import memory_lost

T = TypeVar("T")

#: Hash tags in a cluster, and so the nodes of it that a store can use, at most.
SHARDS = 64
#: Marks that one call of ``changes`` returns.
MARKS_AT_ONCE = 1000
#: A lease number is at least the time in microseconds, so that it grows even where the last one was forgotten.
_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
_RUN = "local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') "
_EPOCH = _RUN + (
    "local e = redis.call('GET', KEYS[1]) if not e or string.match(e, '[^:]*$') ~= run then "
    "e = ARGV[1] .. ':' .. now .. ':' .. run redis.call('SET', KEYS[1], e) end "
)
_FENCE = (
    "if ARGV[3] ~= '' then local n = redis.call('HGET', KEYS[2], 'n') "
    "if n and tonumber(n) > tonumber(ARGV[3]) then return 0 end end "
)

PUT = _FENCE + "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"
SWAP = (
    "local v = redis.call('GET', KEYS[1]) "
    "if ARGV[4] == '0' then if v then return 0 end elseif v ~= ARGV[5] then return 0 end "
) + PUT
ADD = (
    _NOW
    + _EPOCH
    + "if ARGV[4] ~= '' and tonumber(ARGV[4]) < tonumber(string.match(e, ':(%d+):')) then return -1 end "
    + "if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return 1 end return 0"
)
LEASE = _NOW + (
    "local l = redis.call('HMGET', KEYS[1], 'n', 'u') if l[2] and tonumber(l[2]) > now then return 0 end "
    "local n = t[1] * 1000000 + t[2] if l[1] and tonumber(l[1]) >= n then n = tonumber(l[1]) + 1 end "
    "n = string.format('%.0f', n) "
    "redis.call('HSET', KEYS[1], 'n', n, 'u', now + ARGV[1]) "
    "redis.call('PEXPIRE', KEYS[1], math.max(ARGV[1], ARGV[2])) return n"
)
RELEASE = _NOW + (
    "local l = redis.call('HMGET', KEYS[1], 'n', 'u') "
    "if l[1] ~= ARGV[1] or tonumber(l[2]) <= now then return 0 end redis.call('HSET', KEYS[1], 'u', now) return 1"
)
PUBLISH = _NOW + (
    "local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 16) "
    "for _, one in ipairs(first) do if tonumber(one[2][2]) <= now then redis.call('XDEL', KEYS[1], one[1]) end end "
    "redis.call('XADD', KEYS[1], '*', 'e', now + ARGV[2], 'v', ARGV[1]) "
    "if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 1"
)
CHANGES = (
    _NOW
    + _RUN
    # A cursor of another run counts for nothing: what comes now may be numbered less.
    + "local first = '-' if ARGV[1] == run then first = ARGV[2] end "
    "return {now, redis.call('XRANGE', KEYS[1], first, '+', 'COUNT', ARGV[3]), run}"
)
EPOCH = _NOW + _EPOCH + "return e"
GET = "return redis.call('GET', KEYS[1])"
DELETE = "return redis.call('DEL', KEYS[1])"


class Command(NamedTuple, Generic[T]):
    """One script, what it is about, and how its answer is read."""

    script: str
    keys: tuple[str, ...]
    args: tuple[Any, ...]
    read: Callable[[Any], T]


class Commands:
    """Build the command of each operation.

    Args:
        prefix: What every key begins with; stores with different ones see nothing of each other.
        shards: How many hash tags there are.
    """

    def __init__(self, prefix: str, shards: int = 1) -> None:
        self._prefix, self._shards = prefix, shards

    def _shard(self, *parts: str) -> str:
        return self._tagged(zlib.crc32(chr(0).join(parts).encode()) % self._shards)

    def _tagged(self, number: int) -> str:
        return f"{self._prefix}:{{{number:02d}}}"

    def _entry(self, kind: str, topic: str, key: str) -> str:
        return f"{self._shard(topic, key)}:{kind}:{topic}:{key}"

    def epochs(self) -> list[Command[Epoch]]:
        """Begin the memory of every shard that has none."""
        names = [f"{self._tagged(number)}:epoch" for number in range(self._shards)]
        return [Command(EPOCH, (name,), (secrets.token_urlsafe(12),), _epoch) for name in names]

    def get(self, topic: str, key: str) -> Command[bytes | None]:
        """Read a value."""
        check_name(topic, key)
        return Command(GET, (self._entry("v", topic, key),), (), lambda answer: answer)

    def put(self, topic: str, key: str, value: bytes, lifetime: float, lease: Lease | None) -> Command[bool]:
        """Keep a value."""
        check_value(topic, key, value, lifetime)
        check_lease(lease, topic, key)
        keys = self._entry("v", topic, key), self._entry("l", topic, key)
        return Command(PUT, keys, (value, _ms(lifetime), lease.number if lease else ""), bool)

    def add(self, topic: str, key: str, value: bytes, lifetime: float, made_at: float | None) -> Command[bool]:
        """Keep a value if there is none."""
        check_value(topic, key, value, lifetime)
        keys = f"{self._shard(topic, key)}:epoch", self._entry("v", topic, key)
        args = secrets.token_urlsafe(12), value, _ms(lifetime), "" if made_at is None else _moment(made_at)
        return Command(ADD, keys, args, _added)

    def swap(
        self, topic: str, key: str, expected: bytes | None, value: bytes, lifetime: float, lease: Lease | None
    ) -> Command[bool]:
        """Replace a value."""
        put = self.put(topic, key, value, lifetime, lease)
        told = ("0", "") if expected is None else ("1", expected)
        return put._replace(script=SWAP, args=(*put.args, *told))

    def delete(self, topic: str, key: str) -> Command[bool]:
        """Forget a value."""
        check_name(topic, key)
        return Command(DELETE, (self._entry("v", topic, key),), (), bool)

    def lease(self, topic: str, key: str, lifetime: float) -> Command[Lease | None]:
        """Take a lease."""
        check_name(topic, key)
        check_lifetime(lifetime)
        args = _ms(lifetime), _ms(LEASE_MEMORY)
        return Command(
            LEASE, (self._entry("l", topic, key),), args, lambda n: Lease(topic, key, int(n)) if int(n) else None
        )

    def release(self, lease: Lease) -> Command[bool]:
        """Give a lease back."""
        return Command(RELEASE, (self._entry("l", lease.topic, lease.key),), (str(lease.number),), bool)

    def publish(self, topic: str, value: bytes, lifetime: float) -> Command[None]:
        """Append a mark."""
        check_value(topic, "-", value, lifetime)
        return Command(PUBLISH, (f"{self._shard(topic)}:m:{topic}",), (value, _ms(lifetime)), lambda _: None)

    def changes(self, topic: str, cursor: str | None) -> Command[Changes]:
        """Read marks."""
        check_name(topic)
        run, _, reached = (cursor or "").partition(":")
        args = run, f"({reached}" if reached else "-", MARKS_AT_ONCE
        return Command(CHANGES, (f"{self._shard(topic)}:m:{topic}",), args, lambda found: _changes(found, cursor))

    def epoch(self) -> Command[Epoch]:
        """Read which memory this is."""
        return self.epochs()[0]


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _moment(seconds: float) -> int:
    # A moment that came from here in milliseconds is the same when it comes back, however a float rounds it.
    return int(seconds * 1000 + 0.01)


def _added(answer: Any) -> bool:
    if int(answer) < 0:
        raise memory_lost()
    return bool(answer)


def _epoch(answer: Any) -> Epoch:
    name, since, _ = _text(answer).split(":")
    return Epoch(name, int(since) / 1000)


def _changes(answer: Sequence[Any], cursor: str | None) -> Changes:
    now, found, run = int(answer[0]), answer[1], _text(answer[2])
    marks = tuple(Mark(fields[3], int(fields[1]) / 1000) for _, fields in found if int(fields[1]) > now)
    before = cursor if cursor is not None and cursor.startswith(f"{run}:") else f"{run}:"
    reached = f"{run}:{_text(found[-1][0])}" if found else before
    return Changes(reached, marks, complete=len(found) < MARKS_AT_ONCE, memory=run)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
