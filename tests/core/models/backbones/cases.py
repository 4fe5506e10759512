"""Small batches for the tests of backbones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

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


def equals_its_reference(model: nn.Module, x: Mapping[str, Tensor], who: Turns) -> None:
    """A backbone gives what its `reference` gives, in float64 and with the gradients of streams and parameters."""
    given = [s.requires_grad_() for s in x.values()]
    outcomes = []
    for form in (model, model.reference):
        out = torch.cat(list(form(x, who).values()), -1)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)
        outcomes.append([out, *torch.autograd.grad((out * weights).sum(), [*given, *model.parameters()])])
    for fast, plain in zip(*outcomes, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-11)
