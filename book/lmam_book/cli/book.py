"""`lmam book`: the notebooks and the pages."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import click

PORT = 8000


@click.command()
@click.option("--jobs", type=int, help="notebooks that run at once (default what processors and memory allow)")
@click.option("--minutes", type=float, help="how long a notebook may run (default a limit that each of them meets)")
@click.option("--force", is_flag=True, help="run every notebook, also those that are up to date")
@click.option(
    "--serve",
    type=int,
    is_flag=False,
    flag_value=PORT,
    metavar="[PORT]",
    help=f"serve the book on this machine (port {PORT}), build it again on every change and reload the browser",
)
def book(**given: object) -> None:
    """Run stale chapters and build the book."""
    from lmam_book.build import add_options, carry_out

    parser = ArgumentParser()
    add_options(parser)  # what is not given has its default there
    carry_out(parser.parse_args([], Namespace(**{name: v for name, v in given.items() if v is not None})))
