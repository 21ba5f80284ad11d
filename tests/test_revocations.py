"""Revocation marks: what is revoked in one process is refused in every other one, on every path, until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import trio

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import add_observer, remove_observer
from py_identity_model._core.base.store import pack
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.revocations import (
    EPOCH_EVERY,
    TELLS_FOR,
    TOPIC,
    Revocations,
    Revoked,
    revoked,
)
from py_identity_model.aio import _driver as aio_driver
from py_identity_model.exceptions import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    StoreException,
)
from py_identity_model.stores._encrypted import EncryptedStore
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.sync import _driver as sync_driver
from redis_servers import until

KEY = SigningKey.generate("ES256", kid="k1")


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def store(clock: Any) -> MemoryStore:
    return MemoryStore(clock=lambda: clock.wall)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    seen: list[Any] = []
    add_observer(seen.append)
    yield seen
    remove_observer(seen.append)


def settled(api: Api, function: Any, *args: Any) -> Any:
    """Call *function* and wait for what it leaves running in the background."""
    if api.name == "sync":
        try:
            return function(*args)
        finally:
            for thread in list(sync_driver._background):
                thread.join(10)

    async def main() -> Any:
        try:
            return await function(*args)
        finally:
            for _ in range(1000):
                if not aio_driver._background:
                    break
                await anyio.sleep(0.005)

    return asyncio.run(main()) if api.name == "asyncio" else trio.run(main)


def code_of(api: Api, validator: Any, token: str) -> str | None:
    try:
        settled(api, validator.validate, token)
    except PyIdentityModelException as error:
        return error.code
    return None


@pytest.fixture(params=[None, 8], ids=["plain", "cached"])
def pair(request: Any, api: Api, provider: Provider, store: MemoryStore, engine: str) -> tuple[Any, Any]:
    """Two processes that share a store."""
    one, other = (
        api.validator(ISSUER, "api", http_client=provider, store=store, engine=engine, cache_tokens=request.param)
        for _ in range(2)
    )
    return one, other


def test_a_revocation_is_seen_everywhere(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """Here at once, elsewhere within two seconds: warm, remembered, in a batch; and no other token is touched."""
    one, other = pair
    bad, good = provider.token(jti="1", sub="ada"), provider.token(jti="2", sub="ada")
    for validator in pair:
        for _ in range(3):
            assert code_of(api, validator, bad) is code_of(api, validator, good) is None
    api.call(one.revoke, jti="1")
    assert code_of(api, one, bad) == "token_revoked"
    clock.advance(1.0)
    assert code_of(api, other, bad) == "token_revoked"
    assert code_of(api, other, good) is code_of(api, one, good) is None
    outcomes = api.call(other.validate_many, [good, bad, good])
    assert [getattr(outcome, "code", None) for outcome in outcomes] == [None, "token_revoked", None]


def test_a_batch_looks_for_marks_too(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """A process that validates nothing but batches sees revocations as well."""
    one, other = pair
    bad, good = provider.token(jti="1"), provider.token(jti="2")
    assert all(isinstance(outcome, dict) for outcome in api.call(other.validate_many, [bad, good]))
    api.call(one.revoke, jti="1")
    clock.advance(1.0)
    outcomes = api.call(other.validate_many, [good, bad])
    assert [getattr(outcome, "code", None) for outcome in outcomes] == [None, "token_revoked"]


@pytest.mark.parametrize(
    ("mark", "refused"),
    [
        ({"sub": "ada"}, {"ada old", "ada new", "ada session"}),
        ({"sub": "ada", "before": NOW - 10}, {"ada old"}),
        ({"sid": "s1"}, {"ada session"}),
        ({"sub": "bob", "sid": "s1"}, set()),
        ({"sub": "ada", "sid": "s1"}, {"ada session"}),
        ({"iss": ISSUER, "sub": "bob"}, {"bob"}),
        ({"iss": "https://other.example.com", "sub": "bob"}, set()),
        ({"iss": ISSUER, "before": NOW - 10}, {"ada old"}),
        ({"iss": ISSUER}, {"ada old", "ada new", "ada session", "bob"}),
        ({"jti": "j1", "iss": "https://other.example.com"}, set()),
    ],
)
def test_a_mark_means_what_it_names(
    api: Api, provider: Provider, clock: Any, mark: dict[str, Any], refused: set[str]
) -> None:
    """A token is refused that has all the claims named, and was issued before; others are not."""
    tokens = {
        "ada old": provider.token(sub="ada", iat=NOW - 20, jti="j1"),
        "ada new": provider.token(sub="ada", iat=NOW - 10),
        "ada session": provider.token(sub="ada", sid="s1"),
        "bob": provider.token(sub="bob"),
    }
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.revoke, **mark)
    assert {name for name, token in tokens.items() if code_of(api, validator, token) == "token_revoked"} == refused


def test_a_token_that_hides_when_it_was_issued_is_revoked(api: Api, provider: Provider, clock: Any) -> None:
    """Without ``iat`` a token may be from before."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.revoke, sub="ada", before=NOW - 10)
    assert code_of(api, validator, provider.token(iat=None)) == "token_revoked"


def test_a_mark_ends(api: Api, pair: Any, provider: Provider, clock: Any) -> None:
    """A mark counts as long as it was said to, in every process; the memory of it ends too."""
    one, other = pair
    api.call(one.revoke, sub="ada", lifetime=100)
    clock.advance(99)
    assert code_of(api, one, provider.token()) == code_of(api, other, provider.token()) == "token_revoked"
    clock.advance(1)
    assert code_of(api, one, provider.token()) is code_of(api, other, provider.token()) is None
    assert one._validator.revocations._by_claim == {}


def test_a_new_process_knows_what_was_revoked_before(
    api: Api, pair: Any, provider: Provider, store: MemoryStore, clock: Any
) -> None:
    """Whoever starts later reads all marks that still count, before the first token."""
    api.call(pair[0].revoke, sub="ada")
    late = api.validator(ISSUER, "api", http_client=provider, store=store)
    assert code_of(api, late, provider.token()) == "token_revoked"


class Flaky:
    """A store that can be switched off."""

    blocking, authenticated, away = False, True, False

    def __init__(self, behind: Any) -> None:
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreException("the store is away", code="store_unavailable", retry_after=3.0)
        return getattr(self._behind, name)


def test_a_silent_store_is_borne_for_a_bounded_time(
    api: Api, provider: Provider, store: MemoryStore, clock: Any, events: list[Any]
) -> None:
    """What is known goes on being refused, the rest accepted, with one event; then 503; then all is well again."""
    flaky = Flaky(store)
    validator = api.validator(ISSUER, "api", http_client=provider, store=flaky, revocations_silent_for=30)
    api.call(validator.revoke, jti="1")
    good, bad = provider.token(jti="2"), provider.token(jti="1")
    assert code_of(api, validator, good) is None
    flaky.away = True
    for _ in range(29):
        clock.advance(1)
        assert code_of(api, validator, good) is None
        assert code_of(api, validator, bad) == "token_revoked"
    assert [event.name for event in events].count("revocations_unheard") == 1
    clock.advance(1)
    for _ in range(3):
        with pytest.raises(NetworkException) as caught:
            api.call(validator.validate, good)
        assert (caught.value.code, caught.value.retry_after) == ("revocations_unknown", 3.0)
        assert caught.value.client_error.status == 503
    outcomes = api.call(validator.validate_many, [good, bad])
    assert {outcome.code for outcome in outcomes} == {"revocations_unknown"}
    flaky.away = False
    assert code_of(api, validator, good) is None
    assert code_of(api, validator, bad) == "token_revoked"


def test_a_store_that_never_answered(api: Api, provider: Provider, store: MemoryStore, clock: Any) -> None:
    """The time that is borne begins with the first token."""
    flaky = Flaky(store)
    flaky.away = True
    validator = api.validator(ISSUER, "api", http_client=provider, store=flaky, revocations_silent_for=30)
    assert code_of(api, validator, provider.token()) is None
    clock.advance(31)
    assert code_of(api, validator, provider.token()) == "revocations_unknown"


def test_a_revocation_that_cannot_be_told_is_kept_here(api: Api, provider: Provider, store: Any, clock: Any) -> None:
    """If the others cannot be told the caller hears of it, and this process refuses the tokens all the same."""
    flaky = Flaky(store)
    validator = api.validator(ISSUER, "api", http_client=provider, store=flaky)
    flaky.away = True
    with pytest.raises(StoreException):
        api.call(validator.revoke, sub="ada")
    assert code_of(api, validator, provider.token()) == "token_revoked"


@pytest.mark.parametrize("value", [b"", b"x", pack(b""), pack(b"[]"), pack(b"{}"), pack(b'{"jti":7}'), pack(b"{}", 9)])
def test_a_mark_that_is_none_is_left_aside(
    api: Api, provider: Provider, store: MemoryStore, clock: Any, value: bytes
) -> None:
    """What nobody wrote, or a newer version did, refuses nothing and hides nothing."""
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    store.publish(TOPIC, value, 600)
    assert code_of(api, validator, provider.token()) is None
    api.call(api.validator(ISSUER, "api", http_client=provider, store=store).revoke, sub="ada")
    clock.advance(1)
    assert code_of(api, validator, provider.token()) == "token_revoked"


def test_marks_in_a_sealed_store_can_be_made_by_the_application_only(
    api: Api, provider: Provider, store: MemoryStore, clock: Any
) -> None:
    """Whoever can write to the store behind revokes nothing."""
    validator = api.validator(ISSUER, "api", http_client=provider, store=EncryptedStore(store, bytes(32)))
    store.publish(TOPIC, pack(b'{"sub":"ada"}'), 600)
    assert code_of(api, validator, provider.token()) is None


@pytest.mark.parametrize(
    "wrong",
    [{}, {"before": NOW}, {"jti": ""}, {"sub": 7}, {"jti": "1", "lifetime": 0}, {"jti": "1", "before": float("nan")}],
)
def test_a_mark_that_names_nothing_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    """A revocation says which tokens it is about, and for how long."""
    validator = api.validator(ISSUER, "api")
    with pytest.raises(ConfigurationException):
        api.call(validator.revoke, **wrong)


@pytest.mark.parametrize("claim", [["x"], {"a": 1}, 7, True])
def test_odd_claims_match_nothing(api: Api, provider: Provider, clock: Any, claim: Any) -> None:
    """A claim that is no text is no name of anything."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.revoke, sid="s1")
    assert code_of(api, validator, provider.token(sid=claim)) is None


def test_what_is_over_is_forgotten_while_new_marks_come(
    api: Api, provider: Provider, store: MemoryStore, clock: Any
) -> None:
    """A feed that never ends fills no memory: marks that are over go, those that count stay."""
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    call = api.call
    call(validator.validate, provider.token())
    for at in range(20):
        clock.advance(100)
        for number in range(150):
            run = validator._validator.revocations
            run._add(Revoked(jti=f"{at}-{number}"), clock.wall + 150, clock.steady)
        assert code_of(api, validator, provider.token(jti=f"{at}-7", exp=NOW + 9999)) == "token_revoked"
    assert len(run.marks()) < 2000
    assert code_of(api, validator, provider.token(jti="3-7", exp=NOW + 9999)) is None


def test_marks_that_say_less_take_no_room(api: Api, provider: Provider, clock: Any) -> None:
    """The same user revoked again and again is one mark: the one that refuses most, for longest."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    for before, lifetime in ((NOW - 50, 600), (NOW - 10, 600), (NOW - 20, 60), (NOW - 10, 600)):
        api.call(validator.revoke, sub="ada", before=before, lifetime=lifetime)
    marks = validator._validator.revocations
    assert len(marks.marks()) == 1
    api.call(validator.revoke, sub="ada", before=NOW - 100, lifetime=6000)
    assert len(marks.marks()) == 2
    for issued, code in ((NOW - 11, "token_revoked"), (NOW - 10, None)):
        assert code_of(api, validator, provider.token(iat=issued)) == code
    clock.advance(601)
    assert code_of(api, validator, provider.token(iat=NOW - 11, exp=NOW + 9999)) is None
    assert code_of(api, validator, provider.token(iat=NOW - 101, exp=NOW + 9999)) == "token_revoked"


def test_what_a_mark_matches_by_itself() -> None:
    """A mark is a value: it tells which claims it is about, and compares them exactly."""
    what = Revoked(sub="ada", iss=ISSUER, before=NOW)
    assert what.named() == [("sub", "ada"), ("iss", ISSUER)]
    assert what.matches({"sub": "ada", "iss": ISSUER, "iat": NOW - 1})
    assert not what.matches({"sub": "ada", "iss": ISSUER, "iat": NOW})
    assert not what.matches({"sub": "ada", "iss": ISSUER + "/", "iat": NOW - 1})


def test_a_store_that_tells_everything_again_adds_nothing(
    api: Api, provider: Provider, store: MemoryStore, clock: Any
) -> None:
    """After a failover all marks are read once more: a process counts none of them twice."""
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    for number in range(3):
        api.call(validator.revoke, jti=str(number))
    revocations = validator._validator.revocations
    for _ in range(5):
        revocations._cursor = None
        clock.advance(2)
        assert code_of(api, validator, provider.token(jti="1")) == "token_revoked"
    assert len(revocations.marks()) == 3


class Forgetful(MemoryStore):
    """A store that can lose its memory, or its last marks as a failover does; without telling which memory it has."""

    def __init__(self, clock: Any, tells: bool) -> None:
        super().__init__(clock=lambda: clock.wall)
        self._tells = tells
        self.published: list[bytes] = []

    def changes(self, topic: str, cursor: str | None = None) -> Any:
        found = super().changes(topic, cursor)
        return found if self._tells else found._replace(memory="")

    def publish(self, topic: str, value: bytes, lifetime: float) -> None:
        self.published.append(value)
        super().publish(topic, value, lifetime)

    def lose(self, last: int | None = None) -> None:
        """Lose the last marks, or everything."""
        kept = {topic: list(marks) for topic, marks in self._marks.items()}
        self._forget_all()
        if last is not None:
            self._marks = {topic: [(0, mark) for _, mark in marks[:-last]] for topic, marks in kept.items()}
            self._marks = {t: [(n + 1, m) for n, (_, m) in enumerate(marks)] for t, marks in self._marks.items()}
            self._number = sum(map(len, self._marks.values()))
        self.published.clear()


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("lost", [1, 2, None])
def test_what_a_store_lost_is_told_again(
    api: Api, provider: Provider, clock: Any, events: list[Any], lost: int | None, tells: bool
) -> None:
    """Marks that a failover lost are published again, once, with the time they have left; new processes know them."""
    store = Forgetful(clock, tells)
    settings = {"http_client": provider, "store": store, "cache_tokens": 8}
    old = [api.validator(ISSUER, "api", **settings) for _ in range(4)]
    good, bad = provider.token(jti="0"), [provider.token(jti=str(number)) for number in (1, 2, 3)]
    for number in (1, 2, 3):
        api.call(old[0].revoke, jti=str(number), lifetime=100)
    for validator in old:
        assert code_of(api, validator, good) is None
    store.lose(lost)
    clock.advance(2 if tells else EPOCH_EVERY + 1)
    for validator in old * 2:
        assert code_of(api, validator, good) is None
        clock.advance(1)
    late = api.validator(ISSUER, "api", **settings)
    assert [code_of(api, late, token) for token in (*bad, good)] == [*["token_revoked"] * 3, None]
    assert len(store.published) == (lost or 3)
    (told,) = [event for event in events if event.name == "revocations_told_again"]
    assert told.facts["count"] == (lost or 3)
    clock.advance(100)
    assert [code_of(api, late, token) for token in bad] == [None] * 3


def test_telling_again_is_tried_again(api: Api, provider: Provider, clock: Any) -> None:
    """Where the store fails in the middle, or another process died with the lease, a later look does it."""
    store = Forgetful(clock, True)
    validator = api.validator(ISSUER, "api", http_client=provider, store=store)
    for number in (1, 2):
        api.call(validator.revoke, jti=str(number))
    assert code_of(api, validator, provider.token(jti="0")) is None
    store.lose()
    store.lease("revocations", "told-again", 5)
    for _ in range(4):
        clock.advance(1)
        assert code_of(api, validator, provider.token(jti="0")) is None
    assert store.published == []
    publish, failures = store.publish, iter([False, True])

    def failing(*args: Any) -> None:
        if next(failures, False):
            raise StoreException("full", code="store_full")
        publish(*args)

    store.publish = failing  # type: ignore[method-assign]
    for _ in range(TELLS_FOR.__ceil__() + 4):
        clock.advance(1)
        assert code_of(api, validator, provider.token(jti="0")) is None
    assert len(store.published) == len(set(store.published)) == 2


def test_over_a_redis_that_lost_everything(driver: Any, own_redis: Any, away: Any) -> None:
    """A Redis that was killed and began empty is told again by the process that goes on; the next one knows."""
    old = Revocations(away(own_redis.url, timeout=5))
    driver(old.revoke(revoked("j"), 600))
    driver(old.refresh())
    own_redis.kill()
    own_redis.start()
    until(lambda: _refreshed(driver, old))
    late = Revocations(away(own_redis.url, timeout=5))
    driver(late.refresh())
    assert [what.jti for what, _ in late.marks()] == ["j"]


def _refreshed(driver: Any, one: Revocations) -> bool:
    one.due = 0.0
    driver(one.refresh())
    return one._heard_at is not None and not one._silent and not one._lost
