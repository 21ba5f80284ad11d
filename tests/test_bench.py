"""The benchmark measures what it says: only candidates that judge tokens rightly, in turns; worse figures are found."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
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
