"""Rules about the rank (Fig. 5), which read the runs of the rank sweep.

The paper's figure shows accuracy and names no backbone; here it is weighted F1 of LMAM behind bc-LSTM, late.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts import variances as spread
from lmam_book.verdicts.claims import Evidence, Finding, rule, untestable
from lmam_book.verdicts.claims.measured import decided
from lmam_book.verdicts.intervals import FEW, Comparison, Interval, compare, verdict

BEST = 45
"""The paper's rank."""
STABLE = range(30, 56)
"""The ranks between which the paper calls training stable."""
LACKING = "Too few ranks have five seeds yet: `lmam sweep ranks` makes them."
SETTING = " Weighted F1 behind bc-LSTM; Fig. 5 is of accuracy."


@rule
def best_rank(evidence: Evidence, dataset: str) -> Finding:
    """Rank 45 gives the best result (Fig. 5).

    Reproduced: no rank has a higher mean over the seeds that both have, and one is surely worse, by interval; same
    direction: no rank is surely better, fewer than half have a higher mean, and 45 gains over their mean by the rule
    for two arms (`intervals.verdict`); not reproduced: neither.
    """
    by_rank = _by_rank(evidence, dataset)
    printed = f"rank {BEST}"
    if BEST not in by_rank or len(by_rank) < FEW:
        return untestable(LACKING, printed)
    gains = _over_best(by_rank, [r for r in by_rank if r != BEST])
    higher = [r for r, d in gains.items() if d.mean > 0]
    better, worse = ([r for r, d in gains.items() if sure(d)] for sure in (lambda d: d.low > 0, lambda d: d.high < 0))
    over = _over_mean(by_rank, list(gains))
    if over.difference.n < FEW:
        return untestable(LACKING, printed)
    near = not better and 2 * len(higher) < len(gains) and verdict(0.0, over) != "not reproduced"
    word = "reproduced" if not higher and worse else "same direction" if near else "not reproduced"
    top = max(gains, key=lambda r: gains[r].mean)
    reason = f"Of {len(gains)} other ranks {len(higher)} have a higher mean; surely better: {_named(better)}; surely "
    reason += f"worse: {_named(worse)}. {_said(over, 'the mean of the others')}{SETTING}"
    ours = f"rank {top}: {plugin.spread(gains[top], 2, '+')} over {BEST}" if higher else printed
    return Finding(word, printed, ours, min(d.n for d in gains.values()), reason)


@rule
def worse_above(evidence: Evidence, dataset: str) -> Finding:
    """Ranks above 45 do worse than 45 (Sec. V-H).

    Reproduced: each surely, by interval; same direction: most have a lower mean, and 45 gains over the mean of all by
    the rule for two arms (`intervals.verdict`); not reproduced: neither.
    """
    by_rank = _by_rank(evidence, dataset)
    higher, printed = [r for r in by_rank if r > BEST], f"above {BEST}"
    if BEST not in by_rank or len(by_rank) < FEW or not higher:
        return untestable(LACKING, printed)
    gains, mean = _over_best(by_rank, higher), _over_mean(by_rank, higher)
    if mean.difference.n < FEW:
        return untestable(LACKING, printed)
    lower = [r for r, d in gains.items() if d.mean < 0]
    near = 2 * len(lower) > len(gains) and verdict(0.0, mean) != "not reproduced"
    sure = all(d.high < 0 for d in gains.values())
    word = "reproduced" if sure else "same direction" if near else "not reproduced"
    ours = "; ".join(f"{r}: {plugin.spread(d, 2, '+')}" for r, d in gains.items())
    reason = f"{len(lower)} of {len(gains)} higher ranks have a lower mean than rank {BEST}, "
    reason += f"{sum(d.high < 0 for d in gains.values())} surely. {_said(mean, 'their mean')}{SETTING}"
    return Finding(word, printed, ours, min(d.n for d in gains.values()), reason)


@rule
def less_stable_above(evidence: Evidence, dataset: str) -> Finding:
    """Training is stable at ranks 30 to 55 and less so above (Fig. 5, caption; Sec. V-H), by the spread over seeds.

    The paper does not say what it calls stable. Here: the standard deviation over seeds, pooled over ranks. Reproduced:
    that of the higher ranks is larger at p < 0.05 (F test, one-sided); same direction: larger by half.
    """
    values, printed = _stable_and_above(evidence, dataset), f"less stable above {STABLE[-1]}"
    if min(map(len, values)) < 2:
        return untestable(LACKING, printed)
    (s0, f0), (s1, f1) = map(spread.pooled, values)
    p = float(stats.f.sf(s1 / s0, f1, f0)) if s0 else 1.0
    within, above = np.sqrt([s0, s1])
    word = "reproduced" if p < 0.05 else "same direction" if above > 1.5 * within else "not reproduced"
    ours = f"s = {within:.2f} at {STABLE[0]} to {STABLE[-1]}; s = {above:.2f} above"
    reason = f"Standard deviations over seeds, pooled over ranks, p = {p:.2f}; the paper does not say what it calls "
    reason += f"stable.{SETTING}"
    other = _stable_and_above(evidence, "mosi")
    if dataset != "mosi" and (found := spread.ratio(*other)):
        without = spread.ratio(*map(spread.without_farthest, other))
        reason += f" On CMU-MOSI, which Fig. 5 leaves out, the spread above is {found} times that within; without the "
        reason += f"farthest run on either side, {without}."
    return Finding(word, printed, ours, min(len(v) for group in values for v in group), reason)


def _stable_and_above(evidence: Evidence, dataset: str) -> tuple[list[list[float]], list[list[float]]]:
    """The values of each rank that the paper calls stable, and of each above."""
    by_rank = {r: list(v.values()) for r, v in _by_rank(evidence, dataset).items()}
    return [v for r, v in by_rank.items() if r in STABLE], [v for r, v in by_rank.items() if r >= STABLE.stop]


@rule
def lower_ranks_better(evidence: Evidence, dataset: str) -> Finding:
    """Lower ranks give better results (Sec. V-H): the mean over those up to 45 against that over higher ones."""
    by_rank = _by_rank(evidence, dataset)
    groups = [[v for r, v in by_rank.items() if r > BEST], [v for r, v in by_rank.items() if r <= BEST]]
    if min(map(len, groups)) < 2 or len(by_rank) < FEW:
        return untestable(LACKING)
    seeds = set.intersection(*(set(v) for v in by_rank.values()))
    higher, lower = ({s: float(np.mean([v[s] for v in group])) for s in seeds} for group in groups)
    note = f" Ranks up to {BEST} against higher ones, each a mean over its ranks.{SETTING}"
    return decided(compare(higher, lower), np.nan, ("", ""), "ranks", note)


@rule
def full_weight_better(evidence: Evidence, dataset: str) -> Finding:
    """What the low rank loses (Sec. VI says that it may lose something): the full weight beside rank 45.

    Of a possibility without a measure nothing is decided, so the verdict is "not testable", with our difference.
    """
    cells, arms = evidence.cells(tables.rank_sweep), (f"rank {BEST}", "full weight")
    found = cells.gain(arms[1], dataset, plugin.HEADLINE[dataset], arms[0]) if cells.runs else None
    short = [plugin.shortfall(cells.frame, dataset, name) for name in arms] if found else ()
    said = decided(found, np.nan, short, "ranks", SETTING)
    reason = f"A possibility without a printed measure. Ours: the full weight over rank {BEST}. {said.reason}"
    return dataclasses.replace(said, verdict="not testable", reason=reason, open=False)


def _over_best(by_rank: dict[int, dict[int, float]], ranks: list[int]) -> dict[int, Interval]:
    """How much better each rank is than 45, by seed."""
    return {r: compare(by_rank[BEST], by_rank[r]).difference for r in ranks}


def _over_mean(by_rank: dict[int, dict[int, float]], ranks: list[int]) -> Comparison:
    """How much better 45 is than the mean of some ranks, over the seeds that all have."""
    seeds = set.intersection(*(set(by_rank[r]) for r in (BEST, *ranks)))
    return compare({s: float(np.mean([by_rank[r][s] for r in ranks])) for s in seeds}, by_rank[BEST])


def _said(over: Comparison, what: str) -> str:
    gain = plugin.spread(over.difference, 2, "+")
    return f"{BEST} over {what}: {gain}, {over.effect:+.2f} pooled standard deviations."


def _named(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks)) or "none"


def _by_rank(evidence: Evidence, dataset: str) -> dict[int, dict[int, float]]:
    """The headline metric by rank and seed, for the ranks with at least five seeds that are trained out, in order."""
    cells = evidence.cells(tables.rank_sweep)
    found = plugin.values(cells.frame, dataset, plugin.HEADLINE[dataset]) if cells.runs else {}
    named = {int(name.removeprefix("rank ")): v for name, v in found.items() if name.startswith("rank ")}
    enough = [r for r in sorted(named) if len(named[r]) >= FEW]
    return {r: named[r] for r in enough if not plugin.shortfall(cells.frame, dataset, f"rank {r}")}
