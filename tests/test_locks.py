"""The locks in ``requirements/``: what pyproject.toml asks for, pinned, hashed, and with no address in them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
#: Interpreters that a lock serves.
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SPEC = importlib.util.spec_from_file_location("lock", ROOT / "tools" / "lock.py")
assert SPEC is not None
assert SPEC.loader is not None
lock = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lock)

PROJECT, NATIVE = lock.read_project(), lock.read_project(ROOT / "native")
WANTED = lock.wanted(PROJECT, NATIVE)


def rows(text: str) -> list[str]:
    """Return the requirements of a lock, one line each, hashes included."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def pins(text: str) -> dict[str, list[Requirement]]:
    """Return the pins of a lock by package; one has several where interpreters differ."""
    found: dict[str, list[Requirement]] = {}
    for row in rows(text):
        requirement = Requirement(row.partition(" --hash")[0])
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def version_of(requirement: Requirement) -> str:
    """Return the version that a pin names."""
    [only] = requirement.specifier
    return only.version if only.operator == "==" else ""


def faults_of_form(text: str) -> list[str]:
    """Name every row that is not a version with hashes, and every address."""
    form = re.compile(r"[A-Za-z0-9._-]+==[0-9A-Za-z.!+]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    addresses = re.findall(r"https?:|(?<![\w-])--(?:extra-)?index|--find-links|\bfile:| @ ", text)
    return [f"address: {found}" for found in addresses] + [row[:60] for row in rows(text) if not form.fullmatch(row)]


def environment(python: str) -> dict[str, str]:
    """Return what markers see on this system with another Python."""
    # default_environment has "3.11.7" too; a lock may tell patch versions apart, an old one being the harder case.
    return {**default_environment(), "python_version": python, "python_full_version": f"{python}.9"}  # type: ignore[dict-item]


def faults_of_content(needs: list[str], text: str) -> list[str]:
    """Name every requirement that no pin satisfies, or more than one, on any interpreter."""
    locked, found = pins(text), []
    for need in map(Requirement, needs):
        for python in VERSIONS:
            here = environment(python)
            if need.marker is not None and not need.marker.evaluate(here):
                continue
            chosen = [
                pin
                for pin in locked.get(canonicalize_name(need.name), [])
                if pin.marker is None or pin.marker.evaluate(here)
            ]
            if len(chosen) != 1 or not need.specifier.contains(version_of(chosen[0]), prereleases=True):
                found.append(f"{need} on {python}: {[str(pin) for pin in chosen]}")
    return found


def text_of(purpose: str) -> str:
    """Return the lock of a purpose."""
    return (ROOT / "requirements" / f"{purpose}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("purpose", WANTED)
def test_a_lock_holds_what_the_project_asks_for(purpose: str) -> None:
    """Every dependency, extra and group that a purpose takes is pinned to a version within its bounds."""
    assert faults_of_content(WANTED[purpose], text_of(purpose)) == []


@pytest.mark.parametrize("purpose", WANTED)
def test_a_lock_names_versions_and_hashes_only(purpose: str) -> None:
    """Each row is a version with its hashes; no index, folder or file is named, so any mirror will do."""
    assert faults_of_form(text_of(purpose)) == []


def test_every_purpose_has_its_lock_and_no_other_lies_there() -> None:
    """What is no longer asked for leaves no file behind."""
    assert {path.stem for path in (ROOT / "requirements").iterdir()} == set(WANTED)


def test_every_extra_and_group_is_locked() -> None:
    """An extra or group that is new in pyproject.toml is in some lock, the extra that lies in this repository aside."""
    asked = {need for needs in WANTED.values() for need in needs}
    extras = PROJECT["project"]["optional-dependencies"]
    declared = {extra: set(needs) for extra, needs in extras.items() if extra != "native"}
    declared |= {group: set(lock.group_of(group, PROJECT)) for group in PROJECT["dependency-groups"]}
    assert {name: needs - asked for name, needs in declared.items() if needs - asked} == {}


def test_locks_agree() -> None:
    """A package has the same version in every lock, or tests and benchmark would speak of different programs."""
    seen: dict[tuple[str, str], set[str]] = {}
    for purpose in WANTED:
        for name, requirements in pins(text_of(purpose)).items():
            for python in VERSIONS:
                for pin in requirements:
                    if pin.marker is None or pin.marker.evaluate(environment(python)):
                        seen.setdefault((name, python), set()).add(version_of(pin))
    assert {key: versions for key, versions in seen.items() if len(versions) > 1} == {}


def test_a_lock_is_complete() -> None:
    """What an installed package of the lock needs is in the lock as well, within its bounds."""
    locked, missing, checked = pins(text_of("dev")), [], 0
    for distribution in importlib.metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        if distribution.version not in [version_of(pin) for pin in locked.get(name, [])]:
            continue
        checked += 1
        here = {**default_environment(), "extra": ""}
        needs = [
            need
            for need in map(Requirement, distribution.requires or [])
            if need.marker is None or need.marker.evaluate(here)  # type: ignore[arg-type]
        ]
        for need in needs:
            versions = [version_of(pin) for pin in locked.get(canonicalize_name(need.name), [])]
            if not any(need.specifier.contains(version, prereleases=True) for version in versions):
                missing.append(f"{name}: {need}")
    assert missing == []
    assert checked > 20


# ---- every gate trips


SMALL = "one==1.5 \\\n    --hash=sha256:{0}\ntwo==2.0 ; python_version < '3.12' \\\n    --hash=sha256:{0}\n".format(
    "0" * 64
)


@pytest.mark.parametrize(
    ("needs", "faults"),
    [
        (["one>=1.0", "two>=2; python_version < '3.12'"], 0),
        (["one>=2.0"], len(VERSIONS)),  # the bound was raised
        (["three"], len(VERSIONS)),  # a dependency was added
        (["two>=2"], 3),  # pinned for one interpreter, wanted on all
    ],
)
def test_a_lock_behind_the_project_is_noticed(needs: list[str], faults: int) -> None:
    """A raised bound, a new dependency and a marker that is gone each show."""
    assert len(faults_of_content(needs, SMALL)) == faults


@pytest.mark.parametrize(
    "change",
    [
        ("one==1.5", "one>=1.5"),
        ("one==1.5", "one @ https://example.com/one.whl"),
        ("    --hash=sha256:" + "0" * 64 + "\ntwo", "two"),
        ("sha256:0", "md5:0"),
        ("one==", "--index-url https://example.com/simple\none=="),
        ("one==", "--find-links /wheels\none=="),
    ],
)
def test_a_tampered_lock_is_noticed(change: tuple[str, str]) -> None:
    """A loose version, an address, a missing or weak hash and a named index each show."""
    assert faults_of_form(SMALL) == []
    tampered = SMALL.replace(*change, 1)
    assert tampered != SMALL
    assert faults_of_form(tampered) != []


def test_a_new_extra_is_asked_for_by_itself() -> None:
    """One line in pyproject.toml adds an extra: the lock of the developers takes it, and is then behind."""
    extras = {**PROJECT["project"]["optional-dependencies"], "fleet": ["fleet-client>=3"]}
    project: dict[str, Any] = {**PROJECT, "project": {**PROJECT["project"], "optional-dependencies": extras}}
    needs = lock.wanted(project, NATIVE)["dev"]
    assert "fleet-client>=3" in needs
    assert not any(need.startswith("py-identity-model-native") for need in needs)
    assert faults_of_content(needs, text_of("dev")) != []
