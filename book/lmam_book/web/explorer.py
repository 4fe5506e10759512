"""Every measured run as data for the page that explores them, and as a table where there is no JavaScript."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from lmam_book.verdicts import beside_paper, paper_tables
from lmam_book.verdicts.headline import TITLES
from lmam_book.verdicts.intervals import interval
from lmam_core.models.fusion import FUSIONS
from lmam_core.runs import names
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.record import CONVERSATION
from lmam_core.runs.store import Store

PROTOCOLS = {"honest": "2: settings searched per model", "protocol1": "1: one setting, 60 epochs"}
"""The protocols whose runs were scored on the test set, the better one first."""
PLACE = ["dataset", "backbone", "modalities", "protocol"]
"""What one view of the page keeps fixed."""
SETTINGS = ("features", "learning_rate", "weight_decay", "batch_size", "epochs", "patience", "updates", "dropout")
"""What else tells two runs of an arm and a seed apart: told in the arm's name where the budget is not the least."""
SCRIPTS = ("vendor/d3/d3.min.js", "vendor/plot/plot.umd.min.js", "runs.js", "explorer.js")


def script(root: Path) -> bytes:
    """`runs.js`: the data, compressed, as a script, which a page that was opened from a disk can load as well."""
    packed = gzip.compress(json.dumps(data(_frame(root)), separators=(",", ":")).encode(), 9, mtime=0)
    return b'window.LMAM_RUNS = "' + base64.b64encode(packed) + b'";\n'


def page(root: Path) -> str:
    """The place of the page's figure, holding a table of all arms until a script takes it."""
    frame = _frame(root)
    rows = []
    for (dataset, backbone, inputs, protocol, arm), runs in frame.groupby([*PLACE, "label"], sort=False):
        metric = beside_paper.HEADLINE[dataset]
        shown = beside_paper.spread(interval(runs[metric].tolist()), 1)
        cells = (TITLES[dataset], names.title(backbone), inputs, PROTOCOLS[protocol][0], arm, shown, len(runs))
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    head = "".join(f'<th scope="col">{h}</th>' for h in ("data", "backbone", "inputs", "protocol", "model"))
    head += '<th scope="col">mean ± half of the 95 % interval</th><th scope="col">runs</th>'
    caption = f"All {len(frame):,} measured runs: weighted F1, on CMU-MOSI Acc-2, on POM accuracy, in percent."
    table = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    address = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    files = f"{address['url']}/blob/{address['branch']}/data/results/"
    box = f'<div id="lmam-explorer" class="lmam-touch" data-files="{files}"><div class="lmam-table-box">'
    return f"{box}{table}</div></div>\n{scripts(SCRIPTS)}"


def scripts(names: Iterable[str]) -> str:
    """Tags that load scripts of `book/_static`, in this order, after the page."""
    return "\n".join(f'<script defer src="../_static/{name}"></script>' for name in names)


def data(frame: pd.DataFrame) -> dict[str, Any]:
    """The runs in columns, arms and places by number; `t` has Student's quantile for 2, 3, ... runs."""
    metrics = [m for m in beside_paper.TITLES if m in frame]
    places, arms = _numbered(frame, PLACE), _numbered(frame, [*PLACE, "label"])
    heads = frame.drop_duplicates([*PLACE, "label"])
    counts = frame.groupby([*PLACE, "label"], sort=False).size()
    return {
        "titles": {"metric": beside_paper.TITLES, "dataset": TITLES, "protocol": PROTOCOLS}
        | {"backbone": {b: names.title(b) for b in frame.backbone.unique()}}
        | {"fusion": {f: FUSIONS[f].title for f in frame.fusion.unique()}},
        "headline": {d: beside_paper.HEADLINE[d] for d in frame.dataset.unique()},
        "metrics": {d: [m for m in metrics if rows[m].notna().any()] for d, rows in frame.groupby("dataset")},
        "places": [list(place) for place in places],
        "arms": [
            [places[tuple(row[p] for p in PLACE)], row["label"], row["fusion"], row["stem"], _printed(row)]
            for row in heads.to_dict("records")
        ],
        "arm": [arms[key] for key in frame[[*PLACE, "label"]].itertuples(index=False, name=None)],
        "seed": frame.seed.tolist(),
        "parameters": frame.parameters.tolist(),
        "rate": frame.learning_rate.tolist(),
        "ended": (2 * frame.one_class.astype(int) + frame.at_limit.astype(int)).tolist(),
        "key": frame.key.tolist(),
        "scores": {m: [_short(v, m) for v in frame[m]] for m in metrics},
        "t": [round(float(stats.t.ppf(0.975, n - 1)), 4) for n in range(2, int(counts.max()) + 1)],
    }


def _short(value: float, metric: str) -> float | None:
    return None if np.isnan(value) else round(value, 4 if metric in ("mae", "corr") else 2)


def _numbered(frame: pd.DataFrame, columns: list[str]) -> dict[tuple[str, ...], int]:
    keys = frame[columns].drop_duplicates().itertuples(index=False, name=None)
    return {key: k for k, key in enumerate(keys)}


def _printed(row: Mapping[Hashable, Any]) -> dict[str, float]:
    """What the paper reports beside an arm, by metric.

    Protocol 2 has its concatenation in LMAM's place. Of parts of the inputs only Table X reports something.
    """
    label, dataset, backbone = row["label"], row["dataset"], row["backbone"]
    if row["protocol"] == "honest" and label == "concatenation, late":
        label = "concatenation"
    part = len(row["modalities"].split("+")) == 1 and dataset != "meld"
    reported = {}
    for metric in beside_paper.METRICS[dataset]:
        value = np.nan if part else beside_paper.printed(backbone, label, dataset, metric)
        if part and (backbone, label) == ("bc_lstm", "LMAM late"):
            value = paper_tables.printed(10, paper_tables.LETTERS[row["modalities"]], dataset, metric)
        if not part and backbone in ("bc_lstm", "emocaps") and label == f"{FUSIONS[row['fusion']].title}, late":
            value = paper_tables.printed(9, paper_tables.called(row["fusion"]), dataset, metric)
        if np.isfinite(value):
            reported[metric] = float(value)
    return reported


def _frame(root: Path) -> pd.DataFrame:
    """One row per measured run, with the `label` of its arm in its place and the `stem` of its file's name."""
    store = Store(root / "data" / "results")
    return _read(store.root, tuple(path.name for path in store.paths()))


@cache
def _read(folder: Path, files: tuple[str, ...]) -> pd.DataFrame:
    """`_frame` of a store whose files have these names: a run's file never changes."""
    store = Store(folder)
    runs = [r for r in store if r.experiment.task == CONVERSATION and r.experiment.protocol in PROTOCOLS]
    frame = beside_paper.frame(runs)
    paths = [store.path(run.experiment).name for run in runs]
    frame["stem"] = [name.rsplit(".s", 1)[0] for name in paths]
    frame["key"] = [name.split(".")[-2] for name in paths]
    frame["label"] = [_label(run.experiment) for run in runs]
    for _, rows in frame.groupby([*PLACE, "label"]):
        first = rows.sort_values(["epochs", "patience"], kind="stable").iloc[0]
        for index, setting in product(rows.index, SETTINGS):
            value = rows.loc[index, setting]
            if value != first[setting] and not (pd.isna(value) and pd.isna(first[setting])):
                number = value if isinstance(value, str) else f"{setting.replace('_', ' ')} {value:g}"
                frame.loc[index, "label"] += f", {number}"
    order = frame.protocol.map(list(PROTOCOLS).index)
    frame = frame.assign(order=order).sort_values(["dataset", "backbone", "modalities", "order"], kind="stable")
    return frame.reset_index(drop=True)


def _label(e: Experiment) -> str:
    """What an arm is called here: as in tables, with the rank, width and shuffling that are not the usual ones."""
    parts = [names.arm(e)]
    parts += [f"rank {e.rank}"] * (e.rank is not None and e.rank != FUSIONS[e.fusion].rank)
    parts += [f"width {e.width}"] * (e.width is not None)
    parts += [f"{e.shuffled} shuffled"] * bool(e.shuffled)
    return ", ".join(parts)
