"""Table XIII's claim: the rule on runs of a task that has no conversations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lmam_book.bench import counting
from lmam_book.plans import tasks
from lmam_book.verdicts import sessions
from lmam_book.verdicts.claims import Evidence, read
from lmam_book.verdicts.claims.measured import sessions as claim
from lmam_book.verdicts.effects import effect
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from lmam_core.tasks.recommendation import ranking


def made(arm: str, seed: int, rate: float, blocks: int = 60) -> Run:
    """A run that was never carried out, which hits a share of the test sequences."""
    rng = np.random.default_rng([seed, 7])
    rank = np.where(rng.random(32 * blocks) < rate, rng.integers(1, 21, 32 * blocks), 0)
    outcomes = ranking.outcomes(rank, np.arange(32 * blocks))
    asked = dataclasses.replace(tasks.SESSIONS[arm], seed=seed).resolved()
    metrics = {n: float(v) for n, v in ranking.summarise(sum(outcomes.values())).items()}
    return Run(asked, metrics, outcomes, None, Training(1, 1.0, [1.0], [1.0], 0.1), 10, 0, 1.0, 9.0)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(counting, "mean", lambda fraction, metric: 15.0)
    return Store(tmp_path)


def fill(store: Store, rates: dict[str, float], seeds: int = 5) -> None:
    for arm, rate in rates.items():
        for seed in range(seeds):
            store.add(made(arm, seed, rate))


@pytest.mark.parametrize(
    ("rates", "word"),
    [
        ((0.20, 0.30, 0.20), "reproduced"),
        ((0.30, 0.20, 0.20), "excluded"),
        ((0.10, 0.30, 0.20), "baseline not working"),
    ],
)
def test_the_better_reading_decides(store: Store, rates: tuple[float, ...], word: str) -> None:
    assert claim(Evidence(store), "P@20").verdict == "too few runs"
    fill(store, dict(zip((tasks.BASE, *sessions.READINGS), rates, strict=True)))
    found = sessions.decide(store)
    assert found.word == word
    assert found.reported == pytest.approx(0.52)
    told = claim(Evidence(store), "P@20")
    assert told.verdict == word
    assert ("below counting, which has 15.0" in told.reason) == (word == "baseline not working")
    assert "trained on the last 64th of the sessions; Table XIII is of all" in told.reason
    assert told.n == 5


def test_few_seeds_decide_nothing(store: Store) -> None:
    fill(store, {tasks.BASE: 0.2, "LMAM, channels": 0.4}, seeds=3)
    assert sessions.decide(store).word == "too few runs"


def test_an_effect_of_sessions_is_the_difference_of_their_metrics() -> None:
    a, b = ([made(arm, s, rate) for s in range(3)] for arm, rate in ((tasks.BASE, 0.2), ("LMAM, channels", 0.3)))
    found = effect(a, b, "MRR@20")
    gains = [y.metrics["MRR@20"] - x.metrics["MRR@20"] for x, y in zip(a, b, strict=True)]
    assert found.mean == pytest.approx(np.mean(gains))
    assert (found.seeds, found.conversations) == (3, 60)
    assert found.of_conversations > 0


def test_plans_are_whole() -> None:
    assert [c.arguments for c in read() if c.rule == "sessions"] == [{"metric": "P@20"}]
    assert len({e.key for name in ("sessions", "sessions_full") for e in tasks.experiments(name)}) == 5 * (
        len(tasks.SESSIONS) + 3
    )
    assert {e.fraction for e in tasks.experiments("sessions_full")} == {1}
