"""One call that says what LMAM adds to a model: `compare`."""

from __future__ import annotations

import dataclasses
import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmam_book.bench.linear_probes import flat, probe
from lmam_book.plans import search as plan
from lmam_book.plans.arms import starred
from lmam_book.verdicts import beside_paper, rule
from lmam_book.verdicts.arms_table import DIFFERING, METRICS
from lmam_book.verdicts.effects import Effect, effect
from lmam_core import paths
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError
from lmam_core.runs import names
from lmam_core.runs.device import usable
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.own_backbone import Make, register_own
from lmam_core.runs.run import Run, build, prepared, run
from lmam_core.runs.store import Store
from lmam_core.runs.sweep import POLL_SECONDS
from lmam_core.runs.training import UNTESTED

WORDS = {rule.REPRODUCED: "better", rule.EXCLUDED: "worse"}
"""The rule's words where nothing is reported that could be reproduced: its interval lies above 0, or below."""
LMAMS = ("variant", "readings")
"""The fields of an experiment that mean something to LMAM alone."""
_OWN = ("backbone", "dataset", "embedding", "faithful", "fusion", "rank", "seed")
RECIPE = [field.name for field in dataclasses.fields(Experiment) if field.name not in _OWN]
"""The fields of an experiment that `compare` takes as `recipe`."""


@dataclass(frozen=True)
class Compared:
    """What LMAM adds to a model; `str` tells it in seven lines.

    `gain` is LMAM minus concatenation in `metric`; `baseline` the concatenation's mean score beside that of a linear
    probe on the same features, both more for better (an error's sign is turned). `plain` and `fused` are the runs of
    the two arms, by seed, and `why` what the word hangs on, as a sentence.
    """

    gain: Effect
    word: str
    why: str
    baseline: rule.Baseline
    metric: str
    plain: tuple[Run, ...]
    fused: tuple[Run, ...]
    recipe: str
    folder: Path

    def __str__(self) -> str:
        e, caution = self.fused[0].experiment, self.fused[0].caution
        score, bar = abs(self.baseline.score), abs(self.baseline.bar)
        digits, score_below = _digits(self.metric), self.baseline.score < self.baseline.bar
        lines = {
            "question": f"{names.arm(e)} instead of concatenation in {names.title(e.backbone)}, "
            f"{self.fused[0].dataset}" + f" ({caution})" * bool(caution),
            "gain": f"{beside_paper.signed(self.gain, digits)} {beside_paper.TITLES[self.metric]}, 95 % interval over "
            f"{self.gain.seeds} seeds and {self.gain.conversations} test conversations",
            "baseline": f"{score:.{digits}f} with concatenation, {bar:.{digits}f} of a linear probe on its features: "
            + ("working" if self.baseline.works else "below it" if score_below else "not trained to its end"),
            "parameters": f"{self.plain[0].parameters:,} with concatenation, {self.fused[0].parameters:,} with LMAM",
            "recipe": self.recipe,
            "word": f"{self.word} ({self.why})" if self.why else self.word,
            "runs": str(self.folder),
        }
        return "\n".join(f"{name:12}{text}" for name, text in lines.items())


def compare(
    model: Make | str,
    dataset: str,
    *,
    seeds: int | Sequence[int] = 5,
    rank: int | None = None,
    embedding: str | None = None,
    search: bool = False,
    store: str | Path = paths.MINE,
    device: str = "auto",
    **recipe: Any,
) -> Compared:
    """Whether LMAM is better than concatenation in a model, on a dataset: an effect, an interval and a word.

    For each seed s both arms are trained, with the same encoders in the same place, the same start of what they share,
    the same order of batches and the same validation conversations. With the metric m of test set T (weighted F1 for
    classes, Acc-2 on CMU-MOSI, -MAE of other real numbers) the gain is

        g = 1 / S Σ_s [m(LMAM_s, T) - m(concatenation_s, T)],  interval g ± t √(SE_seeds² + SE_conversations²),

    Student's t with Satterthwaite's degrees of freedom (`effects.effect`), since results vary with seeds and with which
    conversations happen to be in T. The word is that of the book's rule (`rule.word`) with nothing reported: better or
    worse where the interval leaves out 0, undecided where it does not, and then `why` says how many seeds would decide;
    baseline not working where the model without LMAM is below a linear probe on the same features, or was stopped
    before it had learned; too few runs below five seeds.

    `model` is the name of a registered backbone, or a class or function `make(width, outputs)` that returns a new
    module: forward(x, mask) turns x (B, L, width) into (B, L, outputs), with a mask (B, L), true where an utterance
    stands. `embedding` is the place of LMAM (Fig. 4 of the paper): `early` and `early_residual` put it in front of one
    module that makes the logits; `late` makes one module per modality, 100 `outputs` wide or `width`, then LMAM, then a
    linear layer. Default early_residual, of a registered backbone the way that stands for it in the book.

    `dataset` is a name or folder that `lmam data` knows, with two modalities at least. `seeds` are a number of them or
    whole numbers, two at least. Both arms have one recipe: the defaults of `Experiment` or what `recipe` says, such as
    `updates=600` or `variant="released"`; with `search` learning rate, dropout of the features and weight decay are
    chosen for each arm by the book's own search, nine trials on validation conversations (`plans.search`), fifteen
    runs per arm or more. Runs are kept in `store`, and a second call goes on where the first one stopped. A model
    is known by what it computes (`own_backbone.register_own`): an edited one is trained anew.

    Raises LmamError for a model that does not keep to this, unknown datasets and fields, fewer than two seeds, and when
    it is interrupted.

    >>> print(compare("utterance", "synthetic-iemocap", seeds=2, rank=4, dialogues=12, updates=8).word)
    [1/4] ...
    too few runs
    """
    try:
        return _compared(model, dataset, seeds, rank, embedding, search, Store(store), usable(device), recipe)
    except KeyboardInterrupt:
        raise LmamError(f"Interrupted; finished runs are in {store}, and the same call goes on from there.") from None


def _compared(
    model: Make | str,
    dataset: str,
    seeds: int | Sequence[int],
    rank: int | None,
    embedding: str | None,
    search: bool,
    store: Store,
    device: str,
    recipe: dict[str, Any],
) -> Compared:
    numbers = list(range(seeds) if isinstance(seeds, int) else dict.fromkeys(seeds))
    if len(numbers) < 2:
        raise LmamError(f"An interval needs two seeds, and a word {rule.FEW}; got {len(numbers)}.")
    _check(recipe, search)
    arms = _arms(model, dataset, rank, embedding, recipe)
    while missing := [e for arm in arms for e in plan.needed(arm, store)] if search else []:
        _carry_out(missing, store, device)
    if search:
        arms = [plan.tuned(arm, store) for arm in arms]
    wanted = [dataclasses.replace(arm, seed=seed).resolved() for seed in numbers for arm in arms]
    _carry_out(wanted, store, device)
    runs = [store.get(e) for e in wanted]
    return _judged(runs[::2], runs[1::2], searched=search, folder=store.path(wanted[0]).parent)


def _check(recipe: dict[str, Any], search: bool) -> None:
    for name in recipe:
        if name not in RECIPE:
            close = difflib.get_close_matches(name, RECIPE, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(RECIPE)}."
            raise LmamError(f"A recipe has no '{name}'; {hint}")
        if search and name in plan.Trial._fields:
            raise LmamError(f"A search chooses {name}; leave it out, or search=True.")
    if recipe.get("protocol") in UNTESTED:
        raise LmamError(f"The protocol {recipe['protocol']} leaves the test set alone, so there is nothing to compare.")


def _arms(
    model: Make | str, dataset: str, rank: int | None, embedding: str | None, recipe: dict[str, Any]
) -> list[Experiment]:
    """The model with concatenation, and with LMAM in its place; anything that does not fit is told here."""
    name = model if isinstance(model, str) else ""
    way = embedding or starred(name)
    of_lmam = {field: recipe.pop(field) for field in LMAMS if field in recipe}
    plain = Experiment(dataset, backbone=name, fusion="concat", embedding=way, **recipe).resolved()
    if len(plain.modalities) < 2:
        raise LmamError(f"With {plain.modalities[0]} alone there is nothing to fuse; two modalities are needed.")
    # In front of a model a residual round concatenation adds the features to themselves.
    place = "late" if way == "late" else "early"
    if not isinstance(model, str):
        name = register_own(model, prepared(plain), place, plain.width)
    plain = dataclasses.replace(plain, backbone=name, embedding=place)
    fused = dataclasses.replace(plain, fusion="lmam", embedding=way, rank=rank, **of_lmam).resolved()
    with torch.random.fork_rng(devices=[]):  # a rank that does not fit is told before training
        build(fused, prepared(fused))
    return [plain, fused]


def _carry_out(wanted: Sequence[Experiment], store: Store, device: str) -> None:
    """Make the runs that the store does not hold, a line each; what another process makes is waited for."""
    waiting = [e for e in dict.fromkeys(wanted) if e not in store]
    while waiting:
        for e in list(waiting):
            with store.claim(e) as mine:
                if mine and e not in store:
                    result = run(e, device)
                    store.add(result)
                    print(_line(result, len(wanted) - len(waiting) + 1, len(wanted)), flush=True)
            if e in store:
                waiting.remove(e)
        if waiting:
            time.sleep(POLL_SECONDS)


def _line(result: Run, done: int, of: int) -> str:
    """How far a comparison is, and what a run has; one of a search, in what it is chosen by."""
    e = result.experiment
    name = _metric(result) if result.metrics else "validation"
    value = result.metrics.get(name, result.training.best_score)
    return f"[{done}/{of}] {names.arm(e)} seed {e.seed}: {name} {value:.3f}, {result.seconds:.0f} s"


def _metric(of: Run) -> str:
    return METRICS.get(of.experiment.dataset, "weighted_f1" if of.classes else "mae")


def _judged(plain: list[Run], fused: list[Run], *, searched: bool, folder: Path) -> Compared:
    metric = _metric(plain[0])
    gain = effect(plain, fused, metric)
    short = [_shortfall(runs) for runs in (plain, fused)]
    score = beside_paper.sign(metric) * float(np.mean([r.metrics[metric] for r in plain]))
    baseline = rule.Baseline(score, _probe(prepared(plain[0].experiment), metric), not short[0])
    word = rule.word([gain], 0.0, baseline, not short[1])
    return Compared(
        gain=gain,
        word=WORDS.get(word, word),
        why=_why(word, gain, baseline, short),
        baseline=baseline,
        metric=metric,
        plain=tuple(plain),
        fused=tuple(fused),
        recipe=_recipe(plain, fused, searched),
        folder=folder,
    )


def _shortfall(runs: Sequence[Run]) -> str:
    """Why an arm may be better than its runs, as in `beside_paper.shortfall`."""
    return beside_paper.shortfall(beside_paper.frame(runs), runs[0].dataset, names.arm(runs[0].experiment))


def _probe(data: Dataset, metric: str) -> float:
    """What a linear probe has on the test set, more for better: logistic, or of real numbers a ridge regression."""
    if metric != "mae":
        return probe(data)["test_weighted_f1" if data.classes else "test"]
    from sklearn.linear_model import RidgeCV

    (x, y), (tested, truth) = (flat(data, split) for split in ("train", "test"))
    return -float(np.abs(RidgeCV(np.logspace(0, 5, 11)).fit(x, y).predict(tested) - truth).mean())


def _why(word: str, gain: Effect, baseline: rule.Baseline, short: Sequence[str]) -> str:
    if word == rule.TOO_FEW:
        return f"a word needs {rule.FEW} seeds; there are {gain.seeds}"
    if word == rule.NOT_WORKING:
        return f"of its runs {short[0]}" if short[0] else "below the linear probe"
    if word == rule.UNDECIDED:
        return f"of LMAM's runs {short[1]}" if short[1] and gain.high < 0 else rule.would_decide(gain, 0.0)
    return ""


def _recipe(plain: Sequence[Run], fused: Sequence[Run], searched: bool) -> str:
    arms = [
        ", ".join(text.format(v) for name, text in DIFFERING.items() if (v := getattr(runs[0].experiment, name)))
        for runs in (plain, fused)
    ]
    if not searched:
        return f"both arms alike, nothing searched: Adam, {arms[0]}"
    return f"each arm searched alike, {len(plan.TRIALS)} trials: Adam, {arms[0]}; with LMAM {arms[1]}"


def _digits(metric: str) -> int:
    return 3 if metric in ("mae", "corr") else 1
