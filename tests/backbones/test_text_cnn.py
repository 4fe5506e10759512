"""TextCNN: sizes, the convolution against its loop, reach, padding and order, speakers, streams, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lmam_core.backbones.text_cnn import TextCnn
from lmam_core.data.conversations import Turns

WIDTHS = {"text": 7, "audio": 5, "video": 9}


def turns(*lengths: int, pad: int = 0) -> Turns:
    mask = torch.arange(max(lengths) + pad)[None] < torch.tensor(lengths)[:, None]
    return Turns(torch.arange(mask.shape[1])[None] % 2 * mask, mask, torch.tensor(lengths))


def streams(who: Turns, fill: float = 0.0, widths: dict[str, int] = WIDTHS) -> dict[str, Tensor]:
    """Random features that an utterance keeps when padding, holding `fill`, is added."""
    generator = torch.Generator().manual_seed(1)
    B, L = who.mask.shape
    made = {m: torch.randn(B, 20, d, generator=generator, dtype=torch.float64)[:, :L] for m, d in widths.items()}
    return {m: x.masked_fill(~who.mask[..., None], fill) for m, x in made.items()}


def model(widths: dict[str, int] = WIDTHS, **options: float) -> TextCnn:
    torch.manual_seed(0)
    return TextCnn(widths, **{"filters": 6, **options}).double().eval()


@pytest.mark.parametrize(
    ("widths", "options", "expected"),
    [
        ({"text": 100, "audio": 100, "video": 512}, {}, 229_256),
        ({"text": 100, "audio": 100, "video": 512}, {"kernel": 1}, 86_856),
        ({"fused": 712}, {}, 219_056),
        ({"text": 384, "audio": 47}, {}, 139_856),
    ],
)
def test_parameters(widths: dict[str, int], options: dict[str, int], expected: int) -> None:
    made = TextCnn(widths, **options)
    head = made.classifier(sum(made.d_out.values()), 6)
    assert sum(p.numel() for part in (made, head) for p in part.parameters()) == expected


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_convolution_equals_its_loop(kernel: int) -> None:
    made, who = model(kernel=kernel), turns(6, 2, 1)
    given = streams(who)
    got = made(given, who)
    for m, x in given.items():
        conv = made.convolution[m]  # weight (filters, d, kernel)
        for b, n in enumerate(who.lengths.tolist()):
            for t in range(n):
                seen = [(k, t + k - kernel // 2) for k in range(kernel)]
                expected = conv.bias + sum(conv.weight[:, :, k] @ x[b, s] for k, s in seen if 0 <= s < n)
                torch.testing.assert_close(got[m][b, t], expected.clamp(min=0))
            assert (got[m][b, n:] == 0).all()


@pytest.mark.parametrize(("kernel", "reach"), [(1, 0), (3, 1), (5, 2)])
def test_an_utterance_is_seen_by_its_neighbours_alone(kernel: int, reach: int) -> None:
    made, who = model(kernel=kernel), turns(9)
    one, other = streams(who), streams(who)
    other["text"][0, 4] += 1
    changed = (made(one, who)["text"] - made(other, who)["text"])[0].abs().amax(-1) > 0
    assert changed.nonzero().flatten().tolist() == list(range(4 - reach, 5 + reach))


def test_the_classifier_is_two_linear_maps_with_relu() -> None:
    who = turns(3)
    head, x = model().classifier(18, 6).double().eval(), torch.randn(1, 3, 18, dtype=torch.float64)
    first, last = head[0], head[-1]
    expected = (x @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(head(x, who), expected)


def test_padding_and_order_change_nothing() -> None:
    made, who, more = model(), turns(6, 4, 1), turns(6, 4, 1, pad=5)
    out, padded = made(streams(who), who), made(streams(more, fill=50.0), more)
    swapped = made({m: x.flip(0) for m, x in streams(who).items()}, turns(1, 4, 6))
    for m in WIDTHS:
        torch.testing.assert_close(padded[m][:, :6], out[m], rtol=0, atol=1e-12)
        torch.testing.assert_close(swapped[m].flip(0), out[m], rtol=0, atol=1e-12)


def test_a_conversation_without_utterances_is_harmless() -> None:
    made, who = model().train(), turns(3, 0, 1)
    given = {m: x.requires_grad_() for m, x in streams(who, fill=float("nan")).items()}
    out = made(given, who)
    sum(x.square().sum() for x in out.values()).backward()
    for m, x in out.items():
        assert x.isfinite().all()
        assert (x[1] == 0).all()
        assert given[m].grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in made.parameters())


@pytest.mark.parametrize("names", [("text",), ("audio",), ("audio", "video"), ("text", "video"), ("fused",)])
def test_any_streams_do(names: tuple[str, ...]) -> None:
    widths = {m: WIDTHS.get(m, 4) for m in names}
    made, who = model(widths), turns(1)
    out = made(streams(who, widths=widths), who)
    assert {m: x.shape for m, x in out.items()} == {m: (1, 1, 6) for m in names}
    assert made.d_out == {m: 6 for m in names}


def test_who_speaks_changes_nothing() -> None:
    made, who = model(), turns(6, 4)
    others = Turns(1 - who.speaker, who.mask, who.lengths)
    for m, x in made(streams(who), who).items():
        assert torch.equal(x, made(streams(who), others)[m])
