"""Every parameter of every chapter with another value: the page changes, names what was asked for, and keeps no
sentence that holds for the default alone.

The suite changes the parameters of a chapter together, over a store without runs (`notebooks/test_parameters`).
`python -m tests.parameters [CHAPTER ...]` tries each by itself, over the book's own runs, and prints a table. Training
is left out, and what a page makes of recordings is smaller: what counts is what it says of its parameters.
"""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

from lmam_book.forensics import error_rates, supports
from lmam_book.verdicts.headline import DATASETS
from lmam_core.data import stored
from lmam_core.features import weights
from lmam_core.features.sample import sample
from lmam_core.runs import names
from lmam_core.runs import run as live
from lmam_core.runs.run import build, prepared
from lmam_core.runs.training import Training
from lmam_core.tasks.humour import experiment as humour
from tests.notebooks.here import NOTEBOOKS, run, words

CARDS = ("03-bc-lstm", "04-text-cnn", "05-dialogue-rnn", "06-dialogue-gcn", "07-mm-dfn", "08-m2fnet", "09-emocaps")
OWN, STORE = "mine", "my-runs"
"""A dataset of one's own, and a folder of one's own runs, in the folder where a chapter is tried."""
LIVE = {"profile": "full", "dataset": OWN, "rank": 7, "seed": 3, "device": "cpu", "store": STORE}
MEDIA = {"profile": "full", "text": "roberta768", "weights": "hub", "seed": 3}
if find_spec("opensmile"):  # without it there is one extractor of sound
    MEDIA["audio"] = "egemaps88"
OTHER: dict[str, dict[str, Any]] = {
    "01-start-here": LIVE | {"epochs": 2},
    "02-deriving-lmam": {"profile": "full", "rank": 7, "width": 64, "length": 20, "seed": 3},
    **dict.fromkeys(CARDS, LIVE | {"embedding": "early"}),
    "10-backbones-compared": {"dataset": OWN, "store": STORE},
    "11-embedding-ways": {"backbone": "m2fnet", "dataset": OWN, "rank": 7, "seed": 3, "store": STORE},
    "12-equal-parameters": {"dataset": OWN, "rank": 7, "store": STORE},
    "13-cost": {"rank": 7, "length": 20, "embedding": "early"},
    "14-fusion-methods": {"dataset": OWN, "backbone": "emocaps", "seed": 3, "store": STORE},
    "15-rank": LIVE | {"backbone": "text_cnn"},
    "16-modalities": {"dataset": "synthetic-meld", "shuffled": "video", "seed": 3, "store": STORE},
    "17-significance": {"dataset": OWN, "backbone": "text_cnn", "difference": 3.0, "store": STORE},
    "18-forensic-audit": {"profile": "full", "table": 3},
    "19-features": MEDIA | {"video": "clip512"},
    "20-lmcm": LIVE,
    "21-predictions": MEDIA | {"rank": 7},
    "22-sessions": {"profile": "full", "rank": 7, "seed": 3, "store": STORE},
    "23-video-that-knows": {"profile": "full", "dataset": OWN, "store": STORE},
    "24-humour": {
        "profile": "full",
        "setting": "punchline",
        "modalities": "text+audio",
        "rank": 2,
        "seed": 3,
        "device": "cpu",
        "store": STORE,
    },
    "25-traits": {"backbone": "bc_lstm", "metric": "mae", "store": STORE},
    "26-your-own-backbone": {
        "profile": "full",
        "dataset": OWN,
        "rank": 7,
        "embedding": "late",
        "seeds": 2,
        "device": "cpu",
        "store": STORE,
    },
}
"""What is asked of each chapter in place of the defaults."""
UNTRIED = {("24-humour", "dataset")}
"""Its other datasets are files that nobody may pass on."""
if "audio" not in MEDIA:
    UNTRIED |= {("19-features", "audio"), ("21-predictions", "audio")}
BESIDE = {("17-significance", "backbone")}
"""What stands beside all others in every figure and table but one."""
RECORDED = ("profile", "seed", "device", "store")
"""What the footer names; the others stand where their numbers do. A command that makes runs names the store as well."""
ELSEWHERE = re.compile(
    r"paper|report|printed p|Table|Fig\.|measured|stored|protocol|original|released code|for instance|if |unless |"
    r"the first 100|papermill|IEMOCAP|CMU-MOSI|as it stands|quick profile|plain averaging|even a random|layer|"
    r"means nothing|lmam sweep|inferred|where |a word needs",
    re.IGNORECASE,
)
"""What a sentence says that is not about what was asked of the page."""


def named(parameter: str, value: Any) -> str:
    """A pattern of what a page calls a parameter's value."""
    of: dict[str, str] = {
        "rank": rf"\b(?:rank|r =|r=) ?{value}\b",
        "width": rf"\bwidth {value}\b",
        "length": rf"\b{value} utterances",
        "epochs": rf"\b{value} epochs\b",
        "seeds": rf"\b{value} seeds\b",
        "metric": rf"(?i)\b{value}\b|absolute error",
        "seed": rf"(?<!tiny, )\bseed ?=? ?{value}\b",  # a random encoder has its own
        "table": rf"Table {'I' * int(value) if parameter == 'table' else ''}\b",
        "difference": rf"\b{value:g} points" if parameter == "difference" else "",
        "shuffled": rf"\b{value} shuffled|shuffled {value}",
        "weights": "hub: " if value == "hub" else r"random \(tiny|random encoder",
        "store": f"--store {re.escape(str(value))}",
    }
    if parameter == "backbone":
        return re.escape(names.title(value))
    if parameter == "embedding":
        return rf"{re.escape(names.WAYS[value])}(?! \+)|\b{value}:" if value in names.WAYS else "place, as in its runs"
    if parameter == "dataset":
        return "|".join(re.escape(name) for name in (value, DATASETS.get(value, value)))
    return of.get(parameter, rf"\b{re.escape(str(value))}\b")


def defaults(chapter: str) -> dict[str, Any]:
    """The parameters of a chapter as they are stored."""
    cells = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells
    (cell,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
    return {
        line.target.id: ast.literal_eval(line.value)
        for line in ast.parse(cell.source).body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None
    }


def prose(chapter: str) -> list[str]:
    """The sentences of a chapter's Markdown, without quotations, exercises and folded answers."""
    cells = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    text = re.sub(r"^>.*$|<details>.*?</details>|\$\$.*?\$\$", "", text.split("## Exercises")[0], flags=re.M | re.S)
    return [sentence for part in re.split(r"\n\n|\n(?=[-|#])", text) for sentence in sentences(part)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on one line."""
    return re.split(r"(?<=[.?!]) ", re.sub(r"\s+", " ", text))


def left(parameter: str, value: Any, chapter: str, after: Sequence[str]) -> list[str]:
    """The sentences of a chapter's prose and outputs that still name a parameter's default, though another value was
    asked for and they are about nothing else."""
    default = "synthetic|generated|embedded corpus" if (parameter, value) == ("dataset", "synthetic-iemocap") else ""
    pattern = re.compile(default if default and chapter != "16-modalities" else named(parameter, value))
    shown = [s for cell in after[:-1] for s in sentences(cell)]
    if (chapter, parameter) in BESIDE:
        return []
    told = [] if parameter == "backbone" else prose(chapter)  # which says of models what is true of them
    if parameter in ("text", "audio", "video", "setting", "modalities", "metric"):
        return []  # pages show others beside those that were asked for, and by everyday words
    return [s for s in (*told, *shown) if pattern.search(s) and not ELSEWHERE.search(s)]


def faults(chapter: str, asked: Mapping[str, Any], before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """What is wrong with a chapter that was asked for other values: one sentence each."""
    usual = defaults(chapter)
    if before[:-1] == after[:-1] and set(asked) != {"device"}:
        yield f"{', '.join(asked)}: nothing changes"
    for parameter, value in asked.items():
        if f"{parameter}={value}" not in after[-1]:
            yield f"{parameter}: the footer does not record {value}"
        if parameter not in RECORDED and not re.search(named(parameter, value), "\n".join(after[:-1])):
            yield f"{parameter}: nothing says that {value} was asked for"
        if parameter == "store" and (wrong := re.findall(rf"lmam sweep \w+(?! --store {value})\b", "\n".join(after))):
            yield f"store: {', '.join(wrong)} is not of {value}"
        yield from (f"{parameter}: {s[:200]!r}" for s in left(parameter, usual[parameter], chapter, after))


def outputs(chapter: str, given: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each code cell of a chapter shows with some parameters, figures' words included, in the folder here."""
    here = Path.cwd()
    with monkeypatch.context() as m:
        _smaller(m)
        try:
            return [words(shown) for _, shown in run(chapter, given, m)]
        finally:
            os.chdir(here)  # `m.chdir` would lead back to where a chapter went
            torch.set_default_dtype(torch.float32)  # a chapter may have set these for itself
            torch.set_grad_enabled(True)


def _smaller(m: pytest.MonkeyPatch) -> None:
    """Live runs end before their first update, recordings and simulated tables are few, and the hub can be reached."""
    training = Training(1, 50.0, [1.0], [50.0], 0.1, 1)
    m.setattr(live, "_fit", lambda e, *how: (build(e, prepared(e)), prepared(e), training))
    make, find, examined, arbitrary = sample.make_sample, weights.find, error_rates.error_rates, supports.arbitrary
    few = lambda folder, seed, dialogues, turns: make(folder, seed, 5 + dialogues // 20, 2)  # noqa: E731
    m.setattr(sample, "make_sample", few)
    m.setattr(error_rates, "error_rates", lambda s, rows, tables, planted: examined(s, 4, min(tables, 2), 2))
    funny = humour.fit
    m.setattr(humour, "fit", lambda e, device: funny(dataclasses.replace(e, epochs=e.epochs // 12), device))
    m.setattr(supports, "arbitrary", lambda table, draws, seed: arbitrary(table, 2 if draws == 25 else draws, seed))

    def reached(extractor: Any, given: Any, fallback: bool = True) -> weights.Weights:
        if given is None and extractor.weights == "hub":
            return weights.Weights(f"hub: {extractor.model}@0123", None, find(extractor, "random").identity)
        return find(extractor, given, fallback)

    m.setattr(weights, "find", reached)


def place(folder: Path) -> None:
    """Make what is asked for: `mine`, twelve conversations with three modalities and no label in them, and `my-runs`
    and `none`, without a run."""
    rng, D, L = np.random.default_rng(0), 12, 6
    label = np.arange(D * L) % 3
    widths = {"text": 40, "audio": 30, "video": 20}
    mine = stored.Utterances(
        name=OWN,
        about="Recorded at home.",
        dialogues=[str(k) for k in range(D)],
        splits=["train"] * 6 + ["validation"] * 3 + ["test"] * 3,
        owner=np.repeat(np.arange(D), L),
        speaker=np.arange(D * L) % 2,
        label=label,
        classes=("calm", "glad", "sad"),
        features={m: {f"{m}{d}": rng.normal(size=(D * L, d)) + label[:, None]} for m, d in widths.items()},
    )
    stored.write(folder / OWN, mine)
    for name in (STORE, "none"):
        (folder / name).mkdir()


def _fitting(chapter: str, parameter: str) -> dict[str, Any]:
    """What must be asked for as well: `mine` is narrower than the usual rank."""
    return {"rank": OTHER[chapter]["rank"]} if parameter == "dataset" and "rank" in OTHER[chapter] else {}


def main(chapters: Sequence[str]) -> int:
    """Try each parameter by itself and print what is wrong; returns 1 where something is."""
    warnings.simplefilter("ignore")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        place(Path(folder))
        monkeypatch.chdir(folder)
        for chapter in chapters or OTHER:
            before = outputs(chapter, {}, monkeypatch)
            for parameter, value in OTHER[chapter].items():
                asked = {parameter: value} | _fitting(chapter, parameter)
                found = list(faults(chapter, asked, before, outputs(chapter, asked, monkeypatch)))
                wrong += bool(found)
                print(f"{chapter:24} {parameter:11} {value!s:16}", "; ".join(found) or "ok", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
