"""The figures that more than one chapter draws; each returns its figure, in the look of `reporting.style()`."""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import textalloc
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import EngFormatter, NullLocator

from lmam_book.pages.narrow import SMALLEST, WIDTH
from lmam_book.pages.style import COLOURS, INK, untex
from lmam_book.verdicts.intervals import Interval, interval

HEAT = LinearSegmentedColormap.from_list("lmam", ["#8a93a022", COLOURS["lmam"]])
"""From nearly transparent to LMAM's red, so that an empty cell shows the page on both schemes."""

AROUND = LinearSegmentedColormap.from_list("around", [COLOURS["text"], "#8a93a018", COLOURS["lmam"]])
"""Blue below the middle, nearly transparent at it, red above."""

Box = tuple[str, str]
"""A box of a drawing: its label and the name of its colour in `COLOURS`."""


def pipeline(
    axes: Axes, columns: Sequence[Sequence[Box]], title: str = "", skip: tuple[int, int] | None = None
) -> None:
    """Draw columns of boxes with an arrow from every box to those of the next column that it feeds.

    A column as tall as the one before is fed box by box, otherwise all feed all. `skip` draws a residual arrow over the
    top from all boxes of one column to another.
    """
    tallest = max(map(len, columns))
    places = [[(x, (tallest - len(c)) / 2 + y) for y in range(len(c))] for x, c in enumerate(columns)]
    for x, (column, place) in enumerate(zip(columns, places, strict=True)):
        for (label, colour), (_, y) in zip(column, place, strict=True):
            box = FancyBboxPatch((x - 0.36, -y - 0.3), 0.72, 0.6, boxstyle="round,pad=0,rounding_size=0.08")
            box.set(facecolor=COLOURS[colour] + "33", edgecolor=COLOURS[colour], linewidth=1.2)
            axes.add_patch(box)
            axes.text(x, -y, label, ha="center", va="center", fontsize=8)
    for here, there in pairwise(places):
        one_to_one = len(here) == len(there)
        for a, (x, y) in enumerate(here):
            for b, (u, v) in enumerate(there):
                if a == b or not one_to_one:
                    _arrow(axes, (x + 0.37, -y), (u - 0.37, -v))
    if skip:
        start, end = skip
        top = 0.55
        side = start - 0.44  # a bracket around all boxes of the column: all of them are added
        heights = [-y for _, y in places[start]]
        for y in heights:
            axes.plot([start - 0.36, side], [y, y], color=COLOURS["baseline"], lw=1.2)
        axes.plot([side, side, end], [min(heights), top, top], color=COLOURS["baseline"], lw=1.2)
        _arrow(axes, (end, top), (end, -places[end][0][1] + 0.32), COLOURS["baseline"])
    axes.set_title(title, fontsize=9)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-tallest + 0.45, 0.75))
    axes.axis("off")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    )


WAYS = ("early", "early_residual", "late")


def embeddings(
    backbone: str, modalities: Sequence[str], multimodal: bool = False, ways: Sequence[str] = WAYS
) -> Figure:
    """The three ways to embed LMAM in a backbone (Fig. 4a to c), or some of them, drawn for these modalities.

    A `multimodal` backbone stays whole: it is handed LMAM's output in one part per modality, or its own contexts fused.
    """
    inputs, parts = [(m, m) for m in modalities], [(f"{m}'", m) for m in modalities]
    lmam, plus = [("LMAM", "lmam")], [("+", "baseline")]
    context, head = [(backbone, "baseline")], [("classifier", "baseline")]
    rest = [parts, context, head] if multimodal else [context, head]
    each = context if multimodal else [(backbone, m) for m in modalities]
    drawn: dict[str, tuple[list[list[Box]], str, tuple[int, int] | None]] = {
        "early": ([inputs, lmam, *rest], "early: fuse the features, then encode", None),
        "early_residual": (
            [inputs, lmam, plus, *rest],
            "early_residual: add the features of all modalities back",
            (0, 2),
        ),
        "late": ([inputs, each, lmam, head], "late: encode each modality, then fuse the contexts", None),
    }
    figure, axes = plt.subplots(len(ways), 1, figsize=(7, 1.9 * len(ways)), squeeze=False)
    for ax, way in zip(axes[:, 0], ways, strict=True):
        pipeline(ax, *drawn[way])
    return figure


def attention(maps: Mapping[str, np.ndarray], ticks: Sequence[str] | None = None) -> Figure:
    """Attention weights of one conversation as heat maps, queries down and keys across, in units of 1 / n.

    1 is uniform averaging. `maps[title]` is (n, n); `ticks` names the utterances where there are few.
    """
    figure, axes = plt.subplots(1, len(maps), figsize=(2.5 * len(maps) + 0.8, 2.9), squeeze=False)
    reach = max(float(np.abs(a * a.shape[1] - 1).max()) for a in maps.values())
    for ax, (title, weights) in zip(axes[0], maps.items(), strict=True):
        image = ax.imshow(weights * weights.shape[1], cmap=AROUND, vmin=1 - reach, vmax=1 + reach)
        ax.set_title(title)
        ax.set_xlabel("key utterance")
        if ticks is not None and len(ticks) <= 24:
            ax.set_yticks(range(len(ticks)), map(untex, ticks), fontsize=6)
    axes[0][0].set_ylabel("query utterance")
    figure.colorbar(image, ax=axes[0], label="weight x n (1 = uniform)", shrink=0.8)
    return figure


def curves(trainings: Mapping[str, tuple[Sequence[float], Sequence[float]]], score: str) -> Figure:
    """Training loss and selection score by epoch of each named training, `(train_loss, selection_score)`."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.6))
    others = iter(("baseline", "text", "audio", "video", "nonverbal"))
    for name, (loss, selection) in trainings.items():
        colour = COLOURS["lmam" if "LMAM" in name else next(others)]
        for ax, values in zip(axes, (loss, selection), strict=True):
            ax.plot(range(1, len(values) + 1), values, marker="o", ms=2.5, lw=1.2, label=name, color=colour)
    axes[0].set(xlabel="epoch", title="training loss")
    axes[1].set(xlabel="epoch", title=f"validation {score}")
    axes[0].legend(fontsize=8)
    return figure


def seeds(values: Mapping[str, Sequence[float]], axis: str) -> Figure:
    """Each arm's seeds as dots with mean and 95 % interval, one row per arm from the top down."""
    figure, ax = plt.subplots(figsize=(7, 0.42 * len(values) + 1.1))
    for row, (name, scores) in enumerate(values.items()):
        colour, mean = COLOURS["lmam" if "LMAM" in name else "baseline"], interval(scores)
        jitter = 0.12 * np.sin(2.4 * np.arange(len(scores)))  # apart, and the same on every build
        ax.scatter(scores, row + jitter, s=14, color=colour, alpha=0.55, lw=0)
        if mean.n > 1:
            ax.plot([mean.low, mean.high], [row, row], color=colour, lw=2.2, solid_capstyle="round")
        ax.scatter(mean.mean, row, s=46, marker="|", color=colour, lw=2.2, zorder=3)
    ax.set_yticks(range(len(values)), [f"{name} (n={len(scores)})" for name, scores in values.items()])
    ax.invert_yaxis()
    ax.set_xlabel(axis)
    return figure


DOT = """<style>
.lmam-dot { cursor: pointer; outline: none; }
.lmam-dot circle { fill: transparent; }
.lmam-dot text { display: none; fill: currentColor; font: 9px sans-serif; }
.lmam-dot:is(:hover, :focus) text { display: inline; }
.lmam-dots:has(.lmam-dot:hover) .lmam-dot:focus:not(:hover) text { display: none; }
.lmam-dot:is(:hover, :focus) circle { stroke: currentColor; stroke-width: 1.5; }
.lmam-dots .lmam-narrow { display: none; }
@media (max-width: 768px) { .lmam-dots .lmam-wide { display: none; } .lmam-dots .lmam-narrow { display: block; } }
</style>"""
"""How a dot of `trade` shows what it says, in the colour of the page's own text; which form a screen shows."""


def trade(points: Mapping[str, tuple[float, Interval]], axis: str, score: str) -> HTML:
    """Score with its 95 % interval against a cost, both of every named arm; a dot says its name and numbers.

    The first line of `axis` names the cost. An SVG that needs no script: a dot that is pointed at, tapped or reached
    with the Tab key shows its numbers above the axes, and a screen reader is told them.
    """
    forms = {
        "wide": _traded(points, axis, score, (7, 4.8), 7),
        "narrow": _traded(points, axis, score, (WIDTH, 6.2), SMALLEST),
    }
    shown = "".join(f"<div class='lmam-{form}'>{svg}</div>" for form, svg in forms.items())
    return HTML(f"{DOT}<div class='lmam-dots'>{shown}</div>")


def _traded(
    points: Mapping[str, tuple[float, Interval]], axis: str, score: str, size: tuple[float, float], letters: float
) -> str:
    """`trade` as one SVG of a size in inches, with names of `letters` points."""
    figure, ax = plt.subplots(figsize=size)
    ax.set_title("\n\n")  # keeps the three lines of a dot's text free
    for k, (name, (cost, mean)) in enumerate(points.items()):
        colour = COLOURS["lmam" if "LMAM" in name else "baseline"]
        if mean.n > 1:
            ax.plot([cost, cost], [mean.low, mean.high], color=colour, lw=1.2, alpha=0.6)
        ax.scatter(max(cost, 1e-9), mean.mean, s=52, color=colour, gid=f"point-{k}", zorder=3)
    ax.set(xlabel="\n".join(textwrap.fill(line, int(12 * size[0])) for line in axis.splitlines()), ylabel=score)
    ax.xaxis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
    ax.locator_params(axis="x", nbins=int(size[0] + 2))
    figure.draw_without_rendering()  # the layout comes first: names are placed in its pixels
    _name_dots(ax, points, letters)
    drawn = io.StringIO()
    # Words as words: a quarter of the size, and search finds them. Two figures of a page share no name of a part.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"lmam {size[0]}"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    svg = drawn.getvalue()
    for k, (name, (cost, mean)) in enumerate(points.items()):
        amount = f"{cost:,.0f}" if cost >= 1000 else f"{cost:.3g}"
        lines = [name, f"{score}: {mean}", f"{axis.splitlines()[0]}: {amount}"]
        group = f'<g id="point-{k}">'
        place = re.findall(rf'{group}.*?<use [^>]*x="([^"]*)" y="([^"]*)"', svg, re.S)[0]
        svg = svg.replace(group, _dot([html.escape(line) for line in lines], *map(float, place)))
    opened = f'<svg role="group" aria-label="{html.escape(score)} by {html.escape(axis)}"'
    return re.sub(r' id="[\w.]+_\d+"', "", svg[svg.index("<svg") :].replace("<svg", opened, 1))


def _name_dots(ax: Axes, points: Mapping[str, tuple[float, Interval]], letters: float) -> None:
    """Write the name of every dot of `trade` where it meets no other name, dot or bar; a thin line leads there."""
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())  # or a line to a name would move the axes under the others
    costs, scores = [cost for cost, _ in points.values()], [mean.mean for _, mean in points.values()]
    bars = [(cost, mean) for cost, mean in points.values() if mean.n > 1]
    *_, lines = textalloc.allocate(
        ax, costs, scores, list(points), x_scatter=costs, y_scatter=scores, scatter_sizes=[52] * len(points),  # type: ignore[list-item]
        x_lines=[[cost, cost] for cost, _ in bars] or None,  # type: ignore[arg-type]
        y_lines=[[m.low, m.high] for _, m in bars] or None,  # type: ignore[arg-type]
        textsize=letters, textcolor=INK, linecolor=INK, linewidth=0.5, max_distance=0.5, margin=0.012,
        nbr_candidates=1000, priority_strategy="largest", avoid_crossing_label_lines=True,
        avoid_label_lines_overlap=True,
    )  # fmt: skip
    for line in lines:
        if isinstance(line, Line2D):
            line.set_linestyle(":")  # not to be taken for a bar


def _dot(lines: Sequence[str], x: float, y: float) -> str:
    """What the group of a dot of `trade` at (x, y) opens with: its name for screen readers, a ring, its text on top."""
    text = "".join(f'<tspan x="2" dy="11">{line}</tspan>' for line in lines)
    return (
        f'<g class="lmam-dot" tabindex="0" role="img" aria-label="{"; ".join(lines)}">'
        f'<circle cx="{x}" cy="{y}" r="6"/><text y="2">{text}</text>'
    )


def growth(rows: Mapping[str, Mapping[str, Mapping[str, Mapping[float, float]]]]) -> Figure:
    """How quantities grow, on logarithmic axes: `rows[quantity][variable][method]` maps the variable to the quantity.

    Above a panel stands each curve's slope at the right end, in its colour: the power with which the quantity grows.
    """
    columns = len(next(iter(rows.values())))
    size = (2.05 * columns, 1.85 * len(rows))
    figure, axes = plt.subplots(len(rows), columns, figsize=size, sharex="col", sharey="row", squeeze=False)
    colours = {"self-attention": "baseline", "LMAM": "lmam"}
    for line, (quantity, variables) in zip(axes, rows.items(), strict=True):
        for ax, (variable, methods) in zip(line, variables.items(), strict=True):
            for k, (method, curve) in enumerate(methods.items()):
                colour = COLOURS[colours.get(method, "audio")]
                ax.plot(list(curve), list(curve.values()), marker="o", ms=2.5, lw=1.2, color=colour, label=method)
                power = f"{slope(curve):.1f}".replace("-0.0", "0.0")
                ax.text(0.02 + 0.2 * k, 1.01, power, color=colour, fontsize=9, transform=ax.transAxes)
            ax.set(xscale="log", yscale="log")
            ax.set_xticks(ticks := list(curve)[::2], labels=[f"{v:g}" for v in ticks])
            ax.xaxis.set_minor_locator(NullLocator())
            ax.tick_params(labelsize=7)
            ax.tick_params(which="minor", labelsize=5)
            if ax in axes[-1]:
                ax.set_xlabel(variable, fontsize=8)
        line[0].set_ylabel(quantity, fontsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return figure


def slope(curve: Mapping[float, float]) -> float:
    """The power of growth between the last two points (x, y) of a curve: log(y' / y) / log(x' / x)."""
    (x, y), (u, v) = list(curve.items())[-2:]
    return float(np.log(v / y) / np.log(u / x))


def over(
    values: Mapping[float, Sequence[float]], axis: str, score: str, beyond: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """Every seed as a dot over a quantity on a logarithmic axis, with mean and 95 % interval; arms without one beside.

    `values` maps the quantity to one value per seed; `beyond` names arms that have no such quantity. The axis says how
    many seeds most arms have, and which have others.
    """
    figure, ax = plt.subplots(figsize=(7, 3.2))
    places = {f"{x:g}": (float(x), scores) for x, scores in sorted(values.items())}
    step = 1.5
    for k, (name, scores) in enumerate((beyond or {}).items(), 1):
        places[name] = (max(values) * step ** (k + 0.3), scores)
    for name, (x, scores) in places.items():
        colour = COLOURS["baseline" if name in (beyond or {}) else "lmam"]
        jitter = 1 + 0.035 * np.sin(2.4 * np.arange(len(scores)))  # apart, and the same on every build
        ax.scatter(x * jitter, scores, s=14, color=colour, alpha=0.5, lw=0)
        mean = interval(scores)
        if mean.n > 1:
            ax.plot([x, x], [mean.low, mean.high], color=colour, lw=2.2, solid_capstyle="round")
        ax.scatter(x, mean.mean, s=46, marker="_", color=colour, lw=2.2, zorder=3)
    counts = {name: len(scores) for name, (_, scores) in places.items()}
    most = max(counts.values(), key=list(counts.values()).count)
    others = "".join(f", {name}: {n}" for name, n in counts.items() if n != most)
    ax.set(xscale="log", xlabel=f"{axis} (n = {most}{others})", ylabel=score)
    ax.set_xticks([x for x, _ in places.values()], labels=list(places), fontsize=7)
    ax.xaxis.set_minor_locator(NullLocator())
    return figure


def spectra(panels: Mapping[str, Mapping[str, Sequence[float]]], marks: Mapping[str, float] | None = None) -> Figure:
    """Singular values by their number, one panel per title: `panels[title][name]`, in units of the largest of each.

    `marks` draws a vertical line in every panel, named.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(7, 2.7), sharey=True, squeeze=False)
    styles = dict(zip(next(iter(panels.values())), (("baseline", ":"), ("lmam", "-"), ("audio", "--")), strict=False))
    for ax, (title, curves_) in zip(axes[0], panels.items(), strict=True):
        for name, values in curves_.items():
            s = np.asarray(values)[np.asarray(values) > 0]
            colour, line = styles[name]
            ax.plot(range(1, len(s) + 1), s / s.max(initial=0), line, color=COLOURS[colour], lw=1.3, label=name)
        for name, x in (marks or {}).items():
            ax.axvline(x, color=INK, lw=0.8)
            ax.annotate(name, (x, 1), xytext=(3, -2), textcoords="offset points", fontsize=7)
        ax.set(yscale="log", ylim=(1e-3, 1.3), xlabel="number of the singular value", title=title)
    axes[0][0].set_ylabel("over the largest")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return figure
