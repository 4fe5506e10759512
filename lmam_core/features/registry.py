"""Which extractors there are: one entry each."""

from __future__ import annotations

from dataclasses import dataclass

from lmam_core.errors import unknown


@dataclass(frozen=True)
class Extractor:
    """One entry of `EXTRACTORS`: what goes in, what comes out, and where its numbers come from.

    `model` is a hub repository, an openSMILE set or our own network or measures, and `take` which outputs are used.
    `weights` is `hub` (a trained checkpoint), `layer` (drawn from seed 0 unless a file is given: a projection, not
    trained) or `none` (nothing to load). `about` is one sentence: model, layer, pooling, units; `paper` says who names
    these features: the papers, or the released code.
    """

    name: str
    modality: str
    width: int
    model: str
    take: str
    weights: str
    about: str
    paper: str = ""

    @property
    def opensmile(self) -> bool:
        """Whether openSMILE computes it, which is an extra of its own because of its licence."""
        return self.modality == "audio" and self.take != "ours"


_MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_BERT = "google-bert/bert-base-uncased"
_ROBERTA = "FacebookAI/roberta-base"
_DEBERTA = "microsoft/deberta-v3-base"
_CLIP = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
_OURS = "LMAM, Section III-B"

# fmt: off
_ALL = (
    Extractor("minilm384", "text", 384, _MINILM, "unit", "hub",
              "MiniLM-L6 sentence encoder, mean over the last layer's tokens, scaled to length 1."),
    Extractor("bert100", "text", 100, _BERT, "cls", "hub",
              "BERT base, the first 100 of the 768 numbers of [CLS] in the last layer, no unit.", _OURS),
    Extractor("bert768", "text", 768, _BERT, "pooled", "hub",
              "BERT base, the pooled output (a trained tanh layer over [CLS]), in -1..1."),
    Extractor("roberta768", "text", 768, _ROBERTA, "mean", "hub",
              "RoBERTa base, mean over the last layer's tokens, no unit."),
    Extractor("deberta768", "text", 768, _DEBERTA, "mean", "hub",
              "DeBERTa-V3 base, mean over the last layer's tokens, no unit.", "LMCM"),
    Extractor("acoustic96", "audio", 96, "NumPy and SciPy", "ours", "none",
              "Level, pitch, harmonicity, spectrum, MFCC 1 to 12: mean, deviation, 20 % and 80 % point; 4 of rhythm. "
              "Pitch in semitones above 27.5 Hz, levels in dB, times in s."),
    Extractor("opensmile100", "audio", 100, "IS12", "layer", "layer",
              "openSMILE IS12, sign(x) log(1 + |x|) of its 6,125 functionals, a linear layer to 100, no unit.", _OURS),
    Extractor("is12_6125", "audio", 6125, "IS12", "functionals", "none",
              "openSMILE IS12 speaker trait functionals, in openSMILE's units."),
    Extractor("is13_6373", "audio", 6373, "IS13", "functionals", "none",
              "openSMILE IS13 ComParE functionals, in openSMILE's units."),
    Extractor("is10_1582", "audio", 1582, "IS10", "functionals", "none",
              "openSMILE IS10 paralinguistic functionals, in openSMILE's units.", "released code"),
    Extractor("egemaps88", "audio", 88, "eGeMAPSv02", "functionals", "none",
              "openSMILE eGeMAPSv02 functionals: pitch in semitones above 27.5 Hz, times in s, levels in dB."),
    Extractor("cnn3d512", "video", 512, "our 3D-CNN", "layer", "layer",
              "16 frames through a small 3D-CNN, mean over space and time, a linear layer to 512, no unit.", _OURS),
    Extractor("clip512", "video", 512, _CLIP, "transformers", "hub",
              "8 frames through CLIP ViT-B/32 (transformers), mean of image embeddings of length 1.", "LMCM"),
    Extractor("open_clip512", "video", 512, _CLIP, "open_clip", "hub",
              "8 frames through CLIP ViT-B/32 (open_clip), mean of image embeddings of length 1.", "LMCM"),
)
# fmt: on
EXTRACTORS: dict[str, Extractor] = {entry.name: entry for entry in _ALL}
"""Every extractor by name; the first of text and of audio is the light default, that of video the paper's."""

OPENSMILE = "openSMILE, which is free for research, teaching and private use and not for commercial products"
"""What is said wherever openSMILE is asked for: audEERING's research licence in short."""


def extractor(name: str) -> Extractor:
    """The registry's entry; raises LmamError with the names that there are."""
    if name not in EXTRACTORS:
        raise unknown("There is no extractor", name, EXTRACTORS)
    return EXTRACTORS[name]
