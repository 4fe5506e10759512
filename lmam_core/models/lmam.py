"""Low-rank matching attention (LMAM), arXiv 2306.17799v2, Section IV: the whole contribution in one file.

Symbols follow the paper. A modality i of one conversation has L utterances of width d. M_i = K_i = V_i = ξ_i is its
feature matrix with a column of ones in front (Eq. 3), so it is (L, 1 + d).

    Q_i = M_i W_i + b_i                     (4)   W_i = U_i V_i^T, rank r     (8, 9)
    α_i = softmax(tanh(Q_i K^T / √d_k))     (5)
    A_i = α_i V                             (6)
    O_i = ReLU(Linear(Norm(A_i + I_i)))     (7)

Three places of the equations decide the cost, and the code keeps to them:

* M_i U_i = x_i U_i[1:] + U_i[0]: padding with ones is the bias of a linear layer, so it is never materialised.
* Q_i K^T = (M_i U_i)(K V_i)^T + (K b_i)^T lives in rank space: W_i is never built.
* tanh bounds every score by 1, so softmax cannot overflow, and a finite floor for padding is enough.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmam_core.batch import Turns
from lmam_core.errors import LmamError, unknown
from lmam_core.models.contracts.fusion import Fusion, named, register
from lmam_core.models.contracts.parts import ModuleDict
from lmam_core.models.kernels import blockwise
from lmam_core.models.layers.transformer import Places

READINGS: dict[str, tuple[str, ...]] = {
    "keys": ("own", "others", "all", "text", "concatenated"),
    "scale": ("length", "width", "none"),
    "weight": ("factors", "full", "vector"),
    "combine": ("concat", "sum"),
}
"""What the text leaves open, and the readings on offer; `LMAM` says what each means."""
CONCATENATED = "concatenated"

VARIANTS: dict[str, dict[str, str]] = {
    "paper": {"keys": "own", "scale": "length", "weight": "factors", "combine": "concat"},
    "algorithm1": {"keys": "own", "scale": "length", "weight": "factors", "combine": "concat"},
    "released": {"keys": "text", "scale": "none", "weight": "full", "combine": "sum"},
}
"""The default readings of each variant; in `released` they are what the code does, so they are not open."""

TAKEN = "LMAM takes True or 1 where an utterance stands, False or 0 for padding"

PACKED = 100_000
"""Numbers in the padding of a modality from which on Eq. 7 is carried out for utterances alone; fewer do not pay."""


def readings(variant: str, **options: str | None) -> dict[str, str]:
    """Each of `READINGS` as asked for, or as the variant has it; raises LmamError for one that there is not."""
    if variant not in VARIANTS:
        raise unknown("LMAM has no variant", variant, VARIANTS)
    resolved = dict(VARIANTS[variant])
    for name, value in options.items():
        if value is None:
            continue
        if value not in READINGS[name]:
            raise LmamError(f"LMAM reads '{name}' as {', '.join(READINGS[name])}; '{value}' is none of them.")
        if variant == "released" and value != resolved[name]:
            raise LmamError(f"The released variant fixes {name}='{resolved[name]}'; use variant='paper' to change it.")
        resolved[name] = value
    return resolved


def streams(widths: Mapping[str, int], keys: str) -> dict[str, int]:
    """The width of each stream that is matched: of every modality, or of all concatenated."""
    return {CONCATENATED: sum(widths.values())} if keys == CONCATENATED else dict(widths)


def matched_widths(widths: Mapping[str, int], readings: Mapping[str, str], width: int | None) -> dict[str, int]:
    """The width in which each stream is matched: one for all where they meet, in a score, a mean or a sum."""
    if readings["keys"] == "own" and readings["combine"] == "concat" and width is None:
        return dict(widths)
    return dict.fromkeys(widths, width or max(widths.values()))


class FactorWeight(nn.Module):
    """W = U V^T of Eq. 8 and 9, read as a sum of r outer products u_j v_j^T, and b of Eq. 4.

    U and V are (1 + d, r); their first rows, which meet the column of ones, are the biases of two linear layers.
    b reaches the scores as K b, one more column beside K V that meets a 1 beside M U.
    2 r (1 + d) + (1 + d) parameters.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.U = nn.Linear(width, rank)
        self.V = nn.Linear(width, rank + 1)  # its last output is K b

    def query(self, x: Tensor) -> Tensor:
        """[M U, 1], the queries in rank space."""
        return F.pad(self.U(x), (0, 1), value=1.0)  # (B, L, r + 1)

    def key(self, x: Tensor) -> Tensor:
        """[K V, K b], the keys in rank space."""
        return self.V(x)  # (B, L, r + 1)

    @torch.no_grad()
    def load_full(self, full: FullWeight) -> None:
        """Take over the best rank-r approximation of a full weight (Eckart and Young); exact for r = d.

        The first row of W meets a constant 1, so it goes into b: what is left has d rows, hence rank <= d.
        """
        u, s, vt = torch.linalg.svd(full.W.weight.T, full_matrices=False)  # of the (d, 1 + d) rows below the first
        r = self.U.out_features
        root = s[:r].sqrt()
        self.U.weight.copy_((u[:, :r] * root).T)
        self.U.bias.zero_()
        V = torch.cat([vt[:r] * root[:, None], full.W.bias[None]])  # (r + 1, 1 + d)
        self.V.bias.copy_(V[:, 0])
        self.V.weight.copy_(V[:, 1:])


class FullWeight(nn.Module):
    """W of Eq. 4 before Section IV-B decomposes it, (1 + d, 1 + d), with b.

    The first row of W meets a constant 1 and b is added to the same place, so one bias stands for both.
    (1 + d)^2 parameters.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Linear(width, 1 + width)

    def query(self, x: Tensor) -> Tensor:
        """M W + b."""
        return self.W(x)  # (B, L, 1 + d)

    def key(self, x: Tensor) -> Tensor:
        """K with its column of ones."""
        return F.pad(x, (1, 0), value=1.0)  # (B, L, 1 + d)


class VectorWeight(nn.Module):
    """Eq. 8 and 9 as printed: W is a sum of r vectors, so it is one vector, a gate on each column of M; and b.

    r (1 + d) + (1 + d) parameters, of which any r >= 1 express the same gates: here the rank changes nothing.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.omega = nn.Parameter(torch.randn(rank, 1 + width) / (rank * (1 + width)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(1 + width))

    def query(self, x: Tensor) -> Tensor:
        """M gated column by column, plus b."""
        return F.pad(x, (1, 0), value=1.0) * self.omega.sum(0) + self.bias  # (B, L, 1 + d)

    def key(self, x: Tensor) -> Tensor:
        """K with its column of ones."""
        return F.pad(x, (1, 0), value=1.0)  # (B, L, 1 + d)


class ReleasedWeight(nn.Module):
    """The weight of the authors' released code: one square linear layer, shared by all modalities, keys unpadded.

    d^2 + d parameters; weights start as N(0, 0.01^2) as they do there. Its "rank" must equal d: nothing is low-rank.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Linear(width, width)
        nn.init.normal_(self.W.weight, std=0.01)

    def query(self, x: Tensor) -> Tensor:
        """x W^T + b."""
        return self.W(x)  # (B, L, d)

    def key(self, x: Tensor) -> Tensor:
        """The features themselves; a view, whose gradient waits for those of the values, as every other key's does."""
        return x.view_as(x)  # (B, L, d)


Weight = FactorWeight | FullWeight | VectorWeight | ReleasedWeight


@register("lmam", title="LMAM", options=("rank", "variant", "keys", "scale", "weight", "combine"), rank=45)
class LMAM(Fusion):
    """Low-rank matching attention over modalities that share their time steps.

    `widths` gives d_m per modality, in the order in which results are concatenated; `rank` is r, 1..d.
    Call with `features[m]` (B, L, d_m) and a mask (B, L), True where an utterance stands, or the batch's `Turns`;
    returns (B, L, d_out), zero where masked. What padding holds changes nothing, NaN included. `each` takes modalities
    with time steps and masks of their own. From `blockwise.LONG` utterances on, later on several threads or on a GPU,
    memory grows with L instead of L^2.

    Variants: `paper` (Eq. 3 to 9); `algorithm1` (line 13 of Algorithm 1 in place of Eq. 7: A_i + GELU(x_i), no norm,
    no output layer); `released` (the authors' code: keys and values are the text, one full weight for all modalities,
    no scale, GELU(Σ A_i) + x_text; `rank` does not exist in it and is ignored).

    Readings, for what the paper leaves open (None takes the variant's own):

    * `keys`: `own` (Eq. 4 to 6 as printed, K_i = V_i = ξ_i), `others` (Section I: the other modalities, under one
      softmax), `all` (both), `text` (the text for every query, as the released code does), `concatenated` (Section
      IV-D: the modalities concatenated are one stream ξ, (L, Σ d_m), with K = V = M = ξ, so that every score has terms
      between modalities).
    * `scale`: `length` (d_k is "the sequence length", Section IV-A: how many utterances the conversation has in the
      query's modality), `width` (d_k = d, as in Eq. 2), `none`.
    * `weight`: `factors` (W = U V^T), `full` (Eq. 4 before Eq. 8), `vector` (Eq. 8 and 9 as printed).
    * `combine`: `concat` or `sum` of the O_i.

    Attention across modalities, and a sum, need one width: unless `keys` is `own`, `combine` is `concat` and no `width`
    is given, modalities whose width differs from `width` (default: the widest) first pass a linear layer; in `released`
    all do, as there; so does a concatenation of another width than `width`. The ones column is left out of V and I:
    through Eq. 6 it stays 1.
    `output=False` leaves out the linear layer and ReLU of Eq. 7. Raises LmamError for a rank outside 1..d, an unknown
    variant, reading or modality, and for features or a mask of another kind or shape. Warns of a mask that looks
    inverted and of features that look like (L, B, d_m), though not on a GPU, for which that would mean waiting.

    >>> streams = {"text": torch.randn(2, 9, 100), "audio": torch.randn(2, 9, 40)}
    >>> mask = torch.ones(2, 9, dtype=torch.bool)
    >>> LMAM({"text": 100, "audio": 40}, rank=8)(streams, mask).shape
    torch.Size([2, 9, 140])
    >>> LMAM({"text": 100, "audio": 40}, rank=8, keys="others", combine="sum")(streams, mask).shape
    torch.Size([2, 9, 100])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        rank: int = 45,
        variant: str = "paper",
        *,
        keys: str | None = None,
        scale: str | None = None,
        weight: str | None = None,
        combine: str | None = None,
        width: int | None = None,
        output: bool = True,
    ) -> None:
        super().__init__()
        resolved = readings(variant, keys=keys, scale=scale, weight=weight, combine=combine)
        self.variant, self.widths = variant, named("LMAM", widths)
        self.modalities = tuple(self.widths)
        self.keys, self.scale, self.weight, self.combine = (resolved[name] for name in READINGS)
        if self.keys == "text" and "text" not in widths:
            raise LmamError(f"keys='text' needs a modality called text; there are {', '.join(widths)}.")
        self.streams = streams(self.widths, self.keys)
        self.width = matched_widths(self.streams, resolved, width)
        # As audio and video in the authors' models, where text comes out of an encoder in that width already.
        always = variant == "released"
        self.project = nn.ModuleDict(
            {
                m: nn.Linear(d, self.width[m]) if always or d != self.width[m] else nn.Identity()
                for m, d in self.streams.items()
            }
        )
        self._build_weights(rank)
        self._build_output(output)

    @staticmethod
    def size(
        widths: Mapping[str, int],
        rank: int = 45,
        variant: str = "paper",
        *,
        width: int | None = None,
        output: bool = True,
        **options: str | None,
    ) -> int:
        """Parameters in closed form, for modalities that meet LMAM d wide.

        Σ_m of a weight, 2 r (1 + d) + (1 + d) for `factors`, (1 + d)^2 for `full`, r (1 + d) + (1 + d) for `vector`;
        in `paper` 2 d for the norm, and (d + 1) d_m for the linear layer of Eq. 7; (d_m + 1) d where a linear layer
        brings d_m to d. In `released` one weight d^2 + d. With `concatenated` m is the one stream. Source: Eq. 3 to 9.
        """
        resolved = readings(variant, **options)
        released, paper = variant == "released", variant == "paper"
        total, entering = 0, streams(widths, resolved["keys"])
        for m, d in matched_widths(entering, resolved, width).items():
            d_m = entering[m]
            of = {"factors": (2 * rank + 1) * (1 + d), "full": (1 + d) ** 2, "vector": (rank + 1) * (1 + d)}
            total += 0 if released else of[resolved["weight"]]
            total += (d_m + 1) * d if released or d != d_m else 0
            total += 2 * d if paper else 0
            total += (d + 1) * (d_m if resolved["combine"] == "concat" else d) if paper and output else 0
        return total + (d * d + d if released else 0)

    def _build_weights(self, rank: int) -> None:
        self.rank: int | None = None
        if self.variant == "released":
            self.weights: ModuleDict[Weight] = ModuleDict({"shared": ReleasedWeight(self.width[self.modalities[0]])})
        elif self.weight == "full":
            self.weights = ModuleDict({m: FullWeight(d) for m, d in self.width.items()})
        else:
            narrowest = min(self.width.values())
            try:
                self.rank = None if isinstance(rank, bool) else operator.index(rank)
            except TypeError:
                self.rank = None
            if self.rank is None or not 1 <= self.rank <= narrowest:
                raise LmamError(
                    f"LMAM's rank must be a whole number from 1 to {narrowest}, the narrowest width; got {rank!r}."
                )
            kind = FactorWeight if self.weight == "factors" else VectorWeight
            self.weights = ModuleDict({m: kind(d, self.rank) for m, d in self.width.items()})

    def _build_output(self, output: bool) -> None:
        paper = self.variant == "paper"
        # O_i goes back to the width that modality i came with; a sum needs one width for all.
        out = self.width if self.combine == "sum" or not (paper and output) else self.streams
        self.norm = nn.ModuleDict({m: nn.LayerNorm(d) for m, d in self.width.items()} if paper else {})
        self.output = nn.ModuleDict(
            {m: nn.Linear(self.width[m], out[m]) for m in self.streams} if paper and output else {}
        )
        self.d_out = sum(out.values()) if self.combine == "concat" else next(iter(out.values()))

    def forward(
        self, features: Mapping[str, Tensor], turns: Turns | Tensor | Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Fuse the modalities to (B, L, d_out), by a mask, one per modality, or `Turns`; without, none is missing."""
        x, masks = self._inputs(features, turns)
        mask = next(iter(masks.values()))
        _share_time_steps(x)
        O = self._equations(x, masks, self._places(turns, masks))
        if isinstance(turns, Mapping):
            O = {i: o * masks[i][..., None] for i, o in O.items()}
            mask = torch.stack(list(masks.values())).any(0)
        # The sum starts from 0, so that that of one stream is a new tensor, too.
        zero = mask.new_zeros((), dtype=torch.float32)
        fused = torch.cat(list(O.values()), -1) if self.combine == "concat" else sum(O.values(), zero)
        if self.variant == "released":
            fused = F.gelu(fused) + x["text"]
        # In place where autograd allows it: a (B, L, 3 d) tensor costs as much to allocate as to compute.
        return fused.mul_(mask[..., None])  # (B, L, d_out)

    def each(
        self, features: Mapping[str, Tensor], masks: Turns | Tensor | Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """O_i of Eq. 7 per stream, (B, L_i, d_i), before they are combined.

        A stream is a modality, or `concatenated`. Modalities may have time steps and masks (B, L_m) of their own: with
        `keys="others"`, tokens (B, 20, 768) look at the 300 frames of the same B recordings, and frames at tokens.
        """
        x, each = self._inputs(features, masks)
        O = self._equations(x, each, self._places(masks, each))
        return {i: o * each[i][..., None] for i, o in O.items()}

    def attention(
        self, features: Mapping[str, Tensor], mask: Turns | Tensor | Mapping[str, Tensor] | None = None
    ) -> dict[tuple[str, str], Tensor]:
        """α of Eq. 5 by (query stream i, key stream j), (B, L_i, L_j); over all keys of a query they sum to 1."""
        x, masks = self._inputs(features, mask)
        alpha: dict[tuple[str, str], Tensor] = {}
        for i in self.streams:
            Q, K = self._queries_and_keys(i, x, masks)
            parts = _split(self._weights_of(Q, K, [masks[j] for j in self._matched(i)]), K)
            alpha |= {(i, j): part * masks[i][..., None] for j, part in zip(self._matched(i), parts, strict=True)}
        return alpha

    def _equations(
        self, x: Mapping[str, Tensor], masks: Mapping[str, Tensor], places: Mapping[str, Places]
    ) -> dict[str, Tensor]:
        """O_i of each modality; M_i = K_i = V_i = [1, x_i] of Eq. 3, whose ones are the biases of the weights."""
        # For all modalities first: autograd adds up the gradients of x in the order of these products.
        QK = {i: self._queries_and_keys(i, x, masks) for i in self.streams}  # Eq. 4, 8 and 9
        O = {}
        for i, (Q, K) in QK.items():
            V, seen = [x[j] for j in self._matched(i)], [masks[j] for j in self._matched(i)]
            I = self._start(x[i])
            if any(blockwise.is_long(side.shape[1], side.device) for side in (Q, *K)):
                A = blockwise.matched(Q, K, V, masks[i], seen)  # Eq. 5 and 6
                A = A if I is None else A + I
            else:
                A = _average(self._weights_of(Q, K, seen), V, I)  # Eq. 5 and 6, (B, L, d)
            O[i] = self._close(i, A, places.get(i))  # Eq. 7
        return O

    def _matched(self, query: str) -> tuple[str, ...]:
        """The modalities whose utterances the queries of `query` are matched with; alone, a modality has itself."""
        others = tuple(m for m in self.modalities if m != query)
        matched = {"own": (query,), "others": others or (query,), "all": self.modalities, "text": ("text",)}
        return matched.get(self.keys, (query,))

    def _queries_and_keys(
        self, i: str, x: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Q_i / √d_k, and K of each matched modality as Q_i meets it, in rank space; each (B, L, r + 1)."""
        weight = self.weights[i if i in self.weights else "shared"]
        length = masks[i].sum(1).clamp(min=1).to(x[i].dtype)[:, None, None]  # (B, 1, 1)
        d_k: dict[str, Tensor | float] = {"length": length, "width": self.width[i], "none": 1.0}
        return weight.query(x[i]) * d_k[self.scale] ** -0.5, [weight.key(x[j]) for j in self._matched(i)]

    @staticmethod
    def _weights_of(Q: Tensor, K: Sequence[Tensor], seen: Sequence[Tensor]) -> Tensor:
        """α = softmax(tanh(Q K^T / √d_k)) of Eq. 5, (B, L, Σ L_j): the keys of the matched modalities side by side."""
        scores = []
        for k, mask in zip(K, seen, strict=True):
            # A finite floor instead of -inf: it underflows to an exact 0, and a row without any key stays finite.
            floor = k.new_zeros(mask.shape).masked_fill(~mask, torch.finfo(k.dtype).min)[:, None, :]  # (B, 1, L_j)
            score = torch.tanh_(Q @ k.transpose(1, 2))  # (B, L, L_j)
            kept = score.requires_grad or blockwise.is_traced()  # a trace is made twice, with gradients and without
            scores.append(score + floor if kept else score.add_(floor))
        return torch.softmax(torch.cat(scores, -1) if len(scores) > 1 else scores[0], -1)

    def _start(self, x: Tensor) -> Tensor | None:
        """What A_i is added to: I_i = x_i of Eq. 7, GELU(x_i) of line 13, nothing in the released code."""
        if self.variant == "released":
            return None
        return x if self.variant == "paper" else F.gelu(x)

    def _close(self, i: str, A: Tensor, places: Places | None) -> Tensor:
        """ReLU(Linear(Norm(A_i + I_i))) of Eq. 7, or as much of it as the variant has, at `places` alone if given."""
        if i not in self.norm:
            return A
        E = self.norm[i](A if places is None else places.pack(A))
        O = F.relu_(self.output[i](E)) if i in self.output else E
        return O if places is None else places.pad(O)

    def _places(self, turns: object, masks: Mapping[str, Tensor]) -> dict[str, Places]:
        """Where utterances stand, for masks that leave out enough for it to pay.

        Not for `Turns`, by which the runs of a store come: sums over fewer rows are rounded otherwise.
        """
        if turns is None or isinstance(turns, Turns) or not all(map(_legible, masks.values())):
            return {}
        places: dict[int, Places] = {}
        for m, mask in masks.items():
            if id(mask) not in places:
                places[id(mask)] = Places(mask, mask.flatten().nonzero().squeeze(1))
            if (mask.numel() - len(places[id(mask)].index)) * self.width[m] < PACKED:
                return {}
        return {m: places[id(mask)] for m, mask in masks.items()}

    def _inputs(
        self, features: Mapping[str, Tensor], turns: Turns | Tensor | Mapping[str, Tensor] | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """x_m (B, L, d) as it is matched and mask_m (B, L) for every stream, zero where the mask is."""
        missing = [m for m in self.modalities if m not in features]
        if missing:
            raise LmamError(f"LMAM was built for {', '.join(self.modalities)}; the batch lacks {', '.join(missing)}.")
        trusted = isinstance(turns, Turns)
        masks_of = turns.mask if isinstance(turns, Turns) else turns
        masks, x = {}, {}
        for m in self.modalities:
            mask = masks_of.get(m) if isinstance(masks_of, Mapping) else masks_of
            if not blockwise.is_traced():
                self._check(m, features, mask, trusted)
            # 0 times what stands in the padding is not 0 where that is NaN.
            clean = mask is None or trusted or (_legible(mask) and bool(mask.all()))
            if mask is None:
                mask = torch.ones(features[m].shape[:2], dtype=torch.bool, device=features[m].device)
            masks[m] = mask.bool()
            x[m] = features[m] if clean else features[m].masked_fill(~masks[m][..., None], 0)
            if m in self.streams:
                x[m] = self._projected(m, x[m], None if clean else masks[m])
        if isinstance(masks_of, Tensor) and not trusted and _legible(masks_of):
            self._doubt(features, masks_of.bool())
        if self.keys == CONCATENATED:
            _share_time_steps(x)
            # An utterance that lacks a modality has zeros in its place.
            present = torch.stack(list(masks.values())).any(0) if isinstance(masks_of, Mapping) else masks[m]
            stream = torch.cat(list(x.values()), -1)  # (B, L, Σ d_m)
            x, masks = {CONCATENATED: self._projected(CONCATENATED, stream, present)}, {CONCATENATED: present}
        return x, masks

    def _projected(self, i: str, x: Tensor, mask: Tensor | None) -> Tensor:
        """A stream in the width in which it is matched, zero where a mask is; a linear layer's bias is no value."""
        if isinstance(self.project[i], nn.Identity):
            return x
        x = self.project[i](x)
        return x if mask is None else x.masked_fill(~mask[..., None], 0)

    def _check(self, m: str, features: Mapping[str, Tensor], mask: Tensor | None, trusted: bool) -> None:
        """Raise LmamError where features or mask are not what they are taken for."""
        x, d = features[m], self.widths[m]
        for what, given in ((m, x), ("a mask", mask)):
            if given is not None and not isinstance(given, Tensor):
                kind = type(given).__name__
                raise LmamError(f"LMAM takes {what} as a tensor, which torch.as_tensor makes of a {kind}.")
        if x.dim() != 3 or x.shape[2] != d:
            hint = "; x[:, None] makes a conversation of one utterance of every row" if x.dim() == 2 else ""
            raise LmamError(f"LMAM takes {m} as (B, L, {d}), conversations first; it is {_shape(x)}{hint}.")
        if any(features[name].shape[0] != x.shape[0] for name in self.modalities):
            sizes = ", ".join(f"{name} {features[name].shape[0]}" for name in self.modalities)
            raise LmamError(f"All modalities need the same conversations; here there are {sizes}.")
        if mask is None or (trusted and mask.shape == x.shape[:2]):
            return
        if mask.shape != x.shape[:2]:
            raise LmamError(
                f"LMAM takes {m} as (B, L, {d}) with a mask (B, L), conversations first; they are {_shape(x)} and "
                f"{_shape(mask)}."
            )
        # The one look at values that a GPU waits for: no bool holds another number.
        if mask.dtype != torch.bool and _legible(mask, waiting=True) and not ((mask == 0) | (mask == 1)).all():
            raise LmamError(f"The mask holds other numbers than 0 and 1: {TAKEN}; `mask == 0` reads an additive one.")

    def _doubt(self, features: Mapping[str, Tensor], mask: Tensor) -> None:
        """Warn of a mask (B, L) that allows what it says and hardly means it."""
        spoken = mask.any(1)  # (B,)
        if mask.numel() and not mask[:, 0].any() and not spoken.all():
            b = int(spoken.int().argmin())
            warnings.warn(f"The mask is false everywhere in conversation {b}; is it inverted? {TAKEN}.", stacklevel=2)
        if mask.shape[0] == mask.shape[1] and not torch.equal(mask, mask.T):
            silent = torch.stack([(features[m] == 0).all(2) for m in self.modalities]).all(0)  # (B, L)
            if torch.equal(silent, ~mask.T):
                warnings.warn(
                    "The features are 0 exactly where the transposed mask has padding; are they (L, B, d)? LMAM takes "
                    "(B, L, d), conversations first.",
                    stacklevel=2,
                )


def _legible(mask: Tensor, waiting: bool = False) -> bool:
    """Whether a mask can be looked at now: not in a traced or captured program, and only `waiting` on a GPU."""
    if blockwise.is_traced() or torch.compiler.is_compiling():
        return False
    return mask.device.type == "cpu" or (waiting and not torch.cuda.is_current_stream_capturing())


def _share_time_steps(x: Mapping[str, Tensor]) -> None:
    """Raise LmamError where streams that stand side by side have different lengths."""
    first = next(iter(x.values())).shape[1]
    if blockwise.is_traced() or all(value.shape[1] == first for value in x.values()):
        return
    lengths = ", ".join(f"{m} {value.shape[1]}" for m, value in x.items())
    raise LmamError(
        f"LMAM puts modalities side by side that share their time steps; here they have {lengths}. "
        "`each` gives what each modality becomes, in its own, but not with keys='concatenated'."
    )


def _shape(x: Tensor) -> str:
    return f"({', '.join(map(str, x.shape))})"


def _split(alpha: Tensor, K: Sequence[Tensor]) -> Sequence[Tensor]:
    """α of each matched modality, (B, L, L_j) each."""
    return alpha.split([k.shape[1] for k in K], -1) if len(K) > 1 else (alpha,)


def _average(alpha: Tensor, V: Sequence[Tensor], I: Tensor | None) -> Tensor:
    """A_i = α V of Eq. 6, and what it is added to, (B, L, d)."""
    (first, value), *others = zip(_split(alpha, V), V, strict=True)
    A = torch.bmm(first, value) if I is None else torch.baddbmm(I, first, value)
    for part, v in others:
        A = torch.baddbmm(A, part, v)
    return A
