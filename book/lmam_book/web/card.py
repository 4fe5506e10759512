"""The picture that a link to the book shows elsewhere: the headline's gains beside the paper's, as a PNG."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from lmam_book.pages.style import COLOURS, TONES
from lmam_book.verdicts.headline import DATASETS, cells, table
from lmam_core.runs import names
from lmam_core.runs.store import Store


def image(root: Path) -> bytes:
    """1200 by 630 pixels: one row per backbone and dataset that has runs, our interval and the paper's diamond."""
    rows = table(cells(Store(root / "data" / "results")))
    rows = rows[rows.seeds > 0].iloc[::-1]
    ours, paper = (f"#{TONES['light'][COLOURS[name]]}" for name in ("lmam", "paper"))
    with mpl.rc_context({"font.size": 17, "svg.hashsalt": "lmam"}):
        figure = Figure(figsize=(12, 6.3), layout="constrained", facecolor="white")
        axes = figure.subplots()
        axes.axvline(0, color="#48566b", lw=1)
        for y, row in enumerate(rows.to_dict("records")):
            axes.plot([row["low"], row["high"]], [y, y], color=ours, lw=5, solid_capstyle="round")
            axes.plot(row["gain"], y, "o", color=ours, ms=12)
            axes.plot(row["printed gain"], y, "D", mfc="white", mec=paper, mew=3, ms=12)
        axes.set_yticks(range(len(rows)), [f"{names.title(r.backbone)}, {DATASETS[r.dataset]}" for r in rows.itertuples()])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("gain from LMAM in points; diamond: the paper, bar: our interval")
        axes.set_title("Does low-rank matching attention help?", fontsize=28, loc="left", pad=18)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        out = io.BytesIO()
        figure.savefig(out, dpi=100, metadata={"Software": None})
    return out.getvalue()
