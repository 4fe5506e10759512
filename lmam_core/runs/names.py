"""What backbones and arms are called in tables."""

from __future__ import annotations

from lmam_core.models.backbones import backbone
from lmam_core.models.fusion import method
from lmam_core.runs.experiment import Experiment

WAYS = {"early": "LMAM early", "early_residual": "LMAM early + residual", "late": "LMAM late"}


def title(name: str) -> str:
    """What a backbone is called, as it says itself; raises LmamError where there is none of this name."""
    return backbone(name).title


def arm(e: Experiment) -> str:
    """What an experiment's arm is called: `concatenation`, `self-attention` (bc-LSTM+Att's), `LMAM late`, `TFN`, ..."""
    if e.fusion != "lmam":
        name = "self-attention" if e.backbone.endswith("_att") else method(e.fusion).title
        name = name if e.embedding == backbone(e.backbone).native else f"{name}, {e.embedding}"
        return f"{name}, faithful" if e.faithful else name
    name = WAYS[e.embedding or backbone(e.backbone).native]
    if e.variant != "paper":
        name += f", {e.variant} variant"
    return f"{name}, {e.readings}" if e.readings else name
