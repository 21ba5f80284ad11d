"""The tables of states in the docstrings of the state machines: each row is played, and no other change happens."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import LoginClient, LoginRequest
from py_identity_model._core.cache import entry as entries
from py_identity_model._core.cache.answers import Follow, Lead, Use
from py_identity_model._core.cache.cache import Cache
from py_identity_model._core.cache.entry import Fetched
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.login import begin
from py_identity_model._core.login.transaction import LoginTransaction
from py_identity_model._core.validation import validator as validators
from py_identity_model.exceptions import NetworkException, PyIdentityModelException
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.testing import EmbeddedProvider

Rows = list[tuple[str, ...]]


def table(module: ModuleType, first: str) -> Rows:
    """Return the rows of the table in a module's docstring whose first column is called so."""
    lines = (module.__doc__ or "").splitlines()
    head = next(at for at, line in enumerate(lines) if re.match(rf"{first} +event ", line))
    edges = [found.span() for found in re.finditer("=+", lines[head - 1])]
    body = lines[head + 2 : head + 2 + lines[head + 2 :].index(lines[head - 1])]
    return [tuple(line[start : end if end != edges[-1][1] else None].strip() for start, end in edges) for line in body]


# ---- one key of the cache


class Key:
    """One key of a cache, brought into a state and changed from there."""

    def __init__(self) -> None:
        self.cache: Cache[str] = Cache(jitter=lambda: 0.0)
        self.now = 0.0

    def claim(self, **options: Any) -> Any:
        return self.cache.claim("k", self.now, **options)

    def lease(self) -> Any:
        """Return the right to fetch, however it is to be had."""
        for _ in range(50):
            answer = self.claim()
            if isinstance(answer, Lead):
                return answer.lease
            if isinstance(answer, Use) and answer.lease is not None:
                return answer.lease
            known = self.cache.version("k")
            forced = self.claim(newer_than=known) if known else answer
            if isinstance(forced, Lead):
                return forced.lease
            self.now += 1.0
        raise AssertionError("no lease")

    def succeed(self) -> None:
        self.cache.settle(self.lease(), Fetched("v", 100.0, stale_if_error=1000.0), self.now)

    def fail(self) -> None:
        self.cache.fail(self.lease(), NetworkException("down"), self.now)

    def state(self) -> str:
        return self.cache.snapshot("k", self.now).state

    def until(self, state: str) -> None:
        """Let time pass until there is another state."""
        while self.state() == state:
            self.now += 50.0

    def bring(self, state: str) -> None:
        if state in ("fresh", "stale"):
            self.succeed()
        if state == "stale":
            self.until("fresh")
        if state == "failing":
            self.fail()
        assert self.state() == state


KEY_EVENTS: dict[str, Callable[[Key], object]] = {
    "a fetch succeeds": Key.succeed,
    "a fetch fails": Key.fail,
    "its freshness ends": lambda key: key.until("fresh"),
    "its use ends": lambda key: key.until("stale"),
    "its use ends after a failure": lambda key: (key.fail(), key.until("stale")),
    "it is removed": lambda key: key.cache.remove("k"),
}


@pytest.mark.parametrize(("state", "event", "becomes"), table(entries, "state"))
def test_each_row_of_a_key(state: str, event: str, becomes: str) -> None:
    """What may be used of a key changes as the table says."""
    key = Key()
    key.bring(state)
    KEY_EVENTS[event](key)
    assert key.state() == becomes


def test_no_other_change_of_a_key() -> None:
    """Over many random events, each change is in the table."""
    listed = {(state, becomes) for state, _, becomes in table(entries, "state")}
    dice = random.Random(3)
    seen = set()
    for _ in range(200):
        key = Key()
        for _ in range(30):
            before = key.state()
            event = dice.choice([Key.succeed, Key.fail, Key.lease, lambda key: key.cache.remove("k"), None])
            if event is None:
                key.now += dice.choice([1.0, 60.0, 400.0])
            else:
                try:
                    event(key)
                except AssertionError:
                    continue
            after = key.state()
            if after != before:
                seen.add((before, after))
    # In one long pause, or while a lease is waited for, a fresh entry may pass through stale.
    through = {(a, d) for a, b in listed for c, d in listed if b == c}
    assert seen <= listed | through
    assert {(a, b) for a, b in listed if a != b} <= seen | {("stale", "failing")}


LEASE_EVENTS: dict[str, Callable[[Key, Any], object]] = {
    "a caller claims": lambda key, lease: key.claim(),
    "another one claims": lambda key, lease: key.claim(),
    "it is settled": lambda key, lease: key.cache.settle(lease, Fetched("v", 100.0), key.now),
    "it fails": lambda key, lease: key.cache.fail(lease, NetworkException("down"), key.now),
    "it is abandoned": lambda key, lease: key.cache.abandon(lease),
    "its time is over": lambda key, lease: setattr(key, "now", lease.expires),
}


@pytest.mark.parametrize(("state", "event", "becomes"), table(entries, "lease"))
def test_each_row_of_a_lease(state: str, event: str, becomes: str) -> None:
    """One caller leads, the others follow, and every end of a fetch makes the lease free."""
    key = Key()
    lease = key.claim().lease if state == "led" else None
    answer = LEASE_EVENTS[event](key, lease)
    fetching = key.cache.snapshot("k", key.now).fetching
    assert ("led" if fetching else "free") == becomes
    if event == "another one claims":
        assert isinstance(answer, Follow)


# ---- a header in a validator

KEY = SigningKey.generate("ES256", kid="k1")


class Header:
    """A header, and a validator that may know it."""

    def __init__(self, api: Api, clock: Any) -> None:
        self.api, self.clock, self.provider = api, clock, Provider(k1=KEY)
        self.validator = api.validator(ISSUER, "api", http_client=self.provider)
        self.other = 0

    def token(self, **changes: Any) -> str:
        now = int(self.clock.wall)
        return self.provider.token(key=KEY, **{"iat": now, "exp": now + 600, **changes})

    def judge(self, token: str) -> None:
        try:
            self.api.call(self.validator.validate, token)
        except PyIdentityModelException:
            pass

    def bad(self) -> str:
        token = self.token()
        return token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")

    def bad_again(self) -> None:
        """Judge a bad signature when no look at the keys is permitted any more."""
        known = self.state() == "known"
        for _ in range(5):
            self.judge(self.bad())
        if known:
            self.judge(self.token())
        self.judge(self.bad())

    def state(self) -> str:
        warm = self.validator._validator.warm(self.token(), self.clock.wall, self.clock.steady)
        return "unknown" if warm is None else "known"

    def replace(self) -> None:
        self.provider.keys = {"k2": SigningKey.generate("ES256", kid="k2")}
        self.clock.advance(60)
        self.judge(self.provider.token(iat=int(self.clock.wall), exp=int(self.clock.wall) + 600))


HEADER_EVENTS: dict[str, Callable[[Header], object]] = {
    "a good signature": lambda header: header.judge(header.token()),
    "a bad signature": Header.bad_again,
    "a bad one has the keys looked at": lambda header: header.judge(header.bad()),
    "a claim is refused": lambda header: header.judge(header.token(aud="other")),
    "the keys are replaced": Header.replace,
    "the keys must be looked at": lambda header: header.clock.advance(3601),
}


@pytest.mark.parametrize(("state", "event", "becomes"), table(validators, "state"))
def test_each_row_of_a_header(api: Api, clock: Any, state: str, event: str, becomes: str) -> None:
    """A header is known after a good signature, until the keys are others or must be looked at."""
    header = Header(api, clock)
    if state == "known":
        header.judge(header.token())
    assert header.state() == state
    HEADER_EVENTS[event](header)
    assert header.state() == becomes


# ---- a login

BACK = "https://client.example.com/callback"


class Login:
    """A login at the embedded provider, kept by its caller or in a store."""

    def __init__(self, api: Api, clock: Any, *, stored: bool) -> None:
        self.api, self.clock = api, clock
        self.op = EmbeddedProvider(clock=lambda: clock.wall)
        self.client = LoginClient(
            issuer=self.op.issuer, client_id=self.op.client_id, client_secret=self.op.client_secret, redirect_uri=BACK
        )
        self.store = MemoryStore(clock=lambda: clock.wall) if stored else None
        self.transaction: LoginTransaction | None = None
        self.begun = False
        import importlib

        side = "sync" if api.name == "sync" else "aio"
        self.login = importlib.import_module(f"py_identity_model.{side}")

    def begin(self) -> None:
        request = LoginRequest(binding="this browser", lifetime=600)
        start = self.api.call(self.login.begin_login, self.client, request, self.op.transport, store=self.store)
        self.transaction, self.url, self.begun = start.transaction, start.url, True

    def answer(self) -> str:
        from py_identity_model._core.base.flow import Request

        location = self.op.transport(Request("GET", self.url)).header("location")
        assert location is not None
        return location

    def complete(self, callback: str, binding: str = "this browser") -> Any:
        return self.api.call(
            self.login.complete_login,
            self.client,
            callback,
            self.transaction,
            self.op.transport,
            store=self.store,
            binding=binding,
        )

    def state(self) -> str:
        """Tell whether a good response would complete the login; this ends it."""
        if not self.begun:
            return "none"
        return "begun" if self.complete(self.answer()).is_successful else "over"


def changed(url: str, name: str, value: str) -> str:
    return re.sub(rf"(?<=[?&]){name}=[^&]*", f"{name}={value}", url)


LOGIN_EVENTS: dict[str, Callable[[Login], object]] = {
    "a login begins": Login.begin,
    "a response with another state": lambda login: login.complete(changed(login.answer(), "state", "x" * 43)),
    "a response to another browser": lambda login: login.complete(login.answer(), "another browser"),
    "its time is over": lambda login: login.clock.advance(601),
    "a response that is refused": lambda login: login.complete(changed(login.answer(), "iss", "https://evil.example")),
    "the user said no": lambda login: login.complete(
        changed(login.answer(), "code", "").replace("code=", "error=access_denied")
    ),
    "a good response": lambda login: login.complete(login.answer()),
}


@pytest.mark.parametrize(("state", "event", "kept", "stored"), table(begin, "state"))
@pytest.mark.parametrize("where", ["kept by a caller", "in a store"])
def test_each_row_of_a_login(api: Api, clock: Any, state: str, event: str, kept: str, stored: str, where: str) -> None:
    """One response at most completes a login."""
    login = Login(api, clock, stored=where == "in a store")
    if state != "none":
        login.begin()
    if state == "over":
        assert login.complete(login.answer()).is_successful
    LOGIN_EVENTS[event](login)
    assert login.state() == (stored if where == "in a store" else kept)


@pytest.mark.parametrize(
    ("module", "first", "events"),
    [
        (entries, "state", KEY_EVENTS),
        (entries, "lease", LEASE_EVENTS),
        (validators, "state", HEADER_EVENTS),
        (begin, "state", LOGIN_EVENTS),
    ],
)
def test_every_event_that_is_played_is_in_a_table(module: ModuleType, first: str, events: dict[str, Any]) -> None:
    """A table that loses a row loses a test."""
    assert {row[1] for row in table(module, first)} == set(events)
    assert NOW
