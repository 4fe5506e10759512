"""`lmam bench`: speed and memory."""

from __future__ import annotations

import click

from lmam_core import paths
from lmam_core.errors import LmamError

PARTS = ("attention", "released", "long", "import", "chapters", "gpu")


@click.command()
@click.option("--repeats", type=int, default=7, help="timed repetitions of each program (default 7)")
@click.option(
    "--only",
    type=click.Choice(PARTS),
    multiple=True,
    help="one comparison, may be given again (default all): against self-attention, the released loop, long "
    "conversations, imports, the chapters' memory, the share of a step that a GPU works",
)
def bench(repeats: int, only: tuple[str, ...]) -> int:
    """Measure speed and memory.

    Each as a ratio of two programs in one run; fails where a target is missed.
    """
    from lmam_book.bench.modules import bench as measured
    from lmam_book.build.manifest import toc_sources

    if repeats < 1:
        raise LmamError(f"--repeats must be at least 1; got {repeats}.")
    root = paths.CHECKOUT
    chapters = [root / name for name in toc_sources(root) if name.endswith(".ipynb")] if root else []
    return measured(repeats, chapters, only or PARTS)
