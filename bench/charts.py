"""The charts that the documentation shows."""

from __future__ import annotations

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


def _save(figure: Any, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
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
        figure, axes = plt.subplots(1, len(algorithms), figsize=(4.6 * len(algorithms), 4.6), squeeze=False)
        for axis, algorithm in zip(axes[0], algorithms, strict=True):
            bars = sorted((row for row in chosen if row["algorithm"] == algorithm), key=lambda row: -row["ratio_min"])
            values = [row["ratio_min"] for row in bars]
            axis.barh(
                [row["candidate"] for row in bars],
                values,
                color=[_colour(row["candidate"]) for row in bars],
                height=0.7,
            )
            for place, value in enumerate(values):
                axis.text(value, place, f" {value:.2f}", va="center", fontsize=9)
            axis.axvline(1, color="#616161", linewidth=0.8, linestyle=":")
            axis.set_title(f"{algorithm}, {token}")
            axis.set_xlim(0, max(values) * 1.15)
            axis.set_xlabel("times the bare verification (shorter is faster)")
        figure.text(0, -0.02, note, fontsize=8, color="#616161")
        figure.tight_layout()
        _save(figure, folder, name)


def growth(series: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path, note: str) -> None:
    """Draw the cost per token against the number of issuers, the keys in a set, and the size of a token."""
    titles = {"issuers": "issuers trusted", "keys": "keys in the set", "kilobytes": "size of the token, KB"}
    chosen = [name for name in titles if series.get(name)]
    if not chosen:
        return
    figure, axes = plt.subplots(1, len(chosen), figsize=(4.6 * len(chosen), 3.6), squeeze=False)
    for axis, name in zip(axes[0], chosen, strict=True):
        points = series[name]
        for engine, style in (("pure", "-o"), ("native", "--s")):
            own = [point for point in points if point["engine"] == engine]
            if own:
                xs = [point[name] for point in own]
                axis.plot(xs, [point["min_us"] for point in own], style, color=OURS, markersize=4, label=engine)
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel(titles[name])
        axis.set_ylabel("µs per token")
        axis.legend(frameon=False)
    figure.text(0, -0.03, note, fontsize=8, color="#616161")
    figure.tight_layout()
    _save(figure, folder, "growth")


def threads(points: Sequence[Mapping[str, Any]], folder: Path, note: str) -> None:
    """Draw tokens per second over threads, and the cost of a token beside a busy thread."""
    scaling = [point for point in points if "threads" in point]
    if not scaling:
        return
    figure, axis = plt.subplots(figsize=(5.2, 3.6))
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
    figure.text(0, -0.04, note, fontsize=8, color="#616161")
    figure.tight_layout()
    _save(figure, folder, "threads")


def gates(figures: Sequence[Mapping[str, Any]], folder: Path, note: str) -> None:
    """Draw, per framework, how many requests a protected API answers and what each costs, ours being 1."""
    steady = [figure for figure in reversed(figures) if figure["phase"] == "steady"]
    if not steady:
        return
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.42 * len(steady) + 1.2), sharey=True)
    names = [f"{one['framework']}: {one['candidate']}" for one in steady]
    colours = [OURS if one["candidate"] == "py-identity-model" else PEER for one in steady]
    for axis, name, title in (
        (axes[0], "ours_times_requests", "requests per second, ours is 1 (longer is faster)"),
        (axes[1], "ours_times_cpu", "processor time of a request, ours is 1 (shorter is faster)"),
    ):
        values = [1 / one[name] if one[name] else 0.0 for one in steady]
        axis.barh(names, values, color=colours, height=0.7)
        for place, value in enumerate(values):
            axis.text(value, place, f" {value:.2f}", va="center", fontsize=9)
        axis.axvline(1, color="#616161", linewidth=0.8, linestyle=":")
        axis.set_xlim(0, max(values) * 1.15)
        axis.set_xlabel(title)
    figure.text(0, -0.02, note, fontsize=8, color="#616161")
    figure.tight_layout()
    _save(figure, folder, "gates")
