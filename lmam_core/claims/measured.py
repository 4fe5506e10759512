"""Rules that read stored runs."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pandas as pd

from lmam_core import plugin, significance, tables
from lmam_core.arms import STARRED
from lmam_core.claims import Evidence, Finding, finite, rule, untestable
from lmam_core.statistics import Comparison, verdict

NO_DATA = {
    "pom": "POM's public files hold no text, and its labels come without names.",
    "meld": "Of MELD only text is at hand, and this claim is about several modalities.",
}
MULTIMODAL = ("mm_dfn", "m2fnet", "emocaps")
"""Backbones that relate modalities to each other, so that MELD's text alone leaves nothing to compare."""
TEXT_ALONE = " On text alone; the paper has audio and video too."
FEW = 5
"""Seeds below which nothing is decided."""


def decided(found: Comparison | None, printed_gain: float, trained_out: bool, sweep: str, note: str = "") -> Finding:
    """The finding of a comparison on "other is better by `printed_gain`", NaN where the paper prints none."""
    printed = f"{printed_gain:+.2f}" if finite(printed_gain) else "–"
    if found is None or found.difference.n == 0:
        return untestable(f"No measured runs yet: `lmam sweep {sweep}` makes them.{note}", printed)
    d = found.difference
    word = verdict(max(printed_gain, 0.0) if finite(printed_gain) else 0.0, found, trained_out)
    still = word == "not reproduced" and printed_gain > 0 and d.low <= printed_gain <= d.high
    why = _why(found, printed_gain, trained_out, still)
    return Finding(word, printed, plugin.spread(d, 2, "+"), d.n, why + note, still)


def _why(found: Comparison, printed_gain: float, trained_out: bool, still: bool) -> str:
    d = found.difference
    if d.n < FEW:
        return f"{d.n} of the five seeds that a verdict needs are there."
    if d.low <= 0 and not (d.mean > 0 and found.effect >= 0.8):
        both = "both 0 and the printed gain" if still else "0"
        where = "lies below 0" if d.high < 0 else f"holds {both}, and the effect is {found.effect:+.2f}"
        return f"The 95 % interval of the difference {where}."
    if not trained_out:
        return "There is a gain, but most runs of the baseline ended at the limit of epochs while still improving."
    side = "lies above 0" if d.low > 0 else f"holds 0, with an effect of {found.effect:+.2f}"
    if not finite(printed_gain):
        return f"The 95 % interval of the difference {side}."
    if printed_gain <= 0:
        return f"The 95 % interval of the difference {side}; the paper's own numbers show no gain here."
    half = "at least" if d.mean >= printed_gain / 2 else "less than"
    return f"The 95 % interval of the difference {side}; its mean is {half} half of the printed gain."


def _trained_out(frame: pd.DataFrame, dataset: str, baseline: str) -> bool:
    base = frame[(frame.dataset == dataset) & (frame.arm == baseline)]
    return base.empty or bool(base.at_limit.mean() <= 0.5)


@rule
def plugged(evidence: Evidence, backbone: str, dataset: str, baseline: str = "concatenation") -> Finding:
    """A backbone with LMAM, in the way of its starred row, beats itself without (Tables II to IV)."""
    if dataset == "pom" or (dataset == "meld" and backbone in MULTIMODAL):
        return untestable(NO_DATA[dataset])
    other, metric = plugin.starred(backbone), plugin.HEADLINE[dataset]
    numbers = [plugin.printed(backbone, name, dataset, metric) for name in (baseline, other)]
    plan = "meld" if dataset == "meld" else backbone
    frame = evidence.frame(plan)
    if frame is not None:
        frame = frame[frame.backbone.str.removesuffix("_att") == backbone]
    if frame is None or frame.empty:
        return decided(None, numbers[1] - numbers[0], True, plan)
    found = plugin.gain(frame, dataset, metric, baseline, other)
    note = TEXT_ALONE if dataset == "meld" else ""
    if (backbone, dataset) == ("bc_lstm", "mosi"):
        note = _without_video(evidence, baseline, other)
    return decided(found, numbers[1] - numbers[0], _trained_out(frame, dataset, baseline), plan, note)


def _without_video(evidence: Evidence, baseline: str, other: str) -> str:
    """MOSI's video features know the training labels: what the same arms give without them."""
    frame = evidence.frame("bc_lstm_clean")
    found = None if frame is None else plugin.gain(frame, "mosi", "acc2", baseline, other)
    return f" Without video: {plugin.spread(found.difference, 2, '+')} (n = {found.difference.n})." if found else ""


@rule
def residual(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """Early fusion with a residual beats early fusion without (Table XI)."""
    if dataset == "meld":
        return untestable(NO_DATA["meld"])
    cells = evidence.cells(tables.embedding_ways, backbone)
    return _from_cells(
        cells, "LMAM early", "LMAM early + residual", dataset, backbone if backbone == "bc_lstm" else "ways"
    )


@rule
def equal_parameters(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """A backbone with LMAM beats itself widened to as many parameters (Table V)."""
    if dataset == "meld":
        return untestable(NO_DATA["meld"])
    cells = evidence.cells(tables.equal_parameters, backbone)
    other = plugin.WAYS[STARRED[backbone]]
    sweep = "equal_bc_lstm" if backbone == "bc_lstm" else "equal"
    return _from_cells(cells, "concatenation, widened", other, dataset, sweep)


@rule
def fusion(evidence: Evidence, method: str, dataset: str) -> Finding:
    """LMAM beats another fusion method behind EmoCaps (Table IX); behind bc-LSTM as a note."""
    if dataset == "meld":
        return untestable(NO_DATA["meld"])
    found = _from_cells(evidence.cells(tables.fusion_methods, "emocaps"), method, "LMAM", dataset, "fusions_emocaps")
    cells = evidence.cells(tables.fusion_methods, "bc_lstm")
    behind = cells.gain("LMAM", dataset, plugin.HEADLINE[dataset], method) if cells.runs else None
    if not behind or not behind.difference.n:
        return found
    note = f" Behind bc-LSTM: {plugin.spread(behind.difference, 2, '+')} (n = {behind.difference.n})."
    return dataclasses.replace(found, reason=found.reason + note)


@rule
def low_rank_beats_attention(evidence: Evidence, dataset: str) -> Finding:
    """LMAM at its low rank beats self-attention as a fusion method in the same place, behind bc-LSTM."""
    cells = evidence.cells(tables.fusion_methods, "bc_lstm")
    return _from_cells(cells, "self-attention", "LMAM", dataset, "fusions_bc_lstm")


def _from_cells(cells: tables.Cells, baseline: str, other: str, dataset: str, sweep: str) -> Finding:
    metric = plugin.HEADLINE[dataset]
    printed_gain = cells.printed(other, dataset, metric) - cells.printed(baseline, dataset, metric)
    found = cells.gain(other, dataset, metric, baseline) if cells.runs else None
    trained_out = _trained_out(cells.frame, dataset, baseline) if found else True
    return decided(found, printed_gain, trained_out, sweep)


@rule
def close(evidence: Evidence, method: str, dataset: str, margin: str = "2") -> Finding:
    """Two fusion methods behind EmoCaps are within `margin` points: the interval lies within it, or the mean does."""
    if dataset == "meld":
        return untestable(NO_DATA["meld"])
    cells, metric, reach = evidence.cells(tables.fusion_methods, "emocaps"), plugin.HEADLINE[dataset], float(margin)
    printed = f"{cells.printed('LMAM', dataset, metric) - cells.printed(method, dataset, metric):+.2f}"
    found = cells.gain("LMAM", dataset, metric, method) if cells.runs else None
    if found is None or found.difference.n < FEW:
        return untestable("No five measured seeds yet: `lmam sweep fusions_emocaps` makes them.", printed)
    d = found.difference
    inside = d.low > -reach and d.high < reach
    word = "reproduced" if inside else "same direction" if abs(d.mean) < reach else "not reproduced"
    part = "interval lies" if inside else "mean lies" if abs(d.mean) < reach else "mean does not lie"
    return Finding(word, printed, plugin.spread(d, 2, "+"), d.n, f"The {part} within {margin} points of LMAM.")


@rule
def order(evidence: Evidence, dataset: str, arms: str) -> Finding:
    """Modality sets come in this order with LMAM behind bc-LSTM (Table X): `T>A` means that T is better than A.

    Every step's interval above 0: reproduced; every mean: same direction; one that is not: not reproduced, whatever
    else cannot be run.
    """
    if dataset == "meld":
        return Finding("not testable", arms, "–", 0, NO_DATA["meld"] + _on_mosi(evidence, arms))
    cells, metric = evidence.cells(tables.modality_sets, "lmam"), plugin.HEADLINE[dataset]
    steps = list(pairwise(arms.split(">")))
    found = {step: cells.gain(step[0], dataset, metric, step[1]) if cells.runs else None for step in steps}
    run = {step: c for step, c in found.items() if c is not None and c.difference.n >= FEW}
    ours = "; ".join(f"{a} − {b}: {plugin.spread(c.difference, 2, '+')}" for (a, b), c in run.items()) or "–"
    n = min((c.difference.n for c in run.values()), default=0)
    elsewhere = "" if dataset == "mosi" else _on_mosi(evidence, arms)
    wrong = [f"{a} over {b}" for (a, b), c in run.items() if c.difference.mean <= 0]
    if wrong:
        return Finding("not reproduced", arms, ours, n, f"There is no gain of {', '.join(wrong)}.{elsewhere}")
    if len(run) < len(steps):
        lacking = {a for step in steps for a in step} - set(cells.arms(dataset))
        video = any("V" in a for a in lacking)
        why = "IEMOCAP's public features have no video." if video else "Runs are missing: `lmam sweep modalities`."
        return Finding("not testable", arms, ours, n, why + elsewhere)
    sure = all(c.difference.low > 0 for c in run.values())
    part = "interval" if sure else "mean"
    return Finding(
        "reproduced" if sure else "same direction", arms, ours, n, f"Every step's {part} lies above 0.{elsewhere}"
    )


def _on_mosi(evidence: Evidence, arms: str) -> str:
    """The same order on CMU-MOSI, which has all modalities and is not in Table X."""
    found = order(evidence, "mosi", arms)
    return f" On CMU-MOSI, not in Table X: {found.ours} ({found.verdict})." if found.n else ""


@rule
def classes_significant(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """Every class gains with LMAM at p < 0.05 in a paired t-test on F1 (Tables VII and VIII); most: same direction."""
    if dataset == "meld" and backbone in MULTIMODAL:
        return untestable(NO_DATA["meld"], "all")
    runs = evidence.runs("meld" if dataset == "meld" else backbone)
    arms = {"concatenation": [], plugin.starred(backbone): []}
    for run in runs:
        if run.experiment.dataset == dataset and run.experiment.backbone == backbone:
            arms.get(plugin.arm(run.experiment), []).append(run)
    if min(map(len, arms.values())) < FEW:
        sweep = "meld" if dataset == "meld" else backbone
        return untestable(f"Fewer than five measured seeds: `lmam sweep {sweep}` makes them.", "all")
    found = significance.class_tests(*arms.values()).set_index("class").drop("all classes")
    better, worse = ((found.p_t < 0.05) & (found.gain * s > 0) for s in (1, -1))
    C = len(found)
    word = "reproduced" if better.all() else "same direction" if better.sum() > C / 2 else "not reproduced"
    reason = f"{better.sum()} of {C} classes gain at p < 0.05, {worse.sum()} lose at p < 0.05"
    reason += f"; after Holm's correction {((found.p_t_holm < 0.05) & (found.gain > 0)).sum()} gain."
    reason += TEXT_ALONE if dataset == "meld" else ""
    return Finding(word, "all", f"{better.sum()} of {C}", int(found.n.min()), reason)


@rule
def test_size(evidence: Evidence, dataset: str, plan: str, dialogues: str, utterances: str) -> Finding:
    """The test set has as many dialogues and utterances as Table I prints, counted in what runs were scored on."""
    runs = [r for r in evidence.runs(plan) if r.experiment.dataset == dataset]
    printed = f"{dialogues} / {utterances}"
    if not runs:
        return untestable(f"No measured runs yet: `lmam sweep {plan}` makes them.", printed)
    total = runs[0].total
    found = (len(runs[0].outcomes), int(total.sum() if runs[0].classes else total[0]))
    ours = f"{found[0]} / {found[1]}"
    if found == (int(dialogues), int(utterances)):
        return Finding("reproduced", printed, ours, 0, "Dialogues and utterances agree.")
    same = found[0] == int(dialogues)
    reason = "The number of dialogues agrees, that of utterances does not." if same else "Neither agrees."
    return Finding("same direction" if same else "not reproduced", printed, ours, 0, reason)
