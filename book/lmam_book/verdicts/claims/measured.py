"""Rules that read stored runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from lmam_book.bench import linear_probes as probes
from lmam_book.bench import split_sizes as splits
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts import rule as decision
from lmam_book.verdicts import sessions as table_13
from lmam_book.verdicts import significance
from lmam_book.verdicts.claims import Evidence, Finding, finite, rule, untestable
from lmam_book.verdicts.intervals import FEW, LARGE, Comparison, compare, verdict
from lmam_core.runs import names as run_names

NO_DATA = {
    "pom": "No text of POM is at hand, and the labels in its public files come without names.",
    "meld": "Of MELD only text is at hand, and this claim is about several modalities.",
}
LEAK = " The video features here know the training labels."
"""Said wherever CMU-MOSI's video decides."""
MULTIMODAL = ("mm_dfn", "m2fnet", "emocaps")
"""Backbones that relate modalities to each other, so that MELD's text alone leaves nothing to compare."""
BC_LSTM = " Behind bc-LSTM; Table X is of EmoCaps."


def decided(found: Comparison | None, printed_gain: float, short: Sequence[str], sweep: str, note: str = "") -> Finding:
    """The finding of a comparison on "other is better by `printed_gain`", NaN where the paper prints none.

    `short`: why the baseline, and the other, may be better than their runs (`plugin.shortfall`), empty where they are
    not.
    """
    printed = f"{printed_gain:+.2f}" if finite(printed_gain) else "–"
    if found is None or found.difference.n == 0:
        return untestable(f"No measured runs yet: `lmam sweep {sweep}` makes them.{note}", printed)
    d = found.difference
    word = verdict(max(printed_gain, 0.0) if finite(printed_gain) else 0.0, found, *(not s for s in short))
    still = word == "not reproduced" and printed_gain > 0 and d.low <= printed_gain <= d.high
    why = _why(found, printed_gain, short, still)
    return Finding(word, printed, plugin.spread(d, 2, "+"), d.n, why + note, still)


def _why(found: Comparison, printed_gain: float, short: Sequence[str], still: bool) -> str:
    d = found.difference
    if d.n < FEW:
        return f"{d.n} of the five seeds that a verdict needs are there."
    size = f"the mean is {found.effect:+.2f} pooled standard deviations"
    if d.low <= 0 and not (d.mean > 0 and found.effect >= LARGE):
        if short[1]:
            return f"There is no gain, but of the runs with it {short[1]}."
        both = "both 0 and the printed gain" if still else "0"
        where = "lies below 0" if d.high < 0 else f"holds {both}; {size}"
        return f"The 95 % interval of the difference {where}."
    if short[0]:
        return f"There is a gain, but of the baseline's runs {short[0]}."
    side = "lies above 0" if d.low > 0 else f"holds 0; {size}"
    if not finite(printed_gain):
        return f"The 95 % interval of the difference {side}."
    if printed_gain <= 0:
        return f"The 95 % interval of the difference {side}; the paper's own numbers show no gain here."
    half = "at least" if d.mean >= printed_gain / 2 else "less than"
    side += "; the mean is" if d.low > 0 else " and"
    return f"The 95 % interval of the difference {side} {half} half of the printed gain."


def _short(frame: pd.DataFrame, dataset: str, *arms: str) -> list[str]:
    return [plugin.shortfall(frame, dataset, name) for name in arms]


@rule
def plugged(evidence: Evidence, backbone: str, dataset: str, baseline: str = "concatenation") -> Finding:
    """A backbone with LMAM, in the way of its starred row, beats itself without (Tables II to IV).

    Runs on one modality decide nothing, as there is nothing to fuse; what they gain is shown.
    """
    other, metric = plugin.starred(backbone), plugin.HEADLINE[dataset]
    without, with_ = (plugin.printed(backbone, name, dataset, metric) for name in (baseline, other))
    gain = with_ - without
    if dataset == "pom" or (dataset == "meld" and backbone in MULTIMODAL):
        return untestable(NO_DATA[dataset], f"{gain:+.2f}")
    if dataset == "meld" and baseline != "concatenation":
        return untestable("Not run: of MELD only text is at hand, where there is nothing to fuse.", f"{gain:+.2f}")
    plan = "meld" if dataset == "meld" else backbone
    frame = evidence.frame(plan)
    if frame is not None:
        frame = frame[frame.backbone.str.removesuffix("_att") == backbone]
    if frame is None or frame.empty:
        return decided(None, gain, (), plan)
    found = plugin.gain(frame, dataset, metric, baseline, other)
    note = _levels(frame, dataset, metric, baseline, other) + _other_ways(frame, dataset, metric, baseline, other)
    if dataset == "mosi":
        note += LEAK + (_without_video(evidence, baseline, other, gain) if backbone == "bc_lstm" else "")
    decision = decided(found, gain, _short(frame, dataset, baseline, other), plan, note)
    if plugin.fuses(frame, dataset) or not decision.n:
        return decision
    alone = "Only text is at hand, where there is nothing to fuse: the difference is what LMAM makes of context."
    return dataclasses.replace(decision, verdict="not testable", reason=alone + note, open=False)


def _levels(frame: pd.DataFrame, dataset: str, metric: str, baseline: str, other: str) -> str:
    """Where both arms stand, and what a linear model that sees the text alone has where it has more."""
    found = plugin.values(frame, dataset, metric)
    if baseline not in found or other not in found:
        return ""
    without, with_ = (sum(found[name].values()) / len(found[name]) for name in (baseline, other))
    said = f" Means of all seeds: {without:.1f} with {baseline}, {with_:.1f} with {other}."
    linear = probes.table().set_index(["dataset", "features"]).test
    text = linear.get((dataset, "minilm384"), 0.0) if metric == "acc2" else 0.0
    said += f" A linear model on single texts has {text:.1f}." if without < text else ""
    return said


def _other_ways(frame: pd.DataFrame, dataset: str, metric: str, baseline: str, other: str) -> str:
    """The same difference with LMAM in the other ways that were run, and in the released variant."""
    found = plugin.values(frame, dataset, metric)
    names = [n for n in found if n in {*run_names.WAYS.values(), "LMAM late, released variant"} - {other}]
    gains = {n: plugin.gain(frame, dataset, metric, baseline, n).difference for n in names if baseline in found}
    said = ", ".join(f"{plugin.spread(d, 2, '+')} {n.removeprefix('LMAM ')}" for n, d in gains.items() if d.n >= FEW)
    return f" LMAM otherwise: {said}." if said else ""


def _without_video(evidence: Evidence, baseline: str, other: str, printed_gain: float) -> str:
    """MOSI's video features know the training labels: what the same arms give without them."""
    frame = evidence.frame("bc_lstm_clean")
    found = None if frame is None else plugin.gain(frame, "mosi", "acc2", baseline, other)
    if not found:
        return ""
    word = verdict(max(printed_gain, 0.0), found, *plugin.trained_out(frame, "mosi", baseline, other))
    return f" Without video: {plugin.spread(found.difference, 2, '+')} (n = {found.difference.n}), {word}."


@rule
def residual(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """Early fusion with a residual beats early fusion without (Table XI)."""
    cells = evidence.cells(tables.embedding_ways, backbone)
    return _from_cells(
        cells, "LMAM early", "LMAM early + residual", dataset, backbone if backbone == "bc_lstm" else "ways"
    )


@rule
def equal_parameters(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """A backbone with LMAM beats itself widened to as many parameters (Table V)."""
    cells = evidence.cells(tables.equal_parameters, backbone)
    other = plugin.starred(backbone)
    sweep = "equal_bc_lstm" if backbone == "bc_lstm" else "equal"
    return _from_cells(cells, "concatenation, widened", other, dataset, sweep)


@rule
def fusion(evidence: Evidence, method: str, dataset: str) -> Finding:
    """LMAM beats another fusion method behind EmoCaps (Table IX); behind bc-LSTM as notes."""
    emocaps = evidence.cells(tables.fusion_methods, "emocaps")
    found = _from_cells(emocaps, method, "LMAM", dataset, "fusions_emocaps")
    at = (dataset, plugin.HEADLINE[dataset], method, "LMAM")
    if emocaps.runs and (rest := plugin.gain_without(emocaps.frame, *at)) and rest.difference.n:
        d = rest.difference
        note = " Without the seeds of which a run gives more than half of the utterances one class: "
        found = dataclasses.replace(found, reason=f"{found.reason}{note}{plugin.spread(d, 2, '+')} (n = {d.n}).")
    for cells in (evidence.cells(tables.fusion_methods, "bc_lstm"), evidence.cells(tables.patient_methods)):
        there = cells.gain("LMAM", dataset, plugin.HEADLINE[dataset], method) if cells.runs else None
        if there and there.difference.n:
            where, d = cells.where.removeprefix("behind "), there.difference
            note = f" Behind {where}: {plugin.spread(d, 2, '+')} (n = {d.n})"
            behind = method if d.mean > 0 else "LMAM"
            short = plugin.shortfall(cells.frame, dataset, behind)
            note += f", but of {behind}'s runs {short}." if short else "."
            found = dataclasses.replace(found, reason=found.reason + note)
    return found


@rule
def low_rank_beats_attention(evidence: Evidence, dataset: str) -> Finding:
    """LMAM at its low rank beats self-attention as a fusion method in the same place, behind bc-LSTM."""
    cells = evidence.cells(tables.fusion_methods, "bc_lstm")
    found = _from_cells(cells, "self-attention", "LMAM", dataset, "fusions_bc_lstm")
    note = " Self-attention stands in LMAM's late place here; the rows of bc-LSTM+Att are of another model."
    return dataclasses.replace(found, reason=found.reason + note + _not_the_rank(evidence, cells, dataset))


def _not_the_rank(evidence: Evidence, cells: tables.Cells, dataset: str) -> str:
    """What others in the same place gain over self-attention: LMAM of other ranks, and no attention at all."""
    found = plugin.values(cells.frame, dataset, plugin.HEADLINE[dataset]) if cells.runs else {}
    ranks = evidence.cells(tables.rank_sweep)
    swept = plugin.values(ranks.frame, dataset, plugin.HEADLINE[dataset]) if ranks.runs else {}
    arms = {
        "LMAM of rank 1": swept.get("rank 1"),
        "LMAM's full weight, which has no low rank": swept.get("full weight"),
    }
    arms["concatenation, which has no attention"] = found.get("Concatenate")
    alone = found.get("self-attention", {})
    gains = {name: compare(alone, scores).difference for name, scores in arms.items() if scores}
    said = "; ".join(f"{plugin.spread(d, 2, '+')} {name}" for name, d in gains.items() if d.n >= FEW)
    clean = evidence.cells(tables.clean_methods)
    there = clean.gain("LMAM", "mosi", plugin.HEADLINE["mosi"], "self-attention") if clean.runs else None
    said = f" Others over the same self-attention: {said}." if said else ""
    if there and there.difference.n >= FEW:
        said += f" On CMU-MOSI without video LMAM over self-attention: {plugin.spread(there.difference, 2, '+')}."
    return said


def _from_cells(cells: tables.Cells, baseline: str, other: str, dataset: str, sweep: str) -> Finding:
    metric = plugin.HEADLINE[dataset]
    printed_gain = cells.printed(other, dataset, metric) - cells.printed(baseline, dataset, metric)
    if dataset == "meld":
        return untestable(NO_DATA["meld"], f"{printed_gain:+.2f}")
    found = cells.gain(other, dataset, metric, baseline) if cells.runs else None
    short = _short(cells.frame, dataset, baseline, other) if found else ()
    return decided(found, printed_gain, short, sweep)


@rule
def close(evidence: Evidence, method: str, dataset: str, margin: str = "2") -> Finding:
    """Two fusion methods behind EmoCaps are within `margin` points: the interval lies within it, or the mean does."""
    cells, metric, reach = evidence.cells(tables.fusion_methods, "emocaps"), plugin.HEADLINE[dataset], float(margin)
    printed = f"{cells.printed('LMAM', dataset, metric) - cells.printed(method, dataset, metric):+.2f}"
    if dataset == "meld":
        return untestable(NO_DATA["meld"], printed)
    found = cells.gain("LMAM", dataset, metric, method) if cells.runs else None
    if found is None or found.difference.n < FEW:
        return untestable("No five measured seeds yet: `lmam sweep fusions_emocaps` makes them.", printed)
    d = found.difference
    for arm in ("LMAM", method):
        if short := plugin.shortfall(cells.frame, dataset, arm):
            ours = plugin.spread(d, 2, "+")
            return Finding("not testable", printed, ours, d.n, f"Of the runs of {arm} {short}.")
    inside = d.low > -reach and d.high < reach
    word = "reproduced" if inside else "same direction" if abs(d.mean) < reach else "not reproduced"
    part = "interval lies" if inside else "mean lies" if abs(d.mean) < reach else "mean does not lie"
    return Finding(word, printed, plugin.spread(d, 2, "+"), d.n, f"The {part} within {margin} points of LMAM.")


@rule
def order(evidence: Evidence, dataset: str, arms: str) -> Finding:
    """Modality sets come in this order with LMAM behind bc-LSTM (Table X): `T>A` means that T is better than A.

    Every step's interval above 0: reproduced; every mean: same direction; one that is not: not reproduced, whatever
    else cannot be run. Sets that are not trained out (`plugin.shortfall`) decide nothing.
    """
    if dataset == "meld":
        return Finding("not testable", arms, "–", 0, NO_DATA["meld"])
    cells, metric = evidence.cells(tables.modality_sets, "LMAM late"), plugin.HEADLINE[dataset]
    steps = list(pairwise(arms.split(">")))
    found = {step: cells.gain(step[0], dataset, metric, step[1]) if cells.runs else None for step in steps}
    enough = {step: c for step, c in found.items() if c is not None and c.difference.n >= FEW}
    short = {a: plugin.shortfall(cells.frame, dataset, a) for step in enough for a in step}
    run = {step: c for step, c in enough.items() if not any(short[a] for a in step)}
    ours = "; ".join(f"{a} − {b}: {plugin.spread(c.difference, 2, '+')}" for (a, b), c in run.items()) or "–"
    n = min((c.difference.n for c in run.values()), default=0)
    elsewhere = "" if dataset == "mosi" else BC_LSTM + _on_mosi(evidence, arms)
    wrong = [f"{a} over {b}" for (a, b), c in run.items() if c.difference.mean <= 0]
    if wrong:
        return Finding("not reproduced", arms, ours, n, f"There is no gain of {', '.join(wrong)}.{elsewhere}")
    if len(run) < len(steps):
        lacking = {a for step in steps for a in step} - set(cells.arms(dataset))
        why = ["No video of IEMOCAP is at hand."] if any("V" in a for a in lacking) else []
        possible = [step for step in steps if not lacking & set(step)]
        why += ["Runs are missing: `lmam sweep modalities`."] if len(enough) < len(possible) else []
        why += [f"Of the runs of {a} {s}." for a, s in short.items() if s]
        return Finding("not testable", arms, ours, n, " ".join(why) + elsewhere)
    sure = all(c.difference.low > 0 for c in run.values())
    part = "interval" if sure else "mean"
    return Finding(
        "reproduced" if sure else "same direction", arms, ours, n, f"Every step's {part} lies above 0.{elsewhere}"
    )


def _on_mosi(evidence: Evidence, arms: str) -> str:
    """The same order on CMU-MOSI, which has all modalities and is not in Table X."""
    found = order(evidence, "mosi", arms)
    if not found.n:
        return ""
    return f" On CMU-MOSI, not in Table X: {found.ours} ({found.verdict}).{LEAK if 'V' in arms else ''}"


@rule
def classes_significant(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """Every class's F1 differs with LMAM, at p < 0.05 in a paired t-test (Tables VII, VIII); most: same direction.

    Differs either way, as the paper tests no direction. Runs on one modality decide nothing, as in `plugged`, nor do
    arms that are not trained out (`plugin.shortfall`).
    """
    if dataset == "meld" and backbone in MULTIMODAL:
        return untestable(NO_DATA["meld"], "all")
    runs = evidence.runs("meld" if dataset == "meld" else backbone)
    arms = {"concatenation": [], plugin.starred(backbone): []}
    for run in runs:
        if run.experiment.dataset == dataset and run.experiment.backbone == backbone:
            arms.get(run_names.arm(run.experiment), []).append(run)
    if min(map(len, arms.values())) < FEW:
        sweep = "meld" if dataset == "meld" else backbone
        return untestable(f"Fewer than five measured seeds: `lmam sweep {sweep}` makes them.", "all")
    found = significance.class_tests(*arms.values()).set_index("class").drop("all classes")
    better, worse = ((found.p_t < 0.05) & (found.gain * s > 0) for s in (1, -1))
    C = len(found)
    changed = int((better | worse).sum())
    word = "reproduced" if changed == C else "same direction" if changed > C / 2 else "not reproduced"
    corrected = found.gain[found.p_t_holm < 0.05]
    reason = f"Classes that gain at p < 0.05: {better.sum()}, that lose: {worse.sum()}; after Holm's correction "
    reason += f"{(corrected > 0).sum()} and {(corrected < 0).sum()}."
    frame = plugin.frame([run for chosen in arms.values() for run in chosen])
    for name, short in zip(arms, _short(frame, dataset, *arms), strict=True):
        if short:
            word, reason = "not testable", f"Of the runs of {name} {short}. {reason}"
    if not plugin.fuses(frame, dataset):
        word, reason = "not testable", f"On text alone, where there is nothing to fuse. {reason}"
    return Finding(word, "all", f"{changed} of {C}", int(found.n.min()), reason)


@rule
def sessions(evidence: Evidence, metric: str) -> Finding:
    """DHCN with LMAM beats DHCN (Table XIII): the better of two readings of what its modalities are.

    The word is `rule.word`'s, by intervals over seeds and blocks of sessions; among the claims "excluded" is not
    reproduced, "undecided" likewise and open, "positive, undecided" the same direction.
    """
    found = table_13.decide(evidence.store, metric)
    printed = f"{found.printed:+.2f}"
    if not found.effects:
        return untestable("No measured runs yet: `lmam sweep sessions` makes them.", printed)
    words = {
        decision.REPRODUCED: ("reproduced", False),
        decision.POSITIVE: ("same direction", False),
        decision.UNDECIDED: ("not reproduced", True),
        decision.EXCLUDED: ("not reproduced", False),
    }
    verdict_, still = words.get(found.word, ("not testable", False))
    best = found.effects[found.best]
    rest = "; ".join(f"{name} {table_13.shown(e)}" for name, e in found.effects.items() if name != found.best)
    reason = f"{found.word.capitalize()}: {found.best}, {metric}, on the last {table_13.runs_fraction()}th of the "
    reason += f"training sessions; Table XIII is of all. Other reading: {rest or 'no runs'}."
    return Finding(verdict_, printed, table_13.shown(best), best.seeds, reason, still)


@rule
def size_of_test_set(
    evidence: Evidence, dataset: str, plan: str, dialogues: str, utterances: str, other_split: str = ""
) -> Finding:
    """The test set has as many dialogues and utterances as Table I prints, counted in what runs were scored on.

    Or as the test part of `other_split` has, a public split that runs here do not use, counted in `splits.csv`.
    """
    runs = [r for r in evidence.runs(plan) if r.experiment.dataset == dataset]
    printed = f"{dialogues} / {utterances}"
    if not runs:
        return untestable(f"No measured runs yet: `lmam sweep {plan}` makes them.", printed)
    total = runs[0].total
    found = (len(runs[0].outcomes), int(total.sum() if runs[0].classes else total[0]))
    ours = f"{found[0]} / {found[1]}"
    if found == (int(dialogues), int(utterances)):
        return Finding("reproduced", printed, ours, 0, "Dialogues and utterances agree.")
    if other_split and (other := splits.size(dataset, other_split)) == (int(dialogues), int(utterances)):
        reason = f"In the {other_split} split of the same videos. Runs here use that of the features, which has {ours}."
        return Finding("reproduced", printed, f"{other[0]} / {other[1]}", 0, reason)
    same = found[0] == int(dialogues)
    reason = "The number of dialogues agrees, that of utterances does not." if same else "Neither agrees."
    return Finding("same direction" if same else "not reproduced", printed, ours, 0, reason)
