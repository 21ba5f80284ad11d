"""Write the locks: one file of ``requirements/`` per purpose, with versions and hashes, valid on every platform.

Usage: python tools/lock.py [--upgrade] [options of uv pip compile]

What goes into each file is said in pyproject.toml, ``[tool.locks]``. Versions that are locked stay as long as
pyproject.toml allows them; ``--upgrade`` takes the newest there are, ``--upgrade-package NAME`` those of one package.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
#: No address of an index gets into a file: whichever one the machine is set up for serves the same hashes.
OPTIONS = ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"]


def read_project(folder: Path = ROOT) -> dict[str, Any]:
    """Return what the pyproject.toml of *folder* says."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def extras_of(project: dict[str, Any]) -> list[str]:
    """Return the extras that an index can serve: all but those whose package lies in this repository."""
    here = tuple(project["tool"]["uv"]["sources"])
    extras = project["project"]["optional-dependencies"]
    return [extra for extra, needs in extras.items() if not any(need.startswith(here) for need in needs)]


def group_of(name: str, project: dict[str, Any]) -> list[str]:
    """Return the requirements of a dependency group, with those of the groups that it includes."""
    entries = project["dependency-groups"][name]
    return [
        need
        for entry in entries
        for need in ([entry] if isinstance(entry, str) else group_of(entry["include-group"], project))
    ]


def wanted(project: dict[str, Any], native: dict[str, Any]) -> dict[str, list[str]]:
    """Return the requirements of each purpose; a later one keeps the versions of those before it."""
    extras = project["project"]["optional-dependencies"]
    found = {}
    for purpose, told in project["tool"]["locks"].items():
        named = extras_of(project) if told.get("extras") == "all" else told.get("extras", [])
        own = project["project"]["dependencies"] if "extras" in told else []
        groups = [need for group in told.get("groups", []) for need in group_of(group, project)]
        found[purpose] = [*own, *(need for extra in named for need in extras[extra]), *groups]
    builds = [*project["build-system"]["requires"], *native["build-system"]["requires"]]
    return {**found, "build": builds, "bootstrap": [f"uv{project['tool']['uv']['required-version']}"]}


def main(options: list[str]) -> None:
    """Write all locks."""
    FOLDER.mkdir(exist_ok=True)
    project = read_project()
    oldest = project["project"]["requires-python"].removeprefix(">=")
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", *OPTIONS, "--python-version", oldest, "--quiet"]
    command += ["--custom-compile-command", "make lock", *options]
    constraints: list[str] = []
    for purpose, needs in wanted(project, read_project(ROOT / "native")).items():
        target = f"requirements/{purpose}.txt"
        done = subprocess.run(
            [*command, *constraints, "-o", target],
            input="\n".join(needs),
            cwd=ROOT,
            text=True,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            sys.exit(f"lock: {target} cannot be written; see above")
        constraints += ["--constraint", target]


if __name__ == "__main__":
    main(sys.argv[1:])
