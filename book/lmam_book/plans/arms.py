"""The arms of the book's comparisons: what is compared with what; `Plan.arms` resolves them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from lmam_core.models.fusion import FUSIONS
from lmam_core.runs.experiment import Experiment

STARRED = {
    "text_cnn": "late",
    "bc_lstm": "late",
    "dialogue_rnn": "early_residual",
    "dialogue_gcn": "early_residual",
    "mm_dfn": "early_residual",
    "m2fnet": "early_residual",
    "emocaps": "early_residual",
}
"""The embedding way that stands for the paper's row of a backbone with LMAM, whose name has a star.

Where a starred number of Tables II and III comes back in Table XI, Table XI says which way it is: MM-DFN, M2FNet and
EmoCaps are there with a residual (69.69 and 69.68, 70.07 and 70.07, 73.01 and 73.01 weighted F1 on IEMOCAP). The
released code puts LMAM behind TextCNN's layers. Beside DialogueRNN it has LMAM as a branch whose output is added to
DialogueRNN's, which is none of the three ways; the residual way, which also has one DialogueRNN and a path round LMAM,
stands for it by our choice. bc-LSTM's starred number is in no row of Table XI; its released code matches contexts.
Nothing says which way DialogueGCN's is: the paper "mainly" uses the residual and the late way, and in the residual way
one graph sees all modalities, as in its original.
"""

TABLE_SIX = ("text_cnn", "bc_lstm", "bc_lstm_att", "dialogue_rnn", "dialogue_gcn", "mm_dfn", "m2fnet", "emocaps")
"""The rows of Table VI without LMAM."""


def starred(backbone: str) -> str:
    """The embedding way of `STARRED`, for a backbone that the paper does not have the one that it uses most."""
    return STARRED.get(backbone, "early_residual")


MOSI = Experiment(dataset="mosi", modalities=("text", "audio", "video"), protocol="protocol1")
IEMOCAP = Experiment(dataset="iemocap", modalities=("text", "audio"), protocol="protocol1")
CLEAN = Experiment(dataset="mosi", modalities=("text", "audio"), protocol="protocol1")
"""MOSI without its video features, which were trained on training labels (`linear_probes`)."""
LMCM = ("lmcm", "lmcm_single", "lmcm_plain", "lmcm_layer_norm")
"""The second paper's fusion; with one branch, without a residual, with LayerNorm for DyT."""
TABLE_NINE = (
    "add",
    "concat",
    "tfn",
    "lmf",
    "dual_lmf",
    "att_lmf",
    "lmf_mult",
    "auxformer",
    "cmcf_srnet",
    "self_attention",
    "cross_modal",
    "lora_random",
    "lora_trained",
    "lmam",
)
"""The fusion methods of Table IX, and self-attention and cross-modal attention, which are not in it, before LoRA."""


def methods() -> list[str]:
    """The fusion methods that are compared: in the order of `TABLE_NINE`, then what else is registered.

    Without the second paper's LMCM, which has a plan of its own.
    """
    return [*TABLE_NINE, *(name for name in FUSIONS if name not in TABLE_NINE + LMCM)]


def bc_lstm() -> list[Experiment]:
    """bc-LSTM with concatenation, bc-LSTM+Att, and LMAM in its ways and readings.

    Concatenation is early and late; LMAM is in the three ways, released, and matched with the other modalities. The
    late concatenation has the late LMAM's LSTMs, one per modality, so that the two differ in the fusion alone.
    """
    return _bc_lstm_arms(MOSI) + _bc_lstm_arms(IEMOCAP)


def bc_lstm_clean() -> list[Experiment]:
    """The arms of `bc_lstm` on `CLEAN`."""
    return _bc_lstm_arms(CLEAN)


def plugged(backbone: str) -> Callable[[], list[Experiment]]:
    """A backbone with its own fusion, and with LMAM in the way of `STARRED`, on MOSI and IEMOCAP."""
    return lambda: [arm for base in (MOSI, IEMOCAP) for arm in _pair(dataclasses.replace(base, backbone=backbone))]


def meld() -> list[Experiment]:
    """The backbones that work on one stream, on MELD's text alone, without and with LMAM.

    MELD's sound is eight measures per utterance, which tell little beside the text (`data/probes.csv`). MM-DFN,
    M2FNet and EmoCaps relate modalities to each other: with one there is nothing of theirs to compare.
    """
    base = Experiment(dataset="meld", modalities=("text",), protocol="protocol1")
    names = ("text_cnn", "bc_lstm", "dialogue_gcn", "dialogue_rnn")
    return [arm for name in names for arm in _pair(dataclasses.replace(base, backbone=name))]


def faithful(*backbones: str) -> Callable[[], list[Experiment]]:
    """What it is worth that recurrences of the originals run over padding."""
    bases = [dataclasses.replace(base, fusion="concat", faithful=True) for base in (MOSI, IEMOCAP)]
    return lambda: [dataclasses.replace(base, backbone=name) for base in bases for name in backbones]


def _pair(base: Experiment) -> list[Experiment]:
    return [dataclasses.replace(base, fusion="concat"), dataclasses.replace(base, embedding=starred(base.backbone))]


def _bc_lstm_arms(base: Experiment) -> list[Experiment]:
    return [
        dataclasses.replace(base, fusion="concat"),
        dataclasses.replace(base, fusion="concat", embedding="late"),
        dataclasses.replace(base, fusion="concat", backbone="bc_lstm_att"),
        dataclasses.replace(base, embedding="early"),
        dataclasses.replace(base, embedding="early_residual"),
        dataclasses.replace(base, embedding="late"),
        dataclasses.replace(base, embedding="late", variant="released"),
        dataclasses.replace(base, embedding="late", readings="keys=others"),
    ]


def fusions(backbone: str, *bases: Experiment) -> Callable[[], list[Experiment]]:
    """Every fusion method in the place where a backbone's modalities meet late, so that all see the same contexts.

    LoRA is concatenation there, in a frozen model; its runs behind bc-LSTM's own concatenation, which is early, are in
    the store from before and in no plan. LMAM in its paper variant and, for bc-LSTM, what `bc_lstm` and `bc_lstm_clean`
    have already, are left out, and the second paper's LMCM, which has a plan of its own.
    """
    elsewhere = {"lmam", *LMCM} | ({"concat"} if backbone == "bc_lstm" else set())
    variants = ("algorithm1",) if backbone == "bc_lstm" else ("algorithm1", "released")

    def arms() -> list[Experiment]:
        experiments = []
        for base in bases:
            base = dataclasses.replace(base, backbone=backbone, embedding="late")
            experiments += [dataclasses.replace(base, fusion=name) for name in methods() if name not in elsewhere]
            experiments += [dataclasses.replace(base, variant=variant) for variant in variants]
        return experiments

    return arms


def fusions_patient() -> list[Experiment]:
    """The fusion methods by products, concatenation and LMAM behind bc-LSTM on IEMOCAP, with three times the patience.

    A model begins by giving nearly all utterances one class. An epoch there has three updates, and runs of these four
    methods, in tuning and in measuring, were stopped after ten epochs at that score while their loss still fell.
    """
    base = dataclasses.replace(IEMOCAP, embedding="late", epochs=100, patience=30)
    names = ("concat", "tfn", "lmf", "dual_lmf", "att_lmf", "lmam")
    return [dataclasses.replace(base, fusion=name) for name in names]


def ways() -> list[Experiment]:
    """LMAM in the ways of Table XI's backbones that are not in `STARRED`; bc-LSTM's are in `bc_lstm`."""
    return [
        dataclasses.replace(base, backbone=name, embedding=way)
        for name in ("mm_dfn", "m2fnet", "emocaps")
        for base in (MOSI, IEMOCAP)
        for way in ("early", "late")
    ]


WIDENED = {
    "bc_lstm": {"mosi": 164, "iemocap": 140},
    "mm_dfn": {"mosi": 109, "iemocap": 108},
    "m2fnet": {"mosi": 636, "iemocap": 647},
    "emocaps": {"mosi": 1770, "iemocap": 1793},
}
"""The widths that `widen.matching` finds for Table V's backbones; written down, as finding them needs the data."""


def equal(*backbones: str) -> Callable[[], list[Experiment]]:
    """Table V: backbones without LMAM, widened until they have as many parameters as with it."""
    return lambda: [
        dataclasses.replace(base, backbone=name, fusion="concat", width=WIDENED[name][base.dataset])
        for name in backbones
        for base in (MOSI, IEMOCAP)
    ]


RANKS = (1, 5, 15, 30, 45, 55, 65, 100, 200)
"""The ranks of Fig. 5's range and beyond, up to the contexts' width. The paper's text has training unstable from above
45, the figure's caption from above 55."""


def ranks() -> list[Experiment]:
    """Fig. 5: LMAM behind bc-LSTM at every rank, and with the weight that the factors stand for."""
    late = [dataclasses.replace(base, embedding="late") for base in (MOSI, IEMOCAP)]
    factored = [dataclasses.replace(base, rank=rank) for base in late for rank in RANKS]
    return factored + [dataclasses.replace(base, readings="weight=full") for base in late]


SUBSETS = {
    "mosi": (("text",), ("audio",), ("video",), ("text", "video"), ("audio", "video")),
    "iemocap": (("text",), ("audio",)),
}
"""The subsets of modalities that `bc_lstm` and `bc_lstm_clean` do not have."""
SHUFFLED = {"mosi": ("audio", "video", "audio+video"), "iemocap": ("audio",)}


def modalities() -> list[Experiment]:
    """Table X: bc-LSTM without and with LMAM on every subset of modalities, and on all with some of them shuffled.

    From two modalities on also with late LMAM's encoders but no LMAM, so that a gain is the fusion's alone, and with
    modalities that match each other instead of themselves. With one modality both are what is there already.
    """
    bases = []
    for base in (MOSI, IEMOCAP):
        bases += [dataclasses.replace(base, modalities=subset) for subset in SUBSETS[base.dataset]]
        bases += [dataclasses.replace(base, shuffled=shuffled) for shuffled in SHUFFLED[base.dataset]]
    arms = [arm for base in bases for arm in _pair(base)]
    for base in (base for base in bases if len(base.modalities) > 1):
        late = dataclasses.replace(base, embedding="late")
        arms += [dataclasses.replace(late, fusion="concat"), dataclasses.replace(late, readings="keys=others")]
    return arms


def lmcm() -> list[Experiment]:
    """Text alone, both modalities concatenated, with LMAM, with LMCM whole and without one part each.

    On MOSI the modalities are LMCM's text and video; on IEMOCAP, whose video cannot be had, audio takes its place. LMCM
    on text alone, and with the second modality shuffled, say how much of its gain needs that modality: LMCM reads the
    conversation, which the concatenation behind the same classifier does not.
    """
    arms = []
    for base, other in ((dataclasses.replace(MOSI, modalities=("text", "video")), "video"), (IEMOCAP, "audio")):
        base = dataclasses.replace(base, backbone="utterance")
        text = dataclasses.replace(base, modalities=("text",))
        arms.append(dataclasses.replace(text, fusion="concat"))
        arms += [dataclasses.replace(base, fusion=name) for name in ("concat", "lmam", *LMCM)]
        arms.append(dataclasses.replace(text, fusion="lmcm"))
        arms.append(dataclasses.replace(base, fusion="lmcm", shuffled=other))
    return arms
