"""Rules that hold the paper's printed numbers against each other."""

from __future__ import annotations

import pandas as pd

from lmam_core import paper
from lmam_core.claims import Evidence, Finding, rule
from lmam_core.implied import printed as p_values


def _agreement(agrees: pd.Series, what: str) -> Finding:
    """Reproduced when all agree, same direction when at least 95 % do."""
    n, right = len(agrees), int(agrees.sum())
    word = "reproduced" if right == n else "same direction" if right >= 0.95 * n else "not reproduced"
    return Finding(word, f"{n} printed", f"{right} agree", 0, f"{what}; {n - right} of {n} do not agree.")


@rule
def deltas_follow(evidence: Evidence, table: str) -> Finding:
    """Every printed change of a table is the difference of its printed cells."""
    found = paper.audit_deltas()
    return _agreement(found[found.table == int(table)].agrees, "Recomputed from the rows of the same table")


@rule
def averages_follow(evidence: Evidence, table: str) -> Finding:
    """Every printed weighted average follows from its cells and the public test supports, to 0.01."""
    found = paper.audit_averages()
    return _agreement(found[found.table == int(table)].agrees, "Recomputed with the supports of the public test set")


@rule
def told_alike(evidence: Evidence, places: str) -> Finding:
    """What is printed in several places is the same: in `tables`, or in the `text` and a table."""
    found = paper.audit_cross_table()
    text = found.other_place.str.startswith("Sec.")
    what = (
        "Numbers of the text beside the cells that they speak of" if places == "text" else "The same cell in two tables"
    )
    return _agreement(found[text if places == "text" else ~text].agrees, what)


@rule
def best_in_table(evidence: Evidence, table: str, row: str) -> Finding:
    """A row has the highest printed number in every column of its table; a tie: same direction."""
    cells = paper.table(int(table))
    tied, beaten = [], []
    for (dataset, _, metric), group in cells.groupby(["dataset", "column", "metric"], sort=False):
        mine = group[group.row == row].number.item()
        others = group[group.row != row].number.max()
        (tied if others == mine else beaten if others > mine else []).append(f"{dataset} {metric}")
    columns = len(cells.groupby(["dataset", "column", "metric"]))
    word = "not reproduced" if beaten else "same direction" if tied else "reproduced"
    reason = f"Of {columns} printed columns it leads {columns - len(tied) - len(beaten)}"
    reason += f", ties in {', '.join(tied)}" if tied else ""
    reason += f", is behind in {', '.join(beaten)}" if beaten else ""
    return Finding(word, "best", f"{columns - len(tied) - len(beaten)} of {columns}", 0, reason + ".")


@rule
def printed_p_values(evidence: Evidence, table: str) -> Finding:
    """Every printed p is below 0.05 and goes with a printed gain in F1."""
    found = p_values()
    found = found[found.table == int(table)]
    gains = (found.gain > 0) & (found.p < 0.05)
    losses, equal = int((found.gain < 0).sum()), int((found.gain == 0).sum())
    word = "reproduced" if gains.all() else "same direction" if gains.mean() > 0.5 else "not reproduced"
    reason = (
        f"All printed p are below 0.05: {(found.p < 0.05).all()}. The printed F1 falls with LMAM in {losses} of these "
    )
    reason += f"{len(found)} cells and stays the same in {equal}."
    return Finding(word, f"{len(found)} gains", f"{int(gains.sum())} gains", 0, reason)
