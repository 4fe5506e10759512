"""What is asked, of any task (`Record`), what a task measures (`Measured`), and which tasks there are."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np

from lmam_core.data import catalogue
from lmam_core.errors import LmamError, unknown
from lmam_core.runs import metrics
from lmam_core.runs.training import Training

CONVERSATION = "conversation"
TASKS = {
    CONVERSATION: "lmam_core.runs.experiment:Experiment",
    "recommendation": "lmam_core.tasks.recommendation.experiment:Recommendation",
    "humour": "lmam_core.tasks.humour.experiment:Humour",
}
"""The record of each task, imported when it is asked for. A new task is one room in `tasks/` and one line here."""

Progress = Callable[[int, float, float], None]
"""Called after every epoch with its number, its loss and its selection score."""


@dataclass(frozen=True)
class Measured:
    """What a task's model gave: `Run` says what the fields are; `origin` is what its provenance has of the data."""

    outcomes: dict[str, np.ndarray]
    classes: tuple[str, ...] | None
    training: Training
    parameters: int
    fusion_parameters: int
    origin: dict[str, str]


class Record:
    """What is asked of a task: each task's own is a frozen dataclass of all that decides a run's numbers.

    These five fields every one has, and further ones of its own. `resolved()` leaves nothing open, so that one question
    has one `key`; `arm` names what is compared.
    """

    task: ClassVar[str]
    dataset: str
    backbone: str
    protocol: str
    seed: int
    learning_rate: float

    def resolved(self) -> Self:
        """The same question with nothing left open; raises LmamError for whatever is not possible."""
        raise NotImplementedError

    def parts(self) -> list[str]:
        """What is compared, of a resolved record, in a few words, some of them perhaps empty."""
        raise NotImplementedError

    @property
    def arm(self) -> str:
        """`parts` as tables and files name them: `lmam.late.paper.r45`."""
        return arm(self.resolved())

    def measure(self, device: str, progress: Progress | None) -> Measured:
        """Train the resolved question's model and read its outcomes."""
        raise NotImplementedError

    @staticmethod
    def summarise(totals: np.ndarray, classes: int | None) -> dict[str, np.ndarray]:
        """The metrics of many sums (..., K) of this task's outcomes at once, each (...)."""
        return metrics.summarise_many(totals, classes)

    @property
    def filed(self) -> str:
        """The protocol's name in keys and in the names of files."""
        return self.protocol

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the sha256 of the resolved record.

        Fields that are empty (None, "", 0, ()) stay out of it, so that a field added later, empty by default, leaves
        the keys of stored runs as they are. A dataset in a folder counts by its label, name and content: wherever the
        folder lies, and however its path is written.
        """
        return key(self.resolved(), catalogue.label(self.dataset))

    def key_fields(self) -> dict[str, Any]:
        """The fields that are not empty, of which the key is made; those of conversations do not name their task."""
        task = {} if self.task == CONVERSATION else {"task": self.task}
        return task | {name: value for name, value in dataclasses.asdict(cast("Any", self)).items() if value}

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> Self:
        """The record of a run's file."""
        return cls(**fields)


def key(e: Record, dataset: str) -> str:
    """`Record.key` of a resolved record, given its dataset's label and without looking for the dataset."""
    text = json.dumps(e.key_fields() | {"dataset": dataset}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def arm(e: Record) -> str:
    """`Record.arm` of a resolved record, without looking for its dataset."""
    return ".".join(part for part in e.parts() if part)


def record(task: str) -> type[Record]:
    """The record of a task; raises LmamError where there is none of this name."""
    if task not in TASKS:
        raise unknown("There is no task", task, TASKS)
    module, name = TASKS[task].split(":")
    return cast("type[Record]", getattr(importlib.import_module(module), name))


def numbers(e: Record, whole: Sequence[str], real: Sequence[str]) -> dict[str, Any]:
    """A record's numbers as Python's own, as an int64 of numpy is the same question; None stays out where it is usual.

    Raises LmamError for what is no whole number, and no number.
    """
    converted: dict[str, Any] = {}
    for name in (*whole, *real):
        value = getattr(e, name)
        if value is None and getattr(type(e), name) is None:
            continue
        try:
            if isinstance(value, bool) and name in whole:  # an index to Python, a slip to whoever wrote it
                raise TypeError
            converted[name] = operator.index(value) if name in whole else float(value)
        except (TypeError, ValueError):
            kind = "a whole number" if name in whole else "a number"
            raise LmamError(f"{name} must be {kind}; got {value!r}.") from None
    return converted


def check(e: Record, choices: Mapping[str, Sequence[str]], optional: str, counts: Sequence[str]) -> None:
    """Raise LmamError for a field that is none of its `choices`, a count below 1, or a seed that is none.

    The `optional` field may be None.
    """
    for name, there in choices.items():
        value = getattr(e, name)
        if value not in there and not (name == optional and value is None):
            raise unknown(f"{type(e).__name__} has no {name}", value, there)
    for name in counts:
        if getattr(e, name) < 1:
            raise LmamError(f"{name} must be at least 1; got {getattr(e, name)}.")
    if not 0 <= e.seed < 2**63:
        raise LmamError(f"seed must lie in 0..2^63 - 1; got {e.seed}.")
