"""RowMatrices numbers behind one pair: against every pair of counts tried out with fractions."""

from fractions import Fraction

import numpy as np
import pytest

from lmam_book.forensics import pair
from lmam_book.forensics.counts import READINGS, ROUNDINGS, Digits, distance, possible, solutions
from lmam_core.errors import LmamError


def prints_as(share: Fraction, units: int, rounding: str) -> bool:
    """Whether a percentage prints as `units` tenths of a percent."""
    off = share * 10 - units
    if rounding == "rounded":
        return abs(off) <= Fraction(1, 2)
    return 0 <= off < 1


def shares(t: int, p: int, n: int, total: int, reading: str) -> tuple[Fraction, Fraction]:
    acc = {
        "recall": Fraction(100 * t, n),
        "precision": Fraction(100 * t, p) if p else Fraction(0),
        "accuracy": Fraction(100 * (total - n - p + 2 * t), total),
    }
    return acc[reading], Fraction(200 * t, n + p)


def tried(acc: int, f1: int, n: int, total: int, reading: str, rounding: str) -> list[tuple[int, int]]:
    found = []
    for t in range(n + 1):
        for p in range(t, total - n + t + 1):
            a, f = shares(t, p, n, total, reading)
            if prints_as(a, acc, rounding) and prints_as(f, f1, rounding):
                found.append((t, p))
    return found


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("reading", READINGS)
def test_finds_exactly_the_counts_that_trying_all_finds(reading, rounding):
    rng = np.random.default_rng(READINGS.index(reading))
    with_counts = 0
    for k in range(150):
        total = int(rng.integers(5, 30))
        n = int(rng.integers(1, total))
        if k % 2:  # a pair that exists
            t = int(rng.integers(0, n + 1))
            p = int(rng.integers(t, total - n + t + 1))
            acc, f1 = (
                int(10 * x + (Fraction(1, 2) if rounding == "rounded" else 0)) for x in shares(t, p, n, total, reading)
            )
        else:
            acc, f1 = map(int, rng.integers(0, 1001, 2))
        expected = tried(acc, f1, n, total, reading, rounding)
        found = solutions(acc, f1, n, total, reading, Digits(10, rounding)).listed()
        assert [(t, p) for t, low, high in found for p in range(low, high + 1)] == expected
        assert bool(possible(acc, f1, n, total, reading, Digits(10, rounding))) == bool(expected)
        with_counts += bool(expected)
    assert with_counts >= 75


def test_many_pairs_at_once_equal_one_at_a_time():
    rng = np.random.default_rng(5)
    acc, f1 = rng.integers(0, 10_001, (2, 30, 1))
    n = np.array([1, 3, 50, 144, 1256])
    for reading in READINGS:
        found = possible(acc, f1, n, 2610, reading)
        assert found.shape == (30, 5)
        one = [[possible(a, f, k, 2610, reading).item() for k in n] for a, f in zip(acc[:, 0], f1[:, 0], strict=True)]
        assert (found == one).all()


def test_without_a_total_predictions_have_no_upper_end():
    assert not possible(5000, 100, 10, 100, "recall")  # 5 hits of 10, F1 1 %: 990 predictions of 100 utterances
    assert possible(5000, 100, 10, None, "recall")


def test_distance_is_one_for_what_exists_and_counts_half_units():
    acc, f1 = round(1e4 * 44 / 144), round(1e4 * 88 / 247)
    assert distance(acc, f1, 144, 1623, "recall") == 1
    assert distance(acc + 1, f1, 144, 1623, "recall") == 3
    assert distance(acc + 5, f1, 144, 1623, "recall") in (9, 11)
    assert np.isnan(distance(10_000, 1, 144, 1623, "recall"))


def test_one_pair_of_table_ii():
    found = pair("30.56", "35.63", 144, 1623).set_index("reading")
    assert found["exists"].to_dict() == {"recall": True, "precision": False, "accuracy": False}
    assert found.loc["recall", "counts"] == "44 of 103"
    assert 0 < found.loc["recall", "by_chance"] < 0.05


def test_one_pair_without_its_support_names_those_that_serve():
    found = pair("86.67", "31.52", total=1623).set_index("reading")
    assert found.loc["precision", "supports"].startswith("135, 270, 405")
    assert found.loc["accuracy", "how_many"] == 0
    assert list(pair("86.67", "31.52")["reading"]) == ["recall", "precision"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (("101", "50", 10, 100), "no percentage"),
        (("", "50", 10, 100), "needs two numbers"),
        (("50", "50", 0, 100), "between 1 and the total"),
        (("50", "50", 200, 100), "n = 200 of 100"),
        (("50", "50", 10, 100, "guessed"), "rounded, truncated; got 'guessed'"),
    ],
)
def test_a_wrong_pair_is_told_in_a_sentence(wrong, sentence):
    with pytest.raises(LmamError, match=sentence):
        pair(*wrong)


def test_a_wrong_reading_is_told_in_a_sentence():
    with pytest.raises(LmamError, match="recall, precision, accuracy; got 'F2'"):
        solutions(1, 1, 1, 1, "F2")
    with pytest.raises(LmamError, match="give total"):
        solutions(1, 1, 1, None, "accuracy")
