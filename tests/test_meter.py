"""What is counted of validations: outcomes by issuer and code, and durations, with no text of a token in a label."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from apis import ISSUER, Api, Provider
from py_identity_model import IssuerTemplate, _token_validator
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation import meter as meters
from py_identity_model._core.validation.meter import BOUNDS, OTHER, Meter, Tally
from py_identity_model.exceptions import PyIdentityModelException, TokenValidationException

KEY = SigningKey.generate("ES256", kid="k1")
SECOND = "https://second.example.com"


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


class Ticking:
    """A clock that moves with each look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture(autouse=True)
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """Every duration is 100 µs."""
    clock = Ticking(0.0001)
    monkeypatch.setattr(_token_validator, "perf_counter", clock)
    return clock


def tried(api: Api, validator: Any, token: Any) -> None:
    try:
        api.call(validator.validate, token)
    except PyIdentityModelException:
        pass


@pytest.fixture(params=[{}, {"cache_tokens": 8}, {"kind": "id_token"}], ids=["plain", "cached", "id_token"])
def validator(request: Any, api: Api, provider: Provider, engine: str) -> Any:
    given = {"http_client": provider, "engine": engine, **request.param}
    return api.validator(ISSUER, "api", **given)


def test_nothing_is_counted_unless_asked(api: Api, provider: Provider, clock: Any) -> None:
    """Until somebody asks, the validator calls its warm path itself."""
    for given, of in (({}, "_validator"), ({"cache_tokens": 8}, "_cache")):
        validator = api.validator(ISSUER, "api", http_client=provider, **given)
        assert validator._warm == getattr(validator, of).warm
        assert validator._validator.meter is None
        assert validator._metered() is validator._metered()
        assert validator._warm != getattr(validator, of).warm


def test_outcomes(api: Api, validator: Any, provider: Provider, clock: Any) -> None:
    """Accepted and refused tokens are counted, warm and cold, whichever way they take."""
    meter = validator._metered()
    typ = "JWT" if "ID" in validator._options.kind.name else "at+jwt"
    good, late = provider.token(typ=typ), provider.token(typ=typ, exp=1)
    foreign = provider.token(typ=typ, iss="https://evil.example.com")
    forged = good[:-8] + ("AAAAAAAA" if good[-8:] != "AAAAAAAA" else "BBBBBBBB")
    for token in [good, good, good, late, late, foreign, forged, "no token", 7]:
        tried(api, validator, token)
    assert meter.outcomes() == {
        (ISSUER, "valid"): 3,
        (ISSUER, "token_expired"): 2,
        (OTHER, "issuer_mismatch"): 1,
        (ISSUER, "signature_invalid"): 1,
        (OTHER, "token_malformed"): 2,
    }
    clock.advance(1)
    tried(api, validator, good)  # after the forged signature its keys are looked at anew
    tried(api, validator, good)
    assert sum(sum(durations.counts) for durations in meter.durations().values()) == 11


def test_a_batch_is_counted(api: Api, provider: Provider, clock: Any, engine: str) -> None:
    """Each different token of a batch counts once, whether its key was known before or not."""
    validator = api.validator(ISSUER, "api", http_client=provider, engine=engine)
    meter = validator._metered()
    tokens = [provider.token(jti=str(number)) for number in range(5)]
    for _ in range(2):
        api.call(validator.validate_many, [*tokens, *tokens, provider.token(exp=1), "no token"])
    assert meter.outcomes() == {
        (ISSUER, "valid"): 10,
        (ISSUER, "token_expired"): 2,
        (OTHER, "token_malformed"): 2,
    }


@pytest.mark.parametrize("many", [False, True])
def test_what_the_application_refuses_is_refused(api: Api, provider: Provider, clock: Any, many: bool) -> None:
    """The application's own validator decides on the outcome, on the warm path too."""

    def claims_validator(claims: Any) -> None:
        if claims["sub"] == "eve":
            raise TokenValidationException("no", code="not_eve")
        if claims["sub"] == "bug":
            raise KeyError

    validator = api.validator(ISSUER, "api", http_client=provider, claims_validator=claims_validator)
    meter = validator._metered()
    tokens = [provider.token(sub=sub) for sub in ("ada", "eve", "bug", "bob")]
    for _ in range(3):
        if many:
            api.call(validator.validate_many, tokens)
        else:
            for token in tokens:
                tried(api, validator, token)
    assert meter.outcomes() == {
        (ISSUER, "valid"): 6,
        (ISSUER, "not_eve"): 3,
        (ISSUER, "claims_refused"): 3,
    }


def test_several_issuers_are_told_apart(api: Api, provider: Provider, clock: Any) -> None:
    """Issuers known by name, and such as were brought and have made a good signature, have labels of their own."""
    other = Provider(SECOND, k1=KEY)
    tenant = Provider("https://login.example.com/t1", k1=KEY)
    providers = {one.issuer: one for one in (provider, other, tenant)}

    def transport(request: Any) -> Any:
        return next(one for issuer, one in providers.items() if request.url.startswith(issuer + "/"))(request)

    template = IssuerTemplate("https://login.example.com/{tenant}", allowed={"t1"})
    validator = api.validator([ISSUER, SECOND, template], "api", http_client=transport)
    meter = validator._metered()
    for one in (provider, other, tenant, tenant, tenant):
        tried(api, validator, one.token())
    tried(api, validator, tenant.token(exp=1))
    tried(api, validator, provider.token(iss="https://login.example.com/evil"))
    assert meter.outcomes() == {
        (ISSUER, "valid"): 1,
        (SECOND, "valid"): 1,
        (tenant.issuer, "valid"): 3,
        (tenant.issuer, "token_expired"): 1,
        (OTHER, "issuer_mismatch"): 1,
    }


def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    """However many issuers are known, and whatever codes an application invents, the rest is ``other``."""
    monkeypatch.setattr(meters, "MAX_ISSUERS", 2)
    monkeypatch.setattr(meters, "MAX_CODES", 3)
    meter = Meter([ISSUER, SECOND, "https://third.example.com"], 10_000, Ticking(1))
    for issuer in (ISSUER, SECOND, "https://third.example.com"):
        for code in "abcde":
            meter.refused(provider.token(iss=issuer), TokenValidationException("no", code=code))
    assert meter.label(ISSUER) == ISSUER
    assert {issuer for issuer, _ in meter.outcomes()} == {ISSUER, SECOND, OTHER}
    assert {code for _, code in meter.outcomes()} == {"a", "b", "c", OTHER}
    assert sum(meter.outcomes().values()) == 15


def test_a_giant_token_is_not_looked_into(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issuer of a refused token is read only where the token could have been accepted."""
    meter = Meter([ISSUER], 100, Ticking(1))
    monkeypatch.setattr(meters, "peek_issuer", lambda token: pytest.fail("looked"))
    meter.refused(provider.token(pad="x" * 100), TokenValidationException("no", code="token_too_large"))
    assert meter.outcomes() == {(OTHER, "token_too_large"): 1}


def test_durations_stand_for_all(clock: Any) -> None:
    """Warm validations are timed once per 10 ms, and each timing stands for all since the last one."""
    meter = Meter([ISSUER], 100, Ticking(0.0001))
    heard: list[Any] = []
    meter.listeners = (lambda *told: heard.append(told),)
    warm = meter.counted(lambda token, wall, steady: {"iss": ISSUER}, ISSUER, asks=False)
    for number in range(1000):
        warm("token", 0.0, number / 10_000)
    weights = [weight for _, _, weight in heard]
    assert weights[0] == 1
    assert set(weights[1:]) <= {100, 101}
    assert sum(meter.durations()["warm"].counts) == sum(weights)
    assert meter.durations()["warm"].seconds == pytest.approx(sum(weights) * 0.0001)
    warm("token", 0.0, 5.0)
    warm("token", 0.0, 10.0)
    assert [weight for _, _, weight in heard][-2:] == [1001 - sum(weights), 1]


def test_only_warm_validations_weigh(clock: Any) -> None:
    """A timing stands for validations that ended on the warm path; those that went on to the careful one do not."""
    meter = Meter([ISSUER], 100, Ticking(0.0001))
    answers: list[Any] = [{"iss": ISSUER}, None, None, TokenValidationException("no", code="no"), {"iss": ISSUER}]

    def warm(token: str, wall: float, steady: float) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    counted = meter.counted(warm, None, asks=False)
    for steady in (0.0, 0.001, 0.002, 0.003, 0.02):
        try:
            counted("token", 0.0, steady)
        except TokenValidationException:
            pass
    assert meter.outcomes() == {(ISSUER, "valid"): 2, (OTHER, "no"): 1}
    assert sum(meter.durations()["warm"].counts) == 3


def test_bounds_fit() -> None:
    """Durations from a microsecond to a second are told apart."""
    assert (BOUNDS[0], BOUNDS[-1], len(BOUNDS)) == (1e-6, 1.0, 19)
    assert list(BOUNDS) == sorted(BOUNDS)


def test_no_step_is_lost_between_threads() -> None:
    """Threads that count at once, while others look, lose nothing, and no look shows less than one before it."""
    tally, meter = Tally(), Meter([ISSUER], 100, Ticking(0.0))
    warm = meter.counted(lambda token, wall, steady: {"iss": ISSUER}, ISSUER, asks=False)

    def work() -> None:
        for number in range(20_000):
            tally.raised()
            warm("token", 0.0, number / 1000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = [0]
    while any(thread.is_alive() for thread in threads):
        seen.append(meter.outcomes().get((ISSUER, "valid"), 0))
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert tally.value() == tally.value() == 80_000
    assert meter.outcomes() == {(ISSUER, "valid"): 80_000}
    assert sum(meter.durations()["warm"].counts) <= 80_000


def test_a_failure_that_is_no_verdict_is_counted(api: Api, provider: Provider, clock: Any) -> None:
    """What a transport of the application raises by mistake is an outcome too."""

    def broken(request: Any) -> Any:
        raise ZeroDivisionError

    validator = api.validator(ISSUER, "api", http_client=broken)
    meter = validator._metered()
    with pytest.raises(ZeroDivisionError):
        api.call(validator.validate, provider.token())
    assert meter.outcomes() == {(ISSUER, "error"): 1}
