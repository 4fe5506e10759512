"""What the pages and committed tables say of the claims, written by code from the store: `make verdicts`.

`written(store)` is the text that each file should have; `lmam verify` and a test fail when one says anything else.
"""

from __future__ import annotations

import io
import re
import textwrap
from pathlib import Path

import pandas as pd

from lmam_book.paper.printed import ROMAN
from lmam_book.verdicts.claims import judge
from lmam_book.verdicts.headline import cells, page
from lmam_book.verdicts.intervals import VERDICTS
from lmam_core import paths
from lmam_core.runs.store import Store

FRONT = ("README.md", "book/index.md")
"""Pages with one row a family of claims between the two comments of `BLOCK`."""
FULL = "book/scoreboard.md"
"""The page with every claim."""
HEADLINE = "book/headline.md"
"""The page of the second protocol."""
TABLE = "data/scoreboard.csv"
"""Every claim as `claims.judge` gives it."""
BLOCK = re.compile(r"(<!-- verdicts:begin -->\n).*?(<!-- verdicts:end -->)", re.S)
"""What stands between the two comments belongs to this module."""


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each family got each verdict, families in the order of the file."""
    table = found.groupby("family", sort=False).verdict.value_counts().unstack(fill_value=0)
    return table.reindex(index=found.family.unique(), columns=VERDICTS, fill_value=0)


def summary(found: pd.DataFrame) -> str:
    """One row a family and one for all, as a Markdown table; cells without a claim stay empty."""
    lines = [f"| claim | {' | '.join(VERDICTS)} |", "|---|" + "---:|" * len(VERDICTS)]
    for family, row in counts(found).iterrows():
        lines.append(f"| {family} ({_places(found[found.family == family])}) | {_cells(row)} |")
    total = counts(found).sum()
    lines.append(f"| **All {len(found)} claims** | {_cells(total, '**')} |")
    if found.open.any():
        lines += ["", textwrap.fill(_open(found), 118)]
    return "\n".join(lines)


def _open(found: pd.DataFrame) -> str:
    """What *not reproduced* does not mean."""
    refused = found.verdict == "not reproduced"
    gains = refused & found.ours.str.contains("±") & found.paper.str.startswith("+")
    text = f"Of the {int(refused.sum())} claims that are *not reproduced*, {int(gains.sum())} are about a printed gain "
    text += (
        f"that our runs do not show. In {int(found.open.sum())} of these they do not exclude it either: the interval "
    )
    return text + "holds the printed gain as well as 0."


def _cells(row: pd.Series, around: str = "") -> str:
    return " | ".join(f"{around}{row[word]}{around}" if row[word] else "" for word in VERDICTS)


def _places(rows: pd.DataFrame) -> str:
    """The tables and figures of a family, each once, and the abstract; "text" for sections where there are neither."""
    said = " ".join(rows["where"])
    numerals = dict.fromkeys(
        n for found in re.findall(r"Tables? ([IVX, and]+)", said) for n in re.findall("[IVX]+", found)
    )
    tables = f"Table{'s' * (len(numerals) > 1)} {', '.join(sorted(numerals, key=ROMAN.index))}" if numerals else ""
    drawn = list(dict.fromkeys(re.findall(r"Fig\. \d", said)))
    text = ["text"] * (not tables and not drawn and "Sec." in said)
    return ", ".join([tables] * bool(tables) + ["Abstract"] * ("Abstract" in said) + drawn + text)


def details(found: pd.DataFrame) -> str:
    """Every claim, family by family, as Markdown tables; verdict and reason stand with the claim, to spare width."""
    parts = [textwrap.fill(_open(found), 118), ""] if found.open.any() else []
    for family, rows in found.groupby("family", sort=False):
        parts += [f"## {family}", ""]
        parts += ["| claim, verdict and why | paper | ours | seeds |", "|---|---|---|---|"]
        for r in rows.to_dict("records"):
            badge = f'<span class="verdict verdict-{r["verdict"].replace(" ", "-")}">{r["verdict"]}</span>'
            claim = f"**{r['claim']}** ({r['where']})<br>{badge} {r['reason']}"
            cells = (claim, r["paper"], r["ours"].replace("; ", "<br>"), r["n"] or "–")
            parts.append("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |")
        parts.append("")
    return "\n".join(parts).rstrip()


def csv(found: pd.DataFrame) -> str:
    """The committed table."""
    text = io.StringIO()
    found.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def written(store: Store) -> dict[Path, str]:
    """The text that each page and committed table should have."""
    root, found = paths.checkout(), judge(store)
    tables = dict.fromkeys(FRONT, summary(found)) | {FULL: details(found), HEADLINE: page(cells(store))}
    texts = {root / TABLE: csv(found)}
    for name, table in tables.items():
        text = (root / name).read_text(encoding="utf-8")
        # A function, because backslashes in a replacement string would be read as escapes.
        texts[root / name] = BLOCK.sub(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text)
    return texts


if __name__ == "__main__":
    for path, text in written(Store()).items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(paths.checkout())} holds the verdicts of the store.")
