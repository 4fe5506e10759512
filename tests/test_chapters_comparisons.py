"""The chapters on embedding ways, equal parameters and modalities, with no runs and with runs made up for the test."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from lmam_core import address, paper, plans, plugin
from lmam_core.data import catalogue, synthetic
from lmam_core.experiment import Experiment, Run
from lmam_core.results import Store
from tests.test_plugin import made

CHAPTERS = {
    "11-embedding-ways": ("bc_lstm", "mm_dfn", "m2fnet", "emocaps", "ways"),
    "12-equal-parameters": ("bc_lstm", "mm_dfn", "m2fnet", "emocaps", "equal_bc_lstm", "equal"),
    "16-modalities": ("bc_lstm", "bc_lstm_clean", "modalities"),
}
BEFORE = """
import pandas as pd

from lmam_core import comparison, results

results.Store.__init__.__defaults__ = (results.Path({root!r}),)
comparison.live = lambda arms: pd.DataFrame([{{"arm": name}} for name in arms])  # trains nothing
"""


def right(e: Experiment) -> float:
    """LMAM is worth 20 points with a residual, 10 otherwise; shuffling takes its gain away, width changes nothing."""
    if e.fusion != "lmam" or e.shuffled or len(e.modalities) == 1:
        return 0.4
    return 0.6 if e.embedding == "early_residual" else 0.5


def run_of(e: Experiment) -> Run:
    run = made(e, right(e))
    if e.dataset == "iemocap":
        return run
    score = 100 * right(e) + np.random.default_rng(e.seed).normal()
    metrics = {"acc2": score, "f1": score, "mae": 1.0, "corr": 0.5, "acc7": 30.0}
    return dataclasses.replace(run, metrics=metrics, classes=None)


def fill(store: Store, name: str) -> None:
    plan = plans.plan(name)
    arms = plan.arms()
    for e in plans.tuning(plan, arms):
        if e not in store:
            store.add(dataclasses.replace(run_of(e), metrics={}, outcomes={}))
    for e in plans.measured(plan, arms, store, range(5)):
        if e not in store:
            store.add(run_of(e))


def said(chapter: str, root: Path) -> str:
    """All text that a chapter puts out with the store at `root`, markup removed."""
    notebook = nbformat.read(address.ROOT / "notebooks" / f"{chapter}.ipynb", 4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BEFORE.format(root=str(root))))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(address.ROOT / "notebooks")}}).execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") != "stderr"]
    texts = [o.get("text") or o["data"].get("text/html") or o["data"].get("text/markdown") or "" for o in outputs]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", "\n".join(texts)))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_without_runs_a_chapter_says_so_and_what_makes_them(chapter: str, tmp_path: Path) -> None:
    text = said(chapter, tmp_path)
    assert "have none yet" in text
    assert f"lmam sweep {CHAPTERS[chapter][-1]}" in text
    assert "not testable" in text
    assert not re.search(r"(?<!not )reproduced|same direction|nan", text)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_with_runs_a_chapter_says_what_they_show(chapter: str, store: Store) -> None:
    for name in CHAPTERS[chapter]:
        fill(store, name)
    text = said(chapter, store.root)
    assert "nan" not in text
    if chapter.startswith("11"):
        assert text.count("against the others: 2 reproduced") == 4
        assert "LMAM early + residual beats LMAM early reproduced iemocap +2.53" in text
    if chapter.startswith("12"):
        assert len(re.findall(r"widened: the paper prints \+[\d.]+ points .{0,60}: reproduced", text)) == 4
        assert text.count("width alone neither gained nor lost") == 8
    if chapter.startswith("16"):
        assert text.count("shuffled supported") == 4
        assert re.search(r"T\+A\+V: LMAM gains \+\d", text)


def test_what_chapter_11_says_of_the_papers_tables_is_so() -> None:
    """On MELD the starred rows mostly agree with neither way; no table names the late way."""
    neither = 0
    for name in ("bc_lstm", "mm_dfn", "m2fnet", "emocaps"):
        title = plugin.BACKBONES[name]
        starred = paper.cell(3, f"{title}*", "Average(w)", "F1", "MELD")
        ways = [paper.cell(11, f"{title}*{r}", "overall", "F1", "MELD") for r in ("", "(R)")]
        neither += all(abs(starred - way) > 0.02 for way in ways)
    assert neither == 3
    assert not any("late" in row for n in range(2, 13) for row in paper.table(n).row.astype(str))


def test_shuffled_audio_leaves_the_oracle_of_text_and_misleads_the_one_that_believes_it() -> None:
    whole = catalogue.load("synthetic-iemocap")
    dealt = whole.with_shuffled("audio", 0)
    score = lambda data, *read: synthetic.oracle_accuracy(  # noqa: E731
        synthetic.IEMOCAP_LIKE, data.splits["test"], read
    )
    assert score(dealt, "text") == score(whole, "text") < score(whole, "text", "audio")
    assert score(dealt, "text", "audio") < score(dealt, "text")
