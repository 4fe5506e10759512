"""Our backbones against their originals, run side by side from checkouts that stay outside of this project.

`python -m tests.peers golden` writes `tests/golden/<peer>.json`: what the original gives for the inputs and weights of
`case`, in float64. `tests/core/models/backbones/test_golden.py` holds ours to those numbers without the originals.
`python -m tests.peers speed` times both in one run, with the same weights, and writes `data/originals.csv`.

Both want `LMAM_ORIGINALS`, a folder with the checkouts that `CHECKOUTS` names. An adapter (one file here a model)
builds both models, maps our parameters to theirs, and replaces what keeps an original from running on today's
libraries.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch
from torch import Tensor, nn

from lmam_book.bench.seals import seal
from lmam_core.batch import Conversations

CHECKOUTS = {
    "LMAM": ("https://github.com/yuntaoshou/LMAM", "1ac9f43"),
    "conv-emotion": ("https://github.com/declare-lab/conv-emotion", "6128ca2"),
    "DHCN": ("https://github.com/xiaxin1998/DHCN", "b39ec89"),
    "MM-DFN": ("https://github.com/zerohd4869/MM-DFN", "da97036"),
    "MulT": ("https://github.com/yaohungt/Multimodal-Transformer", "a670936"),
    "AuxFormer": ("https://github.com/ilucasgoncalves/AuxFormer", "708ba72"),
    "TFN": ("https://github.com/Justin1904/TensorFusionNetworks", "ef0e78b"),
    "LMF": ("https://github.com/Justin1904/Low-rank-Multimodal-Fusion", "ea47551"),
    "MultiBench": ("https://github.com/pliang279/MultiBench", "49f9be2"),
}
LENGTHS = (7, 12, 1, 5)
"""Utterances of the conversations of a golden case: mixed, with a single one."""


@dataclass(frozen=True)
class Shapes:
    """The sizes of a comparison: width of each modality, utterances of each conversation, speakers, classes."""

    widths: Mapping[str, int]
    lengths: tuple[int, ...]
    speakers: int = 2
    outputs: int = 6


@dataclass(frozen=True)
class Peer:
    """A backbone and its original.

    `ours(shapes)` and `theirs(shapes)` build the models, ours letting padding in where theirs does, unless it is called
    with `faithful=False`; `call(theirs, batch)` gives their log-probabilities as (B, L, C); `weights(ours)` gives
    tensors that are named and shaped like our parameters, values or gradients, the names and shapes of theirs. `golden`
    are the sizes of the golden case, `timed` those of the benchmark, of which the number of conversations counts (none:
    32), `target` how many times faster ours shall be.
    """

    ours: Callable[..., nn.Module]
    theirs: Callable[[Shapes], nn.Module]
    call: Callable[[nn.Module, Conversations], Tensor]
    weights: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    golden: Shapes
    timed: Shapes | None = None
    target: float = 0.0


def all_peers() -> dict[str, Peer]:
    """Every adapter of this package, by backbone; those of fusion methods are in `fusions`."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name != "__main__" and not module.ispkg:
            found |= getattr(importlib.import_module(f"tests.peers.{module.name}"), "PEERS", {})
    return found


def asked(arguments: list[str], found: Mapping[str, Peer]) -> tuple[str, dict[str, Peer], int]:
    """What a command line wants: `golden` or `speed`, the peers (all without a name), and how many repetitions."""
    repeats = int(arguments.pop(arguments.index("--repeats") + 1)) if "--repeats" in arguments else 5
    what, *names = [a for a in arguments if a != "--repeats"]
    return what, {n: found[n] for n in names or found}, repeats


def ratio(name: str, times: Mapping[str, list[float]], target: float, repeats: int) -> dict[str, object]:
    """The columns of a measured row that follow from the seconds of both: medians, their ratio, and the machine."""
    median = {k: sorted(t)[len(t) // 2] for k, t in times.items()}
    found = median["original"] / median["ours"]
    print(f"{name}: {median['original']:.4f} / {median['ours']:.4f} s = {found:.2f} (at least {target})", flush=True)
    return {
        "original_s": round(median["original"], 5),
        "ours_s": round(median["ours"], 5),
        "ratio": round(found, 2),
        "target": target,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {platform.system()}",
    }


def keep(row: Mapping[str, object], path: Path, by: list[str]) -> None:
    """Write a measured row into a table in the place of an older one of the same kind; it took minutes to make."""
    older = pd.read_csv(path).to_dict("records") if path.exists() else []
    rows = pd.DataFrame([*older, row]).drop_duplicates(by, keep="last")
    rows.sort_values(by).to_csv(path, index=False)
    seal(path, "tests.peers" if path.name == "originals.csv" else "tests.peers.fusions")


def rename(name: str, renamed: Mapping[str, str]) -> str:
    """A parameter's name with the first prefix of `renamed` that it has replaced."""
    prefix = next(p for p in renamed if name.startswith(p))
    return renamed[prefix] + name.removeprefix(prefix)


def load(repository: str, path: str) -> ModuleType:
    """A file of a checkout as a module; its neighbours can be imported by it."""
    root = os.environ.get("LMAM_ORIGINALS")
    if not root or not (Path(root) / repository / path).exists():
        address, commit = CHECKOUTS[repository]
        raise SystemExit(f"Set LMAM_ORIGINALS to a folder with a checkout of {address} at {commit} in {repository}/.")
    file = Path(root) / repository / path
    sys.path.insert(0, str(file.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"{repository}_{path}".replace("/", "_"), file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


def fill(module: nn.Module) -> None:
    """Give every parameter values that depend on its name's place and size alone, about as large as a fresh layer's."""
    with torch.no_grad():
        for k, (_, p) in enumerate(sorted(module.named_parameters())):
            i = torch.arange(p.numel(), dtype=torch.float64)
            scale = (3 / p.shape[-1]) ** 0.5 if p.dim() > 1 else 0.1
            p.copy_((scale * torch.sin(1.7 * i + 0.3 * (k % 17) + 0.0001 * i * i)).reshape(p.shape))


def batch(shapes: Shapes, random: bool = False) -> Conversations:
    """Conversations of these shapes in float64, of smooth waves, or `random` ones with a seed."""
    B, L = len(shapes.lengths), max(shapes.lengths)
    mask = torch.arange(L)[None] < torch.tensor(shapes.lengths)[:, None]
    b, t = torch.meshgrid(torch.arange(B), torch.arange(L), indexing="ij")
    generator = torch.Generator().manual_seed(0)
    features = {}
    for k, (m, d) in enumerate(shapes.widths.items()):
        j = torch.arange(d, dtype=torch.float64)
        x = torch.sin(0.9 * (t[..., None] + 1) + 1.3 * j * (k + 1) + 2.1 * b[..., None] + 0.01 * j * t[..., None])
        if random:
            x = torch.randn(B, L, d, generator=generator, dtype=torch.float64)
        features[m] = x * mask[..., None]
    speaker = ((t * t + b + t // 3) % shapes.speakers) * mask
    label = ((3 * t + b) % shapes.outputs) * mask
    return Conversations(features, speaker, mask, label)


def loss(output: Tensor, some: Conversations) -> Tensor:
    """The cross-entropy over the utterances that both models are differentiated through."""
    return nn.functional.cross_entropy(output[some.mask], some.label[some.mask])


def probe(gradient: Tensor) -> list[float]:
    """Two numbers that a gradient of another value would hardly share: its norm and its product with a fixed wave."""
    wave = torch.cos(torch.arange(gradient.numel(), dtype=torch.float64))
    return [gradient.norm().item(), (gradient.flatten() @ wave).item()]


def theirs_qmask(some: Conversations, speakers: int) -> Tensor:
    """The originals' speaker mask, (L, B, speakers), 1 for who speaks, 0 in the padding."""
    one_hot = nn.functional.one_hot(some.speaker, speakers) * some.mask[..., None]
    return one_hot.transpose(0, 1).to(next(iter(some.features.values())).dtype)
