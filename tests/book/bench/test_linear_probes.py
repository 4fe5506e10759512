"""The probe table: recomputed where the data is, and the finding that rests on it."""

from __future__ import annotations

import pytest

from lmam_book import build as book
from lmam_book.bench.linear_probes import measure, probe, table
from lmam_core.data import catalogue, synthetic


@pytest.mark.real_data
def test_the_committed_table_is_what_the_data_gives() -> None:
    """For CMU-MOSI, whose rows carry the finding; those of IEMOCAP and MELD take ten times as long and go the same way.

    Their arrays are held to accuracies of another program in `tests/core/data/test_sources.py`.
    """
    again = measure(["mosi"]).set_index(["dataset", "modality", "features"])
    held = table().query("dataset == 'mosi'").set_index(["dataset", "modality", "features"])
    assert set(again.index) == set(held.index)
    assert (again - held).abs().max().max() < 0.5


def test_only_the_two_feature_sets_that_saw_labels_fall_from_validation_to_test() -> None:
    rows = table()
    fallen = rows[rows.validation - rows.test > 10]
    assert set(zip(fallen.dataset, fallen.features, strict=True)) == {("mosi", "cnn100"), ("mosi", "cnn3d100")}


def test_every_real_feature_set_has_a_row() -> None:
    expected = {
        (name, m, features)
        for name in ("mosi", "iemocap", "meld")
        for m, sets in catalogue.entry(name).feature_sets.items()
        for features in sets
    }
    expected |= {
        ("mosi", "text+audio", "minilm384+opensmile73"),
        ("iemocap", "text+audio", "minilm384+gemaps47"),
        ("meld", "text+audio", "minilm384+praat8"),
    }
    assert set(table()[["dataset", "modality", "features"]].itertuples(index=False, name=None)) == expected


def test_melds_sound_adds_next_to_nothing_to_its_text_and_iemocaps_does() -> None:
    rows = table()
    gain = {
        name: found.loc["text+audio", "test"] - found.loc["text", "test"]
        for name in ("iemocap", "meld")
        for found in [rows[(rows.dataset == name) & (rows.features != "glove200")].drop_duplicates("modality")]
        for found in [found.set_index("modality")]
    }
    assert abs(gain["meld"]) < 1
    assert gain["iemocap"] > 5


def test_the_data_statement_prints_what_the_probe_found_on_meld() -> None:
    rows = table().query("dataset == 'meld' and features != 'glove200'").set_index("modality").test
    page = (book.ROOT / "book" / "data-statement.md").read_text(encoding="utf-8")
    text, audio, both = (f"on {rows[m]:.1f} % " for m in ("text", "audio", "text+audio"))
    said = " ".join(page.split())
    assert f"right {text}of the test part with text alone, {audio}with `praat8` alone" in said
    assert f"{both.strip()} with both" in said


def test_on_generated_data_validation_and_test_agree() -> None:
    scores = probe(synthetic.generate(synthetic.IEMOCAP_LIKE).select(("text",)))
    assert abs(scores["validation"] - scores["test"]) < 5
    assert scores["test"] > 40
