"""What it costs beside the warm path: imports, memory, first use, growth, threads."""

from __future__ import annotations

import gc
import itertools
import statistics
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from time import perf_counter, perf_counter_ns
from typing import Any

from py_identity_model import TokenValidator
from py_identity_model._core.validation.issuers import TrustedIssuer

from . import ours, peers
from .cases import AUDIENCE, Case, make_case, with_groups
from .provider import Provider
from .timing import Call, take_turns


def imports(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time ``import`` of this package against ``import httpx2``, each in fresh interpreters by turns."""
    own = ("import py_identity_model", "from py_identity_model import TokenValidator, validate_token")
    times: dict[str, list[float]] = {statement: [] for statement in ("pass", "import httpx2", *own)}
    for _ in range(5 if quick else 15):
        for statement, found in times.items():
            start = perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            found.append(perf_counter() - start)
    bare = min(times["pass"])
    base = min(times["import httpx2"]) - bare
    return [
        {
            "import": statement,
            "ms": round((min(times[statement]) - bare) * 1000, 1),
            "httpx2_ms": round(base * 1000, 1),
            "ratio": round((min(times[statement]) - bare) / base, 3),
            **_brought(statement),
        }
        for statement in own
    ]


def _brought(statement: str) -> dict[str, Any]:
    """Count the modules that a statement imports, and name the heavy ones among them."""
    heavy = ("httpx2", "asyncio", "anyio", "ssl", "cryptography", "msgspec")
    source = f"import sys; a = set(sys.modules); {statement}; print(len(set(sys.modules) - a), *sys.modules)"
    answer = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout.split()
    names = [name for name in heavy if name in answer]
    return {"modules": int(answer[0]), "among_them": " ".join(names) or "none of the heavy"}


def memory(*, quick: bool = False) -> list[dict[str, Any]]:
    """Count the bytes per trusted issuer with one key, and per remembered token."""
    number = 200 if quick else 1000
    case = make_case("ES256", "https://issuer.example")
    figures = [{"of": "an issuer with one key", "bytes": _grown(lambda: _many(case, number, "pure")) // number}]
    tokens = [case.token() for _ in range(number)]
    validator = TokenValidator(case.issuer, AUDIENCE, keys=case.jwk, cache_tokens=10_000)
    validator.validate(tokens[0])

    def remember() -> None:
        for token in tokens:
            validator.validate(token)

    figures.append({"of": f"a remembered token of {len(tokens[0])} characters", "bytes": _grown(remember) // number})
    return figures


def _grown(make: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = make()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return after - before


def _many(case: Case, number: int, engine: str) -> TokenValidator:
    issuers = [TrustedIssuer(f"https://issuer-{at}.example", keys=case.jwk) for at in range(number)]
    validator = TokenValidator(issuers, AUDIENCE, engine=engine)
    for at in range(number):
        validator.validate(case.token(iss=f"https://issuer-{at}.example"))
    return validator


def first_use(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time the first token under a key that is in memory, against the second."""
    figures = []
    for name in ("RS256-2048", "ES256", "Ed25519", "ML-DSA-65"):
        case = make_case(name, "https://issuer.example")
        token = case.token()
        for engine in ours.engines():
            first, second = [], []
            for _ in range(10 if quick else 40):
                validate = TokenValidator(case.issuer, AUDIENCE, keys=case.jwk, engine=engine).validate
                for times in (first, second):
                    start = perf_counter_ns()
                    validate(token)
                    times.append((perf_counter_ns() - start) / 1000)
            figures.append(
                {
                    "algorithm": name,
                    "engine": engine,
                    "first_us": round(min(first), 1),
                    "then_us": round(min(second), 1),
                }
            )
    return figures


def growth(*, seconds: float, quick: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Time a token against the number of issuers, the keys of a set, and the size of the token."""
    found: dict[str, list[dict[str, Any]]] = {"issuers": [], "keys": [], "kilobytes": []}
    numbers = (1, 10, 100, 1000) if quick else (1, 10, 100, 1000, 10_000)
    for engine in ours.engines():
        found["issuers"] += _by_issuers(numbers, engine, seconds)
        found["keys"] += _by_keys(engine, seconds)
        found["kilobytes"] += _by_size(engine, seconds)
    return found


def _by_issuers(numbers: tuple[int, ...], engine: str, seconds: float) -> list[dict[str, Any]]:
    """All sizes take turns, each with 100 tokens, which come from as many issuers as there are."""
    case = make_case("ES256", "https://issuer.example")
    calls = {}
    for number in numbers:
        # One issuer alone needs no look-up: a second, silent one makes the smallest case comparable.
        issuers = [TrustedIssuer(f"https://issuer-{at}.example", keys=case.jwk) for at in range(max(number, 2))]
        validator = TokenValidator(issuers, AUDIENCE, engine=engine)
        places = [at * max(number // 100, 1) % number for at in range(100)]
        tokens = [case.token(iss=f"https://issuer-{at}.example") for at in places]
        for token in tokens:
            validator.validate(token)
        calls[str(number)] = Call(_next_of(validator.validate, tokens))
    times = take_turns(calls, seconds=seconds)
    return [{"engine": engine, "issuers": int(name), "min_us": round(time.low, 2)} for name, time in times.items()]


def _next_of(validate: Callable[[str], Any], tokens: list[str]) -> Callable[[], Any]:
    turn = itertools.cycle(tokens)
    return lambda: validate(next(turn))


def _by_keys(engine: str, seconds: float) -> list[dict[str, Any]]:
    calls = {}
    with Provider() as provider:
        for number in (1, 10, 100):
            name = f"keys-{number}-{engine}"
            case = make_case("ES256", provider.issuer(name))
            others = [{**make_case("ES256", case.issuer).jwk, "kid": f"other-{at}"} for at in range(number - 1)]
            provider.keys[name] = [*others, case.jwk]
            validate, token = ours.validator(case, engine), case.token()
            validate(token)
            calls[str(number)] = Call(validate, (token,))
        times = take_turns(calls, seconds=seconds)
    return [{"engine": engine, "keys": int(name), "min_us": round(time.low, 2)} for name, time in times.items()]


def _by_size(engine: str, seconds: float) -> list[dict[str, Any]]:
    case = make_case("ES256", "https://issuer.example")
    calls = {}
    for groups in (0, 10, 30, 60, 120, 250, 500, 1000):
        token = with_groups(case, groups).token()
        if len(token) > 65_536:
            continue
        validate = TokenValidator(case.issuer, AUDIENCE, keys=case.jwk, engine=engine).validate
        validate(token)
        calls[f"{len(token) / 1024:.2f}"] = Call(validate, (token,))
    times = take_turns(calls, seconds=seconds)
    return [{"engine": engine, "kilobytes": float(name), "min_us": round(time.low, 2)} for name, time in times.items()]


def threads(*, seconds: float) -> list[dict[str, Any]]:
    """Count RS256 tokens per second on 1, 2 and 4 threads, and time a token beside a busy thread."""
    figures: list[dict[str, Any]] = []
    with Provider() as provider:
        case = make_case("RS256-2048", provider.issuer("threads"))
        provider.keys["threads"] = [case.jwk]
        token = case.token()
        candidates: dict[str, Callable[[str], Any]] = {
            f"TokenValidator, {engine}": ours.validator(case, engine) for engine in ours.engines()
        }
        try:
            candidates["ryjwt"] = peers.ryjwt(case)
        except peers.Absent:
            pass
        for name, validate in candidates.items():
            validate(token)
            for number in (1, 2, 4):
                rate = _rate(validate, token, number, seconds)
                figures.append({"candidate": name, "threads": number, "tokens_per_s": round(rate)})
        for name, validate in candidates.items():
            alone = _each(validate, token, seconds)
            beside = _beside_a_busy_thread(validate, token, seconds)
            figures.append(
                {
                    "candidate": name,
                    "alone_us": round(statistics.median(alone), 1),
                    "beside_busy_us": round(statistics.median(beside), 1),
                    "ratio": round(statistics.median(beside) / statistics.median(alone), 2),
                    # A thread that shares an interpreter with a busy one has it half of the time at best.
                    "mean_ratio": round(statistics.fmean(beside) / statistics.fmean(alone), 2),
                }
            )
    return figures


def _rate(validate: Callable[[str], Any], token: str, number: int, seconds: float) -> float:
    start, counts = threading.Barrier(number + 1), []
    end = 0.0

    def work() -> None:
        start.wait()
        count = 0
        while perf_counter() < end:
            for _ in range(20):
                validate(token)
            count += 20
        counts.append(count)

    workers = [threading.Thread(target=work) for _ in range(number)]
    for worker in workers:
        worker.start()
    began = perf_counter()
    end = began + seconds
    start.wait()
    for worker in workers:
        worker.join()
    return sum(counts) / (perf_counter() - began)


def _each(validate: Callable[[str], Any], token: str, seconds: float) -> list[float]:
    """Return the microseconds of each single call."""
    times, end = [], perf_counter() + seconds
    while perf_counter() < end:
        start = perf_counter_ns()
        validate(token)
        times.append((perf_counter_ns() - start) / 1000)
    return times


def _beside_a_busy_thread(validate: Callable[[str], Any], token: str, seconds: float) -> list[float]:
    """Return the microseconds of each single call while another thread is busy in Python."""
    stop = threading.Event()

    def busy() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(1000):
                number += 1

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        return _each(validate, token, max(seconds, 1.0))
    finally:
        stop.set()
        thread.join()
