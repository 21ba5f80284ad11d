"""The cache of verified tokens: what it saves, what it never saves, and when it forgets."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.issuers import IssuerTemplate
from py_identity_model._core.validation.token_cache import TokenCache, TokenCacheInfo, fresh_claims
from py_identity_model.exceptions import (
    ClaimsValidationError,
    ConfigurationException,
    InvalidAudienceException,
    PyIdentityModelException,
    SignatureVerificationException,
    TokenExpiredException,
)
from py_identity_model.settings import Settings

KEY = SigningKey.generate("ES256", kid="k1")
OTHER = SigningKey.generate("ES256", kid="k2")


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def stores(api: Api) -> Stores:
    return Stores(api.name, Settings())


@pytest.fixture
def validator(api: Api, provider: Provider, stores: Stores, engine: str, clock: Any) -> Any:
    """A validator that remembers four tokens, with its keys at hand."""
    built = api.validator(
        ISSUER, "api", cache_tokens=4, cache_tokens_max_age=60, http_client=provider, stores=stores, engine=engine
    )
    warm(api, built, provider)
    return built


def warm(api: Api, validator: Any, provider: Provider) -> None:
    """Have the header of the provider's tokens known."""
    api.call(validator.validate, provider.token(jti="first"))
    validator.cache_clear()


def test_a_token_that_comes_again_is_a_hit(api: Api, validator: Any, provider: Provider) -> None:
    """The second time the signature is not verified, and the claims are the same."""
    token = provider.token(groups=["a", "b"], realm_access={"roles": ["x"]}, address=[{"street": ["s"]}])
    first = api.call(validator.validate, token)
    assert validator.cache_info() == TokenCacheInfo(0, 1, 0, 4, 1)
    assert api.call(validator.validate, token) == first
    assert validator.cache_info() == TokenCacheInfo(1, 1, 0, 4, 1)


def test_each_hit_has_claims_of_its_own(api: Api, validator: Any, provider: Provider) -> None:
    """Whatever a caller does to its claims, at any depth, the next caller sees the token's."""
    token = provider.token(groups=["a"], realm_access={"roles": ["x"]}, address=[{"street": ["s"]}])
    for _ in range(4):
        claims = api.call(validator.validate, token)
        assert (claims["groups"], claims["realm_access"], claims["address"]) == (
            ["a"],
            {"roles": ["x"]},
            [{"street": ["s"]}],
        )
        claims["groups"].append("admin")
        claims["realm_access"]["roles"].append("admin")
        claims["address"][0]["street"].append("admin")
        claims["sub"] = "eve"
    assert validator.cache_info().hits == 3


@pytest.mark.parametrize("change", ["signature", "payload", "header", "longer"])
def test_a_changed_token_is_another_token(api: Api, validator: Any, provider: Provider, change: str) -> None:
    """Nothing but the very same characters is a hit."""
    token = provider.token()
    api.call(validator.validate, token)
    api.call(validator.validate, token)
    header, payload, signature = token.split(".")
    changed = {
        "signature": f"{header}.{payload}.{signature[::-1]}",
        "payload": f"{header}.{provider.token(sub='eve').split('.')[1]}.{signature}",
        "header": f"{provider.token(typ='JWT').split('.')[0]}.{payload}.{signature}",
        "longer": token + "A",
    }[change]
    with pytest.raises(PyIdentityModelException):
        api.call(validator.validate, changed)
    assert validator.cache_info().hits == 1


def test_a_remembered_token_expires(api: Api, validator: Any, provider: Provider, clock: Any) -> None:
    """The time is checked on every hit: at exp the token is refused."""
    token = provider.token(exp=NOW + 30)
    api.call(validator.validate, token)
    clock.advance(29)
    api.call(validator.validate, token)
    clock.advance(1)
    with pytest.raises(TokenExpiredException):
        api.call(validator.validate, token)
    assert validator.cache_info() == TokenCacheInfo(1, 2, 0, 4, 0)


def test_a_hit_reads_the_wall_clock(api: Api, validator: Any, provider: Provider, clock: Any) -> None:
    """A wall clock that is set on expires remembered tokens, although no time has passed on the steady one."""
    token = provider.token(exp=NOW + 600)
    api.call(validator.validate, token)
    clock.wall += 600
    with pytest.raises(TokenExpiredException):
        api.call(validator.validate, token)
    clock.wall -= 630
    with pytest.raises(PyIdentityModelException, match="future"):
        api.call(validator.validate, token)


def test_a_token_is_verified_anew_after_the_maximum_age(
    api: Api, validator: Any, provider: Provider, clock: Any
) -> None:
    """A long-lived token is not believed on memory alone for longer than cache_tokens_max_age."""
    token = provider.token(exp=NOW + 600)
    api.call(validator.validate, token)
    clock.advance(59)
    api.call(validator.validate, token)
    clock.advance(1)
    api.call(validator.validate, token)
    assert validator.cache_info() == TokenCacheInfo(1, 2, 0, 4, 1)


def test_a_key_set_change_forgets(api: Api, validator: Any, provider: Provider, stores: Stores, clock: Any) -> None:
    """A token whose key was withdrawn is refused as soon as the key set is replaced, remembered or not."""
    token = provider.token()
    api.call(validator.validate, token)
    api.call(validator.validate, token)
    clock.advance(10)
    provider.keys = {"k2": OTHER}
    api.call(validator.validate, provider.token())
    with pytest.raises(SignatureVerificationException):
        api.call(validator.validate, token)


def test_clearing_the_key_cache_forgets(api: Api, validator: Any, provider: Provider, stores: Stores) -> None:
    """After a clear of the key sets every token is verified anew, with keys that are fetched anew."""
    token = provider.token()
    api.call(validator.validate, token)
    stores.keys.clear()
    before = provider.count("/jwks")
    api.call(validator.validate, token)
    assert provider.count("/jwks") == before + 1
    assert validator.cache_info().hits == 0


def test_cache_clear_forgets_tokens_and_counters(api: Api, validator: Any, provider: Provider) -> None:
    """cache_clear leaves nothing, and fetches no keys."""
    token = provider.token()
    api.call(validator.validate, token)
    validator.cache_clear()
    assert validator.cache_info() == TokenCacheInfo(0, 0, 0, 4, 0)
    api.call(validator.validate, token)
    assert validator.cache_info().misses == 1
    assert provider.count("/jwks") == 1


def test_a_token_can_be_invalidated(api: Api, validator: Any, provider: Provider) -> None:
    """invalidate(token) forgets that token and no other."""
    tokens = [provider.token(jti=jti) for jti in "ab"]
    for token in tokens:
        api.call(validator.validate, token)
    assert validator.invalidate(tokens[0]) == 1
    assert validator.invalidate(tokens[0]) == 0
    for token in tokens:
        api.call(validator.validate, token)
    assert validator.cache_info()[:2] == (1, 3)


@pytest.mark.parametrize(
    ("claims", "forgotten"),
    [
        ({"jti": "a"}, 1),
        ({"sub": "ada"}, 2),
        ({"sid": "s1"}, 2),
        ({"sub": "ada", "sid": "s1"}, 1),
        ({"iss": ISSUER}, 3),
        ({"iss": "https://other.example.com", "sub": "ada"}, 0),
    ],
)
def test_tokens_can_be_invalidated_by_claim(
    api: Api, validator: Any, provider: Provider, claims: dict[str, str], forgotten: int
) -> None:
    """A revocation or a logout names tokens by jti, user or session; all given claims must agree."""
    for facts in ({"jti": "a", "sid": "s1"}, {"jti": "b"}, {"jti": "c", "sub": "bob", "sid": "s1"}):
        api.call(validator.validate, provider.token(**facts))
    assert validator.invalidate(**claims) == forgotten
    assert validator.cache_info().currsize == 3 - forgotten


def test_invalidating_nothing_in_particular_is_a_mistake(validator: Any) -> None:
    """Neither nothing at all nor a token beside claims can be invalidated, with a cache or without."""
    with pytest.raises(ConfigurationException):
        validator.invalidate()
    with pytest.raises(ConfigurationException):
        validator.invalidate("a.b.c", sub="ada")


def test_an_invalidation_is_not_outrun(api: Api, validator: Any, provider: Provider, monkeypatch: Any) -> None:
    """A token that was being verified when it was invalidated is not remembered."""
    token = provider.token()
    inner = validator._validator.warm

    def slow(*args: Any) -> Any:
        claims = inner(*args)
        validator.invalidate(token)
        return claims

    monkeypatch.setattr(validator._validator, "warm", slow)
    api.call(validator.validate, token)
    assert validator.cache_info().currsize == 0


def test_no_invalidation_sets_back_the_mark_of_another(provider: Provider) -> None:
    """Forgetting leaves a mark without reading the last, so threads that forget at once never leave one twice."""
    reads: list[object] = []

    class Watched(TokenCache):
        @property
        def _epoch(self) -> object:
            reads.append(self)
            return self.__dict__.get("mark")

        @_epoch.setter
        def _epoch(self, mark: object) -> None:
            self.__dict__.setdefault("marks", []).append(mark)

    cache = Watched(Api("sync").validator(ISSUER, "api", http_client=provider)._validator, 4)
    cache.invalidate("a.b.c")
    cache.invalidate(sub="ada")
    cache.clear()
    marks = cache.__dict__["marks"]
    assert not reads
    assert len({id(mark) for mark in marks}) == 4


@pytest.mark.parametrize("gone", [True, False])
def test_keys_replaced_meanwhile_remember_nothing(
    api: Api, validator: Any, provider: Provider, monkeypatch: Any, gone: bool
) -> None:
    """A token verified while its keys were being replaced is not remembered under the new ones."""
    inner = validator._validator.warm
    trusted = validator._validator.by_issuer[ISSUER]
    found = trusted.snapshot
    replaced = None if gone else copy.copy(found)
    if replaced is not None:
        replaced.trust = found.trust._replace(entry=object())

    def slow(*args: Any) -> Any:
        claims = inner(*args)
        trusted.snapshot = replaced
        return claims

    monkeypatch.setattr(validator._validator, "warm", slow)
    api.call(validator.validate, provider.token())
    assert validator.cache_info().currsize == 0


@pytest.mark.parametrize("options", [{"max_token_age": 30}, {"leeway": 5}, {"leeway": 0}])
@pytest.mark.parametrize("claims", [{}, {"nbf": NOW - 5}, {"iat": NOW - 0.5, "exp": NOW + 40.5}, {"aud": ["x", "api"]}])
def test_hits_and_misses_agree_at_every_time(
    api: Api, provider: Provider, clock: Any, options: dict[str, Any], claims: dict[str, Any]
) -> None:
    """At whatever time a token comes again, it is accepted or refused as it would be the first time."""
    remembers = api.validator(ISSUER, "api", cache_tokens=4, http_client=provider, **options)
    forgets = api.validator(ISSUER, "api", http_client=provider, **options)
    token = provider.token(**{"exp": NOW + 40, **claims})

    def verdict(validator: Any) -> Any:
        try:
            return api.call(validator.validate, token)
        except PyIdentityModelException as error:
            return type(error), error.code, error.claim

    for _ in range(2):
        verdict(remembers)
    for wall in (-11, -10, -6, -5, -1, 0, 29, 30, 31, 35, 36, 39, 40, 41, 44, 45, 46):
        clock.wall = NOW + wall
        assert verdict(remembers) == verdict(forgets), wall
    assert remembers.cache_info().hits >= 17


def test_the_cache_is_bounded_and_keeps_what_is_in_use(api: Api, validator: Any, provider: Provider) -> None:
    """A flood of tokens that come once pushes each other out, and not the token that is in use."""
    hot = provider.token(jti="hot")
    api.call(validator.validate, hot)
    for number in range(20):
        api.call(validator.validate, hot)
        api.call(validator.validate, provider.token(jti=str(number)))
        assert validator.cache_info().currsize <= 4
    assert validator.cache_info() == TokenCacheInfo(20, 21, 17, 4, 4)


def test_places_of_forgotten_tokens_are_used_again(api: Api, validator: Any, provider: Provider) -> None:
    """Tokens that were invalidated leave room: nothing is evicted for the next."""
    for number in range(4):
        api.call(validator.validate, provider.token(jti=str(number)))
    validator.invalidate(iss=ISSUER)
    for number in range(4):
        api.call(validator.validate, provider.token(jti=str(number)))
    assert validator.cache_info() == TokenCacheInfo(0, 8, 0, 4, 4)


def test_refusals_are_not_remembered(api: Api, validator: Any, provider: Provider) -> None:
    """A token that was refused is looked at anew, as what it was refused for may change."""
    token = provider.token(aud="other")
    for _ in range(3):
        with pytest.raises(InvalidAudienceException):
            api.call(validator.validate, token)
    assert validator.cache_info() == TokenCacheInfo(0, 3, 0, 4, 0)


def test_the_claims_validator_is_asked_on_every_hit(api: Api, provider: Provider, engine: str, clock: Any) -> None:
    """The application's own rules see every token every time: a revocation works at once."""
    asked: list[str] = []
    revoked: set[str] = set()

    def check(claims: dict[str, Any]) -> None:
        asked.append(claims["jti"])
        if claims["jti"] in revoked:
            raise ValueError

    validator = api.validator(
        ISSUER, "api", cache_tokens=4, claims_validator=check, http_client=provider, engine=engine
    )
    token = provider.token(jti="a")
    for _ in range(3):
        api.call(validator.validate, token)
    revoked.add("a")
    with pytest.raises(ClaimsValidationError):
        api.call(validator.validate, token)
    assert asked == ["a"] * 4
    assert validator.cache_info().hits == 2


def test_tokens_of_templates_are_remembered(api: Api, provider: Provider, engine: str, clock: Any) -> None:
    """Issuers that a template brings have their tokens remembered like any other."""
    template = IssuerTemplate("https://{tenant}.example.com", allowed={"id"}, audience="api")
    validator = api.validator(template, cache_tokens=4, http_client=provider, engine=engine)
    token = provider.token()
    for _ in range(4):
        api.call(validator.validate, token)
    assert validator.cache_info()[:2] == (2, 2)


def test_id_tokens_are_not_cached(api: Api) -> None:
    """A validator of ID tokens takes no cache: each of them belongs to one login."""
    with pytest.raises(ConfigurationException) as caught:
        api.validator(ISSUER, "client", kind="id_token", cache_tokens=10)
    assert caught.value.claim == "cache_tokens"


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "10", 10_000_001])
def test_a_size_that_makes_no_sense_is_refused(api: Api, size: Any) -> None:
    """The size is a whole number from one on; None, not 0, means no cache."""
    with pytest.raises(ConfigurationException) as caught:
        api.validator(ISSUER, "api", cache_tokens=size)
    assert caught.value.claim == "cache_tokens"


@pytest.mark.parametrize("age", [-1, True, "60", 86_401, None])
def test_a_maximum_age_that_makes_no_sense_is_refused(api: Api, age: Any) -> None:
    """The maximum age is a number of seconds, a day at most."""
    with pytest.raises(ConfigurationException) as caught:
        api.validator(ISSUER, "api", cache_tokens=1, cache_tokens_max_age=age)
    assert caught.value.claim == "cache_tokens_max_age"


def test_without_a_cache_nothing_is_counted(api: Api, provider: Provider, clock: Any) -> None:
    """The cache is for those who ask for it."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    for _ in range(3):
        api.call(validator.validate, provider.token())
    assert validator.cache_info() == TokenCacheInfo()
    assert validator.invalidate(sub="ada") == 0
    with pytest.raises(ConfigurationException):
        validator.invalidate()


@pytest.mark.parametrize("token", [None, 1, b"a.b.c", "", "a.b", "\ud800.a.b", "é.b.c", "a" * 70_000])
def test_what_is_no_token_is_refused_as_ever(api: Api, validator: Any, token: Any) -> None:
    """Whatever is presented, the refusal is the one that a validator without a cache gives."""
    with pytest.raises(PyIdentityModelException):
        api.call(validator.validate, token)


def test_no_token_is_kept(api: Api, validator: Any, provider: Provider) -> None:
    """The cache holds digests: no token can be read out of it."""
    token = provider.token()
    api.call(validator.validate, token)
    kept = validator._cache
    assert token.encode() not in b"".join(kept._kept)
    assert not any(token in repr(value) for value in vars(kept).values())


def test_threads_share_a_cache(provider: Provider, engine: str, clock: Any) -> None:
    """Threads that validate, invalidate and clear at the same time disturb nothing, and the bound holds."""
    api = Api("sync")
    validator = api.validator(ISSUER, "api", cache_tokens=4, http_client=provider, engine=engine)
    tokens = [provider.token(jti=str(number)) for number in range(12)]
    wrong: list[Any] = []

    def work(offset: int) -> None:
        for turn in range(120):
            number = (turn * (offset + 1)) % 12
            claims = validator.validate(tokens[number])
            if claims["jti"] != str(number) or validator.cache_info().currsize > 4:
                wrong.append(claims)
            if turn % 17 == offset:
                validator.invalidate(tokens[number])
            if turn % 50 == offset:
                validator.cache_clear()

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_fresh_claims_are_equal_and_apart() -> None:
    """A copy of claims equals them to the type of every number, and shares no list and no object."""
    claims = {"a": 1, "b": 1.0, "c": [True, None, ["x", {"y": 2**70}]], "d": {}, "e": ""}
    copied = fresh_claims(claims)
    assert repr(copied) == repr(claims)
    copied["c"][2][1]["y"] = 0
    copied["d"]["z"] = 0
    assert claims["c"][2][1] == {"y": 2**70}
    assert claims["d"] == {}
