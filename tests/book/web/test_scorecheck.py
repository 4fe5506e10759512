"""mlscorecheck as an oracle, and the committed table of what it finds beside the audit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmam_book.forensics.counts import READINGS, possible
from lmam_book.web.audit import COMPARED
from tests.book.web.conftest import ROOT
from tests.peers import scorecheck


def test_mlscorecheck_agrees_on_random_pairs():
    rng, agreed = np.random.default_rng(0), {True: 0, False: 0}
    for k in range(400):
        n, total = int(rng.integers(5, 300)), 1000
        t = int(rng.integers(0, n + 1))
        p = int(rng.integers(max(t, 1), total - n + t + 1))
        reading = READINGS[k % 3]
        share = {"recall": t / n, "precision": t / p, "accuracy": (total - n - p + 2 * t) / total}[reading]
        acc, f1 = round(10_000 * share), round(10_000 * 2 * t / (n + p)) + int(rng.integers(0, 3)) * (k % 2)
        ours = possible(acc, f1, n, total, reading).item()
        assert scorecheck.consistent(acc, f1, n, total, reading) == ours, (acc, f1, n, total, reading)
        agreed[ours] += 1
    assert min(agreed.values()) > 50


def test_the_table_side_by_side_is_what_the_tools_say():
    committed = pd.read_csv(ROOT / "data" / COMPARED)
    pd.testing.assert_frame_equal(scorecheck.table(), committed)
