"""The audit of every table of the LMAM paper: `findings()`, and `cells()` with a verdict for each printed cell."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd

from lmam_book.forensics import other_tables, text_claims
from lmam_book.forensics.audit import Audit, audit
from lmam_book.forensics.averages import best_weights, largest_difference, near_supports
from lmam_book.forensics.completion import completed
from lmam_book.forensics.left_out import LeftOut, iemocap_dialogues, left_out
from lmam_book.forensics.other_tables import Record, finding
from lmam_book.paper import consistency
from lmam_book.paper import printed as paper

MAIN = {"IEMOCAP": 2, "MELD": 3}
"""The two classification sets, each with its table of classes."""
COLUMNS = ["id", "table", "dataset", "row", "column", "kind", "finding", "tolerance", "refuted_by", "chance"]


def frame(dataset: str) -> pd.DataFrame:
    """Table II or III as `audit` takes it: methods by (class, metric), printed strings, without the rows of changes."""
    cells = paper.table(MAIN[dataset])
    cells = cells[~cells["row"].str.endswith(paper.DELTA)]
    return cells.set_index(["row", "column", "metric"])["value"].unstack([1, 2]).loc[list(dict.fromkeys(cells["row"]))]


@cache
def audited(dataset: str) -> Audit:
    """The audit of Table II (IEMOCAP) or III (MELD) with the supports of the public test sets; do not change it."""
    return audit(frame(dataset), paper.TEST_SUPPORT[dataset], called="public")


@cache
def findings() -> pd.DataFrame:
    """All findings on the paper's tables, one per row; `table` is 0 where a finding is on none in particular.

    Columns: id, table, dataset, row, column, kind, finding, tolerance, refuted_by, chance (the share of simulated
    correct tables of this size that show it, NaN where nothing was simulated), chance_means (the same, were cells
    means over five runs) and coincidence (the chance that arbitrary numbers fit as well). Computed once per process;
    copy before changing it.
    """
    parts = [audited(d).findings.drop(columns="id").assign(table=number, dataset=d) for d, number in MAIN.items()]
    others = pd.DataFrame([f for source in _others() for f in source])
    every = pd.concat([*parts, others], ignore_index=True).sort_values("table", kind="stable", ignore_index=True)
    number = every.groupby("table").cumcount() + 1
    roman = ["" if t == 0 else paper.ROMAN[t - 1] for t in every["table"]]
    every["id"] = [f"{r or 'text'}-{k:02d}" for r, k in zip(roman, number, strict=True)]
    text = ["row", "column", "tolerance", "refuted_by"]
    every[text] = every[text].fillna("")
    return every[[*COLUMNS, "chance_means", "coincidence"]]


@cache
def cells() -> pd.DataFrame:
    """Every printed cell of all tables with one verdict, a key of `WORDS`.

    Columns: table, dataset, row, column, metric, value, verdict. Of a cell that stands in two places, the first keeps
    the verdict of its own table, and the later one says whether they agree. Copy before changing it.
    """
    parts = [paper.table(k) for k in range(1, len(paper.ROMAN) + 1)]
    every = pd.concat(parts, ignore_index=True)[["table", *paper.KEY, "value"]]
    verdicts = {key: "not checkable" for key in every[["table", *paper.KEY]].itertuples(index=False, name=None)}
    for dataset, number in MAIN.items():
        for c in audited(dataset).cells.itertuples():
            verdicts[number, dataset, c.row, c.column, c.metric] = c.verdict
    for d in consistency.audit_deltas().itertuples():
        verdicts[d.table, d.dataset, d.row, d.column, d.metric] = _word(d.agrees)
    verdicts |= _second_places()
    for f in other_tables.p_values():
        if f.get("column"):
            verdicts[f["table"], f["dataset"], f["row"], f["column"], "p"] = "disagrees"
    return every.assign(verdict=list(verdicts.values()))


def _second_places() -> dict[tuple[object, ...], str]:
    """Verdicts on cells that repeat a cell of an earlier table: disagrees if any comparison does."""
    verdicts: dict[tuple[object, ...], str] = {}
    across = consistency.audit_cross_table()
    names = {(number, method): row for (number, row), method in consistency.SAME_SYSTEM.items()}
    for d in across[across["other_place"].str.startswith("Table")].itertuples():
        place, residual = d.other_place.removeprefix("Table ").removesuffix(" (R)"), d.other_place.endswith("(R)")
        number = paper.ROMAN.index(place) + 1
        row = names.get((number, d.method), d.method) + "(R)" * residual
        key = (number, d.dataset, row, "overall", d.metric)
        verdicts[key] = _word(d.agrees and verdicts.get(key) != "disagrees")
    return verdicts


def _others() -> Iterator[Iterator[Record]]:
    """Findings beyond the arithmetic of one table."""
    yield _readings()
    yield _elsewhere()
    yield other_tables.test_set(audited("IEMOCAP").sets[-1].total)
    yield _left_out()
    for dataset in MAIN:
        yield _weights(dataset)
        totals = {s.name + " supports": s.total for s in audited(dataset).sets}
        for number in (MAIN[dataset], 5, 9, 10, 11):
            yield other_tables.grid(number, dataset, totals)
    for dataset in ("CMU-MOSI", "POM"):
        yield other_tables.grid(4, dataset, {"Table I": int(paper.cell(1, "test", "utterances", "count", dataset))})
    yield from (other_tables.deltas(), other_tables.across(), other_tables.p_values(), other_tables.sizes())
    yield from (text_claims.statements(), other_tables.earlier())


def without_dialogues() -> LeftOut:
    """What the searched supports of Table II lack of IEMOCAP's public test set, and which dialogues have just that."""
    support = audited("IEMOCAP").sets[-1].n
    return left_out(iemocap_dialogues(list(support)), np.array(list(support.values())))


def _left_out() -> Iterator[Record]:
    """Which dialogues of the public test set, left out, leave the supports behind most rows of Table II."""
    without, sets = without_dialogues(), audited("IEMOCAP").sets
    if not without.sets:
        return
    names = "; ".join(" and ".join(dialogues) for dialogues in without.sets)
    text = f"The supports behind most rows of Table II with LMAM ({sets[-1].total:,}) are those of the public test set "
    text += f"without the dialogue {names}: its {without.missing.sum()} utterances have exactly the class sizes that "
    text += f"are missing. Of all sets of dialogues, {without.same_size} have as many utterances and "
    text += f"{len(without.sets)} has these sizes. A loader that drops an incomplete last batch would do this; whether "
    text += "one did is not known."
    place, other = (2, "IEMOCAP", "", "test set"), "predictions of the paper's own for all 31 dialogues"
    yield finding(*place, text, "none, whole numbers", other, "support", coincidence=without.chance)


def _readings() -> Iterator[Record]:
    """How many rows of a table, without LMAM and with it, read as what."""
    for dataset, number in MAIN.items():
        rows = audited(dataset).rows
        parts, starred = [], rows["row"].str.endswith("*")
        for kind, part in (("plain", rows[~starred]), ("starred", rows[starred])):
            counts = part["reading"].replace({"none": "unsettled"}).value_counts()
            parts.append(f"of {len(part)} {kind} rows " + ", ".join(f"{n} {r}" for r, n in counts.items()))
        text = f"What Acc. is by the counts that exist: {' and '.join(parts)}."
        other = "one reading with one set of supports that serves as many pairs"
        yield finding(number, dataset, "", "readings", text, "half a unit of the last digit", other, "Acc")


def _elsewhere() -> Iterator[Record]:
    """Accuracy and weighted F1 of the counts behind a row, on their own utterances, beside its (R) row of Table XI."""
    main = audited("IEMOCAP")
    for k, name in enumerate(main.table.rows):
        completion = completed(main, k)
        joined = completion.joined if completion else main.row_matrices(k)
        if joined is None or not joined.realised or f"{name}(R)" not in set(paper.table(11)["row"]):
            continue
        f1, n = main.table.f1[k] / main.table.scale, main.fit(k).supports.array
        if completion and completion.metric == "F1":
            f1[completion.column] = completion.follows
        ours = {"Acc": joined.accuracy[0], "F1": float(f1 @ n) / n.sum()}
        printed = {m: paper.cell(11, f"{name}(R)", "overall", m, "IEMOCAP") for m in ours}
        same = [m for m in ours if abs(ours[m] - printed[m]) <= 0.0101]
        text = f"{name}: the counts behind Table II's row{' (one pair completed)' if completion else ''} give accuracy "
        text += f"{ours['Acc']:.2f} and weighted F1 {ours['F1']:.2f} on their own {joined.total:,} utterances; "
        text += f"Table XI prints {printed['Acc']:.2f} and {printed['F1']:.2f} for (R), Table II "
        text += f"{main.table.average[k, 0]:.2f} and {main.table.average[k, 1]:.2f}."
        tolerance, other = "one unit of the last digit", "another set of whole numbers that prints as the row"
        chance = 0.03 ** len(same)  # three of the hundred values within half a point either way
        place = (11, "IEMOCAP", f"{name}(R)", "counts elsewhere")
        yield finding(*place, text, tolerance, other, coincidence=chance)


def _weights(dataset: str) -> Iterator[Record]:
    """With which weights the averages of a table follow from its cells."""
    main = audited(dataset)
    plain = largest_difference(main.table, np.full(len(main.table.classes), 1 / len(main.table.classes)))
    weights, least = best_weights(main.table)
    nearby = near_supports(main.table, main.sets[0])
    text = f"With any weights that add up to one, the largest difference of the averages can be {least:.4f} at least, "
    text += f"with {', '.join(f'{c} {w:.4f}' for c, w in zip(main.table.classes, weights, strict=True))}; plain "
    text += f"means miss by {plain:.2f}; "
    text += f"{len(nearby)} sets of supports within 2 utterances a class of the public ones serve every average"
    text += f", the nearest {', '.join(map(str, nearby[0]))}." if nearby else "."
    tolerance, other = "one unit of the last digit", "a statement of the weights"
    yield finding(MAIN[dataset], dataset, "", "weights", text, tolerance, other, paper.AVERAGE)


def _word(agrees: bool) -> str:
    return "agrees" if agrees else "disagrees"
