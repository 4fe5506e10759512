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

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.contracts.fusion import Fusion, register
from lmam_core.models.kernels import blockwise as long

READINGS: dict[str, tuple[str, ...]] = {
    "keys": ("own", "others", "all", "text"),
    "scale": ("length", "width", "none"),
    "weight": ("factors", "full", "vector"),
    "combine": ("concat", "sum"),
}
"""What the text leaves open, and the readings on offer; `LMAM` says what each means."""

VARIANTS: dict[str, dict[str, str]] = {
    "paper": {"keys": "own", "scale": "length", "weight": "factors", "combine": "concat"},
    "algorithm1": {"keys": "own", "scale": "length", "weight": "factors", "combine": "concat"},
    "released": {"keys": "text", "scale": "none", "weight": "full", "combine": "sum"},
}
"""The default readings of each variant; in `released` they are what the code does, so they are not open."""


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
        """The features themselves."""
        return x  # (B, L, d)


@register("lmam", title="LMAM", options=("rank", "variant", "keys", "scale", "weight", "combine"), rank=45)
class LMAM(Fusion):
    """Low-rank matching attention over modalities that share their time steps.

    `widths` gives d_m per modality, in the order in which results are concatenated; `rank` is r, 1..d.
    Call with `features[m]` (B, L, d_m) and a mask (B, L), True where an utterance stands, or the batch's `Turns`;
    returns (B, L, d_out), zero where masked. A conversation's output does not depend on what it is padded with, as long
    as that is finite.
    From `long.LONG` utterances on, `long.LONG_ON_GPU` on a GPU, memory grows with L instead of L^2.

    Variants: `paper` (Eq. 3 to 9); `algorithm1` (line 13 of Algorithm 1 in place of Eq. 7: A_i + GELU(x_i), no norm,
    no output layer); `released` (the authors' code: keys and values are the text, one full weight for all modalities,
    no scale, GELU(Σ A_i) + x_text; `rank` does not exist in it and is ignored).

    Readings, for what the paper leaves open (None takes the variant's own):

    * `keys`: `own` (Eq. 4 to 6 as printed, K_i = V_i = ξ_i), `others` (Section I: the other modalities, under one
      softmax), `all` (both), `text` (the text for every query, as the released code does).
    * `scale`: `length` (d_k is "the sequence length", Section IV-A: the conversation's number of utterances),
      `width` (d_k = d, as in Eq. 2), `none`.
    * `weight`: `factors` (W = U V^T), `full` (Eq. 4 before Eq. 8), `vector` (Eq. 8 and 9 as printed).
    * `combine`: `concat` or `sum` of the O_i.

    Attention across modalities, and a sum, need one width: unless `keys` is `own`, `combine` is `concat` and no `width`
    is given, modalities whose width differs from `width` (default: the widest) first pass a linear layer; in `released`
    all do, as there. The ones column is left out of V and I: through Eq. 6 it stays 1.
    `output=False` leaves out the linear layer and ReLU of Eq. 7. Raises LmamError for a rank outside 1..d or an
    unknown variant, reading or modality.

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
        if variant not in VARIANTS:
            raise LmamError(f"LMAM has no variant '{variant}'; choose one of {', '.join(VARIANTS)}.")
        if not widths:
            raise LmamError("LMAM needs the width of at least one modality.")
        self.variant = variant
        self.modalities = tuple(widths)
        self._read(dict(keys=keys, scale=scale, weight=weight, combine=combine))
        if self.keys == "text" and "text" not in widths:
            raise LmamError(f"keys='text' needs a modality called text; there are {', '.join(widths)}.")
        widest = width or max(widths.values())
        # As audio and video in the authors' models, where text comes out of an encoder in that width already.
        same = self.keys == "own" and self.combine == "concat" and width is None
        self.width = {m: d if same else widest for m, d in widths.items()}
        always = variant == "released"
        self.project = nn.ModuleDict(
            {
                m: nn.Linear(d, self.width[m]) if always or d != self.width[m] else nn.Identity()
                for m, d in widths.items()
            }
        )
        self._build_weights(rank)
        self._build_output(widths, output)

    @staticmethod
    def size(
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
    ) -> int:
        """Parameters in closed form, for modalities that meet LMAM d wide.

        Σ_m of a weight, 2 r (1 + d) + (1 + d) for `factors`, (1 + d)^2 for `full`, r (1 + d) + (1 + d) for `vector`;
        in `paper` 2 d for the norm, and (d + 1) d_m for the linear layer of Eq. 7; (d_m + 1) d where a linear layer
        brings d_m to d. In `released` one weight d^2 + d. Source: Eq. 3 to 9.
        """
        own = VARIANTS[variant]
        keys, weight, combine = keys or own["keys"], weight or own["weight"], combine or own["combine"]
        widest = width or max(widths.values())
        same = keys == "own" and combine == "concat" and width is None
        released, paper = variant == "released", variant == "paper"
        total = widest * widest + widest if released else 0
        for d_m in widths.values():
            d = d_m if same else widest
            of = {"factors": (2 * rank + 1) * (1 + d), "full": (1 + d) ** 2, "vector": (rank + 1) * (1 + d)}
            total += 0 if released else of[weight]
            total += (d_m + 1) * d if released or d != d_m else 0
            total += 2 * d if paper else 0
            total += (d + 1) * (d_m if combine == "concat" else d) if paper and output else 0
        return total

    def _read(self, asked: dict[str, str | None]) -> None:
        for name, value in asked.items():
            default = VARIANTS[self.variant][name]
            if value is not None and value not in READINGS[name]:
                raise LmamError(f"LMAM reads '{name}' as {', '.join(READINGS[name])}; '{value}' is none of them.")
            if self.variant == "released" and value not in (None, default):
                raise LmamError(f"The released variant fixes {name}='{default}'; use variant='paper' to change it.")
            setattr(self, name, value or default)

    def _build_weights(self, rank: int) -> None:
        if self.variant == "released":
            self.rank = None
            self.weights = nn.ModuleDict({"shared": ReleasedWeight(self.width[self.modalities[0]])})
            return
        if self.weight == "full":
            self.rank = None
            self.weights = nn.ModuleDict({m: FullWeight(d) for m, d in self.width.items()})
            return
        narrowest = min(self.width.values())
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= narrowest:
            raise LmamError(
                f"LMAM's rank must be a whole number from 1 to {narrowest}, the narrowest width; got {rank!r}."
            )
        self.rank = rank
        kind = FactorWeight if self.weight == "factors" else VectorWeight
        self.weights = nn.ModuleDict({m: kind(d, rank) for m, d in self.width.items()})

    def _build_output(self, widths: Mapping[str, int], output: bool) -> None:
        paper = self.variant == "paper"
        # O_i goes back to the width that modality i came with; a sum needs one width for all.
        out = self.width if self.combine == "sum" or not (paper and output) else dict(widths)
        self.norm = nn.ModuleDict({m: nn.LayerNorm(d) for m, d in self.width.items()} if paper else {})
        self.output = nn.ModuleDict(
            {m: nn.Linear(self.width[m], out[m]) for m in self.modalities} if paper and output else {}
        )
        self.d_out = sum(out.values()) if self.combine == "concat" else next(iter(out.values()))

    def _matched(self, query: str) -> tuple[str, ...]:
        """The modalities whose utterances the queries of `query` are matched with; alone, a modality has itself."""
        others = tuple(m for m in self.modalities if m != query)
        chosen = {"own": (query,), "others": others or (query,), "all": self.modalities, "text": ("text",)}
        return chosen[self.keys]

    def _inputs(self, features: Mapping[str, Tensor], turns: Turns | Tensor | None) -> tuple[dict[str, Tensor], Tensor]:
        missing = [m for m in self.modalities if m not in features]
        if missing:
            raise LmamError(f"LMAM was built for {', '.join(self.modalities)}; the batch lacks {', '.join(missing)}.")
        first = features[self.modalities[0]]
        mask = turns.mask if isinstance(turns, Turns) else turns
        if mask is None:
            mask = torch.ones(first.shape[:2], dtype=torch.bool, device=first.device)
        mask = mask.bool()
        return {m: self.project[m](features[m]) for m in self.modalities}, mask

    def _rank_space(self, i: str, x: Mapping[str, Tensor], mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Q_i / √d_k, and K of each matched modality as Q_i meets it; each (B, L, r + 1)."""
        weight = self.weights[i if i in self.weights else "shared"]
        length = mask.sum(1).clamp(min=1).to(x[i].dtype)[:, None, None]  # (B, 1, 1)
        d_k = {"length": length, "width": self.width[i], "none": 1.0}[self.scale]
        return weight.query(x[i]) * d_k**-0.5, [weight.key(x[j]) for j in self._matched(i)]

    def _alpha(self, x: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        """Eq. 5 for each query modality, (B, L, n L): the keys of its n matched modalities side by side."""
        sample = next(iter(x.values()))
        # A finite floor instead of -inf: it underflows to an exact 0, and a row without any key stays finite.
        floor = sample.new_zeros(mask.shape).masked_fill(~mask, torch.finfo(sample.dtype).min)[:, None, :]  # (B, 1, L)
        alpha = {}
        for i in self.modalities:
            q, keys = self._rank_space(i, x, mask)
            scores = [torch.tanh(q @ k.transpose(1, 2)) + floor for k in keys]
            alpha[i] = torch.softmax(torch.cat(scores, -1) if len(scores) > 1 else scores[0], -1)
        return alpha

    def attention(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> dict[tuple[str, str], Tensor]:
        """α of Eq. 5 by (query modality, key modality), each (B, L, L); over all keys of a query they sum to 1."""
        x, mask = self._inputs(features, mask)
        return {
            (i, j): part * mask[..., None]
            for i, alpha in self._alpha(x, mask).items()
            for j, part in zip(self._matched(i), alpha.split(mask.shape[1], -1), strict=True)
        }

    def forward(self, features: Mapping[str, Tensor], turns: Turns | Tensor | None = None) -> Tensor:
        """Fuse the modalities to (B, L, d_out), by a mask, by `Turns`, or as if no utterance were missing."""
        x, mask = self._inputs(features, turns)
        L = mask.shape[1]
        alpha = {} if long.is_long(L, mask.device) else self._alpha(x, mask)
        O = {}
        for i in self.modalities:
            if self.variant == "paper":
                start = x[i]  # I_i of Eq. 7
            elif self.variant == "algorithm1":
                start = F.gelu(x[i])
            else:
                start = None
            A = start
            if i in alpha:
                for j, part in zip(self._matched(i), alpha[i].split(L, -1), strict=True):
                    A = torch.bmm(part, x[j]) if A is None else torch.baddbmm(A, part, x[j])  # (B, L, d)
            else:
                found = long.matched(*self._rank_space(i, x, mask), [x[j] for j in self._matched(i)], mask)
                A = found if A is None else A + found  # (B, L, d)
            O[i] = self.norm[i](A) if i in self.norm else A
            if i in self.output:
                O[i] = F.relu_(self.output[i](O[i]))
        fused = torch.cat(list(O.values()), -1) if self.combine == "concat" else sum(O.values())
        if self.variant == "released":
            fused = F.gelu(fused) + x["text"]
        # In place where autograd allows it: a (B, L, 3 d) tensor costs as much to allocate as to compute.
        return fused.mul_(mask[..., None])  # (B, L, d_out)
