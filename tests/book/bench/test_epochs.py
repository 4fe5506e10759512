"""How long an epoch of every backbone takes: the measured table, and that it is made as it says."""

from __future__ import annotations

import dataclasses

import pytest

from lmam_book.bench import epochs
from lmam_core.runs.experiment import Experiment


@pytest.mark.parametrize("asked", epochs.experiments("synthetic-iemocap")[:2], ids=lambda e: e.arm)
def test_an_epoch_is_timed(asked: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "EPOCHS", 1)
    row = epochs.measured(dataclasses.replace(asked, dialogues=4), threads=1)
    assert row["seconds"] > 0
    assert (row["dialogues"], row["threads"], row["modalities"]) == (4, 1, "text+audio+video")


def test_the_caption_names_the_backbones_that_were_timed_again() -> None:
    times = epochs.table()
    text = epochs.origin(times)
    for row in times.itertuples():
        assert f"code {row.code}, {row.date}" in text
    alike = times.assign(code="abc", date="2026-01-02")
    assert epochs.origin(alike) == f"torch {times.torch[0]}, {times.machine[0]}, code abc, 2026-01-02"
    alike.loc[alike.backbone == "EmoCaps", "date"] = "2026-03-04"
    assert epochs.origin(alike).endswith(
        f" (EmoCaps: torch {times.torch[0]}, {times.machine[0]}, code abc, 2026-03-04)"
    )
