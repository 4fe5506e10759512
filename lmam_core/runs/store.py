"""The store of runs: one JSON file per run, written once and whole, never changed.

A file's name says what the run was, its content is one line per field and per conversation, so that a change is
readable in a diff and two branches never conflict. A run counts as stored when its file is there; files appear by an
atomic rename, so that a killed process leaves nothing half-written.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import stat
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from filelock import FileLock, Timeout

from lmam_core import paths
from lmam_core.data import catalogue
from lmam_core.errors import LmamError, StoreError
from lmam_core.limits import RUN_BYTES as LARGEST
from lmam_core.runs.metrics import SUMS, traits
from lmam_core.runs.record import CONVERSATION, Record, arm, key, record
from lmam_core.runs.run import Run
from lmam_core.runs.training import Training

if TYPE_CHECKING:
    import pandas as pd

DEFAULT = paths.STORE
"""The store that comes with the book; outside of a checkout, that of one's own runs."""

READ: dict[Path, str] = {}
"""The runs that were read in this process, and the version of the code that made each."""

_LOG = logging.getLogger(__name__)


class Store:
    """Runs under a folder; `add` refuses nothing that is new and overwrites nothing that is there.

    Between processes that is what `claim` is for: whoever holds the claim of an experiment adds its run.

    >>> from lmam_core import Experiment, run
    >>> store, experiment = Store("my-runs"), Experiment(rank=4, epochs=1, dialogues=12)
    >>> if experiment not in store:
    ...     path = store.add(run(experiment))
    >>> path.name.startswith("lmam.early.paper.r4.honest.s0."), len(store.frame())
    (True, 1)
    """

    def __init__(self, root: Path | str = DEFAULT) -> None:
        self.root = Path(root)

    def path(self, experiment: Record) -> Path:
        """`<dataset>/<backbone>/<arm>.<protocol>.s<seed>.<key>.json`, under the folder.

        A dataset that is a path goes by a label of its folder and content, so that a rebuilt one has a new place.
        """
        dataset = catalogue.label(experiment.dataset)
        return self.root.joinpath(dataset, *_named(_resolved(experiment, dataset), dataset))

    def place(self, run: Run) -> Path:
        """`path` of a run's experiment, by what the run itself says: its dataset may be gone or lie elsewhere."""
        return self.root.joinpath(run.dataset, *_named(run.experiment, run.dataset))

    def __contains__(self, experiment: Record) -> bool:
        return self.path(experiment).exists()

    def predictions(self, experiment: Record) -> Path:
        """The CSV of a run's predictions, `predictions.table`, which is there where they were asked for."""
        return self.path(experiment).with_suffix(".predictions.csv")

    def complete(self, experiment: Record, predictions: bool = False) -> bool:
        """Whether the run is there and, where they are asked for, its predictions."""
        return experiment in self and (not predictions or self.predictions(experiment).exists())

    def get(self, experiment: Record) -> Run:
        """The run of this experiment; raises LmamError when the store has none."""
        path = self.path(experiment)
        if not path.exists():
            raise LmamError(f"The store {self.root} holds no run {path.name}; make it with `lmam run` or `lmam sweep`.")
        return read(path)

    def __iter__(self) -> Iterator[Run]:
        """The runs, by path; a file that is none is named once, by a warning of this module's logger."""
        for path in self.paths():
            try:
                run = read(path)
            except LmamError as error:
                _name(str(error))
                continue
            yield run

    def paths(self) -> list[Path]:
        """The files of all runs, sorted."""
        return sorted(self.root.glob("*/*/*.json"))

    def add(self, run: Run) -> Path:
        """Write a run, and its predictions if it has some; a run that is stored already can still get predictions.

        Raises LmamError, with the store as it was, for a run that is stored and brings nothing new or other outcomes,
        and when the disk is full.
        """
        path = self.path(run.experiment)
        data = run.experiment.dataset
        if catalogue.is_path(data) and catalogue.fingerprint(data) != run.provenance.get("data_sha256"):
            raise LmamError(f"The dataset {data} was built anew while the run went on; run it again.")
        stored, predictions = path.exists(), self.predictions(run.experiment)
        if stored and (run.predictions is None or predictions.exists()):
            raise LmamError(f"The store already holds {path.name}; runs are never overwritten.")
        if stored and not _same(read(path), run):
            raise LmamError(f"Here the run {path.name} came out otherwise, so that its predictions are not kept.")
        if run.predictions is not None:
            _write(predictions, run.predictions.to_csv(index=False))
        if not stored:
            _write(path, _text(run))
        return path

    @contextmanager
    def claim(self, experiment: Record) -> Iterator[bool]:
        """True for one process at a time per experiment; the system frees the claim when that process ends or dies."""
        folder = self.root / ".locks"
        path = folder / f"{experiment.key}.lock"
        lock = FileLock(path, timeout=0, thread_local=False)
        try:  # from before it is acquired, as Ctrl-C may come right after
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except Timeout:
                yield False
                return
            except OSError as error:
                raise StoreError(
                    f"The store {self.root} cannot be written ({error.strerror}); choose another --store."
                ) from error
            yield True
        finally:
            if lock.is_locked:
                # Before it is released: whoever opened it before then finds that the lock guards no name any more.
                with suppress(OSError):
                    path.unlink()
                lock.release()

    def tidy(self) -> None:
        """Remove what killed processes left: locks that nobody holds, files unfinished for an hour."""
        for path in self.root.glob(".locks/*.lock"):
            lock = FileLock(path, timeout=0, thread_local=False)
            with suppress(Timeout, OSError), lock:
                path.unlink()
        for path in self.root.glob("*/*/*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > 3600:
                    path.unlink()

    def frame(self) -> pd.DataFrame:
        """One row per run: what was asked, the metrics, sizes, times and provenance; `run` is the key."""
        import pandas as pd

        return pd.DataFrame([row(run) for run in self])


def row(run: Run) -> dict[str, Any]:
    """A run as one flat row."""
    e = run.experiment
    fields = {n: "+".join(v) if isinstance(v, tuple) else v for n, v in dataclasses.asdict(e).items()}
    fields |= {"dataset": run.dataset}
    selection = {"best_epoch": run.training.best_epoch, "selection_score": run.training.best_score}
    return (
        {"task": run.experiment.task, "run": run.key, "arm": run.arm}
        | fields
        | run.metrics
        | selection
        | {"parameters": run.parameters, "fusion_parameters": run.fusion_parameters}
        | {"seconds_per_epoch": run.training.seconds_per_epoch, "seconds": run.seconds}
        | {"peak_memory_mb": run.peak_memory_mb}
        | run.provenance
        | {"caution": run.caution}
    )


def _same(a: Run, b: Run) -> bool:
    """Whether two runs have the same outcomes, up to the digits that a file keeps."""
    return a.outcomes.keys() == b.outcomes.keys() and all(
        np.allclose(a.outcomes[k], b.outcomes[k], atol=1e-5) for k in a.outcomes
    )


def _write(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except OSError as error:
        raise StoreError(
            f"The run could not be written to {path.parent} ({error.strerror}); the store is as it was."
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _text(run: Run) -> str:
    """The file's content: JSON with one line per field, and one line per conversation."""
    task = run.experiment.task
    fields: dict[str, Any] = {} if task == CONVERSATION else {"task": task}
    fields |= dataclasses.asdict(dataclasses.replace(run, predictions=None))
    del fields["predictions"]
    training = fields["training"]
    for name in ("train_loss", "selection_score"):
        training[name] = [round(v, 5) for v in training[name]]
    conversations = fields.pop("outcomes")
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in fields.items()]
    rows = [f"  {json.dumps(k)}: {json.dumps(_numbers(v))}" for k, v in conversations.items()]
    lines.append('"outcomes": {\n' + ",\n".join(rows) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _numbers(values: np.ndarray) -> list[float | int]:
    """Whole numbers as integers, others with 6 decimals."""
    return [int(v) if float(v).is_integer() else round(float(v), 6) for v in values]


@lru_cache(maxsize=100_000)
def _resolved(experiment: Record, dataset: str) -> Record:
    """The door of `Store.path`, which many call for the same experiments; a dataset built anew has another label."""
    return experiment.resolved()


@lru_cache(maxsize=100_000)
def _named(e: Record, dataset: str) -> tuple[str, str]:
    """Backbone and file name of a resolved experiment's run, given its dataset's label."""
    return e.backbone, f"{arm(e)}.{e.filed}.s{e.seed}.{key(e, dataset)}.json".replace("=", "-")


def read(path: Path) -> Run:
    """The run of a file, parsed once as long as the file stays as it is; raises LmamError for any other content."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise TypeError("it is no regular file")
        if status.st_size > LARGEST:
            raise TypeError(f"it has more than {LARGEST:,} bytes")
        run = _parsed(path, status.st_mtime_ns, status.st_size)
        READ[path] = str(run.provenance.get("code", ""))
        return run
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"no field {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        raise LmamError(f"{path} is not a run of this store ({why}); restore it from git or delete it.") from error


@lru_cache(maxsize=20_000)
def _parsed(path: Path, changed: int, size: int) -> Run:
    fields = json.loads(path.read_text(encoding="utf-8"))
    classes, task = fields["classes"], fields.pop("task", CONVERSATION)
    run = Run(
        **fields
        | {
            "experiment": record(task).stored(fields["experiment"]),
            "training": Training(**fields["training"]),
            "classes": tuple(classes) if classes else None,
            "outcomes": {k: np.array(v) for k, v in fields["outcomes"].items()},
        }
    )
    for part in (run, run.experiment, run.training):
        kinds: dict[str, Any] = _kinds(type(part))  # type: ignore[arg-type]
        for name, kind in kinds.items():
            if not _is(getattr(part, name), kind):
                raise TypeError(f"{name} is of the wrong kind")
    width = len(run.classes) ** 2 if run.classes else len(SUMS) + 49
    if run.outcomes and (task != CONVERSATION or not run.classes):
        size = next(iter(run.outcomes.values())).size
        width = size if task != CONVERSATION or traits(size) else width
    for counts in run.outcomes.values():
        if counts.shape != (width,) or counts.dtype.kind not in "if":
            raise TypeError(f"an outcome is not {width} numbers")
    return run


@lru_cache(maxsize=10_000)
def _name(sentence: str) -> None:
    _LOG.warning("%s", sentence)


@lru_cache
def _kinds(of: Any) -> dict[str, Any]:
    """The types that a record's fields are declared with."""
    hints = get_type_hints(of)
    return {field.name: hints[field.name] for field in dataclasses.fields(of)}


def _is(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is of the type that a field of a record is declared with."""
    if kind in (int, float):  # first, as most values are
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if kind is Any:
        return True
    of, parts = get_origin(kind), get_args(kind)
    if of in (Union, types.UnionType):
        return any(_is(value, one) for one in parts)
    if not isinstance(value, of or kind):
        return False
    if isinstance(value, dict):
        return all(_is(v, parts[1]) for v in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is(v, parts[0]) for v in value)
    return True
