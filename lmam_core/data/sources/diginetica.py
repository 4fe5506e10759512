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
    sources=public_files(
        "https://github.com/CCIIPLab/GCE-GNN",
        "212575302e42d64b8cf0b9ffe1b71b0db398d5be",
        "datasets/diginetica",
        {
            "all_train_seq.txt": "55694865221c682aaa9df6cd5a4ddccff5de902334df5605c5767ee464e11365",
            "test.txt": "b2b81f9cb22feb2174feeb3e678b9de5e41ff1653bf23cdaf9046e5404f002ff",
        },
    ),
    task="recommendation",
)
