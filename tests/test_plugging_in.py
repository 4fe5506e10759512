"""A fusion method and a backbone from one file outside of the package are wherever those of the package are."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

import lmam_book
import lmam_core
from lmam_book.bench import cost
from lmam_book.build.pages import with_register_names
from lmam_book.cli import main
from lmam_book.plans import plans, studies
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts import sizes
from lmam_core.errors import LmamError
from lmam_core.models import backbones, fusion
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.fusion import FUSIONS
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.names import arm, title
from lmam_core.runs.run import run
from lmam_core.runs.store import Store
from tests.core.models import registered
from tests.core.models.backbones import test_contract as of_backbones
from tests.core.models.fusion import test_contract as of_fusions

FILE = '''
import torch
from torch import nn

from lmam_core.models import backbones, fusion
from lmam_core.models.layers.context import Classifier


@fusion.register("mean", title="the mean", options=("rank",), rank=5)
class Mean(fusion.Fusion):
    """y = 1 / M Σ_m P_m x_m, (B, L, rank)."""

    def __init__(self, widths, rank=5):
        super().__init__()
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise ValueError(rank)
        self.modalities, self.d_out = tuple(widths), rank
        self.maps = nn.ModuleDict({m: nn.Linear(d, rank) for m, d in widths.items()})

    @staticmethod
    def size(widths, rank=5):
        return sum((d + 1) * rank for d in widths.values())

    def forward(self, features, turns):
        y = sum(self.maps[m](features[m]) for m in self.modalities) / len(self.modalities)
        return y * turns.mask[..., None]


@backbones.register("narrow")
class Narrow(backbones.Backbone):
    """One linear map per stream."""

    title = "Narrow"

    def __init__(self, widths, speakers=2, *, hidden=6, dropout=0.1):
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.maps = nn.ModuleDict({m: nn.Linear(d, hidden) for m, d in widths.items()})
        self.d_out = dict.fromkeys(widths, hidden)

    def forward(self, streams, turns):
        return {m: torch.tanh(self.maps[m](x)) for m, x in streams.items()}

    def classifier(self, width, outputs):
        return Classifier(width, self.hidden, outputs, self.dropout)
'''
BOOK = Path(lmam_book.__file__).parents[1]
MINE = Experiment(backbone="narrow", fusion="mean", dialogues=12, epochs=1)
WIDTHS = {"text": 100, "audio": 40}


@pytest.fixture(autouse=True)
def _plugged(tmp_path: Path) -> Iterator[None]:
    with mock.patch.dict(FUSIONS), mock.patch.dict(BACKBONES):
        path = tmp_path / "my_methods.py"
        path.write_text(FILE, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("my_methods", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        yield


def test_an_experiment_knows_it_and_a_run_carries_it_out() -> None:
    e = MINE.resolved()
    assert (e.rank, e.embedding, e.variant) == (5, "late", None)
    result = run(e)
    assert result.fusion_parameters == FUSIONS["mean"].size(dict.fromkeys(e.modalities, 6), rank=5)
    assert (arm(e), title(e.backbone)) == ("the mean", "Narrow")


def test_the_command_line_offers_it_and_keeps_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--dialogues", "12", "--epochs", "1", "--store", str(tmp_path / "runs")]
    assert main(["run", "--fusion", "mean", "--backbone", "narrow", *quick]) == 0
    assert len(list((tmp_path / "runs").glob("synthetic-iemocap/narrow/mean.late.r5.*"))) == 1
    for field, name in (("fusion", "mean"), ("backbone", "narrow")):
        assert main(["run", f"--{field}", "men", *quick]) == 2
        assert f", {name}." in capsys.readouterr().err
    assert main(["run", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert ", mean (default lmam)" in told
    assert ", narrow (default bc_lstm)" in told


def test_one_file_in_the_package_is_all_that_a_sweep_needs(tmp_path: Path) -> None:
    """Its workers are processes of their own, which import the package anew."""
    shutil.copytree(Path(lmam_core.__file__).parent, tmp_path / "lmam_core", ignore=shutil.ignore_patterns("__py*"))
    (tmp_path / "lmam_core" / "models" / "fusion" / "mean.py").write_text(FILE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path, BOOK)))}
    options = "--fusion mean,concat --backbone narrow --seeds 0 --dialogues 12 --epochs 1 --jobs 1 --store runs"
    code = f"import sys; from lmam_book.cli import main; sys.exit(main('sweep {options}'.split()))"
    sweep = [sys.executable, "-c", code]
    done = subprocess.run(sweep, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    kept = [path.name.split(".honest")[0] for path in (tmp_path / "runs").glob("synthetic-iemocap/narrow/*.json")]
    assert sorted(kept) == ["concat.late", "mean.late.r5"]


def test_plans_tables_and_pages_have_it(store: Store) -> None:
    assert "mean" in {e.fusion for e in plans.plan("fusions_bc_lstm").arms()}
    assert {e.fusion for e in plans.plan("narrow").arms()} == {"concat", "lmam"}
    assert {e.backbone for e in studies.study("headline_narrow")} == {"narrow"}
    assert tables.methods()["mean"] == "the mean"
    assert "the mean" in tables.fusion_methods("emocaps", store).arms("iemocap")
    assert tables.embedding_ways("narrow", store).where == "Narrow"
    (row,) = sizes.table("narrow").to_dict("records")
    assert (row["backbone"], row["Table VI"]) == ("Narrow", "–")
    assert cost.parameters("mean", WIDTHS, 7) == 7 * (101 + 41)
    assert cost.multiply_adds("mean", WIDTHS, 9, 7) == 9 * 7 * 140
    page = with_register_names("| --backbone | <!-- backbones --> | --fusion | <!-- fusion methods --> |")
    assert "`narrow`" in page
    assert "`mean`" in page


def test_the_tests_of_the_contracts_run_over_it() -> None:
    assert "mean" in registered.fusions()
    assert "mean" in registered.ranked()
    assert "narrow" in registered.backbones()
    of_fusions.test_padding_and_order_change_nothing("mean")
    of_fusions.test_parameters_are_those_of_the_formula("mean", ("text", "audio"))
    of_fusions.test_who_speaks_matters_where_the_method_says_so("mean")
    of_backbones.test_padding_and_order_change_nothing("narrow", "lmam", {"rank": 3}, "early_residual")
    of_backbones.test_who_speaks_matters_where_the_model_knows_speakers("narrow")


def test_a_size_without_a_formula_is_counted_and_a_name_is_taken_once() -> None:
    @fusion.register("plain")
    class Plain(FUSIONS["mean"].make):
        size = classmethod(fusion.Fusion.size.__func__)

    assert FUSIONS["plain"].title == "plain"
    assert Plain.size(WIDTHS, rank=7) == 7 * 142
    for register, name in ((fusion.register, "tfn"), (backbones.register, "bc_lstm")):
        with pytest.raises(LmamError, match=f"'{name}' already"):
            register(name)(Plain)
