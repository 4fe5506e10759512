"""TextCNN: sizes, the convolution against its loop, reach, padding and order, speakers, streams, gradients."""

from __future__ import annotations

import pytest
import torch

from lmam_core.models.backbones.text_cnn import TextCnn
from tests.core.models.backbones.cases import WIDTHS, streams, turns


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


@pytest.mark.parametrize("names", [("text",), ("audio",), ("audio", "video"), ("text", "video"), ("fused",)])
def test_any_streams_do(names: tuple[str, ...]) -> None:
    widths = {m: WIDTHS.get(m, 4) for m in names}
    made, who = model(widths), turns(1)
    out = made(streams(who, widths=widths), who)
    assert {m: x.shape for m, x in out.items()} == {m: (1, 1, 6) for m in names}
    assert made.d_out == {m: 6 for m in names}
