"""LoRA (Hu et al., ICLR 2022): a frozen model with low-rank additions to its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lmam_core.errors import LmamError


class LowRank(nn.Module):
    """W + B A, with A (r, columns) random and B (rows, r) zero at the start; r (rows + columns) parameters.

    Hu et al. 2022, Eq. 3 and Section 4.1, whose factor α / r is 1: it would scale with the learning rate, which is
    tuned. A is uniform in ±√(3 / columns), so that its entries deviate by 1 / √columns: our choice. Section 4.1 has it
    Gaussian, as we recollect, and gives no deviation; `loralib` (c4593f0) takes `kaiming_uniform_(a=√5)`, which is
    uniform in ±1 / √columns, √3 times narrower.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.A = nn.Parameter(torch.empty(rank, columns).uniform_(-1, 1) * (3 / columns) ** 0.5)
        self.B = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.B, self.A)


def adapt(model: nn.Module, rank: int) -> None:
    """Freeze a model but for its last linear map, and add B A to every other weight matrix whose sides exceed `rank`.

    LoRA is no fusion method: the paper's rows are EmoCaps with its own fusion, frozen at random values (◇) or at those
    of a trained EmoCaps (*), with additions of which it gives neither rank nor place. Decided by us: all matrices of
    backbone and classifier, those of recurrences among them, and rank 8; the last map is trained whole, as theirs is in
    classification; biases and norms stay. The base of * is trained by `run.trained` with the seed, the budget and
    the learning rate of the additions, so that one rate, chosen for the adapted model, serves two trainings.

    By torch's parametrisation rather than by peft. Tried with peft 0.21.2: it refuses an `nn.LSTM` as a target module,
    and its `target_parameters` add to a weight only while the module's own `forward` runs, where our recurrences read
    the weights themselves (`kernels.recurrence`). Raises LmamError for a rank below 1.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise LmamError(f"The rank of LoRA must be a whole number from 1; got {rank!r}.")
    *_, last = (m for m in model.modules() if isinstance(m, nn.Linear))
    for p in model.parameters():
        p.requires_grad_(False)
    for module in list(model.modules()):
        if module is last:
            module.requires_grad_(True)
            continue
        for name, p in list(module.named_parameters(recurse=False)):
            if p.dim() == 2 and min(p.shape) > rank:
                parametrize.register_parametrization(module, name, LowRank(p, rank))
