"""The verdict table of README and front page, written by code from the store: `make verdicts`.

A test fails when either says anything else than the store bears out.
"""

from __future__ import annotations

import re
from pathlib import Path

from lmam_core import plugin
from lmam_core.plans import held
from lmam_core.results import DEFAULT, Store

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "book" / "index.md")
BLOCK = re.compile(r"(<!-- verdicts:begin -->\n).*?(<!-- verdicts:end -->)", re.S)
"""What stands between the two comments belongs to this module."""


def markdown(store: Store) -> str:
    """The verdicts on the paper's claims about bc-LSTM, one row a claim and dataset, in its headline metric."""
    claims = plugin.verdicts(plugin.frame(held("bc_lstm", store)), "bc_lstm")
    lines = [
        "| claim | dataset, metric | paper | ours ± half of 95 % interval | seeds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for row in claims[claims.metric == claims.dataset.map(plugin.HEADLINE)].itertuples():
        metric = plugin.TITLES[row.metric].removesuffix(" %")
        lines.append(
            f"| bc-LSTM: {row.claim} ({row.where}) | {row.dataset}, {metric} | {row.paper} | {row.ours} | {row.n} "
            f"| **{row.verdict}** |"
        )
    return "\n".join(lines)


def in_step(store: Store) -> dict[Path, str]:
    """The text that each page should have."""
    table = markdown(store)
    return {page: BLOCK.sub(rf"\g<1>{table}\n\g<2>", page.read_text(encoding="utf-8")) for page in PAGES}


if __name__ == "__main__":
    for page, text in in_step(Store(DEFAULT)).items():
        page.write_text(text, encoding="utf-8")
        print(f"{page.relative_to(ROOT)} holds the verdicts of the store.")
