"""Backbones and embedding ways: sizes, shared layers against their formulas, padding, order, speakers, bad input."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lmam_core.batch import Conversations
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import EMBEDDINGS, embed
from lmam_core.models.fusion import build
from lmam_core.models.layers.context import Classifier, MatchingSelfAttention
from tests.core.models.registered import backbones

WIDTHS = {"text": 7, "audio": 5, "video": 9}
FUSIONS = [
    ("concat", {}),
    ("lmam", {"rank": 3}),
    ("lmam", {"rank": 3, "keys": "others"}),
    ("lmam", {"variant": "released"}),
]
MODELS = [(backbone, *fusion) for backbone in backbones() for fusion in FUSIONS[: None if backbone == "bc_lstm" else 2]]
"""Every backbone with concatenation and with LMAM; one with each kind of LMAM."""


def batch(lengths: tuple[int, ...] = (6, 4, 1), pad: int = 0, fill: float = 0.0) -> Conversations:
    generator = torch.Generator().manual_seed(3)
    L = max(lengths) + pad
    mask = torch.arange(L)[None] < torch.tensor(lengths)[:, None]
    features = {}
    for m, d in WIDTHS.items():
        x = torch.randn(len(lengths), max(lengths), d, generator=generator, dtype=torch.float64)
        features[m] = torch.cat([x, x.new_full((len(lengths), pad, d), fill)], 1)
        features[m][~mask] = fill
    speaker = (torch.arange(L)[None] % 2).expand(len(lengths), L) * mask
    return Conversations(features, speaker, mask, torch.zeros(len(lengths), L, dtype=torch.long))


def model(backbone: str, fusion: str, options: dict, embedding: str, speakers: int = 2, faithful: bool = False):
    torch.manual_seed(0)
    asked = {"faithful": True} if faithful else {}
    made = embed(WIDTHS, 6, BACKBONES[backbone], lambda w: build(fusion, w, **options), embedding, speakers, **asked)
    return made.double().eval()


@pytest.mark.parametrize(("backbone", "fusion", "options"), MODELS)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_padding_and_order_change_nothing(backbone: str, fusion: str, options: dict, embedding: str) -> None:
    made = model(backbone, fusion, options, embedding)
    plain, padded = batch(), batch(pad=5, fill=50.0)
    out = made(plain)
    assert out.shape == (3, 6, 6)
    torch.testing.assert_close(made(padded)[:, :6][plain.mask], out[plain.mask], rtol=0, atol=1e-12)
    alone = Conversations(
        {m: x[1:2, :4] for m, x in plain.features.items()},
        plain.speaker[1:2, :4],
        plain.mask[1:2, :4],
        plain.label[1:2, :4],
    )
    torch.testing.assert_close(made(alone)[0], out[1, :4], rtol=0, atol=1e-12)
    order = torch.tensor([2, 0, 1])
    mixed = Conversations(
        {m: x[order] for m, x in plain.features.items()}, plain.speaker[order], plain.mask[order], plain.label[order]
    )
    torch.testing.assert_close(made(mixed)[mixed.mask], out[order][mixed.mask], rtol=0, atol=1e-12)


@pytest.mark.parametrize("backbone", backbones())
@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("lengths", [(1,), (3, 0, 4), (0, 0)], ids=str)
def test_odd_batches_have_finite_outputs_and_gradients(backbone: str, embedding: str, lengths: tuple) -> None:
    """One utterance, a conversation without utterances, nothing at all."""
    made = model(backbone, "lmam", {"rank": 3}, embedding)
    some = batch(lengths, pad=2)
    out = made(some)
    assert out.shape == (len(lengths), max(lengths) + 2, 6)
    assert torch.isfinite(out).all()
    out.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)
    plain = batch(lengths, pad=0) if max(lengths) else None
    if plain is not None:
        torch.testing.assert_close(made(plain)[plain.mask], out[some.mask], rtol=0, atol=1e-12)


@pytest.mark.parametrize("backbone", backbones())
@pytest.mark.parametrize("speakers", [1, 2, 9])
def test_one_to_nine_speakers(backbone: str, speakers: int) -> None:
    made = model(backbone, "concat", {}, BACKBONES[backbone].native, speakers=speakers)
    some = batch((12, 3))
    some = dataclasses.replace(some, speaker=(torch.arange(12)[None] % speakers).expand(2, 12) * some.mask)
    assert torch.isfinite(made(some)).all()


@pytest.mark.parametrize("backbone", backbones())
def test_who_speaks_matters_where_the_model_knows_speakers(backbone: str) -> None:
    """Who says the second utterance of a conversation; a model that knows parties answers differently."""
    made, some = model(backbone, "concat", {}, BACKBONES[backbone].native), batch((6, 4))
    other = some.speaker.clone()
    other[0, 1] = 1 - other[0, 1]
    change = (made(dataclasses.replace(some, speaker=other)) - made(some)).abs().amax((1, 2))
    assert (change[0] == 0) == (not BACKBONES[backbone].knows_speakers)
    assert change[1] == 0


@pytest.mark.parametrize("backbone", backbones())
@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("kept", [("text",), ("audio", "video")], ids="+".join)
def test_any_subset_of_modalities(backbone: str, embedding: str, kept: tuple[str, ...]) -> None:
    some = batch()
    some = dataclasses.replace(some, features={m: x for m, x in some.features.items() if m in kept})
    widths = {m: d for m, d in WIDTHS.items() if m in kept}
    made = embed(widths, 1, BACKBONES[backbone], lambda w: build("lmam", w, rank=3), embedding).double()
    made(some)[some.mask].mean().backward()
    assert all(p.grad is not None for p in made.parameters())


@pytest.mark.parametrize("backbone", [name for name in backbones() if BACKBONES[name].leak])
def test_faithful_lets_padding_in_and_changes_nothing_without_any(backbone: str) -> None:
    plain, faithful = (
        model(backbone, "concat", {}, BACKBONES[backbone].native, faithful=kind) for kind in (False, True)
    )
    # One speaker: a sequence of a party's utterances, which MM-DFN has, is then as long as the conversation.
    full, padded = (dataclasses.replace(b, speaker=b.speaker * 0) for b in (batch((6, 6)), batch((6, 6), pad=5)))
    torch.testing.assert_close(plain(full), faithful(full))
    assert (plain(padded)[:, :6] - faithful(padded)[:, :6]).abs().max() > 1e-6


@pytest.mark.parametrize("backbone", ["bc_lstm", "bc_lstm_att", "dialogue_gcn"])
def test_faithful_padding_is_zeros_as_in_the_originals(backbone: str) -> None:
    made = BACKBONES[backbone]({"text": 5}, faithful=True).double().eval()
    turns = batch((6, 3)).turns
    x = torch.randn(*turns.mask.shape, 5, dtype=torch.float64) * turns.mask[..., None]
    noisy = x + ~turns.mask[..., None]
    torch.testing.assert_close(made({"text": noisy}, turns)["text"], made({"text": x}, turns)["text"])


@pytest.mark.parametrize(("backbone", "fusion", "options"), MODELS)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_every_parameter_gets_a_gradient(backbone: str, fusion: str, options: dict, embedding: str) -> None:
    made = model(backbone, fusion, options, embedding).train()
    some = batch()
    torch.nn.functional.cross_entropy(made(some)[some.mask], torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4])).backward()
    for name, p in made.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("width", "outputs", "plain", "attention"),
    [(100, 6, 423_906, 464_106), (712, 6, 913_506, 953_706), (600, 7, 824_007, 864_207)],
)
def test_sizes_are_the_originals(width: int, outputs: int, plain: int, attention: int) -> None:
    for name, expected in (("bc_lstm", plain), ("bc_lstm_att", attention)):
        made = embed({"text": width}, outputs, BACKBONES[name], lambda w: build("concat", w), "early")
        assert sum(p.numel() for p in made.parameters()) == expected


def test_self_attention_equals_its_loop_over_time() -> None:
    torch.manual_seed(0)
    layer = MatchingSelfAttention(5).double()
    h = torch.randn(2, 4, 5, dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    got = layer(h, mask)
    for b, n in enumerate((4, 2)):
        for t in range(n):
            scores = torch.stack(
                [torch.tanh((layer.transform.weight @ h[b, t] + layer.transform.bias) @ h[b, s]) for s in range(n)]
            )
            torch.testing.assert_close(got[b, t], torch.softmax(scores, 0) @ h[b, :n])
    assert (got[1, 2:] == 0).all()


def test_the_classifier_is_two_linear_maps_with_relu() -> None:
    head, x, who = Classifier(18, 5, 6, 0.5).double().eval(), torch.randn(1, 3, 18, dtype=torch.float64), batch((3,))
    first, last = head[0], head[-1]
    expected = (x @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(head(x, who.turns), expected)


def test_context_reaches_both_ways() -> None:
    made = model("bc_lstm", "concat", {}, "early")
    one, other = batch(), batch()
    other.features["text"][0, 2] += 1
    changed = (made(one) - made(other))[0].abs().amax(-1)
    assert (changed[[0, 1, 2, 3, 4, 5]] > 0).all()


def test_early_residual_adds_the_concatenated_features() -> None:
    torch.manual_seed(0)
    made = model("bc_lstm", "lmam", {"rank": 3}, "early_residual")
    some = batch()
    for p in made.fusion.output.parameters():
        p.data.zero_()  # a fusion that adds nothing
    expected = made.classifier(
        made.backbone({"fused": torch.cat(list(some.features.values()), -1)}, some.turns)["fused"], some.turns
    )
    torch.testing.assert_close(made(some), expected)
    released = model("bc_lstm", "lmam", {"variant": "released"}, "early_residual")
    assert released.match.weight.shape == (21, 9)


def test_late_fusion_sees_contexts_and_early_fusion_features() -> None:
    some = batch()
    assert {m: x.shape[-1] for m, x in model("bc_lstm", "concat", {}, "early").fusion_inputs(some).items()} == WIDTHS
    late = model("bc_lstm", "concat", {}, "late").fusion_inputs(some)
    assert {x.shape[-1] for x in late.values()} == {200}


def test_bad_input_is_told_in_a_sentence() -> None:
    with pytest.raises(LmamError, match="no embedding way 'middle'"):
        model("bc_lstm", "concat", {}, "middle")
    made = model("bc_lstm", "concat", {}, "early")
    some = batch()
    some.features["audio"] = some.features["audio"][..., :4]
    with pytest.raises(LmamError, match="audio of width 5; the batch has width 4"):
        made(some)
    some = batch()
    with pytest.raises(LmamError, match="built for 2 speakers; the batch has a speaker 4"):
        made(dataclasses.replace(some, speaker=some.speaker + 3))
    del some.features["audio"]
    with pytest.raises(LmamError, match="lacks audio"):
        made(some)
    with pytest.raises(LmamError, match="no fusion method 'sum'"):
        build("sum", WIDTHS)
    with pytest.raises(LmamError, match="'concat' has no option 'rank'"):
        build("concat", WIDTHS, rank=3)
