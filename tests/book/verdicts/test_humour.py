"""Table XIV's claim and the gains beside it: what runs on which data decide."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lmam_book.paper import printed
from lmam_book.plans import tasks
from lmam_book.verdicts import humour
from lmam_book.verdicts.claims import Evidence, read
from lmam_book.verdicts.claims.measured import humour as claim
from lmam_core.runs.metrics import outcomes, summarise, total
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training


def run_of(plan: str, arm: str, seed: int, rate: float, segments: int = 1024) -> Run:
    """A run that was never carried out, right about a share of the test segments."""
    rng = np.random.default_rng([seed, 3])
    label = np.random.default_rng(0).integers(0, 2, segments)
    decided = np.where(rng.random(segments) < rate, label, 1 - label)
    blocks = {f"segments {i}+": outcomes(label[i : i + 16], decided[i : i + 16], 2) for i in range(0, segments, 16)}
    e = dataclasses.replace(tasks.PLANS[plan]()[arm], seed=seed).resolved()
    metrics = summarise(total(blocks), 2)
    origin = {"data": e.dataset, "data_sha256": "0" * 64}
    training = Training(1, 1.0, [1.0], [1.0], 0.1)
    return Run(e, metrics, blocks, ("no", "yes"), training, 10, 0, 1.0, 9.0, origin)


def fill(store: Store, plan: str, rates: dict[str, float], seeds: int = 5) -> None:
    for arm, rate in rates.items():
        for seed in range(seeds):
            store.add(run_of(plan, arm, seed, rate))


def test_the_plans_are_the_cells_of_table_xiv() -> None:
    rows = printed.table(14)
    cells = {(row, subset) for row, subset in zip(rows["row"], rows["column"], strict=True)}
    assert cells == {(f"{row}{star}", subset) for row, subset in humour.CELLS for star in ("", "*")}
    for plan, extra in (("humour", 2), ("humour_full", 0)):
        arms = tasks.PLANS[plan]()
        assert len(arms) == 30 + extra
        assert len({e.key for e in tasks.experiments(plan)}) == 5 * len(arms)
        for name, e in list(arms.items())[:30]:
            row, subset = name.split(", ")
            assert (e.setting, e.modalities) == (tasks.CMFN[row.rstrip("*")], tasks.SUBSETS[subset])
            assert (e.fusion == "lmam") == row.endswith("*")
    assert {e.dataset for e in tasks.experiments("humour_text")} == {"mustard"}


def test_runs_on_generated_segments_decide_nothing_about_ur_funny(tmp_path: Path) -> None:
    store = Store(tmp_path)
    told = claim(Evidence(store))
    assert (told.verdict, told.paper, told.n) == ("not testable", "+1.77", 0)
    assert "data_folds.pkl" in told.reason
    assert "synthetic" not in told.reason
    fill(store, "humour", {"C-MFN, T+A+V": 0.6, "C-MFN*, T+A+V": 0.8})
    told = claim(Evidence(store))
    assert (told.verdict, told.ours) == ("not testable", "–")
    assert "On generated segments (synthetic) the same cell gains +1" in told.reason
    assert [c.rule for c in read() if c.id == "humour_detection"] == ["humour"]


@pytest.mark.parametrize(("rates", "word"), [((0.6, 0.8), "reproduced"), ((0.8, 0.6), "excluded")])
def test_runs_on_ur_funny_decide(tmp_path: Path, rates: tuple[float, float], word: str) -> None:
    store = Store(tmp_path)
    fill(store, "humour_full", dict(zip(("C-MFN, T+A+V", "C-MFN*, T+A+V"), rates, strict=True)))
    told = claim(Evidence(store))
    assert (told.verdict, told.n) == (word, 5)


def test_gains_are_differences_of_accuracies_in_one_cell_and_over_several(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, "humour", {"C-MFN, T": 0.6, "C-MFN*, T": 0.7, "C-MFN, T+A": 0.7, "C-MFN*, T+A": 0.71}, seeds=3)
    runs = tasks.stored_runs("humour", store)
    cells = [("C-MFN", "T"), ("C-MFN", "T+A")]
    differences = [
        np.mean([b.metrics["accuracy"] - a.metrics["accuracy"] for a, b in zip(runs[p], runs[q], strict=True)])
        for p, q in (("C-MFN, T", "C-MFN*, T"), ("C-MFN, T+A", "C-MFN*, T+A"))
    ]
    gains = humour.by_cell(runs)
    assert list(gains) == cells
    assert [e.mean for e in gains.values()] == pytest.approx(differences)
    both = humour.gain(runs, cells)
    assert both.mean == pytest.approx(np.mean(differences))
    assert both.half < gains["C-MFN", "T"].half
    assert humour.gain(runs, [*cells, ("C-MFN", "T+V")]) is None
    assert humour.reported(cells) == pytest.approx(((65.66 - 64.44) + (65.68 - 64.47)) / 2)


def test_the_best_answer_grows_with_what_is_read() -> None:
    assert humour.best("C-MFN", "T+A+V") > humour.best("C-MFN", "A+V") > humour.best("C-MFN(P)", "A+V") > 55
    assert humour.best("C-MFN(C)", "T") == pytest.approx(humour.best("C-MFN(C)", "T+A+V"), abs=2)
