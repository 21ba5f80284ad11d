"""Crashes: processes and servers that are killed at any moment, disks that fill up; nothing acknowledged is lost.

More of it by the environment: STORE_KILLS (of processes), STORE_RENEWALS, STORE_MARKS; `make crash` sets them.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from py_identity_model.exceptions import StoreException
from py_identity_model.stores import EncryptedStore, RedisStore, SqliteStore, Store
from redis_servers import PROGRAMS, Server, until

KEY = bytes(range(32))
KILLS = int(os.environ.get("STORE_KILLS", "6"))
RENEWALS = int(os.environ.get("STORE_RENEWALS", "60"))

OPEN = """
import sys, time
from py_identity_model.stores import EncryptedStore, RedisStore, SqliteStore
where, key = {where!r}, bytes(range(32))
store = EncryptedStore(RedisStore(where, timeout=20), key) if "://" in where else SqliteStore(where, timeout=20)
"""
RENEW = (
    OPEN
    + """
print("ready", flush=True)
while True:
    lease = store.lease("tokens", "ada", 0.5)
    if lease is None:
        time.sleep(0.002)
        continue
    held = store.get("tokens", "ada")
    number = int(held or b"0") + 1
    print("asked", number, flush=True)
    if store.swap("tokens", "ada", held, str(number).encode(), 600, lease=lease):
        print("stored", number, flush=True)
    store.release(lease)
"""
)


class Renewing:
    """A process that renews a token again and again; what it says is read as it comes."""

    def __init__(self, where: str, said: list[tuple[str, int]]) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", RENEW.format(where=where)], stdout=subprocess.PIPE, text=True
        )
        assert self._popen.stdout is not None
        assert self._popen.stdout.readline() == "ready\n"
        self._said = said
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            if line.endswith("\n"):
                word, number = line.split()
                self._said.append((word, int(number)))

    def kill(self) -> None:
        self._popen.kill()
        self._reader.join(30)
        self._popen.wait(30)
        assert self._popen.stdout is not None
        self._popen.stdout.close()


@pytest.fixture(params=["sqlite", *PROGRAMS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where a store is that other processes open too."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.db")
        return
    server = Server(tmp_path, program=request.param)
    yield server.url
    server.kill()


def opened(where: str) -> Store:
    return EncryptedStore(RedisStore(where), KEY) if "://" in where else SqliteStore(where)


def test_renewals_survive_kills(place: str) -> None:
    """However often one of two is killed, each renewal is stored once, in order; a dead one's lease ends in time."""
    chance = random.Random(11)
    said: list[tuple[str, int]] = []
    running = [Renewing(place, said) for _ in range(2)]
    for kill in range(KILLS):
        goal = RENEWALS * (kill + 1) // KILLS
        until(lambda goal=goal: len(said) >= 2 * goal, 60)
        time.sleep(chance.random() / 50)  # anywhere in the next renewal
        running[kill % 2].kill()
        running[kill % 2] = Renewing(place, said)
    began, before = time.monotonic(), len(said)
    until(lambda: len(said) > before + 4, 30)
    assert time.monotonic() - began < 15
    for each in running:
        each.kill()
    stored = [number for word, number in said if word == "stored"]
    store = opened(place)
    held = int(store.get("tokens", "ada") or b"0")
    store.close()
    assert len(stored) == len(set(stored)) >= RENEWALS
    # Who was killed after it stored, and before it said so, leaves a gap; nobody else does.
    assert held - len(stored) <= KILLS + 2
    assert max(stored) <= held <= max(stored) + 2
    # A renewal is asked for again only by the successor of one that was killed before it stored.
    asked = [number for word, number in said if word == "asked"]
    assert len(asked) - len(set(asked)) <= KILLS + 2


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_killed_server_accepts_nothing_twice(program: str, tmp_path: Path) -> None:
    """Whenever a server is killed, with a file of its own or without, a proof it acknowledged is not accepted again."""
    chance = random.Random(5)
    for options in (("--appendonly", "yes", "--appendfsync", "always"), ()):
        folder = tmp_path / str(len(options))
        folder.mkdir()
        server = Server(folder, *options, program=program)
        accepted: list[tuple[str, float]] = []
        for life in range(3):
            store = RedisStore(server.url, timeout=5)
            until(lambda store=store: answers(store))
            for number in range(chance.randrange(20, 80)):
                made_at = time.time() + 0.002
                assert store.add("replay", f"{life}-{number}", b"", 600, made_at=made_at)
                accepted.append((f"{life}-{number}", made_at))
            server.kill()
            server.start()
        store = RedisStore(server.url, timeout=5)
        until(lambda store=store: answers(store))
        assert not any(accepts(store, key, made_at) for key, made_at in accepted)
        server.kill()


def answers(store: Store) -> bool:
    try:
        store.get("test", "a")
    except StoreException:
        return False
    return True


def accepts(store: Store, key: str, made_at: float) -> bool:
    try:
        return store.add("replay", key, b"", 600, made_at=made_at)
    except StoreException as error:
        if error.code != "store_memory_lost":
            raise
        return False


FILL = (
    OPEN
    + """
import resource
store.put("test", "first", b"kept", 600)
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
kept = 0
try:
    for number in range(1000):
        store.add("test", str(number), b"x" * 4000, 600)
        kept += 1
except Exception as error:
    print(type(error).__name__, error.code, kept)
assert store.get("test", "first") == b"kept"
assert all(store.get("test", str(number)) for number in range(kept))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.add("test", "after", b"", 600)
print("goes on")
"""
)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Where the system lets a file grow no more the store says so; what it acknowledged stays, and it goes on later."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)
    code = FILL.format(where=str(tmp_path / "store.db"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    kind, reason, kept = first.split()
    assert (kind, reason) in {("StoreException", "store_full"), ("StoreException", "store_unavailable")}
    assert int(kept) > 3
    assert last == "goes on"


def test_a_file_that_is_deleted_under_use(tmp_path: Path) -> None:
    """When the file is deleted or replaced under several processes, none of them accepts a proof of before."""
    path = tmp_path / "store.db"
    stores = [SqliteStore(path) for _ in range(3)]
    made_at = stores[0].epoch().since
    assert stores[0].add("replay", "a", b"", 600, made_at=made_at)
    for change in ("deleted", "replaced"):
        for each in tmp_path.glob("store.db*"):
            each.unlink()
        if change == "replaced":
            other = SqliteStore(tmp_path / "other.db")
            other.put("test", "b", b"", 60)
            other.close()
            (tmp_path / "other.db").rename(path)
        assert not any(accepts(store, "a", made_at) for store in stores)
        since = max(store.epoch().since for store in stores)
        assert sum(accepts(store, "b", since + 1) for store in stores) == 1
        made_at = since + 0.0001
    for store in stores:
        store.close()
