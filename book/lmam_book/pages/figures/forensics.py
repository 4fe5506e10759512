"""Printed tables as heat maps of what the audit says of each cell."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from lmam_book.forensics.audit import WORDS
from lmam_book.pages.style import COLOURS, INK

COLOUR = {
    "possible": COLOURS["video"],
    "possible alone": "#b5a642",
    "impossible": COLOURS["lmam"],
    "impossible for means": "#7a2a6a",
    "agrees": COLOURS["text"],
    "disagrees": COLOURS["audio"],
    "not checkable": "#8a93a0",
}
"""One colour per verdict, mid-tones for both schemes."""
HATCHED = {"impossible": "//", "impossible for means": "//"}
"""What is red is also hatched: not everybody tells it from green."""
FAINT = 0.28
"""How strongly cells are drawn that nothing decides."""


def heat(cells: pd.DataFrame, title: str = "") -> Figure:
    """One printed table: its cells in printed order, coloured by verdict, with the printed value where there is one.

    `cells` has row, column, metric and verdict, as `Audit.cells`; with value and dataset, as `cells()` of one table.
    """
    cells = cells.assign(value=cells.get("value", ""), dataset=cells.get("dataset", ""))
    rows = list(dict.fromkeys(cells["row"]))
    heads = list(dict.fromkeys(cells[["dataset", "column", "metric"]].itertuples(index=False, name=None)))
    classes = list(dict.fromkeys(h[:2] for h in heads))
    heads.sort(key=lambda h: classes.index(h[:2]))  # both numbers of a class beside each other
    figure, ax = plt.subplots(figsize=(max(4.0, 1.6 + 0.52 * len(heads)), 1.3 + 0.23 * len(rows)))
    for c in cells.itertuples():
        x, y = heads.index((c.dataset, c.column, c.metric)), rows.index(c.row)
        faint = FAINT if c.verdict == "not checkable" else 0.9
        ax.add_patch(Rectangle((x + 0.02, y + 0.04), 0.96, 0.92, **_look(c.verdict)))
        ax.text(
            x + 0.5, y + 0.53, c.value, ha="center", va="center", fontsize=7.5, color=INK if faint < 0.5 else "white"
        )
    alone = len({h[0] for h in heads}) == 1
    names = [
        f"{'' if alone else d + ' '}{c}\n{m}" if c != "overall" else f"{'' if alone else d}\n{m}" for d, c, m in heads
    ]
    ax.set_xticks(
        [k + 0.5 for k in range(len(heads))], names, fontsize=6, rotation=40, ha="left", rotation_mode="anchor"
    )
    ax.xaxis.tick_top()
    ax.set_yticks([k + 0.5 for k in range(len(rows))], rows, fontsize=7)
    ax.set(xlim=(0, len(heads)), ylim=(len(rows), 0))
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    _legend(figure, cells, title)
    return figure


def overview(cells: pd.DataFrame, names: tuple[str, ...]) -> Figure:
    """The share of cells of each table, called as in `names`, with each verdict, their number beside the bar."""
    counts = cells.groupby(["table", "verdict"]).size().unstack(fill_value=0).reindex(columns=list(WORDS), fill_value=0)
    share = counts.div(counts.sum(1), axis=0)
    figure, ax = plt.subplots(figsize=(7, 0.6 + 0.24 * len(share)))
    left = pd.Series(0.0, share.index)
    for word in WORDS:
        ax.barh(range(len(share)), share[word], left=left, height=0.75, **_look(word))
        left += share[word]
    ax.set_yticks(range(len(share)), [f"{names[t - 1]} ({counts.loc[t].sum()})" for t in share.index], fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of the printed cells")
    _legend(figure, cells)
    return figure


def _look(word: str) -> dict[str, Any]:
    """How what has a verdict is filled."""
    alpha = FAINT if word == "not checkable" else 0.9
    fill = to_rgba(COLOUR[word], alpha)
    return {"facecolor": fill, "edgecolor": "#ffffff80", "linewidth": 0, "hatch": HATCHED.get(word)}


def _legend(figure: Figure, cells: pd.DataFrame, title: str = "") -> None:
    words = [w for w in WORDS if (cells["verdict"] == w).any()]
    handles = [Patch(label=w, **_look(w)) for w in words]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(4, len(words)), fontsize=7, title=title or None
    )
