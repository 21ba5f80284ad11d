"""Rules of the application about claims: the small validators, and their combination through every API."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from apis import ISSUER, Api, Provider
from py_identity_model import combine_claims_validators, require_claim_value, require_claims, require_scopes
from py_identity_model._core.validation.application_rules import granted_scopes
from py_identity_model.exceptions import ClaimsValidationError, ConfigurationException


def refusal(validator: Any, claims: dict[str, Any]) -> ClaimsValidationError:
    """Return the refusal of *claims*."""
    with pytest.raises(ClaimsValidationError) as caught:
        validator(claims)
    return caught.value


def test_required_claims():
    """Each claim must be there and not null; the first that is not is named."""
    validator = require_claims("email", "tenant")
    validator({"email": "", "tenant": 0})
    assert refusal(validator, {"tenant": "acme"}).claim == "email"
    assert refusal(validator, {"email": "a@example.com", "tenant": None}).claim == "tenant"


@pytest.mark.parametrize("wanted", [(), ("",), ("email", ""), (5,), (None,)])
def test_claims_that_have_no_name(wanted):
    """A rule that would check nothing is a mistake of the caller."""
    with pytest.raises(ConfigurationException):
        require_claims(*wanted)
    with pytest.raises(ConfigurationException):
        require_scopes(*wanted)


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"tenant": "acme"}, True),
        ({"tenant": ["other", "acme"]}, True),
        ({"tenant": "ACME"}, False),
        ({"tenant": ["acme2"]}, False),
        ({"tenant": {"acme": 1}}, False),
        ({"tenant": None}, False),
        ({}, False),
    ],
)
def test_a_required_value(claims, accepted):
    """The claim is the value, or a list that holds it."""
    validator = require_claim_value("tenant", "acme")
    if accepted:
        validator(claims)
    else:
        assert refusal(validator, claims).claim == "tenant"


def test_values_are_compared_by_type_as_well():
    """True is not 1, and a list is compared as a whole with a list."""
    for wanted, other in ((1, True), (True, 1), (1, 1.0), ("1", 1)):
        refusal(require_claim_value("x", wanted), {"x": other})
    require_claim_value("amr", ["pwd", "otp"])({"amr": ["pwd", "otp"]})
    refusal(require_claim_value("amr", ["pwd"]), {"amr": [["pwd"]]})
    with pytest.raises(ConfigurationException):
        require_claim_value("", "acme")


@pytest.mark.parametrize(
    ("claims", "granted"),
    [
        ({"scope": "read  write"}, {"read", "write"}),
        ({"scp": ["read", 5, "write"]}, {"read", "write"}),
        ({"scp": "read"}, {"read"}),
        ({"scope": "read", "scp": "write"}, {"read"}),
        ({"scope": "", "scp": ["read"]}, {"read"}),
        ({"scope": None, "scp": "read"}, {"read"}),
        ({"scope": {"read": 1}}, set()),
        ({"scope": {"read": 1}, "scp": ["read"]}, set()),
        ({"scope": [], "scp": ["read"]}, set()),
        ({}, set()),
    ],
)
def test_granted_scopes(claims, granted):
    """Scopes are read from scope, or scp where there is none; text or list."""
    assert granted_scopes(claims) == granted


def test_required_scopes():
    """[S14] All scopes must have been granted, each whole."""
    validator = require_scopes("orders.read", "orders.write")
    validator({"scope": "orders.write orders.read profile"})
    refused = refusal(validator, {"scope": "orders.read orders.writer"})
    assert (refused.code, refused.claim, refused.expected) == (
        "scope_insufficient",
        "scope",
        "orders.read orders.write",
    )
    assert refusal(validator, {}).actual == "none"


# ---- combination


def accept(claims: dict[str, Any]) -> None:
    """Accept everything."""


def refuse(claims: dict[str, Any]) -> None:
    """Refuse everything."""
    raise ClaimsValidationError("no", claim="sub")


async def accept_later(claims: dict[str, Any]) -> None:
    """Accept everything, awaited."""


async def refuse_later(claims: dict[str, Any]) -> None:
    """Refuse everything, awaited."""
    raise ClaimsValidationError("not later either", claim="sub")


CASES = [
    ((accept, accept), "all", True),
    ((accept, refuse), "all", False),
    ((refuse, accept), "all", False),
    ((refuse, accept), "any", True),
    ((accept, refuse), "any", True),
    ((refuse, refuse), "any", False),
]
AWAITED = [
    ((accept, accept_later, accept), "all", True),
    ((accept_later, refuse), "all", False),
    ((accept_later, refuse_later), "all", False),
    ((refuse_later, accept), "all", False),
    ((refuse, accept_later), "any", True),
    ((refuse_later, accept), "any", True),
    ((refuse_later, accept_later), "any", True),
    ((accept_later, refuse), "any", True),
    ((refuse_later, refuse, refuse_later), "any", False),
]


def validated(api: Api, provider: Provider, validators: Any, require: str) -> bool:
    """Validate a good token under the combination; return whether it was accepted."""
    combined = combine_claims_validators(validators, require=require)
    validator = api.validator(ISSUER, "api", claims_validator=combined, http_client=provider)
    verdicts = set()
    for _ in range(2):  # cold and warm
        try:
            api.call(validator.validate, provider.token())
            verdicts.add(True)
        except ClaimsValidationError:
            verdicts.add(False)
    assert len(verdicts) == 1
    return verdicts.pop()


@pytest.mark.parametrize(("validators", "require", "accepted"), CASES)
def test_combinations(api, clock, validators, require, accepted):
    """All must accept, or any may, in whatever order."""
    assert validated(api, Provider(), validators, require) == accepted


@pytest.mark.parametrize(("validators", "require", "accepted"), AWAITED)
def test_combinations_that_are_awaited(api, clock, validators, require, accepted):
    """Sync and async validators may be mixed where the API awaits; the blocking one refuses what it cannot await."""
    if api.name != "sync":
        assert validated(api, Provider(), validators, require) == accepted
        return
    with pytest.raises(ConfigurationException):
        validated(api, Provider(), validators, require)
    gc.collect()  # and leaves no coroutine that was never awaited: a warning would fail the test


def test_the_first_refusal_is_told():
    """Where none of several accepts, the first says why."""

    def second(claims):
        raise ClaimsValidationError("second")

    assert "no" in str(refusal(combine_claims_validators([refuse, second], require="any"), {}))


@pytest.mark.parametrize(
    ("validators", "require"), [([], "all"), ([accept, 7], "all"), ([accept], "some"), ([accept], None)]
)
def test_combinations_that_make_no_sense(validators, require):
    """Nothing to ask, or a word that is none, is a mistake of the caller."""
    with pytest.raises(ConfigurationException):
        combine_claims_validators(validators, require=require)
