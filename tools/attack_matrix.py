"""Write the control matrix: each class of attack, the rule against it, where it is held, and the tests that prove it.

Usage: python tools/attack_matrix.py [--check]

A test proves a row by carrying its id in its docstring, in parentheses: ``(A5)``. The page is written from the rows of
``attacks.toml`` and from the tests; with --check nothing is written, and the exit code is 1 where the page is not what
it would be.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
SOURCE = ROOT / "src" / "py_identity_model"
PAGE = ROOT / "docs" / "reference" / "attacks.md"
#: Tests that a row names; how many more there are is counted.
MOST_NAMED = 4

# An id of a row: in parentheses with whatever else stands there, in brackets where no rule of the norms has that
# letter, or at the beginning.
_NUMBER = re.compile(r"(?<![\w.-])[ACEKOPT]\d{1,2}(?![\w.-])")
_PLACES = (
    re.compile(r"\(([^()]*)\)"),
    re.compile(r"\[([ACEKP]\d{1,2})\]"),
    re.compile(r"\A((?:[ACEKP]\d{1,2} )+|[ACEKP]\d{1,2}(?=:))"),
)


class Row(NamedTuple):
    """One class of attack."""

    number: str
    attack: str
    rule: str
    #: Modules below the package where the rule is enforced.
    places: tuple[str, ...]


KINDS = {
    "A": "Signatures and algorithms",
    "P": "Parsing",
    "C": "Claims, and one token taken for another",
    "K": "Keys and metadata",
    "E": "Encryption",
    "O": "The protocol, as a client and as a resource",
    "T": "Transport, caches, concurrency and leaks",
}


def read_rows(text: str) -> tuple[Row, ...]:
    """Return the rows of a table like ``attacks.toml``."""
    return tuple(
        Row(number, row["attack"], row["rule"], tuple(row["enforced"])) for number, row in tomllib.loads(text).items()
    )


ROWS = read_rows((ROOT / "tools" / "attacks.toml").read_text(encoding="utf-8"))


def numbers(docstring: str) -> set[str]:
    """Return the rows that the docstring of a test names."""
    parts = [part for place in _PLACES for part in place.findall(docstring)]
    return {number for part in parts for number in _NUMBER.findall(part)}


def carried(tests: Path = TESTS) -> dict[str, list[str]]:
    """Return the tests that carry each id, as ``file::name``."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in numbers(ast.get_docstring(node) or ""):
                    found[number].append(f"{path.relative_to(tests).as_posix()}::{node.name}")
    return {number: sorted(names) for number, names in found.items()}


def missing(tests: Mapping[str, list[str]]) -> list[str]:
    """Return the rows without a test, and the places that are no modules."""
    lacking = [f"{row.number}: no test" for row in ROWS if not tests.get(row.number)]
    return lacking + [
        f"{row.number}: no module {place}"
        for row in ROWS
        for place in row.places
        if not (SOURCE / f"{place}.py").is_file()
    ]


def page(tests: Mapping[str, list[str]]) -> str:
    """Return the page."""
    lines = [
        "# Attacks and controls",
        "",
        "The known classes of attack on tokens and logins, the rule that stops each here, the modules that hold it,",
        "and the tests that carry the row's id. The page is written by `tools/attack_matrix.py`, and a row without a",
        "test fails the build. What the norms ask for, line by line, stands in [The rules](rules.md).",
    ]
    for letter, title in KINDS.items():
        lines += ["", f"## {title}", "", "| id | attack | rule | enforced in | tests |", "|---|---|---|---|---|"]
        for row in (row for row in ROWS if row.number[0] == letter):
            places = " ".join(f"`{place}`" for place in row.places)
            named = _named(tests.get(row.number, []))
            lines.append(f"| {row.number} | {row.attack} | {row.rule} | {places} | {named} |")
    return "\n".join(lines) + "\n"


def _named(tests: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in tests[:MOST_NAMED])
    more = len(tests) - MOST_NAMED
    return shown + (f", and {more} more" if more > 0 else "")


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` tell whether it is as it would be written."""
    tests = carried()
    faults = missing(tests)
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    if "--check" in arguments:
        return int(bool(faults) or PAGE.read_text(encoding="utf-8") != page(tests))
    PAGE.write_text(page(tests), encoding="utf-8")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
