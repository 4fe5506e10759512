"""`lmam bench`: speed and memory as ratios, both programs of a pair measured in one run on one machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmam_book.bench.gpu_share import steps
from lmam_core.errors import LmamError
from lmam_core.models.kernels import blockwise
from lmam_core.models.lmam import LMAM
from lmam_core.runs.peak_memory import PeakMemory

MODALITIES = ("text", "audio", "video")


class SelfAttention(nn.Module):
    """What the paper compares with (Fig. 1b): queries, keys and values of every modality, nine square projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleDict({f"{m}_{k}": nn.Linear(width, width) for m in MODALITIES for k in "qkv"})

    def forward(self, features: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        fused = []
        for m in MODALITIES:
            q, k, v = (self.projections[f"{m}_{part}"](features[m])[:, None] for part in "qkv")  # (B, 1, L, d)
            fused.append(F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])[:, 0])
        return torch.cat(fused, -1)  # (B, L, 3 d)


class ReleasedLoop(nn.Module):
    """Our reconstruction of the released variant's loop over query utterances, to time; shares `module`'s weights.

    The authors' own code stands beside ours in `tests/peers/fusions`.
    """

    def __init__(self, module: LMAM) -> None:
        super().__init__()
        self.module = module

    def forward(self, features: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        x, masks = self.module._inputs(features, mask)
        mask = masks["text"]
        K, keep = x["text"], mask.float()  # (B, L, d), (B, L)
        total = torch.zeros_like(K)
        for m in MODALITIES:
            rows = []
            for t in range(K.shape[1]):
                q = self.module.weights["shared"].query(x[m][:, t])  # (B, d)
                keys = K * keep[..., None]  # (B, L, d)
                scores = torch.tanh(torch.bmm(keys, q[:, :, None])[..., 0])  # (B, L)
                alpha = torch.softmax(scores, -1) * keep
                alpha = alpha / alpha.sum(-1, keepdim=True)
                rows.append(torch.bmm(alpha[:, None], keys))  # (B, 1, d)
            total = total + torch.cat(rows, 1)
        return (F.gelu(total) + K) * mask[..., None]


def seconds(programs: Mapping[str, Callable[[], Tensor]], repeats: int) -> dict[str, float]:
    """Median seconds of forward and backward of each program, their repetitions interleaved so that drift is shared."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for repeat in range(repeats + 1):
        for name, program in programs.items():
            started = time.perf_counter()
            program().square().mean().backward()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:  # the first is a warm-up
                times[name].append(time.perf_counter() - started)
    return {name: sorted(t)[len(t) // 2] for name, t in times.items()}


def bench(repeats: int, chapters: Sequence[Path], only: Sequence[str]) -> int:
    """Print the comparisons named, each with its target; returns 1 when one misses it, else 0.

    `chapters` are the notebooks whose memory is measured.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, medians of {repeats}\n", flush=True)
    programs: dict[str, Callable[[], bool]] = {
        "attention": lambda: _attention(device, repeats),
        "released": lambda: _released(device, repeats),
        "long": lambda: _long(device, repeats),
        "import": _import,
        "chapters": lambda: _notebooks(chapters),
    }
    # A list, not a generator: every row is measured and printed even when an early one misses its target.
    met = [program() for name, program in programs.items() if name in only]
    if "gpu" in only:
        steps(device, repeats) if device == "cuda" else print("On a CPU a training step is at work all the time.")
    return 0 if all(met) else 1


def _inputs(B: int, L: int, d: int, device: str) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = {m: torch.randn(B, L, d, generator=generator).to(device).requires_grad_() for m in MODALITIES}
    return features, torch.ones(B, L, dtype=torch.bool, device=device)


def _line(what: str, slow: float, fast: float, target: float, unit: str = "ms") -> bool:
    ratio = slow / fast
    met = ratio >= target
    wanted = f"at least {target}" if met else f"at least {target}: MISSED"
    print(f"  {what:48} {1e3 * slow:8.1f} / {1e3 * fast:7.1f} {unit} = {ratio:5.2f}  ({wanted})", flush=True)
    return met


def _attention(device: str, repeats: int) -> bool:
    B, L, d = 32, 110, 512
    print(f"Forward and backward, {B} conversations of {L} utterances, d = {d}, three modalities")
    features, mask = _inputs(B, L, d, device)
    widths = dict.fromkeys(MODALITIES, d)
    rivals: dict[str, nn.Module] = {"self-attention": SelfAttention(d)}
    for keys in ("own", "others"):
        rivals |= {f"{keys} keys": LMAM(widths, 45, keys=keys, output=False)}
        rivals |= {f"{keys} keys, output layer": LMAM(widths, 45, keys=keys)}
    rivals = {name: module.to(device) for name, module in rivals.items()}
    times = seconds({name: partial(module, features, mask) for name, module in rivals.items()}, repeats)
    baseline = times["self-attention"]
    met = _line("self-attention / LMAM r=45", baseline, times["own keys"], 3.3)
    met &= _line("self-attention / LMAM r=45 with output layers", baseline, times["own keys, output layer"], 1.8)
    for name in ("others keys", "others keys, output layer"):
        print(f"  for comparison, {name:40} {baseline / times[name]:.2f}")
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in rivals.items()}
    print("  parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()) + "\n")
    return met


def _released(device: str, repeats: int) -> bool:
    B, L, d = 32, 110, 512
    features, mask = _inputs(B, L, d, device)
    closed = LMAM(dict.fromkeys(MODALITIES, d), variant="released").to(device)
    # The module alone, 262,656 parameters: in the authors' code the projections to 512 stand outside of it.
    closed.project = nn.ModuleDict({m: nn.Identity() for m in MODALITIES})
    loop = ReleasedLoop(closed)
    print(f"Released variant, a loop over time as we reconstruct it / our closed form, ({L}, {B}, {d})")
    difference = (closed(features, mask) - loop(features, mask)).abs().max().item()
    times = seconds({"loop": lambda: loop(features, mask), "closed": lambda: closed(features, mask)}, min(repeats, 3))
    met = _line("loop over time / closed form", times["loop"], times["closed"], 12)
    equal = difference <= 1e-5
    print(f"  largest difference {difference:.1e} (at most 1e-5{'' if equal else ': MISSED'})\n")
    return met and equal


def matching(L: int, device: str) -> dict[str, Callable[[], Tensor]]:
    """A of Eq. 6 for one conversation, widths 100, 100 and 512, r = 45: with a whole α, and in blocks of it."""
    mask = torch.ones(1, L, dtype=torch.bool, device=device)
    generator = torch.Generator().manual_seed(0)
    each = [
        [torch.randn(1, L, width, generator=generator).to(device).requires_grad_() for width in (46, 46, d)]
        for d in (100, 100, 512)
    ]
    return {
        "whole": lambda: torch.cat([torch.softmax(torch.tanh(q @ k.mT), -1) @ v for q, k, v in each], -1),
        "blocks": lambda: torch.cat([blockwise.matched(q, [k], [v], mask, [mask]) for q, k, v in each], -1),
    }


def module(L: int, device: str) -> Callable[[], Tensor]:
    """LMAM itself, r = 45, on one conversation of widths 100, 100 and 512; weights and all streams take gradients."""
    widths = {"text": 100, "audio": 100, "video": 512}
    lmam = LMAM(widths, 45).to(device)
    features = {m: torch.randn(1, L, d).to(device).requires_grad_() for m, d in widths.items()}
    return lambda: lmam(features)


def growth(program: Callable[[], Tensor], device: str) -> float:
    """Gigabytes that forward and backward need on top of what was allocated before; of a fresh process only."""
    before = torch.cuda.memory_allocated() if device == "cuda" else psutil.Process().memory_info().rss
    with PeakMemory(device) as peak:
        program().square().mean().backward()
    return peak.megabytes / 1e3 - before / 1e9


def alone(program: str, device: str, block: int = blockwise.BLOCK) -> tuple[float, float]:
    """`growth` of a program, and its seconds, once and on one thread, in a process of its own.

    `program` is an expression in the names of this module; `block` takes the place of `blockwise.BLOCK`.
    """
    code = f"""if True:
        import time
        from lmam_core.models.kernels import blockwise
        from lmam_book.bench.modules import growth, matching, module
        blockwise.BLOCK = {block}
        program = {program}
        started = time.perf_counter()
        print(growth(program, {device!r}), time.perf_counter() - started)
    """
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=one_thread, capture_output=True, text=True, check=True)
    gigabytes, taken = map(float, done.stdout.split())
    return gigabytes, taken


def _long(device: str, repeats: int) -> bool:
    L = max(4096, blockwise.shortest(torch.device(device)))
    print(f"Matching in a conversation of {L} utterances, whole α / blocks, forward and backward")
    times = seconds(matching(L, device), min(repeats, 3))
    met = True
    if device == "cpu" and torch.get_num_threads() == 1:
        met = _line("time, whole α / blocks", times["whole"], times["blocks"], 1)
    else:  # where memory alone decides
        print(f"  for comparison, time, whole α / blocks {times['whole'] / times['blocks']:20.2f}")
    whole, blocks = (alone(f"matching({L}, {device!r})[{name!r}]", device)[0] for name in ("whole", "blocks"))
    met &= _line("memory, whole α / blocks", whole, blocks, 3, "MB")
    print()
    return met


def _import() -> bool:
    """What `import lmam_core` and its module cost on top of torch, in fresh interpreters."""

    def once(code: str) -> float:
        text = f"import time, torch; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
        return float(subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout)

    print("Import, seconds on top of torch's own")
    met = True
    for code in ("import lmam_core", "from lmam_core import LMAM", "from lmam_core import run"):
        cost = sorted(once(code) for _ in range(3))[1]
        met &= cost < 1
        print(f"  {code:58} {cost:.2f} s (under 1{'' if cost < 1 else ': MISSED'})")
    return met


def _notebooks(chapters: Sequence[Path]) -> bool:
    """The peak memory of each quick-profile chapter, papermill and kernel together."""
    print("\nPeak memory of the quick-profile chapters")
    met = True
    if not chapters:
        print("  not here: the chapters lie in the book's repository")
    papermill = [sys.executable, "-m", "papermill", "--no-progress-bar"]
    with tempfile.TemporaryDirectory() as folder:
        for chapter in chapters:
            command = [*papermill, str(chapter), f"{folder}/out.ipynb"]
            peak = _peak(subprocess.Popen(command, cwd=chapter.parent, stderr=subprocess.DEVNULL))
            met &= peak < 2e9
            print(f"  {chapter.name:48} {peak / 1e6:.0f} MB (under 2,000{'' if peak < 2e9 else ': MISSED'})")
    return met


def _peak(process: subprocess.Popen[bytes]) -> float:
    """The highest resident memory, in bytes, of a process and its children together while it runs."""
    watched, peak = psutil.Process(process.pid), 0.0
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, sum(p.memory_info().rss for p in (watched, *watched.children(recursive=True))))
        time.sleep(0.05)
    if process.returncode:
        raise LmamError("A chapter failed while its memory was measured; see `make book`.")
    return peak
