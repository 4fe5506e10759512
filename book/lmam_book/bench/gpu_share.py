"""How much of a training step's wall time a GPU is at work, for every backbone at the paper's sizes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from lmam_core.batch import Conversations
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from lmam_core.runs import training

WIDTHS = {"text": 100, "audio": 100, "video": 512}
"""Section III-A of the paper."""
LENGTHS = tuple(round(58 + 52 * i / 31) for i in range(32))
"""A batch of 32 long conversations, 58 to 110 utterances."""


def batch(lengths: tuple[int, ...] = LENGTHS) -> Conversations:
    """Random features in which two speakers alternate, six classes."""
    generator = torch.Generator().manual_seed(0)
    B, L = len(lengths), max(lengths)
    mask = torch.arange(L)[None] < torch.tensor(lengths)[:, None]
    features = {m: torch.randn(B, L, d, generator=generator) * mask[..., None] for m, d in WIDTHS.items()}
    return Conversations(features, torch.arange(L) % 2 * mask, mask, (torch.arange(L) % 6) * mask)


def step(backbone: str, some: Conversations, device: str) -> Callable[[], object]:
    """A training step of a backbone with LMAM before it and a residual: forward, loss, backward, Adam."""
    torch.manual_seed(0)
    model = embed(WIDTHS, 6, BACKBONES[backbone], lambda w: build("lmam", w), "early_residual").to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    some = some.to(device)

    return lambda: training.step(model, some, True, optimizer)


def busy(program: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Seconds of wall time of one call, and the share of it in which a GPU works (NaN without a GPU).

    The share is the kernels' time of one call over its wall time; kernels that overlap count twice.
    """
    gpu = torch.cuda.is_available()
    program()
    wait: Callable[[], None] = torch.cuda.synchronize if gpu else lambda: None
    wait()
    started = time.perf_counter()
    for _ in range(repeats):
        program()
    wait()
    wall = (time.perf_counter() - started) / repeats
    if not gpu:
        return wall, float("nan")
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        program()
        wait()
    return wall, sum(e.self_device_time_total for e in profiler.key_averages()) / 1e6 / wall


def steps(device: str, repeats: int) -> None:
    """Print wall time and device share of every backbone's training step."""
    print("A training step at the paper's sizes, 32 conversations of 58 to 110 utterances, LMAM early with a residual")
    for backbone in BACKBONES:
        wall, share = busy(step(backbone, batch(), device), repeats)
        bound = "the device" if share >= 0.5 else "Python"
        print(f"  {backbone:48} {1e3 * wall:8.1f} ms, the device at work {share:.0%} of it: bound by {bound}")
    print()
