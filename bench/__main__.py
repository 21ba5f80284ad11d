"""``python -m bench``: measure, print, and write what the documentation shows. ``make bench`` prepares and runs it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from . import report, warm
from .provider import Provider

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="bench", description="All candidates take turns in one process.")
    parser.add_argument("--quick", action="store_true", help="three algorithms and short blocks: under a minute")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, help="per candidate and token (default: 1, quick: 0.15)")
    parser.add_argument("--json", action="store_true", help="the document on stdout instead of tables")
    parser.add_argument("--output", type=Path, help="folder for results.json and charts (default: .bench/)")
    options = parser.parse_args(arguments)
    # What a wandering measurement must not depend on: settings of the caller's environment.
    os.environ.setdefault("HTTP_RETRY_MAX_ATTEMPTS", "2")
    wanted = options.only or (("warm",) if options.quick else PARTS)
    seconds = options.seconds or (0.15 if options.quick else 1.0)
    facts = report.machine()
    document: dict[str, Any] = {"machine": facts}
    console = report.console()
    if not options.json:
        console.print(report.interpreter(facts))
    for part in wanted:
        PARTS[part](document, options, seconds, console)
    folder = options.output or ROOT / ".bench" / f"cp{facts['python']}"
    report.write(document, folder / "results.json")
    _draw(document, folder, report.interpreter(facts))
    if options.json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
    print(f"bench: results and charts are in {folder}", file=sys.stderr)
    return 0


def _draw(document: dict[str, Any], folder: Path, note: str) -> None:
    from . import charts

    charts.warm(document.get("warm", ()), folder, note)
    charts.growth(document.get("growth", {}), folder, note)
    charts.threads(document.get("threads", ()), folder, note)


def _warm(document: dict[str, Any], options: argparse.Namespace, seconds: float, console: Any) -> None:
    with Provider() as provider:
        rows = warm.measure(provider, seconds=seconds, quick=options.quick)
    document["warm"] = [row.document() for row in rows]
    if not options.json:
        report.show(rows, console)


PARTS = {"warm": _warm}

if __name__ == "__main__":
    sys.exit(main())
