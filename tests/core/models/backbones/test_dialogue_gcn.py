"""DialogueGCN: sizes, the graph against its loop over edges, relations, window, padding, gradients, bad input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.backbones.dialogue_gcn import DialogueGcn, SpeakerGraph
from lmam_core.models.kernels.windows import gather, in_blocks, with_neighbours
from tests.core.models.backbones.cases import equals_its_reference

LENGTHS = (13, 1, 6, 9)


def turns(lengths: tuple[int, ...] = LENGTHS, speakers: int = 2, pad: int = 0) -> Turns:
    mask = torch.arange(max(lengths) + pad)[None] < torch.tensor(lengths)[:, None]
    speaker = torch.randint(speakers, (len(lengths), 40), generator=torch.Generator().manual_seed(1))
    return Turns(speaker[:, : mask.shape[1]] * mask, mask, torch.tensor(lengths))


def stream(who: Turns, width: int = 5, seed: int = 2) -> Tensor:
    """Random features that an utterance keeps when padding is added."""
    x = torch.randn(len(who.lengths), 40, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x[:, : who.mask.shape[1]] * who.mask[..., None]


def graph(speakers: int, longest: int = 13, bases: int = 4) -> SpeakerGraph:
    torch.manual_seed(0)
    made = SpeakerGraph(5, 3, speakers, longest, bases).double()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.5)  # the start of training leaves the relations too small to tell apart
    return made


def model(speakers: int = 2, **options: object) -> DialogueGcn:
    torch.manual_seed(0)
    made = DialogueGcn({"fused": 5}, speakers, **{"hidden": 4, "window": (3, 2), "bases": 3, **options})
    return made.double().eval()


def edges(who: Turns, past: int, future: int) -> set[tuple[int, int, int]]:
    found = {
        (b, i, i + k) for b, n in enumerate(who.lengths.tolist()) for i in range(n) for k in range(-past, future + 1)
    }
    return {(b, i, j) for b, i, j in found if 0 <= j < who.lengths[b]}


@pytest.mark.parametrize(
    ("width", "speakers", "outputs", "count", "original"),
    [(100, 2, 6, 1_186_646, 1_348_046), (712, 2, 6, 1_676_246, 1_837_646), (600, 9, 7, 1_591_367, 1_752_767)],
)
def test_sizes_are_the_originals_without_what_it_never_calls(
    width: int, speakers: int, outputs: int, count: int, original: int
) -> None:
    made = DialogueGcn({"fused": width}, speakers)
    parts = torch.nn.ModuleList([made, made.classifier(made.d_out["fused"], outputs)])
    assert sum(p.numel() for p in parts.parameters()) == count
    # Of the edge attention's other ways: four linear maps 200 to 200, a scorer of 200, an additive scorer of 400.
    assert original - count == 4 * (200 * 200 + 200) + 200 + 400


@pytest.mark.parametrize("window", [(10, 10), (3, 1), (0, 2), (0, 0), (30, 30)])
@pytest.mark.parametrize("speakers", [1, 2, 3, 9])
def test_graph_equals_its_loop_over_edges(speakers: int, window: tuple[int, int]) -> None:
    made, who = graph(speakers), turns(speakers=speakers)
    h = stream(who)
    got = made(h, in_blocks(who, window, speakers))
    expected = made.reference(h, who, window)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    ours = torch.autograd.grad(got.square().sum(), made.parameters())
    theirs = torch.autograd.grad(expected.square().sum(), made.parameters())
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_model_equals_its_reference() -> None:
    who = turns(speakers=3, pad=2)
    equals_its_reference(model(3), {"fused": stream(who)}, who)


@pytest.mark.parametrize("speakers", range(2, 10))
def test_bases_and_relations_give_the_same_messages(speakers: int) -> None:
    """More bases than relations, or fewer: the same sums in another order."""
    few, who = graph(speakers, bases=4), turns(speakers=speakers)
    many = graph(speakers, bases=2 * speakers**2)
    with torch.no_grad():
        for p, q in zip(many.parameters(), few.parameters(), strict=True):
            p.zero_()[tuple(slice(n) for n in q.shape)] = q  # the bases beyond the fourth have no share
    h, blocks = stream(who), in_blocks(who, (2, 2), speakers)
    torch.testing.assert_close(many(h, blocks), few(h, blocks), rtol=0, atol=1e-12)


def test_relations_follow_the_speakers() -> None:
    made, who, order = graph(3), turns(speakers=3), torch.tensor([2, 0, 1])
    h = stream(who)
    renamed = Turns(order[who.speaker] * who.mask, who.mask, who.lengths)
    plain, other = made(h, in_blocks(who, (3, 3), 3)), made(h, in_blocks(renamed, (3, 3), 3))
    assert (plain - other)[who.mask].abs().amax(-1).min() > 1e-3
    with torch.no_grad():
        old = made.shares.view(3, 3, 2, -1).clone()
        made.shares.view(3, 3, 2, -1)[order[:, None], order[None]] = old
    torch.testing.assert_close(made(h, in_blocks(renamed, (3, 3), 3)), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [(10, 10), (4, 0), (1, 3), (0, 0), (40, 40)])
def test_edges_end_at_the_window_and_at_the_conversation(window: tuple[int, int]) -> None:
    who = turns(pad=3)
    blocks, L = in_blocks(who, window, 2), who.mask.shape[1]
    c = blocks.edge.shape[1]
    block, i, j = blocks.edge.nonzero().T
    source, target = blocks.rows[block * c + i], blocks.rows[(block - 1) * c + j]
    found = list(zip((source // L).tolist(), (source % L).tolist(), (target % L).tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == edges(who, *window)
    assert (source // L == target // L).all()
    assert (blocks.kind.sum(2) == blocks.edge).all()  # every edge is of one kind


def test_gather_is_the_transpose_of_beside() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 3, 2, generator=generator), torch.randn(4, 9, 2, generator=generator)
    torch.testing.assert_close((with_neighbours(x) * y).sum(), (x * gather(y)).sum())


def test_neither_padding_nor_company_changes_a_conversation() -> None:
    made = model(longest=13)  # padded beyond the longest that it takes
    plain, padded = turns(), turns(pad=7)
    out = made({"fused": stream(plain)}, plain)["fused"]
    filled = stream(padded).masked_fill(~padded.mask[..., None], 50.0)
    more = made({"fused": filled}, padded)["fused"]
    torch.testing.assert_close(more[:, :13], out, rtol=0, atol=1e-12)
    assert (more[:, 13:] == 0).all()
    order = torch.tensor([2, 0, 3, 1])
    turned = Turns(plain.speaker[order], plain.mask[order], plain.lengths[order])
    torch.testing.assert_close(made({"fused": stream(plain)[order]}, turned)["fused"], out[order], rtol=0, atol=1e-12)
    alone = Turns(plain.speaker[2:3, :6], plain.mask[2:3, :6], plain.lengths[2:3])
    torch.testing.assert_close(
        made({"fused": stream(plain)[2:3, :6]}, alone)["fused"], out[2:3, :6], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("lengths", [(6, 0, 3), (0, 0)])
def test_a_conversation_without_utterances_stays_finite(lengths: tuple[int, ...]) -> None:
    made, who = model(), turns(lengths, pad=2)
    x = stream(who).requires_grad_()
    out = made({"fused": x}, who)["fused"]
    assert (out[~who.mask] == 0).all()
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in [x, *made.parameters()])


@pytest.mark.parametrize("tanh", [False, True])
def test_nodal_attention_can_tell_an_utterance_from_its_conversation(tanh: bool) -> None:
    """With large scores each utterance keeps its own features, but for a tanh, which the original has around them."""
    made, who = model(tanh=tanh), turns((13,))
    attention = made.attention["fused"]
    torch.nn.init.eye_(attention.transform.weight)
    torch.nn.init.zeros_(attention.transform.bias)
    h = 9 * torch.eye(13, dtype=torch.float64)[None, :, : made.d_out["fused"]]
    own = (attention(h, who.mask) / 9)[0, range(12), range(12)]
    expected = torch.full((12,), torch.e / (torch.e + 12) if tanh else 1.0, dtype=torch.float64)
    torch.testing.assert_close(own, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("faithful", [False, True])
def test_one_utterance_speaks_to_itself_alone(faithful: bool) -> None:
    """With one utterance its edge weight is 1, the second convolution counts it twice, the attention is 1."""
    made, who = model(faithful=faithful), turns((1,))
    x = stream(who)
    graph, h, s = made.graph["fused"], made.context["fused"](x, who)[0], who.speaker[0, 0]
    weight = torch.einsum("n,nde->de", graph.shares[s, 2 * s + 1], graph.bases)
    u = h @ weight + h @ graph.root + graph.bias
    expected = torch.cat([h, graph.own(u) + graph.others(u)], -1)
    torch.testing.assert_close(made({"fused": x}, who)["fused"][0], expected, rtol=0, atol=1e-12)


def test_faithful_differs_where_there_is_padding() -> None:
    plain, faithful = model(), model(faithful=True)
    full, padded = turns((8, 8)), turns((8, 5))
    with torch.no_grad():
        x = {"fused": stream(full)}
        torch.testing.assert_close(faithful(x, full)["fused"], plain(x, full)["fused"], rtol=0, atol=1e-12)
        x = {"fused": stream(padded)}
        difference = (faithful(x, padded)["fused"] - plain(x, padded)["fused"]).abs().amax(-1)
    assert difference[0].max() < 1e-12
    assert difference[1, :5].min() > 1e-6


def test_streams_have_graphs_of_their_own() -> None:
    torch.manual_seed(0)
    made, who = DialogueGcn({"text": 5, "audio": 2}, hidden=4).double().eval(), turns()
    streams = {"text": stream(who), "audio": stream(who, 2)}
    one = made(streams, who)
    other = made({**streams, "audio": stream(who, 2, seed=3)}, who)
    assert made.d_out == {"text": 12, "audio": 12}
    assert one["text"].shape == (4, 13, 12)
    assert torch.equal(one["text"], other["text"])
    assert not torch.equal(one["audio"], other["audio"])


def test_a_conversation_beyond_the_longest_is_told_in_a_sentence() -> None:
    who = turns()
    with pytest.raises(LmamError, match=r"12 positions; .* conversation of 13 utterances\. Raise `longest`"):
        model(longest=12)({"fused": stream(who)}, who)
