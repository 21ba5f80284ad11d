"""The shared harness: flows performed by each driver from one script, a frozen clock, a misbehaving server."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import isgenerator
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - before what it looks for is frozen, or it warns
import pytest
import trio
import trustme

import parts
import redis_servers
from apis import Api
from fault_server import FaultServer
from py_identity_model import observability
from py_identity_model._core.base import exchange_observers, store_records
from py_identity_model._core.base.flow import Clock, Reply, Request
from py_identity_model.aio import _driver as aio_driver
from py_identity_model.settings import reset_settings
from py_identity_model.sync import _driver as sync_driver
from py_identity_model.sync._clients import close_http_client


def pytest_configure(config: pytest.Config) -> None:
    """Leave out what is not here, and say so at the end."""
    config.pluginmanager.register(parts, "parts")
    config.pluginmanager.register(redis_servers, "redis-servers")
    gc.disable()  # what is collected is kept: to look for garbage among it costs a seventh of the time


#: Where tests take longest: they begin first, or the other workers wait for the last of them at the end.
LONGEST = (
    "tests/test_quality.py",
    "tests/test_types.py",
    "tests/test_effects_of_parameters.py::test_tests_elsewhere_notice",
    "tests/test_token_processes.py",
    "tests/test_fleet.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish() -> None:
    """Keep 34,000 tests out of every later search for garbage, which some tests ask for again and again."""
    gc.freeze()
    gc.enable()


#: Seconds after which a test that hangs shows where; how often the watch is set anew, as each setting costs a thread.
HANGS, WATCH = 300.0, 30.0
_watched_from = -WATCH


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have a test that hangs show where."""
    global _watched_from
    if time.monotonic() >= _watched_from + WATCH:
        _watched_from = time.monotonic()
        stderr = item.config.stash[item.config.pluginmanager.getplugin("faulthandler").fault_handler_stderr_fd_key]
        faulthandler.dump_traceback_later(HANGS + WATCH, file=stderr)


def pytest_sessionfinish() -> None:
    """End the watch."""
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published test vectors; a test that wants it is left out where it is missing."""
    return parts.VECTORS


@pytest.fixture(autouse=True)
def _clean_slate() -> Iterator[None]:
    """Give each test settings read anew, its own observers, and empty caches; no thread may outlive its test."""
    observers = observability._observers, exchange_observers._observers, store_records._listeners
    threads = set(threading.enumerate())
    reset_settings()
    yield
    observability._observers, exchange_observers._observers, store_records._listeners = observers
    reset_settings()
    close_http_client()
    for name in ("sync", "aio"):
        api_module = sys.modules.get(f"py_identity_model.{name}._validation")
        if api_module is not None:
            api_module.default_stores.cache_clear()
    left = [thread for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    assert not [thread for thread in left if thread.join(5) or thread.is_alive()], left


#: Modules whose every test runs on both engines.
ON_BOTH_ENGINES = ("test_attacks", "test_validation", "test_vectors")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of those modules once per engine."""
    if metafunc.module.__name__.rpartition(".")[2] in ON_BOTH_ENGINES:
        metafunc.parametrize("_engine", parts.ENGINES, indirect=True)


@pytest.fixture(autouse=True)
def _engine(request: pytest.FixtureRequest, _clean_slate: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an engine the default one, in modules that run on both."""
    if not hasattr(request, "param"):
        return
    monkeypatch.setenv("PY_IDENTITY_MODEL_ENGINE", request.param)
    reset_settings()


@pytest.fixture(params=parts.ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The name of each engine."""
    return str(request.param)


@dataclass
class FrozenClock:
    """Both clocks; they move when told to, and when a flow sleeps."""

    wall: float = 1_800_000_000.0
    steady: float = 1_000.0
    #: How long flows have slept, pause by pause.
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> Clock:
        return Clock(self.wall, self.steady)

    def advance(self, seconds: float) -> None:
        """Move both hands."""
        self.wall += seconds
        self.steady += seconds

    def pause(self, seconds: float) -> None:
        """Sleep without waiting."""
        self.slept.append(seconds)
        self.advance(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FrozenClock:
    """The clock that both drivers read and sleep by in this test."""
    frozen = FrozenClock()

    async def pause(seconds: float) -> None:
        frozen.pause(seconds)

    for driver in (sync_driver, aio_driver):
        monkeypatch.setattr(driver, "read_clock", frozen)
    for name in ("sync._validation", "aio._validation", "_token_validator"):
        api_module = importlib.import_module(f"py_identity_model.{name}")
        monkeypatch.setattr(api_module, "time", lambda: frozen.wall)
        monkeypatch.setattr(api_module, "monotonic", lambda: frozen.steady)
    monkeypatch.setattr(sync_driver, "pause", frozen.pause)
    monkeypatch.setattr(aio_driver, "pause", pause)
    return frozen


Scripted = Reply | BaseException | Callable[[Request], Any]


class Script:
    """A transport that answers from a list."""

    def __init__(self, replies: tuple[Scripted, ...]) -> None:
        self._replies = list(replies)
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Any:
        self.requests.append(request)
        assert self._replies, f"unexpected request {len(self.requests)}: {request!r}"
        reply = self._replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply.with_traceback(None)  # shared by many tests, it would carry the frames of all of them
        return reply if isinstance(reply, Reply) else reply(request)


class Performer:
    """Performs flows with one of the drivers: ``perform(flow, *replies) -> (result, requests)``.

    Args:
        kind: ``sync``, ``asyncio`` or ``trio``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, flow: Any, *replies: Scripted) -> tuple[Any, list[Request]]:
        """Run a flow, or what a function without parameters makes of it, with *replies*; then what it started."""
        script = Script(replies)
        result = self.run(flow if isgenerator(flow) else flow(), script)
        return result, script.requests

    def run(self, flow: Any, http_client: Any = None) -> Any:
        """Run a flow over any transport, and wait for what it leaves running in the background."""
        if self.kind == "sync":
            result = sync_driver.run(flow, http_client)
            for thread in list(sync_driver._background):
                thread.join(2)
            return result
        return self.loop(self._run, flow, http_client)

    async def _run(self, flow: Any, http_client: Any) -> Any:
        import anyio

        result = await aio_driver.run(flow, http_client)
        end = time.monotonic() + 2
        while aio_driver._background and time.monotonic() < end:
            await anyio.sleep(0)
        return result

    def loop(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a coroutine function in a new loop of this kind."""
        return trio.run(function, *args) if self.kind == "trio" else asyncio.run(function(*args))


@pytest.fixture(params=["sync", "asyncio", "trio"])
def perform(request: pytest.FixtureRequest, clock: FrozenClock) -> Performer:
    """A performer for each driver in turn, with the frozen clock."""
    return Performer(request.param)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def driver(request: pytest.FixtureRequest) -> Performer:
    """A performer for each driver in turn, with the real clock."""
    return Performer(request.param)


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A loopback server that misbehaves as the path says."""
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """The authority's certificate as a file."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[Callable[..., FaultServer]]:
    """A function that starts a fault server with a certificate: by default one for localhost and 127.0.0.1."""
    started: list[FaultServer] = []

    def start(
        certificate: trustme.LeafCert | None = None, change: Callable[[ssl.SSLContext], object] = bool
    ) -> FaultServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (certificate or authority.issue_cert("localhost", "127.0.0.1")).configure_cert(context)
        change(context)
        started.append(FaultServer(context))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(params=["sync", "asyncio", "trio"])
def api(request: pytest.FixtureRequest) -> Api:
    """Both APIs, the awaitable one under both event loops."""
    return Api(request.param)
