"""The highest memory use while something runs, and the time that it takes."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Context manager; afterwards `megabytes` is the peak: the allocator's on a GPU, else the process's resident set.

    `seconds` is how long the block took.

    Linux lets a process reset its high-water mark, so the peak belongs to the block. Elsewhere it is the process's
    since its start.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.cuda = torch.device(device) if device.startswith("cuda") else None
        self.megabytes = self.seconds = 0.0

    def __enter__(self) -> PeakMemory:
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.cuda)
        elif _RESET.exists():
            # Where a container forbids it, the mark counts from the process's start.
            with contextlib.suppress(OSError):
                _RESET.write_text("5")
        self.seconds = -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.megabytes = self._peak() / 1e6

    def _peak(self) -> float:
        if self.cuda:
            return float(torch.cuda.max_memory_allocated(self.cuda))
        lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
        if marks := [line for line in lines if line.startswith("VmHWM")]:
            return float(marks[0].split()[1]) * 1024
        try:
            import resource
        except ImportError:  # Windows has no such module
            import psutil

            return float(psutil.Process().memory_info().peak_wset)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
