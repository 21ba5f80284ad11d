"""A claim check that is added to the table is enforced on every path, before a shortcut is taught about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation import claim_checks, token_kinds, validator_options
from py_identity_model._core.validation.claim_checks import Check, ClaimPolicy, Claims, everyday
from py_identity_model._core.validation.token_kinds import ACCESS_TOKEN, Kind
from py_identity_model.exceptions import TokenValidationException

KEY = SigningKey.generate("ES256", kid="k1")


@dataclass(frozen=True, slots=True)
class TenantPolicy(ClaimPolicy):
    """A policy with one more field."""

    tenant: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class TenantKind(Kind):
    """A kind of token with one more field."""

    tenant: str | None = None


def refused(claims: Claims) -> TokenValidationException:
    return TokenValidationException("another tenant", code="tenant_mismatch", claim="tid", actual=claims.get("tid"))


def by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a row that needs no setting."""

    def check(policy: ClaimPolicy, claims: Claims, now: float) -> None:
        if claims.get("tid") != "ours":
            raise refused(claims)

    monkeypatch.setattr(claim_checks, "CHECKS", (*claim_checks.CHECKS, Check("tid", check)))


def by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a field to the policy, and let a row that is there already look at it."""
    monkeypatch.setattr(validator_options, "ClaimPolicy", lambda *args, **kw: TenantPolicy(*args, **kw, tenant="ours"))
    _let_jti_look(monkeypatch, lambda policy: policy.tenant)


def by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a field to the kind of token, and let a row that is there already look at it."""
    kind = TenantKind(ACCESS_TOKEN.name, ACCESS_TOKEN.types, tenant="ours")
    monkeypatch.setitem(token_kinds.KINDS, "access_token", kind)
    _let_jti_look(monkeypatch, lambda policy: policy.kind.tenant)


def _let_jti_look(monkeypatch: pytest.MonkeyPatch, tenant: Callable[[Any], str | None]) -> None:
    row = claim_checks.CHECKS[-1]

    def check(policy: Any, claims: Claims, now: float) -> None:
        if claims.get("tid") != tenant(policy):
            raise refused(claims)

    # The function is known to the shortcuts, what it reads is not: only the field can tell them.
    monkeypatch.setattr(claim_checks, "CHECKS", (*claim_checks.CHECKS[:-1], Check(row.claim, check)))
    for name in ("_UNDERSTOOD", "_TIMED"):
        known = getattr(claim_checks, name)
        monkeypatch.setattr(claim_checks, name, known._replace(rows=known.rows | {check}))


@pytest.fixture(params=[by_row, by_field, by_kind])
def added(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way a check can come into the table."""
    request.param(monkeypatch)


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


def code_of(api: Api, function: Callable[..., Any], *args: Any) -> str | None:
    try:
        api.call(function, *args)
    except TokenValidationException as error:
        return error.code
    return None


@pytest.mark.usefixtures("added", "clock")
@pytest.mark.parametrize("cached", [None, 8])
def test_an_added_check_is_enforced_on_every_path(
    api: Api, provider: Provider, engine: str, cached: int | None
) -> None:
    """Cold, warm, cached and in a batch, in both engines, the added check refuses what it is there to refuse."""
    built = api.validator(ISSUER, "api", http_client=provider, engine=engine, cache_tokens=cached)
    good, evil = provider.token(tid="ours"), provider.token(tid="evil")
    assert code_of(api, built.validate, evil) == "tenant_mismatch"  # cold
    for _ in range(3):  # the key is known from the first on; the token, where tokens are cached, from the second on
        assert code_of(api, built.validate, good) is None
        assert code_of(api, built.validate, evil) == "tenant_mismatch"
        assert code_of(api, built.validate, provider.token()) == "tenant_mismatch"
    outcomes = api.call(built.validate_many, [good, evil, provider.token(tid="evil", jti="2"), good])
    assert [getattr(outcome, "code", None) for outcome in outcomes] == [
        None,
        "tenant_mismatch",
        "tenant_mismatch",
        None,
    ]


def test_an_added_check_of_time_is_enforced_for_known_tokens(
    api: Api, provider: Provider, engine: str, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token in the cache is refused when the moment comes that only the added check knows of."""

    def check(policy: ClaimPolicy, claims: Claims, now: float) -> None:
        if now >= claims["shift_ends"]:
            raise refused(claims)

    monkeypatch.setattr(claim_checks, "CHECKS", (*claim_checks.CHECKS, Check("shift_ends", check)))
    built = api.validator(ISSUER, "api", http_client=provider, engine=engine, cache_tokens=8)
    token = provider.token(shift_ends=NOW + 30)
    for _ in range(3):
        assert code_of(api, built.validate, token) is None
    assert built.cache_info().hits > 0
    clock.advance(30)
    assert code_of(api, built.validate, token) == "tenant_mismatch"


def test_a_field_at_its_default_costs_nothing() -> None:
    """The shortcut stays in use while a field it does not know has its default value."""
    claims = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 60}
    for tenant, taken in ((None, True), ("ours", False)):
        policy = TenantPolicy(ACCESS_TOKEN, frozenset({"api"}), tenant=tenant)
        assert everyday(policy, frozenset({ISSUER}))(claims, NOW) is taken


@pytest.mark.parametrize("changed", [{"subject": "ada"}, {"max_age": 60.0}])
def test_what_the_shortcut_leaves_to_the_table(changed: dict[str, Any]) -> None:
    """Policies that ask for one subject, or for an age, are for the table."""
    policy = ClaimPolicy(ACCESS_TOKEN, frozenset({"api"}), **changed)
    claims = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 60}
    assert not everyday(policy, frozenset({ISSUER}))(claims, NOW)
