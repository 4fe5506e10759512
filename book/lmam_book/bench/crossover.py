"""Matching with a whole α against blocks of it: what `blockwise.LONG`, `LONG_ON_GPU` and `BLOCK` were chosen by.

Threads share small blocks badly: there, as on a GPU, whole α is faster and memory decides, which threads do not change.

`python -m lmam_book.bench.crossover [cpu|cuda]` measures it on one thread, which takes some minutes of a quiet machine,
and writes `data/crossover.csv`.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor

from lmam_book.bench.modules import alone, matching, seconds
from lmam_book.bench.seals import write
from lmam_core import paths
from lmam_core.models.kernels import blockwise
from lmam_core.runs.provenance import code_version

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192)
BLOCKS = (128, 256, 512, 1024, 2048)
"""Of a CPU; a GPU has a kernel with blocks of its own."""
SWEPT = 2048
"""The length at which every size of a block is measured."""
LONGEST = 20_000
"""Utterances of the conversation that the gradients of a whole LMAM are taken through."""
HEAVY = 2000
"""Megabytes that matching with a whole α may take; where it is faster, as on a GPU, they decide."""
SLACK = 1.05
"""How many times a whole α's seconds blocks may take without counting as slower: medians differ by as much."""


def measured(L: int, blocks: Sequence[int], repeats: int, device: str) -> list[dict[str, object]]:
    """One row per size of block: median seconds and megabytes of forward and backward, whole α and blocks."""
    pair, own = matching(L, device), blockwise.BLOCK
    programs = {"whole": pair["whole"]} | {str(block): _in_blocks_of(block, pair["blocks"]) for block in blocks}
    try:
        taken = seconds(programs, repeats)
    finally:
        blockwise.BLOCK = own
    expression = f"matching({L}, {device!r})"
    whole = alone(f"{expression}['whole']", device)[0]
    rows = []
    for block in blocks:
        row = {"program": "matching", "L": L, "block": block, "repeats": repeats}
        row |= {"whole_s": taken["whole"], "blocks_s": taken[str(block)], "ratio": taken[str(block)] / taken["whole"]}
        gigabytes, _ = alone(f"{expression}['blocks']", device, block)
        rows.append(row | {"whole_mb": 1e3 * whole, "blocks_mb": 1e3 * gigabytes})
    return rows


def _in_blocks_of(block: int, program: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def changed() -> Tensor:
        blockwise.BLOCK = block  # stays so for the backward pass
        return program()

    return changed


def measure(device: str) -> pd.DataFrame:
    """Every row of a device, in the columns of `table`."""
    torch.set_num_threads(1)
    rows = []
    for L in LENGTHS:
        blocks = BLOCKS if (L, device) == (SWEPT, "cpu") else (blockwise.BLOCK,)
        rows += measured(L, blocks, max(3, 2**13 // L), device)
    gigabytes, taken = alone(f"module({LONGEST}, {device!r})", device)  # on a GPU with the kernel's compilation
    row = {"program": "module", "L": LONGEST, "block": blockwise.BLOCK, "repeats": 1}
    rows.append(row | {"blocks_s": taken, "blocks_mb": 1e3 * gigabytes})
    gpu = device == "cuda"
    return pd.DataFrame(rows).assign(
        device=device,
        machine=torch.cuda.get_device_name() if gpu else f"{platform.machine()}, {platform.system()}",
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        code=code_version(),
        date=time.strftime("%Y-%m-%d"),
    )


def table(device: str = "cpu") -> pd.DataFrame:
    """What was measured on a kind of device; without rows where nothing was.

    `program` is `matching` (Eq. 5 and 6 of one conversation) or `module` (a whole LMAM, in blocks only); `ratio` is the
    seconds of blocks over those of a whole α; megabytes are on top of what the process had before.
    """
    timings = pd.read_csv(paths.data("crossover.csv"))
    return timings[timings.device == device].reset_index(drop=True)


def by_length(timings: pd.DataFrame) -> pd.DataFrame:
    """The rows of matching in blocks of `blockwise.BLOCK`, from the shortest conversation to the longest."""
    return timings[(timings.program == "matching") & (timings.block == blockwise.BLOCK)].sort_values("L")


def crossing(timings: pd.DataFrame) -> int | None:
    """The shortest measured length from which on blocks need less memory and are not slower; None without one."""
    rows = by_length(timings)[::-1]
    better = ((rows.ratio <= SLACK) & (rows.blocks_mb < rows.whole_mb)).cummin()  # from the longest down
    return int(rows.L[better].min()) if better.any() else None


def heavy(timings: pd.DataFrame) -> int:
    """The shortest measured length at which a whole α needs more than `HEAVY`."""
    rows = by_length(timings)
    return int(rows.L[rows.whole_mb > HEAVY].min())


def main(arguments: list[str]) -> None:
    """Measure a device (`cpu` without a name) and write its rows in the place of older ones."""
    device = arguments[0] if arguments else "cpu"
    timings = measure(device).round({"whole_s": 5, "blocks_s": 5, "ratio": 3, "whole_mb": 1, "blocks_mb": 1})
    path = paths.data("crossover.csv")
    if path.exists():
        older = pd.read_csv(path)
        timings = pd.concat([older[older.device != device], timings])
    write(timings, "crossover.csv", "lmam_book.bench.crossover")


if __name__ == "__main__":
    main(sys.argv[1:])
