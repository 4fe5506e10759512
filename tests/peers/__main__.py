"""`python -m tests.peers golden|speed [peer ...]`; see the package."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
import time
from pathlib import Path

import torch

from tests.peers import Peer, all_peers, asked, batch, fill, keep, loss, probe, ratio

GOLDEN = Path(__file__).parents[1] / "golden"
SPEED = Path(__file__).parents[2] / "data" / "originals.csv"
UTTERANCES = tuple(round(58 + 52 * i / 31) for i in range(32))
"""Lengths of the timed conversations, 58 to 110: long ones, as the originals' speed was measured on."""


def golden(name: str, peer: Peer) -> None:
    """Compare both models in float64, print the differences, and write the original's numbers."""
    torch.manual_seed(0)
    ours, theirs = peer.ours(peer.golden).double().eval(), peer.theirs(peer.golden).double().eval()
    fill(ours)
    mapped = peer.weights(dict(ours.state_dict()))
    missing = theirs.load_state_dict({k: v.clone() for k, v in mapped.items()}, strict=False).missing_keys
    some = batch(peer.golden)
    expected, got = peer.call(theirs, copy.deepcopy(some)), ours(some)
    loss(expected, some).backward()
    loss(got, some).backward()
    gradients = peer.weights({n: p.grad for n, p in ours.named_parameters()})
    unused = [n for n in missing if dict(theirs.named_parameters())[n].grad is not None]
    if unused:
        raise SystemExit(f"{name}: the original uses {unused}, to which none of our parameters is mapped.")
    output = (torch.log_softmax(got, -1) - torch.log_softmax(expected, -1))[some.mask].abs().max().item()
    gradient = max(
        (g - p.grad).abs().max().item() for n, p in theirs.named_parameters() if (g := gradients.get(n)) is not None
    )
    print(f"{name}: outputs differ by {output:.1e}, gradients by {gradient:.1e}; without use: {missing}")
    record = {
        "peer": name,
        "torch": torch.__version__,
        "output_difference": output,
        "gradient_difference": gradient,
        "log_probabilities": torch.log_softmax(expected, -1)[some.mask].tolist(),
        "gradients": {n: probe(p.grad) for n, p in sorted(theirs.named_parameters()) if p.grad is not None},
        "parameters": sum(p.numel() for p in theirs.parameters()),
    }
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def speed(name: str, peer: Peer, repeats: int) -> dict[str, object]:
    """Median seconds of forward and backward of both, float32, train mode, repetitions interleaved."""
    count = len(peer.timed.lengths) or 32
    shapes = dataclasses.replace(peer.timed, lengths=UTTERANCES[-count:])
    torch.manual_seed(0)
    models = {"original": peer.theirs(shapes).float().train(), "ours": peer.ours(shapes).float().train()}
    some = batch(shapes, random=True)
    some = dataclasses.replace(some, features={m: x.float() for m, x in some.features.items()})
    times: dict[str, list[float]] = {k: [] for k in models}
    if repeats == 1:  # where one repetition of the original takes minutes, ours alone is warmed up
        loss(models["ours"](some), some).backward()
    for repeat in range(repeats + (repeats > 1)):
        for which, model in models.items():
            started = time.perf_counter()
            output = peer.call(model, copy.deepcopy(some)) if which == "original" else model(some)
            loss(output, some).backward()
            taken = time.perf_counter() - started
            model.zero_grad(set_to_none=True)
            if repeat or repeats == 1:
                times[which].append(taken)
    record = json.loads((GOLDEN / f"{name}.json").read_text())
    return {
        "backbone": name,
        "output_difference": record["output_difference"],
        "gradient_difference": record["gradient_difference"],
        "original_parameters": sum(p.numel() for p in models["original"].parameters()),
        "ours_parameters": sum(p.numel() for p in models["ours"].parameters()),
        "conversations": count,
        "utterances": sum(shapes.lengths),
        "width": sum(shapes.widths.values()),
        **ratio(name, times, peer.target, len(times["ours"])),
    }


def main(arguments: list[str]) -> None:
    """`golden` or `speed`, then the peers (all without a name); `--repeats N` for speed."""
    what, chosen, repeats = asked(arguments, all_peers())
    for name, peer in chosen.items():
        if what == "golden":
            golden(name, peer)
        elif peer.timed:
            keep(speed(name, peer, repeats), SPEED, ["backbone", "threads"])


if __name__ == "__main__":
    main(sys.argv[1:])
