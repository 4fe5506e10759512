"""`python -m tests.peers.fusions golden|speed [peer ...] [--repeats N]`; see the package."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
import time
from pathlib import Path

import torch

from lmam_core.runs.provenance import code_version
from tests.peers import Peer, asked, batch, fill, keep, loss, probe, ratio
from tests.peers.fusions import fusion_peers, read

GOLDEN = Path(__file__).parents[2] / "golden" / "fusions"
SPEED = Path(__file__).parents[3] / "data" / "fusion_peers.csv"


def golden(name: str, peer: Peer) -> None:
    """Compare both in float64, print the differences, and write the original's numbers."""
    torch.manual_seed(0)
    ours, theirs = peer.ours(peer.golden).double().eval(), peer.theirs(peer.golden).double().eval()
    fill(ours)
    mapped = peer.weights(dict(ours.state_dict()))
    missing = theirs.load_state_dict({k: v.clone() for k, v in mapped.items()}, strict=False).missing_keys
    some = batch(peer.golden)
    expected, got = peer.call(theirs, copy.deepcopy(some)), ours(some)
    for fused in (expected, got):
        loss(read(fused, peer.golden.outputs), some).backward()
    gradients = peer.weights({n: p.grad for n, p in ours.named_parameters()})
    used = {n: p.grad for n, p in sorted(theirs.named_parameters()) if p.grad is not None}
    if unmapped := used.keys() & set(missing) or used.keys() ^ gradients.keys():
        raise SystemExit(f"{name}: only one of both uses {sorted(unmapped)}.")
    output = (got - expected)[some.mask].abs().max().item()
    gradient = max((gradients[n] - g).abs().max().item() for n, g in used.items())
    print(f"{name}: outputs differ by {output:.1e}, gradients by {gradient:.1e}; without use: {missing}")
    record = {
        "peer": name,
        "torch": torch.__version__,
        "output_difference": output,
        "gradient_difference": gradient,
        "read": read(expected, peer.golden.outputs)[some.mask].tolist(),
        "gradients": {n: probe(g) for n, g in used.items()},
    }
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def speed(name: str, peer: Peer, repeats: int) -> dict[str, object]:
    """Median seconds of forward and backward of both, float32, train mode, one thread, repetitions interleaved."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = {"original": peer.theirs(peer.timed).train(), "ours": peer.ours(peer.timed).train()}
    some = batch(peer.timed, random=True)
    some = dataclasses.replace(some, features={m: x.float() for m, x in some.features.items()})
    programs = {"original": lambda: peer.call(models["original"], some), "ours": lambda: models["ours"](some)}
    times: dict[str, list[float]] = {k: [] for k in models}
    for repeat in range(repeats + 2):
        for which, program in programs.items():
            started = time.perf_counter()
            program().square().mean().backward()
            taken = time.perf_counter() - started
            models[which].zero_grad(set_to_none=True)
            if repeat > 1:  # the first two warm up
                times[which].append(taken)
    path = GOLDEN / f"{name}.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    method, implementation = name.split(".")
    return {
        "method": method,
        "peer": implementation,
        "output_difference": record.get("output_difference"),
        "gradient_difference": record.get("gradient_difference"),
        "original_parameters": sum(p.numel() for p in models["original"].parameters() if p.requires_grad),
        "ours_parameters": sum(p.numel() for p in models["ours"].parameters()),
        "conversations": len(peer.timed.lengths),
        "utterances": sum(peer.timed.lengths),
        **ratio(name, times, peer.target, repeats),
        "code": code_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def main(arguments: list[str]) -> None:
    """`golden` or `speed`, then the peers (all without a name); `--repeats N` for speed."""
    what, chosen, repeats = asked(arguments, fusion_peers())
    for name, peer in chosen.items():
        if what == "golden":
            if peer.golden.lengths:
                golden(name, peer)
        else:
            keep(speed(name, peer, repeats), SPEED, ["method", "peer"])


if __name__ == "__main__":
    main(sys.argv[1:])
