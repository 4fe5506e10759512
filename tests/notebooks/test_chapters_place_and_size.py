"""The chapters on where LMAM sits and on equal parameters: over the store, without runs and with made-up runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from torch import nn

from lmam_book.paper import printed as paper
from lmam_book.plans import plans
from lmam_book.plans.arms import STARRED, WIDENED
from lmam_book.verdicts.effects import effect
from lmam_core.errors import LmamError
from lmam_core.models.lmam import LMAM
from lmam_core.runs import names as run_names
from lmam_core.runs.store import Store
from tests.book.verdicts.test_beside_paper import made
from tests.notebooks.here import execute
from tests.notebooks.test_chapters import pictures, prose, said

SIZE, PLACE = "12-equal-parameters", "11-embedding-ways"
NAMES = ("bc_lstm", "mm_dfn", "m2fnet", "emocaps")
RESIDUAL, EARLY = "LMAM early + residual", "LMAM early"


def signed(a: list, b: list) -> str:
    found = effect(a, b, "weighted_f1")
    return f"{found.mean:+.1f} ({found.low:+.1f} to {found.high:+.1f}) {found.seeds}"


def arms(*names: str, store: Store) -> dict[tuple[str, str], list]:
    """The runs of IEMOCAP by backbone and arm."""
    found: dict[tuple[str, str], list] = {}
    for run in {r.experiment: r for name in names for r in plans.stored_runs(name, store)}.values():
        e = run.experiment
        if e.dataset == "iemocap" and not e.readings and e.variant in (None, "paper"):
            found.setdefault((e.backbone, run_names.arm(e) + (", widened" if e.width else "")), []).append(run)
    return found


def test_gains_at_equal_size_are_those_of_the_store(stage: Path) -> None:
    text, runs = said(stage / f"{SIZE}.ipynb"), arms(*NAMES, "equal_bc_lstm", "equal", store=Store())
    means = []
    for name in NAMES:
        lmam, wide, plain = run_names.WAYS[STARRED[name]], "concatenation, widened", "concatenation"
        f1 = {m: paper.cell(5, run_names.title(name) + m, "overall", "F1", "IEMOCAP") for m in ("", "◇", "*")}
        means.append(effect(runs[name, wide], runs[name, lmam], "weighted_f1"))
        for arm, over, reported in ((lmam, wide, f1["*"] - f1["◇"]), (wide, plain, f1["◇"] - f1[""])):
            gain = signed(runs[name, over], runs[name, arm])
            assert f" {run_names.title(name)} {arm} {over} {gain} {reported:+.1f} " in text
    span = f"{min(m.mean for m in means):+.1f} to {max(m.mean for m in means):+.1f} points"
    assert f"is shown for {sum(m.low > 0 for m in means)} of 4 backbones**: with LMAM {span}" in text
    lower = [
        (name, metric, data)
        for name in map(run_names.title, NAMES)
        for metric in ("Acc", "F1")
        for data in ("IEMOCAP", "MELD")
        if paper.cell(5, f"{name}◇", "overall", metric, data) < paper.cell(5, name, "overall", metric, data)
    ]
    assert f"below the plain one in {len(lower)} of 16 cells" in text
    assert pictures(stage / f"{SIZE}.ipynb") == 1


def test_gains_of_the_places_are_those_of_the_store(stage: Path) -> None:
    text, runs = said(stage / f"{PLACE}.ipynb"), arms(*NAMES, "ways", store=Store())
    for name in NAMES:
        f1 = [paper.cell(11, f"{run_names.title(name)}*{r}", "overall", "F1", "IEMOCAP") for r in ("(R)", "")]
        gain = signed(runs[name, EARLY], runs[name, RESIDUAL])
        assert f" {run_names.title(name)} {RESIDUAL} {EARLY} {gain} {f1[0] - f1[1]:+.1f} " in text
        for arm in (EARLY, RESIDUAL, "LMAM late"):
            gain = signed(runs[name, "concatenation"], runs[name, arm])
            assert f" {run_names.title(name)} {arm} concatenation {gain} " in text
    early, residual = map(int, re.search(r"early: (\d+)% early, residual: (\d+)%", text).groups())
    assert early < residual
    assert pictures(stage / f"{PLACE}.ipynb") == 2


@pytest.fixture(scope="module")
def imagined(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """IEMOCAP with five seeds: LMAM gains 20 points with a residual and 10 otherwise, width gains nothing."""
    store = Store(tmp_path_factory.mktemp("store"))
    for plan in (plans.plan(name) for name in (*NAMES, "ways", "equal_bc_lstm", "equal")):
        asked = [e for e in plan.arms() if e.dataset == "iemocap"]
        for e in (e for e in plans.tuning(plan, asked) if e not in store):
            store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
        for e in (e for e in plans.measured(plan, asked, store, range(5)) if e not in store):
            right = 0.4 if e.fusion != "lmam" else 0.7 if e.embedding == "early_residual" else 0.6
            store.add(made(e, right))
    return store


def test_runs_of_ones_own_decide_what_the_pages_say(imagined: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    text = execute(SIZE, {"store": str(imagined.root)}, monkeypatch)
    assert "a gain is shown for 4 of 4 backbones" in text
    assert re.search(r"points; 0 of 4 intervals exclude 0", text)
    assert "4 reproduced" in text
    text = execute(PLACE, {"store": str(imagined.root)}, monkeypatch)
    assert "is shown to be better for 4 of 4 backbones" in text
    assert "12 of 12 intervals lie above 0, 0 below" in text
    assert "lmam sweep ways" not in text


@pytest.mark.parametrize(("chapter", "plan"), [(SIZE, "equal"), (PLACE, "ways")])
def test_without_runs_a_page_says_what_makes_them(
    chapter: str, plan: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.root.mkdir()
    text = execute(chapter, {"store": str(store.root)}, monkeypatch)
    assert f"`lmam sweep {plan} --store {store.root}`" in text
    assert "too few runs" in text
    assert not re.search(r"(?<!not )reproduced|excluded|undecided| nan", text)


@pytest.mark.real_data
def test_the_page_finds_the_widths_that_the_plans_have_written_down(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.root.mkdir()
    text = execute(SIZE, {"store": str(store.root), "dataset": "mosi"}, monkeypatch)
    for name, width in WIDENED.items():
        counts = rf"{re.escape(run_names.title(name))} (?:[\d,]+ ){{4}}"
        assert re.search(rf"{counts}\w+, \d+ to {width['mosi']} ", text)
    assert "mosi: features of width" in text
    assert "synthetic" not in text.split("Fewer than")[1].split("dataset=")[0]


def test_what_chapter_11_says_of_the_papers_tables_is_so(stage: Path) -> None:
    """No table names the late way; on MELD most starred rows agree with neither early way."""
    assert not any("late" in row for n in range(2, 13) for row in paper.table(n).row.astype(str))
    starred = {n: paper.cell(3, f"{run_names.title(n)}*", "Average(w)", "F1", "MELD") for n in NAMES}
    agree = sum(
        abs(starred[n] - paper.cell(11, f"{run_names.title(n)}*(R)", "overall", "F1", "MELD")) <= 0.02 for n in NAMES
    )
    assert f"on IEMOCAP and {agree} on MELD" in said(stage / f"{PLACE}.ipynb")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_answers_of_the_exercises_are_counted_on_modules() -> None:
    text = prose(f"{SIZE}.ipynb")
    count = {h: parameters(nn.LSTM(100, h, bidirectional=True)) for h in (100, 155, 156, 157)}
    assert min(count, key=lambda h: abs(count[h] - 2 * count[100])) == 156
    assert f"{count[100]:,}" in text
    assert f"$h = 156$ with {count[156]:,}" in text
    text = prose(f"{PLACE}.ipynb").replace("{,}", ",")
    for widths in ([100, 100, 512], [200, 200, 200]):
        named = {str(k): d for k, d in enumerate(widths)}
        assert f"= {parameters(LMAM(named, 4)) - parameters(LMAM(named, 4, output=False)):,}$" in text


@pytest.mark.parametrize("chapter", [SIZE, PLACE])
def test_a_wrong_rank_or_store_stops_with_a_sentence(chapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, sentence in (({"rank": 500}, "rank must lie in 1"), ({"store": "no-runs"}, "no folder of runs")):
        with pytest.raises(LmamError, match=sentence):
            execute(chapter, given, monkeypatch)


@pytest.mark.parametrize("chapter", [SIZE, PLACE])
def test_the_chapters_are_short(chapter: str) -> None:
    assert len(prose(f"{chapter}.ipynb").split()) <= 800
