"""Which datasets exist, where they come from, and how one is loaded.

A new dataset is one module in `sources/` with a `RECORD`, and one line in `_RECORDS`. Wherever a name is taken, the
path of a folder that `lmam data build` or `lmam data read` wrote is taken as well.
"""

from __future__ import annotations

import os
import reprlib
from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from lmam_core import file_errors, paths
from lmam_core.batch import MODALITIES
from lmam_core.data import stored, synthetic
from lmam_core.data.archive import Archive
from lmam_core.data.dataset import Dataset
from lmam_core.data.fetching import gather
from lmam_core.data.sources import diginetica, iemocap, meld, mosi, mustard, pom, synthetic_humour, ur_funny
from lmam_core.data.sources.base import Extra, Record, combined
from lmam_core.errors import LmamError, suggestion
from lmam_core.hashing import sha256

_RECORDS = (
    mosi.RECORD,
    iemocap.RECORD,
    meld.RECORD,
    *synthetic.RECORDS,
    diginetica.RECORD,
    ur_funny.RECORD,
    mustard.RECORD,
    synthetic_humour.RECORD,
    pom.RECORD,
)


def names(task: str | None = "conversation") -> list[str]:
    """The names of all datasets of a task, or of all tasks, real ones first."""
    return [record.name for record in _RECORDS if task in (None, record.task)]


def is_path(name: str) -> bool:
    """Whether `name` is no dataset of the catalogue but the path of one: it has a separator, or is a folder or npz."""
    if any(record.name == name for record in _RECORDS):
        return False
    return bool({"/", os.sep} & set(name)) or name.endswith(".npz") or (name != "" and os.path.isdir(name))


def canonical(name: str) -> str:
    """A dataset's name, or the absolute path of its folder, which has one spelling and means one place everywhere."""
    return str(stored.place(name)) if is_path(name) else name


def label(name: str) -> str:
    """A dataset's name as a path can hold it: `mosi`, or for a folder its name and the start of its sha256."""
    return f"{entry(name).name}-{fingerprint(name)[:8]}" if is_path(name) else name


def entry(name: str) -> Record:
    """What the catalogue knows of a dataset; raises LmamError for a name that it does not hold."""
    for record in _RECORDS:
        if record.name == name:
            return record
    if not isinstance(name, str):
        raise LmamError(f"A dataset is named by a string; got {reprlib.repr(name)}.")
    if is_path(name):
        return stored.record(name)
    raise LmamError(
        f"There is no dataset {reprlib.repr(name)}{suggestion(name, names())}; the datasets are {', '.join(names())}, "
        "and folders made by `lmam data build`."
    )


def available(name: str) -> bool:
    """Whether `load(name)` finds what it needs: always for generated data, the files for real data.

    Their content is checked by `load`, so that a damaged file is reported and not taken for a missing one.
    """
    record = entry(name)
    needed = {part.file for part in record.parts(_feature_sets(record, {}, None))}
    return needed.isdisjoint(absent(name))


def absent(name: str) -> list[str]:
    """The names of a dataset's files that are not on this machine; `load` may do without the additional one."""
    record = entry(name)
    files = [part.file for part in (record, record.extra) if part is not None and part.file is not None]
    return [file for file in files if _find(file) is None]


def file(name: str) -> Path:
    """The first file of a real dataset, verified; raises LmamError where it is missing or another one."""
    record = entry(name)
    return _verified(record, record)[0]


def arrays(name: str) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of the first file of a real dataset, verified, and its sha256; raises LmamError as `file`."""
    record = entry(name)
    path, sha256 = _verified(record, record)
    with Archive(path) as opened:
        return dict(opened), sha256


def folder(name: str) -> Path:
    """The folder of a dataset that is used as it was published, several files; raises LmamError where it is missing."""
    record = entry(name)
    if (first := _find(str(record.file))) is None:
        raise LmamError(
            f"The dataset {name} needs the file {record.file} and those published with it in the folder that the "
            f"environment variable LMAM_DATA names, or in {paths.CACHE}; {_data_folder()}."
        )
    return first.parent


def fingerprint(name: str, features: dict[str, str] | None = None, modalities: Sequence[str] | None = None) -> str:
    """The sha256 that `load(name, features, modalities).sha256` will have, without opening anything.

    That of the file, or of the sha256s of both files where features are chosen that lie in the additional one.
    One thing has another: a file that `lmam data fetch` made with sentence embeddings computed on this machine. They
    agree with the recorded ones to a few digits, and `load` gives that file's own sha256.
    """
    record = entry(name)
    if record.build is None:
        return record.sha256
    return combined([part.sha256 for part in record.parts(_feature_sets(record, features or {}, modalities))])


def load(name: str, features: dict[str, str] | None = None, modalities: Sequence[str] | None = None) -> Dataset:
    """A dataset as its source has it: nothing standardised, and no validation split taken out of train.

    `modalities` defaults to those of text, audio and video that the dataset has; `nonverbal` is loaded only where it
    is named. `features` picks the feature set of a modality, `{"text": "glove200"}`; the default is the first that
    `entry(name).feature_sets` lists. Text defaults to `minilm384`, a frozen encoder that has seen no label. Raises
    LmamError for a wrong name, and for a file that is missing, damaged or not the one that the catalogue describes.
    """
    record = entry(name)
    if record.build is None:
        raise LmamError(f"{name} holds no conversations; it is for `lmam run --task {record.task}`.")
    sets = _feature_sets(record, features or {}, modalities)
    if record.file is None:
        return record.build({}, sets)
    files = [_verified(record, part) for part in record.parts(sets)]
    path = files[0][0]
    with ExitStack() as stack:
        archives = [stack.enter_context(Archive(file)) for file, _ in files]
        arrays = ChainMap[str, np.ndarray](*archives)  # type: ignore[arg-type]  # nobody writes into it
        for m, features_of in sets.items():
            if record.feature_sets[m][features_of] not in arrays:
                raise LmamError(
                    f"{path} was gathered without {features_of}, whose encoder could not be had; fetch {name} again "
                    f"when it can, or choose other {m} features of {', '.join(record.feature_sets[m])}."
                )
        return replace(record.build(arrays, sets), sha256=combined([sha256 for _, sha256 in files]))


def _feature_sets(record: Record, features: dict[str, str], modalities: Sequence[str] | None) -> dict[str, str]:
    """The feature set of each modality to load, in the fixed order of modalities."""
    wanted = record.default_modalities if modalities is None else modalities
    if not wanted:
        raise LmamError(f"At least one modality is needed; {record.name} has {', '.join(record.feature_sets)}.")
    for m in (*wanted, *features):
        if m not in record.feature_sets:
            raise LmamError(f"{record.name} has no modality '{m}'; it has {', '.join(record.feature_sets)}.")
    for m, name in features.items():
        sets = record.feature_sets[m]
        if name not in sets:
            raise LmamError(f"{record.name} has no {m} features '{name}'; it has {', '.join(sets)}.")
        if m not in wanted:
            raise LmamError(
                f"Features are chosen for {m}, but only {', '.join(wanted)} would be loaded from {record.name}; "
                f"add {m} to the modalities or leave it out of the features."
            )
    return {m: features.get(m, next(iter(record.feature_sets[m]))) for m in MODALITIES if m in wanted}


def _find(file: str) -> Path | None:
    """Where `file` is: in the folder that LMAM_DATA names, else in the cache (`paths.CACHE`), else nowhere.

    The file of a stored dataset is an absolute path, and stands for itself.
    """
    setting = os.environ.get("LMAM_DATA")
    folders = [paths.given(setting), paths.CACHE] if setting else [paths.CACHE]
    return next((folder / file for folder in folders if (folder / file).is_file()), None)


def _data_folder() -> str:
    """What LMAM_DATA says, and which folder that is."""
    setting = os.environ.get("LMAM_DATA")
    if not setting:
        return "LMAM_DATA is not set"
    folder = paths.given(setting).absolute()
    where = "" if str(folder) == setting else f" (the folder '{folder}')"
    state = "does not hold it" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
    meant = os.path.expandvars(setting.strip().strip("'\"").strip())
    hint = f" (did you mean '{meant}'?)" if meant != setting and paths.given(meant).is_dir() else ""
    return f"LMAM_DATA is '{setting}'{where}, which {state}{hint}"


def _verified(record: Record, part: Record | Extra) -> tuple[Path, str]:
    """The path of one of a record's files and the sha256 of its content, compared with the recorded one."""
    file, recorded = str(part.file), part.bytes or 0
    path = _find(file)
    if path is None:
        hint = f"; `lmam data fetch {record.name}` gathers it" if _recipe(record, part) else ""
        raise LmamError(
            f"The dataset {record.name} needs the file {file} ({recorded:,} bytes, sha256 "
            f"{part.sha256[:12]}...) in the folder that the environment variable LMAM_DATA names, or in "
            f"{paths.CACHE}; {_data_folder()}{hint}."
        )
    try:
        digest = sha256(path)
    except OSError as error:
        raise LmamError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if digest != part.sha256 and (states := _gathered(record, part, path)):
        return path, digest if states.get(gather.EMBEDDING) == "close" else part.sha256
    if digest != part.sha256:
        size, own = path.stat().st_size, Path(file).is_absolute()
        describes, again = ("dataset.json beside it", "build") if own else ("the catalogue", "copy")
        cause = (
            f"it is {kind}"
            if (kind := file_errors.mistaken_for(path, b"PK"))
            else ("it is truncated" if size < recorded else "it is another file or another version")
        )
        raise LmamError(
            f"{path} is not the file that {describes} describes: {cause}, with {size:,} bytes and sha256 "
            f"{digest[:12]}... where {recorded:,} bytes and {part.sha256[:12]}... were expected; {again} it again."
        )
    return path, digest


def _gathered(record: Record, part: Record | Extra, path: Path) -> Mapping[str, str]:
    """How the arrays of a file that `lmam data fetch` made compare with the recorded ones; empty for another file."""
    if (recipe := _recipe(record, part)) is None:
        return {}
    states = recipe.states_in(path)
    return {} if gather.wrong(states) else states


def _recipe(record: Record, part: Record | Extra) -> gather.Recipe | None:
    """How a file of the catalogue is gathered; None for other files."""
    if record not in _RECORDS or record.name not in gather.RECIPES:
        return None
    recipe = gather.RECIPES[record.name]
    return recipe if part is record else recipe.extra
