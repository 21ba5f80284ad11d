"""``make mutation``: each mutant gets the verdict of the tests, and a run that tried nothing is no success."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("fork")

TOOL = Path(__file__).resolve().parent.parent / "tools" / "mutate.py"
#: Without the plugins of other packages pytest starts in no time.
BARE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
DRIVER = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("mutate", sys.argv[1])
mutate = importlib.util.module_from_spec(spec)
sys.modules["mutate"] = mutate
spec.loader.exec_module(mutate)
mutate.ROOT = pathlib.Path.cwd()
mutate.CORE = mutate.ROOT / "src/py_identity_model/_core"
mutate.KEPT = mutate.ROOT / ".mutation"
mutate.DECIDING = {"base/small": "test_small"}
mutate.PRELOADED = ("pytest",)
sys.exit(mutate.main(sys.argv[2:]))
"""
MODULE = """
LIMIT = 3
NAMES = {"a": True}


def within(number: int) -> bool:
    return number <= LIMIT and number != 7


def twice(number):
    return number if number > 100 else number + number
"""
#: LIMIT and the table are checked; 7 is beyond the limit anyway; nobody asks for more than 100.
TESTS = """
from py_identity_model._core.base.small import NAMES, within, twice
def test_within(): assert (within(3), within(4), NAMES) == (True, False, {"a": True})
def test_twice(): assert twice(2) == 4
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one module that decides and its tests."""
    for name, text in {
        **{f"src/py_identity_model/{package}__init__.py": "" for package in ("", "_core/", "_core/base/")},
        "src/py_identity_model/_core/base/small.py": MODULE,
        "tests/test_small.py": TESTS,
        "docs/index.md": "",
        "pyproject.toml": "[tool.pytest.ini_options]\n",
        "tools/equivalent_mutants.toml": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def mutate(project: Path, *options: str) -> tuple[int, list[int], list[str]]:
    """Run the tool; return its exit code, the figures of the module, and the survivors that it names."""
    command = [sys.executable, "-c", DRIVER, str(TOOL), *options]
    done = subprocess.run(command, cwd=project, env=BARE, capture_output=True, text=True, timeout=200, check=False)
    assert "| not tried |" in done.stdout, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| `base/small`"))
    survivors = [line.partition("survived: ")[2] for line in done.stdout.splitlines() if line.startswith("survived")]
    return done.returncode, [int(cell) for cell in row.strip("| ").split(" | ")[1:]], survivors


def test_survivors_are_named_and_fail(project: Path) -> None:
    """What the tests notice is killed, what they do not is named with its line; a listed one is counted apart."""
    code, figures, survivors = mutate(project)
    total, tried, killed, equivalent, survived, not_tried = figures
    assert (code, tried, equivalent, not_tried) == (1, total, 0, 0)
    assert killed > 5
    assert killed + survived == total
    assert not any("LIMIT = 3" in line or "NAMES" in line for line in survivors)
    assert any(line.startswith("base/small:7: ") for line in survivors)  # 7, which no test can tell
    assert any(line.startswith("base/small:11: return number") for line in survivors)
    entries = [line.partition(": ")[2].split(" -> ") for line in survivors]
    listed = [
        f'[["base/small"]]\nbefore = {json.dumps(before)}\nafter = {json.dumps(after)}\nreason = "none"\n'
        for before, after in entries
    ]
    (project / "tools" / "equivalent_mutants.toml").write_text("\n".join(listed), encoding="utf-8")
    assert mutate(project, "--report") == (0, [total, total, killed, survived, 0, 0], [])


def test_a_run_goes_on_where_the_last_one_ended(project: Path) -> None:
    """Verdicts are kept while the function is as it was; survivors are asked for again, with the tests of today."""
    (project / "tests" / "test_small.py").write_text(TESTS.replace("twice(2) == 4", "twice(2)"))
    _, first, _ = mutate(project)
    (project / "tests" / "test_small.py").write_text(TESTS, encoding="utf-8")
    _, second, _ = mutate(project)
    assert second[0] == first[0]
    assert second[2] > first[2]
    path = project / "src/py_identity_model/_core/base/small.py"
    path.write_text(MODULE.replace("number > 100", "number > 200"), encoding="utf-8")
    _, third, _ = mutate(project, "--report")
    assert 0 < third[1] < third[0] == second[0]  # of the function that changed nothing is known


def test_a_quick_run_leaves_out_what_has_to_be_loaded_anew(project: Path) -> None:
    """Functions are tried in forks of what is loaded; tables and constants are left to a whole run."""
    _, quick, survivors = mutate(project, "--quick")
    assert 0 < quick[1] < quick[0]
    assert any(line.startswith("base/small:11: return number") for line in survivors)
    _, whole, _ = mutate(project)
    assert (whole[1], whole[5]) == (whole[0], 0)
    assert whole[4] <= quick[4]


def test_a_test_may_be_tried_by_itself(project: Path) -> None:
    """Whoever writes a test for a survivor asks that one alone; what it does not notice stays a survivor."""
    _, figures, survivors = mutate(project, "--tests", "tests/test_small.py::test_twice")
    assert figures[2] > 0
    assert any("number <= LIMIT" in line for line in survivors)
    _, after, survivors = mutate(project, "--tests", "tests/test_small.py::test_within")
    assert after[2] > figures[2]
    assert not any("number <= LIMIT and" in line.partition(" -> ")[0] for line in survivors if "7" not in line)


def test_a_test_that_fails_by_itself_kills_nothing(project: Path) -> None:
    """A test that needs another one before it would blame any mutant; alone and without one it fails too."""
    dependent = (
        "\nseen = []\ndef test_first(): seen.append(twice(200))\ndef test_second(): assert seen and twice(200)\n"
    )
    (project / "tests" / "test_small.py").write_text(TESTS + dependent, encoding="utf-8")
    _, _, survivors = mutate(project)
    assert any(line.startswith("base/small:11: return number") for line in survivors)


def test_nothing_tried_is_no_success(project: Path) -> None:
    """Without time nothing is tried, which the table says and the exit code too."""
    code, figures, survivors = mutate(project, "--seconds", "0")
    assert (code, figures[1], figures[5], survivors) == (1, 0, figures[0], [])


def test_tests_that_fail_by_themselves_give_no_verdict(project: Path) -> None:
    """If the tests fail without any mutant, no mutant is called killed."""
    (project / "tests" / "test_small.py").write_text("def test_broken(): assert False", encoding="utf-8")
    command = [sys.executable, "-c", DRIVER, str(TOOL)]
    done = subprocess.run(command, cwd=project, env=BARE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert "its tests fail without any mutant" in done.stderr
    assert "`base/small`" not in done.stdout


def test_a_module_without_tests_is_refused(project: Path) -> None:
    """A module that no tests are named for is a mistake in the command, not a perfect score."""
    command = [sys.executable, "-c", DRIVER, str(TOOL), "base/other"]
    done = subprocess.run(command, cwd=project, env=BARE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2
    assert "no tests are named for base/other" in done.stderr
