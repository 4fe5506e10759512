"""The spectra of LMAM's weights in the runs of the rank sweep.

`python -m lmam_book.bench.spectra` trains them once more. The store keeps outcomes and no weights, so the same arms,
rates and seeds are trained again, with the budget that they had there. Runs from before a change of roundings do not
come out to the last digit (`data/code_versions.csv`). Every run is added to the tables as it ends, and what is there is
not done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from lmam_book.bench import spectrum
from lmam_book.bench.seals import seal
from lmam_book.plans.plans import FIRST, SEEDS, measured, plan, tuning
from lmam_core import paths
from lmam_core.batch import Conversations
from lmam_core.data.dataset import Dataset
from lmam_core.models.contracts.parts import ModuleDict
from lmam_core.models.embedded import Embedded
from lmam_core.models.lmam import LMAM, FullWeight, Weight
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import build, trained
from lmam_core.runs.store import Store
from lmam_core.runs.training import score, selection_metric

TABLE, CUTS = "spectra.csv", "spectra_cut.csv"
RANKS = (45, 200, None)
"""The paper's rank, the width of the contexts, and the weight whole."""
KEPT = (0, 1, 2, 5, 15, 45, 200)
"""The ranks to which a trained full weight is cut."""


def experiments(store: Store) -> list[Experiment]:
    """The measured runs of `RANKS`, breadth first; those of arms that are tuned."""
    sweep = plan("ranks")
    arms = [arm for arm in sweep.arms() if arm.rank in RANKS]
    arms = [arm for arm in arms if all(e in store for e in tuning(sweep, [arm]))]
    return measured(sweep, arms, store, SEEDS[:FIRST])


def name(e: Experiment) -> str:
    """What the tables call an arm: `rank 45`, `full weight`."""
    return f"rank {e.rank}" if e.rank else "full weight"


def table() -> pd.DataFrame:
    """The measured spectra that come with the book: `effective_rank`, `energy_rank`, `norm` by modality and kind."""
    return pd.read_csv(paths.data(TABLE))


def cuts_table() -> pd.DataFrame:
    """The measured scores of cut weights that come with the book, one row per run and rank `kept`."""
    return pd.read_csv(paths.data(CUTS))


def spectra(before: ModuleDict[Weight], after: ModuleDict[Weight]) -> Iterator[dict[str, object]]:
    """One row per modality and kind of W: before training, after it, and the change, with both ranks and ||W||."""
    for m, weight in after.items():
        W0, W1 = spectrum.matrix(before[m]), spectrum.matrix(weight)
        for kind, W in {"before": W0, "after": W1, "change": W1 - W0}.items():
            s = spectrum.singular_values(W)
            ranks = {"effective_rank": spectrum.effective_rank(s), "energy_rank": spectrum.energy_rank(s)}
            yield {"modality": m, "kind": kind, **ranks, "norm": float(W.norm())}


@torch.no_grad()
def cuts(model: Embedded, data: Dataset) -> Iterator[dict[str, object]]:
    """The test scores of a model whose full weights are cut down to each of `KEPT`, without further training.

    `same` is the share of test utterances whose predicted class, or sign, stays; in percent.
    """
    model.eval()
    lmam, batch = _lmam(model), next(data.batches("test", len(data.splits["test"])))
    trained = lmam.weights
    exact = _predicted(model, batch)
    for k in KEPT:
        lmam.weights = ModuleDict(
            {m: spectrum.truncated(w, k) for m, w in trained.items() if isinstance(w, FullWeight)}
        )
        same = (_predicted(model, batch) == exact).float().mean()
        yield {"kept": k, "same": 100 * float(same), **score(model, data)}
    lmam.weights = trained


def _lmam(model: Embedded) -> LMAM:
    """The LMAM of a model of the rank sweep."""
    assert isinstance(model.fusion, LMAM)
    return model.fusion


def _predicted(model: Embedded, batch: Conversations) -> torch.Tensor:
    output = model(batch)[batch.mask]  # (N, outputs)
    return output.argmax(-1) if output.shape[1] > 1 else output[:, 0] >= 0


def measure(store: Store) -> None:
    """Train what the tables lack, and add it to them."""
    for e in experiments(store):
        if _measured(paths.data(TABLE), e):
            continue
        model, data, training = trained(e)
        who = {"dataset": e.dataset, "arm": name(e), "seed": e.seed, "learning_rate": e.learning_rate}
        print(who, f"validation {selection_metric(data)[0]} {training.best_score:.3f}", flush=True)
        if e.rank is None:
            _add(paths.data(CUTS), [who | row for row in cuts(model, data)])
        before, after = (_lmam(m).weights for m in (build(e, data), model))
        _add(paths.data(TABLE), [who | row for row in spectra(before, after)])


def _measured(path: Path, e: Experiment) -> bool:
    """Whether a table has rows of an experiment."""
    if not path.exists():
        return False
    rows = pd.read_csv(path)[["dataset", "arm", "seed", "learning_rate"]].itertuples(index=False, name=None)
    return (e.dataset, name(e), e.seed, e.learning_rate) in set(rows)


def _add(path: Path, rows: list[dict[str, object]]) -> None:
    frame = pd.DataFrame(rows).round(4)
    if path.exists():
        frame = pd.concat([pd.read_csv(path), frame])
    frame.to_csv(path, index=False)
    seal(path, "lmam_book.bench.spectra")


if __name__ == "__main__":
    measure(Store())
