"""Small batches for the tests of backbones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lmam_core.batch import Turns

WIDTHS = {"text": 7, "audio": 5, "video": 9}


def turns(*lengths: int, pad: int = 0) -> Turns:
    """Conversations of these lengths and so much padding, in which two speakers alternate."""
    mask = torch.arange(max(lengths) + pad)[None] < torch.tensor(lengths)[:, None]
    return Turns(torch.arange(mask.shape[1])[None] % 2 * mask, mask, torch.tensor(lengths))


def streams(who: Turns, fill: float = 0.0, widths: Mapping[str, int] = WIDTHS) -> dict[str, Tensor]:
    """Random features that an utterance keeps when padding, holding `fill`, is added."""
    generator = torch.Generator().manual_seed(1)
    B, L = who.mask.shape
    made = {m: torch.randn(B, 20, d, generator=generator, dtype=torch.float64)[:, :L] for m, d in widths.items()}
    return {m: x.masked_fill(~who.mask[..., None], fill) for m, x in made.items()}
