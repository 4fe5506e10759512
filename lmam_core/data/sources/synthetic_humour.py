"""A generated set of jokes: the punchline keeps to the context's topic or departs from it; the best accuracy is known.

A segment is a context of sentences and a punchline, all of words with a vector per modality m. With Z topics, context
topic a and label y:

    a uniform in 0..Z-1,   p(y = 1 | a) = `funny` for every second topic from the first on, 1 - `funny` for the others
    b_m = a with probability keep_m for y = 0 and 1 - keep_m for y = 1, else uniform over the other topics
    word of modality m = loud_m A_m[a or b_m] + unit normal noise,   rows of A_m orthonormal

Context words are of topic a in all modalities, the punchline's of topic b_m in modality m. Whether b_m departs from a
can be told from context and punchline together, whether punchlines of two modalities differ from the punchline alone,
and the context alone tells no more than how funny its topic is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from lmam_core.batch import MODALITIES
from lmam_core.data.sources.base import Arrays, Record
from lmam_core.errors import LmamError

VERSION = 1
"""Raised whenever the same settings would generate other numbers; it is part of the set's sha256."""
SETTINGS = ("punchline", "context", "both")
"""What is read of a segment, in the order of Table XIV's rows."""


@dataclass(frozen=True)
class Incongruity:
    """What a generated set is made of: `sizes` per split, and the numbers of the equations above.

    A context has up to `context` sentences, with probability `empty` none, a sentence `shortest` to `longest` words.
    Raises LmamError for what cannot be generated.
    """

    sizes: dict[str, int] = field(default_factory=lambda: {"train": 3000, "test": 1024})
    widths: dict[str, int] = field(default_factory=lambda: {"text": 8, "audio": 6, "video": 6})
    loud: dict[str, float] = field(default_factory=lambda: {"text": 4.0, "audio": 3.0, "video": 2.5})
    keep: dict[str, float] = field(default_factory=lambda: {"text": 0.85, "audio": 0.75, "video": 0.7})
    topics: int = 3
    funny: float = 0.65
    context: int = 3
    empty: float = 0.05
    shortest: int = 2
    longest: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        shares = [*self.keep.values(), self.funny, self.empty]
        if not all(0 <= p <= 1 for p in shares):
            raise LmamError(f"Incongruity: keep, funny and empty are probabilities; got {shares}.")
        if not (self.keep.keys() == self.loud.keys() == self.widths.keys() <= set(MODALITIES)):
            raise LmamError("Incongruity: widths, loud and keep must name the same modalities.")
        if self.topics < 2 or min(self.widths.values()) < self.topics:
            raise LmamError(f"Incongruity: {self.topics} topics need two or more, and widths of at least as many.")
        if not 1 <= self.shortest <= self.longest or self.context < 1 or set(self.sizes) != {"train", "test"}:
            raise LmamError("Incongruity: sentences need words, contexts sentences, and sizes train and test.")

    @property
    def sha256(self) -> str:
        """Identifies the generated numbers: the hash of all settings and of the generator's version."""
        settings = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()

    @cached_property
    def directions(self) -> dict[str, np.ndarray]:
        """A_m (Z, d_m) of each modality, rows orthonormal."""
        matrices = {}
        for k, (m, width) in enumerate(self.widths.items()):
            rng = np.random.default_rng([self.seed, 0, k])
            matrices[m] = np.linalg.qr(rng.standard_normal((width, width)))[0][: self.topics]
        return matrices

    def humorous(self) -> np.ndarray:
        """p(y | a), (Z, 2)."""
        p = np.where(np.arange(self.topics) % 2, 1 - self.funny, self.funny)
        return np.stack([1 - p, p], 1)

    def moves(self, modality: str) -> np.ndarray:
        """p(b | a, y) of a modality's punchline, (2, Z, Z) by y, a, b."""
        stays = np.array([self.keep[modality], 1 - self.keep[modality]])[:, None, None]
        same = np.eye(self.topics)
        return stays * same + (1 - stays) * (1 - same) / (self.topics - 1)


def generate(config: Incongruity) -> Arrays:
    """The arrays of a set, as `tasks.humour.segments` reads them; the same settings give the same numbers."""
    rng = np.random.default_rng([config.seed, 1])
    n, Z = sum(config.sizes.values()), config.topics
    a = rng.integers(Z, size=n)  # (n,)
    y = (rng.random(n) < config.humorous()[a, 1]).astype(np.int64)
    sentences = np.where(rng.random(n) < config.empty, 0, rng.integers(1, config.context + 1, n)) + 1
    segment_offsets = np.concatenate([[0], np.cumsum(sentences)])
    words = rng.integers(config.shortest, config.longest + 1, segment_offsets[-1])
    of_word = np.repeat(np.repeat(np.arange(n), sentences), words)  # (W,) the segment of each word
    last = np.zeros(len(words), bool)
    last[segment_offsets[1:] - 1] = True
    in_punchline = np.repeat(last, words)  # (W,)
    arrays: dict[str, np.ndarray] = {
        "label": y,
        "split": np.repeat([0, 2], [config.sizes["train"], config.sizes["test"]]),
        "segment_offsets": segment_offsets,
        "sentence_offsets": np.concatenate([[0], np.cumsum(words)]),
    }
    for m, width in config.widths.items():
        b = (rng.random((n, 1)) > config.moves(m)[y, a].cumsum(1)[:, :-1]).sum(1)  # (n,)
        topic = np.where(in_punchline, b[of_word], a[of_word])  # (W,)
        noise = rng.standard_normal((len(of_word), width))
        arrays[m] = (config.loud[m] * config.directions[m][topic] + noise).astype(np.float32)
    return arrays


def oracle(config: Incongruity, arrays: Arrays, modalities: Sequence[str], setting: str = "both") -> np.ndarray:
    """p(y = 1 | what a setting lets one read of some modalities) of every segment, (n,): nothing decides better.

    Topics are summed out; a context or a punchline that is not read, or a context that is empty, tells nothing.
    """
    if setting not in SETTINGS:
        raise LmamError(f"There is no setting '{setting}'; choose one of {', '.join(SETTINGS)}.")
    n, Z = len(arrays["label"]), config.topics
    sentence, first = arrays["sentence_offsets"], arrays["segment_offsets"]
    begin, joke, end = sentence[first[:-1]], sentence[first[1:] - 1], sentence[first[1:]]  # (n,) in words
    told = np.log(config.humorous().T)[:, None] + np.zeros((2, n, Z))  # log p(y, a | read), up to a constant
    for m in modalities:
        each = config.loud[m] * arrays[m].astype(np.float64) @ config.directions[m].T  # (W, Z)
        upto = np.concatenate([np.zeros((1, Z)), np.cumsum(each, 0)])
        if setting != "punchline":
            told += upto[joke] - upto[begin]
        if setting != "context":
            of_b = (upto[end] - upto[joke])[:, None]  # (n, 1, Z)
            told += np.stack([logsumexp(of_b, 2, b=move) for move in config.moves(m)])
    return np.exp(logsumexp(told[1], 1) - logsumexp(told, (0, 2)))


DEFAULT = Incongruity()

RECORD = Record(
    name="synthetic-humour",
    kind="synthetic",
    about=(
        f"synthetic-humour is generated, not recorded: {sum(DEFAULT.sizes.values()):,} segments of a context and a "
        "punchline that keeps to the context's topic or departs from it, with a known best accuracy; its numbers say "
        "how a model behaves, not how well it finds humour."
    ),
    missing="",
    licence="Generated by this package.",
    feature_sets={},
    sha256=DEFAULT.sha256,
    build=None,
    task="humour",
)
