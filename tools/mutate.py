"""Break the core on purpose, one small change at a time, and expect the tests to notice: ``make mutation``.

Usage: python tools/mutate.py [--seconds N] [--patience N] [--anew] [--report] [MODULE...]

cosmic-ray makes the mutants: comparisons, conditions, connectives, constants, loops, handlers, in functions and tables.
The tests are chosen by coverage: those that run through the changed line, the quickest first. Each mutant gets a
process of its own that loads the library anew. Verdicts are kept in ``.mutation/``, so a run goes on where the last one
ended; those on survivors are asked for again. A survivor that no test can tell from the original is listed, with the
reason, in tools/equivalent_mutants.toml. Exit code 1: a mutant survived, or none was tried.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "py_identity_model" / "_core"
KEPT = ROOT / ".mutation"
#: What decides, and the test files that speak of it; among their tests coverage chooses.
DECIDING = {
    "jose/algorithms": "test_boundaries test_jose test_vectors",
    "jose/verification_keys": "test_boundaries test_jose test_vectors test_client_auth",
    "jose/jwks": "test_jose test_vectors test_attacks test_cache test_validation",
    "discovery/key_sources": "test_validation test_cache test_discovery",
    "validation/claim_checks": "test_boundaries test_validation test_added_checks test_claims_validators test_attacks",
    "validation/id_token": "test_boundaries test_validation test_login test_jarm",
    "validation/issuers": "test_validation test_attacks",
    "validation/issuer_trust": "test_validation test_attacks",
    "validation/token_cache": "test_token_cache",
    "binding/dpop_server": "test_dpop_server test_protected_resource",
    "login/backchannel_logout": "test_logout",
    "base/urls": "test_urls",
    "cache/entry": "test_boundaries_cache test_cache",
    "cache/freshness": "test_boundaries_cache test_cache",
    "cache/single_flight": "test_cache test_cache_concurrency",
}
SWAPS = "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
OPERATORS = [f"core/ReplaceComparisonOperator_{swap}" for swap in SWAPS.split()]
OPERATORS += ["core/ReplaceBinaryOperator_Add_Sub", "core/ReplaceBinaryOperator_Sub_Add"]
OPERATORS += ["core/AddNot", "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue", "core/ReplaceAndWithOr"]
OPERATORS += ["core/ReplaceOrWithAnd", "core/ReplaceUnaryOperator_Delete_Not", "core/ReplaceBreakWithContinue"]
OPERATORS += ["core/ReplaceContinueWithBreak", "core/ExceptionReplacer", "core/NumberReplacer"]
OPERATORS += ["core/ZeroIterationForLoop"]
#: So many test functions are named one by one; of more, all of their files are collected.
FEW = 100
#: pytest's exit code where no test was left.
NOTHING_RAN = 5
#: What every test process has loaded already when it begins; nothing of the library.
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


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module that differs from it, and from the others, once."""
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


# ---- processes: each loads the library anew, and pytest with all it needs is there already


@dataclass
class Field:
    """A copy of the project that one mutant after another is written to."""

    folder: Path

    def __post_init__(self) -> None:
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        for name in ("src", "tests", "docs"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", self.folder)

    def write(self, module: str, source: str) -> None:
        """Put a mutant, or the original, in its place."""
        (self.folder / "src/py_identity_model/_core" / f"{module}.py").write_text(source, encoding="utf-8")

    def run(self, where: list[str], plugin: Any, timeout: float, *stop: str) -> int | None:
        """Run tests with a plugin in a forked process; return its exit code, None if it did not end in time."""
        child = os.fork()
        if child == 0:
            os.setsid()
            code = 99
            try:
                code = self._pytest(where, plugin, stop)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

    def _pytest(self, where: list[str], plugin: Any, stop: tuple[str, ...]) -> int:
        import pytest

        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder / "src"))
        sys.dont_write_bytecode = True
        with open(self.folder / "output.txt", "wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        options = ["-q", *stop, "-p", "no:cacheprovider", "--assert=plain"]
        return int(pytest.main([*options, *where], plugins=[plugin]))

    def said(self) -> str:
        """Return the end of what the last run printed."""
        return (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-3000:]


class Chosen:
    """A plugin that runs some tests, in an order of its own."""

    def __init__(self, tests: list[str]) -> None:
        self.order = {test: at for at, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep what was chosen, the quickest first."""
        items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda i: self.order[i.nodeid])


class Recorder:
    """A plugin that writes down which test runs through which lines of a module, and how long it takes."""

    def __init__(self, path: str, target: Path) -> None:
        self.path, self.target = path, target
        self.lines: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> None:
        """Begin anew with each test."""
        self.seen: set[int] = set()
        sys.settrace(self._enter)
        import threading

        threading.settrace(self._enter)

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self.path:
            return None
        self.seen.add(frame.f_lineno)
        return self._line

    def _line(self, frame: Any, event: str, argument: Any) -> Any:
        self.seen.add(frame.f_lineno)
        return self._line

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note the time of a test that passed, and what it ran through by now."""
        if report.when == "call" and report.passed:
            self.lines[report.nodeid] = sorted(self.seen)
            self.seconds[report.nodeid] = report.duration

    def pytest_sessionfinish(self) -> None:
        """Hand it over."""
        sys.settrace(None)
        self.target.write_text(json.dumps({"lines": self.lines, "seconds": self.seconds}), encoding="utf-8")


# ---- one module


#: The lines of a module that each test runs through.
Lines = dict[str, list[int]]


class BrokenTestsError(Exception):
    """The tests of a module fail without any mutant, so that they say nothing about one."""


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


def rounds(
    mutant: Mutant, files: list[str], lines: Lines, seconds: dict[str, float], patience: float
) -> list[list[str]]:
    """Return the tests for a mutant, the quickest first: those of the module's own file, then those of the others.

    What only loading the module runs through, a table for instance, is the business of all of its tests.
    """
    span = set(range(mutant.first, mutant.last + 1))
    reached = [test for test, ran in lines.items() if not span.isdisjoint(ran)] or list(lines)
    left, found = patience, []
    for part in (files[:1], files[1:]):
        mine = [test for test in reached if test.partition("::")[0].removeprefix("tests/").removesuffix(".py") in part]
        order = []
        for test in sorted(mine, key=lambda test: seconds[test]):
            left -= seconds[test]
            order += [test] if left > 0 else []
        found += [order] if order else []
    return found


def outlives(ground: Field, order: list[list[str]], seconds: dict[str, float]) -> bool:
    """Tell whether what lies on the field passes its tests; one that hangs does not."""
    for tests in order:
        functions = {test.partition("[")[0]: None for test in tests}
        where = list(functions) if len(functions) < FEW else list({test.partition("::")[0]: None for test in tests})
        code = ground.run(where, Chosen(tests), 20 + 10 * sum(seconds[test] for test in tests), "-x")
        if code not in (0, NOTHING_RAN):
            return False
    return True


def coverage_of(module: str, files: list[str], ground: Field) -> tuple[Lines, dict[str, float]]:
    """Return which test runs through which lines of the module, and how long each takes."""
    target = ground.folder / "recorded.json"
    path = ground.folder / "src/py_identity_model/_core" / f"{module}.py"
    code = ground.run([f"tests/{name}.py" for name in files], Recorder(str(path), target), 3600)
    recorded = json.loads(target.read_text(encoding="utf-8")) if code in (0, 1) else {"lines": {}}
    lines = {test: ran for test, ran in recorded["lines"].items() if ran}
    if not lines:
        raise BrokenTestsError(f"{module}: its tests fail without any mutant:\n{ground.said()}")
    if code:
        print(f"{module}: some of its tests fail without any mutant, and judge none", file=sys.stderr)
    return lines, recorded["seconds"]


def kept(module: str) -> tuple[Path, dict[str, str]]:
    """Return where the verdicts of a module are kept, and those that are."""
    path = KEPT / f"{module.replace('/', '.')}.json"
    return path, json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def judge(module: str, end: float, anew: bool, patience: float) -> Verdicts:
    """Try the mutants of a module until *end*; a verdict that is kept is asked for again if it was survival."""
    every = list(mutants((CORE / f"{module}.py").read_text(encoding="utf-8")))
    path, known = kept(module)
    todo = [mutant for mutant in every if anew or known.get(mutant.digest) != "killed"]
    files = DECIDING[module].split()
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        ground = Field(Path(folder))
        lines, seconds = coverage_of(module, files, ground) if todo else ({}, {})
        print(f"{module}: {len(todo)} of {len(every)} to try, {len(lines)} tests", file=sys.stderr, flush=True)
        for mutant in todo:
            if time.monotonic() > end:
                break
            ground.write(module, mutant.source)
            survived = outlives(ground, rounds(mutant, files, lines, seconds, patience), seconds)
            known[mutant.digest] = "survived" if survived else "killed"
            path.write_text(json.dumps(known), encoding="utf-8")
    return verdicts(module)


def verdicts(module: str) -> Verdicts:
    """Return what is known of a module's mutants as it is now."""
    every = list(mutants((CORE / f"{module}.py").read_text(encoding="utf-8")))
    found, known, listed = Verdicts(module, len(every)), kept(module)[1], equivalents(module)
    for mutant in every:
        verdict = known.get(mutant.digest)
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
    parser.add_argument("--anew", action="store_true", help="ask again for verdicts that are kept")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds of tests that a mutant gets, quick ones first"
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
            found.append(verdicts(module) if options.report else judge(module, share, options.anew, options.patience))
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
