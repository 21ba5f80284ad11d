"""Crowds at one validator: threads, tasks and forked children against a provider that counts what it is asked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from apis import ISSUER, Api, Provider
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.cache.answers import RefreshCrowded
from py_identity_model._core.cache.entry import Entry
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jwks import fetch_key_set
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import (
    JwksException,
    NetworkException,
    SignatureVerificationException,
    UnknownKeyException,
    ValidationException,
)
from py_identity_model.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
#: So slow a provider that everybody arrives while the first is still waiting.
DELAY = 0.05
#: Seconds after which a crowd hangs. Nothing here takes a tenth of it.
HANGS = 120.0
#: No forced refresh is allowed in a test beyond the burst of two, however slow the machine.
UNREPEATED = Settings(kid_miss_refresh_cooldown=3600.0)
KEYS = [SigningKey.generate("ES256", kid=f"k{n}") for n in range(1, 4)]


class Counting(Provider):
    """A provider that is slow, counts under a lock, and can be down."""

    def __init__(self) -> None:
        super().__init__(k1=KEYS[0])
        self.up = True
        self.now: Callable[[], float] = time.time
        self._lock = threading.Lock()

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            return self(request) if self.up else self._refusal(request)

    def _refusal(self, request: Request) -> Reply:
        self.requests.append(request.url)
        return Reply(503, (), b"", request.url)

    def blocking(self, request: Request) -> Reply:
        """Answer a thread."""
        reply = self._answer(request)
        time.sleep(DELAY)
        return reply

    async def awaitable(self, request: Request) -> Reply:
        """Answer a task."""
        reply = self._answer(request)
        await (trio.sleep(DELAY) if trio.lowlevel.in_trio_run() else asyncio.sleep(DELAY))
        return reply

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return claims that are good now."""
        now = int(self.now())
        return super().claims(**{"iat": now, "exp": now + 3600, **changes})

    def rotate(self, *keys: SigningKey) -> None:
        """Publish these keys and no others."""
        self.keys = {str(key.kid): key for key in keys}

    def forged_kids(self, count: int) -> list[str]:
        """Return tokens of keys that nobody has."""
        payload = self.token().split(".")[1]
        headers = (f'{{"alg":"ES256","typ":"at+jwt","kid":"forged-{n}"}}' for n in range(count))
        return [f"{b64url_encode(header.encode())}.{payload}.{'A' * 86}" for header in headers]

    def forged_signatures(self, count: int) -> list[str]:
        """Return tokens that name a real key, which did not sign them."""
        claims = self.claims()
        stranger = SigningKey.from_jwk({**private_jwk(), "kid": "k1"}, "ES256")
        header, _, signature = sign_compact(claims, stranger, typ="at+jwt").split(".")
        return [
            f"{header}.{b64url_encode(json.dumps({**claims, 'jti': str(n)}).encode())}.{signature}"
            for n in range(count)
        ]


def private_jwk() -> dict[str, str]:
    """Return another key than those of the provider (RFC 7515 A.3.1)."""
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    }


class Crowd:
    """Many callers at once: 100 threads, or a task for each token."""

    def __init__(self, way: str, provider: Counting) -> None:
        self.api = Api(way)
        self.provider = provider
        self.blocks = way == "sync"
        #: The size of a flood; the machinery of both loops is one, so trio's may be smaller.
        self.flood = 10_000 if way != "trio" else 2_000

    def validator(self, settings: Settings = UNREPEATED) -> Any:
        """Build a validator with empty caches."""
        transport = self.provider.blocking if self.blocks else self.provider.awaitable
        stores = Stores(self.api.name, settings)
        return self.api.validator(self.provider.issuer, "api", http_client=transport, stores=stores)

    def one(self, validator: Any, token: str) -> Any:
        """Validate one token in a loop of its own."""
        return self.api.call(validator.validate, token)

    def validate(self, validator: Any, tokens: Sequence[str]) -> list[Any]:
        """Validate all tokens at once and return claims and errors in their order."""
        if self.blocks:
            return in_threads(100, validator.validate, tokens)
        outcomes: list[Any] = [None] * len(tokens)

        async def one(n: int) -> None:
            try:
                outcomes[n] = await validator.validate(tokens[n])
            except Exception as error:
                outcomes[n] = error

        async def by_asyncio() -> None:
            async with asyncio.timeout(HANGS):
                await asyncio.gather(*(one(n) for n in range(len(tokens))))

        async def by_trio() -> None:
            with trio.fail_after(HANGS):
                async with trio.open_nursery() as nursery:
                    for n in range(len(tokens)):
                        nursery.start_soon(one, n)

        asyncio.run(by_asyncio()) if self.api.name == "asyncio" else trio.run(by_trio)
        return outcomes


def in_threads(count: int, function: Callable[[str], Any], tokens: Sequence[str]) -> list[Any]:
    """Share the tokens among threads that begin together; return results and errors in their order."""
    outcomes: list[Any] = [None] * len(tokens)
    together = threading.Barrier(count)

    def work(first: int) -> None:
        together.wait(HANGS)
        for n in range(first, len(tokens), count):
            try:
                outcomes[n] = function(tokens[n])
            except Exception as error:
                outcomes[n] = error

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + HANGS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), "the crowd hangs"
    return outcomes


@pytest.fixture
def provider() -> Counting:
    """A provider with one key."""
    return Counting()


@pytest.fixture(params=["sync", "asyncio", "trio"])
def crowd(request: pytest.FixtureRequest, provider: Counting) -> Crowd:
    """A crowd of threads, of tasks of asyncio, of tasks of trio."""
    return Crowd(request.param, provider)


def refused(outcomes: Sequence[Any]) -> list[Any]:
    """Return what is no claims."""
    return [outcome for outcome in outcomes if not isinstance(outcome, dict)]


def kinds(outcomes: Sequence[Any]) -> set[type]:
    """Return the types of all outcomes."""
    return {type(outcome) for outcome in outcomes}


# ---- a provider that answers


def test_a_cold_stampede_is_two_requests(crowd: Crowd, provider: Counting) -> None:
    """100 threads or 1,000 tasks at an empty cache ask once for the metadata, once for the keys, and all get in."""
    tokens = [provider.token(jti=str(n)) for n in range(100 if crowd.blocks else 1000)]
    outcomes = crowd.validate(crowd.validator(), tokens)
    assert refused(outcomes) == []
    assert [claims["jti"] for claims in outcomes] == [str(n) for n in range(len(tokens))]
    assert (provider.count("openid-configuration"), provider.count("/jwks")) == (1, 1)
    assert len(provider.requests) == 2


def test_a_rotation_under_load_is_one_request(crowd: Crowd, provider: Counting) -> None:
    """1,000 tokens of a key published a moment ago cause one request, and every valid token is accepted."""
    validator = crowd.validator()
    old = provider.token()
    crowd.one(validator, old)
    provider.rotate(KEYS[0], KEYS[1])
    tokens = [provider.token(key=KEYS[n % 10 != 0], jti=str(n)) for n in range(1000)]
    assert refused(crowd.validate(validator, tokens)) == []
    assert provider.count("/jwks") == 2
    assert provider.count("openid-configuration") == 1


def test_a_key_that_took_an_old_name_is_found_under_load(crowd: Crowd, provider: Counting) -> None:
    """New signatures under a known name do not verify with the old key, and all are accepted after one request (K4)."""
    validator = crowd.validator()
    crowd.one(validator, provider.token())
    renamed = SigningKey.from_jwk({**private_jwk(), "kid": "k1"}, "ES256")
    provider.rotate(renamed)
    assert refused(crowd.validate(validator, [provider.token(jti=str(n)) for n in range(1000)])) == []
    assert provider.count("/jwks") == 2


@pytest.mark.parametrize("up", [True, False])
def test_ten_thousand_forged_kids_are_two_requests_at_most(crowd: Crowd, provider: Counting, up: bool) -> None:
    """Healthy or failing, the provider is asked twice; no forged token gets in, no known key is held up or lost.

    (K5)
    """
    validator = crowd.validator()
    good = provider.token()
    crowd.one(validator, good)
    before = len(provider.requests)
    provider.up = up
    tokens = provider.forged_kids(crowd.flood)
    tokens[::100] = [good] * len(tokens[::100])
    outcomes = crowd.validate(validator, tokens)
    assert refused(outcomes[::100]) == []
    forged = [outcome for n, outcome in enumerate(outcomes) if n % 100]
    # No refresh is permitted within anyone's patience, so nobody stands in line for one. A task follows a refresh that
    # is under way; of the threads, which that would hold, some are told at once to come again.
    expected = {UnknownKeyException if up else JwksException}
    found = kinds(forged)
    assert (found - {RefreshCrowded} if crowd.blocks else found) == expected
    assert len(provider.requests) - before <= 2
    assert crowd.one(validator, good)["sub"] == "ada"


def test_ten_thousand_forged_signatures_are_two_requests_at_most(crowd: Crowd, provider: Counting) -> None:
    """A known name with a bad signature may be a key that took it, so it is looked for twice, and then no more."""
    validator = crowd.validator()
    good = provider.token()
    crowd.one(validator, good)
    before = len(provider.requests)
    tokens = provider.forged_signatures(crowd.flood)
    tokens[::100] = [good] * len(tokens[::100])
    outcomes = crowd.validate(validator, tokens)
    assert refused(outcomes[::100]) == []
    assert kinds([outcome for n, outcome in enumerate(outcomes) if n % 100]) == {SignatureVerificationException}
    assert len(provider.requests) - before <= 2


def test_a_rotation_during_a_flood_gets_through(crowd: Crowd, provider: Counting) -> None:
    """Forged names use up the refreshes, but the next permitted one finds the new key for all who wait or come."""
    validator = crowd.validator(Settings(kid_miss_refresh_cooldown=0.3))
    crowd.one(validator, provider.token())
    assert len(refused(crowd.validate(validator, provider.forged_kids(200)))) == 200
    provider.rotate(KEYS[1])
    token, end = provider.token(), time.monotonic() + HANGS
    outcomes = crowd.validate(validator, [token, *provider.forged_kids(200)])
    while not isinstance(outcomes[0], dict):
        # Two threads, or 32 tasks, may wait for the next refresh; the others are told to come again, never that the key
        # is unknown. Tasks of asyncio begin in their order, so there the first has its place.
        assert type(outcomes[0]) is RefreshCrowded
        assert crowd.api.name != "asyncio"
        assert time.monotonic() < end, "the new key was never found"
        outcomes = crowd.validate(validator, [token, *provider.forged_kids(200)])
    assert len(refused(outcomes)) == 200


# ---- a provider that is down


def test_only_a_first_fetch_is_repeated(perform: Any) -> None:
    """A caller without keys is worth a second request; a refresh is sent once, for forged tokens can cause it."""
    flow = fetch_key_set(ISSUER + "/jwks", Settings())
    good = Reply(200, (), json.dumps(Counting().jwks()).encode())
    fetched, requests = perform(flow, Reply(503), good)
    assert len(requests) == 2
    held = Entry(fetched.value, 1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(JwksException):
        perform(fetch_key_set(ISSUER + "/jwks", Settings(), held), Reply(503))


def test_ten_cold_callers_share_one_failure(crowd: Crowd, provider: Counting, clock: Any) -> None:
    """A 503 is asked for twice at most and answered within a second; until it is time again, nobody asks any more."""
    provider.up, provider.now = False, lambda: clock.wall
    validator, tokens = crowd.validator(), [provider.token(jti=str(n)) for n in range(10)]
    outcomes = crowd.validate(validator, tokens)
    assert all(isinstance(outcome, NetworkException) for outcome in outcomes)
    assert not any(isinstance(outcome, ValidationException) for outcome in outcomes)
    assert len(provider.requests) <= 2
    assert sum(clock.slept) < 1.0
    asked = len(provider.requests)
    later = crowd.validate(validator, tokens * 10)
    assert all(isinstance(outcome, NetworkException) and outcome.retry_after is not None for outcome in later)
    assert len(provider.requests) == asked


def test_an_outage_costs_the_warm_nothing(crowd: Crowd, provider: Counting, clock: Any) -> None:
    """With keys that are stale and a provider that is down, 1,000 tokens are accepted and few requests made."""
    provider.now = lambda: clock.wall
    validator, token = crowd.validator(), provider.token(exp=int(clock.wall) + 86400)
    crowd.one(validator, token)
    provider.up = False
    clock.advance(7200)
    assert refused(crowd.validate(validator, [token] * 1000)) == []
    assert len(provider.requests) <= 2 + 3  # a refresh of the metadata, repeated once, and one of the keys


# ---- processes, loops and threads


def test_a_forked_child_validates_and_renews(crowd: Crowd, provider: Counting) -> None:
    """After a warm-up the child has the keys without a request, and finds newer ones by itself."""
    validator = crowd.validator()
    token = provider.token()
    crowd.one(validator, token)

    def child() -> None:
        assert crowd.one(validator, token)["sub"] == "ada"
        assert len(provider.requests) == 2
        provider.rotate(KEYS[0], KEYS[1])
        fresh = [provider.token(key=KEYS[1], jti=str(n)) for n in range(100)]
        assert refused(crowd.validate(validator, fresh)) == []
        assert len(provider.requests) == 3

    assert in_a_child(child) == 0
    assert crowd.one(validator, token)["sub"] == "ada"
    assert len(provider.requests) == 2


def in_a_child(function: Callable[[], None]) -> int:
    """Run a function in a forked child and return its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on a fork beside threads warns
        pid = os.fork()
    if pid == 0:
        signal.alarm(int(HANGS))
        try:
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_in_the_middle_of_a_fetch(provider: Counting) -> None:
    """A child that is made while another thread fetches does not wait for that thread, which it does not have."""
    crowd, fetching, release = Crowd("sync", provider), threading.Event(), threading.Event()

    def slow(request: Request) -> Reply:
        fetching.set()
        assert release.wait(HANGS)
        return provider(request)

    stores = Stores("sync", UNREPEATED)
    validator = crowd.api.validator(provider.issuer, "api", http_client=slow, stores=stores)
    token = provider.token()
    thread = threading.Thread(target=validator.validate, args=(token,), daemon=True)
    thread.start()
    assert fetching.wait(HANGS)

    def child() -> None:
        release.set()
        assert validator.validate(token)["sub"] == "ada"

    assert in_a_child(child) == 0
    release.set()
    thread.join(HANGS)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("way", ["asyncio", "trio"])
def test_one_loop_after_another(provider: Counting, way: str) -> None:
    """A validator outlives its loop: in the next there is nothing to fetch, and a rotation is found."""
    crowd = Crowd(way, provider)
    validator, tokens = crowd.validator(), [provider.token(jti=str(n)) for n in range(50)]
    for _ in range(2):
        assert refused(crowd.validate(validator, tokens)) == []
        assert len(provider.requests) == 2
    provider.rotate(KEYS[0], KEYS[1])
    assert crowd.one(validator, provider.token(key=KEYS[1]))["sub"] == "ada"
    assert len(provider.requests) == 3


def test_loops_in_many_threads_share_one_fetch(provider: Counting) -> None:
    """Twenty threads, each with a loop of 20 tasks, half asyncio, half trio, at one cold validator: two requests."""
    crowds = [Crowd("asyncio", provider), Crowd("trio", provider)]
    validator = crowds[0].validator()

    def work(name: str) -> dict[str, Any]:
        outcomes = crowds[int(name) % 2].validate(validator, [provider.token(jti=name)] * 20)
        assert refused(outcomes) == []
        return dict(outcomes[0])

    outcomes = in_threads(20, work, [str(n) for n in range(20)])
    assert refused(outcomes) == []
    assert len(provider.requests) == 2


def test_threads_and_loops_together(provider: Counting) -> None:
    """Each API has caches of its own: 20 blocking threads beside 20 loops, cold, then rotated, ask once each."""
    crowds = [Crowd("sync", provider), Crowd("asyncio", provider)]
    validators = [crowd.validator() for crowd in crowds]

    def work(name: str) -> dict[str, Any]:
        which = int(name) % 2
        signer = max(provider.keys.values(), key=lambda key: str(key.kid))
        claims: dict[str, Any] = crowds[which].one(validators[which], provider.token(key=signer))
        return claims

    names = [str(n) for n in range(40)]
    assert refused(in_threads(40, work, names)) == []
    assert len(provider.requests) == 4
    provider.rotate(KEYS[0], KEYS[2])
    assert refused(in_threads(40, work, names)) == []
    assert provider.count("/jwks") == 4
    assert provider.count("openid-configuration") == 2


def test_a_short_soak_holds() -> None:
    """A few seconds of rotations, outages and forgeries over a real socket: what ``make soak`` does for longer."""
    command = [sys.executable, "tools/soak.py", "--seconds", "4", "--seed", "7", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS * 2, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["wrong"] == {}
    assert min(summary["accepted"], summary["refused"], summary["rotations"]) > 0
