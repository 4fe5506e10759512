"""The probe table: recomputed where the data is, and the finding that rests on it."""

from __future__ import annotations

import pytest

from lmam_book.bench.linear_probes import measure, probe, table
from lmam_core.data import synthetic


@pytest.mark.real_data
def test_the_committed_table_is_what_the_data_gives() -> None:
    """For CMU-MOSI, whose rows carry the finding; those of IEMOCAP and MELD take ten times as long and go the same way.

    Their arrays are held to accuracies of another program in `tests/core/data/test_sources.py`.
    """
    again = measure(["mosi"]).set_index(["dataset", "modality", "features"])
    held = table().query("dataset == 'mosi'").set_index(["dataset", "modality", "features"])
    assert set(again.index) == set(held.index)
    assert (again - held).abs().max().max() < 0.5


def test_on_generated_data_validation_and_test_agree() -> None:
    scores = probe(synthetic.generate(synthetic.IEMOCAP_LIKE).select(("text",)))
    assert abs(scores["validation"] - scores["test"]) < 5
    assert scores["test"] > 40
