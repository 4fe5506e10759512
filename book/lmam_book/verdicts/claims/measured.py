"""Rules that read stored runs: effects first, then the word of the one rule (`lmam_book.verdicts.rule`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

from lmam_book.bench import split_sizes as splits
from lmam_book.plans import tasks
from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import command
from lmam_book.verdicts import beside_paper, headline, significance, traits
from lmam_book.verdicts import humour as table_14
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts import sessions as table_13
from lmam_book.verdicts.cells import Cells
from lmam_book.verdicts.claims import (
    COUNTED_KIND,
    MEASURED,
    Evidence,
    Finding,
    finite,
    rule,
    too_few,
    untestable,
)
from lmam_book.verdicts.effects import Effect
from lmam_book.verdicts.intervals import compare
from lmam_book.verdicts.rule import (
    DOES_NOT_HOLD,
    EXCLUDED,
    FEW,
    HOLDS,
    IN_PART,
    NOT_TESTABLE,
    NOT_WORKING,
    POSITIVE,
    REPRODUCED,
    TOO_FEW,
    UNDECIDED,
    half_of,
    lowered,
    would_decide,
)
from lmam_book.verdicts.rule import word as rule_word
from lmam_core.runs import names as run_names

POM = "On audio and video, 16 traits; POM's text cannot be had."
NO_VIDEO = {
    "iemocap": "IEMOCAP's video is given out on request only.",
    "meld": "MELD's video of the training split cannot be had.",
}
BC_LSTM = " Behind bc-LSTM; Table X is of EmoCaps."


def why(
    word: str,
    gain: Effect,
    reported: float,
    short: Sequence[str] = ("", ""),
    bar: float = float("nan"),
    of: int = 1,
    edges: Sequence[float] = (0.0, 0.0),
    bar_of: str = headline.PROBE,
) -> str:
    """The sentence that says why a claim has its word.

    `short` is each arm's `beside_paper.shortfall`, `edges` its `beside_paper.edge`; the gain is that of the best `of`
    some readings. What is not decided says which gains are excluded.
    """
    half = "half of the reported gain"
    if word == TOO_FEW:
        return f"{gain.seeds} of the five seeds that a word needs are there."
    if word == NOT_WORKING:
        below = f"The baseline is below {bar_of}, which has {bar:.1f}."
        return f"Of the baseline's runs {short[0]}." if short[0] else below
    if not (finite(reported) and reported > 0):
        sides = {REPRODUCED: "lies above 0", POSITIVE: "lies above 0", EXCLUDED: "lies below 0"}
        known = "no gain" if finite(reported) else "no number for this"
        reach = "" if word in sides else f" and excludes gains above {gain.high:+.1f}"
        return f"The interval {sides.get(word, 'contains 0')}{reach}; the paper reports {known}.{_at_edges(edges)}"
    open_, most = would_decide(gain, reported, of), f"gains above {gain.high:+.1f} are excluded"
    # Seeds do not decide what hangs on a rate.
    open_ = "" if any(edges) else f"; {open_}"
    chosen = f", lowered to {lowered(gain, of):+.1f} as the best of {of}," if of > 1 else ""
    less = f", but the gain{chosen} is less than {half}{open_}" if lowered(gain, of) < half_of(reported) else ""
    sentence = {
        REPRODUCED: f"The interval lies above 0, and the gain{chosen} is at least {half}.",
        EXCLUDED: f"The whole interval lies below {half}.",
        POSITIVE: f"The interval lies above 0{less}.",
        UNDECIDED: f"The interval {'contains 0' if gain.high >= 0 else 'lies below 0'}; {most}{open_}.",
    }[word]
    sentence += f" Of the runs with it {short[1]}." if short[1] else ""
    return sentence + _at_edges(edges)


def _at_edges(edges: Sequence[float], arms: Sequence[str] = ("the baseline", "the model with it")) -> str:
    """Which arms might be better at another rate, as a sentence; empty for none."""
    named = [name for name, edge in zip(arms, edges, strict=True) if edge]
    if not named:
        return ""
    one = len(named) == 1
    return (
        f" The learning rate{'' if one else 's'} of {' and '.join(named)} {'is' if one else 'are'} the smallest or "
        f"largest that was tried; a better one is taken to be worth up to {max(edges):g} points."
    )


def decided(cells: Cells, dataset: str, baseline: str, other: str, reported: float, sweep: str) -> Finding:
    """The finding on "`other` is better than `baseline` by `reported`" (NaN: no number); `sweep` makes the runs."""
    printed = f"{reported:+.2f}" if finite(reported) else "–"
    metric = beside_paper.HEADLINE[dataset]
    gain = beside_paper.gain(cells.frame, dataset, metric, baseline, other) if cells.runs else None
    if gain is None:
        return too_few(f"Not run yet: `{command(sweep, cells.store)}`.", printed)
    word = beside_paper.word(cells.frame, dataset, baseline, other, reported)
    short = [beside_paper.shortfall(cells.frame, dataset, name) for name in (baseline, other)]
    edges = [beside_paper.edge(cells.of(name, dataset), metric) for name in (baseline, other)]
    reason = why(word, gain, reported, short, beside_paper.probe_score(dataset), edges=edges)
    return Finding(word, printed, beside_paper.signed(gain), gain.seeds, reason, cells.protocol)


@rule(MEASURED)
def plugged(evidence: Evidence, backbone: str, dataset: str, baseline: str = "concatenation") -> Finding:
    """A backbone with LMAM beats itself without (Tables II to IV), in the best of LMAM's readings (protocol 2)."""
    reported = headline.reported_gain(backbone, dataset, baseline)
    if dataset == "pom":
        return _on_pom(evidence, backbone, baseline)
    attention = baseline != "concatenation"
    cell = evidence.attention(dataset) if attention else evidence.headline(backbone, dataset)
    if cell is None:
        return too_few(f"No runs are planned on {dataset.upper()}.", f"{reported:+.2f}")
    row, study = headline.row(cell), f"attention_{backbone}" if attention else f"headline_{backbone}"
    if attention and int(str(row["seeds"])) < FEW and dataset != "meld":
        first = tables.plugged(backbone, evidence.store)
        return decided(first, dataset, baseline, beside_paper.starred(backbone), reported, study)
    if not row["seeds"]:
        return too_few(f"Not run yet: `{command(study, evidence.store)}`.", f"{reported:+.2f}")
    best = cell.effects()[str(row["best reading"])]
    word, of = str(row["word"]), int(str(row["of"]))
    reason = why(word, best, reported, (str(row["short"]), ""), cell.bar, of, bar_of=cell.bar_of)
    reason += f" Without LMAM {row['concatenation']:.1f}, with it {row['LMAM']:.1f} (reading “{row['best reading']}”)."
    reason += f" Not measured yet: {row['waiting']}." if row["waiting"] else ""
    return Finding(word, f"{reported:+.2f}", beside_paper.signed(best), best.seeds, reason, 2)


def _on_pom(evidence: Evidence, backbone: str, baseline: str) -> Finding:
    """The finding on POM's accuracy, with the other two metrics as notes."""
    name = backbone if baseline == "concatenation" else traits.ATTENTION
    cell = evidence.traits(name)
    by_metric = {metric: traits.decide(cell, metric, baseline) for metric in traits.METRICS}
    main = by_metric.pop(beside_paper.HEADLINE["pom"])
    printed = f"{main.reported:+.2f}"
    if main.gain is None:
        return too_few(f"Not run yet: `{command(f'traits_{name}', evidence.store)}`. {POM}", printed)
    edges = [beside_paper.edge(cell.runs[arm], "accuracy") for arm in ("concatenation", "own")]
    reason = why(main.word, main.gain, main.reported, edges=edges)
    if main.word == NOT_WORKING:
        reason = f"The baseline has {main.without:.1f}, a ridge regression from each video's means {main.bar:.1f}."
    others = (f"{m} {beside_paper.signed(d.gain, 3)}, {d.word}" for m, d in by_metric.items())
    reason += f" {POM} Without LMAM {main.without:.1f}, with it {main.with_:.1f}. Also: {'; '.join(others)}."
    return Finding(main.word, printed, beside_paper.signed(main.gain), main.gain.seeds, reason, 2)


@rule(MEASURED)
def residual(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """Early fusion with a residual beats early fusion without (Table XI)."""
    arms = ("LMAM early", "LMAM early + residual")
    cells = evidence.cells(tables.embedding_ways, backbone, dataset=dataset, arms=arms)
    return _from_cells(cells, *arms, dataset, f"ways_{backbone}")


@rule(MEASURED)
def equal_parameters(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """A backbone with LMAM beats itself widened to as many parameters (Table V)."""
    arms = ("concatenation, widened", beside_paper.starred(backbone))
    cells = evidence.cells(tables.equal_parameters, backbone, dataset=dataset, arms=arms)
    return _from_cells(cells, *arms, dataset, f"widened_{backbone}")


@rule(MEASURED)
def fusion(evidence: Evidence, method: str, dataset: str) -> Finding:
    """LMAM beats another fusion method behind EmoCaps (Table IX); behind bc-LSTM as notes."""
    emocaps, behind = (
        evidence.cells(tables.fusion_methods, backbone, dataset=dataset, arms=(method, "LMAM"))
        for backbone in ("emocaps", "bc_lstm")
    )
    finding = _from_cells(emocaps, method, "LMAM", dataset, _grid(dataset))
    there = behind.gain("LMAM", dataset, beside_paper.HEADLINE[dataset], method) if behind.runs else None
    if there is None:
        return finding
    note = f" Behind bc-LSTM: {beside_paper.signed(there)}"
    short = beside_paper.shortfall(behind.frame, dataset, method if there.mean > 0 else "LMAM")
    note += f", but of {method if there.mean > 0 else 'LMAM'}'s runs {short}." if short else "."
    return dataclasses.replace(finding, reason=finding.reason + note)


@rule(MEASURED)
def low_rank_beats_attention(evidence: Evidence, dataset: str) -> Finding:
    """LMAM at its low rank beats self-attention as a fusion method in the same place, behind bc-LSTM."""
    arms = ("self-attention", "LMAM")
    cells = evidence.cells(tables.fusion_methods, "bc_lstm", dataset=dataset, arms=arms)
    finding = _from_cells(cells, *arms, dataset, "methods_bc_lstm")
    note = " Self-attention stands in LMAM's late place here; the rows of bc-LSTM+Att are of another model."
    plain = cells.gain("Concatenate", dataset, beside_paper.HEADLINE[dataset], "self-attention") if cells.runs else None
    note += f" Concatenation, which has no attention, over the same: {beside_paper.signed(plain)}." if plain else ""
    return dataclasses.replace(finding, reason=finding.reason + note)


def _grid(dataset: str) -> str:
    """The study that has Table IX behind EmoCaps on a dataset."""
    return "methods_emocaps_meld" if dataset == "meld" else "methods_emocaps"


def _from_cells(cells: Cells, baseline: str, other: str, dataset: str, sweep: str) -> Finding:
    metric = beside_paper.HEADLINE[dataset]
    reported = cells.printed(other, dataset, metric) - cells.printed(baseline, dataset, metric)
    return decided(cells, dataset, baseline, other, reported, sweep)


@rule(MEASURED)
def close(evidence: Evidence, method: str, dataset: str, margin: str = "2") -> Finding:
    """Two fusion methods behind EmoCaps are within `margin` points: the interval lies within it."""
    cells = evidence.cells(tables.fusion_methods, "emocaps", dataset=dataset, arms=(method, "LMAM"))
    metric, reach = beside_paper.HEADLINE[dataset], float(margin)
    printed = f"{cells.printed('LMAM', dataset, metric) - cells.printed(method, dataset, metric):+.2f}"
    gain = cells.gain("LMAM", dataset, metric, method) if cells.runs else None
    if gain is None or gain.seeds < FEW:
        return too_few(f"Fewer than five seeds yet: `{command(_grid(dataset), evidence.store)}`.", printed)
    for arm in ("LMAM", method):
        if short := beside_paper.shortfall(cells.frame, dataset, arm):
            reason = f"Of the runs of {arm} {short}."
            return Finding(NOT_WORKING, printed, beside_paper.signed(gain), gain.seeds, reason, cells.protocol)
    within = gain.low > -reach and gain.high < reach
    apart = gain.low > reach or gain.high < -reach
    word = REPRODUCED if within else EXCLUDED if apart else UNDECIDED
    place = "within" if within else "outside of" if apart else "across the edge of"
    reason = f"The interval lies {place} {margin} points around LMAM."
    return Finding(word, printed, beside_paper.signed(gain), gain.seeds, reason, cells.protocol)


@rule(MEASURED)
def order(evidence: Evidence, dataset: str, arms: str) -> Finding:
    """Modality sets come in this order with LMAM behind bc-LSTM (Table X): `T>A` means that T is better than A.

    Reproduced: every step's interval lies above 0. Excluded: one that lies below 0 is enough, as the claim is about all
    of them. A step whose sets cannot be had, or were not trained, is left open.
    """
    sets, metric = arms.split(">"), beside_paper.HEADLINE[dataset]
    cells = evidence.cells(tables.modality_sets, "LMAM late", dataset=dataset, arms=sets)
    steps = list(pairwise(sets))
    gains = {step: cells.gain(step[0], dataset, metric, step[1]) if cells.runs else None for step in steps}
    run = {step: gain for step, gain in gains.items() if gain is not None and gain.seeds >= FEW}
    short = {a: beside_paper.shortfall(cells.frame, dataset, a) for step in run for a in step}
    run = {step: gain for step, gain in run.items() if not any(short[a] for a in step)}
    ours = "; ".join(f"{a} − {b}: {beside_paper.signed(gain)}" for (a, b), gain in run.items()) or "–"
    n = min((gain.seeds for gain in run.values()), default=0)
    refuted = [f"{a} over {b}" for (a, b), gain in run.items() if gain.high < 0]
    if refuted:
        return Finding(
            EXCLUDED, arms, ours, n, f"The interval lies below 0: {', '.join(refuted)}.{BC_LSTM}", cells.protocol
        )
    if len(run) < len(steps):
        lacking = {a for step in steps for a in step} - set(cells.arms(dataset))
        no_video = any("V" in a for a in lacking)
        reasons = [NO_VIDEO[dataset]] if no_video else []
        reasons += [f"Of the runs of {a} {s}." for a, s in short.items() if s]
        reasons += [] if reasons else [f"Runs are missing: `{command('subsets_bc_lstm', evidence.store)}`."]
        shown = "Of its steps these are measured; " if run else ""
        word = NOT_TESTABLE if no_video else TOO_FEW
        return Finding(word, arms, ours, n, shown + " ".join(reasons) + BC_LSTM, cells.protocol if run else 0)
    edges = {a: beside_paper.edge(cells.of(a, dataset), metric) for a in sets}
    sure = all(gain.low > 0 for gain in run.values())
    decided = all(gain.low > edges[b] for (_, b), gain in run.items())
    reason = "Every step's interval lies above 0." if sure else "A step's interval contains 0."
    reason += _at_edges(list(edges.values()), list(edges)) + BC_LSTM
    return Finding(REPRODUCED if decided else UNDECIDED, arms, ours, n, reason, cells.protocol)


@rule(MEASURED)
def classes_significant(evidence: Evidence, backbone: str, dataset: str) -> Finding:
    """Every class's F1 differs with LMAM, at p < 0.05 in a paired t-test (Tables VII, VIII).

    Reproduced where every class does. A test that does not find a difference refutes none, so that it is undecided
    otherwise. Differs either way, as the paper tests no direction.
    """
    cell = evidence.headline(backbone, dataset)
    if cell is None or min(len(cell.runs["concatenation"]), len(cell.runs["own"])) < FEW:
        known = f"`{command(f'headline_{backbone}', evidence.store)}` makes them" if cell else "none are planned"
        return too_few(f"Fewer than five seeds: {known}.", "all")
    classes = significance.class_tests(cell.runs["concatenation"], cell.runs["own"]).set_index("class")
    classes = classes.drop("all classes")
    better, worse = ((classes.p_t < 0.05) & (classes.gain * s > 0) for s in (1, -1))
    changed = int((better | worse).sum())
    corrected = classes.gain[classes.p_t_holm < 0.05]
    reason = f"Classes that gain at p < 0.05: {better.sum()}, that lose: {worse.sum()}; after Holm's correction "
    reason += f"{(corrected > 0).sum()} and {(corrected < 0).sum()}. LMAM as the equations are printed."
    word = REPRODUCED if changed == len(classes) else UNDECIDED
    return Finding(word, "all", f"{changed} of {len(classes)}", int(classes.n.min()), reason, 2)


@rule(MEASURED)
def second_modality(evidence: Evidence, dataset: str) -> Finding:
    """LMAM that matches modalities gains from audio of the same utterance, over audio of others (bc-LSTM)."""
    arms, metric = ("T+A", "T+A, A shuffled"), beside_paper.HEADLINE[dataset]
    cells = evidence.cells(tables.modality_sets, "LMAM late, keys=others", dataset=dataset, arms=arms)
    gain = cells.gain(arms[0], dataset, metric, arms[1]) if cells.runs else None
    if gain is None or gain.seeds < FEW:
        return too_few(f"Fewer than five seeds yet: `{command('subsets_bc_lstm', evidence.store)}`.")
    word = rule_word([gain], float("nan"))
    reason = f"{why(word, gain, float('nan'))} Text with audio, over text with audio that is shuffled among "
    reason += "utterances: what audio adds at all, of which what modalities tell only together is a part. bc-LSTM."
    return Finding(word, "–", beside_paper.signed(gain), gain.seeds, reason, cells.protocol)


@rule(MEASURED)
def overfits(evidence: Evidence, dataset: str) -> Finding:
    """LMAM overfits less: how far test lies below the best validation score, with LMAM against without.

    Reproduced: the interval over seeds lies below 0 in every backbone with five seeds; excluded: above 0 in one of
    them; undecided otherwise. The paper names no measure; this one is ours.
    """
    metric, gaps = beside_paper.HEADLINE[dataset], {}
    for backbone in STARRED:
        cell = evidence.headline(backbone, dataset)
        if cell and len(cell.shared("own")) >= FEW:
            without, with_ = (
                {r.experiment.seed: r.training.best_score - r.metrics[metric] for r in cell.runs[name]}
                for name in ("concatenation", "own")
            )
            gaps[run_names.title(backbone)] = compare(without, with_).difference
    if not gaps:
        return too_few(f"Fewer than five seeds yet: `{command('all', evidence.store)}`.", "less")
    more, less = sum(gap.low > 0 for gap in gaps.values()), sum(gap.high < 0 for gap in gaps.values())
    word = EXCLUDED if more else REPRODUCED if less == len(gaps) else UNDECIDED
    ours = "; ".join(f"{name}: {gap.mean:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})" for name, gap in gaps.items())
    reason = "How much farther test lies below the best validation score with LMAM, in points; intervals over seeds "
    reason += "alone. The paper names no measure of overfitting."
    return Finding(word, "less", ours, min(gap.n for gap in gaps.values()), reason, 2)


@rule(MEASURED)
def sessions(evidence: Evidence, metric: str) -> Finding:
    """DHCN with LMAM beats DHCN (Table XIII): the better of two readings of what its modalities are."""
    decided = table_13.decide(evidence.store, metric)
    printed = f"{decided.reported:+.2f}"
    if not decided.effects:
        return too_few(f"Not run yet: `{command('sessions', evidence.store)}`.", printed)
    best = decided.effects[decided.best]
    others = [f"{name} {beside_paper.signed(e, 2)}" for name, e in decided.effects.items() if name != decided.best]
    reason = f"{metric} of {decided.best} over DHCN, trained on the last {table_13.runs_fraction()}th of the sessions; "
    reason += f"Table XIII is of all. The other reading: {'; '.join(others) or 'not run yet'}."
    if decided.word == NOT_WORKING:
        reason = f"DHCN is below counting, which has {decided.bar:.1f}. {reason}"
    return Finding(decided.word, printed, beside_paper.signed(best, 2), best.seeds, reason, 2)


@rule(MEASURED)
def humour(evidence: Evidence) -> Finding:
    """C-MFN with LMAM beats C-MFN on UR-FUNNY (Table XIV), all modalities, punchline and context.

    Runs on other data decide nothing about it; what generated segments show is named beside it.
    """
    cell = [table_14.HEADLINE]
    reported = table_14.reported(cell)
    gain = table_14.gain(tasks.stored_runs("humour_full", evidence.store), cell)
    if gain is None:
        reason = "UR-FUNNY's six files (data_folds.pkl and those beside it) could not be had; with them, "
        reason += "`lmam sweep humour_full` decides."
        if synthetic := table_14.gain(tasks.stored_runs("humour", evidence.store), cell):
            reason += f" On generated segments (synthetic) the same cell gains {beside_paper.signed(synthetic)}."
        return untestable(reason, f"{reported:+.2f}")
    word = rule_word([gain], reported)
    reason = f"{why(word, gain, reported)} LMAM late, as its place is not reported."
    return Finding(word, f"{reported:+.2f}", beside_paper.signed(gain), gain.seeds, reason, 2)


@rule(COUNTED_KIND)
def size_of_test_set(
    evidence: Evidence, dataset: str, plan: str, dialogues: str, utterances: str, other_split: str = ""
) -> Finding:
    """The test set has as many dialogues and utterances as Table I prints, counted in what runs were scored on.

    Or as the test part of `other_split` has, a public split that runs here do not use, counted in `splits.csv`.
    """
    runs = [r for r in evidence.runs(plan) if r.experiment.dataset == dataset]
    printed = f"{dialogues} / {utterances}"
    if not runs:
        return untestable(f"Not run yet: `{command(plan, evidence.store)}`.", printed)
    total = runs[0].total
    counted = (len(runs[0].outcomes), int(total.sum() if runs[0].classes else total[0]))
    ours = f"{counted[0]} / {counted[1]}"
    if counted == (int(dialogues), int(utterances)):
        return Finding(HOLDS, printed, ours, 0, "Dialogues and utterances agree.")
    if other_split and (other := splits.size(dataset, other_split)) == (int(dialogues), int(utterances)):
        reason = f"In the {other_split} split of the same videos. Runs here use that of the features, which has {ours}."
        return Finding(HOLDS, printed, f"{other[0]} / {other[1]}", 0, reason)
    same = counted[0] == int(dialogues)
    reason = "The number of dialogues agrees, that of utterances does not." if same else "Neither agrees."
    return Finding(IN_PART if same else DOES_NOT_HOLD, printed, ours, 0, reason)
