"""The audit of one per-class table: what each row's "Acc." can be, which pairs exist, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
import pandas as pd

from lmam_book.forensics.bounds import beyond_means
from lmam_book.forensics.confusion_matrix import RowMatrices, implied_predictions, row_matrices
from lmam_book.forensics.counts import READINGS, Digits, distance, possible, solutions
from lmam_book.forensics.pasted import UnitTable, in_units
from lmam_book.forensics.supports import SEARCHED, SIGNIFICANT, Supports, candidates, coincidence, search, tail
from lmam_book.paper.printed import AVERAGE
from lmam_core.errors import LmamError

WORDS = {
    "possible": "whole numbers exist that print as this cell and its neighbour, in the reading that serves its row",
    "possible alone": "whole numbers exist, but only in another reading or with other supports than those of its row",
    "impossible": "no whole numbers exist: no classifier has this recall, precision or accuracy beside this F1",
    "impossible for means": "nor does it keep the bounds that hold for means over several classifiers",
    "agrees": "it follows from other printed numbers, to rounding",
    "disagrees": "it does not follow from other printed numbers",
    "not checkable": "nothing printed decides: a missing cell, a pair of zeros, or a number that stands alone",
}
"""The verdicts on a cell, and what each means."""


@dataclass(frozen=True)
class Fit:
    """How a row reads: the supports and the reading under which most of its pairs exist.

    `p` is the chance that as many of the same number of arbitrary pairs would exist, readings and sets of supports
    taken together, the sets as given; a row is `named` when it is below 0.001.
    """

    supports: Supports
    reading: str
    exist: np.ndarray  # (classes,) bool
    tested: int
    p: float

    @property
    def count(self) -> int:
        """How many of the row's pairs exist."""
        return int(self.exist.sum())

    @property
    def named(self) -> bool:
        """Whether as many would exist by coincidence less often than `SIGNIFICANT`."""
        return self.p < SIGNIFICANT


@dataclass(frozen=True)
class Audit:
    """The audit of one table; `rows`, `pairs`, `cells` and `findings` are frames."""

    table: UnitTable
    digits: Digits
    sets: list[Supports]
    searched: dict[str, pd.DataFrame]

    @cached_property
    def exist(self) -> dict[tuple[str, str], np.ndarray]:
        """(supports, reading) to whether each pair exists: (rows, classes); pairs that cannot be tested are False."""
        exist = {}
        for s in self.sets:
            for r in READINGS:
                there = possible(self.table.acc, self.table.f1, s.array, s.total, r, self.digits)
                exist[s.name, r] = there & self.table.testable
        return exist

    @cached_property
    def fits(self) -> list[Fit | None]:
        """The best reading of each row, None where nothing of it can be tested."""
        rates = {key: coincidence(self.table, self._set(key[0]), key[1], self.digits) for key in self.exist}
        best: list[Fit | None] = []
        for row, there in enumerate(self.table.testable):
            tried = []
            for (name, reading), exist in self.exist.items():
                p = tail(rates[name, reading][row][there], int(exist[row].sum())) * len(self.exist)
                tried.append(Fit(self._set(name), reading, exist[row], int(there.sum()), min(1.0, p)))
            best.append(min(tried, key=lambda f: (f.p, -f.count)) if tried and there.any() else None)
        return best

    def fit(self, row: int) -> Fit:
        """The best reading of a row; raises LmamError for one of which nothing can be tested."""
        if (fit := self.fits[row]) is None:
            raise LmamError(f"Row {self.table.rows[row]!r} has no pair that can be tested.")
        return fit

    def options(self, row: int) -> list[list[tuple[int, int, int]]]:
        """The counts that each pair of a row can be in the row's reading; zeros are no hits and any predictions."""
        fit = self.fit(row)
        return [
            solutions(a, f, n, fit.supports.total, fit.reading, self.digits).listed() if a >= 0 and f >= 0 else []
            for a, f, n in zip(self.table.acc[row], self.table.f1[row], fit.supports.array, strict=True)
        ]

    def row_matrices(self, row: int) -> RowMatrices | None:
        """The row as a confusion matrix, None unless its reading is named and each of its pairs exists."""
        fit = self.fits[row]
        if fit is None or not fit.named or not all(options := self.options(row)):
            return None
        return row_matrices(options, list(fit.supports.n.values()), fit.supports.total)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row per method: its reading, the pairs that exist, the accuracy that follows, the printed average."""
        records = []
        for k, name in enumerate(self.table.rows):
            fit, joined = self.fits[k], self.row_matrices(k)
            record = {"row": name, "reading": "none", "supports": "", "exist": 0, "of": 0, "p": np.nan}
            if fit:
                record |= {"exist": fit.count, "of": fit.tested, "p": fit.p}
            if fit and fit.named:
                record |= {"reading": fit.reading, "supports": fit.supports.name, "utterances": fit.supports.total}
            if joined:
                low, high = joined.accuracy
                record |= {"predictions": joined.predictions, "matrix": bool(joined.realised)}
                record |= {"accuracy_low": low, "accuracy_high": high}
            records.append(record | {"printed_average": self.table.average[k, 0]})
        columns = ["row", "reading", "supports", "exist", "of", "p", "utterances", "predictions", "matrix"]
        return pd.DataFrame(records).reindex(columns=[*columns, "accuracy_low", "accuracy_high", "printed_average"])

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair: where it exists, how far from the nearest possible pair, and its verdict.

        `distance` is in half units of the last digit, in the row's reading or else the nearest of all; 1 is possible.
        """
        t = self.table
        far = {(s.name, r): distance(t.acc, t.f1, s.array, s.total, r, t.scale) for s in self.sets for r in READINGS}
        nothing = np.full(t.acc.shape, np.nan)
        nearest = np.fmin.reduce([nothing, *far.values()])
        beyond = np.all([t.testable, *(beyond_means(t, s, r) for s in self.sets for r in READINGS)], axis=0)
        records = []
        for k, name in enumerate(t.rows):
            fit = self.fits[k]
            for c, klass in enumerate(t.classes):
                where = [f"{r} ({s})" for (s, r), exist in self.exist.items() if exist[k, c]]
                if not t.testable[k, c] or not self.sets:
                    verdict = "not checkable"
                elif fit and fit.named and fit.exist[c]:
                    verdict = "possible"
                elif where:
                    verdict = "possible alone"
                else:
                    verdict = "impossible for means" if beyond[k, c] else "impossible"
                away = far[fit.supports.name, fit.reading] if fit and fit.named else nearest
                record = {"row": name, "class": klass, "acc": _shown(t.acc[k, c], t), "f1": _shown(t.f1[k, c], t)}
                records.append(record | {"exists_as": "; ".join(where), "distance": away[k, c], "verdict": verdict})
        return pd.DataFrame(records)

    @cached_property
    def averages(self) -> pd.DataFrame:
        """Each printed average beside sum n x / sum n for every set of supports; one unit of rounding is allowed."""
        t = self.table
        records = []
        for m, values in enumerate((t.acc, t.f1)):
            for s in self.sets:
                mean = (values @ s.array) / s.array.sum() / t.scale
                for k, name in enumerate(t.rows):
                    if np.isnan(t.average[k, m]) or not t.there[k].all():
                        continue
                    off = t.average[k, m] - mean[k]
                    record = {"row": name, "metric": ("Acc", "F1")[m], "supports": s.name, "printed": t.average[k, m]}
                    record |= {"recomputed": mean[k], "difference": off, "agrees": abs(off) <= 1 / t.scale + 1e-9}
                    records.append(record)
        columns = ["row", "metric", "supports", "printed", "recomputed", "difference", "agrees"]
        return pd.DataFrame(records, columns=columns)

    @cached_property
    def implied(self) -> pd.DataFrame:
        """Predictions of all classes over utterances by real arithmetic, which rounding hardly moves, one row each."""
        t, records = self.table, []
        shares = t.acc / t.scale / 100, t.f1 / t.scale / 100
        for s in self.sets:
            for r in SEARCHED:
                ratio = implied_predictions(*shares, s.array, r) / s.total
                records += [(n, s.name, r, x) for n, x in zip(t.rows, ratio, strict=True)]
        return pd.DataFrame(records, columns=["row", "supports", "reading", "ratio"])

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One verdict word (a key of `WORDS`) for each printed cell: row, column, metric, value as printed, verdict.

        An average agrees when it follows with the first set of supports, the stated one where there is one.
        """
        places = len(str(self.table.scale)) - 1
        shown = lambda x: "" if np.isnan(x) else f"{x:.{places}f}"  # noqa: E731
        pairs = self.pairs.rename(columns={"class": "column"})
        parts = [pairs.assign(metric=m, value=pairs[m.lower()].map(shown)) for m in ("Acc", "F1")]
        if len(self.averages):
            follows = self.averages[self.averages["supports"] == self.sets[0].name]
            word = follows["agrees"].map({True: "agrees", False: "disagrees"})
            parts.append(follows.assign(column=AVERAGE, value=follows["printed"].map(shown), verdict=word))
        return pd.concat(parts)[["row", "column", "metric", "value", "verdict"]].reset_index(drop=True)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """One finding per row, in one sentence, with its tolerance, what would refute it, and the rates of chance."""
        from lmam_book.forensics.wording import sentences

        return sentences(self)

    def _set(self, name: str) -> Supports:
        return next(s for s in self.sets if s.name == name)


def audit(
    table: pd.DataFrame,
    support: Mapping[str, int] | None = None,
    total: int | None = None,
    rounding: str = "rounded",
    n_max: int = 2000,
    seed: int = 0,
    called: str = "given",
) -> Audit:
    """The audit of a per-class table; index: methods, columns: (class, `Acc` or `F1`), one class may be `Average(w)`.

    The table holds all classes of its test set; `paste` makes it from a text. `support` is the number of test
    utterances of each class, where somebody states it, and `called` its name in sentences. Supports are searched in
    either case, up to the number of utterances, or to `n_max` where none is given. A pair with a missing cell is not
    checked. Raises LmamError, one sentence, for a number outside 0..100, for a support that lacks a class, and for
    supports that do not add up to `total`.
    """
    units = in_units(table)
    if not units.testable.any():
        raise LmamError("The table has no pair of Acc and F1 to test; it needs one that is not 0 and 0.")
    digits = Digits(units.scale, rounding)
    stated = None
    if support is not None:
        if lacking := [c for c in units.classes if c not in support]:
            raise LmamError(f"support has no number for class {lacking[0]!r}; it needs one for each class.")
        n = {c: support[c] for c in units.classes}
        if wrong := [c for c, k in n.items() if isinstance(k, bool) or not isinstance(k, Integral) or k < 1]:
            raise LmamError(f"The support of {wrong[0]!r} must be a whole number of at least 1; got {n[wrong[0]]}.")
        stated = Supports.of(n, called)
        if total is not None and stated.total != total:
            raise LmamError(f"The supports add up to {stated.total}, not to the total of {total}; correct either.")
    most = total or (stated.total if stated else n_max)
    searched = {r: search(units, r, digits, most, seed=seed) for r in SEARCHED}
    sets = candidates(units, stated, searched, most if total or stated else n_max * len(units.classes))
    return Audit(units, digits, sets, searched)


def _shown(units: int, table: UnitTable) -> float:
    return np.nan if units < 0 else units / table.scale
