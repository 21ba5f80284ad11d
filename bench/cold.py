"""The first token of a process: import, key and validation, each candidate in fresh interpreters by turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from . import ours
from .cases import AUDIENCE, Case, make_case
from .provider import Provider

#: What others measure themselves against here: PyJWT with the same key, as a JWK.
READY, FETCHED = "PyJWT, ready key", "PyJWT, PyJWKClient"

_PROGRAM = """
import json, sys
given = json.loads(sys.stdin.read())
from time import perf_counter, process_time
start, began = perf_counter(), process_time()
{steps}
end, ended = perf_counter(), process_time()
assert claims["iss"] == given["issuer"]
print(json.dumps({{"ms": (end - start) * 1000, "cpu": (ended - began) * 1000, "modules": len(sys.modules)}}))
"""
_PYJWT = """
import jwt
key = jwt.PyJWK(given["jwk"])
claims = jwt.decode(given["token"], key, algorithms=[given["alg"]], audience=given["audience"], issuer=given["issuer"])
"""
_PYJWT_PEM = """
import jwt
claims = jwt.decode(
    given["token"], given["pem"], algorithms=[given["alg"]], audience=given["audience"], issuer=given["issuer"]
)
"""
_PYJWT_CLIENT = """
import jwt
key = jwt.PyJWKClient(given["issuer"] + "/jwks").get_signing_key_from_jwt(given["token"])
claims = jwt.decode(given["token"], key, algorithms=[given["alg"]], audience=given["audience"], issuer=given["issuer"])
"""
_OURS = """
from py_identity_model import TokenValidator
validator = TokenValidator(given["issuer"], given["audience"], engine={engine!r}, {keys})
claims = validator.validate(given["token"])
"""


def programs() -> dict[str, dict[str, str]]:
    """Return the programs by what they start with: each candidate, the one to compare with first."""
    return {
        "a JWK": {READY: _PYJWT, **_of_ours('keys=given["jwk"]')},
        "PEM": {READY: _PYJWT_PEM, **_of_ours('keys=given["pem"]')},
        "an address": {FETCHED: _PYJWT_CLIENT, **_of_ours("")},
    }


def _of_ours(keys: str) -> dict[str, str]:
    return {f"TokenValidator, {engine}": _OURS.format(engine=engine, keys=keys) for engine in ours.engines()}


def measure(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time the first validation of a process; the interpreter's own start is left out."""
    figures: list[dict[str, Any]] = []
    with Provider() as provider:
        for name in ("RS256-2048", "ES256"):
            case = make_case(name, provider.issuer(f"cold-{name}"))
            provider.keys[f"cold-{name}"] = [case.jwk]
            for start, candidates in programs().items():
                figures += _compare(case, start, candidates, 5 if quick else 15)
    return figures


def _compare(case: Case, start: str, candidates: dict[str, str], rounds: int) -> Iterator[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, steps in candidates.items():
            found[name].append(run(case, steps))
    times = {name: [one["ms"] for one in answers] for name, answers in found.items()}
    #: What a busy machine leaves as it is.
    computed = {name: min(one["cpu"] for one in answers) for name, answers in found.items()}
    base, least = next(iter(times.values())), next(iter(computed.values()))
    for name, listed in times.items():
        yield {
            "algorithm": case.name,
            "begins with": start,
            "candidate": name,
            "min_ms": round(min(listed), 1),
            "median_ms": round(statistics.median(listed), 1),
            "cpu_ms": round(computed[name], 1),
            "ratio_cpu": round(computed[name] / least, 2),
            "ratio_median": round(statistics.median(listed) / statistics.median(base), 2),
            "modules": found[name][0]["modules"],
        }


def run(case: Case, steps: str) -> dict[str, Any]:
    """Run the steps in an interpreter of its own; what it is given comes on its standard input."""
    given = {
        "issuer": case.issuer,
        "audience": AUDIENCE,
        "alg": case.alg,
        "token": case.token(),
        "jwk": case.jwk,
        "pem": None if case.made.pem is None else case.made.pem.decode("ascii"),
    }
    command = [sys.executable, "-c", _PROGRAM.format(steps=steps)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


__all__ = ["measure", "programs", "run"]
