"""The verdict table of README and front page, written by code from the store: `make verdicts`.

A test fails when either says anything else than the store bears out.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from lmam_core import plugin
from lmam_core.plans import PLUGGED, held
from lmam_core.results import DEFAULT, Store

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "book" / "index.md")
BLOCK = re.compile(r"(<!-- verdicts:begin -->\n).*?(<!-- verdicts:end -->)", re.S)
"""What stands between the two comments belongs to this module."""


NOTE = "¹ MOSI's published video features know the training labels; the data statement shows it."


def markdown(store: Store) -> str:
    """The verdicts on the paper's claims about its backbones, one row a claim and dataset, in the headline metric.

    A claim of which one arm was not run by a plan has no row of that plan.
    """
    lines = [
        "| backbone and claim | data, metric | paper | ours ± half of 95 % interval | seeds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for name in PLUGGED:
        runs = held(name, store)
        for backbone in plugin.BACKBONES:
            mine = [r for r in runs if r.experiment.backbone.removesuffix("_att") == backbone]
            if mine:
                lines += _rows(backbone, plugin.frame(mine))
    return "\n".join([*lines, "", NOTE])


def _rows(backbone: str, table: pd.DataFrame) -> list[str]:
    modalities = table.groupby("dataset").modalities.first()
    claims = plugin.verdicts(table, backbone)
    lines = []
    for row in claims[(claims.metric == claims.dataset.map(plugin.HEADLINE)) & (claims.n > 0)].itertuples():
        metric = plugin.TITLES[row.metric].removesuffix(" %")
        data = f"{row.dataset} {modalities[row.dataset].replace('+', ', ')}: {metric}"
        if "video" in data and row.dataset == "mosi":
            data += " ¹"
        lines.append(
            f"| {plugin.BACKBONES[backbone]}: {row.claim} ({row.where}) | {data} | {row.paper} | {row.ours} "
            f"| {row.n} | **{row.verdict}** |"
        )
    return lines


def in_step(store: Store) -> dict[Path, str]:
    """The text that each page should have."""
    table = markdown(store)
    return {page: BLOCK.sub(rf"\g<1>{table}\n\g<2>", page.read_text(encoding="utf-8")) for page in PAGES}


if __name__ == "__main__":
    for page, text in in_step(Store(DEFAULT)).items():
        page.write_text(text, encoding="utf-8")
        print(f"{page.relative_to(ROOT)} holds the verdicts of the store.")
