"""Figures for a phone: the same figure once more, as wide as the screen, its panels below each other."""

from __future__ import annotations

import io
import pickle
import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FixedLocator

NARROW = "lmam-narrow"
"""The entry of an output's metadata that holds the narrow SVG, where only the building of pages looks for it."""
WIDTH = 3.4
"""Inches: 326 pixels, which a phone has between its margins."""
SMALLEST = 7.6
"""Points: letters of 10 pixels."""
LINE, LABEL, ROW = 36, 20, 48
"""Characters of a line across the figure, of one beside an axis, and of all names along one, with gaps."""
CELLS = 100
"""A table of more written numbers keeps its colours alone."""
STEP, SPAN, LETTER = 0.48, 2.4, 0.08
"""Of a drawing that runs down the page: inches from box to box, its least width in boxes, inches of a letter."""


def narrow(figure: Figure) -> str | None:
    """A figure as an SVG of `WIDTH` with no letter below `SMALLEST`. The figure itself stays as it is.

    Panels stand below each other; pictures without axes stay beside each other and shrink; drawings of boxes run down
    the page. None for a figure that is narrow already.
    """
    if not figure.axes or figure.get_figwidth() <= WIDTH:
        return None
    copy = pickle.loads(pickle.dumps(figure))
    try:
        if not any(ax.axison for ax in copy.axes):
            _draw_down(copy)
        elif all(ax.images and not _numbered(ax) for ax in copy.axes):
            copy.set_size_inches(WIDTH, copy.get_figheight() * WIDTH / copy.get_figwidth())
        else:
            _stack(copy)
        for ax in copy.axes:
            _label(ax)
        for text in filter(None, (copy._suptitle, copy._supxlabel)):
            text.set_text(_broken(text.get_text()))
        for legend in list(copy.legends):
            names = [text.get_text() for text in legend.get_texts()]
            legend.remove()
            copy.legend(
                legend.legend_handles,
                [_broken(name) for name in names],
                loc="outside upper left",
                ncols=2 if max(map(len, names)) <= LABEL else 1,
                fontsize=8,
                title=legend.get_title().get_text() or None,
            )
        for text in copy.findobj(Text):
            text.set_fontsize(max(text.get_fontsize(), SMALLEST))
        copy.draw_without_rendering()
        for ax in copy.axes:
            _thin(ax)
        out = io.StringIO()
        copy.savefig(out, format="svg", bbox_inches="tight", pad_inches=0.02, metadata={"Date": None})
        return out.getvalue()
    finally:
        plt.close(copy)


def narrow_metadata(figure: Figure) -> tuple[dict[str, str], dict[str, str]]:
    """What IPython adds to a figure's usual output: no data, and the narrow form as metadata."""
    svg = narrow(figure)
    return {}, {NARROW: svg} if svg else {}


def _stack(figure: Figure) -> None:
    """Put panels that stand beside each other below each other; those that are off go, colour bars stay."""
    bars = [ax for ax in figure.axes if hasattr(ax, "_colorbar")]
    panels = [ax for ax in figure.axes if ax.axison and ax not in bars]
    rows, columns = (max(getattr(ax.get_gridspec(), n) for ax in panels) for n in ("nrows", "ncols"))
    height = figure.get_figheight()
    if columns > 1:
        for ax in set(figure.axes) - {*panels, *bars}:
            ax.remove()
        stack = figure.add_gridspec(len(panels), 1)
        for k, ax in enumerate(panels):
            ax.set_subplotspec(stack[k])
            ax.tick_params(labelleft=True, labelbottom=True)
        height = len(panels) * max(0.8 * height / rows, 1.8)
    for ax in panels:
        if len(ax.texts) > CELLS:
            for text in list(ax.texts):
                text.remove()
    figure.set_size_inches(WIDTH, height)


def _draw_down(figure: Figure) -> None:
    """Have drawings of boxes, which run from left to right, run down the page."""
    boxed = [ax for ax in figure.axes if any(isinstance(patch, FancyBboxPatch) for patch in ax.patches)]
    for ax in boxed:
        _turn(ax)
    lengths = [abs(np.diff(ax.get_ylim())[0]) for ax in boxed]
    if boxed and (grid := boxed[0].get_gridspec()):
        grid.set_height_ratios(lengths)
    height = sum(STEP * length + 0.35 for length in lengths) or figure.get_figheight()
    figure.set_size_inches(WIDTH, height)


def _turn(ax: Axes) -> None:
    """Turn a drawing: what stands at (x, y) goes to (-y, -x), what is written stays level."""

    def turned(place: tuple[float, float]) -> tuple[float, float]:
        return -place[1], -place[0]

    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    spare = max(SPAN - (high - low), 0) / 2
    longest = max(len(line) for text in ax.texts for line in text.get_text().split("\n"))
    needed = LETTER * longest * (high - low + 2 * spare) / WIDTH
    for box in (patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)):
        across, down = box.get_width(), box.get_height()
        x, y = turned((box.get_x() + across / 2, box.get_y() + down / 2))
        width = max(down, needed)
        box.set_bounds(x - width / 2, y - across / 2, width, across)
    for text in ax.texts:
        beside, below = text.get_verticalalignment() == "bottom", text.get_horizontalalignment() == "left"
        text.set(ha="right" if beside else "center", va="top" if below else "center")
        if isinstance(text, Annotation):
            text.xy = turned(text.xy)
        text.set_position(turned(text.get_position()))
    for line in ax.lines:
        line.set_data(-np.asarray(line.get_ydata()), -np.asarray(line.get_xdata()))
    ax.set(xlim=(-high - spare, -low + spare), ylim=(-right, -left))


def _label(ax: Axes) -> None:
    """Break long labels into lines; names on the x-axis that are many stand upright."""
    ax.set_xlabel(_broken(ax.get_xlabel()), fontsize=9, loc="right")  # beside it is room for names
    for where in ("left", "center", "right"):
        if title := ax.get_title(loc=where):
            ax.set_title(_broken(title), loc=where, fontsize=9)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_tick_params(labelsize=8)
        if names := _names(axis):
            axis.set_ticks(axis.get_majorticklocs(), [_broken(name, LABEL) for name in names])
    names = _names(ax.xaxis)
    if len(names) > 6 or len(names) * max(map(len, names), default=0) > ROW:
        start = "left" if ax.xaxis.get_ticks_position() == "top" else "right"
        upright: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor", "ha": start, "va": "center"}
        ax.set_xticks(ax.get_xticks(), [name.replace("\n", " ") for name in names], **upright)


def _thin(ax: Axes) -> None:
    """Leave out names of the x-axis that would stand on the one before."""
    if not (names := _names(ax.xaxis)):
        return
    upright = ax.get_xticklabels()[0].get_rotation() == 90
    places = ax.get_xaxis_transform().transform([(x, 0) for x in ax.get_xticks()])[:, 0] * 72 / ax.figure.dpi
    last = -np.inf
    for k, place in enumerate(places):
        if upright and abs(place - last) < 1.2 * SMALLEST:
            names[k] = ""
        else:
            last = place
    ax.set_xticks(ax.get_xticks(), names)


def _numbered(ax: Axes) -> bool:
    """Whether something is written along an axis."""
    return any(len(axis.get_majorticklocs()) for axis in (ax.xaxis, ax.yaxis))


def _names(axis: Axis) -> list[str]:
    """What somebody wrote beside an axis; empty where it has numbers of its own."""
    fixed = isinstance(axis.get_major_locator(), FixedLocator)
    return [text.get_text() for text in axis.get_majorticklabels()] if fixed else []


def _broken(text: str, at: int = LINE) -> str:
    return "\n".join(textwrap.fill(line, at) for line in text.split("\n"))
