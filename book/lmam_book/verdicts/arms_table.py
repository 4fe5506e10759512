"""The runs of any store as a table of text: the arms of each question, with intervals, gains and words."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence

from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.rule import FEW, UNDECIDED
from lmam_core.data import catalogue
from lmam_core.errors import LmamError
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

Asked = Experiment | Recommendation | Humour
Arms = dict[Asked, list[Run]]
Block = tuple[str, ...]


def lines(runs: Sequence[Run], among: Sequence[Run], metric: str | None = None) -> Iterator[str]:
    """A block of lines for each dataset, backbone, protocol and set of features, at most `WIDTH` wide.

    Runs that differ in anything but the seed are different arms. An arm's gain is over the concatenation `among` all
    runs that differs from it in the fusion method alone (early with residual: over the early one), paired by seed, with
    the interval of `effects.effect`; better and worse are said of intervals that leave out 0, from `FEW` shared seeds
    on. Raises LmamError where no run has the metric, or none touched the test set.
    """
    others = _blocks(among)
    wanted = set(map(id, runs))
    blocks = {
        block: shown
        for block, arms in others.items()
        if (shown := {e: mine for e, arm in arms.items() if (mine := [r for r in arm if id(r) in wanted])})
    }
    if not blocks:
        raise LmamError("These runs leave the test set alone; `lmam results --csv` shows what they were chosen by.")
    for block in sorted(blocks):
        yield from _lines(block, blocks[block], others[block], metric)
        yield ""
    note = (
        "Mean [95 % interval over seeds]; gain over the concatenation that is equal in all else, if there is one [95 % "
        "interval over seeds and conversations, not corrected for how many are compared]; better and worse from "
        f"{FEW} shared seeds on."
    )
    yield from textwrap.wrap(note, WIDTH)


def _blocks(runs: Sequence[Run]) -> dict[Block, Arms]:
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


def _lines(block: Block, arms: Arms, among: Arms, metric: str | None) -> Iterator[str]:
    runs = [run for arm in arms.values() for run in arm]
    metric = metric or METRICS.get(block[0], "weighted_f1" if runs[0].classes else "mae")
    if metric not in runs[0].metrics:
        raise LmamError(f"Runs on {block[0]} have no {metric}; they have {', '.join(runs[0].metrics)}.")
    cautions = sorted({run.caution for run in runs} - {""})
    yield from textwrap.wrap("  ".join([*block, metric]), WIDTH, subsequent_indent="    ")
    yield from (f"  ({caution})" for caution in cautions)
    differing = [name for name in DIFFERING if len({getattr(e, name, None) for e in arms}) > 1]
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
        differences = [DIFFERING[n].format(v) for n in differing if (v := getattr(e, n, None)) is not None]
        mean = interval([run.metrics[metric] for run in arms[e]])
        rows.append((", ".join([arms[e][0].arm, *differences]), mean, _gain(e, arms[e], among, metric)))
    width = max([3, *(len(name) for name, *_ in rows if len(name) <= LONGEST)])
    yield f"  {'arm':{width}}  seeds  {'mean':22}  gain"
    for name, mean, gain in rows:
        if len(name) > width:
            yield from textwrap.wrap(name, WIDTH, initial_indent="  ", subsequent_indent="    ")
            name = ""
        ends = f" [{mean.low:.2f}, {mean.high:.2f}]" if mean.n > 1 else ""
        yield f"  {name:{width}}  {mean.n:5}  {f'{mean.mean:.2f}{ends}':22}  {_gain_text(gain)}".rstrip()


def _gain(e: Asked, arm: list[Run], among: Arms, metric: str) -> Effect | None:
    """How much better an arm is than its concatenation, of other tasks than its model without fusion.

    None where none has two of its seeds.
    """
    if not isinstance(e, Experiment):
        other = among.get(dataclasses.replace(e, fusion=NONE).resolved()) if e.fusion != NONE else None
    elif e.fusion == "concat":
        return None
    else:
        plain = dataclasses.replace(e, fusion="concat", rank=None, variant=None, readings="")
        early = dataclasses.replace(plain, embedding="early")
        other = among.get(plain) or (among.get(early) if e.embedding == "early_residual" else None)
    shared = {r.experiment.seed for r in arm} & {r.experiment.seed for r in other or ()}
    return effect(other, arm, metric) if other and len(shared) > 1 else None


def _gain_text(gain: Effect | None) -> str:
    if gain is None:
        return ""
    word = "better" if gain.low > 0 else "worse" if gain.high < 0 else UNDECIDED
    shown = f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
    return f"{shown:24}{word if gain.seeds >= FEW else 'too few seeds'}"
