"""The charts that the documentation shows; ``python -m bench.charts FOLDER`` draws them from the figures stored there.

Each is drawn twice, in the size it is shown in, so that letters have the size they were given: as wide as a page on a
desktop, and as wide as one on a phone (``NAME-phone.svg``).
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from .report import interpreter

Rows = Sequence[Mapping[str, Any]]

OURS, FLOOR, PEER, GREY = "#3949ab", "#9e9e9e", "#c0846a", "#616161"
ALGORITHMS = ("RS256-2048", "ES256", "Ed25519")
#: Inches of a row of bars, of a name of 23 letters beside it, of a margin, and of what stands above and below axes.
ROW, NAMES, MARGIN, HEAD, FOOT = 0.19, 1.7, 0.08, 0.32, 0.5
mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "bench",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
    }
)


@dataclass(frozen=True)
class Shape:
    """What a chart is drawn for: the end of its file's name, inches across, axes side by side, letters of a line."""

    suffix: str
    width: float
    beside: int
    letters: int


#: 690 and 343 pixels: a page of the documentation beside its two columns, and one of a phone.
SHAPES = (Shape("", 7.19, 3, 110), Shape("-phone", 3.57, 1, 52))


class Sheet:
    """A figure whose parts are placed in inches, from the top.

    Args:
        shape: What it is drawn for.
        heights: Inches of the axes of each row.
        note: What stands below.
        across: Axes in a row.
        left: Inches before the first axes of a row, for names.
        gap: Inches between axes that stand side by side.
    """

    def __init__(
        self, shape: Shape, heights: Sequence[float], note: str, *, across: int = 1, left: float = 0.6, gap: float = 0.7
    ) -> None:
        self.shape = shape
        words = textwrap.wrap(note, shape.letters)
        foot = FOOT + 0.17 * len(words)
        tall = sum(heights) + len(heights) * HEAD + (len(heights) - 1) * FOOT + foot
        self._figure = plt.figure(figsize=(shape.width, tall))
        self._figure.text(MARGIN / shape.width, 0.04 / tall, "\n".join(words), fontsize=8.5, color=GREY, va="bottom")
        wide = (shape.width - left - 3 * MARGIN - (across - 1) * gap) / across
        self.axes = []
        top = tall
        for height in heights:
            top -= HEAD + height
            for column in range(across):
                x = left + column * (wide + gap)
                self.axes.append(
                    self._figure.add_axes((x / shape.width, top / tall, wide / shape.width, height / tall))
                )
            top -= FOOT

    def save(self, folder: Path, name: str) -> None:
        """Write the file."""
        folder.mkdir(parents=True, exist_ok=True)
        self._figure.savefig(folder / f"{name}{self.shape.suffix}.svg", metadata={"Date": None})
        plt.close(self._figure)


def _colour(candidate: str) -> str:
    if candidate.startswith("cryptography"):
        return FLOOR
    return OURS if candidate.startswith(("TokenValidator", "validate_token")) else PEER


def warm(rows: Rows, folder: Path, note: str) -> None:
    """Draw, per algorithm, what each candidate costs against the floor."""
    for token, name in (("12 claims", "warm"), ("4 KB", "warm-4kb")):
        chosen = [row for row in rows if row["token"] == token and "awaited" not in row["candidate"]]
        algorithms = [a for a in ALGORITHMS if any(row["algorithm"] == a for row in chosen)]
        for shape in SHAPES if algorithms else ():
            _warm(shape, chosen, algorithms, f"{note}. Times the bare verification: shorter is faster.").save(
                folder, name
            )


def _warm(shape: Shape, rows: Rows, algorithms: Sequence[str], note: str) -> Sheet:
    """Draw bars; side by side they share the names, in the order of the first algorithm."""
    ratios = {a: {row["candidate"]: row["ratio_min"] for row in rows if row["algorithm"] == a} for a in algorithms}
    everybody = sorted(
        dict.fromkeys(row["candidate"] for row in rows), key=lambda who: -ratios[algorithms[0]].get(who, 0)
    )
    across = min(len(algorithms), shape.beside)
    orders = {
        a: everybody if across > 1 else sorted(ratios[a], key=lambda who, found=ratios[a]: -found[who])
        for a in algorithms
    }
    heights = [len(orders[a]) * ROW for a in algorithms[:: across or 1]]
    sheet = Sheet(shape, heights, note, across=across, left=NAMES, gap=0.15)
    for number, (axis, algorithm) in enumerate(zip(sheet.axes, algorithms, strict=False)):
        _bars(axis, orders[algorithm], ratios[algorithm], named=number % across == 0)
        axis.set_title(algorithm, loc="left")
    return sheet


def _bars(axis: Any, names: Sequence[str], values: Mapping[str, float], *, named: bool) -> None:
    """Draw a bar for each name, its value at its end, and a line at 1."""
    places = range(len(names))
    axis.barh(places, [values.get(name, 0.0) for name in names], color=[_colour(name) for name in names], height=0.7)
    for place, name in zip(places, names, strict=True):
        _tell(axis, values.get(name, 0.0), place, f"{values[name]:.2f}" if name in values else "-", _weight(name))
    axis.set_yticks(places, names if named else [""] * len(names))
    axis.tick_params(axis="y", length=0)
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set_weight(_weight(name))
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.axvline(1, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    axis.set_xlim(0, max(values.values()) * 1.3)


def _tell(axis: Any, value: float, place: int, words: str, weight: str) -> None:
    """Write beside the end of a bar."""
    axis.annotate(words, (value, place), (3, 0), textcoords="offset points", va="center", weight=weight)


def _weight(name: str) -> str:
    return "bold" if _colour(name) == OURS else "normal"


def growth(series: Mapping[str, Rows], folder: Path, note: str) -> None:
    """Draw the cost per token against the number of issuers, the keys in a set, and the size of a token."""
    titles = {"issuers": "issuers trusted", "keys": "keys in the set", "kilobytes": "size of the token, KB"}
    chosen = [name for name in titles if series.get(name)]
    for shape in SHAPES if chosen else ():
        across = min(len(chosen), shape.beside)
        sheet = Sheet(shape, [1.9] * (len(chosen) // across), note, across=across, gap=0.45)
        for number, (axis, name) in enumerate(zip(sheet.axes, chosen, strict=False)):
            _costs(axis, series[name], name, titles[name])
            if number % across == 0:
                axis.set_title("µs per ES256 token", loc="left")
        sheet.save(folder, "growth")


def _costs(axis: Any, points: Rows, name: str, title: str) -> None:
    for engine, style in (("pure", "-o"), ("native", "--s")):
        own = [point for point in points if point["engine"] == engine]
        if own:
            xs = [point[name] for point in own]
            axis.plot(xs, [point["min_us"] for point in own], style, color=OURS, markersize=4, label=engine)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_ylim(0, max(point["min_us"] for point in points) * 1.1)
    axis.set_xlabel(title)
    axis.legend(frameon=False, loc="best")


def threads(points: Rows, folder: Path, note: str) -> None:
    """Draw tokens per second over threads."""
    scaling = [point for point in points if "threads" in point]
    for shape in SHAPES if scaling else ():
        sheet = Sheet(shape, [2.4], note, left=0.75)
        _scaling(sheet.axes[0], scaling)
        sheet.save(folder, "threads")


def _scaling(axis: Any, scaling: Rows) -> None:
    for candidate in dict.fromkeys(point["candidate"] for point in scaling):
        own = [point for point in scaling if point["candidate"] == candidate]
        style = "-o" if "pure" in candidate else "--s" if "native" in candidate else ":^"
        axis.plot(
            [point["threads"] for point in own],
            [point["tokens_per_s"] for point in own],
            style,
            color=_colour(candidate),
            markersize=4,
            label=candidate,
        )
    axis.set_xticks(sorted({point["threads"] for point in scaling}))
    axis.set_ylim(0, max(point["tokens_per_s"] for point in scaling) * 1.45)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel("threads")
    axis.set_title("RS256 tokens per second", loc="left")
    axis.legend(frameon=False, loc="upper right")


def gates(figures: Rows, folder: Path, note: str) -> None:
    """Draw, per framework, how many requests a protected API answers and what each costs, ours being 1."""
    steady = [figure for figure in figures if figure["phase"] == "steady"]
    titles = {"ours_times_requests": "requests per second", "ours_times_cpu": "processor time"}
    told = f"{note}. Ours is 1: more requests are better, less time per request is."
    for shape in SHAPES if steady else ():
        across = min(shape.beside, len(titles))
        lines = len(steady) + len({one["framework"] for one in steady})
        heights = [lines * ROW] * (len(titles) // across)
        sheet = Sheet(shape, heights, told, across=across, left=NAMES, gap=0.3)
        for number, (axis, (name, title)) in enumerate(zip(sheet.axes, titles.items(), strict=True)):
            _times(axis, steady, name, named=number % across == 0)
            axis.set_title(title, loc="left")
        sheet.save(folder, "gates")


def _times(axis: Any, steady: Rows, name: str, *, named: bool) -> None:
    """Draw the bars of a framework below its name."""
    place, places, names = 0, [], []
    for number, one in enumerate(steady):
        if number == 0 or one["framework"] != steady[number - 1]["framework"]:
            if named:
                left = axis.get_yaxis_transform()
                axis.text(0.02, place, one["framework"], va="center", ha="left", transform=left, style="italic")
            place -= 1
        ours = one["candidate"] == "py-identity-model"
        value = 1 / one[name] if one[name] else 0.0
        axis.barh(place, value, color=OURS if ours else PEER, height=0.7)
        _tell(axis, value, place, f"{value:.2f}", "bold" if ours else "normal")
        places.append(place)
        names.append(one["candidate"])
        place -= 1
    axis.set_yticks(places, names if named else [""] * len(names))
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(place + 0.4, 0.6)
    axis.axvline(1, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    axis.set_xlim(0, max(1 / one[name] for one in steady if one[name]) * 1.25)


#: Part of the document -> what draws it.
CHARTS: Mapping[str, Callable[[Any, Path, str], None]] = {
    "warm": warm,
    "growth": growth,
    "gates": gates,
    "threads": threads,
}


def draw(document: Mapping[str, Any], folder: Path) -> None:
    """Draw every part that was measured."""
    earlier = document.get("earlier", {"parts": ()})
    for name, chart in CHARTS.items():
        if document.get(name):
            machine = earlier["machine"] if name in earlier["parts"] else document["machine"]
            chart(document[name], folder, interpreter(machine) + document.get("remarks", ""))


def main(folders: Sequence[str]) -> None:
    """Draw from the documents in the folders."""
    for folder in map(Path, folders):
        for path in sorted(folder.glob("*results.json")):
            draw(json.loads(path.read_text(encoding="utf-8")), folder)


if __name__ == "__main__":
    main(sys.argv[1:])
