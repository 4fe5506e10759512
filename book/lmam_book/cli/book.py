"""`lmam book`: the notebooks and the pages."""

from __future__ import annotations

from argparse import Namespace

import click

PORT = 8000


@click.command()
@click.option("--jobs", type=int, help="notebooks that run at once (default what processors and memory allow)")
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
    from lmam_book.build import carry_out

    carry_out(Namespace(**given))
