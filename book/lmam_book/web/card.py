"""The picture that a link to the book shows elsewhere: the front page's figure as a PNG."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from lmam_book.pages.figures.headline import forest
from lmam_book.verdicts.headline import cells
from lmam_core.runs.store import Store


def image(root: Path) -> bytes:
    """1200 by 630 pixels: LMAM's gain in each backbone on each dataset, ours beside the paper's, on white."""
    with mpl.rc_context({"figure.constrained_layout.use": True, "font.size": 11}):
        figure = forest(cells(Store(root / "data" / "results")))
        figure.set_size_inches(10, 5.25)
        figure.suptitle("Does low-rank matching attention help?", fontsize=17)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=120, facecolor="white", metadata={"Software": None})
        plt.close(figure)
    return out.getvalue()
