"""What backbones and arms are called in tables."""

from __future__ import annotations

from lmam_core.models.backbones import backbone
from lmam_core.runs.experiment import Experiment

BACKBONES = {
    "text_cnn": "TextCNN",
    "bc_lstm": "bc-LSTM",
    "dialogue_rnn": "DialogueRNN",
    "dialogue_gcn": "DialogueGCN",
    "mm_dfn": "MM-DFN",
    "m2fnet": "M2FNet",
    "emocaps": "EmoCaps",
}
"""The paper's name of each backbone, in the order of its tables."""

WAYS = {"early": "LMAM early", "early_residual": "LMAM early + residual", "late": "LMAM late"}


def arm(e: Experiment) -> str:
    """What an experiment's arm is called in tables: `concatenation`, `self-attention`, `LMAM late`, ..."""
    if e.fusion != "lmam":
        name = "self-attention" if e.backbone.endswith("_att") else "concatenation"
        name = name if e.embedding == backbone(e.backbone).native else f"{name}, {e.embedding}"
        return f"{name}, faithful" if e.faithful else name
    name = WAYS[e.embedding]
    if e.variant != "paper":
        name += f", {e.variant} variant"
    return f"{name}, {e.readings}" if e.readings else name


NAMES = {"text_cnn": "TextCNN", "bc_lstm": "bc-LSTM", "bc_lstm_att": "bc-LSTM+Att"} | BACKBONES
"""The rows of Table VI without LMAM."""
