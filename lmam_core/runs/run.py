"""What came out (`Run`), and the one way to it from an `Experiment` (`run`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.backends import cudnn

from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.models.backbones import backbone
from lmam_core.models.embedded import Embedded, embed
from lmam_core.models.lora import LowRank, adapt
from lmam_core.runs.device import usable
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import total
from lmam_core.runs.peak_memory import PeakMemory
from lmam_core.runs.predictions import table
from lmam_core.runs.provenance import provenance
from lmam_core.runs.record import Measured, Progress, Record, arm, key
from lmam_core.runs.training import IN_UPDATES, TEST_BATCH, UNTESTED, Budget, Training, infer, scored, train


@dataclass(frozen=True)
class Run:
    """What came out: the resolved question, test outcomes and metrics, sizes, times, and where it all came from.

    `outcomes[conversation]` are additive counts (see `metrics`); under the tuning protocol they and `metrics` are
    empty. `parameters` are trainable numbers, `seconds_per_epoch` the median over epochs of training alone,
    `peak_memory_mb` the process's (on a GPU the allocator's) highest use while the run lasted. `predictions` has a row
    per test utterance where they were asked for (`predictions.table`).

    >>> result = run(Experiment(rank=4, epochs=1, dialogues=12))
    >>> result.experiment.rank, len(result.outcomes), int(result.total.sum()) > 100
    (4, 12, True)
    """

    experiment: Experiment | Any  # a record of any task
    metrics: dict[str, float]
    outcomes: dict[str, np.ndarray]
    classes: tuple[str, ...] | None
    training: Training
    parameters: int
    fusion_parameters: int
    seconds: float
    peak_memory_mb: float
    provenance: dict[str, Any] = field(default_factory=dict)
    predictions: pd.DataFrame | None = field(default=None, repr=False, compare=False)

    @property
    def dataset(self) -> str:
        """The dataset's label as `catalogue.label` gave it when the run was made; the dataset itself may be gone."""
        name, p = self.experiment.dataset, self.provenance
        if name in catalogue.names(None):
            return name
        return f"{p.get('data') or Path(name).name}-{p.get('data_sha256', '')[:8]}"

    @property
    def arm(self) -> str:
        """`Record.arm`, of the record as it is stored."""
        return arm(self.experiment)

    @property
    def key(self) -> str:
        """`Record.key`, of the record as it is stored."""
        return key(self.experiment, self.dataset)

    @property
    def caution(self) -> str:
        """`Dataset.caution` when the run was made; of runs from before it was kept, what the catalogue knows."""
        name = self.experiment.dataset
        synthetic = name in catalogue.names() and catalogue.entry(name).kind == "synthetic"
        return str(self.provenance.get("caution", "synthetic data" if synthetic else ""))

    @property
    def total(self) -> np.ndarray:
        """The outcomes summed over conversations."""
        return total(self.outcomes)

    def summarise(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        """The metrics of many sums (..., K) of such outcomes at once, each (...)."""
        return type(self.experiment).summarise(totals, len(self.classes) if self.classes else None)


# The public functions resolve an experiment, once; the private ones, and `assemble`, take `e`, which is resolved.


def prepared(experiment: Experiment) -> Dataset:
    """The dataset of an experiment: validation taken out of train (not under `released`), then standardised.

    The experiment's seed decides what is shuffled, and which conversations are validation; under the first protocol one
    choice of validation conversations served all seeds.
    """
    return _data(experiment.resolved())


def _data(e: Experiment) -> Dataset:
    seed = e.seed if e.shuffled or e.protocol in IN_UPDATES else 0
    fields = {name: getattr(e, name) for name in ("features", "modalities", "protocol", "dialogues", "shuffled")}
    return _prepared(Experiment(e.dataset, seed=seed, **fields), catalogue.fingerprint(e.dataset))


@lru_cache(maxsize=4)
def _prepared(e: Experiment, sha256: str) -> Dataset:
    """`_data` of the fields that decide it; `sha256` keeps the cache from outliving a folder that is built anew."""
    data = catalogue.load(e.dataset, e.feature_sets, e.modalities)
    if e.dialogues:
        data = dataclasses.replace(data, splits={s: c[: e.dialogues] for s, c in data.splits.items()})
    if e.protocol != "released":
        data = data.with_validation(seed=e.seed if e.protocol in IN_UPDATES else 0)
    for m in e.shuffled.split("+") if e.shuffled else ():
        data = data.with_shuffled(m, e.seed)
    return data.standardised()


def build(experiment: Experiment, data: Dataset, base: Mapping[str, Tensor] | None = None) -> Embedded:
    """The model of an experiment, initialised from its seed; what LoRA freezes are the weights `base`, if given."""
    return _model(experiment.resolved(), data, base)


def _model(e: Experiment, data: Dataset, base: Mapping[str, Tensor] | None = None) -> Embedded:
    centre = None
    if data.traits:
        centre = torch.from_numpy(np.concatenate([c.label for c in data.splits["train"]]).mean(0))  # (K,)
    return assemble(e, data.widths, data.outputs, data.speakers, data.longest, base, centre)


def assemble(
    e: Experiment,
    widths: Mapping[str, int],
    outputs: int,
    speakers: int,
    longest: int,
    base: Mapping[str, Tensor] | None = None,
    centre: Tensor | None = None,
) -> Embedded:
    """`build` for a resolved experiment without its dataset: widths, outputs, speakers and longest conversation.

    With a `centre`, that of `Embedded`, the outputs are traits of the whole conversation.
    """
    torch.manual_seed(e.seed)
    method = fusion.method(e.fusion)
    options = {"rank": e.rank if "rank" in method.options else None, "variant": e.variant} | e.reading_options
    kind = backbone(e.backbone)
    model = embed(
        widths,
        outputs,
        kind,
        lambda widths: fusion.build(e.fusion, widths, **options),
        e.embedding or kind.native,
        speakers,
        seed=e.seed if e.protocol in IN_UPDATES else None,
        input_dropout=e.dropout or 0.0,
        centre=centre,
        **({} if e.dropout is None else {"dropout": e.dropout}),
        **({"faithful": True} if e.faithful else {}),
        **({kind.widened: e.width} if e.width else {}),
        **({"longest": longest} if kind.longest is not None and longest > kind.longest else {}),
    )
    if base is not None:
        model.load_state_dict(base)
    if method.base:
        adapt(model, e.rank or 0)
    return model


def trained(
    experiment: Experiment, device: str = "cpu", progress: Progress | None = None
) -> tuple[Embedded, Dataset, Training]:
    """Train the model of an experiment; it comes back on the CPU, with the dataset that it was trained on."""
    model, data, training = _fit(experiment.resolved(), usable(device), progress)
    return model.cpu(), data, training


def _fit(e: Experiment, device: str, progress: Progress | None) -> tuple[Embedded, Dataset, Training]:
    """Train the model of an experiment; returns it at its best epoch, with the dataset that it was trained on.

    On one thread, because the order of additions, and with it the last digits, depends on how many there are; small
    products gain nothing from a second one. LoRA on a trained base first trains that base, the same experiment with
    concatenation, and so has twice the budget.
    """
    data, base = _data(e), None
    if fusion.method(e.fusion).base == "trained":
        base = _fit(dataclasses.replace(e, fusion="concat", rank=None), device, progress)[0].state_dict()
    model = _model(e, data, base).to(device)
    assert e.patience is not None  # of a resolved experiment nothing is open
    assert e.batch_size is not None
    budget = Budget(e.epochs, e.patience, e.batch_size, e.learning_rate, e.weight_decay, e.updates)
    how = {"progress": progress} if progress else {}
    with one_thread():
        return model, data, train(model, data, budget, e.protocol, e.seed, torch.device(device), **how)


def run(experiment: Record, device: str = "cpu", progress: Progress | None = None, predictions: bool = False) -> Run:
    """Carry out an experiment: the same record, code and data give the same numbers on the same machine's CPU.

    On a GPU products are those of float32, without TF32's shorter fractions, and cuDNN takes deterministic kernels.
    With `predictions` the run has them for every test utterance; LmamError under a protocol that leaves test alone.

    >>> asked = Experiment(rank=4, epochs=1, dialogues=12)
    >>> run(asked).metrics == run(asked).metrics
    True
    """
    if isinstance(experiment, Experiment):
        return carry_out(experiment, device, progress, predictions)[0]
    if predictions:
        raise LmamError(f"Of the task {experiment.task} no predictions are kept.")
    e = experiment.resolved()
    with _watched(device) as used:
        measured = e.measure(device, progress)
    return _run(e, device, used, measured)


def carry_out(
    experiment: Experiment, device: str = "cpu", progress: Progress | None = None, predictions: bool = False
) -> tuple[Run, Embedded, Dataset]:
    """`run`, together with the trained model and the dataset that it was trained on."""
    e = experiment.resolved()
    if predictions and e.protocol in UNTESTED:
        raise LmamError(f"The protocol {e.protocol} leaves the test set alone, so there are no predictions to keep.")
    with _watched(device) as used:
        model, data, training = _fit(e, device, progress)
        test = [] if e.protocol in UNTESTED else data.splits["test"]
        outputs = infer(model, data.batches("test", TEST_BATCH), torch.device(device)) if test else []
        outcomes = scored(test, outputs, data.outputs if data.classes else None)
    origin = {"data": data.name, "data_sha256": data.sha256, "caution": data.caution}
    added = sum(count(part) for part in _fusion_parts(model))
    result = _run(e, device, used, Measured(outcomes, data.classes, training, count(model), added, origin))
    if predictions:
        result = dataclasses.replace(result, predictions=table(test, outputs, data.classes, data.traits))
    return result, model.cpu(), data


@contextmanager
def _watched(device: str) -> Iterator[PeakMemory]:
    """The settings under which numbers come out again, and what is used under them."""
    exact = cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with one_thread(), exact, PeakMemory(device) as used:
        yield used


def _run(e: Record, device: str, used: PeakMemory, measured: Measured) -> Run:
    fields = dict(vars(measured))
    origin = fields.pop("origin")
    classes = len(measured.classes) if measured.classes else None
    metrics = e.summarise(total(measured.outcomes), classes) if measured.outcomes else {}
    return Run(
        experiment=e,
        metrics={name: float(value) for name, value in metrics.items()},
        seconds=used.seconds,
        peak_memory_mb=used.megabytes,
        provenance=provenance(e.task, origin, device),
        **fields,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """The order of additions, and with it the last digits, depends on how many threads there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fusion_parts(model: Embedded) -> list[nn.Module]:
    """What the fusion method brought along: its module and the map behind it, or LoRA's additions."""
    return [model.fusion, model.match, *(m for m in model.modules() if isinstance(m, LowRank))]


def count(module: nn.Module) -> int:
    """The trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
