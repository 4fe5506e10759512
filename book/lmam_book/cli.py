"""The command line: `lmam run | sweep | results | data | bench | verify | book`."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from lmam_book.build import add_options, carry_out
from lmam_core import paths
from lmam_core.errors import LmamError

LISTS = ("dataset", "backbone", "fusion", "embedding", "variant", "rank", "features", "readings", "protocol",
         "streams", "line", "fraction")  # fmt: skip
"""Fields of a record that `lmam sweep` takes several values for, separated by commas or semicolons."""


BUDGET = ("learning_rate", "dropout", "weight_decay", "batch_size", "epochs", "updates", "patience", "dialogues")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a mistake in what was asked is one sentence on the error stream and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.action(options) or 0
    except LmamError as error:
        print(f"lmam: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lmam: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `lmam results --csv | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lmam", description="Experiments, results and pages of the LMAM Book.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands)
    _add_sweep(commands)
    results = commands.add_parser("results", help="what the store holds, one row a run")
    results.add_argument("--csv", action="store_true", help="as CSV on the output stream")
    _store(results, str(paths.STORE))
    results.set_defaults(action=_results)
    _add_data(commands)
    bench = commands.add_parser("bench", help="speed and memory, as ratios measured in one run")
    bench.add_argument("--repeats", type=int, default=7, help="timed repetitions of each program (default 7)")
    bench.set_defaults(action=_bench)
    verify = commands.add_parser("verify", help="recompute what pages and tables say; fails where runs say otherwise")
    verify.set_defaults(action=_verify)
    book = commands.add_parser("book", help="execute the notebooks and build the book")
    add_options(book)
    book.set_defaults(action=_book)
    return parser


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="the datasets at hand; build, read or fetch another")
    data.set_defaults(action=_data)
    ways = data.add_subparsers(metavar="build | read | fetch")
    build = ways.add_parser("build", help="make a dataset of a folder with utterances.csv and wav or mp4 files")
    build.add_argument("folder", help="it then counts as a dataset: lmam run --dataset FOLDER")
    build.add_argument("--text", default="minilm384", help="extractor of the transcripts (default minilm384; '': none)")
    build.add_argument("--audio", default="egemaps88", help="extractor of the sound (default egemaps88; '': none)")
    build.add_argument("--video", default="clip512", help="extractor of the pictures (default clip512; '': none)")
    build.add_argument("--weights", default=None, help="random, or NAME=FOLDER for each extractor (default: the hub)")
    build.set_defaults(action=_data_build)
    read = ways.add_parser("read", help="make a dataset of one of the field's well-known files of features")
    read.add_argument("file", help="such as IEMOCAP_features.pkl, MELD_features_raw1.pkl, mosi_data.pkl")
    read.add_argument("--as", dest="layout", default=None, help="its layout, where the name does not tell")
    read.add_argument("--to", required=True, help="folder for the dataset: lmam run --dataset FOLDER")
    read.set_defaults(action=_data_read)
    fetch = ways.add_parser("fetch", help="gather a dataset of the catalogue from its public files")
    fetch.add_argument("name", help="mosi, iemocap, meld, pom or diginetica")
    fetch.add_argument("--to", default=None, help="folder for it (default: where LMAM_DATA points, else the cache)")
    fetch.set_defaults(action=_data_fetch)


def _store(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--store", default=None, help=f"folder of runs, or `book` for the book's own (default: {default})"
    )


def _fields(parser: argparse.ArgumentParser, several: bool) -> None:
    """One option a field of the tasks' records, with the field's own default."""
    from lmam_core.models.backbones import BACKBONES
    from lmam_core.models.fusion import FUSIONS
    from lmam_core.runs.record import CONVERSATION, TASKS, record

    names = {"backbone": BACKBONES, "fusion": FUSIONS}
    parser.add_argument("--task", default=CONVERSATION, help=f"{', '.join(TASKS)} (default {CONVERSATION})")
    fields = [field for task in reversed(TASKS) for field in dataclasses.fields(record(task))]
    for field in {field.name: field for field in fields}.values():  # what several have, as conversations have it
        if several and field.name == "seed":
            continue
        if field.type == "bool":
            parser.add_argument(f"--{field.name.replace('_', '-')}", action="store_true", default=None)
            continue
        kind = str if several and field.name in LISTS else _type(field)
        text = f"default {field.default}" if field.default not in ("", None, ()) else "default: the usual one"
        text = ", ".join(names.get(field.name, ())) + f" ({text})" if field.name in names else text
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=None, help=text)


def _type(field: dataclasses.Field) -> type:
    return {"int": int, "int | None": int, "float": float}.get(str(field.type), str)


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="carry out one experiment and keep it in the store")
    _fields(run, several=False)
    run.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    _store(run, "my-runs")
    run.set_defaults(action=_run)


def _add_sweep(commands: Any) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="carry out a plan of the book, or all combinations of the values given",
        description="With a plan's name: tune and measure it, or go on where it stopped. "
        "Without: every combination of the values given (commas between values, semicolons for features and readings).",
    )
    sweep.add_argument("plan", nargs="?", help="a study of the book, such as headline_bc_lstm, or all")
    sweep.add_argument("--plan-cost", action="store_true", help="print what is left of it in core-hours, run nothing")
    _fields(sweep, several=True)
    sweep.add_argument("--seeds", default=None, help="such as 0-9 or 0,3,7 (default 0-9)")
    sweep.add_argument("--jobs", type=int, default=None, help="runs at a time (default: one a core)")
    sweep.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    sweep.add_argument("--cluster", default=None, help="a Dask scheduler's address: its workers carry the runs out")
    _store(sweep, "my-runs; of a plan the book's own")
    sweep.set_defaults(action=_sweep)


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The record's fields that were given on the command line; raises LmamError for one of another task."""
    from lmam_core.runs.record import TASKS, record

    names = {field.name for field in dataclasses.fields(record(options.task))}
    every = {field.name for task in TASKS for field in dataclasses.fields(record(task))}
    given = {n: getattr(options, n) for n in sorted(every) if getattr(options, n, None) is not None}
    if strange := [n for n in given if n not in names]:
        raise LmamError(f"The task {options.task} has no --{strange[0].replace('_', '-')}.")
    if "modalities" in given:
        given["modalities"] = tuple(m for m in given["modalities"].replace("+", ",").split(",") if m)
    return given


def _open(options: argparse.Namespace) -> Any:
    """The store that was asked for, by default the book's own; outside of a checkout `my-runs`."""
    from lmam_core.runs.store import Store

    return Store(paths.store(options.store))


def _open_own(options: argparse.Namespace) -> Any:
    """The store for runs of one's own, by default `my-runs`, and it says so: the book's store stays the book's."""
    if options.store is None:
        print(f"Runs go to {paths.MINE} in this folder; --store names another one, --store book the book's own.")
        options.store = str(paths.MINE)
    return _open(options)


def _run(options: argparse.Namespace) -> int:
    from lmam_core.runs.device import usable
    from lmam_core.runs.record import record
    from lmam_core.runs.run import run

    experiment, store = record(options.task)(**_asked(options)).resolved(), _open_own(options)
    # The claim comes before the training: a folder that cannot be written is told at once.
    with store.claim(experiment) as mine:
        if not mine:
            raise LmamError("Another process is carrying out this very run; wait for it.")
        if experiment in store:
            print(f"The store holds this run already: {store.path(experiment)}")
            _show(store.get(experiment))
            return 0
        result = run(experiment, usable(options.device), _bar(experiment.epochs))
        path = store.add(result)
    _show(result)
    print(f"kept in {path}")
    return 0


def _bar(epochs: int) -> Any:
    """A progress bar over epochs, with loss and selection score."""
    from tqdm import tqdm

    bar = tqdm(total=epochs, unit="epoch", disable=not sys.stderr.isatty())

    def step(epoch: int, loss: float, score: float) -> None:
        bar.set_postfix(loss=f"{loss:.3f}", score=f"{score:.3f}")
        bar.update()

    return step


def _show(result: Any) -> None:
    from lmam_core.runs.metrics import per_class

    print("  ".join(f"{name} {value:.3f}" for name, value in result.metrics.items()))
    if result.classes and result.outcomes:
        C = len(result.classes)
        table = per_class(result.total.reshape(C, C))
        for k, name in enumerate(result.classes):
            print(f"  {name:12}" + "  ".join(f"{column} {values[k]:6.2f}" for column, values in table.items()))
    print(
        f"{result.parameters:,} parameters, best epoch {result.training.best_epoch}, "
        f"{result.training.seconds_per_epoch:.2f} s an epoch, {result.peak_memory_mb:.0f} MB"
    )


def _sweep(options: argparse.Namespace) -> int:
    from lmam_book.plans import plans, studies, tasks
    from lmam_core.runs.device import usable
    from lmam_core.runs.record import record
    from lmam_core.runs.sweep import sweep

    if options.plan_cost:
        return _plan_cost(options)
    given = _asked(options)
    # A cluster's workers have devices of their own.
    where = options.jobs, options.device if options.cluster else usable(options.device), options.cluster
    if options.jobs is not None and options.jobs < 1:
        raise LmamError(f"--jobs must be at least 1; got {options.jobs}.")
    if options.plan:
        fixed = [*given, *(["seeds"] if options.seeds else [])]
        if fixed:
            raise LmamError(f"A plan fixes its experiments; leave out --{fixed[0]} or the plan's name.")
        store = _open(options) if paths.CHECKOUT else _open_own(options)
        of = plans if options.plan in plans.PLANS else tasks if options.plan in tasks.PLANS else studies
        names = studies.STUDIES if options.plan == "all" else [options.plan]
        failures = of.carry_out(names, store, *where)
    else:
        lists = {n: _values(n, given.pop(n)) for n in LISTS if n in given}
        combined = itertools.product(_seeds(options.seeds or "0-9"), *lists.values())
        asked = record(options.task)
        experiments = [asked(**given, seed=seed, **dict(zip(lists, v, strict=True))) for seed, *v in combined]
        failures = sweep(experiments, _open_own(options), *where)
    for failure in failures:
        print(f"lmam: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _plan_cost(options: argparse.Namespace) -> int:
    """What is left of studies: runs, updates, core-hours."""
    from lmam_book.plans import studies

    names = studies.STUDIES if options.plan in (None, "all") else [options.plan]
    left = studies.cost(names, _open(options))
    print(left.to_string(index=False, na_rep="not timed yet"))
    print(f"{left.core_hours.sum():.1f} core-hours left of what was timed, for {studies.FIRST} seeds of each arm.")
    return 0


def _values(name: str, text: str) -> list[Any]:
    parts = [p.strip() for p in text.split(";" if name in ("features", "readings") else ",")]
    if name not in ("rank", "fraction"):
        return parts
    try:
        return [int(p) for p in parts]
    except ValueError:
        raise LmamError(f"--{name} takes whole numbers separated by commas; got '{text}'.") from None


def _seeds(text: str) -> list[int]:
    """`0-4,9` as [0, 1, 2, 3, 4, 9]."""
    ends = [re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in text.split(",")]
    spans = [range(int(end[1]), int(end[2] or end[1]) + 1) if end else range(0) for end in ends]
    if not all(spans):
        raise LmamError(f"--seeds is written like 0-9 or 0,3,7; got '{text}'.")
    return [seed for span in spans for seed in span]


def _results(options: argparse.Namespace) -> int:
    from lmam_core.runs.training import UNTESTED

    frame = _open(options).frame()
    if frame.empty:
        raise LmamError("The store holds no runs yet; make some with `lmam run` or `lmam sweep`.")
    if options.csv:
        frame.to_csv(sys.stdout, index=False)
        return 0
    honest = frame[~frame.protocol.isin(UNTESTED)]
    # Runs that differ in anything but the seed answer different questions; what all share need not be printed.
    asked = ["dataset", "data_sha256", "features", "modalities", "backbone", "arm", "protocol", *BUDGET]
    asked = [n for n in asked if n in ("dataset", "backbone", "arm") or (n in honest and honest[n].nunique() > 1)]
    grouped = honest.groupby(asked, dropna=False)
    metrics = [m for m in ("accuracy", "weighted_f1", "mae", "corr", "acc2", "acc7", "P@20", "MRR@20") if m in honest]
    print(grouped[metrics].mean().round(2).assign(seeds=grouped.size()).to_string())
    return 0


def _data(options: argparse.Namespace) -> int:
    from lmam_core.data import catalogue

    for name in catalogue.names() + catalogue.names("recommendation"):
        record = catalogue.entry(name)
        state = "at hand"
        if files := catalogue.absent(name):
            put = f"put {' and '.join(files)} where LMAM_DATA points"
            state = f"not here: {put}" if record.file in files else f"at hand in part: for the rest {put}"
        print(f"{name} ({record.kind}, {state})\n  {record.about}")
        for m, sets in record.feature_sets.items():
            print(f"  {m}: {', '.join(sets)}")
        if record.missing:
            print(f"  missing: {record.missing}")
    return 0


def _data_build(options: argparse.Namespace) -> None:
    from lmam_core.data.recordings import folder

    chosen = {name: getattr(options, name) for name in ("text", "audio", "video", "weights")}
    _made(folder.build(options.folder, **chosen, progress=sys.stderr.isatty()))


def _data_read(options: argparse.Namespace) -> None:
    from lmam_core.data import files

    _made(files.read(options.file, options.to, options.layout))


def _data_fetch(options: argparse.Namespace) -> None:
    from lmam_core.data.fetching import fetch

    fetch.fetch(options.name, options.to)


def _made(folder: Any) -> None:
    """What became of the data: the notes on the error stream, the rest on the output stream."""
    from lmam_core.data import stored

    found = stored.description(folder)
    for note in found["notes"]:
        print(note, file=sys.stderr)
    print(found["about"])
    for m, sets in found["feature_sets"].items():
        for name, of in sets.items():
            mean = f", {of['missing']} filled with the training mean" if of["missing"] else ""
            print(f"  {m}: {name}, weights: {of['weights'] or 'not known'}{mean}")
    print(f"kept in {folder}; use it with `lmam run --dataset {folder}` or, in a notebook, `-p dataset {folder}`")


def _bench(options: argparse.Namespace) -> int:
    from lmam_book.bench.modules import bench
    from lmam_book.build.manifest import PARAMETERS, toc_sources

    if options.repeats < 1:
        raise LmamError(f"--repeats must be at least 1; got {options.repeats}.")
    root = paths.CHECKOUT
    chapters = [root / name for name in toc_sources(root) if name.endswith(".ipynb")] if root else []
    return bench(options.repeats, chapters, PARAMETERS)


def _verify(options: argparse.Namespace) -> int:
    from lmam_book.build.verify import verify

    wrong = verify()
    for sentence in wrong:
        print(f"lmam: {sentence}", file=sys.stderr)
    print(f"{len(wrong)} disagreements." if wrong else "Pages, tables and runs agree.")
    return 1 if wrong else 0


def _book(options: argparse.Namespace) -> None:
    carry_out(options)


if __name__ == "__main__":
    sys.exit(main())
