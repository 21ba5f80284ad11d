"""Prove that tests notice a parameter: take it back behind their back, and expect them to go red: ``make parameters``.

Usage: python tools/parameters.py [--table FILE] [--find] [FILE...]

tests/effects_elsewhere.toml names, for each parameter of a public callable that has no case in tests/effects_of_*.py,
the test that shows what it does. For each of them, and each API that has a callable of its own, that test runs in a
forked process in which the callable gets another argument there: its default, or, where it has none, another value of
the same type. A test that stays green proves nothing, nor does one that is red anyway, or that crashes over the value.
``--find`` looks through the files for a test of each parameter that has neither case nor row, and adds the rows; rows
that nobody needs go. Exit code 1: a parameter is not proven.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - before trio, or it warns
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from effects import DOORS  # noqa: E402 - found by the line before
from effects_of_everything import without_case  # noqa: E402
from effects_undone import replace, replaced  # noqa: E402

#: Seconds for the tests of one parameter; those that hang prove nothing.
PATIENCE = 60.0
COMMENT = """\
# Parameters of public callables without a case in tests/effects_of_*.py, and for each the test that goes red when the
# argument is taken back. Rows are added by `make parameters ARGS="--find FILE..."`."""
Table = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a public callable of one API (*door*), and the tests that shall notice it; none for any."""

    name: str
    parameter: str
    door: str
    tests: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.door}.{self.name}({self.parameter})"

    def replace(self, **how: Any) -> None:
        """Replace the callable by one that takes the parameter back, or notes that it is given."""
        replace(DOORS[self.door], self.name, functools.partial(replaced, parameter=self.parameter, **how))


# ---- processes


def forked(work: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return what *work* comes to in a process of its own, None if it does not end in time."""
    with tempfile.NamedTemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            try:
                Path(answer.name).write_text(json.dumps(work()), encoding="utf-8")
            except BaseException:  # whatever it is, it is told here and not by the copy of the parent
                traceback.print_exc()
            finally:
                os._exit(0)
        end = time.monotonic() + patience
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None
            time.sleep(0.002)
        return json.loads(Path(answer.name).read_text(encoding="utf-8") or "null")


class Prover:
    """A plugin that runs the collected tests many times, each time in a fork and with one parameter taken back."""

    def __init__(self, asked: list[Parameter]) -> None:
        self.asked = asked
        self.proofs: dict[Parameter, str] = {}
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what became of a test."""
        self.reports.append(report)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Prove everything in place of running everything."""
        gc.freeze()
        given = forked(functools.partial(self.given, session.items), 3600.0) or {}
        for each in self.asked:
            seconds = given.get(str(each), {})
            fit = [i for i in session.items if not each.tests or i.nodeid.partition("[")[0] in each.tests]
            items = sorted((i for i in fit if i.nodeid in seconds), key=lambda item: seconds[item.nodeid])
            red = forked(functools.partial(self.first_red, items, each)) if items else None
            if red:
                self.proofs[each] = red
            else:
                print(f"not proven: {each} by {len(items)} tests", file=sys.stderr, flush=True)
        return True

    def run(self, items: list[pytest.Item]) -> Iterator[tuple[str, bool, float]]:
        """Run tests; yield for each whether it passed, and how long it took."""
        for item, following in zip(items, [*items[1:], None], strict=True):
            self.reports.clear()
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            failed = any(report.failed for report in self.reports)
            yield item.nodeid, not failed, sum(report.duration for report in self.reports)

    def given(self, items: list[pytest.Item]) -> dict[str, dict[str, float]]:
        """Return for each parameter the good tests in which it is given, and how long they take."""
        now: set[str] = set()
        for each in self.asked:
            each.replace(note=functools.partial(now.add, str(each)))
        found: dict[str, dict[str, float]] = {str(each): {} for each in self.asked}
        for test, passed, seconds in self.run(items):
            for parameter in now if passed else ():
                found[parameter][test] = seconds
            now.clear()
        return found

    def first_red(self, items: list[pytest.Item], taken: Parameter) -> str | None:
        """Return the first test that notices; one that only misses the refusal of a bad value, if there is no other."""
        taken.replace()
        refused = None
        for test, passed, _ in self.run(items):
            if passed or self.failed_by("TypeError", "AttributeError"):  # a value of no use shows nothing
                continue
            if not self.failed_by("Failed: DID NOT RAISE"):
                return test
            refused = refused or test
        return refused

    def failed_by(self, *reasons: str) -> bool:
        """Tell whether the last test failed so."""
        crashes = [getattr(report.longrepr, "reprcrash", None) for report in self.reports if report.failed]
        return any(crash is not None and crash.message.startswith(reasons) for crash in crashes)


# ---- the table


def asked_of(table: Table) -> Iterator[Parameter]:
    """Yield what the table says, for each API that has a callable of its own."""
    for name, row in table.items():
        owner = name.partition(".")[0]
        for door, module in DOORS.items():
            if door == "sync" or getattr(module, owner) is not getattr(DOORS["sync"], owner):
                for parameter, tests in row.items():
                    yield Parameter(name, parameter, door, tuple(f"tests/{test}" for test in tests.split()))


def table_of(proofs: dict[Parameter, str]) -> Table:
    """Return a table of the tests that proved something."""
    table: Table = {}
    for each, test in proofs.items():
        row = table.setdefault(each.name, {})
        known = row.get(each.parameter, "").split()
        row[each.parameter] = " ".join(dict.fromkeys([*known, test.partition("[")[0].removeprefix("tests/")]))
    return table


def written(table: Table) -> str:
    """Return a table as TOML."""
    rows = [COMMENT]
    for name, row in sorted((name, row) for name, row in table.items() if row):
        rows += ["", f'["{name}"]', *(f'{parameter} = "{tests}"' for parameter, tests in row.items())]
    return "\n".join([*rows, ""])


def main(arguments: list[str]) -> int:
    """Prove what the table says, or find out what it may say."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--table", type=Path, default=ROOT / "tests" / "effects_elsewhere.toml", metavar="FILE")
    parser.add_argument("--find", action="store_true", help="look for tests, and add rows")
    parser.add_argument("files", nargs="*", metavar="FILE", help="where to look")
    options = parser.parse_args(arguments)
    table: Table = tomllib.loads(options.table.read_text(encoding="utf-8"))
    asked = table
    if options.find:
        wanted = without_case()
        table = {name: {each: row[each] for each in row if each in wanted.get(name, ())} for name, row in table.items()}
        asked = {name: {each: "" for each in row if each not in table.get(name, {})} for name, row in wanted.items()}
    named = sorted({f"tests/{test}" for row in asked.values() for tests in row.values() for test in tests.split()})
    prover = Prover(list(asked_of(asked)))
    # Each of the forks would look for the source of its failures, and for the plugins of packages, all by itself.
    bare = [
        "-q",
        "-s",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:faker",
        "--tb=native",
        "--assert=plain",
        f"--rootdir={ROOT}",
    ]
    pytest.main([*bare, *(options.files or named)], plugins=[prover])
    print(f"{len(prover.proofs)} of {len(prover.asked)} parameters proven")
    if options.find:
        for name, row in table_of(prover.proofs).items():
            table.setdefault(name, {}).update(row)
        options.table.write_text(written(table), encoding="utf-8")
    return int(len(prover.proofs) < len(prover.asked))


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
