"""The table of ``make bench ARGS="--quick"``, in Markdown, to be pasted into an issue."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from py_identity_model import TokenValidator

from . import ours, peers
from .cases import AUDIENCE, Case, make_case
from .timing import Timing
from .warm import FLOOR, QUICK, Row

#: Tokens of a batch, rounds of each, and bare verifications of a round.
BATCH, ROUNDS, FLOORS = 1000, 15, 200


def batches(count: int = BATCH, rounds: int = ROUNDS) -> list[Row]:
    """Measure `validate_many` of *count* tokens against as many bare verifications, per token."""
    return [row for name in QUICK for row in _batch(make_case(name, "https://id.example.com"), count, rounds)]


def _batch(case: Case, count: int, rounds: int) -> list[Row]:
    tokens = [case.token() for _ in range(count)]
    floor = case.floor(tokens[0])
    found = {
        f"validate_many of {count:,}, {engine}": _many(
            TokenValidator(case.issuer, AUDIENCE, keys=case.jwk, engine=engine), tokens
        )
        for engine in ours.engines()
    }
    work: dict[str, tuple[Callable[[], object], int]] = {who: (call, count) for who, call in found.items()}
    work[FLOOR] = (lambda: [floor.function(*floor.args) for _ in range(FLOORS)], FLOORS)
    taken: dict[str, list[float]] = {who: [] for who in work}
    for who, (call, _) in (*work.items(), *list(work.items()) * rounds):
        start = time.perf_counter()
        call()
        taken[who].append((time.perf_counter() - start) / work[who][1] * 1e6)
    times = {who: Timing.of(own[1:]) for who, own in taken.items()}
    return [Row(case.name, f"batch of {count:,}", who, times[who], times[FLOOR]) for who in found]


def _many(validator: TokenValidator, tokens: Sequence[str]) -> Callable[[], object]:
    refused = [found for found in validator.validate_many(tokens) if isinstance(found, Exception)]
    assert not refused, refused[0]
    return lambda: validator.validate_many(tokens)


def table(facts: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return what was measured, and where, in Markdown."""
    return "\n".join([*_machine(facts), "", *_ratios(rows), "", _reading(rows)])


def _machine(facts: Mapping[str, Any]) -> list[str]:
    packages = dict(facts["packages"])
    used = {name: packages.pop(name) for name in ("cryptography", "msgspec") if name in packages}
    others = {name: version for name, version in packages.items() if name in peers.PACKAGES}
    told = {
        "py-identity-model": packages.get("py-identity-model", "from source"),
        "interpreter": ", ".join(
            (
                f"{facts['implementation']} {facts['python']}",
                "optimized build (PGO)" if facts["optimized_build"] else "not an optimized build (no PGO)",
                "without GIL" if not facts["gil"] else "GIL",
            )
        ),
        "processor": f"{facts['processor'] or 'unknown'}, {facts['cores']} cores, {facts['system']}",
        "libraries": f"{_named(used)}, {facts['openssl']}",
        "engines": facts["engine_note"],
        "beside": _named(others) or "no other library is installed here; `make bench ARGS=--quick` brings them",
    }
    return ["| measured on | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in told.items())]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _named(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def _ratios(rows: Sequence[Row]) -> list[str]:
    columns = list(dict.fromkeys((row.algorithm, row.token) for row in rows if "batch" not in row.token))
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        token = "12 claims" if "batch" in row.token else row.token
        found.setdefault(row.candidate, {})[row.algorithm, token] = row
    titles = [algorithm if token == "12 claims" else f"{algorithm}, {token}" for algorithm, token in columns]
    lines = [f"| times the floor | {' | '.join(titles)} |", "|---|" + "---:|" * len(columns)]
    for who, cells in found.items():
        values = [f"{cells[column].ratio:.2f}" if column in cells else "-" for column in columns]
        name = f"**{who}**" if who.startswith(("TokenValidator", "validate_")) else who
        lines.append(f"| {name} | {' | '.join(values)} |")
    return lines


def _reading(rows: Sequence[Row]) -> str:
    """Say how long the floor took, and how quiet the run was."""
    floors = {row.algorithm: row.floor for row in rows if row.candidate == FLOOR and row.token == "12 claims"}
    times = ", ".join(f"{name} {timing.low:.1f} µs" for name, timing in floors.items())
    noise = statistics.median(timing.mid / timing.low for timing in floors.values())
    quiet = "quiet" if noise < 1.15 else "busy: measure again when it is idle"
    return (
        f"The floor, a bare verification by `cryptography`, takes {times}. Fastest blocks, candidates in turns; "
        f"the median block took {noise:.2f} times the fastest (the machine was {quiet})."
    )
