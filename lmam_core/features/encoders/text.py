"""Transformers' text encoders, one vector for each utterance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from lmam_core.errors import LmamError
from lmam_core.features.encoders.loading import checked, loading, pretrained
from lmam_core.features.registry import Extractor
from lmam_core.features.weights import Weights

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

LONGEST = 512
"""Tokens of an utterance that are read, the two special ones included; the rest is cut off."""
BATCH = 32


class TextOutput(Protocol):
    """What a text model gives for (B, T) tokens."""

    last_hidden_state: Tensor
    pooler_output: Tensor


def pool(output: TextOutput, mask: Tensor, take: str, width: int) -> Tensor:
    """One vector for each text, (B, width), from a model's output over (B, T) tokens.

    `cls`: the first token's; `pooled`: the model's own pooled output; `mean`: the mean over real tokens; `unit`: that
    mean scaled to length 1. The first `width` numbers of it are kept.
    """
    if take == "pooled":
        return output.pooler_output[:, :width]
    states = output.last_hidden_state  # (B, T, d)
    if take == "cls":
        return states[:, 0, :width]
    keep = mask[..., None].to(states.dtype)  # (B, T, 1)
    mean = (states * keep).sum(1) / keep.sum(1)  # (B, d)
    return torch.nn.functional.normalize(mean, dim=-1) if take == "unit" else mean[:, :width]


def load(
    extractor: Extractor, weights: Weights, device: str = "cpu"
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Tokenizer and model; from a local folder and its safetensors alone, or tiny and random.

    Raises LmamError where the folder holds no such model, or one of another width.
    """
    tokenizer: PreTrainedTokenizerBase
    if weights.path is None:
        from lmam_core.features.encoders import tiny

        tokenizer, model = tiny.text(extractor)
    else:
        from transformers import AutoModel, AutoTokenizer

        with loading(extractor, weights.path):
            tokenizer = AutoTokenizer.from_pretrained(weights.path, local_files_only=True, trust_remote_code=False)
            tokenizer.pad(tokenizer(["a", "a b"], truncation=True, max_length=min(LONGEST, tokenizer.model_max_length)))
            model = pretrained(extractor, AutoModel, weights.path)
    width = model.config.hidden_size
    if width < extractor.width or (width != extractor.width and extractor.take != "cls"):
        raise LmamError(f"{weights.path} is {width} wide; {extractor.name} is {extractor.width} wide.")
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    if len(tokenizer) > (rows := embeddings.num_embeddings):
        raise LmamError(
            f"{weights.path} does not hold a model for {extractor.name}: its tokenizer knows {len(tokenizer):,} tokens "
            f"and its model {rows:,}."
        )
    return tokenizer, model.eval().to(device)


def encoder(
    extractor: Extractor, weights: Weights, device: str = "cpu"
) -> Callable[[Sequence[str], int | None], Iterator[tuple[int, np.ndarray]]]:
    """The function from texts to (index, row), longest first.

    All Unicode is taken; what a vocabulary lacks (with BERT, emoji) becomes its token for the unknown. Texts of
    similar length share a batch, so that little is spent on padding; a row does not depend on its batch beyond
    rounding.
    """
    tokenizer, model = load(extractor, weights, checked(device))
    longest = min(LONGEST, tokenizer.model_max_length, _positions(model.config))

    @torch.inference_mode()
    def encode(texts: Sequence[str], batch_size: int | None) -> Iterator[tuple[int, np.ndarray]]:
        size = batch_size or BATCH
        ids = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = tokenizer.pad({"input_ids": [ids[i] for i in places]}, return_tensors="pt").to(device)
            output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            rows = pool(output, batch["attention_mask"], extractor.take, extractor.width)
            yield from zip(places, rows.float().cpu().numpy(), strict=True)

    return encode


def _positions(config: PretrainedConfig) -> int:
    """How many tokens a model has positions for; RoBERTa counts from its padding token's number on."""
    return config.max_position_embeddings - (config.pad_token_id + 1 if "roberta" in config.model_type else 0)
