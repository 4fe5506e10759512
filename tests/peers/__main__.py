"""`python -m tests.peers golden|speed [peer ...]`; see the package."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.backbones import backbone
from lmam_core.runs.provenance import code_version
from tests.peers import Peer, Shapes, all_peers, asked, batch, fill, keep, loss, probe, ratio

GOLDEN = Path(__file__).parents[1] / "golden"
SPEED = Path(__file__).parents[2] / "data" / "originals.csv"
UTTERANCES = tuple(round(58 + 52 * i / 31) for i in range(32))
"""Lengths of the timed conversations, 58 to 110: long ones, as the originals' speed was measured on."""


def give(ours: nn.Module, theirs: nn.Module, peer: Peer) -> list[str]:
    """Load our weights into the original; returns the names of those that it has beyond ours."""
    mapped = peer.weights(dict(ours.state_dict()))
    return theirs.load_state_dict({k: v.clone() for k, v in mapped.items()}, strict=False).missing_keys


def golden(name: str, peer: Peer) -> None:
    """Compare both models in float64, print the differences, and write the original's numbers."""
    torch.manual_seed(0)
    ours, theirs = peer.ours(peer.golden).double().eval(), peer.theirs(peer.golden).double().eval()
    fill(ours)
    missing = give(ours, theirs, peer)
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


def speed(name: str, peer: Peer, repeats: int) -> list[dict[str, object]]:
    """Median seconds of forward and backward of both with the same weights, a row for each mode of ours.

    Float32, train mode, repetitions interleaved. The first two conversations alone show that both give the same, and
    warm them up, since a repetition of some originals takes minutes.
    """
    shapes = dataclasses.replace(peer.timed, lengths=UTTERANCES[-(len(peer.timed.lengths) or 32) :])
    torch.manual_seed(0)
    models = {mode: peer.ours(shapes, **options).float() for mode, options in modes(name).items()}
    first = next(iter(models))
    for mode in models:
        models[mode].load_state_dict(models[first].state_dict())
    models["original"] = peer.theirs(shapes).float()
    give(models[first], models["original"], peer)

    def output(which: str, some: Conversations) -> Tensor:
        return peer.call(models[which], some) if which == "original" else models[which](some)

    few = random(dataclasses.replace(shapes, lengths=shapes.lengths[:2]))
    with torch.no_grad():
        models[first].eval(), models["original"].eval()
        found = [torch.log_softmax(output(which, copy.deepcopy(few)), -1)[few.mask] for which in (first, "original")]
    if not (difference := (found[0] - found[1]).abs().max().item()) <= 1e-4:
        raise SystemExit(f"{name}: with the same weights outputs differ by {difference:.1e} in float32.")

    times: dict[str, list[float]] = {which: [] for which in models}
    for some in [few] + repeats * [random(shapes)]:
        for which, model in models.items():
            model.train().zero_grad(set_to_none=True)
            own = copy.deepcopy(some)  # an original may write into it
            started = time.perf_counter()
            loss(output(which, own), own).backward()
            times[which].append(time.perf_counter() - started)
    times = {which: taken[1:] for which, taken in times.items()}
    record = json.loads((GOLDEN / f"{name}.json").read_text())
    parameters = {which: sum(p.numel() for p in model.parameters()) for which, model in models.items()}
    return [
        {
            "backbone": name,
            "mode": mode,
            "output_difference": record["output_difference"],
            "gradient_difference": record["gradient_difference"],
            "original_parameters": parameters["original"],
            "ours_parameters": parameters[mode],
            "conversations": len(shapes.lengths),
            "utterances": sum(shapes.lengths),
            "width": sum(shapes.widths.values()),
            **ratio(f"{name}, {mode}", {"original": times["original"], "ours": times[mode]}, peer.target, repeats),
            "code": code_version(),
            "date": time.strftime("%Y-%m-%d"),
        }
        for mode in modes(name)
    ]


def modes(name: str) -> dict[str, dict[str, bool]]:
    """The modes of ours with their options: as the original, padding let in, first; then as the book trains it."""
    return {"faithful": {}, "default": {"faithful": False}} if backbone(name).leak else {"default": {}}


def random(shapes: Shapes) -> Conversations:
    """Random conversations of these shapes in float32."""
    some = batch(shapes, random=True)
    return dataclasses.replace(some, features={m: x.float() for m, x in some.features.items()})


def main(arguments: list[str]) -> None:
    """`golden` or `speed`, then the peers (all without a name); `--repeats N` for speed."""
    what, chosen, repeats = asked(arguments, all_peers())
    for name, peer in chosen.items():
        if what == "golden":
            golden(name, peer)
        elif peer.timed:
            for row in speed(name, peer, repeats):
                keep(row, SPEED, ["backbone", "threads", "mode"])


if __name__ == "__main__":
    main(sys.argv[1:])
