"""Metrics from additive counts against scikit-learn and scipy, which see the predictions themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from lmam_core.runs.metrics import outcomes, per_class, per_trait, summarise, summarise_many


def parts(n: int = 400, groups: int = 7) -> list[np.ndarray]:
    return np.array_split(np.random.default_rng(0).permutation(n), groups)


def test_classification_equals_scikit_learn_from_summed_conversations() -> None:
    rng = np.random.default_rng(1)
    label, prediction = rng.integers(0, 6, 400), rng.integers(0, 5, 400)  # class 5 is never predicted
    total = sum(outcomes(label[i], prediction[i], 6) for i in parts())
    np.testing.assert_array_equal(total.reshape(6, 6), sk.confusion_matrix(label, prediction))
    found = summarise(total, 6)
    assert found["accuracy"] == pytest.approx(100 * sk.accuracy_score(label, prediction))
    assert found["weighted_f1"] == pytest.approx(100 * sk.f1_score(label, prediction, average="weighted"))
    assert found["macro_f1"] == pytest.approx(100 * sk.f1_score(label, prediction, average="macro"))
    expected = sk.precision_recall_fscore_support(label, prediction, zero_division=0)
    table = per_class(total.reshape(6, 6))
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(table[name], 100 * values)
    np.testing.assert_array_equal(table["support"], expected[3])


def test_regression_equals_the_definitions_from_summed_conversations() -> None:
    rng = np.random.default_rng(2)
    y = rng.choice(np.arange(-3, 3.2, 0.2), 400).round(6)
    y[:40] = 0
    p = y + rng.normal(0, 1.2, 400)
    found = summarise(sum(outcomes(y[i], p[i], None) for i in parts()), None)
    assert found["mae"] == pytest.approx(np.abs(y - p).mean())
    assert found["corr"] == pytest.approx(stats.pearsonr(y, p).statistic)
    assert found["acc2"] == pytest.approx(100 * ((y >= 0) == (p >= 0)).mean())
    assert found["f1"] == pytest.approx(100 * sk.f1_score(y >= 0, p >= 0, average="weighted"))
    keep = y != 0
    assert found["acc2_nonzero"] == pytest.approx(100 * ((y > 0) == (p > 0))[keep].mean())
    clipped = np.clip(np.rint(p), -3, 3)
    assert found["acc7"] == pytest.approx(100 * (np.rint(y) == clipped).mean())


def test_traits_equal_the_definitions_from_summed_videos() -> None:
    """Labels are thirds in float32, as POM has them; some predictions are outside of the scale."""
    rng = np.random.default_rng(4)
    y = (rng.integers(3, 22, (203, 17)) / 3).astype(np.float32)
    p = (y + rng.normal(0, 1.5, y.shape)).astype(np.float32)
    p[0] = y[0] + np.float32(0.5)
    total = sum(outcomes(y[i : i + 1], p[i : i + 1], None) for i in range(203))
    assert total.shape == (170,)
    y, p = y.astype(np.float64), p.astype(np.float64)
    naive = {
        "mae": lambda a, b: np.abs(a - b).mean(),
        "corr": lambda a, b: stats.pearsonr(a, b).statistic,
        "accuracy": lambda a, b: 100 * sk.accuracy_score(np.rint(a), np.clip(np.rint(b), 1, 7)),
        "acc2": lambda a, b: 100 * sk.accuracy_score(a >= 4, b >= 4),
        "within_half": lambda a, b: 100 * (np.abs(a - b) < 0.5 + 1e-5).mean(),
    }
    found, means = per_trait(total), summarise(total, None)
    assert list(found) == list(naive) == list(means)
    for name, of in naive.items():
        values = [of(*pair) for pair in zip(y.T, p.T, strict=True)]
        np.testing.assert_allclose(found[name], values, atol=1e-3)
        assert means[name] == pytest.approx(np.mean(values), abs=1e-4)


def test_a_constant_prediction_of_traits_has_correlation_zero() -> None:
    y = np.random.default_rng(5).uniform(1, 7, (203, 2))
    found = per_trait(sum(outcomes(v[None], np.array([[4.6763, v[1]]]), None) for v in y))
    np.testing.assert_allclose(found["corr"], [0, 1], atol=1e-4)


def test_a_constant_prediction_has_correlation_zero() -> None:
    y = np.array([-1.0, 0.5, 2.0])
    assert summarise(outcomes(y, np.full(3, 0.1), None), None)["corr"] == 0


@pytest.mark.parametrize("classes", [6, None])
def test_many_sums_at_once_are_each_sum_by_itself(classes: int | None) -> None:
    rng = np.random.default_rng(3)
    made = [rng.integers(0, 6, (2, 50)) if classes else rng.normal(size=(2, 50)) for _ in range(3)]
    totals = np.stack([outcomes(*pair, classes) for pair in made])
    for name, values in summarise_many(totals, classes).items():
        alone = [summarise(total, classes)[name] for total in totals]
        assert all(type(value) is float for value in alone)
        np.testing.assert_allclose(values, alone)


def test_a_class_of_one_utterance_is_recalled_whole_or_not_at_all() -> None:
    found = per_class(outcomes(np.array([0, 1, 1]), np.array([0, 1, 0]), 3).reshape(3, 3))
    np.testing.assert_allclose(found["recall"], [100, 50, 0])
    np.testing.assert_allclose(found["precision"], [50, 100, 0])
    np.testing.assert_allclose(found["f1"], [200 / 3, 200 / 3, 0])
