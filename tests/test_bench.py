"""The benchmark measures what it says: only candidates that judge tokens rightly, in turns; worse figures are found."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, by the names of its modules."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"bench.{name}")


@pytest.fixture
def case(bench: Any) -> Iterator[Any]:
    """A key, published by a provider on loopback."""
    with bench("provider").Provider() as provider:
        case = bench("cases").make_case("ES256", provider.issuer("op"))
        provider.keys["op"] = [case.jwk]
        yield case


def test_our_candidates_are_admitted(bench: Any, case: Any) -> None:
    """Each of ours accepts a good token and refuses the bad ones, on each engine and in both APIs."""
    ours, peers = bench("ours"), bench("peers")
    for make in (ours.validator, ours.function, ours.async_validator, ours.async_function):
        for engine in ours.engines():
            assert peers.admit(ours.plain(make(case, engine)), case) is None


def test_a_candidate_that_checks_too_little_is_not_admitted(bench: Any, case: Any) -> None:
    """A candidate that skips a check is named with what it let pass."""
    peers = bench("peers")
    assert "wrong iss" in peers.admit(lambda token: case.claims(), case)
    assert "refuses a good token" in peers.admit(lambda token: 1 / 0, case)


@pytest.mark.skipif(sys.gettrace() is not None, reason="tracing costs more than what is measured")
def test_a_good_token_is_cheap(bench: Any) -> None:
    """The auth object adds at most 15 µs to a request whose token is still good."""
    calls = bench("calls")
    figures = [calls.measure(seconds=0.2)[0]["us_min"] for _ in range(5)]  # a busy machine only adds
    assert min(figures) <= calls.LIMIT


@pytest.mark.skipif(sys.gettrace() is not None, reason="tracing costs more than what is measured")
@pytest.mark.parametrize("only", ["https://issuer.example", None], ids=["one issuer", "several"])
def test_counting_is_cheap(bench: Any, only: str | None) -> None:
    """Counting adds at most 0.3 µs to a validation on the warm path."""
    watched, timing = bench("watched"), bench("timing")
    bare, counted, args = watched.counting(only)
    calls = {"bare": timing.Call(bare, args), "watched": timing.Call(counted, args)}
    for _ in range(5):  # a busy machine only adds
        times = timing.take_turns(calls, seconds=0.2, block=0.001)
        figure = watched.figure(times["bare"], times["watched"])
        if figure["added_min_ns"] <= watched.LIMIT:
            return
    pytest.fail(str(figure))


def test_candidates_take_turns(bench: Any) -> None:
    """No candidate is timed twice before the others had their turn."""
    timing = bench("timing")
    order: list[str] = []
    calls = {name: timing.Call(order.append, (name,)) for name in "abc"}
    times = timing.take_turns(calls, seconds=0.0, block=1e-5)
    assert set(times) == {"a", "b", "c"}
    assert all(len(timing.blocks) == 5 and 0 < timing.low <= timing.mid for timing in times.values())
    turns = [name for name, before in zip(order, [None, *order], strict=False) if name != before]
    assert turns[3:6] == ["a", "b", "c"]


def test_a_figure_that_grew_is_a_regression(capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond the tolerance a figure is worse; within it, and without a stored one, it is not."""
    spec = importlib.util.spec_from_file_location("regression", ROOT / "tools" / "regression.py")
    assert spec is not None
    assert spec.loader is not None
    regression = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(regression)
    stored = {"a": 1.0, "b": 1.0, "c": 1.0}
    assert regression.compare("ratios", {"a": 1.2, "b": 1.05, "c": 0.5, "new": 9.0}, stored) == ["a"]
    assert "none stored" in capsys.readouterr().out


def test_a_batch_that_is_slower_than_a_loop_is_found(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Loop and batch are compared in both APIs, on each engine; beyond the limit a combination is told."""
    batches, engines = bench("batches"), bench("many").engines()
    rows = batches.measure(99, ("ES256",), (2,), 0.0)
    assert [(row["engine"], row["api"]) for row in rows] == [(each, api) for each in engines for api in ("sync", "aio")]
    assert capsys.readouterr().out.count("ES256") == len(rows)
    slow = {"api": "aio", "ratio": 1.1}
    assert batches.slower([{"api": "sync", "ratio": 1.02}, slow]) == [slow]
    assert round(batches.ratio(lambda: 3.0, lambda: 2.0, 0.0), 3) == 1.5


def test_our_apis_decide_rightly_and_go_on(bench: Any) -> None:
    """The API that is measured end to end gives every verdict of the table, through a rotation and an outage."""
    gates = bench("gates")
    fastapi = replace(gates.SETTINGS[0], peers={})
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as loader:
        rows = gates.compare(fastapi, loader, 0.6, wait=0)
    assert [(row["phase"], row["refused"], row["other_verdicts"]) for row in rows] == [
        (phase, "", "") for phase in ("steady", "rotation", "outage")
    ]
    assert all(row["requests_per_s"] > 0 and row["worst_ms"] >= row["p99_ms"] for row in rows)


def test_what_an_api_decides_otherwise_is_told(bench: Any, monkeypatch: pytest.MonkeyPatch, case: Any) -> None:
    """A program that lets everybody in is told of with each thing it let pass."""
    gates = bench("gates")
    monkeypatch.setattr(gates, "status", lambda *told: 200)
    told = gates.verdicts(gates.SETTINGS[0], case, 0).split("; ")
    assert {"no token: 200 for 401", "missing scope: 200 for 403", "step-up, no acr: 200 for 401"} <= set(told)
    assert not [one for one in told if one.startswith(("good", "role", "writing:"))]


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\nContent-Le", False),
        (b"HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
        (b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", True),
    ],
)
def test_the_load_generator_knows_the_end_of_an_answer(bench: Any, answer: bytes, whole: bool) -> None:
    """By its length, by the last chunk, or because there is no body."""
    assert bench("load").is_whole(answer) is whole


def test_lines_with_code_are_counted(bench: Any, tmp_path: Path) -> None:
    """Comments, docstrings and empty lines are none; each line of a statement over several is one."""
    program = tmp_path / "program.py"
    head = '"""A module."""\n\n# a comment\nimport os  # one\n\n\n'
    program.write_text(head + 'def f(\n    a,\n):\n    """Do."""\n    return """\n\n"""\n')
    assert bench("lines").code_lines(program) == 7


def test_the_page_counts_lines_as_they_are(bench: Any) -> None:
    """The table beside the programs of others holds the lines of every program, ours and theirs."""
    page = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8").partition("## Beside others")[2]
    table = {tuple(cell.strip() for cell in line.split("|")[1:5]) for line in page.splitlines() if line.startswith("|")}
    count = bench("lines").code_lines
    for setting in bench("gates").SETTINGS:
        ours, *peers = [
            (one.name, str(count(one.folder / f"{one.app.partition(':')[0]}.py"))) for one in setting.programs
        ]
        for peer in peers:
            assert (setting.name, ours[1], *peer) in table


FACTS = {
    "implementation": "CPython",
    "python": "3.11.7",
    "optimized_build": False,
    "gil": True,
    "cores": 2,
    "processor": "A | B",
    "system": "Linux x86_64",
    "openssl": "OpenSSL 4.0.3",
    "engine_note": "pure only",
    "packages": {"py-identity-model": "5.0.0", "cryptography": "50.0.2", "msgspec": "0.22.0"},
}


def test_the_quick_table_can_be_pasted(bench: Any) -> None:
    """It is Markdown: what it was measured on, ratios to the floor in rows of one width, and who is not there."""
    warm, timing, quick = bench("warm"), bench("timing"), bench("quick")
    floor, ours = timing.Timing.of([20.0, 21.0]), timing.Timing.of([25.0])
    rows = [
        warm.Row("RS256-2048", "12 claims", warm.FLOOR, floor, floor),
        warm.Row("ES256", "12 claims", warm.FLOOR, floor, floor),
        warm.Row("ES256", "12 claims", "TokenValidator, pure", ours, floor),
        warm.Row("RS256-2048", "batch of 1,000", "validate_many of 1,000, pure", ours, floor),
    ]
    told = quick.table(FACTS, rows)
    assert "| CPython 3.11.7, not an optimized build (no PGO), GIL |" in told
    assert "| pure only |" in told
    assert "A \\| B, 2 cores" in told
    assert "no other library is installed here" in told
    assert "| **TokenValidator, pure** | - | 1.25 |" in told
    assert "| **validate_many of 1,000, pure** | 1.25 | - |" in told
    assert "RS256-2048 20.0 µs, ES256 20.0 µs" in told
    for block in told.split("\n\n")[:2]:
        assert len({re.sub(r"\\\|", "", line).count("|") for line in block.splitlines()}) == 1


def test_a_batch_is_measured_by_the_token(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each engine has a row per algorithm; where everything takes a second, four tokens cost 50 of 200 bare ones."""
    quick, engines = bench("quick"), bench("ours").engines()
    monkeypatch.setattr(quick.time, "perf_counter", itertools.count().__next__)
    rows = quick.batches(count=4, rounds=1)
    assert [row.candidate for row in rows] == [f"validate_many of 4, {one}" for _ in "123" for one in engines]
    assert {row.ratio for row in rows} == {quick.FLOORS / 4}


def test_who_is_not_installed_is_told_once(bench: Any, case: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names all that are missing, whatever the number of algorithms."""
    warm, peers, cases = bench("warm"), bench("peers"), bench("cases")

    def missing(case: Any) -> Any:
        raise peers.NotInstalled("none")

    for name in ("RS256-2048", "ES256"):
        given = replace(case, name=name)
        assert warm.admitted(given, {"one": missing, "two": missing}) == {}
    assert capsys.readouterr().err.splitlines() == ["bench: not installed, so not measured: one; two"]
    assert cases.NAMES[0] == warm.QUICK[0]


ASSETS = ROOT / "docs" / "assets"
#: Pictures of a terminal, which are no charts.
TERMINALS = {ASSETS / "demo.svg", ASSETS / "command-line" / "explain.svg"}
#: CSS pixels of a page on a phone of 375, and of letters that can be read there.
PAGE, LETTERS = 343, 11


def sizes(drawing: str) -> list[float]:
    """Return the sizes of all letters of an SVG, in pixels where it is as wide as a page on a phone."""
    width = re.search(r'viewBox="0 0 ([\d.]+) ', drawing)
    assert width is not None
    found = re.findall(r"font(?:-size)?[:=][^;>]*?([\d.]+)(?:px|\")", drawing)
    return [float(size) * PAGE / float(width[1]) for size in found]


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(path, id=path.stem)
        for path in sorted(ASSETS.rglob("*.svg"))
        if path not in TERMINALS and not path.stem.endswith("-phone")
    ],
)
def test_a_chart_can_be_read_on_a_phone(chart: Path) -> None:
    """It has a drawing of its own for a phone, with letters of at least 11 pixels on a page of 343."""
    drawing = chart.with_name(f"{chart.stem}-phone.svg").read_text(encoding="utf-8")
    found = sizes(drawing)
    assert found
    assert min(found) >= LETTERS


def test_letters_that_are_too_small_are_found() -> None:
    """The sizes of a drawing for a desktop are too small for a phone."""
    assert min(sizes((ASSETS / "bench" / "warm.svg").read_text(encoding="utf-8"))) < LETTERS
    assert min(sizes((ASSETS / "fleet" / "requests.svg").read_text(encoding="utf-8"))) < LETTERS
