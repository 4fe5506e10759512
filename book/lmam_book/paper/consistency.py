"""Checks of one printed number of the LMAM paper against another."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from lmam_book.paper.printed import AVERAGE, DELTA, KEY, LOWER_IS_BETTER, ROMAN, TEST_SUPPORT, statements, table
from lmam_core.errors import LmamError

if TYPE_CHECKING:
    import pandas as pd


Record = dict[str, object]

# Rows that the text states to be EmoCaps with LMAM on all three modalities, under the name that Table II gives it.
SAME_SYSTEM = {(9, "LMAM"): "EmoCaps*", (10, "T+A+V"): "EmoCaps*"}


def audit_deltas() -> pd.DataFrame:
    """Every printed change in Tables II, III and IV beside what the printed cells of its rows give, one row each.

    change = with LMAM - base, or base - with LMAM for MAE, where lower is better and the paper's up arrow means better.
    A base is the plain backbone or its `+Att` row: `agrees_with` names each base that gives the printed change (empty
    when none does), `recomputed` is the change against `base`, the first of them or else the one that comes closest.
    """
    import pandas as pd

    return pd.DataFrame([record for number in (2, 3, 4) for record in _deltas(number)])


def audit_averages() -> pd.DataFrame:
    """The weighted averages of Tables II and III beside sum_c n_c x_c / sum_c n_c, n_c from `TEST_SUPPORT`.

    With x_c the recall of class c this is the accuracy, with x_c its F1 the weighted F1. Values are in percent. A row
    agrees when the difference is at most 0.01: half a printed unit for the classes and half a unit for the average.
    """
    import pandas as pd

    return pd.DataFrame([record for number in (2, 3) for record in _averages(number)])


@cache
def audit_cross_table() -> pd.DataFrame:
    """One row per pair of places that print a number for the same method, dataset and metric.

    The first place in reading order is compared with each later one, and each text statement with the cells that its
    `refers_to` names. `LMAM` of Table IX and `T+A+V` of Table X are `EmoCaps*`; Table XI prints each name with *
    without and with (R), and both are compared. Agreement is to the coarser of the two printed precisions. Computed
    once per process; copy before changing it.
    """
    import pandas as pd

    records = []
    for (method, dataset, metric), group in _systems().groupby(["method", "dataset", "metric"], sort=False):
        first, *later = group.itertuples()
        what = {"method": method, "dataset": dataset, "metric": metric}
        records += [what | _compare(first.place, first.value, other.place, other.value) for other in later]
    return pd.DataFrame(records + _text_comparisons())


def _printed(number: int) -> dict[tuple[str, ...], str]:
    """Map (dataset, row, column, metric) to the printed value."""
    cells = table(number)
    return dict(zip(cells[KEY].itertuples(index=False, name=None), cells["value"], strict=True))


def _half_unit(*values: str) -> Decimal:
    """Return half a unit in the last place of the most coarsely printed value."""
    return max(Decimal(5).scaleb(int(Decimal(value).as_tuple().exponent) - 1) for value in values)


def _deltas(number: int) -> list[Record]:
    """Return one record for each change that a table prints."""
    printed = _printed(number)
    rows = list(dict.fromkeys(row for _, row, _, _ in printed))
    records = []
    for (dataset, row, column, metric), value in printed.items():
        if not row.endswith(DELTA):
            continue
        backbone = row.removesuffix(DELTA)
        changes = {}
        for base in (r for r in rows if r == backbone or r.startswith(f"{backbone}+")):
            change = Decimal(printed[dataset, f"{backbone}*", column, metric])
            change -= Decimal(printed[dataset, base, column, metric])
            changes[base] = -change if metric in LOWER_IS_BETTER else change
        agreeing = [b for b, change in changes.items() if abs(change - Decimal(value)) <= _half_unit(value)]
        nearest = min(changes, key=lambda b: abs(changes[b] - Decimal(value)))
        base = agreeing[0] if agreeing else nearest
        record = {"table": number, "dataset": dataset, "row": row, "column": column, "metric": metric}
        record |= {"printed": float(value), "recomputed": float(changes[base]), "base": base}
        records.append(record | {"agrees_with": "; ".join(agreeing), "agrees": bool(agreeing)})
    return records


def _averages(number: int) -> list[Record]:
    """Return one record for each weighted average that a table prints for a method."""
    cells = table(number)
    cells = cells[~cells["row"].str.endswith(DELTA)]
    records = []
    for (dataset, row, metric), group in cells.groupby(["dataset", "row", "metric"], sort=False):
        value = group.set_index("column")["number"]
        support = TEST_SUPPORT[dataset]
        mean = sum(n * value[name] for name, n in support.items()) / sum(support.values())
        difference = value[AVERAGE] - mean
        record = {"table": number, "dataset": dataset, "row": row, "metric": metric, "printed": value[AVERAGE]}
        record |= {"recomputed": mean, "difference": difference, "agrees": bool(abs(difference) <= 0.01 + 1e-9)}
        records.append(record)
    return records


def _systems() -> pd.DataFrame:
    """Return the cells that stand for a whole system, under one name for each, with the place of each."""
    import pandas as pd

    cells = pd.concat([table(number) for number in (2, 3, 5, 6, 9, 10, 11)], ignore_index=True)
    cells = cells[cells["column"].isin([AVERAGE, "overall"]) & ~cells["row"].str.endswith(DELTA)]
    residual = cells["row"].str.endswith("(R)")
    names = [
        SAME_SYSTEM.get(pair, pair[1].removesuffix("(R)")) for pair in zip(cells["table"], cells["row"], strict=True)
    ]
    places = [f"Table {ROMAN[n - 1]}" + " (R)" * r for n, r in zip(cells["table"], residual, strict=True)]
    return cells.assign(method=names, place=places)


def _text_comparisons() -> list[Record]:
    """Compare each number of the text that points at cells with those cells."""
    records = []
    for statement in statements().itertuples():
        pointer = re.fullmatch(r"table (\d+) \| (.+) \| (.+) \| (.+) \| (.+)", statement.refers_to)
        if not pointer:
            continue
        number, (dataset, rows, column, metric) = int(pointer[1]), pointer.groups()[1:]
        what = {"method": rows, "dataset": dataset, "metric": metric}
        value = _combined(_printed(number), dataset, rows, column, metric)
        records.append(
            what | _compare(f"Table {ROMAN[number - 1]}", value, f"Sec. {statement.section}", statement.value)
        )
    return records


def _combined(printed: dict[tuple[str, ...], str], dataset: str, rows: str, column: str, metric: str) -> str:
    """Add up cells: `rows` is a row name, or names joined by ` + ` and ` - ` with a space on either side."""
    names = re.split(r" [+-] ", rows)
    signs = [1] + [1 if sign == " + " else -1 for sign in re.findall(r" [+-] ", rows)]
    try:
        values = [Decimal(printed[dataset, name, column, metric]) for name in names]
    except KeyError as missing:
        raise LmamError(f"A statement refers to {missing.args[0]}, which is no cell of its table.") from None
    return str(sum(sign * value for sign, value in zip(signs, values, strict=True)))


def _compare(place: str, value: str, other_place: str, other_value: str) -> Record:
    """Return both values, their difference (later minus earlier), and whether they agree as printed."""
    difference = Decimal(other_value) - Decimal(value)
    record = {"place": place, "value": float(value), "other_place": other_place, "other_value": float(other_value)}
    return record | {"difference": float(difference), "agrees": abs(difference) <= _half_unit(value, other_value)}
