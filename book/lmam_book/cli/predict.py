"""`lmam predict`: a trained model on new conversations."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lmam_core.errors import LmamError, visible

SHOWN = 10
"""Notes about recordings that are shown; the column `missing` has them all."""


@click.command()
@click.argument("model", type=click.Path())
@click.argument("data", metavar="RECORDINGS|DATASET")
@click.option("--to", required=True, type=click.Path(), help="the CSV file to write, one row per utterance")
@click.option("--weights", help="random, or NAME=FOLDER for each extractor (default those of training)")
def predict(model: str, data: str, to: str, weights: str | None) -> None:
    """Predict a class or a value for every utterance.

    MODEL is a folder that `lmam run --save` wrote. RECORDINGS is a folder with utterances.csv, as for `lmam data build`
    but without labels; DATASET a dataset that has the model's features, by name or folder.
    """
    from lmam_core.runs.model_file import Model

    path = Path(to)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise LmamError(f"--to {to} must be a file in a folder that is there.")
    loaded = Model.load(model)
    predictions = loaded.predict(data, weights, progress=sys.stderr.isatty())
    try:
        predictions.to_csv(path, index=False)
    except OSError as error:
        raise LmamError(f"{path} cannot be written ({error.strerror}).") from error
    notes = predictions.attrs.get("notes", [])
    for note in notes[:SHOWN]:
        print(visible(note), file=sys.stderr)
    if len(notes) > SHOWN:
        print(f"and {len(notes) - SHOWN} more of this kind.", file=sys.stderr)
    caution = f" ({loaded.caution})" if loaded.caution else ""
    dialogues = len(predictions.drop_duplicates([c for c in ("split", "dialogue") if c in predictions]))
    click.echo(f"{len(predictions)} utterances of {dialogues} dialogues in {path}{caution}")
    click.echo(f"Trained on: {loaded.about}")
