"""Style, types and documentation as gates; each is also shown to trip on a file that breaks it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TIMED = 300
#: A file that mypy strict, pyright and ruff each refuse.
BROKEN = "import os\n\n\ndef add(a, b: int) -> str:\n    return b + 1\n"


def call(*command: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool of the environment and return what it said."""
    told = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", **(env or {})}
    parts = [sys.executable, "-m", *command]
    return subprocess.run(parts, cwd=cwd, env=told, capture_output=True, text=True, timeout=TIMED, check=False)


def passed(done: subprocess.CompletedProcess[str]) -> None:
    """Fail with the tool's own words unless it was content."""
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"


def test_ruff_finds_nothing() -> None:
    """The linter has no complaint."""
    passed(call("ruff", "check", "--no-cache"))


def test_the_code_is_formatted() -> None:
    """The formatter would change nothing."""
    passed(call("ruff", "format", "--check", "--no-cache"))


def test_mypy_strict_is_clean() -> None:
    """mypy in strict mode has no complaint."""
    passed(call("mypy"))


def test_pyright_is_clean() -> None:
    """pyright has no complaint."""
    passed(call("pyright", "--pythonpath", sys.executable))


@pytest.mark.parametrize(
    "tool",
    [("ruff", "check", "--no-cache"), ("ruff", "format", "--check", "--no-cache"), ("mypy", "--strict"), ("pyright",)],
)
def test_the_tools_trip(tool: tuple[str, ...], tmp_path: Path) -> None:
    """Each tool refuses a broken file; a tool that lets it pass is not looking."""
    broken = tmp_path / "broken.py"
    broken.write_text(BROKEN.replace("a, b", "a,  b"), encoding="utf-8")
    done = call(*tool, str(broken), cwd=tmp_path)
    assert done.returncode == 1
    assert "broken.py" in done.stdout


def test_the_documentation_gate_trips(tmp_path: Path) -> None:
    """A link to nowhere fails the build."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("paths: [src]", f"paths: ['{ROOT / 'src'}']")
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    for reference in (tmp_path / "docs" / "reference").rglob("api*/*.md"):  # they take longest to build
        reference.write_text(f"# {reference.stem}\n", encoding="utf-8")
    (tmp_path / "docs" / "reference" / "api.md").write_text("# API\n", encoding="utf-8")
    page = tmp_path / "docs" / "performance.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[nowhere](nowhere.md)\n", encoding="utf-8")
    done = call("mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site"), cwd=tmp_path)
    assert done.returncode != 0
    assert "1 warning" in done.stdout + done.stderr
    assert "nowhere.md" in done.stdout + done.stderr


def test_the_library_needs_three_packages() -> None:
    """A plain install brings the HTTP client, the cryptography and the JSON decoder, and nothing else of ours."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(need.partition(">=")[0] for need in project["dependencies"]) == ["cryptography", "httpx2", "msgspec"]
    assert all("<" not in need and "==" not in need for need in project["dependencies"])


def commands_of(page: Path) -> set[str]:
    """Return the targets that a page tells its reader to make."""
    text = page.read_text(encoding="utf-8")
    lines = [line.split("#")[0].removeprefix("make ") for line in text.splitlines() if line.startswith("make ")]
    return {word for line in lines for word in line.split()} | set(re.findall(r"`make ([a-z-]+)", text))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/contributing/index.md"])
def test_every_target_that_a_page_cites_can_be_made(page: str) -> None:
    """make knows what to do for each command of the page, though it is not done here."""
    targets = sorted(commands_of(ROOT / page))
    assert "test" in targets
    done = subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_gives_two_commands() -> None:
    """A newcomer needs the demo and the tests, and no third command."""
    assert commands_of(ROOT / "README.md") == {"demo", "test"}


@pytest.mark.parametrize("missing", [[], ["redis-server", "chromium"]])
def test_ci_installs_what_is_missing_and_calls_the_command_of_the_readme(tmp_path: Path, missing: list[str]) -> None:
    """The CI script asks apt for exactly what is not there; then make test, with CI=true, has the last word."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    here = tmp_path / "bin"
    here.mkdir()
    told = tmp_path / "told"
    answers = {"make": f'echo "make $* CI=$CI" >> {told}; exit 3', "apt-get": f'echo "apt-get $*" >> {told}'}
    here_already = "git cargo cc cmake openssl redis-server valkey-server promtool chromium python3"
    programs = set(here_already.split()) - set(missing)
    for name in {*programs, *answers}:
        (here / name).write_text(f"#!/bin/sh\n{answers.get(name, ':')}\n", encoding="utf-8")
        (here / name).chmod(0o755)
    for name in ("bash", "sh", "dirname", "timeout"):
        (here / name).symlink_to(shutil.which(name) or "")
    env = {"PATH": str(here), "HOME": str(tmp_path)}
    done = subprocess.run(
        [here / "bash", ".ci/run"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    lines = told.read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "make test CI=true"
    assert done.returncode == 3
    wanted = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    assert lines[:-1] == (["apt-get update", wanted] if missing else [])
