"""What the chapters' outputs say, read from the executed copies that the book is built from; and their parameters."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest

from lmam_book import build as book
from lmam_book.bench import epochs
from lmam_book.pages.backbone_page import Chapter
from lmam_book.paper import printed as paper
from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import held
from lmam_book.verdicts import backbones as compared
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts import sizes
from lmam_book.verdicts.beside_print import HEADLINE, POINTS, frame, verdicts
from lmam_book.verdicts.intervals import compare
from lmam_core.data import catalogue
from lmam_core.data.sources.base import Record
from lmam_core.errors import LmamError
from lmam_core.runs import names as run_names
from lmam_core.runs import run as live
from lmam_core.runs.names import arm
from lmam_core.runs.run import build, prepared
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.notebooks.here import execute


def said(path: Path) -> str:
    """All text that a notebook's cells put out, markup removed."""
    parts = []
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            parts.append(output.get("text") or data.get("text/html") or data.get("text/markdown") or "")
    return re.sub(r"[ \t\n]+", " ", re.sub(r"<[^>]+>", " ", "\n".join(parts)))


def pictures(path: Path) -> int:
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    return sum("image/svg+xml" in o.get("data", {}) for o in outputs)


def test_start_here_trains_both_models_and_shows_the_attention(stage: Path) -> None:
    text = said(stage / "01-start-here.ipynb")
    assert "Synthetic data." in text
    accuracies = [float(v) for v in re.findall(r"(?:concatenation\)|late\)) ([\d.]+)", text)]
    assert len(accuracies) == 2
    largest = float(re.search(r"largest class: ([\d.]+)", text).group(1))
    oracle = float(re.search(r"was made: ([\d.]+)", text).group(1))
    assert largest < min(accuracies) < max(accuracies) < oracle
    shown = text[text.index("units of uniform:") :]
    weights = [float(v) for v in re.findall(r"'(?:text|audio|video)': ([\d.]+)", shown)]
    assert len(weights) == 3
    assert all(1 <= w <= 7.39 for w in weights)
    assert pictures(stage / "01-start-here.ipynb") == 3


def test_bc_lstm_shows_every_verdict_of_the_store(stage: Path) -> None:
    text = said(stage / "03-bc-lstm.ipynb")
    table = verdicts(frame(held("bc_lstm", Store())), "bc_lstm")
    assert len(table) == 18
    for row in table.itertuples():
        expected = f"{row.claim} {row.verdict} {row.dataset} {row.metric} {row.paper} {row.ours} {row.n}"
        assert f"{expected} {row.interval} {row.effect} {row.where}" in text
    answer = table[table.claim.str.endswith("beats concatenation") & (table.metric == table.dataset.map(HEADLINE))]
    assert len(answer) == 3
    for row in answer.itertuples():
        expected = f"{row.claim}: the paper's cells differ by {row.paper} {POINTS[row.metric]}; we measure {row.ours}"
        assert f"{expected} over {row.n} seeds: {row.verdict}" in text


def test_bc_lstm_shows_sizes_padding_and_figures(stage: Path) -> None:
    text = said(stage / "03-bc-lstm.ipynb")
    for number in ("423,906", "913,506", "464,106", "0.53 M", "4.7 M"):
        assert number in text
    assert float(re.search(r"largest difference ([\d.e+-]+)", text).group(1)) < 1e-5
    # The model, the ways and the curves; seeds of three datasets; the fusion alone on two; confusions; attention.
    assert pictures(stage / "03-bc-lstm.ipynb") == 10


CHAPTERS = {
    "text_cnn": "04-text-cnn.ipynb",
    "dialogue_rnn": "05-dialogue-rnn.ipynb",
    "dialogue_gcn": "06-dialogue-gcn.ipynb",
    "mm_dfn": "07-mm-dfn.ipynb",
    "m2fnet": "08-m2fnet.ipynb",
    "emocaps": "09-emocaps.ipynb",
}


@pytest.mark.parametrize(("backbone", "notebook"), CHAPTERS.items())
def test_a_backbones_chapter_shows_the_store_the_model_and_a_live_run(
    stage: Path, backbone: str, notebook: str
) -> None:
    text = said(stage / notebook)
    page = Chapter(backbone, "quick", "synthetic-iemocap", 45, "late", 0)
    measured = {r.experiment.dataset for r in page.runs}
    for row in page.claims.itertuples() if measured else ():
        expected = f"{row.claim} {row.verdict} {row.dataset} {row.metric} {row.paper} {row.ours} {row.n}"
        assert f"{expected} {row.interval}" in text
    for dataset in {"iemocap", "mosi"} - measured:
        assert f"No measured runs on {dataset} yet" in text
    reference = held("bc_lstm", Store()) + held("meld", Store())
    for line in plugin.level(page.runs, reference, backbone).splitlines():
        assert line in text
    assert "Synthetic data." in text
    assert float(re.search(r"largest difference ([\d.e+-]+)", text).group(1)) < 1e-5
    for count in (sizes.count(backbone, sizes.TEXT), sizes.count(backbone, sizes.ALL)):
        assert f"{count:,}" in text
    for row in sizes.timings().query("backbone == @backbone").itertuples():
        assert f"{row.ratio:.2f} times as fast" in text
    live = text[text.index("s per epoch") :]
    arms = re.findall(r"(?:concatenation|LMAM [a-z +]+) ([\d.]+) ([\d.]+) ([\d.]+) [\d,]+ [\d.]+", live)
    assert len(arms) == 2
    assert all(0 < float(value) < 100 for row in arms for value in row)
    weights = [
        float(v) for v in re.findall(r"'(?:text|audio|video)': ([\d.]+)", text[text.index("largest weight x n") :])
    ]
    assert len(weights) == 3
    assert all(1 <= w <= 7.39 for w in weights)
    # The model, the ways, the curves and the attention; seeds of each dataset; confusions.
    assert pictures(stage / notebook) == 4 + len(measured) + ("iemocap" in measured)


def test_all_backbones_are_compared_from_the_store(stage: Path) -> None:
    text = said(stage / "10-backbones-compared.ipynb")
    claims = compared.starred(Store())
    for row in claims.itertuples():
        assert f"{row.backbone} {row.dataset} {row.verdict} {row.paper} {row.ours} {row.n} {row.effect}" in text
    for row in sizes.timings().itertuples():
        differences = f"{row.output_difference:.0e} {row.gradient_difference:.0e}"
        assert f"{run_names.title(row.backbone)} {row.mode} {row.threads} {row.repeats} {differences}" in text
    padded = compared.padding(Store())
    apart = [r for r in padded.itertuples() if len(set(r.rates.split(" and "))) == 2]
    assert f"different learning rates in {len(apart)} of {len(padded)} rows: " in text
    assert all(f"{r.backbone} on {r.dataset} ({r.rates})" in text for r in apart)
    worst = epochs.slowest(epochs.table())
    assert f"is {worst.backbone}, {worst.arm}: {worst.seconds:.1f} s. The limit is 20 s." in text
    datasets = [d for d in ("iemocap", "mosi", "meld") if compared.gains(Store(), d)[0]]
    assert pictures(stage / "10-backbones-compared.ipynb") == len(datasets)


def prose(notebook: str) -> str:
    """The Markdown of a stored chapter on one line."""
    cells = nbformat.read(book.ROOT / "notebooks" / notebook, 4).cells
    return re.sub(r"\s+", " ", " ".join(cell.source for cell in cells if cell.cell_type == "markdown"))


@pytest.mark.parametrize("notebook", ["03-bc-lstm.ipynb", *CHAPTERS.values(), "10-backbones-compared.ipynb"])
def test_what_ends_in_a_colon_is_followed_by_what_it_announces(notebook: str) -> None:
    cells = nbformat.read(book.ROOT / "notebooks" / notebook, 4).cells
    announced = [b for a, b in pairwise(cells) if a.cell_type == "markdown" and a.source.endswith(":")]
    assert [cell.source for cell in announced if cell.cell_type != "code"] == []
    counted = [b for a, b in pairwise(cells) if a.source.startswith("The parameters, counted")]
    assert all(cell.source == "page.sizes()" for cell in counted)


def test_numbers_in_prose_are_those_of_the_tables() -> None:
    known = sizes.originals()
    assert f"{3 * known.utterances.mm_dfn:,} rows and columns" in prose("07-mm-dfn.ipynb")
    assert "more than seven times either" in prose("06-dialogue-gcn.ipynb")
    for count in (known.original_parameters.dialogue_gcn, sizes.count("dialogue_gcn", sizes.ALL)):
        assert 7 < 1e6 * sizes.printed("dialogue_gcn") / count < 8
    assert "dozens of times as fast" in prose("06-dialogue-gcn.ipynb")
    assert known.ratio.dialogue_gcn >= 24
    f1 = lambda row: paper.cell(2, row, "Average(w)", "F1", "IEMOCAP")  # noqa: E731
    gains = {name: round(f1(f"{name}*") - f1(name), 2) for name in map(run_names.title, STARRED)}
    assert min(gains, key=gains.get) == "M2FNet"
    assert f"{gains['M2FNet']} points" in prose("08-m2fnet.ipynb")


@pytest.mark.parametrize(
    ("backbone", "dataset", "arm"),
    [
        ("dialogue_gcn", "iemocap", "concatenation"),
        ("m2fnet", "iemocap", "concatenation"),
        ("m2fnet", "mosi", "concatenation"),
        ("m2fnet", "mosi", "LMAM early + residual"),
        ("emocaps", "mosi", "concatenation"),
    ],
)
def test_what_is_said_to_stand_below_bc_lstm_does(backbone: str, dataset: str, arm: str) -> None:
    """And further below the printed number: what chapters 06, 08 and 09 say in prose."""
    frames, metric = compared.frames(Store()), HEADLINE[dataset]
    own, lstm = plugin.values(frames[backbone], dataset, metric)[arm], plugin.values(frames["bc_lstm"], dataset, metric)
    apart = compare(lstm["concatenation"], own).difference
    assert apart.high < 0
    mean = sum(own.values()) / len(own)
    assert mean - plugin.printed(backbone, arm, dataset, metric) < apart.mean


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live runs end before their first update: it is what cells make of a dataset that counts."""
    training = Training(1, 50.0, [1.0], [50.0], 0.1)
    monkeypatch.setattr(live, "fit", lambda e, *how: (build(e, prepared(e)), prepared(e), training))


@pytest.mark.real_data
@pytest.mark.parametrize("dataset", ["mosi", "meld"])
@pytest.mark.parametrize("backbone", ["dialogue_rnn", "dialogue_gcn", "mm_dfn", "m2fnet"])
def test_a_chapter_runs_on_one_speaker_and_on_one_modality(
    backbone: str, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MOSI has one speaker a video, MELD nine speakers, and here one modality."""
    if dataset == "meld":
        monkeypatch.setattr(Record, "default_modalities", property(lambda record: ["text"]))
    untrained(monkeypatch)
    text = execute(CHAPTERS[backbone].removesuffix(".ipynb"), {"dataset": dataset}, monkeypatch)
    if backbone == "m2fnet":
        assert ("One modality" in text) == (dataset == "meld")
    else:
        assert ("one speaker a conversation" in text) == (dataset == "mosi")
        changes = {what: float(v) for what, v in re.findall(r"(other names[\w ]*): ([\d.e+-]+)", text)}
        assert bool(changes) == (dataset == "meld")
        same = ("other names everywhere", "other names and relations")
        assert all((change < 1e-6) == (what in same) for what, change in changes.items())


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
    assert "This notebook has no parameter 'rnak'; did you mean 'rank'?" in done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    errors = [o for cell in cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert len(errors) == 1
    assert len(errors[0].traceback) == 1, "the reader sees a sentence, not a traceback"


@pytest.mark.parametrize(
    ("chapter", "given", "sentence"),
    [
        ("01-start-here", {"rank": 0}, r"rank must lie in 1\.\.512; got 0\."),
        ("03-bc-lstm", {"dataset": "moci"}, "did you mean 'mosi'"),
        ("01-start-here", {"embedding": 3}, "embedding must be one of early, early_residual, late; got 3."),
    ],
)
def test_a_wrong_value_stops_with_a_sentence(
    chapter: str, given: dict[str, object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LmamError, match=sentence):
        execute(chapter, given, monkeypatch)


def test_what_the_takeaways_say_of_mosis_validation_and_test_is_so() -> None:
    """EmoCaps without LMAM: lower error on validation, higher on test; M2FNet above bc-LSTM on both, and further."""

    def errors(backbone: str, name: str) -> tuple[float, float, float]:
        runs = [r for r in held(backbone, Store()) if r.experiment.dataset == "mosi" and arm(r.experiment) == name]
        found = [(r.training.best_score, r.metrics["mae"], r.training.best_epoch) for r in runs]
        validation, test, _ = np.mean(found, 0)
        return validation, test, np.median([epoch for *_, epoch in found])

    without, with_ = errors("emocaps", "concatenation"), errors("emocaps", "LMAM early + residual")
    assert without[0] < with_[0]
    assert without[1] > with_[1]
    assert abs(without[2] - with_[2]) <= 2  # epochs
    bc_lstm, m2fnet = errors("bc_lstm", "concatenation"), errors("m2fnet", "concatenation")
    assert m2fnet[0] > bc_lstm[0]
    assert m2fnet[1] - m2fnet[0] > bc_lstm[1] - bc_lstm[0]


@pytest.mark.real_data
def test_every_backbones_chapter_says_that_mosi_is_split_differently() -> None:
    with np.load(catalogue._find("mosi.npz"), allow_pickle=False) as arrays:
        split, other, video = (arrays[k] for k in ("video_split", "video_standard_split", "utt_video"))
    ours, theirs = split == 1, other == 2  # ours has no validation of its own
    row = f"| {theirs[video].sum()} test utterances (Table I), as the SDK's split has | the one that the features came "
    row += f"with, {ours[video].sum()}; {(ours & theirs).sum()} of the {ours.sum()} test videos are in both |"
    for path in sorted((book.ROOT / "notebooks").glob("0[3-9]-*.ipynb")):
        assert row in "\n".join(c.source for c in nbformat.read(path, 4).cells), path.name
