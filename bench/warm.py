"""The main table: one token, everything warm, against the bare verification of its signature."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ours, peers
from .cases import NAMES, Case, make_case, with_groups
from .provider import Provider
from .timing import Call, Timing, take_turns

FLOOR = "cryptography (floor)"
#: Groups that make a token of about 4 KB.
LARGE = 60
QUICK = ("RS256-2048", "ES256", "Ed25519")


@dataclass(frozen=True)
class Row:
    """One candidate on one token."""

    algorithm: str
    token: str
    candidate: str
    timing: Timing
    floor: Timing

    @property
    def ratio(self) -> float:
        """The fastest block against the floor's fastest block."""
        return self.timing.low / self.floor.low

    @property
    def ratio_mid(self) -> float:
        """The median block against the floor's median block."""
        return self.timing.mid / self.floor.mid

    def document(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return {
            "algorithm": self.algorithm,
            "token": self.token,
            "candidate": self.candidate,
            "min_us": round(self.timing.low, 3),
            "median_us": round(self.timing.mid, 3),
            "ratio_min": round(self.ratio, 4),
            "ratio_median": round(self.ratio_mid, 4),
        }


def makers(*, awaited: bool = True) -> dict[str, Callable[[Case], Any]]:
    """Return all candidates by name, ours first."""
    found: dict[str, Callable[[Case], Any]] = {}
    for engine in ours.engines():
        found[f"TokenValidator, {engine}"] = partial(ours.validator, engine=engine)
        found[f"validate_token, {engine}"] = partial(ours.function, engine=engine)
        if awaited:
            found[f"TokenValidator, {engine}, awaited"] = partial(ours.async_validator, engine=engine)
            found[f"validate_token, {engine}, awaited"] = partial(ours.async_function, engine=engine)
    return {**found, **peers.MAKERS}


def admitted(case: Case, wanted: Mapping[str, Callable[[Case], Any]]) -> dict[str, Any]:
    """Build the candidates for a case; leave out, aloud, who is absent or does not judge tokens as it must."""
    found, missing = {}, []
    for name, make in wanted.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                candidate = make(case)
                fault = peers.admit(ours.plain(candidate), case)
        except peers.NotInstalled:
            missing.append(name)
            continue
        except peers.Absent as absent:
            fault = str(absent)
        except Exception as error:  # a peer may raise anything for an algorithm it lacks
            fault = f"{type(error).__name__}: {error}"
        if fault is None:
            found[name] = candidate
        else:
            print(f"bench: {case.name}: without {name}: {fault[:120]}", file=sys.stderr)
    if missing and case.name == NAMES[0]:
        print(f"bench: not installed, so not measured: {'; '.join(missing)}", file=sys.stderr)
    return found


def calls(candidates: Mapping[str, Any], case: Case, token: str) -> dict[str, Call]:
    """Return what is timed; arguments beside the token are given each time."""
    found = {FLOOR: case.floor(token)}
    for name, candidate in candidates.items():
        if isinstance(candidate, ours.Given):
            found[name] = Call(candidate.function, (token, *candidate.args))
        else:
            found[name] = Call(candidate, (token,))
    return found


def measure(provider: Provider, *, seconds: float, quick: bool = False) -> list[Row]:
    """Measure every candidate on every algorithm: about *seconds* per candidate and token."""
    rows = []
    for name in QUICK if quick else NAMES:
        case = make_case(name, provider.issuer(name))
        provider.keys[name] = [case.jwk]
        candidates = admitted(case, makers(awaited=not quick))
        large = name == "RS256-2048" or not quick
        for label, shape in (("12 claims", case), ("4 KB", with_groups(case, LARGE))):
            if label == "4 KB" and not large:
                continue
            print(f"bench: {name}, {label}", file=sys.stderr)
            times = take_turns(calls(candidates, shape, shape.token()), seconds=seconds)
            rows += [Row(name, label, who, timing, times[FLOOR]) for who, timing in times.items()]
    return rows
