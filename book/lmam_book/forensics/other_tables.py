"""What the paper's other tables say of one another and of the text; each function returns findings as records."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lmam_book.forensics.supports import tail
from lmam_book.paper import consistency
from lmam_book.paper import printed as paper

README = {
    "IEMOCAP": {"Happy": 42.22, "Sad": 78.98, "Neutral": 66.42, "Angry": 69.77, "Excited": 75.56, "Frustrated": 66.33},
    "MELD": {"Neutral": 77.76, "Surprise": 50.69, "Sadness": 22.93, "Joy": 54.78, "Anger": 47.82},
}
"""F1 of each class as MM-DFN's own repository prints it (zerohd4869/MM-DFN, README at commit da97036, 2022)."""
AVERAGES = {"IEMOCAP": (68.21, 68.18), "MELD": (62.49, 59.46)}
"""Accuracy and weighted F1 from the same place."""


Record = dict[str, object]
"""One row of a table of findings."""


def finding(
    table: int,
    dataset: str,
    row: str,
    kind: str,
    text: str,
    tolerance: str,
    refuted_by: str,
    column: str = "",
    chance: float = np.nan,
    coincidence: float = np.nan,
) -> Record:
    """One finding as a record, with the columns of `whole_paper.findings`; `table` is 0 for none in particular."""
    place = {"table": table, "dataset": dataset, "row": row, "column": column}
    rates = {"chance": chance, "coincidence": coincidence}
    return place | {"kind": kind, "finding": text, "tolerance": tolerance, "refuted_by": refuted_by} | rates


def rounding_of_changes(units: float, draws: int = 200_000, seed: int = 0) -> float:
    """By simulation, the share of changes so many units or more off their cells because they were taken unrounded."""
    a, b = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, draws))  # what rounding took from either cell, in units
    return float((np.abs(np.round(b - a)) >= units - 1e-6).mean())


def deltas() -> Iterator[Record]:
    """Printed changes that do not follow from the printed cells, and the base of bc-LSTM's."""
    changes = consistency.audit_deltas()
    for d in changes[~changes["agrees"]].to_dict("records"):
        off = d["printed"] - d["recomputed"]
        text = f"{d['row']}, {d['column']} {d['metric']}: {d['printed']:.2f} is printed, the cells differ by "
        text += f"{d['recomputed']:.2f}."
        other = "cells from before rounding" if abs(off) < 0.0101 else "a correction of either cell"
        column, chance = f"{d['column']} {d['metric']}", rounding_of_changes(100 * abs(off))  # all have two decimals
        place = (d["table"], d["dataset"], d["row"])
        yield finding(*place, "change", text, "half a unit of the printed change", other, column, chance)
    bc = changes[(changes["row"] == "bc-LSTM delta") & (changes["agrees_with"] != "bc-LSTM+Att")]
    cells = ", ".join(f"{c} {m}" for c, m in bc[["column", "metric"]].itertuples(index=False))
    text = f"bc-LSTM's changes are against bc-LSTM+Att in all tables, but for {cells} of Table II, which are against "
    text += "plain bc-LSTM."
    other = "a statement of the base for each change"
    yield finding(2, "IEMOCAP", "bc-LSTM delta", "change", text, "half a unit", other)


def across() -> Iterator[Record]:
    """Numbers that stand in two places and differ."""
    pairs = consistency.audit_cross_table()
    other = "a statement that the two places report different runs"
    for d in pairs[~pairs["agrees"]].to_dict("records"):
        number = paper.ROMAN.index(d["place"].removeprefix("Table ")) + 1
        text = f"{d['method']}, {d['metric']}: {d['value']:g} in {d['place']}, {d['other_value']:g} in "
        text += f"{d['other_place']}."
        tolerance = "half a unit of the coarser number"
        yield finding(number, d["dataset"], d["method"], "two places", text, tolerance, other, d["metric"])


def grid(number: int, dataset: str, totals: dict[str, int]) -> Iterator[Record]:
    """How many overall accuracies of a table are whole numbers out of so many utterances."""
    cells = paper.table(number)
    cells = cells[(cells["dataset"] == dataset) & (cells["metric"].isin(["Acc", "Acc-2", "Acc-7"]))]
    cells = cells[cells["column"].isin([paper.AVERAGE, "overall"]) & ~cells["row"].str.endswith(paper.DELTA)]
    cells = cells.drop_duplicates("value").dropna(subset="number")
    for name, n in totals.items():
        places = len(cells["value"].iloc[0].split(".")[1])
        units = np.round(cells["number"] * 10**places).astype(int).to_numpy()
        hit = np.array([_share(u, n, places) for u in units])
        rate = len({round(100 * k / n, places) for k in range(n + 1)}) / (100 * 10**places + 1)
        text = f"{hit.sum()} of {len(hit)} different accuracies are whole numbers out of {n:,} ({name}); of "
        text += f"arbitrary numbers {100 * min(rate, 1):.0f} % are."
        text += " The test has no power here." if rate > 0.9 else ""
        other = "another number of test utterances, or means over runs"
        rates = float(hit.all()), tail(np.full(len(hit), min(rate, 1.0)), int(hit.sum()))
        yield finding(number, dataset, "", "accuracies", text, "half a unit of the last digit", other, "Acc", *rates)


def p_values() -> Iterator[Record]:
    """What Tables VII and VIII say beside the F1 of Tables II and III, for a paired t-test over five runs."""
    from lmam_book.paper.p_values import RUNS, TABLES, printed  # brings a statistics library that takes a second

    entries = printed()
    for r in entries[entries["gain"] == 0].to_dict("records"):
        main = paper.ROMAN[TABLES[r["table"]][0] - 1]
        text = f"{r['row']}, {r['class']}: p = {r['p']:.2g}, where Table {main} prints the same F1 with LMAM and "
        place = (r["table"], r["dataset"].upper(), r["row"])
        other = "five F1 of either side whose means differ and print as these"
        yield finding(*place, "p-value", f"{text}without.", "none", other, r["class"])
    for number, part in entries[entries["gain"] != 0].groupby("table"):
        narrow = (part["spread"] < part["one_utterance"] / RUNS**0.5).sum()
        text = f"In {narrow} of {len(part)} entries p and the printed change of F1 imply a standard deviation of the "
        text += "five differences below that of four equal ones and one that is off by a single prediction."
        tolerance = "df = 4, two-sided; as many predictions as utterances of the class"
        other = "the F1 of the five runs, or a test over other units than runs"
        yield finding(number, part["dataset"].iloc[0].upper(), "", "p-value", text, tolerance, other)


def sizes() -> Iterator[Record]:
    """Parameters of Table VI beside those of Table XII."""
    plain, starred = ({r: paper.cell(6, r + s, "overall", "params_M") for r in _backbones()} for s in ("", "*"))
    added = {r: round(starred[r] - plain[r], 2) for r in plain}
    text = f"LMAM adds {' or '.join(f'{v:.2f}' for v in sorted(set(added.values())))} M parameters to each of "
    text += f"{len(added)} backbones."
    tolerance = "half a unit of the last digit"
    other = "a layer list in which no size depends on the features or on the backbone"
    yield finding(6, "all", "", "sizes", text, tolerance, other, "params_M")
    attention = paper.cell(6, "bc-LSTM+Att", "overall", "params_M") - plain["bc-LSTM"]
    printed = paper.cell(12, "Self-attention", "overall", "params_M")
    text = f"Self-attention adds {attention:.2f} M parameters to bc-LSTM in Table VI and holds {printed:.2f} M in "
    text += "Table XII."
    other = "a statement that the two are different modules"
    yield finding(12, "all", "Self-attention", "sizes", text, tolerance, other, "params_M")


def test_set(total: int) -> Iterator[Record]:
    """The number of test utterances of IEMOCAP: printed, found, and what the split of Sec. V-A would leave."""
    printed = int(paper.cell(1, "test", "utterances", "count", "IEMOCAP"))
    text = f"Table I prints {printed:,} test utterances; the supports behind most rows of Table II with LMAM add "
    text += f"up to {total:,}; the 8:2 split of the test set in Sec. V-A would leave {round(0.8 * printed):,}."
    other = "supports of the printed total that serve as many pairs"
    yield finding(1, "IEMOCAP", "test", "test set", text, "none, whole numbers", other, "utterances")


def earlier() -> Iterator[Record]:
    """Which rows equal numbers published before, where these are available."""
    for number, dataset in ((2, "IEMOCAP"), (3, "MELD")):
        ours = {c: paper.cell(number, "MM-DFN", c, "F1", dataset) for c in README[dataset]}
        same = [c for c, v in README[dataset].items() if v == ours[c]]
        average = [paper.cell(number, "MM-DFN", paper.AVERAGE, m, dataset) for m in ("Acc", "F1")]
        other = "; ".join(f"{c} {ours[c]:.2f} and {v:.2f} there" for c, v in README[dataset].items() if c not in same)
        text = f"MM-DFN: {len(same)} of {len(ours)} F1 equal those of MM-DFN's own repository"
        text += f"; {other}" if other else ""
        text += "; averages {:.2f} and {:.2f}, {:.2f} and {:.2f} there.".format(*average, *AVERAGES[dataset])
        other = "runs of the paper's own that print the same digits"
        chance = tail(np.full(len(ours), 0.01), len(same))  # within half a point, a hundred numbers
        place = (number, dataset, "MM-DFN", "published before")
        yield finding(*place, text, "none, digit for digit", other, "F1", coincidence=chance)
    text = "Whether other rows equal earlier publications is not testable here: their tables are not available in a "
    text += "form that can be cited."
    other = "the tables of the publications that the rows cite"
    yield finding(0, "all", "", "published before", text, "", other)


def _backbones() -> list[str]:
    return [r.removesuffix("*") for r in paper.table(6)["row"].unique() if r.endswith("*")]


def _share(units: int, n: int, places: int) -> bool:
    """Whether some k / n prints as `units` of the last digit."""
    whole = 200 * 10**places
    return -((-(2 * units - 1) * n) // whole) <= (2 * units + 1) * n // whole
