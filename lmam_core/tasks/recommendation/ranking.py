"""P@K and MRR@K from counts that add up over sessions, so that sessions can be resampled later."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmam_core.tasks.recommendation.sessions import UNSEEN

CUTOFFS = (5, 10, 20)
METRICS = tuple(f"{name}@{K}" for name in ("P", "MRR") for K in CUTOFFS)
BLOCK = 32
"""Test sessions, one after the other, that share a vector of outcomes: a run's file has a line for each block.

Blocks are what is resampled. They hold sessions whole, and sessions of the same hours, which may have more in common
than others: the interval is rather too wide than too narrow.
"""


def ranks(scores: Tensor, target: Tensor) -> Tensor:
    """The place of each target among all items, (B,) from 1, for scores (B, N); 0 for an item that was never seen.

    Items of the same score come first, so that a model that scores all alike hits nothing.
    """
    known = target != UNSEEN
    own = scores.gather(1, target.clamp(min=0)[:, None])
    return torch.where(known, (scores >= own).sum(1), 0)


def outcomes(rank: np.ndarray, session: np.ndarray) -> dict[str, np.ndarray]:
    """Seven sums for each block of sessions: sequences, hits at 5, 10, 20, reciprocal ranks at 5, 10, 20.

    `rank` (n,) as `ranks` gives them, `session` (n,) in rising order.
    """
    at = np.array(CUTOFFS)
    hit = (rank[:, None] > 0) & (rank[:, None] <= at)  # (n, 3)
    reciprocal = np.where(hit, 1 / np.maximum(rank, 1)[:, None], 0)
    rows = np.concatenate([np.ones((len(rank), 1)), hit, reciprocal], 1)
    blocks, first = np.unique(session // BLOCK, return_index=True)
    return {f"sessions {BLOCK * b}+": row for b, row in zip(blocks, np.add.reduceat(rows, first), strict=True)}


def summarise(totals: np.ndarray, classes: int | None = None) -> dict[str, np.ndarray]:
    """The metrics of many sums (..., 7) at once, each (...), in percent.

    P@K is the share of sequences whose next item is among the K best, which is its recall as well; MRR@K the mean of
    1 / rank, 0 beyond K.
    """
    return {name: 100 * totals[..., k + 1] / totals[..., 0] for k, name in enumerate(METRICS)}
