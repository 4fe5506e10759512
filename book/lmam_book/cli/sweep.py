"""`lmam sweep`: many experiments, or a plan of the book."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from lmam_book.cli import options
from lmam_core import paths
from lmam_core.errors import LmamError


@click.command()
@click.argument("plan", required=False)
@click.option("--plan-cost", is_flag=True, help="print what is left of the plan in core-hours, run nothing")
@options.task
@options.fields([name for name in options.FIELDS if name != "seed"], several=True)
@click.option("--seeds", help="such as 0-9 or 0,3,7 (default 0-9)")
@click.option("--jobs", type=int, help="runs at a time (default one per core)")
@options.device
@click.option("--cluster", help="a Dask scheduler's address: its workers carry the runs out (default this machine)")
@options.store("my-runs")
@click.option("--predictions", is_flag=True, help="keep the predictions of every test utterance, as CSV")
def sweep(
    plan: str | None,
    plan_cost: bool,
    of: str,
    seeds: str | None,
    jobs: int | None,
    device: str,
    cluster: str | None,
    root: str | None,
    predictions: bool,
    **given: Any,
) -> int:
    """Carry out many experiments.

    PLAN is a study of the book, such as headline_bc_lstm, several such as traits, or all: it is tuned and measured, or
    goes on where it stopped; `--store book` goes on with the book's own runs. Without one every combination of the
    values given is carried out.
    """
    from lmam_book.plans import plans, studies, tasks
    from lmam_core.runs.device import usable
    from lmam_core.runs.sweep import sweep as carried_out

    if plan_cost:
        return _cost(plan, root)
    fields = options.given_fields(given)
    # A cluster's workers have devices of their own.
    where = jobs, device if cluster else usable(device), cluster
    if jobs is not None and jobs < 1:
        raise LmamError(f"--jobs must be at least 1; got {jobs}.")
    if plan:
        fixed = [*fields, *(["seeds"] if seeds else []), *(["predictions"] if predictions else [])]
        if fixed:
            raise LmamError(f"A plan fixes its experiments; leave out --{fixed[0]} or the plan's name.")
        kind = plans if plan in plans.PLANS else tasks if plan in tasks.PLANS else studies
        failures = kind.carry_out(studies.names(plan) if kind is studies else [plan], options.own(root), *where)
    else:
        lists = {n: _values(n, fields.pop(n)) for n in options.LISTS if n in fields}
        combined = itertools.product(numbered(seeds or "0-9"), *lists.values())
        record = options.records(of, fields | lists)
        experiments = [record(**fields, seed=seed, **dict(zip(lists, v, strict=True))) for seed, *v in combined]
        failures = carried_out(experiments, options.own(root), *where, predictions=predictions)
    for failure in failures:
        print(f"lmam: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _cost(plan: str | None, root: str | None) -> int:
    """What is left of studies: runs, updates, core-hours."""
    from lmam_book.plans import studies

    store, first, all_seeds = options.opened(root or str(paths.MINE)), studies.FIRST, len(studies.SEEDS)
    left, whole = (studies.cost(studies.names(plan), store, seeds) for seeds in (first, all_seeds))
    more = f"then to {all_seeds} seeds"
    left[more] = (whole.core_hours - left.core_hours).round(2)
    click.echo(left.to_string(index=False, na_rep="not timed yet"))
    click.echo(
        f"{left.core_hours.sum():.1f} core-hours left of what was timed, for {first} seeds of each arm; "
        f"{left[more].sum():.1f} more for {all_seeds}."
    )
    return 0


def _values(name: str, text: str) -> list[Any]:
    if name in ("rank", "fraction"):
        return options.numbers(text, name)
    parts = text.split(";" if name in options.PAIRED else ",")
    if name == "dataset":
        parts = list(_folders(parts))
    return [part.strip() for part in parts]


def _folders(parts: list[str]) -> Iterator[str]:
    """The parts of a list that was split at commas, those of one existing path put together again."""
    while parts:
        together = [",".join(parts[:n]) for n in range(len(parts), 0, -1)]
        path = next((path for path in together if paths.given(path.strip()).exists()), parts[0])
        yield path
        parts = parts[path.count(",") + 1 :]


def numbered(text: str) -> list[int]:
    """`0-4,9` as [0, 1, 2, 3, 4, 9]."""
    ends = [re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in text.split(",")]
    spans = [range(int(end[1]), int(end[2] or end[1]) + 1) if end else range(0) for end in ends]
    if not all(spans):
        raise LmamError(f"--seeds is written like 0-9 or 0,3,7; got '{text}'.")
    return [seed for span in spans for seed in span]
