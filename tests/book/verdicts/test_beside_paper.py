"""The paper beside ours: printed cells, pairing, verdicts and tables, on runs that were made up for the test."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common as figures
from lmam_book.pages.figures.gains import Gain, forest
from lmam_book.paper import printed as paper
from lmam_book.plans import arms, plans
from lmam_book.verdicts import beside_paper
from lmam_core.data import synthetic
from lmam_core.errors import LmamError
from lmam_core.paths import CHECKOUT
from lmam_core.runs import names as run_names
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes, summarise
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training

CLASSES = ("happy", "sad", "neutral", "angry", "excited", "frustrated")


def made(e: Experiment, right: float) -> Run:
    """A run in which the share `right` of 600 IEMOCAP-like utterances is recognised, the rest called frustrated."""
    rng = np.random.default_rng(e.seed)
    found = {}
    for name in "abcdefghij":
        label = np.repeat(np.arange(6), 10)
        prediction = np.where(rng.random(60) < right, label, 5)
        found[name] = outcomes(label, prediction, 6)
    metrics = summarise(sum(found.values()), 6)
    return Run(e.resolved(), metrics, found, CLASSES, Training(1, 50.0, [1.0], [50.0], 0.1), 10, 1, 1.0, 99.0)


RIGHT = {
    "concatenation": 0.5,
    "concatenation, late": 0.6,
    "self-attention": 0.4,
    "LMAM early": 0.55,
    "LMAM early + residual": 0.5,
    "LMAM late": 0.7,
}


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    chosen = [e for e in plans.plan("bc_lstm").arms() if e.dataset == "iemocap"]
    return [
        made(dataclasses.replace(e, seed=s), RIGHT[run_names.arm(e)])
        for s in range(6)
        for e in chosen
        if run_names.arm(e) in RIGHT
    ]


def test_arms_have_the_names_of_the_tables() -> None:
    names = [run_names.arm(e) for e in plans.plan("bc_lstm").arms()[:8]]
    assert names == [*RIGHT, "LMAM late, released variant", "LMAM late, keys=others"]


@pytest.mark.parametrize(
    ("arm", "dataset", "metric", "expected"),
    [
        ("concatenation", "iemocap", "weighted_f1", 54.96),
        ("self-attention", "iemocap", "accuracy", 56.31),
        ("LMAM late", "iemocap", "weighted_f1", 60.29),
        ("LMAM early", "iemocap", "weighted_f1", 59.16),
        ("LMAM early + residual", "meld", "accuracy", 59.56),
        ("LMAM late", "mosi", "mae", 0.96),
        ("LMAM late", "mosi", "acc7", 34.7),
    ],
)
def test_printed_cells_are_the_papers(arm: str, dataset: str, metric: str, expected: float) -> None:
    assert beside_paper.printed("bc_lstm", arm, dataset, metric) == expected


@pytest.mark.parametrize("backbone", ["mm_dfn", "m2fnet", "emocaps"])
def test_the_starred_row_comes_back_in_table_eleven_as_the_way_that_stands_for_it(backbone: str) -> None:
    """The ground on which `arms.STARRED` rests, from the printed cells; the other early way is elsewhere."""
    name = run_names.title(backbone)
    starred = paper.cell(2, f"{name}*", "Average(w)", "F1", "IEMOCAP")
    ways = {"early": f"{name}*", "early_residual": f"{name}*(R)"}
    gap = {way: abs(paper.cell(11, row, "overall", "F1", "IEMOCAP") - starred) for way, row in ways.items()}
    assert min(gap, key=gap.get) == arms.STARRED[backbone]
    assert gap["early_residual"] <= 0.011 < gap["early"]


def test_what_the_paper_does_not_print_is_nan() -> None:
    assert np.isnan(beside_paper.printed("bc_lstm", "LMAM early", "mosi", "mae"))
    assert np.isnan(beside_paper.printed("bc_lstm", "LMAM late, released variant", "iemocap", "accuracy"))


def test_gains_pair_seeds_and_count_less_error_as_better(runs: list[Run]) -> None:
    table = beside_paper.frame(runs)
    found = beside_paper.gain(table, "iemocap", "accuracy", "concatenation", "LMAM late")
    by_seed = [
        100 * (np.trace(b.total.reshape(6, 6)) - np.trace(a.total.reshape(6, 6))) / 600
        for a, b in zip(
            [r for r in runs if run_names.arm(r.experiment) == "concatenation"],
            [r for r in runs if run_names.arm(r.experiment) == "LMAM late"],
            strict=True,
        )
    ]
    assert found.mean == pytest.approx(np.mean(by_seed))
    assert found.n == 6
    assert beside_paper.sign("mae") == -beside_paper.sign("corr") == -1
    assert beside_paper.gain(table, "iemocap", "accuracy", "concatenation", "absent") is None


@pytest.mark.parametrize(
    ("epochs_run", "best", "might_go_on"),
    [(60, 60, True), (60, 51, True), (60, 50, False), (60, 3, False), (40, 30, False), (59, 55, False)],
)
def test_a_run_might_have_gone_on_if_its_best_epoch_is_within_patience_of_the_limit(
    runs: list[Run], epochs_run: int, best: int, might_go_on: bool
) -> None:
    """The plan has 60 epochs and a patience of ten."""
    scores = [50.0] * epochs_run
    run = dataclasses.replace(runs[0], training=Training(best, 50.0, [1.0] * epochs_run, scores, 0.1))
    assert beside_paper.frame([run]).at_limit.tolist() == [might_go_on]


@pytest.mark.parametrize(("cut", "expected"), [(3, True), (4, False)])
def test_an_arm_has_learned_if_at_least_half_of_its_runs_have(runs: list[Run], cut: int, expected: bool) -> None:
    table = beside_paper.frame([r for r in runs if run_names.arm(r.experiment) == "concatenation"])
    table["at_limit"] = np.arange(len(table)) < cut
    assert len(table) == 6
    why = "" if expected else "most ended at the limit of their budget while still improving"
    assert beside_paper.shortfall(table, "iemocap", "concatenation") == why


def test_a_baseline_with_a_run_that_gives_one_class_is_not_beaten(runs: list[Run]) -> None:
    """`made` with nothing recognised calls every utterance frustrated."""
    stuck = lambda r: run_names.arm(r.experiment) == "concatenation" and r.experiment.seed == 3  # noqa: E731
    table = beside_paper.frame([made(r.experiment, 0.0) if stuck(r) else r for r in runs])
    assert table.one_class.sum() == 1
    assert not table.at_limit.any()
    assert beside_paper.shortfall(table, "iemocap", "concatenation") == "1 gives every utterance the same class"
    word = lambda baseline: beside_paper.word(table, "iemocap", baseline, "LMAM late", 5.0)  # noqa: E731
    assert word("concatenation") == "baseline not working"
    assert word("concatenation, late") == "reproduced"


def test_a_word_needs_a_baseline_at_the_probe_and_arms_that_have_learned(runs: list[Run]) -> None:
    """A share of 0.2 is below IEMOCAP's probe, one of 0.6 above."""
    low = lambda r: run_names.arm(r.experiment) == "self-attention"  # noqa: E731
    table = beside_paper.frame([made(r.experiment, 0.2) if low(r) else r for r in runs])
    word = lambda frame, *arms: beside_paper.word(frame, "iemocap", *arms, 5.0)  # noqa: E731
    assert beside_paper.values(table, "iemocap", "weighted_f1")["self-attention"][0] < beside_paper.probe_score(
        "iemocap"
    )
    assert word(table, "self-attention", "LMAM late") == "baseline not working"
    assert word(table, "concatenation, late", "LMAM late") == "reproduced"
    assert word(table, "LMAM late", "concatenation, late") == "excluded"
    assert word(table, "concatenation, late", "absent") == "too few runs"
    assert word(table[table.seed < 4], "concatenation, late", "LMAM late") == "too few runs"
    stopped = table.assign(at_limit=table.arm == "concatenation, late")
    assert word(stopped, "concatenation, late", "LMAM late") == "baseline not working"
    assert word(stopped, "LMAM late", "concatenation, late") == "undecided"  # the losing model was undertrained


def test_the_largest_share_is_that_of_the_class_that_a_run_gives_most(runs: list[Run]) -> None:
    """`made` calls what it does not recognise frustrated: of 0.3 recognised, 0.75 of all."""
    shares = {"concatenation": 0.7, "LMAM late": 0.9}
    known = [r for r in runs if run_names.arm(r.experiment) in shares]
    stuck = lambda r: run_names.arm(r.experiment) == "concatenation" and r.experiment.seed == 3  # noqa: E731
    share = lambda r: 0.3 if stuck(r) else shares[run_names.arm(r.experiment)]  # noqa: E731
    table = beside_paper.frame([made(r.experiment, share(r)) for r in known])
    assert table.largest_share.max() == pytest.approx(0.75, abs=0.05)
    assert not table.one_class.any()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 0.0, True), (0.0, 2.0, True), (-1.0, -0.1, True), (-0.1, 2.0, False), (-3.0, 3.0, False)],
)
def test_a_regression_stays_on_one_class_if_it_gives_one_sign_and_zero_counts_as_positive(
    runs: list[Run], low: float, high: float, expected: bool
) -> None:
    """Two conversations, so that it is not one of them that decides."""
    labels, scores = np.linspace(-3, 3, 50), np.linspace(low, high, 50)
    found = {"one": outcomes(labels[:25], scores[:25], None), "two": outcomes(labels[25:], scores[25:], None)}
    run = dataclasses.replace(runs[0], classes=None, outcomes=found, metrics=summarise(sum(found.values()), None))
    assert beside_paper.frame([run]).one_class.tolist() == [expected]


def test_tables_hold_paper_and_ours(runs: list[Run]) -> None:
    beside = beside_paper.beside(beside_paper.frame(runs), "bc_lstm", "iemocap")
    assert list(beside[("", "arm")]) == list(RIGHT)
    late = beside[beside[("", "arm")] == "LMAM late"].iloc[0]
    assert late[("weighted F1 %", "paper")] == "60.29"
    mean = np.mean([r.metrics["weighted_f1"] for r in runs if run_names.arm(r.experiment) == "LMAM late"])
    assert late[("weighted F1 %", "ours")].startswith(f"{mean:.1f} ± ")


def test_no_runs_is_told_in_a_sentence() -> None:
    with pytest.raises(LmamError, match="no measured runs of this plan yet"):
        beside_paper.frame([])


def test_every_figure_draws_what_it_is_given(runs: list[Run]) -> None:
    reporting.style()
    table = beside_paper.frame(runs)
    scores = {n: list(v.values()) for n, v in beside_paper.values(table, "iemocap", "accuracy").items()}
    drawn = figures.seeds(scores, "accuracy")
    assert [t.get_text() for t in drawn.axes[0].get_yticklabels()] == [f"{n} (n=6)" for n in RIGHT]
    maps = figures.attention({"text": np.full((4, 4), 0.25)})
    assert maps.axes[0].images[0].get_array().max() == pytest.approx(1)
    for multimodal in (False, True):
        early = figures.embeddings("name", ("text", "audio"), multimodal).axes[0]
        words = [t.get_text() for t in early.texts]
        assert ({"text'", "audio'"} <= set(words)) == multimodal
    lines = figures.curves({"without": ([2, 1], [3, 4]), "LMAM": ([2, 1], [3, 4])}, "F1").axes[0].lines
    assert lines[1].get_color() == reporting.COLOURS["lmam"]
    gain = beside_paper.gain(table, "iemocap", "accuracy", "concatenation", "LMAM late")
    (panel,) = forest({"": {"late": Gain(gain, 5.0)}}, "x").axes
    assert panel.get_yticklabels()[0].get_text() == "late (n=6)"


def test_a_page_says_which_data_is_generated() -> None:
    data = synthetic.generate(dataclasses.replace(synthetic.IEMOCAP_LIKE, conversations=8))
    assert "<strong>Synthetic data. </strong>" in reporting.note(data).data
    assert "synthetic-note" in reporting.note(data).data


def test_source_shows_the_code_that_runs() -> None:
    shown = reporting.source(beside_paper.sign).data
    assert shown.startswith("```python\ndef sign(metric: str) -> int:")
    assert "return -1 if metric ==" in shown
    name, line = re.search(r"\[`([\w/.]+)`, line (\d+)\]\(https://[\w./-]+/blob/main/\1#L\2\)$", shown).groups()
    assert (CHECKOUT / name).read_text().splitlines()[int(line) - 1].startswith("def sign(")


def test_every_cell_gets_its_first_seeds_before_any_gets_the_rest(store: Store, monkeypatch) -> None:
    asked = []

    def pretend(experiments: list[Experiment], store: Store, *_: object) -> list[str]:
        for e in (e for e in experiments if e not in store):
            run = made(e, 0.5)
            store.add(dataclasses.replace(run, metrics={}, outcomes={}) if e.protocol == "tuning1" else run)
        asked.append([(e.backbone, e.protocol, e.seed) for e in experiments])
        return []

    monkeypatch.setattr(plans, "sweep", pretend)
    chosen = {
        name: [a for a in plans.plan(name).arms() if a.dataset == "iemocap"] for name in ("text_cnn", "dialogue_gcn")
    }
    for name, some in chosen.items():
        monkeypatch.setitem(plans.PLANS, name, dataclasses.replace(plans.plan(name), listed=lambda some=some: some))
    assert plans.carry_out(chosen, store) == []
    batches = [(rows[0][0], rows[0][1], max(seed for *_, seed in rows)) for rows in asked]
    order = [(name, protocol) for name in chosen for protocol in ("tuning1", "protocol1")]
    assert batches[:4] == [(*one, 1000 if one[1] == "tuning1" else 4) for one in order]
    assert batches[4:] == [(*one, 1000 if one[1] == "tuning1" else 9) for one in order]
    monkeypatch.setattr(plans, "sweep", lambda *_: ["it failed"])
    assert plans.carry_out(["text_cnn"], store) == ["it failed"]


def test_what_fails_in_a_plan_does_not_keep_the_rest_from_going_on(store, monkeypatch) -> None:
    """A learning rate at which one arm diverges costs that arm its measured runs, and nobody else's."""

    def pretend(experiments, store, *_):
        failed = [e for e in experiments if (e.fusion, e.learning_rate, e.protocol) == ("concat", 3e-3, "tuning1")]
        for e in (e for e in experiments if e not in store and e not in failed):
            run = made(e, 0.5)
            store.add(dataclasses.replace(run, metrics={}, outcomes={}) if e.protocol == "tuning1" else run)
        return ["it diverged"] if failed else []

    monkeypatch.setattr(plans, "sweep", pretend)
    some = [a for a in plans.plan("text_cnn").arms() if a.dataset == "iemocap"]
    monkeypatch.setitem(plans.PLANS, "text_cnn", dataclasses.replace(plans.plan("text_cnn"), listed=lambda: some))
    assert plans.carry_out(["text_cnn"], store) == ["it diverged"]
    assert {(r.experiment.fusion, r.experiment.seed) for r in plans.stored_runs("text_cnn", store)} == {
        ("lmam", seed) for seed in plans.SEEDS
    }
