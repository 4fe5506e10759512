"""Parameters of every backbone beside the paper's Table VI, counted on models that are really built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lmam_book.paper import printed as paper
from lmam_book.plans.arms import TABLE_SIX
from lmam_core import paths
from lmam_core.models.backbones import backbone
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from lmam_core.runs.names import title

TEXT = {"text": 100}
ALL = {"text": 100, "audio": 100, "video": 512}
"""The widths of Section III-A of the paper, one modality and all three."""

REACHING: dict[str, tuple[str, Mapping[str, int], dict[str, Any]]] = {
    "text_cnn": ("100 filters, a hidden layer of 50", ALL, {}),
    "bc_lstm": ("one stream of width 232", {"text": 232}, {}),
    "bc_lstm_att": ("284 units a direction", ALL, {"hidden": 284}),
    "dialogue_rnn": ("emotion states of 415", ALL, {"d_emotion": 415}),
    "dialogue_gcn": ("hidden layers of 319", ALL, {"hidden": 319}),
    "mm_dfn": ("hidden layers of 133", ALL, {"hidden": 133}),
    "m2fnet": ("width 200, feed-forward 600", ALL, {}),
    "emocaps": ("width 512, feed-forward 1,706", ALL, {"ffn": 1706}),
}
"""Sizes that come to the figure of Table VI, or nearest to it where none does: in words, the widths, the options."""

ELSEWHERE = {
    "text_cnn": "2,570,758 in the LMAM authors' code, for features 1,024, 1,582 and 342 wide",
    "m2fnet": "13,939,398 in a community version, for text and audio 100 wide; 86,251,783 with its own widths",
}
"""Other people's models of the name that are no originals of ours, as counted in their code: released LMAM code, commit
1ac9f43, without LMAM; iosonopersia/Multimodal-Emotion-Recognition, commit a279b91, which has no video."""


def count(name: str, widths: Mapping[str, int], **options: Any) -> int:
    """Trainable parameters of a backbone with its own fusion, for six classes."""
    backbone_class = backbone(name)
    model = embed(widths, 6, backbone_class, lambda w: build("concat", w), backbone_class.native, **options)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def printed(name: str) -> float:
    """Millions of parameters that Table VI prints for a backbone."""
    return paper.cell(6, title(name), "overall", "params_M", "all")


def reaches(name: str) -> bool:
    """Whether the sizes of `REACHING` give the figure of Table VI in all digits that it prints."""
    _, widths, options = REACHING[name]
    digits = len(f"{printed(name):g}".partition(".")[2])
    return round(count(name, widths, **options) / 1e6, digits) == printed(name)


def timings() -> pd.DataFrame:
    """Ours beside the originals, one row per backbone with a runnable original, mode of ours and number of threads.

    Differences in float64 of outputs and gradients; parameters and median seconds of forward and backward at the sizes
    in `conversations`, `utterances` and `width`; `ratio` is the original's seconds over ours. In the mode `faithful`
    padding leaks into ours as into the original, `default` is what the book trains. Source: `data/originals.csv`.
    """
    return pd.read_csv(paths.data("originals.csv"))


def originals() -> pd.DataFrame:
    """The rows of `timings` by backbone: that with the fewest threads, in the default mode where both were timed."""
    return timings().sort_values(["threads", "mode"]).drop_duplicates("backbone").set_index("backbone").sort_index()


def table(*names: str) -> pd.DataFrame:
    """Ours at the paper's widths, the original's, Table VI, how to get it: one row per backbone."""
    known, rows = originals(), []
    for name in names or TABLE_SIX:
        reaching = "–"
        if name in REACHING:
            words, widths, options = REACHING[name]
            reaching = f"{words}: {count(name, widths, **options):,}{'' if reaches(name) else ' (nearest)'}"
        original = f"{known.original_parameters[name]:,}" if name in known.index else ELSEWHERE.get(name, "–")
        rows.append(
            {
                "backbone": title(name),
                "ours, text 100": f"{count(name, TEXT):,}",
                "ours, 100 + 100 + 512": f"{count(name, ALL):,}",
                "original, 100 + 100 + 512": original,
                "Table VI": f"{printed(name):g} M" if name in REACHING else "–",
                "sizes that come to it": reaching,
            }
        )
    return pd.DataFrame(rows)
