"""Tiny encoders with random weights, so that every page runs without a download; right shapes, no meaning."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from lmam_core.features.encoders.torchvision_fix import prepare_torchvision
from lmam_core.features.registry import Extractor
from lmam_core.features.weights import SEED

if TYPE_CHECKING:
    from open_clip import CLIP
    from PIL.Image import Image
    from transformers import CLIPVisionModelWithProjection, PreTrainedModel, PreTrainedTokenizerFast

T = TypeVar("T")

prepare_torchvision()  # before transformers or open_clip import it

SIDE, PATCH = 64, 16
"""Pixels of a tiny vision encoder's image and of one of its patches."""


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer trained on the sample's own sentences: no text, emoji or script is unknown to it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from lmam_core.features.sample.sentences import SENTENCES

    special = ["[PAD]", "[CLS]", "[SEP]"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator((s for group in SENTENCES.values() for s in group), trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


def text(extractor: Extractor) -> tuple[PreTrainedTokenizerFast, PreTrainedModel]:
    """Tokenizer and a two-layer model of the extractor's own family and hidden width."""
    import transformers

    family = next((f for f in ("Roberta", "DebertaV2") if f[:5].lower() in extractor.model.lower()), "Bert")
    width = max(extractor.width, 384) if extractor.take == "unit" else 768
    words = tokenizer()
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=width,
        max_position_embeddings=514,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.cls_token_id,
        eos_token_id=words.sep_token_id,
    )
    return words, _seeded(lambda: getattr(transformers, f"{family}Model")(config))


def clip(width: int) -> CLIPVisionModelWithProjection:
    """CLIP's vision half in transformers, (B, 3, 64, 64) to (B, width)."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=width,
    )
    return _seeded(lambda: CLIPVisionModelWithProjection(config))


def open_clip_model(width: int) -> tuple[CLIP, Callable[[Image], Tensor]]:
    """A CLIP of open_clip's with its own transform, (B, 3, 64, 64) to (B, width)."""
    import open_clip

    vision = {"image_size": SIDE, "layers": 2, "width": 64, "head_width": 16, "patch_size": PATCH}
    words = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lmam-tiny.json"
        path.write_text(json.dumps({"embed_dim": width, "vision_cfg": vision, "text_cfg": words}))
        open_clip.add_model_config(path)
        return _seeded(lambda: open_clip.create_model_and_transforms("lmam-tiny", pretrained=None)[::2])


def _seeded(make: Callable[[], T]) -> T:
    """Whatever `make` draws, drawn from seed 0, while the caller's generator stays where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return make()
