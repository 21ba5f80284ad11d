"""One call, one deadline: a validation ends in time however late its provider fails, and fetches take turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from apis import Api, Provider
from fault_server import FaultServer, Seen, whole
from py_identity_model import HTTPClient, aio
from py_identity_model._core.base.budget import within_budget
from py_identity_model._core.base.flow import IMPATIENT, Flow, Reply, get, now, send, sleep, wait
from py_identity_model._core.cache.cache import Cache
from py_identity_model._core.cache.entry import Fetched
from py_identity_model._core.cache.single_flight import cached
from py_identity_model._core.discovery.trust import Stores
from py_identity_model.exceptions import NetworkException, TransportException
from py_identity_model.settings import Settings, reset_settings

TIMEOUT = 0.4
#: What a loaded machine may add.
SLACK = 1.0
URL = "https://id.example.com/"


class Late(FaultServer):
    """A provider that fails each request just before the timeout of one exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.how, self.busy, self.most = "reset", 0, 0
        self._count = threading.Lock()

    def _answer(self, seen: Seen, connection: Any) -> Iterator[bytes]:
        with self._count:
            self.busy += 1
            self.most = max(self.most, self.busy)
        self._stop.wait(TIMEOUT * 0.9)
        with self._count:
            self.busy -= 1
        if self.how == "reset":
            yield from self._play_reset(seen, connection)
        elif self.how == "half":
            yield from self._play_truncated(seen, connection)
        else:
            yield whole(b"{}", f"{self.how} Status", "Connection: close")


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[Late]:
    """The provider, and a timeout to be late for."""
    monkeypatch.setenv("HTTP_TIMEOUT", str(TIMEOUT))
    reset_settings()
    server = Late()
    yield server
    server.close()


def token(issuer: str) -> str:
    return Provider(issuer).token(exp=10**10, iat=int(time.time()))


@pytest.mark.parametrize("how", ["reset", "half", "404", "503", "429"])
def test_a_cold_validation_ends_within_twice_the_timeout(api: Api, late: Late, how: str) -> None:
    """Against a provider that fails late a cold validation once took eleven times HTTP_TIMEOUT (T3)."""
    late.how = how
    validator = api.validator(late.issuer + "/tenant", "api", stores=Stores(api.name, Settings(http_timeout=TIMEOUT)))
    began = time.monotonic()
    with pytest.raises(NetworkException):
        api.call(validator.validate, token(late.issuer + "/tenant"))
    assert time.monotonic() - began < 2 * TIMEOUT + SLACK


def test_the_timeout_of_the_client_at_hand_counts(api: Api, late: Late, monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget is twice what one exchange may take with the client that was passed in."""
    monkeypatch.setenv("HTTP_TIMEOUT", "30")
    reset_settings()
    late.how = "404"
    client: Any = (HTTPClient if api.name == "sync" else aio.HTTPClient)(timeout=TIMEOUT)
    validator = api.validator(late.issuer + "/tenant", "api", http_client=client)
    began = time.monotonic()
    with pytest.raises(NetworkException):
        api.call(validator.validate, token(late.issuer + "/tenant"))
    assert time.monotonic() - began < 2 * TIMEOUT + SLACK
    api.call(client.close)


def test_callers_that_come_one_after_another_never_fetch_side_by_side(late: Late) -> None:
    """Four callers, each a little later than the one before, are at the provider one at a time (T10)."""
    late.how = "404"
    api = Api("sync")
    validator = api.validator(late.issuer + "/tenant", "api", stores=Stores("sync", Settings(http_timeout=TIMEOUT)))
    presented = token(late.issuer + "/tenant")

    def work() -> None:
        with pytest.raises(NetworkException):
            validator.validate(presented)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(TIMEOUT * 0.6)
    for thread in threads:
        thread.join(10)
    assert late.most == 1


# ---- the budget itself


def test_exchanges_get_what_is_left(perform: Any, clock: Any) -> None:
    """Requests are sent while something is left, and none after that; pauses that would outlast it are not begun."""

    def flow() -> Flow[Any]:
        for _ in range(10):
            yield from send(get(URL))
            yield from sleep(4.0)

    with pytest.raises(TransportException) as caught:
        perform(within_budget(flow(), clock.steady, 10.0), *[Reply(200)] * 3)
    assert (caught.value.code, caught.value.url) == ("timeout", None)
    assert clock.slept == [4.0, 4.0]


def test_nothing_is_sent_when_nothing_is_left(perform: Any, clock: Any) -> None:
    """The refusal names the address, and the flow may answer with something else."""

    def flow() -> Flow[Any]:
        try:
            yield from send(get(URL + "?secret"))
        except TransportException as error:
            return error

    error, requests = perform(within_budget(flow(), clock.steady - 10.0, 10.0))
    assert (error.code, error.url, requests) == ("timeout", URL, [])


def test_the_default_is_twice_the_timeout(perform: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a number the budget is twice what the transport gives one exchange."""
    monkeypatch.setenv("HTTP_TIMEOUT", "5")
    reset_settings()

    def flow() -> Flow[Any]:
        yield from sleep(9.0)
        yield from sleep(0.5)
        yield from sleep(0.6)

    with pytest.raises(TransportException) as caught:
        perform(within_budget(flow(), clock.steady))
    assert caught.value.expected == "10 s"
    assert clock.slept == [9.0, 0.5]


def test_a_wait_is_cut_short(driver: Any) -> None:
    """Who waits for another's fetch waits no longer than the own budget, then fails instead of fetching too."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()

    def flow() -> Flow[Any]:
        clock = yield from now()
        return (yield from within_budget(wait(future, 60.0), clock.steady, 0.1))

    with pytest.raises(TransportException) as caught:
        driver.run(flow())
    assert caught.value.code == "timeout"


def test_a_wait_that_ends_by_itself_is_left_alone(driver: Any) -> None:
    """Patience that runs out before the budget is an answer like any other."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()

    def flow() -> Flow[Any]:
        clock = yield from now()
        return (yield from within_budget(wait(future, 0.05), clock.steady, 60.0))

    assert driver.run(flow()) is IMPATIENT


def test_a_lease_outlasts_every_fetch(perform: Any, clock: Any) -> None:
    """A fetch ends before its leader is taken for dead, so nobody begins a second one beside it."""
    cache: Cache[str] = Cache(lease_for=25.0)

    def fetch(_: Any) -> Flow[Fetched[str]]:
        for _ in range(100):
            yield from sleep(3.0)
        return Fetched("never", 1.0)

    began = clock.steady
    with pytest.raises(NetworkException):
        perform(cached(cache, "key", fetch))
    assert clock.steady - began <= 20.0
    lease = cache.claim("other", clock.steady).lease  # type: ignore[union-attr] # it leads
    assert lease.expires - lease.started > cache.fetch_for
