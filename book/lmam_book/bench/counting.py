"""What counting alone recommends: the least that a model of sessions must beat.

`python -m lmam_book.bench.counting` writes `data/counting.csv`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from lmam_book.bench.seals import write
from lmam_core import paths
from lmam_core.runs.metrics import total
from lmam_core.tasks.recommendation import ranking
from lmam_core.tasks.recommendation.sessions import Sequences, Sessions, load

TABLE = "counting.csv"


def score(data: Sessions, sequences: Sequences, size: int = 500) -> dict[str, float]:
    """P@K and MRR@K of ranking items by how often they share a training sequence with those of the session.

    An item's score is the sum of its entries in the hypergraph's rows of the clicked items, D^-1 H B^-1 H^T: no number
    is learned.
    """
    ranks = []
    for batch in sequences.batches(size):
        row, column = batch.mask.nonzero(as_tuple=True)
        clicked = np.zeros((len(batch.target), len(data.items)))
        np.add.at(clicked, (row.numpy(), batch.items[row, column].numpy()), 1)
        scores = torch.from_numpy(np.asarray((data.graph.T @ clicked.T).T))
        ranks.append(ranking.ranks(scores, batch.target).numpy())
    metrics = ranking.summarise(total(ranking.outcomes(np.concatenate(ranks), sequences.session)))
    return {name: float(value) for name, value in metrics.items()}


def table() -> pd.DataFrame:
    """The committed scores, one row per fraction of the training sessions and seed of the validation split."""
    return pd.read_csv(paths.data(TABLE))


def mean(fraction: int, metric: str) -> float:
    """A score's mean over seeds; NaN for a fraction that was not counted."""
    return float(table().query("fraction == @fraction")[metric].mean())


def measure(fraction: int = 64, seeds: int = 5) -> pd.DataFrame:
    """Scores on Diginetica's test sequences, counted over the training sessions that honest runs of a seed have."""
    rows = []
    for seed in range(seeds):
        data = load("diginetica", fraction, True, seed)
        rows.append({"fraction": fraction, "seed": seed, "items": len(data.items)} | score(data, data.test))
    return pd.DataFrame(rows).round(4)


if __name__ == "__main__":
    write(measure(), TABLE, "lmam_book.bench.counting")
