"""Compare the speed of the warm path with the stored baseline: ``make regression``.

Usage: python tools/regression.py [--update] [--only ratios|instructions] [--seconds 1]

Ratios are taken against the bare verification of the same signature in the same run. Instructions are counted by
``valgrind --tool=callgrind``, where it is installed, and hardly differ from run to run. Both depend on the interpreter
and the packages, which the baseline names; a figure without a stored one is told, and is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BASELINE = ROOT / "bench" / "baseline.json"
#: How much more is a regression.
TOLERANCE = {"ratios": 0.08, "instructions": 0.03}
CASES = (("RS256-2048", 0), ("RS256-2048", 60), ("ES256", 0), ("Ed25519", 0))
#: Warm validations in the shorter and in the longer run under callgrind; the difference is what counts.
FEW, MANY = 100, 600
COUNTED = """
import json, sys
from py_identity_model import TokenValidator
case = json.loads(sys.stdin.read())
validate = TokenValidator(case["issuer"], case["audience"], keys=case["jwk"], engine=case["engine"]).validate
for _ in range(case["calls"]):
    validate(case["token"])
"""
#: A fixed secret and fixed claims, so that the same instructions run everywhere; nothing expires before 2100.
SECRET = bytes(range(32))
CLAIMS = {"exp": 4102444800, "nbf": 1700000000, "iat": 1700000000, "jti": "0f4b2c0e-5d0e-4f4e-9d53-6d6b0a0f7a11"}


def ratios(seconds: float) -> dict[str, float]:
    """Measure ours on both engines against the floor, fastest block against fastest block: noise only adds."""
    from bench import ours, warm
    from bench.cases import make_case
    from bench.provider import Provider
    from bench.timing import take_turns

    found = {}
    with Provider() as provider:
        for name, groups in CASES:
            case = make_case(name, provider.issuer(f"{name}-{groups}"), groups)
            provider.keys[f"{name}-{groups}"] = [case.jwk]
            wanted = {engine: partial(ours.validator, engine=engine) for engine in ours.engines()}
            times = take_turns(warm.calls(warm.admitted(case, wanted), case, case.token()), seconds=seconds)
            for engine in wanted:
                ratio = times[engine].low / times[warm.FLOOR].low
                found[f"{name}, {groups} groups, {engine}"] = round(ratio, 3)
    return found


def instructions() -> dict[str, int]:
    """Count the instructions of a warm HS256 validation, which is nearly all our own work."""
    from bench import ours
    from bench.cases import AUDIENCE, Case, hmac_key

    made = hmac_key(SECRET)
    found = {}
    for groups in (0, 60):
        case = Case("HS256", "HS256", "https://issuer.example", made, groups)
        given = {"issuer": case.issuer, "audience": AUDIENCE, "jwk": case.jwk, "token": case.token(**CLAIMS)}
        for engine in ours.engines():
            counts = [_collected({**given, "engine": engine, "calls": calls}) for calls in (FEW, MANY)]
            found[f"HS256, {groups} groups, {engine}"] = (counts[1] - counts[0]) // (MANY - FEW)
    return found


def _collected(case: dict[str, Any]) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c", COUNTED]
    env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"}
    done = subprocess.run(command, input=json.dumps(case), capture_output=True, text=True, check=True, env=env)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if found is None:
        sys.exit(f"regression: valgrind said nothing that was understood:\n{done.stderr[-500:]}")
    return int(found[1])


def environment() -> str:
    """Name what a figure depends on."""
    packages = " ".join(f"{name} {version(name)}" for name in ("cryptography", "msgspec"))
    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}, {packages}"


def compare(kind: str, now: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """Print each figure beside its stored one and return those that are worse than tolerated."""
    worse = []
    for name, value in now.items():
        before = stored.get(name)
        if before is None:
            print(f"{kind}: {name}: {value} (none stored)")
            continue
        change = value / before - 1
        verdict = "WORSE" if change > TOLERANCE[kind] else "better: --update keeps it" if change < -0.1 else "ok"
        print(f"{kind}: {name}: {value}, stored {before}, {change:+.1%} {verdict}")
        if verdict == "WORSE":
            worse.append(name)
    return worse


def main(arguments: list[str] | None = None) -> int:
    """Measure, compare or store."""
    parser = argparse.ArgumentParser(prog="regression", description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="store the figures instead of comparing them")
    parser.add_argument("--only", choices=tuple(TOLERANCE))
    parser.add_argument("--seconds", type=float, default=1.0, help="per candidate and token")
    options = parser.parse_args(arguments)
    stored = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    here = stored.setdefault(environment(), {})
    measured: dict[str, dict[str, Any]] = {}
    if options.only != "ratios":
        if shutil.which("valgrind") is None:
            print("regression: no valgrind here, instructions are not counted", file=sys.stderr)
        else:
            measured["instructions"] = instructions()
    if options.only != "instructions":
        measured["ratios"] = ratios(options.seconds)
    worse = [name for kind, now in measured.items() for name in compare(kind, now, here.get(kind, {}))]
    if options.update:
        here.update(measured)
        BASELINE.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"regression: stored in {BASELINE.relative_to(ROOT)}", file=sys.stderr)
        return 0
    if worse:
        print(f"regression: {len(worse)} worse than tolerated: {'; '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
