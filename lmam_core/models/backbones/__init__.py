"""The backbones, one a file; `BACKBONES` names them.

Contract: `Backbone(widths, speakers)` is an `nn.Module` with

* `forward(streams, turns) -> streams`: puts every utterance into the context of its conversation. `streams[m]` is
  (B, L, d_m) for each modality, or one stream called `fused` when fusion happens before; the result has the same
  names, each (B, L, `d_out[m]`), and does not depend on padding. `turns` says who speaks when (`Turns`);
* `classifier(width, outputs) -> nn.Module`: what turns one (B, L, width) stream and `turns` into (B, L, outputs);
* `native`, the embedding way in which the original model fuses its modalities, `early` or `late`;
* `widened`, the name of the option that sets the width of its layers, for comparisons with equal parameters;
* `multimodal`: whether the model relates the modalities to each other itself, so that the early ways of embedding
  have to hand it one stream a modality;
* `leak`: one sentence on how padding reaches the results of the original, "" where it does not. A backbone that has
  one takes `faithful=True` to do as its original does; it is off by default.

Fusion and the three embedding ways live in `embedded.py`; no backbone knows of them.
"""

from __future__ import annotations

from torch import nn

from lmam_core.errors import LmamError
from lmam_core.models.backbones.bc_lstm import BcLstm, BcLstmAttention
from lmam_core.models.backbones.dialogue_gcn import DialogueGcn
from lmam_core.models.backbones.dialogue_rnn import DialogueRnn
from lmam_core.models.backbones.emocaps import EmoCaps
from lmam_core.models.backbones.m2fnet import M2FNet
from lmam_core.models.backbones.mm_dfn import MmDfn
from lmam_core.models.backbones.text_cnn import TextCnn
from lmam_core.models.backbones.utterance import Utterance

BACKBONES: dict[str, type[nn.Module]] = {
    "text_cnn": TextCnn,
    "bc_lstm": BcLstm,
    "bc_lstm_att": BcLstmAttention,
    "dialogue_rnn": DialogueRnn,
    "dialogue_gcn": DialogueGcn,
    "mm_dfn": MmDfn,
    "m2fnet": M2FNet,
    "emocaps": EmoCaps,
    "utterance": Utterance,
}


def backbone(name: str) -> type[nn.Module]:
    """The backbone of this name; raises LmamError where there is none."""
    if name not in BACKBONES:
        raise LmamError(f"There is no backbone '{name}'; choose one of {', '.join(BACKBONES)}.")
    return BACKBONES[name]
