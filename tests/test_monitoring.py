"""Dashboard, alert rules and the page about them: made of the names that are exported, and of no others."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from apis import ISSUER, Api, Provider
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.integrations._metrics import METRICS, PREFIX
from py_identity_model.integrations.prometheus import ValidatorCollector
from py_identity_model.stores import MemoryStore

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "docs" / "assets" / "monitoring"
PAGE = ROOT / "docs" / "monitoring.md"
NAMES = {metric.full_name: metric for metric in METRICS}
#: Labels that Prometheus adds, and those of the dashboard.
ADDED = {"job", "instance", "le"}

_NAME = re.compile(PREFIX + r"_[a-z_]+")
_SELECTED = re.compile(r"(" + PREFIX + r"_[a-z_]+)\{([^}]*)\}")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tool that writes them."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("monitoring")


def metric_of(name: str) -> Any:
    """Return the metric behind a name, whose series may be buckets; None for a name that is not exported."""
    return NAMES.get(name) or NAMES.get(re.sub(r"_(bucket|sum|count)$", "", name))


def unknown(text: str) -> list[str]:
    """Return names that are not exported, and labels that a metric lacks."""
    found = [name for name in _NAME.findall(text) if metric_of(name) is None]
    for name, labels in _SELECTED.findall(text):
        metric = metric_of(name)
        asked = set(re.findall(r"(\w+)(?:=|!)", labels))
        found += [f"{name} {label}" for label in asked - ADDED - set(metric.labels if metric else ())]
    return found


def expressions() -> Iterator[str]:
    """Yield every query of the dashboard and of the rules."""
    dashboard = json.loads((ASSETS / "dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for line in (ASSETS / "alerts.yml").read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("expr:"):
            yield json.loads(line.partition(":")[2])


def test_the_files_are_what_the_tool_writes(tool: Any) -> None:
    """Nobody has changed a generated file by hand, and nobody has forgotten to write it anew."""
    assert tool.main(["--check"]) == 0


def test_the_tool_writes_and_checks(tool: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that is missing or changed is found; after writing nothing is."""
    page = tmp_path / "monitoring.md"
    page.write_text(PAGE.read_text(encoding="utf-8").replace("| gauge |", "| gouge |"), encoding="utf-8")
    monkeypatch.setattr(tool, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr(tool, "PAGE", page)
    assert tool.main(["--check"]) == 1
    assert tool.main([]) == 0
    assert tool.main(["--check"]) == 0
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    (tmp_path / "assets" / "alerts.yml").write_text("groups: []\n", encoding="utf-8")
    assert tool.main(["--check"]) == 1


def test_only_exported_names_are_asked_for() -> None:
    """Each name and label in dashboard, rules and page is one that the library exports."""
    for path in (ASSETS / "dashboard.json", ASSETS / "alerts.yml", PAGE, ROOT / "tests" / "alerts_test.yml"):
        assert unknown(path.read_text(encoding="utf-8").replace('\\"', '"')) == [], path.name
    for expr in expressions():
        (metric, *_) = [metric_of(name) for name in _NAME.findall(expr)]
        for grouped in re.findall(r"by \(([^)]*)\)", expr):
            assert set(grouped.split(", ")) <= ADDED | set(metric.labels), expr


def test_names_that_are_not_exported_are_found() -> None:
    """The check of names sees a name and a label that are wrong, in series of any kind."""
    assert unknown(f"{PREFIX}_keys_age_seconds > 1") == []
    assert unknown(f"{PREFIX}_keys_old_seconds") == [f"{PREFIX}_keys_old_seconds"]
    assert unknown(f'{PREFIX}_keys{{tenant="a", issuer!="b"}}') == [f"{PREFIX}_keys tenant"]
    assert unknown(f'{PREFIX}_validation_duration_seconds_bucket{{path="warm", le="1"}}') == []


def test_every_metric_is_shown_and_told() -> None:
    """Each exported metric has a place on the dashboard and a line on the page."""
    shown = {metric_of(name).full_name for expr in expressions() for name in _NAME.findall(expr)}
    assert shown == set(NAMES)
    told = set(re.findall(rf"^\| `({PREFIX}_[a-z_]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert told == set(NAMES)


def test_every_metric_is_exported(clock: Any) -> None:
    """A process with a provider that goes away, a store and a batch exports every metric of the table, and no other."""
    api, provider, registry = Api("sync"), Provider(k1=SigningKey.generate("ES256", kid="k1")), CollectorRegistry()

    class Wired(MemoryStore):
        circuit_open = False

    validator = api.validator(ISSUER, "api", http_client=provider, store=Wired(clock=lambda: clock.wall))
    collector = ValidatorCollector(validator, registry=registry)
    try:
        validator.validate(provider.token())
        provider.fail = lambda request: Reply(503)
        clock.advance(4000)
        validator.validate_many([provider.token(exp=clock.wall + 60), "no token"])
        clock.advance(0)
        names = {
            metric.name + ("_total" if metric.type == "counter" else "")
            for metric in registry.collect()
            if metric.samples
        }
    finally:
        collector.close()
    assert names | {f"{PREFIX}_fetch_failures_total"} == set(NAMES)


@pytest.mark.needs("Prometheus")
def test_prometheus_reads_the_rules() -> None:
    """Prometheus's own tool has no complaint about the rules."""
    done = subprocess.run(
        ["promtool", "check", "rules", str(ASSETS / "alerts.yml")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs("Prometheus")
def test_alerts_come_and_go(tmp_path: Path, tool: Any) -> None:
    """Each alert fires in the trouble that it is for, and neither before nor after."""
    for path in (ASSETS / "alerts.yml", ROOT / "tests" / "alerts_test.yml"):
        shutil.copy(path, tmp_path)
    played = (tmp_path / "alerts_test.yml").read_text(encoding="utf-8")
    assert {alert.name for alert in tool.ALERTS} == set(re.findall(r"alertname: (\w+)", played))
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("Prometheus")
def test_every_query_is_one(tmp_path: Path) -> None:
    """Prometheus can parse each query of the dashboard."""
    exprs = [expr.replace("$__rate_interval", "5m").replace("$job", ".*") for expr in expressions()]
    lines = ["groups:", "- name: queries", "  rules:"]
    for number, expr in enumerate(exprs):
        lines += [f"  - record: query_{number}", f"    expr: {json.dumps(expr)}"]
    (tmp_path / "queries.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", "queries.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(exprs)} rules found" in done.stdout


def test_the_picture_is_there_and_small() -> None:
    """The page shows a picture that is quickly loaded."""
    picture = ASSETS / "prometheus.png"
    assert "](assets/monitoring/prometheus.png)" in PAGE.read_text(encoding="utf-8")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert 20_000 < picture.stat().st_size < 200_000


def test_the_tool_runs_as_a_command() -> None:
    """The command of the page does what it says."""
    done = subprocess.run([sys.executable, "tools/monitoring.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0
