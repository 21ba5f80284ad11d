"""Stores: one contract, every engine; and what each does when its disk, its server or its memory fails."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import random
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from py_identity_model import add_observer, remove_observer
from py_identity_model._core.base.store import Store, check_network, pack, unpack
from py_identity_model.exceptions import ConfigurationException, StoreException
from py_identity_model.stores import _redis as stores_redis
from py_identity_model.stores import _sqlite
from py_identity_model.stores._awaitable import AwaitableStore
from py_identity_model.stores._encrypted import AsyncEncryptedStore, EncryptedStore
from py_identity_model.stores._keyring import KeyringStore
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.stores._redis import AsyncRedisStore, RedisStore
from py_identity_model.stores._sqlite import SqliteStore
from py_identity_model.testing.store_contract import CONTRACT, Subject, blocking
from redis_servers import Server, behind, code_of, free_port

KEY, OLD_KEY = bytes(range(32)), bytes(range(1, 33))


class Clock:
    """Seconds since 1970 that move when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def of_memory(request: pytest.FixtureRequest) -> Subject:
    clock = Clock()
    store = MemoryStore(clock=clock)
    return Subject(store, store, clock.advance)


def of_sqlite(request: pytest.FixtureRequest, **options: Any) -> Subject:
    clock, path = Clock(), request.getfixturevalue("tmp_path") / "store.db"
    return Subject(SqliteStore(path, clock=clock, **options), SqliteStore(path, clock=clock, **options), clock.advance)


def of_sealed_sqlite(request: pytest.FixtureRequest) -> Subject:
    return of_sqlite(request, encryption_key=KEY)


def of_keyring(request: pytest.FixtureRequest) -> Subject:
    clock, path, backend = Clock(), request.getfixturevalue("tmp_path") / "store.db", file_keyring(request)
    one, other = (KeyringStore(path, "tool", backend=backend, clock=clock) for _ in range(2))
    return Subject(one, other, clock.advance)


def file_keyring(request: pytest.FixtureRequest) -> Any:
    """Return a keyring in a file."""
    alt = pytest.importorskip("keyrings.alt.file", reason="no keyring in a file")
    backend = alt.PlaintextKeyring()
    backend.file_path = str(request.getfixturevalue("tmp_path") / "keyring.cfg")
    return backend


def of_encrypted(request: pytest.FixtureRequest) -> Subject:
    plain = of_memory(request)
    return Subject(EncryptedStore(plain.store, KEY), EncryptedStore(plain.store, [KEY, OLD_KEY]), plain.pass_time)


def of_awaitable(request: pytest.FixtureRequest) -> Subject:
    plain = of_sqlite(request)
    run: Any = lambda coroutine: trio.run(_awaited, coroutine)  # noqa: E731
    stores = (blocking(AwaitableStore(plain.store)), blocking(AwaitableStore(plain.other), run))
    return Subject(*stores, plain.pass_time)


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


def of_redis(request: pytest.FixtureRequest, program: str = "redis-server") -> Subject:
    url = request.getfixturevalue("shared_server")(program).url
    return Subject(RedisStore(url), RedisStore(url), time.sleep, prefix="k" + secrets.token_hex(8))


def of_valkey(request: pytest.FixtureRequest) -> Subject:
    return of_redis(request, "valkey-server")


def of_async_valkey(request: pytest.FixtureRequest) -> Subject:
    return of_async_redis(request, "valkey-server")


def of_async_redis(request: pytest.FixtureRequest, program: str = "redis-server") -> Subject:
    url = request.getfixturevalue("shared_server")(program).url
    loop = request.getfixturevalue("running_loop")
    one, other = (AsyncEncryptedStore(AsyncRedisStore(url), KEY) for _ in range(2))

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    return Subject(blocking(one, run), blocking(other, run), time.sleep, prefix="k" + secrets.token_hex(8))


ENGINES = [
    *(of_memory, of_sqlite, of_sealed_sqlite, of_keyring, of_encrypted, of_awaitable),
    *(pytest.param(make, marks=pytest.mark.needs("Redis")) for make in (of_redis, of_async_redis)),
    *(pytest.param(make, marks=pytest.mark.needs("Valkey")) for make in (of_valkey, of_async_valkey)),
]


@pytest.fixture(params=ENGINES, ids=lambda make: make.__name__[3:])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each engine, twice on one memory."""
    if request.param.__name__.startswith("of_async"):
        request.getfixturevalue("running_loop")  # it outlives the stores
    made = request.param(request)
    yield made
    made.store.close()
    made.other.close()


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_the_contract(subject: Subject, check: Callable[[Subject], None]) -> None:
    """Every engine does what every store must do."""
    check(subject)


# ---- envelopes and seals


def test_an_envelope_gives_back_what_it_holds() -> None:
    """A value comes out as it went in."""
    for value in (b"", b"\x00", b"value" * 1000):
        assert unpack(pack(value)) == value
        assert unpack(pack(value, 7), 7) == value
    assert unpack(None) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "torn"),
        (b"\x01\x00\x00", "torn"),
        (pack(b"value")[:-1], "torn"),
        (pack(b"value") + b"x", "torn"),
        (pack(b"value", 2), "newer"),
        (pack(b"value", 0), "older"),
        (b"not an envelope", "newer"),
    ],
)
def test_an_envelope_that_cannot_be_read_is_a_miss(data: bytes, reason: str, events: list[Any]) -> None:
    """A torn value, or one of another version, is told of and taken for absent."""
    assert unpack(data, topic="test") is None
    assert [(e.name, dict(e.facts)) for e in events] == [
        ("store_value_unreadable", {"topic": "test", "reason": reason})
    ]


@pytest.fixture
def events() -> Iterator[list[Any]]:
    seen: list[Any] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


def test_a_sealed_value_cannot_be_moved_changed_or_read(events: list[Any]) -> None:
    """In another place, with a bit changed, or under another key a sealed value is a miss with an event."""
    plain = MemoryStore()
    store = EncryptedStore(plain, KEY)
    store.put("tokens", "a", b"secret of a", 600)
    sealed = plain.get("tokens", "a")
    assert sealed is not None
    assert b"secret" not in sealed
    assert EncryptedStore(plain, OLD_KEY).get("tokens", "a") is None
    for topic, key, data in [
        ("tokens", "b", sealed),
        ("sessions", "a", sealed),
        *(("tokens", "a", sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) for at in range(len(sealed))),
        *(("tokens", "a", sealed[:length]) for length in range(len(sealed))),
    ]:
        plain.put(topic, key, data, 600)
        assert store.get(topic, key) is None
    assert {e.facts["reason"] for e in events} == {"key unknown", "not sealed", "changed"}


def test_keys_rotate() -> None:
    """A new key in front seals, the old one opens what it sealed; without it that is a miss."""
    plain = MemoryStore()
    EncryptedStore(plain, OLD_KEY).put("tokens", "a", b"old", 600)
    both = EncryptedStore(plain, [KEY, OLD_KEY])
    assert both.get("tokens", "a") == b"old"
    assert both.swap("tokens", "a", b"old", b"new", 600)
    assert EncryptedStore(plain, KEY).get("tokens", "a") == b"new"
    assert EncryptedStore(plain, OLD_KEY).get("tokens", "a") is None


@pytest.mark.parametrize("keys", [b"", b"short", [], [KEY, b"short"], "k" * 32, None, [None]])
def test_a_key_that_is_none_is_refused(keys: Any, tmp_path: Path) -> None:
    """An encryption key is 32 bytes; nothing else turns encryption off in silence."""
    with pytest.raises(ConfigurationException, match="32 random bytes"):
        EncryptedStore(MemoryStore(), keys)
    if keys is not None:
        with pytest.raises(ConfigurationException, match="32 random bytes"):
            SqliteStore(tmp_path / "store.db", encryption_key=keys)


def test_keys_and_connections_stay_out_of_pickles_and_reprs(tmp_path: Path) -> None:
    """No repr shows a key or a password, and no store with a secret can be pickled."""
    stores = [
        EncryptedStore(MemoryStore(), KEY),
        SqliteStore(tmp_path / "store.db", encryption_key=KEY),
        RedisStore("redis://user:canary@127.0.0.1:1"),
    ]
    for store in stores:
        assert "canary" not in repr(store)
        assert KEY.hex() not in repr(store)
        with pytest.raises((ConfigurationException, TypeError)) as caught:
            pickle.dumps(store)
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("topic", ["tokens", "sessions", "logins"])
def test_a_network_sees_no_secret(topic: str) -> None:
    """A store that is reached over a network takes secrets sealed, or by a long name, and other topics as they are."""
    away = RedisStore("redis://127.0.0.1:1", timeout=0.1)
    for call in (
        lambda: away.put(topic, "a", b"secret", 60),
        lambda: away.add(topic, "a", b"secret", 60),
        lambda: away.swap(topic, "a", None, b"secret", 60),
        lambda: away.publish(topic, b"secret", 60),
    ):
        with pytest.raises(ConfigurationException) as caught:
            call()
        assert caught.value.code == "store_unencrypted"
    check_network("replay", b"plain")
    open_store = RedisStore("redis://127.0.0.1:1", timeout=0.1, allow_secrets_unencrypted_over_the_network=True)
    for store in (EncryptedStore(away, KEY), open_store):
        with pytest.raises(StoreException) as failed:
            store.put(topic, "a", b"secret", 60)
        assert failed.value.code == "store_unavailable"


# ---- memory


def test_a_full_memory_takes_no_more_and_drops_nothing() -> None:
    """A topic that is full refuses; what still counts stays, other topics are not touched, time makes room."""
    clock = Clock()
    store = MemoryStore(3, clock=clock)
    for number in range(3):
        assert store.add("replay", str(number), b"", 10 + number)
        store.publish("marks", b"", 10)
    for full in (lambda: store.add("replay", "x", b"", 10), lambda: store.publish("marks", b"", 10)):
        with pytest.raises(StoreException) as caught:
            full()
        assert (caught.value.code, caught.value.retry_after) == ("store_full", 10)
    assert not store.add("replay", "0", b"", 10)
    assert store.put("replay", "0", b"again", 10)
    assert store.add("other", "x", b"", 10)
    clock.advance(10)
    assert store.add("replay", "x", b"", 10)
    store.publish("marks", b"", 10)


def test_memory_stays_bounded_when_one_entry_is_written_for_ever() -> None:
    """Bookkeeping of an entry that is replaced, leased or published again and again does not grow."""
    clock = Clock()
    store = MemoryStore(10, clock=clock)
    for _ in range(5000):
        store.put("test", "a", b"", 600)
        store.release(store.lease("test", str(clock.now), 1) or pytest.fail("no lease"))
        clock.advance(100)
        store.publish("test", b"", 50)
    assert len(store._queue) < 1000
    assert len(store._leases) < 2000
    assert len(store._marks["test"]) < 1000


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "3", None])
def test_a_memory_has_a_size(size: Any) -> None:
    """A size that is no positive integer is refused."""
    with pytest.raises(ConfigurationException) as caught:
        MemoryStore(size)
    assert caught.value.code == "store_size_invalid"


# ---- SQLite


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """The file and those beside it are made with mode 600; one that others can read is refused."""
    path = tmp_path / "store.db"
    os.umask(os.umask(0))
    store = SqliteStore(path)
    store.put("test", "a", b"x", 60)
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}
    store.close()
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigurationException) as caught:
            store.get("test", "a")
        assert caught.value.code == "store_permissions"
    path.chmod(0o600)
    assert store.get("test", "a") == b"x"


def test_a_file_that_was_replaced_has_another_memory(tmp_path: Path) -> None:
    """When the file is deleted under a running process, the new one knows that it cannot tell of earlier proofs."""
    path = tmp_path / "store.db"
    clock = Clock()
    store = SqliteStore(path, clock=clock)
    assert store.epoch().since == clock.now
    made_at = clock.now + 1
    clock.advance(2)
    assert store.add("replay", "a", b"", 600, made_at=made_at)
    before, cursor = store.epoch(), store.changes("marks").cursor
    for each in tmp_path.iterdir():
        each.unlink()
    assert store.epoch().name != before.name
    with pytest.raises(StoreException) as caught:
        store.add("replay", "a", b"", 600, made_at=made_at)
    assert caught.value.code == "store_memory_lost"
    store.publish("marks", b"new", 60)
    assert [mark.value for mark in store.changes("marks", cursor).marks] == [b"new"]


@pytest.mark.parametrize(("content", "code"), [(b"no database at all" * 100, "store_damaged")])
def test_a_file_that_is_no_store(tmp_path: Path, content: bytes, code: str) -> None:
    """What is no database is left as it is, and refused."""
    path = tmp_path / "store.db"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(StoreException) as caught:
        SqliteStore(path).get("test", "a")
    assert caught.value.code == code
    assert path.read_bytes() == content


def test_a_file_of_another_layout_is_not_touched(tmp_path: Path) -> None:
    """A database that a newer version made is refused."""
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.put("test", "a", b"x", 60)
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationException) as caught:
        store.get("test", "a")
    assert (caught.value.code, caught.value.actual) == ("store_layout_unknown", 99)


def test_a_file_in_use_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    """While another process writes, readers go on and writers wait, bounded; then the store is busy, not broken."""
    path = tmp_path / "store.db"
    store = SqliteStore(path, timeout=0.05)
    store.put("test", "a", b"x", 60)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.get("test", "a") == b"x"
        with pytest.raises(StoreException) as caught:
            store.add("replay", "b", b"", 60)
        assert (caught.value.code, caught.value.retry_after) == ("store_busy", 1.0)
        other.execute("ROLLBACK")
    assert store.add("replay", "b", b"", 60)


OPENING = """
import sys, time
from py_identity_model.stores import SqliteStore
folder, begin, number = sys.argv[1], float(sys.argv[2]), sys.argv[3]
for turn in range(15):
    store = SqliteStore(f"{folder}/{turn}.db", timeout=20)
    while time.time() < begin + turn * 0.12:
        pass
    print(store.add("replay", number, b"", 600))
"""


def test_many_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Whoever comes while others make the file waits for them, and is not told that it is in use."""
    begin = str(time.time() + 3)
    commands = [[sys.executable, "-c", OPENING, str(tmp_path), begin, str(number)] for number in range(6)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [each.communicate(timeout=60)[0].split() for each in running]
    assert said == [["True"] * 15] * 6


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """When no page is left the store says so; what it acknowledged stays, and deleting makes room again."""
    store = SqliteStore(tmp_path / "store.db")
    store.put("test", "a", b"x", 600)
    assert store._connection is not None
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreException) as caught:
        fill(store)
    assert caught.value.code == "store_full"
    assert store.get("test", "a") == b"x"
    store.close()
    assert store.add("test", "after", b"", 600)


def fill(store: Store) -> None:
    for number in range(100):
        store.add("test", str(number), b"x" * 4000, 600)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be made is an error of the store, not of the operating system."""
    with pytest.raises(StoreException) as caught:
        SqliteStore(tmp_path / "none" / "store.db").get("test", "a")
    assert caught.value.code == "store_unavailable"


def test_what_is_over_is_swept(tmp_path: Path) -> None:
    """Rows whose lifetime is over go, so that the file does not grow for ever."""
    clock = Clock()
    store = SqliteStore(tmp_path / "store.db", clock=clock)
    for number in range(50):
        store.add("replay", str(number), b"", 10)
        store.publish("marks", b"", 10)
        store.lease("test", str(number), 10)
    clock.advance(2 * 86400)
    store.add("replay", "new", b"", 10)
    assert store._connection is not None
    counts = [store._connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("entries", "leases")]
    assert counts == [1, 0]
    assert store._connection.execute("SELECT count(*) FROM marks").fetchone()[0] == 0


def test_a_forked_child_opens_the_file_anew(tmp_path: Path) -> None:
    """A connection does not survive a fork; parent and child go on with the same file."""
    store = SqliteStore(tmp_path / "store.db")
    store.put("test", "parent", b"x", 600)
    process = multiprocessing.get_context("fork").Process(target=_put_and_get, args=(store,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert store.get("test", "child") == b"x"
    assert store.put("test", "parent", b"y", 600)


def _put_and_get(store: Store) -> None:
    ok = store.get("test", "parent") == b"x" and store.put("test", "child", b"x", 600)
    os._exit(0 if ok else 1)


PROGRAM = """
import sys
from py_identity_model.stores import {engine}
store = {engine}({where!r})
print("ready", flush=True)
sys.stdin.readline()
for number in range({count}):
    if store.add("replay", str(number), b"", 600):
        print(number, flush=True)
"""


def start(engine: str, where: str, count: int) -> subprocess.Popen[str]:
    code = PROGRAM.format(engine=engine, where=where, count=count)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("engine", ["SqliteStore", pytest.param("RedisStore", marks=pytest.mark.needs("Redis"))])
def test_processes_share_one_memory(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Eight processes that start at once on a new store and add the same keys are told of each key once."""
    where = str(tmp_path / "store.db") if engine == "SqliteStore" else fresh_redis(request)
    running = [start(engine, where, 60) for _ in range(8)]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    told: list[int] = []
    for each in running:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    for each in running:
        out, _ = each.communicate(timeout=60)
        assert each.returncode == 0
        told += [int(line) for line in out.split()]
    assert sorted(told) == list(range(60))


def test_those_who_wait_longest_ask_most_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight busy writers starved some of them for two seconds: SQLite asks more rarely the longer it waits."""
    now, pauses = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.put("tokens", "a", b"", 60)
    monkeypatch.setattr(_sqlite.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_sqlite.time, "sleep", sleep)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreException) as caught:
        store.put("tokens", "b", b"", 60)
    assert caught.value.code == "store_busy"
    assert 2.0 <= sum(pauses) < 2.001
    assert pauses == sorted(pauses, reverse=True)
    assert (pauses[0], pauses[-1]) == (0.002, 0.0002)
    other.execute("COMMIT")
    other.close()
    assert store.put("tokens", "b", b"", 60)
    store.close()


def test_a_patience_of_years_is_one_that_sqlite_understands(tmp_path: Path) -> None:
    """A timeout whose milliseconds have more than 31 bits is no timeout of none."""
    store = SqliteStore(tmp_path / "store.db", timeout=10 * 365 * 86400)
    assert store.put("tokens", "a", b"", 60)
    assert store._open().execute("PRAGMA busy_timeout").fetchone() == (2_000_000_000,)
    store.close()


def fresh_redis(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue("shared_server")("redis-server")
    server.tell("FLUSHALL")
    return str(server.url)


@pytest.mark.parametrize("engine", ["SqliteStore", pytest.param("RedisStore", marks=pytest.mark.needs("Redis"))])
def test_a_killed_process_loses_nothing_that_was_acknowledged(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """However often a process is killed in the middle of its work, no mark is lost and none is accepted twice."""
    where = str(tmp_path / "store.db") if engine == "SqliteStore" else fresh_redis(request)
    pause = random.Random(7)
    told: list[int] = []
    for _ in range(KILLS):
        process = start(engine, where, 10**6)
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        lines = pause.randrange(1, 2 * MARKS // KILLS)
        found = [line for _, line in zip(range(lines), process.stdout, strict=False)]
        process.kill()
        found += process.stdout.readlines()
        process.communicate(timeout=30)
        told += [int(line) for line in found if line.endswith("\n")]
    assert len(told) == len(set(told)) > MARKS / 2
    store: Store = SqliteStore(where) if engine == "SqliteStore" else RedisStore(where)
    for number in told:
        assert not store.add("replay", str(number), b"", 600)
    assert store.lease("test", "a", 1) is not None
    store.close()


#: How often a process is killed, and after how many marks all in all; more by the environment.
KILLS, MARKS = int(os.environ.get("STORE_KILLS", "6")), int(os.environ.get("STORE_MARKS", "600"))


# ---- Redis


def test_a_server_that_lost_its_memory_accepts_no_proof_from_before(own_redis: Server, away: Any) -> None:
    """After a restart that forgot everything, proofs made before are refused, not accepted a second time."""
    store = away(own_redis.url)
    before = store.epoch()
    made_at = time.time() + 0.001
    assert store.add("replay", "a", b"", 600, made_at=made_at)
    fence = store.lease("tokens", "k", 600)
    own_redis.kill()
    assert code_of(lambda: store.add("replay", "a", b"", 600, made_at=made_at)) == "store_unavailable"
    own_redis.start()
    again = away(own_redis.url)
    assert code_of(lambda: again.add("replay", "a", b"", 600, made_at=made_at)) == "store_memory_lost"
    assert again.epoch().name != before.name
    assert again.add("replay", "a", b"", 600, made_at=time.time() + 1)
    later = again.lease("tokens", "k", 600)
    assert later is not None
    assert later.number > fence.number  # though the number before was forgotten


def test_a_dead_server_costs_one_attempt_per_pause(away: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes right after a failure is refused at once, with the time to wait; one tries when that is over."""
    clock = Clock()
    monkeypatch.setattr(stores_redis.Breaker.__init__, "__defaults__", (clock,))
    store = away(f"redis://127.0.0.1:{free_port()}", timeout=0.2)
    attempts = []
    breaker = behind(store)._breakers.of(None, "")
    failed = breaker.failed
    monkeypatch.setattr(breaker, "failed", lambda error: (attempts.append(clock.now), failed(error)))
    for _ in range(100):
        assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    assert len(attempts) == 1
    clock.advance(1)
    for _ in range(100):
        assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    assert len(attempts) == 2
    clock.advance(1.5)
    assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    assert len(attempts) == 2
    clock.advance(0.5)
    assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    assert len(attempts) == 3


def test_a_server_that_comes_back_is_used_again(own_redis: Server, away: Any, events: list[Any]) -> None:
    """The first call that succeeds lets everybody pass, and both changes are told of."""
    store = away(own_redis.url, timeout=2)
    assert store.put("test", "a", b"x", 600)
    own_redis.kill()
    assert code_of(lambda: store.get("test", "a")) == "store_unavailable"
    own_redis.start()
    behind(store)._breakers.of(None, "")._closed_until = 0.0
    assert store.get("test", "a") is None
    assert store.put("test", "a", b"x", 600)
    assert [event.name for event in events] == ["store_away", "store_back"]


def test_a_slow_server_costs_no_more_than_its_budget(own_redis: Server, away: Any) -> None:
    """A server that does not answer in time is away, and what it did meanwhile is found out later."""
    store = away(own_redis.url, timeout=0.2)
    assert store.put("test", "a", b"x", 600)
    own_redis.tell("CLIENT", "PAUSE", "1500", "ALL")
    assert code_of(lambda: store.add("test", "b", b"", 600)) == "store_unavailable"
    assert code_of(lambda: store.get("test", "a")) == "store_unavailable"


def test_a_full_server_forgets_nothing(own_redis: Server, away: Any) -> None:
    """A server without room refuses what is new; what it has, it has."""
    store = away(own_redis.url)
    assert store.add("replay", "a", b"x" * 1000, 600)
    own_redis.tell("CONFIG", "SET", "maxmemory", "1")
    assert code_of(lambda: store.add("replay", "b", b"", 600)) == "store_full"
    assert store.get("replay", "a") == b"x" * 1000
    own_redis.tell("CONFIG", "SET", "maxmemory", "0")
    assert not store.add("replay", "a", b"", 600)
    assert store.add("replay", "b", b"", 600)


def test_a_replica_takes_nothing(own_redis: Server, away: Any) -> None:
    """A server that became read-only says so, and is asked again when it is not."""
    store = away(own_redis.url)
    own_redis.tell("REPLICAOF", "127.0.0.1", "1")
    assert code_of(lambda: store.add("replay", "a", b"", 600)) == "store_read_only"
    own_redis.tell("REPLICAOF", "NO", "ONE")
    assert store.add("replay", "a", b"", 600)


def test_a_user_of_the_access_list(own_redis: Server, away: Any) -> None:
    """A user with the commands and keys of the store is enough; a wrong password is told of, and not shown."""
    rights = (
        "+get +set +del +hget +hmget +hset +pexpire +pttl +xadd +xdel +xrange +xrevrange +time +info +eval +evalsha"
    )
    own_redis.tell("ACL", "SETUSER", "app", "on", ">canary", "~pim:*", *rights.split())
    url = f"redis://app:canary@127.0.0.1:{own_redis.port}"
    store = away(url)
    for check in CONTRACT:
        check(Subject(store, store, time.sleep, prefix="k" + secrets.token_hex(8)))
    wrong = away(url.replace("canary", "wrong"))
    with pytest.raises(StoreException) as caught:
        wrong.get("test", "a")
    assert caught.value.code == "store_forbidden"
    assert "wrong" not in str(caught.value)
    elsewhere = away(url, prefix="other")
    assert code_of(lambda: elsewhere.get("test", "a")) in ("store_forbidden", "store_failed")


def test_what_redis_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the error gives the line that installs it; without an address it names the parameter."""
    with pytest.raises(ConfigurationException) as caught:
        RedisStore()
    assert caught.value.code == "store_argument_invalid"
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationException, match="pip install 'py-identity-model\\[redis\\]'") as caught:
        RedisStore("redis://127.0.0.1")
    assert caught.value.code == "store_package_missing"
