"""The forest plot of gains: what was measured beside what the paper reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lmam_book.pages.style import COLOURS, INK
from lmam_book.verdicts.effects import Effect
from lmam_book.verdicts.intervals import Interval


@dataclass(frozen=True)
class Gain:
    """A gain to draw, with one value per seed, and the paper's gain (NaN for none)."""

    ours: Effect | Interval
    printed: float = float("nan")


def forest(panels: Mapping[str, Mapping[str, Gain]], axis: str) -> Figure:
    """Gains in rows, one panel per title: seeds as dots, mean with interval, the paper's gain as a diamond."""
    rows = [len(panel) for panel in panels.values()]
    size = (7, 0.34 * sum(rows) + 0.45 * len(rows) + 0.7)
    figure, axes = plt.subplots(
        len(panels), 1, figsize=size, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [n + 0.6 for n in rows]}
    )
    for ax, (title, panel) in zip(axes[:, 0], panels.items(), strict=True):
        ax.axvline(0, color=INK, lw=0.9)
        for row, gain in enumerate(panel.values()):
            jitter = 0.12 * np.sin(2.4 * np.arange(len(gain.ours.values)))  # apart, and the same on every build
            ax.scatter(gain.ours.values, row + jitter, s=14, color=COLOURS["lmam"], alpha=0.55, lw=0)
            ends = [gain.ours.low, gain.ours.high]
            ax.plot(ends, [row, row], color=COLOURS["lmam"], lw=2.2, solid_capstyle="round")
            ax.scatter(gain.ours.mean, row, s=60, marker="|", color=COLOURS["lmam"], lw=2.4, zorder=3)
            ax.scatter(gain.printed, row, marker="D", s=34, facecolor="none", edgecolor=COLOURS["paper"], lw=1.4)
        ax.set_yticks(range(len(panel)), [f"{name} (n={len(gain.ours.values)})" for name, gain in panel.items()])
        ax.set(ylim=(len(panel) - 0.4, -0.6))
        ax.set_title(title, loc="left", fontsize=9)
    axes[-1, 0].set_xlabel(axis)
    if any(np.isfinite(gain.printed) for panel in panels.values() for gain in panel.values()):
        axes[0, 0].scatter([], [], marker="D", facecolor="none", edgecolor=COLOURS["paper"], label="the paper reports")
        figure.legend(loc="outside upper right", fontsize=8)  # within the axes its diamond would pass for a number
    return figure
