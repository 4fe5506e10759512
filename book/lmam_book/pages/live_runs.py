"""What the comparing chapters train and time while they are built."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, DisplayHandle
from markupsafe import Markup

from lmam_core.batch import Conversations
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.models.embedded import Embedded
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import build, prepared, trained
from lmam_core.runs.training import Training, score, step


def train(arms: Mapping[str, Experiment], device: str = "cpu") -> dict[str, tuple[Embedded, Dataset, Training]]:
    """Train arms now, one after the other, with a line that says how far they are; it is gone when they are done.

    Raises LmamError, one sentence, where it is interrupted.
    """
    line, found = DisplayHandle(), {}
    line.display(HTML(""))

    def tell(arm: str, epoch: int, loss: float, score: float) -> None:
        place = f"{len(found) + 1} of {len(arms)}"
        told = Markup("<p>training {}: {}, epoch {}, loss {:.2f}, validation {:.1f}</p>")
        line.update(HTML(told.format(place, arm, epoch, loss, score)))

    try:
        for name, e in arms.items():
            found[name] = trained(e, device, partial(tell, name))
    except KeyboardInterrupt:
        raise LmamError("Training was interrupted; run the cell again to start it anew.") from None
    finally:
        line.update(HTML(""))
    return found


def live(arms: Mapping[str, Experiment], device: str = "cpu") -> pd.DataFrame:
    """Train arms now and score them on the test split: one row per arm, with parameters and seconds per epoch.

    The seconds are medians over an arm's own epochs, one arm after the other; `seconds` compares arms more fairly.
    """
    return pd.DataFrame([scored(name, *found) for name, found in train(arms, device).items()])


def scored(name: str, model: Embedded, data: Dataset, training: Training) -> dict[str, Any]:
    """A trained arm's row in a table: test scores, parameters, seconds per epoch."""
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    row = {"arm": name, **score(model, data), "parameters": f"{count:,}"}
    return row | {"s per epoch": training.seconds_per_epoch}


def quick(e: Experiment, profile: str, **budget: int) -> Experiment:
    """An experiment with the budget of a live run: `budget` in the quick profile, its own in the full one."""
    return replace(e, learning_rate=3e-3, **(budget if profile == "quick" else {})).resolved()


def seconds(arms: Mapping[str, Experiment], repeats: int = 3) -> dict[str, float]:
    """Median seconds of a training step of each arm on its `first_batch`, on one CPU thread.

    In rounds over all arms, so that whatever else the machine does meets all of them alike. LoRA on a trained base
    counts a step of that base as well, since it is trained twice.
    """
    times: dict[str, list[float]] = {name: [] for name in arms}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in training
    try:
        for _ in range(repeats):
            for name, e in arms.items():
                based = fusion.method(e.fusion).base == "trained"
                models = [e, replace(e, fusion="concat", rank=None)] if based else [e]
                times[name].append(sum(map(_step_seconds, models)))
    finally:
        torch.set_num_threads(threads)
    return {name: float(np.median(taken)) for name, taken in times.items()}


def first_batch(e: Experiment) -> Conversations:
    """The first training conversations of an experiment, as many as its batches have."""
    return next(prepared(e).batches("train", e.batch_size))


def _step_seconds(e: Experiment) -> float:
    """Seconds of the second step of a new model: the first also pays for what torch and Adam set up once."""
    data, batch = prepared(e), first_batch(e)
    model = build(e, data).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=e.learning_rate)
    for _ in range(2):
        started = time.perf_counter()
        step(model, batch, bool(data.classes), optimizer)
        taken = time.perf_counter() - started
    return taken
