"""The front page's figure in the page itself: who points at a row, taps it or comes to it by key reads its numbers."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from lmam_book.pages.figures.headline import forest
from lmam_book.pages.narrow import narrow
from lmam_book.pages.style import look
from lmam_book.verdicts import headline
from lmam_book.verdicts.headline import DATASETS, Cell, cells
from lmam_core.runs import names
from lmam_core.runs.store import Store

PAGE = "book/index.md"
PICTURE = re.compile(r"!\[[^\]]*\]\(_static/forest\.svg\)")
"""What readers of the repository see in its place."""
HIT = re.compile(r'<g id="cell-(\w+)-(\w+)">\s*<path d="([^"]*)"[^>]*/>\s*</g>')
UNUSED = re.compile(r'<metadata>.*?</metadata>| id="[\w.]*_\d+"', re.S)
"""What two figures of one page need not say: names of their parts, which would be there twice."""
LINE = 13
"""The height of a line of text, in the figure's units."""


def figure(root: Path) -> str:
    """The figure wide and, for a phone, narrow, as SVG that needs no script."""
    known = cells(Store(root / "data" / "results"))
    settings: Any = {**look(), "svg.fonttype": "none", "font.size": 11}
    with mpl.rc_context(settings):
        drawn = forest(known)
        out = io.StringIO()
        drawn.savefig(out, format="svg", metadata={"Date": None})
        small = narrow(drawn)
        plt.close(drawn)
    assert small
    wide = _live(out.getvalue(), known, whole_rows=True)
    phone = _live(small, known, whole_rows=False)
    return (
        f'<div class="lmam-dots lmam-forest"><div class="lmam-wide">{wide}</div>'
        f'<div class="lmam-narrow">{phone}</div></div>'
    )


def preview(root: Path) -> bytes:
    """The figure as the PNG that a link to the book shows elsewhere: 1200 by 630 pixels, on white."""
    with mpl.rc_context({"figure.constrained_layout.use": True, "font.size": 11}):
        figure = forest(cells(Store(root / "data" / "results")))
        figure.set_size_inches(10, 5.25)
        figure.suptitle("Does low-rank matching attention help?", fontsize=17)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=120, facecolor="white", metadata={"Software": None})
        plt.close(figure)
    return out.getvalue()


def row_text(cell: Cell) -> tuple[str, str]:
    """A comparison in two lines: our gain with its interval and seeds; the reported one and the word."""
    row = headline.row(cell)
    where = f"{names.title(cell.backbone)}, {DATASETS[cell.dataset]}"
    ours = "not measured yet"
    if row["seeds"]:
        ours = f"{row['gain']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f}), {row['seeds']} seeds"
    return f"{where}: {ours}", f"the paper reports {cell.reported:+.1f}: {row['word']}"


def _live(svg: str, known: Sequence[Cell], whole_rows: bool) -> str:
    """A figure that says what its rows say: a whole row on top, for there it is in view, or a cell below itself."""
    rows: dict[str, tuple[list[str], list[str]]] = {}
    of = {(cell.backbone, cell.dataset): cell for cell in known}
    for backbone, dataset, path in HIT.findall(svg):
        paths, lines = rows.setdefault(backbone if whole_rows else f"{backbone} {dataset}", ([], []))
        paths.append(path)
        lines += ["; ".join(row_text(of[backbone, dataset]))] if whole_rows else row_text(of[backbone, dataset])
    svg = UNUSED.sub("", HIT.sub("", svg[svg.index("<svg") :]))
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    top = LINE * (1 + len(DATASETS) * whole_rows)
    opened = (
        f'<svg viewBox="0 {-top} {width} {height + top:.2f}" role="group" aria-label="Gains with LMAM, ours beside the '
        f'paper\'s"><text class="lmam-hint" y="{LINE - top}">Point at a row, tap it, or use the Tab key.</text>'
    )
    parts = (_row(*row, width, -top if whole_rows else _lowest(row[0])) for row in rows.values())
    return re.sub("<svg[^>]*>", lambda _: opened, svg, count=1).replace("</svg>", f"{''.join(parts)}</svg>")


def _lowest(paths: Sequence[str]) -> float:
    return max(float(y) for path in paths for y in re.findall(r"[ML] [-\d.]+ ([-\d.]+)", path))


def _row(paths: Sequence[str], lines: Sequence[str], width: float, y: float) -> str:
    """A row with what it says, which stands on the page's own ground from y on."""
    text = "".join(f'<tspan x="2" dy="{LINE}">{html.escape(line)}</tspan>' for line in lines)
    spans = "".join(f'<path d="{path}"/>' for path in paths)
    return (
        f'<g class="lmam-dot" tabindex="0" role="img" aria-label="{html.escape(". ".join(lines))}">{spans}'
        f'<rect y="{y:.1f}" width="{width}" height="{LINE * len(lines) + 4}"/><text y="{y:.1f}">{text}</text></g>'
    )
