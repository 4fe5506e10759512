"""The scoreboard as a table that can be sorted and filtered: one anchor per claim, links to chapter, runs and rule."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import yaml

from lmam_book.verdicts.claims import RULES, Claim, read
from lmam_book.verdicts.headline import DATASETS
from lmam_book.verdicts.rule import slug

PAGE = "book/scoreboard.md"
BLOCK = re.compile(r"^## .*(?=<!-- verdicts:end -->)", re.S | re.M)
"""What the built page has a table for: the claims, family by family."""
CHAPTERS = {
    "LMAM improves every backbone": "backbones-compared",
    "LMAM is better than self-attention in bc-LSTM": "bc-lstm",
    "LMAM fits any backbone": "backbones-compared",
    "Early fusion is better with a residual": "embedding-ways",
    "The gain is not from more parameters": "equal-parameters",
    "LMAM is the best way to fuse": "fusion-methods",
    "More modalities, and text first": "modalities",
    "LMAM needs few parameters and operations": "cost",
    "A rank of 45 is best": "rank",
    "Every class differs significantly": "significance",
    "The printed numbers agree with each other": "forensic-audit",
    "Statements without a measurement": "deriving-lmam",
    "LMCM surpasses earlier models": "lmcm",
}
"""How the name of the chapter on a family of claims ends; one that does not exist is not linked."""


def page(root: Path) -> str:
    """All claims as one table, each row with its anchor."""
    claims = {claim.id: claim for claim in read()}
    settings = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    code = f"{settings['url']}/blob/{settings['branch']}/"
    chapters = [path.stem for path in sorted((root / "notebooks").glob("*.ipynb"))]
    verdicts = pd.read_csv(root / "data" / "scoreboard.csv", keep_default_na=False)
    rows = [_row(row, claims[row["id"]], chapters, code) for row in verdicts.to_dict("records") if row["id"] in claims]
    titles = ("claim, verdict and why", "paper", "ours", "seeds", "more")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    caption = f"{len(rows)} claims. A link to a row: its address with the row's name, as in #{verdicts.id[0]}."
    return (
        f'<div id="lmam-scoreboard" class="lmam-touch"><div class="lmam-table-box"><table class="lmam-scoreboard">'
        f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></div>\n"
        '<script defer src="../_static/scoreboard.js"></script>'
    )


def _row(row: Mapping[str, str], claim: Claim, chapters: list[str], code: str) -> str:
    shown = {name: re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(str(value))) for name, value in row.items()}
    word, dataset = shown["verdict"], claim.arguments.get("dataset", "").lower()
    badge = f'<span class="verdict verdict-{slug(word)}">{word}</span>'
    first = (
        f'<a class="lmam-anchor" href="#{shown["id"]}" aria-label="link to this claim">#</a> <b>{shown["claim"]}</b> '
        f"({shown['where']})<br>{badge} {shown['reason']}{' First protocol.' * (shown['protocol'] == '1')}"
    )
    ours = shown["ours"].replace("; ", "<br>")
    values = {"paper": shown["paper"], "ours": ours, "seeds": shown["n"] if shown["n"] != "0" else "–"}
    links = _links(claim, shown["protocol"], chapters, code)
    cells = "".join(f'<td data-label="{name}">{value}</td>' for name, value in values.items())
    return (
        f'<tr id="{shown["id"]}" data-word="{word}" data-family="{shown["family"]}" '
        f'data-dataset="{DATASETS.get(dataset, dataset.upper() or "none")}">'
        f'<th scope="row">{first}</th>{cells}<td data-label="more">{links}</td></tr>'
    )


def _links(claim: Claim, protocol: str, chapters: list[str], code: str) -> str:
    links = []
    if stem := chapter(claim, chapters):
        links.append(f'<a href="../notebooks/{stem}.html">chapter</a>')
    if runs := view(claim, protocol):
        links.append(f'<a href="explore.html#{html.escape(runs)}">runs</a>')
    rule = RULES[claim.rule]
    path = f"book/{rule.__module__.replace('.', '/')}.py"
    path = path.replace(".py", "/__init__.py") if rule.__module__.endswith("claims") else path
    line = inspect.getsourcelines(rule)[1]
    text = html.escape(" ".join((inspect.getdoc(rule) or "").split()))
    links.append(f'<details><summary>rule</summary>{text} <a href="{code}{path}#L{line}">Its code</a>.</details>')
    return "<br>".join(links)


def chapter(claim: Claim, chapters: list[str]) -> str | None:
    """The chapter on a claim: its backbone's own where it is about one, else that of its family."""
    endings = [CHAPTERS.get(claim.family, " ")]
    if claim.family == "LMAM improves every backbone" and (backbone := claim.arguments.get("backbone")):
        endings.insert(0, backbone.replace("_", "-"))
    return next((stem for end in endings for stem in chapters if stem.endswith(f"-{end}")), None)


def view(claim: Claim, protocol: str) -> str | None:
    """The explorer's address of a claim's runs; None where it is about none that the book has."""
    dataset = claim.arguments.get("dataset", "")
    if dataset not in DATASETS:
        return None
    query = {"data": dataset, "backbone": claim.arguments.get("backbone", "bc_lstm")}
    return urlencode(query | ({"protocol": "protocol1"} if protocol == "1" else {}))
