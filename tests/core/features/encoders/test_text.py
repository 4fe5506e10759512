"""Text encoders against a plain loop over transformers, and each way of pooling against its words."""

import numpy as np
import pytest
import torch

from lmam_core.features.encoders import tiny
from lmam_core.features.encoders.text import load, pool
from lmam_core.features.extract import EXTRACTORS, extract
from lmam_core.features.weights import Weights

TEXTS = ["one", "a rather longer sentence about nothing", "two words", "😀 привет", "x " * 40]


@pytest.mark.parametrize("name", [n for n, e in EXTRACTORS.items() if e.modality == "text"])
def test_rows_are_those_of_a_plain_loop(name):
    entry = EXTRACTORS[name]
    tokenizer, model = load(entry, Weights("", None, ""))
    expected = []
    for text in TEXTS:  # one at a time: no padding, no mask
        with torch.no_grad():
            output = model(**tokenizer(text, return_tensors="pt"))
        tokens = output.last_hidden_state[0].numpy()
        row = {
            "cls": lambda tokens=tokens: tokens[0],
            "mean": lambda tokens=tokens: tokens.mean(0),
            "unit": lambda tokens=tokens: tokens.mean(0) / np.linalg.norm(tokens.mean(0)),
            "pooled": lambda output=output: output.pooler_output[0].numpy(),
        }[entry.take]()
        expected.append(row[: entry.width])
    found = extract(name, TEXTS, weights="random", cache=None, progress=False, batch_size=2)
    np.testing.assert_allclose(found.values, expected, atol=2e-5, rtol=1e-4)


def test_padding_stays_out_of_the_mean():
    class Output:
        last_hidden_state = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])

    mask = torch.tensor([[1, 1, 0]])
    assert pool(Output, mask, "mean", 2).tolist() == [[2.0, 3.0]]
    assert pool(Output, mask, "cls", 1).tolist() == [[1.0]]
    np.testing.assert_allclose(pool(Output, mask, "unit", 2), [[2 / 13**0.5, 3 / 13**0.5]], rtol=1e-6)


def test_batches_are_sorted_by_length(monkeypatch):
    from lmam_core.features.encoders import text

    seen, real = [], text.load

    def spied(*given):
        tokenizer, model = real(*given)
        model.register_forward_pre_hook(lambda m, a, k: seen.append(tuple(k["input_ids"].shape)), with_kwargs=True)
        return tokenizer, model

    monkeypatch.setattr(text, "load", spied)
    texts = ["word " * n for n in (1, 30, 2, 29)]
    extract("minilm384", texts, weights="random", cache=None, progress=False, batch_size=2)
    assert [shape[0] for shape in seen] == [2, 2]
    assert seen[0][1] > 5 * seen[1][1]


def test_what_is_too_long_is_cut():
    texts = ["word " * 600, "word " * 5000]
    first, second = extract("bert100", texts, weights="random", cache=None, progress=False).values
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("text", ["😀", "これはペンです", "مرحبا", "\u200d\u0000"])
def test_the_tiny_tokenizer_knows_every_sign(text):
    tokenizer = tiny.tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_a_model_with_few_positions_cuts_sooner(family, tmp_path):
    import transformers

    from lmam_core.features.weights import find

    words = tiny.tokenizer()
    sizes = {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(words), max_position_embeddings=40, pad_token_id=words.pad_token_id, **sizes
    )
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    assert find(EXTRACTORS["minilm384"], tmp_path).path == tmp_path
    found = extract("minilm384", ["word " * 200, "word " * 300], weights=tmp_path, cache=None, progress=False)
    np.testing.assert_allclose(*found.values, atol=1e-5)
