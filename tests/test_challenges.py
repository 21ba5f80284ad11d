"""Challenges: written so that nothing can be smuggled in, read in linear time (RFC 9110 11.6.1, RFC 6750 3)."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_identity_model._core.base.flow import Reply
from py_identity_model._core.binding.challenges import (
    MAX_CHALLENGES_SIZE,
    Challenge,
    ChallengePolicy,
    build_challenge,
    build_refusal,
    challenges_of,
    parse_challenges,
)
from py_identity_model.exceptions import (
    ConfigurationException,
    DPoPValidationException,
    InsufficientScopeException,
    InsufficientUserAuthenticationException,
    InvalidRequestException,
    MissingCredentialsException,
    NetworkException,
    SignatureVerificationException,
    TokenExpiredException,
)

BOTH = ChallengePolicy(schemes=("Bearer", "DPoP"), dpop_algorithms=("ES256", "PS256"))


def challenges(refusal):
    return [value for name, value in refusal.headers if name == "www-authenticate"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bearer", [("Bearer", {}, None)]),
        ('Bearer realm="example"', [("Bearer", {"realm": "example"}, None)]),
        (
            'Bearer realm="example", error="invalid_token", error_description="The access token expired"',
            [
                (
                    "Bearer",
                    {"realm": "example", "error": "invalid_token", "error_description": "The access token expired"},
                    None,
                )
            ],
        ),
        (
            'Bearer, DPoP algs="ES256 PS256",error="use_dpop_nonce"',
            [("Bearer", {}, None), ("DPoP", {"algs": "ES256 PS256", "error": "use_dpop_nonce"}, None)],
        ),
        (
            'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
            [
                ("Newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}, None),
                ("Basic", {"realm": "simple"}, None),
            ],
        ),
        ("Negotiate YWJj==", [("Negotiate", {}, "YWJj==")]),
        ('Negotiate abc, DPoP error="x"', [("Negotiate", {}, "abc"), ("DPoP", {"error": "x"}, None)]),
        ("Negotiate abc=", [("Negotiate", {}, "abc=")]),
        ('dPoP ERROR = "x" ,, a=b', [("dPoP", {"error": "x", "a": "b"}, None)]),
        (', ,Bearer realm=""', [("Bearer", {"realm": ""}, None)]),
        ("", []),
        ("  , ", []),
    ],
)
def test_reading(text, expected):
    """Challenges of every form of RFC 9110 11.6.1 are read, several in one header too."""
    assert [(c.scheme, dict(c.parameters), c.token68) for c in parse_challenges([text])] == expected


@pytest.mark.parametrize(
    "text",
    [
        'Bearer realm="open',
        "Bearer =x",
        'Bearer realm="a\r\nb"',
        "Bearer a=1, a=2",
        '"quoted"',
        "Bearer a=",
        "(",
        'Bearer a="\x00"',
        'Bearer a="ā"',
    ],
)
def test_unreadable(text):
    """A header that cannot be read counts as absent and harms no other."""
    found = parse_challenges([text, 'DPoP error="use_dpop_nonce"'])
    assert [c.scheme for c in found if c.get("error")] == ["DPoP"]
    assert "a" not in dict(found[0].parameters)


def test_schemes_have_no_case():
    """A scheme is found however it is written."""
    challenge = parse_challenges(["dPoP algs=ES256"])[0]
    assert challenge.has_scheme("DPoP")
    assert not challenge.has_scheme("Bearer")
    assert challenge.get("missing") is None


@pytest.mark.parametrize(
    "text",
    [
        "a " * 8000,
        "a," * 8000,
        'a="' * 5000,
        "Bearer " + "a=b," * 4000,
        "Bearer " + " " * 16000 + "x",
        "Bearer " + "a" * 16000 + " =",
        "Bearer a=" + '"' + "\\" * 15000,
        "Bearer " + "=" * 16000,
        ("a" * 100 + " " * 100 + "b=") * 80,
        "x" * 10_000_000,
    ],
)
def test_reading_is_linear(text):
    """The worst headers are read in no time, and oversized ones not at all."""
    began = time.process_time()
    parse_challenges([text])
    assert time.process_time() - began < 0.25


def test_oversized_headers():
    """All headers of a response count towards the limit together."""
    assert parse_challenges(["Bearer"] * 10)
    assert parse_challenges(["Bearer " + "a" * MAX_CHALLENGES_SIZE]) == ()
    assert parse_challenges(["Bearer x"] * MAX_CHALLENGES_SIZE) == ()


def test_challenges_of_a_reply():
    """Every WWW-Authenticate header of a reply counts."""
    reply = Reply(401, (("www-authenticate", "Bearer"), ("x", "y"), ("www-authenticate", "DPoP algs=ES256")))
    assert [c.scheme for c in challenges_of(reply)] == ["Bearer", "DPoP"]


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_reading_never_fails(text):
    """Whatever a server sends is read or ignored."""
    parse_challenges([text])


@given(
    st.dictionaries(
        st.sampled_from(["realm", "algs", "max_age"]), st.text(st.characters(min_codepoint=32, max_codepoint=126))
    )
)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read(parameters):
    """A challenge that was written reads as it was meant, quotes and backslashes included."""
    text = build_challenge("Bearer", parameters)
    assert parse_challenges([text]) == (Challenge("Bearer", tuple(parameters.items())),)


@pytest.mark.parametrize(
    ("scheme", "parameters"),
    [
        ("Bearer\r\nX", {}),
        ("", {}),
        ("Bearer", {"realm": "a\r\nSet-Cookie: x"}),
        ("Bearer", {"realm": "a\nb"}),
        ("Bearer", {"realm": "é"}),
        ("Bearer", {"realm\n": "a"}),
        ("Bearer", {"scope": 'a" b'}),
        ("Bearer", {"error_description": "a\\b"}),
    ],
)
def test_nothing_is_smuggled_in(scheme, parameters):
    """A line break, or a quote where RFC 6750 3 allows none, cannot be written."""
    with pytest.raises(ConfigurationException) as refused:
        build_challenge(scheme, parameters)
    assert refused.value.code == "challenge_invalid"


@pytest.mark.parametrize("policy", [{"schemes": ()}, {"schemes": ("Basic",)}, {"schemes": ("DPoP",)}])
def test_policy(policy):
    """A resource accepts Bearer or DPoP or both, and DPoP with algorithms."""
    with pytest.raises(ConfigurationException):
        ChallengePolicy(**policy)


def test_no_credentials():
    """[B2] [D13] Without credentials there is a 401 with a challenge for each scheme and no error code."""
    refusal = build_refusal(MissingCredentialsException("none"), BOTH)
    assert refusal.status == 401
    assert challenges(refusal) == ["Bearer", 'DPoP algs="ES256 PS256"']
    assert refusal.body == b""


def test_invalid_token():
    """[T7] [D13] An invalid token gives invalid_token, in the challenge of the scheme that was used."""
    refusal = build_refusal(TokenExpiredException("expired 5 s ago"), BOTH, scheme="dpop")
    assert challenges(refusal) == [
        "Bearer",
        'DPoP error="invalid_token", error_description="The token is not valid", algs="ES256 PS256"',
    ]
    assert json.loads(refusal.body)["error"] == "invalid_token"
    assert ("cache-control", "no-store") in refusal.headers


def test_causes_look_the_same():
    """[T7] The response does not tell an expired token from one with a bad signature (T8)."""
    assert build_refusal(TokenExpiredException("a")) == build_refusal(SignatureVerificationException("b"))


def test_ambiguous_request():
    """[B1] A malformed request gives 400 invalid_request."""
    refusal = build_refusal(InvalidRequestException("two tokens"))
    assert refusal.status == 400
    assert 'error="invalid_request"' in challenges(refusal)[0]


def test_insufficient_scope():
    """[B3] [F32] Missing scopes give 403 insufficient_scope with the scopes that are needed."""
    refusal = build_refusal(InsufficientScopeException("x", ("a.read", "a.write")))
    assert refusal.status == 403
    challenge = parse_challenges(challenges(refusal))[0]
    assert (challenge.get("error"), challenge.get("scope")) == ("insufficient_scope", "a.read a.write")


def test_step_up():
    """A step-up gives 401 insufficient_user_authentication with what is needed (RFC 9470 3)."""
    refusal = build_refusal(InsufficientUserAuthenticationException("x", ("phr", "phrh"), 300))
    assert refusal.status == 401
    challenge = parse_challenges(challenges(refusal))[0]
    assert challenge.get("error") == "insufficient_user_authentication"
    assert (challenge.get("acr_values"), challenge.get("max_age")) == ("phr phrh", "300")


def test_nonce_challenge():
    """[D10] [D13] [D16] A missing nonce gives use_dpop_nonce in the DPoP challenge, and the nonce beside it."""
    error = DPoPValidationException("x", code="dpop_nonce_required")
    refusal = build_refusal(error, BOTH, scheme="Bearer", dpop_nonce="n1")
    bearer, dpop = parse_challenges(challenges(refusal))
    assert (bearer.get("error"), dpop.get("error")) == (None, "use_dpop_nonce")
    assert ("dpop-nonce", "n1") in refusal.headers


def test_cannot_verify_now():
    """What cannot be verified now gives 503 with Retry-After, and no challenge."""
    refusal = build_refusal(NetworkException("down", retry_after=7.2))
    assert (refusal.status, challenges(refusal)) == (503, [])
    assert ("retry-after", "7") in refusal.headers
    assert ("retry-after", "5") in build_refusal(NetworkException("down")).headers


def test_realm_and_metadata():
    """Each challenge says the realm and where the resource's metadata is (RFC 9728 5.1)."""
    policy = ChallengePolicy(realm="shop", resource_metadata="https://api.example/.well-known/oauth-protected-resource")
    challenge = parse_challenges(challenges(build_refusal(MissingCredentialsException("x"), policy)))[0]
    assert dict(challenge.parameters) == {
        "realm": "shop",
        "resource_metadata": "https://api.example/.well-known/oauth-protected-resource",
    }
