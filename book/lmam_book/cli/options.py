"""Options that commands share: the fields of an experiment, the device, and the store."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from lmam_core import paths
from lmam_core.errors import LmamError

if TYPE_CHECKING:
    from lmam_core.runs.store import Store

Command = Callable[..., Any]

DATASETS = ("mosi", "iemocap", "meld", "synthetic-iemocap", "synthetic-meld")
EMBEDDINGS = ("early", "early_residual", "late")
VARIANTS = ("paper", "algorithm1", "released")
PROTOCOLS = ("honest", "tuning", "released", "protocol1", "tuning1")
LISTS = ("dataset", "backbone", "fusion", "embedding", "variant", "rank", "features", "readings", "protocol",
         "streams", "line", "fraction", "setting")  # fmt: skip
"""Fields that `lmam sweep` takes several values for, separated by commas or, in `FEATURES`, by semicolons."""
PAIRED = ("features", "readings")

FIELDS: dict[str, tuple[type, str]] = {
    "dataset": (str, f"{', '.join(DATASETS)}, pom, or the folder of one of your own (default synthetic-iemocap)"),
    "features": (str, "feature sets, as in text=glove200,audio=gemaps47; `lmam data` lists them (default the first)"),
    "modalities": (str, "such as text+audio (default all that the dataset has)"),
    "backbone": (str, "{names} (default bc_lstm)"),
    "fusion": (str, "{names} (default lmam)"),
    "embedding": (str, f"where fusion sits: {', '.join(EMBEDDINGS)} (default the backbone's own)"),
    "variant": (str, f"of LMAM: {', '.join(VARIANTS)} (default paper)"),
    "rank": (int, "low-rank width, from 1 to the narrowest width that the method sees (default the method's own)"),
    "readings": (str, "of LMAM's equations where the text allows several, as in keys=others,scale=width"),
    "protocol": (str, f"{', '.join(PROTOCOLS)} (default honest)"),
    "seed": (int, "of weights, batches and validation split (default 0)"),
    "learning_rate": (float, "Adam's (default 0.001)"),
    "weight_decay": (float, "Adam's (default 1e-05)"),
    "batch_size": (int, "conversations of a batch (default the protocol's)"),
    "epochs": (int, "passes over train at most (default the protocol's)"),
    "patience": (int, "updates, under epoch protocols epochs, without a better score (default the protocol's)"),
    "dialogues": (int, "keep only so many conversations of each split, for a quick look (default 0, all)"),
    "faithful": (bool, "let padding into the backbone's results where its original does"),
    "width": (int, "of the backbone's layers (default the backbone's own)"),
    "shuffled": (str, "modalities whose utterances are shuffled, so that they tell nothing, as in audio+video"),
    "updates": (int, "of the weights at most (default the protocol's)"),
    "dropout": (float, "of features and backbone, from 0 to below 1 (default the backbone's own)"),
    "streams": (str, "of recommendation, what is fused: channels, hops (default channels)"),
    "line": (str, "of recommendation, the line-graph channel: detached, trained (default detached)"),
    "fraction": (int, "of recommendation, keep the last 1 / FRACTION of the training sessions (default 64, 1 all)"),
    "layers": (int, "of recommendation, steps over the hypergraph (default 3)"),
    "ssl": (float, "of recommendation, the weight of the self-supervised term (default 0.01)"),
    "setting": (str, "of humour, what is read: punchline, context, both (default both)"),
    "context": (int, "of humour, sentences of context that are read at most (default 5)"),
}
"""Every field of the tasks' records: its type, and what it means."""

_REGISTERS = {"backbone": "lmam_core.models.backbones", "fusion": "lmam_core.models.fusion"}
_ENTERED = re.compile(r'^@?(?:\w+\.)?register\(\s*"(\w+)"', re.M)


def names(field: str) -> list[str]:
    """The names that a field takes, where it takes names.

    Backbones and fusion methods are those of the register once it is loaded; before, their files are read for them,
    since torch alone takes longer to load than help may.
    """
    fixed = {"dataset": DATASETS, "embedding": EMBEDDINGS, "variant": VARIANTS, "protocol": PROTOCOLS}
    if field not in _REGISTERS:
        return list(fixed.get(field, ()))
    if (loaded := sys.modules.get(_REGISTERS[field])) is not None:
        return list(loaded.BACKBONES if field == "backbone" else loaded.FUSIONS)
    models = Path(paths.__file__).parent / "models"
    files = sorted((models / _REGISTERS[field].rpartition(".")[2]).glob("*.py"))
    files += [models / "lmam.py"] if field == "fusion" else []
    return [name for file in files for name in _ENTERED.findall(file.read_text(encoding="utf-8"))]


class _Named(click.Option):
    """An option whose help lists the names that there are when it is asked for."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = FIELDS[str(self.name)][1].format(names=", ".join(names(str(self.name))))
        return super().get_help_record(ctx)


def _completed(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names for the last of several values."""
    before, comma, last = begun.rpartition(",")
    return [CompletionItem(before + comma + n) for n in names(str(option.name)) if n.startswith(last)]


def fields(field_names: Sequence[str], several: bool = False) -> Callable[[Command], Command]:
    """One option per field; with `several` those of `LISTS` take more than one value."""

    def add(command: Command) -> Command:
        for name in reversed(field_names):
            kind, text = FIELDS[name]
            flag = f"--{name.replace('_', '-')}"
            how: dict[str, Any] = {"is_flag": True} if kind is bool else {"type": kind}
            if several and name in LISTS:
                how = {"type": str}
                text = f"{text}; several, with {'semicolons' if name in PAIRED else 'commas'} between them"
            option = click.option(flag, name, default=None, help=text, cls=_Named if name in _REGISTERS else None,
                                  shell_complete=_completed if names(name) else None, **how)  # fmt: skip
            command = option(command)
        return command

    return add


def device(command: Command) -> Command:
    """`--device`."""
    return click.option("--device", default="cpu", help="auto, cpu, cuda or cuda:1 (default cpu)")(command)


def store(default: str) -> Callable[[Command], Command]:
    """`--store`."""
    text = f"folder of runs, or `book` for the book's own (default {default})"
    return click.option("--store", "root", default=None, help=text, type=click.Path())


def opened(root: str | None) -> Store:
    """The store that was asked for, by default the book's own; outside of a checkout `my-runs`."""
    from lmam_core.runs.store import Store

    return Store(paths.store(root))


def own(root: str | None) -> Store:
    """The store for runs of one's own, by default `my-runs`, and it says so: the book's store stays the book's."""
    if root is None:
        click.echo(f"Runs go to {paths.MINE} in this folder; --store names another one, --store book the book's own.")
        root = str(paths.MINE)
    return opened(root)


def task(command: Command) -> Command:
    """`--task`."""
    text = "conversation, recommendation or humour (default conversation)"
    return click.option("--task", "of", default="conversation", help=text)(command)


def records(of: str, fields: dict[str, Any]) -> type[Any]:
    """The record of a task; raises LmamError for a field that it does not have."""
    from dataclasses import fields as own

    from lmam_core.runs.record import record

    kind: type[Any] = record(of)
    if strange := sorted(fields.keys() - {field.name for field in own(kind)}):
        raise LmamError(f"The task {of} has no --{strange[0].replace('_', '-')}.")
    return kind


def given_fields(given: dict[str, Any]) -> dict[str, Any]:
    """The record's fields among the options that were given."""
    values = {name: v for name, v in given.items() if name in FIELDS and v is not None and v is not False}
    if "modalities" in values:
        values["modalities"] = tuple(m for m in values["modalities"].replace("+", ",").split(",") if m)
    return values


def numbers(text: str, option: str) -> list[int]:
    """`4,9` as [4, 9]; raises LmamError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise LmamError(f"--{option} takes whole numbers separated by commas; got '{text}'.") from None
