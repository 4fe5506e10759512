"""Attention-based fusion methods against their formulas, one conversation and one head at a time."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmam_core.models.fusion.auxformer import AuxFormer
from lmam_core.models.fusion.cmcf_srnet import NEAR, CmcfSrnet
from lmam_core.models.fusion.cross_modal import CrossModal
from lmam_core.models.fusion.lmf_mult import LmfMult
from lmam_core.models.fusion.self_attention import SelfAttention
from lmam_core.models.layers.transformer import Places, Stacks, sinusoids
from tests.core.models.backbones.cases import WIDTHS, streams, turns


def sinusoid(length: int, width: int) -> Tensor:
    table = torch.zeros(length, width, dtype=torch.float64)
    half = width // 2
    for p in range(length):
        for i in range(half):
            angle = (p + 1) / 10_000 ** (i / (half - 1))
            table[p, i], table[p, half + i] = math.sin(angle), math.cos(angle)
    return table


def stack(made: Stacks, k: int, x: Tensor, sources: list[Tensor] | None = None, near: Tensor | None = None) -> Tensor:
    """Encoder k of a `Stacks` on one conversation (n, d), formula by formula; sources are (n, d) each."""
    n, d = x.shape
    start = lambda y: y * d**0.5 + (sinusoid(n, d) if made.positions else 0)  # noqa: E731
    z, y = start(x), None if sources is None else torch.cat([start(s) for s in sources])
    for layer in made.layers:
        p = {name: value[k] for name, value in layer.named_parameters()}
        norm = lambda v, name, p=p: F.layer_norm(v, (d,)) * p[name] + p[f"{name}_bias"]  # noqa: E731
        q = norm(z, "norm1") @ p["query"] + p["query_bias"]
        key, value = ((norm(z if y is None else y, "norm1")) @ p["pair"] + p["pair_bias"]).chunk(2, -1)
        heads = []
        for part in torch.arange(d).chunk(made.heads):
            scores = q[:, part] @ key[:, part].T / len(part) ** 0.5
            if near is not None:
                scores = scores.masked_fill(~near, -torch.inf)
            heads.append(torch.softmax(scores, -1) @ value[:, part])
        z = z + torch.cat(heads, -1) @ p["output"] + p["output_bias"]
        h = (norm(z, "norm2") @ p["wide"] + p["wide_bias"]).clamp(min=0)
        z = z + h @ p["narrow"] + p["narrow_bias"]
    return F.layer_norm(z, (d,)) * made.norm[k] + made.norm_bias[k]


def roughened(module: torch.nn.Module) -> torch.nn.Module:
    """Biases and norms away from the zeros and ones that they start at, so that a wrong use shows."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return module.double().eval()


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_stacks_are_encoders_side_by_side(positions: bool, n: int) -> None:
    torch.manual_seed(0)
    made, who = roughened(Stacks(3, 12, 2, 2, 0.1, positions)), turns(4, 1, 3)
    places = Places.of(who)
    x = places.pack(torch.randn(3, 3, 4, 12, dtype=torch.float64))  # (K, N, d)
    sources = places.pack(torch.randn(3, n, 3, 4, 12, dtype=torch.float64)) if n else None
    got = places.pad(made(x, places, sources))
    full = places.pad(x)
    for k in range(3):
        for b, length in enumerate(who.lengths.tolist()):
            given = None if n == 0 else [places.pad(sources)[k, j, b, :length] for j in range(n)]
            torch.testing.assert_close(got[k, b, :length], stack(made, k, full[k, b, :length], given))


def test_stacks_see_only_what_is_near() -> None:
    torch.manual_seed(0)
    made, who = roughened(Stacks(1, 12, 2, 1, 0.1)), turns(6, 2)
    places, near = Places.of(who), (torch.arange(6) - torch.arange(6)[:, None]).abs() <= 1
    x = torch.randn(1, 2, 6, 12, dtype=torch.float64) * who.mask[..., None]
    got = places.pad(made(places.pack(x), places, near=near))
    for b, n in enumerate((6, 2)):
        torch.testing.assert_close(got[0, b, :n], stack(made, 0, x[0, b, :n], near=near[:n, :n]))


def test_sinusoids_count_from_the_start_of_each_conversation() -> None:
    who = turns(3, 1)
    table = sinusoid(3, 8)
    got = sinusoids(Places.of(who), 8).double()
    torch.testing.assert_close(got, torch.cat([table, table[:1]]), rtol=0, atol=1e-6)
    assert (sinusoids(Places.of(who), 9)[:, -1] == 0).all()


def test_cross_modal_attends_to_each_other_modality_then_to_itself() -> None:
    torch.manual_seed(0)
    made, who = roughened(CrossModal(WIDTHS, layers=2)), turns(4, 2)
    given = streams(who)
    got = made(given, who)
    for b, n in enumerate((4, 2)):
        z = [x[b, :n] @ made.project[m].weight.T for m, x in given.items()]
        pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
        crossed = {pair: stack(made.cross, k, z[pair[0]], [z[pair[1]]]) for k, pair in enumerate(pairs)}
        own = [torch.cat([crossed[i, j] for j in range(3) if j != i], -1) for i in range(3)]
        expected = torch.cat([stack(made.own, i, u) for i, u in enumerate(own)], -1)
        torch.testing.assert_close(got[b, :n], expected)


def test_lmf_mult_attends_both_ways() -> None:
    torch.manual_seed(0)
    made, who = roughened(LmfMult(WIDTHS, rank=2, layers=2)), turns(4, 2)
    given = streams(who)
    got = made(given, who)
    for b, n in enumerate((4, 2)):
        z = {m: F.layer_norm(x[b, :n], x.shape[-1:]) @ made.project[m].weight.T for m, x in given.items()}
        f = made.product(z)
        there = [stack(made.cross, k, x, [f]) for k, x in enumerate(z.values())]
        back = [stack(made.cross, 3 + k, f, [x]) for k, x in enumerate(z.values())]
        torch.testing.assert_close(got[b, :n], torch.cat(there + back, -1))


def test_auxformer_and_its_auxiliary_networks() -> None:
    torch.manual_seed(0)
    made, who = roughened(AuxFormer(WIDTHS)), turns(4, 2)
    given = streams(who)
    got, auxiliary = made(given, who), made.auxiliary(given, who)
    for b, n in enumerate((4, 2)):
        z = [x[b, :n] @ made.project[m].weight.T for m, x in given.items()]
        others = [[z[j] for j in range(3) if j != i] for i in range(3)]
        crossed = [stack(made.cross, i, z[i], others[i]) for i in range(3)]
        expected = torch.cat([stack(made.own, i, x) for i, x in enumerate(crossed)], -1)
        torch.testing.assert_close(got[b, :n], expected)
        for i in range(3):
            h = z[i]
            for _ in range(3):
                h = stack(made.alone, i, h)
            torch.testing.assert_close(auxiliary[i, b, :n], h + made.mlp(h))


def test_auxformers_loss_is_the_mean_of_all_its_networks() -> None:
    from lmam_core.runs.experiment import Experiment
    from lmam_core.runs.run import build, prepared
    from lmam_core.runs.training import Budget, train

    asked = Experiment("synthetic-iemocap", fusion="auxformer", dialogues=4, epochs=1).resolved()
    data = prepared(asked)
    model = build(asked, data)
    batch = next(data.batches("train", 32, torch.Generator().manual_seed(0)))
    model.train()
    torch.manual_seed(5)
    losses = [F.cross_entropy(o[batch.mask], batch.label[batch.mask]).item() for o in model.outputs(batch)]
    assert len(losses) == 1 + len(data.widths)
    torch.manual_seed(5)
    budget = Budget(epochs=1, patience=1, batch_size=32, learning_rate=1e-9, weight_decay=0)
    training = train(model, data, budget, "honest", 0, torch.device("cpu"))
    assert training.train_loss[0] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_self_attention_stays_in_its_modality_and_conversation() -> None:
    torch.manual_seed(0)
    made, who = roughened(SelfAttention(WIDTHS)), turns(4, 2)
    given = streams(who)
    got = made(given, who)
    for b, n in enumerate((4, 2)):
        parts = []
        for m, x in given.items():
            q, k, v = made.maps[m](x[b, :n]).chunk(3, -1)
            parts.append(torch.softmax(q @ k.T / WIDTHS[m] ** 0.5, -1) @ v)
        torch.testing.assert_close(got[b, :n], torch.cat(parts, -1))


def test_cmcf_srnet_is_local_attention_a_speaker_graph_and_an_encoder() -> None:
    torch.manual_seed(0)
    made, who = roughened(CmcfSrnet(WIDTHS, width=12)), turns(9, 2)
    given = streams(who)
    got = made(given, who)
    W = made.kinds.weight.view(4, 12, 12)
    for b, n in enumerate((9, 2)):
        near = (torch.arange(n) - torch.arange(n)[:, None]).abs() <= NEAR
        z = [x[b, :n] @ made.project[m].weight.T + made.project[m].bias for m, x in given.items()]
        pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
        crossed = [stack(made.cross, k, z[i], [z[j]], near) for k, (i, j) in enumerate(pairs)]
        u = made.nodes(torch.cat([*z, *crossed], -1)).clamp(min=0)
        rows = []
        for t in range(n):
            row = made.root(u[t])
            for kind in range(4):
                same, before = kind < 2, kind % 2 == 0
                to = [
                    s
                    for s in range(n)
                    if 0 < abs(s - t) <= NEAR and (who.speaker[b, s] == who.speaker[b, t]) == same and (s < t) == before
                ]
                if to:
                    row = row + torch.stack([W[kind] @ u[s] for s in to]).mean(0)
            rows.append(row.clamp(min=0))
        torch.testing.assert_close(got[b, :n], stack(made.refine, 0, torch.stack(rows)))
