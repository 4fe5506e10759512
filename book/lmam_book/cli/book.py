"""`lmam book`: the notebooks and the pages."""

from __future__ import annotations

import click

from lmam_core.limits import CHAPTER_MINUTES

PORT = 8000


@click.command()
@click.option("--jobs", type=int, help="notebooks that run at once (default what processors and memory allow)")
@click.option("--minutes", default=float(CHAPTER_MINUTES), show_default=True, help="how long a notebook may run")
@click.option("--force", is_flag=True, help="run every notebook, also those that are up to date")
@click.option(
    "--serve",
    "port",
    type=int,
    is_flag=False,
    flag_value=PORT,
    metavar="[PORT]",
    help=f"serve the book on this machine (port {PORT}), build it again on every change and reload the browser",
)
def book(jobs: int | None, minutes: float, force: bool, port: int | None) -> None:
    """Run stale chapters and build the book."""
    from lmam_book import build
    from lmam_book.build.serve import serve
    from lmam_core import paths

    if port is None:
        build.build(None, jobs, force, minutes)
        return
    forced = iter([force])  # the first build alone
    serve(build.ROOT or paths.checkout(), lambda: build.build(None, jobs, next(forced, False), minutes), port)
