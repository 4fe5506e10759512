"""What pages show of the headline's cells: answers in sentences, the gains drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup
from matplotlib.figure import Figure

from lmam_book.pages import style as reporting
from lmam_book.pages.figures.gains import Gain, forest
from lmam_book.paper import printed as paper
from lmam_book.plans.plans import command
from lmam_book.verdicts import beside_paper, headline
from lmam_book.verdicts.effects import Effect
from lmam_book.verdicts.headline import DATASETS, UNITS, Cell
from lmam_book.verdicts.intervals import Interval, interval
from lmam_book.verdicts.rule import NOT_WORKING
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.runs.metrics import per_class
from lmam_core.runs.names import title
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store

Row = dict[Any, Any]
"""A row of `headline.table`."""
Panels = Mapping[str, Mapping[str, Gain]]
"""What `figures.gains.forest` draws."""


@lru_cache(maxsize=4)
def cells(store: str, *backbones: str) -> list[Cell]:
    """The cells of some backbones, or of all, from the store that a page names: `book`, or a path."""
    return headline.cells(Store(paths.store(store)), [f"headline_{b}" for b in backbones] or None)


def answer(cells: Sequence[Cell]) -> str:
    """One backbone's gains, a Markdown line per dataset, and what its level says; empty for cells without runs."""
    rows, by_dataset = _ready(cells).to_dict("records"), {cell.dataset: cell for cell in cells}
    lines = [_line(row, by_dataset[row["dataset"]]) for row in rows]
    below = [row for row in rows if row["margin over probe"] < 0]
    weak = [_weak(row) for row in rows if row["word"] == NOT_WORKING and row not in below]
    return "\n\n".join(["\n".join(lines), *([_below(below)] if below else []), *weak])


def _ready(cells: Sequence[Cell]) -> pd.DataFrame:
    table = headline.table(cells)
    return table[table.seeds > 0]


def _line(row: Row, cell: Cell) -> str:
    text = (
        f"- **{DATASETS[row['dataset']]}**: {row['gain']:+.1f} points of {UNITS[row['metric']]} "
        f"({row['low']:+.1f} to {row['high']:+.1f}, {_corrected(cell)}, {row['seeds']} seeds); the paper reports "
        f"{row['reported gain']:+.1f}: {reporting.badge(row['word'])}"
    )
    return text + (f" ({row['would decide']})" if row["would decide"] else "")


def _corrected(cell: Cell) -> str:
    """What the intervals of `Cell.effects` are corrected for: the readings that are planned."""
    return f"corrected for {len(cell.runs) - 1}"


def _below(rows: Sequence[Row]) -> str:
    """Which baselines are below the probe, and what the paper reports for them."""
    where = " and ".join(DATASETS[row["dataset"]] for row in rows)
    score = "concatenation"
    ours = ", ".join(f"{r[score]:.1f} against {r[score] - r['margin over probe']:.1f}" for r in rows)
    reported = (beside_paper.printed(r["backbone"], score, r["dataset"], r["metric"]) for r in rows)
    return (
        f"Without LMAM the model is below a linear probe on {where} ({ours}), so that nothing is decided there. The "
        f"paper reports {' and '.join(f'{n:.1f}' for n in reported)} for it, with features that are not public. "
        + " ".join(_cause(row) for row in rows)
    )


def _weak(row: Row) -> str:
    """Why a baseline that reaches the probe decides nothing."""
    why = f"of its runs {row['short']}" if row["short"] else f"it is below {row['bar of']}, which has {row['bar']:.1f}"
    return f"The model without LMAM decides nothing on {DATASETS[row['dataset']]}: {why}."


def _cause(row: Row) -> str:
    """What is known of why a baseline is below the probe, in a sentence."""
    where, lacks = DATASETS[row["dataset"]], -row["margin over probe"]
    best, both = beside_paper.probe_score(row["dataset"]), beside_paper.probe_score(row["dataset"], "text+audio")
    if best > both:
        return (
            f"On {where} audio costs the probe itself {best - both:.1f} points, from {best:.1f} on text alone to "
            f"{both:.1f} with audio beside it; the model lacks {lacks:.1f}."
        )
    if row["concatenation"] + row["half"] >= best:
        return f"On {where} that is no more than seeds vary."
    return f"Why ours stays there on {where}, we have not found out."


def missing(cells: Sequence[Cell], store: str) -> str:
    """Which datasets lack runs in a store, and the command that makes them; empty where all have some."""
    absent = [DATASETS[cell.dataset] for cell in cells if not cell.effects()]
    if not absent:
        return ""
    names = ", ".join(absent[:-1]) + f" and {absent[-1]}" if absent[1:] else absent[0]
    made_by = command(f"headline_{cells[0].backbone}", Store(paths.store(store)))
    return f"Not measured yet on {names}: `{made_by}` makes the runs."


def gains(cells: Sequence[Cell], more: Panels | None = None) -> Figure | None:
    """The gain of every reading on every dataset of one backbone, behind `more` panels; None without runs."""
    panels = dict(more or {}) | {
        f"{DATASETS[cell.dataset]}, {UNITS[cell.metric]}": {n: Gain(e, cell.reported) for n, e in effects.items()}
        for cell in cells
        if (effects := cell.effects())
    }
    return forest(panels, "gain of LMAM in points (right of 0: better with it)") if panels else None


def classes(cells: Sequence[Cell], more: Panels | None = None) -> Figure | None:
    """The gain of a backbone's best reading in the F1 of each class, over seeds alone; None without runs."""
    panels = dict(more or {}) | by_class(cells)
    return forest(panels, "gain of LMAM in points of F1 of the class") if panels else None


def by_class(cells: Sequence[Cell]) -> dict[str, dict[str, Gain]]:
    """What `classes` draws, by dataset with its best reading, and by class."""
    panels = {}
    for cell in cells:
        effects = cell.effects()
        if not effects or not cell.runs["concatenation"][0].classes:
            continue
        best = max(effects, key=lambda name: effects[name].mean)
        printed = partial(_printed_class, cell)
        panels[f"{DATASETS[cell.dataset]}, {best}"] = class_gains(cell.runs["concatenation"], cell.runs[best], printed)
    return panels


def class_gains(
    plain: Sequence[Run], fused: Sequence[Run], printed: Callable[[str], float] = lambda name: float("nan")
) -> dict[str, Gain]:
    """The gain in the F1 of each class over the seeds that two arms share, and the paper's, by the class's name."""
    base, mine = ({r.experiment.seed: _f1(r) for r in runs} for runs in (plain, fused))
    gain = np.array([mine[seed] - base[seed] for seed in sorted(base.keys() & mine.keys())])  # (seeds, C)
    return {
        name: Gain(interval(column), printed(name))
        for name, column in zip(plain[0].classes or (), gain.T.tolist(), strict=True)
    }


def tabs(cells: Sequence[Cell], table: Callable[[Sequence[Cell]], HTML]) -> HTML:
    """A table of each backbone behind its tab; all sets of such tabs show the same backbone."""
    backbones = dict.fromkeys(cell.backbone for cell in cells)
    tables = {name: table([cell for cell in cells if cell.backbone == name]) for name in backbones}
    return reporting.tabs("backbone", {name: (title(name), shown) for name, shown in tables.items()})


def readings_table(cells: Sequence[Cell]) -> HTML:
    """One backbone on every dataset, by reading: gain, interval, seeds, both scores.

    What the paper reports and the word, which rests on all readings, stand once per dataset, also without runs.
    """
    columns = ["data, reported gain, word", "keys", "gain (corrected interval)", "with LMAM", "without", "seeds"]
    rows = []
    for cell in cells:
        word = reporting.badge(str(headline.row(cell)["word"]))
        data = f"{DATASETS[cell.dataset]}, {UNITS[cell.metric]}, reported {cell.reported:+.1f}: "
        first: str | Markup = Markup("{}{}").format(data, word)
        for name, e in cell.effects().items():
            scores = [f"{cell.mean(arm, cell.shared(name)):.1f}" for arm in (name, "concatenation")]
            rows.append([first, name, _interval(e), *scores, str(e.seeds)])
            first = ""
        if first:
            rows.append([first, "–", "–", "–", "–", "–"])
    many = " or ".join(sorted({str(len(cell.runs) - 1) for cell in cells}))
    return reporting.table(pd.DataFrame(rows, columns=columns), f"Intervals are corrected for {many} readings")


def classes_table(cells: Sequence[Cell]) -> HTML:
    """One backbone's gain in the F1 of each class; a sentence without runs."""
    rows = [
        [where, name, _interval(gain.ours), "–" if np.isnan(gain.printed) else f"{gain.printed:+.1f}"]
        for where, gains in by_class(cells).items()
        for name, gain in gains.items()
    ]
    columns = ["data, keys", "class", "gain (95 %, over seeds)", "reported"]
    return reporting.table(pd.DataFrame(rows, columns=columns)) if rows else HTML("<p>Not measured yet.</p>")


def _interval(e: Effect | Interval) -> str:
    return f"{e.mean:+.1f} ({e.low:+.1f} to {e.high:+.1f})"


def _f1(run: Run) -> np.ndarray:
    """The F1 of each class, (C,)."""
    C = len(run.classes or ())
    return per_class(run.total.reshape(C, C))["f1"]


def _printed_class(cell: Cell, name: str) -> float:
    number, dataset, _ = beside_paper.PLACES[cell.dataset]
    rows = (title(cell.backbone), f"{title(cell.backbone)}*")
    try:
        without, with_ = (paper.cell(number, row, name.title(), "F1", dataset) for row in rows)
    except LmamError:  # a dash in the paper
        return float("nan")
    return with_ - without
