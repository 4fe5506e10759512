"""The chapters on fusion and modalities, with no runs and with runs made up for the test."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from lmam_book.pages import cells_page, live_runs
from lmam_book.paper import printed as paper
from lmam_book.plans import plans
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts import paper_tables as tables
from lmam_core.data import catalogue, synthetic
from lmam_core.models.fusion import build
from lmam_core.paths import CHECKOUT
from lmam_core.runs import store as results
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes
from lmam_core.runs.run import Run, prepared
from lmam_core.runs.store import Store
from tests.book.verdicts.test_beside_print import made
from tests.notebooks.here import execute

CHAPTERS = {
    "14-fusion-methods": (
        "bc_lstm",
        "bc_lstm_clean",
        "modalities",
        "fusions_bc_lstm_clean",
        "fusions_patient",
        "fusions_bc_lstm",
    ),
    "16-modalities": ("bc_lstm", "bc_lstm_clean", "modalities"),
}


def right(e: Experiment) -> float:
    """LMAM is worth 20 points with a residual, 10 otherwise; shuffling takes its gain away, width changes nothing.

    On MOSI it is worth as much with audio alone.
    """
    alone = len(e.modalities) == 1 and (e.dataset, e.modalities) != ("mosi", ("audio",))
    if e.fusion != "lmam" or e.shuffled or alone:
        return 0.4
    return 0.6 if e.embedding == "early_residual" else 0.5


def run_of(e: Experiment) -> Run:
    run = made(e, right(e))
    if e.dataset == "iemocap":
        return run
    score = 100 * right(e) + np.random.default_rng(e.seed).normal()
    metrics = {"acc2": score, "f1": score, "mae": 1.0, "corr": 0.5, "acc7": 30.0}
    label = np.linspace(-3, 3, 50)
    return dataclasses.replace(run, metrics=metrics, classes=None, outcomes={"one": outcomes(label, label, None)})


def fill(store: Store, name: str) -> None:
    plan = plans.plan(name)
    arms = plan.arms()
    for e in plans.tuning(plan, arms):
        if e not in store:
            store.add(dataclasses.replace(run_of(e), metrics={}, outcomes={}))
    for e in plans.measured(plan, arms, store, range(5)):
        if e not in store:
            store.add(run_of(e))


def said(chapter: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All text that a chapter puts out with the store at `root`; it trains nothing and times nothing."""
    monkeypatch.setattr(results.Store.__init__, "__defaults__", (root,))
    monkeypatch.setattr(live_runs, "live", lambda arms, device: pd.DataFrame({"arm": list(arms), "s per epoch": 1.0}))
    monkeypatch.setattr(live_runs, "seconds", lambda arms: dict.fromkeys(arms, 0.125))
    return execute(chapter, {}, monkeypatch)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_without_runs_a_chapter_says_so_and_what_makes_them(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = said(chapter, tmp_path, monkeypatch)
    assert "have none yet" in text
    assert f"lmam sweep {CHAPTERS[chapter][-1]}" in text
    assert "not testable" in text
    assert not re.search(r"(?<!not )reproduced|same direction|nan", text)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_with_runs_a_chapter_says_what_they_show(chapter: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHAPTERS[chapter]:
        fill(store, name)
    text = said(chapter, store.root, monkeypatch)
    assert "nan" not in text
    if chapter.startswith("14"):
        for where in ("Behind bc-LSTM on iemocap", "Behind bc-LSTM on mosi", "Behind bc-LSTM, text and audio on mosi"):
            assert f"{where}, LMAM has place 1 by mean and 1 by median of 14 arms" in text
        assert "Behind bc-LSTM, patience 30 on iemocap, LMAM has place 1 by mean and 1 by median of 6 arms" in text
        assert re.search(r"on text alone, which fuses nothing, has 4\d\.\d ± [\d.]+ over 5 seeds", text)
        assert re.search(r"text alone\*\*, which fuses nothing, is above \d+ of the 16 arms behind bc-LSTM", text)
        assert re.search(r"has 4\d\.\d % Acc-2 with a 95 % interval of [\d.]+ to [\d.]+ over 5 seeds, median 4\d", text)
        assert text.count(" 125 – ") == 16  # milliseconds behind bc-LSTM; behind EmoCaps nothing was run
    if chapter.startswith("16"):
        assert text.count("shuffled supported supported") == 1
        assert text.count("shuffled open: the gain with A alone is not surely smaller open: ") == 3
        assert re.search(r"T\+A\+V: LMAM late, keys=others gains \+\d", text)


def test_what_chapter_14_says_of_table_nine_and_of_lmfs_size_is_so() -> None:
    cells = nbformat.read(CHECKOUT / "notebooks" / "14-fusion-methods.ipynb", 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    rows = set(paper.table(9).row)
    assert len(rows - {"LMAM"}) == 11
    assert "beside eleven rows" in text
    # LoRA* has no claim because its F1 is LMAM's.
    assert paper.cell(9, "LoRA*", "overall", "F1", "IEMOCAP") == paper.cell(9, "LMAM", "overall", "F1", "IEMOCAP")
    lmf = build("lmf", {"text": 100, "audio": 100, "video": 512})
    whole, front, product = (
        sum(p.numel() for p in part.parameters()) for part in (lmf.subnets, lmf.subnets["text"], lmf.product)
    )
    assert f"{whole:,} in the sub-networks in front ({front:,} of them in text's" in text
    assert f"{product:,} in the product behind" in text


def test_shuffled_audio_leaves_the_oracle_of_text_and_misleads_the_one_that_believes_it() -> None:
    whole = catalogue.load("synthetic-iemocap")
    dealt = whole.with_shuffled("audio", 0)
    score = lambda data, *read: synthetic.oracle_accuracy(  # noqa: E731
        synthetic.IEMOCAP_LIKE, data.splits["test"], read
    )
    assert score(dealt, "text") == score(whole, "text") < score(whole, "text", "audio")
    assert score(dealt, "text", "audio") < score(dealt, "text")


@pytest.mark.real_data
def test_an_epoch_on_iemocap_has_the_updates_that_chapter_14_says() -> None:
    cells = nbformat.read(CHECKOUT / "notebooks" / "14-fusion-methods.ipynb", 4).cells
    assert sum("On IEMOCAP an epoch has only three updates" in cell.source for cell in cells) == 1
    for e in plans.plan("fusions_patient").arms():
        assert len(list(prepared(e).batches("train", e.batch_size))) == 3
        assert (e.epochs, e.patience) == (100, 30)


@pytest.mark.parametrize("backbone", ["bc_lstm", "emocaps"])
def test_the_methods_that_chapter_14_says_were_stopped_on_one_class_are_those_whose_runs_were(backbone: str) -> None:
    """Weighted F1 of one class on validation is below 10 here, and patience ended the run."""
    runs = (results.read(path) for path in Store().root.glob(f"iemocap/{backbone}/*.json"))
    stopped = [r for r in runs if r.training.best_score < 10 and len(r.training.train_loss) < r.experiment.epochs]
    stopped = [r for r in stopped if r.experiment.patience == 10]
    assert {r.experiment.fusion for r in stopped} == {"tfn", "lmf", "dual_lmf", "att_lmf"}
    assert {r.experiment.protocol for r in stopped} == {"tuning1", "protocol1"}
    assert all(r.training.train_loss[-1] < r.training.train_loss[0] for r in stopped)


def test_chapter_14_says_what_gains_are_without_runs_of_nearly_one_class(stage: Path) -> None:
    outputs = [o for c in nbformat.read(stage / "14-fusion-methods.ipynb", 4).cells for o in c.get("outputs", [])]
    text = "\n".join(str(o.get("data", {})) for o in outputs)
    total = next(r.total for r in tables.fusion_methods("emocaps").runs if r.experiment.dataset == "iemocap")
    assert 0.2 < total.reshape(6, 6).sum(1).max() / total.sum() < 0.25  # "a quarter"
    said = 0
    for backbone in ("bc_lstm", "emocaps"):
        frame = tables.fusion_methods(backbone).frame
        for arm in ("TFN", "LFM", "Dual-LMF", "Att-LMF"):
            rest = plugin.gain_without(frame, "iemocap", "weighted_f1", arm, "LMAM")
            if rest and rest.difference.n:
                said += 1
                assert f"without those {plugin.spread(rest.difference, 2, '+')} ({rest.difference.n})" in text
    assert said == text.count("without those ") > 0
    alone = plugin.values(tables.modality_sets("concatenation").frame, "iemocap", "weighted_f1")["T"].values()
    arms = plugin.values(tables.fusion_methods("bc_lstm").frame, "iemocap", "weighted_f1").values()
    below = sum(np.mean([*scores.values()]) < np.mean([*alone]) for scores in arms)
    assert f"Of the {len(arms)} arms behind bc-LSTM, which read audio as well, {below}\\nhave a lower mean" in text
    patient = tables.patient_methods()
    known = {
        arm: patient.gain(arm, "iemocap", "weighted_f1").difference for arm in ("TFN", "LFM", "Dual-LMF", "Att-LMF")
    }
    for arm, difference in known.items():
        if difference.high < 0:  # where it is named: before "had epochs enough", or after
            enough = text.index(" had epochs enough")
            open_ = bool(plugin.shortfall(patient.frame, "iemocap", arm))
            assert (arm in text[enough : enough + 200]) == open_


def test_the_runs_of_one_sign_on_mosi_are_those_that_chapter_14_names() -> None:
    cells = tables.fusion_methods("emocaps")
    rows = cells.beside("mosi").set_index("arm")["one class"]
    assert set(rows[rows > 0].index) == {"LFM", "Dual-LMF"}
    assert "the same class of the two that Acc-2 counts" in cells_page.table(cells, "mosi").data
    stuck = cells.frame.one_class & (cells.frame.dataset == "mosi")
    losses = [r.training.train_loss for r, one in zip(cells.runs, stuck, strict=True) if one]
    assert len(losses) == rows.sum()
    plan = plans.plan("fusions_emocaps")
    named = [e for e in plan.arms() if e.dataset == "mosi" and e.fusion in ("lmf", "dual_lmf")]
    tried = [Store().get(e).training.train_loss for e in plans.tuning(plan, named)]
    assert len(tried) == 6
    assert all(abs(loss[-1] / loss[0] - 1) < 0.02 for loss in losses + tried)
