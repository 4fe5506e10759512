"""LMAM against its equations written out naively in float64, and the properties that every user relies on."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lmam_core import LMAM
from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models import lmam
from lmam_core.models.kernels import blockwise
from lmam_core.models.lmam import FactorWeight, FullWeight

WIDTHS = {"text": 6, "audio": 6, "video": 6}
READ = [
    {"variant": variant, "keys": keys, "scale": scale, "weight": weight, "combine": combine}
    for variant in ("paper", "algorithm1")
    for keys in ("own", "others", "all", "text", "concatenated")
    for scale, weight, combine in (
        ("length", "factors", "concat"),
        ("width", "full", "sum"),
        ("none", "vector", "concat"),
    )
]


def batch(widths: dict[str, int] = WIDTHS, lengths: tuple[int, ...] = (5, 3, 1), pad: int = 0):
    """Random float64 features; what stands in the padding is large, so that a leak cannot hide."""
    generator = torch.Generator().manual_seed(7)
    L = max(lengths) + pad
    mask = torch.arange(L)[None] < torch.tensor(lengths)[:, None]
    features = {}
    for m, d in widths.items():
        x = torch.randn(len(lengths), max(lengths), d, generator=generator, dtype=torch.float64)
        features[m] = torch.cat([x, torch.full((len(lengths), pad, d), 1e3, dtype=torch.float64)], 1)
        features[m][~mask] = 1e3
    return features, mask


def ones(x: Tensor) -> Tensor:
    """Eq. 3: a column of ones in front."""
    return torch.cat([torch.ones(len(x), 1, dtype=x.dtype), x], 1)


def full_weight(layer) -> tuple[Tensor, Tensor]:
    """W (1 + d, 1 + d) and b (1 + d) of Eq. 4, built from whatever a layer holds."""
    if isinstance(layer, FullWeight):
        return torch.cat([torch.zeros(1, layer.W.out_features), layer.W.weight.T]).double(), layer.W.bias.double()
    if isinstance(layer, FactorWeight):
        U = torch.cat([layer.U.bias[None], layer.U.weight.T])  # (1 + d, r)
        V = torch.cat([layer.V.bias[:-1][None], layer.V.weight[:-1].T])  # (1 + d, r)
        b = torch.cat([layer.V.bias[-1:], layer.V.weight[-1]])  # (1 + d)
        return U @ V.T, b
    return torch.diag(sum(layer.omega)), layer.bias


def test_a_mask_and_turns_are_the_same_question() -> None:
    features, mask = batch()
    module, turns = LMAM(WIDTHS, rank=3).double(), Turns(torch.zeros_like(mask, dtype=torch.long), mask, mask.sum(1))
    torch.testing.assert_close(module(features, turns), module(features, mask), rtol=0, atol=0)


def naive(module: LMAM, features: dict[str, Tensor], mask: Tensor) -> Tensor:
    """Eq. 3 to 9 with loops: one conversation, one query modality, one query utterance at a time."""
    ms = list(module.modalities)
    out = torch.zeros(*mask.shape, module.d_out, dtype=torch.float64)
    for c in range(len(mask)):
        n = int(mask[c].sum())
        x = {m: features[m][c, :n] for m in ms}
        if module.keys == "concatenated":  # Sec. IV-D: one stream, then as printed
            x = {"concatenated": torch.cat([x[m] for m in ms], 1)}
        x = {m: module.project[m](stream) for m, stream in x.items()}
        parts = []
        for i in x:
            others = [m for m in ms if m != i] or [i]
            matched = {"others": others, "all": ms, "text": ms[:1]}.get(module.keys, [i])
            W, b = full_weight(module.weights[i])
            d_k = {"length": n, "width": x[i].shape[1], "none": 1}[module.scale]
            rows = []
            for t in range(n):
                q = ones(x[i])[t] @ W + b
                scores = torch.stack(
                    [torch.tanh(q @ ones(x[j])[s] / math.sqrt(d_k)) for j in matched for s in range(n)]
                )
                alpha = scores.exp() / scores.exp().sum()
                values = torch.cat([x[j] for j in matched])
                rows.append((alpha[:, None] * values).sum(0))
            A = torch.stack(rows)
            if module.variant == "algorithm1":
                parts.append(A + F.gelu(x[i]))
                continue
            E = A + x[i]
            E = (E - E.mean(1, keepdim=True)) / (E.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
            E = E * module.norm[i].weight + module.norm[i].bias
            parts.append(F.relu(E @ module.output[i].weight.T + module.output[i].bias))
        out[c, :n] = torch.cat(parts, 1) if module.combine == "concat" else sum(parts)
    return out


@pytest.mark.parametrize("reading", READ, ids=lambda r: "-".join(r.values()))
def test_equals_the_equations_written_out(reading: dict[str, str]) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, **reading).double()
    features, mask = batch()
    torch.testing.assert_close(module(features, mask), naive(module, features, mask), rtol=1e-9, atol=1e-10)


def test_unequal_widths_are_projected_to_the_widest_for_matching_across_modalities() -> None:
    torch.manual_seed(0)
    widths = {"text": 6, "audio": 4, "video": 9}
    module = LMAM(widths, rank=3, keys="others").double()
    assert isinstance(module.project["video"], torch.nn.Identity)
    assert module.project["audio"].weight.shape == (9, 4)
    features, mask = batch(widths)
    torch.testing.assert_close(module(features, mask), naive(module, features, mask), rtol=1e-9, atol=1e-10)
    assert all(isinstance(p, torch.nn.Identity) for p in LMAM(widths, rank=3).project.values())


@pytest.mark.parametrize("width", [None, 5])
def test_the_concatenated_stream_is_one_modality_as_printed(width: int | None) -> None:
    """Sec. IV-D: the same numbers as the printed equations on the concatenated features, and modalities do meet."""
    widths = {"text": 6, "audio": 4, "video": 9}
    torch.manual_seed(0)
    module = LMAM(widths, rank=3, keys="concatenated", width=width).double()
    one = LMAM({"concatenated": 19}, rank=3, width=width).double()
    one.load_state_dict(module.state_dict())
    features, mask = batch(widths)
    out = module(features, mask)
    assert out.shape[-1] == module.d_out == 19
    torch.testing.assert_close(out, naive(module, features, mask), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(out, one({"concatenated": torch.cat(list(features.values()), -1)}, mask))
    louder = module(features | {"audio": 2 * features["audio"]}, mask)
    assert (louder - out)[mask].abs().max() > 1e-3
    silent = mask.clone()
    silent[0, 2] = False  # an utterance without video
    masks = {"text": mask, "audio": mask, "video": silent}
    zeros = features | {"video": features["video"].masked_fill(~silent[..., None], 0)}
    torch.testing.assert_close(module(features, masks), module(zeros, mask))
    with pytest.raises(LmamError, match="share their time steps; here they have text 5, audio 4, video 5"):
        module(features | {"audio": features["audio"][:, :4]}, masks | {"audio": mask[:, :4]})


def test_released_variant_equals_its_loop_over_time() -> None:
    torch.manual_seed(0)
    module = LMAM({"text": 5, "audio": 4, "video": 3}, variant="released", width=6).double()
    features, mask = batch({"text": 5, "audio": 4, "video": 3})
    got = module(features, mask)
    W = module.weights["shared"].W
    for c in range(len(mask)):
        n = int(mask[c].sum())
        x = {m: module.project[m](features[m][c, :n]) for m in module.modalities}
        for t in range(n):
            total = 0
            for m in module.modalities:
                alpha = torch.softmax(torch.tanh(x["text"] @ W(x[m][t])), 0)
                total = total + alpha @ x["text"]
            torch.testing.assert_close(got[c, t], F.gelu(total) + x["text"][t], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("reading", [*READ, {"variant": "released"}], ids=lambda r: "-".join(r.values()))
def test_padding_and_batch_order_change_nothing(reading: dict[str, str]) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, **reading).double()
    features, mask = batch()
    longer, longer_mask = batch(pad=4)
    out = module(features, mask)
    torch.testing.assert_close(module(longer, longer_mask)[:, :5], out, rtol=0, atol=1e-12)
    assert (module(longer, longer_mask)[~longer_mask] == 0).all()
    flipped = module({m: x.flip(0) for m, x in features.items()}, mask.flip(0)).flip(0)
    torch.testing.assert_close(flipped, out, rtol=0, atol=1e-12)


def test_a_conversation_without_utterances_gives_zeros_and_finite_gradients() -> None:
    module = LMAM(WIDTHS, rank=3)
    features = {m: torch.randn(2, 4, d) for m, d in WIDTHS.items()}
    out = module(features, torch.tensor([[True] * 4, [False] * 4]))
    assert (out[1] == 0).all()
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("keys", ["own", "others", "all", "text", "concatenated"])
def test_rank_d_built_from_factors_equals_the_full_layer(keys: str) -> None:
    torch.manual_seed(0)
    full = LMAM(WIDTHS, weight="full", keys=keys).double()
    low = LMAM(WIDTHS, rank=min(full.width.values()), keys=keys).double()
    low.load_state_dict({k: v for k, v in full.state_dict().items() if "weights" not in k}, strict=False)
    for m in full.weights:
        low.weights[m].load_full(full.weights[m])
    features, mask = batch()
    torch.testing.assert_close(low(features, mask), full(features, mask), rtol=1e-9, atol=1e-10)
    poor = LMAM(WIDTHS, rank=2, keys=keys).double()
    poor.load_state_dict({k: v for k, v in full.state_dict().items() if "weights" not in k}, strict=False)
    for m in full.weights:
        poor.weights[m].load_full(full.weights[m])
    assert (poor(features, mask) - full(features, mask)).abs().max() > 1e-4


def closed_form(widths: dict[str, int], r: int) -> int:
    """Per modality of width d: U and V 2 r (1 + d), b 1 + d, norm 2 d, output d d + d."""
    return sum(2 * r * (1 + d) + (1 + d) + 2 * d + d * d + d for d in widths.values())


@pytest.mark.parametrize("rank", [1, 7, 45])
def test_registered_parameters_equal_the_closed_form(rank: int) -> None:
    widths = {"text": 100, "audio": 100, "video": 512}
    count = sum(p.numel() for p in LMAM(widths, rank=rank).parameters())
    assert count == closed_form(widths, rank)
    released = LMAM(dict.fromkeys(widths, 512), variant="released")
    shared = sum(p.numel() for p in released.weights.parameters())
    assert shared == 512 * 512 + 512 == 262_656


@pytest.mark.parametrize("reading", [*READ, {"variant": "released"}], ids=lambda r: "-".join(r.values()))
def test_every_parameter_gets_a_gradient(reading: dict[str, str]) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, **reading).double()
    features, mask = batch()
    (module(features, mask) * torch.randn(3, 5, module.d_out, dtype=torch.float64)).sum().backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


def test_gradients_are_right() -> None:
    torch.manual_seed(0)
    module = LMAM({"text": 3, "audio": 3}, rank=2, keys="all").double()
    features = [torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert torch.autograd.gradcheck(lambda t, a: module({"text": t, "audio": a}, mask), features)


@pytest.mark.parametrize("keys", ["own", "others", "all", "text", "concatenated"])
def test_attention_sums_to_one_and_stays_under_the_tanh_bound(keys: str) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, keys=keys, scale="none").double()
    for p in module.weights.parameters():
        p.data *= 100  # scores far into the saturation of tanh
    features, mask = batch()
    attention = module.attention(features, mask)
    for i in module.streams:
        rows = torch.cat([a for (query, _), a in attention.items() if query == i], -1)
        torch.testing.assert_close(rows.sum(-1), mask.double())
        n = mask.sum(1)[:, None, None].double() * (rows.shape[-1] // mask.shape[1])
        assert (rows <= math.e**2 / (math.e**2 + n - 1) + 1e-12).all()
    assert max(a.max() for a in attention.values()) > 0.3


def test_mask_may_be_left_out_and_output_layer_too() -> None:
    module = LMAM(WIDTHS, rank=3, output=False)
    features = {m: torch.randn(2, 4, d) for m, d in WIDTHS.items()}
    out = module(features)
    assert out.shape == (2, 4, 18)
    torch.testing.assert_close(out, module(features, torch.ones(2, 4, dtype=torch.bool)))
    # Without ReLU the normalised sums keep mean 0 in every modality's part.
    torch.testing.assert_close(out.unflatten(-1, (3, 6)).mean(-1), torch.zeros(2, 4, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (dict(rank=0), "from 1 to 6"),
        (dict(rank=7), "from 1 to 6"),
        (dict(rank=2.0), "whole number"),
        (dict(variant="printed"), "no variant 'printed'"),
        (dict(keys="mine"), "'mine' is none of them"),
        (dict(variant="released", keys="own"), "fixes keys='text'"),
        (dict(widths={"audio": 6}, keys="text"), "needs a modality called text"),
        (dict(widths=[6, 6]), r"widths by name, such as .*got \[6, 6\]"),
        (dict(widths={}), "at least one modality"),
        (dict(widths={"text": 6.0}), "width of text as a whole number"),
        (dict(widths={"keys": 6}), "cannot be called 'keys'.*'my_keys' would do"),
        (dict(widths={"text.bert": 6}), "cannot be called 'text.bert'.*'my_text_bert' would do"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(arguments: dict, sentence: str) -> None:
    with pytest.raises(LmamError, match=sentence):
        LMAM(**{"widths": WIDTHS, "rank": 3, **arguments})


def test_released_weights_start_as_they_do_there() -> None:
    torch.manual_seed(0)
    weight = LMAM(dict.fromkeys(WIDTHS, 256), variant="released").weights["shared"].W.weight
    assert abs(weight.mean().item()) < 1e-4
    assert weight.std().item() == pytest.approx(0.01, rel=0.02)


def test_scores_live_in_rank_space() -> None:
    """No intermediate of a forward pass is a (1 + d, d) weight: the largest is the stack of O_i."""
    from torch.utils.flop_counter import FlopCounterMode

    d, L = 64, 10
    with FlopCounterMode(display=False) as counter:
        LMAM({"text": d}, rank=2, output=False)({"text": torch.randn(1, L, d)})
    assert counter.get_total_flops() < 2 * L * d * d  # what M W alone would cost


def test_a_mask_of_numbers_is_understood() -> None:
    module = LMAM(WIDTHS, rank=3).double()
    features, mask = batch()
    torch.testing.assert_close(module(features, mask.float()), module(features, mask))


def test_a_missing_modality_is_named() -> None:
    with pytest.raises(LmamError, match="lacks video"):
        LMAM(WIDTHS, rank=3)({m: torch.zeros(1, 2, 6) for m in ("text", "audio")})


def test_numbers_of_numpy_are_numbers() -> None:
    module = LMAM({m: np.int64(d) for m, d in WIDTHS.items()}, rank=np.int32(3))
    assert (module.rank, module.d_out) == (3, 18)


MASK = torch.tensor([[True, True, True], [True, False, False]])


@pytest.mark.parametrize(
    ("text", "mask", "sentence"),
    [
        ((2, 6), None, r"text as \(B, L, 6\), conversations first; it is \(2, 6\); x\[:, None\]"),
        ((2, 3, 5), None, r"it is \(2, 3, 5\)"),
        ((2, 4, 6), None, "text 4, audio 3, video 3. `each` gives"),
        ((1, 3, 6), None, "text 1, audio 2, video 2"),
        ((2, 3, 6), MASK.T, r"they are \(2, 3, 6\) and \(3, 2\)"),
        ((2, 3, 6), torch.zeros(2, 3).masked_fill(~MASK, -torch.inf), "other numbers than 0 and 1.*`mask == 0`"),
        ((2, 3, 6), torch.zeros(2, 3), "no utterance and none has a first"),
        ((2, 3, 6), ~MASK, "no utterance and none has a first"),
    ],
)
def test_features_and_masks_of_another_form_are_told_in_a_sentence(
    text: tuple[int, ...], mask: Tensor | None, sentence: str
) -> None:
    features = {"text": torch.randn(text), "audio": torch.randn(2, 3, 6), "video": torch.randn(2, 3, 6)}
    with pytest.raises(LmamError, match=sentence):
        LMAM(WIDTHS, rank=3)(features, mask)


def test_time_first_is_told_even_where_as_many_utterances_as_conversations_are() -> None:
    features, mask = batch(lengths=(3, 1, 2))
    features = {m: (x * mask[..., None]).float() for m, x in features.items()}
    module = LMAM(WIDTHS, rank=3)
    module(features, mask)
    with pytest.raises(LmamError, match="where the transposed mask has it"):
        module({m: x.transpose(0, 1) for m, x in features.items()}, mask)


@pytest.mark.parametrize("reading", [*READ, {"variant": "released"}], ids=lambda r: "-".join(r.values()))
def test_padding_may_hold_nan(reading: dict[str, str]) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, **reading).double()
    features, mask = batch()
    empty = {m: x.masked_fill(~mask[..., None], torch.nan) for m, x in features.items()}
    out = module(empty, mask)
    torch.testing.assert_close(out, module(features, mask), rtol=0, atol=1e-12)
    out.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_much_padding_is_skipped_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module, (features, mask) = LMAM(WIDTHS, rank=3).double(), batch()
    rows: list[int] = []
    for norm in module.norm.values():
        norm.register_forward_hook(lambda norm, x, y: rows.append(x[0][..., 0].numel()))
    direction = torch.randn(*mask.shape, module.d_out, dtype=torch.float64)
    outcomes = []
    for least in (0, 10**9):
        monkeypatch.setattr(lmam, "PACKED", least)
        x = {m: value.clone().requires_grad_() for m, value in features.items()}
        out = module(x, mask)
        outcomes.append([out, *torch.autograd.grad((out * direction).sum(), [*x.values(), *module.parameters()])])
    assert rows == [int(mask.sum())] * 3 + [mask.numel()] * 3
    torch.testing.assert_close(*outcomes, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shortest", [1, 10**9])
@pytest.mark.parametrize("keys", ["own", "others", "all", "text"])
def test_modalities_with_time_steps_of_their_own(keys: str, shortest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens against frames: what a recording gives alone and unpadded, with whole α and in blocks; 0 without a key."""
    monkeypatch.setattr(blockwise, "LONG", shortest)
    monkeypatch.setattr(blockwise, "LONG_ON_THREADS", shortest)
    torch.manual_seed(0)
    module = LMAM({"text": 6, "audio": 4}, rank=3, keys=keys).double()
    lengths = {"text": (5, 2, 3), "audio": (9, 11, 0)}
    masks = {m: torch.arange(max(n)) < torch.tensor(n)[:, None] for m, n in lengths.items()}
    x = {m: torch.randn(*masks[m].shape, d, dtype=torch.float64) for m, d in (("text", 6), ("audio", 4))}
    x = {m: value.masked_fill(~masks[m][..., None], torch.nan) for m, value in x.items()}
    out = module.each(x, masks)
    assert {m: tuple(o.shape) for m, o in out.items()} == {"text": (3, 5, 6), "audio": (3, 11, 4)}
    for b in range(3):
        alone = module.each({m: value[b : b + 1, : lengths[m][b]] for m, value in x.items()})
        for m in out:
            torch.testing.assert_close(out[m][b, : lengths[m][b]], alone[m][0], rtol=0, atol=1e-12)
            assert (out[m][b, lengths[m][b] :] == 0).all()
    for (i, j), alpha in module.attention(x, masks).items():
        assert alpha.shape[1:] == (masks[i].shape[1], masks[j].shape[1])
    with pytest.raises(LmamError, match="text 5, audio 11"):
        module(x, masks)


def test_each_is_what_is_put_side_by_side() -> None:
    module, (features, mask) = LMAM(WIDTHS, rank=3, keys="all").double(), batch()
    torch.testing.assert_close(torch.cat(list(module.each(features, mask).values()), -1), module(features, mask))
    silent = mask.clone()
    silent[0, 2] = False  # an utterance without video
    masks = {"text": mask, "audio": mask, "video": silent}
    out = module(features, masks)
    torch.testing.assert_close(torch.cat(list(module.each(features, masks).values()), -1), out)
    assert (out[0, 2, 12:] == 0).all()
    assert out[0, 2, :12].abs().max() > 0


class Positional(torch.nn.Module):
    """LMAM of tensors, as exported programs take them."""

    def __init__(self, keys: str) -> None:
        super().__init__()
        self.fuse = LMAM({"text": 6, "audio": 4}, rank=3, keys=keys).eval()

    def forward(self, text: Tensor, audio: Tensor, mask: Tensor) -> Tensor:
        return self.fuse({"text": text, "audio": audio}, mask)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("keys", ["own", "others", "concatenated"])
@pytest.mark.parametrize("how", ["export", "trace"])
def test_a_program_made_at_one_length_runs_at_another(keys: str, how: str) -> None:
    torch.manual_seed(0)
    module = Positional(keys)

    def arguments(*lengths: int) -> tuple[Tensor, ...]:
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return torch.randn(*mask.shape, 6), torch.randn(*mask.shape, 4), mask

    if how == "trace":
        program = torch.jit.trace(module, arguments(5, 3), check_trace=False)
    else:
        shape = {0: torch.export.Dim("B"), 1: torch.export.Dim("L")}
        program = torch.export.export(module, arguments(5, 3), dynamic_shapes=(shape,) * 3).module()
    other = arguments(9, 40, 1)
    torch.testing.assert_close(program(*other), module(*other))


def test_inference_keeps_one_weight_matrix() -> None:
    """Of three modalities one after the other; in a process of its own, where memory counts from zero.

    2.5 matrices at the peak, of which one is the product that becomes the next; 5.2 with all three kept.
    """
    code = """if True:
        import psutil, torch
        from lmam_core import LMAM
        from lmam_core.runs.peak_memory import PeakMemory
        L = 2000
        module = LMAM(dict.fromkeys(("text", "audio", "video"), 100), 45)
        x = {m: torch.randn(1, L, 100) for m in module.modalities}
        with torch.no_grad():
            module({m: value[:, :50] for m, value in x.items()})
            before = psutil.Process().memory_info().rss
            with PeakMemory() as peak:
                module(x)
        print((1e6 * peak.megabytes - before) / (4 * L * L))
    """
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=one_thread, capture_output=True, text=True, check=True)
    assert 1 < float(done.stdout) < 3.5
