"""Can leaving whole dialogues out of a test set explain the class sizes that stand behind a table?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lmam_core import paths

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class LeftOut:
    """What is missing in each class, (C,); the sets of dialogues that have exactly these counts; and how telling it is.

    `same_size` is the number of sets of dialogues with as many utterances in all; `chance` the probability that as many
    utterances, drawn at random from the whole test set, have the class counts of one of them.
    """

    missing: Counts
    sets: tuple[tuple[str, ...], ...]
    same_size: int
    chance: float


def iemocap_dialogues(classes: Sequence[str]) -> dict[str, Counts]:
    """The class sizes of each dialogue of IEMOCAP's public test set, counted once, (C,) each."""
    counts = pd.read_csv(paths.data("iemocap_test_dialogues.csv"), index_col="dialogue")
    return {str(name): row.to_numpy() for name, row in counts[list(classes)].iterrows()}


def left_out(dialogues: Mapping[str, Counts], support: Counts) -> LeftOut:
    """All sets of dialogues without which a test set has the class sizes `support`, (C,).

    `dialogues` has the class counts (C,) of each. The search is complete. Nothing is found where a class would have to
    grow.
    """
    whole = np.sum(list(dialogues.values()), axis=0)
    missing = whole - support
    if (missing < 0).any() or not missing.any():
        return LeftOut(missing, (), 0, 0.0)
    names, counts = list(dialogues), np.array(list(dialogues.values()))
    fitting = tuple(tuple(names[i] for i in subset) for subset in _subsets(counts, missing))
    sizes = counts.sum(1)[:, None]
    same = [np.sum(counts[list(subset)], axis=0) for subset in _subsets(sizes, np.array([missing.sum()]))]
    draw = stats.multivariate_hypergeom(whole, int(missing.sum()))
    return LeftOut(
        missing, fitting, len(same), float(sum(draw.pmf(c) for c in np.unique(same, axis=0))) if same else 0.0
    )


def _subsets(counts: Counts, target: Counts, start: int = 0) -> Iterator[tuple[int, ...]]:
    """The index sets of rows of (n, C) that add up to `target`, (C,), by depth-first search that never overshoots."""
    if not target.any():
        yield ()
        return
    for i in range(start, len(counts)):
        rest = target - counts[i]
        if (rest >= 0).all() and counts[i].any():
            for more in _subsets(counts, rest, i + 1):
                yield (i, *more)
