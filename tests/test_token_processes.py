"""One login, many processes: threads, asyncio and trio at once, over a file and over Redis, killed at every step.

The provider rotates refresh tokens and ends a login whose refresh token comes twice. What cannot be survived is the
death of a process between the provider's answer and its being written down, where the provider gives no second chance;
one that does is played as well.

Set ``TOKEN_EXPIRIES=1000``, ``TOKEN_TASKS=1000`` and ``TOKEN_LIFE=0.5`` for the long form: eight processes, and as many
expiries of half a second.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import token_worker
from oauth_world import BACK, World
from py_identity_model import LoginRequest, OAuthClient
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model.stores import EncryptedStore, RedisStore, SqliteStore
from py_identity_model.testing import EmbeddedProvider
from py_identity_model.testing._faults import Answer
from test_stores import Server
from token_fleet import Fleet, alike

EXPIRIES = int(os.environ.get("TOKEN_EXPIRIES", "4"))
TASKS = int(os.environ.get("TOKEN_TASKS", "6"))
LONG = EXPIRIES > 100
#: Seconds that an access token lives.
LIFE = float(os.environ.get("TOKEN_LIFE", "2"))
#: Store, step, refreshes, deaths and calls of each run, for those who print them.
REPORT: list[tuple[str, str, int, int, int]] = []


class Rotating(EmbeddedProvider):
    """A provider that may kill who sends it a refresh token, before or after it looked at it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(access_token_lifetime=LIFE, **options)
        self.refreshes = self.refused = self.deaths = 0
        self.kill = self.grave = ""
        self._counting = threading.Lock()

    def _first_to_die(self) -> bool:
        """Tell whether everything has gone well again since the last death."""
        try:
            Path(self.grave).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def answer(self, request: Request) -> Answer:
        if b"grant_type=refresh_token" not in request.body:
            return super().answer(request)
        with self._counting:
            self.refreshes += 1
            dies = bool(self.kill) and self.refreshes % 3 == 0 and self._first_to_die()
            self.deaths += dies
        pid = next((int(value) for name, value in request.headers if name.lower() == "x-pid"), 0)
        if dies and self.kill == "asked":
            os.kill(pid, signal.SIGKILL)
            return Answer(Reply(503))
        answer = super().answer(request)
        if dies:
            os.kill(pid, signal.SIGKILL)
        with self._counting:
            self.refused += answer.reply.status != 200
        return answer


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a store that processes can share."""
    if request.param == "sqlite":
        yield str(tmp_path / "tokens.db")
        return
    server = Server(tmp_path)
    yield server.url
    server.kill()


def logged_in(provider: Rotating, where: str) -> None:
    """Log the user in, and leave the tokens in the store."""
    store: Any = EncryptedStore(RedisStore(where), [token_worker.SEAL]) if "://" in where else SqliteStore(where)
    credentials = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    client = OAuthClient(provider.issuer, **credentials, redirect_uri=BACK, store=store)
    start = client.begin_login(LoginRequest(login_hint=token_worker.SUBJECT))
    start.raise_for_error()
    came = provider.transport(Request("GET", start.url)).header("location")
    client.complete_login(came or "", start.transaction).raise_for_error()
    store.close()


@contextlib.contextmanager
def running(where: str, **options: Any) -> Iterator[Rotating]:
    provider = Rotating(**options)
    with provider.serve():
        logged_in(provider, where)
        yield provider


def test_one_renewal_for_each_expiry_whatever_the_number_of_processes(where: str) -> None:
    """Threads, asyncio and trio in several processes renew a token once each time; nobody fails, no login is lost."""
    with running(where) as provider:
        fleet = Fleet(provider, where, alike(8 if LONG else 3, TASKS))
        seconds = LIFE * EXPIRIES * 0.9
        fleet.run(seconds)
        REPORT.append((where, "none", provider.refreshes, fleet.deaths, fleet.calls))
    assert fleet.failures == []
    assert fleet.calls > 20
    assert provider.refused == 0
    # One for each time the first window was reached, which is from 70 % of a token's life on.
    assert provider.refreshes >= EXPIRIES // 3
    assert LONG or provider.refreshes <= fleet.seconds / (0.6 * LIFE) + 2
    assert not provider._endpoints._revoked


@pytest.mark.parametrize("step", ["leased", "asked", "kept", "any"] if LONG else ["any"])
def test_a_login_survives_the_death_of_who_renews(where: str, step: str, tmp_path: Path) -> None:
    """Killed after it took the lease, while its request was on the way, or after it kept the tokens: the next process
    goes on when the lease is over. Tokens live no longer here than leases do: callers wait, and none is told a failure.
    """
    with running(where) as provider:
        provider.grave = str(tmp_path / "grave")
        provider.kill = "asked" if step in ("asked", "any") else ""
        fleet = Fleet(provider, where, alike(8 if LONG else 3, TASKS), step=step, chance=0.3, grave=provider.grave)
        fleet.run(LIFE * EXPIRIES * 2)
        REPORT.append((where, step, provider.refreshes, fleet.deaths, fleet.calls))
    assert fleet.failures == []
    assert fleet.deaths >= 1
    assert provider.refused == 0
    assert not provider._endpoints._revoked


def test_a_lost_answer_is_survived_where_the_provider_gives_a_second_chance(tmp_path: Path) -> None:
    """A process that dies with the answer on its way costs the login nothing, if a refresh token may be used again for
    a while.
    """
    where = str(tmp_path / "tokens.db")
    with running(where, refresh_token_overlap=30.0) as provider:
        provider.kill, provider.grave = "answered", str(tmp_path / "grave")
        fleet = Fleet(provider, where, alike(3, TASKS))
        fleet.run(LIFE * EXPIRIES)
    assert fleet.failures == []
    assert fleet.deaths >= 1
    assert not provider._endpoints._revoked


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A process of a world whose clock moves when told to: it may die at each step of a renewal, for good."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.dead = self.blocking = False
        self.world, self.chance = world, chance
        self.client = world.process(store=self, http_client=self.send).client

    def die(self, step: float) -> None:
        """Be killed now and then, and stay dead."""
        self.dead = self.dead or self.chance.random() < step
        if self.dead:
            raise Killed

    def send(self, request: Request) -> Reply:
        self.die(0.15 if request.url.endswith("/token") else 0)
        return self.world.provider.transport(request)

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.world.store, name)
        if name not in ("get", "put", "add", "swap", "delete", "lease", "release"):
            return operation

        def call(*args: Any, **kwargs: Any) -> Any:
            self.die(0)
            done = operation(*args, **kwargs)
            self.die(0.15 if done and name in ("lease", "swap") else 0)
            return done

        return call


# A renewal whose process dies here is a thread that ends so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_no_login_is_lost_over_many_expiries(clock: Any) -> None:
    """Eight processes, one login, a token that expires again and again, and every third renewal cut short by the death
    of its process: each expiry costs one renewal, and the login lives on.
    """
    world, chance, expiries = World("sync", clock), random.Random(7), max(EXPIRIES, 60)
    world.process().log_in()
    processes = [Mortal(world, chance) for _ in range(8)]
    deaths = 0
    for expiry in range(1, expiries + 1):
        for number in range(8):
            try:
                assert processes[number].client.token(subject=token_worker.SUBJECT).access_token
            except Killed:
                deaths += 1
                processes[number] = Mortal(world, chance)
        assert world.asked == expiry
        clock.advance(301)
    assert deaths >= expiries // 8
    assert not world.provider._endpoints._revoked
    REPORT.append(("memory", "any", world.asked, deaths, 8 * expiries))


def test_a_refresh_token_that_comes_twice_ends_the_login(tmp_path: Path) -> None:
    """The provider of these tests does what it is said to do."""
    provider = Rotating()
    store = str(tmp_path / "tokens.db")
    with provider.serve():
        logged_in(provider, store)
        token = next(iter(provider._endpoints._refresh))
        answers = [_refresh(provider, token) for _ in range(2)]
        successor = next(iter(provider._endpoints._refresh))
        answers.append(_refresh(provider, successor))
    assert [answer.status for answer in answers] == [200, 400, 400]


def _refresh(provider: Rotating, token: str) -> Reply:
    form = f"grant_type=refresh_token&refresh_token={token}&client_id={provider.client_id}"
    body = f"{form}&client_secret={provider.client_secret}".encode()
    headers = (("content-type", "application/x-www-form-urlencoded"),)
    return replace(provider.handle(Request("POST", provider.url("token"), headers, body)))
