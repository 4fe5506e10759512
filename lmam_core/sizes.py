"""Parameters of every backbone beside the paper's Table VI, counted on models that are really built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lmam_core import paper
from lmam_core.backbones import backbone
from lmam_core.embedding import Embedded
from lmam_core.fusion import build
from lmam_core.plugin import BACKBONES
from lmam_core.results import DEFAULT

NAMES = {"text_cnn": "TextCNN", "bc_lstm": "bc-LSTM", "bc_lstm_att": "bc-LSTM+Att"} | BACKBONES
"""The rows of Table VI without LMAM."""

TEXT = {"text": 100}
ALL = {"text": 100, "audio": 100, "video": 512}
"""The widths of Section III-A of the paper, one modality and all three."""

REACHING: dict[str, tuple[str, Mapping[str, int], dict[str, Any]]] = {
    "text_cnn": ("100 filters, a hidden layer of 50", ALL, {}),
    "bc_lstm": ("one stream of width 232", {"text": 232}, {}),
    "dialogue_rnn": ("one stream of width 900, MELD's text and audio", {"text": 900}, {}),
    "m2fnet": ("width 200, feed-forward 600", ALL, {}),
    "emocaps": ("width 512, feed-forward 1,706", ALL, {"ffn": 1706}),
}
"""Sizes that come to the figure of Table VI where the usual ones do not: in words, the widths, the options."""


def count(name: str, widths: Mapping[str, int], **options: Any) -> int:
    """Trainable parameters of a backbone with its own fusion, for six classes."""
    made = backbone(name)
    model = Embedded(widths, 6, made, lambda w: build("concat", w), made.native, **options)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def printed(name: str) -> float:
    """Millions of parameters that Table VI prints for a backbone."""
    return paper.cell(6, NAMES[name], "overall", "params_M", "all")


def timings() -> pd.DataFrame:
    """Ours beside the originals, one row a backbone whose original can be run and number of threads.

    Differences in float64 of outputs and gradients; parameters and median seconds of forward and backward at the sizes
    in `conversations`, `utterances` and `width`; `ratio` is the original's seconds over ours. Source:
    `data/originals.csv`.
    """
    return pd.read_csv(DEFAULT.parent / "originals.csv")


def originals() -> pd.DataFrame:
    """The rows of `timings` by backbone, that with the fewest threads where there are several."""
    return timings().sort_values("threads").drop_duplicates("backbone").set_index("backbone").sort_index()


def table(*names: str) -> pd.DataFrame:
    """One row a backbone (all without names): ours at the paper's widths, the original's, Table VI, how to get it."""
    known, rows = originals(), []
    for name in names or NAMES:
        reached = ""
        if name in REACHING:
            words, widths, options = REACHING[name]
            reached = f"{words}: {count(name, widths, **options):,}"
        rows.append(
            {
                "backbone": NAMES[name],
                "ours, text 100": f"{count(name, TEXT):,}",
                "ours, 100 + 100 + 512": f"{count(name, ALL):,}",
                "original, same": f"{known.original_parameters[name]:,}" if name in known.index else "–",
                "Table VI": f"{printed(name):g} M",
                "sizes that come to it": reached or "–",
            }
        )
    return pd.DataFrame(rows)
