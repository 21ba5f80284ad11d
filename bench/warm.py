"""The main table: one token, everything warm, against the bare verification of its signature."""

from __future__ import annotations

from typing import Any

from . import ours
from .cases import Case
from .timing import Call, Timing, take_turns

FLOOR = "cryptography"


def call(validate: Any, token: str) -> Call:
    """Return the call that is timed; arguments beside the token are given each time."""
    if isinstance(validate, ours._Given):
        return Call(validate.function, (token, *validate.args))
    return Call(validate, (token,))


def measure(case: Case, candidates: dict[str, Any], seconds: float) -> dict[str, Timing]:
    """Time the candidates on one good token."""
    token = case.token()
    calls = {FLOOR: case.floor(token)}
    calls |= {name: call(candidate, token) for name, candidate in candidates.items()}
    return take_turns(calls, seconds=seconds)
