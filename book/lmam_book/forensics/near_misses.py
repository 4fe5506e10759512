"""Rows without counts that lie close to counts: how far from the nearest possible pairs, against arbitrary numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmam_book.forensics.counts import distance
from lmam_book.forensics.supports import SEARCHED, arbitrary

if TYPE_CHECKING:
    from lmam_book.forensics.audit import Audit

FURTHEST = 41
"""Half units within which a possible pair is looked for; what lies further counts as this far."""


def nearness(
    audit: Audit, draws: int = 60, rows: int = 20_000, seed: int = 2
) -> dict[str, dict[tuple[str, str], float]]:
    """For each row without a named reading, (supports, reading) to the chance that arbitrary pairs lie as close.

    Close is the mean over classes of the distance to the nearest possible pair; arbitrary rows join pairs drawn
    within a point of the printed ones. Readings are recall and precision, whose supports are known.
    """
    table = audit.table
    left = [k for k, fit in enumerate(audit.fits) if fit is not None and not fit.named]
    if not left:
        return {}
    acc, f1 = (x[:, left] for x in arbitrary(table, draws, seed))
    rng = np.random.default_rng(seed)
    chances: dict[str, dict[tuple[str, str], float]] = {table.rows[k]: {} for k in left}
    for s in audit.sets:
        for reading in SEARCHED:
            pairs = (table.acc[left], table.f1[left]), (acc, f1)
            far = [distance(*x, s.array, s.total, reading, table.scale, FURTHEST) for x in pairs]
            ours, theirs = (np.nan_to_num(x, nan=FURTHEST) for x in far)  # (rows, C), (draws, rows, C)
            for at, k in enumerate(left):
                tested = table.testable[k]
                pick = rng.integers(0, draws, (rows, int(tested.sum())))
                drawn = theirs[:, at, tested][pick, np.arange(int(tested.sum()))].mean(-1)
                as_close = (drawn <= ours[at, tested].mean() + 1e-12).sum()
                chances[table.rows[k]][s.name, reading] = (as_close + 1) / (rows + 1) * len(audit.sets) * len(SEARCHED)
    return chances
