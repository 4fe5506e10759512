"""UR-FUNNY: segments of TED talks, a punchline and what was said before it; whoever has its six files can use them."""

from __future__ import annotations

from lmam_core.data.sources.base import Record

RECORD = Record(
    name="ur-funny",
    kind="real",
    about=(
        "UR-FUNNY (Hasan et al. 2019): punchlines of TED talks and the sentences before them, half of them followed by "
        "laughter; GloVe, COVAREP and OpenFace features of every word, in the six SDK files of its project page."
    ),
    missing="",
    licence="UR-FUNNY's own; its videos are TED's.",
    feature_sets={},
    sha256="",
    build=None,
    file="ur-funny/data_folds.pkl",
    task="humour",
)
