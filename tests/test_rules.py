"""The rules of docs/reference/rules.md and the attacks of attacks.md: each has a test that carries its number."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "reference" / "rules.md"
TOOL = TESTS.parent / "tools" / "attack_matrix.py"
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


def attack_matrix() -> Any:
    """Return the tool that writes the page of attacks."""
    spec = importlib.util.spec_from_file_location("attack_matrix", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_attack_has_a_test_and_a_place():
    """A row without a test, or enforced in a module that is none, fails; so does a page that is out of date."""
    matrix = attack_matrix()
    tests = matrix.carried()
    assert [row.number for row in matrix.ROWS] == sorted(
        {row.number for row in matrix.ROWS}, key=lambda n: ("APCKEOT".index(n[0]), int(n[1:]))
    )
    assert {letter: sum(row.number[0] == letter for row in matrix.ROWS) for letter in "APCKEOT"} == {
        "A": 16,
        "P": 14,
        "C": 18,
        "K": 15,
        "E": 6,
        "O": 16,
        "T": 12,
    }
    assert matrix.missing(tests) == []
    known = {row.number for row in matrix.ROWS}
    assert sorted(number for number in tests if number not in known) == [], "ids that no row has"
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page(tests), "run: python tools/attack_matrix.py"


def test_the_gate_sees_an_attack_without_a_test(tmp_path):
    """Ids count in parentheses of docstrings of tests; a missing test and a missing module are named."""
    matrix = attack_matrix()
    assert matrix.numbers("E1 [J25]: zip (A3, A6) is refused (RFC 7515 A.5, attack O4) [K4] [T1] P-256 A9") == {
        *("E1", "A3", "A6", "O4", "K4"),
    }
    (tmp_path / "test_a.py").write_text('def test_a():\n    """Holds (A1)."""\ndef helper():\n    """(A2)"""\n')
    assert matrix.carried(tmp_path) == {"A1": ["test_a.py::test_a"]}
    rows = matrix.read_rows('[A1]\nattack = "a"\nrule = "b"\nenforced = ["no/module"]\n')
    matrix.ROWS = (*rows, rows[0]._replace(number="A2", places=("exceptions",)))
    assert matrix.missing({"A1": ["x"]}) == ["A2: no test", "A1: no module no/module"]
    assert "| A1 | a | b | `no/module` | `x` |" in matrix.page({"A1": ["x"]})
