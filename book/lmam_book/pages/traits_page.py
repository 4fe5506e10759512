"""The chapter on POM's traits: answer, gains, what probes reach, what could be seen, readings, single traits."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmam_book.bench import trait_probes
from lmam_book.pages.figures.gains import Gain, forest
from lmam_book.pages.style import COLOURS, INK, badge
from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import command
from lmam_book.verdicts import beside_paper, traits
from lmam_book.verdicts.effects import effect
from lmam_book.verdicts.headline import Cell
from lmam_book.verdicts.rule import SHARE
from lmam_book.verdicts.traits import DIGITS, METRICS, Decided
from lmam_core.data.sources.pom import TRAITS
from lmam_core.runs import names
from lmam_core.runs.store import Store

UNITS = {"mae": "MAE", "accuracy": "accuracy", "corr": "correlation"}
READINGS = {
    "accuracy": "the same of seven classes",
    "acc2": "the same side of 4",
    "within_half": "at most 0.5 apart",
}
"""What counts as a hit."""
Cells = Mapping[str, Cell]


def ready(cells: Cells, metric: str) -> dict[str, Decided]:
    """What was decided of each backbone that has runs, in the paper's order."""
    decided = {b: traits.decide(cells[b], metric) for b in STARRED}
    return {b: d for b, d in decided.items() if d.gain is not None}


def answer(cells: Cells, metric: str, store: Store) -> str:
    """Gains with their words, what could be seen, and the level of a constant, as Markdown bullets."""
    decided = ready(cells, metric)
    if not decided:
        return f"No runs are stored yet: `{command('traits', store)}` makes them."
    digits = DIGITS.get(metric, 1)
    told = "; ".join(
        f"{names.title(b)} {beside_paper.signed(d.gain, digits)}, reported {d.reported:+.{digits}f}: {badge(d.word)}"
        for b, d in decided.items()
    )
    seeds = _span([str(d.gain.seeds) for d in decided.values() if d.gain])
    without = [names.title(b) for b in STARRED if b not in decided]
    lines = [
        f"- **In {UNITS[metric]}, on audio and video:** {told} ({seeds} seeds per arm)."
        + (f" Not run yet: {', '.join(without)}." if without else "")
    ]
    seen = [b for b, d in decided.items() if d.gain and SHARE * d.reported > d.gain.half]
    reach = _span([f"±{rounded(d.gain.half, metric)}" for d in decided.values() if d.gain])
    lines.append(
        f"- **What could be seen:** the 95 % interval reaches {reach} around a gain, over seeds and 203 videos. Half "
        f"of the reported gain is more than that for {', '.join(map(names.title, seen)) or 'none of these backbones'}."
    )
    constant = trait_probes.table().set_index("of").accuracy_16["most frequent"]
    below = [names.title(b) for b in STARRED if reported_level(b) <= constant]
    lines.append(
        f"- **A constant is as accurate as the paper's first rows:** the most frequent value of each of 16 traits, the "
        f"same for every video, has {constant:.1f} % accuracy. Of the reported rows without LMAM, with text as well, "
        f"{len(below)} of {len(STARRED)} have no more: {', '.join(below)}."
    )
    return "\n".join(lines)


def _span(values: list[str]) -> str:
    """The least and the largest of numbers of one length, or the one that all are."""
    ends = sorted(set(values))
    return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def reported_level(backbone: str, metric: str = "accuracy") -> float:
    """What Table IV prints for a backbone without LMAM."""
    return beside_paper.printed(backbone, "concatenation", "pom", metric)


def rounded(value: float, metric: str) -> str:
    """A number of a metric, with as many decimals as it is worth."""
    return f"{value:.{DIGITS.get(metric, 1)}f}"


def gains(cells: Cells, metric: str) -> Figure | None:
    """Forest plot of the gains of all backbones with runs, the paper's as diamonds; None without runs."""
    drawn = {names.title(b): Gain(d.gain, d.reported) for b, d in ready(cells, metric).items() if d.gain}
    sense = ", less error to the right" if metric == "mae" else ", points" if metric == "accuracy" else ""
    return forest({"": drawn}, f"gain in {UNITS[metric]}{sense}") if drawn else None


def table(cells: Cells) -> pd.DataFrame:
    """One row per backbone with runs and metric: both levels, gain, the paper's, the word; then bc-LSTM+Att's."""
    rows = []
    pairs = [(names.title(b), cells[b], "concatenation") for b in STARRED]
    pairs.append(("bc-LSTM, over self-attention", cells[traits.ATTENTION], "self-attention"))
    for title, cell, baseline in pairs:
        for metric in METRICS:
            d = traits.decide(cell, metric, baseline)
            if d.gain is not None:
                rows.append(
                    {
                        "backbone": title,
                        "metric": UNITS[metric],
                        "without": rounded(d.without, metric),
                        "with LMAM": rounded(d.with_, metric),
                        "ridge": rounded(d.bar, metric),
                        "gain (95 % interval)": beside_paper.signed(d.gain, DIGITS.get(metric, 1)),
                        "reported": f"{d.reported:+.{DIGITS.get(metric, 1)}f}",
                        "seeds": d.gain.seeds,
                        "word": badge(d.word),
                    }
                )
    return pd.DataFrame(rows)


def levels() -> pd.DataFrame:
    """Constants and ridge regressions on test, over 16 traits and in accuracy over 17, then two reported rows."""
    titles = ("predictor", "MAE", "accuracy", "correlation", "accuracy, 17 traits")
    rows = [
        (f"{r.predictor}, {r.of}", f"{r.mae_16:.3f}", f"{r.accuracy_16:.1f}", f"{r.corr_16:.3f}", f"{r.accuracy:.1f}")
        for r in trait_probes.table().itertuples()
    ]
    for b in ("text_cnn", "emocaps"):
        mae, accuracy, corr = (reported_level(b, m) for m in METRICS)
        rows.append((f"paper, {names.title(b)}, with text", f"{mae:.2f}", f"{accuracy:.1f}", f"{corr:.2f}", "–"))
    return pd.DataFrame(rows, columns=titles)


def power(cells: Cells, metric: str) -> pd.DataFrame:
    """Half the width of a gain's interval with 5, 10 and endless seeds, beside half of the reported gain."""
    rows = []
    for b in STARRED:
        d = traits.decide(cells[b], metric)
        row = {"backbone": names.title(b), "half of the reported gain": rounded(SHARE * d.reported, metric)}
        for n in (5, 10, 10_000):
            label = "endless seeds" if n > 10 else f"{n} seeds"
            row[label] = f"±{rounded(traits.half_width_with(d.gain, n), metric)}" if d.gain else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def before() -> dict[str, float]:
    """What 203 videos alone make of a difference, half a 95 % interval, before any network was trained.

    From two ridge regressions on the same videos, with video beside audio and on audio alone.
    """
    row = trait_probes.table().set_index("of").loc["audio+video"]
    return {metric: 1.96 * float(row[f"se_{metric}"]) for metric in METRICS}


def readings(whole: Cells, backbone: str) -> pd.DataFrame:
    """The accuracy of a backbone in each reading of the word, on 16 traits and on 17; empty without runs."""
    constants = trait_probes.table().query("predictor == 'constant'")
    rows, sixteen = [], traits.without_sentiment(whole[backbone])
    asked = [(16, metric, sixteen) for metric in READINGS] + [(17, "accuracy", whole[backbone])]
    for count, metric, cell in asked:
        a, b = cell.runs["concatenation"], cell.runs["own"]
        if len(cell.shared("own")) < 2:
            return pd.DataFrame()
        gain = effect(a, b, metric)
        rows.append(
            {
                "a hit is": f"{READINGS[metric]}, {count} traits",
                "best constant": f"{constants[metric if count == len(TRAITS) else f'{metric}_16'].max():.1f}",
                "without": f"{np.mean([r.metrics[metric] for r in a]):.1f}",
                "with LMAM": f"{np.mean([r.metrics[metric] for r in b]):.1f}",
                "gain (95 % interval)": beside_paper.signed(gain),
                "seeds": gain.seeds,
            }
        )
    return pd.DataFrame(rows)


def by_trait(whole: Cells, backbone: str) -> Figure | None:
    """The correlation of each of 17 traits, without and with LMAM, the mean over seeds; None without runs."""
    runs = whole[backbone].runs
    if not all(runs[n] for n in ("concatenation", "own")):
        return None
    correlation = {n: traits.by_trait(runs[n])["corr"] for n in ("concatenation", "own")}
    order = np.argsort(correlation["concatenation"])
    figure, ax = plt.subplots(figsize=(7, 4.2))
    ax.axvline(0, color=INK, lw=0.9)
    for name, colour, label in (("concatenation", "baseline", "concatenation"), ("own", "lmam", "LMAM")):
        ax.scatter(correlation[name][order], range(len(TRAITS)), s=34, color=COLOURS[colour], label=label)
    ax.set_yticks(range(len(TRAITS)), [TRAITS[k] for k in order])
    ax.set_xlabel(f"correlation over 203 test videos, {names.title(backbone)}, mean over seeds")
    ax.legend(loc="lower right", fontsize=8)
    return figure
