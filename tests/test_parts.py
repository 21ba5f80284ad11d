"""The table at the end of a test run: what ran, what was left out and how to get it; in CI nothing may be left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parts import PARTS, VECTORS, folder, node

CONFTEST = """
import parts

parts.PARTS.update(
    gold=parts.Part(lambda: "gold is not installed", "dig for it"),
    silver=parts.Part(lambda: "no build of silver", "melt it", lambda: "not for this interpreter"),
    bread=parts.Part(lambda: "", "bake it"),
)

def pytest_configure(config):
    config.pluginmanager.register(parts, "parts")
"""
TESTS = {
    "plain": "def test_plain(): pass",
    "bread": "import pytest\n@pytest.mark.needs('bread')\ndef test_bread(): pass",
    "gold": "import pytest\n@pytest.mark.needs('bread', 'gold')\n@pytest.mark.parametrize('at', range(300))\n"
    "def test_gold(at): raise AssertionError",
    "silver": "import pytest\n@pytest.mark.needs('silver')\ndef test_silver(): raise AssertionError",
    "late": "import pytest, parts\n@pytest.mark.needs('bread')\ndef test_late(): parts.leave_out('bread', 'too hard')",
    "own": "import pytest\ndef test_own(): pytest.skip('not today')",
    "module": "import pytest\npytest.skip('not this module', allow_module_level=True)",
    "empty": "import pytest\n@pytest.mark.needs('gold')\n@pytest.mark.parametrize('at', [])\ndef test_empty(at): pass",
    "typo": "import pytest\n@pytest.mark.needs('glod')\ndef test_typo(): pass",
    "wrong": "def test_wrong(): raise AssertionError",
}


def pytest_on(folder: Path, names: str, *, ci: bool, workers: bool = False) -> tuple[int, str]:
    """Run pytest on some of the tests above; return its exit code and what it said."""
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n", encoding="utf-8")
    for name in names.split():
        (folder / f"test_{name}.py").write_text(TESTS[name], encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "CI": "true" if ci else "", "PYTEST_ADDOPTS": ""}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    parallel = ["-p", "xdist", "-n", "2"] if workers else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *parallel, str(folder)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def table(said: str) -> list[str]:
    """Return the lines of the table without the time."""
    lines = re.split(r"=+ what ran, and what did not =+\n", said)[1].splitlines()
    return [re.sub(r" in \d+ s$", "", line.strip()) for line in lines if re.match(r" +\d+ ", line)]


@pytest.mark.parametrize("workers", [False, True])
def test_the_table(tmp_path: Path, workers: bool) -> None:
    """One line for each part, however many tests wanted it, the same with workers as without."""
    code, said = pytest_on(tmp_path, "plain bread gold silver late own module empty", ci=False, workers=workers)
    assert code == 0
    assert table(said) == [
        "2 tests ran",
        "1 of them with: bread",
        "1 left out: not this module",
        "1 left out: not today",
        "1 left out, bread: too hard; to get it: bake it",
        "301 left out, gold: gold is not installed; to get it: dig for it",
        "1 left out, silver: no build of silver (not for this interpreter)",
    ]


@pytest.mark.parametrize(
    ("name", "workers"), [("gold", False), ("gold", True), ("late", False), ("own", False), ("module", True)]
)
def test_ci_leaves_nothing_out(tmp_path: Path, name: str, workers: bool) -> None:
    """With CI=true whatever is left out fails the run, and is named; without, as above, it does not."""
    code, said = pytest_on(tmp_path, f"plain {name}", ci=True, workers=workers)
    assert code == 1
    assert "CI=true: nothing may be left out" in said
    assert len(table(said)) >= 2


def test_ci_excuses_what_cannot_be_built(tmp_path: Path) -> None:
    """What has no build for the interpreter is named in the table, and is no failure."""
    code, said = pytest_on(tmp_path, "plain silver", ci=True)
    assert code == 0
    assert "silver: no build of silver (not for this interpreter)" in said


@pytest.mark.parametrize("ci", [True, False])
def test_a_failure_stays_a_failure(tmp_path: Path, ci: bool) -> None:
    """The table changes no exit code but that of success."""
    assert pytest_on(tmp_path, "wrong gold", ci=ci)[0] == 1


def test_nothing_is_said_of_plain_tests(tmp_path: Path) -> None:
    """Tests that need nothing but Python get no table."""
    assert "what ran" not in pytest_on(tmp_path, "plain", ci=True)[1]


def test_a_part_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """A misspelt part would leave a test out for ever."""
    code, said = pytest_on(tmp_path, "typo", ci=False)
    assert code == 4
    assert "glod" in said


def test_each_part_has_a_remedy() -> None:
    """A message that something is missing says in the same line how to get it."""
    assert all(part.remedy for part in PARTS.values())
    assert all(isinstance(part.missing(), str) and isinstance(part.excuse(), str) for part in PARTS.values())


def test_parts_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a program and a version that are missing are told apart from those that are there."""
    assert folder(tmp_path)() == ""
    assert VECTORS.name in folder(tmp_path / "shared" / VECTORS.name)()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert node() == "node is not installed"
    assert PARTS["Redis"].missing() == "redis-server is not installed"
    for name, words in (("node", "echo v18.1.0"), ("npm", "true")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    assert node() == "Node 20.19 or newer is wanted, this is v18.1.0"
