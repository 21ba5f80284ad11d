"""A fleet on paper: a day of many pods and issuers, in a few minutes, driving the library's own cache and store code.

Usage: python tools/fleet.py [--pods 1000] [--issuers 10000] [--sample 3] [--processes 2] [--draw FOLDER] [--json]

Time is simulated, nothing else: each pod has a `TokenValidator` with caches of its own, whose flows are performed by a
driver that moves a clock in place of waiting; all share a `MemoryStore` with that clock. Keys, tokens, signatures and
refusals are real. Of the issuers a sample is simulated, for every pod: what one issuer's keys cost does not depend on
the others, and so each has a process of its own. What depends on their number is scaled, and marked so in the table.

The day, for each issuer of the sample: tokens at every pod, all day; one announced rotation and one without notice;
an outage of its provider, refused at once or without any answer. For all: four deploys that restart every pod within
the same second, one of them during an outage, one minute after the store lost its memory; the store away for ten
minutes; a flood of forged keys at one issuer. The exit code is 1 if a good token was refused.
"""

from __future__ import annotations

import argparse
import functools
import gc
import heapq
import json
import logging
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import fleet_plots

from py_identity_model._core.base.flow import (
    IMPATIENT,
    Await,
    Background,
    Call,
    Clock,
    ExchangeTimeout,
    Now,
    Reply,
    Request,
    Send,
    Sleep,
    Wait,
)
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.revocations import Revocations, revoked
from py_identity_model.exceptions import NetworkException, PyIdentityModelException, StoreException, TransportException
from py_identity_model.settings import Settings
from py_identity_model.stores import MemoryStore
from py_identity_model.sync._validation import TokenValidator

START = 1_800_000_000.0
HOUR = 3600.0
#: Seconds of a provider's answer, of one that gives none, and of a store's operation.
ANSWER, NO_ANSWER, STORE = (0.05, 0.4), 10.0, 0.001
#: Seconds between two tokens of an issuer at a pod, on average.
TOKENS_EVERY = 900.0
#: Seconds within which a pod sees the first token of an issuer after it started, on average.
FIRST_TOKEN = 5.0
#: What is true of every provider: seconds that an answer is fresh.
TTL = HOUR
#: Hours of deploys, of the store's loss of memory, and of its ten minutes away.
DEPLOYS, LOSS, AWAY = (6.0, 11.0, 16.5, 20.0), 20.0 - 1 / 60, (14.0, 14.0 + 1 / 6)
FLOOD = (9.0, 9.05)

Flow = Generator[Any, Any, Any]


class World:
    """A clock, and what happens when."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def wall(self) -> float:
        """Return seconds since 1970."""
        return START + self.now

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Have *act* happen."""
        self._number += 1
        heapq.heappush(self._queue, (max(when, self.now), self._number, act))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self._queue)
            act()
        self.now = until


class Provider:
    """An issuer: its keys, and when it is away."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.issuer = world, f"https://id{number}.example.com"
        self.generation = 0
        self.published: list[SigningKey] = []
        self.withdrawn: list[tuple[float, str]] = []
        self.asked: list[float] = []
        self.away = ""  # "", "refused" or "silent"
        self._tokens: dict[str, str] = {}
        self.signer = self.publish()

    def publish(self) -> SigningKey:
        """Make a key known."""
        self.generation += 1
        key = SigningKey.generate("ES256", kid=f"{self.issuer}/{self.generation}")
        self.published.append(key)
        return key

    def withdraw(self, key: SigningKey) -> None:
        """Take a key away."""
        self.published.remove(key)
        self.withdrawn.append((self.world.now, self.token(key)))

    def token(self, key: SigningKey | None = None) -> str:
        """Return a token of today."""
        signer = key or self.signer
        kid = str(signer.kid)
        if kid not in self._tokens:
            claims = {"iss": self.issuer, "aud": "api", "sub": "ada", "iat": START, "exp": START + 100 * HOUR}
            self._tokens[kid] = sign_compact(claims, signer, typ="at+jwt")
        return self._tokens[kid]

    def reply(self, request: Request) -> Reply:
        """Answer."""
        headers = (("content-type", "application/json"), ("cache-control", f"max-age={TTL:.0f}"))
        if request.url.endswith("/jwks"):
            keys = [{**(key.public_jwk or {}), "kid": key.kid, "use": "sig"} for key in self.published]
            document: dict[str, Any] = {"keys": keys}
        else:
            document = {
                "issuer": self.issuer,
                "jwks_uri": self.issuer + "/jwks",
                "authorization_endpoint": self.issuer + "/authorize",
                "token_endpoint": self.issuer + "/token",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        return Reply(200, headers, json.dumps(document).encode(), request.url)


class Store(MemoryStore):
    """The store of the fleet: it counts, takes a millisecond, and can be away."""

    blocking = True

    def __init__(self, world: World) -> None:
        super().__init__(10**7, clock=world.wall)
        self.world, self.away = world, False
        self.operations: Counter[str] = Counter()
        self.per_second: Counter[int] = Counter()

    def note(self, name: str) -> None:
        """Count an operation, or refuse it."""
        if self.away:
            raise StoreException("away", code="store_unavailable")
        self.operations[name] += 1
        self.per_second[int(self.world.now)] += 1

    def get(self, topic: str, key: str) -> bytes | None:
        """See Store.get."""
        self.note("get")
        return super().get(topic, key)

    def put(self, *args: Any, **more: Any) -> bool:
        """See Store.put."""
        self.note("put")
        return super().put(*args, **more)

    def lease(self, *args: Any) -> Any:
        """See Store.lease."""
        self.note("lease")
        return super().lease(*args)

    def release(self, *args: Any) -> bool:
        """See Store.release."""
        self.note("release")
        return super().release(*args)

    def changes(self, *args: Any) -> Any:
        """See Store.changes."""
        self.note("changes")
        return super().changes(*args)

    def lose(self) -> None:
        """Forget everything."""
        self._forget_all()


@dataclass
class Findings:
    """What the day brought."""

    validated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    put_off: Counter[str] = field(default_factory=Counter)
    put_off_at: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    stale: float = 0.0
    stale_in_outage: float = 0.0
    withdrawn_for: float = 0.0
    forged: int = 0

    def with_others(self, other: Findings) -> Findings:
        """Return what both found: sums, and the longest of each."""
        pairs = ((one.name, getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return Findings(**{name: max(a, b) if isinstance(a, float) else a + b for name, a, b in pairs})


class Driver:
    """Performs flows: it moves on when the clock does."""

    def __init__(self, world: World, providers: dict[str, Provider]) -> None:
        self.world, self.providers = world, providers

    def start(self, flow: Flow, done: Callable[[Any, BaseException | None], None]) -> None:
        """Begin a flow; *done* is told its result, or what it raised."""
        self._step(flow, flow.send, None, done)

    def _step(self, flow: Flow, step: Any, given: Any, done: Any) -> None:
        try:
            while True:
                effect = step(given)
                step = flow.send
                match effect:
                    case Now():
                        given = Clock(self.world.wall(), self.world.now)
                    case Await(value):
                        given = value
                    case ExchangeTimeout():
                        given = 30.0
                    case Background(begin):
                        self.start(begin(), lambda result, error: None)
                        given = None
                    case _:
                        self._later(effect, flow, done)
                        return
        except StopIteration as end:
            done(end.value, None)
        except Exception as error:  # whatever it is, it is the result
            done(None, error)

    def _later(self, effect: Any, flow: Flow, done: Any) -> None:
        world = self.world

        def go_on(value: Any) -> None:
            self._step(flow, flow.send, value, done)

        def go_wrong(error: BaseException) -> None:
            self._step(flow, flow.throw, error, done)

        match effect:
            case Sleep(seconds):
                world.at(world.now + seconds, lambda: go_on(None))
            case Call(function):
                world.at(world.now + STORE, lambda: self._call(function, go_on, go_wrong))
            case Send(request, seconds):
                self._send(request, seconds, go_on, go_wrong)
            case Wait(future, seconds):
                self._wait(future, seconds, go_on)

    def _call(self, function: Callable[[], Any], go_on: Any, go_wrong: Any) -> None:
        try:
            value = function()
        except Exception as error:  # the flow decides
            go_wrong(error)
        else:
            go_on(value)

    def _send(self, request: Request, seconds: float | None, go_on: Any, go_wrong: Any) -> None:
        provider = self.providers["/".join(request.url.split("/")[:3])]
        provider.asked.append(self.world.now)
        longest = min(NO_ANSWER, seconds if seconds is not None else NO_ANSWER)
        takes = longest if provider.away == "silent" else self.world.chance.uniform(*ANSWER)

        def arrive() -> None:
            if provider.away:
                go_wrong(TransportException("away", request.url, code="timeout"))
            else:
                go_on(provider.reply(request))

        self.world.at(self.world.now + takes, arrive)

    def _wait(self, future: Future[Any], seconds: float, go_on: Any) -> None:
        waiting = [True]

        def end(value: Any) -> None:
            if waiting:
                waiting.clear()
                self.world.at(self.world.now, lambda: go_on(value))

        future.add_done_callback(lambda done: end(done.result()))
        if waiting:
            self.world.at(self.world.now + seconds, lambda: end(IMPATIENT))


class Pod:
    """A process: validators are made anew when it restarts."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.life = fleet, 0
        self.restart()

    def restart(self) -> None:
        """Begin with nothing in memory; the first tokens come at once."""
        fleet = self.fleet
        self.life += 1
        stores = Stores("aio", fleet.settings, fleet.store)
        issuers = [provider.issuer for provider in fleet.providers]
        self.validator = TokenValidator(issuers, "api", stores=stores, engine="pure")._validator
        for provider in fleet.providers:
            self.expect(provider, FIRST_TOKEN)

    def expect(self, provider: Provider, mean: float) -> None:
        """Have a token arrive."""
        world, life = self.fleet.world, self.life
        when = world.now + world.chance.expovariate(1 / mean)
        world.at(when, lambda: self.arrive(provider) if life == self.life else None)

    def arrive(self, provider: Provider) -> None:
        """Validate a token; once in a while also one of a key that was withdrawn."""
        self.expect(provider, TOKENS_EVERY)
        self.validate(provider, provider.token())
        if provider.withdrawn and self.fleet.world.chance.random() < 0.2:
            since, old = provider.withdrawn[-1]
            if self.fleet.world.now - since < 2 * TTL:
                self.validate(provider, old, since)

    def validate(self, provider: Provider, token: str, withdrawn: float | None = None) -> None:
        """Validate as the doors do: by the warm path, else by the flow."""
        fleet, began = self.fleet, self.fleet.world.now
        claims = self.validator.warm(token, fleet.world.wall(), began)
        if claims is not None:
            self.judge(provider, began, withdrawn, None)
            return
        fleet.driver.start(
            self.validator.examine(token), lambda result, error: self.judge(provider, began, withdrawn, error)
        )

    def judge(self, provider: Provider, began: float, withdrawn: float | None, error: BaseException | None) -> None:
        """Note what became of a token."""
        found, now = self.fleet.findings, self.fleet.world.now
        if withdrawn is not None:
            if error is None:
                found.withdrawn_for = max(found.withdrawn_for, began - withdrawn)
            return
        found.validated += 1
        if now > began:
            found.waited.append(now - began)
        if isinstance(error, NetworkException):
            found.put_off[error.code] += 1
            found.put_off_at.append(began)
        elif isinstance(error, PyIdentityModelException):
            found.refused[error.code] += 1
        elif error is not None:
            raise error
        else:
            self.age(provider)

    def age(self, provider: Provider) -> None:
        """Note how old the keys were that a token was accepted under."""
        snapshot = self.validator.by_issuer[provider.issuer].snapshot
        started = getattr(snapshot.trust.entry if snapshot is not None else None, "started_at", None)
        if started is None:
            return
        found, age = self.fleet.findings, self.fleet.world.now - started
        if provider.away or self.fleet.world.now < getattr(provider, "back_at", -1.0) + HOUR:
            found.stale_in_outage = max(found.stale_in_outage, age)
        else:
            found.stale = max(found.stale, age)


class Fleet:
    """Pods, issuers, a store, and a day."""

    def __init__(self, pods: int, number: int, sample: int, hours: float, seed: int, *, shares: bool) -> None:
        self.world, self.hours, self.findings = World(seed), hours, Findings()
        self.settings = Settings()
        self.number, self.sample = number, sample
        self.providers = [Provider(self.world, number)]
        self.store = Store(self.world) if shares else None
        self.driver = Driver(self.world, {provider.issuer: provider for provider in self.providers})
        self._plan()
        self.pods = [Pod(self) for _ in range(pods)]

    def _plan(self) -> None:
        world = self.world
        for provider in self.providers:
            number, shift = self.number, self.number / self.sample
            self._rotate(provider, 3 * HOUR + shift * HOUR, announced=True)
            self._rotate(provider, 7 * HOUR + shift * HOUR, announced=False)
            began = (16.0 + 0.25 * shift) * HOUR
            kind = "silent" if number % 2 else "refused"
            world.at(began, lambda provider=provider, kind=kind: setattr(provider, "away", kind))
            world.at(began + HOUR, lambda provider=provider: self._return(provider))
        for hour in DEPLOYS:
            world.at(hour * HOUR, self._deploy)
        if self.store is not None:
            store = self.store
            world.at(LOSS * HOUR, store.lose)
            world.at(AWAY[0] * HOUR, lambda: setattr(store, "away", True))
            world.at(AWAY[1] * HOUR, lambda: setattr(store, "away", False))
        for second in range(int((FLOOD[1] - FLOOD[0]) * HOUR) if self.number == 0 else 0):
            world.at(FLOOD[0] * HOUR + second, self._forge)

    def _return(self, provider: Provider) -> None:
        provider.away = ""
        provider.back_at = self.world.now  # type: ignore[attr-defined]

    def _rotate(self, provider: Provider, when: float, *, announced: bool) -> None:
        def sign() -> None:
            old, provider.signer = provider.signer, provider.published[-1]
            if announced:
                self.world.at(self.world.now + HOUR, lambda: provider.withdraw(old))
            else:
                provider.withdraw(old)

        def publish() -> None:
            provider.publish()
            self.world.at(self.world.now + (2 * HOUR if announced else 0.0), sign)

        self.world.at(when, publish)

    def _deploy(self) -> None:
        for pod in self.pods:
            self.world.at(self.world.now + self.world.chance.random(), pod.restart)

    def _forge(self) -> None:
        """A tenth of the pods see a token of a key that nobody published."""
        provider = self.providers[0]
        stranger = getattr(self, "stranger", None)
        if stranger is None:
            key = SigningKey.generate("ES256", kid="stranger")
            stranger = self.stranger = provider.token(key)
        for pod in self.world.chance.sample(self.pods, max(1, len(self.pods) // 10)):
            self.driver.start(pod.validator.examine(stranger), self._forged)

    def _forged(self, result: Any, error: BaseException | None) -> None:
        assert error is not None, "a forged token was accepted"
        self.findings.forged += 1

    def run(self) -> None:
        """Let the day pass."""
        self.world.run(self.hours * HOUR)


def revocations(pods: int, seconds: int, seed: int) -> tuple[float, list[float]]:
    """Let pods look for marks while they validate: operations per second, and after how long each saw a mark."""
    world = World(seed)
    store = Store(world)
    driver = Driver(world, {})
    seen: list[float] = []
    marked = seconds / 2
    every = [Revocations(store) for _ in range(pods)]

    def look(one: Revocations) -> None:
        driver.start(one.refresh(), lambda result, error: found(one))

    def found(one: Revocations) -> None:
        if one.marks() and not getattr(one, "noted", False):
            one.noted = True  # type: ignore[attr-defined]
            seen.append(world.now - marked)

    for one in every:
        when = world.chance.random()
        while when < seconds:
            world.at(when, lambda one=one: look(one))
            when += world.chance.expovariate(5.0)  # five tokens per second
    world.at(marked, lambda: driver.start(Revocations(store).revoke(revoked("j"), 3600), lambda r, e: None))
    world.run(seconds)
    assert len(seen) == pods, "a pod saw no mark"
    return store.operations["changes"] / seconds, seen


def per_hour(day: Day) -> list[float]:
    """Return how often a provider was asked in each hour, on average."""
    hours: Counter[int] = Counter(int(when // HOUR) for asked in day.asked for when in asked)
    return [hours[hour] / len(day.asked) for hour in range(int(day.hours))]


def busiest(day: Day) -> int:
    """Return how often one provider was asked within one second, at most."""
    return max((max(Counter(map(int, asked)).values(), default=0) for asked in day.asked), default=0)


def figures(day: Day, issuers: int) -> dict[str, Any]:
    """Return what the day cost, and whom."""
    found, hours = day.findings, per_hour(day)
    waited = sorted(found.waited)
    told: dict[str, Any] = {
        "tokens validated": found.validated,
        "forged tokens refused": found.forged,
        "good tokens refused": sum(found.refused.values()),
        "good tokens put off (503)": dict(found.put_off),
        "requests per provider and hour, mean": round(sum(hours) / len(hours), 2),
        "requests per provider and hour, most": round(max(hours), 1),
        "requests per provider and second, most": busiest(day),
        "age of keys, longest, s": round(found.stale),
        "age of keys, longest, around an outage, s": round(found.stale_in_outage),
        "withdrawn key accepted for, longest, s": round(found.withdrawn_for),
        "tokens that waited": len(waited),
        "wait, 99th percentile of these, s": round(waited[int(len(waited) * 0.99)], 2) if waited else 0.0,
        "wait, longest, s": round(waited[-1], 2) if waited else 0.0,
        "requests by hour": [round(one, 2) for one in hours],
    }
    if day.operations:
        scale, total = issuers / len(day.asked), day.operations.total()
        told |= {
            "store operations per second, mean (scaled)": round(total * scale / (day.hours * HOUR)),
            "store operations per second, most in any minute (scaled)": round(_busiest_minute(day) * scale),
            "store operations by kind (scaled)": {k: round(v * scale) for k, v in day.operations.items()},
        }
    return told


def _busiest_minute(day: Day) -> float:
    minutes: Counter[int] = Counter()
    for second, count in day.per_second.items():
        minutes[second // 60] += count
    return max(minutes.values(), default=0) / 60


@dataclass
class Day:
    """What a day brought to some issuers, and what was asked meanwhile."""

    pods: int
    hours: float
    findings: Findings
    #: When each provider was asked.
    asked: list[list[float]]
    #: Operations of the store by kind, and in each second; empty without one.
    operations: Counter[str] = field(default_factory=Counter)
    per_second: Counter[int] = field(default_factory=Counter)

    def with_others(self, other: Day) -> Day:
        """Return the day of the issuers of both."""
        findings = self.findings.with_others(other.findings)
        operations, per_second = self.operations + other.operations, self.per_second + other.per_second
        return Day(self.pods, self.hours, findings, self.asked + other.asked, operations, per_second)


def of_one(pods: int, number: int, sample: int, hours: float, seed: int, shares: bool) -> Day:
    """Run the day of one issuer, the *number*-th of a sample, at all pods."""
    fleet = Fleet(pods, number, sample, hours, seed + number, shares=shares)
    fleet.run()
    asked, store = [provider.asked for provider in fleet.providers], fleet.store
    counts = (Counter[str](), Counter[int]()) if store is None else (store.operations, store.per_second)
    return Day(pods, hours, fleet.findings, asked, *counts)


def quiet() -> None:
    """Say nothing while time is simulated, and leave alone what was there before."""
    logging.getLogger("py_identity_model").setLevel(logging.CRITICAL)
    gc.freeze()


def simulate(pods: int, sample: int, hours: float, seed: int, *, shares: bool) -> Day:
    """Run a day of each issuer of a sample, one after the other."""
    return merged(of_one(pods, number, sample, hours, seed, shares) for number in range(sample))


def merged(days: Iterable[Day]) -> Day:
    """Return the days of several issuers as one."""
    return functools.reduce(Day.with_others, days)


def days_of(given: argparse.Namespace, pool: ProcessPoolExecutor) -> tuple[Day, Day, tuple[float, list[float]]]:
    """Run everything, an issuer in each process: with a store, without one, and the looks for revocations."""
    alone_pods = min(given.alone, given.pods)

    def begun(pods: int, shares: bool) -> list[Future[Day]]:
        day = given.sample, given.hours, given.seed, shares
        return [pool.submit(of_one, pods, number, *day) for number in range(given.sample)]

    shared, alone = begun(given.pods, True), begun(alone_pods, False)
    looks = pool.submit(revocations, given.pods, 60, given.seed)
    return merged(one.result() for one in shared), merged(one.result() for one in alone), looks.result()


def show(title: str, told: dict[str, Any]) -> None:
    """Print a table."""
    print(f"\n{title}")
    for name, value in told.items():
        print(f"  {name:<58} {value}")


def main() -> int:
    """Simulate, print, draw."""
    parser = argparse.ArgumentParser(description="A fleet on paper.")
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--issuers", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="one issuer of the sample in each")
    parser.add_argument("--alone", type=int, default=100, help="pods of the comparison without a store")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draw", type=Path, help="a folder for the plots, and the figures as JSON")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn"), quiet) as pool:
        shared, alone, (looks, seen) = days_of(given, pool)
    told = {
        "pods": given.pods,
        "issuers": given.issuers,
        "issuers simulated": given.sample,
        "pods alone": alone.pods,
        "with a store": figures(shared, given.issuers),
        f"without a store, {alone.pods} pods": figures(alone, given.issuers),
        "looks for revocations per second": round(looks),
        "revocation seen by the last pod after, s": round(max(seen), 2),
        fleet_plots.SEEN: fleet_plots.counted(seen, 0.1, 2.4),
        "took, s": round(time.perf_counter() - began, 1),
    }
    if given.draw is not None:
        fleet_plots.write(given.draw, fleet_plots.SIMULATION, told)
    if given.json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            show(name, value) if isinstance(value, dict) else print(f"{name:<60} {value}")
    return 1 if sum(shared.findings.refused.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
