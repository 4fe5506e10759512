"""POM's part of Table IV: gains, words, the 16 traits and what other numbers of seeds would show."""

from __future__ import annotations

import numpy as np
import pytest

from lmam_book.bench import trait_probes
from lmam_book.plans import search, studies
from lmam_book.verdicts import beside_paper, traits
from lmam_book.verdicts.claims import Evidence
from lmam_book.verdicts.claims.measured import plugged
from lmam_book.verdicts.headline import reported_gain
from lmam_book.verdicts.rule import EXCLUDED, NOT_WORKING, REPRODUCED, TOO_FEW, UNDECIDED
from lmam_core.data.sources.pom import TRAITS
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes, summarise
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training

VIDEOS = 60


def made(e: Experiment, spread: float) -> Run:
    """A run whose predictions are off by `spread`; every arm of a seed is off in the same directions."""
    label = np.random.default_rng(0).uniform(1, 7, (VIDEOS, len(TRAITS)))
    off = np.random.default_rng(100 + e.seed).normal(size=label.shape) * spread
    scored = {str(i): outcomes(y[None], (y + d)[None], None) for i, (y, d) in enumerate(zip(label, off, strict=True))}
    training = Training(1, spread, [1.0], [spread], 0.5, 8)
    if e.protocol == "tuning":
        return Run(e, {}, {}, None, training, 1, 1, 1.0, 1.0)
    return Run(e, summarise(sum(scored.values()), None), scored, None, training, 1, 1, 1.0, 1.0)


def filled(store: Store, spreads: dict[str, float], name: str = "traits_bc_lstm", best: float = 1.4e-3) -> Store:
    """A store with the whole search, won by a rate, and five seeds of a study's arms, off by `spreads[fusion]`."""
    for arm in studies.study(name):
        for e in search.needed(arm, store):
            store.add(made(e, abs(e.learning_rate - best)))
        for e in studies.measured(arm, store, range(5)):
            store.add(made(e, spreads[arm.fusion]))
    return store


def test_a_small_search_takes_the_best_of_three_runs(store: Store) -> None:
    (arm, _) = studies.study("traits_bc_lstm")
    asked = search.needed(arm, store)
    assert [e.learning_rate for e in asked] == [t.learning_rate for t in search.SMALL["pom"]]
    assert {(e.seed, e.updates, e.protocol) for e in asked} == {(search.SEEDS[0], search.SHORT, "tuning")}
    for e in asked:
        store.add(made(e, abs(e.learning_rate - 1.4e-3)))
    assert search.needed(arm, store) == []
    assert search.tuned(arm, store).learning_rate == 1.4e-3


@pytest.mark.parametrize(
    ("spreads", "expected"),
    [({"concat": 1.0, "lmam": 0.4}, REPRODUCED), ({"concat": 0.6, "lmam": 0.6}, EXCLUDED),
     ({"concat": 2.5, "lmam": 0.4}, NOT_WORKING)],
)  # fmt: skip
def test_the_word_follows_from_the_runs(store: Store, spreads: dict[str, float], expected: str) -> None:
    cell = traits.cells(filled(store, spreads))["bc_lstm"]
    for metric in ("mae", "accuracy") if expected == NOT_WORKING else traits.METRICS:
        found = traits.decide(cell, metric)
        assert (found.word, found.gain.seeds, found.gain.conversations) == (expected, 5, VIDEOS)
        means = [np.mean([r.metrics[metric] for r in cell.runs[n]]) for n in ("concatenation", "own")]
        sign = -1 if metric == "mae" else 1
        assert found.gain.mean == pytest.approx(sign * (means[1] - means[0]), abs=1e-9)
    claim = plugged(Evidence(store), "bc_lstm", "pom")
    assert (claim.verdict, claim.n, claim.paper) == (expected, 5, "+4.30")
    assert "POM's text cannot be had" in claim.reason


def test_a_rate_at_the_edge_of_three_excludes_less(store: Store) -> None:
    filled(store, {"concat": 0.6, "lmam": 0.6}, best=3.5e-3)
    claim = plugged(Evidence(store), "bc_lstm", "pom")
    assert claim.verdict == UNDECIDED
    assert " The learning rates of the baseline and the model with it are the smallest or largest" in claim.reason


def test_without_runs_the_claim_names_the_command(store: Store) -> None:
    for backbone, baseline, name in (
        ("m2fnet", "concatenation", "m2fnet"),
        ("bc_lstm", "self-attention", "bc_lstm_att"),
    ):
        claim = plugged(Evidence(store), backbone, "pom", baseline)
        assert claim.verdict == TOO_FEW
        assert f"`lmam sweep traits_{name} --store {store.root}`" in claim.reason


def test_sixteen_traits_are_all_but_sentiment(store: Store) -> None:
    filled(store, {"concat": 0.6, "lmam": 0.4})
    cell, sixteen = (of(store)["bc_lstm"] for of in (traits.all_traits, traits.cells))
    k = TRAITS.index("sentiment")
    for whole, cut in zip(cell.runs["own"], sixteen.runs["own"], strict=True):
        by_trait = traits.by_trait([whole])
        assert cut.metrics["mae"] == pytest.approx(np.delete(by_trait["mae"], k).mean())
        assert cut.metrics["accuracy"] == pytest.approx(np.delete(by_trait["accuracy"], k).mean())
        assert whole.metrics["accuracy"] == pytest.approx(by_trait["accuracy"].mean())


def test_more_seeds_narrow_the_interval_down_to_what_videos_vary(store: Store) -> None:
    gain = traits.decide(traits.cells(filled(store, {"concat": 0.6, "lmam": 0.5}))["bc_lstm"], "mae").gain
    assert traits.half_width_with(gain, 5) == pytest.approx(gain.half)
    assert (
        gain.half > traits.half_width_with(gain, 10) > traits.half_width_with(gain, 10**6) > 1.9 * gain.of_conversations
    )


def test_reported_gains_are_positive_for_better() -> None:
    assert reported_gain("emocaps", "pom", metric="mae") == pytest.approx(0.08)
    assert reported_gain("bc_lstm", "pom") == pytest.approx(4.3)
    assert reported_gain("bc_lstm", "pom", "self-attention") == pytest.approx(3.8)


def test_probes_beat_the_mean_and_the_bar_is_chosen_on_validation() -> None:
    found = trait_probes.table().set_index("of")
    assert found.mae["audio+video"] < found.mae["mean"] < found.mae["most frequent"]
    assert found.accuracy_16["most frequent"] == found.accuracy_16.max()
    median = found.loc["median"]
    reported = [beside_paper.printed("text_cnn", "concatenation", "pom", m) for m in ("mae", "accuracy")]
    assert [round(median.mae_16, 2), round(median.accuracy_16, 1)] == reported, "the chapter says so"
    assert trait_probes.probe_score("mae") == found.mae_16[found.validation_mae.idxmin()]
