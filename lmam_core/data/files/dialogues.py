"""Tuples of dicts by dialogue, the layout of DialogueRNN and of all that came after it.

Each dict maps a dialogue's id to a list with one item per utterance; the last two or three entries are the ids of train
and test. Verified in the public loaders: `DialogueRNN/dataloader.py` of github.com/declare-lab/conv-emotion (IEMOCAP,
and MELD without pictures), `dataloader.py` of github.com/hujingwen6666/MMGCN and `code/dataloader.py` of
github.com/zerohd4869/MM-DFN (both with pictures), `dataloader.py` of github.com/yuntaoshou/LMAM (four RoBERTa layers
in place of one text). What encoders made the features is the files' own matter: a set is named by its width alone.
The files were written by Python 2 or 3; their strings are read as latin-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lmam_core.data import pickles, stored
from lmam_core.data.files.base import Dialogue, matrix, readable, utterances
from lmam_core.data.sources import iemocap as iemocap_source
from lmam_core.data.sources import meld as meld_source
from lmam_core.errors import LmamError

_LICENCE = "The file's own: IEMOCAP under its release form, MELD under GPL-3.0."
_IDS = ("ids", "speaker", "label")
_ROBERTA = ("text roberta1", "text roberta2", "text roberta3", "text roberta4")


def iemocap(path: Path) -> stored.Utterances:
    """`IEMOCAP_features.pkl` and `IEMOCAP_features_raw.pkl`: nine entries.

    Utterance ids, speakers `M` and `F`, labels 0..5 (happy, sad, neutral, angry, excited, frustrated), text, audio,
    video, sentences, train ids, test ids. There is no validation split.
    """
    return _read(path, (*_IDS, "text", "audio", "video", "sentence", "train", "test"), iemocap_source.CLASSES)


def meld(path: Path) -> stored.Utterances:
    """`MELD_features_raw.pkl` of conv-emotion: nine entries, no video.

    Utterance ids, speakers one-hot, emotions 0..6 (neutral, surprise, fear, sadness, joy, disgust, anger), text,
    audio, sentences, train ids, test ids, and the sentiments, which are left aside. Later versions of that loader call
    the third entry unused and the ninth the labels; earlier ones, followed here, name both.
    """
    names = (*_IDS, "text", "audio", "sentence", "train", "test", "sentiment")
    return _read(path, names, meld_source.CLASSES)


def meld_visual(path: Path) -> stored.Utterances:
    """`MELD_features_raw1.pkl` of MMGCN and MM-DFN: ten entries, as `meld` with video; the tenth is left aside.

    Train holds MELD's train and validation dialogues, as its loaders use them.
    """
    names = (*_IDS, "text", "audio", "video", "sentence", "train", "test", "rest")
    return _read(path, names, meld_source.CLASSES)


def iemocap_multimodal(path: Path) -> stored.Utterances:
    """`iemocap_multimodal_features.pkl`: as `iemocap`, with four RoBERTa layers for text, so twelve entries."""
    names = (*_IDS, *_ROBERTA, "audio", "video", "sentence", "train", "test")
    return _read(path, names, iemocap_source.CLASSES)


def meld_multimodal(path: Path) -> stored.Utterances:
    """`meld_multimodal_features.pkl`: as `meld_visual`, with four RoBERTa layers for text, so thirteen entries."""
    names = (*_IDS, *_ROBERTA, "audio", "video", "sentence", "train", "test", "rest")
    return _read(path, names, meld_source.CLASSES)


def _read(path: Path, names: tuple[str, ...], classes: tuple[str, ...]) -> stored.Utterances:
    content = pickles.load(path)
    if not isinstance(content, list | tuple) or len(content) != len(names):
        size = f"{len(content)} entries" if isinstance(content, list | tuple) else f"a {type(content).__name__}"
        raise LmamError(f"{path} holds {size} where this layout has {len(names)}; name another with --as.")
    entries = dict(zip(names, content, strict=True))
    notes: list[str] = []
    return utterances(path, _dialogues(entries, notes), classes, notes, _LICENCE)


def _dialogues(entries: dict[str, Any], notes: list[str]) -> Iterator[Dialogue]:
    """The dialogues of train and test, in the order of the labels' dict: the ids may come as sets, which have none."""
    splits = dict.fromkeys(entries["train"], "train") | dict.fromkeys(entries["test"], "test")
    both = set(entries["train"]) & set(entries["test"])
    notes += [f"dialogue {d} is left out: it is in train and in test." for d in splits if d in both]
    notes += [f"dialogue {d} is left out: it has no labels." for d in splits if d not in entries["label"]]
    features = [n for n in entries if n.split()[0] in ("text", "audio", "video")]

    def make(d: Any) -> Dialogue:
        x: dict[str, dict[str, np.ndarray]] = {}
        for entry in features:
            m, *named = entry.split()
            if d not in entries[entry]:
                raise KeyError(entry)
            array = matrix(entries[entry][d], f"dialogue {d}: {entry}", notes)  # (L, d_m)
            x.setdefault(m, {})[_set(m, named, array)] = array
        return Dialogue(str(d), splits[d], [_voice(s) for s in entries["speaker"][d]], list(entries["label"][d]), x)

    return readable([d for d in entries["label"] if d in splits and d not in both], make, notes)


def _set(modality: str, named: list[str], array: np.ndarray) -> str:
    """What a feature set is called: `text100`, `roberta1_1024`."""
    return f"{named[0]}_{array.shape[-1]}" if named else f"{modality}{array.shape[-1]}"


def _voice(speaker: Any) -> Any:
    """A speaker's letter as it is, a one-hot vector as the place of its one."""
    return speaker if isinstance(speaker, str) or np.ndim(speaker) == 0 else int(np.argmax(speaker))
