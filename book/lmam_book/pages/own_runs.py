"""What chapters show of runs of one's own: any dataset, in any store but the book's."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from IPython.display import HTML, Markdown

from lmam_book.pages import style as reporting
from lmam_book.pages.figures.gains import Gain
from lmam_book.pages.headline_page import class_gains
from lmam_book.verdicts import own_backbone
from lmam_book.verdicts.arms_table import differing, ways
from lmam_book.verdicts.beside_paper import TITLES, signed
from lmam_book.verdicts.own_backbone import Compared
from lmam_book.verdicts.rule import FEW
from lmam_core import paths
from lmam_core.data import catalogue
from lmam_core.runs import names
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.store import Store

BOOK = "book"


def compared(store: str, dataset: str, *backbones: str) -> dict[str, Compared]:
    """Every arm of one's own beside its concatenation, by what a page calls it; none in the book's own store."""
    ours = [] if store == BOOK else own_backbone.own_runs(Store(paths.store(store)), dataset, backbones)
    arms = [one.fused[0].experiment for one in ours]
    differ = differing(arms)
    told = [name for name in ("features", "protocol") if len({getattr(e, name) for e in arms}) > 1]
    several = len({e.backbone for e in arms}) > 1
    return {
        ", ".join([*_called(e, several), *(getattr(e, name) for name in told), *differ[e]]): one
        for e, one in zip(arms, ours, strict=True)
    }


def _called(e: Experiment, several: bool) -> list[str]:
    """`LMAM late`, `rank 7`, before them the backbone where there are several."""
    parts = {
        names.title(e.backbone): several,
        names.arm(e): True,
        f"rank {e.rank}": e.rank,
        f"width {e.width}": e.width,
        f"{e.shuffled} shuffled": e.shuffled,
    }
    return [part for part, there in parts.items() if there]


def pair(e: Experiment) -> list[Experiment]:
    """An experiment's concatenation, with the same encoders, and itself."""
    plain = dataclasses.replace(e, fusion="concat", rank=None, variant=None, readings="")
    return [dataclasses.replace(plain, embedding=ways(e)[-1]), e]


def shown(store: str, wanted: Sequence[Experiment]) -> Markdown | HTML:
    """`answer` for the backbones of some experiments, which are those that it asks for where there are none."""
    return reporting.prose(answer(store, wanted, compared(store, wanted[0].dataset, *{e.backbone for e in wanted})))


def answer(store: str, wanted: Sequence[Experiment], ours: dict[str, Compared]) -> str:
    """A Markdown line per arm: gain with interval and seeds, both scores, the word; below two seeds none.

    Without any the command that makes the runs `wanted`. Empty for the book's own store and the book's own datasets.
    """
    dataset = wanted[0].dataset
    if store == BOOK and not catalogue.is_path(dataset):
        return ""
    if not ours:
        made_by = commands(store, wanted)
        then = f"`store = {str(paths.MINE)!r}`" if store == BOOK else "this cell"
        return (
            f"You have no runs on `{dataset}` here yet, two seeds at least of an arm and its concatenation: "
            f"{' and '.join(made_by)} make{'s' * (len(made_by) == 1)} {FEW}, and {then} shows the gains."
        )
    return "\n".join(f"- {_line(dataset, name, one)}" for name, one in ours.items())


def _line(dataset: str, name: str, one: Compared) -> str:
    digits = one.digits
    without, with_ = (f"{one.mean(arm):.{digits}f}" for arm in (one.plain, one.fused))
    caution = one.fused[0].caution
    text = (
        f"**Your runs on `{dataset}`**{f' ({caution})' if caution else ''}, {name}: {signed(one.gain, digits)} "
        f"{TITLES[one.metric]}, {one.gain.seeds} seeds, {one.gain.conversations} test conversations; "
        f"{without} without, {with_} with it: {reporting.badge(one.word)}"
    )
    return text + (f" ({one.why})" if one.why else "")


def commands(store: str, wanted: Sequence[Experiment]) -> list[str]:
    """What makes some runs, a command per place of fusion: `lmam sweep --dataset mine --fusion concat,lmam ...`."""
    root = str(paths.MINE) if store == BOOK else store
    places: dict[str | None, list[Experiment]] = {}
    for e in wanted:
        places.setdefault(e.embedding, []).append(e)
    parts = []
    for way, arms in places.items():
        names = ("dataset", "backbone", "fusion", "rank")
        given = {name: ",".join(_values(arms, name)) for name in names}
        given |= {
            "modalities": "+".join(arms[0].modalities),
            "embedding": way or "",
            "seeds": f"0-{FEW - 1}",
            "store": root,
        }
        parts.append(" ".join(["lmam sweep", *(f"--{n} {shlex.quote(v)}" for n, v in given.items() if v)]))
    return [f"`{part}`" for part in parts]


def _values(arms: Sequence[Experiment], name: str) -> list[str]:
    return list(dict.fromkeys(str(v) for e in arms if (v := getattr(e, name)) is not None))


def gains(dataset: str, ours: dict[str, Compared]) -> dict[str, dict[str, Gain]]:
    """The panels of `figures.gains.forest` for one's own runs: one per metric, none without runs."""
    panels: dict[str, dict[str, Gain]] = {}
    for name, one in ours.items():
        panels.setdefault(f"your runs on {dataset}, {TITLES[one.metric].removesuffix(' %')}", {})[name] = Gain(one.gain)
    return panels


def classes(dataset: str, ours: dict[str, Compared]) -> dict[str, dict[str, Gain]]:
    """What the arm that gained most gains in the F1 of each class, as a panel; none of real numbers."""
    named = {name: one for name, one in ours.items() if one.plain[0].classes}
    if not named:
        return {}
    best = max(named, key=lambda name: named[name].gain.mean)
    return {f"your runs on {dataset}, {best}": class_gains(named[best].plain, named[best].fused)}
