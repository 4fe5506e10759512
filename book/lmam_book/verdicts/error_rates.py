"""How often the rule says what: words on simulated comparisons whose true gain is known.

A comparison is drawn as stored runs are: S seeds and n conversations that all seeds share, a deviation that comes from
each, and three readings with one baseline, of which the best is judged.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmam_book.verdicts.effects import Effect
from lmam_book.verdicts.resampling import draws
from lmam_book.verdicts.rule import WORDS, best_of, corrected, word
from lmam_core import paths

FILE = "error_rates.csv"
CONVERSATIONS = 31
"""The test sets of IEMOCAP and CMU-MOSI have as many."""
OF_SEEDS = 1.5
"""Points by which a difference of two arms deviates from seed to seed: the middle of the first protocol's runs."""
OF_CONVERSATIONS = 0.9
"""The standard error of such a difference from the choice of 31 conversations: likewise."""
SHARED = 0.5
"""The share of the variances that three readings have in common, as they are compared with one baseline."""
PRINTED = (2.0, 5.0)
GAINS = (0.0, 0.5, 1.0)
"""True gains of all three readings, as shares of the printed one."""
SEEDS = (5, 10)
READINGS = (1, 3)
SIMULATIONS = 1000
RESAMPLES = 1000


def simulated(gain: float, seeds: int, readings: int, rng: np.random.Generator) -> dict[str, Effect]:
    """The effects of some readings whose true gain is `gain`, each with its corrected interval."""
    per_conversation = OF_CONVERSATIONS * CONVERSATIONS**0.5
    of_seeds = _correlated((readings, seeds, 1), OF_SEEDS, rng)
    of_conversations = _correlated((readings, 1, CONVERSATIONS), per_conversation, rng)
    difference = gain + of_seeds + of_conversations  # (readings, S, n)
    level = corrected(readings)
    return {str(k): crossed(difference[k], level) for k in range(readings)}


def crossed(difference: NDArray[np.float64], level: float) -> Effect:
    """The effect of a difference per seed and conversation (S, n) by the resampling of `effects.effect`."""
    S, n = difference.shape
    weights = draws(S, RESAMPLES, seed=1) / S  # (R, S)
    conversations = draws(n, RESAMPLES) / n  # (R, n)
    resampled = np.einsum("rs,sn,rn->r", weights, difference, conversations, optimize=True)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    means = difference.mean(1)  # (S,)
    of_conversations = float((conversations @ difference.mean(0)).std(ddof=1))
    of_seeds = float(means.std(ddof=1) / S**0.5)
    nan = float("nan")
    return Effect(float(means.mean()), float(low), float(high), S, n, of_seeds, of_conversations, nan, nan, level)


def _correlated(shape: tuple[int, ...], deviation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Normal numbers of which the first axis has `SHARED` of the variance in common."""
    common = rng.normal(size=(1, *shape[1:]))
    return deviation * (SHARED**0.5 * common + (1 - SHARED) ** 0.5 * rng.normal(size=shape))


def measure(simulations: int = SIMULATIONS) -> pd.DataFrame:
    """How often each word was given, in percent, per reported gain, true gain, number of seeds and of readings."""
    rng = np.random.default_rng(0)
    rows = []
    for printed, share, seeds, readings in product(PRINTED, GAINS, SEEDS, READINGS):
        said = []
        for _ in range(simulations):
            found = simulated(share * printed, seeds, readings, rng)
            said.append(word(found[best_of(found)], printed))
        asked = {"printed": printed, "true": share * printed, "seeds": seeds, "readings": readings}
        rows.append(asked | {w: round(100 * said.count(w) / simulations, 1) for w in WORDS[:4]})
    return pd.DataFrame(rows)


def table() -> pd.DataFrame:
    """The simulation that comes with the book."""
    return pd.read_csv(paths.data(FILE))


if __name__ == "__main__":
    measure().to_csv(paths.data(FILE), index=False)
    print(paths.data(FILE).read_text(), end="")
