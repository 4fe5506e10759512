"""How often the rule says what: words on simulated comparisons whose true gain is known.

A comparison is drawn as stored runs are: S seeds and n conversations that all seeds share, a deviation that comes from
each, and three readings with one baseline, of which the best is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmam_book.bench.seals import write
from lmam_book.verdicts.effects import Effect
from lmam_book.verdicts.rule import WORDS, corrected, half_of, lowered, word
from lmam_core import paths

FILE = "error_rates.csv"
CONVERSATIONS = 31
"""The test sets of IEMOCAP and CMU-MOSI have as many."""
SETTINGS = {"as measured": (1.5, 0.9, 0.0), "seeds rule": (2.5, 0.3, 0.0), "both together": (0.8, 0.5, 8.0)}
"""What a difference of two arms varies by, in points: from seed to seed, with the choice of 31 conversations (standard
error), and from seed to seed in each conversation. The first is the middle of the first protocol's runs."""
SHARED = 0.5
"""The share of the variances that readings have in common, as they are compared with one baseline."""
PRINTED = (2.0, 5.0)
GAINS = (0.0, 0.5, 1.0)
"""True gains, as shares of the printed one."""
GAINING = ("all", "one")
"""The readings that have the true gain; of the others it is 0."""
SEEDS = (5, 10)
READINGS = (1, 3)
SIMULATIONS = 1000


def simulated(gains: Sequence[float], setting: str, seeds: int, rng: np.random.Generator) -> list[Effect]:
    """The effects of readings whose true gains are given, each with its corrected interval."""
    readings = len(gains)
    of_seeds, of_conversations, of_both = SETTINGS[setting]
    per_conversation = of_conversations * CONVERSATIONS**0.5
    difference = (
        np.array(gains)[:, None, None]
        + _correlated((readings, seeds, 1), of_seeds, rng)
        + _correlated((readings, 1, CONVERSATIONS), per_conversation, rng)
        + of_both * rng.normal(size=(readings, seeds, CONVERSATIONS))
    )  # (readings, S, n)
    return [crossed(one, corrected(readings)) for one in difference]


def crossed(difference: NDArray[np.float64], level: float) -> Effect:
    """The effect of a difference per seed and conversation (S, n), as `effects.effect` has it."""
    S, n = difference.shape
    by_seed, by_conversation = difference.mean(1), difference.mean(0)  # (S,), (n,)
    # The standard deviation over endless resamples of n conversations, which `effect` estimates by many.
    of_conversations = float(by_conversation.std() / n**0.5)
    return Effect(float(by_seed.mean()), S, n, float(by_seed.std(ddof=1) / S**0.5), of_conversations, level=level)


def _correlated(shape: tuple[int, ...], deviation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Normal numbers of which the first axis has `SHARED` of the variance in common."""
    common = rng.normal(size=(1, *shape[1:]))
    return deviation * (SHARED**0.5 * common + (1 - SHARED) ** 0.5 * rng.normal(size=shape))


def measure(simulations: int = SIMULATIONS) -> pd.DataFrame:
    """How often each word comes out, in percent, and what the best reading's numbers are worth.

    `covered` says how often its interval contains its true gain, `unlowered` how often the rule would say *reproduced*
    if the best mean were taken as it is, and `too high` how often the lowered mean is above the largest true gain. One
    row per setting, reported gain, true gain, readings that have it, number of seeds and of readings.
    """
    rng = np.random.default_rng(0)
    rows = []
    for setting, printed, share, gaining, seeds, readings in product(
        SETTINGS, PRINTED, GAINS, GAINING, SEEDS, READINGS
    ):
        if gaining == "one" and (readings == 1 or not share):
            continue
        gains = [share * printed * (gaining == "all" or k == 0) for k in range(readings)]
        words, covered, unlowered, high = [], 0, 0, 0
        for _ in range(simulations):
            effects = simulated(gains, setting, seeds, rng)
            words.append(word(effects, printed))
            chosen = max(range(readings), key=lambda k: effects[k].mean)
            best = effects[chosen]
            covered += best.low <= gains[chosen] <= best.high
            unlowered += best.low > 0 and best.mean >= half_of(printed)
            high += lowered(best, readings) > gains[0]
        case = {"setting": setting, "printed": printed, "true": share * printed, "gaining": gaining}
        counts = {w: words.count(w) for w in WORDS[:4]}
        counts |= {"covered": covered, "unlowered": unlowered, "too high": high}
        rates = {name: round(100 * count / simulations, 1) for name, count in counts.items()}
        rows.append(case | {"seeds": seeds, "readings": readings} | rates)
    return pd.DataFrame(rows)


def table() -> pd.DataFrame:
    """The simulation that comes with the book."""
    return pd.read_csv(paths.data(FILE))


if __name__ == "__main__":
    write(measure(), FILE, "lmam_book.verdicts.error_rates")
