"""Rules about the rank (Fig. 5), which read the runs of the rank sweep.

The paper's figure shows accuracy and names no backbone; here it is weighted F1 of LMAM behind bc-LSTM, late.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

from lmam_book.plans.arms import RANKS
from lmam_book.plans.plans import command
from lmam_book.verdicts import beside_paper, variances
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.cells import Cells
from lmam_book.verdicts.claims import MEASURED, Evidence, Finding, rule, too_few
from lmam_book.verdicts.claims.measured import decided, why
from lmam_book.verdicts.effects import Effect, contrast, effect
from lmam_book.verdicts.rule import EXCLUDED, FEW, NOT_TESTABLE, REPRODUCED, UNDECIDED, corrected
from lmam_book.verdicts.rule import word as rule_word
from lmam_core.runs.run import Run

BEST = 45
"""The paper's rank."""
STABLE = range(30, 56)
"""The ranks between which the paper calls training stable."""
SETTING = " Weighted F1 behind bc-LSTM; Fig. 5 is of accuracy."


@rule(MEASURED)
def best_rank(evidence: Evidence, dataset: str) -> Finding:
    """Rank 45 gives the best result (Fig. 5).

    Reproduced: no rank has a higher mean, and each interval lies below 0. Excluded: the interval of another rank over
    45 lies above 0, at a level that is corrected for the number of ranks. Undecided otherwise.
    """
    by_rank = _by_rank(evidence, dataset)
    printed = f"rank {BEST}"
    if BEST not in by_rank or len(by_rank) < FEW:
        return too_few(_lacking(evidence), printed)
    gains = _over_best(by_rank, [r for r in by_rank if r != BEST])
    if min(gain.seeds for gain in gains.values()) < FEW:
        return too_few(_lacking(evidence), printed)
    higher = [r for r, gain in gains.items() if gain.mean > 0]
    better, worse = ([r for r, gain in gains.items() if sure(gain)] for sure in (_above, _below))
    word = EXCLUDED if better else REPRODUCED if not higher and len(worse) == len(gains) else UNDECIDED
    top = max(gains, key=lambda r: gains[r].mean)
    have = "has" if len(higher) == 1 else "have"
    reason = f"Of {len(gains)} other ranks, {len(higher)} {have} a higher mean. Reliably better: {_named(better)}; "
    reason += f"reliably worse: {_named(worse)}.{SETTING}"
    ours = f"rank {top}: {beside_paper.signed(gains[top])} over {BEST}" if higher else printed
    return Finding(
        word, printed, ours, min(gain.seeds for gain in gains.values()), reason, _cells(evidence, dataset).protocol
    )


@rule(MEASURED)
def worse_above(evidence: Evidence, dataset: str) -> Finding:
    """Ranks above 45 do worse than 45 (Sec. V-H).

    Reproduced: the interval of each lies below 0. Excluded: that of one lies above 0. Undecided otherwise.
    """
    by_rank = _by_rank(evidence, dataset)
    above, printed = [r for r in by_rank if r > BEST], f"above {BEST}"
    if BEST not in by_rank or len(by_rank) < FEW or not above:
        return too_few(_lacking(evidence), printed)
    gains = _over_best(by_rank, above)
    lower = [r for r, gain in gains.items() if gain.mean < 0]
    worse, better = (sum(map(sure, gains.values())) for sure in (_below, _above))
    word = EXCLUDED if better else REPRODUCED if worse == len(gains) else UNDECIDED
    ours = "; ".join(f"{r}: {beside_paper.signed(gain)}" for r, gain in gains.items())
    reason = f"{len(lower)} of {len(gains)} higher ranks have a lower mean than rank {BEST}; of {worse} the interval "
    reason += f"lies below 0, of {better} above.{SETTING}"
    return Finding(
        word, printed, ours, min(gain.seeds for gain in gains.values()), reason, _cells(evidence, dataset).protocol
    )


@rule(MEASURED)
def less_stable_above(evidence: Evidence, dataset: str) -> Finding:
    """Training is stable at ranks 30 to 55 and less so above (Fig. 5, caption; Sec. V-H), by the spread over seeds.

    The paper does not say what it calls stable. Here: the standard deviation over seeds, pooled over ranks. Reproduced:
    that of the higher ranks is larger at p < 0.05 (F test, one-sided); excluded: smaller at p < 0.05.
    """
    values, printed = _stable_and_above(evidence, dataset), f"less stable above {STABLE[-1]}"
    if min(map(len, values)) < 2:
        return too_few(_lacking(evidence), printed)
    (s0, f0), (s1, f1) = map(variances.pooled, values)
    p = float(stats.f.sf(s1 / s0, f1, f0)) if s0 else 1.0
    within, above = np.sqrt([s0, s1])
    word = REPRODUCED if p < 0.05 else EXCLUDED if p > 0.95 else UNDECIDED
    ours = f"s = {within:.2f} at {STABLE[0]} to {STABLE[-1]}; s = {above:.2f} above"
    reason = f"Standard deviations over seeds, pooled over ranks, p = {p:.2f}; the paper does not say what it calls "
    n, protocol = min(len(v) for group in values for v in group), _cells(evidence, dataset).protocol
    return Finding(word, printed, ours, n, f"{reason}stable.{SETTING}", protocol)


def _lacking(evidence: Evidence) -> str:
    return f"Too few ranks have five seeds yet: `{command('rank_bc_lstm', evidence.store)}` makes them."


def _stable_and_above(evidence: Evidence, dataset: str) -> tuple[list[list[float]], list[list[float]]]:
    """The values of each rank that the paper calls stable, and of each above."""
    metric = beside_paper.HEADLINE[dataset]
    by_rank = {r: [run.metrics[metric] for run in runs] for r, runs in _by_rank(evidence, dataset).items()}
    return [v for r, v in by_rank.items() if r in STABLE], [v for r, v in by_rank.items() if r >= STABLE.stop]


@rule(MEASURED)
def lower_ranks_better(evidence: Evidence, dataset: str) -> Finding:
    """Lower ranks give better results (Sec. V-H): the mean over those up to 45 against that over higher ones."""
    by_rank = _by_rank(evidence, dataset)
    higher, lower = ([v for r, v in by_rank.items() if (r > BEST) == above] for above in (True, False))
    if min(len(higher), len(lower)) < 2 or len(by_rank) < FEW:
        return too_few(_lacking(evidence))
    gain = contrast(higher, lower, beside_paper.HEADLINE[dataset])
    word = rule_word([gain], np.nan)
    reason = why(word, gain, np.nan)
    reason += f" Ranks up to {BEST} against higher ones, each a mean over its ranks.{SETTING}"
    return Finding(word, "–", beside_paper.signed(gain), gain.seeds, reason, _cells(evidence, dataset).protocol)


@rule(MEASURED)
def full_weight_better(evidence: Evidence, dataset: str) -> Finding:
    """What the low rank loses (Sec. VI says that it may lose something): the full weight beside rank 45.

    Of a possibility without a measure nothing is decided, so the verdict is "not testable", with our difference.
    """
    arms = (f"rank {BEST}", "full weight")
    cells = evidence.cells(tables.rank_sweep, dataset=dataset, arms=arms)
    finding = decided(cells, dataset, *arms, np.nan, "rank_bc_lstm")
    reason = f"A possibility without a reported measure. The full weight over rank {BEST}: {finding.reason}{SETTING}"
    return dataclasses.replace(finding, verdict=NOT_TESTABLE, reason=reason)


def _over_best(by_rank: dict[int, list[Run]], ranks: list[int]) -> dict[int, Effect]:
    """How much better each rank is than 45, at a level that is corrected for their number."""
    metric, level = beside_paper.HEADLINE[by_rank[BEST][0].experiment.dataset], corrected(len(ranks))
    return {r: effect(by_rank[BEST], by_rank[r], metric, level) for r in ranks}


def _above(gain: Effect) -> bool:
    return gain.low > 0


def _below(gain: Effect) -> bool:
    return gain.high < 0


def _named(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks)) or "none"


def _cells(evidence: Evidence, dataset: str) -> Cells:
    return evidence.cells(tables.rank_sweep, dataset=dataset, arms=[f"rank {r}" for r in RANKS])


def _by_rank(evidence: Evidence, dataset: str) -> dict[int, list[Run]]:
    """The runs of each rank with at least five seeds that were trained, in order."""
    cells = _cells(evidence, dataset)
    runs: dict[int, list[Run]] = {}
    if cells.runs:
        for name, rows in cells.frame[cells.frame.dataset == dataset].groupby("arm"):
            if name.startswith("rank ") and len(rows) >= FEW and not beside_paper.shortfall(cells.frame, dataset, name):
                runs[int(name.removeprefix("rank "))] = list(rows.run)
    return dict(sorted(runs.items()))
