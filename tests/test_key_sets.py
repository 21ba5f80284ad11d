"""Several key sets of one issuer: each is asked on its own, and one that hangs or is gone costs the others nothing."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import IssuerKeySet, IssuerTemplate, StatusListPolicy, TrustedIssuer, _token_validator
from py_identity_model._core.base import transport
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.key_sets import MAX_KEY_SETS
from py_identity_model.exceptions import (
    ConfigurationException,
    InvalidIssuerException,
    NetworkException,
    PyIdentityModelException,
    SignatureVerificationException,
    UnknownKeyException,
)
from py_identity_model.settings import Settings, reset_settings
from py_identity_model.stores._encrypted import EncryptedStore
from py_identity_model.stores._memory import MemoryStore
from py_identity_model.sync import _driver as sync_driver

OLD, NEW = "https://old.example.net/jwks", "https://new.example.net/jwks"
K1, K2, K3 = (SigningKey.generate("ES256", kid=f"k{number}") for number in (1, 2, 3))
#: Another key of the same name as K1.
TWIN = SigningKey.generate("ES256", kid="k1")
BOTH = [IssuerKeySet(jwks_uri=OLD), IssuerKeySet(jwks_uri=NEW)]
JSON = ("content-type", "application/json")
#: Times and rations that do not come round in a test.
SLOW = Settings(kid_miss_refresh_cooldown=3600.0)


def jwk(key: SigningKey, **more: Any) -> dict[str, Any]:
    return {**(key.public_jwk or {}), "use": "sig", **more}


class Sets:
    """Key sets at several addresses, each of which can be down or hang; and the issuer's own metadata."""

    def __init__(self, **sets: Any) -> None:
        #: Address -> its keys, a reply, an error, or ``"hang"``.
        self.at: dict[str, Any] = {OLD: [jwk(K1)], NEW: [jwk(K2)], **sets}
        self.metadata = Provider().metadata
        self.requests: list[str] = []
        self.released = threading.Event()

    def __call__(self, request: Request) -> Any:
        self.requests.append(request.url)
        there = self.metadata if request.url.endswith("configuration") else self.at.get(request.url, Reply(404))
        if there == "hang":
            return self._hang(request)
        if isinstance(there, Exception):
            raise there
        if isinstance(there, Reply):
            return there
        document = there if isinstance(there, dict) else {"keys": there}
        return Reply(200, (JSON,), json.dumps(document).encode(), request.url)

    def _hang(self, request: Request) -> Any:
        try:
            import sniffio

            sniffio.current_async_library()
        except Exception:
            self.released.wait(20)
            return Reply(503, (), b"", request.url)
        return anyio.sleep_forever()

    def count(self, url: str) -> int:
        return self.requests.count(url)


@pytest.fixture
def sets() -> Iterator[Sets]:
    served = Sets()
    yield served
    served.released.set()
    for thread in list(sync_driver._background):
        thread.join(2)


def token_by(key: SigningKey, **changes: Any) -> str:
    return Provider(k=key).token(exp=NOW + 10_000_000, **changes)


def build(api: Api, sets: Sets, key_sets: Any = BOTH, settings: Settings = SLOW, **options: Any) -> Any:
    own = options.pop("stores", None) or Stores(api.name, settings)
    return api.validator(ISSUER, "api", key_sets=key_sets, stores=own, http_client=sets, **options)


def refusal(api: Api, validator: Any, token: str) -> PyIdentityModelException:
    with pytest.raises(PyIdentityModelException) as caught:
        api.call(validator.validate, token)
    return caught.value


def good(api: Api, validator: Any, *tokens: str) -> bool:
    return all(api.call(validator.validate, token)["sub"] == "ada" for token in tokens)


DOWN = [Reply(503), Reply(404), transport.failure("connection_failed", "no", Request("GET", NEW)), [], {"keys": 5}]


# ---- which set verifies


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]], ids=["old first", "new first"])
def test_the_set_that_has_the_key_verifies(api: Api, clock: Any, sets: Sets, order: Any, engine: str) -> None:
    """Tokens of the old provider and of the new one are good, cold and warm, and each set is fetched once."""
    validator = build(api, sets, order, engine=engine)
    for _ in range(3):
        assert good(api, validator, token_by(K1), token_by(K2))
    assert (sets.count(OLD), sets.count(NEW)) == (1, 1)


def test_sets_of_every_kind_stand_beside_each_other(api: Api, clock: Any, sets: Sets, tmp_path: Path) -> None:
    """The issuer's own metadata, a bare jwks_uri, keys given, and a file that is read again when it changes."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(jwk(K2)))
    sets.at[ISSUER + "/jwks"] = [jwk(K1)]
    sets.at[OLD] = []
    spare = SigningKey.generate("EdDSA", kid="spare")
    each = [IssuerKeySet(), IssuerKeySet(keys=path), IssuerKeySet(keys=jwk(spare))]
    validator = build(api, sets, each)
    assert good(api, validator, token_by(K1), token_by(K2), token_by(spare))
    path.write_text(json.dumps({"keys": [jwk(K3)]}))
    assert good(api, validator, token_by(K3), token_by(K1))
    assert isinstance(refusal(api, validator, token_by(K2)), UnknownKeyException)


def test_two_providers_with_metadata_of_their_own(api: Api, clock: Any, sets: Sets) -> None:
    """A provider behind two hosts: the metadata of both names the issuer, and each leads to its own keys."""
    hosts = {f"https://{name}.example.net/.well-known/openid-configuration": name for name in ("a", "b")}

    class Hosts(Sets):
        def __call__(self, request: Request) -> Any:
            place = {"a": OLD, "b": NEW}.get(hosts.get(request.url, ""))
            document = {**sets.metadata, "jwks_uri": place}
            return sets(request) if place is None else Reply(200, (JSON,), json.dumps(document).encode(), request.url)

    validator = build(api, Hosts(), [IssuerKeySet(discovery_address=host) for host in hosts])
    assert good(api, validator, token_by(K1), token_by(K2))
    assert sorted(sets.requests) == sorted([OLD, NEW])


def test_one_key_set_is_as_good_as_none_named(api: Api, clock: Any, sets: Sets) -> None:
    """A list of one is the plain case, without any of what several cost."""
    validator = build(api, sets, BOTH[:1])
    assert good(api, validator, token_by(K1))
    assert validator._validator.only.others == ()
    assert isinstance(refusal(api, validator, token_by(K2)), UnknownKeyException)


@pytest.mark.parametrize("cached", [None, 10])
def test_two_keys_of_one_name_are_both_tried(api: Api, clock: Any, sets: Sets, cached: Any, engine: str) -> None:
    """The same kid in both sets: whichever of the keys signed, the token is good; signed by neither, it is forged."""
    sets.at[NEW] = [jwk(TWIN)]
    validator = build(api, sets, engine=engine, cache_tokens=cached)
    for _ in range(3):
        assert good(api, validator, token_by(K1), token_by(TWIN))
    forged = refusal(api, validator, token_by(SigningKey.generate("ES256", kid="k1")))
    assert isinstance(forged, SignatureVerificationException)
    assert forged.code == "signature_invalid"
    outcomes = api.call(validator.validate_many, [token_by(K1), token_by(TWIN), token_by(K3), token_by(K1)])
    assert [getattr(one, "code", "good") for one in outcomes] == ["good", "good", "key_unknown", "good"]


def test_a_key_without_a_name_counts_only_where_none_has_the_name(api: Api, clock: Any, sets: Sets) -> None:
    """As within one set: a token whose kid another set has is not held against keys that have none."""
    nameless = SigningKey.generate("ES256")
    posing = SigningKey.from_pem(nameless.private_pem, "ES256", kid="k1")
    validator = build(api, sets, [IssuerKeySet(keys=nameless.public_jwk), BOTH[0]])
    assert good(api, validator, token_by(K1), token_by(nameless))
    assert isinstance(refusal(api, validator, token_by(posing)), SignatureVerificationException)


def test_a_key_that_names_its_issuer_is_heeded_in_each_set(api: Api, clock: Any, sets: Sets) -> None:
    """A key marked for another tenant verifies nothing, and the same key without a mark in another set does."""
    sets.at[OLD] = [jwk(K1, issuer="https://other.example.com")]
    validator = build(api, sets)
    assert isinstance(refusal(api, validator, token_by(K1)), InvalidIssuerException)
    sets.at[NEW] = [jwk(K1)]
    assert good(api, build(api, sets), token_by(K1))


# ---- sets that are down, or hang


@pytest.mark.parametrize("down", [*DOWN, "hang"], ids=str)
@pytest.mark.parametrize("dead", [OLD, NEW])
def test_tokens_of_a_healthy_set_do_not_notice_a_dead_one(
    api: Api, clock: Any, sets: Sets, dead: str, down: Any, engine: str
) -> None:
    """From the first token on, wherever the dead set stands in the list; and the dead one is not asked for them."""
    sets.at[dead] = down
    key = K2 if dead == OLD else K1
    validator = build(api, sets, engine=engine)
    for _ in range(5):
        assert good(api, validator, token_by(key), token_by(key, sub="ada", jti="x"))
    assert validator._warm(token_by(key), clock.wall, clock.steady)["sub"] == "ada"
    assert sets.count(dead) <= 2  # the first is repeated once
    clock.advance(3400)  # time for a refresh ahead of the healthy set, and the dead one is still dead
    assert good(api, validator, token_by(key), token_by(key))


@pytest.mark.parametrize("down", DOWN, ids=str)
@pytest.mark.parametrize("dead", [OLD, NEW])
def test_a_set_that_cannot_be_asked_could_have_the_key(api: Api, clock: Any, sets: Sets, dead: str, down: Any) -> None:
    """503, not 401, and which set it is; the token is unknown only after all of them have answered."""
    sets.at[dead] = down
    validator = build(api, sets)
    error = refusal(api, validator, token_by(K3))
    assert isinstance(error, NetworkException)
    assert (error.client_error.status, error.details["key_set"]) == (503, dead)
    assert dead in str(error)
    assert error.retry_after is not None
    clock.advance(60)
    sets.at[dead] = [jwk(TWIN)]
    unknown = refusal(api, validator, token_by(K3))
    assert (unknown.code, unknown.client_error.status) == ("key_unknown", 401)
    assert unknown.details["key_sets"] == [OLD, NEW]
    assert OLD in unknown.message
    assert NEW in unknown.message


def test_a_token_that_a_set_names_the_key_of_is_its_to_judge(api: Api, clock: Any, sets: Sets) -> None:
    """Forged under a known kid is forged, though another set cannot be asked; the refusal says so."""
    sets.at[NEW] = Reply(503)
    validator = build(api, sets)
    assert good(api, validator, token_by(K1))
    error = refusal(api, validator, token_by(TWIN))
    assert (error.code, error.client_error.status) == ("signature_invalid", 401)
    assert NEW in str(error.hint)


def test_a_token_without_a_kid_may_be_of_the_set_that_is_down(api: Api, clock: Any, sets: Sets) -> None:
    """Nothing says whose it is: it cannot be told now."""
    nameless = SigningKey.generate("ES256")
    sets.at[NEW] = Reply(503)
    validator = build(api, sets)
    assert isinstance(refusal(api, validator, token_by(nameless)), NetworkException)
    sets.at[NEW] = [jwk(nameless)]
    clock.advance(60)
    assert good(api, validator, token_by(nameless))


def test_a_key_nobody_knows_waits_for_a_set_that_hangs_no_longer_than_the_budget(
    driver: Any, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sets are asked at the same time: the one that answers has its say, the other runs out of time: 503."""
    monkeypatch.setenv("HTTP_TIMEOUT", "0.5")
    reset_settings()
    sets.at[NEW] = "hang"
    api = Api(driver.kind)
    validator = build(api, sets, settings=Settings(http_timeout=0.5, kid_miss_refresh_cooldown=3600.0))
    now = int(sync_driver.read_clock().wall)
    fresh = {"iat": now, "exp": now + 600}
    started = sync_driver.read_clock().steady
    assert good(api, validator, Provider(k=K1).token(**fresh))
    error = refusal(api, validator, Provider(k=K3).token(**fresh))
    assert isinstance(error, NetworkException)
    assert error.details["key_set"] == NEW
    assert sync_driver.read_clock().steady - started < 4.0
    assert good(api, validator, Provider(k=K1).token(**fresh))


# ---- rotation


@pytest.mark.parametrize(("at", "other"), [(OLD, NEW), (NEW, OLD)])
@pytest.mark.parametrize("dead", [False, True])
def test_a_rotation_in_one_set_only(api: Api, clock: Any, sets: Sets, at: str, other: str, dead: bool) -> None:
    """A new key is found at once in the set that has it, whether or not the other one can be asked."""
    validator = build(api, sets)
    assert good(api, validator, token_by(K1), token_by(K2))
    sets.at[at] = [jwk(K3)]
    if dead:
        sets.at[other] = "hang"
    assert good(api, validator, token_by(K3), token_by(K2 if at == OLD else K1))
    assert (sets.count(at), sets.count(other) <= 3) == (2, True)  # by a clock that stands still a second look is due


def test_a_rotation_to_another_address_in_one_set(api: Api, clock: Any, sets: Sets) -> None:
    """The metadata of one set names another place by now: its new key is found there."""
    sets.metadata["jwks_uri"] = OLD
    validator = build(api, sets, [IssuerKeySet(), BOTH[1]])
    assert good(api, validator, token_by(K1), token_by(K2))
    sets.metadata["jwks_uri"] = OLD + "/2"
    sets.at[OLD + "/2"] = [jwk(K3)]
    clock.advance(400)
    assert good(api, validator, token_by(K3))


def test_a_new_key_under_an_old_name_in_one_set(api: Api, clock: Any, sets: Sets) -> None:
    """The kid stays, the key is another: one rationed look, as with one set."""
    validator = build(api, sets)
    assert good(api, validator, token_by(K1), token_by(K2))
    sets.at[OLD] = [jwk(TWIN)]
    assert good(api, validator, token_by(TWIN), token_by(K2))


# ---- floods


@pytest.mark.parametrize("down", [None, Reply(503)])
def test_a_flood_of_forged_keys_is_rationed_at_each_set(api: Api, clock: Any, sets: Sets, down: Any) -> None:
    """Each set is asked under its own rules, a bounded number of times, and good tokens pass beside the flood."""
    if down is not None:
        sets.at[NEW] = down
    validator = build(api, sets)
    for number in range(200):
        forged = token_by(SigningKey.generate("ES256", kid=f"forged-{number}"))
        assert refusal(api, validator, forged).client_error.status == (401 if down is None else 503)
        assert good(api, validator, token_by(K1))
        clock.advance(0.001)
    assert sets.count(OLD) <= 4
    assert sets.count(NEW) <= 6


def test_few_wait_for_an_empty_set_that_hangs(clock: Any, sets: Sets) -> None:
    """While another set has keys, at most as many threads as settings allow wait for the empty one; others hear 503."""
    api = Api("sync")
    sets.at[NEW] = "hang"
    validator = build(api, sets, settings=Settings(kid_miss_max_waiters=2, kid_miss_refresh_cooldown=3600.0))
    assert good(api, validator, token_by(K1))
    errors: list[Exception] = []

    def forge() -> None:
        errors.append(refusal(api, validator, token_by(K3)))

    waiting = [threading.Thread(target=forge) for _ in range(2)]
    for thread in waiting:
        thread.start()
    places = validator._validator.only.places
    while places._free:
        threading.Event().wait(0.005)
    clock.advance(2)  # past the moment in which all may wait
    crowded = refusal(api, validator, token_by(K3))
    assert (crowded.code, crowded.details["key_set"]) == ("refresh_crowded", NEW)
    assert good(api, validator, token_by(K1))
    sets.released.set()
    for thread in waiting:
        thread.join(5)
    assert [type(error).__name__ for error in errors] == ["JwksException"] * 2
    assert places._free == 2


def test_in_a_thread_that_runs_a_loop_the_blocking_api_finds_the_key_too(sets: Sets, clock: Any) -> None:
    """There it cannot wait for another caller: it looks again and again."""

    async def main() -> None:
        validator = build(Api("sync"), sets)
        assert good(Api("sync"), validator, token_by(K2), token_by(K1))
        assert isinstance(refusal(Api("sync"), validator, token_by(K3)), UnknownKeyException)

    asyncio.run(main())


def test_many_threads_at_a_cold_start_fetch_each_set_once(sets: Sets, clock: Any) -> None:
    """Single flight holds for each of the sets."""
    validator = build(Api("sync"), sets)
    failed: list[Exception] = []
    start = threading.Barrier(12)

    def work(key: SigningKey) -> None:
        start.wait()
        try:
            assert validator.validate(token_by(key))["sub"] == "ada"
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(key,)) for key in [K1, K2] * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert failed == []
    assert (sets.count(OLD), sets.count(NEW)) == (1, 1)


def test_what_cannot_be_begun_in_the_background_leaves_no_lease(sets: Sets, clock: Any, monkeypatch: Any) -> None:
    """Out of threads: the token cannot be verified now, and the next one can."""
    api = Api("sync")
    validator = build(api, sets)
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("out of threads")))
        assert isinstance(refusal(api, validator, token_by(K1)), NetworkException)
    assert good(api, validator, token_by(K1), token_by(K2))


# ---- what else a validator does


def test_what_the_issuer_signs_beside_tokens_is_verified_by_all_sets(api: Api, clock: Any, sets: Sets) -> None:
    """A status list is good under whichever key set has its key."""
    uri = ISSUER + "/statuslists/1"
    said = {"iss": ISSUER, "sub": uri, "iat": NOW, "ttl": 600, "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}}
    listed = sign_compact(said, K2, typ="statuslist+jwt")
    sets.at[uri] = Reply(200, (("content-type", "application/statuslist+jwt"),), listed.encode(), uri)
    validator = build(api, sets, status_lists=StatusListPolicy())
    status = {"status_list": {"idx": 1, "uri": uri}}
    assert good(api, validator, token_by(K1, status=status))
    assert refusal(api, validator, token_by(K1, status={"status_list": {"idx": 0, "uri": uri}})).code == "token_revoked"


def test_health_tells_of_each_set(api: Api, clock: Any, sets: Sets) -> None:
    """One report per key set, which it names; a validator is usable when all of them are."""
    sets.at[NEW] = Reply(503)
    validator = build(api, sets, [*BOTH, IssuerKeySet(keys=jwk(K3))])
    refusal(api, validator, token_by(TWIN))
    refusal(api, validator, token_by(SigningKey.generate("ES256", kid="other")))
    reports = validator.health().issuers
    assert [(one.issuer, one.key_set, one.state) for one in reports] == [
        (ISSUER, OLD, "fresh"),
        (ISSUER, NEW, "failing"),
        (ISSUER, "static keys", "static"),
    ]
    assert not validator.health().usable
    alone = api.validator(ISSUER, "api", http_client=sets)
    assert alone.health().issuers[0].key_set is None


def test_warming_up_fetches_all_that_can_be_fetched(api: Api, clock: Any, sets: Sets) -> None:
    """The set that fails is told of, after the others were fetched."""
    sets.at[OLD] = Reply(503)
    validator = build(api, sets)
    with pytest.raises(NetworkException):
        api.call(validator.warm_up)
    assert validator.health().issuers[1].state == "fresh"
    assert validator._validator.only.others[0].snapshot is not None


def nobody(request: Request) -> Reply:
    """Answer as a provider that is not there."""
    return Reply(404)


def test_a_copy_in_another_process_has_all_sets(
    api: Api, clock: Any, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pickled with the keys of both sets: there is nothing to be fetched."""
    monkeypatch.setattr(_token_validator, "time", lambda: clock.wall)
    monkeypatch.setattr(_token_validator, "monotonic", lambda: clock.steady)
    validator = build(api, sets, [BOTH[0], IssuerKeySet(keys=jwk(K2))])
    assert good(api, validator, token_by(K1), token_by(K2))
    validator._given["http_client"] = nobody
    copied = pickle.loads(pickle.dumps(validator))
    assert good(api, copied, token_by(K1), token_by(K2))
    assert [one.key_set for one in copied.health().issuers] == [OLD, "static keys"]


def test_processes_that_share_a_store_fetch_each_set_once(api: Api, clock: Any, sets: Sets) -> None:
    """Each set is an answer of its own in the store."""
    store = EncryptedStore(MemoryStore(clock=lambda: clock.wall), bytes(32))
    for _ in range(3):
        validator = api.validator(ISSUER, "api", key_sets=BOTH, http_client=sets, store=store)
        assert good(api, validator, token_by(K1), token_by(K2))
    assert (sets.count(OLD), sets.count(NEW)) == (1, 1)


def test_remembered_tokens_count_as_long_as_the_keys_of_their_set(api: Api, clock: Any, sets: Sets) -> None:
    """A token that was remembered under one set is not kept beyond that set's own rotation."""
    validator = build(api, sets, cache_tokens=10)
    first, second = token_by(K1), token_by(K2)
    for _ in range(3):
        assert good(api, validator, first, second)
    assert validator.cache_info().hits >= 2
    sets.at[NEW] = [jwk(K3)]
    assert good(api, validator, token_by(K3))
    assert isinstance(refusal(api, validator, second), UnknownKeyException)
    assert good(api, validator, first)


def test_an_issuer_that_a_resolver_brings_may_have_several(api: Api, clock: Any, sets: Sets) -> None:
    """Key sets go with a TrustedIssuer wherever one is taken."""
    brought = TrustedIssuer(ISSUER, key_sets=BOTH)
    validator = api.validator(None, "api", issuer_resolver=lambda iss: brought, http_client=sets)
    assert good(api, validator, token_by(K1), token_by(K2), token_by(K1))
    several = api.validator(
        [brought, IssuerTemplate("https://{x}.example.org", allowed={"a"})], "api", http_client=sets
    )
    assert good(api, several, token_by(K2), token_by(K1), token_by(K2))


def test_backchannel_and_policy_are_of_each_set(api: Api, clock: Any, sets: Sets) -> None:
    """Two hosts, each reached by a way of its own."""
    inside = "https://inside.example.net/jwks"
    sets.at[inside] = [jwk(K2)]
    each = [BOTH[0], IssuerKeySet(jwks_uri=ISSUER + "/jwks", backchannel="https://inside.example.net")]
    validator = build(api, sets, each)
    assert good(api, validator, token_by(K1), token_by(K2))
    assert inside in sets.requests
    assert [one.backchannel for one in validator.health().issuers] == [None, "https://inside.example.net"]


SECRET = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1z", "kid": "s"}
WRONG: dict[str, Callable[[], Any]] = {
    "not a list": lambda: {"key_sets": BOTH[0]},
    "addresses": lambda: {"key_sets": [OLD]},
    "none": lambda: {"key_sets": []},
    "too many": lambda: {"key_sets": [IssuerKeySet(jwks_uri=f"{OLD}/{n}") for n in range(MAX_KEY_SETS + 1)]},
    "one twice": lambda: {"key_sets": [BOTH[0], IssuerKeySet(jwks_uri=OLD)]},
    "a place beside": lambda: {"key_sets": BOTH, "jwks_uri": OLD},
    "keys beside": lambda: {"key_sets": BOTH, "keys": jwk(K1)},
    "a backchannel beside": lambda: {"key_sets": BOTH, "backchannel": "https://in.example.com"},
    "two places": lambda: {"key_sets": [IssuerKeySet(jwks_uri=OLD, keys=jwk(K1))]},
    "no address": lambda: {"key_sets": [IssuerKeySet(jwks_uri="ftp://x")]},
    "plain http": lambda: {"key_sets": [IssuerKeySet(jwks_uri="http://old.example.net/jwks")]},
    "secrets and public keys": lambda: {"key_sets": [IssuerKeySet(keys=SECRET), BOTH[0]]},
    "no keys": lambda: {"key_sets": [IssuerKeySet(keys={"keys": []}), BOTH[0]]},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_are_no_key_sets(api: Api, wrong: str) -> None:
    """Each mistake is the caller's, by name, before anything is fetched; at the validator and in a TrustedIssuer."""
    with pytest.raises(ConfigurationException):
        api.validator(ISSUER, "api", **WRONG[wrong]())
    with pytest.raises(ConfigurationException):
        api.validator(TrustedIssuer(ISSUER, **WRONG[wrong]()), "api")


def test_shared_secrets_in_several_sets(api: Api, clock: Any) -> None:
    """A secret is replaced by another: both count for a while."""
    each = [IssuerKeySet(keys=SECRET), IssuerKeySet(keys={**SECRET, "k": "YmJi" * 14, "kid": "b"})]
    validator = api.validator(ISSUER, "api", key_sets=each, algorithms=["HS256"])
    signers = [SigningKey.from_jwk(dict(one.keys), "HS256") for one in each]
    assert good(api, validator, *map(token_by, signers))
    with pytest.raises(ConfigurationException):
        pickle.dumps(validator)


def test_a_key_set_is_a_value() -> None:
    """What the caller changes later changes nothing in it; copies are itself; no secret is pickled or shown."""
    given = jwk(K1)
    one = IssuerKeySet(keys=given)
    given["kid"] = "changed"
    assert one.keys["kid"] == "k1"
    assert copy.deepcopy(one) is copy.copy(one) is one
    assert pickle.loads(pickle.dumps(one)) == one
    assert "kty" not in repr(one)
    with pytest.raises(ConfigurationException):
        pickle.dumps(IssuerKeySet(keys=SECRET))
    with pytest.raises(ConfigurationException):
        pickle.dumps(TrustedIssuer(ISSUER, key_sets=[IssuerKeySet(keys=SECRET)]))
