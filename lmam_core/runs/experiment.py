"""What decides a run on conversations: `Experiment`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lmam_core.batch import MODALITIES
from lmam_core.data import catalogue
from lmam_core.errors import LmamError, unknown
from lmam_core.models import fusion
from lmam_core.models.backbones import backbone
from lmam_core.models.embedded import EMBEDDINGS
from lmam_core.models.lmam import READINGS, VARIANTS
from lmam_core.runs.record import CONVERSATION, Record, numbers
from lmam_core.runs.training import IN_UPDATES, PROTOCOLS

EPOCHS = {"batch_size": 32, "epochs": 60, "patience": 10}
"""The budget of the protocols that count in epochs: batches in conversations, patience in epochs."""
BUDGETS: dict[str, dict[str, int]] = {
    "honest": {"batch_size": 8, "updates": 2000, "patience": 200},
    "tuning": {"batch_size": 8, "updates": 600, "patience": 200},
}
"""The budgets of the others, in updates. Batches of 32 conversations are three updates per epoch on IEMOCAP and two on
CMU-MOSI: with 60 epochs and a patience of ten, methods that start slowly were stopped before they had learned."""
WHOLE = ("rank", "seed", "batch_size", "epochs", "patience", "dialogues", "width", "updates")
"""The fields that are whole numbers."""
_FILED = {"protocol1": "honest", "tuning1": "tuning"}


@dataclass(frozen=True)
class Experiment(Record):
    """Everything that decides the numbers of a run on conversations, on a given machine.

    `resolved()` fills in what is left open (the dataset's modalities and feature sets, the backbone's own embedding
    way) and drops what means nothing (the rank of a concatenation), so that one question has one `key`.

    `features` and `readings` are written `text=glove200,audio=gemaps47` and `keys=others`; `rank` is 1..d;
    `learning_rate` and `weight_decay` are Adam's; `dropout` acts on the features as they enter and takes the place of
    the backbone's own; `batch_size` is counted in conversations. `updates` and `epochs` limit training, whichever ends
    first; `patience` is counted in updates, under protocols that count in epochs in epochs (`training.Budget`).
    `dialogues` keeps that many conversations of each split, for quick looks (0: all); `faithful` lets padding into a
    backbone's results where its original does; `width` takes the place of the backbone's own (`Backbone.widened`);
    `shuffled`, as in `audio+video`, shuffles those modalities' utterances within each split, so that they tell
    nothing about the others or the labels.

    >>> experiment = Experiment(dataset="synthetic-iemocap", backbone="bc_lstm", fusion="lmam", rank=30)
    >>> experiment.arm
    'lmam.early.paper.r30'
    >>> experiment.key == Experiment(rank=30, embedding="early", variant="paper").key  # the same question
    True
    """

    task: ClassVar[str] = CONVERSATION

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

    @property
    def feature_sets(self) -> dict[str, str]:
        """`features` by modality, `{"text": "glove200"}`; raises LmamError where they are written in another way."""
        return pairs(self.features, "features")

    @property
    def reading_options(self) -> dict[str, str]:
        """`readings` by name, `{"keys": "others"}`; raises LmamError where they are written in another way."""
        return pairs(self.readings, "readings")

    def resolved(self) -> Experiment:
        """The same question with nothing left open; raises LmamError for whatever is not possible."""
        self = dataclasses.replace(self, **numbers(self, WHOLE, ("learning_rate", "weight_decay", "dropout")))
        record = catalogue.entry(self.dataset)
        if not record.feature_sets:
            raise LmamError(f"{self.dataset} holds no conversations; it is for `lmam run --task {record.task}`.")
        modalities = self.modalities or tuple(record.default_modalities)
        for m in modalities:
            if m not in record.feature_sets:
                raise LmamError(f"{self.dataset} has no modality '{m}'; it has {', '.join(record.feature_sets)}.")
        modalities = tuple(m for m in MODALITIES if m in modalities)
        sets = self.feature_sets
        for m, name in sets.items():
            if name not in record.feature_sets.get(m, ()):
                raise LmamError(f"{self.dataset} has no features '{m}={name}'; see `lmam data`.")
            if m not in modalities:
                raise LmamError(
                    f"Features are chosen for {m}, but the modalities are {', '.join(modalities)}; add {m} to them or "
                    "leave it out of the features."
                )
        features = {m: sets.get(m, next(iter(record.feature_sets[m]))) for m in modalities}
        embedding = self.embedding or backbone(self.backbone).native
        if embedding not in EMBEDDINGS:
            raise unknown("There is no embedding way", embedding, EMBEDDINGS)
        if self.protocol not in PROTOCOLS:
            raise unknown("There is no protocol", self.protocol, PROTOCOLS)
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
            dataset=catalogue.canonical(self.dataset),
            shuffled="+".join(m for m in MODALITIES if m in shuffled),
            features=",".join(f"{m}={name}" for m, name in features.items()),
            modalities=modalities,
            embedding=embedding,
            **self._fusion_fields(),
        )

    def _budget(self) -> dict[str, Any]:
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
            raise unknown("LMAM has no variant", variant, VARIANTS)
        readings = self.reading_options
        for name, value in readings.items():
            if name not in options:
                raise LmamError(f"Fusion '{self.fusion}' has no reading '{name}={value}'.")
            if value not in READINGS[name]:
                raise unknown("LMAM has no reading", f"{name}={value}", [f"{name}={v}" for v in READINGS[name]])
        # A reading that is the variant's own is no other question.
        readings = {k: v for k, v in readings.items() if VARIANTS[variant or "paper"][k] != v}
        if variant == "released" and readings:
            raise LmamError(f"The released variant has its own readings; leave out {', '.join(readings)}.")
        ranked = fusion.method(self.fusion).rank and variant != "released" and readings.get("weight") != "full"
        default = fusion.method(self.fusion).rank if ranked else None
        return {
            "variant": variant,
            "rank": self.rank if ranked and self.rank is not None else default,
            "readings": ",".join(f"{k}={v}" for k, v in sorted(readings.items())),
        }

    def _check_numbers(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise LmamError(f"The rank must be at least 1 and at most the feature width; got {self.rank}.")
        for name in ("epochs", "patience", "batch_size", "width", "updates"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise LmamError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise LmamError(f"learning_rate must be a positive number; got {self.learning_rate}.")
        if not 0 <= self.weight_decay < math.inf:
            raise LmamError(f"weight_decay must be a number from 0; got {self.weight_decay}.")
        if self.dialogues < 0:
            raise LmamError(f"dialogues must be at least 0; got {self.dialogues}.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise LmamError(f"dropout must lie from 0 to below 1; got {self.dropout}.")
        if not 0 <= self.seed < 2**63:
            raise LmamError(f"seed must lie in 0..2^63 - 1; got {self.seed}.")

    def key_fields(self) -> dict[str, Any]:
        """The fields of which the key is made; a dropout of 0 is not the backbone's own and stays."""
        dropout = {} if self.dropout is None else {"dropout": self.dropout}
        return super().key_fields() | {"protocol": self.filed} | dropout

    @property
    def filed(self) -> str:
        """The protocol's name in keys and in the names of files; those of `protocol1` are from when it was `honest`."""
        return _FILED.get(self.protocol, self.protocol)

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> Experiment:
        """The experiment of a run's file; one from before updates were counted is of the first protocol."""
        fields = dict(fields) | {"modalities": tuple(fields["modalities"])}
        if "updates" not in fields:
            first = {name: protocol for protocol, name in _FILED.items()}
            fields["protocol"] = first.get(fields["protocol"], fields["protocol"])
        return cls(**fields)

    def parts(self) -> list[str]:
        """What is compared: `lmam`, `late`, `paper`, `r45`, ..."""
        return [
            self.fusion,
            self.embedding or "",
            self.variant or "",
            f"r{self.rank}" if self.rank else "",
            self.readings.replace(",", "+"),
            "faithful" if self.faithful else "",
            f"w{self.width}" if self.width else "",
            f"shuffled-{self.shuffled}" if self.shuffled else "",
        ]


def pairs(text: str, what: str) -> dict[str, str]:
    """`a=b,c=d` as a dict; raises LmamError for anything else."""
    try:
        return dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
    except ValueError:
        raise LmamError(f"{what} are written name=value,name=value; got '{text}'.") from None
