"""Where an issuer's keys come from: which documents are asked for, what is used meanwhile, what is told."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from py_identity_model import DiscoveryDocumentRequest, DiscoveryPolicy, JwksRequest
from py_identity_model._core.base.flow import (
    IMPATIENT,
    Background,
    Call,
    Clock,
    Flow,
    Now,
    Reply,
    Request,
    Send,
    Sleep,
    Wait,
)
from py_identity_model._core.base.urls import AddressRules
from py_identity_model._core.cache.answers import RefreshCrowded, Refuse
from py_identity_model._core.discovery import key_sources
from py_identity_model._core.discovery.key_sources import (
    LOGIN_PATIENCE,
    METADATA_DOUBTED_AFTER,
    Address,
    Carried,
    RemoteKeys,
    discover,
    discovery_document,
    key_set_at,
    key_set_document,
    receive,
)
from py_identity_model._core.discovery.trust import StaticKeys, Stores, as_text
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import JwksException, NetworkException
from py_identity_model.settings import Settings

ISSUER = "https://id.example.com"
WELL_KNOWN = f"{ISSUER}/.well-known/openid-configuration"
KEYS, ELSEWHERE = f"{ISSUER}/keys", f"{ISSUER}/keys2"
ONE, TWO = (SigningKey.generate("ES256", kid=kid).public_jwk for kid in ("k1", "k2"))
WALL = 1_800_000_000.0


class World:
    """A provider and a clock; background flows run at once."""

    def __init__(self, **settings: Any) -> None:
        self.steady = 1000.0
        self.settings = Settings(http_retry_max_attempts=0, **settings)
        self.stores = Stores("sync", self.settings)
        self.jwks_uri: str | None = KEYS
        self.sets: dict[str, Any] = {KEYS: ONE, ELSEWHERE: TWO}
        self.headers: dict[str, str] = {}
        #: Further headers of key sets alone.
        self.of_keys: dict[str, str] = {}
        self.asked: list[str] = []
        self.waited: list[float] = []

    def reply(self, request: Request) -> Reply:
        """Answer a request: a key, a status, or an exception in place of a key set."""
        self.asked.append(request.url)
        if request.url == WELL_KNOWN:
            what: Any = {"issuer": ISSUER, "jwks_uri": self.jwks_uri, "token_endpoint": f"{ISSUER}/token"}
        else:
            what = self.sets[request.url]
            what = {"keys": [what]} if isinstance(what, dict) else what
        if isinstance(what, int):
            return Reply(what, url=request.url)
        body = json.dumps({name: value for name, value in what.items() if value is not None}).encode()
        more = self.headers if request.url == WELL_KNOWN else {**self.headers, **self.of_keys}
        headers = (("content-type", "application/json"), *more.items())
        return Reply(200, headers, body, request.url)

    def run(self, flow: Flow[Any]) -> Any:
        """Run a flow to its end."""
        given = None
        try:
            effect = flow.send(None)
            while True:
                match effect:
                    case Send(request):
                        given = self.reply(request)
                    case Now():
                        given = Clock(WALL + self.steady - 1000.0, self.steady)
                    case Wait(future, seconds):
                        self.waited.append(seconds)
                        self.steady += max(0.0, seconds)
                        given = future.result() if future.done() else IMPATIENT
                    case Sleep(seconds):
                        self.steady += seconds
                    case Background(start):
                        self.run(start())
                    case Call(function):
                        given = function()
                    case _:
                        raise AssertionError(effect)
                effect = flow.send(given)
        except StopIteration as stop:
            return stop.value

    def source(self, **address: Any) -> RemoteKeys:
        """Return the keys of the issuer, by its metadata unless something else is said."""
        return RemoteKeys(self.stores, Address(**(address or {"discovery": ISSUER})))

    def kids(self, trust: Any) -> list[Any] | None:
        return None if trust is None else list(trust.key_set.kids)


@pytest.fixture
def world() -> World:
    return World()


# ---- the way to the keys


def test_the_keys_are_fetched_once(world: World) -> None:
    """Nothing is ready before the first fetch; then metadata and keys are, without another request, until stale."""
    source = world.source()
    assert source.peek(world.steady) is source.ready(world.steady) is None
    trust = world.run(source.current())
    assert (world.kids(trust), trust.issuer, trust.started_at) == (["k1"], ISSUER, 1000.0)
    assert world.asked == [WELL_KNOWN, KEYS]
    assert source.peek(world.steady) is trust.entry
    ready = source.ready(world.steady)
    assert ready is not None
    assert (ready.entry, ready.issuer) == (trust.entry, ISSUER)
    assert world.run(source.current()).entry is trust.entry
    assert len(world.asked) == 2


def test_two_sources_share_what_was_fetched(world: World) -> None:
    """Another source of the same issuer has the keys ready, and takes them into use by that."""
    world.run(world.source().current())
    other = world.source()
    assert other.peek(world.steady) is None
    trust = other.ready(world.steady)
    assert other.peek(world.steady) is trust.entry  # type: ignore[union-attr]


def test_an_address_of_keys_needs_no_metadata(world: World) -> None:
    """Behind a bare jwks_uri there is no issuer, and nothing is asked for but the set."""
    source = world.source(jwks_uri=KEYS)
    assert source.ready(world.steady) is None
    trust = world.run(source.current())
    assert (world.kids(trust), trust.issuer, world.asked) == (["k1"], None, [KEYS])
    assert source.peek(world.steady) is trust.entry
    world.sets[KEYS] = 404
    with pytest.raises(JwksException):
        world.run(source.newer(trust, patient=True))
    assert world.run(source.moved()) is None


def test_metadata_that_is_not_in_use_any_more_is_not_peeked_at(world: World) -> None:
    """As soon as there is newer metadata the keys are not used at once: it may lead elsewhere."""
    source = world.source()
    world.run(source.current())
    world.stores.discovery.clear()
    assert source.peek(world.steady) is None
    assert source.ready(world.steady) is None


def asked_long(source: RemoteKeys, steady: float) -> object | None:
    """Return what both caches say of the place in use, each asked by its key."""
    document, where = source._place
    behind = source._key is None or source._stores.discovery.peek(source._key, steady) is document
    return source._stores.keys.peek(where, steady) if behind else None


CHANGES: dict[str, Any] = {
    "nothing": lambda world, source: None,
    "the keys are forgotten": lambda world, source: world.stores.keys.clear(),
    "the keys are removed": lambda world, source: world.stores.keys.remove(source._place[1]),
    "the metadata is forgotten": lambda world, source: world.stores.discovery.clear(),
    "the metadata is removed": lambda world, source: world.stores.discovery.remove(source._key),
    "newer keys": lambda world, source: world.run(source.newer(source.ready(world.steady), patient=False)),
    "keys of another source": lambda world, source: world.run(
        (other := world.source()).newer(other.ready(world.steady), patient=False)
    ),
    "others need the room": lambda world, source: [
        world.run(RemoteKeys(world.stores, Address(jwks_uri=f"{KEYS}-{at}")).current()) for at in range(3)
    ],
    "a fork": lambda world, source: world.stores.keys.after_fork(),
    "an hour": lambda world, source: setattr(world, "steady", world.steady + 3600),
    "a year": lambda world, source: setattr(world, "steady", world.steady + 365 * 86400),
    "what was forgotten is fetched again": lambda world, source: (
        world.stores.keys.clear(),
        world.stores.discovery.clear(),
        world.run(world.source().current()),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_keys_that_are_kept_at_hand_are_those_of_the_caches(change: str) -> None:
    """Whatever becomes of the entries, a source that asks neither cache says what both would, and counts as they."""
    world = World(jwks_cache_max_entries=2)
    world.sets |= {f"{KEYS}-{at}": ONE for at in range(3)}
    source = world.source()
    trust = world.run(source.current())
    assert source.peek(world.steady) is source.peek(world.steady) is trust.entry
    CHANGES[change](world, source)
    said, expected = source.peek(world.steady), asked_long(source, world.steady)
    assert said is expected is (trust.entry if change == "nothing" else said)
    before = world.stores.keys.info().hits
    assert source.peek(world.steady) is said
    assert world.stores.keys.info().hits - before == (said is not None)
    world.run(source.current())
    assert source.peek(world.steady) is asked_long(source, world.steady) is not None


def test_keys_that_are_kept_at_hand_count_as_in_use(world: World) -> None:
    """A key set that tokens are verified with makes room for others last, and its uses stay counted when it goes."""
    world = World(jwks_cache_max_entries=2)
    world.sets |= {f"{KEYS}-{at}": ONE for at in range(4)}
    source = world.source()
    world.run(source.current())
    for at in range(3):
        assert source.peek(world.steady) is not None
        world.run(RemoteKeys(world.stores, Address(jwks_uri=f"{KEYS}-{at}")).current())
    hits = world.stores.keys.info().hits
    world.stores.keys.remove(source._place[1])
    assert world.stores.keys.info().hits == hits >= 3


def test_metadata_without_an_address_of_keys(world: World) -> None:
    """It cannot be used for tokens; that is told as what it is."""
    world.jwks_uri = None
    with pytest.raises(NetworkException) as caught:
        world.run(world.source().current())
    assert (caught.value.code, caught.value.claim) == ("discovery_fields_missing", "jwks_uri")


def test_the_old_keys_are_used_until_the_new_place_answers(world: World) -> None:
    """Where new metadata leads elsewhere the keys at hand serve on while those there are fetched in the background."""
    source = world.source()
    old = world.run(source.current())
    world.jwks_uri = ELSEWHERE
    world.stores.discovery.clear()
    meanwhile = world.run(source.current())
    assert meanwhile.entry is old.entry
    assert world.asked[-2:] == [WELL_KNOWN, ELSEWHERE]
    new = world.run(source.current())
    assert (world.kids(new), len(world.asked)) == (["k2"], 4)
    assert world.run(source.current()).entry is new.entry


def test_keys_that_do_not_count_any_more_do_not_serve_on(world: World) -> None:
    """From the end of their last use on, the caller waits for those of the new place."""
    source = world.source()
    old = world.run(source.current())
    world.jwks_uri = ELSEWHERE
    world.steady = old.entry.stale_until
    assert world.kids(world.run(source.current())) == ["k2"]


def test_keys_that_were_never_had_do_not_serve_on(world: World) -> None:
    """A place whose keys never came leaves nothing to go on with."""
    world.sets[KEYS] = 500
    source = world.source()
    with pytest.raises(JwksException):
        world.run(source.current())
    world.jwks_uri = ELSEWHERE
    world.stores.discovery.clear()
    assert world.kids(world.run(source.current())) == ["k2"]


@pytest.mark.parametrize("status", [404, 410])
def test_keys_that_are_gone_are_looked_for(world: World, status: int) -> None:
    """RFC 9110 15.5: a place that says so sends to the metadata anew, once, and on to where it leads."""
    source = world.source()
    world.run(source.current())
    fresh = world.source()
    world.sets[KEYS], world.jwks_uri = status, ELSEWHERE
    world.stores.keys.clear()
    trust = world.run(fresh.current())
    assert world.kids(trust) == ["k2"]
    assert world.asked[2:] == [KEYS, WELL_KNOWN, ELSEWHERE]
    assert fresh.peek(world.steady) is trust.entry


def test_keys_that_are_gone_and_nowhere_else(world: World) -> None:
    """If the metadata says what it said, or cannot be had, the place's own answer is what is told."""
    source = world.source()
    world.sets[KEYS] = 404
    for _ in range(2):
        with pytest.raises(JwksException) as caught:
            world.run(source.current())
        assert caught.value.status_code == 404
        world.steady += 30


def test_trouble_sends_nobody_to_the_metadata(world: World) -> None:
    """A server that fails is not gone: nothing else is asked for."""
    world.run(world.source().current())
    world.sets[KEYS] = 503
    world.stores.keys.clear()
    with pytest.raises(JwksException):
        world.run(world.source().current())
    assert world.asked[2:] == [KEYS]


# ---- newer keys


def test_newer_keys_are_fetched_on_demand(world: World) -> None:
    """A token of an unknown key has the set fetched again, and what is newer already is not fetched once more."""
    source = world.source()
    old = world.run(source.current())
    world.sets[KEYS] = TWO
    new = world.run(source.newer(old, patient=True))
    assert (world.kids(new), world.asked[2:]) == (["k2"], [KEYS])
    assert world.run(source.newer(old, patient=True)).entry is new.entry
    assert len(world.asked) == 3


def test_keys_that_are_fetched_can_be_fetched_again(world: World) -> None:
    """What was given once has nothing newer; what is behind an address may."""
    assert world.source().refreshable
    assert not StaticKeys(KeySet(()), ("ES256",)).refreshable


def test_before_the_first_fetch_newer_keys_are_the_first(world: World) -> None:
    """A source that has not been asked yet fetches as for any token."""
    other = World()
    trust = other.run(other.source().current())
    assert world.kids(world.run(world.source().newer(trust, patient=False))) == ["k1"]


@pytest.mark.parametrize("patient", [True, False])
def test_newer_keys_that_are_gone_are_looked_for(world: World, patient: bool) -> None:
    """Also a forced look follows the keys to where the metadata says they are by now."""
    source = world.source()
    old = world.run(source.current())
    world.sets[KEYS], world.jwks_uri = 404, ELSEWHERE
    assert world.kids(world.run(source.newer(old, patient=patient))) == ["k2"]


def test_newer_keys_that_cannot_be_had(world: World) -> None:
    """For an unknown key that is an error, which says nothing about the token; for a bad signature there are keys."""
    source = world.source()
    old = world.run(source.current())
    world.sets[KEYS] = 500
    with pytest.raises(JwksException):
        world.run(source.newer(old, patient=True))
    world.steady += 30
    assert world.run(source.newer(old, patient=False)) is None
    assert source.ready(world.steady).entry is old.entry  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cooldown", "login", "fetched"),
    [
        (1.9, False, True),
        (2.1, False, False),
        (2.1, True, True),
        (14.4, True, True),
        (15.1, True, False),
    ],
)
def test_how_long_the_next_look_is_waited_for(cooldown: float, login: bool, fetched: bool) -> None:
    """After a burst of two a token waits 2 s for the next permitted look, a login as long as that takes, up to 15 s."""
    world = World(kid_miss_refresh_cooldown=cooldown)
    assert LOGIN_PATIENCE == 15.0
    source = world.source()
    trust = world.run(source.current())
    for _ in range(2):
        trust = world.run(source.newer(trust, patient=True))
    asked = len(world.asked)
    newer = world.run(source.newer(trust, patient=True, login=login))
    assert (newer is not None, len(world.asked) - asked) == (fetched, int(fetched))


def test_a_bad_signature_waits_for_nothing() -> None:
    """Where the key is known the next look is not waited for."""
    world = World(kid_miss_refresh_cooldown=1.0)
    source = world.source()
    trust = world.run(source.current())
    for _ in range(2):
        trust = world.run(source.newer(trust, patient=False))
    for login in (False, True):
        assert world.run(source.newer(trust, patient=False, login=login)) is None
    assert world.waited == []


def test_keys_that_moved(world: World) -> None:
    """Metadata that is five minutes old is looked at anew for a key that its set lacks; younger is not."""
    assert METADATA_DOUBTED_AFTER == 300.0
    source = world.source()
    assert world.run(source.moved()) is None
    world.run(source.current())
    world.jwks_uri = ELSEWHERE
    world.steady += 299.5
    assert world.run(source.moved()) is None
    assert len(world.asked) == 2
    world.steady += 0.5
    assert world.kids(world.run(source.moved())) == ["k2"]
    assert world.asked[2:] == [WELL_KNOWN, ELSEWHERE]
    assert source.ready(world.steady).key_set.kids == ("k2",)  # type: ignore[union-attr]


def test_keys_that_did_not_move(world: World) -> None:
    """Where the metadata says what it said there is nothing new; nor where it cannot be had."""
    source = world.source()
    world.run(source.current())
    world.steady += 301
    assert world.run(source.moved()) is None
    assert world.asked[2:] == [WELL_KNOWN]
    world.jwks_uri, world.sets[ELSEWHERE] = ELSEWHERE, 500
    world.steady += 301
    assert world.run(source.moved()) is None


def crowd(world: World, source: RemoteKeys) -> None:
    """Use up the burst of forced looks, and take every place of those that wait for the next one."""
    for _ in range(2):
        world.run(source.newer(source.ready(world.steady), patient=True))  # type: ignore[arg-type]
    keys, where = world.stores.keys, source._place[1]
    while not isinstance(keys.claim(where, world.steady, newer_than=keys.version(where), until=2e9), Refuse):
        pass


def test_a_crowd_waits_already() -> None:
    """Who finds no place to wait hears that nothing can be told now; a login has a place of its own."""
    world = World(kid_miss_max_waiters=1, kid_miss_refresh_cooldown=1.9)
    source = world.source()
    trust = world.run(source.current())
    crowd(world, source)
    trust = source.ready(world.steady)
    with pytest.raises(RefreshCrowded):
        world.run(source.newer(trust, patient=True))
    assert world.run(source.newer(trust, patient=False)) is None
    assert world.run(source.newer(trust, patient=True, login=True)) is not None


def test_keys_of_unknown_making_are_older_than_none(world: World) -> None:
    """Where it cannot be told when the keys at hand were fetched, those of the cache will do."""
    source = world.source()
    trust = world.run(source.current())
    found = world.run(source.newer(trust._replace(entry=object()), patient=True))
    assert (found.entry, len(world.asked)) == (trust.entry, 2)


def test_nobody_waits_for_another_look_at_the_metadata() -> None:
    """What a token's unknown key has looked for elsewhere is rationed, and there is something else to answer with."""
    world = World(kid_miss_refresh_cooldown=0.9)
    source = world.source()
    world.run(source.current())
    world.steady += 301
    for _ in range(3):
        assert world.run(source.moved()) is None
        source._place = (replace(source._place[0], fetched_at=0.0), source._place[1])  # type: ignore[type-var]
    assert world.asked[2:] == [WELL_KNOWN] * 2
    assert world.waited == []


def test_forged_tokens_keep_nothing_in_the_caches(world: World) -> None:
    """Nothing that is fetched or found for a token counts as in use before a signature was good."""
    vouched: list[Any] = []
    for cache in (world.stores.keys, world.stores.discovery):
        cache.vouch = vouched.append  # type: ignore[method-assign]
    source = world.source()
    old = world.run(source.current())
    world.run(world.source().current())
    for _ in range(2):
        world.run(source.newer(old, patient=True))
    other = world.source(jwks_uri=ELSEWHERE)
    world.run(other.current())
    world.jwks_uri = ELSEWHERE
    world.steady += 301
    assert world.kids(world.run(source.moved())) == ["k2"]
    assert vouched == []


# ---- what is told


def test_where_the_metadata_is(world: World) -> None:
    """Its address is known from the start, what it says from the first fetch on; keys alone have none."""
    source = world.source()
    assert (source.metadata_url, source.metadata) == (WELL_KNOWN, None)
    world.run(source.current())
    assert source.metadata is not None
    assert source.metadata.issuer == ISSUER
    bare = world.source(jwks_uri=KEYS)
    world.run(bare.current())
    assert (bare.metadata_url, bare.metadata) == (None, None)


def test_whether_there_are_keys_to_use(world: World) -> None:
    """There are from the first fetch on, while they are fresh or stale, and none after that."""
    world.headers["cache-control"] = "max-age=600"
    source = world.source()
    assert not source.holds(world.steady)
    assert not world.source(jwks_uri=KEYS).holds(world.steady)
    end = world.run(source.current()).entry.stale_until
    assert [source.holds(at) for at in (world.steady, world.steady + 700, end - 1, end)] == [True, True, True, False]


def test_the_provider_is_asked_anew(world: World) -> None:
    """Whatever is known, each document is fetched, and told with where it is."""
    source = world.source()
    for _ in range(2):
        said = world.run(source.ask_anew())
        assert [(one.kind, one.address) for one in said] == [("metadata", ISSUER), ("keys", KEYS)]
    assert world.asked == [WELL_KNOWN, KEYS] * 2
    said = world.run(world.source(jwks_uri=ELSEWHERE).ask_anew())
    assert [(one.kind, one.address) for one in said] == [("keys", ELSEWHERE)]


def test_vouching_goes_to_both_documents(world: World) -> None:
    """A good signature keeps the keys and the metadata that led to them from making room for others."""
    vouched: list[Any] = []
    for cache in (world.stores.keys, world.stores.discovery):
        cache.vouch = vouched.append  # type: ignore[method-assign]
    source = world.source()
    source.vouch()
    assert [key.address for key in vouched] == [ISSUER]
    world.run(source.current())
    vouched.clear()
    source.vouch()
    assert [key.address for key in vouched] == [ISSUER, KEYS]
    bare = world.source(jwks_uri=KEYS)
    vouched.clear()
    bare.vouch()
    assert [key.address for key in vouched] == [KEYS]


def test_facts_for_a_refusal(world: World) -> None:
    """How old the keys are, and when they may be looked at again; nothing where nothing was fetched."""
    source = world.source()
    assert source.facts(world.steady) == {}
    assert world.source(jwks_uri=KEYS).facts(world.steady) == {"age": 0.0, "retry_after": 0.0}
    world.run(source.current())
    assert source.facts(world.steady + 7) == {"age": 7.0, "retry_after": 0.0}


def test_health_before_and_after(world: World) -> None:
    """Absent, then fresh with what there is of keys, then stale; and until when they may be used."""
    world.headers["cache-control"] = "max-age=600"
    source = world.source()
    before = source.health("id", world.steady)
    assert (before.state, before.keys, before.age, before.last_error, before.refuses_in) == (
        "absent",
        0,
        None,
        None,
        None,
    )
    assert (before.next_attempt, before.refresh_in) == (0.0, 0.0)
    trust = world.run(source.current())
    after = source.health("id", world.steady + 5)
    assert (after.issuer, after.state, after.keys, after.age, after.last_error) == ("id", "fresh", 1, 5.0, None)
    assert after.refuses_in == trust.entry.stale_until - world.steady - 5
    assert source.health("id", world.steady + 601).state == "stale"
    assert source.health("id", trust.entry.stale_until + 1).refuses_in == 0.0
    world.stores.discovery.clear()
    assert source.health("id", world.steady).refuses_in == 0.0


def test_health_of_metadata_that_cannot_be_had(world: World) -> None:
    """While there are no keys yet, the trouble with the metadata is what is told."""
    world.jwks_uri = "no address"
    source = world.source()
    with pytest.raises(NetworkException):
        world.run(source.current())
    found = source.health("id", world.steady)
    assert (found.state, found.keys, found.refuses_in) == ("failing", 0, 0.0)
    assert "jwks_uri" in str(found.last_error)


def test_health_of_what_was_forgotten(world: World) -> None:
    """Keys that were cleared are absent and due at once; if the metadata then fails, that is what is told."""
    source = world.source()
    world.run(source.current())
    world.stores.keys.clear()
    found = source.health("id", world.steady)
    assert (found.state, found.next_attempt) == ("absent", 0.0)
    world.stores.discovery.clear()
    world.jwks_uri = "no address"
    with pytest.raises(NetworkException):
        world.run(source.current())
    assert source.health("id", world.steady).state == "failing"


def test_trouble_with_the_metadata_does_not_hide_the_keys(world: World) -> None:
    """While there are keys to use their state is what counts."""
    source = world.source()
    world.run(source.current())
    world.stores.discovery.clear()
    world.jwks_uri = "no address"
    with pytest.raises(NetworkException):
        world.run(source.current())
    found = source.health("id", world.steady)
    assert (found.state, found.keys, found.last_error) == ("fresh", 1, None)


def test_health_of_keys_that_cannot_be_had(world: World) -> None:
    """With metadata at hand the trouble with the keys is told; without keys nothing may be used."""
    world.sets[KEYS] = 500
    source = world.source()
    with pytest.raises(JwksException):
        world.run(source.current())
    found = source.health("id", world.steady)
    assert (found.state, found.keys, found.refuses_in) == ("failing", 0, 0.0)
    assert str(found.last_error).startswith("jwks_failed")
    bare = World()
    assert bare.source(jwks_uri=KEYS).health("id", bare.steady).state == "absent"


def test_health_follows_the_document_that_ends_first(world: World) -> None:
    """The keys may be used as long as the metadata that leads to them may."""
    source = world.source()
    world.run(source.current())
    world.steady += 100
    world.headers["cache-control"] = "max-age=86400"
    trust = world.run(source.newer(source.ready(world.steady), patient=True))  # type: ignore[arg-type]
    document = world.stores.discovery.snapshot(source._key, world.steady).entry
    assert document is not None
    assert document.stale_until < trust.entry.stale_until
    assert source.health("id", world.steady).refuses_in == document.stale_until - world.steady


# ---- to another process


def carried(world: World, source: RemoteKeys, later: float = 0.0) -> Carried:
    found = source.carried(world.steady + later)
    assert found is not None
    return found


def test_keys_are_carried_to_another_process(world: World) -> None:
    """It has them for as long as they had left there, without a request; what is not fresh is not carried."""
    world.headers["cache-control"] = "max-age=600"
    source = world.source()
    assert source.carried(world.steady) is None
    first = world.run(source.current())
    there = World()
    there.steady = 50.0
    receive(there.stores, carried(world, source, later=100), 40.0, there.steady)
    trust = there.source().ready(there.steady)
    assert trust is not None
    assert (there.kids(trust), trust.issuer, there.asked) == (["k1"], ISSUER, [])
    assert trust.entry.fresh_until == 50.0 + 600 - 100 - 40
    for name in ("revalidate_until", "stale_until"):
        left = getattr(first.entry, name) - first.entry.fresh_until
        assert getattr(trust.entry, name) - trust.entry.fresh_until == left
    assert source.carried(world.steady + 600) is None


def test_bare_keys_are_carried_too(world: World) -> None:
    """Without metadata the set alone goes."""
    source = world.source(jwks_uri=KEYS)
    world.run(source.current())
    found = carried(world, source)
    assert (found.discovery_key, found.document) == (None, None)
    there = World()
    receive(there.stores, found, 0.0, there.steady)
    assert there.source(jwks_uri=KEYS).ready(there.steady) is not None


@pytest.mark.parametrize(("elapsed", "there_is"), [(-50.0, True), (599.0, True), (600.0, False), (601.0, False)])
def test_what_is_too_old_is_not_taken(world: World, elapsed: float, there_is: bool) -> None:
    """Keys whose freshness ended on the way do not arrive; a clock that was set back makes none younger."""
    world.headers["cache-control"] = "max-age=600"
    source = world.source()
    world.run(source.current())
    there = World()
    receive(there.stores, carried(world, source), elapsed, there.steady)
    trust = there.source().ready(there.steady) if elapsed < 480 else None
    entry = there.stores.keys.snapshot(carried(world, source).keys_key, there.steady).entry
    assert (entry is not None) is there_is
    if trust is not None:
        assert trust.entry.fresh_until == there.steady + 600


def test_each_document_arrives_by_itself(world: World) -> None:
    """Metadata that is still fresh arrives, also where the keys are not."""
    world.headers["cache-control"], world.of_keys["cache-control"] = "max-age=3600", "max-age=600"
    source = world.source()
    world.run(source.current())
    there = World()
    receive(there.stores, carried(world, source), 700.0, there.steady)
    there.run(there.source().current())
    assert there.asked == [KEYS]


def test_what_is_there_already_stays(world: World) -> None:
    """Keys that another process brings replace none."""
    source = world.source()
    world.run(source.current())
    there = World()
    there.sets[KEYS] = TWO
    mine = there.run(there.source().current())
    receive(there.stores, carried(world, source), 0.0, there.steady)
    assert there.source().ready(there.steady).entry is mine.entry  # type: ignore[union-attr]


# ---- the backchannel


@pytest.mark.parametrize(
    ("given", "uri", "by_backchannel"),
    [
        ({"discovery": ISSUER}, KEYS, True),
        ({"discovery": ISSUER}, "https://keys.example.com/jwks", False),
        ({"discovery": ISSUER}, "http://keycloak:8080/keys", True),
        ({"discovery": "https://meta.example.com", "issuer": ISSUER}, KEYS, True),
        ({"discovery": "https://meta.example.com", "issuer": ISSUER}, "https://meta.example.com/keys", True),
        ({"discovery": "https://meta.example.com", "issuer": ISSUER}, "https://keys.example.com/jwks", False),
        ({"jwks_uri": KEYS}, KEYS, True),
    ],
)
def test_what_is_reached_by_the_backchannel(given: dict[str, Any], uri: str, by_backchannel: bool) -> None:
    """What is at the host of the metadata or of the issuer, or below the backchannel itself; other hosts directly."""
    policy = DiscoveryPolicy(backchannel="http://keycloak:8080", require_https=False)
    rules = Address(policy=policy, **given).rules_for(uri)
    assert rules.backchannel == ("http://keycloak:8080" if by_backchannel else None)
    assert not rules.require_https
    assert Address(**given).rules_for(uri).backchannel is None


# ---- documents for callers


def test_a_caller_gets_documents_of_its_own(world: World) -> None:
    """What is asked for by hand comes through the same caches; a refresh fetches anew."""
    for refresh, asked in ((False, 1), (False, 1), (True, 2)):
        found = world.run(key_set_document(world.stores, JwksRequest(KEYS), refresh=refresh))
        assert ([key.kid for key in found.keys], len(world.asked)) == (["k1"], asked)
    world.asked.clear()
    for refresh, asked in ((False, 1), (False, 1), (True, 2)):
        request = DiscoveryDocumentRequest(ISSUER)
        document = world.run(discovery_document(world.stores, request, refresh=refresh))
        assert (document.issuer, len(world.asked)) == (ISSUER, asked)


def test_a_backchannel_is_an_origin(world: World) -> None:
    """A query in the address of the way there would get lost, and is refused."""
    world.sets["https://in.example/keys"] = TWO
    good = world.run(key_set_document(world.stores, JwksRequest(KEYS, backchannel="https://in.example")))
    assert [key.kid for key in good.keys] == ["k2"]
    bad = world.run(key_set_document(world.stores, JwksRequest(KEYS, backchannel="https://in.example/?a=b")))
    assert "backchannel" in str(bad.error)


def test_addresses_are_values() -> None:
    """Where keys come from, and what is carried of them, does not change."""
    for value in (Address(jwks_uri=KEYS), Carried(None, None)):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(value, fields(value)[0].name, None)
        assert not hasattr(value, "__dict__")


def test_nothing_is_fetched_twice_unless_asked_for(world: World) -> None:
    """Without a word about it what is in the caches is used, and then counts as in use."""
    rules = AddressRules()
    for _ in range(2):
        world.run(discover(world.stores, ISSUER, DiscoveryPolicy()))
        world.run(key_set_at(world.stores, KEYS, rules))
        world.run(discovery_document(world.stores, DiscoveryDocumentRequest(ISSUER)))
        world.run(key_set_document(world.stores, JwksRequest(KEYS)))
    assert sorted(world.asked) == sorted([WELL_KNOWN, KEYS])
    vouched: list[Any] = []
    world.stores.discovery.vouch = vouched.append  # type: ignore[method-assign]
    world.run(discover(world.stores, ISSUER, DiscoveryPolicy()))
    assert [key.address for key in vouched] == [ISSUER]


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (True, "True"),
        ("b", "'b'"),
        ((1, None), "(1 None)"),
        (["b", "a"], "('b' 'a')"),
        ({"b", "a", "c"}, "('a' 'b' 'c')"),
        (frozenset({"b", "a", "c"}), "('a' 'b' 'c')"),
        ((1, frozenset({"d", "c", "e"})), "(1 ('c' 'd' 'e'))"),
    ],
)
def test_rules_have_one_text(rules: Any, text: str) -> None:
    """What is shared by processes is named alike in each, whatever the order of a set there; a list has its own."""
    assert as_text(rules) == text


@pytest.mark.parametrize(
    ("carrier", "named"), [(None, "None"), (True, "True"), ("/ca.pem", "/ca.pem"), (object(), "own"), (7, "own")]
)
def test_what_is_shared_names_its_transport(
    world: World, monkeypatch: pytest.MonkeyPatch, carrier: Any, named: str
) -> None:
    """A CA bundle by its path, which is the same everywhere; a client of the application's own as that."""
    told: list[str] = []

    def shared(store: Any, name: str, fetch: Any, previous: Any, *more: Any) -> Any:
        told.append(name)
        return fetch(previous)

    monkeypatch.setattr(key_sources, "shared_fetch", shared)
    world.run(key_set_at(world.stores, KEYS, AddressRules()))
    assert told == []
    world.stores.shared = object()  # type: ignore[assignment]
    world.stores.keys.clear()
    world.run(key_set_at(world.stores.carried_by(carrier), KEYS, AddressRules()))
    assert [name.rpartition(" ")[2] for name in told] == [named]
    assert told[0].startswith(f"keys {KEYS} (True True False None)")
