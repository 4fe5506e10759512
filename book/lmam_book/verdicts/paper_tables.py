"""Tables V, IX, X, XI and Fig. 5 and the parts of LMCM as comparisons of stored runs: the arm of a row."""

from __future__ import annotations

import numpy as np

from lmam_book.paper import printed as paper
from lmam_book.plans import arms
from lmam_book.plans.plans import PLANS
from lmam_book.plans.studies import STUDIES
from lmam_book.verdicts import beside_paper
from lmam_book.verdicts.cells import Cells
from lmam_core.errors import LmamError
from lmam_core.models.fusion import FUSIONS
from lmam_core.runs import names as run_names
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.store import Store

PRINTED = {
    "add": "Add",
    "concat": "Concatenate",
    "lmf": "LFM",
    "lmf_mult": "LMF-MuLT",
    "lora_random": "LoRA◇",
    "lora_trained": "LoRA*",
}
"""The names of Table IX that are others than the methods' own."""


def called(method: str) -> str:
    """What the paper's Table IX calls a fusion method; one that is not in it goes by its own name."""
    return PRINTED.get(method, FUSIONS[method].title)


def methods() -> dict[str, str]:
    """The fusion methods that are compared, and what they are called."""
    return {name: called(name) for name in arms.methods()}


def plugged(backbone: str, store: Store | None = None) -> Cells:
    """Tables II to IV: a backbone without LMAM, with its own attention where it has one, and with LMAM.

    On CMU-MOSI of text and audio alone where such runs are planned: its video knows the training labels.
    """

    def label(e: Experiment) -> str | None:
        if e.backbone.removesuffix("_att") != backbone or e.width or e.faithful or e.shuffled or e.readings:
            return None
        return None if clean and e.dataset == "mosi" and "video" in e.modalities else run_names.arm(e)

    clean = f"{backbone}_clean" if f"{backbone}_clean" in PLANS else None
    plans = (backbone, clean) if clean else (backbone,)
    number = lambda arm, *at: beside_paper.printed(backbone, arm, *at)  # noqa: E731
    return Cells(run_names.title(backbone), plans, label, "concatenation", number, store or Store())


def fusion_methods(backbone: str, store: Store | None = None, protocol: int = 1) -> Cells:
    """Table IX: every fusion method behind a backbone; LMAM in its variants."""
    plans: tuple[str, ...] = ("emocaps", "ways", "fusions_emocaps")
    if backbone == "bc_lstm":
        plans = ("bc_lstm", "fusions_bc_lstm")
    if protocol == 2:
        plans = tuple(name for name in STUDIES if name.startswith(f"methods_{backbone}"))
    return _methods(f"behind {run_names.title(backbone)}", plans, backbone, store, protocol)


def patient_methods(store: Store | None = None) -> Cells:
    """Table IX behind bc-LSTM with three times the patience: fusion by products, concatenation and LMAM."""
    return _methods("behind bc-LSTM, patience 30", ("fusions_patient",), "bc_lstm", store)


def clean_methods(store: Store | None = None) -> Cells:
    """Every fusion method behind bc-LSTM on CMU-MOSI without its video. Table IX has no row for it."""
    plans = ("bc_lstm_clean", "fusions_bc_lstm_clean")
    return _methods("behind bc-LSTM, text and audio", plans, "bc_lstm", store)


def _methods(where: str, plans: tuple[str, ...], backbone: str, store: Store | None, protocol: int = 1) -> Cells:
    """Fusion methods where a backbone's modalities meet late, by their names in Table IX."""

    def label(e: Experiment) -> str | None:
        if e.backbone != backbone or e.embedding != "late" or e.readings or e.width or e.faithful:
            return None
        return called(e.fusion) + ("" if e.variant in (None, "paper") else f", {e.variant}")

    number = lambda arm, *at: printed(9, arm, *at)  # noqa: E731
    return Cells(where, plans, label, "Concatenate", number, store or Store(), protocol)


def embedding_ways(backbone: str, store: Store | None = None, protocol: int = 1) -> Cells:
    """Table XI: a backbone with its own fusion, and with LMAM in the three ways."""
    name = run_names.title(backbone)
    rows = {"LMAM early": f"{name}*", "LMAM early + residual": f"{name}*(R)"}

    def label(e: Experiment) -> str | None:
        plain = not (e.width or e.faithful or e.shuffled or e.readings)
        known = e.fusion == "concat" or (e.fusion == "lmam" and e.variant == "paper")
        wanted = run_names.arm(e) if plain and known and e.backbone == backbone else None
        return wanted if wanted in ("concatenation", *run_names.WAYS.values()) else None

    def number(arm: str, dataset: str, metric: str) -> float:
        if arm == "concatenation":
            return beside_paper.printed(backbone, arm, dataset, metric)
        return printed(11, rows[arm], dataset, metric) if arm in rows else np.nan

    plans = (backbone,) if backbone == "bc_lstm" else (backbone, "ways")
    if protocol == 2:
        plans = (f"headline_{backbone}", f"ways_{backbone}")
    return Cells(name, plans, label, "concatenation", number, store or Store(), protocol)


def equal_parameters(backbone: str, store: Store | None = None, protocol: int = 1) -> Cells:
    """Table V: a backbone, itself widened to LMAM's number of parameters, and with LMAM."""
    name, starred = run_names.title(backbone), run_names.WAYS[arms.starred(backbone)]
    rows = {"concatenation": name, "concatenation, widened": f"{name}◇", starred: f"{name}*"}

    def label(e: Experiment) -> str | None:
        if e.backbone != backbone or e.readings or e.faithful or e.variant not in (None, "paper"):
            return None
        # Under protocol 2 there is one concatenation, in LMAM's place.
        arm = "concatenation" if protocol == 2 and e.fusion == "concat" else run_names.arm(e)
        arm += ", widened" if e.width else ""
        return arm if arm in rows else None

    plans = (backbone, "equal_bc_lstm" if backbone == "bc_lstm" else "equal")
    if protocol == 2:
        plans = (f"headline_{backbone}", f"widened_{backbone}")
    number = lambda arm, *at: printed(5, rows[arm], *at)  # noqa: E731
    return Cells(name, plans, label, "concatenation, widened", number, store or Store(), protocol)


def rank_sweep(store: Store | None = None, protocol: int = 1) -> Cells:
    """Fig. 5: LMAM behind bc-LSTM at each rank, and with its weight whole. The figure prints no numbers."""

    def label(e: Experiment) -> str | None:
        if (e.backbone, e.fusion, e.embedding) != ("bc_lstm", "lmam", "late") or e.variant != "paper":
            return None
        if e.readings:
            return "full weight" if e.readings == "weight=full" else None
        return f"rank {e.rank}"

    plans = ("ranks",) if protocol == 1 else ("rank_bc_lstm",)
    return Cells("LMAM behind bc-LSTM", plans, label, "rank 45", store=store or Store(), protocol=protocol)


LETTERS = {"text": "T", "audio": "A", "video": "V"}
SETS = ("concatenation", "concatenation, late", "LMAM late", "LMAM late, keys=others")
"""The arms of Table X's chapter, as `run_names.arm` calls them."""


def modality_sets(arm: str, store: Store | None = None, protocol: int = 1) -> Cells:
    """Table X: bc-LSTM in one of `SETS` on every subset of modalities; and on all, some of them shuffled.

    With one modality early and late concatenation are one model, as are own and other keys of LMAM, and one run stands
    for both (under protocol 2 the late one). Table X is of LMAM, so that concatenation has no number of the paper
    beside it.
    """
    with_lmam, others = arm.startswith("LMAM"), arm.endswith("keys=others")

    def label(e: Experiment) -> str | None:
        if e.backbone != "bc_lstm" or e.faithful or e.width:
            return None
        alone = {"LMAM late, keys=others": "LMAM late"}
        alone |= {"concatenation, late": "concatenation"} if protocol == 1 else {"concatenation": "concatenation, late"}
        if run_names.arm(e) != (alone.get(arm, arm) if len(e.modalities) == 1 else arm):
            return None
        name = "+".join(LETTERS[m] for m in e.modalities)
        shuffled = "+".join(LETTERS[m] for m in e.shuffled.split("+") if m)
        return f"{name}, {shuffled} shuffled" if shuffled else name

    def number(subset: str, dataset: str, metric: str) -> float:
        return printed(10, {"A+V": "V+A"}.get(subset, subset), dataset, metric) if with_lmam and not others else np.nan

    plans = ("bc_lstm", "bc_lstm_clean", "modalities") if protocol == 1 else ("headline_bc_lstm", "subsets_bc_lstm")
    return Cells(f"bc-LSTM with {arm}", plans, label, "T", number, store or Store(), protocol)


def lmcm_parts(store: Store | None = None) -> Cells:
    """LMCM, LMCM with a part taken away, and its rivals; one modality is text. The abstract prints no numbers."""
    known = ("concat", "lmam", *arms.LMCM)

    def label(e: Experiment) -> str | None:
        if e.fusion not in known:
            return None
        name = FUSIONS[e.fusion].title
        if len(e.modalities) == 1:
            return "text alone" if e.fusion == "concat" else f"{name}, text alone"
        return name + (", second shuffled" if e.shuffled else "")

    return Cells("LMCM and its rivals", ("lmcm",), label, "concatenation", store=store or Store())


def printed(number: int, row: str, dataset: str, metric: str) -> float:
    """What a table of the paper with "overall" cells prints; NaN where it prints nothing."""
    try:
        return paper.cell(number, row, "overall", beside_paper.PRINTED[metric], beside_paper.PLACES[dataset][1])
    except (LmamError, KeyError):
        return np.nan
