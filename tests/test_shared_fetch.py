"""Several processes, one fetch: metadata and keys go through a store, and nothing depends on its being there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import DiscoveryPolicy, add_observer, remove_observer
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.store import Store, pack
from py_identity_model._core.discovery.shared_fetch import LOOKS, PAUSE, TOPIC, TURN, TURNS
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException, NetworkException, StoreException, UnknownKeyException
from py_identity_model.stores._encrypted import EncryptedStore
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.stores._redis import RedisStore
from py_identity_model.stores._sqlite import SqliteStore

K1, K2, K3 = (SigningKey.generate("ES256", kid=f"k{number}") for number in (1, 2, 3))
HOUR = 3600


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=K1)


@pytest.fixture
def store(clock: Any) -> MemoryStore:
    """A store that counts time as the processes do."""
    return MemoryStore(clock=lambda: clock.wall)


@pytest.fixture
def events() -> Iterator[list[str]]:
    seen: list[Any] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


class Fleet:
    """Processes with caches of their own, one provider and one store."""

    def __init__(self, api: Api, provider: Provider, store: Any, clock: Any) -> None:
        self.api, self.provider, self.store, self.clock = api, provider, store, clock

    def process(self, **options: Any) -> Any:
        return self.api.validator(ISSUER, "api", http_client=self.provider, store=self.store, **options)

    def accepts(self, validator: Any, key: SigningKey = K1) -> bool:
        now = int(self.clock.wall)
        token = self.provider.token(key=key, iat=now, exp=now + 60)
        try:
            return bool(self.api.call(validator.validate, token)["sub"] == "ada")
        except UnknownKeyException:
            return False


@pytest.fixture
def fleet(api: Api, provider: Provider, store: MemoryStore, clock: Any) -> Fleet:
    return Fleet(api, provider, store, clock)


def test_one_process_fetches_for_all(fleet: Fleet) -> None:
    """However many processes start, the provider sees one request for its metadata and one for its keys."""
    for _ in range(5):
        assert fleet.accepts(fleet.process())
    assert (fleet.provider.count("/jwks"), fleet.provider.count("openid-configuration")) == (1, 1)


def test_a_refresh_is_one_for_all(fleet: Fleet) -> None:
    """When the keys are no longer fresh, the first process that notices asks, the others take what it brought."""
    processes = [fleet.process() for _ in range(3)]
    for hours in range(1, 4):
        assert all(fleet.accepts(process) for process in processes)
        assert (fleet.provider.count("/jwks"), fleet.provider.count("openid-configuration")) == (hours, hours)
        fleet.clock.advance(HOUR + 1)


def test_a_rotation_is_one_request(fleet: Fleet) -> None:
    """A token under a key that was published a moment ago is accepted everywhere, and the provider asked once more."""
    processes = [fleet.process() for _ in range(3)]
    assert all(fleet.accepts(process) for process in processes)
    fleet.clock.advance(60)
    fleet.provider.keys = {"k2": K2}
    assert all(fleet.accepts(process, K2) for process in processes)
    assert fleet.provider.count("/jwks") == 2
    assert not any(fleet.accepts(process, K1) for process in processes)


def test_a_forged_key_is_rationed_as_before(fleet: Fleet) -> None:
    """A key that nobody published costs each process no more looks than without a store, and fewer at the provider."""
    processes = [fleet.process() for _ in range(3)]
    assert all(fleet.accepts(process) for process in processes)
    fleet.clock.advance(60)
    for _ in range(5):
        assert not any(fleet.accepts(process, K3) for process in processes)
    assert fleet.provider.count("/jwks") <= 1 + 2 * len(processes)


def test_a_new_process_starts_while_the_provider_is_down(fleet: Fleet, events: list[Any]) -> None:
    """The first token of a new process is verified with keys that another one fetched; past their time they are not."""
    assert fleet.accepts(fleet.process())
    fleet.provider.fail = lambda request: Reply(503, url=request.url)
    asked = len(fleet.provider.requests)
    assert fleet.accepts(fleet.process())
    assert len(fleet.provider.requests) == asked
    fleet.clock.advance(2 * HOUR)
    late = fleet.process()
    assert fleet.accepts(late)
    assert "shared_keys_revived" in {event.name for event in events}
    assert fleet.api.call(late.validate, fleet.provider.token(iat=int(fleet.clock.wall), exp=NOW + 9 * HOUR))
    fleet.clock.advance(24 * HOUR)
    with pytest.raises(NetworkException):
        fleet.accepts(fleet.process())
    with pytest.raises(NetworkException):
        fleet.accepts(late)


def test_a_withdrawn_key_is_gone_in_time(fleet: Fleet) -> None:
    """What a process takes from the store is as old as it is: a withdrawn key is refused when its time is up."""
    first, second = fleet.process(), fleet.process()
    assert fleet.accepts(first)
    fleet.provider.keys = {"k2": K2}
    fleet.clock.advance(HOUR - 60)
    assert fleet.accepts(second)
    fleet.clock.advance(61)
    assert not fleet.accepts(second)
    assert not fleet.accepts(first)


def test_what_cannot_be_used_is_not_kept(fleet: Fleet) -> None:
    """A broken answer reaches no other process; the next one that is good does."""
    good = fleet.provider
    assert fleet.accepts(fleet.process())
    fleet.clock.advance(HOUR + 1)
    good.fail = lambda request: Reply(200, (("content-type", "application/json"),), b'{"keys": 7}', request.url)
    process = fleet.process()
    assert fleet.accepts(process)
    good.fail = lambda request: None
    assert fleet.accepts(fleet.process())


@pytest.mark.parametrize(
    "value", [b"", b"torn", pack(b"{}"), pack(b"[1,2,3]"), pack(b"[1,2,3,[]]"), pack(b"\xff"), pack(b"[]", 9)]
)
def test_a_value_that_is_none_is_a_miss(fleet: Fleet, value: bytes) -> None:
    """What a store holds and no process wrote is left aside."""
    assert fleet.accepts(fleet.process())
    for topic, key in list(fleet.store._kept):
        assert topic == TOPIC
        fleet.store.put(topic, key, value, 600)
    assert fleet.accepts(fleet.process())
    assert fleet.provider.count("/jwks") == 2


def test_a_clock_that_is_ahead_freezes_nobody(fleet: Fleet) -> None:
    """Answers from the future are not taken for new ones."""
    fleet.clock.advance(10 * HOUR)
    assert fleet.accepts(fleet.process())
    fleet.clock.advance(-10 * HOUR)
    assert fleet.accepts(fleet.process())
    assert fleet.provider.count("/jwks") == 2


class Away:
    """A store that is away, or goes away after some calls."""

    blocking, authenticated = False, True

    def __init__(self, behind: Store, calls: int = 0) -> None:
        self._behind, self.calls = behind, calls

    def __getattr__(self, name: str) -> Any:
        self.calls -= 1
        if self.calls < 0:
            raise StoreException("away", code="store_unavailable")
        return getattr(self._behind, name)


@pytest.mark.parametrize("calls", range(9))
def test_a_store_that_goes_away_costs_nothing_but_requests(
    api: Api, provider: Provider, store: MemoryStore, clock: Any, calls: int
) -> None:
    """At whatever moment the store fails, each process goes on by itself."""
    fleet = Fleet(api, provider, Away(store, calls), clock)
    assert fleet.accepts(fleet.process())
    fleet.store.calls = 0
    process = fleet.process()
    assert fleet.accepts(process)
    fleet.clock.advance(30)
    provider.keys = {"k2": K2}
    assert fleet.accepts(process, K2)


def test_a_dead_holder_of_the_lease_is_waited_for_and_no_longer(fleet: Fleet) -> None:
    """Who has the lease and says nothing delays the others by a bounded time."""
    assert fleet.accepts(fleet.process())
    keys = [key for _, key in fleet.store._kept]
    fleet.clock.advance(25 * HOUR)
    for key in keys:
        assert fleet.store.lease(TOPIC, key, 1.5 * TURN)
    began = fleet.clock.steady
    assert fleet.accepts(fleet.process())
    assert len(fleet.clock.slept) == 2 * len(LOOKS)
    assert fleet.clock.steady - began == pytest.approx(2 * TURN)
    assert fleet.provider.count("/jwks") == 2


def test_a_lease_that_is_stuck_ends_the_wait_all_the_same(fleet: Fleet) -> None:
    """A lease that never ends, as after a clock was set back, delays a process by a bounded time."""
    assert fleet.accepts(fleet.process())
    keys = [key for _, key in fleet.store._kept]
    fleet.clock.advance(25 * HOUR)
    for key in keys:
        assert fleet.store.lease(TOPIC, key, 1e6)
    began = fleet.clock.steady
    assert fleet.accepts(fleet.process())
    assert fleet.clock.steady - began == pytest.approx(2 * TURNS * TURN)
    assert fleet.provider.count("/jwks") == 2


def test_who_waits_for_a_slow_provider_goes_on_with_what_there_is(fleet: Fleet, events: list[Any]) -> None:
    """A new process does not wait for an answer that another one waits for, while there is an old one of use."""
    assert fleet.accepts(fleet.process())
    fleet.clock.advance(2 * HOUR)
    for _, key in fleet.store._kept:
        assert fleet.store.lease(TOPIC, key, 1e6)  # another process asks, and has no answer yet
    began, asked = fleet.clock.steady, len(fleet.provider.requests)
    assert fleet.accepts(fleet.process())
    assert fleet.clock.steady - began == pytest.approx(2 * TURN)
    assert len(fleet.provider.requests) == asked
    assert [event.facts["code"] for event in events if event.name == "shared_keys_revived"] == ["slow", "slow"]


@pytest.mark.parametrize("seconds", [-30.0, -0.001, 1e-6, 0.001, 30.0])
def test_a_clock_that_is_corrected_costs_no_good_token(fleet: Fleet, seconds: float) -> None:
    """What a process has is not taken for new because a clock was set meanwhile: it asks for the key that it lacks."""
    processes = [fleet.process() for _ in range(3)]
    assert all(fleet.accepts(process) for process in processes)
    fleet.clock.advance(1800)
    fleet.clock.wall += seconds
    fleet.provider.keys = {"k2": K2}
    assert all(fleet.accepts(process, K2) for process in processes)
    assert fleet.provider.count("/jwks") <= 3


def test_an_outage_is_looked_at_by_one_after_the_other(fleet: Fleet) -> None:
    """While a provider is down it is asked as if there were few processes, old and new ones accept what they may."""
    processes = [fleet.process() for _ in range(8)]
    assert all(fleet.accepts(process) for process in processes)
    fleet.clock.advance(2 * HOUR)
    fleet.provider.fail = lambda request: Reply(503, url=request.url)
    asked, began = len(fleet.provider.requests), fleet.clock.steady
    for round_ in range(60):
        assert all(fleet.accepts(process) for process in processes)
        if round_ % 10 == 5:
            processes.append(fleet.process())
        fleet.clock.advance(10)
    seconds = fleet.clock.steady - began
    # metadata is looked for at two places before it counts as gone
    assert len(fleet.provider.requests) - asked <= 3 * (2 + seconds / PAUSE)
    fleet.provider.fail = lambda request: None
    fleet.clock.advance(60)
    fleet.provider.keys = {"k2": K2}
    assert all(fleet.accepts(process, K2) for process in processes)


def test_a_process_without_a_way_to_the_provider_keeps_nobody_from_it(fleet: Fleet) -> None:
    """One broken process fails by itself; the others ask, at the latest after a pause."""
    broken = Provider(k1=K1)
    broken.fail = lambda request: Reply(503, url=request.url)
    away = fleet.api.validator(ISSUER, "api", http_client=broken, store=fleet.store)
    fresh = fleet.process()
    with pytest.raises(NetworkException):
        fleet.accepts(away)
    assert fleet.accepts(fresh)
    fleet.clock.advance(HOUR + 1)
    for _ in range(20):
        assert fleet.accepts(fresh)
        fleet.accepts(away)
        fleet.clock.advance(10)
    assert fleet.provider.count("/jwks") == 2


def test_who_has_nothing_waits_for_nobody_while_the_provider_is_down(fleet: Fleet) -> None:
    """A process that begins in an outage is told so at once: it does not sit through the turns of others."""
    fleet.provider.fail = lambda request: Reply(503, url=request.url)
    for process in [fleet.process() for _ in range(4)]:
        before = fleet.clock.steady
        with pytest.raises(NetworkException):
            fleet.accepts(process)
        assert fleet.clock.steady - before < TURN


def test_each_process_reads_under_its_own_policy(fleet: Fleet) -> None:
    """Metadata that one process takes is judged by every other for itself."""
    fleet.provider.metadata = {**fleet.provider.metadata, "issuer": "https://evil.example.com"}
    fleet.api.call(fleet.process(discovery_policy=DiscoveryPolicy(validate_issuer=False)).warm_up)
    with pytest.raises(NetworkException):
        fleet.accepts(fleet.process())


@pytest.mark.parametrize("make", [lambda path: SqliteStore(path), lambda path: RedisStore("redis://127.0.0.1:1")])
def test_a_store_that_anybody_may_write_to_is_refused(api: Api, make: Any, tmp_path: Path) -> None:
    """Keys are shared through no store whose values are not authenticated."""
    store = make(tmp_path / "store.db")
    with pytest.raises(ConfigurationException) as caught:
        api.validator(ISSUER, "api", store=store)
    assert caught.value.code == "store_unauthenticated"
    assert api.validator(ISSUER, "api", store=EncryptedStore(store, bytes(32)))


def test_a_forged_value_in_a_sealed_store_trusts_no_key(api: Api, provider: Provider, clock: Any) -> None:
    """A writer to the store behind can have no key trusted, not even by moving sealed values about."""
    behind = MemoryStore(clock=lambda: clock.wall)
    fleet = Fleet(api, provider, EncryptedStore(behind, bytes(range(32))), clock)
    assert fleet.accepts(fleet.process())
    evil = Provider(k3=K3)
    attacker = Fleet(api, evil, EncryptedStore(MemoryStore(clock=lambda: clock.wall), bytes(32)), clock)
    assert attacker.accepts(attacker.process(), K3)
    forged = dict(attacker.store._store._kept)
    for name in list(behind._kept):
        behind.put(*name, forged[name].value, 600)
    process = fleet.process()
    assert not fleet.accepts(process, K3)
    assert fleet.accepts(process, K1)


def test_a_file_is_shared_by_processes(api: Api, provider: Provider, clock: Any, tmp_path: Path) -> None:
    """The same in a file, which an event loop asks in worker threads."""
    stores = [SqliteStore(tmp_path / "store.db", encryption_key=bytes(32), clock=lambda: clock.wall) for _ in range(3)]
    for store in stores:
        fleet = Fleet(api, provider, store, clock)
        assert fleet.accepts(fleet.process())
        store.close()
    assert provider.count("/jwks") == 1
    assert b"jwks" not in (tmp_path / "store.db").read_bytes()
    assert json.dumps(provider.jwks()).encode() not in (tmp_path / "store.db").read_bytes()
