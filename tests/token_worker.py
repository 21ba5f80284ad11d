"""A process that keeps asking for the token of one login, and may be killed at any step of a renewal.

Usage: ``token_worker.py ISSUER CLIENT_ID CLIENT_SECRET STORE KIND TASKS SECONDS STEP CHANCE GRAVE``. Failures are told
on the standard output, one a line, and at the end the number of calls. Processes die one at a time: who dies makes the
file GRAVE, and who keeps new tokens next removes it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import trio

from py_identity_model import (
    AccessToken,
    DiscoveryDocumentRequest,
    LoginClient,
    OAuthClient,
    PyIdentityModelException,
    aio,
    get_discovery_document,
)
from py_identity_model._core.client.held_tokens import ENTRIES, Held
from py_identity_model.stores import EncryptedStore, RedisStore, SqliteStore

SUBJECT = "alice"
SEAL = bytes(range(32))
#: Seconds between two requests of one task.
PAUSE = 0.05
#: Where in its life a token may be renewed at the earliest: the first window begins at 72 %.
EARLIEST = 0.7
#: The token that was given out last.
LAST: list[AccessToken] = []


def die(step: str) -> None:
    """End without a word, as by ``kill -9``."""
    if STEP in (step, "any") and random.random() < CHANCE and first_to_die():
        os.kill(os.getpid(), signal.SIGKILL)


def first_to_die() -> bool:
    """Tell whether everything has gone well again since the last death."""
    try:
        os.close(os.open(GRAVE, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def mortal(base: type) -> type:
    """Return a store whose process may die after a lease was taken, and after new tokens were kept.

    It tells of a token that was replaced before its first window.
    """

    class Mortal(base):  # type: ignore[misc, valid-type] # either engine
        def lease(self, *args: Any) -> Any:
            lease = super().lease(*args)
            if lease is not None:
                die("leased")
            return lease

        def swap(self, topic: str, key: str, old: bytes | None, new: bytes, lifetime: float) -> Any:
            kept = super().swap(topic, key, old, new, lifetime)
            if kept:
                Path(GRAVE).unlink(missing_ok=True)
                check_age(ENTRIES.decoded(old), ENTRIES.decoded(new))
            die("kept")
            return kept

    return Mortal


def check_age(old: Held | None, new: Held | None) -> None:
    """Tell of tokens that were not old enough to be replaced."""
    for name, token in (new.tokens if new else {}).items():
        before = old.tokens.get(name) if old else None
        if before is None or before.expires_at is None:
            continue
        age, life = token.obtained_at - before.obtained_at, before.expires_at - before.obtained_at
        if age < EARLIEST * life:
            sys.stdout.write(f"early {age:.2f} s of {life:.2f}\n")


def store_of(where: str) -> Any:
    """Return the store at an address."""
    if where.startswith("redis://"):
        return mortal(EncryptedStore)(RedisStore(where), [SEAL])
    return mortal(SqliteStore)(where)


def options() -> dict[str, Any]:
    """Return how the client is made: it waits for a dead process no longer than it must."""
    return {"store": store_of(STORE), "renewal_timeout": float(os.environ.get("TOKEN_RENEWAL", "2"))}


def described() -> LoginClient:
    """Return the client."""
    return LoginClient(
        issuer=ISSUER,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        headers=lambda: {"x-pid": str(os.getpid())},
    )


def pause() -> float:
    """Return how long one task waits: a thousand of them ask as often as fifty."""
    return PAUSE * (0.5 + random.random()) * max(1, TASKS // 50)


def tell(error: PyIdentityModelException, before: list[AccessToken]) -> None:
    """Write a failure down, and whether the token of before the call is still good."""
    good = "good" if before and time.time() < (before[0].expires_at or 0.0) else "over"
    sys.stdout.write(f"failed {error.code} {good} {str(error)[:200]}\n")
    sys.stdout.flush()


def threads() -> int:
    """Ask in threads."""
    client, calls = OAuthClient(described(), **options()), [0]
    while not get_discovery_document(ASKED).is_successful:  # nothing is loaded yet, on a machine that may be busy
        pass
    end = time.monotonic() + SECONDS

    def work() -> None:
        while time.monotonic() < end:
            before = LAST[:]
            try:
                LAST[:] = [client.token(subject=SUBJECT)]
            except PyIdentityModelException as error:
                tell(error, before)
            calls[0] += 1
            time.sleep(pause())

    running = [threading.Thread(target=work) for _ in range(TASKS)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return calls[0]


async def tasks() -> int:
    """Ask in tasks of an event loop."""
    import anyio

    client, calls = aio.OAuthClient(described(), **options()), [0]
    while not (await aio.get_discovery_document(ASKED)).is_successful:  # as above
        pass
    end = time.monotonic() + SECONDS

    async def work() -> None:
        while time.monotonic() < end:
            before = LAST[:]
            try:
                LAST[:] = [await client.token(subject=SUBJECT)]
            except PyIdentityModelException as error:
                tell(error, before)
            calls[0] += 1
            await anyio.sleep(pause())

    async with anyio.create_task_group() as group:
        for _ in range(TASKS):
            group.start_soon(work)
    return calls[0]


def main() -> int:
    """Do as the arguments say."""
    if KIND == "threads":
        return threads()
    return asyncio.run(tasks()) if KIND == "asyncio" else trio.run(tasks)


if __name__ == "__main__":
    ISSUER, CLIENT_ID, CLIENT_SECRET, STORE, KIND = sys.argv[1:6]
    ASKED = DiscoveryDocumentRequest(ISSUER)
    TASKS, SECONDS, STEP, CHANCE = int(sys.argv[6]), float(sys.argv[7]), sys.argv[8], float(sys.argv[9])
    GRAVE = sys.argv[10]
    print("calls", main(), flush=True)
