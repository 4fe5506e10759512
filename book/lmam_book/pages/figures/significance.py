"""The figures of the chapter on significance: intervals of a gain, implied and measured spread, classes, power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmam_book.pages.style import COLOURS, INK
from lmam_book.verdicts.effects import Effect


def forest(effects: Mapping[str, Effect], printed: Mapping[str, float], axis: str) -> Figure:
    """Every seed's gain as a dot, below it the intervals over seeds, over conversations and over both; 0 as a line.

    `printed` has the paper's gain by the same names, drawn as a diamond; NaN draws none.
    """
    figure, ax = plt.subplots(figsize=(7, 0.62 * len(effects) + 1.3))
    ax.axvline(0, color=INK, lw=0.9)
    for row, (name, gain) in enumerate(effects.items()):
        ax.scatter(gain.values, np.full(gain.seeds, row - 0.28), s=12, color=COLOURS["lmam"], alpha=0.5, lw=0)
        parts = (replace(gain, of_conversations=0.0), replace(gain, of_seeds=0.0), gain)
        for part, place, colour in zip(parts, (-0.1, 0.08, 0.26), _PARTS.values(), strict=True):
            ax.plot((part.low, part.high), (row + place,) * 2, color=COLOURS[colour], lw=2.4, solid_capstyle="round")
        ax.scatter(printed[name], row, 32, marker="D", facecolor="none", edgecolor=COLOURS["paper"], lw=1.3)
    for label, colour in _PARTS.items():
        ax.plot([], [], color=COLOURS[colour], lw=2.4, label=f"over {label}")
    ax.scatter([], [], marker="D", facecolor="none", edgecolor=COLOURS["paper"], label="the paper reports")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    ax.set_yticks(range(len(effects)), [f"{name} (n={gain.seeds})" for name, gain in effects.items()], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel(axis)
    return figure


_PARTS = {"seeds": "lmam", "conversations": "text", "both": "baseline"}
"""What an interval is over -> its colour."""


def spreads(implied: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Standard deviations of paired differences on a logarithmic axis: implied by printed p-values, and measured.

    `implied` has `row` and `spread`, one per class; `measured` has `row` and `deviation`. An implied spread of 0, where
    the printed F1 does not change at all, is drawn at the left end.
    """
    rows = list(dict.fromkeys(implied.row))
    figure, ax = plt.subplots(figsize=(7, 0.42 * len(rows) + 1.3))
    floor = implied.spread[implied.spread > 0].min() / 2

    def shift(k: int) -> np.ndarray:
        """Apart, and the same on every build."""
        return 0.13 * np.sin(2.4 * np.arange(k))

    for y, row in enumerate(rows):
        x = np.maximum(implied.spread[implied.row == row], floor)
        place = y - 0.17 + shift(len(x))
        ax.scatter(x, place, 22, marker="D", facecolor="none", edgecolor=COLOURS["paper"], lw=1.1)
        x = measured.deviation[measured.row == row]
        ax.scatter(x, y + 0.17 + shift(len(x)), s=18, color=COLOURS["lmam"], alpha=0.65, lw=0)
    ax.scatter(
        [], [], marker="D", facecolor="none", edgecolor=COLOURS["paper"], label="implied by a printed p, per class"
    )
    ax.scatter([], [], s=18, color=COLOURS["lmam"], label="measured here, per class")
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    ax.set_yticks(range(len(rows)), rows)
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel="standard deviation over runs of the paired difference in F1, percentage points")
    return figure


def classes(tests: Mapping[str, pd.DataFrame], printed: Mapping[str, Mapping[str, float]]) -> Figure:
    """Each class's gain with its seeds as dots and its interval; one panel per backbone, the printed gain a diamond.

    `tests[title]` is a frame of `significance.class_tests`; `printed[title]` maps a class to the paper's gain.
    """
    columns = min(3, len(tests))
    lines = -(-len(tests) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(7, 2.1 * lines), sharey=True, squeeze=False)
    for ax, (title, frame) in zip(axes.flat, tests.items(), strict=False):
        ax.axvline(0, color=INK, lw=0.9)
        for y, row in enumerate(frame.itertuples()):
            name = row[frame.columns.get_loc("class") + 1]
            colour = COLOURS["lmam" if row.low > 0 else "text" if row.high < 0 else "baseline"]
            ax.scatter(row.seeds, np.full(len(row.seeds), y + 0.28), s=6, color=colour, alpha=0.5, lw=0)
            ax.plot([row.low, row.high], [y, y], color=colour, lw=2)
            ax.scatter(row.gain, y, s=26, marker="|", color=colour, lw=2)
            style = {"marker": "D", "s": 24, "facecolor": "none", "edgecolor": COLOURS["paper"], "lw": 1.1}
            ax.scatter(printed[title].get(name, np.nan), y, **style)
        ax.set_title(title, fontsize=9)
        ax.set_yticks(range(len(frame)), frame["class"], fontsize=8)
        ax.tick_params(axis="x", labelsize=8)
    axes[0][0].invert_yaxis()
    for ax in list(axes.flat)[len(tests) :]:
        ax.axis("off")
    figure.supxlabel("gain in F1 with LMAM, percentage points", fontsize=9)
    return figure


def power(curves: Mapping[str, Mapping[int, float]], title: str, goal: float = 0.8) -> Figure:
    """The probability of finding a difference over the number of seeds, one curve per difference."""
    figure, ax = plt.subplots(figsize=(7, 2.8))
    colours = (COLOURS[name] for name in ("lmam", "audio", "video", "text", "nonverbal"))
    for (name, curve), colour in zip(curves.items(), colours, strict=False):
        ax.plot(list(curve), list(curve.values()), marker="o", ms=3, lw=1.3, color=colour, label=name)
    ax.axhline(goal, color=INK, lw=0.8, ls=":")
    ax.set(title=title, xlabel="seeds of each arm", ylabel="power", ylim=(0, 1.03))
    ax.legend(fontsize=8)
    return figure
