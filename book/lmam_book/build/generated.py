"""What code writes into committed pages, tables and the front page's figure: `make verdicts`.

`generated_texts(store)` is the text that each file should have; `lmam verify` and a test fail when one differs.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from lmam_book.pages.figures import headline as figure
from lmam_book.pages.style import style
from lmam_book.verdicts import headline, scoreboard
from lmam_book.verdicts.claims import judge
from lmam_book.verdicts.findings import Link, findings
from lmam_book.verdicts.headline import DATASETS, Cell
from lmam_core import paths
from lmam_core.runs import names
from lmam_core.runs.store import Store

FRONT = ("README.md", "book/index.md")
"""Pages that open with the answer."""
FULL = "book/scoreboard.md"
"""The page with every claim."""
HEADLINE = "book/headline.md"
"""The page of the gains of all backbones."""
TABLE = "data/scoreboard.csv"
"""Every claim as `claims.judge` gives it."""
FIGURE = "book/_static/forest.svg"
BEGIN, END = "<!-- verdicts:begin -->\n", "<!-- verdicts:end -->"
BLOCK = re.compile(f"({BEGIN}).*?({END})", re.S)
"""What stands between the two comments belongs to this module."""


def front(claims: pd.DataFrame, cells: Sequence[Cell], links: Sequence[Link], address: Callable[[str], str]) -> str:
    """The front page's answer, figure, findings and what waits; `address` makes a page's path a link."""
    picture = f"![{alternative(cells)}]({address(FIGURE)})"
    parts = [headline.answer(cells), picture]
    if pooled := headline.pooled_sentences(cells):
        parts.append(pooled)
    parts.append("\n".join(f"- {_linked(link.text, address(link.page))}" for link in links))
    parts.append(scoreboard.untested(claims))
    return "\n\n".join(parts)


def _linked(text: str, where: str) -> str:
    """The bold part of a sentence as a link."""
    before, bold, after = text.split("**")
    return f"{before}[**{bold}**]({where}){after}"


def alternative(cells: Sequence[Cell]) -> str:
    """The figure in words, for who cannot see it."""
    rows = headline.table(cells)
    sentences = ["Gains with LMAM, ours beside the paper's."]
    for dataset, ready in rows[rows.seeds > 0].groupby("dataset", sort=False):
        gains = [
            f"{names.title(row['backbone'])} {row['gain']:+.1f}, reported {row['reported gain']:+.1f}"
            for row in ready.to_dict("records")
        ]
        sentences.append(f"{DATASETS[dataset]}: {'; '.join(gains)}.")
    return " ".join(sentences)


def figure_svg(cells: Sequence[Cell]) -> str:
    """The figure as SVG, with the digest of what it shows in a comment: fonts differ between machines, facts do not."""
    style()
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 11}):
        text = io.StringIO()
        figure.forest(cells).savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return f"{text.getvalue().rstrip()}\n{digest_comment(cells)}\n"


def digest_comment(cells: Sequence[Cell]) -> str:
    """The comment that says which numbers a figure shows."""
    digest = hashlib.sha256(headline.table(cells).to_csv(index=False, float_format="%.4f").encode()).hexdigest()
    return f"<!-- shows {digest[:16]} -->"


def generated_texts(store: Store) -> dict[Path, str]:
    """The text that each page and committed table should have."""
    root, claims, cells = paths.checkout(), judge(store), headline.cells(store)
    links = list(findings(store))
    blocks = {FULL: f"{scoreboard.tallies(claims)}\n\n{scoreboard.details(claims)}"}
    blocks[HEADLINE] = headline.page(cells, headline.arms(store), headline.context_or_fusion(store))
    blocks |= {name: front(claims, cells, links, _address(name, root)) for name in FRONT}
    texts = {root / TABLE: scoreboard.csv(claims)}
    for name, block in blocks.items():
        text = (root / name).read_text(encoding="utf-8")
        texts[root / name] = "".join(_with(block, text))
    return texts


def _with(block: str, text: str) -> Iterator[str]:
    """A page with another text between the two comments."""
    before, begin, rest = text.partition(BEGIN)
    yield from (before, begin, block, "\n", END, rest.partition(END)[2])


def figure_in_step(store: Store) -> bool:
    """Whether the committed figure shows what the store holds."""
    path = paths.checkout() / FIGURE
    return path.is_file() and digest_comment(headline.cells(store)) in path.read_text(encoding="utf-8")


def _address(page: str, root: Path) -> Callable[[str], str]:
    """How a page links to a file of the repository, given from its root; chapters and pages without their ending."""

    def address(target: str) -> str:
        up = "../" * page.count("/")
        ending = "" if (root / target).suffix in (".svg", ".md") else ".ipynb"
        return f"{up}{target}{ending}".replace(f"{up}book/", "") if up else f"{target}{ending}"

    return address


def main() -> None:
    """Write what differs."""
    store = Store()
    for path, text in generated_texts(store).items():
        path.write_text(text, encoding="utf-8")
    if not figure_in_step(store):
        (paths.checkout() / FIGURE).write_text(figure_svg(headline.cells(store)), encoding="utf-8")
    print("Pages, tables and figure say what the store holds.")


if __name__ == "__main__":
    main()
