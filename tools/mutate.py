"""Break the core on purpose, one small change at a time, and expect the tests to notice: ``make mutation``.

Usage: python tools/mutate.py [--seconds N] [--patience N] [--quick] [--anew] [--report] [MODULE...] [--tests TEST...]

cosmic-ray makes the mutants: comparisons, conditions, connectives, constants, loops, handlers, in functions and tables.
The tests are chosen by coverage: those that run through the changed line, the quickest to kill first. A mutant that
changes the code of functions is put into a fork of a process that has loaded the tests and the library; any other, and
what survives that, gets a process of its own that loads the library anew. Verdicts are kept in ``.mutation/``, so a run
goes on where the last one ended; those on survivors are asked for again. A survivor that no test can tell from the
original is listed, with the reason, in tools/equivalent_mutants.toml. Exit code 1: one survived, or none was tried.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import hashlib
import itertools
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "py_identity_model" / "_core"
KEPT = ROOT / ".mutation"
#: What decides, and the test files that speak of it; among their tests coverage chooses.
DECIDING = {
    "jose/algorithms": "test_boundaries test_jose",
    "jose/verification_keys": "test_boundaries test_jose test_key_choice test_client_auth",
    "jose/jwks": "test_jwks test_key_choice test_pickled_secrets",
    "discovery/key_sources": "test_key_sources test_shared_caches test_key_snapshot",
    "validation/claim_checks": "test_claim_checks test_boundaries test_added_checks test_kinds",
    "validation/id_token": "test_boundaries test_login",
    "validation/issuers": "test_issuers test_tenants",
    "validation/issuer_trust": "test_issuer_trust test_key_choice",
    "validation/signatures": "test_signatures test_key_choice test_key_sets test_tenants test_validation",
    "validation/token_cache": "test_token_cache_ring test_token_cache",
    "validation/validator": "test_issuers test_revocations test_validation test_tenants test_floods",
    "binding/dpop_server": "test_dpop_server",
    "binding/dpop_recovery": "test_dpop_recovery test_dpop_server",
    "login/backchannel_logout": "test_logout",
    "base/urls": "test_urls",
    "cache/entry": "test_boundaries_cache test_cache",
    "cache/freshness": "test_boundaries_cache test_cache",
    "cache/single_flight": "test_boundaries_cache test_cache test_cache_concurrency",
}
SWAPS = "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
OPERATORS = [f"core/ReplaceComparisonOperator_{swap}" for swap in SWAPS.split()]
OPERATORS += ["core/ReplaceBinaryOperator_Add_Sub", "core/ReplaceBinaryOperator_Sub_Add"]
OPERATORS += ["core/AddNot", "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue", "core/ReplaceAndWithOr"]
OPERATORS += ["core/ReplaceOrWithAnd", "core/ReplaceUnaryOperator_Delete_Not", "core/ReplaceBreakWithContinue"]
OPERATORS += ["core/ReplaceContinueWithBreak", "core/ExceptionReplacer", "core/NumberReplacer"]
OPERATORS += ["core/ZeroIterationForLoop"]
#: Seconds that loading tests and library may take; a mutant that hangs there is noticed.
TO_LOAD = 200
#: What has killed a mutant that does not load.
LOADING = "loading"
#: What every process has loaded already when it begins; nothing of the library.
PRELOADED = ("pytest", "hypothesis", "trio", "anyio", "httpx2", "cryptography.x509", "msgspec", "trustme", "joserfc")


# ---- mutants


@dataclass(frozen=True)
class Mutant:
    """One change: the lines it touches, how the first of them reads before and after, and the whole module with it.

    Its verdict is kept under the digest of the function, class or table that it changes: it stays true while others
    of the module change.
    """

    first: int
    last: int
    before: str
    after: str
    source: str
    digest: str


_PAIRS = {ast.Eq: ast.NotEq, ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.Is: ast.IsNot, ast.In: ast.NotIn}
OPPOSITE = {**_PAIRS, **{there: here for here, there in _PAIRS.items()}}


class _Plain(ast.NodeTransformer):
    """Writes ``not a == b`` as ``a != b``, and ``not not a`` as ``a``, so that equal mutants are seen to be equal."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Simplify a negation."""
        self.generic_visit(node)
        match node:
            case ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), inner)):
                return inner
            case ast.UnaryOp(ast.Not(), ast.Compare(left, [operator], right)):
                return ast.Compare(left, [OPPOSITE[type(operator)]()], right)
        return node


def _shapes(source: str) -> list[str]:
    return [ast.dump(_Plain().visit(node)) for node in ast.parse(source).body]


@functools.cache
def mutants(source: str) -> tuple[Mutant, ...]:
    """Return every mutant of a module that differs from it, and from the others, once."""
    return tuple(_mutants(source))


def _mutants(source: str) -> Iterator[Mutant]:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    original, rows = _shapes(source), source.splitlines()
    seen: set[str] = set()
    for name in OPERATORS:
        operator = get_operator(name)()
        places = [at for node in ast_nodes(get_ast(source)) for at in operator.mutation_positions(node)]
        for occurrence, ((first, _), (last, _)) in enumerate(places):
            changed = mutate_code(source, operator, occurrence)
            fresh = [new for new, old in zip(_shapes(changed or source), original, strict=True) if new != old]
            if not fresh or fresh[0] in seen:
                continue
            seen.add(fresh[0])
            digest = hashlib.sha256(fresh[0].encode()).hexdigest()[:16]
            at = next(at for at, (old, new) in enumerate(zip(rows, changed.splitlines(), strict=False)) if old != new)
            yield Mutant(first, last, rows[at].strip(), changed.splitlines()[at].strip(), changed, digest)


# ---- tests and library are loaded once, and each mutant gets a fork of that process


def forked(child: Callable[[], int]) -> int:
    """Run a function in a forked process that leaves nothing running; return its exit code, below 0 for a crash."""
    process = os.fork()
    if process == 0:
        code = 99
        try:
            os.setsid()
            code = child()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if code in (-signal.SIGTERM, -signal.SIGINT):
        raise KeyboardInterrupt  # somebody ends the run, which is no verdict
    return code


def place(code: CodeType) -> tuple[str, int]:
    """Return what tells a function of a module from its others."""
    return code.co_qualname, code.co_firstlineno


def codes_of(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    """Yield the code of what is defined in a module, at any depth, with its place."""
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield place(const), const
            yield from codes_of(const)


#: Functions, and the code they are to have.
Changes = list[tuple[FunctionType, CodeType]]


class Loaded:
    """A plugin that does its work where pytest has loaded all tests and would now run them."""

    def __init__(self, path: Path, work: Callable[[Loaded], bool]) -> None:
        self.path, self.work = str(path), work

    def pytest_runtestloop(self, session: Any) -> bool:
        """Find the functions of the module, and do the work; what did not load has failed already."""
        signal.alarm(0)
        if not session.testsfailed:
            self.items = {item.nodeid: item for item in session.items}
            self.code = compile(Path(self.path).read_bytes(), self.path, "exec")
            gc.unfreeze()  # what is frozen is not found
            functions = [each for each in gc.get_objects() if type(each) is FunctionType]
            self.functions = [each for each in functions if each.__code__.co_filename == self.path]
            gc.freeze()
            session.testsfailed = int(not self.work(self))
        return True

    def changes(self, source: str) -> Changes:
        """Return the functions that there are whose code a mutant changes, with their new code."""
        before, after = dict(codes_of(self.code)), dict(codes_of(compile(source, self.path, "exec")))
        found = [(each, at) for each in self.functions if (at := place(each.__code__)) in after]
        changed = [(each, after[at]) for each, at in found if after[at] != before[at]]
        return [(each, code) for each, code in changed if code.co_freevars == each.__code__.co_freevars]

    def killer(self, names: list[str], seconds: dict[str, float], changes: Changes) -> str | None:
        """Run tests in a fork, on changed functions; return the first that fails, crashes or hangs."""
        chosen, at = [self.items[name] for name in names if name in self.items], mmap.mmap(-1, 4)

        def child() -> int:
            for function, code in changes:
                function.__code__ = code
            for number, (item, following) in enumerate(zip(chosen, [*chosen[1:], None], strict=True)):
                at[:] = number.to_bytes(4, "big")
                signal.alarm(20 + round(10 * seconds[item.nodeid]))
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if item.session.testsfailed:
                    return 1
            return 0

        return chosen[int.from_bytes(at[:], "big")].nodeid if chosen and forked(child) else None


class Recorder:
    """A plugin that notes which test runs through which lines of a module, and how many seconds it computes."""

    def __init__(self, path: str) -> None:
        from coverage import Coverage

        self.path = path
        self.coverage = Coverage(data_file=None, config_file=False, include=[path])
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note the time of a test that passed."""
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = time.process_time() - self.begun

    def record(self, items: list[Any], target: Path) -> int:
        """Run tests, and write down what was seen of those that passed."""
        items[0].config.pluginmanager.register(self)
        self.coverage.start()
        for item, following in zip(items, [*items[1:], None], strict=True):
            self.coverage.switch_context(item.nodeid)
            self.begun = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        self.coverage.stop()
        lines: dict[str, list[int]] = {}
        for line, tests in self.coverage.get_data().contexts_by_lineno(self.path).items():
            for test in self.seconds.keys() & set(tests):
                lines.setdefault(test, []).append(line)
        target.write_text(json.dumps({"lines": lines, "seconds": self.seconds}), encoding="utf-8")
        return 0


# ---- one module


class BrokenTestsError(Exception):
    """The tests of a module fail without any mutant, so that they say nothing about one."""


@dataclass
class Tests:
    """The tests of a module: the lines each runs through, how long it takes, and how many mutants it has killed."""

    lines: dict[str, list[int]]
    seconds: dict[str, float]
    kills: Counter[str] = field(default_factory=Counter)

    def of(self, mutant: Mutant, patience: float) -> list[str]:
        """Return the tests for a mutant that take less than *patience* seconds together, the quickest to kill first.

        What only loading the module runs through, a table for instance, is the business of all tests.
        """
        span = set(range(mutant.first, mutant.last + 1))
        reached = [test for test, ran in self.lines.items() if not span.isdisjoint(ran)] or list(self.seconds)
        ordered = sorted(reached, key=lambda test: self.seconds[test] / (1 + self.kills[test]))
        spent = itertools.accumulate(self.seconds[test] for test in ordered)
        return [test for test, total in zip(ordered, spent, strict=True) if total < patience]

    def forget(self, test: str) -> None:
        """Have a test judge no more mutants."""
        self.lines.pop(test, None)
        del self.seconds[test]


@dataclass
class Field:
    """A copy of the project that one mutant after another is written to."""

    folder: Path
    module: str
    where: list[str]

    def __post_init__(self) -> None:
        self.path = self.folder / "src/py_identity_model/_core" / f"{self.module}.py"
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        for name in ("src", "tests", "docs"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", self.folder)

    def load(self, work: Callable[[Loaded], bool]) -> bool:
        """Load tests and library as they are here, and do some work with them; False if any of it fails."""

        def child() -> int:
            import pytest

            signal.alarm(TO_LOAD)
            os.chdir(self.folder)
            sys.path.insert(0, str(self.folder / "src"))
            sys.dont_write_bytecode = True
            with open(self.folder / "output.txt", "wb") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            options = ["-q", "-p", "no:cacheprovider", "--assert=plain", f"--basetemp={self.folder / 'tmp'}"]
            return int(pytest.main([*options, *self.where], plugins=[Loaded(self.path, work)]))

        return forked(child) == 0

    def said(self) -> str:
        """Return the end of what the last process printed."""
        return (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-3000:]

    def recorded(self) -> Tests:
        """Return the tests that run through the module and pass; the others judge no mutant."""
        target = self.folder / "recorded.json"
        record = Recorder(str(self.path)).record
        done = self.load(lambda loaded: forked(lambda: record(list(loaded.items.values()), target)) == 0)
        tests = Tests(**json.loads(target.read_text(encoding="utf-8"))) if done else Tests({}, {})
        if not tests.lines:
            raise BrokenTestsError(f"{self.module}: its tests fail without any mutant:\n{self.said()}")
        return tests


@dataclass
class Verdicts:
    """What became of the mutants of a module."""

    module: str
    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    survivors: list[Mutant] = field(default_factory=list)

    def row(self) -> str:
        """Return its row of the table."""
        tried = sum(self.counts.values())
        names = ("killed", "equivalent", "survived")
        counts = " | ".join(str(self.counts[name]) for name in names)
        return f"| `{self.module}` | {self.total} | {tried} | {counts} | {self.total - tried} |"


HEAD = "| module | mutants | tried | killed | equivalent | survived | not tried |\n|---|---|---|---|---|---|---|"


def equivalents(module: str) -> set[tuple[str, str]]:
    """Return the mutants of a module that are listed as equivalent."""
    listed = tomllib.loads((ROOT / "tools" / "equivalent_mutants.toml").read_text(encoding="utf-8"))
    return {(entry["before"], entry["after"]) for entry in listed.get(module, [])}


def kept(module: str) -> tuple[Path, dict[str, str]]:
    """Return where the verdicts of a module are kept, and those that are."""
    path = KEPT / f"{module.replace('/', '.')}.json"
    return path, json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@dataclass
class Judge:
    """Tries mutants of a module until *end*, each with *patience* seconds of tests, and keeps the verdicts."""

    ground: Field
    tests: Tests
    end: float
    patience: float

    def __post_init__(self) -> None:
        self.original = self.ground.path.read_text(encoding="utf-8")

    def killer(self, loaded: Loaded, mutant: Mutant, changes: Changes) -> str | None:
        """Return the test that kills a mutant; one that, alone, fails without it as well does so no more."""
        while killer := loaded.killer(self.tests.of(mutant, self.patience), self.tests.seconds, changes):
            self.tests.kills[killer] += 1
            if self.tests.kills[killer] > 1 or not loaded.killer([killer], self.tests.seconds, []):
                return killer
            self.tests.forget(killer)
        return None

    def in_forks(self, loaded: Loaded, todo: Iterable[Mutant]) -> bool:
        """Try those that change the code of functions in functions that are loaded already, which is quick."""
        for mutant in todo:
            changes = loaded.changes(mutant.source)
            if changes and time.monotonic() < self.end:
                self.keep(mutant, self.killer(loaded, mutant, changes))
        return True

    def anew(self, mutant: Mutant) -> None:
        """Try a mutant where the library is loaded with it."""
        killer = self._killer_anew(mutant.source, self.tests.of(mutant, self.patience))
        while killer not in (None, LOADING) and not self._passes(killer):
            self.tests.forget(killer)
            killer = self._killer_anew(mutant.source, self.tests.of(mutant, self.patience))
        self.keep(mutant, killer)

    def _passes(self, test: str) -> bool:
        """Tell whether a test passes where it is run alone without a mutant."""
        if not self.tests.kills[test] and self._killer_anew(self.original, [test]) is None:
            self.tests.kills[test] += 1
        return self.tests.kills[test] > 0

    def _killer_anew(self, source: str, tests: list[str]) -> str | None:
        told = self.ground.folder / "killer.txt"

        def work(loaded: Loaded) -> bool:
            told.write_text(loaded.killer(tests, self.tests.seconds, []) or "", encoding="utf-8")
            return True

        self.ground.path.write_text(source, encoding="utf-8")
        return (told.read_text(encoding="utf-8") or None) if self.ground.load(work) else LOADING

    def keep(self, mutant: Mutant, killer: str | None) -> None:
        """Keep a verdict."""
        path, known = kept(self.ground.module)
        path.write_text(json.dumps({**known, mutant.digest: f"killed by {killer}" if killer else "survived"}), "utf-8")


def judge(module: str, end: float, options: argparse.Namespace) -> Verdicts:
    """Try the mutants of a module until *end*; a verdict that is kept is asked for again if it was survival."""
    where = options.tests or [f"tests/{name}.py" for name in DECIDING[module].split()]
    every = mutants((CORE / f"{module}.py").read_text(encoding="utf-8"))
    path, known = kept(module)
    path.parent.mkdir(exist_ok=True)
    killed = {digest: verdict for digest, verdict in known.items() if verdict != "survived" and not options.anew}
    path.write_text(json.dumps(killed), encoding="utf-8")
    todo = [mutant for mutant in every if mutant.digest not in killed]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        ground = Field(Path(folder), module, where)
        tests = ground.recorded() if todo else Tests({}, {})
        print(f"{module}: {len(todo)} of {len(every)} to try, {len(tests.lines)} tests", file=sys.stderr, flush=True)
        trial = Judge(ground, tests, end, options.patience)
        ground.load(lambda loaded: trial.in_forks(loaded, todo))
        done = kept(module)[1]
        for mutant in todo:
            if done.get(mutant.digest, "survived") == "survived" and not options.quick and time.monotonic() < end:
                trial.anew(mutant)
    return verdicts(module)


def verdicts(module: str) -> Verdicts:
    """Return what is known of a module's mutants as it is now."""
    every = mutants((CORE / f"{module}.py").read_text(encoding="utf-8"))
    found, known, listed = Verdicts(module, len(every)), kept(module)[1], equivalents(module)
    for mutant in every:
        verdict = known.get(mutant.digest, "").partition(" ")[0]
        if verdict == "survived" and (mutant.before, mutant.after) in listed:
            verdict = "equivalent"
        if verdict:
            found.counts[verdict] += 1
        if verdict == "survived":
            found.survivors.append(mutant)
    return found


def main(arguments: list[str]) -> int:
    """Share the time among the modules, and report."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="time for all modules together")
    parser.add_argument("--quick", action="store_true", help="do not load the library anew for any mutant")
    parser.add_argument("--anew", action="store_true", help="ask again for verdicts that are kept")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds of tests that a mutant gets, quick ones first"
    )
    parser.add_argument(
        "--tests",
        nargs="+",
        metavar="TEST",
        help="try only these on what is not killed, instead of those of the module",
    )
    parser.add_argument("--report", action="store_true", help="only say what is known")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"by default {', '.join(DECIDING)}")
    options = parser.parse_args(arguments)
    chosen_modules = options.modules or list(DECIDING)
    if unknown := set(chosen_modules) - DECIDING.keys():
        parser.error(f"no tests are named for {', '.join(sorted(unknown))}; see DECIDING in tools/mutate.py")
    for name in [] if options.report else PRELOADED:
        __import__(name)
    end, broken, found = time.monotonic() + options.seconds, False, []
    for left, module in zip(range(len(chosen_modules), 0, -1), chosen_modules, strict=True):
        share = time.monotonic() + (end - time.monotonic()) / left
        try:
            found.append(verdicts(module) if options.report else judge(module, share, options))
        except BrokenTestsError as error:
            print(error, file=sys.stderr, flush=True)
            broken = True
            continue
        print(found[-1].row(), file=sys.stderr, flush=True)
    print(HEAD, *(each.row() for each in found), sep="\n")
    survived = [(each.module, mutant) for each in found for mutant in each.survivors]
    for module, mutant in survived:
        print(f"survived: {module}:{mutant.first}: {mutant.before} -> {mutant.after}")
    return int(broken or bool(survived) or not any(each.counts for each in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
