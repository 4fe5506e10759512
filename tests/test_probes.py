"""The probe table: recomputed where the data is, and the finding that rests on it."""

from __future__ import annotations

import pytest

from lmam_core.data import catalogue, synthetic
from lmam_core.probes import measure, probe, table


@pytest.mark.real_data
def test_the_committed_table_is_what_the_data_gives() -> None:
    again = measure().set_index(["dataset", "modality", "features"])
    held = table().set_index(["dataset", "modality", "features"])
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
    assert set(table()[["dataset", "modality", "features"]].itertuples(index=False, name=None)) == expected


def test_on_generated_data_validation_and_test_agree() -> None:
    scores = probe(synthetic.generate(synthetic.IEMOCAP_LIKE).select(("text",)))
    assert abs(scores["validation"] - scores["test"]) < 5
    assert scores["test"] > 40
