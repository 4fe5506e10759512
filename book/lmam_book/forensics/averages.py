"""With which weights printed averages follow from printed cells: stated, plain, near the stated ones, or any at all."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import linprog

from lmam_book.forensics.pasted import UnitTable
from lmam_book.forensics.supports import Supports

STEP = 2
"""Supports near the stated ones differ by at most so many utterances per class, and by twice as many in all."""


def equations(table: UnitTable) -> tuple[np.ndarray, np.ndarray]:
    """All printed averages with their cells, in percent: cells (k, classes) and averages (k,), Acc. before F1."""
    cells = np.concatenate([table.acc, table.f1]) / table.scale
    average = np.concatenate([table.average[:, 0], table.average[:, 1]])
    complete = ~np.isnan(average) & (np.tile(table.there.all(-1), 2))
    return cells[complete], average[complete]


def largest_difference(table: UnitTable, weights: np.ndarray) -> float:
    """The largest difference between a printed average and the one with these weights, in points."""
    cells, average = equations(table)
    return float(np.abs(average - cells @ weights).max())


def best_weights(table: UnitTable) -> tuple[np.ndarray, float]:
    """Weights >= 0 that add up to 1 with the least largest difference, and that difference (a linear programme)."""
    cells, average = equations(table)
    k, classes = cells.shape
    slack = -np.ones((k, 1))
    bounds = np.vstack([np.hstack([cells, slack]), np.hstack([-cells, slack])])
    solution = linprog(
        np.r_[np.zeros(classes), 1],
        A_ub=bounds,
        b_ub=np.r_[average, -average],
        A_eq=[np.r_[np.ones(classes), 0]],
        b_eq=[1],
        bounds=(0, None),
    )
    return solution.x[:classes], float(solution.fun)


def near_supports(table: UnitTable, supports: Supports) -> list[tuple[int, ...]]:
    """All supports near the stated ones with which every printed average follows, the nearest first.

    A printed average follows when it is within one unit of the last digit: half for the cells, half for itself.
    """
    cells, average = equations(table)
    steps = np.array(list(product(range(-STEP, STEP + 1), repeat=len(supports.n))))
    steps = steps[np.abs(steps).sum(1) <= 2 * STEP]
    nearby = supports.array + steps
    nearby, steps = nearby[(nearby > 0).all(1)], steps[(nearby > 0).all(1)]
    off = np.abs(average - (nearby / nearby.sum(1, keepdims=True)) @ cells.T).max(1)
    serve = off <= 1 / table.scale + 1e-9
    order = np.argsort(np.abs(steps[serve]).sum(1), kind="stable")
    return [tuple(map(int, n)) for n in nearby[serve][order]]
