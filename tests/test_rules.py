"""The numbered rules of docs/reference/rules.md: each has a test that carries its number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "reference" / "rules.md"
RULE = re.compile(r"^\| ([A-Z]\d+) \| (.+) \|$", re.MULTILINE)
MARK = re.compile(r"\[([A-Z]\d+)\]")


def rules(page: str) -> tuple[set[str], set[str]]:
    """Return the rules of the page, and those among them that it leaves to others."""
    head, _, tables = page.partition("\n## ")
    return {number for number, _ in RULE.findall(tables)}, {number for number, _ in RULE.findall(head)}


def marks(source: str) -> set[str]:
    """Return the rules that the tests of a file carry in their docstrings."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found |= set(MARK.findall(ast.get_docstring(node) or ""))
    return found


def test_every_rule_has_a_test():
    """A rule without a test, a mark that names no rule of its kind, and a rule left to others that is tested fail."""
    listed, left = rules(PAGE.read_text(encoding="utf-8"))
    carried = set().union(*(marks(path.read_text(encoding="utf-8")) for path in TESTS.rglob("test_*.py")))
    assert len(listed) > 160
    assert left < listed
    assert sorted(listed - left - carried, key=lambda n: (n[0], int(n[1:]))) == []
    kinds = {number[0] for number in listed} - {"O", "T"}  # which are also letters of attack classes
    assert sorted(n for n in carried - listed if n[0] in kinds) == []
    assert sorted(left & carried) == []


def test_the_gate_sees_a_rule_without_a_test():
    """Marks count in docstrings of tests only, and a page's own exceptions are told from its rules."""
    source = 'def test_a():\n    """[J1] [S2] Holds."""\ndef helper():\n    """[J3]"""\n# [J4]\n'
    assert marks(source) == {"J1", "S2"}
    page = "| F4 | the resolver |\n\n## Norms\n\n| J1 | one |\n| F4 | dns |\n"
    assert rules(page) == ({"J1", "F4"}, {"F4"})
