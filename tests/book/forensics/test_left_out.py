"""Dialogues that are missing from a test set: the search against brute force, and the chance of a coincidence."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from lmam_book import forensics
from lmam_book.bench import split_sizes
from lmam_book.forensics.left_out import left_out
from lmam_core import paths


def dialogues(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"d{i}": rng.integers(1, 4, 3) for i in range(n)}


def test_every_set_of_dialogues_is_found_and_no_other() -> None:
    talks = dialogues(9)
    whole = sum(talks.values())
    for chosen in (("d2",), ("d1", "d5"), ("d0", "d3", "d8")):
        missing = sum(talks[d] for d in chosen)
        found = left_out(talks, whole - missing)
        brute = [s for k in range(1, 10) for s in combinations(talks, k) if (sum(talks[d] for d in s) == missing).all()]
        assert sorted(found.sets) == sorted(brute)
        assert chosen in found.sets
        sizes = [sum(talks[d].sum() for d in s) for k in range(1, 10) for s in combinations(talks, k)]
        assert found.same_size == sizes.count(missing.sum())


def test_the_chance_is_that_of_a_random_draw() -> None:
    talks = {"a": np.array([3, 0]), "b": np.array([1, 2]), "c": np.array([4, 5])}
    found = left_out(talks, np.array([5, 7]))
    assert found.sets == (("a",),)
    rng, hits = np.random.default_rng(0), 0
    for _ in range(4000):
        ones = rng.permutation(15)[:3].__lt__(8).sum()  # of class 0 there are 8 in 15
        hits += ones in (3, 1)  # the sets of three utterances are a and b
    assert found.chance == pytest.approx(hits / 4000, abs=0.03)


def test_nothing_missing_or_a_class_that_grew_is_no_finding() -> None:
    talks = dialogues(5)
    whole = sum(talks.values())
    assert left_out(talks, whole).sets == ()
    assert left_out(talks, whole + 1).sets == ()


def test_table_two_fits_the_public_test_set_without_one_dialogue() -> None:
    found = forensics.without_dialogues()
    assert found.sets == (("Ses05F_script02_2",),)
    assert found.missing.sum() == 59
    assert found.chance < 1e-9
    finding = forensics.findings().set_index("kind").loc["test set", "finding"]
    assert any("Ses05F_script02_2" in text for text in np.atleast_1d(finding))


@pytest.mark.real_data
def test_the_counted_dialogues_are_those_of_the_data() -> None:
    kept = pd.read_csv(paths.data("iemocap_test_dialogues.csv"), index_col="dialogue")
    pd.testing.assert_frame_equal(split_sizes.dialogues(), kept, check_names=False)
