"""``python -m bench.batches``: no batch is slower than a loop, for any engine, algorithm, size and number of cores.

Loop and batch take turns in both APIs, and the least time of each counts: what else the machine does only adds. A
combination that seems slower is measured again, longer, before it counts as one; then the exit code is 1. ``--full``
adds batches of 100,000 and rarer algorithms.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Coroutine
from itertools import product
from typing import Any, NamedTuple

from py_identity_model import TokenValidator, aio
from py_identity_model._core.jose.signing_keys import SigningKey

from .many import AUDIENCE, ISSUER, engines, tokens

#: What a batch may take of a loop's time: more than 1 only by what one run differs from the next, and on an event loop
#: by the turns that others get, and get none of between the tokens of a loop.
LIMIT = {"sync": 1.02, "aio": 1.04}
#: Microseconds that a call for many may take beside that; a loop has no call that could.
PER_CALL = 2.0
ALGORITHMS, MORE = ("RS256", "ES256", "EdDSA"), ("PS256", "ES384", "HS256", "ML-DSA-65")
SIZES, LARGE = (10, 17, 64, 100, 1_000), 100_000
#: Turns at least, and how often a combination that seems slower is measured again, each time for twice as long.
TURNS, AGAIN = 3, 3


class Combination(NamedTuple):
    """What is measured."""

    cores: int
    alg: str
    engine: str
    api: str
    size: int


def ratio(one: Callable[[], float], other: Callable[[], float], seconds: float) -> float:
    """Return the least time of *one*, less :data:`PER_CALL`, by the least of *other*; they take turns for *seconds*."""
    taken: tuple[list[float], list[float]] = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken[0]) < TURNS:
        taken[0].append(one())
        taken[1].append(other())
    return (min(taken[0]) - PER_CALL * 1e-6) / min(taken[1])


def compare(what: Combination, key: SigningKey, many: list[str], seconds: float) -> float:
    """Return what a batch of *many* takes of the time that a loop takes."""
    options = {"keys": key.private_jwk, "algorithms": ["HS256"]} if what.alg == "HS256" else {"keys": key.public_jwk}
    options["engine"] = what.engine
    if what.api == "sync":
        validator = TokenValidator(ISSUER, AUDIENCE, **options)
        validator.validate(many[0])
        return ratio(
            lambda: _took(lambda: validator.validate_many(many)),
            lambda: _took(lambda: [validator.validate(token) for token in many]),
            seconds,
        )
    awaited = aio.TokenValidator(ISSUER, AUDIENCE, **options)

    async def loop() -> list[Any]:
        return [await awaited.validate(token) for token in many]

    with asyncio.Runner() as runner:
        runner.run(loop())
        return ratio(
            lambda: runner.run(_awaited(lambda: awaited.validate_many(many))),
            lambda: runner.run(_awaited(loop)),
            seconds,
        )


def _took(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


async def _awaited(work: Callable[[], Coroutine[Any, Any, object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def measure(cores: int, algorithms: tuple[str, ...], sizes: tuple[int, ...], seconds: float) -> list[dict[str, Any]]:
    """Measure all combinations on so many cores, in this process, which keeps to them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    rows = []
    for alg in algorithms:
        key = SigningKey.generate(alg, kid="k1")
        made = tokens(key, max(sizes))
        for engine, api, size in product(engines(), ("sync", "aio"), sizes):
            what = Combination(cores, alg, engine, api, size)
            found = compare(what, key, made[:size], seconds)
            for attempt in range(AGAIN):
                if found <= LIMIT[api]:
                    break
                found = min(found, compare(what, key, made[:size], seconds * 2 ** (attempt + 1)))
            rows.append({**what._asdict(), "ratio": round(found, 3)})
            print(*rows[-1].values(), "SLOWER" if found > LIMIT[api] else "", sep="\t", flush=True)
    return rows


def slower(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows whose batch is slower than the loop."""
    return [row for row in rows if row["ratio"] > LIMIT[row["api"]]]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and tell by the exit code whether a batch is slower than a loop anywhere."""
    parser = argparse.ArgumentParser(prog="bench.batches", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="per combination")
    parser.add_argument("--full", action="store_true", help="batches of 100,000 and rarer algorithms too")
    parser.add_argument("--algorithms", nargs="+")
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--cores", nargs="+", type=int)
    options = parser.parse_args(arguments)
    all_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    algorithms = tuple(options.algorithms or ALGORITHMS + (MORE if options.full else ()))
    sizes = tuple(options.sizes or SIZES + ((LARGE,) if options.full else ()))
    print("cores", "algorithm", "engine", "api", "size", "batch / loop", sep="\t")
    rows = []
    for cores in options.cores or sorted({1, all_cores}):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows += pool.apply(measure, (cores, algorithms, sizes, options.seconds))
    for row in slower(rows):
        print("slower:", row, file=sys.stderr)
    return 1 if slower(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
