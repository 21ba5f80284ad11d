"""Every parameter of every public callable does something: changed, it changes what is sent, returned or refused."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import py_identity_model as p
from effects import DOORS, When, observe
from effects_of_everything import CASES, everything, without_case
from effects_of_functions import write_files
from effects_undone import another, replaced

ROOT = Path(__file__).resolve().parent.parent
#: For parameters without a case the test that shows what they do.
ELSEWHERE: dict[str, dict[str, str]] = tomllib.loads((ROOT / "tests" / "effects_elsewhere.toml").read_text("utf-8"))
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates and keys."""
    folder = tmp_path_factory.mktemp("pem")
    write_files(folder)
    return folder


@pytest.fixture
def fixed(clock: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Time stands still, nothing is random, and files are at hand."""
    monkeypatch.chdir(files)
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size=32: "r" * (size * 4 // 3))
    monkeypatch.setattr(secrets, "token_bytes", lambda size=32: b"r" * size)
    return clock


def pairs() -> Iterator[Any]:
    """Yield every case once for each parameter and each door that has a function of its own."""
    for name, case in CASES.items():
        for door, module in DOORS.items():
            owner = name.partition(".")[0]
            if door == "aio" and getattr(module, owner) is getattr(p, owner):
                continue
            for parameter in case.changes:
                yield pytest.param(module, name, parameter, id=f"{door}-{name}-{parameter}")


@pytest.mark.parametrize(("door", "name", "parameter"), list(pairs()))
def test_a_parameter_has_an_effect(door: Any, name: str, parameter: str, fixed: Any) -> None:
    """Two calls that differ in one argument come to something different; the same call twice does not."""
    case = CASES[name]
    change = case.changes[parameter]
    value, given = (change.value, change.given) if isinstance(change, When) else (change, {})
    owner, _, method = name.partition(".")

    def observed(arguments: dict[str, Any]) -> Any:
        fixed.wall = float(NOW)
        made = case.of(door) if case.of else getattr(door, owner)
        return observe(door, getattr(made, method) if method else made, case, arguments)

    plain = case.base | given
    before = observed(plain)
    assert observed(plain) == before
    assert observed(plain | {parameter: value}) != before


# ---- nothing is left out


def test_every_parameter_has_a_case() -> None:
    """A new parameter wants a line in a table: what it changes, or the test that shows it."""
    assert {name: set(row) for name, row in ELSEWHERE.items()} == {
        name: set(row) for name, row in without_case().items()
    }


def test_no_case_is_left_behind() -> None:
    """A parameter that is gone takes its case along."""
    assert {(name, each) for name, case in CASES.items() for each in case.changes} - set(everything()) == set()


def prove(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tool that takes parameters back."""
    tool = [sys.executable, str(ROOT / "tools" / "parameters.py"), *arguments]
    return subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.needs("fork")
def test_tests_elsewhere_notice() -> None:
    """Each test that the table names goes red when the argument is taken back."""
    done = prove()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("fork")
def test_a_test_that_does_not_notice_proves_nothing(tmp_path: Path) -> None:
    """The tool believes no table: a test that stays green without the argument, or does not give it, is named."""
    here = "test_effects_of_parameters.py::test_watched"
    table = tmp_path / "table.toml"
    rows = {"compute_ath": "access_token", "NonceStore": "max_origins", "normalize_htu": "url"}
    table.write_text("".join(f'["{name}"]\n{each} = "{here}"\n' for name, each in rows.items()), "utf-8")
    done = prove("--table", str(table))
    assert done.returncode == 1
    assert "1 of 3 parameters proven" in done.stdout
    assert done.stderr.splitlines() == [
        "not proven: sync.NonceStore(max_origins) by 1 tests",
        "not proven: sync.normalize_htu(url) by 0 tests",
    ]


def test_watched() -> None:
    """What the test before lets the tool watch: it looks at one of two parameters."""
    p.NonceStore(max_origins=3)
    assert p.compute_ath("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU") == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


def test_what_another_value_is() -> None:
    """An argument without a default becomes another one of its type; what was left out stays so."""

    def told(first: Any, second: int = 2, *more: Any, **named: Any) -> Any:
        return first, second, more, named

    given = (1, 3, 4)
    taken = {each: replaced(told, each)(*given, five=5) for each in ("first", "second", "more", "named")}
    assert taken == {
        "first": (2, 3, (4,), {"five": 5}),
        "second": (1, 2, (4,), {"five": 5}),
        "more": (1, 3, (), {"five": 5}),
        "named": (1, 3, (4,), {}),
    }
    values = (True, 1.5, "a", b"a", {"a": 1}, [1], ("a",))
    assert [another(each) for each in values] == [False, 2.5, "ax", b"ax", {}, [], ()]
    noted: list[int] = []
    for arguments in ((1,), (1, 2), (1, 3)):
        replaced(told, "second", note=lambda: noted.append(1))(*arguments)
    assert len(noted) == 1
