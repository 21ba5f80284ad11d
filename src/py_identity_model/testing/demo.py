"""The main job, shown on the embedded provider: ``python -m py_identity_model.testing.demo``.

A real server on loopback, real HTTP, both APIs. Every step checks what came out; the exit code is 1 if one did not come
out as it should, 2 if the demo cannot run. Data goes to stdout, words to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .. import aio
from .. import sync as blocking
from .._core.discovery.metadata import DiscoveryDocumentRequest
from .._core.jose.algorithms import SignatureAlgorithm
from .._core.jose.jwks import JwksRequest
from ..aio import _clients as async_clients
from ..exceptions import NetworkException, PyIdentityModelException, TokenValidationException
from ..sync import _clients as sync_clients
from ._forgeries import FORGERIES
from ._provider import EmbeddedProvider

if TYPE_CHECKING:
    from rich.console import Console

ALGORITHMS: tuple[SignatureAlgorithm, ...] = ("RS256", "PS256", "ES256", "Ed25519", "ML-DSA-65")
FORGED = ("alg_none", "hs256_with_public_key", "tampered", "expired", "id_token")
AUDIENCE, SUBJECT = "https://api.example.com", "ada"
#: A demonstration neither waits nor repeats itself for long; what the environment says goes before.
IMPATIENT = {"HTTP_RETRY_MAX_ATTEMPTS": "0", "KID_MISS_REFRESH_COOLDOWN": "0.2"}
WARM_CALLS = 300


class UnexpectedError(Exception):
    """A step did not come out as it should."""


@dataclass(frozen=True)
class Outcome:
    """One step: whether it came out as it should, what was seen, how long it took."""

    step: str
    ok: bool
    seen: str
    milliseconds: float


@dataclass(frozen=True)
class Timing:
    """Times of one algorithm: the first validation with empty caches, and the median of warm ones."""

    algorithm: str
    cold_sync_ms: float
    cold_async_ms: float
    warm_sync_us: float
    warm_async_us: float


@dataclass(frozen=True)
class Refusal:
    """A forged token and the explanation of its refusal."""

    forgery: str
    code: str
    explanation: str


@dataclass
class Report:
    """Everything the demo found out."""

    engine: str = ""
    steps: list[Outcome] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every step came out as it should."""
        return all(step.ok for step in self.steps)


class Stage:
    """The provider, one validator per API, and one event loop for the whole show."""

    def __init__(self, provider: EmbeddedProvider, runner: asyncio.Runner, report: Report) -> None:
        self.provider = provider
        self.report = report
        self.await_: Callable[[Coroutine[Any, Any, Any]], Any] = runner.run
        self.sync: blocking.TokenValidator = blocking.TokenValidator(provider.issuer, audience=AUDIENCE)
        self.aio: aio.TokenValidator = aio.TokenValidator(provider.issuer, audience=AUDIENCE)

    def mint(self, alg: SignatureAlgorithm = ALGORITHMS[0]) -> str:
        """Return a good token."""
        return self.provider.mint(alg=alg, audience=AUDIENCE, subject=SUBJECT)

    def validate(self, token: str) -> None:
        """Validate *token* over both APIs and look at what came out."""
        for claims in (self.sync.validate(token), self.await_(self.aio.validate(token))):
            expect(claims["sub"] == SUBJECT, f"sub is {claims['sub']!r}")

    def refusals(self, token: str) -> list[PyIdentityModelException]:
        """Return how both APIs refuse *token*."""
        found: list[PyIdentityModelException] = []
        attempts: tuple[Callable[[], object], ...] = (
            lambda: self.sync.validate(token),
            lambda: self.await_(self.aio.validate(token)),
        )
        for attempt in attempts:
            try:
                attempt()
            except PyIdentityModelException as error:
                found.append(error)
            else:
                raise UnexpectedError("it was accepted")
        return found


def expect(condition: object, otherwise: str) -> None:
    """Fail the step unless *condition* holds."""
    if not condition:
        raise UnexpectedError(otherwise)


def forget() -> None:
    """Empty the caches of both APIs."""
    for module in (blocking, aio):
        module.clear_discovery_cache()
        module.clear_jwks_cache()


# ---- the steps


def discover(stage: Stage) -> str:
    """Find the provider's metadata over both APIs."""
    request = DiscoveryDocumentRequest(address=stage.provider.issuer)
    found = (blocking.get_discovery_document(request), stage.await_(aio.get_discovery_document(request)))
    for response in found:
        response.raise_for_error()
        expect(response.issuer == stage.provider.issuer, f"the issuer is {response.issuer}")
    return f"issuer {found[0].issuer}"


def fetch_keys(stage: Stage) -> str:
    """Fetch the key set over both APIs."""
    request = JwksRequest(address=stage.provider.url("jwks"))
    found = (blocking.get_jwks(request), stage.await_(aio.get_jwks(request)))
    for response in found:
        response.raise_for_error()
        expect(len(response.keys or ()) == len(ALGORITHMS), f"{len(response.keys or ())} keys")
    return ", ".join(f"{key.kty} {key.kid}" for key in found[0].keys or ())


def validate_algorithm(alg: SignatureAlgorithm) -> Callable[[Stage], str]:
    """Make the step that validates tokens of one algorithm, cold and warm, over both APIs."""

    def step(stage: Stage) -> str:
        token = stage.mint(alg)
        forget()
        cold_sync = _milliseconds(lambda: stage.sync.validate(token))
        cold_async = stage.await_(_async_milliseconds(lambda: stage.aio.validate(token)))
        stage.validate(token)
        warm_sync = statistics.median(_milliseconds(lambda: stage.sync.validate(token)) for _ in range(WARM_CALLS))
        warm_async = stage.await_(_warm_async(stage, token))
        stage.report.timings.append(Timing(alg, cold_sync, cold_async, 1000 * warm_sync, 1000 * warm_async))
        return f"warm {1000 * warm_sync:.0f} µs sync, {1000 * warm_async:.0f} µs async"

    return step


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


async def _async_milliseconds(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return 1000 * (time.perf_counter() - started)


async def _warm_async(stage: Stage, token: str) -> float:
    return statistics.median([await _async_milliseconds(lambda: stage.aio.validate(token)) for _ in range(WARM_CALLS)])


def rotate(stage: Stage) -> str:
    """Let the provider sign with new keys, and find them at the first token that needs one."""
    before, fetched = stage.mint(), stage.provider.count("jwks")
    stage.provider.rotate()
    after = stage.mint()
    stage.validate(after)
    stage.validate(before)
    fetched = stage.provider.count("jwks") - fetched
    expect(fetched == 2, f"{fetched} key sets were fetched, one per API is enough")
    return "new key found at the first token, one fetch per API; tokens of the old key still accepted"


def survive_outage(stage: Stage) -> str:
    """Go on with the known keys while the provider is down, and tell "cannot verify now" from "invalid"."""
    known = stage.mint()
    with stage.provider.fault("outage"):
        response = blocking.get_jwks(JwksRequest(address=stage.provider.url("jwks")), refresh=True)
        expect(not response.is_successful, "the provider is not down")
        stage.validate(known)
        stage.provider.rotate(ALGORITHMS[0])
        new = stage.mint()
        for error in stage.refusals(new):
            expect(isinstance(error, NetworkException), f"an outage was called {error.code}")
    time.sleep(2 * float(os.environ["KID_MISS_REFRESH_COOLDOWN"]))
    _eventually(lambda: stage.validate(new))
    return "known keys stay in use; a token of a new key gets 503, not 401, and is accepted after the outage"


def _eventually(attempt: Callable[[], None], seconds: float = 10.0) -> None:
    """Repeat *attempt* until the provider may be asked again."""
    end = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (NetworkException, TokenValidationException) as error:
            if time.monotonic() > end:
                raise UnexpectedError(f"still {error.code} after {seconds:g} s") from error
        time.sleep(0.1)


def refuse(name: str) -> Callable[[Stage], str]:
    """Make the step that presents one forged token to both APIs."""
    forgery = FORGERIES[name]

    def step(stage: Stage) -> str:
        refusals = stage.refusals(stage.provider.forge(name, audience=AUDIENCE, subject=SUBJECT))
        for error in refusals:
            expect(isinstance(error, forgery.refused_with), f"refused as {type(error).__name__}: {error}")
        expect(len({error.code for error in refusals}) == 1, "both APIs give different reasons")
        stage.report.refusals.append(Refusal(forgery.summary, refusals[0].code, str(refusals[0])))
        return f"{refusals[0].code}: {refusals[0]}"

    return step


def count(stage: Stage) -> str:
    """Read the cache counters of both APIs, and what the provider saw."""
    for name, side in (("sync", blocking), ("async", aio)):
        counters = side.get_cache_counters()
        stage.report.counters[name] = asdict(counters)
        expect(counters.jwks_refreshes >= 1, f"the {name} side counted no refresh")
    seen = {endpoint: stage.provider.count(endpoint) for endpoint in ("discovery", "jwks")}
    stage.report.counters["provider"] = seen
    return f"{seen['discovery']} discovery and {seen['jwks']} key-set requests for all of this"


STEPS: tuple[tuple[str, Callable[[Stage], str]], ...] = (
    ("discovery", discover),
    ("key fetch", fetch_keys),
    *((f"validate {alg}", validate_algorithm(alg)) for alg in ALGORITHMS),
    ("key rotation", rotate),
    ("provider outage", survive_outage),
    *((f"refuse: {FORGERIES[name].summary}", refuse(name)) for name in FORGED),
    ("cache counters", count),
)


def perform(stage: Stage, name: str, step: Callable[[Stage], str]) -> Outcome:
    """Run one step and judge it."""
    started = time.perf_counter()
    try:
        ok, seen = True, step(stage)
    except (UnexpectedError, PyIdentityModelException) as error:
        ok, seen = False, f"{type(error).__name__}: {error}"
    return Outcome(name, ok, seen, 1000 * (time.perf_counter() - started))


@contextmanager
def staged(report: Report) -> Iterator[Stage]:
    """Open the server and the loop, and close everything again."""
    provider = EmbeddedProvider(algorithms=ALGORITHMS, audience=AUDIENCE)
    with provider.serve(), asyncio.Runner() as runner:
        stage = Stage(provider, runner, report)
        report.engine = stage.sync.health().engine
        try:
            yield stage
        finally:
            forget()
            runner.run(_closed(async_clients.close_async_http_client()))
            sync_clients.close_http_client()


async def _closed(closing: Coroutine[Any, Any, None]) -> None:
    await closing


# ---- what people see


def show(report: Report, console: Console) -> None:
    """Print the report as tables."""
    from rich.table import Table
    from rich.text import Text

    def table(title: str, *columns: str) -> Any:
        made = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
        for column in columns:
            made.add_column(column, justify="right" if column.endswith(("ms", "µs")) else "left", overflow="fold")
        return made

    steps = table("Steps", "", "step", "ms", "what came out")
    for step in report.steps:
        mark = Text("ok" if step.ok else "FAILED", style="green" if step.ok else "bold red")
        steps.add_row(mark, Text(step.step), f"{step.milliseconds:.1f}", Text(step.seen))
    times = table("Times", "algorithm", "cold sync ms", "cold async ms", "warm sync µs", "warm async µs")
    for row in report.timings:
        warm = (f"{row.warm_sync_us:.1f}", f"{row.warm_async_us:.1f}")
        times.add_row(row.algorithm, f"{row.cold_sync_ms:.1f}", f"{row.cold_async_ms:.1f}", *warm)
    counters = table("Counters", "where", "what was counted")
    for where, counted in report.counters.items():
        counters.add_row(where, ", ".join(f"{name} {value}" for name, value in counted.items()))
    for each in (steps, times, counters):
        console.print(each)
        console.print()
    verdict = "everything came out as it should" if report.ok else "something did not come out as it should"
    console.print(f"Engine: {report.engine}. In short: {verdict}.", style="bold green" if report.ok else "bold red")


def play(report: Report, announce: Callable[[int, str], None]) -> None:
    """Run every step, announcing each before it runs."""
    with staged(report) as stage:
        for number, (name, step) in enumerate(STEPS):
            announce(number, name)
            report.steps.append(perform(stage, name, step))


def watched(report: Report, console: Console) -> None:
    """Run every step under a progress bar on *console*."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=console.is_terminal) as progress:
        task = progress.add_task("starting", total=len(STEPS))
        play(report, lambda number, name: progress.update(task, completed=number, description=name))
        progress.update(task, completed=len(STEPS), description="done")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if all went well, 1 if a step did not, 2 if the demo cannot run."""
    parser = argparse.ArgumentParser(prog="python -m py_identity_model.testing.demo", description="Show the main job.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    options = parser.parse_args(arguments)
    for name, value in IMPATIENT.items():
        os.environ.setdefault(name, value)
    report = Report()
    if options.json:
        play(report, lambda number, name: print(f"{number + 1}/{len(STEPS)} {name}", file=sys.stderr, flush=True))
        print(json.dumps({"ok": report.ok, **asdict(report)}, indent=2))
        return 0 if report.ok else 1
    try:
        from rich.console import Console
    except ImportError:
        print('the tables need rich: pip install "py-identity-model[cli]", or use --json', file=sys.stderr)
        return 2
    watched(report, Console(stderr=True))
    show(report, Console())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
