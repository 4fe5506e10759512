"""A reader's model as a backbone: what does not fit is told in a sentence, and an edited model has another name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmam_core.data.dataset import Dataset
from lmam_core.data.synthetic import generate
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import EMBEDDINGS, embed
from lmam_core.models.fusion import build
from lmam_core.runs.own_backbone import register_own
from tests.planted import GAIN, Graph


@pytest.fixture(autouse=True)
def _register() -> Iterator[None]:
    with mock.patch.dict(BACKBONES):
        yield


@pytest.fixture(scope="module")
def data() -> Dataset:
    return generate(GAIN)


class Net(nn.Module):
    """A layer for each utterance and the mean of its conversation, with dropout; `edited` changes one thing."""

    def __init__(self, width: int, outputs: int, edited: str = "") -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(width, 8), nn.Linear(8, outputs)
        self.drop, self.edited = nn.Dropout(0.2 if edited == "dropout" else 0.1), edited

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.drop(self.enter(x)) * mask[..., None]
        mean = h.sum(1, keepdim=True) / mask.sum(1)[:, None, None]
        scale = 1.01 if self.edited == "forward" or (self.edited == "in use" and not self.training) else 1.0
        return self.leave(torch.relu(scale * h + mean))


def edited(how: str) -> Callable[[int, int], nn.Module]:
    def make(width: int, outputs: int) -> nn.Module:
        return Net(width, outputs, how)

    return make


def test_an_edited_model_has_another_name_and_the_same_one_keeps_its(data: Dataset) -> None:
    names = [register_own(edited(how), data, "early") for how in ("", "forward", "dropout", "in use")]
    assert len(set(names)) == 4
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert register_own(edited(""), data, "early") == names[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert register_own(edited(""), data, "late", 6) != register_own(edited(""), data, "late", 7)
    assert all(name.startswith("make-") for name in names)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_in_every_way_of_embedding_all_of_it_learns(data: Dataset, embedding: str) -> None:
    made = BACKBONES[register_own(Graph, data, "late" if embedding == "late" else "early")]
    model = embed(data.widths, data.outputs, made, lambda w: build("lmam", w, rank=3), embedding, seed=0)
    batch = next(data.batches("train", 4))
    out = model(batch)
    assert out.shape == (*batch.mask.shape, data.outputs)
    out.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert sum(isinstance(m, Graph) for m in model.modules()) == (2 if embedding == "late" else 1)


def wrong(build_it: Callable[[int, int], nn.Module], forward: Callable[..., object]) -> Callable[[int, int], nn.Module]:
    class Wrong(nn.Module):
        def __init__(self, width: int, outputs: int) -> None:
            super().__init__()
            self.net = build_it(width, outputs)

    Wrong.forward = forward
    return Wrong


def linear(width: int, outputs: int) -> nn.Module:
    return nn.Linear(width, outputs)


def gru(width: int, outputs: int) -> nn.Module:
    return nn.GRU(width, outputs, batch_first=True, bidirectional=True)


def random_start(width: int, outputs: int) -> nn.Module:
    net = nn.Linear(width, outputs)
    nn.init.constant_(net.weight, float(np.random.default_rng().random()))
    return net


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (nn.Linear(2, 2), "not as the Linear itself"),
        (3, "not as the int itself"),
        (lambda width: nn.Linear(width, 4), r"must be called as lambda\(width, outputs\)"),
        (lambda width, outputs: outputs, r"must return an nn.Module; got int"),
        (linear, r"must take x and mask, forward\(x, mask\)"),
        (
            wrong(linear, lambda self, x, mask: self.net(x).mean(1)),
            r"\(B, L, outputs\) = \(3, \d+, 4\); it gives \(3, 4\)",
        ),
        (wrong(gru, lambda self, x, mask: self.net(x)), "it gives a tuple"),
        (wrong(lambda w, o: nn.Identity(), lambda self, x, mask: x[..., :4]), "has no parameters to train"),
        (
            wrong(gru, lambda self, x, mask: self.net(x)[0][..., 2:6]),
            r"of \d+ utterances another output when a longer one",
        ),
        (wrong(linear, lambda self, x, mask: self.net(x - x.mean(0))), "another output when a longer one"),
        (wrong(linear, lambda self, x, mask: self.net(x) / mask[..., None]), None),
        (wrong(random_start, lambda self, x, mask: self.net(x)), "another model each time it is made"),
    ],
)
def test_what_does_not_fit_is_told(data: Dataset, make: object, sentence: str | None) -> None:
    if sentence is None:  # what a model puts where no utterance stands is nobody's business, infinity included
        register_own(make, data, "early")
        return
    with pytest.raises(LmamError, match=sentence):
        register_own(make, data, "early")
    assert not [name for name, of in BACKBONES.items() if of.__module__.endswith("own_backbone")]


def test_a_failure_within_the_model_is_shown_as_it_is(data: Dataset) -> None:
    with pytest.raises(ZeroDivisionError):
        register_own(wrong(linear, lambda self, x, mask: 1 / 0), data, "early")


def test_a_transformers_encoder_keeps_padding_out(data: Dataset) -> None:
    from lmam_core.features.encoders.torchvision_fix import prepare_torchvision

    prepare_torchvision()
    from transformers import BertConfig, BertModel

    class Encoder(nn.Module):
        def __init__(self, width: int, outputs: int) -> None:
            super().__init__()
            size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
            self.enter, self.leave = nn.Linear(width, 16), nn.Linear(16, outputs)
            self.bert = BertModel(BertConfig(vocab_size=1, **size), add_pooling_layer=False)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.leave(self.bert(inputs_embeds=self.enter(x), attention_mask=mask.long()).last_hidden_state)

    assert register_own(Encoder, data, "early") == register_own(Encoder, data, "early")
