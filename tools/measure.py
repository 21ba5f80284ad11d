"""Measure the shape of the library: sizes, repeated lines, import cycles, type completeness.

Usage: python tools/measure.py [--no-types] [FOLDER]

Lines of code are lines with a token on them: neither blank, nor comment, nor docstring. A function is as long as its
lines of code, from ``def`` to its end. Repeated lines are those in a window of six lines of code that stands twice,
imports and lines of brackets alone left out. Cycles are counted in modules: strict by what is imported when a module is
loaded, loose with imports in functions and under TYPE_CHECKING as well. Type completeness is what pyright finds.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "py_identity_model"
WINDOW = 6
#: What is asked of each module, in lines of its file, and of each function, in lines of code.
LONGEST_MODULE, LONGEST_FUNCTION = 500, 40
SPACE = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER})
BRACKETS = frozenset(")]}({[,;: ")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A module: its dotted name, its text and tree, and its lines of code by number."""

    name: str
    text: str
    tree: ast.Module
    code: dict[int, str]


def docstrings(tree: ast.Module) -> set[int]:
    """Return the lines that docstrings stand on."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | Function) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                found.update(range(first.lineno, (first.end_lineno or 0) + 1))
    return found


def lines_of_code(text: str, tree: ast.Module) -> dict[int, str]:
    """Return the lines of code, stripped, by their numbers."""
    at: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SPACE | {tokenize.COMMENT}:
            at.update(range(token.start[0], token.end[0] + 1))
    rows = text.splitlines()
    return {number: rows[number - 1].strip() for number in sorted(at - docstrings(tree)) if rows[number - 1].strip()}


def modules(source: Path) -> list[Module]:
    """Read every module below *source*, a package."""
    found = []
    for path in sorted(source.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path))
        name = ".".join(path.relative_to(source.parent).with_suffix("").parts)
        found.append(Module(name, text, tree, lines_of_code(text, tree)))
    return found


def functions(read: list[Module]) -> dict[str, int]:
    """Return the lines of code of each function, by module and line."""
    return {
        f"{module.name}:{node.lineno} {node.name}": sum(
            number in module.code for number in range(node.lineno, (node.end_lineno or 0) + 1)
        )
        for module in read
        for node in ast.walk(module.tree)
        if isinstance(node, Function)
    }


def repeated(read: list[Module]) -> float:
    """Return the share of lines of code, in percent, that stand in a window of six which occurs twice."""
    seen: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    total = 0
    for module in read:
        nodes = [node for node in ast.walk(module.tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        imports = {number for node in nodes for number in range(node.lineno, (node.end_lineno or 0) + 1)}
        kept = [line for at, line in module.code.items() if at not in imports and not set(line) <= BRACKETS]
        total += len(kept)
        for start in range(len(kept) - WINDOW + 1):
            seen[tuple(kept[start : start + WINDOW])].append((module.name, start))
    twice = [place for places in seen.values() if len(places) > 1 for place in places]
    return 100 * len({(name, start + at) for name, start in twice for at in range(WINDOW)}) / max(total, 1)


def imports(module: Module, *, strict: bool) -> Iterator[str]:
    """Yield the dotted names that a module imports; strictly only those that loading it imports."""
    later = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, Function | ast.Lambda)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(module.tree):
        if strict and id(node) in later:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.name.split(".")[: -node.level] if node.level else []
            stem = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def graph(read: list[Module], *, strict: bool) -> dict[str, set[str]]:
    """Return which modules of the package each module imports."""
    known = {module.name for module in read}

    def home(target: str) -> str | None:
        for name in (target, target.rpartition(".")[0]):
            for module in (name, f"{name}.__init__"):
                if module in known:
                    return module
        return None

    return {
        module.name: {found for target in imports(module, strict=strict) if (found := home(target))} - {module.name}
        for module in read
    }


def cyclic(edges: dict[str, set[str]]) -> list[str]:
    """Return the modules that reach themselves through imports."""

    def reaches(start: str) -> bool:
        seen: set[str] = set()
        todo = list(edges[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += edges[name]
        return start in seen

    return sorted(name for name in edges if reaches(name))


def too_long(read: list[Module]) -> dict[str, int]:
    """Return the modules and functions that are longer than they may be, with their lines."""
    lines = {module.name: len(module.text.splitlines()) for module in read}
    long = {name: size for name, size in lines.items() if size > LONGEST_MODULE}
    return long | {name: size for name, size in functions(read).items() if size > LONGEST_FUNCTION}


def type_completeness() -> str:
    """Return the share of public names whose types pyright knows, in percent, as text."""
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "--ignoreexternal"]
    done = subprocess.run(
        [*command, "--verifytypes", SOURCE.name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    try:
        return f"{100 * json.loads(done.stdout)['typeCompleteness']['completenessScore']:.1f} %"
    except (ValueError, KeyError):
        return "not measured: pyright gave no answer"


def figures(read: list[Module]) -> dict[str, str]:
    """Return what is measured, each figure by its name."""
    long = {module.name: len(module.text.splitlines()) for module in read}
    sizes = functions(read)
    ordered = sorted(sizes.values()) or [0]
    strict, loose = (cyclic(graph(read, strict=kind)) for kind in (True, False))
    return {
        "modules": f"{len(read):,}",
        "lines of code": f"{sum(len(module.code) for module in read):,}",
        f"modules over {LONGEST_MODULE} lines": f"{sum(size > LONGEST_MODULE for size in long.values())}",
        "longest module": f"{max(long.values(), default=0)} lines",
        "functions": f"{len(sizes):,}",
        "lines of a function, median": f"{statistics.median(ordered):.0f}",
        "lines of a function, nine of ten": f"at most {ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]}",
        "longest function": f"{ordered[-1]} lines",
        f"functions over {LONGEST_FUNCTION} lines": f"{sum(size > LONGEST_FUNCTION for size in ordered)}",
        "repeated lines": f"{repeated(read):.1f} %",
        "modules in import cycles, strict": f"{len(strict)}",
        "modules in import cycles, loose": f"{len(loose)}",
    }


def main(arguments: list[str]) -> int:
    """Print the figures as a table; what is too long is named below it."""
    folders = [word for word in arguments if not word.startswith("--")]
    read = modules(Path(folders[0]) if folders else SOURCE)
    rows = figures(read)
    if "--no-types" not in arguments and not folders:
        rows["type completeness"] = type_completeness()
    print("| what | figure |\n|---|---|")
    print("\n".join(f"| {name} | {figure} |" for name, figure in rows.items()))
    for name, size in sorted(too_long(read).items(), key=lambda entry: -entry[1]):
        print(f"measure: {name}: {size} lines", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
