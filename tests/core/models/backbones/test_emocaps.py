"""EmoCaps: sizes, Emoformer, capsule and context model against their formulas, padding, modalities, speakers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from lmam_core.batch import Turns
from lmam_core.models.backbones.emocaps import EmoCaps, Emoformer
from lmam_core.models.layers.transformer import Places
from tests.core.models.backbones.cases import WIDTHS, streams, turns

SMALL = {"width": 12, "heads": 3, "ffn": 10, "vector": 4, "hidden": 6}


def model(widths: dict[str, int] = WIDTHS, **options: float) -> EmoCaps:
    torch.manual_seed(0)
    return EmoCaps(widths, **{**SMALL, **options}).double().eval()


def whole(widths: dict[str, int] = WIDTHS) -> torch.nn.ModuleList:
    """The backbone and its classifier of the capsule."""
    made = model(widths)
    return torch.nn.ModuleList([made, made.classifier(sum(made.d_out.values()), 3)]).double().eval()


def classify(made: torch.nn.ModuleList, given: dict[str, Tensor], who: Turns) -> Tensor:
    return made[1](torch.cat(list(made[0](given, who).values()), -1), who)


def emoform(made: Emoformer, x: Tensor) -> Tensor:
    """An Emoformer with one encoder, on one conversation (n, d), formula by formula."""
    u = x @ made.input.weight.T + made.input.bias
    (encoder,) = made.encoders
    a, d = encoder.attention, u.shape[1] // encoder.attention.heads
    q, k = u @ a.query.weight.T + a.query.bias, u @ a.key.weight.T
    v = u @ a.value.weight.T + a.value.bias
    parts = [slice(h * d, (h + 1) * d) for h in range(a.heads)]
    h = torch.cat([torch.softmax(q[:, p] @ k[:, p].T / d**0.5, -1) @ v[:, p] for p in parts], -1)
    h = layer_norm(u + h @ a.output.weight.T + a.output.bias, u.shape[1:], encoder.norm1.weight, encoder.norm1.bias)
    inner = (h @ encoder.ffn[0].weight.T + encoder.ffn[0].bias).clamp(min=0)
    h = h + inner @ encoder.ffn[2].weight.T + encoder.ffn[2].bias
    h = u + layer_norm(h, u.shape[1:], encoder.norm2.weight, encoder.norm2.bias)
    *hidden, last = made.mapping[::2]
    for layer in hidden:
        h = (h @ layer.weight.T + layer.bias).clamp(min=0)
    return h @ last.weight.T + last.bias


@pytest.mark.parametrize(
    ("widths", "options", "expected"),
    [
        ({"text": 100, "audio": 100, "video": 512}, {}, 12_721_274),
        ({"text": 100, "audio": 100, "video": 512}, {"ffn": 1706}, 12_739_724),
        ({"text": 384, "audio": 47}, {}, 8_826_994),
        ({"video": 512}, {}, 4_583_658),
    ],
)
def test_parameters(widths: dict[str, int], options: dict[str, int], expected: int) -> None:
    made = EmoCaps(widths, **options)
    head = made.classifier(sum(made.d_out.values()), 6)
    assert sum(p.numel() for part in (made, head) for p in part.parameters()) == expected


def test_the_context_model_has_the_size_of_the_authors_software() -> None:
    head = EmoCaps({"text": 10}).classifier(456, 6)  # 2 BiLSTM layers of 100, Linear 100, Linear 6
    layers = 2 * 400 * (456 + 100 + 2) + 2 * 400 * (200 + 100 + 2)
    assert sum(p.numel() for p in head.parameters()) == layers + 200 * 100 + 100 + 100 * 6 + 6 == 708_706


def test_the_emoformer_equals_its_formula_in_every_conversation() -> None:
    torch.manual_seed(0)
    made, who = Emoformer(7, 12, 3, 10, 1, 5, 4, dropout=0.5).double().eval(), turns(5, 1, 3)
    places, x = Places.of(who), streams(who)["text"]
    assert len(made.mapping) == 9
    got = places.pad(made(places.pack(x), places))
    for b, n in enumerate(who.lengths.tolist()):
        torch.testing.assert_close(got[b, :n], emoform(made, x[b, :n]))
        assert (got[b, n:] == 0).all()


def test_the_capsule_is_the_emotion_vectors_and_the_sentence_vector() -> None:
    made, who = model(), turns(5, 3)
    given, places = streams(who), Places.of(who)
    capsule = torch.cat(list(made(given, who).values()), -1)
    text, audio, video = (places.pad(made.emoformers[m](places.pack(x), places)) for m, x in given.items())
    torch.testing.assert_close(capsule, torch.cat([text, given["text"], audio, video], -1))
    assert made.d_out == {"text": 4 + 7, "audio": 4, "video": 4}


def test_the_context_model_is_a_bilstm_over_each_conversation() -> None:
    head, who = whole()[1], turns(5, 2)
    x = torch.randn(2, 5, 19, dtype=torch.float64)
    got = head(x, who)
    first, last = head.output[0], head.output[-1]
    for b, n in enumerate(who.lengths.tolist()):
        h, _ = head.context.rnn(x[b : b + 1, :n])
        expected = (h @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
        torch.testing.assert_close(got[b, :n], expected[0])


def test_the_emoformer_knows_no_order_and_the_context_model_does() -> None:
    made, who, order = whole(), turns(5), torch.tensor([3, 0, 4, 1, 2])
    given = streams(who)
    mixed = {m: x[:, order] for m, x in given.items()}
    for m, x in made[0](given, who).items():
        torch.testing.assert_close(made[0](mixed, who)[m], x[:, order])
    assert not torch.allclose(classify(made, mixed, who), classify(made, given, who)[:, order])


@pytest.mark.parametrize("names", [("text",), ("audio",), ("audio", "video"), ("text", "video"), ("nonverbal",)])
def test_any_modalities_do(names: tuple[str, ...]) -> None:
    widths = {m: WIDTHS.get(m, 3) for m in names}
    made, who = whole(widths), turns(1)
    out = made[0](streams(who, widths=widths), who)
    expected = {m: 4 + 7 * (m == "text") for m in names}  # no text, no sentence vector
    assert {m: x.shape[-1] for m, x in out.items()} == made[0].d_out == expected
    assert classify(made, streams(who, widths=widths), who).shape == (1, 1, 3)
