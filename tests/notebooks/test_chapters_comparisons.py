"""The chapters on fusion methods and on modalities, with no runs, with runs made up for the test, and as built."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from lmam_book.pages import cells_page
from lmam_book.paper import printed as paper
from lmam_book.plans import plans, search, studies
from lmam_book.verdicts import beside_paper, claims, findings
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.cells import gains_over
from lmam_book.verdicts.effects import effect
from lmam_core.data import catalogue, synthetic
from lmam_core.models.fusion import build
from lmam_core.paths import CHECKOUT
from lmam_core.runs import store as results
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import prepared
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.book.verdicts.test_beside_paper import made
from tests.notebooks.here import execute


def right(e: Experiment) -> float:
    """With two modalities LMAM is worth 10 points; with one, or shuffled, none."""
    return 0.5 if e.fusion == "lmam" and not e.shuffled and len(e.modalities) > 1 else 0.4


def test_shuffled_audio_leaves_the_oracle_of_text_and_misleads_the_one_that_believes_it() -> None:
    whole = catalogue.load("synthetic-iemocap")
    dealt = whole.with_shuffled("audio", 0)
    score = lambda data, *read: synthetic.oracle_accuracy(  # noqa: E731
        synthetic.IEMOCAP_LIKE, data.splits["test"], read
    )
    assert score(dealt, "text") == score(whole, "text") < score(whole, "text", "audio")
    assert score(dealt, "text", "audio") < score(dealt, "text")


FUSION, MODALITIES = "14-fusion-methods", "16-modalities"
PRODUCTS = ("TFN", "LFM", "Dual-LMF", "Att-LMF")


def cells_of(chapter: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(CHECKOUT / "notebooks" / f"{chapter}.ipynb", 4).cells


def prose(chapter: str) -> str:
    """The Markdown of a stored chapter on one line."""
    return re.sub(r"\s+", " ", " ".join(cell.source for cell in cells_of(chapter) if cell.cell_type == "markdown"))


@pytest.mark.parametrize("chapter", [FUSION, MODALITIES])
def test_a_chapter_is_short_and_reads_well_where_myst_is_not_rendered(chapter: str) -> None:
    assert len(prose(chapter).split()) <= 1200
    assert ":::" not in prose(chapter)
    for cell in cells_of(chapter):
        tags = cell.metadata.get("tags", [])
        if "hide-input" in tags:
            assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == ("parameters" not in tags)
            assert re.match("Code: .|Parameters", cell.metadata.mystnb.code_prompt_show)


@pytest.mark.parametrize("chapter", [FUSION, MODALITIES])
def test_over_an_empty_store_a_chapter_says_that_nothing_is_measured(
    chapter: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.root.mkdir()
    text = execute(chapter, {"store": str(store.root)}, monkeypatch)
    assert "have none yet" in text
    assert "too few runs" in text
    assert not re.search(r"reliably|reproduced|undecided|nan", text)


def fill_iemocap(store: Store, *names: str, of: Callable[[Experiment], float] = right) -> None:
    """Plans of the first protocol on IEMOCAP, five seeds; `of` is the share of utterances that is recognised."""
    for name in names:
        plan = plans.plan(name)
        arms = [e for e in plan.arms() if e.dataset == "iemocap"]
        for e in plans.tuning(plan, arms):
            store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
        for e in plans.measured(plan, arms, store, range(5)):
            store.add(made(e, of(e)))


def fill_products(store: Store) -> None:
    """The second protocol's product methods, as good as concatenation, and LMAM, ten points better; six seeds."""
    for arm in studies.study("products_bc_lstm"):
        while missing := search.needed(arm, store):
            for e in missing:
                inside = Training(1, e.learning_rate * (e.learning_rate < 3e-3), [1.0], [50.0], 0.1, 600)
                store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}, training=inside))
        for e in studies.measured(arm, store, range(6)):
            store.add(made(e, 0.7 if e.fusion == "lmam" else 0.6))


def test_chapter_14_says_what_other_runs_show(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_iemocap(store, "bc_lstm", "modalities", "fusions_bc_lstm")
    text = execute(FUSION, {"store": str(store.root)}, monkeypatch)
    assert "Of the 8 ways to fuse text with audio that learned" in text
    assert "1 is reliably better than text alone**: LMAM by +" in text
    assert "LMAM is number 1 of 14 by mean" in text
    assert "sweep products_bc_lstm --store" in text
    fill_products(store)
    text = execute(FUSION, {"store": str(store.root)}, monkeypatch)
    assert "has no runs here yet" not in text
    table = text[text.index("LMAM over it, second word") :]
    for method in PRODUCTS:
        assert re.search(rf" {method} [^A-Z]* \(n=5\) – [\d.± ]+ \(n=6\) \+[^A-Z]+ reproduced", table)


def test_chapter_14_shows_the_store_and_a_start_that_was_repaired(stage: Path) -> None:
    text, pictures = shown(stage / f"{FUSION}.ipynb")
    fused, alone = tables.fusion_methods("bc_lstm"), tables.modality_sets("concatenation")
    every = gains_over(fused, alone.of("T", "iemocap"), "iemocap")
    learned = {arm: gain for arm, gain in every.items() if arm not in (*PRODUCTS, "LoRA◇", "LoRA*")}
    assert f"Of the {len(learned)} ways to fuse text with audio that learned" in text
    for arm, gain in learned.items():
        gain = dataclasses.replace(gain, level=1 - 0.05 / len(learned))
        assert (f"{arm} by {beside_paper.signed(gain)}" in text) == (gain.low > 0)
    assert findings.text_alone(Store()) in text
    assert cells_page.standing(fused, "LMAM", "iemocap") in text
    assert "8 of 11 rivals lie within two points of LMAM's F1 on IEMOCAP" in text
    for method in PRODUCTS:
        before, now = map(float, re.search(rf"{method} (\de-\d+) (\de[+-]\d+) ", text).groups())
        assert before < 0.01 < 0.1 <= now
    assert float(re.search(r"largest difference: ([\d.e-]+)", text)[1]) < 1e-12
    assert pictures == 1


def as_a_layer(e: Experiment) -> float:
    return 0.5 if e.fusion == "lmam" and e.modalities == ("text",) else right(e)


def everywhere(e: Experiment) -> float:
    return 0.5 if e.fusion == "lmam" else 0.4


@pytest.mark.parametrize(
    ("of", "reading"),
    [
        (right, " supported "),
        (as_a_layer, "undecided: the gain with text alone is not reliably smaller"),
        (everywhere, "refuted: the gain remains"),
    ],
)
def test_chapter_16_calls_a_gain_interaction_only_if_shuffling_and_one_modality_take_it_away(
    of: Callable[[Experiment], float], reading: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMAM gains ten points with both modalities as they are, and with text alone or with audio shuffled as well."""
    fill_iemocap(store, "bc_lstm", "modalities", of=of)
    text = execute(MODALITIES, {"store": str(store.root)}, monkeypatch)
    assert text.count(reading) == 2
    assert "no gain to explain" not in text


@pytest.mark.parametrize(("dataset", "shuffled"), [("synthetic-iemocap", "video"), ("synthetic-meld", "audio+video")])
def test_chapter_16_shuffles_what_was_asked(
    dataset: str, shuffled: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.root.mkdir()
    text = execute(MODALITIES, {"dataset": dataset, "shuffled": shuffled, "store": str(store.root)}, monkeypatch)
    table = text[text.index(f"as generated {shuffled} shuffled") :]
    read = {
        m: re.search(rf" {re.escape(m)} ([\d.]+) ([\d.]+) ", table).groups() for m in ("text", "video", "text + audio")
    }
    assert read["text"][0] == read["text"][1]
    assert float(read["video"][1]) < float(read["video"][0])
    assert (read["text + audio"][0] == read["text + audio"][1]) == (shuffled == "video")


def test_chapter_16_says_what_the_store_has_and_its_claims_are_the_scoreboards(stage: Path) -> None:
    text, pictures = shown(stage / f"{MODALITIES}.ipynb")
    cells = {arm: tables.modality_sets(arm) for arm in ("concatenation, late", "LMAM late")}
    late, lmam = cells.values()
    gain = {s: effect(late.of(s, "iemocap"), lmam.of(s, "iemocap"), "weighted_f1") for s in ("T", "T+A")}
    assert f"LMAM with both gains {beside_paper.signed(gain['T+A'])} over concatenation" in text
    assert f"a layer of context, it gains {beside_paper.signed(gain['T'])}" in text
    assert ("no gain to explain" in text) == (not gain["T+A"].low > 0)
    for name in ("text_over_audio_iemocap", "captures_both"):
        (row,) = claims.judge(claims=[c for c in claims.read() if c.id == name]).itertuples()
        assert f"{row.claim} {row.ours} {row.n} {row.verdict} {row.reason}" in text
    assert pictures == 2


def shown(path: Path) -> tuple[str, int]:
    """All text that a chapter's cells put out, markup removed, and the number of its pictures."""
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    data = [output.get("data", {}) for output in outputs]
    parts = [
        o.get("text") or d.get("text/html") or d.get("text/markdown") or "" for o, d in zip(outputs, data, strict=True)
    ]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", "\n".join(parts)))), sum(
        "image/svg+xml" in d for d in data
    )


def test_what_chapter_14_says_of_table_nine_and_of_lmfs_size_is_so() -> None:
    text = prose(FUSION)
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


@pytest.mark.real_data
def test_an_epoch_on_iemocap_has_the_updates_that_chapter_14_says() -> None:
    assert "an epoch on IEMOCAP has only three updates" in prose(FUSION)
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
