"""`lmam results`: what a store says, as means with intervals and gains."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lmam_book.cli import options
from lmam_core.errors import LmamError

if TYPE_CHECKING:
    from lmam_core.runs.run import Run

FILTERS = ("dataset", "backbone", "fusion", "embedding", "variant", "rank", "modalities", "protocol")


def _filters(command: options.Command) -> options.Command:
    for name in reversed(FILTERS):
        text = "only runs of this value, or of several with commas between them"
        command = click.option(f"--{name}", default=None, help=text)(command)
    return command


@click.command()
@options.task
@_filters
@click.option("--metric", help="of the table (default weighted_f1, of CMU-MOSI acc2, of other real numbers mae)")
@click.option("--csv", is_flag=True, help="one row per run as CSV on the output stream")
@options.store("my-runs where it holds runs, else the book's own")
def results(of: str, root: str | None, metric: str | None, csv: bool, **filters: str | None) -> None:
    """Show means, intervals and gains of a store.

    Of a large store without a filter, an overview: one line per dataset, backbone and fusion method.
    """
    from lmam_book.verdicts import arms_table
    from lmam_core.runs.record import CONVERSATION, record
    from lmam_core.runs.store import row

    record(of)
    store = options.read(root)
    runs = [r for r in store if r.experiment.task == of]
    if not runs:
        task = "" if of == CONVERSATION else f" of the task {of}"
        raise LmamError(f"The store {store.root} holds no runs{task} yet; make some with `lmam run` or `lmam sweep`.")
    there = runs
    for name, wanted in filters.items():
        if wanted is not None:
            runs = _only(runs, name, wanted)
    if csv:
        import pandas as pd

        pd.DataFrame(map(row, runs)).to_csv(sys.stdout, index=False)
        return
    if not any(filters.values()) and arms_table.arms(runs) > arms_table.SCREEN:
        lines = arms_table.overview(runs, metric)
    else:
        lines = arms_table.lines(runs, there, metric)
    for line in lines:
        click.echo(line)


def _only(runs: list[Run], name: str, text: str) -> list[Run]:
    """The runs whose field is one of those named; raises LmamError with what there is where none is."""
    from lmam_core.data import catalogue

    wanted: set[Any] = set(options.numbers(text, name) if name == "rank" else text.split(","))
    if name == "dataset":  # a folder by its path, or by its name with or without the start of its sha256
        wanted |= {catalogue.canonical(w) for w in wanted}
        matching = [r for r in runs if wanted & {r.dataset, r.experiment.dataset, r.dataset.rpartition("-")[0]}]
        known = {r.dataset for r in runs}
    elif name == "modalities":
        wanted = {frozenset(w.split("+")) for w in wanted}
        matching = [r for r in runs if frozenset(r.experiment.modalities) in wanted]
        known = {"+".join(r.experiment.modalities) for r in runs}
    else:
        matching = [r for r in runs if getattr(r.experiment, name) in wanted]
        known = {str(getattr(r.experiment, name)) for r in runs} - {"None"}
    if not matching:
        raise LmamError(f"The store has no run with {name} {text}; it has {', '.join(sorted(known)) or 'none'}.")
    return matching
