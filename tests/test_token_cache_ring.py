"""Which tokens the cache keeps, for how long, and which one makes room: asked without keys and signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.discovery.trust import StaticKeys
from py_identity_model._core.validation.claim_checks import ClaimPolicy
from py_identity_model._core.validation.engine import PureEngine
from py_identity_model._core.validation.issuer_trust import IssuerTrust
from py_identity_model._core.validation.token_cache import TokenCache, TokenCacheInfo, build_token_cache
from py_identity_model._core.validation.token_kinds import ACCESS_TOKEN
from py_identity_model.exceptions import ConfigurationException, TokenExpiredException
from test_issuer_trust import NO_KEYS

WALL, STEADY = 1_800_000_000.0, 1_000.0
WHEN = int(WALL)
ISSUER = "https://a.example"


@dataclass(frozen=True, slots=True)
class UnknownPolicy(ClaimPolicy):
    """A policy with a field that the window of a token's times does not know."""

    tenant: str | None = field(default=None, kw_only=True)


POLICY = ClaimPolicy(ACCESS_TOKEN, frozenset({"api"}))


class Verifying:
    """A validator that takes every token for verified, and writes down which it was asked about."""

    plain = True

    def __init__(self, issuers: frozenset[str] | None = frozenset({ISSUER}), policy: ClaimPolicy = POLICY) -> None:
        self.trusted = IssuerTrust(StaticKeys(NO_KEYS, ("ES256",)), policy, None, PureEngine(), issuers)
        self.options = SimpleNamespace(max_token=1000)
        self.by_issuer = {ISSUER: self.trusted}
        self.revocations: Any = None
        self.statuses: Any = None
        self.claims: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.asked_under: list[IssuerTrust | None] = []
        self.meanwhile: Callable[[], object] = bool
        self.know_keys()

    def know_keys(self) -> None:
        """Have a snapshot of the keys, as after a first token."""
        ready = self.trusted.source.ready(STEADY)
        assert ready is not None
        self.trusted.take(ready)

    def token(self, name: str, **changes: Any) -> str:
        """Return a token with good claims but for some changes; None leaves one out."""
        claims = {"iss": ISSUER, "aud": "api", "sub": name, "iat": WHEN, "exp": WHEN + 60, **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        token = f"e30.{b64url_encode(json.dumps(claims).encode())}.{name}"
        self.claims[token] = claims
        return token

    def warm(self, token: str, wall: float, steady: float, under: IssuerTrust | None = None) -> dict[str, Any] | None:
        """Return the claims of a token that was made here; of several key sets the last one verifies it."""
        self.asked.append(token)
        self.asked_under.append(under)
        self.meanwhile()
        return self.claims[token] if under in (None, self.trusted.sets[-1]) else None


def cache_of(validator: Verifying, size: int = 3, max_age: float = 300.0) -> TokenCache:
    return TokenCache(validator, size, max_age)  # type: ignore[arg-type]


def test_which_token_makes_room() -> None:
    """The hand goes round: it spares once what was used since it came by, and takes the next."""
    validator = Verifying()
    cache = cache_of(validator)
    tokens = {name: validator.token(name) for name in "abcdefg"}

    def comes(name: str) -> str:
        cache.warm(tokens[name], WALL, STEADY)
        return "".join(sorted(kept.claims["sub"] for kept in cache._kept.values()))

    assert [comes(name) for name in "abc"] == ["a", "ab", "abc"]
    assert comes("d") == "bcd"
    assert comes("e") == "cde"
    assert comes("c") == "cde"  # a hit: c is in use
    assert comes("f") == "cef"  # the hand spares c, and takes d
    assert comes("g") == "cfg"
    assert comes("a") == "afg"  # nobody has asked for c since
    assert cache.info()[:3] == (1, 8, 5)


def test_a_place_that_was_freed_is_taken_first_when_the_hand_comes() -> None:
    """A token that was forgotten leaves its place to the next, without another having to go."""
    validator = Verifying()
    cache = cache_of(validator)
    tokens = [validator.token(name) for name in "abcd"]
    for token in tokens[:3]:
        cache.warm(token, WALL, STEADY)
    assert cache.invalidate(tokens[0]) == 1
    cache.warm(tokens[3], WALL, STEADY)
    assert (cache.info().evictions, cache.info().currsize) == (0, 3)


def test_the_longest_token_is_kept() -> None:
    """A token of the greatest length is kept like any other; a longer one is not even hashed."""
    validator = Verifying()
    token = validator.token("a")
    for most, asked in ((len(token), 1), (len(token) - 1, 2)):
        validator.options.max_token, validator.asked = most, []
        cache = cache_of(validator)
        for _ in range(2):
            cache.warm(token, WALL, STEADY)
        assert len(validator.asked) == asked


@pytest.mark.parametrize(
    ("changes", "last"), [({}, 60.0), ({"iat": None}, 60.0), ({"exp": WHEN + 900}, 300.0)], ids=["exp", "no-iat", "age"]
)
def test_how_long_a_token_is_kept(changes: dict[str, Any], last: float) -> None:
    """Until it expires, and no longer than the greatest age; then the validator is asked again."""
    validator = Verifying()
    cache, token = cache_of(validator), validator.token("a", **changes)
    for later in (0.0, last - 0.5, last):
        cache.warm(token, WALL, STEADY + later)
    assert len(validator.asked) == 2


def test_no_age_keeps_nothing() -> None:
    """With a greatest age of no seconds nothing takes a place."""
    validator = Verifying()
    cache = cache_of(validator, max_age=0.0)
    cache.warm(validator.token("a"), WALL, STEADY)
    assert cache.info().currsize == 0


def test_the_table_judges_at_the_times_it_alone_knows() -> None:
    """A hit outside of the window goes through the table; where the window is not known, every hit does."""
    validator = Verifying()
    cache, token = cache_of(validator), validator.token("a")
    cache.warm(token, WALL, STEADY)
    with pytest.raises(TokenExpiredException):
        cache.warm(token, WALL + 60, STEADY)
    unknown = Verifying(policy=UnknownPolicy(ACCESS_TOKEN, POLICY.audiences, tenant="ours"))
    cache, token = cache_of(unknown), unknown.token("a")
    for _ in range(2):
        cache.warm(token, WALL, STEADY)
    with pytest.raises(TokenExpiredException):
        cache.warm(token, WALL + 60, STEADY + 299.5)
    assert (len(unknown.asked), cache.info().hits) == (1, 2)


def test_revocations_that_are_due_come_first() -> None:
    """From the moment on that they are to be read again, no token is answered from memory."""
    validator = Verifying()
    checked: list[float] = []
    validator.revocations = SimpleNamespace(due=STEADY + 5, check=lambda claims, wall: checked.append(wall))
    cache, token = cache_of(validator), validator.token("a")
    assert cache.warm(token, WALL, STEADY) is not None
    assert cache.warm(token, WALL, STEADY + 4.5) is not None
    assert cache.warm(token, WALL, STEADY + 5) is None
    assert checked == [WALL]


def test_a_status_that_is_not_known_is_asked_for() -> None:
    """A hit counts where the status of its token is at hand; else the careful path asks for it."""
    validator = Verifying()
    known = [True, False]
    validator.statuses = SimpleNamespace(knows=lambda claims, steady: known.pop(0))
    cache, token = cache_of(validator), validator.token("a")
    answers = [cache.warm(token, WALL, STEADY) is not None for _ in range(3)]
    assert answers == [True, True, False]


def test_what_was_verified_by_unknown_keys_is_not_kept() -> None:
    """Nothing is kept of a token whose keys came while it was verified, nor where any issuer is accepted."""
    validator = Verifying()
    validator.trusted.snapshot = None
    validator.meanwhile = validator.know_keys
    for case in (validator, Verifying(issuers=None)):
        cache = cache_of(case)
        assert cache.warm(case.token("a"), WALL, STEADY) == case.claims[case.token("a")]
        assert cache.info().currsize == 0
    stranger = Verifying()
    cache = cache_of(stranger)
    assert cache.warm(stranger.token("a", iss="https://b.example"), WALL, STEADY) is not None
    assert cache.info().currsize == 0


def test_the_greatest_age_is_a_day() -> None:
    """A token may be kept for a day at most, by setting."""
    validator: Any = Verifying()
    assert build_token_cache(validator, 3, 86400) is not None
    with pytest.raises(ConfigurationException) as caught:
        build_token_cache(validator, 3, 86401)
    assert caught.value.claim == "cache_tokens_max_age"
    assert build_token_cache(validator, None, 86401) is None


def test_a_cache_that_is_not_there_counts_nothing() -> None:
    """All counters begin at zero, and a new cache says how many it may keep."""
    assert TokenCacheInfo() == (0, 0, 0, 0, 0)
    assert cache_of(Verifying(), size=7).info() == (0, 0, 0, 7, 0)


def test_sixty_four_tokens_are_spared_in_a_row() -> None:
    """Where all are in use the hand passes 64 and takes the next, so that one insertion never takes long."""
    validator = Verifying()
    cache = cache_of(validator, size=100)
    tokens = [validator.token(f"t{number}") for number in range(101)]
    for token in tokens[:100] * 2:
        cache.warm(token, WALL, STEADY)
    cache.warm(tokens[100], WALL, STEADY)
    kept = {found.claims["sub"] for found in cache._kept.values()}
    assert {f"t{number}" for number in range(101)} - kept == {"t64"}


def test_each_of_several_key_sets_is_asked_until_one_verifies() -> None:
    """The token is kept under the set that verified it, until the application is asked about its issuer again."""
    validator = Verifying()
    other = Verifying().trusted
    validator.trusted.others, validator.trusted.until = (other,), STEADY + 5
    cache, token = cache_of(validator), validator.token("a")
    for _ in range(2):
        assert cache.warm(token, WALL, STEADY + 4.5) == validator.claims[token]
    assert validator.asked_under == [validator.trusted, other]
    assert cache.info()[:2] == (1, 1)
    cache.warm(token, WALL, STEADY + 5)
    assert validator.asked_under[2:] == [None]


@pytest.mark.parametrize(("size", "good"), [(1, True), (10_000_000, True), (0, False), (10_000_001, False)])
def test_how_many_tokens_may_be_kept(size: int, good: bool) -> None:
    """From one to ten million."""
    validator: Any = Verifying()
    if good:
        built = build_token_cache(validator, size, 60)
        assert built is not None
        assert built.info().maxsize == size
        return
    with pytest.raises(ConfigurationException) as caught:
        build_token_cache(validator, size, 60)
    assert caught.value.claim == "cache_tokens"


def test_five_minutes_unless_told_otherwise() -> None:
    """A token is kept for 300 s where nothing else is said."""
    validator: Any = Verifying()
    cache, token = TokenCache(validator, 3), validator.token("a", exp=WHEN + 900)
    for later, asked in ((0.0, 1), (299.5, 1), (300.0, 2)):
        cache.warm(token, WALL, STEADY + later)
        assert len(validator.asked) == asked
