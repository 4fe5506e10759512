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
PROTOCOLS = {
    "honest": "the epoch is chosen on validation conversations, test is read once",
    "tuning": "honest without the test set, to choose rate, dropout and decay",
    "released": "as the authors' code: the epoch is chosen on the test set",
    "protocol1": "of the book's first runs: counted in epochs, one validation split",
    "tuning1": "protocol1 without the test set",
}
"""The protocols of conversations, and what each does; recommendation has `best_on_test` besides."""
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
    "protocol": (str, f"{', '.join(PROTOCOLS)} (default honest), see below"),
    "seed": (int, "of weights, batches and validation split (default 0)"),
    "learning_rate": (float, "Adam's (default 0.001, of humour 0.005)"),
    "weight_decay": (float, "Adam's (default 1e-05, of humour 0.0001)"),
    "batch_size": (int, "conversations of a batch (default 8; under released, protocol1, tuning1: 32)"),
    "epochs": (int, "passes over train at most (default 60 under released, protocol1, tuning1)"),
    "patience": (int, "updates without a better score (default 200); under released, protocol1, tuning1 epochs (10)"),
    "dialogues": (int, "keep only so many conversations of each split, for a quick look (default 0, all)"),
    "faithful": (bool, "let padding into the backbone's results where its original does"),
    "width": (int, "of the backbone's layers (default the backbone's own)"),
    "shuffled": (str, "modalities whose utterances are shuffled, so that they tell nothing, as in audio+video"),
    "updates": (int, "of the weights at most, under honest and tuning (default 2000 and 600)"),
    "dropout": (float, "of features and backbone, from 0 to below 1 (default the backbone's own)"),
    "streams": (str, "what is fused: channels, hops (default channels)"),
    "line": (str, "the line-graph channel: detached, trained (default detached)"),
    "fraction": (int, "keep the last 1 / FRACTION of the training sessions (default 64, 1 all)"),
    "layers": (int, "steps over the hypergraph (default 3)"),
    "ssl": (float, "the weight of the self-supervised term (default 0.01)"),
    "setting": (str, "what is read: punchline, context, both (default both)"),
    "context": (int, "sentences of context that are read at most (default 5)"),
}
"""Every field of the tasks' records: its type, and what it means."""

GROUPS = {
    "Data": ("of", "dataset", "features", "modalities", "dialogues", "shuffled", "seed", "seeds"),
    "Model": ("backbone", "fusion", "embedding", "variant", "rank", "readings", "width", "faithful"),
    "Training": ("protocol", "learning_rate", "weight_decay", "dropout", "batch_size", "epochs", "updates", "patience"),
    "Recommendation alone (batch size 100, epochs 30, patience 3, width 100)":
        ("streams", "line", "fraction", "layers", "ssl"),
    "Humour alone (batch size 128, epochs 12, patience 6, width 16, dropout 0.1)": ("setting", "context"),
}  # fmt: skip
"""The fields in the order of help; its last group is all other options."""

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


class Grouped(click.Command):
    """A command whose help shows its options by `GROUPS`, and the protocols."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {p.name: record for p in self.get_params(ctx) if (record := p.get_help_record(ctx))}
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([records.pop(name) for name in group if name in records])
        with formatter.section("This command"):
            formatter.write_dl(list(records.values()))
        with formatter.section("Protocols"):
            formatter.write_dl(list(PROTOCOLS.items()))


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


def read(root: str | None) -> Store:
    """The store that is shown: without a name `my-runs` where it holds runs, else the book's own, and it says which."""
    store = opened(str(paths.MINE) if root is None and any(paths.MINE.glob("*/*/*.json")) else root)
    if root is None:
        other = "--store book names the book's own" if store.root == paths.MINE else f"there are none in {paths.MINE}"
        click.echo(f"Runs of {store.root if store.root == paths.MINE else 'the book'}; {other}.", err=True)
    return store


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


SHAPING = ("fusion", "variant", "readings")
"""The fields that decide which others mean something."""


def experiments(of: str, cells: Sequence[dict[str, Any]]) -> list[Any]:
    """The resolved records of some fields each.

    Raises LmamError for a field that means nothing in any of them, as the rank of a concatenation; where it means
    something in others, it is left out.
    """
    from lmam_core.models import fusion
    from lmam_core.models.lmam import READINGS

    kind, resolved, idle = records(of, {name: None for cell in cells for name in cell}), [], []
    for cell in cells:
        read = cell.get("fusion") not in fusion.FUSIONS or set(READINGS) & {*fusion.method(cell["fusion"]).options}
        e = kind(**(cell if read else cell | {"readings": ""} if "readings" in cell else cell)).resolved()
        resolved.append(e)
        empty = {name for name in cell if getattr(e, name) is None}
        idle.append(empty if read else empty | ({"readings"} & set(cell)))
    for name in cells[0] if cells else ():
        if all(name in one for one in idle):
            given = " ".join(f"--{n} {cells[0][n]}" for n in SHAPING if cells[0].get(n) and n != name)
            raise LmamError(f"--{name} means nothing {f'with {given}' if given else 'without --fusion'}; leave it out.")
    return resolved


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
