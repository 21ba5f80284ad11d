"""Numbers within bounds, and the sentence that refuses all others."""

from __future__ import annotations

import math
from typing import Any

import pytest

from py_identity_model._refusals import bounded, is_number, must_be, refused
from py_identity_model.exceptions import ConfigurationException, InvalidRequestException, TokenValidationException


@pytest.mark.parametrize("value", [1, 5, 10])
def test_a_number_within_bounds_is_returned(value: int) -> None:
    """Both bounds belong to what is accepted."""
    assert bounded(value, "size", int, 1, 10) is value


@pytest.mark.parametrize("value", [0, 11, -1, True, False, 1.0, 5.5, "5", None, [5], math.nan, math.inf, 10**400])
def test_everything_else_is_refused(value: Any) -> None:
    """A flag, a fraction, a text, infinity and a number out of bounds are no whole number from 1 to 10."""
    with pytest.raises(ConfigurationException) as caught:
        bounded(value, "size", int, 1, 10, unit="tokens", code="size_invalid")
    error = caught.value
    assert (error.code, error.claim, error.expected) == (
        "size_invalid",
        "size",
        "a whole number of tokens from 1 to 10",
    )
    assert str(error).startswith(f"size must be {error.expected}")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1, True, "1", None, 1j])
def test_no_bound_above_does_not_admit_infinity(value: Any) -> None:
    """Without an upper bound a number must still be finite: an infinite lifetime is none."""
    assert not is_number(value, float)
    with pytest.raises(ConfigurationException, match="a number of at least 0"):
        bounded(value, "age", float, 0)


def test_a_refusal_cannot_forge_a_log_line() -> None:
    """Foreign text in a refusal is one bounded line, and a value that must not be repeated is left out."""
    error = must_be("name", "text", "a\nERROR forged" + "x" * 1000)
    assert "\n" not in str(error)
    assert len(str(error)) < 200
    assert str(must_be("secret", "text", code="secret_invalid")) == "secret must be text"
    assert isinstance(must_be("a", "b", kind=InvalidRequestException), InvalidRequestException)


def test_facts_reach_the_exception() -> None:
    """What the class takes is passed on, and what came is shortened unless it is a number."""
    error = refused(TokenValidationException, "x_invalid", "No", token_part="header", actual="\x1b[2J", claim="x")
    assert (error.code, error.token_part, error.claim, error.actual) == ("x_invalid", "header", "x", "\\x1b[2J")
    assert refused(TokenValidationException, "x_invalid", "No", actual=5).actual == 5
