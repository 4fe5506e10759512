"""Backbones widened to LMAM's number of parameters."""

from __future__ import annotations

import dataclasses

import pytest

from lmam_book.plans import studies
from lmam_book.plans.arms import IEMOCAP, MOSI, WIDENED, plugged
from lmam_book.plans.widen import matching, parameters
from lmam_core.data import catalogue
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import build

PLAIN = Experiment("synthetic-iemocap", fusion="concat")


def counted(e: Experiment) -> int:
    return sum(p.numel() for p in build(e, catalogue.load(e.dataset)).parameters() if p.requires_grad)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_can_be_widened_to_lmams_count(backbone: str) -> None:
    plain = dataclasses.replace(PLAIN, backbone=backbone)
    with_lmam = dataclasses.replace(plain, fusion="lmam", embedding="early_residual")
    found = matching(plain, with_lmam)
    assert counted(found) == pytest.approx(counted(with_lmam.resolved()), rel=0.01)
    assert counted(found) > counted(plain.resolved())
    assert f"w{found.width}" in found.arm


def test_counting_builds_the_model_that_is_trained() -> None:
    for e in (PLAIN, dataclasses.replace(PLAIN, width=7, backbone="emocaps")):
        assert parameters(e) == counted(e.resolved())


def test_what_cannot_be_matched_is_told_in_a_sentence() -> None:
    small = dataclasses.replace(PLAIN, backbone="text_cnn", width=1)
    with pytest.raises(LmamError, match="No width of bc_lstm comes within 1%"):
        matching(PLAIN, small)


@pytest.mark.real_data
@pytest.mark.parametrize("backbone", WIDENED)
@pytest.mark.parametrize("base", [MOSI, IEMOCAP], ids=lambda e: e.dataset)
def test_the_widths_of_the_plans_are_those_that_are_found(backbone: str, base: Experiment) -> None:
    plain, with_lmam = (e for e in plugged(backbone)() if e.dataset == base.dataset)
    assert matching(plain, with_lmam).width == WIDENED[backbone][base.dataset]


@pytest.mark.real_data
@pytest.mark.parametrize("backbone", studies.WIDENED)
@pytest.mark.parametrize("dataset", studies.TABLES)
def test_the_widths_of_the_studies_are_those_that_are_found(backbone: str, dataset: str) -> None:
    plain, with_lmam = (arm.resolved() for arm in studies.headline(backbone, [dataset], ["own"]))
    assert matching(plain, with_lmam).width == studies.WIDENED[backbone][dataset]
