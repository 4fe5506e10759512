"""`lmam run`: one experiment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lmam_book.cli import options
from lmam_core.errors import LmamError

if TYPE_CHECKING:
    from lmam_core.runs.record import Progress
    from lmam_core.runs.run import Run


@click.command()
@options.task
@options.fields(list(options.FIELDS))
@options.device
@options.store("my-runs")
@click.option("--save", type=click.Path(), help="folder for the trained model, which `lmam predict` reads")
@click.option("--predictions", is_flag=True, help="keep the prediction of every test utterance in the store, as CSV")
def run(of: str, device: str, root: str | None, save: str | None, predictions: bool, **given: Any) -> None:
    """Carry out one experiment.

    Its run is kept in the store. One that the store holds is shown and not repeated, unless its predictions or its
    model are asked for.
    """
    from lmam_core.runs import model_file
    from lmam_core.runs import run as runs
    from lmam_core.runs.device import usable
    from lmam_core.runs.record import CONVERSATION

    fields = options.given_fields(given)
    experiment, store = options.records(of, fields)(**fields).resolved(), options.own(root)
    if save is not None and of != CONVERSATION:
        raise LmamError(f"Of the task {of} no models are kept; leave out --save.")
    if save is not None:
        model_file.check_place(save)
    # The claim comes before the training: a folder that cannot be written is told at once.
    with store.claim(experiment) as mine:
        if not mine:
            raise LmamError("Another process is carrying out this very run; wait for it.")
        complete = store.complete(experiment, predictions)
        if complete:
            click.echo(f"The store holds this run already: {store.path(experiment)}")
            if save is None:
                show(store.get(experiment))
                return
            click.echo("It is trained again for its model, which no store holds.")
        how = usable(device), _bar(experiment.epochs), predictions
        if of == CONVERSATION:
            result, module, data = runs.carry_out(experiment, *how)
        else:
            result = runs.run(experiment, *how)
        path = None if complete else store.add(result)
    show(result)
    if path is not None:
        click.echo(f"kept in {path}")
    if predictions:
        click.echo(f"predictions in {store.predictions(experiment)}")
    if save is not None:
        model_file.Model.of(experiment, module, data, result.training).save(save)
        click.echo(f"model in {save}; apply it with `lmam predict {save} RECORDINGS --to predictions.csv`")


def _bar(epochs: int | None) -> Progress:
    """A progress bar over epochs, with loss and selection score."""
    from tqdm import tqdm

    bar = tqdm(total=epochs, unit="epoch", disable=not sys.stderr.isatty())

    def step(epoch: int, loss: float, score: float) -> None:
        bar.set_postfix(loss=f"{loss:.3f}", score=f"{score:.3f}")
        bar.update()

    return step


def show(result: Run) -> None:
    """Metrics, with what must be said of the data beside them, and sizes."""
    from lmam_core.runs.metrics import per_class

    caution = [f"({result.caution})"] if result.caution else []
    click.echo("  ".join([f"{name} {value:.3f}" for name, value in result.metrics.items()] + caution))
    if result.classes and result.outcomes:
        C = len(result.classes)
        table = per_class(result.total.reshape(C, C))
        for k, name in enumerate(result.classes):
            click.echo(f"  {name:12}" + "  ".join(f"{column} {values[k]:6.2f}" for column, values in table.items()))
    if notes := result.provenance.get("notes"):
        click.echo(notes)
    click.echo(
        f"{result.parameters:,} parameters, best epoch {result.training.best_epoch}, "
        f"{result.training.seconds_per_epoch:.2f} s per epoch, {result.peak_memory_mb:.0f} MB"
    )
