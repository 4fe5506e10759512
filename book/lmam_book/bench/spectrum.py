"""The singular values of LMAM's weights: how many directions of W training uses, whatever rank it was given.

Source of the effective rank: Roy and Vetterli, "The effective rank: a measure of effective dimensionality",
EUSIPCO 2007.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lmam_core.errors import LmamError
from lmam_core.models.lmam import FactorWeight, FullWeight


@torch.no_grad()
def matrix(weight: nn.Module) -> Tensor:
    """W of Eq. 4 as a matrix in double precision, (1 + d, 1 + d): queries' columns down, keys' across, ones first.

    U V^T for factors, whose b is kept apart. In a full weight b shares the first row of W, and that row is both.
    Raises LmamError for a weight that is neither.
    """
    if isinstance(weight, FactorWeight):
        r = weight.U.out_features
        U, V = _with_bias(weight.U), _with_bias(weight.V)[:, :r]  # (1 + d, r) each
        return U @ V.T
    if isinstance(weight, FullWeight):
        return _with_bias(weight.W)
    raise LmamError(f"Only weights of factors and full weights have a spectrum here, not {type(weight).__name__}.")


def singular_values(W: Tensor) -> Tensor:
    """σ of a matrix (n, m), the largest first, (min(n, m),), in double precision.

    Values below the rounding error of W, as for `torch.linalg.matrix_rank`, are set to 0.
    """
    s = torch.linalg.svdvals(W.detach().double())
    return torch.where(s > s.max() * max(W.shape) * torch.finfo(W.dtype).eps, s, 0.0)


def effective_rank(s: Tensor) -> float:
    """exp H(p), p_i = σ_i / Σ_j σ_j, H(p) = -Σ_i p_i log p_i with 0 log 0 = 0; of singular values (n,).

    Between 1 and the rank, which it reaches when all values above 0 are equal; no cut-off is chosen. A zero matrix has
    no p, and effective rank 0 here. Source: Roy and Vetterli 2007, definition 1.
    """
    total = s.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(s / total).sum().exp())


def energy_rank(s: Tensor, share: float = 0.99) -> int:
    """The smallest k with Σ_{i<=k} σ_i^2 >= share Σ_i σ_i^2; of singular values (n,), the largest first.

    The rank of the smallest matrix that holds this share of W's squared Frobenius norm (Eckart and Young); 0 for a
    zero matrix. Raises LmamError for a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise LmamError(f"A share of the energy lies in 0..1; got {share}.")
    energy = torch.cat([s.new_zeros(1), s.double().square().cumsum(0)])  # of the first 0, 1, 2, ...
    return int((energy < share * energy[-1]).sum())


def truncated(full: FullWeight, rank: int) -> FactorWeight:
    """The best weight of this rank in the place of a full one, 0..d; b and the first row of W stay whole.

    Rank d changes nothing but rounding; rank 0 leaves K b, the same scores for every query.
    """
    low = FactorWeight(full.W.in_features, max(rank, 1)).to(full.W.weight)
    low.load_full(full)
    if rank == 0:
        nn.init.zeros_(low.U.weight)
    return low


def _with_bias(layer: nn.Linear) -> Tensor:
    """The matrix that the layer is to features with a column of ones in front, (1 + d, out)."""
    return torch.cat([layer.bias[None], layer.weight.T]).double()
