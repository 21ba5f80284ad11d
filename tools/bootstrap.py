"""Make the project's virtual environment: python3 -m venv, uv inside it, the locked packages, then the project.

Usage: python3 tools/bootstrap.py LOCK... [--optional LOCK]

A LOCK is the name of a file in requirements/. Everything is checked against the hashes there, so any package index
will do that pip and uv are configured for. What is optional may fail, as it does where an interpreter has no build of
it. Needs Python 3.11 or newer with venv. The environment is moved to no other place and shared with nobody.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = ROOT / "requirements"
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


def uv_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of uv: this Python, no other active environment, a cache even where there is no home."""
    env = {**base, "UV_PYTHON_DOWNLOADS": "never"}
    env.pop("VIRTUAL_ENV", None)  # another active environment is none of ours
    if not {"HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR"} & base.keys():
        env["UV_CACHE_DIR"] = str(VENV / "uv-cache")
    return env


def run(*command: object) -> int:
    """Run *command* in the project's folder and return its exit code."""
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=uv_environment(os.environ), check=False
    ).returncode


def install_uv(python: Path) -> int:
    """Install the locked uv with pip."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    return run(python, "-m", "pip", "install", *quiet, "-r", LOCKS / "bootstrap.txt")


def install_lock(uv: list[str], python: Path, name: str) -> int:
    """Install what one lock names, with the uv that *uv* starts, into the environment of *python*."""
    return run(*uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", LOCKS / f"{name}.txt")


def install_source(uv: list[str], python: Path, *options: object) -> int:
    """Install from a folder without dependencies, built by the locked tools: ``-e .`` or a path."""
    quiet = ["--quiet", "--no-deps", "--build-constraints", LOCKS / "build.txt"]
    return run(*uv, "pip", "install", *quiet, "--python", python, *options)


def main(options: list[str]) -> int:
    """Set everything up; *options* name the locks."""
    if sys.version_info < OLDEST:
        sys.exit(f"bootstrap: Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {sys.version.split()[0]}")
    at = options.index("--optional") if "--optional" in options else len(options)
    make_venv(VENV)
    python = python_of(VENV)
    uv = [str(python), "-m", "uv"]
    say("installing uv")
    if install_uv(python):
        sys.exit("bootstrap: pip could not install uv; see pip's words above")
    for name in options[:at]:
        say(f"installing the locked packages: {name}")
        if code := install_lock(uv, python, name):
            return code
    for name in options[at + 1 :]:
        say(f"installing the locked packages: {name}, where this interpreter has builds of them")
        if install_lock(uv, python, name):
            say(f"{name} was left out; the table at the end of the tests says what that means")
    return install_source(uv, python, "-e", ".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
