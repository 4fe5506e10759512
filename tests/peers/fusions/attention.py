"""MulT, AuxFormer, torch's own attention and the code that LMAM's authors released beside ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmam_core.batch import Conversations
from lmam_core.models.fusion import build
from tests.peers import LENGTHS, Peer, Shapes, load, rename
from tests.peers.fusions import SMALL, TIMED, UNCOMPARED, Fused, from_root, ours, unpadded

LETTERS = {"text": "l", "audio": "a", "video": "v"}
DROPOUTS = dict(attn_dropout=0.0, relu_dropout=0.1, res_dropout=0.1, embed_dropout=0.0, out_dropout=0.1)
"""Where ours drops out, they do; what they drop besides would only cost them time."""


def _double(some: Conversations) -> contextlib.AbstractContextManager:
    """MulT's softmax rounds to float32, which would hide differences as small."""
    double = next(iter(some.features.values())).dtype == torch.float64
    return mock.patch.object(Tensor, "float", lambda x: x) if double else contextlib.nullcontext()


def _contiguous(made: nn.Module) -> nn.Module:
    """Their sinusoids want a view of positions that lie in order, as torch once made them of any input."""
    for encoder in made.modules():
        if hasattr(encoder, "embed_positions"):
            encoder.embed_positions.register_forward_pre_hook(lambda layer, inputs: inputs[0].contiguous())
    return made


def _mult(shapes: Shapes) -> nn.Module:
    """MulT without its mask of the future, which the paper does not have."""
    given = {f"orig_d_{letter}": shapes.widths[m] for m, letter in LETTERS.items()}
    given |= dict(vonly=True, aonly=True, lonly=True, num_heads=5, layers=5, attn_mask=False, output_dim=1)
    given |= DROPOUTS | dict(attn_dropout_a=0.0, attn_dropout_v=0.0)
    return _contiguous(from_root("MulT", "src/models.py").MULTModel(SimpleNamespace(**given)))


def _call_mult(theirs: nn.Module, some: Conversations) -> Tensor:
    """What they take the last step of."""

    def once(x: Mapping[str, Tensor]) -> Tensor:
        z = {
            LETTERS[m]: getattr(theirs, f"proj_{LETTERS[m]}")(v.transpose(1, 2)).permute(2, 0, 1) for m, v in x.items()
        }
        fused = []
        for i in z:
            crossed = [getattr(theirs, f"trans_{i}_with_{j}")(z[i], z[j], z[j]) for j in z if j != i]
            fused.append(getattr(theirs, f"trans_{i}_mem")(torch.cat(crossed, 2)))
        return torch.cat(fused, 2).transpose(0, 1)  # (B, L, 180)

    with _double(some):
        return unpadded(once, some)


def _encoder(ours: Mapping[str, Tensor], name: str, k: int, theirs: str) -> dict[str, Tensor]:
    """Encoder k of a `Stacks` of ours under the names of theirs, which have weights the other way round."""
    found = {}
    for n, x in ours.items():
        if not n.startswith(f"{name}.layers."):
            continue
        layer, part = n.removeprefix(f"{name}.layers.").split(".")
        found[f"{layer}.{part}"] = x[k].squeeze(0) if part.startswith("norm") or part.endswith("bias") else x[k].T
    named = {
        "output": "self_attn.out_proj",
        "wide": "fc1",
        "narrow": "fc2",
        "norm1": "layer_norms.0",
        "norm2": "layer_norms.1",
    }
    renamed = {
        f"{theirs}.layer_norm.weight": ours[f"{name}.norm"][k, 0],
        f"{theirs}.layer_norm.bias": ours[f"{name}.norm_bias"][k, 0],
    }
    for layer in {n.split(".")[0] for n in found}:
        at = f"{theirs}.layers.{layer}"
        for part, end in (("", "weight"), ("_bias", "bias")):
            both = [found[f"{layer}.{which}{part}"] for which in ("query", "pair")]
            renamed[f"{at}.self_attn.in_proj_{end}"] = torch.cat(both)
            renamed |= {f"{at}.{their}.{end}": found[f"{layer}.{our}{part}"] for our, their in named.items()}
    return renamed


def mult_weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of MulT's."""
    names = list(LETTERS.values())
    found = {f"proj_{letter}.weight": ours[f"fusion.project.{m}.weight"][..., None] for m, letter in LETTERS.items()}
    for k, (i, j) in enumerate((i, j) for i in names for j in names if i != j):
        found |= _encoder(ours, "fusion.cross", k, f"trans_{i}_with_{j}")
    for k, i in enumerate(names):
        found |= _encoder(ours, "fusion.own", k, f"trans_{i}_mem")
    return found


def _auxformer(shapes: Shapes) -> nn.Module:
    """AuxFormer for these widths, without the learned factor of its own encoders, which ours leaves out."""
    given = SimpleNamespace(num_heads=10, layers=5, attn_mask=False, output_dim=1, **DROPOUTS)
    made = from_root("AuxFormer", "net/avmodel_AF.py").AVmodel(given)
    made.trans_a_mem, made.trans_v_mem = (made.transformer_arch("audio_self") for _ in range(2))
    made.conv_1d_a, made.conv_1d_v = (nn.Conv1d(shapes.widths[m], made.d_v, 1, bias=False) for m in ("audio", "video"))
    return _contiguous(made)


def _call_auxformer(theirs: nn.Module, some: Conversations) -> Tensor:
    """What they take the last step of: both modalities, then what each auxiliary network predicts from."""

    def once(x: Mapping[str, Tensor]) -> Tensor:
        a, v = (getattr(theirs, f"conv_1d_{m[0]}")(x[m].transpose(1, 2)).permute(2, 0, 1) for m in x)
        fused = [theirs.trans_a_mem(theirs.trans_a_with_v(a, v, v)), theirs.trans_v_mem(theirs.trans_v_with_a(v, a, a))]
        for h, alone in ((a, theirs.a_mem), (v, theirs.v_mem)):
            h = alone(alone(alone(h)))
            y = h
            for k in (1, 2):
                y = nn.functional.dropout(torch.relu(getattr(theirs, f"proj_aux{k}")(y)), 0.1, theirs.training)
            fused.append(theirs.proj_aux3(y) + h)
        return torch.cat(fused, 2).transpose(0, 1)  # (B, L, 200)

    return unpadded(once, some)


def auxformer_weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of AuxFormer's."""
    found = {}
    for k, (m, other) in enumerate((("a", "v"), ("v", "a"))):
        found[f"conv_1d_{m}.weight"] = ours[f"fusion.project.{('audio', 'video')[k]}.weight"][..., None]
        for our, their in (("cross", f"trans_{m}_with_{other}"), ("own", f"trans_{m}_mem"), ("alone", f"{m}_mem")):
            found |= _encoder(ours, f"fusion.{our}", k, their)
    for k, layer in enumerate((0, 3, 6), 1):
        found |= {f"proj_aux{k}.{end}": ours[f"fusion.mlp.{layer}.{end}"] for end in ("weight", "bias")}
    return found


class Heads(nn.Module):
    """One `nn.MultiheadAttention` of one head a modality, whose output map is the identity and stays it.

    torch multiplies by that map all the same, a fourth product with weights beside ours; `Plain` has three as well.
    """

    def __init__(self, shapes: Shapes, weights: bool, padded: bool) -> None:
        super().__init__()
        self.weights, self.padded = weights, padded
        self.heads = nn.ModuleDict({m: nn.MultiheadAttention(d, 1, batch_first=True) for m, d in shapes.widths.items()})
        for head in self.heads.values():
            nn.init.eye_(head.out_proj.weight)
            head.out_proj.requires_grad_(False)

    def forward(self, some: Conversations) -> Tensor:
        hidden = ~some.mask if self.padded else None
        fused = [
            head(x, x, x, key_padding_mask=hidden, need_weights=self.weights)[0]
            for head, x in ((head, some.features[m]) for m, head in self.heads.items())
        ]
        return torch.cat(fused, -1)


def _heads(weights: bool, padded: bool) -> Callable[[Shapes], nn.Module]:
    return lambda shapes: Heads(shapes, weights, padded)


def head_weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of torch's."""
    return {
        n.replace("fusion.maps", "heads").replace(".weight", ".in_proj_weight").replace(".bias", ".in_proj_bias"): x
        for n, x in ours.items()
    }


class Plain(nn.Module):
    """What one would write with torch: a linear map to queries, keys and values, and its attention kernel."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({m: nn.Linear(d, 3 * d) for m, d in shapes.widths.items()})

    def forward(self, some: Conversations) -> Tensor:
        hidden = some.mask[:, None, None]  # (B, 1, 1, L)
        each = [self.maps[m](x)[:, None].chunk(3, -1) for m, x in some.features.items()]  # (B, 1, L, d) each
        return torch.cat([F.scaled_dot_product_attention(*qkv, hidden)[:, 0] for qkv in each], -1)


def plain_weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of `Plain`."""
    return {n.removeprefix("fusion."): x for n, x in ours.items()}


def _ours_released(shapes: Shapes) -> nn.Module:
    return Fused(build("lmam", shapes.widths, variant="released"))


class Released(nn.Module):
    """The authors' matching behind linear maps to one width, as their models have for audio and video."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.code, width = load("LMAM", "baseline/LMAM.py"), max(shapes.widths.values())
        self.project = nn.ModuleDict({m: nn.Linear(d, width) for m, d in shapes.widths.items()})
        self.match = self.code.MatchingAttention(width, width)

    def forward(self, some: Conversations) -> Tensor:
        x = [project(some.features[m]).transpose(0, 1) for m, project in self.project.items()]  # (L, B, d) each
        keep = some.mask.to(x[0].dtype)
        return self.code.Matching(self.match, x[0], x, keep).transpose(0, 1)  # (B, L, d)


def released_weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of `Released`."""
    named = {"fusion.project": "project", "fusion.weights.shared.W": "match.transform"}
    return {rename(n, named): x for n, x in ours.items()}


def _call(theirs: nn.Module, some: Conversations) -> Tensor:
    return theirs(some)


PAIR = Shapes({"audio": 6, "video": 4}, LENGTHS)
TIMED_PAIR = Shapes({"audio": 1024, "video": 50}, TIMED.lengths)
"""The widths that AuxFormer fixes."""
LEVEL = 0.9
"""The target beside the same products with nothing to save: ours also looks for padding, and medians differ."""
PEERS = {
    "cross_modal.mult": Peer(ours("cross_modal"), _mult, _call_mult, mult_weights, SMALL, TIMED, 1.0),
    "auxformer.auxformer": Peer(
        ours("auxformer"), _auxformer, _call_auxformer, auxformer_weights, PAIR, TIMED_PAIR, 1.0
    ),
    "self_attention.torch": Peer(ours("self_attention"), _heads(False, True), _call, head_weights, SMALL, TIMED, 1.0),
    "self_attention.torch_unpadded": Peer(
        ours("self_attention"), _heads(False, False), _call, head_weights, UNCOMPARED, TIMED, 1.0
    ),
    "self_attention.torch_weights": Peer(
        ours("self_attention"), _heads(True, True), _call, head_weights, SMALL, TIMED, 1.0
    ),
    "self_attention.plain": Peer(ours("self_attention"), Plain, _call, plain_weights, SMALL, TIMED, LEVEL),
    "lmam.yuntaoshou": Peer(_ours_released, Released, _call, released_weights, SMALL, TIMED, 1.0),
}
