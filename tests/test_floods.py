"""Floods of forged tokens, and who pays for them: the forger, never the tenants and tokens in use."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from apis import NOW, Api, Provider
from py_identity_model import IssuerTemplate
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import (
    ConfigurationException,
    InvalidIssuerException,
    NetworkException,
    PyIdentityModelException,
    UnknownKeyException,
)
from py_identity_model.settings import Settings

KEY = SigningKey.generate("ES256", kid="k1")
OTHER = SigningKey.generate("ES256", kid="k2")
TEMPLATE = "https://{tenant}.example.com"
#: Times and rations that do not come round in a test.
SLOW = Settings(kid_miss_refresh_cooldown=3600.0, jwks_cache_max_entries=16)


class Tenants:
    """Providers by host: those that exist answer, all others are not found."""

    def __init__(self, *names: str) -> None:
        self.providers = {name: Provider(f"https://{name}.example.com", k1=KEY) for name in names}
        self.requests: list[str] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request.url)
        provider = self.providers.get(request.url.split("/")[2].removesuffix(".example.com"))
        return provider(request) if provider is not None else Reply(404, (), b"", request.url)

    def token(self, name: str, key: SigningKey = KEY, **changes: Any) -> str:
        """Mint a token that says it is of this tenant."""
        return Provider(f"https://{name}.example.com", k1=KEY).token(key=key, exp=NOW + 10_000_000, **changes)


def validator_of(api: Api, tenants: Tenants, settings: Settings = SLOW, **options: Any) -> Any:
    template = IssuerTemplate(TEMPLATE, **{"trust_every_value_of_the_template": True, **options})
    return api.validator(template, "api", stores=Stores(api.name, settings), http_client=tenants)


def refusal(api: Api, validator: Any, token: str) -> PyIdentityModelException:
    with pytest.raises(PyIdentityModelException) as caught:
        api.call(validator.validate, token)
    return caught.value


# ---- issuers of a template


def test_a_flood_of_forged_tenants_costs_a_bounded_number_of_requests(api: Api, clock: Any) -> None:
    """1,000 forged tenants once cost 3,010 requests; now 32 a minute are looked up, and those in use stay (K5)."""
    tenants = Tenants("a", "b")
    validator = validator_of(api, tenants)
    for name in "ab":
        assert api.call(validator.validate, tenants.token(name))["sub"] == "ada"
    before = len(tenants.requests)
    codes = [refusal(api, validator, tenants.token(f"forged-{n}", OTHER)).code for n in range(200)]
    assert len(tenants.requests) - before <= 32 * 3
    assert codes.count("issuer_trials_exhausted") == 200 - 32
    for name in "ab":
        assert api.call(validator.validate, tenants.token(name, jti="2"))["sub"] == "ada"
    clock.advance(61)
    tenants.providers["c"] = Provider("https://c.example.com", k1=KEY)
    assert api.call(validator.validate, tenants.token("c"))["sub"] == "ada"


def test_forged_tokens_of_real_tenants_push_out_none_in_use(api: Api, clock: Any) -> None:
    """Issuers that answer, but never made a good signature, make room first, however rare the others are (K5)."""
    forged = [f"real-{n}" for n in range(100)]
    tenants = Tenants("a", "b", *forged)
    validator = validator_of(api, tenants, max_unverified=1000)
    for name in "ab":
        api.call(validator.validate, tenants.token(name))
    for name in forged:
        assert isinstance(refusal(api, validator, tenants.token(name, OTHER)), UnknownKeyException)
    before = len(tenants.requests)
    for name in "ab":
        assert api.call(validator.validate, tenants.token(name, jti="2"))["sub"] == "ada"
    assert len(tenants.requests) == before


def test_tenants_that_verify_take_no_place(api: Api, clock: Any) -> None:
    """A cold start with many more good tenants than places refuses none."""
    names = [f"t{n}" for n in range(50)]
    tenants = Tenants(*names)
    validator = validator_of(api, tenants, max_unverified=1)
    for name in names:
        assert api.call(validator.validate, tenants.token(name))["sub"] == "ada"


def test_an_issuer_on_trial_takes_one_place_however_often_it_comes(api: Api, clock: Any) -> None:
    """A tenant whose provider is down for a moment does not use up the places of the others."""
    tenants = Tenants("b")
    validator = validator_of(api, tenants, max_unverified=2)
    for n in range(20):
        assert refusal(api, validator, tenants.token("down", jti=str(n))).code == "discovery_not_found"
    assert api.call(validator.validate, tenants.token("b"))["sub"] == "ada"
    refused = refusal(api, validator, tenants.token("x")), refusal(api, validator, tenants.token("y"))
    assert [error.code for error in refused] == ["discovery_not_found", "issuer_trials_exhausted"]
    assert isinstance(refused[1], NetworkException)
    assert refused[1].retry_after == pytest.approx(60.0)


def test_a_resolver_that_trusts_everyone_is_bounded_too(api: Api, clock: Any) -> None:
    """Issuers that a resolver brings have places as well: 256, for it said yes to each of them."""
    tenants = Tenants()
    validator = api.validator(
        issuer_resolver=lambda issuer: issuer, audience="api", stores=Stores(api.name, SLOW), http_client=tenants
    )
    codes = {
        refusal(api, validator, tenants.token(f"forged-{n}")).code for n in range(300 if api.name == "sync" else 9)
    }
    assert codes <= {"discovery_not_found", "issuer_trials_exhausted"}
    assert len(tenants.requests) <= 256 * 3


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "3", None])
def test_a_number_of_places_is_a_positive_integer(most: Any) -> None:
    """None and 0 turn nothing off: they are refused."""
    with pytest.raises(ConfigurationException):
        IssuerTemplate(TEMPLATE, trust_every_value_of_the_template=True, max_unverified=most)


@pytest.mark.parametrize("value", ["a" * 64, "a." * 130 + "b", "-a", "a-", "a..b", "." + "a", "x" * 3000])
def test_a_forged_name_that_is_no_host_is_another_issuer(api: Api, clock: Any, value: str) -> None:
    """Labels over 63 octets and names over 253 once raised UnicodeError; now they are refused as foreign (K11)."""
    tenants = Tenants()
    for validator in (
        validator_of(api, tenants),
        api.validator(issuer_resolver=lambda issuer: issuer, audience="api", http_client=tenants),
    ):
        refused = refusal(api, validator, tenants.token(value))
        assert isinstance(refused, InvalidIssuerException)
    assert tenants.requests == []


def test_a_template_that_cannot_be_used_stays_a_configuration_error(api: Api, clock: Any) -> None:
    """What the application wrote is its own mistake, not the token's."""
    tenants = Tenants()
    template = IssuerTemplate("http://{tenant}.example.com", trust_every_value_of_the_template=True)
    validator = api.validator(template, "api", http_client=tenants)
    token = Provider("http://a.example.com", k1=KEY).token()
    assert isinstance(refusal(api, validator, token), ConfigurationException)


# ---- unknown keys


class Gate(Provider):
    """A provider whose key set can be held back."""

    def __init__(self) -> None:
        super().__init__(k1=KEY)
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    def __call__(self, request: Request) -> Reply:
        if request.url.endswith("/jwks"):
            self.asked.set()
            assert self.open.wait(10)
        return super().__call__(request)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return claims that are good by the clock of the machine."""
        return super().claims(**{"iat": int(time.time()), "exp": int(time.time()) + 3600, **changes})


def flood_of(validator: Any, tokens: list[str]) -> tuple[list[threading.Thread], list[Exception]]:
    """Validate each token in a thread of its own."""
    refused: list[Exception] = []

    def work(token: str) -> None:
        try:
            validator.validate(token)
        except Exception as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=(token,), daemon=True) for token in tokens]
    for thread in threads:
        thread.start()
    return threads, refused


def until(condition: Any, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


def test_two_threads_at_most_wait_for_the_next_refresh() -> None:
    """With the ration used up, two callers of the blocking API wait; the others are told at once to come again (K5)."""
    provider = Gate()
    stores = Stores("sync", Settings(kid_miss_refresh_cooldown=1.5))
    validator = Api("sync").validator("https://id.example.com", "api", stores=stores, http_client=provider)
    validator.validate(provider.token())
    forged = [provider.token(key=SigningKey.generate("ES256", kid=f"forged-{n}")) for n in range(14)]
    for token in forged[:2]:
        with suppress(UnknownKeyException):
            validator.validate(token)
    threads, refused = flood_of(validator, forged[2:])
    assert until(lambda: len(refused) == 10, 1.0)
    assert {type(error).__mro__[2] for error in refused} == {NetworkException}
    assert all(0 < error.retry_after <= 1.5 for error in refused)  # type: ignore[attr-defined] # NetworkException has it
    for thread in threads:
        thread.join(5)
    assert [type(error) for error in refused[10:]] == [UnknownKeyException] * 2


def test_a_provider_that_hangs_holds_two_threads_at_most() -> None:
    """Who follows a refresh that takes long is sent away after a second, newcomers at once; good tokens pass (T10)."""
    provider = Gate()
    validator = Api("sync").validator("https://id.example.com", "api", http_client=provider)
    good = provider.token()
    validator.validate(good)
    provider.open.clear()
    forged = [provider.token(key=SigningKey.generate("ES256", kid=f"forged-{n}")) for n in range(12)]
    threads, refused = flood_of(validator, forged[:10])
    try:
        assert until(lambda: len(refused) == 7, 3.0)
        began = time.monotonic()
        with pytest.raises(NetworkException) as caught:
            validator.validate(forged[10])
        assert caught.value.code == "refresh_crowded"
        assert validator.validate(good)["sub"] == "ada"
        assert time.monotonic() - began < 1.0
    finally:
        provider.open.set()
        for thread in threads:
            thread.join(5)
    assert len(refused) == 10


def test_no_waiting_at_all_can_be_asked_for(clock: Any) -> None:
    """KID_MISS_MAX_WAITERS=0: nobody waits for a refresh that is not permitted yet."""
    provider = Provider(k1=KEY)
    settings = Settings(kid_miss_max_waiters=0, kid_miss_refresh_cooldown=1.0)
    validator = Api("sync").validator(
        "https://id.example.com", "api", stores=Stores("sync", settings), http_client=provider
    )
    validator.validate(provider.token())
    codes = [refusal(Api("sync"), validator, provider.token(key=OTHER, jti=str(n))).code for n in range(2)]
    assert codes == ["key_unknown", "refresh_crowded"]


# ---- logins


def test_a_login_waits_for_the_next_permitted_refresh(driver: Any) -> None:
    """A provider that changes its keys at every login refused some with key_unknown; logins wait now."""
    api = Api(driver.kind)
    provider = Gate()
    stores = Stores(api.name, Settings(kid_miss_refresh_cooldown=2.4))
    validator = api.validator("https://id.example.com", "api", kind="id_token", stores=stores, http_client=provider)
    for n in range(4):
        name = f"key-{n}"
        provider.keys = {name: SigningKey.generate("ES256", kid=name)}
        token = provider.token(typ="JWT", nonce="n-1")
        assert api.call(validator.validate, token, nonce="n-1")["nonce"] == "n-1"
