"""What counting costs: the same validation of a validator that nobody watches, and of one that is watched."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from py_identity_model import TokenValidator, TrustedIssuer
from py_identity_model._core.validation.meter import Meter

from . import ours
from .cases import AUDIENCE, Case, make_case
from .timing import Call, Timing, take_turns

#: The most that counting may add to a validation on the warm path, in nanoseconds.
LIMIT = 300
Pair = tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]


def measure(*, seconds: float) -> list[dict[str, Any]]:
    """Time pairs by turns; what is added is the median of the differences within each turn."""
    figures = []
    for name, (bare, watched, args) in _pairs():
        times = take_turns({"bare": Call(bare, args), "watched": Call(watched, args)}, seconds=seconds)
        figures.append({"of": name, **figure(times["bare"], times["watched"])})
    return figures


def figure(bare: Timing, watched: Timing) -> dict[str, Any]:
    """Return what is added to a call, and in which ratio."""
    differences = [b - a for a, b in zip(bare.blocks, watched.blocks, strict=True)]
    return {
        "bare_us": round(bare.low, 3),
        "watched_us": round(watched.low, 3),
        "added_ns": round(statistics.median(differences) * 1000),
        "added_min_ns": round((watched.low - bare.low) * 1000),
        "ratio_min": round(watched.low / bare.low, 4),
    }


def _pairs() -> Iterator[tuple[str, Pair]]:
    yield "the counting alone, one issuer", counting("https://issuer.example")
    yield "the counting alone, several issuers", counting(None)
    case = make_case("ES256", "https://issuer.example")
    yield "a remembered token", _validators(case, cache_tokens=10)
    for engine in ours.engines():
        yield f"ES256, {engine}", _validators(case, engine=engine)
        yield f"ES256, {engine}, ten issuers", _validators(case, 10, engine=engine)
        yield f"RS256, {engine}", _validators(make_case("RS256-2048", case.issuer), engine=engine)


def counting(only: str | None) -> Pair:
    """Return a warm path that does nothing, the same one counted, and arguments."""
    claims = {"iss": "https://issuer.example"}

    def warm(token: str, wall: float, steady: float) -> dict[str, Any]:
        return claims

    # The clock of each call is ten microseconds later: one validation in a thousand is timed, as under heavy load.
    ticks = count().__next__
    counted = Meter([claims["iss"]], 1000, lambda: 0.0).counted(warm, only, asks=False)
    return (
        lambda: warm("token", 0.0, ticks() * 1e-5),
        lambda: counted("token", 0.0, ticks() * 1e-5),
        (),
    )


def _validators(case: Case, issuers: int = 1, **given: Any) -> Pair:
    token, validates = case.token(), []
    for watched in (False, True):
        trusted = [
            TrustedIssuer(f"https://issuer-{number}.example" if number else case.issuer, keys=case.jwk)
            for number in range(issuers)
        ]
        validator = TokenValidator(trusted, AUDIENCE, **given)
        if watched:
            validator._metered()
        validator.validate(token)
        validates.append(validator.validate)
    return validates[0], validates[1], (token,)


__all__ = ["LIMIT", "counting", "figure", "measure"]
