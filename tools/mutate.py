"""Break the core on purpose and expect the tests to notice.

Usage: python tools/mutate.py [--seconds N] [--seed N] [--floor PERCENT] [MODULE...]

Each mutant changes one comparison, connective, constant, branch or ``raise`` of one module under ``core/``, in a copy.
The tests that speak of that module must fail on it. Survivors are printed; a module below the floor makes the exit
code 1.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "py_identity_model"
TESTS = ROOT / "tests"
SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True)
class Mutant:
    """One change: where, what it says, and the whole module with it."""

    line: int
    before: str
    after: str
    source: str


def changed(node: ast.AST) -> ast.AST | None:
    """Return *node* broken in one way, or None if it is of no interest."""
    match node:
        case ast.Compare(ops=[op, *rest]):
            return ast.Compare(node.left, [SWAPPED[type(op)](), *rest], node.comparators)
        case ast.BoolOp(op=op):
            return ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
        case ast.Constant(value=bool(value)):
            return ast.Constant(not value)
        case ast.Constant(value=int(value)):
            return ast.Constant(value + 1)
        case ast.If(test=test) if not isinstance(test, ast.Name | ast.Compare | ast.BoolOp | ast.UnaryOp):
            return ast.If(ast.UnaryOp(ast.Not(), test), node.body, node.orelse)
        case ast.Raise():
            return ast.Pass()
    return None


def _annotations(tree: ast.Module) -> set[int]:
    """Return the nodes inside annotations: nothing happens there at run time."""
    found = (getattr(node, name, None) for node in ast.walk(tree) for name in ("annotation", "returns"))
    roots = [node for node in found if isinstance(node, ast.AST)]
    return {id(inner) for root in roots for inner in ast.walk(root)}


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    silent = _annotations(tree)
    for position, node in enumerate(ast.walk(tree)):
        broken = None if id(node) in silent else changed(node)
        if broken is None:
            continue
        twin = copy.deepcopy(tree)
        target = next(other for at, other in enumerate(ast.walk(twin)) if at == position)
        _Replace(target, ast.copy_location(broken, target)).visit(twin)
        after = ast.unparse(ast.fix_missing_locations(twin))
        yield Mutant(getattr(node, "lineno", 0), ast.unparse(node), ast.unparse(broken), after)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the new node in place of the old one."""
        return self.new if node is self.old else super().visit(node)


def tests_of(module: str) -> list[str]:
    """Return the test files that speak of a core module: its own first, then those that import from it."""
    own = TESTS / f"test_{module}.py"
    speaks = re.compile(rf"core(\.|/| import .*\b){module}\b")
    others = [p for p in sorted(TESTS.glob("test_*.py")) if p != own and speaks.search(p.read_text(encoding="utf-8"))]
    structural = {"test_structure.py", "test_quality.py", "test_docs.py", "test_fuzz.py"}
    return [str(p) for p in [own, *others] if p.exists() and p.name not in structural]


def passes(copy_of_source: Path, tests: list[str], timeout: float) -> bool:
    """Tell whether the tests pass on a copy of the sources; one that hangs does not."""
    env = {**os.environ, "PYTHONPATH": str(copy_of_source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def examine(module: str, seconds: float, seed: int) -> float | None:
    """Run mutants of *module* for a while; return the share that was noticed, in percent, or None without tests."""
    tests = tests_of(module)
    if not tests:
        print(f"{module}: no tests speak of it", flush=True)
        return None
    source = (PACKAGE / "core" / f"{module}.py").read_text(encoding="utf-8")
    every = list(mutants(source))
    random.Random(seed).shuffle(every)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        twin = Path(folder) / "py_identity_model"
        shutil.copytree(PACKAGE, twin, ignore=shutil.ignore_patterns("__pycache__"))
        started = time.monotonic()
        if not passes(Path(folder), tests, 600):
            sys.exit(f"{module}: its tests fail without any mutant")
        allowed = 5 * (time.monotonic() - started) + 10
        tried = survived = 0
        for mutant in every:
            if time.monotonic() - started > seconds:
                break
            (twin / "core" / f"{module}.py").write_text(mutant.source, encoding="utf-8")
            tried += 1
            if passes(Path(folder), tests, allowed):
                survived += 1
                print(f"{module}:{mutant.line}: survived: {mutant.before[:80]!r} -> {mutant.after[:80]!r}", flush=True)
    share = 100 * (tried - survived) / tried if tried else 100.0
    print(f"{module}: {tried} of {len(every)} mutants tried, {share:.0f} % noticed", flush=True)
    return share


def main() -> int:
    """Share the time among the modules and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600.0, help="time for all modules together")
    parser.add_argument("--seed", type=int, default=1, help="which mutants come first")
    parser.add_argument("--floor", type=float, default=80.0, help="percent of mutants that must be noticed")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    options = parser.parse_args()
    modules = options.modules or sorted(p.stem for p in (PACKAGE / "core").glob("*.py") if p.stem != "__init__")
    shares = [examine(module, options.seconds / len(modules), options.seed) for module in modules]
    return int(any(share is not None and share < options.floor for share in shares))


if __name__ == "__main__":
    sys.exit(main())
