"""Low-rank matching attention (LMAM) and cross-attention (LMCM) for conversations, with what it takes to measure them.

Three lines put LMAM into your model. Streams are (B, L, d), with one row per utterance:

    >>> from lmam_core import LMAM
    >>> fuse = LMAM({"text": 100, "audio": 100, "video": 512}, rank=45)
    >>> fused = fuse({"text": t, "audio": a, "video": v})  # (B, L, 712); fuse(streams, mask) where some is padding

Three more train and test a whole model, on a corpus that is generated:

    >>> from lmam_core import Experiment, run
    >>> result = run(Experiment(backbone="bc_lstm", fusion="lmam", embedding="late", rank=4, epochs=1, dialogues=12))
    >>> sorted(result.metrics)
    ['accuracy', 'macro_f1', 'weighted_f1']

The names:

    LMAM           the module: low-rank attention over modalities that share their time steps
    LMCM           the other paper's module: residual cross-attention in parallel branches
    Conversations  the batch that every model reads: features, speakers, mask, labels
    Experiment     a question: dataset, backbone, fusion, embedding, rank, protocol, seed, budget
    run            carries out an experiment
    fit            trains its model, to save it and to predict with it
    Model          a trained model: save, load, predict
    Run            the answer: metrics, outcomes of each conversation, sizes, times, provenance
    Store          a folder of runs, in which one question is answered once
    LmamError      a mistake in what was asked for, told in one sentence

The parts, each of which imports only those listed before it:

    errors         the exception that the user is meant to read
    limits         what a file, a server or a chapter may take
    signals        how a process is told to end, as an interruption
    file_errors    what other libraries raise over a file, as sentences
    hashing        the digest by which a file is known
    paths          where the checkout, the data, the caches and the stores of runs lie
    batch          the batch, and the conversations that it is made of
    models         LMAM, LMCM, how they are embedded, backbones/, fusion/, layers/ and kernels/
    features       numbers from recordings: encoders of text, sound and pictures
    data           the catalogue of datasets, how each is fetched and read, the generated corpus
    runs           experiments, training, metrics, sweeps, and the store
    tasks          what else LMAM is compared on: session recommendation, humour detection

The command `lmam` and the book that studies the methods are another package, `lmam_book`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmam_core.batch import Conversations
    from lmam_core.errors import LmamError
    from lmam_core.models.lmam import LMAM
    from lmam_core.models.lmcm import LMCM
    from lmam_core.runs.experiment import Experiment
    from lmam_core.runs.model_file import Model, fit
    from lmam_core.runs.run import Run, run
    from lmam_core.runs.store import Store

__version__ = "0.1.0"

_HOMES = {
    "LMAM": "lmam_core.models.lmam",
    "LMCM": "lmam_core.models.lmcm",
    "Conversations": "lmam_core.batch",
    "Experiment": "lmam_core.runs.experiment",
    "LmamError": "lmam_core.errors",
    "Model": "lmam_core.runs.model_file",
    "Run": "lmam_core.runs.run",
    "Store": "lmam_core.runs.store",
    "fit": "lmam_core.runs.model_file",
    "run": "lmam_core.runs.run",
}
__all__ = ["LMAM", "LMCM", "Conversations", "Experiment", "LmamError", "Model", "Run", "Store", "fit", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import lmam_core` costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lmam_core' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
