"""Figures for a phone: the same figure once more, as wide as the screen, its panels below each other."""

from __future__ import annotations

import io
import pickle
import textwrap

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

NARROW = "lmam-narrow"
"""The entry of an output's metadata that holds the narrow SVG, where only the building of pages looks for it."""
WIDTH = 3.4
"""Inches: 326 pixels, which a phone has between its margins."""
SMALLEST = 7.6
"""Points: letters of 10 pixels."""
LINE, LABEL = 36, 20
"""Characters of a line across the figure, and of one beside an axis."""
CELLS, PANELS = 100, 10
"""A table of more written numbers does not fit, nor do more panels: a film."""


def narrow(figure: Figure) -> str | None:
    """A figure as an SVG of `WIDTH` with no letter below `SMALLEST`. The figure itself stays as it is.

    None for one that is narrow already, for drawings, whose axes are off, for tables, films, and panels with a colour
    bar.
    """
    panels = [ax for ax in figure.axes if ax.axison]
    grids = [grid for ax in panels if (grid := ax.get_gridspec())]
    columns = max((grid.ncols for grid in grids), default=1)
    much = len(panels) > PANELS or any(len(ax.texts) > CELLS for ax in panels)
    if not grids or much or figure.get_figwidth() <= WIDTH or (columns > 1 and len(grids) < len(panels)):
        return None
    copy = pickle.loads(pickle.dumps(figure))
    try:
        _stack(copy, max(grid.nrows for grid in grids), columns)
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
        out = io.StringIO()
        copy.savefig(out, format="svg", bbox_inches="tight", pad_inches=0.02, metadata={"Date": None})
        return out.getvalue()
    finally:
        plt.close(copy)


def narrow_metadata(figure: Figure) -> tuple[dict[str, str], dict[str, str]]:
    """What IPython adds to a figure's usual output: no data, and the narrow form as metadata."""
    svg = narrow(figure)
    return {}, {NARROW: svg} if svg else {}


def _stack(figure: Figure, rows: int, columns: int) -> None:
    """Put panels that stand beside each other below each other; those that are off go."""
    height = figure.get_figheight()
    if columns > 1:
        panels = [ax for ax in figure.axes if ax.axison]
        for ax in set(figure.axes) - set(panels):
            ax.remove()
        stack = figure.add_gridspec(len(panels), 1)
        for k, ax in enumerate(panels):
            ax.set_subplotspec(stack[k])
            ax.tick_params(labelleft=True, labelbottom=True)
        height = len(panels) * max(0.8 * height / rows, 1.8)
    figure.set_size_inches(WIDTH, height)


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
    if len(_names(ax.xaxis)) > 6:
        ax.tick_params(axis="x", rotation=90)


def _names(axis: Axis) -> list[str]:
    """What somebody wrote beside an axis; empty where it has numbers of its own."""
    fixed = isinstance(axis.get_major_locator(), FixedLocator)
    return [text.get_text() for text in axis.get_majorticklabels()] if fixed else []


def _broken(text: str, at: int = LINE) -> str:
    return "\n".join(textwrap.fill(line, at) for line in text.split("\n"))
