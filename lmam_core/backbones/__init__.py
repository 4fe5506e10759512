"""The backbones, one a file; `BACKBONES` names them.

Contract: `Backbone(widths, speakers)` is an `nn.Module` with

* `forward(streams, speaker, mask) -> streams`: puts every utterance into the context of its conversation.
  `streams[m]` is (B, L, d_m) for each modality, or one stream called `fused` when fusion happens before; the result
  has the same names, each (B, L, `d_out[m]`), and does not depend on padding. `speaker` and `mask` are (B, L);
* `classifier(width, outputs) -> nn.Module`: the layers that turn one (B, L, width) stream into (B, L, outputs);
* `native`, the embedding way in which the original model fuses its modalities, `early` or `late`.

Fusion and the three embedding ways live in `embedding.py`; no backbone knows of them.
"""

from __future__ import annotations

from torch import nn

from lmam_core.backbones.bc_lstm import BcLstm, BcLstmAttention
from lmam_core.errors import LmamError

BACKBONES: dict[str, type[nn.Module]] = {"bc_lstm": BcLstm, "bc_lstm_att": BcLstmAttention}


def backbone(name: str) -> type[nn.Module]:
    """The backbone of this name; raises LmamError where there is none."""
    if name not in BACKBONES:
        raise LmamError(f"There is no backbone '{name}'; choose one of {', '.join(BACKBONES)}.")
    return BACKBONES[name]
