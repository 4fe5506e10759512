"""The findings of an audit, one neutral sentence per finding, with tolerance, refutation and rates of chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmam_book.forensics import simulated as synthetic
from lmam_book.forensics.completion import completed
from lmam_book.forensics.near_misses import nearness
from lmam_book.forensics.other_tables import Record
from lmam_book.forensics.supports import Supports

if TYPE_CHECKING:
    from lmam_book.forensics.audit import Audit

COLUMNS = ["id", "row", "column", "kind", "finding", "tolerance", "refuted_by", "chance", "chance_means", "coincidence"]
"""`chance` is the share of rows of simulated correct tables of this size that show the finding, `chance_means` the
same where a table prints means over five runs, `coincidence` the chance that arbitrary numbers within a point would
fit as well."""
HALF = "half a unit of the last digit"
OTHER = "supports or a reading under which the pairs exist, or the statement that cells are means over runs"


def sentences(audit: Audit) -> pd.DataFrame:
    """All findings on the table, rows in printed order, supports and averages last."""
    records: list[Record] = []
    close = nearness(audit)
    for row, name in enumerate(audit.table.rows):
        fit = audit.fits[row]
        if fit is None or not audit.sets:
            continue
        records.append(_reading(audit, row, name))
        if fit.named:
            records += _counts(audit, row, name)
        else:
            records += _implied(audit, name)
            records += [_near(name, *key, p) for key, p in close.get(name, {}).items() if p < 0.01]
        records += _bounds(audit, name)
    records += [_support(audit, reading) for reading in audit.searched]
    if len(audit.averages):
        records += [_averages(audit, s) for s in audit.averages["supports"].unique()]
    frame = pd.DataFrame(records).reindex(columns=COLUMNS)
    frame["id"] = [f"{k + 1:03d}" for k in range(len(frame))]
    return frame.fillna({"row": "", "column": ""})


def _reading(audit: Audit, row: int, name: str) -> Record:
    fit = audit.fit(row)
    exist = f"{fit.count} of {fit.tested} pairs"
    record = {"row": name, "tolerance": HALF, "coincidence": fit.p}
    if not fit.named:
        text = f"No reading of Acc. on the supports tried gives {name} more pairs than arbitrary numbers get; "
        text += f"{exist} at best."
        record |= {"kind": "no reading", "finding": text, "refuted_by": OTHER}
        return record | _chances(audit, row, fit.tested - fit.count)
    text = f"{name}: {exist} are whole numbers with Acc. as {fit.reading}, {_of(fit.supports)}."
    other = "another reading or other supports that serve as many pairs"
    return record | {"kind": "reading", "finding": text, "refuted_by": other}


def _counts(audit: Audit, row: int, name: str) -> list[Record]:
    """What follows from the counts of a row whose reading is named."""
    fit, joined = audit.fit(row), audit.row_matrices(row)
    records: list[Record] = []
    testable = audit.table.testable[row]
    if missing := [c for c, exist, t in zip(audit.table.classes, fit.exist, testable, strict=True) if t and not exist]:
        text = f"{name}: no whole numbers print as {' and '.join(missing)}, where the row's other pairs exist."
        record: Record = {"row": name, "column": "; ".join(missing), "kind": "impossible pair", "finding": text}
        records.append(record | {"tolerance": HALF, "refuted_by": OTHER} | _chances(audit, row, len(missing)))
        records += _completed(audit, row, name)
    if joined is None:
        return records
    low, high = joined.predictions
    many = f"{low:,}" if low == high else f"between {low:,} and {high:,}"
    exists = "a confusion matrix with these counts exists" if joined.realised else "no confusion matrix has them"
    text = f"{name}: predictions add up to {many} for {joined.total:,} utterances, and {exists}."
    record = {"row": name, "kind": "predictions", "finding": text, "tolerance": "none, whole numbers"}
    records.append(record | {"refuted_by": "another set of whole numbers that prints as the row"})
    if joined.realised:
        least, most = joined.accuracy
        is_ = f"{least:.2f}" if most - least < 0.01 else f"between {least:.2f} and {most:.2f}"
        printed = audit.table.average[row, 0]
        text = f"{name}: the accuracy that follows from the counts is {is_} %"
        text += "." if np.isnan(printed) else f"; the printed average of Acc. is {printed:.2f}."
        record = {"row": name, "kind": "accuracy", "finding": text, "tolerance": "none, whole numbers"}
        records.append(record | {"refuted_by": "another set of whole numbers that prints as the row"})
    return records


def _completed(audit: Audit, row: int, name: str) -> list[Record]:
    """What the other classes leave to the one pair without whole numbers."""
    pair = completed(audit, row)
    if pair is None:
        return []
    klass, units = (
        audit.table.classes[pair.column],
        audit.table.acc if pair.metric == "Acc" else audit.table.f1,
    )
    printed = units[row, pair.column] / audit.table.scale
    text = f"{name}: the other classes leave {pair.predictions} predictions to {klass}; with {pair.hits} hits its "
    text += f"{pair.metric} is {pair.follows:.2f}, where {printed:.2f} is printed; its other number is as printed."
    record = {"row": name, "column": klass, "kind": "completed", "finding": text, "tolerance": HALF}
    other = "another set of whole numbers that prints as the row's other pairs"
    return [record | {"refuted_by": other, "coincidence": pair.coincidence}]


def _implied(audit: Audit, name: str) -> list[Record]:
    """What the row's numbers say of the predictions, taken as real numbers; nothing where no reading gives any."""
    ratio = audit.implied[(audit.implied["row"] == name) & (audit.implied["supports"] == audit.sets[0].name)]
    ratio = ratio.set_index("reading")["ratio"].dropna()
    if ratio.empty:
        return []
    nearest = (ratio - 1).abs().idxmin()
    off = abs(ratio[nearest] - 1)
    shares = " and ".join(f"{100 * v:.1f} % as {r}" for r, v in ratio.items())
    support = tuple(map(int, audit.sets[0].array))
    rates = [synthetic.chance("implied", off, support, nearest, runs, _places(audit)) for runs in (1, 5)]
    text = f"{name}: taken as real numbers, the pairs imply this share of predictions per utterance: {shares}."
    record = {"row": name, "kind": "implied predictions", "finding": text, "chance": rates[0], "chance_means": rates[1]}
    other = "predictions that add up under another reading or support"
    return [record | {"tolerance": "half a unit in each cell", "refuted_by": other}]


def _near(name: str, supports: str, reading: str, p: float) -> Record:
    text = f"{name}: its pairs lie closer to pairs that exist as {reading} ({supports} supports) than arbitrary "
    text += "numbers do."
    record = {"row": name, "kind": "near a reading", "finding": text, "coincidence": p}
    other = "the counts of the run, if they give these very numbers"
    return record | {"tolerance": "mean distance in half units", "refuted_by": other}


def _bounds(audit: Audit, name: str) -> list[Record]:
    pairs = audit.pairs
    beyond = pairs[(pairs["row"] == name) & (pairs["verdict"] == "impossible for means")]
    return [
        {
            "row": name,
            "column": k["class"],
            "kind": "beyond every bound",
            "finding": f"{name}, {k['class']}: F1 {k['f1']:.2f} is higher than Acc. {k['acc']:.2f} allows as recall, "
            "precision or accuracy, for one classifier and for any mean over several.",
            "tolerance": "one unit of the last digit",
            "refuted_by": "a definition of Acc. other than these three",
            "chance": 0.0,
            "chance_means": 0.0,
        }
        for k in beyond.to_dict("records")
    ]


def _support(audit: Audit, reading: str) -> Record:
    classes = audit.searched[reading]
    named = classes[classes["named"]]
    record = {"kind": "supports", "tolerance": HALF, "refuted_by": "other supports that serve as many rows"}
    if named.empty:
        text = f"With Acc. as {reading}, no support serves more rows of any class than arbitrary numbers would."
        return record | {"finding": text, "coincidence": float(classes["p"].min())}
    each = ", ".join(
        f"{c} {n} ({k} of {m} rows)"
        for c, n, k, m in zip(named["class"], named["n"], named["rows"], named["of"], strict=True)
    )
    text = f"With Acc. as {reading}, one support serves several rows of a class: {each}"
    if len(named) < len(classes):
        text += "."
    elif list(named["n"]) in [list(s.n.values()) for s in audit.sets]:
        text += f", together {named['n'].sum():,} utterances."
    else:
        text += f", together {named['n'].sum():,} utterances, more than there are: no row is audited with them."
    return record | {"finding": text, "coincidence": float(named["p"].max())}


def _averages(audit: Audit, supports: str) -> Record:
    part = audit.averages[audit.averages["supports"] == supports]
    off = part["difference"].abs()
    s = next(s for s in audit.sets if s.name == supports)
    text = f"{int(part['agrees'].sum())} of {len(part)} printed averages follow from the cells, weighted by the "
    text += f"{supports} supports ({s.total:,} utterances); the largest difference is {off.max():.4f}."
    units = float(off.max()) * audit.table.scale
    support = tuple(map(int, s.array))
    rates = [synthetic.chance("off", units, support, "recall", runs, _places(audit)) for runs in (1, 5)]
    other = "weights under which more averages follow"
    record = {"kind": "averages", "finding": text, "tolerance": "one unit of the last digit", "refuted_by": other}
    return record | dict(zip(("chance", "chance_means"), rates, strict=True))


def _chances(audit: Audit, row: int, missing: int) -> Record:
    """The share of correct rows with as many impossible pairs, for single runs and for means over five."""
    fit = audit.fit(row)
    support = tuple(map(int, fit.supports.array))
    rates = [synthetic.chance("impossible", missing, support, fit.reading, runs, _places(audit)) for runs in (1, 5)]
    return dict(zip(("chance", "chance_means"), rates, strict=True))


def _of(supports: Supports) -> str:
    return f"on the {supports.name} supports of {supports.total:,} utterances"


def _places(audit: Audit) -> int:
    return len(str(audit.table.scale)) - 1
