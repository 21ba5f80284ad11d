"""A validator goes to other processes: with its policy and its keys, and with no secret."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import StatusListPolicy, _token_validator
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.issuers import IssuerTemplate, TrustedIssuer
from py_identity_model.exceptions import (
    ConfigurationException,
    NetworkException,
    TokenValidationException,
)

KEYS = {
    name: SigningKey.generate(alg, kid=name)
    for name, alg in {"k1": "ES256", "k2": "RS256", "k3": "EdDSA", "k4": "ES512"}.items()
}


def refuse(request: Any) -> Reply:
    """Answer nothing: the caller had nothing to use."""
    return Reply(404)


def check(claims: dict[str, Any]) -> None:
    """Refuse one user."""
    if claims["sub"] == "eve":
        raise ValueError


@pytest.fixture
def provider() -> Provider:
    return Provider(**KEYS)


@pytest.fixture(autouse=True)
def frozen(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The clock by which validators are pickled."""
    monkeypatch.setattr(_token_validator, "time", lambda: clock.wall)
    monkeypatch.setattr(_token_validator, "monotonic", lambda: clock.steady)
    return clock


def warmed(api: Api, provider: Provider, *args: Any, **options: Any) -> Any:
    """Return a validator with its keys at hand, whose pickled self has no provider to ask."""
    validator = api.validator(*(args or (ISSUER, "api")), http_client=provider, **options)
    api.call(validator.validate, provider.token())
    validator._given["http_client"] = refuse
    return validator


PROVIDERS: list[Provider] = []


def reached(request: Any) -> Any:
    """Ask the provider of the test, by a transport that another process knows by the same name."""
    return PROVIDERS[0](request)


def sent(api: Api, validator: Any) -> Any:
    """Return the validator as another process would have it."""
    data = pickle.dumps(validator)
    api.module.default_stores.cache_clear()
    return pickle.loads(data)


def test_keys_travel_with_the_validator(api: Api, provider: Provider) -> None:
    """Another process validates tokens of every key of the set without one request."""
    other = sent(api, warmed(api, provider))
    for key in KEYS.values():
        assert api.call(other.validate, provider.token(key=key))["sub"] == "ada"
    assert [told["jti"] for told in api.call(other.validate_many, [provider.token(jti="a")])] == ["a"]
    assert other.health().issuers[0].state == "fresh"


def test_the_policy_travels_with_the_validator(api: Api, provider: Provider) -> None:
    """Whatever the validator was built with holds on the other side."""
    options = {"required_claims": iter(["jti"]), "leeway": 5, "claims_validator": check, "cache_tokens": 7}
    validator = api.validator(ISSUER, "api", http_client=provider, engine="pure", **options)
    api.call(validator.validate, provider.token(jti="a"))
    validator._given["http_client"] = refuse
    other = sent(api, validator)
    assert repr(other) == repr(validator)
    assert other.cache_info().maxsize == 7
    assert other.cache_info().currsize == 0
    assert api.call(other.validate, provider.token(jti="a", exp=NOW - 4))["sub"] == "ada"
    for changes in ({}, {"jti": "a", "sub": "eve"}, {"jti": "a", "aud": "other"}, {"jti": "a", "exp": NOW - 5}):
        with pytest.raises(TokenValidationException):
            api.call(other.validate, provider.token(**changes))


def test_the_status_is_looked_at_on_the_other_side(api: Api, provider: Provider) -> None:
    """A copy asks status lists too, and fetches what it needs of them itself."""
    validator = api.validator(ISSUER, "api", http_client=provider, status_lists=StatusListPolicy())
    token = provider.token(status={"status_list": {"idx": 0, "uri": ISSUER + "/lists"}})
    api.call(validator.validate, provider.token())
    validator._given["http_client"] = refuse
    with pytest.raises(NetworkException):
        api.call(sent(api, validator).validate, token)


def test_what_was_revoked_stays_revoked_on_the_other_side(api: Api, provider: Provider) -> None:
    """A copy knows the marks of the moment when it was made, until they are over."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.validate, provider.token())
    validator._given["http_client"] = refuse
    api.call(validator.revoke, sub="ada")
    with pytest.raises(TokenValidationException) as caught:
        api.call(sent(api, validator).validate, provider.token())
    assert caught.value.code == "token_revoked"


def test_pickled_keys_grow_old(api: Api, provider: Provider, clock: Any) -> None:
    """The time that a pickle spends on its way counts: keys past their time are not used but fetched."""
    data = pickle.dumps(warmed(api, provider))
    api.module.default_stores.cache_clear()
    clock.wall += 3599
    assert api.call(pickle.loads(data).validate, provider.token(exp=NOW + 9999))["sub"] == "ada"
    api.module.default_stores.cache_clear()
    clock.wall += 1
    with pytest.raises(NetworkException):
        api.call(pickle.loads(data).validate, provider.token(exp=NOW + 9999))


def test_a_clock_set_back_makes_no_keys_younger(api: Api, provider: Provider, clock: Any) -> None:
    """Keys from the future, as a wrong clock has it, are as old as they were when they were pickled."""
    data = pickle.dumps(warmed(api, provider))
    api.module.default_stores.cache_clear()
    clock.wall -= 86_400
    other = pickle.loads(data)
    clock.advance(3600)
    assert other.health().issuers[0].state != "fresh"


def test_fetched_keys_stay(api: Api, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process has fetched itself is not replaced by what came in a pickle."""
    validator = warmed(api, provider)
    validator._given["http_client"] = reached
    data = pickle.dumps(validator)
    stores = api.module.default_stores()
    monkeypatch.setattr(sys.modules[__name__], "PROVIDERS", [provider])
    own = api.module.TokenValidator(ISSUER, "api", http_client=reached)
    provider.keys = {"k9": SigningKey.generate("ES256", kid="k9")}
    api.call(own.validate, provider.token())
    other = pickle.loads(data)
    assert api.call(other.validate, provider.token())["sub"] == "ada"
    assert stores.keys.info().currsize == 1


def test_a_cold_validator_travels_without_keys(api: Api, provider: Provider) -> None:
    """A validator that has fetched nothing is pickled as its configuration alone."""
    validator = api.validator(ISSUER, "api", http_client=refuse)
    with pytest.raises(NetworkException):
        api.call(sent(api, validator).validate, provider.token())


def test_keys_without_metadata_travel(api: Api, provider: Provider) -> None:
    """The keys behind a bare jwks_uri are carried too."""
    other = sent(api, warmed(api, provider, ISSUER, "api", jwks_uri=ISSUER + "/jwks"))
    assert api.call(other.validate, provider.token())["sub"] == "ada"


def test_keys_of_templates_travel(api: Api, provider: Provider) -> None:
    """Issuers that a template brought have their keys carried as well."""
    template = IssuerTemplate("https://{tenant}.example.com", allowed={"id"}, audience="api")
    other = sent(api, warmed(api, provider, [template]))
    assert api.call(other.validate, provider.token())["sub"] == "ada"


@pytest.mark.parametrize("shape", ["validator", "issuer"])
def test_static_keys_travel_without_their_private_part(api: Api, provider: Provider, shape: str) -> None:
    """A private JWK that was given as a key is pickled as its public half."""
    jwk = {**(KEYS["k2"].public_jwk or {}), "kid": "k2", "d": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}
    if shape == "validator":
        validator = api.validator(ISSUER, "api", keys=jwk)
    else:
        validator = api.validator([TrustedIssuer(ISSUER, keys=jwk)], "api")
    data = pickle.dumps(validator)
    assert jwk["d"].encode() not in data
    assert api.call(pickle.loads(data).validate, provider.token(key=KEYS["k2"]))["sub"] == "ada"


@pytest.mark.parametrize("shape", ["validator", "issuer"])
def test_a_shared_secret_is_not_pickled(api: Api, shape: str) -> None:
    """A validator with a shared secret refuses to be pickled."""
    secret = Secret("s" * 32)
    if shape == "validator":
        validator = api.validator(ISSUER, "api", keys=secret, algorithms=["HS256"])
    else:
        validator = api.validator([TrustedIssuer(ISSUER, keys=secret, algorithms=["HS256"])], "api")
    with pytest.raises(ConfigurationException) as caught:
        pickle.dumps(validator)
    assert caught.value.code == "secret_not_picklable"


@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "ML-DSA-65"])
def test_key_sets_of_every_kind_can_be_pickled(alg: str) -> None:
    """A key set that was pickled verifies what it verified before, by the same names and marks."""
    key = SigningKey.generate(alg, kid="k")
    jwk = {**(key.public_jwk or {}), "kid": "k", "use": "sig", "alg": alg}
    for keys in ([jwk], [jwk, {**jwk, "kid": "l"}]):
        before = KeySet.from_keys(*keys)
        after = pickle.loads(pickle.dumps(before))
        assert after.kids == before.kids
        assert after.kid_selects == before.kid_selects
        assert after.keys[0].alg == alg
        assert len(after.candidates({"alg": alg, "kid": "k"}, [alg]).keys) == 1
