"""What the claim checks say of each refusal: the claim, what was expected, what came, and what may be the matter."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from py_identity_model._core.validation.claim_checks import (
    CLOCK_SKEW,
    ClaimPolicy,
    check_claims,
    everyday,
    everyday_terms,
    issuer_mismatch,
    lacks,
    names,
    seconds,
    window,
)
from py_identity_model._core.validation.token_kinds import ACCESS_TOKEN, EXTERNAL_CLAIMS, ID_TOKEN, JARM_RESPONSE
from py_identity_model.exceptions import ConfigurationException, TokenValidationException

NOW = 1_800_000_000.25
WHEN = int(NOW)
ISSUER = "https://id.example.com"
POLICY = ClaimPolicy(ACCESS_TOKEN, frozenset({"api"}), leeway=5.0, ahead=10.0)
GOOD: dict[str, Any] = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": WHEN, "exp": WHEN + 60}
ABSENT = object()


def refusal(policy: ClaimPolicy, **changes: Any) -> TokenValidationException:
    """Return what is raised for claims that are good but for some changes."""
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not ABSENT}
    with pytest.raises(TokenValidationException) as caught:
        check_claims(policy, claims, NOW)
    return caught.value


#: Changes of the policy and of the claims; code, claim, expected, actual; words of the message and of the hint.
REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str, str, Any, Any, str, str]] = [
    ({}, {"iss": ABSENT}, "claim_missing", "iss", "a string", "absent", "names no issuer", ""),
    ({}, {"iss": ""}, "claim_type_invalid", "iss", "a string", "str", "must be a string that is not empty", ""),
    ({"check_issuer": False}, {"iss": 7}, "claim_type_invalid", "iss", "a string", "int", "must be a string", ""),
    ({}, {"aud": ABSENT}, "claim_missing", "aud", "api", "absent", "names no audience", "ask the provider"),
    (
        {"one_audience": True},
        {"aud": ["api"]},
        "claim_type_invalid",
        "aud",
        "a string",
        "list",
        "must be one string",
        "",
    ),
    (
        {},
        {"aud": []},
        "claim_type_invalid",
        "aud",
        "a string or a non-empty list of strings",
        "list",
        "aud must be",
        "Hydra",
    ),
    (
        {},
        {"aud": [7]},
        "claim_type_invalid",
        "aud",
        "a string or a non-empty list of strings",
        "list",
        "aud must be",
        "",
    ),
    ({}, {"aud": "api/"}, "audience_mismatch", "aud", "api", "api/", "is for api/, expected api", "trailing slash"),
    ({}, {"exp": ABSENT}, "claim_missing", "exp", "present", "absent", "access token lacks the claim 'exp'", ""),
    (
        {"required": frozenset({"tid", "act"})},
        {"tid": None},
        "claim_missing",
        "act",
        "present",
        "absent",
        "lacks the claim 'act'",
        "",
    ),
    (
        {},
        {"exp": WHEN - 100},
        "token_expired",
        "exp",
        f"later than {WHEN}",
        WHEN - 100,
        "expired 100 s ago",
        "differ by 100 s",
    ),
    (
        {},
        {"nbf": WHEN + 30},
        "token_not_yet_valid",
        "nbf",
        f"at most {WHEN + 10}",
        WHEN + 30,
        "nbf lies 30 s in the future, 10 s are accepted",
        "differ by 30 s",
    ),
    (
        {"max_age": 20.0},
        {"iat": WHEN - 30},
        "token_too_old",
        "iat",
        f"at least {WHEN - 20}",
        WHEN - 30,
        "older than the 20 s",
        "",
    ),
    (
        {"max_age": 20.0},
        {"iat": ABSENT},
        "token_too_old",
        "iat",
        f"at least {WHEN - 20}",
        "absent",
        "older than the 20 s",
        "",
    ),
    ({}, {"sub": 7}, "claim_type_invalid", "sub", "a string", "int", "sub must be a string", ""),
    (
        {"kind": ID_TOKEN},
        {"sub": ""},
        "claim_type_invalid",
        "sub",
        "a string of 1 to 255 characters",
        "0 characters",
        "sub must be a string of 1 to 255 characters",
        "",
    ),
    ({"subject": "bob"}, {}, "subject_mismatch", "sub", "bob", "ada", "about 'ada', expected 'bob'", ""),
    ({"subject": "bob"}, {"sub": ABSENT, "client_id": "c"}, "subject_mismatch", "sub", "bob", "None", "expected", ""),
    ({}, {"jti": 7}, "claim_type_invalid", "jti", "a string", "int", "jti must be a string", ""),
    (
        {},
        {"iat": True},
        "claim_type_invalid",
        "iat",
        "a finite JSON number",
        "bool",
        "iat must be a number of seconds since 1970",
        "",
    ),
]


@pytest.mark.parametrize(
    ("policy", "changes", "code", "claim", "expected", "actual", "message", "hint"),
    REFUSALS,
    ids=[f"{claim}-{code}-{at}" for at, (_, _, code, claim, *_) in enumerate(REFUSALS)],
)
def test_what_a_refusal_says(
    policy: dict[str, Any],
    changes: dict[str, Any],
    code: str,
    claim: str,
    expected: Any,
    actual: Any,
    message: str,
    hint: str,
) -> None:
    """Each row of the table names the claim, what it should be and what it is, and a hint where there is one."""
    error = refusal(replace(POLICY, **policy), **changes)
    assert (error.code, error.claim, error.expected, error.actual) == (code, claim, expected, actual)
    assert message in str(error)
    assert (hint in error.hint) if error.hint is not None else hint == ""
    assert bool(hint) == (error.hint is not None)


@pytest.mark.parametrize("policy", [{"subject": "ada"}, {"subject": None}])
def test_the_subject_expected(policy: dict[str, Any]) -> None:
    """A token about the one expected is accepted, and about anyone where nobody is."""
    check_claims(replace(POLICY, **policy), GOOD, NOW)


@pytest.mark.parametrize(("claim", "code"), [("nbf", "token_not_yet_valid"), ("iat", "token_not_yet_valid")])
def test_a_moment_ahead(claim: str, code: str) -> None:
    """A time may lie exactly as far ahead as is accepted, and no millisecond further."""
    check_claims(POLICY, {**GOOD, claim: NOW + 10.0}, NOW)
    assert refusal(POLICY, **{claim: NOW + 10.001}).code == code


def test_any_audience_is_anything_well_formed() -> None:
    """Who gives up the audience by name accepts none, an empty list, or any; not what is no audience."""
    policy = replace(POLICY, audiences=None)
    for aud in ("x", ["x", "y"], []):
        check_claims(policy, {**GOOD, "aud": aud}, NOW)
    check_claims(policy, {name: value for name, value in GOOD.items() if name != "aud"}, NOW)
    assert refusal(policy, aud=7).code == "claim_type_invalid"


def test_the_missing_claims_are_listed() -> None:
    """The details name all that is missing, exp first; a kind that does not expire does not ask for exp."""
    error = refusal(replace(POLICY, required=frozenset({"b", "a"})), exp=ABSENT)
    assert error.details == {"missing": ["exp", "a", "b"]}
    assert "'exp'" in str(error)
    assert error.claim == "exp"
    claims = {name: value for name, value in GOOD.items() if name != "exp"}
    check_claims(replace(POLICY, kind=EXTERNAL_CLAIMS), claims, NOW)


def test_null_is_absent_but_for_typed_claims() -> None:
    """A claim that is null says nothing; one whose type is checked is refused for its type instead."""
    assert lacks({}, "tid")
    assert lacks({"tid": None}, "tid")
    assert not lacks({"tid": 0}, "tid")
    for name in ("exp", "nbf", "iat", "sub", "jti"):
        assert not lacks({name: None}, name)
        assert refusal(replace(POLICY, required=frozenset({name})), **{name: None}).code == "claim_type_invalid"


def test_the_everyday_terms_are_those_of_the_policy() -> None:
    """They are what the table asks for, as data; there are none where an issuer or an audience was given up."""
    issuers = frozenset({ISSUER})
    policy = replace(POLICY, required=frozenset({"tid"}))
    terms = everyday_terms(policy, issuers)
    assert terms is not None
    assert terms[:6] == (issuers, {"api"}, ACCESS_TOKEN.forbidden, ("tid",), 5.0, 10.0)
    assert terms.types == ACCESS_TOKEN.words("typ")
    assert terms.uses == ACCESS_TOKEN.words("token_use")
    assert everyday_terms(replace(policy, audiences=None), issuers) is None
    assert everyday_terms(policy, None) is None
    assert everyday_terms(replace(policy, subject="ada"), issuers) is None
    assert everyday_terms(replace(policy, max_age=20.0), issuers) is None


def test_a_response_of_jarm_is_none_of_everydays() -> None:
    """Where one of some claims must be there, and no subject is among them, the table alone decides."""
    assert everyday_terms(replace(POLICY, kind=JARM_RESPONSE), frozenset({ISSUER})) is None
    assert everyday_terms(replace(POLICY, kind=replace(JARM_RESPONSE, one_of=frozenset())), frozenset({ISSUER}))
    holds = everyday(replace(POLICY, kind=JARM_RESPONSE), frozenset({ISSUER}))
    assert not holds({**GOOD, "code": "c"}, NOW)


def test_another_issuer() -> None:
    """The refusal names what was expected, one issuer or five of many, and the hint where there is one."""
    error = issuer_mismatch(ISSUER, f"{ISSUER}/")
    assert (error.code, error.claim, error.expected, error.actual) == ("issuer_mismatch", "iss", ISSUER, f"{ISSUER}/")
    assert "trailing slash" in str(error.hint)
    assert issuer_mismatch(["a", "b"], "c").expected == "a or b"
    assert "expected an issuer that is trusted" in str(issuer_mismatch([], "c"))


def test_times_that_are_absent_bound_nothing() -> None:
    """The window of claims without times is open on both sides."""
    assert window(replace(POLICY, kind=EXTERNAL_CLAIMS), {"iss": ISSUER}) == (float("-inf"), float("inf"))


@pytest.mark.parametrize(("value", "good"), [(-0.5, False), (0, True), (0.5, True), (60, True), (60.5, False)])
def test_a_duration_is_from_nothing_to_the_most(value: float, good: bool) -> None:
    """Nothing is a duration, and the longest one is too."""
    if good:
        assert seconds(value, "leeway", most=60.0) == value
        return
    with pytest.raises(ConfigurationException) as caught:
        seconds(value, "leeway", most=60.0)
    assert caught.value.claim == "leeway"


def test_a_policy_is_a_value() -> None:
    """It does not change; the two switches are named; without a word clocks may differ by ten seconds, exp counts."""
    with pytest.raises(FrozenInstanceError):
        POLICY.leeway = 1.0  # type: ignore[misc]
    assert not hasattr(POLICY, "__dict__")
    with pytest.raises(TypeError):
        ClaimPolicy(ACCESS_TOKEN, None, 0.0, 0.0, None, frozenset(), None, True)  # type: ignore[misc]
    plain = ClaimPolicy(ACCESS_TOKEN, None)
    assert (CLOCK_SKEW, plain.ahead, plain.leeway) == (10.0, 10.0, 0.0)


@pytest.mark.parametrize(("value", "good"), [(3600.0, True), (3600.5, False)])
def test_an_hour_of_leeway_is_the_most(value: float, good: bool) -> None:
    """Clocks that differ by more are wrong."""
    if good:
        assert seconds(value, "leeway") == value
        return
    with pytest.raises(ConfigurationException):
        seconds(value, "leeway")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
        ({"a"}, ("a",)),
        ("", None),
        ([], None),
        ((), None),
        (["a", ""], None),
        (["a", 7], None),
        ([7], None),
        (None, None),
        (7, None),
        ({"a": 1}, None),
        (iter("a"), None),
    ],
)
def test_names_are_texts_that_are_not_empty(value: Any, named: tuple[str, ...] | None) -> None:
    """One, or several in a list, a tuple or a set; nothing else, and nothing empty, turns a check off."""
    if named is not None:
        assert names(value, "audience") == named
        return
    with pytest.raises(ConfigurationException) as caught:
        names(value, "audience")
    assert caught.value.claim == "audience"


def test_required_claims_are_everyday_too() -> None:
    """A token that has all that is required needs no table; one that lacks some of it does."""
    holds = everyday(replace(POLICY, required=frozenset({"tid"})), frozenset({ISSUER}))
    assert holds({**GOOD, "tid": "t"}, NOW)
    assert not holds(GOOD, NOW)
    assert not holds({**GOOD, "tid": None}, NOW)


def test_an_empty_audience_has_the_hint_of_who_writes_it() -> None:
    """What was expected goes into the hint, also where one has to expect any."""
    assert "Hydra" in str(refusal(POLICY, aud=[]).hint)
