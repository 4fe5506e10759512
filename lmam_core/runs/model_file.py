"""A trained model with all that it takes to apply it to new conversations, and the folder that keeps it.

`model.safetensors` holds the weights and the training split's standardisation, `model.json` the resolved experiment,
the classes and which encoders made the features. Neither can hold code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lmam_core.batch import Conversation, collate
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset, scaled
from lmam_core.data.recordings import unlabelled
from lmam_core.data.stored import written
from lmam_core.errors import LmamError
from lmam_core.models.backbones import backbone
from lmam_core.models.embedded import Embedded
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.predictions import decided, table
from lmam_core.runs.provenance import code_version
from lmam_core.runs.record import Progress
from lmam_core.runs.run import assemble, one_thread, trained
from lmam_core.runs.training import TEST_BATCH, Training, infer

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
_FORMAT = 1
_SCALING = "standardisation"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model and what new data need: its experiment, classes, feature encoders, and standardisation.

    `scaling[m]` are the training split's mean and factor, float64 (d_m,): a model sees (x - mean) factor. `encoders[m]`
    names the weights that computed the features, "" where that is not known; `longest` is the longest conversation that
    its backbone was built for, `caution` what must stand beside its predictions (`Dataset.caution`).

    >>> model = fit(Experiment(rank=4, epochs=1, dialogues=12))
    >>> model.save("my-model").name
    'my-model'
    >>> predictions = Model.load("my-model").predict("synthetic-iemocap")
    >>> list(predictions.columns[:5])
    ['split', 'dialogue', 'utterance', 'label', 'prediction']
    """

    experiment: Experiment
    module: Embedded
    classes: tuple[str, ...] | None
    scaling: dict[str, tuple[np.ndarray, np.ndarray]]
    encoders: dict[str, str]
    about: str
    caution: str
    longest: int
    training: Training
    traits: tuple[str, ...] | None = None

    @classmethod
    def of(cls, experiment: Experiment, module: Embedded, data: Dataset, training: Training) -> Model:
        """The model of an experiment, after training on `data`, which is standardised."""
        e, of = experiment.resolved(), (data.encoders, data.about, data.caution, data.longest)
        return cls(e, module.eval(), data.classes, data.scaling, *of, training, data.traits)

    @property
    def features(self) -> dict[str, str]:
        """The name of the feature set of each modality that it reads."""
        return self.experiment.feature_sets

    def save(self, folder: Path | str) -> Path:
        """Write the folder; returns it. Raises LmamError where it cannot be written or holds something else."""
        from safetensors.torch import save

        folder = Path(folder).expanduser()
        tensors = {f"model.{name}": t.detach().cpu().contiguous() for name, t in self.module.state_dict().items()}
        for m, both in self.scaling.items():
            for what, values in zip(("mean", "factor"), both, strict=True):
                tensors[f"{_SCALING}.{m}.{what}"] = torch.from_numpy(np.ascontiguousarray(values))
        described = {
            "format": _FORMAT,
            "experiment": dataclasses.asdict(self.experiment),
            "classes": self.classes,
            "traits": self.traits,
            "encoders": self.encoders,
            "speakers": self.module.speakers,
            "longest": self.longest,
            "about": self.about,
            "caution": self.caution,
            "training": dataclasses.asdict(self.training),
            "code": code_version(),
            "torch": torch.__version__,
        }
        text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
        check_place(folder)
        with written(folder, WEIGHTS, DESCRIPTION, "model") as (weights, description):
            weights.write_bytes(save({k: t.clone() for k, t in tensors.items()}))
            description.write_text(text, encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> Model:
        """The model that `save` wrote; runs no code from it.

        Raises LmamError, one sentence, for a folder that is no model, another format, a damaged file, a method or an
        option that this version does not have, and weights that do not fit what the description says.
        """
        folder = Path(folder).expanduser()
        described, tensors = _description(folder), _tensors(folder)
        try:
            e = Experiment(**described["experiment"] | {"modalities": tuple(described["experiment"]["modalities"])})
            classes = tuple(map(str, described["classes"])) if described["classes"] is not None else None
            traits = tuple(map(str, described["traits"])) if described.get("traits") else None
            speakers, longest = int(described["speakers"]), int(described["longest"])
            training = Training(**described["training"])
            scaling = {
                m: (tensors.pop(f"{_SCALING}.{m}.mean").numpy(), tensors.pop(f"{_SCALING}.{m}.factor").numpy())
                for m in e.modalities
            }
            if any(mean.ndim != 1 or mean.shape != factor.shape for mean, factor in scaling.values()):
                raise ValueError("means and factors of the standardisation differ in length")
            widths = {m: len(mean) for m, (mean, _) in scaling.items()}
            with torch.random.fork_rng(devices=[]):
                centre = torch.zeros(len(traits)) if traits else None
                module = assemble(e, widths, len(classes or traits or (1,)), speakers, longest, centre=centre)
            _fill(module, {name.removeprefix("model."): t for name, t in tensors.items()})
            encoders = {m: str(of) for m, of in described["encoders"].items()}
            about, caution = str(described["about"]), str(described["caution"])
            return cls(e, module.eval(), classes, scaling, encoders, about, caution, longest, training, traits)
        except LmamError as error:
            raise LmamError(f"The model in {folder} does not fit this version: {error}") from error
        except (AttributeError, KeyError, MemoryError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise LmamError(
                f"The model in {folder} does not fit this version of lmam_core ({type(error).__name__}: {reason}); it "
                f"was saved by code version {described.get('code', 'unknown')}, train and save it again."
            ) from error

    def predict(
        self, data: str | Path | Sequence[Conversation], weights: str | None = None, progress: bool = False
    ) -> pd.DataFrame:
        """A row per utterance, in their order: who it is, `prediction`, and `p_CLASS` for each class.

        Of traits there is a row per conversation, with `prediction_TRAIT` of each.

        `data` is a folder of recordings with `utterances.csv` and no labels, a dataset (a name or a folder, all of its
        splits), or conversations whose features are as their source has them, not standardised; their labels are not
        looked at. Recordings become features by the extractors that the features of training are named after;
        `weights` is theirs as in `lmam data build`, and must be the ones of training. `missing` names the modalities
        that an utterance has not, where the training mean stands; `attrs["notes"]` says why, and which lines of the
        table could not be used.

        Raises LmamError for a modality that no utterance has, features of another name, width or encoder, and more
        speakers or a longer conversation than the model was built for.
        """
        if not isinstance(data, str | Path):
            talks = list(data)
            return table(talks, self._outputs(talks), self.classes, self.traits, labelled=False)
        if unlabelled.are_recordings(data):
            return self._of_recordings(Path(data), weights, progress)
        loaded = catalogue.load(str(data), self.features, self.experiment.modalities)
        for m, of in loaded.encoders.items():
            self._check_encoder(m, of)
        parts = []
        for split, talks in loaded.splits.items():
            same = (loaded.classes, loaded.traits) == (self.classes, self.traits)
            part = table(talks, self._outputs(talks), self.classes, self.traits, labelled=same)
            part.insert(0, "split", split)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def _of_recordings(self, folder: Path, weights: str | None, progress: bool) -> pd.DataFrame:
        encoders = {self.features[m]: of for m, of in self.encoders.items()}
        read = unlabelled.read(folder, self.features, unlabelled.chosen(encoders, weights), progress)
        for m, of in read.encoders.items():
            self._check_encoder(m, of)
        x = {m: np.where(np.isnan(values), self.scaling[m][0], values) for m, values in read.features.items()}
        talks = [
            Conversation(
                name,
                {m: values[rows].astype(np.float32) for m, values in x.items()},
                pd.factorize(np.array([read.rows[i].speaker for i in rows], object))[0].astype(np.int64),
                np.zeros(len(rows), np.int64),
            )
            for name, rows in read.dialogues.items()
        ]
        order = np.concatenate([rows for rows in read.dialogues.values()])
        predicted = decided(np.concatenate(self._outputs(talks)), self.classes).iloc[np.argsort(order)]
        lacking = {m: np.isnan(values).any(1) for m, values in read.features.items()}
        columns = {name: [getattr(r, name) for r in read.rows] for name in ("line", "dialogue", "turn", "speaker")}
        columns["missing"] = ["+".join(m for m in lacking if lacking[m][i]) for i in range(len(read.rows))]
        frame = pd.concat([pd.DataFrame(columns), predicted.reset_index(drop=True)], axis=1)
        frame.attrs["notes"] = read.notes
        return frame

    def _outputs(self, talks: Sequence[Conversation]) -> list[np.ndarray]:
        """What the model puts out for conversations that are not standardised."""
        if not talks:
            raise LmamError("There are no conversations to predict.")
        knows = backbone(self.experiment.backbone).knows_speakers or self.module.fusion.knows_speakers
        ready = []
        for c in talks:
            for m, (mean, _) in self.scaling.items():
                if m not in c.features:
                    raise LmamError(f"The model reads {m}, which conversation {c.id} does not have.")
                if (width := c.features[m].shape[-1]) != len(mean):
                    raise LmamError(f"The model reads {m} of width {len(mean)}; conversation {c.id} has width {width}.")
            if not knows:  # then it does not matter how many there are
                c = dataclasses.replace(c, speaker=np.zeros_like(c.speaker))
            elif (voices := int(c.speaker.max()) + 1) > self.module.speakers:
                raise LmamError(
                    f"The model was trained on conversations of at most {self.module.speakers} speakers; conversation "
                    f"{c.id} has {voices}."
                )
            ready.append(
                scaled(dataclasses.replace(c, features={m: c.features[m] for m in self.scaling}), self.scaling)
            )

        def batches() -> Iterator[Any]:
            for start in range(0, len(ready), TEST_BATCH):
                yield collate(ready[start : start + TEST_BATCH])

        with one_thread():
            return infer(self.module, batches(), torch.device("cpu"))

    def _check_encoder(self, modality: str, encoder: str) -> None:
        """Raise LmamError where features were computed by other weights than those that the model was trained on."""
        own = self.encoders.get(modality, "")
        if (own and encoder and own != encoder) or (not own and encoder.startswith("random (tiny")):
            raise LmamError(
                f"The model was trained on {modality} features {self.features[modality]} of "
                f"'{own or 'a trained encoder'}', and these are of '{encoder}'; give the same --weights."
            )


def check_place(folder: Path | str) -> None:
    """Raise LmamError where a model cannot go: a folder with something else, or one that cannot be made."""
    folder = Path(folder).expanduser()
    if folder.exists() and not (folder / DESCRIPTION).exists() and (folder.is_file() or any(folder.iterdir())):
        raise LmamError(f"{folder} holds something that is no model; name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LmamError(f"The model could not be written to {folder} ({error.strerror}).") from error


def fit(experiment: Experiment, device: str = "cpu", progress: Progress | None = None) -> Model:
    """Train the model of an experiment, to save it or to predict with it; the test set is not read.

    >>> fit(Experiment(rank=4, epochs=1, dialogues=12)).experiment.fusion
    'lmam'
    """
    return Model.of(experiment, *trained(experiment, device, progress))


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise LmamError(f"{folder} is no model: it needs {DESCRIPTION} and {WEIGHTS}; `lmam run --save` writes them.")
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LmamError(f"{path} cannot be read ({error}); save the model again.") from error
    if not isinstance(described, dict) or described.get("format") != _FORMAT:
        raise LmamError(f"{path} has another format than this version reads ({_FORMAT}); save the model again.")
    return described


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise LmamError(f"{folder / WEIGHTS} is damaged ({error}); save the model again.") from error


def _fill(module: Embedded, state: dict[str, torch.Tensor]) -> None:
    """Load the weights; raises LmamError with the first that is missing, not asked for, or of another shape."""
    wanted = module.state_dict()
    for name in sorted(wanted.keys() ^ state.keys()):
        raise LmamError(f"its weights {'lack' if name in wanted else 'have an unknown'} '{name}'.")
    for name, t in wanted.items():
        if t.shape != state[name].shape or t.dtype != state[name].dtype:
            there = f"{tuple(state[name].shape)} {state[name].dtype}"
            raise LmamError(f"'{name}' is {there} and should be {tuple(t.shape)} {t.dtype}.")
    module.load_state_dict(state)
