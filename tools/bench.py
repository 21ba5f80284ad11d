"""Run the benchmark in an environment of its own: ``.venv-bench/``, one per interpreter.

Usage: python tools/bench.py [--python PATH] [options of bench]

Some candidates need Python 3.12 or newer: ``--python`` names another interpreter than the running one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import bootstrap
import native

ROOT = Path(__file__).resolve().parent.parent
UV = [sys.executable, "-m", "uv"]
#: The version of this library that was published last; it needs Python 3.12.
PUBLISHED = "py-identity-model==4.1.1"


def version_of(python: str) -> tuple[int, int, int]:
    """Return the version of an interpreter."""
    probe = "import sys; print(*sys.version_info[:3])"
    done = subprocess.run([python, "-c", probe], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: {python} does not run")
    major, minor, patch = map(int, done.stdout.split())
    return major, minor, patch


def prepare(python: str) -> Path:
    """Make the environment for *python*, if need be, and return its interpreter."""
    version = version_of(python)
    venv = ROOT / ".venv-bench" / "cp{}.{}.{}".format(*version)
    inside = bootstrap.python_of(venv)
    if not inside.exists() and bootstrap.run(*UV, "venv", "--quiet", "--python", python, venv):
        sys.exit("bench: the environment could not be made; see above")
    if bootstrap.install_lock(UV, inside, "bench") or bootstrap.install_source(UV, inside, "-e", "."):
        sys.exit("bench: the environment could not be filled; see above")
    if shutil.which("cargo") is not None:
        install_native(venv, inside)
    published = venv / "published"
    if version >= (3, 12) and not published.is_dir():
        # Beside the environment, not in it: its name is taken by this project.
        options = ["--quiet", "--no-deps", "--python", inside, "--target", published]
        bootstrap.run(*UV, "pip", "install", *options, PUBLISHED)
    return inside


def install_native(venv: Path, inside: Path) -> None:
    """Build the native engine into the environment unless that exact source is there already."""
    stamp, now = venv / ".native", native.fingerprint()
    if stamp.exists() and stamp.read_text(encoding="ascii") == now:
        return
    if native.build(inside):
        print("bench: the native engine does not build here, only the pure one is measured", file=sys.stderr)
    else:
        stamp.write_text(now, encoding="ascii")


def main(options: list[str]) -> int:
    """Prepare and measure."""
    python = sys.executable
    if "--python" in options:
        at = options.index("--python")
        python = options[at + 1]
        options = options[:at] + options[at + 2 :]
    return bootstrap.run(prepare(python), "-m", "bench", *options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
