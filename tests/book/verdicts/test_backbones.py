"""All backbones side by side, on runs that were made up for the test."""

from __future__ import annotations

import dataclasses

import pytest

from lmam_book.plans import plans
from lmam_book.verdicts import backbones as compared
from lmam_core.runs.store import Store
from tests.book.verdicts.test_beside_paper import made


@pytest.fixture
def filled(store: Store) -> Store:
    """TextCNN with a gain of ten points on IEMOCAP over six seeds, DialogueGCN untouched, bc-LSTM with a leak."""
    for name, right in (("text_cnn", {"concat": 0.5, "lmam": 0.6}), ("bc_lstm", {"concat": 0.5, "lmam": 0.5})):
        plan = plans.plan(name)
        arms = [a for a in plan.arms() if a.dataset == "iemocap"]
        for e in plans.tuning(plan, arms):
            store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
        for e in plans.measured(plan, arms, store, range(6)):
            store.add(made(e, right[e.fusion]))
    plan = plans.plan("faithful_bc_lstm")
    arms = [a for a in plan.arms() if (a.dataset, a.backbone) == ("iemocap", "bc_lstm")]
    for e in plans.tuning(plan, arms):
        store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
    for e in plans.measured(plan, arms, store, range(5)):
        store.add(made(e, 0.4))
    return store


def test_padding_compares_with_the_backbones_own_fusion(filled: Store) -> None:
    row = compared.padding(filled).iloc[0]
    assert (row.backbone, row.dataset, row.n) == ("bc-LSTM", "iemocap", 5)
    assert row.rates == "0.0003 and 0.0003"
    assert float(row["gain from the leak"].split(" ")[0]) < -5
