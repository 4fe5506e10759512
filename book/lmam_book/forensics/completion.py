"""A row in which all pairs but one exist: what the others leave to that one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmam_book.forensics.confusion_matrix import RowMatrices, row_matrices

if TYPE_CHECKING:
    from lmam_book.forensics.audit import Audit


@dataclass(frozen=True)
class Completion:
    """The class (its number), its hits and predictions, which of its numbers then differs, and what that one would be.

    `joined` is the row with these counts; `coincidence` the chance that an arbitrary pair could be completed as well.
    """

    column: int
    hits: int
    predictions: int
    metric: str
    follows: float
    joined: RowMatrices
    coincidence: float


def completed(audit: Audit, row: int) -> Completion | None:
    """The counts of a named row's one impossible pair, where the other classes leave only one count for it.

    Predictions of all classes add up to N, so that the others' counts leave p to this class. If exactly one t then
    prints as one of its two numbers, the other one is what differs. None where that is not so.
    """
    fit, table = audit.fits[row], audit.table
    if fit is None or not fit.named:
        return None
    options = audit.options(row)
    lacking = [c for c, o in enumerate(options) if not o]
    others = [o for o in options if o]
    if len(lacking) != 1 or any(len(o) > 1 or o[0][1] != o[0][2] for o in others):
        return None
    c = lacking[0]
    n, p = int(fit.supports.array[c]), fit.supports.total - sum(o[0][1] for o in others)
    if p < 1 or not table.there[row, c]:
        return None
    acc, f1, half = table.acc[row, c] / table.scale, table.f1[row, c] / table.scale, 0.5 / table.scale + 1e-9
    of = {"recall": n, "precision": p}.get(fit.reading)
    if of is None:
        return None
    shares = [(100 * t / of, 200 * t / (n + p)) for t in range(min(n, p) + 1)]
    hits = [t for t, (a, f) in enumerate(shares) if abs(a - acc) <= half or abs(f - f1) <= half]
    if len(hits) != 1:
        return None
    t = hits[0]
    a, f = shares[t]
    metric, follows = ("F1", f) if abs(a - acc) <= half else ("Acc", a)
    options[c] = [(t, p, p)]
    joined = row_matrices(options, list(fit.supports.n.values()), fit.supports.total)
    return Completion(c, t, p, metric, follows, joined, min(1.0, 2 * half / 100 * (of + n + p)))
