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
    passed(call("pyright"))


def test_the_documentation_builds_without_warnings(tmp_path: Path) -> None:
    """The site builds, and a warning would be an error."""
    # Not with --quiet: it hides the warnings from --strict too, and then nothing fails.
    passed(call("mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")))
    assert (tmp_path / "site" / "index.html").exists()


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
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("paths: [src]", f"paths: ['{ROOT / 'src'}']")
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    (tmp_path / "docs" / "reference" / "api.md").write_text("# API\n", encoding="utf-8")  # it takes longest to build
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


def test_the_two_commands_of_the_readme_exist_and_ci_calls_the_second() -> None:
    """README names the demo first and the tests second, both are targets, and CI ends with the second."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [line.split("#")[0].strip() for line in readme.splitlines() if line.startswith("make ")]
    assert commands == ["make demo", "make test"]
    assert all(f"\n{command.removeprefix('make ')}:" in makefile for command in commands)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()
    assert re.fullmatch(
        rf"exec timeout [-=\w ]+ {commands[1]}", ci[-1]
    )  # the very command, and an end to whatever hangs


def test_contributing_cites_only_targets_that_exist() -> None:
    """Every command that the contributing pages cite is a target."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "contributing" / "index.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    cited = {word for line in text.splitlines() for word in _targets(line)}
    assert {"test", "demo", "mutation"} <= cited
    assert {target for target in cited if f"\n{target}:" not in makefile} == set()


def _targets(line: str) -> list[str]:
    if line.startswith("make "):
        return line.split("#")[0].split()[1:]
    return re.findall(r"`make ([a-z-]+)", line)
