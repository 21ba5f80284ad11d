"""Fleets: real processes that share a store, and a day of a fleet on paper; short forms of two targets of make."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tools import each other."""
    monkeypatch.syspath_prepend(str(TOOLS))


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("store", ["sqlite", pytest.param("redis", marks=pytest.mark.needs("Redis"))])
def test_processes_ask_as_often_as_one(store: str) -> None:
    """Through rotation and outage each provider is asked as by one process alone; all see a revocation."""
    told = tool("fleet_processes").run(3, 2, store)
    assert told["fleet"]["refused"] == told["alone"]["refused"] == []
    # Beside other tests a process may stand still for a whole turn, so that one more asks; the tool itself allows none.
    asked = zip(told["fleet"]["requests"], told["alone"]["requests"], strict=True)
    assert all(fleet <= alone + 1 for fleet, alone in asked)
    assert max(told["fleet"]["seen"]) <= 2.0


@functools.cache
def day() -> Any:
    """Return a day of few pods."""
    return tool("fleet").simulate(12, 2, 21.0, 1, shares=True)


def test_a_day_refuses_no_good_token() -> None:
    """Rotations, outages, deploys, a store that goes away and forgets: every good token is accepted."""
    assert day().findings.validated > 1000
    assert not day().findings.refused
    assert not day().findings.put_off
    assert day().findings.forged > 100


def test_a_day_costs_providers_little() -> None:
    """An hour costs a provider two requests; a deploy of all pods none; an outage one look per pause."""
    hours = tool("fleet").per_hour(day())
    assert sorted(hours)[len(hours) // 2] <= 4
    assert hours[11] <= 4  # a deploy
    assert hours[16] <= 3 * 3600 / 20  # an outage


def test_what_a_day_is_old() -> None:
    """No token is accepted under keys that are no longer fresh, but in an outage."""
    assert day().findings.stale <= 3600 + 60
    assert day().findings.withdrawn_for <= 3600 + 60


def test_revocations_are_seen_by_all_pods() -> None:
    """Pods that validate see a mark within two seconds, for one look per second each."""
    looks, seen = tool("fleet").revocations(50, 20, 1)
    assert max(seen) <= 2.2
    assert looks <= 50


def test_plots_are_drawn(tmp_path: Path) -> None:
    """Figures become pictures that a browser can read."""
    plots = tool("fleet_plots")
    hours = {"a": {"requests by hour": [2.0, 40.5]}, "b": {"requests by hour": [7, 90]}}
    plots.write(tmp_path, plots.SIMULATION, {"pods": 12, "pods alone": 3, **hours, plots.SEEN: [1, 2, 0]})
    every = [{"processes": 4, "store": "sqlite", "fleet": {"seen": [0.1, 9.0]}, "issuers": 2}]
    plots.write(tmp_path, plots.PROCESSES, every)
    drawn = ("requests", "revocation-simulated", "revocation-sqlite")
    assert {path.name for path in tmp_path.glob("*.svg")} == {
        f"{name}{form}.svg" for name in drawn for form in ("", "-phone")
    }
    for path in tmp_path.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
