"""Write what watches the library: a Grafana dashboard, alert rules, and the table of metrics in the documentation.

Usage: python tools/monitoring.py [--check]

All of it is made of the metrics that the library exports, so that no panel and no alert asks for a name that is not
there. With --check nothing is written, and the exit code is 1 where a file is not what it would be.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from py_identity_model.integrations import _metrics as of
from py_identity_model.integrations._metrics import METRICS, Metric

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "docs" / "assets" / "monitoring"
PAGE = ROOT / "docs" / "monitoring.md"
BEGIN, END = "<!-- metrics, by tools/monitoring.py -->", "<!-- end of metrics -->"
ALERTS_BEGIN, ALERTS_END = "<!-- alerts, by tools/monitoring.py -->", "<!-- end of alerts -->"
#: What the dashboard chooses by.
JOB = 'job=~"$job"'
#: Codes of tokens that name a key which nobody knows, and of those that would have to wait for a look at the keys.
UNKNOWN = "key_unknown|refresh_crowded|refresh_denied"


# ---------------------------------------------------------------------------------------------------------------------
# Queries


def series(metric: Metric, suffix: str = "", **labels: str) -> str:
    """Return a selector; a value that begins with ``~`` or ``!`` is a pattern or what must not be."""
    asked = [JOB]
    for name, value in labels.items():
        assert name in metric.labels, (metric.name, name)
        operator = {"~": "=~", "!": "!="}.get(value[:1], "=")
        asked.append(f'{name}{operator}"{value.lstrip("~!")}"')
    return f"{metric.full_name}{suffix}{{{', '.join(asked)}}}"


def of_all_jobs(expr: str) -> str:
    """Return a query without the choice of jobs, which only the dashboard has."""
    return expr.replace(f"{JOB}, ", "").replace(f"{{{JOB}}}", "")


def rate(metric: Metric, window: str, *by: str, suffix: str = "", **labels: str) -> str:
    """Return how often per second something happens, summed up by labels."""
    return f"sum by ({', '.join(by)}) (rate({series(metric, suffix, **labels)}[{window}]))"


def quantile(part: float, metric: Metric, window: str, *by: str, **labels: str) -> str:
    """Return what a part of all durations does not exceed."""
    return f"histogram_quantile({part}, {rate(metric, window, *by, 'le', suffix='_bucket', **labels)})"


def share(part: str, whole: str) -> str:
    """Return a part of a whole."""
    return f"{part} / {whole}"


# ---------------------------------------------------------------------------------------------------------------------
# Alerts


class Alert(NamedTuple):
    """One alert rule."""

    name: str
    expr: str
    lasts: str
    severity: str
    summary: str
    description: str


ALERTS = (
    Alert(
        "PyIdentityModelRefusesSoon",
        f"min by (job, instance) ({series(of.REFUSES_IN)}) < 3600",
        "1m",
        "critical",
        "Tokens will be refused in less than an hour",
        "A provider, or the store that brings revocations, cannot be reached. If that lasts, tokens are refused in "
        "{{ $value | humanizeDuration }}. Look at the states of the issuers and at the store.",
    ),
    Alert(
        "PyIdentityModelRefuses",
        f"min by (job, instance) ({series(of.USABLE)}) == 0",
        "1m",
        "critical",
        "Tokens of an issuer cannot be verified",
        "Callers get 503 until the provider, or the store, can be reached again.",
    ),
    Alert(
        "PyIdentityModelKeysStale",
        f"sum by (job, issuer) ({series(of.ISSUER_STATE, state='stale')}) > 0",
        "15m",
        "warning",
        "The keys of {{ $labels.issuer }} cannot be refreshed",
        "The last good keys are in use. A rotation now would refuse good tokens.",
    ),
    Alert(
        "PyIdentityModelStoreAway",
        f"min by (job, engine) ({series(of.STORE_UP)}) == 0",
        "30s",
        "critical",
        "The store ({{ $labels.engine }}) does not answer",
        "Proofs that are used once are answered with 503, and after revocations_silent_for (60 s) so is every token.",
    ),
    Alert(
        "PyIdentityModelStoreEmptied",
        f"sum by (job) (increase({series(of.EVENTS, event='store_memory_new')}[10m])) > 0",
        "0m",
        "warning",
        "A store has lost what it knew",
        "It was emptied or replaced. Revocations and used proofs of before are known to running processes only.",
    ),
    Alert(
        "PyIdentityModelUnknownKeys",
        f"sum by (job) (rate({series(of.VALIDATIONS, code='~' + UNKNOWN)}[5m])) > 1",
        "5m",
        "warning",
        "Many tokens name keys that nobody knows",
        "{{ $value | humanize }} per second. Somebody forges tokens, or a provider signs with a key that it does not "
        "publish.",
    ),
    Alert(
        "PyIdentityModelSlow",
        f"{quantile(0.99, of.VALIDATION_SECONDS, '5m', 'job')} > 0.01",
        "10m",
        "warning",
        "One in a hundred validations takes longer than 10 ms",
        "It takes {{ $value | humanizeDuration }}. Either fetches are slow, or the processors are busy.",
    ),
)


def rules() -> str:
    """Return the file of alert rules."""
    lines = ["# Written by tools/monitoring.py: change it there.", "groups:", "- name: py-identity-model", "  rules:"]
    for alert in ALERTS:
        lines += [
            f"  - alert: {alert.name}",
            f"    expr: {json.dumps(of_all_jobs(alert.expr))}",
            f"    for: {alert.lasts}",
            "    labels:",
            f"      severity: {alert.severity}",
            "    annotations:",
            f"      summary: {json.dumps(alert.summary)}",
            f"      description: {json.dumps(alert.description)}",
        ]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# The dashboard

WINDOW = "$__rate_interval"


class Panel(NamedTuple):
    """One panel: what it is called, its kind, its unit, and each query with its legend."""

    title: str
    kind: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""
    #: Values from which on the colour changes.
    colours: tuple[tuple[str, float | None], ...] = ()


class Row(NamedTuple):
    """Panels that stand beside each other."""

    title: str
    height: int
    panels: tuple[Panel, ...]


VALIDATED = f"sum(rate({series(of.VALIDATIONS)}[{WINDOW}]))"
HITS = rate(of.CACHE_HITS, WINDOW, "cache")
_GOOD_ABOVE = (("red", None), ("orange", 600.0), ("green", 3600.0))
_GOOD_IF_ONE = (("red", None), ("green", 1.0))

ROWS = (
    Row(
        "Now",
        4,
        (
            Panel(
                "Tokens are refused in",
                "stat",
                "s",
                ((f"min({series(of.REFUSES_IN)})", ""),),
                "If what is away stays away.",
                _GOOD_ABOVE,
            ),
            Panel("Usable", "stat", "bool_yes_no", ((f"min({series(of.USABLE)})", ""),), colours=_GOOD_IF_ONE),
            Panel("Validations per second", "stat", "ops", ((VALIDATED, ""),)),
            Panel(
                "Refused",
                "stat",
                "percentunit",
                ((share(f"sum(rate({series(of.VALIDATIONS, code='!valid')}[{WINDOW}]))", VALIDATED), ""),),
            ),
            Panel("Store", "stat", "bool_yes_no", ((f"min({series(of.STORE_UP)})", ""),), colours=_GOOD_IF_ONE),
        ),
    ),
    Row(
        "Validations",
        8,
        (
            Panel("By outcome", "timeseries", "ops", ((rate(of.VALIDATIONS, WINDOW, "code"), "{{code}}"),)),
            Panel(
                "Accepted by issuer",
                "timeseries",
                "ops",
                ((rate(of.VALIDATIONS, WINDOW, "issuer", code="valid"), "{{issuer}}"),),
            ),
            Panel(
                "Duration",
                "timeseries",
                "s",
                tuple(
                    (quantile(part, of.VALIDATION_SECONDS, WINDOW, "path"), f"p{part * 100:.0f} {{{{path}}}}")
                    for part in (0.5, 0.99)
                ),
                "On the warm path a sample that stands for all.",
            ),
        ),
    ),
    Row(
        "Keys",
        8,
        (
            Panel(
                "Time left by issuer",
                "timeseries",
                "s",
                ((f"min by (issuer) ({series(of.ISSUER_REFUSES_IN)})", "{{issuer}}"),),
            ),
            Panel(
                "Age of keys",
                "timeseries",
                "s",
                ((f"max by (issuer) ({series(of.KEYS_AGE)})", "{{issuer}}"),),
            ),
            Panel(
                "Validators by state",
                "timeseries",
                "short",
                ((f"sum by (issuer, state) ({series(of.ISSUER_STATE)}) > 0", "{{issuer}} {{state}}"),),
            ),
            Panel(
                "Usable keys",
                "timeseries",
                "short",
                ((f"min by (issuer) ({series(of.KEYS)})", "{{issuer}}"),),
            ),
        ),
    ),
    Row(
        "Fetches and caches",
        8,
        (
            Panel(
                "Refreshes and failures",
                "timeseries",
                "ops",
                (
                    (rate(of.CACHE_REFRESHES, WINDOW, "cache"), "{{cache}} refreshed"),
                    (rate(of.FETCH_FAILURES, WINDOW, "cache", "code"), "{{cache}} {{code}}"),
                ),
            ),
            Panel(
                "Answered by caches",
                "timeseries",
                "percentunit",
                ((share(HITS, f"({HITS} + {rate(of.CACHE_MISSES, WINDOW, 'cache')})"), "{{cache}}"),),
            ),
            Panel(
                "Callers that wait for keys",
                "timeseries",
                "short",
                ((f"sum by (issuer) ({series(of.WAITING)})", "{{issuer}}"),),
            ),
            Panel("Events", "timeseries", "ops", ((rate(of.EVENTS, WINDOW, "event"), "{{event}}"),)),
        ),
    ),
    Row(
        "Stores and revocations",
        8,
        (
            Panel(
                "Operations",
                "timeseries",
                "ops",
                (
                    (rate(of.STORE_OPERATIONS, WINDOW, "topic", "operation", outcome="ok"), "{{topic}} {{operation}}"),
                    (rate(of.STORE_OPERATIONS, WINDOW, "topic", "outcome", outcome="!ok"), "{{topic}} {{outcome}}"),
                ),
            ),
            Panel(
                "Duration of operations, p99",
                "timeseries",
                "s",
                ((quantile(0.99, of.STORE_SECONDS, WINDOW, "engine", "topic"), "{{engine}} {{topic}}"),),
            ),
            Panel(
                "Since the last answer",
                "timeseries",
                "s",
                (
                    (f"max by (engine) ({series(of.STORE_ANSWER_AGE)})", "{{engine}}"),
                    (f"max({series(of.MARKS_AGE)})", "look for revocations"),
                ),
            ),
            Panel(
                "Open circuits, known revocations",
                "timeseries",
                "short",
                (
                    (f"max by (engine) ({series(of.STORE_CIRCUIT)})", "{{engine}} circuit"),
                    (f"max({series(of.MARKS)})", "revocations"),
                ),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard, to be imported into Grafana 10 or newer."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        panels.append(
            {"type": "row", "title": row.title, "collapsed": False, "gridPos": {"h": 1, "w": 24, "x": 0, "y": top}}
        )
        width = 24 // len(row.panels)
        for number, panel in enumerate(row.panels):
            place = {"h": row.height, "w": width, "x": number * width, "y": top + 1}
            panels.append(_panel(panel, place))
        top += row.height + 1
    numbered = [{"id": number, **panel} for number, panel in enumerate(panels, 1)]
    return {
        "title": "py-identity-model",
        "uid": "py-identity-model",
        "tags": ["oidc", "python"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": numbered,
    }


def _variables() -> list[dict[str, Any]]:
    values = f"label_values({of.USABLE.full_name}, job)"
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "job",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "query": {"query": values, "refId": "job"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    steps = [{"color": colour, "value": value} for colour, value in panel.colours or (("text", None),)]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 5, "showPoints": "never"}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "datasource": source,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"colorMode": "background"} if panel.kind == "stat" and panel.colours else {},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": source, "expr": expr, "legendFormat": legend}
            for number, (expr, legend) in enumerate(panel.queries)
        ],
    }


# ---------------------------------------------------------------------------------------------------------------------
# The documentation


def metrics_table() -> list[str]:
    """Return the table of all metrics."""
    lines = ["| metric | kind | labels | what it tells |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = " ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.help} |")
    return lines


def alerts_table() -> list[str]:
    """Return the table of all alerts."""
    lines = ["| alert | when | for | severity |", "|---|---|---|---|"]
    rows = (f"| `{a.name}` | {_plain(a.summary)} | {a.lasts} | {a.severity} |" for a in ALERTS)
    return [*lines, *rows]


def _plain(summary: str) -> str:
    return summary.replace("{{ $labels.issuer }}", "an issuer").replace(" ({{ $labels.engine }})", "")


def page(text: str) -> str:
    """Return the page with its tables anew."""
    for begin, end, lines in ((BEGIN, END, metrics_table()), (ALERTS_BEGIN, ALERTS_END, alerts_table())):
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = "\n".join([f"{before}{begin}", "", *lines, "", f"{end}{after}"])
    return text


def files() -> dict[Path, str]:
    """Return what each file would be."""
    return {
        ASSETS / "dashboard.json": json.dumps(dashboard(), indent=1) + "\n",
        ASSETS / "alerts.yml": rules(),
        PAGE: page(PAGE.read_text(encoding="utf-8")),
    }


def main(arguments: Iterable[str]) -> int:
    """Write the files, or with ``--check`` tell whether they are what they would be."""
    wanted = files()
    if "--check" in arguments:
        return int(any(not path.exists() or path.read_text(encoding="utf-8") != text for path, text in wanted.items()))
    ASSETS.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
