"""Rules that read the forensic audit of Tables II and III (`lmam_book.forensics`)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmam_book import forensics
from lmam_book.paper import printed as paper
from lmam_book.verdicts.claims import RECOMPUTED, Evidence, Finding, rule, untestable
from lmam_book.verdicts.rule import counted


@rule(RECOMPUTED)
def class_accuracy(evidence: Evidence, dataset: str) -> Finding:
    """The first number of a class is an accuracy of that class, in the rows for which whole numbers settle it.

    Not testable, here as in the next two, where they settle it for less than half of the rows.
    """
    rows = forensics.audited(dataset).rows
    read = rows[rows.reading != "none"].reading.value_counts()
    if read.empty:
        return untestable("In no row do whole numbers settle what the number is.", "accuracy")
    right = int(read.drop("precision", errors="ignore").sum())
    n = int(read.sum())
    if n < len(rows) / 2:
        return untestable(_few(n, len(rows), "what the number is") + f" In those it is: {_listed(read)}.", "accuracy")
    word = counted(right, n)
    ours = _listed(read)
    reason = f"Whole numbers settle what the number is in {n} of {len(rows)} rows: {ours}. A class's accuracy is its "
    reason += "recall, or that of the class against the rest; precision is neither. Other rows may be means over runs."
    return Finding(word, "accuracy", ours, 0, reason)


def _listed(counts: pd.Series) -> str:
    """`8 precision, 1 recall`."""
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _few(n: int, rows: int, what: str) -> str:
    """Why rows that are not half of all decide nothing."""
    return f"Whole numbers settle {what} in {n} of {rows} rows, and fewer than half decide nothing."


@rule(RECOMPUTED)
def average_accuracy(evidence: Evidence, dataset: str) -> Finding:
    """The printed average of those numbers is the system's accuracy, in the rows whose counts are known."""
    rows = forensics.audited(dataset).rows
    known = rows[np.isfinite(rows.accuracy_low.astype(float))]
    if known.empty:
        return untestable("No row's counts are known.", "accuracy")
    apart = [
        f"{r.row} {r.accuracy_low:.2f}, printed {r.printed_average:.2f}"
        for r in known.itertuples()
        if not r.accuracy_low - 0.01 <= r.printed_average <= r.accuracy_high + 0.01
    ]
    n, right = len(known), len(known) - len(apart)
    if n < len(rows) / 2:
        remark = f" In those the average is not the accuracy: {'; '.join(apart)}." if apart else " In those it is."
        return untestable(_few(n, len(rows), "the counts") + remark, "accuracy")
    word = counted(right, n)
    reason = f"Where counts are known, they give the accuracy: {'; '.join(apart) or 'all as printed'}."
    return Finding(word, f"{n} average{'s' if n > 1 else ''}", f"{right} agree{'s' if right == 1 else ''}", 0, reason)


@rule(RECOMPUTED)
def one_test_set(evidence: Evidence, dataset: str) -> Finding:
    """All rows are about the test set whose size Table I prints, in the rows whose supports are known."""
    printed = int(paper.cell(1, "test", "utterances", "count", dataset))
    rows = forensics.audited(dataset).rows
    sizes = rows[rows.reading != "none"].utterances.dropna().astype(int).value_counts()
    if sizes.empty:
        return untestable("No row's supports are known.", f"{printed:,}")
    n, right = int(sizes.sum()), int(sizes.get(printed, 0))
    if n < len(rows) / 2:
        each = " and ".join(f"{size:,} in {count}" for size, count in sizes.items())
        return untestable(_few(n, len(rows), "the sizes of classes") + f" They add up to {each}.", f"{printed:,}")
    word = counted(right, n)
    ours = ", ".join(f"{size:,} in {count}" for size, count in sizes.items())
    reason = f"Class sizes that fit could be found for {n} of {len(rows)} rows; they add up to "
    reason += " and to ".join(f"{size:,} in {count} rows" for size, count in sizes.items()) + "."
    if dataset == "IEMOCAP":
        reason += f" Table I's size is our expectation: the 8:2 split of Sec. V-A would leave {round(0.8 * printed):,}."
    return Finding(word, f"{printed:,}", ours, 0, reason)


@rule(RECOMPUTED)
def eight_to_two(evidence: Evidence, dataset: str) -> Finding:
    """Four fifths of the test set were tested on (Sec. V-A), by the rows whose class sizes whole numbers settle."""
    whole = int(paper.cell(1, "test", "utterances", "count", dataset))
    expected = round(0.8 * whole)
    rows = forensics.audited(dataset).rows
    sizes = rows[rows.reading != "none"].utterances.dropna().astype(int)
    if len(sizes) < len(rows) / 2:
        return untestable(_few(len(sizes), len(rows), "the sizes of classes"), f"{expected:,}")
    right = int((sizes == expected).sum())
    reason = f"Four fifths of {whole:,} are {expected:,}; of {len(sizes)} rows with known sizes {right} add up to that."
    return Finding(counted(right, len(sizes)), f"{expected:,}", f"{right} of {len(sizes)} rows", 0, reason)
