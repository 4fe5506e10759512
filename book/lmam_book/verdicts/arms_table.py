"""The runs of any store as a table of text: the arms of each question, with intervals, gains and words."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.rule import FEW, own
from lmam_core.data import catalogue
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.record import CONVERSATION
from lmam_core.runs.run import Run
from lmam_core.runs.training import PROTOCOLS, UNTESTED
from lmam_core.tasks.humour.experiment import Humour
from lmam_core.tasks.recommendation.experiment import NONE, Recommendation

WIDTH = 100
LONGEST = 32
"""Of an arm's name that stands in a column; longer ones get a line of their own."""
METRICS = {"mosi": "acc2", "diginetica": "P@20"} | dict.fromkeys([*catalogue.names("humour"), "pom"], "accuracy")
"""The metric of the table where it is neither weighted F1, of classes, nor MAE, of real numbers."""
DIFFERING = {
    "learning_rate": "rate {:g}",
    "weight_decay": "decay {:g}",
    "dropout": "dropout {}",
    "batch_size": "batches of {}",
    "epochs": "{} epochs",
    "updates": "{} updates",
    "patience": "patience {}",
    "dialogues": "{} dialogues",
}
"""The fields that neither `Run.arm` nor a block's head names, and how an arm says them where they differ."""

SEARCHED = ("learning_rate", "weight_decay", "dropout")
"""The fields that a search chooses for each arm by itself (`plans.search`)."""
MEASURED = {"tuning": "honest", "tuning1": "protocol1"}
"""The protocol whose runs each protocol without the test set chooses those fields for."""
SCREEN = 40
"""Arms from which on `lmam results` without a filter shows `overview`."""
ALONE = "These runs leave the test set alone; `lmam results --csv` shows what they were chosen by."
PARTNER = "the concatenation that is equal in all else but searched numbers, if there is one"

AnyExperiment = Experiment | Recommendation | Humour
Arms = dict[AnyExperiment, list[Run]]
Block = tuple[str, ...]
Chosen = dict[Experiment, dict[str, Any]]


def lines(runs: Sequence[Run], among: Sequence[Run], of: str | None = None) -> Iterator[str]:
    """A block of lines for each dataset, backbone, protocol and set of features, at most `WIDTH` wide.

    Runs that differ in anything but the seed are different arms. An arm's gain is over the concatenation `among` all
    runs that differs from it in the fusion method alone (`plain`), paired by seed, with the interval of
    `effects.effect`; of two arms that were searched, the searched numbers may differ. Better and worse are said of
    intervals that leave out 0, from `FEW` shared seeds on. Raises LmamError where no run has the metric, or none
    touched the test set.
    """
    others = questions(among)
    wanted = set(map(id, runs))
    blocks = {
        block: shown
        for block, arms in others.items()
        if (shown := {e: mine for e, arm in arms.items() if (mine := [r for r in arm if id(r) in wanted])})
    }
    if not blocks:
        raise LmamError(ALONE)
    chosen = chosen_numbers(among)
    for block in sorted(blocks):
        yield from _lines(block, blocks[block], others[block], chosen, of)
        yield ""
    note = (
        f"Mean [95 % interval over seeds]; gain over {PARTNER} [95 % interval over seeds and conversations, not "
        f"corrected for how many are compared]; the word, from {FEW} shared seeds on, does not ask whether the "
        "concatenation works: the chapter of its backbone does."
    )
    yield from textwrap.wrap(note, WIDTH)


def arms(runs: Sequence[Run]) -> int:
    """How many arms `lines` would show."""
    return sum(map(len, questions(runs).values()))


def overview(runs: Sequence[Run], of: str | None = None) -> Iterator[str]:
    """One line for each dataset, backbone and fusion method, under the first of `PROTOCOLS` that the dataset has.

    Of several arms it is the one with the most modalities, then as printed in the paper, then with the most seeds.
    Gains are those of `lines`, whose errors it raises.
    """
    blocks, chosen = questions(runs), chosen_numbers(runs)
    if not blocks:
        raise LmamError(ALONE)
    places = sorted(
        ((block, e) for block, arms in blocks.items() for e in arms),
        key=lambda one: (one[0][0], one[1].backbone, one[1].fusion, _standing(one[1], blocks[one[0]][one[1]])),
    )
    for dataset, arms_here in itertools.groupby(places, key=lambda one: one[0][0]):
        here = list(arms_here)
        protocol = min((e.protocol for _, e in here), key=[*PROTOCOLS].index)
        shown: dict[tuple[str, str], tuple[Block, AnyExperiment]] = {}
        for block, e in here:
            if e.protocol == protocol:
                shown.setdefault((e.backbone, e.fusion), (block, e))
        runs_here = [run for block, e in shown.values() for run in blocks[block][e]]
        name = _shown(runs_here, of)
        cautions = sorted({f"({run.caution})" for run in runs_here} - {"()"})
        yield from textwrap.wrap("  ".join([dataset, protocol, name, *cautions]), WIDTH, subsequent_indent="    ")
        yield f"  {'backbone':13} {'arm':30} seeds  {'mean':12}  gain"
        for block, e in shown.values():
            arm = blocks[block][e]
            mean, gain = interval([run.metrics[name] for run in arm]), _gain(e, arm, blocks[block], chosen, name)
            half = f" ± {mean.high - mean.mean:.2f}" if mean.n > 1 else ""
            told = "" if gain is None else f"{gain.mean:+.2f} ± {gain.half:.2f}"
            numbers = f"{mean.n:5}  {mean.mean:.2f}{half:8} {told:15} {'' if gain is None else own(gain)}"
            yield f"  {e.backbone:13} {arm[0].arm:30} {numbers}".rstrip()
        if more := len(here) - len(shown):
            yield f"  and {more} more arms: `lmam results --dataset {dataset}`"
        yield ""
    note = (
        "Of each backbone and fusion method the arm with the most modalities, as printed in the paper, with the most "
        f"seeds. Half the width of each 95 % interval follows ±; gain over {PARTNER}, not corrected for how many are "
        f"compared; the word is said from {FEW} shared seeds on."
    )
    yield from textwrap.wrap(note, WIDTH)


def _standing(e: AnyExperiment, arm: Sequence[Run]) -> tuple[object, ...]:
    """What comes first in `overview`."""
    aside = sum(bool(getattr(e, name, None)) for name in ("readings", "width", "shuffled", "faithful", "dialogues"))
    printed = getattr(e, "variant", None) in (None, "paper")
    return (-len(getattr(e, "modalities", ())), aside + (not printed), -len(arm), str(e))


def metric(run: Run) -> str:
    """The metric that decides where runs like this one are compared."""
    return METRICS.get(run.dataset, "weighted_f1" if run.classes else "mae")


def questions(runs: Sequence[Run]) -> dict[Block, Arms]:
    """What is compared with each other, each with its arms: experiments without seed, by what the run file says."""
    blocks: dict[Block, Arms] = {}
    contents: dict[str, set[str]] = {}
    for run in runs:
        contents.setdefault(run.dataset, set()).add(str(run.provenance.get("data_sha256", ""))[:8])
    for run in runs:
        e = dataclasses.replace(run.experiment, seed=0, dataset=run.dataset)
        if e.protocol not in UNTESTED:
            block: Block = (run.dataset, e.backbone, e.protocol, getattr(e, "features", ""))
            if len(contents[run.dataset]) > 1:
                block = (*block, f"data {str(run.provenance.get('data_sha256', ''))[:8]}")
            blocks.setdefault(block, {}).setdefault(e, []).append(run)
    return blocks


def _shown(runs: Sequence[Run], of: str | None) -> str:
    of = of or metric(runs[0])
    if of not in runs[0].metrics:
        raise LmamError(f"Runs on {runs[0].dataset} have no {of}; they have {', '.join(runs[0].metrics)}.")
    return of


def _lines(block: Block, arms: Arms, among: Arms, chosen: Chosen, of: str | None) -> Iterator[str]:
    runs = [run for arm in arms.values() for run in arm]
    of = _shown(runs, of)
    cautions = sorted({run.caution for run in runs} - {""})
    yield from textwrap.wrap("  ".join([*block, of]), WIDTH, subsequent_indent="    ")
    yield from (f"  ({caution})" for caution in cautions)
    differ = differing(arms)
    rows = []
    for e in sorted(
        arms,
        key=lambda e: (
            e.fusion,
            *(getattr(e, name, "") or "" for name in ("embedding", "variant")),
            e.rank or 0,
            str(e),
        ),
    ):
        mean = interval([run.metrics[of] for run in arms[e]])
        rows.append((", ".join([arms[e][0].arm, *differ[e]]), mean, _gain(e, arms[e], among, chosen, of)))
    width = max([3, *(len(name) for name, *_ in rows if len(name) <= LONGEST)])
    yield f"  {'arm':{width}}  seeds  {'mean':22}  gain"
    for name, mean, gain in rows:
        if len(name) > width:
            yield from textwrap.wrap(name, WIDTH, initial_indent="  ", subsequent_indent="    ")
            name = ""
        ends = f" [{mean.low:.2f}, {mean.high:.2f}]" if mean.n > 1 else ""
        yield f"  {name:{width}}  {mean.n:5}  {f'{mean.mean:.2f}{ends}':22}  {_gain_text(gain)}".rstrip()


def differing(arms: Iterable[AnyExperiment]) -> dict[AnyExperiment, list[str]]:
    """What each arm says of the fields of `DIFFERING` in which some differ."""
    names = [name for name in DIFFERING if len({getattr(e, name, None) for e in arms}) > 1]
    return {e: [DIFFERING[n].format(v) for n in names if (v := getattr(e, n, None)) is not None] for e in arms}


def _question(e: Experiment) -> Experiment:
    """An experiment without what a search chooses and what it may spend."""
    budget: dict[str, Any] = dict.fromkeys(("dropout", "batch_size", "epochs", "updates", "patience"))
    protocol = MEASURED.get(e.protocol, e.protocol)
    return dataclasses.replace(e, **budget, protocol=protocol, seed=0, learning_rate=0.0, weight_decay=0.0)


def chosen_numbers(runs: Sequence[Run]) -> Chosen:
    """The numbers that a store's tuning runs choose for each question: those with the best mean validation score.

    Of the trials with the most runs, as the first round of a search has one for each.
    """
    scores: dict[Experiment, dict[tuple[Any, ...], list[float]]] = {}
    for run in runs:
        if (e := run.experiment).task == CONVERSATION and e.protocol in MEASURED:
            question = _question(dataclasses.replace(e, dataset=run.dataset))
            trial = (*(getattr(e, name) for name in SEARCHED), e.epochs, e.updates)
            by_trial = scores.setdefault(question, {})
            by_trial.setdefault(trial, []).append(run.training.best_score * (1 if run.classes else -1))
    chosen = {}
    for question, by_trial in scores.items():
        most = max(map(len, by_trial.values()))
        best = max((np.mean(of), trial) for trial, of in by_trial.items() if len(of) == most)[1]
        chosen[question] = dict(zip(SEARCHED, best[: len(SEARCHED)], strict=True))
    return chosen


def plain(e: AnyExperiment, among: Arms, chosen: Chosen | None = None) -> list[Run]:
    """The runs that an arm's gain is counted from: its concatenation's, of other tasks the model's without fusion.

    The concatenation is equal in all else but the numbers that were `chosen` for each of the two; of early with
    residual it may be the early one, and of a backbone that relates modalities itself its own. None of a
    concatenation's own.
    """
    if not isinstance(e, Experiment):
        return among.get(dataclasses.replace(e, fusion=NONE).resolved(), []) if e.fusion != NONE else []
    if e.fusion == "concat":
        return []
    chosen = chosen or {}
    searched = chosen.get(_question(e), {"fusion": ""}).items() <= vars(e).items()
    for way in ways(e):
        other = dataclasses.replace(e, fusion="concat", embedding=way, rank=None, variant=None, readings="")
        numbers = chosen.get(_question(other), {}) if searched else {}
        if runs := among.get(dataclasses.replace(other, **numbers)) or among.get(other):
            return runs
    return []


def ways(e: Experiment) -> list[str | None]:
    """Where a concatenation may stand that an arm is compared with."""
    early = ["early"] if e.embedding == "early_residual" else []
    of = BACKBONES.get(e.backbone)  # one's own is not registered where its runs are read
    return [e.embedding, *early, *([of.native] if of and of.multimodal and e.embedding != "late" else [])]


def _gain(e: AnyExperiment, arm: list[Run], among: Arms, chosen: Chosen, metric: str) -> Effect | None:
    """How much better an arm is than `plain`; None where that has not two of its seeds."""
    other = plain(e, among, chosen)
    shared = {r.experiment.seed for r in arm} & {r.experiment.seed for r in other}
    return effect(other, arm, metric) if len(shared) > 1 else None


def _gain_text(gain: Effect | None) -> str:
    if gain is None:
        return ""
    shown = f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
    return f"{shown:24}{own(gain)}"
