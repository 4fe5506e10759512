"""What is asked (`Experiment`), what came out (`Run`), and the one way from the first to the second (`run`)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import operator
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.backends import cudnn

from lmam_core import fusion
from lmam_core.backbones import backbone
from lmam_core.data import catalogue
from lmam_core.data.conversations import MODALITIES, Dataset
from lmam_core.embedding import EMBEDDINGS, Embedded
from lmam_core.errors import LmamError
from lmam_core.fusion.lora import LowRank, adapt
from lmam_core.lmam import READINGS, VARIANTS
from lmam_core.memory import PeakMemory
from lmam_core.metrics import summarise
from lmam_core.training import IN_UPDATES, PROTOCOLS, UNTESTED, Budget, Training, evaluate, train

EPOCHS = {"batch_size": 32, "epochs": 60, "patience": 10}
"""The budget of the protocols that count in epochs: batches in conversations, patience in epochs."""
BUDGETS: dict[str, dict[str, int]] = {
    "honest": {"batch_size": 8, "updates": 2000, "patience": 200},
    "tuning": {"batch_size": 8, "updates": 600, "patience": 200},
}
"""The budgets of the others, in updates. Batches of 32 conversations are three updates an epoch on IEMOCAP and two on
CMU-MOSI: with 60 epochs and a patience of ten, methods that start slowly were stopped before they had learned."""
_FILED = {"protocol1": "honest", "tuning1": "tuning"}


@dataclass(frozen=True)
class Experiment:
    """What is asked: everything that decides the numbers of a run, on a given machine.

    `resolved()` fills in what is left open (the dataset's modalities and feature sets, the backbone's own embedding
    way) and drops what means nothing (the rank of a concatenation), so that one question has one `key`.

    `features` and `readings` are written `text=glove200,audio=gemaps47` and `keys=others`; `rank` is 1..d;
    `learning_rate` and `weight_decay` are Adam's; `dropout` acts on the features as they enter and takes the place of
    the backbone's own; `batch_size` is counted in conversations. `updates` and `epochs` limit training, whichever ends
    first; `patience` is counted in updates, under protocols that count in epochs in epochs (`training.Budget`).
    `dialogues` keeps that many conversations of each split, for quick looks (0: all); `faithful` lets padding into a
    backbone's results where its original does; `width` takes the place of the backbone's own (`Backbone.widened`);
    `shuffled`, as in `audio+video`, deals those modalities' utterances anew within each split, so that they tell
    nothing about the others or the labels.
    """

    dataset: str = "synthetic-iemocap"
    features: str = ""
    modalities: tuple[str, ...] = ()
    backbone: str = "bc_lstm"
    fusion: str = "lmam"
    embedding: str | None = None
    variant: str | None = None
    rank: int | None = None
    readings: str = ""
    protocol: str = "honest"
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    dialogues: int = 0
    faithful: bool = False
    width: int | None = None
    shuffled: str = ""
    updates: int | None = None
    dropout: float | None = None

    def resolved(self) -> Experiment:
        """The same question with nothing left open; raises LmamError for whatever is not possible."""
        self = dataclasses.replace(self, **self._numbers())
        record = catalogue.entry(self.dataset)
        modalities = self.modalities or tuple(record.default_modalities)
        for m in modalities:
            if m not in record.feature_sets:
                raise LmamError(f"{self.dataset} has no modality '{m}'; it has {', '.join(record.feature_sets)}.")
        modalities = tuple(m for m in MODALITIES if m in modalities)
        chosen = pairs(self.features, "features")
        for m, name in chosen.items():
            if name not in record.feature_sets.get(m, ()):
                raise LmamError(f"{self.dataset} has no features '{m}={name}'; see `lmam data`.")
            if m not in modalities:
                raise LmamError(
                    f"Features are chosen for {m}, but the modalities are {', '.join(modalities)}; add {m} to them or "
                    "leave it out of the features."
                )
        features = {m: chosen.get(m, next(iter(record.feature_sets[m]))) for m in modalities}
        embedding = self.embedding or backbone(self.backbone).native
        if embedding not in EMBEDDINGS:
            raise LmamError(f"There is no embedding way '{embedding}'; choose one of {', '.join(EMBEDDINGS)}.")
        if self.protocol not in PROTOCOLS:
            raise LmamError(f"There is no protocol '{self.protocol}'; choose one of {', '.join(PROTOCOLS)}.")
        if self.faithful and not backbone(self.backbone).leak:
            raise LmamError(f"faithful means nothing for '{self.backbone}': padding reaches no result of its original.")
        shuffled = [m for m in self.shuffled.split("+") if m]
        for m in shuffled:
            if m not in modalities:
                raise LmamError(f"'{m}' cannot be shuffled: the modalities are {', '.join(modalities)}.")
        self = dataclasses.replace(self, **self._budget())
        self._check_numbers()
        return dataclasses.replace(
            self,
            shuffled="+".join(m for m in MODALITIES if m in shuffled),
            features=",".join(f"{m}={name}" for m, name in features.items()),
            modalities=modalities,
            embedding=embedding,
            **self._fusion_fields(),
        )

    def _budget(self) -> dict[str, int | None]:
        """The usual budget of the protocol where nothing else is asked for."""
        if self.protocol not in IN_UPDATES and self.updates is not None:
            raise LmamError(f"The protocol {self.protocol} counts its budget in epochs; leave out updates.")
        usual = BUDGETS.get(self.protocol, EPOCHS)
        return {name: value if getattr(self, name) is None else getattr(self, name) for name, value in usual.items()}

    def _fusion_fields(self) -> dict[str, Any]:
        """Variant, rank and readings as the fusion method understands them."""
        options = fusion.method(self.fusion).options
        variant = (self.variant or "paper") if "variant" in options else None
        if variant is not None and variant not in VARIANTS:
            raise LmamError(f"LMAM has no variant '{variant}'; choose one of {', '.join(VARIANTS)}.")
        readings = pairs(self.readings, "readings")
        for name, value in readings.items():
            if name not in options or value not in READINGS.get(name, ()):
                raise LmamError(f"Fusion '{self.fusion}' has no reading '{name}={value}'.")
        # A reading that is the variant's own is no other question.
        readings = {k: v for k, v in readings.items() if VARIANTS[variant][k] != v}
        if variant == "released" and readings:
            raise LmamError(f"The released variant has its own readings; leave out {', '.join(readings)}.")
        ranked = fusion.method(self.fusion).rank and variant != "released" and readings.get("weight") != "full"
        default = fusion.method(self.fusion).rank if ranked else None
        return {
            "variant": variant,
            "rank": self.rank if ranked and self.rank is not None else default,
            "readings": ",".join(f"{k}={v}" for k, v in sorted(readings.items())),
        }

    def _numbers(self) -> dict[str, int | float]:
        """The fields that are numbers as Python's own: an int64 of numpy is the same question and has the same key."""
        whole = ("rank", "seed", "batch_size", "epochs", "patience", "dialogues", "width", "updates")
        found: dict[str, int | float] = {}
        for name in whole:
            if (value := getattr(self, name)) is not None:
                if isinstance(value, bool):  # an index to Python, a slip to whoever wrote it
                    raise LmamError(f"{name} must be a whole number; got {value!r}.")
                try:
                    found[name] = operator.index(value)
                except TypeError:
                    raise LmamError(f"{name} must be a whole number; got {value!r}.") from None
        for name in ("learning_rate", "weight_decay", "dropout"):
            if name == "dropout" and self.dropout is None:
                continue
            try:
                found[name] = float(getattr(self, name))
            except (TypeError, ValueError):
                raise LmamError(f"{name} must be a number; got {getattr(self, name)!r}.") from None
        return found

    def _check_numbers(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise LmamError(f"The rank must be at least 1 and at most the feature width; got {self.rank}.")
        for name in ("epochs", "patience", "batch_size", "width", "updates"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise LmamError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise LmamError(f"learning_rate must be a positive number; got {self.learning_rate}.")
        if not 0 <= self.weight_decay < math.inf or self.dialogues < 0:
            raise LmamError("weight_decay and dialogues must not be negative.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise LmamError(f"dropout must lie from 0 to below 1; got {self.dropout}.")
        if not 0 <= self.seed < 2**63:
            raise LmamError(f"seed must lie in 0..2^63 - 1; got {self.seed}.")

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the sha256 of the resolved record.

        Fields that are empty (None, "", 0, ()) stay out of it, so that a field added later, empty by default, leaves
        the keys of stored runs as they are; a dropout of 0 is not the backbone's own and stays.
        """
        e = self.resolved()
        asked = {name: value for name, value in dataclasses.asdict(e).items() if value}
        asked |= {"protocol": e.filed} | ({} if e.dropout is None else {"dropout": e.dropout})
        text = json.dumps(asked, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def filed(self) -> str:
        """The protocol's name in keys and in the names of files; those of `protocol1` are from when it was `honest`."""
        return _FILED.get(self.protocol, self.protocol)

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> Experiment:
        """The experiment of a run's file; one from before updates were counted is of the first protocol."""
        asked = dict(fields) | {"modalities": tuple(fields["modalities"])}
        if "updates" not in asked:
            first = {name: protocol for protocol, name in _FILED.items()}
            asked["protocol"] = first.get(asked["protocol"], asked["protocol"])
        return cls(**asked)

    @property
    def arm(self) -> str:
        """The resolved fusion in a few words, as tables and files name it: `lmam.late.paper.r45`."""
        e = self.resolved()
        rank = f"r{e.rank}" if e.rank else None
        parts = (e.fusion, e.embedding, e.variant, rank, e.readings.replace(",", "+"), e.faithful and "faithful")
        parts += (e.width and f"w{e.width}", e.shuffled and f"shuffled-{e.shuffled}")
        return ".".join(part for part in parts if part)


def pairs(text: str, what: str) -> dict[str, str]:
    """`a=b,c=d` as a dict; raises LmamError for anything else."""
    try:
        return dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
    except ValueError:
        raise LmamError(f"{what} are written name=value,name=value; got '{text}'.") from None


@dataclass(frozen=True)
class Run:
    """What came out: the resolved experiment, test outcomes and metrics, sizes, times, and where it all came from.

    `outcomes[conversation]` are additive counts (see `metrics`); under the tuning protocol they and `metrics` are
    empty. `parameters` are trainable numbers, `seconds_per_epoch` the median over epochs of training alone,
    `peak_memory_mb` the process's (on a GPU the allocator's) highest use while the run lasted.
    """

    experiment: Experiment
    metrics: dict[str, float]
    outcomes: dict[str, np.ndarray]
    classes: tuple[str, ...] | None
    training: Training
    parameters: int
    fusion_parameters: int
    seconds: float
    peak_memory_mb: float
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> np.ndarray:
        """The outcomes summed over conversations."""
        return sum(self.outcomes.values())


@lru_cache(maxsize=4)
def _prepared(
    dataset: str,
    sha256: str,
    features: str,
    modalities: tuple[str, ...],
    protocol: str,
    dialogues: int,
    shuffled: str,
    seed: int,
    split: int,
) -> Dataset:
    """`sha256` is there for the cache, which must not outlive a folder that is built anew."""
    data = catalogue.load(dataset, pairs(features, "features"), modalities)
    if dialogues:
        data = dataclasses.replace(data, splits={s: c[:dialogues] for s, c in data.splits.items()})
    if protocol != "released":
        data = data.with_validation(seed=split)
    for m in shuffled.split("+") if shuffled else ():
        data = data.with_shuffled(m, seed)
    return data.standardised()


def prepared(experiment: Experiment) -> Dataset:
    """The dataset of an experiment: validation taken out of train (not under `released`), then standardised.

    What is shuffled is dealt by the experiment's seed, and so is validation; under the first protocol one choice of
    validation conversations served all seeds.
    """
    e = experiment.resolved()
    seed, split = e.seed if e.shuffled else 0, e.seed if e.protocol in IN_UPDATES else 0
    sha256 = catalogue.fingerprint(e.dataset)
    return _prepared(e.dataset, sha256, e.features, e.modalities, e.protocol, e.dialogues, e.shuffled, seed, split)


def build(experiment: Experiment, data: Dataset, base: Mapping[str, Tensor] | None = None) -> Embedded:
    """The model of an experiment, initialised from its seed; what LoRA freezes are the weights `base`, if given."""
    e = experiment.resolved()
    torch.manual_seed(e.seed)
    method = fusion.method(e.fusion)
    options = {"rank": e.rank if "rank" in method.options else None, "variant": e.variant}
    options |= pairs(e.readings, "readings")
    talks = [c for split in data.splits.values() for c in split]
    speakers, longest = 1 + max(int(c.speaker.max()) for c in talks), max(map(len, talks))
    chosen = backbone(e.backbone)
    model = Embedded(
        data.widths,
        data.outputs,
        chosen,
        lambda widths: fusion.build(e.fusion, widths, **options),
        e.embedding,
        speakers,
        seed=e.seed if e.protocol in IN_UPDATES else None,
        input_dropout=e.dropout or 0.0,
        **({} if e.dropout is None else {"dropout": e.dropout}),
        **({"faithful": True} if e.faithful else {}),
        **({chosen.widened: e.width} if e.width else {}),
        **({"longest": longest} if longest > getattr(chosen, "longest", longest) else {}),
    )
    if base is not None:
        model.load_state_dict(base)
    if method.base:
        adapt(model, e.rank)
    return model


def fit(
    experiment: Experiment, device: str = "cpu", progress: Callable[[int, float, float], None] | None = None
) -> tuple[Embedded, Dataset, Training]:
    """Train the model of an experiment; returns it at its best epoch, with the dataset that it was trained on.

    On one thread, because the order of additions, and with it the last digits, depends on how many there are; small
    products gain nothing from a second one. LoRA on a trained base first trains that base, the same experiment with
    concatenation, and so has twice the budget.
    """
    e = experiment.resolved()
    data = prepared(e)
    base = None
    if fusion.method(e.fusion).base == "trained":
        trained, *_ = fit(dataclasses.replace(e, fusion="concat", rank=None), device, progress)
        base = trained.state_dict()
    model = build(e, data, base).to(device)
    budget = Budget(e.epochs, e.patience, e.batch_size, e.learning_rate, e.weight_decay, e.updates)
    how = {"progress": progress} if progress else {}
    with _one_thread():
        return model, data, train(model, data, budget, e.protocol, e.seed, torch.device(device), **how)


def run(
    experiment: Experiment, device: str = "cpu", progress: Callable[[int, float, float], None] | None = None
) -> Run:
    """Carry out an experiment: the same record, code and data give the same numbers on the same machine's CPU.

    On a GPU products are those of float32, without TF32's shorter fractions, and cuDNN takes deterministic kernels.
    """
    e = experiment.resolved()
    exact = cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with PeakMemory(device) as memory, _one_thread(), exact:
        started = time.perf_counter()
        model, data, training = fit(e, device, progress)
        found = {} if e.protocol in UNTESTED else evaluate(model, data, "test", torch.device(device))
        seconds = time.perf_counter() - started
    classes = data.outputs if data.classes else None
    return Run(
        experiment=e,
        metrics=summarise(sum(found.values()), classes) if found else {},
        outcomes=found,
        classes=data.classes,
        training=training,
        parameters=_count(model),
        fusion_parameters=sum(_count(part) for part in _fusion_parts(model)),
        seconds=seconds,
        peak_memory_mb=memory.megabytes,
        provenance=provenance(data, device),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fusion_parts(model: Embedded) -> list[nn.Module]:
    """What the fusion method brought along: its module and the map behind it, or LoRA's additions."""
    return [model.fusion, model.match, *(m for m in model.modules() if isinstance(m, LowRank))]


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def provenance(data: Dataset, device: str) -> dict[str, Any]:
    """Code version, data sha256, library versions and device of a run."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()
    name = name or platform.machine()
    return {
        "code": code_version(),
        "data_sha256": data.sha256,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device} ({name})",
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


PARTS = (
    "data/sources/*.py",
    "fusion/*.py",
    "backbones/*.py",
    *(f"data/{name}.py" for name in ("catalogue", "conversations", "stored", "synthetic")),
    *(f"{name}.py" for name in ("lmam", "lmcm", "long", "transformer", "start", "dropout", "embedding")),
    *(f"{name}.py" for name in ("experiment", "training", "metrics")),
)
"""The files that decide a run's numbers, as globs in the package's folder; none may match nothing."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """12 hexadecimal digits of the sha256 of the files that decide a run's numbers, wherever they are installed.

    Raises LmamError where a part of `PARTS` matches no file: one that moved must not drop out of the hash in silence.
    """
    root = Path(__file__).parent
    found = {part: list(root.glob(part)) for part in PARTS}
    if gone := [part for part, paths in found.items() if not paths]:
        raise LmamError(f"The code version cannot be told: {', '.join(gone)} of experiment.PARTS matches no file.")
    digest = hashlib.sha256()
    for path in sorted(path for paths in found.values() for path in paths):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


code_version()  # kept now, as the code is loaded: an edit while a run goes on made nothing of it
