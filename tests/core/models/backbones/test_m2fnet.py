"""M2FNet: sizes, attention, encoder and fusion against their formulas, order, padding, modalities, speakers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lmam_core.models.backbones.m2fnet import FusionAttention, M2FNet
from lmam_core.models.layers.transformer import Attention, Encoder, Places
from tests.core.models.backbones.cases import WIDTHS, streams, turns

SMALL = {"width": 12, "heads": 3, "ffn": 10, "encoders": 2, "fusions": 2}


def model(widths: dict[str, int] = WIDTHS, **options: float) -> M2FNet:
    torch.manual_seed(0)
    return M2FNet(widths, **{**SMALL, **options}).double().eval()


def attend(layer: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention within one conversation, query by query."""
    q = query @ layer.query.weight.T + layer.query.bias
    k, v = key @ layer.key.weight.T, value @ layer.value.weight.T + layer.value.bias
    d = q.shape[1] // layer.heads
    rows = []
    for t in range(len(q)):
        heads = []
        for h in range(layer.heads):
            part = slice(h * d, (h + 1) * d)
            scores = torch.stack([q[t, part] @ k[s, part] / d**0.5 for s in range(len(k))])
            heads.append(sum(a * v[s, part] for s, a in enumerate(torch.softmax(scores, 0))))
        rows.append(layer.output.weight @ torch.cat(heads) + layer.output.bias)
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("widths", "options", "expected"),
    [
        ({"text": 100, "audio": 100, "video": 512}, {}, 8_474_056),
        ({"text": 100, "audio": 100, "video": 512}, {"encoders": 1}, 3_647_656),
        ({"text": 384, "audio": 47}, {}, 5_373_656),
        ({"text": 100}, {}, 2_062_256),
    ],
)
def test_parameters(widths: dict[str, int], options: dict[str, int], expected: int) -> None:
    made = M2FNet(widths, **options)
    head = made.classifier(sum(made.d_out.values()), 6)
    assert sum(p.numel() for part in (made, head) for p in part.parameters()) == expected


def test_places_carry_utterances_there_and_back() -> None:
    who = turns(3, 0, 2, pad=1)
    places, x = Places.of(who), streams(who)["text"]
    packed = places.pack(x)
    assert torch.equal(packed, torch.cat([x[0, :3], x[2, :2]]))
    assert torch.equal(places.pad(packed), x)


def test_attention_equals_its_formula_in_every_conversation() -> None:
    torch.manual_seed(0)
    layer, who = Attention(12, 3).double(), turns(5, 1, 3)
    places = Places.of(who)
    q, k, v = streams(who, widths={"q": 12, "k": 12, "v": 12}).values()
    got = places.pad(layer(places.pack(q), places.pack(k), places.pack(v), places))
    for b, n in enumerate(who.lengths.tolist()):
        torch.testing.assert_close(got[b, :n], attend(layer, q[b, :n], k[b, :n], v[b, :n]))
        assert (got[b, n:] == 0).all()


def test_the_encoder_is_the_transformers() -> None:
    torch.manual_seed(0)
    ours, who = Encoder(12, 3, 10, dropout=0.4).double().eval(), turns(5, 1, 3)
    theirs = nn.TransformerEncoderLayer(12, 3, 10, dropout=0.4, batch_first=True).double().eval()
    a = ours.attention
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([a.query.weight, a.key.weight, a.value.weight]),
            "self_attn.in_proj_bias": torch.cat([a.query.bias, torch.zeros_like(a.query.bias), a.value.bias]),
            "self_attn.out_proj.weight": a.output.weight,
            "self_attn.out_proj.bias": a.output.bias,
            "linear1.weight": ours.ffn[0].weight,
            "linear1.bias": ours.ffn[0].bias,
            "linear2.weight": ours.ffn[2].weight,
            "linear2.bias": ours.ffn[2].bias,
            **{
                f"{norm}.{p}": getattr(getattr(ours, norm), p)
                for norm in ("norm1", "norm2")
                for p in ("weight", "bias")
            },
        }
    )
    places, (x,) = Places.of(who), streams(who, widths={"x": 12}).values()
    got = places.pad(ours(places.pack(x), places))
    for b, n in enumerate(who.lengths.tolist()):
        torch.testing.assert_close(got[b, :n], theirs(x[b : b + 1, :n])[0])


def test_fusion_attends_text_by_the_keys_of_the_others() -> None:
    torch.manual_seed(0)
    layer, who = FusionAttention(2, 12, 3, dropout=0.4).double().eval(), turns(4, 2)
    places, given = Places.of(who), streams(who, widths={"text": 12, "audio": 12, "video": 12})
    text, audio, video = given.values()
    got = places.pad(layer(places.pack(text), [places.pack(audio), places.pack(video)], places))
    for b, n in enumerate(who.lengths.tolist()):
        t, a, v = text[b, :n], audio[b, :n], video[b, :n]
        joined = torch.cat([t, attend(layer.attention[0], t, a, t), attend(layer.attention[1], t, v, t)], -1)
        torch.testing.assert_close(got[b, :n], joined @ layer.output.weight.T + layer.output.bias)


def test_the_parts_make_the_model() -> None:
    made, who = model(), turns(5, 3)
    given, places = streams(who), Places.of(who)
    h = {}
    for m, x in given.items():
        h[m] = made.input[m](places.pack(x))
        for encoder in made.encoders[m]:
            h[m] = h[m] + encoder(h[m], places)  # the skip around each encoder
    text = h["text"]
    for fusion in made.fusions:
        text = fusion(text, [h["audio"], h["video"]], places)
    got = made(given, who)
    for m, expected in {**h, "text": text}.items():
        torch.testing.assert_close(got[m], places.pad(expected))
    assert len(made.fusions) == 2
    assert len(made.encoders["audio"]) == 2


def test_no_position_is_known() -> None:
    made, who = model(), turns(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    mixed = made({m: x[:, order] for m, x in streams(who).items()}, who)
    for m, x in made(streams(who), who).items():
        torch.testing.assert_close(mixed[m], x[:, order])


def test_an_utterance_reaches_its_whole_conversation_and_no_other() -> None:
    made, who = model(), turns(5, 4)
    one, other = streams(who), streams(who)
    other["audio"][0, 2] += 1
    changed = (made(one, who)["text"] - made(other, who)["text"]).abs().amax(-1) > 1e-9
    assert changed[0].all()
    assert not changed[1].any()


@pytest.mark.parametrize(
    ("names", "text", "fusions"),
    [
        (("text",), "text", 0),
        (("audio",), "audio", 0),
        (("audio", "video"), "audio", 2),
        (("text", "video"), "text", 2),
        (("text", "audio", "video", "nonverbal"), "text", 2),
    ],
)
def test_any_modalities_do_and_the_first_stands_for_text(names: tuple[str, ...], text: str, fusions: int) -> None:
    widths = {m: WIDTHS.get(m, 4) for m in names}
    made, who = model(widths), turns(4, 1)
    given = streams(who, widths=widths)
    out, places = made(given, who), Places.of(who)
    assert {m: x.shape for m, x in out.items()} == {m: (2, 4, 12) for m in names}
    assert made.d_out == {m: 12 for m in names}
    assert len(made.fusions) == fusions
    for m, x in given.items():
        h = made.input[m](places.pack(x))
        for encoder in made.encoders[m]:
            h = h + encoder(h, places)
        # Only what stands for text goes through the fusion modules.
        assert torch.allclose(out[m], places.pad(h)) == (m != text or not fusions)


def test_one_utterance_attends_to_itself_alone() -> None:
    torch.manual_seed(0)
    layer, places = Attention(12, 3).double(), Places.of(turns(1))
    x = torch.randn(1, 12, dtype=torch.float64)
    torch.testing.assert_close(layer(x, x, x, places), layer.output(layer.value(x)))
