"""Run the tests on other dependency versions than the locked ones, and on another interpreter where one is named.

Usage: python tools/against.py lowest|newest [--python PATH] [--web] [pytest options]

``lowest`` takes the lower bounds that pyproject.toml promises for the library and its extras; ``newest`` takes
whatever the index has. With ``--web`` the frameworks and servers of the group of that name are taken so, and the tests
are those of their doors. Each has an environment of its own, and so has each interpreter: the locked one stays.
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


def compile_constraints(resolution: str, python: Path, target: Path, extras: list[str], web: bool) -> None:
    """Write the versions of the library's own dependencies under *resolution* for *python* to *target*."""
    chosen = [word for extra in extras for word in ("--extra", extra)] + (["--group", "web"] if web else [])
    options = ["--quiet", "--upgrade", "--no-header", "--no-annotate", "--resolution", resolution, *chosen]
    run(*UV, "pip", "compile", "pyproject.toml", *options, "--python", python, "-o", target)


def split(options: list[str]) -> tuple[str | None, bool, list[str]]:
    """Return the interpreter that *options* begin with, whether it is about frameworks, and what is left for pytest."""
    interpreter = None
    if options[:1] == ["--python"]:
        if len(options) < 2:
            sys.exit(__doc__)
        interpreter, options = options[1], options[2:]
    web = options[:1] == ["--web"]
    return interpreter, web, options[1:] if web else options


def tests(web: bool) -> list[str]:
    """Return what pytest is told to run."""
    if not web:
        return ["--ignore", "tests/test_quality.py"]
    doors = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").glob("test_door*.py"))
    # MCP's own packages want newer frameworks than our lowest; old frameworks warn of what they do themselves.
    return ["-W", "default", *(str(path) for path in doors if path.name != "test_door_mcp.py")]


def main(which: str, options: list[str]) -> None:
    """Make the environment for *which* and run pytest in it."""
    interpreter, web, options = split(options)
    named = (which, *(["web"] if web else []), *([] if interpreter is None else [Path(interpreter).name]))
    venv = ROOT / f".venv-{'-'.join(named)}"
    python = venv / "bin" / "python"
    if not python.exists():
        run(*UV, "venv", "--quiet", "--python", interpreter or sys.executable, venv)
    constraints = venv / "constraints.txt"
    extras = lock.extras_of(lock.read_project())
    compile_constraints({"lowest": "lowest-direct", "newest": "highest"}[which], python, constraints, extras, web)
    install = [*UV, "pip", "install", "--quiet", "--upgrade", "--python", python, "--constraint", constraints]
    run(*install, "-e", f".[{','.join(extras)}]", "--group", "test", *(["--group", "web"] if web else []))
    if not web and bootstrap.run(*install, "--group", "distributed"):
        bootstrap.say("no clusters for this interpreter; the table at the end of the tests says what that means")
    run(*UV, "pip", "list", "--python", python)
    run(python, "-m", "pytest", *tests(web), *options)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("lowest", "newest"):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
