"""The charts that the documentation shows."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

OURS, FLOOR, PEER = "#3949ab", "#9e9e9e", "#c0846a"
mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "bench",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
    }
)


#: A chart is drawn twice: side by side for a desktop, one below another for a phone (``NAME-phone.svg``).
SHAPES = ("", "-phone")


def _axes(count: int, width: float, height: float, shape: str) -> tuple[Any, list[Any]]:
    """Return a figure with *count* axes, each of a size in inches."""
    if shape:
        figure, axes = plt.subplots(count, 1, figsize=(min(width, 4.4), height * count), squeeze=False)
    else:
        figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False)
    return figure, list(axes.flat)


def _save(figure: Any, folder: Path, name: str, note: str, shape: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    words = "\n".join(textwrap.wrap(note, 60)) if shape else note
    figure.text(0, -0.01, words, fontsize=8, color="#616161", va="top")
    figure.tight_layout()
    figure.savefig(folder / f"{name}{shape}.svg", bbox_inches="tight", metadata={"Date": None})
    if not shape:
        figure.savefig(folder / f"{name}.png", bbox_inches="tight", dpi=110, metadata={"Software": None})
    plt.close(figure)


def _colour(candidate: str) -> str:
    if candidate.startswith("cryptography"):
        return FLOOR
    return OURS if candidate.startswith(("TokenValidator", "validate_token")) else PEER


def warm(rows: Sequence[Mapping[str, Any]], folder: Path, note: str) -> None:
    """Draw, per algorithm, what each candidate costs against the floor."""
    for token, name in (("12 claims", "warm"), ("4 KB", "warm-4kb")):
        chosen = [row for row in rows if row["token"] == token and "awaited" not in row["candidate"]]
        algorithms = [a for a in ("RS256-2048", "ES256", "Ed25519") if any(row["algorithm"] == a for row in chosen)]
        if not algorithms:
            continue
        for shape in SHAPES:
            figure, axes = _axes(len(algorithms), 4.6, 4.6, shape)
            for axis, algorithm in zip(axes, algorithms, strict=True):
                _ratios(axis, [row for row in chosen if row["algorithm"] == algorithm], f"{algorithm}, {token}")
            _save(figure, folder, name, note, shape)


def _ratios(axis: Any, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    bars = sorted(rows, key=lambda row: -row["ratio_min"])
    values = [row["ratio_min"] for row in bars]
    names = [row["candidate"] for row in bars]
    axis.barh(names, values, color=[_colour(name) for name in names], height=0.7)
    for place, value in enumerate(values):
        axis.text(value, place, f" {value:.2f}", va="center", fontsize=9)
    axis.axvline(1, color="#616161", linewidth=0.8, linestyle=":")
    axis.set_title(title)
    axis.set_xlim(0, max(values) * 1.15)
    axis.set_xlabel("times the bare verification (shorter is faster)")


def growth(series: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path, note: str) -> None:
    """Draw the cost per token against the number of issuers, the keys in a set, and the size of a token."""
    titles = {"issuers": "issuers trusted", "keys": "keys in the set", "kilobytes": "size of the token, KB"}
    chosen = [name for name in titles if series.get(name)]
    if not chosen:
        return
    for shape in SHAPES:
        figure, axes = _axes(len(chosen), 4.6, 3.6, shape)
        for axis, name in zip(axes, chosen, strict=True):
            _costs(axis, series[name], name, titles[name])
        _save(figure, folder, "growth", note, shape)


def _costs(axis: Any, points: Sequence[Mapping[str, Any]], name: str, title: str) -> None:
    for engine, style in (("pure", "-o"), ("native", "--s")):
        own = [point for point in points if point["engine"] == engine]
        if own:
            xs = [point[name] for point in own]
            axis.plot(xs, [point["min_us"] for point in own], style, color=OURS, markersize=4, label=engine)
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_xlabel(title)
    axis.set_ylabel("µs per token")
    axis.legend(frameon=False)


def threads(points: Sequence[Mapping[str, Any]], folder: Path, note: str) -> None:
    """Draw tokens per second over threads, and the cost of a token beside a busy thread."""
    scaling = [point for point in points if "threads" in point]
    if not scaling:
        return
    for shape in SHAPES:
        figure, axes = _axes(1, 5.2, 3.6, shape)
        _scaling(axes[0], scaling)
        _save(figure, folder, "threads", note, shape)


def _scaling(axis: Any, scaling: Sequence[Mapping[str, Any]]) -> None:
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
    axis.set_ylim(bottom=0)
    axis.set_xlabel("threads")
    axis.set_ylabel("RS256 tokens per second")
    axis.legend(frameon=False, fontsize=8)


def gates(figures: Sequence[Mapping[str, Any]], folder: Path, note: str) -> None:
    """Draw, per framework, how many requests a protected API answers and what each costs, ours being 1."""
    steady = [figure for figure in reversed(figures) if figure["phase"] == "steady"]
    if not steady:
        return
    for shape in SHAPES:
        figure, axes = _axes(2, 5.5, 0.42 * len(steady) + 1.2, shape)
        for axis, name, title in (
            (axes[0], "ours_times_requests", "requests per second, ours is 1\n(longer is faster)"),
            (axes[1], "ours_times_cpu", "processor time of a request, ours is 1\n(shorter is faster)"),
        ):
            _times(axis, steady, name, title)
            if axis is axes[1] and not shape:
                axis.set_yticklabels([])
        _save(figure, folder, "gates", note, shape)


def _times(axis: Any, steady: Sequence[Mapping[str, Any]], name: str, title: str) -> None:
    names = [f"{one['framework']}: {one['candidate']}" for one in steady]
    colours = [OURS if one["candidate"] == "py-identity-model" else PEER for one in steady]
    values = [1 / one[name] if one[name] else 0.0 for one in steady]
    axis.barh(names, values, color=colours, height=0.7)
    for place, value in enumerate(values):
        axis.text(value, place, f" {value:.2f}", va="center", fontsize=9)
    axis.axvline(1, color="#616161", linewidth=0.8, linestyle=":")
    axis.set_xlim(0, max(values) * 1.15)
    axis.set_xlabel(title)
