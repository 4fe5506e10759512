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


PLANS = ("bc_lstm", "bc_lstm_clean")
"""The plans whose verdicts the table shows; one without runs has no rows."""


def markdown(store: Store) -> str:
    """The verdicts on the paper's claims about bc-LSTM, one row a claim and dataset, in its headline metric."""
    lines = [
        "| claim about bc-LSTM | data, metric | paper | ours ± half of 95 % interval | seeds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for runs in filter(None, (held(plan, store) for plan in PLANS)):
        table = plugin.frame(runs)
        modalities = table.groupby("dataset").modalities.first()
        claims = plugin.verdicts(table, "bc_lstm", tuple(table.dataset.unique()))
        for row in claims[claims.metric == claims.dataset.map(plugin.HEADLINE)].itertuples():
            metric = plugin.TITLES[row.metric].removesuffix(" %")
            data = f"{row.dataset} {modalities[row.dataset].replace('+', ', ')}: {metric}"
            if "video" in data and row.dataset == "mosi":
                data += " (its video features know training labels, see the data statement)"
            lines.append(
                f"| {row.claim} ({row.where}) | {data} | {row.paper} | {row.ours} | {row.n} | **{row.verdict}** |"
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
