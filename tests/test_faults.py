"""Faults of a provider and of the machine, where two of them meet: which keys are used, who waits, what is asked."""

from __future__ import annotations

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.binding.dpop_client import DPoPKeyring
from py_identity_model._core.binding.offered_nonces import NonceStore
from py_identity_model._core.binding.replay import UsedValues
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.aio import _clients as aio_clients
from py_identity_model.exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    TransportException,
)
from py_identity_model.observability import Event, add_observer
from py_identity_model.settings import Settings
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.sync import _clients as sync_clients
from py_identity_model.sync import _driver as sync_driver

KEY = SigningKey.generate("ES256", kid="k1")
NEW = SigningKey.generate("ES256", kid="k2")
HOUR = 3600.0


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def events() -> list[Event]:
    """Whatever is told during the test."""
    seen: list[Event] = []
    add_observer(seen.append)
    return seen


class Moving(Provider):
    """A provider with key sets at several places."""

    def __init__(self) -> None:
        super().__init__(k1=KEY)
        #: The end of an address -> its keys, or what is answered instead.
        self.places: dict[str, dict[str, SigningKey] | Reply | Exception] = {"/jwks": {"k1": KEY}}

    def __call__(self, request: Request) -> Reply:
        for end, there in self.places.items():
            if request.url.endswith(end) and not isinstance(there, dict):
                self.requests.append(request.url)
                if isinstance(there, Exception):
                    raise there
                return there
            if request.url.endswith(end):
                self.keys = there  # type: ignore[assignment]
        return super().__call__(request)

    def move(self, to: str = "/new/jwks", **keys: SigningKey) -> None:
        """Name another place in the metadata, with these keys there."""
        self.places[to] = keys
        self.metadata["jwks_uri"] = ISSUER + to


def token_by(key: SigningKey, **changes: Any) -> str:
    return Provider(k=key).token(exp=NOW + 10_000_000, **changes)


def settled() -> None:
    """Wait for what runs in the background."""
    for thread in list(sync_driver._background):
        thread.join(2)


@pytest.mark.parametrize("status", [404, 410])
def test_a_key_set_that_is_gone_is_looked_for_in_the_metadata(api: Api, clock: Any, status: int) -> None:
    """404 and 410 of the jwks_uri lead to the metadata, and from there to the new key set (K13)."""
    provider = Moving()
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert api.call(validator.validate, token_by(KEY))
    provider.move(k2=NEW)
    provider.places["/id.example.com/jwks"] = Reply(status)
    assert api.call(validator.validate, token_by(NEW))
    requests = len(provider.requests)
    assert api.call(validator.validate, token_by(NEW, jti="2"))
    assert api.call(validator.validate_many, [token_by(NEW, jti="3")])[0]["jti"] == "3"
    assert len(provider.requests) == requests
    with pytest.raises(PyIdentityModelException) as caught:
        api.call(validator.validate, token_by(KEY))
    assert caught.value.code in ("key_unknown", "refresh_denied")


def test_a_key_set_that_is_gone_at_the_first_look_is_looked_for_once(api: Api, clock: Any) -> None:
    """A metadata document that leads nowhere is looked at once more, and nobody waits for a third look (K6)."""
    provider = Moving()
    provider.places["/jwks"] = Reply(404)
    validator = api.validator(ISSUER, "api", http_client=provider)
    for _ in range(20):
        with pytest.raises(NetworkException) as caught:
            api.call(validator.validate, token_by(KEY))
        assert caught.value.code == "jwks_failed"
    assert provider.count("/openid-configuration") <= 3
    assert provider.count("/jwks") <= 3
    assert clock.slept == [] or max(clock.slept) <= 0.25


def test_new_metadata_is_believed_when_a_key_is_missing(api: Api, clock: Any) -> None:
    """A key that the old place does not have is looked for through metadata that is no longer young (K13)."""
    provider = Moving()
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert api.call(validator.validate, token_by(KEY))
    provider.move(k2=NEW)
    clock.advance(301)
    assert api.call(validator.validate, token_by(NEW))


def test_a_flood_of_unknown_keys_asks_for_metadata_once(api: Api, clock: Any) -> None:
    """Forged names of keys have the metadata looked at once in five minutes, the key set as rationed (K5)."""
    provider = Moving()
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert api.call(validator.validate, token_by(KEY))
    clock.advance(1_000)
    begun = len(provider.requests)
    for number in range(50):
        forged = SigningKey.generate("ES256", kid=f"forged-{number}")
        with pytest.raises(PyIdentityModelException):
            api.call(validator.validate, token_by(forged))
    asked = provider.requests[begun:]
    assert sum(url.endswith("/openid-configuration") for url in asked) <= 1
    assert len(asked) <= 3 + sum(clock.slept) / 5


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(503),
        Reply(200, (("content-type", "application/json"),), b'{"keys": []}'),
        TransportException("GET x: the TLS handshake failed", url="x", code="tls_failed"),
    ],
    ids=["down", "empty", "tls"],
)
def test_keys_of_before_are_used_until_those_of_new_metadata_can_be_had(
    api: Api, clock: Any, events: list[Event], trouble: Any
) -> None:
    """New metadata costs nobody a token while its key set cannot be fetched; the change is told (K13) (K14)."""
    provider = Moving()
    validator = api.validator(ISSUER, "api", http_client=provider, cache_tokens=16)
    assert api.call(validator.validate, token_by(KEY))
    provider.move(k2=NEW)
    provider.places["/new/jwks"] = trouble
    clock.advance(HOUR)
    for _ in range(5):
        assert api.call(validator.validate, token_by(KEY))
        assert api.call(validator.validate_many, [token_by(KEY)])[0]["sub"] == "ada"
        settled()
        clock.advance(1)
    assert "metadata_changed" in [event.name for event in events]
    assert provider.count("/new/jwks") <= 10
    provider.move(k2=NEW)
    clock.advance(60)
    assert api.call(validator.validate, token_by(NEW))


# ---- fork


def in_a_child(function: Callable[[], object]) -> int:
    """Run a function in a forked child and return its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on a fork beside threads warns
        pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


USES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "replays": (UsedValues, lambda store: store.add("a", 60.0, now=0.0)),
    "logins": (MemoryStore, lambda store: store.put("logins", "a", b"text", 60.0)),
    "nonces": (NonceStore, lambda store: store.remember(ISSUER, "nonce")),
    "keys": (DPoPKeyring, lambda store: store.key(ISSUER, "client")),
}


@pytest.mark.needs("fork")
@pytest.mark.parametrize("what", USES)
def test_a_child_waits_for_no_thread_of_its_parent(what: str) -> None:
    """What another thread had locked at the fork can be used in the child, and stays locked in the parent (T12)."""
    make, use = USES[what]
    store = make()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store._lock:
            held.set()
            assert done.wait(20)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(20)
    assert in_a_child(lambda: use(store)) == 0
    assert not store._lock.tried()
    done.set()
    thread.join(20)
    use(store)


# ---- a provider that is down, slow to come back, or says when to ask


def failing(code: str) -> TransportException:
    return TransportException(f"GET x: {code}", url="x", code=code)


@pytest.mark.parametrize("code", ["dns_failed", "connect_failed", "tls_failed", "timeout", "protocol_error"])
def test_a_provider_that_is_down_at_the_start_is_asked_seldom(
    api: Api, provider: Provider, clock: Any, code: str
) -> None:
    """Building never fails; after the first failure callers hear of it at once, and when to come again (T3) (K5)."""

    def fail(request: Request) -> Reply:
        raise failing(code)

    provider.fail = fail
    validator = api.validator(ISSUER, "api", http_client=provider)
    for _ in range(100):
        with pytest.raises(NetworkException) as caught:
            api.call(validator.validate, provider.token())
        assert caught.value.code == code
        assert caught.value.retry_after is not None
    assert len(provider.requests) <= 6
    outcomes = api.call(validator.validate_many, [provider.token(jti=str(n)) for n in range(20)])
    assert {outcome.code for outcome in outcomes} == {code}
    assert len(provider.requests) <= 6
    assert not validator.health().usable
    provider.fail = lambda request: None
    clock.advance(2)
    assert api.call(validator.validate, provider.token())
    assert validator.health().usable


def test_a_failed_handshake_is_not_repeated_at_once(api: Api, provider: Provider, clock: Any) -> None:
    """A certificate that is refused is refused a moment later too: nothing is sent twice for it (K14)."""

    def fail(request: Request) -> Reply:
        raise failing("tls_failed")

    provider.fail = fail
    validator = api.validator(ISSUER, "api", http_client=provider)
    with pytest.raises(NetworkException):
        api.call(validator.validate, provider.token())
    assert len(provider.requests) == len(set(provider.requests))


@pytest.mark.parametrize("code", ["tls_failed", "dns_failed", "connect_failed", "timeout"])
def test_keys_outlive_a_failure_and_somebody_is_told(
    api: Api, provider: Provider, clock: Any, events: list[Event], code: str
) -> None:
    """Stale keys serve on through every kind of failure, as an event says; but not where staleness is forbidden."""
    lasting = api.validator(ISSUER, "api", http_client=provider, cache_tokens=8)
    strict = api.validator(
        ISSUER, "api", http_client=provider, cache_tokens=8, stores=Stores(api.name, Settings(max_stale=0.0))
    )
    token = provider.token(exp=NOW + 1_000_000)
    assert api.call(lasting.validate, token)
    assert api.call(strict.validate, token)

    def fail(request: Request) -> Reply:
        raise failing(code)

    provider.fail = fail
    clock.advance(2 * HOUR)
    for _ in range(3):
        assert api.call(lasting.validate, token)
        assert api.call(lasting.validate_many, [token])[0]["sub"] == "ada"
        settled()
        with pytest.raises(NetworkException) as caught:
            api.call(strict.validate, token)
        assert caught.value.code == code
        assert api.call(strict.validate_many, [token])[0].code == code
    assert "cache_refresh_failed" in {event.name for event in events}
    clock.advance(25 * HOUR)
    with pytest.raises(NetworkException):
        api.call(lasting.validate, token)
    assert api.call(lasting.validate_many, [token])[0].code == code


@pytest.mark.parametrize("asked", ["60", "Mon, 01 Jan 2035 00:00:00 GMT", "99999999999999999999"])
def test_a_pause_that_a_provider_asks_for_holds_nobody_up(api: Api, provider: Provider, clock: Any, asked: str) -> None:
    """429 with Retry-After is obeyed within bounds by not asking; no caller sleeps for it."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    token = provider.token(exp=NOW + 1_000_000)
    assert api.call(validator.validate, token)
    begun = len(provider.requests)
    provider.fail = lambda request: Reply(429, (("retry-after", asked),))
    clock.advance(HOUR + 1)
    for _ in range(50):
        assert api.call(validator.validate, token)
        settled()
        clock.advance(1)
    assert sum(clock.slept) == 0
    assert len(provider.requests) - begun <= 2 * 3
    provider.fail = lambda request: None
    clock.advance(130)
    assert api.call(validator.validate, token)
    settled()


@pytest.mark.parametrize("jump", [-86_400.0, -3.0, 5.0, 86_400.0])
def test_a_wall_clock_that_jumps_costs_no_fetch(api: Api, provider: Provider, clock: Any, jump: float) -> None:
    """Caches go by the steady clock, claims by the wall clock, remembered tokens by both (T12)."""
    validator = api.validator(ISSUER, "api", http_client=provider, cache_tokens=8)
    token = provider.token(nbf=NOW - 100, iat=None, exp=NOW + 1_000)
    for _ in range(2):
        assert api.call(validator.validate, token)
    begun = len(provider.requests)
    clock.wall += jump
    expected = None if abs(jump) < 100 else "token_expired" if jump > 0 else "token_not_yet_valid"
    for _ in range(3):
        try:
            assert api.call(validator.validate, token)
            said = None
        except PyIdentityModelException as error:
            said = error.code
        assert said == expected
        assert getattr(api.call(validator.validate_many, [token])[0], "code", None) == expected
    assert len(provider.requests) == begun
    clock.wall -= jump
    assert api.call(validator.validate, token)


def test_a_revoked_key_is_gone_everywhere_at_once(api: Api, provider: Provider, clock: Any) -> None:
    """With the refresh that lacks a key no path takes its tokens any more: cold, warm, remembered, batch (T9)."""
    provider.keys = {"k1": KEY, "k2": NEW}
    validator = api.validator(ISSUER, "api", http_client=provider, cache_tokens=8)
    tokens = [provider.token(key=key, exp=NOW + 1_000_000) for key in (KEY, NEW)]
    for token in tokens:
        for _ in range(3):
            assert api.call(validator.validate, token)
    del provider.keys["k1"]
    # An unknown kid brings the new set in; no time has to pass for it.
    with pytest.raises(PyIdentityModelException):
        api.call(validator.validate, provider.token(key=SigningKey.generate("ES256", kid="k3")))
    for _ in range(3):
        with pytest.raises(PyIdentityModelException) as caught:
            api.call(validator.validate, tokens[0])
        assert caught.value.code in ("key_unknown", "refresh_denied")
    outcomes = api.call(validator.validate_many, tokens)
    assert outcomes[0].code in ("key_unknown", "refresh_denied")
    assert outcomes[1]["sub"] == "ada"
    assert api.call(validator.validate, tokens[1])


def test_a_rotation_in_the_middle_of_a_batch_costs_one_refresh(api: Api, provider: Provider, clock: Any) -> None:
    """Tokens of the old and of the new key stand in one batch: each is accepted, for one request."""
    validator = api.validator(ISSUER, "api", http_client=provider, cache_tokens=8)
    old = [provider.token(jti=f"o{n}") for n in range(20)]
    assert api.call(validator.validate, old[0])
    begun = len(provider.requests)
    provider.keys = {"k1": KEY, "k2": NEW}
    new = [provider.token(jti=f"n{n}", key=NEW) for n in range(20)]
    mixed = [token for pair in zip(old, new, strict=True) for token in pair]
    outcomes = api.call(validator.validate_many, mixed)
    assert [outcome["jti"] for outcome in outcomes] == [f"{who}{n}" for n in range(20) for who in "on"]
    assert len(provider.requests) == begun + 1


# ---- a key that is withdrawn


@pytest.mark.parametrize("idle", [HOUR + 1, 1.9 * HOUR, 20 * HOUR])
@pytest.mark.parametrize("outage", [False, True])
def test_a_withdrawn_key_is_refused_past_its_freshness(
    api: Api, provider: Provider, clock: Any, idle: float, outage: bool
) -> None:
    """While the provider answers, a key lives for the TTL and a second, though nobody asked meanwhile (K6)."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert api.call(validator.validate, token_by(KEY))
    if outage:  # long over, and no excuse
        clock.advance(0.9 * HOUR)
        provider.fail = lambda request: Reply(503)
        assert api.call(validator.validate, token_by(KEY, jti="2"))
        settled()
        provider.fail = lambda request: None
    provider.keys = {"k2": NEW}
    clock.advance(idle)
    with pytest.raises(PyIdentityModelException) as caught:
        api.call(validator.validate, token_by(KEY, jti="3"))
    assert caught.value.code in ("key_unknown", "refresh_crowded")
    assert api.call(validator.validate, token_by(NEW))


def test_a_key_outlives_its_freshness_while_the_provider_does_not_answer(
    api: Api, provider: Provider, clock: Any
) -> None:
    """While it cannot be reached the last good keys count, for MAX_STALE after their freshness and no longer (K6)."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert api.call(validator.validate, token_by(KEY))
    provider.fail = lambda request: Reply(503)
    clock.advance(HOUR + 86400 - 10)
    assert api.call(validator.validate, token_by(KEY, jti="2"))
    clock.advance(20)
    with pytest.raises(NetworkException):
        api.call(validator.validate, token_by(KEY, jti="3"))


# ---- mistakes of a caller


def closed(api: Api) -> Any:
    """Return an http_client that was closed."""
    door: Any = sync_clients if api.name == "sync" else aio_clients
    client = door.HTTPClient()
    api.call(client.close)
    return client


@pytest.mark.parametrize("mistake", ["closed", "ca_file", "function"])
def test_the_mistake_of_one_caller_harms_no_other(
    api: Api, provider: Provider, clock: Any, mistake: str, tmp_path: Any
) -> None:
    """A closed client, a bad CA file, a function that breaks: its own validator is refused, all others go on."""
    door: Any = sync_clients if api.name == "sync" else aio_clients
    bad = {
        "closed": lambda: closed(api),
        "ca_file": lambda: door.HTTPClient(verify=str(tmp_path / "none.pem")),
        "function": lambda: lambda request: 1 // 0,
    }[mistake]()
    stores = Stores(api.name, Settings())
    careless = api.validator(ISSUER, "api", stores=stores, http_client=bad)
    careful = api.validator(ISSUER, "api", stores=stores, http_client=provider)
    expected = ZeroDivisionError if mistake == "function" else ConfigurationException
    with pytest.raises(expected):
        api.call(careless.validate, token_by(KEY))
    assert api.call(careful.validate, token_by(KEY))
    clock.advance(HOUR * 0.9)
    with pytest.raises(expected):  # what others fetched is for those who trust the same servers
        api.call(careless.validate, token_by(KEY))
    settled()
    provider.keys = {"k2": NEW}
    with pytest.raises(expected):
        api.call(careless.validate, token_by(NEW))
    assert api.call(careful.validate, token_by(NEW))
    assert careful.health().issuers[0].last_error is None
