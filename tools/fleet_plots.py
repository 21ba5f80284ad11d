"""Plots of the fleet as SVG, in the look of those of the benchmark, without a package to draw them.

Usage: python tools/fleet_plots.py FOLDER   (draws anew from the figures that are stored there)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS, PEER, GREY = "#3949ab", "#c0846a", "#616161"
BOTTOM, TOP, RIGHT = 46, 34, 16


@dataclass(frozen=True)
class Sheet:
    """What a plot is drawn for, in the pixels that it is shown in, so that letters have the size they were given."""

    suffix: str
    width: int
    height: int
    left: int


#: A page of the documentation on a desktop, and one on a phone (``NAME-phone.svg``).
SHEETS = (Sheet("", 640, 300, 60), Sheet("-phone", 343, 260, 58))


class Scale:
    """Where on a sheet a value is.

    Args:
        sheet: What the plot is drawn for.
        widest: The right end of the horizontal axis.
        highest: The upper end of the vertical axis.
    """

    def __init__(self, sheet: Sheet, widest: float, highest: float) -> None:
        self.sheet, self.widest, self.highest = sheet, widest or 1.0, highest or 1.0

    def x(self, value: float) -> float:
        """Return pixels from the left."""
        return round(self.sheet.left + value / self.widest * (self.sheet.width - self.sheet.left - RIGHT), 1)

    def y(self, value: float) -> float:
        """Return pixels from above; what is too high is at the upper end."""
        floor = self.sheet.height - BOTTOM
        return round(floor - min(value, self.highest) / self.highest * (floor - TOP), 1)


Part = Callable[[Scale], list[str]]


class Plot:
    """Axes with bars or steps.

    Args:
        title: What it shows.
        across: What the horizontal axis is.
        up: What the vertical axis is.
        widest: The right end of the horizontal axis.
        highest: The upper end of the vertical axis.
    """

    def __init__(self, title: str, across: str, up: str, widest: float, highest: float) -> None:
        self._widest, self._highest = widest, highest
        self._parts: list[Part] = [lambda scale: _axes(scale, title, across, up)]

    def bars(self, heights: Sequence[float], wide: float, colour: str = OURS) -> None:
        """Draw a bar for each height, *wide* on the horizontal axis."""
        self._parts.append(lambda scale: _bars(scale, heights, wide, colour))

    def steps(self, heights: Sequence[float], colour: str = PEER) -> None:
        """Draw a line of steps, one wide each."""
        self._parts.append(lambda scale: _steps(scale, heights, colour))

    def legend(self, names: Mapping[str, str]) -> None:
        """Name the colours."""
        self._parts.append(lambda scale: _legend(scale, names))

    def save(self, path: Path) -> None:
        """Write the file, and the one for a phone beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        for sheet in SHEETS:
            scale = Scale(sheet, self._widest, self._highest)
            body = "\n".join(line for part in self._parts for line in part(scale))
            size = f'width="{sheet.width}" height="{sheet.height}" viewBox="0 0 {sheet.width} {sheet.height}"'
            path.with_name(f"{path.stem}{sheet.suffix}.svg").write_text(
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" '
                'fill="#212121">\n'
                f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n',
                encoding="utf-8",
            )


def _axes(scale: Scale, title: str, across: str, up: str) -> list[str]:
    width, height, left = scale.sheet.width, scale.sheet.height, scale.sheet.left
    middle = left + (width - left - RIGHT) / 2
    parts = [
        f'<text x="{width / 2}" y="18" text-anchor="middle" font-size="14">{title}</text>',
        f'<text x="{middle}" y="{height - 8}" text-anchor="middle">{across}</text>',
        f'<text x="14" y="{height / 2}" text-anchor="middle" transform="rotate(-90 14 {height / 2})">{up}</text>',
        f'<path d="M{left} {TOP}V{height - BOTTOM}H{width - RIGHT}" fill="none" stroke="{GREY}"/>',
    ]
    for part in range(5):
        x, y = scale.widest * part / 4, scale.highest * part / 4
        parts += [
            f'<text x="{scale.x(x)}" y="{height - BOTTOM + 16}" text-anchor="middle">{x:g}</text>',
            f'<text x="{left - 6}" y="{scale.y(y) + 4}" text-anchor="end">{y:g}</text>',
        ]
    return parts


def _bars(scale: Scale, heights: Sequence[float], wide: float, colour: str) -> list[str]:
    parts = []
    across, floor = scale.x(wide) - scale.sheet.left - 1, scale.sheet.height - BOTTOM
    for number, height in enumerate(heights):
        if height:
            y = scale.y(height)
            size = f'width="{across:.1f}" height="{floor - y:.1f}"'
            parts.append(f'<rect x="{scale.x(number * wide)}" y="{y}" {size} fill="{colour}"/>')
    return parts


def _steps(scale: Scale, heights: Sequence[float], colour: str) -> list[str]:
    path = "".join(
        f"{'M' if not number else 'L'}{scale.x(number)} {scale.y(height)}H{scale.x(number + 1)}"
        for number, height in enumerate(heights)
    )
    return [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']


def _legend(scale: Scale, names: Mapping[str, str]) -> list[str]:
    parts = []
    for number, (name, colour) in enumerate(names.items()):
        x, y = scale.sheet.left + 14, TOP + 6 + 18 * number
        parts += [
            f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>',
            f'<text x="{x + 18}" y="{y + 10}">{name}</text>',
        ]
    return parts


def counted(values: Sequence[float], wide: float, most: float) -> list[int]:
    """Return how many values there are in each step of *wide*, up to *most*."""
    found = [0] * round(most / wide)
    for value in values:
        found[min(int(value / wide), len(found) - 1)] += 1
    return found


def rounded(value: float) -> float:
    """Return a round number that is at least *value*, for the end of an axis."""
    step = 10 ** max(0, len(str(int(value))) - 1)
    return float((int(value / step) + 1) * step)


#: The files of figures, and one figure of the first.
SIMULATION, PROCESSES = "simulation.json", "processes.json"
SEEN = "revocation seen, pods in each tenth of a second"


def write(folder: Path, name: str, told: Any) -> None:
    """Write figures into a folder, and draw them there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    DRAWN[name](folder, told)


def simulation(folder: Path, told: Mapping[str, Any]) -> None:
    """Draw a day of a simulated fleet."""
    shared, alone = (part for part in told.values() if isinstance(part, dict))
    hours, others = shared["requests by hour"], alone["requests by hour"]
    title = f"Requests that one provider sees, {told['pods']:,} pods"
    plot = Plot(title, "hour of the day", "requests per hour", len(hours), rounded(max(*hours, *others)))
    plot.bars(hours, 1.0)
    plot.steps(others)
    plot.legend({"all pods, with a store": OURS, f"{told['pods alone']} pods, each for itself": PEER})
    plot.save(folder / "requests.svg")
    heights = told[SEEN]
    plot = Plot("A revocation in the simulated fleet", "seconds until a pod knows", "pods", 2.4, rounded(max(heights)))
    plot.bars(heights, 0.1)
    plot.save(folder / "revocation-simulated.svg")


def processes(folder: Path, every: Sequence[Mapping[str, Any]]) -> None:
    """Draw after how long real processes saw a revocation."""
    for told in every:
        heights = counted(told["fleet"]["seen"], 0.1, 2.4)
        title = f"A revocation, {told['processes']} processes over {told['store']}"
        plot = Plot(title, "seconds until a process refuses the token", "processes", 2.4, rounded(max(heights)))
        plot.bars(heights, 0.1)
        plot.save(folder / f"revocation-{told['store']}.svg")


DRAWN: Mapping[str, Callable[[Path, Any], None]] = {SIMULATION: simulation, PROCESSES: processes}


def main(folders: Sequence[str]) -> None:
    """Draw what is stored in the folders."""
    for folder in map(Path, folders):
        for name, drawing in DRAWN.items():
            if (folder / name).exists():
                drawing(folder, json.loads((folder / name).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
