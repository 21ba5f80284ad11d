"""Plots of the fleet as SVG, in the look of those of the benchmark, without a package to draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

OURS, PEER, GREY = "#3949ab", "#c0846a", "#616161"
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 300, 60, 46, 34


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
        self._widest, self._highest = widest or 1.0, highest or 1.0
        middle = LEFT + (WIDTH - LEFT - 20) / 2
        self._parts = [
            f'<text x="{middle}" y="18" text-anchor="middle" font-size="14">{title}</text>',
            f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>',
            f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">{up}</text>',
            f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - 20}" fill="none" stroke="{GREY}"/>',
        ]
        for part in range(5):
            x, y = self._x(self._widest * part / 4), self._y(self._highest * part / 4)
            self._parts += [
                f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{self._widest * part / 4:g}</text>',
                f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{self._highest * part / 4:g}</text>',
            ]

    def _x(self, value: float) -> float:
        return round(LEFT + value / self._widest * (WIDTH - LEFT - 20), 1)

    def _y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - value / self._highest * (HEIGHT - BOTTOM - TOP), 1)

    def bars(self, heights: Sequence[float], wide: float, colour: str = OURS) -> None:
        """Draw a bar for each height, *wide* on the horizontal axis."""
        for number, height in enumerate(heights):
            x, y = self._x(number * wide), self._y(min(height, self._highest))
            size = f'width="{self._x(wide) - LEFT - 1:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
            self._parts.append(f'<rect x="{x}" y="{y}" {size} fill="{colour}"/>')

    def steps(self, heights: Sequence[float], colour: str = PEER) -> None:
        """Draw a line of steps, one wide each."""
        path = "".join(
            f"{'M' if not number else 'L'}{self._x(number)} {self._y(min(height, self._highest))}H{self._x(number + 1)}"
            for number, height in enumerate(heights)
        )
        self._parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def legend(self, names: Mapping[str, str]) -> None:
        """Name the colours."""
        for number, (name, colour) in enumerate(names.items()):
            y = TOP + 6 + 18 * number
            self._parts += [
                f'<rect x="{LEFT + 14}" y="{y}" width="12" height="12" fill="{colour}"/>',
                f'<text x="{LEFT + 32}" y="{y + 10}">{name}</text>',
            ]

    def save(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        body = "\n".join(self._parts)
        path.write_text(
            f'{head} font-size="11" fill="#212121">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n',
            encoding="utf-8",
        )


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
