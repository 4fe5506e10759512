"""Readers of the field's well-known files of features: one layout per module.

None of these files comes with this project, and none was available when the readers were written: each follows the
public program that loads the file, which its docstring names, and is tested on small files made in that layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lmam_core import file_errors, paths
from lmam_core.data import stored
from lmam_core.data.files import cmu_sdk, dialogues, ur_funny
from lmam_core.errors import LmamError, unknown


@dataclass(frozen=True)
class Layout:
    """A layout's name, the names that its files have in the field, and what reads them."""

    name: str
    files: tuple[str, ...]
    read: Callable[[Path], stored.Utterances]


LAYOUTS = (
    Layout("iemocap", ("IEMOCAP_features.pkl", "IEMOCAP_features_raw.pkl"), dialogues.iemocap),
    Layout("meld", ("MELD_features_raw.pkl",), dialogues.meld),
    Layout("meld-visual", ("MELD_features_raw1.pkl",), dialogues.meld_visual),
    Layout("iemocap-multimodal", ("iemocap_multimodal_features.pkl",), dialogues.iemocap_multimodal),
    Layout("meld-multimodal", ("meld_multimodal_features.pkl",), dialogues.meld_multimodal),
    Layout(
        "cmu-sdk",
        ("mosi_data.pkl", "mosi_raw.pkl", "mosei_senti_data.pkl", "mosei_raw.pkl", "humor.pkl", "aligned_50.pkl"),
        cmu_sdk.read,
    ),
    Layout("ur-funny", (*ur_funny.FILES.values(), *ur_funny.WORDS), ur_funny.read),
)


def read(file: Path | str, to: Path | str, layout: str | None = None) -> Path:
    """Turn a well-known file into `dataset.npz` and `dataset.json` in the folder `to`; returns that folder.

    `layout` is found from the file's name where it is not given. Raises LmamError for a file that is not there, an
    unknown layout, a pickle of anything but arrays and containers (nothing of it is run), and a file whose content is
    not that of its layout.
    """
    file, to = paths.given(file), paths.given(to)
    if not file.exists():
        raise LmamError(f"There is no file {file.absolute()}; give the path of the file as it was published.")
    chosen = _layout(file, layout)
    with file_errors.explained(file, f"the layout '{chosen.name}'", b"\x80", advice="name another with --as"):
        utterances = chosen.read(file)
    return stored.write(to, utterances)


def _layout(file: Path, name: str | None) -> Layout:
    for layout in LAYOUTS:
        if name == layout.name or (name is None and file.name.casefold() in map(str.casefold, layout.files)):
            return layout
    if name is None and file.is_dir():
        return LAYOUTS[-1]
    if name is None:
        names = ", ".join(layout.name for layout in LAYOUTS)
        raise LmamError(f"The name {file.name} does not tell the layout; say it with --as, one of {names}.")
    raise unknown("There is no layout", name, [layout.name for layout in LAYOUTS])
