"""Make the project's virtual environment: python3 -m venv, uv inside it, then the locked packages.

Usage: python3 tools/bootstrap.py [uv sync options]

Needs Python 3.11 or newer with venv, and whatever package index pip and uv are configured for. The environment is
moved to no other place and shared with nobody: ``.venv`` beside this folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)


def say(text: str) -> None:
    """Tell the user what happens; data goes to stdout, words to stderr."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def python_of(venv: Path) -> Path:
    """Return the interpreter inside *venv*."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_usable(venv: Path) -> bool:
    """Tell whether *venv* has an interpreter that starts, is new enough and has pip."""
    python = python_of(venv)
    probe = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    return python.exists() and subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


def make_venv(venv: Path) -> None:
    """Create *venv*, or leave a usable one alone."""
    if is_usable(venv):
        return
    say(f"creating {venv.name} with Python {sys.version.split()[0]}")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=False)
    if done.returncode:
        sys.exit("bootstrap: python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv")


def uv_requirement() -> str:
    """Return the pinned lower bound of uv, read from where uv itself reads it."""
    import tomllib  # the version check has run by now: older interpreters lack it

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    return f"uv{settings['required-version']}"


def sync_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of uv: this project's venv, this Python, and a cache even where there is no home."""
    env = {**base, "UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never"}
    env.pop("VIRTUAL_ENV", None)  # another active environment is none of ours
    if not {"HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR"} & base.keys():
        env["UV_CACHE_DIR"] = str(VENV / "uv-cache")
    return env


def main(options: list[str]) -> int:
    """Set everything up; *options* go to ``uv sync``."""
    if sys.version_info < OLDEST:
        sys.exit(f"bootstrap: Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {sys.version.split()[0]}")
    make_venv(VENV)
    python, env = python_of(VENV), sync_environment(os.environ)
    say("installing uv")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", uv_requirement()]
    if subprocess.run(pip, env=env, check=False).returncode:
        sys.exit("bootstrap: pip could not install uv; see pip's words above")
    say(f"installing the locked packages ({' '.join(options) or 'library only'})")
    # --inexact: what other targets have put there (the native engine) stays.
    sync = [python, "-m", "uv", "sync", "--locked", "--inexact", "--quiet", "--python", python, *options]
    return subprocess.run(sync, env=env, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
