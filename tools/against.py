"""Run the tests on other dependency versions than the locked ones, and on another interpreter where one is named.

Usage: python tools/against.py lowest|newest [--python PATH] [pytest options]

``lowest`` takes the lower bounds that pyproject.toml promises for the library and its extras; ``newest`` takes
whatever the index has. Each has an environment of its own, and so has each interpreter: the locked one stays as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bootstrap
import lock

ROOT = Path(__file__).resolve().parent.parent
UV = [sys.executable, "-m", "uv"]


def run(*command: object) -> None:
    """Run *command* in the project's folder; leave with its exit code if it fails."""
    if code := bootstrap.run(*command):
        sys.exit(code)


def compile_constraints(resolution: str, python: Path, target: Path, extras: list[str]) -> None:
    """Write the versions of the library's own dependencies under *resolution* for *python* to *target*."""
    chosen = [word for extra in extras for word in ("--extra", extra)]
    options = ["--quiet", "--upgrade", "--no-header", "--no-annotate", "--resolution", resolution, *chosen]
    run(*UV, "pip", "compile", "pyproject.toml", *options, "--python", python, "-o", target)


def split(options: list[str]) -> tuple[str | None, list[str]]:
    """Return the interpreter that *options* begin with, None for the running one, and what is left for pytest."""
    if options[:1] != ["--python"]:
        return None, options
    if len(options) < 2:
        sys.exit(__doc__)
    return options[1], options[2:]


def main(which: str, options: list[str]) -> None:
    """Make the environment for *which* and run pytest in it."""
    interpreter, options = split(options)
    venv = ROOT / (f".venv-{which}" if interpreter is None else f".venv-{which}-{Path(interpreter).name}")
    python = venv / "bin" / "python"
    if not python.exists():
        run(*UV, "venv", "--quiet", "--python", interpreter or sys.executable, venv)
    constraints = venv / "constraints.txt"
    extras = lock.extras_of(lock.read_project())
    compile_constraints({"lowest": "lowest-direct", "newest": "highest"}[which], python, constraints, extras)
    install = [*UV, "pip", "install", "--quiet", "--upgrade", "--python", python, "--constraint", constraints]
    run(*install, "-e", f".[{','.join(extras)}]", "--group", "test")
    if bootstrap.run(*install, "--group", "distributed"):
        bootstrap.say("no clusters for this interpreter; the table at the end of the tests says what that means")
    run(*UV, "pip", "list", "--python", python)
    run(python, "-m", "pytest", "--ignore", "tests/test_quality.py", *options)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("lowest", "newest"):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
