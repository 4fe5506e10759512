"""What the comparing chapters show beside their `Cells`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML

from lmam_book.pages import style as reporting
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts.cells import Cells
from lmam_book.verdicts.intervals import interval


def counts(verdicts: pd.Series) -> str:
    """`2 reproduced, 5 not reproduced`, as badges."""
    found: Mapping[str, int] = verdicts.value_counts().to_dict()
    return ", ".join(f"{n} {reporting.badge(word)}" for word, n in found.items())


def accuracy(some: Iterable[Cells], dataset: str) -> HTML:
    """The accuracies that the paper prints beside F1, and ours, folded away; nothing where it prints none."""
    rows = []
    for cells in some:
        found = plugin.values(cells.frame, dataset, "accuracy") if cells.runs else {}
        for arm in cells.arms(dataset):
            number, ours = cells.printed(arm, dataset, "accuracy"), interval(list(found.get(arm, {}).values()))
            if np.isfinite(number):
                row = {"comparison": cells.where, "arm": arm, "n": ours.n, "paper": str(number)}
                rows.append(row | {"ours": plugin.spread(ours, 1) if ours.n else "–"})
    if not rows:
        return HTML("")
    found = pd.DataFrame(rows)
    if found.comparison.nunique() == 1:
        found = found.drop(columns="comparison")
    shown = reporting.table(found, f"{dataset}, {plugin.TITLES['accuracy']}, 95 % intervals of the mean")
    return HTML(f"<details><summary>Accuracy, which the paper's table prints as well</summary>{shown.data}</details>")


def progress(some: Iterable[Cells], datasets: Sequence[str]) -> HTML:
    """What comparisons still lack, folded away: `Cells.missing` of each that lacks seeds, one sentence for the rest."""
    every = [(cells, dataset) for cells in some for dataset in datasets]
    said = [cells.missing(dataset).data for cells, dataset in every if cells.lacking(dataset)]
    full = ", ".join(f"{cells.where} on {dataset}" for cells, dataset in every if not cells.lacking(dataset))
    said += [f"<p>At least five seeds in every cell: {full}.</p>"] if full else []
    return HTML(f"<details><summary>How far the runs are</summary>{''.join(said)}</details>")
