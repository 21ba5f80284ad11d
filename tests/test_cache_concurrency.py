"""The cache under real threads and event loops, against a provider that counts its requests."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

from py_identity_model._core.base.flow import Flow, Reply, Request, get, now, send
from py_identity_model._core.cache.answers import RefreshDenied
from py_identity_model._core.cache.cache import Cache
from py_identity_model._core.cache.entry import Entry, Fetched
from py_identity_model._core.cache.single_flight import cached
from py_identity_model.aio import _driver as aio
from py_identity_model.exceptions import JwksException, NetworkException
from py_identity_model.sync import _driver as sync

KEY = "https://id.example.com/jwks"
DELAY = 0.05


class Provider:
    """Publishes key ids, counts requests, takes its time, and can be down or hang."""

    def __init__(self) -> None:
        self.kids: frozenset[str] = frozenset({"old"})
        self.requests = 0
        self.up = True
        self.release: threading.Event | None = None
        self._lock = threading.Lock()

    def _answer(self) -> Reply:
        return Reply(200, body=" ".join(self.kids).encode()) if self.up else Reply(503)

    def _count(self) -> Reply:
        with self._lock:
            self.requests += 1
        return self._answer()

    def blocking(self, request: Request) -> Reply:
        reply = self._count()
        if self.release is None:
            time.sleep(DELAY)
        else:
            assert self.release.wait(10)
        return reply

    async def awaitable(self, request: Request) -> Reply:
        reply = self._count()
        await (trio.sleep(DELAY) if trio.lowlevel.in_trio_run() else asyncio.sleep(DELAY))
        return reply


class Times:
    """Shorter than any test waits, or long enough for none to notice."""

    fresh, revalidate, error = 600.0, 600.0, 86400.0


def fetch(previous: Entry[frozenset[str]] | None) -> Flow[Fetched[frozenset[str]]]:
    reply = yield from send(get(KEY))
    if reply.status != 200:
        raise JwksException(f"HTTP {reply.status}", url=KEY, status_code=reply.status, code="jwks_unavailable")
    return Fetched(frozenset(reply.body.decode().split()), Times.fresh, Times.revalidate, Times.error)


def keys(cache: Cache[frozenset[str]]) -> Flow[frozenset[str]]:
    entry = yield from cached(cache, KEY, fetch)
    return entry.value


def verify(cache: Cache[frozenset[str]], kid: str, cooldown: float = 5.0) -> Flow[str]:
    """Decide about a token as a validator does: look, refresh, and once more if the set is older than the token."""
    arrived = (yield from now()).steady
    entry = cache.peek(KEY, arrived) or (yield from cached(cache, KEY, fetch))
    for _ in range(2):
        if kid in entry.value:
            return "valid"
        if entry.started_at > arrived:
            return "invalid"
        try:
            entry = yield from cached(cache, KEY, fetch, newer_than=entry.version, cooldown=cooldown)
        except RefreshDenied:
            return "invalid"
        except NetworkException:
            return "unavailable"
    return "valid" if kid in entry.value else "invalid"


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def cache() -> Cache[frozenset[str]]:
    return Cache("jwks")


def warm(cache: Cache[frozenset[str]], provider: Provider) -> None:
    sync.run(keys(cache), provider.blocking)
    provider.requests = 0


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run every job in a thread of its own, all started at the same moment."""
    barrier = threading.Barrier(len(jobs))

    def start(job: Callable[[], Any]) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(start, job) for job in jobs]
        return [future.result(30) for future in futures]


def on_asyncio(count: int, flow: Callable[[int], Flow[Any]], provider: Provider) -> Callable[[], list[Any]]:
    async def main() -> list[Any]:
        return list(await asyncio.gather(*(aio.run(flow(n), provider.awaitable) for n in range(count))))

    return lambda: asyncio.run(main())


def on_trio(count: int, flow: Callable[[int], Flow[Any]], provider: Provider) -> Callable[[], list[Any]]:
    results: list[Any] = []

    async def one(n: int) -> None:
        results.append(await aio.run(flow(n), provider.awaitable))

    async def main() -> list[Any]:
        async with trio.open_nursery() as nursery:
            for n in range(count):
                nursery.start_soon(one, n)
        return results

    return lambda: trio.run(main)


def on_threads(count: int, flow: Callable[[int], Flow[Any]], provider: Provider) -> list[Callable[[], list[Any]]]:
    def job(n: int) -> Callable[[], list[Any]]:
        return lambda: [sync.run(flow(n), provider.blocking)]

    return [job(n) for n in range(count)]


def everywhere(threads: int, tasks: int, flow: Callable[[int], Flow[Any]], provider: Provider) -> list[Any]:
    """Run the flow on so many threads and, at the same time, in so many tasks on two asyncio loops and one of trio."""
    share = tasks // 3
    loops = [on_asyncio(share, flow, provider), on_asyncio(share, flow, provider), on_trio(share, flow, provider)]
    return [result for job in together(*on_threads(threads, flow, provider), *loops) for result in job]


# --- counting


def test_a_cold_start_is_one_fetch(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """A hundred threads and a thousand tasks on three loops that start together fetch once."""
    results = everywhere(100, 999, lambda n: keys(cache), provider)
    assert len(results) == 1099
    assert set(results) == {provider.kids}
    assert provider.requests == 1


def test_a_rotation_under_load_is_one_fetch_and_every_token_is_accepted(
    cache: Cache[frozenset[str]], provider: Provider
) -> None:
    """A thousand concurrent tokens with the new key are all accepted, for one fetch."""
    warm(cache, provider)
    provider.kids = frozenset({"old", "new"})
    results = everywhere(50, 999, lambda n: verify(cache, "new"), provider)
    assert set(results) == {"valid"}
    assert provider.requests == 1


@pytest.mark.parametrize(("up", "verdict"), [(True, "invalid"), (False, "unavailable")])
def test_a_flood_of_forged_keys_is_two_fetches_at_most(
    cache: Cache[frozenset[str]], provider: Provider, up: bool, verdict: str
) -> None:
    """Ten thousand unknown kids at once reach a healthy provider twice and a failing one no more often."""
    warm(cache, provider)
    provider.up = up
    results = everywhere(40, 9960, lambda n: verify(cache, f"forged-{n}", 60.0), provider)
    assert set(results) == {verdict}
    assert provider.requests <= 2
    assert sync.run(verify(cache, "old"), provider.blocking) == "valid"


def test_a_rotation_during_a_flood_gets_through(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """While forged keys use up every permitted refresh, a published key is found with the next one."""
    warm(cache, provider)
    stop = threading.Event()

    def flood() -> int:
        count = 0
        while not stop.is_set():
            sync.run(verify(cache, f"forged-{count}", 0.3), provider.blocking)
            count += 1
        return count

    def rotate() -> str:
        while cache.snapshot(KEY, time.monotonic()).refresh_in <= 0:
            time.sleep(0.001)
        provider.kids = frozenset({"new"})
        try:
            return sync.run(verify(cache, "new", 0.3), provider.blocking)
        finally:
            stop.set()

    began = time.monotonic()
    *_, verdict = together(*[flood] * 8, rotate)
    assert verdict == "valid"
    assert provider.requests <= 2 + (time.monotonic() - began) / 0.3


def test_known_keys_never_wait(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """While a refresh hangs, tokens with known keys are accepted at once (T10)."""
    warm(cache, provider)
    provider.release = threading.Event()
    forged = threading.Thread(target=lambda: sync.run(verify(cache, "forged"), provider.blocking))
    forged.start()
    try:
        while not cache.snapshot(KEY, time.monotonic()).fetching:
            time.sleep(0.001)
        began = time.monotonic()
        assert {sync.run(verify(cache, "old"), provider.blocking) for _ in range(1000)} == {"valid"}
        assert time.monotonic() - began < 1.0
    finally:
        provider.release.set()
        forged.join()


def test_cold_callers_share_the_failure(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """Ten cold callers of a failing provider are one fetch, and the next ones are answered at once."""
    provider.up = False

    def job() -> NetworkException:
        with pytest.raises(JwksException) as caught:
            sync.run(keys(cache), provider.blocking)
        return caught.value

    began = time.monotonic()
    errors = together(*[job] * 10)
    assert time.monotonic() - began < 1.0
    assert len({id(e) for e in errors}) == 10
    assert provider.requests == 1
    quickest = min(_seconds(job) for _ in range(5))
    assert quickest < 0.005
    assert provider.requests == 1


def _seconds(job: Callable[[], Any]) -> float:
    began = time.monotonic()
    job()
    return time.monotonic() - began


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Times, "fresh", 0.0)


def test_a_stale_entry_is_used_while_one_caller_refreshes_it(
    cache: Cache[frozenset[str]], provider: Provider, stale: None
) -> None:
    """However many ask for a stale entry, none of them waits and one refresh is under way."""
    warm(cache, provider)
    provider.release = threading.Event()
    began = time.monotonic()
    results = together(*[lambda: sync.run(keys(cache), provider.blocking)] * 30)
    assert time.monotonic() - began < 1.0
    assert set(results) == {frozenset({"old"})}
    provider.release.set()
    _until(lambda: cache.refreshes == 1)
    assert provider.requests == 1


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


# --- leaders and followers that go away


def test_a_cancelled_task_hands_over(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """asyncio: cancelling the task that fetches lets another one fetch; cancelling one that waits harms nobody."""

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(aio.run(keys(cache), provider.awaitable)) for _ in range(6)]
        await asyncio.sleep(DELAY / 5)
        tasks[0].cancel()
        tasks[5].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *middle, last = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(last, asyncio.CancelledError)
    assert middle == [provider.kids] * 4
    assert provider.requests == 2


def test_a_cancelled_scope_hands_over(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """trio: a cancelled scope around the leader lets a follower fetch."""
    results = []

    async def follower() -> None:
        results.append(await aio.run(keys(cache), provider.awaitable))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(DELAY / 2):
                nursery.start_soon(_later, follower)
                await aio.run(keys(cache), provider.awaitable)

    trio.run(main)
    assert results == [provider.kids]
    assert provider.requests == 2


async def _later(job: Callable[[], Awaitable[None]]) -> None:
    await trio.sleep(DELAY / 5)
    await job()


@pytest.mark.parametrize("how", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_dying_thread_hands_over(cache: Cache[frozenset[str]], provider: Provider, how: type[BaseException]) -> None:
    """A thread that dies in the middle of its fetch leaves the fetch to a caller that waits for it."""
    leading, dying = threading.Event(), threading.Event()

    def die(request: Request) -> Reply:
        leading.set()
        assert dying.wait(10)
        raise how

    def leader() -> None:
        with pytest.raises(how):
            sync.run(keys(cache), die)

    def follower() -> frozenset[str]:
        assert leading.wait(10)
        threading.Timer(DELAY / 5, dying.set).start()
        return sync.run(keys(cache), provider.blocking)

    assert together(leader, follower, follower)[1:] == [provider.kids] * 2
    assert provider.requests == 1


def test_a_loop_that_is_closed_leaves_no_trace(
    cache: Cache[frozenset[str]], provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A follower whose loop is gone when the fetch ends disturbs neither the leader nor the log."""
    provider.release = threading.Event()
    leader = threading.Thread(target=lambda: sync.run(keys(cache), provider.blocking))
    leader.start()
    _until(lambda: cache.snapshot(KEY, time.monotonic()).fetching)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aio.run(keys(cache), provider.awaitable), DELAY / 5)

    with caplog.at_level(logging.WARNING):
        asyncio.run(impatient())
        provider.release.set()
        leader.join()
        gc.collect()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
    assert asyncio.run(aio.run(keys(cache), provider.awaitable)) == provider.kids
    assert provider.requests == 1


def test_one_loop_after_another(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """asyncio.run again and again, then trio, then a thread: the entry belongs to none of them."""
    for _ in range(3):
        assert asyncio.run(aio.run(keys(cache), provider.awaitable)) == provider.kids
    assert trio.run(aio.run, keys(cache), provider.awaitable) == provider.kids
    assert sync.run(keys(cache), provider.blocking) == provider.kids
    assert provider.requests == 1


def test_a_refresh_that_dies_with_its_loop_is_begun_again(
    cache: Cache[frozenset[str]], provider: Provider, stale: None
) -> None:
    """A background refresh cut off by the end of asyncio.run is taken up by the next caller."""
    warm(cache, provider)
    assert asyncio.run(aio.run(keys(cache), provider.awaitable)) == provider.kids
    gc.collect()
    assert sync.run(keys(cache), provider.blocking) == provider.kids
    _until(lambda: cache.refreshes == 1)


def test_a_sync_call_on_the_thread_of_a_loop_finishes(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """It cannot wait for a task of that very loop, so it fetches itself; forced refreshes stay rationed."""

    async def main() -> None:
        leader = asyncio.create_task(aio.run(keys(cache), provider.awaitable))
        await asyncio.sleep(DELAY / 5)
        assert sync.run(keys(cache), provider.blocking) == provider.kids
        assert await leader == provider.kids
        assert provider.requests == 2
        for n in range(20):
            assert sync.run(verify(cache, f"forged-{n}"), provider.blocking) == "invalid"
        assert provider.requests == 4

    asyncio.run(main())


def test_clear_during_a_storm_leaves_nothing_old_behind(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """After clear() no fetch that began before it puts its entry back."""
    provider.release = threading.Event()
    threads = [threading.Thread(target=lambda: sync.run(keys(cache), provider.blocking)) for _ in range(10)]
    for thread in threads:
        thread.start()
    _until(lambda: provider.requests == 1)
    cache.clear()
    provider.release.set()
    for thread in threads:
        thread.join()
    entry = cache.peek(KEY, time.monotonic())
    assert entry is None or provider.requests == 2


@pytest.mark.needs("fork")
def test_a_forked_child_can_use_the_cache(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """A child forked while another thread holds the lock and fetches has the entries and can fetch itself."""
    warm(cache, provider)
    provider.release = threading.Event()
    refresh = threading.Thread(target=lambda: sync.run(verify(cache, "new"), provider.blocking))
    refresh.start()
    _until(lambda: cache.snapshot(KEY, time.monotonic()).fetching)
    held, done = threading.Event(), threading.Event()
    holder = threading.Thread(target=_hold, args=(cache, held, done))
    holder.start()
    assert held.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that this is not safe in general is the point
        pid = os.fork()
    if pid == 0:
        os._exit(_in_child(cache))
    done.set()
    provider.release.set()
    holder.join()
    refresh.join()
    end = time.monotonic() + 10
    status = None
    while status is None and time.monotonic() < end:
        found, code = os.waitpid(pid, os.WNOHANG)
        status = code if found else time.sleep(0.005)
    if status is None:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert status == 0


def _hold(cache: Cache[Any], held: threading.Event, done: threading.Event) -> None:
    with cache._lock:
        held.set()
        assert done.wait(10)


def _in_child(cache: Cache[frozenset[str]]) -> int:
    try:
        provider = Provider()
        provider.kids = frozenset({"old", "new"})
        verdicts = [sync.run(verify(cache, kid), provider.blocking) for kid in ("old", "new")]
        return 0 if (verdicts, provider.requests) == (["valid", "valid"], 1) else 1
    except BaseException:
        return 2


def test_readers_never_see_half_a_swap(cache: Cache[frozenset[str]], provider: Provider) -> None:
    """While entries are replaced thousands of times, every reader sees whole ones, in order."""
    warm(cache, provider)
    stop = threading.Event()

    def read() -> bool:
        last = 0
        while not stop.is_set():
            entry = cache.peek(KEY, time.monotonic())
            assert entry is not None
            assert entry.version >= last
            last = entry.version
        return True

    def write() -> bool:
        try:
            for n in range(2000):
                sync.run(
                    cached(cache, KEY, fetch, newer_than=cache.version(KEY), cooldown=0),
                    lambda request, n=n: Reply(200, body=b"old %d" % n),
                )
        finally:
            stop.set()
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        assert all(together(read, read, read, write))
    finally:
        sys.setswitchinterval(interval)
    assert cache.refreshes == 2000
