"""LMCM drawn: the whole, and with a part taken away."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from lmam_book.pages.style import COLOURS, INK

ROWS = {"text": 1.0, "video": 0.0}
LABELS = {"dyt": "DyT", "layer": "Layer\nNorm"}
HALF = 0.33
"""Half the width of a box; columns are 1 apart."""

Place = tuple[float, float]


def architectures() -> Figure:
    """The four models of the comparison, each with its name."""
    drawn: dict[str, dict[str, Any]] = {
        "LMCM": {},
        "LMCM, one branch": {"branches": 1},
        "LMCM, no residual": {"residual": False},
        "LMCM, LayerNorm": {"norm": "layer"},
    }
    figure, axes = plt.subplots(4, 1, figsize=(7, 8.4))
    for ax, (title, parts) in zip(axes, drawn.items(), strict=True):
        architecture(ax, title, **parts)
    return figure


def architecture(axes: Axes, title: str = "", branches: int = 2, residual: bool = True, norm: str = "dyt") -> None:
    """Draw `LMCM` of text and video from features on the left to the classifier on the right, as its options say."""
    asking = list(ROWS)[:branches]
    joined = (4.9, 0.5) if branches == 2 else (4.9, 1.0)
    for m, y in ROWS.items():
        for x, label in enumerate((m, f"Linear\n$z_{m[0]}$", LABELS[norm])):
            _box(axes, (x, y), label, m if x != 2 else "lmam")
        _arrow(axes, (HALF, y), (1 - HALF, y))
        _arrow(axes, (1 + HALF, y), (2 - HALF, y))
    for m in asking:
        y, other = ROWS[m], 1 - ROWS[m]
        _box(axes, (3.2, y), f"{m} asks\n{'video' if m == 'text' else 'text'}", m)
        _arrow(axes, (2 + HALF, y), (3.2 - HALF, y), label="Q")
        _arrow(axes, (2 + HALF, other), (3.2 - HALF, y + (other - y) * 0.2), label="K, V")
        end = (3.2 + HALF, y)
        if residual:
            end = _around(axes, y)
        _arrow(axes, end, (joined[0] - HALF, joined[1] + (y - joined[1]) * 0.3))
    _box(axes, joined, "side\nby side" if branches == 2 else "$u_t$", "baseline")
    _arrow(axes, (joined[0] + HALF, joined[1]), (5.9 - HALF, joined[1]))
    _box(axes, (5.9, joined[1]), "classifier", "baseline")
    axes.set_title(title, fontsize=9, pad=2)
    axes.set(xlim=(-0.4, 6.3), ylim=(-0.6, 1.6))
    axes.axis("off")


def _around(axes: Axes, y: float) -> Place:
    """The residual from the linear map around norm and attention, and the sum; returns where the sum ends."""
    outside = y + (0.5 if y else -0.5)
    edge = y + (0.27 if y else -0.27)
    axes.plot([1, 1, 4.05], [edge, outside, outside], color=COLOURS["lmam"], lw=1.2)
    _arrow(axes, (4.05, outside), (4.05, y + (0.13 if y else -0.13)), COLOURS["lmam"])
    _arrow(axes, (3.2 + HALF, y), (4.05 - 0.12, y))
    axes.text(4.05, y, "+", ha="center", va="center", fontsize=10, color=COLOURS["lmam"])
    return (4.05 + 0.12, y)


def _box(axes: Axes, place: Place, label: str, colour: str) -> None:
    x, y = place
    box = FancyBboxPatch((x - HALF, y - 0.27), 2 * HALF, 0.54, boxstyle="round,pad=0,rounding_size=0.08")
    box.set(facecolor=COLOURS[colour] + "33", edgecolor=COLOURS[colour], linewidth=1.2)
    axes.add_patch(box)
    axes.text(x, y, label, ha="center", va="center", fontsize=8)


def _arrow(axes: Axes, start: Place, end: Place, colour: str = INK, label: str = "") -> None:
    shape = {"arrowstyle": "-|>", "color": colour, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=shape)
    if label:
        x, y = start[0] + 0.3 * (end[0] - start[0]), start[1] + 0.3 * (end[1] - start[1])
        level = start[1] == end[1]
        x, y, ha, va = (x, y + 0.03, "center", "bottom") if level else (x + 0.06, y, "left", "center")
        axes.text(x, y, label, fontsize=7, ha=ha, va=va)
