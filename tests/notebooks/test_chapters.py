"""What the chapters' outputs say, read from the executed copies that the book is built from; and their parameters."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from lmam_book import build as book
from lmam_book.bench import epochs, linear_probes
from lmam_book.paper import printed as paper
from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import stored_runs
from lmam_book.verdicts import backbones as compared
from lmam_book.verdicts import headline, sizes
from lmam_book.verdicts.effects import effect
from lmam_core import LMAM
from lmam_core.data import catalogue
from lmam_core.data.sources.base import Record
from lmam_core.errors import LmamError
from lmam_core.models.backbones import backbone as backbone_class
from lmam_core.models.backbones.mm_dfn import connect
from lmam_core.runs import names as run_names
from lmam_core.runs import run as live
from lmam_core.runs.run import build, prepared
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.notebooks.here import assert_folds_are_labelled, execute


def said(path: Path) -> str:
    """All text that a notebook's cells put out, markup removed."""
    parts = []
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            parts.append(output.get("text") or data.get("text/html") or data.get("text/markdown") or "")
    return html.unescape(re.sub(r"[ \t\n]+", " ", re.sub(r"<[/a-zA-Z!][^>]*>", " ", "\n".join(parts))))


def pictures(path: Path) -> int:
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    return sum("image/svg+xml" in o.get("data", {}) for o in outputs)


def test_start_here_trains_both_models_and_shows_the_attention(stage: Path) -> None:
    text = said(stage / "01-start-here.ipynb")
    assert "Synthetic data." in text
    assert headline.answer(headline.cells(Store())) in text
    scores = text[text.index("always the largest class") :]
    pattern = r"(?:always the largest class|concatenation|LMAM) ([\d.]+) ([\d.]+) "
    constant, *learned = [float(weighted_f1) for _, weighted_f1 in re.findall(pattern, scores)[:3]]
    best = float(re.search(r"accuracy is known: \*\*([\d.]+) %", text).group(1))
    assert len(learned) == 2
    assert constant + 20 < min(learned) < max(learned) < best
    shown = text[text.index("units of plain averaging:") :]
    weights = [float(v) for v in re.findall(r"(?:text|audio|video) ([\d.]+)", shown)[:3]]
    assert all(1 <= w <= 7.39 for w in weights)
    assert pictures(stage / "01-start-here.ipynb") == 3


def test_the_visible_cells_of_start_here_train_when_pasted(tmp_path: Path) -> None:
    """Without the book, below the parameters, as a reader would: an epoch on a few conversations."""
    cells = [cell for cell in cells_of("01-start-here.ipynb") if cell.cell_type == "code"]
    parameters, *visible = (
        cell.source
        for cell in cells
        if "parameters" in cell.metadata.get("tags", []) or not cell.metadata.get("jupyter", {}).get("source_hidden")
    )
    script = "\n".join([parameters, "epochs = 1", *visible]).replace("60 if", "8 if")
    env = {**book.chapters.environment(book.ROOT), "PYTHONPATH": str(book.ROOT)}  # the book is not to be had
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1: train ") == 2


def test_the_answer_on_lmams_size_is_that_of_the_module() -> None:
    assert f"= {LMAM({'text': 200}).size({'text': 200}):,}$".replace(",", "{,}") in prose("01-start-here.ipynb")


CARDS = {
    "bc_lstm": "03-bc-lstm.ipynb",
    "text_cnn": "04-text-cnn.ipynb",
    "dialogue_rnn": "05-dialogue-rnn.ipynb",
    "dialogue_gcn": "06-dialogue-gcn.ipynb",
    "mm_dfn": "07-mm-dfn.ipynb",
    "m2fnet": "08-m2fnet.ipynb",
    "emocaps": "09-emocaps.ipynb",
}
LIVE = [notebook for backbone, notebook in CARDS.items() if backbone != "dialogue_rnn"]
"""The cards that train; DialogueRNN learns too slowly for a page, and shows the log of measured runs."""
VIDEO = "23-video-that-knows.ipynb"


def cells_of(notebook: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(book.ROOT / "notebooks" / notebook, 4).cells


def prose(notebook: str) -> str:
    """The Markdown of a stored chapter on one line."""
    cells = (cell.source for cell in cells_of(notebook) if cell.cell_type == "markdown")
    return re.sub(r"\s+", " ", " ".join(cells))


@pytest.mark.parametrize(("backbone", "notebook"), CARDS.items())
def test_a_card_shows_the_store_the_model_and_a_live_run(stage: Path, backbone: str, notebook: str) -> None:
    text = said(stage / notebook)
    found = headline.cells(Store(), [f"headline_{backbone}"])
    measured = [row for row in headline.table(found).to_dict("records") if row["seeds"]]
    readings = {cell.dataset: len(cell.runs) - 1 for cell in found}
    for row in measured:
        interval = f"({row['low']:+.1f} to {row['high']:+.1f}, corrected for {readings[row['dataset']]}, "
        interval += f"{row['seeds']} seeds)"
        assert interval in text
        assert f"the paper reports {row['reported gain']:+.1f}: {row['word']}" in text
    assert (f"`lmam sweep headline_{backbone} --store book`" in text) == (len(measured) < len(found))
    assert ("Synthetic data." in text) == (notebook in LIVE)
    for count in (sizes.count(backbone, sizes.TEXT), sizes.count(backbone, sizes.ALL)):
        assert f"{count:,}" in text
    for row in sizes.timings().query("backbone == @backbone").itertuples():
        assert f"{row.original_s:.2f} {row.ours_s:.2f} {row.ratio:.2f}" in text
    assert "Runs of the first protocol" in text
    classes = any(cell.effects() and cell.dataset != "mosi" for cell in found)
    assert ("The measured runs by class" in text) == classes
    # The model, where LMAM goes in and the curves; the gains and the gains by class.
    assert pictures(stage / notebook) == 3 + bool(measured) + classes


@pytest.mark.parametrize("notebook", LIVE)
def test_a_live_run_ends_well_above_the_largest_class(stage: Path, notebook: str) -> None:
    text = said(stage / notebook)
    live = text[text.index("always the largest class") :]
    rows = re.findall(
        r"(?:largest class|concatenation(?:, late)?|LMAM [a-z +]+) ([\d.]+) ([\d.]+) ([\d.]+) [\d,]+", live
    )
    constant, *learned = [float(weighted_f1) for _, weighted_f1, _ in rows[:3]]
    assert len(learned) == 2
    assert min(learned) > constant + 5


@pytest.mark.parametrize("notebook", CARDS.values())
def test_a_card_is_short_and_reads_well_where_myst_is_not_rendered(notebook: str) -> None:
    cells = cells_of(notebook)
    assert len(cells) <= 25
    assert len(prose(notebook).split()) <= 650
    assert ":::" not in prose(notebook)
    assert "{doc}" not in prose(notebook)
    assert_folds_are_labelled(cells)


def test_what_all_backbones_share_stands_once(stage: Path) -> None:
    text = said(stage / "10-backbones-compared.ipynb")
    found = headline.cells(Store())
    rows = [row for row in headline.table(found).to_dict("records") if row["seeds"]]
    assert headline.answer(found) in text
    for row in rows:
        gain = f"{row['gain']:+.1f}\xa0({row['low']:+.1f}\xa0to\xa0{row['high']:+.1f})"
        name = f"{run_names.title(row['backbone'])}, {headline.DATASETS[row['dataset']]}"
        assert f"{name} | {gain} | {row['reported gain']:+.1f} |" in text
        assert f"| {row['seeds']} | {row['word']} |" in text
    for name in STARRED:
        (change,) = re.findall(rf"{re.escape(run_names.title(name))} (\d+e[+-]\d+) ", text)
        assert float(change) < 1e-5
    for row in sizes.timings().itertuples():
        differences = f"{row.output_difference:.0e}, {row.gradient_difference:.0e}"
        assert f"{run_names.title(row.backbone)} {row.mode}, {row.threads} {differences}" in text
    padded = compared.padding(Store())
    apart = [r for r in padded.itertuples() if len(set(r.rates.split(" and "))) == 2]
    assert f"different learning rates in {len(apart)} of {len(padded)} rows: " in text
    worst = epochs.slowest(epochs.table())
    assert f"is {worst.backbone}, {worst.arm}: {worst.seconds:.1f} s. The limit is 20 s." in text
    assert pictures(stage / "10-backbones-compared.ipynb") == 1


def test_video_that_knows_the_answer_says_so_from_probes_and_runs(stage: Path) -> None:
    text = said(stage / VIDEO).replace("**", "")
    table = linear_probes.table().query("dataset == 'mosi' and modality == 'video'").iloc[0]
    assert f"right on {table.validation} % of the validation utterances" in text
    assert f"on {table.test} % of the test utterances" in text
    late = [
        [
            r
            for r in stored_runs(plan, Store())
            if r.experiment.dataset == "mosi" and run_names.arm(r.experiment) == name
        ]
        for plan in ("bc_lstm", "bc_lstm_clean")
        for name in ("concatenation, late", "LMAM late, released variant")
    ]
    on, off = effect(late[0], late[1], "acc2"), effect(late[2], late[3], "acc2")
    assert f"seems to gain {on.mean:+.1f} points of Acc-2" in text
    assert f"without it {off.mean:+.1f} ({off.low:+.1f} to {off.high:+.1f})" in text
    assert on.low > 0 > off.mean
    correlation = {
        (data, modalities): float(value)
        for data, modalities, value in re.findall(r"(iemocap|mosi) ((?:\w+ \+ )*\w+) \d+ (-?[\d.]+)", text)
    }
    assert correlation["iemocap", "text + audio"] > 0.9 > 0.1 > abs(correlation["mosi", "text + audio + video"])
    for m in ("text", "audio", "video"):  # of generated features none knows more than it should
        gap, chance = map(float, re.search(rf"{m} [\d.]+ [\d.]+ [\d.]+ (-?[\d.]+) ([\d.]+)", text).groups())
        assert abs(gap) < 1.5 * chance
    assert pictures(stage / VIDEO) == 2
    assert len(prose(VIDEO).split()) <= 700


@pytest.mark.parametrize("notebook", [*CARDS.values(), "10-backbones-compared.ipynb", VIDEO])
def test_what_ends_in_a_colon_is_followed_by_what_it_announces(notebook: str) -> None:
    announced = [b for a, b in pairwise(cells_of(notebook)) if a.cell_type == "markdown" and a.source.endswith(":")]
    assert [cell.source for cell in announced if cell.cell_type != "code"] == []


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_numbers_in_prose_are_those_of_the_models() -> None:
    known = sizes.originals()
    assert "more than seven times either" in prose("06-dialogue-gcn.ipynb")
    for count in (known.original_parameters.dialogue_gcn, sizes.count("dialogue_gcn", sizes.ALL)):
        assert 7 < 1e6 * sizes.printed("dialogue_gcn") / count < 8
    f1 = lambda row: paper.cell(2, row, "Average(w)", "F1", "IEMOCAP")  # noqa: E731
    gains = {name: round(f1(f"{name}*") - f1(name), 2) for name in map(run_names.title, STARRED)}
    assert min(gains, key=gains.get) == "M2FNet"
    assert max(gains, key=gains.get) == "TextCNN"
    assert f"{gains['M2FNet']} points" in prose("08-m2fnet.ipynb")
    assert "eleven points" in prose("04-text-cnn.ipynb")
    assert round(gains["TextCNN"]) == 11


def test_answers_of_the_cards_exercises_are_counted_on_the_models() -> None:
    assert f"{sizes.count('bc_lstm', sizes.TEXT):,}".replace(",", "{,}") in prose("03-bc-lstm.ipynb")
    assert f"{sizes.count('text_cnn', sizes.ALL, kernel=1):,}" in prose("04-text-cnn.ipynb")
    (stream,) = backbone_class("dialogue_rnn")(sizes.TEXT).streams.values()
    cells = sum(parameters(getattr(d, cell)) for d in stream.directions for cell in ("g_cell", "p_cell", "e_cell"))
    text = prose("05-dialogue-rnn.ipynb")
    assert f"{cells:,} of the model's {sizes.count('dialogue_rnn', sizes.TEXT):,}" in text
    (graph,) = backbone_class("dialogue_gcn")(sizes.TEXT, 9).graph.values()
    assert f"= {graph.shares[..., 0].numel()}$" in prose("06-dialogue-gcn.ipynb")
    graph = connect(torch.randn(1, 3, 50, 4), torch.ones(1, 50, dtype=torch.bool))
    assert f": {int((graph.inside > 0).sum() + (graph.across > 0).sum()):,}." in prose("07-mm-dfn.ipynb")
    module = backbone_class("m2fnet")(sizes.ALL).fusions[0]
    assert f"= {parameters(module):,}$".replace(",", "{,}") in prose("08-m2fnet.ipynb")
    capsule = backbone_class("emocaps")({"text": 384, "audio": 47}).d_out
    assert f"= {sum(capsule.values())}$" in prose("09-emocaps.ipynb")


@pytest.mark.real_data
def test_the_exercise_on_video_has_the_numbers_of_the_probe() -> None:
    data = catalogue.load("mosi").with_validation()
    n = [sum(map(len, data.splits[split])) for split in ("validation", "test")]
    assert f"with {n[0]} and {n[1]} utterances" in prose(VIDEO)
    probe = linear_probes.table().query("dataset == 'mosi' and modality == 'video'").iloc[0]
    p = (probe.validation + probe.test) / 200
    deviation = np.sqrt(p * (1 - p) * sum(1 / k for k in n))
    assert f"= {deviation:.3f}$" in prose(VIDEO)
    assert f"is {(probe.validation - probe.test) / 100 / deviation:.0f} standard errors" in prose(VIDEO)


def test_no_other_feature_set_is_much_better_on_validation_than_on_test() -> None:
    table = linear_probes.table()
    gap = (table.validation - table.test)[~table.features.isin(["cnn100", "cnn3d100"])]
    assert gap.max() < 4


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live runs end before their first update: it is what cells make of a dataset that counts."""
    training = Training(1, 50.0, [1.0], [50.0], 0.1, 1)
    monkeypatch.setattr(live, "_fit", lambda e, *how: (build(e, prepared(e)), prepared(e), training))


@pytest.mark.real_data
@pytest.mark.parametrize("dataset", ["mosi", "meld"])
@pytest.mark.parametrize("backbone", ["dialogue_rnn", "dialogue_gcn", "mm_dfn", "m2fnet"])
def test_a_card_runs_on_one_speaker_and_on_one_modality(
    backbone: str, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MOSI has one speaker a video, MELD nine speakers, and here one modality."""
    if dataset == "meld":
        monkeypatch.setattr(Record, "default_modalities", property(lambda record: ["text"]))
    untrained(monkeypatch)
    text = execute(CARDS[backbone].removesuffix(".ipynb"), {"dataset": dataset}, monkeypatch)
    if backbone == "m2fnet":  # of keys of other modalities, which one modality does not have
        differences = re.findall(r"any audio gives the same: ([\d.e+-]+)", text)
        assert [float(d) < 1e-5 for d in differences] == [True] * (dataset == "mosi")
    else:  # of other names, which one speaker does not have
        changes = {what: float(v) for what, v in re.findall(r"(other names[\w ]*): ([\d.e+-]+)", text)}
        assert bool(changes) == (dataset == "meld")
        same = ("other names everywhere", "other names and relations")
        assert all((change < 1e-6) == (what in same) for what, change in changes.items())


@pytest.mark.parametrize(
    ("chapter", "sentences"),
    [
        (
            "10-backbones-compared",
            ["None of the 21 comparisons has been measured yet", "Not run yet: `lmam sweep faithful --store"],
        ),
        (
            VIDEO.removesuffix(".ipynb"),
            ["92.9 %", "`lmam sweep headline_emocaps --store", "Too few models are measured"],
        ),
    ],
)
def test_a_page_over_an_empty_store_of_ones_own_says_what_is_not_there(
    chapter: str, sentences: list[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.root.mkdir()
    text = execute(chapter, {"store": str(store.root)}, monkeypatch, slice(-4 if chapter.startswith("23") else None))
    assert all(sentence in text for sentence in sentences)
    assert "seems to gain" not in text


@pytest.mark.real_data
def test_bc_lstm_runs_on_another_dataset_and_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    untrained(monkeypatch)
    text = execute("03-bc-lstm", {"dataset": "iemocap", "rank": 30}, monkeypatch)
    assert "dataset=iemocap, rank=30" in text
    assert "text minilm384 (384), audio gemaps47 (47)" in text


def papermill(notebook: str, tmp_path: Path, *parameters: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--cwd", str(book.ROOT / "notebooks")]
    pairs = [part for name, value in (p.split("=") for p in parameters) for part in ("-p", name, value)]
    paths = [str(book.ROOT / "notebooks" / notebook), str(tmp_path / "out.ipynb")]
    return subprocess.run(
        [*command, *paths, *pairs], capture_output=True, text=True, env=book.chapters.environment(book.ROOT)
    )


def test_a_wrong_parameter_stops_papermill_with_a_sentence(tmp_path: Path) -> None:
    done = papermill("03-bc-lstm.ipynb", tmp_path, "rnak=30")
    assert done.returncode != 0
    assert "This notebook has no parameter 'rnak' (did you mean 'rank'?)" in done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    errors = [o for cell in cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert len(errors) == 1
    assert len(errors[0].traceback) == 1, "the reader sees a sentence, not a traceback"


@pytest.mark.parametrize(
    ("chapter", "given", "sentence"),
    [
        ("01-start-here", {"rank": 0}, r"rank must lie in 1\.\.200; got 0\."),
        ("03-bc-lstm", {"dataset": "moci"}, "did you mean 'mosi'"),
        ("04-text-cnn", {"embedding": 3}, "embedding must be one of early, early_residual, late; got 3."),
    ],
)
def test_a_wrong_value_stops_with_a_sentence(
    chapter: str, given: dict[str, object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LmamError, match=sentence):
        execute(chapter, given, monkeypatch)


@pytest.mark.real_data
def test_mosi_is_said_to_be_split_differently() -> None:
    with np.load(catalogue._find("mosi.npz"), allow_pickle=False) as arrays:
        split, other, video = (arrays[k] for k in ("video_split", "video_standard_split", "utt_video"))
    ours, theirs = split == 1, other == 2  # ours has no validation of its own
    row = f"| {theirs[video].sum()} test utterances (Table I), as the SDK's split has | the one that the features came "
    row += f"with, {ours[video].sum()}; {(ours & theirs).sum()} of the {ours.sum()} test videos are in both |"
    assert row in prose("10-backbones-compared.ipynb")
