"""Diginetica: shopping sessions, each a row of items that somebody clicked, for session recommendation."""

from __future__ import annotations

from lmam_core.data.sources.base import Record, public_files

RECORD = Record(
    name="diginetica",
    kind="real",
    about=(
        "Diginetica (CIKM Cup 2016) as GCE-GNN publishes it: 186,670 training sessions, which give 719,470 sequences "
        "with the item clicked next, 60,858 test sequences of 15,963 sessions, 43,097 items."
    ),
    missing="",
    licence="The repository that publishes the preprocessed sessions states none.",
    feature_sets={},
    sha256="b03a016a7d7801c688b292343e2054602440451f9656850a2762ad9b05c41052",
    build=None,
    file="diginetica.npz",
    bytes=2_683_277,
    sources=public_files("diginetica"),
    task="recommendation",
)
