"""MM-DFN: sizes; graph, gated layers and parties against plain equations; padding, speakers, odd input, memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.backbones import mm_dfn
from lmam_core.models.backbones.mm_dfn import GatedGraph, Graph, MmDfn, Parties, connect, group_sizes
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from lmam_core.models.kernels import recurrence
from tests.core.models.backbones.cases import equals_its_reference

WIDTHS = {"text": 7, "audio": 5, "video": 9}


def turns(lengths: Sequence[int], speakers: int = 2, pad: int = 0) -> Turns:
    """Speakers in a fixed disorder, so that parties differ in length and some are silent."""
    L, lengths = max(lengths) + pad, torch.tensor(lengths)
    mask = torch.arange(L) < lengths[:, None]
    b, t = torch.meshgrid(torch.arange(len(lengths)), torch.arange(L), indexing="ij")
    return Turns((t * t + b + t // 3) % speakers * mask, mask, lengths)


def streams(some: Turns, widths: dict[str, int] = WIDTHS) -> dict[str, Tensor]:
    torch.manual_seed(1)
    shape = (len(some.lengths), int(some.lengths.max()))
    made = {m: torch.randn(*shape, d, dtype=torch.float64) for m, d in widths.items()}
    pad = some.mask.shape[1] - shape[1]
    return {m: nn.functional.pad(x, (0, 0, 0, pad)) * some.mask[..., None] for m, x in made.items()}


def backbone(widths: dict[str, int] = WIDTHS, speakers: int = 2, **options) -> MmDfn:
    torch.manual_seed(0)
    return MmDfn(widths, speakers, **{"hidden": 6, "layers": 3, **options}).double().eval()


def joined(out: dict[str, Tensor]) -> Tensor:
    return torch.cat(list(out.values()), -1)  # (B, L, M 18)


@pytest.mark.parametrize(
    ("widths", "layers", "expected"),
    [
        ((100, 100, 512), 16, 1_294_106),
        ((100, 100, 512), 24, 1_454_106),
        ((100, 100, 512), 32, 1_614_106),
        ((100, 1582, 342), 16, 1_556_506),
        ((100, 1582, 342), 24, 1_716_506),
        ((100, 1582, 342), 32, 1_876_506),
    ],
)
def test_sizes_are_those_of_what_lives_in_the_original(widths: tuple[int, ...], layers: int, expected: int) -> None:
    named = dict(zip(WIDTHS, widths, strict=True))
    for speakers in (2, 9):
        made = embed(named, 6, MmDfn, lambda w: build("concat", w), "late", speakers, layers=layers)
        assert sum(p.numel() for p in made.parameters()) == expected


def dense(graph: Graph, b: int) -> Tensor:
    """One conversation's graph as a matrix, (M L, M L)."""
    M, L = graph.inside.shape[1:3]
    A = torch.zeros(M, L, M, L, dtype=graph.inside.dtype)
    for m in range(M):
        A[m, :, m] = graph.inside[b, m]
        for k, weight in enumerate(graph.across, 1):
            A[m, :, (m + k) % M] = torch.diag(weight[b, m])
    return A.view(M * L, M * L)


@pytest.mark.parametrize("M", [1, 2, 3, 4])
def test_graph_equals_its_definition(M: int) -> None:
    torch.manual_seed(0)
    x, some = torch.randn(3, M, 5, 4, dtype=torch.float64), turns((5, 3, 1))
    graph = connect(x, some.mask)
    for b, n in enumerate((5, 3, 1)):
        A = torch.zeros(M, 5, M, 5, dtype=torch.float64)
        for m in range(M):
            for i in range(n):
                for k in range(M):
                    for j in range(n):
                        if m == k or i == j:
                            cosine = nn.functional.cosine_similarity(x[b, m, i], x[b, k, j], 0)
                            A[m, i, k, j] = 1 - math.acos(0.99999 * cosine) / math.pi
        A = A.view(5 * M, 5 * M)
        D = torch.diag(torch.where(A.sum(1) > 0, A.sum(1), 1.0).pow(-0.5))
        torch.testing.assert_close(dense(graph, b), D @ A @ D, rtol=0, atol=1e-12)
        spread = graph.propagate(x)[b].flatten(0, 1)
        torch.testing.assert_close(spread, D @ A @ D @ x[b].flatten(0, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("widths", [{"video": 9}, {"text": 7, "nonverbal": 3}, WIDTHS], ids="+".join)
def test_the_model_equals_its_reference(widths: dict[str, int]) -> None:
    made, some = backbone(widths, speakers=3), turns((9, 0, 4, 1), speakers=3, pad=1)
    equals_its_reference(made, streams(some, widths), some)


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("speakers", [1, 2, 9])
def test_parties_equal_a_loop_over_them(speakers: int, faithful: bool) -> None:
    torch.manual_seed(0)
    layer, some = Parties(4, 0.4, faithful).double().eval(), turns((7, 1, 5), speakers, pad=2)
    x = torch.randn(2, 3, 9, 4, dtype=torch.float64)
    expected = torch.zeros_like(x)
    for k in range(2):
        for b in range(3):
            for p in range(speakers):
                said = ((some.speaker[b] == p) & some.mask[b]).nonzero()[:, 0]
                if len(said):
                    sequence = x[k, b, said]
                    if faithful:
                        sequence = nn.functional.pad(sequence, (0, 0, 0, 9 - len(said)))
                    expected[k, b, said] = layer.context.rnn(sequence[None])[0][0, : len(said)]
    torch.testing.assert_close(layer(x, some), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("speakers", [2, 3, 9])
def test_names_of_speakers_do_not_matter_but_turns_do(speakers: int) -> None:
    made, some = backbone(speakers=speakers), turns((9, 4), speakers)
    x = streams(some)
    renamed = Turns(torch.randperm(speakers)[some.speaker] * some.mask, some.mask, some.lengths)
    torch.testing.assert_close(joined(made(x, renamed)), joined(made(x, some)), rtol=0, atol=1e-12)
    other = Turns(some.speaker.roll(1, 1) * some.mask, some.mask, some.lengths)
    assert (joined(made(x, other)) - joined(made(x, some))).abs().max() > 1e-6


def test_padding_order_and_grouping_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, some = backbone(), turns((9, 0, 4, 1, 8, 4))
    x = streams(some)
    out = joined(made(x, some))
    padded = {m: nn.functional.pad(s, (0, 0, 0, 3), value=50.0) for m, s in x.items()}
    torch.testing.assert_close(joined(made(padded, turns((9, 0, 4, 1, 8, 4), pad=3)))[:, :9], out, rtol=0, atol=1e-12)
    order = torch.tensor([3, 5, 0, 2, 1, 4])
    shuffled = Turns(some.speaker[order], some.mask[order], some.lengths[order])
    torch.testing.assert_close(
        joined(made({m: s[order] for m, s in x.items()}, shuffled)), out[order], rtol=0, atol=1e-12
    )
    assert group_sizes([10, 9, 4, 4, 1, 1]) == [2, 2, 2]
    monkeypatch.setattr(mm_dfn, "ALIKE", 0.0)
    assert group_sizes([10, 9, 4, 4, 1, 1]) == [6]
    torch.testing.assert_close(joined(made(x, some)), out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_the_ways_of_a_gpu_give_the_same(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients as well, and what the same seed drops in the layers."""
    made, some = backbone().train(training), turns((9, 0, 4, 1, 8, 4), speakers=3)
    made.context.rnn.dropout = made.parties.context.rnn.dropout = 0.0
    x = {m: s.requires_grad_() for m, s in streams(some).items()}
    monkeypatch.setattr(mm_dfn, "ALIKE", 0.0)  # one group, as there
    found = []
    for on_gpu in (False, True):
        torch.manual_seed(2)
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "is_cuda", on_gpu)
            if on_gpu:
                patch.setattr(recurrence, "gru_loop", None)
            out = joined(made(x, some))
        found.append((out, *torch.autograd.grad(out.sin().sum(), [*x.values(), *made.parameters()])))
    for loop, fused in zip(*found, strict=True):
        torch.testing.assert_close(loop, fused, rtol=0, atol=1e-12)


def test_faithful_lets_padding_in() -> None:
    plain, faithful = backbone(), backbone(faithful=True)

    def difference(some: Turns) -> float:
        x = streams(some)
        return (joined(plain(x, some)) - joined(faithful(x, some))).abs().max().item()

    alone = turns((6, 6), speakers=1)
    assert difference(alone) < 1e-12
    assert difference(turns((6, 6))) > 1e-6  # a party's sequence is shorter than its conversation
    assert difference(turns((6, 6), speakers=1, pad=3)) > 1e-6
    long = turns((6, 6), speakers=1, pad=3)
    changed = joined(faithful(streams(long), long))[:, :6] - joined(faithful(streams(alone), alone))
    assert changed.abs().max() > 1e-6


@pytest.mark.parametrize("widths", [{"video": 9}, {"text": 7}, {"audio": 5, "nonverbal": 3}, WIDTHS], ids="+".join)
@pytest.mark.parametrize("lengths", [(1,), (1, 1), (4, 0, 2), (0,)], ids=str)
def test_odd_batches_are_finite(widths: dict[str, int], lengths: tuple[int, ...]) -> None:
    made, some = backbone(widths).train(), turns(lengths, pad=1)
    x = {m: s.requires_grad_() for m, s in streams(turns(lengths, pad=1), widths).items()}
    out = joined(made(x, some))
    assert out.shape == (len(lengths), max(lengths) + 1, 18 * len(widths))
    assert (out[~some.mask] == 0).all()
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in [*made.parameters(), *x.values()])


def test_weights_choose_who_hears_the_parties() -> None:
    assert backbone({"video": 9}).parties is None
    assert backbone({"audio": 5}).context is None
    assert backbone({"audio": 5, "nonverbal": 3}).party_weights == {"audio": 3.0, "nonverbal": 3.0}
    made, some = backbone(party_weights={"text": 0.0, "audio": 0.5, "video": 0.5}), turns((6, 3))
    other = Turns((1 - some.speaker) * (torch.arange(6) == 2) * some.mask, some.mask, some.lengths)
    x = streams(some)
    differences = [a - b for a, b in zip(made(x, some).values(), made(x, other).values(), strict=True)]
    assert min(d.abs().max() for d in differences) > 1e-9  # through the graph
    own = [d[..., :12].abs().max() for d in differences]  # what goes into it
    assert own[0] == 0
    assert min(own[1:]) > 1e-6


def test_nodes_are_sums_and_the_graph_sees_them_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made, some = backbone(dropout=0.5), turns((6, 6))
    x, seen = streams(some), []
    monkeypatch.setattr(mm_dfn, "connect", lambda x, mask: seen.append(x) or connect(x, mask))
    said = {m: made.linear[m](s) for m, s in x.items()}
    own = made.parties(torch.stack([said["text"], said["audio"]]), some)
    nodes = [made.context(said["text"], some) + own[0], said["audio"] + 3 * own[1], said["video"]]
    for m, (out, expected) in enumerate(zip(made(x, some).values(), nodes, strict=True)):
        torch.testing.assert_close(out[..., :12], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(seen[0][:, m], expected, rtol=0, atol=1e-12)
    made.train()
    made.context.rnn.dropout = made.parties.context.rnn.dropout = 0.0
    for m, (out, expected) in enumerate(zip(made(x, some).values(), nodes, strict=True)):
        kept = out[..., :12] != 0
        assert 0.3 < kept.double().mean() < 0.7
        torch.testing.assert_close(out[..., :12][kept], 2 * expected[kept], rtol=0, atol=1e-12)
        torch.testing.assert_close(seen[1][:, m], expected, rtol=0, atol=1e-12)


def test_dropout_acts_on_the_start_of_the_layers_and_on_each_of_them() -> None:
    torch.manual_seed(0)
    layer = GatedGraph(4, 50, 1, 0.5, 0.2, 0.5).double()
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    graph = connect(x, torch.ones(1, 4, dtype=torch.bool))
    start = torch.relu(layer.start(x)) > 0
    none = tuple(m[:0] for m in layer.maps())
    assert 0.3 < (layer(x, graph, none) == 0)[start].double().mean() < 0.7
    alone = layer(x, graph, layer.maps())
    assert 0.1 < (alone == 0)[start].double().mean() < 0.7  # both the start and what the layer adds were dropped


def test_classifier_is_relu_and_linear() -> None:
    made, x = backbone().classifier(5, 2).double().eval(), torch.randn(1, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(made(x, turns((3,))), made[2](x.clamp(min=0)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_zeros_and_twins_have_finite_gradients(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(2, 3, 4, 5, dtype=dtype), torch.ones(2, 4, dtype=torch.bool)
    x[0, 1, 2] = 0
    x[1, :, 3] = x[1, :, 0]
    x.requires_grad_()
    graph = connect(x, mask)
    (graph.inside.sin().sum() + graph.across.sin().sum()).backward()
    assert all(torch.isfinite(edges).all() for edges in graph)
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().max() < 1e3
    # The zeros have four edges in their modality, one of them to themselves, and two across, 1/2 each.
    torch.testing.assert_close(graph.inside[0, 1, 2, 2], torch.tensor(0.5 / 3, dtype=dtype))

    made, some = backbone().to(dtype), turns((4, 3))
    made.linear["video"].bias.data.zero_()
    features = {m: s.to(dtype) for m, s in streams(some).items()}
    features["video"][0, 1] = 0
    out = joined(made(features, some))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters())


def test_memory_is_linear_in_the_batch() -> None:
    def kept(B: int) -> int:
        some, found = turns((12,) * B), {}

        def pack(x: Tensor) -> Tensor:
            found[x.untyped_storage().data_ptr()] = x
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            out = joined(made(streams(some), some))
            assert out.requires_grad
        return sum(x.untyped_storage().nbytes() for x in found.values())

    made = backbone()
    few, more, most = kept(4), kept(8), kept(12)
    assert more > 1.5 * few
    assert most - more == pytest.approx(more - few, rel=0.01)
