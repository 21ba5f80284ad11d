"""Redis and Valkey for tests: servers on loopback that can be killed, slowed, grouped; and stores of both colours."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from parts import leave_out
from py_identity_model.exceptions import StoreException
from py_identity_model.stores import AsyncRedisStore, RedisStore, Store
from py_identity_model.testing.store_contract import blocking

#: Both servers; each test that takes one runs on both.
PROGRAMS = (
    pytest.param("redis-server", id="redis7", marks=pytest.mark.needs("Redis")),
    pytest.param("valkey-server", id="valkey8", marks=pytest.mark.needs("Valkey")),
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A Redis or Valkey of a test, on loopback, that can be killed and started again.

    Args:
        folder: Where it keeps its files.
        options: What its command line has more.
        program: The server.
        scheme: What its URL begins with; the port listens for TLS if that is ``rediss``.
        port: The port; by default a free one.
    """

    def __init__(
        self, folder: Path, *options: str, program: str = "redis-server", scheme: str = "redis", port: int | None = None
    ) -> None:
        found = shutil.which(program) or leave_out("Redis", f"{program} is not installed")
        self.port = port or free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        listen = ["--port", "0", "--tls-port"] if scheme == "rediss" else ["--port"]
        self._command = [found, *listen, str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._command += options
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)  # the server is another process: nothing tells when it listens
        self.kill()
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def tell(self, *command: str) -> Any:
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*command)


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for what another process does, and return what *condition* found."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)  # nothing tells when another process has come so far
    raise AssertionError("it does not happen")


class Slow:
    """A proxy of a test before a server: each answer comes *delay* seconds late, or never while it is *deaf*."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.delay, self.deaf = 0.0, False
        #: Connections that were made.
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._to))
            for way in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if answers and self.deaf:
                    continue
                if answers and self.delay:
                    time.sleep(self.delay)  # the delay is what is tested
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            each.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """A function that returns the server of a program that tests share which do not harm it."""
    running: dict[str, Server] = {}

    def server(name: str) -> Server:
        if name not in running:
            running[name] = Server(tmp_path_factory.mktemp("redis"), program=name)
        return running[name]

    yield server
    for each in running.values():
        each.kill()


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    """The name of each server's program."""
    return str(request.param)


@pytest.fixture
def own_redis(program: str, tmp_path: Path) -> Iterator[Server]:
    """A server of one test."""
    server = Server(tmp_path, program=program)
    yield server
    server.kill()


@pytest.fixture
def slow(own_redis: Server) -> Iterator[Slow]:
    """A proxy before the server of this test."""
    proxy = Slow(own_redis.port)
    yield proxy
    proxy.close()


@pytest.fixture
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    with looping() as loop:
        yield loop


@contextmanager
def looping() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(params=["sync", "async"])
def away(request: pytest.FixtureRequest) -> Iterator[Callable[..., Store]]:
    """Make a store on Redis, of either colour."""
    if request.param == "sync":
        yield RedisStore
        return
    loop = request.getfixturevalue("running_loop")

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    made: list[Store] = []

    def make(*args: Any, **options: Any) -> Store:
        made.append(blocking(AsyncRedisStore(*args, **options), run))
        return made[-1]

    yield make
    for store in made:
        store.close()


def behind(store: Any) -> Any:
    """Return the store itself, where *away* made one that is to be awaited."""
    return getattr(store, "_store", store)


def code_of(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except StoreException as error:
        return error.code if error.__context__ is None else "a foreign exception shows"
    return None
