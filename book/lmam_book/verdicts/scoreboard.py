"""What the pages and committed tables say of the claims, as Markdown and CSV; `build.generated` puts it there."""

from __future__ import annotations

import io

import pandas as pd

from lmam_book.verdicts.claims import KINDS, WORDS_OF
from lmam_book.verdicts.rule import DOES_NOT_HOLD, HOLDS, IN_PART, NOT_TESTABLE, TOO_FEW, slug

PLURAL = {HOLDS: "hold", IN_PART: "hold in part", DOES_NOT_HOLD: "do not hold"}
TITLES = {
    "measured": "Measured in trained models",
    "counted": "Counted in models and data",
    "recomputed": "Recomputed from the paper's own numbers",
}


def tallies(claims: pd.DataFrame) -> str:
    """How many claims got which word, one row per kind, as a Markdown table.

    Measured claims that rest on the first protocol have a row of their own, as its runs are being replaced.
    """
    lines = ["| claims | how many | words |", "|---|---:|---|"]
    for kind in KINDS:
        mine = claims[claims.kind == kind]
        first = mine.protocol == 1
        lines.append(_tally(TITLES[kind], mine[~first], WORDS_OF[kind]))
        if first.any():
            lines.append(_tally("Measured in runs of the first protocol, to be replaced", mine[first], WORDS_OF[kind]))
    return "\n".join(lines)


def _tally(title: str, rows: pd.DataFrame, words: tuple[str, ...]) -> str:
    counts = {word: int((rows.verdict == word).sum()) for word in words}
    parts = (f"{n} {PLURAL.get(word, word) if n > 1 else word}" for word, n in counts.items() if n)
    return f"| {title} | {len(rows)} | {' · '.join(parts)} |"


def untested(claims: pd.DataFrame) -> str:
    """How many measured claims have no word that says anything, and why."""
    words = claims[claims.kind == "measured"].verdict
    few, none = ((words == word).sum() for word in (TOO_FEW, NOT_TESTABLE))
    return (
        f"Of {len(words)} measured claims {few} wait for runs; {none} cannot be tested: data, code or a "
        "number is missing."
    )


def details(claims: pd.DataFrame) -> str:
    """Every claim, family by family, as Markdown tables; word and reason stand with the claim, to spare width."""
    parts = []
    for family, rows in claims.groupby("family", sort=False):
        parts += [f"## {family}", ""]
        parts += ["| claim, word and why | paper | ours | seeds |", "|---|---|---|---|"]
        for r in rows.to_dict("records"):
            badge = f'<span class="verdict verdict-{slug(r["verdict"])}">{r["verdict"]}</span>'
            first = " First protocol." if r["protocol"] == 1 else ""
            claim = f"**{r['claim']}** ({r['where']})<br>{badge} {r['reason']}{first}"
            cells = (claim, r["paper"], r["ours"].replace("; ", "<br>"), r["n"] or "–")
            parts.append("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |")
        parts.append("")
    return "\n".join(parts).rstrip()


def csv(claims: pd.DataFrame) -> str:
    """The committed table."""
    text = io.StringIO()
    claims.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()
