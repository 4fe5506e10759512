"""Claims of the paper's text that printed cells decide, those that hold beside those that do not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import pairwise, product

from lmam_book.forensics.other_tables import Record, finding
from lmam_book.paper import consistency
from lmam_book.paper import printed as paper

SETS = tuple(product(("IEMOCAP", "MELD"), ("Acc", "F1")))
ORDERS = (("T", "A", "V"), ("T+A", "T+V", "V+A"), ("T+A+V", "T+A"))
"""Sec. V-F's orders of modalities, each better than the next."""


def statements() -> Iterator[Record]:
    """Findings on claims of the text: how many of the cells that a claim is about bear it out, and which do not."""
    yield from (_improves(), *_fusion(), _equal_parameters(), _significant(), _orders(), _residual(), _third(), _rank())


def _improves() -> Record:
    changes = [d for d in consistency.audit_deltas().to_dict("records") if d["column"] in (paper.AVERAGE, "overall")]
    rows = {(d["row"], d["dataset"], d["metric"]): d["printed"] for d in changes}
    below = [f"{r.removesuffix(paper.DELTA)} {d} {m} {x:+g}" for (r, d, m), x in rows.items() if x <= 0]
    return _claim(4, "all", "Sec. V-B: LMAM improves all seven backbones on all four datasets", rows, below)


def _fusion() -> Iterator[Record]:
    for dataset, metric in SETS:
        cells = paper.table(9)
        cells = cells[(cells["dataset"] == dataset) & (cells["metric"] == metric)].set_index("row")["number"]
        others = cells.drop("LMAM")
        above = [f"{r} {v:g} beside {cells['LMAM']:g}" for r, v in others.items() if v >= cells["LMAM"]]
        yield _claim(9, dataset, f"Sec. V-E: LMAM is the best fusion method on {dataset} ({metric})", others, above)


def _equal_parameters() -> Record:
    rows = [r.removesuffix("*") for r in paper.table(5)["row"].unique() if r.endswith("*")]
    every = list(product(rows, SETS))
    cell = _overall(5)
    below = [f"{r} {' '.join(s)}" for r, s in every if cell(f"{r}*", s) <= cell(f"{r}◇", s)]
    return _claim(5, "all", "Sec. V-B: LMAM beats a backbone with as many parameters", every, below)


def _significant() -> Record:
    every = [c for number in (7, 8) for c in paper.table(number).itertuples()]
    above = [f"{c.row} {c.column} {c.value}" for c in every if c.number >= 0.05]
    return _claim(7, "all", "Sec. V-D: every p is below 0.05", every, above)


def _orders() -> Record:
    every = [(pair, s) for order in ORDERS for pair in pairwise(order) for s in SETS]
    cell = _overall(10)
    below = [f"{a} and {b}, {' '.join(s)}" for (a, b), s in every if cell(a, s) <= cell(b, s)]
    return _claim(10, "all", "Sec. V-F: the order of modalities and their pairs", every, below)


def _residual() -> Record:
    rows = [r for r in paper.table(11)["row"].unique() if not r.endswith("(R)")]
    every = list(product(rows, SETS))
    cell = _overall(11)
    below = [f"{r} {' '.join(s)}" for r, s in every if cell(f"{r}(R)", s) <= cell(r, s)]
    return _claim(11, "all", "Sec. V-F: a residual is better than none", every, below)


def _third() -> Record:
    lmam, attention = (paper.cell(12, r, "overall", "params_M") for r in ("LMAM", "Self-attention"))
    beyond = [] if lmam <= attention / 3 else [f"{lmam:g} M and {attention:g} M"]
    return _claim(12, "unstated", "Sec. I: LMAM has at most a third of self-attention's parameters", [lmam], beyond)


def _rank() -> Record:
    values = paper.statements().set_index("id")["value"]
    sentence, caption = (values[f"unstable_above_rank_{k}"] for k in ("text", "caption"))
    text = f"Sec. V-H: training is unstable above rank {sentence}; the caption of Fig. 5 says above rank {caption}."
    return _claim(0, "IEMOCAP", "", [], []) | {"finding": text}


def _overall(number: int) -> Callable[[str, tuple[str, str]], float]:
    """The overall cell of a row of a table, by dataset and metric."""
    return lambda row, place: paper.cell(number, row, "overall", place[1], place[0])


def _claim(number: int, dataset: str, claim: str, every: Collection[object], against: list[str]) -> Record:
    """`every` is what the claim is about, `against` what does not bear it out."""
    text = f"{claim}: {len(every) - len(against)} of {len(every)} printed cells bear it out"
    text += f"; not so {'; '.join(against)}." if against else "."
    return finding(number, dataset, "", "claim of the text", text, "as printed", "a correction of text or cells")
