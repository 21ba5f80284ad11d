"""What ``health()`` says: until when tokens are accepted, how the store is, what is known of revocations."""

from __future__ import annotations

from typing import Any

import pytest

from apis import ISSUER, Api, Provider
from py_identity_model import MarksHealth, StoreHealth, add_observer
from py_identity_model._core.base import store_records
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.store import ask
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._validator_health import ValidatorHealth
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException, StoreException
from py_identity_model.settings import Settings
from py_identity_model.stores import AwaitableStore, EncryptedStore, MemoryStore, RedisStore, SqliteStore

KEY = SigningKey.generate("ES256", kid="k1")
DAY = 86400.0


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


class Moody(MemoryStore):
    """A store that can be away."""

    engine = "moody"
    away = False

    def changes(self, topic: str, cursor: str | None = None) -> Any:
        """Answer, or not."""
        if self.away:
            raise StoreException("It does not answer", code="store_unavailable")
        return super().changes(topic, cursor)


def down(request: Request) -> Reply:
    return Reply(503)


def code_of(api: Api, validator: Any, token: str) -> str | None:
    try:
        api.call(validator.validate, token)
    except PyIdentityModelException as error:
        return error.code
    return None


# ---- until when


def test_nothing_is_said_of_what_was_not_fetched(api: Api, provider: Provider, clock: Any) -> None:
    """A validator that has fetched nothing, or whose keys were given, has no time at which it begins to refuse."""
    assert api.validator(ISSUER, "api", http_client=provider).health().refuses_in is None
    static = api.validator(ISSUER, "api", keys=provider.jwks()).health()
    assert (static.issuers[0].state, static.refuses_in, static.usable) == ("static", None, True)
    assert (static.store, static.marks) == (None, None)


def test_a_provider_that_was_never_reached_refuses_now(api: Api, provider: Provider, clock: Any) -> None:
    """Where the first fetch failed, tokens are refused already."""
    provider.fail = down
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert code_of(api, validator, provider.token()) is not None
    assert (validator.health().refuses_in, validator.health().usable) == (0.0, False)


@pytest.mark.parametrize("cached", [None, 8], ids=["plain", "cached"])
@pytest.mark.parametrize("metadata_lives", [60.0, 3600.0, 7200.0])
def test_it_refuses_when_it_said_it_would(
    api: Api, provider: Provider, clock: Any, metadata_lives: float, cached: int | None
) -> None:
    """In an outage tokens are accepted up to the second that health named, and refused from then on."""
    stores = Stores(api.name, Settings(disco_cache_ttl=metadata_lives, jwks_cache_ttl=3600.0, max_stale=DAY))
    validator = api.validator(ISSUER, "api", http_client=provider, stores=stores, cache_tokens=cached)
    token = provider.token(exp=clock.wall + 3 * DAY)
    assert code_of(api, validator, token) is None
    provider.fail = down
    said = validator.health().refuses_in
    assert said == min(metadata_lives, 3600.0) + DAY == validator.health().issuers[0].refuses_in
    clock.advance(said - 1)
    assert (validator.health().refuses_in, validator.health().usable) == (1.0, True)
    assert code_of(api, validator, token) is None
    clock.advance(1)
    assert (validator.health().refuses_in, validator.health().usable) == (0.0, False)
    assert code_of(api, validator, token) is not None


def test_recovery_and_rotation_put_it_off(api: Api, provider: Provider, clock: Any) -> None:
    """A provider that answers again, and a key set that was replaced, start the time anew."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.warm_up)
    whole = validator.health().refuses_in
    provider.fail = down
    clock.advance(whole - 100)
    assert code_of(api, validator, provider.token(exp=clock.wall + 600)) is None
    health = validator.health().issuers[0]
    assert (health.state, health.refuses_in) == ("stale", pytest.approx(100, abs=2))  # after a quick second try
    provider.fail = lambda request: None
    clock.advance(60)
    new = provider.keys["k2"] = SigningKey.generate("ES256", kid="k2")
    token = provider.token(key=new, iat=clock.wall, exp=clock.wall + 600)
    assert code_of(api, validator, token) is None
    api.call(validator.warm_up)
    assert (validator.health().issuers[0].keys, validator.health().issuers[0].state) == (2, "fresh")
    assert validator.health().refuses_in > whole / 2


def test_the_least_counts(api: Api, provider: Provider, clock: Any) -> None:
    """Of several issuers the one counts whose tokens are refused first; one that was not met yet does not."""
    other = Provider("https://other.example.com", k1=KEY)
    third = "https://third.example.com"

    def transport(request: Request) -> Reply:
        return (other if request.url.startswith(other.issuer) else provider)(request)

    validator = api.validator([ISSUER, other.issuer, third], "api", http_client=transport)
    assert code_of(api, validator, provider.token()) is None
    clock.advance(100)
    assert code_of(api, validator, other.token()) is None
    first, second, unmet = validator.health().issuers
    assert (second.refuses_in - first.refuses_in, unmet.refuses_in) == (100.0, None)
    assert validator.health().refuses_in == first.refuses_in


# ---- the store and the marks


def test_a_store_that_goes_away_and_comes_back(api: Api, provider: Provider, clock: Any) -> None:
    """While the store is away health counts down to the time when nothing is accepted; when it is back it says so."""
    store = Moody(clock=lambda: clock.wall)
    validator = api.validator(ISSUER, "api", http_client=provider, store=store, revocations_silent_for=60)
    token = provider.token()
    assert validator.health().store == StoreHealth("moody")
    assert validator.health().marks == MarksHealth(0, None, None)
    assert code_of(api, validator, token) is None
    health = validator.health()
    assert health.store == StoreHealth("moody", True, 0.0, None, None, store.epoch().name)
    assert health.marks == MarksHealth(0, 0.0, None)
    store.away = True
    clock.advance(10)
    assert code_of(api, validator, token) is None
    health = validator.health()
    assert (health.store.reachable, health.store.last_error, health.store.refuses_in) == (
        False,
        "store_unavailable",
        50.0,
    )
    assert (health.refuses_in, health.usable, health.marks.look_age) == (50.0, True, 10.0)
    clock.advance(49)
    assert code_of(api, validator, token) is None
    clock.advance(1)
    assert (validator.health().refuses_in, validator.health().usable) == (0.0, False)
    assert code_of(api, validator, token) == "revocations_unknown"
    store.away = False
    assert code_of(api, validator, token) is None
    health = validator.health()
    assert (health.store.reachable, health.store.answer_age, health.store.refuses_in) == (True, 0.0, None)
    assert health.usable
    assert health.refuses_in > 3600


def test_marks_are_counted(api: Api, provider: Provider, clock: Any) -> None:
    """Health says how many marks are kept, when the last one came, and when the process looked."""
    store = MemoryStore(clock=lambda: clock.wall)
    one, other = (api.validator(ISSUER, "api", http_client=provider, store=store) for _ in range(2))
    api.call(one.revoke, sub="ada")
    assert one.health().marks == MarksHealth(1, None, 0.0)
    clock.advance(5)
    assert code_of(api, other, provider.token()) == "token_revoked"
    clock.advance(0.5)
    assert other.health().marks == MarksHealth(1, 0.5, 0.5)
    alone = api.validator(ISSUER, "api", http_client=provider)
    api.call(alone.revoke, jti="1")
    clock.advance(3)
    assert (alone.health().store, alone.health().marks) == (None, MarksHealth(1, None, 3.0))


def test_a_store_with_a_new_memory_is_noticed(api: Api, provider: Provider, clock: Any) -> None:
    """A store that lost what it knew has another epoch: an event tells, at the latest half a minute later."""
    seen: list[Any] = []
    add_observer(seen.append)
    store = MemoryStore(clock=lambda: clock.wall)
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    assert code_of(api, validator, provider.token()) is None
    before = validator.health().store.epoch
    store._forget_all()
    clock.advance(30)
    assert code_of(api, validator, provider.token()) is None
    assert validator.health().store.epoch not in (None, before)
    assert [event.facts["since"] for event in seen if event.name == "store_memory_new"] == [clock.wall - 30]


def test_a_store_that_comes_back_is_looked_at(api: Api, provider: Provider, clock: Any) -> None:
    """A store that was away may be another: its epoch is asked for with the first answer, not half a minute later."""
    seen: list[Any] = []
    add_observer(seen.append)
    store = Moody(clock=lambda: clock.wall)
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    for away in (False, True, False):
        store.away = away
        clock.advance(1)
        assert code_of(api, validator, provider.token()) is None
        store._forget_all()
    assert [event.name for event in seen if event.name == "store_memory_new"] == ["store_memory_new"]


def test_what_a_store_is_called(tmp_path: Any) -> None:
    """Ours have names, wrappers the name of what they wrap, others that of their class."""

    class Dynamo:
        __hash__ = None  # type: ignore[assignment] # as a dataclass that compares by value

    keys = bytes(range(32))
    redis = RedisStore("redis://127.0.0.1:1")
    named = [
        MemoryStore(),
        SqliteStore(tmp_path / "s.db"),
        EncryptedStore(redis, keys),
        AwaitableStore(redis),
        Dynamo(),
    ]
    assert [store_records.engine_of(store) for store in named] == ["memory", "sqlite", "redis", "redis", "Dynamo"]
    assert [store_records.circuit_of(store) for store in named] == [None, None, False, False, None]
    assert store_records.record_of(Dynamo()).engine == "Dynamo"
    assert store_records.record_of(named[0]) is store_records.record_of(named[0])


def test_an_open_circuit_is_told(api: Api, provider: Provider, clock: Any) -> None:
    """A Redis that does not answer is left in peace for a while, and health says so without asking it."""
    store = EncryptedStore(RedisStore("redis://127.0.0.1:1", timeout=0.2), bytes(range(32)))
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    assert validator.health().store == StoreHealth("redis", circuit_open=False)
    assert code_of(api, validator, provider.token()) is None
    health = validator.health().store
    assert (health.engine, health.reachable, health.circuit_open) == ("redis", False, True)
    assert (health.last_error, health.answer_age) == ("store_unavailable", None)


def test_operations_are_counted(perform: Any, clock: Any) -> None:
    """Each operation of a topic is counted by how it ended, with its duration; a refused argument is no operation."""

    class Slow(MemoryStore):
        blocking = True

        def get(self, topic: str, key: str) -> bytes | None:
            clock.advance(0.02)
            if key == "broken":
                raise KeyError(key)
            return super().get(topic, key)

    store = Slow(max_entries=1)
    for operation, raises in [
        (lambda one: one.put("tokens", "a", b"1", 60), None),
        (lambda one: one.put("tokens", "b", b"1", 60), "store_full"),
        (lambda one: one.get("tokens", "a"), None),
        (lambda one: one.get("keys", "broken"), "store_failed"),
        (lambda one: one.get("Keys!", "a"), "store_argument_invalid"),
        (lambda one: one.release(one.lease("keys", "a", 60)), None),
    ]:
        if raises is None:
            perform(ask(store, operation))
            continue
        with pytest.raises((StoreException, ConfigurationException)) as failed:
            perform(ask(store, operation))
        assert failed.value.code == raises
    record = store_records.record_of(store)
    assert (store, record) in store_records.every_store()
    assert record.counts() == {
        ("tokens", "put", "ok"): 1,
        ("tokens", "put", "store_full"): 1,
        ("tokens", "get", "ok"): 1,
        ("keys", "get", "store_failed"): 1,
        ("keys", "release", "ok"): 1,
    }
    tokens = record.durations()["tokens"]
    assert (tokens[0], tokens[7], tokens[-1]) == (2, 1, pytest.approx(0.02))
    assert len(tokens) == len(store_records.BOUNDS) + 2


def test_a_store_that_lacks_an_operation(perform: Any, clock: Any) -> None:
    """What was not asked, since the store has no such method, is counted as nothing, and fails as a store fails."""

    class Half:
        blocking = False

    store = Half()
    with pytest.raises(StoreException) as failed:
        perform(ask(store, lambda one: one.get("keys", "a")))  # type: ignore[arg-type] # that is the point
    assert failed.value.code == "store_failed"
    assert store_records.record_of(store).counts() == {}


def test_a_full_store_is_there(clock: Any) -> None:
    """A store that refuses has answered; one that fails in any other way has not."""
    record = store_records.StoreRecord("memory")
    for outcome, reachable in [("store_full", True), ("store_unavailable", False), ("ok", True), ("own_code", False)]:
        record.note(store_records.Operation("keys", "put", outcome), 0.0, 1.0)
        health = record.health(3.0, None, None)
        assert (health.reachable, health.answer_age) == (reachable, 2.0)
        assert health.last_error == (None if outcome == "ok" else outcome)


def test_both_apis_give_the_same_values(api: Api) -> None:
    """Reports are values of one kind in both APIs."""
    assert isinstance(api.validator(ISSUER, "api").health(), ValidatorHealth)
