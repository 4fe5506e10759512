"""Rules that hold the paper's printed numbers against each other."""

from __future__ import annotations

import pandas as pd

from lmam_book.paper import consistency
from lmam_book.paper import printed as paper
from lmam_book.paper.p_values import printed as p_values
from lmam_book.verdicts.claims import RECOMPUTED, Evidence, Finding, rule
from lmam_book.verdicts.rule import DOES_NOT_HOLD, HOLDS, IN_PART, counted

MOST = 0.95
"""The share that has to agree for *holds in part*."""
UNIT = 0.01 + 1e-9
"""What a difference of two numbers with two decimals can be off when it was taken before they were rounded."""


def _agreement(agrees: pd.Series, what: str) -> Finding:
    """It holds when all agree, in part when more than 95 % do."""
    n, right = len(agrees), int(agrees.sum())
    word = counted(right, n, MOST)
    return Finding(word, f"{n} printed", f"{right} agree", 0, f"{what}; not in agreement: {n - right} of {n}.")


@rule(RECOMPUTED)
def deltas_follow(evidence: Evidence, table: str) -> Finding:
    """Every printed change of a table is the difference of its printed cells, or was before they were rounded."""
    changes = consistency.audit_deltas()
    changes = changes[changes.table == int(table)]
    off = (changes.printed - changes.recomputed).abs()
    what = "Recomputed from the rows of the same table, for bc-LSTM from whichever of its two fits, to a unit of the "
    what += f"last digit; the largest difference is {off.max():.2f}"
    return _agreement(changes.agrees | (off <= UNIT), what)


@rule(RECOMPUTED)
def averages_follow(evidence: Evidence, table: str) -> Finding:
    """Every printed weighted average follows from its cells and the public test supports, to 0.01."""
    averages = consistency.audit_averages()
    averages = averages[averages.table == int(table)]
    what = "Recomputed with the supports of the public test set, to 0.01; the largest difference is "
    return _agreement(averages.agrees, f"{what}{averages.difference.abs().max():.3f}")


@rule(RECOMPUTED)
def told_alike(evidence: Evidence, places: str) -> Finding:
    """What is printed in several places is the same: in `tables`, or in the `text` and a table.

    Table XI has two cells where the others have one, without and with the residual: the nearer of them counts.
    """
    pairs = consistency.audit_cross_table()
    text = pairs.other_place.str.startswith("Sec.")
    if places == "text":
        return _agreement(pairs[text].agrees, "Numbers of the text beside the cells that they speak of")
    pairs = pairs[~text].assign(apart=pairs.difference.abs(), table=pairs.other_place.str.removesuffix(" (R)"))
    pairs = pairs.sort_values("apart").drop_duplicates(["method", "dataset", "metric", "place", "table"])
    apart = pairs[~pairs.agrees].table.value_counts()
    where = ", ".join(f"{n} in {table}" for table, n in apart.items())
    what = "The same system in two tables, of Table XI's two rows for one the nearer; numbers that differ from an "
    return _agreement(pairs.agrees, f"{what}earlier table: {where}")


@rule(RECOMPUTED)
def best_in_table(evidence: Evidence, table: str, row: str) -> Finding:
    """A row has the highest printed number in every column of its table; a tie: in part."""
    cells = paper.table(int(table))
    tied: list[str] = []
    beaten: list[str] = []
    for (dataset, _, metric), group in cells.groupby(["dataset", "column", "metric"], sort=False):
        mine = group[group.row == row].number.item()
        others = group[group.row != row].number.max()
        (tied if others == mine else beaten if others > mine else []).append(f"{dataset} {metric}")
    columns = len(cells.groupby(["dataset", "column", "metric"]))
    word = DOES_NOT_HOLD if beaten else IN_PART if tied else HOLDS
    reason = f"Of {columns} printed columns it leads {columns - len(tied) - len(beaten)}"
    reason += f", ties in {', '.join(tied)}" if tied else ""
    reason += f", is behind in {', '.join(beaten)}" if beaten else ""
    return Finding(word, "best", f"{columns - len(tied) - len(beaten)} of {columns}", 0, reason + ".")


@rule(RECOMPUTED)
def printed_p_values(evidence: Evidence, table: str) -> Finding:
    """Every p below 0.05 stands beside a printed change of F1, up or down; where none changes, nothing can differ."""
    entries = p_values()
    entries = entries[(entries.table == int(table)) & (entries.p < 0.05)]
    rises, falls = int((entries.gain > 0).sum()), int((entries.gain < 0).sum())
    what = f"Of {len(entries)} p-values below 0.05, {rises} belong to a printed F1 that rises with LMAM and {falls} to "
    return _agreement(entries.gain != 0, f"{what}one that falls")
