"""Draw what ``bench.tables`` measured: processor time per token of each library, and what more cores can bring.

``python -m bench.table_chart figures.json ... folder``: later files add jobs to the first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.charts import SHAPES, Sheet

CORES = (1, 2, 4, 8, 16)


def simulated(serial: float, alone: float, cores: int) -> float:
    """Return tokens per second on *cores* (Amdahl).

    Args:
        serial: Seconds per token that only one thread can work on.
        alone: Seconds per token on one core, those included.
        cores: How many there are.
    """
    return 1 / (serial + (alone - serial) / cores)


def draw(jobs: Mapping[str, float], serial: float, alone: float, folder: Path, note: str) -> None:
    """Draw both charts on one sheet."""
    names = sorted(jobs, key=lambda name: -jobs[name])
    for shape in SHAPES:
        sheet = Sheet(shape, [1.5, 2.0], note, left=1.35)
        bars, line = sheet.axes
        bars.barh(names, [jobs[name] for name in names], color=["#1f6feb" if "py-" in n else "#9aa4af" for n in names])
        for place, name in enumerate(names):
            bars.text(jobs[name], place, f" {jobs[name]:.1f}", va="center", fontsize=9)
        bars.set_xlim(0, max(jobs.values()) * 1.18)
        bars.set_title("Processor µs per token", loc="left")
        points = [simulated(serial, alone, cores) for cores in CORES]
        line.plot(CORES, points, "--o", color="#1f6feb", markersize=4)
        line.set_xticks(CORES)
        line.set_ylim(0, max(points) * 1.25)
        line.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}")
        line.set_xlabel("cores")
        line.set_title("1,000 tokens/s, simulated", loc="left")
        sheet.save(folder, "tables")


def main(arguments: Sequence[str]) -> None:
    """Draw from files of figures: ``--serial`` and ``--alone`` are microseconds per token."""
    *paths, serial, alone, folder, note = arguments
    jobs: dict[str, Any] = {}
    for path in paths:
        for name, figure in json.loads(Path(path).read_text(encoding="utf-8"))["jobs"].items():
            jobs.setdefault(name, figure["cpu"])
    draw(jobs, float(serial) / 1e6, float(alone) / 1e6, Path(folder), note)


if __name__ == "__main__":
    main(sys.argv[1:])
