"""`lmam data`: the datasets that there are; build, read or fetch another."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.group(invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """List, build, read or fetch datasets.

    Without a command: the datasets that there are, with their feature sets.
    """
    if context.invoked_subcommand is not None:
        return
    from lmam_core.data import catalogue

    for name in catalogue.names(None):
        record = catalogue.entry(name)
        state = "available"
        if files := catalogue.absent(name):
            put = f"put {' and '.join(files)} where LMAM_DATA points"
            state = f"not here: {put}" if record.file in files else f"available in part: for the rest {put}"
        click.echo(f"{name} ({record.kind}, {state})\n  {record.about}")
        for m, sets in record.feature_sets.items():
            click.echo(f"  {m}: {', '.join(sets)}")
        if record.missing:
            click.echo(f"  missing: {record.missing}")


@data.command()
@click.argument("folder")
@click.option("--text", default="minilm384", help="extractor of the transcripts (default minilm384; '': none)")
@click.option(
    "--audio",
    default="acoustic96",
    help="extractor of the sound (default acoustic96; '': none); others, such as egemaps88, need openSMILE, which is "
    "not for commercial products",
)
@click.option("--video", default="clip512", help="extractor of the pictures (default clip512; '': none)")
@click.option(
    "--weights",
    default=None,
    help="NAME=FOLDER for each extractor (default the hub), or random: encoders that nobody trained, never used unless "
    "asked for",
)
def build(folder: str, text: str, audio: str, video: str, weights: str | None) -> None:
    """Make a dataset of FOLDER with utterances.csv and wav or mp4 files.

    It then counts as a dataset: `lmam run --dataset FOLDER`.
    """
    from lmam_core.data.recordings import folder as recordings

    _report(recordings.build(folder, text, audio, video, weights, progress=sys.stderr.isatty()))


@data.command()
@click.argument("file")
@click.option("--as", "layout", default=None, help="its layout, where the name does not tell")
@click.option("--to", required=True, help="folder for the dataset: lmam run --dataset FOLDER")
def read(file: str, layout: str | None, to: str) -> None:
    """Make a dataset of one of the field's well-known files of features.

    FILE is such as IEMOCAP_features.pkl, MELD_features_raw1.pkl, mosi_data.pkl.
    """
    from lmam_core.data import files

    _report(files.read(file, to, layout))


@data.command()
@click.argument("name", metavar="[mosi|iemocap|meld|pom|diginetica|mustard]")
@click.option("--to", default=None, help="folder for it (default where LMAM_DATA points, else the cache)")
def fetch(name: str, to: str | None) -> None:
    """Gather a dataset of the catalogue from its public files."""
    from lmam_core.data.fetching import fetch as fetching

    fetching.fetch(name, to)


def _report(folder: Path) -> None:
    """Print a new dataset's notes on the error stream, the rest of its description on the output stream."""
    from lmam_core.data import stored
    from lmam_core.data.notes import condensed
    from lmam_core.errors import visible

    description = stored.description(folder)
    for note in condensed(description["notes"]):
        print(visible(note), file=sys.stderr)
    click.echo(visible(description["about"]))
    for m, sets in description["feature_sets"].items():
        for name, of in sets.items():
            mean = f", {of['missing']} filled with the training mean" if of["missing"] else ""
            click.echo(f"  {m}: {name}, weights: {of['weights'] or 'not known'}{mean}")
    click.echo(f"kept in {folder}; use it with `lmam run --dataset {folder}` or, in a notebook, `-p dataset {folder}`")
