"""What a provider feels, and what callers wait for: cold starts, rotations, floods, outages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import perf_counter, sleep
from typing import Any

from py_identity_model import TokenValidator, aio
from py_identity_model._core.discovery.trust import Stores
from py_identity_model.exceptions import PyIdentityModelException
from py_identity_model.settings import get_settings

from .cases import AUDIENCE, Case, make_case
from .provider import Provider

LATENCY = 0.2
#: What an answer was: accepted, or the code of the refusal.
Outcome = str


def _sync(case: Case) -> TokenValidator:
    return TokenValidator(case.issuer, AUDIENCE, stores=Stores("sync", get_settings()))


def _async(case: Case) -> aio.TokenValidator:
    return aio.TokenValidator(case.issuer, AUDIENCE, stores=Stores("aio", get_settings()))


def _outcome(validate: Callable[[str], Any], token: str) -> Outcome:
    try:
        validate(token)
    except PyIdentityModelException as error:
        return error.code
    return "accepted"


def _threads(validate: Callable[[str], Any], tokens: Sequence[str], threads: int) -> list[Outcome]:
    """Validate the tokens on that many threads, which start together."""
    start, outcomes = threading.Barrier(threads), []

    def work(share: Sequence[str]) -> None:
        start.wait()
        outcomes.extend([_outcome(validate, token) for token in share])

    workers = [threading.Thread(target=work, args=(tokens[at::threads],)) for at in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return outcomes


async def _tasks(validate: Callable[[str], Awaitable[Any]], tokens: Sequence[str]) -> list[Outcome]:
    async def one(token: str) -> Outcome:
        try:
            await validate(token)
        except PyIdentityModelException as error:
            return error.code
        return "accepted"

    return list(await asyncio.gather(*map(one, tokens)))


def _figure(name: str, provider: Provider, run: Callable[[], list[Outcome]]) -> dict[str, Any]:
    provider.requests.clear()
    start = perf_counter()
    outcomes = run()
    seconds = perf_counter() - start
    codes = {code: outcomes.count(code) for code in dict.fromkeys(outcomes)}
    return {
        "scenario": name,
        "requests": sum(provider.requests.values()),
        "tokens": len(outcomes),
        "outcomes": ", ".join(f"{count} {code}" for code, count in codes.items()),
        "seconds_to_last": round(seconds, 3),
    }


def measure(*, quick: bool = False) -> list[dict[str, Any]]:
    """Play all scenarios, each with caches of its own."""
    figures = []
    with Provider() as provider:
        case = make_case("ES256", provider.issuer("op"))
        provider.keys["op"] = [case.jwk]
        token = case.token()
        provider.latency = LATENCY
        for threads in (1, 100):
            validate = _sync(case).validate
            name = f"cold start, {threads} thread{'s' * (threads > 1)}, {LATENCY * 1000:.0f} ms latency"
            figures.append(_figure(name, provider, lambda v=validate, n=threads: _threads(v, [token] * n, n)))
        figures.append(
            _figure(
                f"cold start, 1,000 tasks, {LATENCY * 1000:.0f} ms latency",
                provider,
                lambda: asyncio.run(_tasks(_async(case).validate, [token] * 1000)),
            )
        )
        figures += _rotations(provider, case)
        figures += _floods(provider, case, 1_000 if quick else 10_000)
        figures += _beside_a_flood(provider, case, 5.0 if quick else 20.0)
        provider.failing, provider.latency = 503, 0.0
        figures.append(
            _figure("503, 10 cold callers", provider, lambda: _threads(_sync(case).validate, [token] * 10, 10))
        )
    return figures


#: A server's worker threads, and what arrives per second.
WORKERS, GOOD, FORGED = 8, 200, 100


def _beside_a_flood(provider: Provider, case: Case, seconds: float) -> list[dict[str, Any]]:
    """Time good tokens on a server's threads, alone and beside forged ones with unknown kids."""
    provider.latency = 0.05
    other = make_case("ES256", case.issuer)
    forged = [replace(other, kid=f"forged-{number}").token() for number in range(int(FORGED * seconds))]
    good = [case.token()] * int(GOOD * seconds)
    figures = []
    for name, flood in (("quiet", []), (f"{FORGED} forged kids/s", forged)):
        validator = _sync(case)
        validator.warm_up()
        validator.validate(good[0])
        provider.requests.clear()
        arrivals = sorted(
            [(at / GOOD, True, token) for at, token in enumerate(good)]
            + [((at + 0.5) / FORGED, False, token) for at, token in enumerate(flood)]
        )
        latencies, outcomes = _served(validator.validate, arrivals)
        figures.append(
            {
                "scenario": f"{GOOD} good tokens/s on {WORKERS} threads, {name}",
                "requests": sum(provider.requests.values()),
                "tokens": len(arrivals),
                "outcomes": ", ".join(f"{outcomes.count(code)} {code}" for code in dict.fromkeys(outcomes)),
                "seconds_to_last": round(seconds, 3),
                **{f"p{part}_ms": round(_percentile(latencies, part) * 1000, 2) for part in (50, 90, 99)},
            }
        )
    return figures


def _percentile(values: Sequence[float], part: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * part // 100)]


def _served(
    validate: Callable[[str], Any], arrivals: Sequence[tuple[float, bool, str]]
) -> tuple[list[float], list[Outcome]]:
    """Have threads take arrivals in order, each at its time; return how long good tokens took, waiting included."""
    latencies: list[float] = []
    outcomes: list[Outcome] = []
    queue, start = iter(arrivals), perf_counter() + 0.05
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                due, is_good, token = next(queue, (0.0, False, ""))
            if not token:
                return
            sleep(max(0.0, start + due - perf_counter()))
            outcomes.append(_outcome(validate, token))
            if is_good:
                latencies.append(perf_counter() - start - due)

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return latencies, outcomes


def _rotations(provider: Provider, case: Case) -> list[dict[str, Any]]:
    provider.latency = 0.05
    figures = []
    threaded, awaited = _sync(case), _async(case)
    new = replace(make_case("ES256", case.issuer), kid="key-2")
    tokens = [new.token() for _ in range(1000)]

    async def both() -> list[Outcome]:
        await awaited.warm_up()
        provider.keys["op"] = [case.jwk, new.jwk]
        provider.requests.clear()
        return await _tasks(awaited.validate, tokens)

    figures.append(_figure("rotation under load, 1,000 tasks", provider, lambda: asyncio.run(both())))
    provider.keys["op"] = [case.jwk]
    threaded.warm_up()
    provider.keys["op"] = [case.jwk, new.jwk]
    figures.append(
        _figure("rotation under load, 50 threads", provider, lambda: _threads(threaded.validate, tokens[:200], 50))
    )
    return figures


def _floods(provider: Provider, case: Case, size: int) -> list[dict[str, Any]]:
    provider.latency = 0.05
    other = make_case("ES256", case.issuer)
    figures = []
    for name, forged in (
        ("forged kids", [replace(other, kid=f"forged-{number}").token() for number in range(size)]),
        ("forged signatures", [other.token() for _ in range(size)]),
    ):
        validator = _sync(case)
        validator.warm_up()
        validate = validator.validate
        figures.append(
            _figure(f"{size:,} {name} at once, 8 threads", provider, lambda v=validate, f=forged: _threads(v, f, 8))
        )
    return figures
