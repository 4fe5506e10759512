"""Can this table exist? The place where a per-class table is pasted, two examples, and the paper's Table II audited.

The page's arithmetic is `book/_static/audit-arithmetic.js`, which a test compares with `lmam_book.forensics`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lmam_book.forensics import audited, frame
from lmam_book.forensics.simulated import table
from lmam_book.paper import printed as paper
from lmam_book.web.explorer import scripts

COMPARED = "scorecheck.csv"
"""What GRIM, mlscorecheck and the audit find on the paper's tables: written by `python -m tests.peers.scorecheck`."""
SIGNS = {
    "possible": "✓",
    "possible alone": "(✓)",
    "impossible": "✗",
    "impossible for means": "✗✗",
    "not checkable": "?",
}
"""How a pair's verdict is marked in a table, beside its colour."""
SCRIPTS = ("audit-arithmetic.js", "audit.js")


def page(root: Path) -> str:
    """The place of the form, holding Table II with its verdicts until a script takes it."""
    tables = json.dumps(examples(), ensure_ascii=False).replace("<", "\\u003c")
    signs = html.escape(json.dumps(SIGNS, ensure_ascii=False))
    return (
        f'<div id="lmam-audit" class="lmam-touch" data-signs="{signs}">'
        f'<div class="lmam-table-box">{_fallback()}</div></div>\n'
        f'<script type="application/json" id="audit-examples">{tables}</script>\n{scripts(SCRIPTS)}'
    )


def examples() -> list[dict[str, str]]:
    """The two tables that stand ready: title, text, supports."""
    support = paper.TEST_SUPPORT["IEMOCAP"]
    correct, _ = table(support, "recall", 5)
    return [
        {"title": "Table II of the LMAM paper", "text": text(frame("IEMOCAP")), "supports": listed(support)},
        {"title": "A correct table (generated)", "text": text(correct), "supports": listed(support)},
    ]


def text(cells: pd.DataFrame) -> str:
    """A table as it is copied from a paper, with tabs between its cells."""
    head = ["method", *(f"{name} {metric}" for name, metric in cells.columns)]
    return "\n".join("\t".join(line) for line in [head, *([str(r), *map(str, cells.loc[r])] for r in cells.index)])


def listed(support: Mapping[str, int]) -> str:
    """Supports as the form takes them: `Happy 144, Sad 245`."""
    return ", ".join(f"{name} {n}" for name, n in support.items())


def _fallback() -> str:
    audit = audited("IEMOCAP")
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in ("method", *audit.table.classes, "Acc. is"))
    rows = []
    for name, reading in zip(audit.rows.row, audit.rows.reading, strict=True):
        mine = audit.pairs[audit.pairs.row == name]
        cells = "".join(
            f'<td class="lmam-{v.replace(" ", "-")}">{a:.2f} {f:.2f} {SIGNS[v]}</td>'
            for a, f, v in zip(mine.acc, mine.f1, mine.verdict, strict=True)
        )
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}<td>{reading}</td></tr>')
    legend = "; ".join(f"{sign} {word}" for word, sign in SIGNS.items())
    caption = f"Table II of the LMAM paper, Acc. and F1 of each class. {legend}."
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def side_by_side(root: Path) -> str:
    """One row per tool: what it is told, and how many pairs of Tables II and III it finds possible."""
    rows = pd.read_csv(root / "data" / COMPARED)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row.tool)}</th><td>{html.escape(row.given)}</td>'
        f"<td>{row.iemocap} of {row.iemocap_pairs}</td><td>{row.meld} of {row.meld_pairs}</td></tr>"
        for row in rows.itertuples()
    )
    titles = ("tool", "what it is told", "Table II, pairs that can exist", "Table III, pairs that can exist")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    caption = "The same printed pairs in three tools, with the supports of the public test sets."
    return (
        f'<div class="lmam-table-box"><table class="table"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
