"""``python -m bench``: measure, print, and write what the documentation shows. ``make bench`` prepares and runs it."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from . import calls, cold, costs, gates, quick, report, scenarios, servers, warm, watched
from .provider import Provider

Part: TypeAlias = Callable[[dict[str, Any], argparse.Namespace, float, Any], None]
ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="bench", description="All candidates take turns in one process.")
    parser.add_argument("--quick", action="store_true", help="under a minute: a table in Markdown, to be pasted")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, help="per candidate and token (default: 1, quick: 0.15)")
    parser.add_argument("--json", action="store_true", help="the document on stdout instead of tables")
    parser.add_argument("--output", type=Path, help="folder for results.json and charts (default: .bench/)")
    options = parser.parse_args(arguments)
    wanted = options.only or (("warm",) if options.quick else PARTS)
    seconds = options.seconds or (0.15 if options.quick else 1.0)
    warnings.filterwarnings("ignore", module="authlib|importlib|joserfc")  # what peers say of themselves
    facts = report.machine()
    document: dict[str, Any] = {"machine": facts}
    console = report.console()
    if not options.json and not options.quick:
        console.print(report.interpreter(facts))
    for part in wanted:
        PARTS[part](document, options, seconds, console)
    folder = options.output or ROOT / ".bench" / f"cp{facts['python']}{'-quick' if options.quick else ''}"
    document = {**_before(folder), **document}
    report.write(document, folder / "results.json")
    _draw(document, folder)
    if options.json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
    print(f"bench: results and charts are in {folder}", file=sys.stderr)
    return 0


def _before(folder: Path) -> dict[str, Any]:
    """Return what an earlier run left there, so that parts can be measured one by one."""
    path = folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _draw(document: dict[str, Any], folder: Path) -> None:
    try:
        from . import charts
    except ModuleNotFoundError as absent:
        print(f"bench: no charts, for {absent.name} is not installed", file=sys.stderr)
        return
    charts.draw(document, folder)


def _warm(document: dict[str, Any], options: argparse.Namespace, seconds: float, console: Any) -> None:
    with Provider() as provider:
        rows = warm.measure(provider, seconds=seconds, quick=options.quick)
        rows += quick.batches() if options.quick else []
    document["warm"] = [row.document() for row in rows]
    if options.quick and not options.json:
        print(quick.table(document["machine"], rows))
    elif not options.json:
        report.show(rows, console)


def _figures(name: str, title: str, measure: Callable[..., list[dict[str, Any]]]) -> Part:
    def part(document: dict[str, Any], options: argparse.Namespace, seconds: float, console: Any) -> None:
        print(f"bench: {name}", file=sys.stderr)
        document[name] = measure(options, seconds)
        if not options.json:
            report.show_figures(title, document[name], console)

    return part


def _growth(document: dict[str, Any], options: argparse.Namespace, seconds: float, console: Any) -> None:
    print("bench: growth", file=sys.stderr)
    document["growth"] = costs.growth(seconds=seconds, quick=options.quick)
    if not options.json:
        for name, points in document["growth"].items():
            report.show_figures(f"cost per ES256 token by {name}", points, console)


PARTS: dict[str, Part] = {
    "warm": _warm,
    "scenarios": _figures(
        "scenarios", "what a provider feels", lambda options, seconds: scenarios.measure(quick=options.quick)
    ),
    "imports": _figures("imports", "import", lambda options, seconds: costs.imports(quick=options.quick)),
    "memory": _figures("memory", "memory", lambda options, seconds: costs.memory(quick=options.quick)),
    "first_use": _figures(
        "first_use", "the first token of a key", lambda options, seconds: costs.first_use(quick=options.quick)
    ),
    "cold": _figures(
        "cold", "the first token of a process", lambda options, seconds: cold.measure(quick=options.quick)
    ),
    "growth": _growth,
    "threads": _figures("threads", "RS256 on threads", lambda options, seconds: costs.threads(seconds=seconds)),
    "watched": _figures("watched", "what counting costs", lambda options, seconds: watched.measure(seconds=seconds)),
    "calls": _figures("calls", "calls to an API", lambda options, seconds: calls.measure(seconds=seconds)),
    "servers": _figures("servers", "web servers", lambda options, seconds: servers.measure(seconds=seconds)),
    "gates": _figures(
        "gates",
        "protected APIs beside others",
        lambda options, seconds: gates.measure(seconds=seconds, quick=options.quick),
    ),
}

if __name__ == "__main__":
    sys.exit(main())
