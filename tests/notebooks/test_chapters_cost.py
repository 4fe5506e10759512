"""The chapters on cost and on the rank, read from the executed copies that the book is built from; the rank's also on
made-up runs, without its live part."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from scipy import stats

from lmam_book.bench import cost, crossover, epochs, spectra, spectrum
from lmam_book.pages.figures import common as figures
from lmam_book.paper import printed as paper
from lmam_book.plans import plans
from lmam_book.verdicts import beside_paper, sizes
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.claims import judge, read
from lmam_core.errors import LmamError
from lmam_core.models.backbones import backbone
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from lmam_core.models.fusion.self_attention import SelfAttention
from lmam_core.models.kernels import blockwise as long
from lmam_core.models.lmam import LMAM
from lmam_core.runs.store import Store
from tests.book.verdicts.test_beside_paper import made
from tests.notebooks.here import execute
from tests.notebooks.test_chapters import prose

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def said(notebook: nbformat.NotebookNode) -> tuple[str, int]:
    """All text that an executed notebook put out, markup removed and white space single; and its number of figures."""
    found = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    data = [o.get("data", {}) for o in found]
    parts = [
        o.get("text") or d.get("text/html") or d.get("text/markdown") or "" for o, d in zip(found, data, strict=True)
    ]
    text = html.unescape(re.sub(r"<[^>]+>|\*\*", " ", "\n".join(parts)))
    return re.sub(r"\s+", " ", text), sum("image/svg+xml" in d for d in data)


@pytest.fixture(scope="module")
def costs(stage: Path) -> tuple[str, int]:
    return said(nbformat.read(stage / "13-cost.ipynb", as_version=4))


@pytest.fixture(scope="module")
def ranks(stage: Path) -> tuple[str, int]:
    return said(nbformat.read(stage / "15-rank.ipynb", as_version=4))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Every rank of Fig. 5 on IEMOCAP with six seeds; the higher the rank, the more is right."""
    store = Store(tmp_path_factory.mktemp("store"))
    plan = plans.plan("ranks")
    arms = [a for a in plan.arms() if a.dataset == "iemocap"]
    for e in plans.tuning(plan, arms):
        store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
    for e in plans.measured(plan, arms, store, range(6)):
        store.add(made(e, 0.4 + (e.rank or 0) / 1000))
    return store


def test_parameters_and_operations_are_answered_first(costs: tuple[str, int]) -> None:
    text, drawn = costs
    of = LMAM(sizes.ALL, 45), LMAM(sizes.ALL, 45, output=False), SelfAttention(sizes.ALL)
    lmam, thin, own = (sum(p.numel() for p in module.parameters()) for module in of)
    both = own + sum(d * d + d for d in sizes.ALL.values())
    assert f"{100 * lmam / both:.1f} % of self-attention's where both have an output layer" in text[:300]
    assert f"{100 * thin / own:.1f} % where neither has, at the paper's widths and rank 45: both are below a" in text
    assert f"which has {100 * (1 - thin / lmam):.0f} % of its parameters" in text
    assert "a doubling takes 4.00 times as many" in text
    assert "The paper adds +0.62 M, for 7 backbones" in text
    assert drawn == 2


def test_seconds_with_lmam_are_over_backbones_whose_encoders_stay(costs: tuple[str, int]) -> None:
    """bc-LSTM late has one LSTM per modality: what these cost is not LMAM's."""
    timed = epochs.table().query("threads == 2").pivot(index="backbone", columns="arm", values="seconds")
    timed = timed.drop(index=["bc-LSTM", "bc-LSTM+Att"])
    factors = timed.drop(columns="concatenation").bfill(axis=1).iloc[:, 0] / timed.concatenation
    assert f"takes {factors.min():.2f} to {factors.max():.2f} times one without, over 6 backbones" in costs[0]
    assert costs[0].count("LMAM and one encoder per modality") == 1


def test_encoders_that_a_place_needs_are_not_booked_as_lmams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late, three DialogueRNNs stand where one did: two of them and the wider classifier belong to the place."""
    text = execute("13-cost", {"embedding": "late", "rank": 10}, monkeypatch, slice(20))
    make = lambda widths: build("lmam", widths, rank=10)  # noqa: E731
    model = embed(sizes.ALL, 6, backbone("dialogue_rnn"), make, "late")
    whole, of_lmam = (sum(p.numel() for p in part.parameters()) for part in (model, model.fusion))
    more = whole - of_lmam - sizes.count("dialogue_rnn", sizes.ALL)
    assert more > 10 * of_lmam
    assert f" DialogueRNN +0.62 late {of_lmam / 1e6:.2f} {more / 1e6:.2f} " in text
    assert "rank 10" in text


def test_the_rank_condition_is_shown_for_each_width(costs: tuple[str, int]) -> None:
    for d in (100, 512):
        third = max(r for r in range(1, d) if 3 * cost.lmam_parameters([d], r, False) < 3 * (d * d + d))
        both = int(d / 6 - (3 * d + 1) / (2 * (1 + d)))  # exercise 2
        assert f" {d} {cost.break_even_rank(d)} {both} {third} " in costs[0]


def test_torch_counts_what_the_formulas_say(costs: tuple[str, int]) -> None:
    text = costs[0]
    table = text[text.index("counted minus sum") : text.index("Every fusion method")]
    rows = re.findall(r"(LMAM|LMAM without Eq. 7|self-attention)((?: [\d.]+){6})(?= )", table)
    assert len(rows) == 3
    assert all(row.split()[-1] == "0" for _, row in rows)
    assert float(rows[0][1].split()[4]) == pytest.approx(cost.multiply_adds("lmam", sizes.ALL, 110, 45) / 1e6, abs=0.01)


def test_twice_the_length_is_no_constant_and_twice_the_modalities_is_twice(costs: tuple[str, int]) -> None:
    (length,) = re.findall(r" length ([\d.]+) ([\d.]+) ([\d.]+) 1.00 1.00 1.00 ", costs[0])
    assert all(2 < float(factor) < 4 for factor in length)
    assert f"twice the length is at least {min(length, key=float)} times the work" in costs[0]
    assert " modalities 2.00 2.00 2.00 2.00 2.00 2.00 " in costs[0]


def test_the_measured_crossover_is_shown_with_its_machine(costs: tuple[str, int]) -> None:
    found = crossover.by_length(crossover.table())
    for row in found.itertuples():
        times = f"{row.L} {row.whole_s:.3f} {row.blocks_s:.3f} {row.ratio:.3f}"
        assert f" {times} {row.whole_mb:.0f} {row.blocks_mb:.0f} " in costs[0]
    assert f"{row.machine}, {row.device}, threads: {row.threads}; torch {row.torch}, code {row.code}" in costs[0]
    assert f"From {crossover.crossing(found)} utterances on" in costs[0]
    assert f"LMAM matches in blocks from {long.LONG} on" in costs[0]
    assert f"a whole LMAM for {crossover.LONGEST:,} utterances took" in costs[0]


def test_the_cost_page_is_short_and_the_answers_of_its_exercises_are_so() -> None:
    text = prose("13-cost.ipynb")
    assert len(text.split()) <= 800
    pairs = lambda L, r=45, d=512: sum(cost.lmam_multiply_adds([d], r, L, False)[t] for t in ("scores", "values"))  # noqa: E731
    terms = cost.self_attention_multiply_adds([512], 768)
    assert terms["projections"] == terms["scores"] + terms["values"]
    assert "= 768$" in text
    assert "= 83.5$" in text
    projections = [cost.lmam_multiply_adds([512], 45, L, False)["projections"] for L in (83, 84)]
    assert pairs(83) < projections[0]
    assert pairs(84) > projections[1]


def test_the_rank_page_answers_from_claims_and_spectra(ranks: tuple[str, int]) -> None:
    text, drawn = ranks
    claim = judge(Store(), [c for c in read() if c.id == "best_rank"]).iloc[0]
    assert f"Is rank 45 the best on IEMOCAP? {claim.verdict}" in text
    assert f"({claim.ours}; interval corrected for the number of ranks, first protocol). {claim.reason}" in text
    change = spectra.table().query("kind == 'change' and dataset == 'iemocap'").groupby("arm").effective_rank.mean()
    assert f"with an effective rank of {change['full weight']:.0f}, and " in text
    cut = 100 - spectra.cuts_table().query("kept == 0").set_index("dataset").same
    lost = cut.groupby("dataset").mean()
    assert f"{lost.iemocap:.1f} % of the predictions on IEMOCAP and {lost.mosi:.1f} % on CMU-MOSI" in text
    assert f"at most {cut.max():.1f} % in one run" in text
    assert "Synthetic data." in text
    assert drawn == 4  # two measured, two live


def test_the_live_weights_have_the_rank_that_they_were_given(ranks: tuple[str, int]) -> None:
    text = ranks[0]
    assert f"smaller than W up to rank {cost.break_even_rank(200)}" in text
    live = text[text.index("Effective ranks in the live run") :]
    for m in ("text", "audio", "video"):
        (row,) = re.findall(rf"rank 45 {m} \d+ [\d.]+ ([\d.]+) ([\d.]+) ([\d.]+) (\d+)", live)
        before, after, change, _ = map(float, row)
        assert max(before, after) <= 45
        assert change <= 90
        gradient, signs = re.findall(rf" {m} (\d+) (\d+)(?= )", live[live.index("The loss's gradient") :])[0]
        assert int(gradient) < int(signs)  # the page says that the loss asks for the lower rank
    assert re.search(r" 200 100.000 0.00\d ", live)  # rank d changes nothing


def spread_ratios(store: Store) -> list[float]:
    """The deviation within ranks above 45 over that within 30 to 45: of all runs, and without each side's farthest."""
    cells = tables.rank_sweep(store)
    found = beside_paper.values(cells.frame, "iemocap", "weighted_f1")
    by_rank = {int(name[5:]): list(v.values()) for name, v in found.items() if name.startswith("rank ")}
    sides = [[x for r, x in by_rank.items() if low <= r <= high] for low, high in ((30, 45), (46, 999))]
    ratios = []
    for drop in (False, True):
        deviations = []
        for side in sides:
            rows = [list(x) for x in side]
            if drop:
                _, k, i = max((abs(v - np.mean(x)), k, i) for k, x in enumerate(rows) for i, v in enumerate(x))
                del rows[k][i]
            squares = sum(((np.array(x) - np.mean(x)) ** 2).sum() for x in rows)
            deviations.append((squares / sum(len(x) - 1 for x in rows)) ** 0.5)
        ratios.append(deviations[1] / deviations[0])
    return ratios


def test_the_rank_page_over_a_store_of_ones_own(measured: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [cell.source for cell in nbformat.read(NOTEBOOKS / "15-rank.ipynb", as_version=4).cells]
    live = next(k for k, source in enumerate(sources) if "## A live run" in source)
    text = execute("15-rank", {"store": str(measured.root), "rank": 30}, monkeypatch, slice(live)).replace("**", "")
    claim = judge(measured, [c for c in read() if c.id == "best_rank"]).iloc[0]
    assert claim.verdict == "excluded"
    assert re.search(rf"Is rank 45 the best on IEMOCAP\? +{claim.verdict}", text)
    assert re.search(r"cells on CMU-MOSI have at least five seeds, \d+ have none yet", text)
    found = r"([\d.]+) \[([\d.]+), ([\d.]+)\]"
    (ratio,) = re.findall(rf"iemocap text: above 45 {found} {found}", text)
    ratio = [float(v) for v in ratio]
    assert ratio[1] < ratio[0] < ratio[2]
    assert [ratio[0], ratio[3]] == pytest.approx(spread_ratios(measured), abs=0.006)


def test_a_rank_above_the_width_stops_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LmamError, match=r"rank must lie in 1\.\.200 for LMAM late in bc_lstm"):
        execute("15-rank", {"rank": 201}, monkeypatch, slice(4))


def test_answers_of_the_exercises_on_the_rank_are_computed() -> None:
    text = prose("15-rank.ipynb")
    for share in (0.975, 0.025):
        chi2 = stats.chi2.ppf(share, 9)
        assert f"9/{chi2:.2f}}} = {(9 / chi2) ** 0.5:.2f}$" in text
    s = torch.tensor([10.0, 1, 1, 1, 1, 1])
    assert f"the effective rank is {spectrum.effective_rank(s):.2f}" in text
    assert f"the 99 % rank is {spectrum.energy_rank(s)}." in text


def test_slopes_are_powers_and_figures_hold_every_curve() -> None:
    cube = {2.0: 8.0, 4.0: 64.0, 8.0: 512.0}
    assert figures.slope(cube) == pytest.approx(3)
    drawn = figures.growth({"parameters": {"d": {"LMAM": cube}, "r": {"LMAM": {1: 5.0, 2: 5.0}}}})
    assert [text.get_text() for ax in drawn.axes for text in ax.texts] == ["3.0", "0.0"]
    ax = figures.over({1: [60.0, 61.0], 45: [62.0]}, "rank", "F1", {"full weight": [63.0]}).axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "45", "full weight"]
    assert ax.get_xlabel() == "rank (n = 1, 1: 2)"
    panels = figures.spectra({"text": {"before": [4.0, 2.0, 0.0], "after": [1.0, 1.0, 1.0]}}, {"r = 2": 2}).axes[0]
    assert [len(line.get_xdata()) for line in panels.lines] == [2, 3, 2]


def test_the_paper_adds_the_same_to_every_backbone() -> None:
    cells = paper.table(6).query("metric == 'params_M'").set_index("row")["number"]
    assert {round(cells[f"{n}*"] - cells[n], 2) for n in cells.index if f"{n}*" in cells} == {0.62}


def test_of_three_rates_most_ranks_took_the_largest_as_chapter_15_says() -> None:
    assert "of three rates, most ranks had taken the largest" in prose("15-rank.ipynb")
    three = dataclasses.replace(plans.plan("ranks"), rates=plans.RATES)
    taken = [plans.tuned(three, arm, Store()).learning_rate for arm in three.arms()]
    assert taken.count(max(plans.RATES)) > len(taken) / 2
