"""The runs of any store as a table of text: the arms of each question, with intervals, gains and words."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.rule import FEW, own
from lmam_core.data import catalogue
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.training import UNTESTED
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

AnyExperiment = Experiment | Recommendation | Humour
Arms = dict[AnyExperiment, list[Run]]
Block = tuple[str, ...]


def lines(runs: Sequence[Run], among: Sequence[Run], of: str | None = None) -> Iterator[str]:
    """A block of lines for each dataset, backbone, protocol and set of features, at most `WIDTH` wide.

    Runs that differ in anything but the seed are different arms. An arm's gain is over the concatenation `among` all
    runs that differs from it in the fusion method alone (early with residual: over the early one), paired by seed, with
    the interval of `effects.effect`; better and worse are said of intervals that leave out 0, from `FEW` shared seeds
    on. Raises LmamError where no run has the metric, or none touched the test set.
    """
    others = questions(among)
    wanted = set(map(id, runs))
    blocks = {
        block: shown
        for block, arms in others.items()
        if (shown := {e: mine for e, arm in arms.items() if (mine := [r for r in arm if id(r) in wanted])})
    }
    if not blocks:
        raise LmamError("These runs leave the test set alone; `lmam results --csv` shows what they were chosen by.")
    for block in sorted(blocks):
        yield from _lines(block, blocks[block], others[block], of)
        yield ""
    note = (
        "Mean [95 % interval over seeds]; gain over the concatenation that is equal in all else, if there is one [95 % "
        "interval over seeds and conversations, not corrected for how many are compared]; the word, from "
        f"{FEW} shared seeds on, does not ask whether the concatenation works: the chapter of its backbone does."
    )
    yield from textwrap.wrap(note, WIDTH)


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


def _lines(block: Block, arms: Arms, among: Arms, of: str | None) -> Iterator[str]:
    runs = [run for arm in arms.values() for run in arm]
    of = of or metric(runs[0])
    if of not in runs[0].metrics:
        raise LmamError(f"Runs on {block[0]} have no {of}; they have {', '.join(runs[0].metrics)}.")
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
        rows.append((", ".join([arms[e][0].arm, *differ[e]]), mean, _gain(e, arms[e], among, of)))
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


def plain(e: AnyExperiment, among: Arms) -> list[Run]:
    """The runs that an arm's gain is counted from: its concatenation's, of other tasks the model's without fusion.

    The concatenation is equal in all else; of early with residual it may be the early one, and of a backbone that
    relates modalities itself its own. None of a concatenation's own.
    """
    if not isinstance(e, Experiment):
        return among.get(dataclasses.replace(e, fusion=NONE).resolved(), []) if e.fusion != NONE else []
    if e.fusion == "concat":
        return []
    other = dataclasses.replace(e, fusion="concat", rank=None, variant=None, readings="")
    return next((among[arm] for way in ways(e) if (arm := dataclasses.replace(other, embedding=way)) in among), [])


def ways(e: Experiment) -> list[str | None]:
    """Where a concatenation may stand that an arm is compared with."""
    early = ["early"] if e.embedding == "early_residual" else []
    of = BACKBONES.get(e.backbone)  # one's own is not registered where its runs are read
    return [e.embedding, *early, *([of.native] if of and of.multimodal and e.embedding != "late" else [])]


def _gain(e: AnyExperiment, arm: list[Run], among: Arms, metric: str) -> Effect | None:
    """How much better an arm is than `plain`; None where that has not two of its seeds."""
    other = plain(e, among)
    shared = {r.experiment.seed for r in arm} & {r.experiment.seed for r in other}
    return effect(other, arm, metric) if len(shared) > 1 else None


def _gain_text(gain: Effect | None) -> str:
    if gain is None:
        return ""
    shown = f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
    return f"{shown:24}{own(gain)}"
