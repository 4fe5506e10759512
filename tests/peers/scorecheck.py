"""GRIM and mlscorecheck beside the audit, on the paper's tables: `python -m tests.peers.scorecheck` writes the CSV.

mlscorecheck (Fazekas and Kovács, arXiv 2310.12527) is told what the audit finds out: the supports and the metric.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from mlscorecheck.check.binary import check_1_testset_no_kfold

from lmam_book.bench.seals import seal
from lmam_book.forensics import audited
from lmam_book.forensics.audit import Audit
from lmam_book.forensics.counts import READINGS, possible
from lmam_book.web.audit import COMPARED
from lmam_core import paths

SCORES = {"recall": "sens", "precision": "ppv", "accuracy": "acc"}
"""Our readings and mlscorecheck's names."""
DATASETS = ("iemocap", "meld")


def consistent(acc: int, f1: int, n: int, total: int, reading: str, scale: int = 100) -> bool:
    """Whether mlscorecheck finds a confusion matrix of one class against the rest; both scores in units, rounded."""
    logging.disable(logging.INFO)  # it reports every step
    scores = {SCORES[reading]: acc / scale / 100, "f1": f1 / scale / 100}
    testset, eps = {"p": n, "n": total - n}, 0.5 / scale / 100
    found = check_1_testset_no_kfold(testset, scores, eps, numerical_tolerance=1e-10)  # not to widen eps by 2 %
    return not found["inconsistency"]


def granular(found: Audit) -> int:
    """How many Acc. can be a share of their class's utterances: what GRIM tests of a mean of 0s and 1s."""
    t, n = found.table, found.sets[0].array
    near = np.stack([np.floor(t.acc * n / (100 * t.scale)), np.ceil(t.acc * n / (100 * t.scale))])
    serve = (np.abs(2 * near * 100 * t.scale - 2 * t.acc * n) <= n).any(0)
    return int((serve & t.testable).sum())


def table() -> pd.DataFrame:
    """One row per tool and reading: the pairs that can exist in each table, of those that can be tested."""
    audits = {name: audited(name.upper()) for name in DATASETS}
    pairs = {f"{name}_pairs": int(a.table.testable.sum()) for name, a in audits.items()}
    row = {name: granular(a) for name, a in audits.items()}
    rows = [{"tool": "GRIM", "given": "supports; Acc. as recall, F1 left out"} | row | pairs]
    for tool in ("mlscorecheck", "this audit"):
        for reading in READINGS:
            row = {name: _count(a, reading, tool) for name, a in audits.items()}
            rows.append({"tool": tool, "given": f"supports; Acc. is {reading}"} | row | pairs)
    row = {name: int((a.pairs.verdict == "possible").sum()) for name, a in audits.items()}
    rows.append({"tool": "this audit", "given": "neither: supports and metric searched, row by row"} | row | pairs)
    return pd.DataFrame(rows)


def _count(found: Audit, reading: str, tool: str) -> int:
    t, s = found.table, found.sets[0]
    if tool == "this audit":
        return int((possible(t.acc, t.f1, s.array, s.total, reading, found.digits) & t.testable).sum())
    return sum(
        consistent(int(t.acc[r, c]), int(t.f1[r, c]), int(s.array[c]), s.total, reading)
        for r, c in np.argwhere(t.testable)
    )


if __name__ == "__main__":
    table().to_csv(paths.data(COMPARED), index=False, lineterminator="\n")
    seal(paths.data(COMPARED), "tests.peers.scorecheck")
