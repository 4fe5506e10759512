"""The dataset that batches come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from lmam_core.batch import MODALITIES, Conversation, Conversations, collate
from lmam_core.errors import LmamError

SCALE = (1, 7)
"""The least and the largest value of a trait."""
DRAWS = 100
"""How often a validation split is drawn before it is believed that every one leaves a class without an utterance."""


@dataclass(frozen=True)
class Dataset:
    """A dataset with its splits; `classes` is None for regression, where labels are real numbers.

    Where whole conversations are judged and not their utterances, `traits` names the values of each, which lie in
    `SCALE`.

    `feature_sets[m]` names which features stand for modality m (`minilm384`), `splits` has the keys `train` and
    `test`, and `validation` where the source brings one. `about` is the sentence that pages print beside numbers
    from it, `synthetic` says whether the data was generated, `sha256` identifies the content. `encoders[m]` says which
    weights computed the features, where that is known; `scaling[m]` are the mean and the factor, float64 (d_m,), of
    features that are standardised.
    """

    name: str
    feature_sets: dict[str, str]
    classes: tuple[str, ...] | None
    splits: dict[str, list[Conversation]]
    sha256: str
    about: str
    synthetic: bool = False
    encoders: dict[str, str] = field(default_factory=dict)
    traits: tuple[str, ...] | None = None
    scaling: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False, compare=False)
    widths: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        if not self.splits.get("train"):
            raise LmamError(f"{self.name} has no training conversations.")
        first = self.splits["train"][0]
        object.__setattr__(self, "widths", {m: x.shape[1] for m, x in first.features.items()})
        for split, conversations in self.splits.items():
            for c in conversations:
                self._check(split, c)
            twice = [name for name, n in Counter(c.id for c in conversations).items() if n > 1]
            if twice:
                raise LmamError(f"{self.name}, split '{split}': two conversations are called '{twice[0]}'; rename one.")

    def _check(self, split: str, c: Conversation) -> None:
        where = f"{self.name}, split '{split}', conversation '{c.id}'"
        if len(c) == 0:
            raise LmamError(f"{where}: it has no utterances; leave it out of the dataset.")
        if c.features.keys() != self.widths.keys():
            raise LmamError(f"{where}: it has {', '.join(c.features)}, the first one has {', '.join(self.widths)}.")
        if self.traits is not None:
            self._check_traits(where, self.traits, c.label)
        elif c.speaker.shape != c.label.shape:
            raise LmamError(f"{where}: {len(c.speaker)} speakers for {len(c.label)} utterances.")
        for m, x in c.features.items():
            if x.shape != (len(c), self.widths[m]):
                raise LmamError(f"{where}: {m} has shape {x.shape}, expected {(len(c), self.widths[m])}.")
            if not np.isfinite(x).all():
                t = int(np.argwhere(~np.isfinite(x))[0][0])
                raise LmamError(f"{where}: {m} holds NaN or infinity at utterance {t}; repair or drop that utterance.")
        if not np.isfinite(c.label).all():
            raise LmamError(f"{where}: a label is NaN; repair or drop that utterance.")
        if self.classes is not None and (c.label.min() < 0 or c.label.max() >= len(self.classes)):
            raise LmamError(f"{where}: a label lies outside 0..{len(self.classes) - 1}.")

    @staticmethod
    def _check_traits(where: str, traits: Sequence[str], label: np.ndarray) -> None:
        if label.shape != (1, len(traits)):
            raise LmamError(f"{where}: its label has shape {label.shape}, expected {(1, len(traits))}, one per trait.")
        low, high = SCALE
        for trait, value in zip(traits, label[0].tolist(), strict=True):
            if not low <= value <= high:
                raise LmamError(f"{where}: {trait} is {value:g}; traits lie from {low} to {high}.")

    @property
    def outputs(self) -> int:
        """How many numbers a model puts out: one per class or trait, or 1 for regression."""
        return len(self.classes or self.traits or (1,))

    @property
    def speakers(self) -> int:
        """The largest number of speakers in a conversation of any split."""
        return 1 + max(int(c.speaker.max()) for split in self.splits.values() for c in split)

    @property
    def longest(self) -> int:
        """The number of utterances of the longest conversation of any split."""
        return max(len(c) for split in self.splits.values() for c in split)

    @property
    def caution(self) -> str:
        """What must stand beside numbers from this dataset: that it is synthetic, or an encoder random; else ""."""
        untrained = [m for m in self.feature_sets if self.encoders.get(m, "").startswith("random")]
        parts = ["synthetic data"] * self.synthetic
        return "; ".join(parts + [f"random encoder of {' and '.join(untrained)}"] * bool(untrained))

    def with_validation(self, fraction: float = 0.2, seed: int = 0) -> Dataset:
        """The dataset with `validation` conversations taken out of `train`, unless it has a validation split.

        The choice depends on `seed` and the places in `train` alone; one that would leave a class without a training
        utterance is drawn again. Raises LmamError where train cannot spare a conversation, or lacks a class.
        """
        splits = dict(self.splits)
        if "validation" not in splits:
            train = splits["train"]
            count = max(1, round(fraction * len(train)))
            if count >= len(train):
                raise LmamError(f"{self.name}: {len(train)} training conversations cannot spare a validation split.")
            rng = np.random.default_rng(seed)
            for _ in range(DRAWS):
                drawn = set(rng.permutation(len(train))[:count].tolist())
                training = [c for i, c in enumerate(train) if i not in drawn]
                if not self._unseen(training):
                    break
            splits["validation"] = [c for i, c in enumerate(train) if i in drawn]
            splits["train"] = training
        if missing := self._unseen(splits["train"]):
            raise LmamError(
                f"{self.name}: no training utterance has the class {', '.join(missing)}; "
                "add conversations that do, or drop the class."
            )
        return replace(self, splits=splits)

    def _unseen(self, train: Sequence[Conversation]) -> list[str]:
        """The classes that no utterance of some conversations has."""
        seen = set() if self.classes is None else set(np.unique(np.concatenate([c.label for c in train])).tolist())
        return [name for k, name in enumerate(self.classes or ()) if k not in seen]

    def standardised(self) -> Dataset:
        """Features with mean 0 and deviation 1 per column, measured on `train` alone; constant columns become 0."""
        scaling: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for m in self.widths:
            x = np.concatenate([c.features[m] for c in self.splits["train"]]).astype(np.float64)
            mean, deviation = x.mean(0), x.std(0)
            scale = np.where(deviation > 1e-8, 1 / np.maximum(deviation, 1e-8), 0.0)
            scaling[m] = mean, scale
        splits = {s: [scaled(c, scaling) for c in cs] for s, cs in self.splits.items()}
        return replace(self, splits=splits, scaling=scaling)

    def with_shuffled(self, modality: str, seed: int) -> Dataset:
        """One modality's utterances shuffled within each split: it keeps its values and tells nothing any more.

        Another modality with the same seed is shuffled otherwise, so that the two part as well.
        """
        rng = np.random.default_rng([seed, MODALITIES.index(modality)])

        def shuffle(conversations: list[Conversation]) -> list[Conversation]:
            x = rng.permutation(np.concatenate([c.features[modality] for c in conversations]))
            parts = np.split(x, np.cumsum([len(c) for c in conversations])[:-1])
            pairs = zip(conversations, parts, strict=True)
            return [replace(c, features=c.features | {modality: part}) for c, part in pairs]

        return replace(self, splits={s: shuffle(cs) if cs else [] for s, cs in self.splits.items()})

    def select(self, modalities: Sequence[str]) -> Dataset:
        """The dataset with these modalities only, in the fixed order; raises LmamError for one that it lacks."""
        if not modalities:
            raise LmamError("At least one modality is needed.")
        for m in modalities:
            if m not in self.widths:
                raise LmamError(f"{self.name} has no modality '{m}'; it has {', '.join(self.widths)}.")
        names = [m for m in MODALITIES if m in modalities]

        def pick(c: Conversation) -> Conversation:
            return replace(c, features={m: c.features[m] for m in names})

        return replace(
            self,
            feature_sets={m: self.feature_sets[m] for m in names},
            splits={s: [pick(c) for c in cs] for s, cs in self.splits.items()},
        )

    def batches(self, split: str, batch_size: int, generator: torch.Generator | None = None) -> Iterator[Conversations]:
        """Batches of `batch_size` conversations, shuffled by `generator`, in stored order without one."""
        conversations = self.splits[split]
        order = (
            torch.randperm(len(conversations), generator=generator).tolist() if generator else range(len(conversations))
        )
        conversations = [conversations[i] for i in order]
        for start in range(0, len(conversations), batch_size):
            yield collate(conversations[start : start + batch_size])


def scaled(c: Conversation, scaling: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Conversation:
    """A conversation with (x - mean) factor in place of the features x of each modality."""
    features = {m: ((x - scaling[m][0]) * scaling[m][1]).astype(np.float32) for m, x in c.features.items()}
    return replace(c, features=features)
