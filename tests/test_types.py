"""What type checkers see of the library: nothing that is missing, nothing without a public name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from public_types import homeless, public_names

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
TIMED = 300


def call(*command: str, source: Path = SOURCE, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a type checker, which finds the package below *source*."""
    told = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONPATH": str(source)}
    parts = [sys.executable, "-m", *command]
    return subprocess.run(parts, cwd=cwd, env=told, capture_output=True, text=True, timeout=TIMED, check=False)


# ---- complete


def completeness(source: Path) -> subprocess.CompletedProcess[str]:
    """Have pyright look at every public symbol; it exits with an error unless all types are known."""
    # What other packages leave open is theirs.
    return call("pyright", "--verifytypes", "py_identity_model", "--ignoreexternal", source=source)


def test_every_public_type_is_known() -> None:
    """All symbols of the public modules have a type that every checker sees alike."""
    done = completeness(SOURCE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Type completeness score: 100%" in done.stdout


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("exceptions", 'part: str | None = "signature"', 'part = "signature"'),
        ("sync/_revocation", "-> TokenRevocationResponse", ""),
    ],
)
def test_the_gate_of_completeness_trips(module: str, old: str, new: str, tmp_path: Path) -> None:
    """One attribute or one result without a type is noticed."""
    shutil.copytree(SOURCE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "py_identity_model" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = completeness(tmp_path)
    assert done.returncode == 1
    assert "Type completeness score: 100%" not in done.stdout


# ---- by public names


def test_every_type_of_a_public_signature_has_a_public_name() -> None:
    """Whatever a caller passes, gets or reads can be annotated with a name that a public module exports."""
    assert homeless(public_names()) == {}


def test_the_gate_of_public_names_trips() -> None:
    """A type that is taken off the list is named, with a place where it stands."""
    public = public_names()
    del public["Kind"], public["Request"]
    found = homeless(public)
    assert {name.rpartition(".")[2] for name in found} == {"Kind", "Request"}
    assert "TokenValidator.__init__(kind)" in found.values()
