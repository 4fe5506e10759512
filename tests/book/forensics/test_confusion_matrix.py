"""A row as a whole: against every matrix of a small table, and bounds on means against random runs."""

from itertools import product

import numpy as np
import pytest

from lmam_book.forensics.bounds import highest_f1
from lmam_book.forensics.confusion_matrix import implied_predictions, row_matrices
from lmam_book.forensics.counts import READINGS


def exists(misses: list[int], alarms: list[int]) -> bool:
    """Whether a zero-diagonal matrix has these row and column sums, by trying all."""
    if not misses:
        return not any(alarms)
    row = len(alarms) - len(misses)
    ways = [range(0 if k == row else min(misses[0], alarms[k]) + 1) if k != row else [0] for k in range(len(alarms))]
    return any(
        exists(misses[1:], [a - x for a, x in zip(alarms, way, strict=True)])
        for way in product(*ways)
        if sum(way) == misses[0]
    )


def test_finds_the_sums_of_hits_for_which_a_matrix_exists():
    rng = np.random.default_rng(1)
    some = none = 0
    for _ in range(200):
        n = [int(x) for x in rng.integers(1, 5, 3)]
        total, options = sum(n), []
        for c in range(3):
            choices = []
            for t in sorted(set(rng.integers(0, n[c] + 1, 2).tolist())):
                low = int(rng.integers(t, total + 1))
                choices.append((t, low, int(rng.integers(low, min(total, low + 1) + 1))))
            options.append(choices)
        expected = set()
        for chosen in product(*options):
            hits = [t for t, _, _ in chosen]
            for p in product(*[range(low, high + 1) for _, low, high in chosen]):
                misses, alarms = (
                    [a - b for a, b in zip(n, hits, strict=True)],
                    [a - b for a, b in zip(p, hits, strict=True)],
                )
                if sum(p) == total and exists(misses, alarms):
                    expected.add(sum(hits))
        assert row_matrices(options, n, total).realised == tuple(sorted(expected))
        some, none = some + bool(expected), none + (not expected)
    assert some > 20
    assert none > 20


def test_predictions_that_add_up_can_still_have_no_matrix():
    """All false alarms lie in the class that has all the misses, where they cannot be."""
    found = row_matrices([[(1, 5, 5)], [(5, 5, 5)]], [5, 5], 10)
    assert found.predictions == (10, 10)
    assert found.realised == ()
    assert found.accuracy == (60.0, 60.0)


def test_implied_predictions_are_those_of_the_counts():
    t, n, p = np.array([30.0, 50, 5]), np.array([60, 80, 40]), np.array([50, 100, 30])
    f1 = 2 * t / (n + p)
    assert implied_predictions(t / n, f1, n, "recall") == pytest.approx(p.sum())
    assert implied_predictions(t / p, f1, n, "precision") == pytest.approx(p.sum())


@pytest.mark.parametrize("reading", READINGS)
def test_no_run_and_no_mean_of_runs_passes_the_bound(reading):
    rng = np.random.default_rng(3)
    total = 60
    closest = 1.0
    for runs in (1, 2, 5):
        n = rng.integers(1, 59, (4000, 1))
        t = np.minimum(rng.binomial(n, rng.choice([0.05, 0.5, 0.95, 1], (4000, runs))), n)
        p = t + np.round((total - n) * rng.choice([0, 0.02, 0.3, 1], (4000, runs))).astype(int)
        share = {"recall": t / n, "precision": np.where(p > 0, t / np.maximum(p, 1), 0)}
        share["accuracy"] = (total - n - p + 2 * t) / total
        f1 = (2 * t / (n + p)).mean(1)
        bound = highest_f1(share[reading].mean(1), n[:, 0], total, reading)
        assert (f1 <= bound + 1e-9).all()
        closest = min(closest, float((bound - f1).min()))
    assert closest < 1e-3  # the bound is reached


def test_the_bound_on_accuracy_is_that_of_perfect_runs_mixed_with_runs_that_always_say_the_class():
    n, total = 12, 60
    mixed = np.linspace(0, 1, 7)  # the share of perfect runs
    accuracy, f1 = mixed + (1 - mixed) * n / total, mixed + (1 - mixed) * 2 * n / (total + n)
    assert highest_f1(accuracy, np.array(n), total, "accuracy") == pytest.approx(f1)
