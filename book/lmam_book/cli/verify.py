"""`lmam verify`: whether stored numbers, tables and pages bear each other out."""

from __future__ import annotations

import sys

import click

from lmam_book.cli import options


@click.command()
@options.store("the book's own, with its pages and tables")
def verify(root: str | None) -> int:
    """Check runs, tables and pages.

    Everything that can be recomputed is; fails where something disagrees.

    Of a store of your own the runs alone are checked: each file is named after its question, and its metrics follow
    from its outcomes.
    """
    from lmam_book.build import verify as checks

    alone = root not in (None, "book")
    wrong = list(checks.runs_hold_together(options.opened(root))) if alone else checks.verify()
    for sentence in wrong:
        print(f"lmam: {sentence}", file=sys.stderr)
    agree = f"The runs of {root} agree." if alone else "Pages, tables and runs agree."
    click.echo(f"{len(wrong)} disagreements." if wrong else agree)
    return 1 if wrong else 0
