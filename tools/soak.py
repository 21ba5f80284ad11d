"""Validate for a while under rotations, outages and forgeries, and see that nothing gives way.

Usage: python tools/soak.py [--seconds 60] [--threads 4] [--tasks 20] [--hurry 20] [--seed N] [--json]

Threads and an event loop validate the tokens of an embedded provider on a loopback port, which meanwhile rotates its
keys, fails in every way it knows, and recovers. What must hold:

- A valid token is accepted. One of a key that is new to the validator may be put off, as an unknown key or as "cannot
  verify now", and is accepted within a bounded time; one of a key known already is accepted whatever the provider does.
- A forged token is refused, and by no exception but those of the library.
- Memory and file descriptors do not grow.

The caches age ``--hurry`` times as fast as the clock, so that a minute sees keys expire as an hour would. A summary
goes to stdout; the exit code is 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from py_identity_model._core.base.flow import Clock
from py_identity_model._core.discovery.trust import Stores
from py_identity_model.aio import _clients as aio_clients
from py_identity_model.aio import _driver as aio_driver
from py_identity_model.aio import _validation as aio_api
from py_identity_model.exceptions import NetworkException, PyIdentityModelException, UnknownKeyException
from py_identity_model.settings import Settings
from py_identity_model.sync import _clients as sync_clients
from py_identity_model.sync import _driver as sync_driver
from py_identity_model.sync import _validation as sync_api
from py_identity_model.testing import FAULTS, FORGERIES, EmbeddedProvider

ALGORITHMS = ("ES256", "RS256", "EdDSA")
#: Faults during which a key set arrives nevertheless, and those that hide it.
HARMLESS = frozenset({"symmetric_key", "private_key_members", "unusable_key"})
FAILING = tuple(sorted(set(FAULTS) - HARMLESS - {"slow", "drip", "huge", "gzip_bomb"}))
#: Generations of keys that stay published, and seconds between two rotations at least.
GENERATIONS = 4
ROTATION = 1.0
#: Seconds from which on a token of a new key must have been accepted, outages not counted.
PATIENCE = 8.0
#: What memory and file descriptors may grow by in the last two thirds of the time.
MEMORY = 48 * 1024 * 1024
DESCRIPTORS = 24


@dataclass
class Findings:
    """What happened, and what must not have."""

    counts: Counter[str] = field(default_factory=Counter)
    #: What must not have happened, and how often it did.
    wrong: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, times: int = 1) -> None:
        """Count something."""
        with self._lock:
            self.counts[what] += times

    def fault(self, what: str) -> None:
        """Keep something that must not have happened."""
        with self._lock:
            self.counts["wrong"] += 1
            if what in self.wrong or len(self.wrong) < 100:
                self.wrong[what] += 1

    def waited(self, seconds: float) -> None:
        """Keep how long a new key took to be accepted."""
        with self._lock:
            self.longest = max(self.longest, seconds)


class Weather:
    """Rotates the provider's keys and breaks it, one thing after another."""

    def __init__(self, provider: EmbeddedProvider, seed: int, findings: Findings) -> None:
        self.provider = provider
        self.findings = findings
        self._random = random.Random(seed)
        self._published: list[list[str]] = [self._kids()]
        #: When the provider was last out of order; in between, tokens of new keys can be verified.
        self.foul = False
        self.fair_since = time.monotonic()

    def _kids(self) -> list[str]:
        return [str(self.provider.signing_key(alg).kid) for alg in ALGORITHMS]

    def blow(self, end: float) -> None:
        """Make weather until *end*."""
        rotated = 0.0
        while (now := time.monotonic()) < end:
            if now - rotated > ROTATION:
                rotated = now
                self._rotate()
            what = self._random.random()
            if what < 0.35:
                self._fail(self._random.choice(FAILING), self._random.uniform(0.1, 1.5))
            elif what < 0.5:
                with self.provider.fault(self._random.choice(sorted(HARMLESS))):
                    time.sleep(0.3)
            elif what < 0.6:
                with self.provider.fault("slow", seconds=0.2):
                    time.sleep(0.4)
            else:
                time.sleep(0.2)
            self.provider.forget_requests()

    def _rotate(self) -> None:
        self.provider.rotate()
        self.findings.count("rotations")
        self._published.append(self._kids())
        if len(self._published) > GENERATIONS:
            for kid in self._published.pop(0):
                self.provider.remove_key(kid)

    def _fail(self, fault: str, seconds: float) -> None:
        self.foul = True
        with self.provider.fault(fault):
            time.sleep(seconds)
        self.findings.count("outages")
        self.fair_since = time.monotonic()
        self.foul = False


class Judge:
    """Knows which verdicts are right for one API."""

    def __init__(self, name: str, weather: Weather, findings: Findings) -> None:
        self.name = name
        self.weather = weather
        self.findings = findings
        self._known: set[str] = set()

    def accepted(self, subject: str, kid: str, since: float, claims: dict[str, Any]) -> None:
        """Take note of a valid token that was accepted."""
        if claims.get("sub") != subject:
            self.findings.fault(f"{self.name}: the claims of another token came back")
        if kid not in self._known:
            self._known.add(kid)
            self.findings.waited(time.monotonic() - max(since, self.weather.fair_since))
        self.findings.count("accepted")

    def put_off(self, kid: str, since: float, error: Exception) -> None:
        """Judge the refusal of a valid token."""
        if not isinstance(error, NetworkException | UnknownKeyException):
            self.findings.fault(f"{self.name}: a valid token was refused: {error!r}")
        elif kid in self._known:
            self.findings.fault(f"{self.name}: a token of a known key was put off: {error!r}")
        elif not self.weather.foul and time.monotonic() - max(since, self.weather.fair_since) > PATIENCE:
            self.findings.fault(f"{self.name}: a new key is not accepted after {PATIENCE:g} s: {error!r}")
        self.findings.count("put off")

    def forged(self, name: str, error: Exception | None) -> None:
        """Judge what became of a forged token."""
        if error is None:
            self.findings.fault(f"{self.name}: the forgery {name} was accepted")
        elif not isinstance(error, PyIdentityModelException):
            self.findings.fault(f"{self.name}: the forgery {name} raised {error!r}")
        self.findings.count("refused")


def work(provider: EmbeddedProvider, seed: int) -> Iterator[tuple[str | None, str, str, str, float]]:
    """Yield what to validate: the name of the forgery or None, subject, ``kid``, token, and since when it is good."""
    chance = random.Random(seed)
    forgeries = sorted(FORGERIES)
    number = 0
    while True:
        alg = chance.choice(ALGORITHMS)
        key = provider.signing_key(alg)
        since = time.monotonic()
        for _ in range(4):  # tokens live for a moment, and are seen more than once
            number += 1
            subject = f"{seed}-{number}"
            token = provider.mint(key=key, subject=subject)
            for _ in range(5):
                yield None, subject, str(key.kid), token, since
        name = chance.choice(forgeries)
        yield name, "", "", provider.forge(name, alg=alg), 0.0


def a_thread(validator: Any, judge: Judge, jobs: Iterator[Any], end: float) -> None:
    """Validate one token after another, blocking."""
    for forgery, subject, kid, token, since in jobs:
        if time.monotonic() > end:
            return
        try:
            claims = validator.validate(token)
        except Exception as error:
            judge.forged(forgery, error) if forgery else judge.put_off(kid, since, error)
            time.sleep(0 if forgery else 0.02)
        else:
            judge.forged(forgery, None) if forgery else judge.accepted(subject, kid, since, claims)


async def a_task(validator: Any, judge: Judge, jobs: Iterator[Any], end: float) -> None:
    """Validate one token after another, awaiting."""
    for forgery, subject, kid, token, since in jobs:
        if time.monotonic() > end:
            return
        try:
            claims = await validator.validate(token)
        except Exception as error:
            judge.forged(forgery, error) if forgery else judge.put_off(kid, since, error)
            await asyncio.sleep(0 if forgery else 0.02)
        else:
            judge.forged(forgery, None) if forgery else judge.accepted(subject, kid, since, claims)
        await asyncio.sleep(0)


def hurry(factor: float) -> None:
    """Have the caches of both APIs age *factor* times as fast; claims keep the true time."""
    start = time.monotonic()

    def steady() -> float:
        return start + (time.monotonic() - start) * factor

    for driver in (sync_driver, aio_driver):
        driver.read_clock = lambda: Clock(time.time(), steady())  # type: ignore[attr-defined]
    for api_module in (sync_api, aio_api):
        api_module.monotonic = steady  # type: ignore[attr-defined]


def resources() -> tuple[int, int]:
    """Return the memory in use, in bytes, and the number of open file descriptors; 0 where the system does not tell."""
    gc.collect()
    try:
        with open("/proc/self/statm") as statm:
            memory = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return memory, len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0, 0


def soak(seconds: float, threads: int, tasks: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Soak for *seconds* and return the findings."""
    findings, provider = Findings(), EmbeddedProvider(algorithms=ALGORITHMS, cache_control="max-age=60")
    settings = Settings(kid_miss_refresh_cooldown=1.0)
    started = time.monotonic()
    end = started + seconds
    with provider.serve() as running, sync_clients.HTTPClient(timeout=2) as blocking:
        weather = Weather(provider, seed, findings)
        options = {"audience": provider.audience}
        sync_validator = sync_api.TokenValidator(
            running.issuer, **options, http_client=blocking, stores=Stores("soak sync", settings)
        )
        sync_judge, aio_judge = Judge("sync", weather, findings), Judge("aio", weather, findings)
        sync_validator.warm_up()

        async def loop() -> None:
            async with aio_clients.HTTPClient(timeout=2) as awaitable:
                validator = aio_api.TokenValidator(
                    running.issuer, **options, http_client=awaitable, stores=Stores("soak aio", settings)
                )
                await validator.warm_up()
                warm.set()
                seeds = range(seed + 1000, seed + 1000 + tasks)
                await asyncio.gather(*(a_task(validator, aio_judge, work(provider, n), end) for n in seeds))

        warm = threading.Event()
        crew = [threading.Thread(target=asyncio.run, args=(loop(),), name="loop")]
        crew += [
            threading.Thread(target=a_thread, args=(sync_validator, sync_judge, work(provider, seed + n), end))
            for n in range(threads)
        ]
        crew[0].start()
        if not warm.wait(10):
            findings.fault("the event loop did not begin")
        for thread in crew[1:]:
            thread.start()
        forecast = threading.Thread(target=weather.blow, args=(end,), name="weather")
        forecast.start()
        before = watch(findings, started, seconds, say)
        for thread in (forecast, *crew):
            thread.join(30)
            if thread.is_alive():
                findings.fault(f"the thread {thread.name} hangs")
        after = resources()
    growth = after[0] - before[0], after[1] - before[1]
    if growth[0] > MEMORY:
        findings.fault(f"memory grew by {growth[0] / 2**20:.0f} MiB")
    if growth[1] > DESCRIPTORS:
        findings.fault(f"{growth[1]} file descriptors were left open")
    return {
        "seconds": round(time.monotonic() - started, 1),
        "seed": seed,
        **{name: findings.counts[name] for name in ("accepted", "refused", "put off", "rotations", "outages")},
        "longest wait for a new key": round(findings.longest, 2),
        "memory": after[0],
        "memory growth": growth[0],
        "descriptors": after[1],
        "descriptor growth": growth[1],
        "wrong": dict(findings.wrong),
    }


def watch(findings: Findings, started: float, seconds: float, say: Callable[[str], None]) -> tuple[int, int]:
    """Tell how it goes until the end, and return the resources in use after a third of the time."""
    before: tuple[int, int] | None = None
    while (passed := time.monotonic() - started) < seconds:
        time.sleep(min(1.0, seconds - passed))
        if before is None and passed > seconds / 3:
            before = resources()
        if int(passed) % 5 == 0:
            counts = findings.counts
            say(f"{passed:4.0f} s  accepted {counts['accepted']}, refused {counts['refused']}, wrong {counts['wrong']}")
    return before or resources()


def main() -> int:
    """Soak, and tell how it went."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--threads", type=int, default=4, help="threads that validate, blocking")
    parser.add_argument("--tasks", type=int, default=20, help="tasks that validate, awaiting")
    parser.add_argument("--hurry", type=float, default=20.0, help="how much faster the caches age than the clock")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the weather of a run")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    chosen = parser.parse_args()
    logging.getLogger("py_identity_model").setLevel(logging.CRITICAL)  # outages are told by the hundred
    hurry(chosen.hurry)
    summary = soak(
        chosen.seconds, chosen.threads, chosen.tasks, chosen.seed, lambda line: print(line, file=sys.stderr, flush=True)
    )
    wrong = summary["wrong"]
    if not summary["accepted"] or not summary["refused"] or not summary["rotations"]:
        wrong["hardly anything happened"] = 1
    if chosen.json:
        print(json.dumps(summary, indent=2))
    else:
        for name, value in summary.items():
            if name != "wrong":
                print(f"{name:28} {value / 2**20:.1f} MiB" if name.startswith("memory") else f"{name:28} {value}")
        for what, times in wrong.items():
            print(f"WRONG  {times} times: {what}")
        print("soak: failed" if wrong else "soak: all held")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
