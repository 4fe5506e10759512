"""`python -m tests.peers.recommendation golden|speed [--repeats N]`; see the package."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from lmam_core.runs.provenance import code_version
from lmam_core.tasks.recommendation.experiment import Recommendation, build, prepared, step
from tests.peers import fill, keep, probe, ratio
from tests.peers.recommendation import (
    BATCH,
    ITEMS,
    NAMES,
    WIDTH,
    give,
    lists,
    on_the_cpu,
    original,
    small,
    their_loss,
    theirs,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "tasks" / "dhcn.json"
SPEED = Path(__file__).parents[3] / "data" / "task_peers.csv"
TARGET = 5.0


def golden() -> None:
    """Compare both models in float64, print the differences, and write the original's numbers."""
    module, util = original()
    train, ours, batch = small()
    fill(ours)
    data = util.Data(lists(train, 1 + np.arange(ITEMS)), n_node=ITEMS)
    other = theirs(module, data, ITEMS, WIDTH, BATCH).double()
    other.adjacency = other.adjacency.double()
    give(ours, other)
    with on_the_cpu(torch.float64):
        torch.manual_seed(0)
        expected = their_loss(module, other, data, np.arange(BATCH))
        _, scores, _ = module.forward(other, np.arange(BATCH), data)
    expected.backward()
    torch.manual_seed(0)
    loss = ours.loss(batch)
    loss.backward()
    found = dict(ours.named_parameters())
    wanted = {n: p.grad.T if n == "w_2" else p.grad for n, p in other.named_parameters()}
    gradient = max((found[our].grad - wanted[their]).abs().max().item() for our, their in NAMES.items())
    output = max((ours.ranker()(batch) - scores).abs().max().item(), abs(loss.item() - expected.item()))
    print(f"dhcn: scores and loss differ by {output:.1e}, gradients by {gradient:.1e}")
    record = {
        "peer": "dhcn",
        "torch": torch.__version__,
        "output_difference": output,
        "gradient_difference": gradient,
        "loss": expected.item(),
        "scores": scores.tolist(),
        "gradients": {our: probe(wanted[their]) for our, their in NAMES.items()},
        "parameters": sum(p.numel() for p in other.parameters()),
    }
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(record, indent=1) + "\n")


def speed(repeats: int) -> None:
    """Median seconds of a training step of both on all of Diginetica, with the same weights, repetitions interleaved.

    A step is the batch, forward, backward and Adam. The original as published searches for anomalies in every step; it
    is timed without that search as well.
    """
    module, util = original()
    asked = Recommendation(fraction=1, protocol="best_on_test")
    data = prepared(asked)
    number = data.items
    rows = util.Data(lists(data.train, number), n_node=len(number))
    model, modes = build(asked, data), {"as published": True, "without its search for anomalies": False}
    others = {mode: theirs(module, rows, len(number), 100, 100) for mode in modes}
    for other in others.values():
        give(model, other, number - 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    times: dict[str, list[float]] = {name: [] for name in ("ours", *modes)}
    for repeat in range(repeats + 1):
        chosen = np.random.default_rng(repeat).permutation(len(data.train))[:100]
        losses = {}
        for name in times:
            torch.manual_seed(repeat)
            started = time.perf_counter()
            if name == "ours":
                losses[name] = step(model, data.train.batch(chosen), optimizer).item()
            else:
                with on_the_cpu(torch.float32), torch.autograd.set_detect_anomaly(modes[name]):
                    loss = their_loss(module, others[name], rows, chosen)
                    others[name].zero_grad()
                    loss.backward()
                    others[name].optimizer.step()
                losses[name] = loss.item()
            times[name].append(time.perf_counter() - started)
        if max(losses.values()) - min(losses.values()) > 1e-3:
            raise SystemExit(f"Step {repeat}: the losses {losses} differ.")
    times = {name: taken[1:] for name, taken in times.items()}  # the first is a warm-up
    for mode in modes:
        row = {"task": "recommendation", "model": "dhcn", "original": mode, "items": len(number)}
        row |= {"entries": data.graph.nnz, "batch": 100}
        row |= ratio(f"dhcn, {mode}", {"original": times[mode], "ours": times["ours"]}, TARGET, repeats)
        row |= {"code": code_version("recommendation"), "date": time.strftime("%Y-%m-%d")}
        keep(row, SPEED, ["model", "original", "threads"])


def main(arguments: list[str]) -> None:
    """`golden` or `speed`; `--repeats N` for speed."""
    repeats = int(arguments[arguments.index("--repeats") + 1]) if "--repeats" in arguments else 7
    golden() if arguments[:1] == ["golden"] else speed(repeats)


if __name__ == "__main__":
    main(sys.argv[1:])
