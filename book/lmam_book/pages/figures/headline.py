"""The figure of the front page: what LMAM gains in each backbone on each dataset, and what the paper reports."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lmam_book.pages.style import COLOURS, INK
from lmam_book.verdicts import headline
from lmam_book.verdicts.headline import DATASETS, UNITS, Cell
from lmam_book.verdicts.rule import NOT_WORKING
from lmam_core.runs import names


def forest(cells: Sequence[Cell]) -> Figure:
    """One panel per dataset, one row per backbone: our gain with its interval, seeds as dots, the paper's as a diamond.

    Ours is the best reading of LMAM, its interval corrected for the number of readings; grey where the baseline does
    not work. A backbone without runs has the paper's diamond alone. A row is named `cell-<backbone>-<dataset>` in the
    SVG.
    """
    shown = {d: [c for c in cells if c.dataset == d] for d in DATASETS}
    backbones = list(dict.fromkeys(c.backbone for c in cells))
    figure, panels = plt.subplots(1, len(shown), figsize=(9, 0.42 * len(backbones) + 1.5), sharey=True)
    for ax, (dataset, mine) in zip(panels, shown.items(), strict=True):
        ax.axvline(0, color=INK, lw=0.9)
        for cell in mine:
            row = backbones.index(cell.backbone)
            ax.axhspan(row - 0.5, row + 0.5, color="none", gid=f"cell-{cell.backbone}-{dataset}")
            ax.scatter(cell.reported, row, marker="D", s=34, facecolor="none", edgecolor=COLOURS["paper"], lw=1.4)
            if effects := cell.effects():
                best = effects[headline.best_of(effects)]
                colour = COLOURS["baseline" if headline.row(cell)["word"] == NOT_WORKING else "lmam"]
                ax.scatter(best.values, [row] * best.n, s=12, color=colour, alpha=0.45, lw=0)
                ax.plot([best.low, best.high], [row, row], color=colour, lw=2.2, solid_capstyle="round")
                ax.scatter(best.mean, row, s=44, color=colour, zorder=3)
        ax.set_title(DATASETS[dataset])
        ax.set_xlabel(f"gain, points of {UNITS[mine[0].metric]}")
    panels[0].set_yticks(range(len(backbones)), [names.title(b) for b in backbones])
    panels[0].invert_yaxis()
    ax = panels[-1]
    ax.scatter([], [], s=44, color=COLOURS["lmam"], label="this book: mean, 95 % interval, seeds")
    ax.scatter([], [], s=44, color=COLOURS["baseline"], label="the model without LMAM is too weak to decide")
    ax.scatter([], [], marker="D", facecolor="none", edgecolor=COLOURS["paper"], label="reported by the paper")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure
