"""What tests need beside Python: is it here, how to get it, and the table at the end that says what was left out.

A test says ``@pytest.mark.needs("Ray")``; where that part is missing it is left out, counted, and summed up in one line
with the remedy. With ``CI=true`` nothing may be left out, but for what has no build for the running interpreter.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

#: Where the published vectors lie, if they do: beside the checkout.
VECTORS = Path(__file__).resolve().parent.parent.parent / "shared" / "vectors"
#: A performance guide that programs of users were written after; it lies there as well.
GUIDE = VECTORS.parent / "reference" / "guide.md"
OLDEST_NODE = (20, 19)
#: The MCP conformance runner uses what came with it.
RUNNER_NODE = (22, 0)


#: Both engines, as parameters; the second wants to be installed.
ENGINES = ("pure", pytest.param("native", marks=pytest.mark.needs("native engine")))


@dataclass(frozen=True)
class Part:
    """Something that a test may need: why it is not here ("" if it is), how to get it, and why it cannot be had."""

    missing: Callable[[], str]
    remedy: str
    excuse: Callable[[], str] = str


def module(name: str) -> Callable[[], str]:
    """Return a function that says whether a package is missing."""
    return lambda: "" if importlib.util.find_spec(name) else f"{name} is not installed"


def program(name: str) -> Callable[[], str]:
    """Return a function that says whether a program is missing."""
    return lambda: "" if shutil.which(name) else f"{name} is not installed"


def folder(path: Path) -> Callable[[], str]:
    """Return a function that says whether a file or folder is missing."""
    return lambda: "" if path.exists() else f"no {'/'.join(path.parts[-2:])} beside this checkout"


def node(oldest: tuple[int, int] = OLDEST_NODE) -> str:
    """Tell why packages of Node cannot be started: by default the end-to-end provider."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            return f"{name} is not installed"
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30, check=False)
    version = tuple(int(part) for part in done.stdout.strip().lstrip("v").split(".")[:2] if part.isdigit())
    wanted = ".".join(map(str, oldest))
    return "" if version >= oldest else f"Node {wanted} or newer is wanted, this is {done.stdout.strip()}"


def no_build() -> str:
    """Tell why packages with compiled parts may have no build for this interpreter."""
    return "no build for a free-threaded interpreter" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""


def no_lanes() -> str:
    """Tell why no eight signatures are verified at once here."""
    try:
        found = getattr(importlib.import_module("py_identity_model_native"), "MULTIBUFFER", False)
    except ImportError:
        return "py_identity_model_native is not installed"
    return "" if found else "the native engine was built without crypto_mb, or the processor lacks AVX-512 IFMA"


def no_ifma() -> str:
    """Tell why there can be no such lanes here."""
    facts = Path("/proc/cpuinfo")
    known = facts.read_text(encoding="utf-8", errors="replace") if facts.exists() else ""
    return "" if "avx512ifma" in known else "this processor has no AVX-512 IFMA"


LOCKED = "python3 tools/bootstrap.py dev distributed"
BESIDE = "lay the published folder beside this checkout"
PARTS = {
    "native engine": Part(
        module("py_identity_model_native"),
        "install cargo 1.85 or newer (Debian 12: apt-get install cargo-web rustc-web), then `make native`",
    ),
    "eight lanes": Part(no_lanes, "`make native` on Linux on x86-64", no_ifma),
    "Node provider": Part(node, "`make test` brings Node; npm then needs a registry that it can reach"),
    "MCP conformance runner": Part(
        lambda: node(RUNNER_NODE), "`make test` brings Node 22; npm then needs a registry that it can reach"
    ),
    "Redis": Part(program("redis-server"), "apt-get install redis-server"),
    "Valkey": Part(program("valkey-server"), "apt-get install valkey-server; Debian 12 has it in its backports"),
    "Prometheus": Part(program("promtool"), "apt-get install prometheus"),
    "Chromium": Part(program("chromium"), "apt-get install chromium"),
    "Playwright": Part(module("playwright"), "python3 tools/bootstrap.py dev", no_build),
    "Ray": Part(module("ray"), LOCKED, no_build),
    "pandas": Part(module("pandas"), LOCKED, no_build),
    "NumPy": Part(module("numpy"), LOCKED, no_build),
    "pyarrow": Part(module("pyarrow"), LOCKED, no_build),
    "documentation tools": Part(module("griffe"), "`make docs` installs them"),
    "published vectors": Part(folder(VECTORS), BESIDE),
    "published guide": Part(folder(GUIDE), BESIDE),
    "fork": Part(lambda: "" if hasattr(os, "fork") else "this system does not fork", "none here", lambda: "no fork"),
}
#: Fixtures that say by themselves what a test needs.
IMPLIED = {"vectors": "published vectors", "site": "documentation tools"}

CI = "CI"
_reason = re.compile(r"(?:Skipped: )?\[(?P<part>[^]]+)\] (?P<why>.*)", re.DOTALL)


def leave_out(part: str, why: str) -> NoReturn:
    """Leave the running test out, for a part that proved to be missing only when it was started."""
    pytest.skip(f"[{part}] {why}")


@dataclass
class Tally:
    """How many tests of each part ran, and which were left out, by part or by other reasons."""

    ran: Counter[str] = field(default_factory=Counter)
    left: Counter[tuple[str, str]] = field(default_factory=Counter)
    modules: set[str] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)

    def take(self, report: pytest.TestReport) -> None:
        """Count one test; setup and teardown of a test that ran do not count."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.left[self.reason(report)] += 1
        elif report.when == "call":
            self.ran["all"] += 1
            self.ran.update(str(name) for key, name in report.user_properties if key == "part")

    def take_module(self, report: pytest.CollectReport) -> None:
        """Count a module that left itself out; each worker tells it once."""
        if report.skipped and report.nodeid not in self.modules:
            self.modules.add(report.nodeid)
            self.left[self.reason(report)] += 1

    @staticmethod
    def reason(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str]:
        """Return the part that was missing, "" for another reason, and the words."""
        words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found = _reason.match(words)
        return (found["part"], found["why"]) if found else ("", words.removeprefix("Skipped: "))

    def unexcused(self) -> list[tuple[str, str]]:
        """Return what was left out without a build that could have been had."""
        return [key for key in self.left if not (key[0] and PARTS[key[0]].excuse())]

    def lines(self) -> list[str]:
        """Return the table, for parts that some test of this run needed."""
        names = [name for name in PARTS if self.ran[name] or any(part == name for part, _ in self.left)]
        rows = [f"{self.ran['all']:6,} tests ran in {time.monotonic() - self.started:.0f} s"]
        rows += [f"{self.ran[name]:6,} of them with: {name}" for name in names if self.ran[name]]
        for (part, why), count in sorted(self.left.items()):
            excuse = part and PARTS[part].excuse()
            end = f" ({excuse})" if excuse else f"; to get it: {PARTS[part].remedy}" if part else ""
            rows.append(f"{count:6,} left out{f', {part}' if part else ''}: {why}{end}")
        return rows


# ---- hooks of pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and begin to count."""
    config.addinivalue_line("markers", "needs(*parts): what the test needs beside Python; see tests/parts.py")
    if not hasattr(config, "workerinput"):  # a worker's reports are counted where they arrive
        config.pluginmanager.register(Counting(Tally()), "parts-counting")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note on each test what it needs, and leave it out where that is missing."""
    absent: dict[str, str] = {}
    for item in items:
        needed = {str(name) for mark in item.iter_markers("needs") for name in mark.args}
        needed |= {IMPLIED[name] for name in getattr(item, "fixturenames", ()) if name in IMPLIED}
        for name in sorted(needed):
            if name not in PARTS:
                raise pytest.UsageError(f"{item.nodeid} needs {name!r}, which tests/parts.py does not know")
            if name not in absent:
                absent[name] = PARTS[name].missing()
            item.user_properties.append(("part", name))
            if absent[name]:
                item.add_marker(pytest.mark.skip(reason=f"[{name}] {absent[name]}"), append=False)


class Counting:
    """Counts the reports; with workers, those that arrive at the process that started them."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test."""
        self.tally.take(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a module."""
        self.tally.take_module(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail in CI if anything was left out."""
        if os.environ.get(CI) == "true" and self.tally.unexcused() and session.exitstatus in (0, 5):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, unless nothing but Python was needed."""
        if not self.tally.ran.keys() - {"all"} and not self.tally.left:
            return
        terminalreporter.section("what ran, and what did not")
        for line in self.tally.lines():
            terminalreporter.line(line)
        if os.environ.get(CI) == "true" and self.tally.unexcused():
            terminalreporter.line("CI=true: nothing may be left out, so this run has failed", red=True)
