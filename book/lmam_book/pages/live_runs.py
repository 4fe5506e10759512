"""What the comparing chapters train while they are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from IPython.display import HTML, DisplayHandle
from markupsafe import Markup

from lmam_book.plans.studies import TYPICAL
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError
from lmam_core.models.embedded import Embedded
from lmam_core.runs.experiment import BUDGETS, Experiment
from lmam_core.runs.run import trained
from lmam_core.runs.training import Training, score


def train(arms: Mapping[str, Experiment], device: str = "cpu") -> dict[str, tuple[Embedded, Dataset, Training]]:
    """Models, data and training of each arm, trained now one after the other, with a line that says how far they are.

    The line is gone when they are done. Raises LmamError, one sentence, where it is interrupted.
    """
    line = DisplayHandle()
    done: dict[str, tuple[Embedded, Dataset, Training]] = {}
    line.display(HTML(""))

    def tell(arm: str, epoch: int, loss: float, score: float) -> None:
        place = f"{len(done) + 1} of {len(arms)}"
        text = Markup("<p>training {}: {}, epoch {}, loss {:.2f}, validation {:.1f}</p>")
        line.update(HTML(text.format(place, arm, epoch, loss, score)))

    try:
        for name, e in arms.items():
            done[name] = trained(e, device, partial(tell, name))
    except KeyboardInterrupt:
        raise LmamError("Training was interrupted; run the cell again to start over.") from None
    finally:
        line.update(HTML(""))
    return done


def scored(name: str, model: Embedded, data: Dataset, training: Training) -> dict[str, Any]:
    """A trained arm's row in a table: test scores, parameters, seconds per epoch."""
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    row = {"arm": name, **score(model, data), "parameters": f"{count:,}"}
    return row | {"s per epoch": training.seconds_per_epoch}


def quick(e: Experiment, profile: str, **budget: Any) -> Experiment:
    """An experiment with the budget of a live run: `budget` in the quick profile, its own in the full one."""
    return replace(e, learning_rate=3e-3, **(budget if profile == "quick" else {})).resolved()


def full(trained: Mapping[str, tuple[Embedded, Dataset, Training]], batch_size: int) -> str:
    """How long these arms would take in the full profile, judged by the updates of their live run."""
    seconds = sum(t.seconds_per_epoch * len(t.train_loss) / t.updates for *_, t in trained.values())
    minutes = seconds * BUDGETS["honest"]["batch_size"] / batch_size * TYPICAL / 60
    return f'On this machine profile = "full" would take about {max(1, round(minutes))} minutes.'
