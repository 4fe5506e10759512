"""All backbones side by side, on runs that were made up for the test."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lmam_book.pages.backbone_page import Chapter
from lmam_book.plans import plans
from lmam_book.verdicts import backbones as compared
from lmam_book.verdicts import beside_print as plugin
from lmam_core.batch import Conversation
from lmam_core.runs.store import Store
from tests.book.verdicts.test_beside_print import made


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


def test_a_chapter_without_runs_says_how_to_make_them(store: Store) -> None:
    page = Chapter("emocaps", "quick", "synthetic-iemocap", 45, "late", 0, store=store)
    for said in (page.answer(), page.rates(), page.verdicts(), page.classes(), page.beside("mosi")):
        assert "<code>lmam sweep emocaps</code>" in said.data
    assert page.seeds("iemocap") is None
    assert page.confusions() is None


def test_a_chapter_shows_its_runs_and_meld_where_it_is_there(filled: Store) -> None:
    page = Chapter("text_cnn", "quick", "synthetic-iemocap", 45, "late", 0, store=filled)
    assert "reproduced" in page.answer().data
    assert "No measured runs on meld yet: <code>lmam sweep meld</code>" in page.beside("meld").data
    assert page.classes().data.count("<tr>") >= 7
    assert len(page.confusions().axes) == 2
    gain = plugin.gain(page.table, "iemocap", "weighted_f1", "concatenation", "LMAM late")
    assert f"{gain.difference.mean:+.2f}" in page.verdicts().data


def test_the_metrics_stand_three_in_a_table() -> None:
    page = Chapter("text_cnn", "quick", "synthetic-iemocap", 45, "late", 0)
    first, second = page.beside("mosi").data.split("<table")[1:]
    for name in ("Acc-2 %", "F1 %", "MAE (less is better)"):
        assert name in first
        assert name not in second
    for name in ("correlation", "Acc-7 %"):
        assert name in second
        assert name not in first
    assert all(name in part for part in (first, second) for name in ("concatenation", "LMAM late"))


def test_one_arm_alone_is_shown_but_not_compared(filled: Store) -> None:
    for path in filled.root.glob("iemocap/text_cnn/lmam*honest*"):
        path.unlink()
    page = Chapter("text_cnn", "quick", "synthetic-iemocap", 45, "late", 0, store=filled)
    assert "concatenation" in page.beside("iemocap").data
    assert "No measured runs on iemocap yet" in page.classes().data
    assert page.confusions() is None
    assert "not testable" in page.answer().data


def joined(talks: list[Conversation]) -> Conversation:
    """All in one, which is more than 60 utterances."""
    features = {m: np.concatenate([c.features[m] for c in talks]) for m in talks[0].features}
    one = Conversation("all", features, *(np.concatenate([getattr(c, n) for c in talks]) for n in ("speaker", "label")))
    assert len(one) > 60
    return one


def test_a_chapter_trains_with_and_without_lmam(store: Store) -> None:
    quick = {"epochs": 1, "dialogues": 12}
    page = Chapter("bc_lstm", "quick", "synthetic-iemocap", 3, "late", 0, quick=quick, store=store)
    assert list(page.trained) == ["concatenation", "self-attention", "LMAM late"]
    _, largest = page.attention()
    assert set(largest) == {"text", "audio", "video"}
    assert all(1 <= value <= np.e**2 for value in largest.values())
    assert float(page.padding().split()[-1]) < 1e-5
    # A dataset of one's own may have a single test conversation, longer than a screen.
    model, prepared, training = page.trained["LMAM late"]
    long = dataclasses.replace(prepared, splits=prepared.splits | {"test": [joined(prepared.splits["test"])]})
    page.trained["LMAM late"] = model, long, training
    one = dataclasses.replace(page.data, splits=page.data.splits | {"test": page.data.splits["test"][:1]})
    page.__dict__["data"] = one  # a cached property of a frozen class
    assert set(page.attention()[1]) == {"text", "audio", "video"}
    assert float(page.padding().split()[-1]) < 1e-5
    assert page.ways().data.count("<tr") == 5
