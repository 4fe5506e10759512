"""The runs that come with the book: whole, made from the catalogued data, and by code that gives the same numbers."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from lmam_book.build import verify
from lmam_book.build.verify import CHECKS, built_book_is_fresh
from lmam_book.plans.plans import PLANS, plan
from lmam_book.plans.search import SMALL
from lmam_core.errors import LmamError
from lmam_core.runs import experiment, provenance
from lmam_core.runs.provenance import code_version
from lmam_core.runs.run import Run, run
from lmam_core.runs.store import DEFAULT, Store
from lmam_core.runs.training import LEAST

VERSIONS = pd.read_csv(DEFAULT.parent / "code_versions.csv")


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return list(Store(DEFAULT))


@pytest.mark.parametrize("check", [check for check in CHECKS if check is not built_book_is_fresh])
def test_verify_finds_nothing_wrong_in_what_is_committed(check: Callable[[Store], Iterator[str]]) -> None:
    assert list(check(Store(DEFAULT))) == []


def test_a_run_that_was_changed_or_lost_since_it_was_committed_is_named(tmp_path: Path) -> None:
    """Its seconds, for one, follow from nothing else; a run that is not committed yet may still go."""
    here = {"cwd": tmp_path, "check": True, "capture_output": True}
    folder = tmp_path / "data" / "results" / "mosi" / "bc_lstm"
    folder.mkdir(parents=True)
    changed, lost, kept, new = (folder / f"{name}.json" for name in ("changed", "lost", "kept", "new"))
    for path in (changed, lost, kept):
        path.write_text('{"seconds": 10.5}')
    store = Store(tmp_path / "data" / "results")
    assert list(verify.runs_are_as_committed(store, tmp_path)) == []  # git knows nothing of it
    subprocess.run(["git", "init", "-q"], **here)
    subprocess.run(["git", "add", "."], **here)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "runs"], **here)
    new.write_text("{}")
    os.utime(kept)
    assert list(verify.runs_are_as_committed(store, tmp_path)) == []
    changed.write_text('{"seconds": 1.5}')
    lost.unlink()
    named = [sentence.split()[0] for sentence in verify.runs_are_as_committed(store, tmp_path)]
    assert named == ["data/results/mosi/bc_lstm/changed.json", "data/results/mosi/bc_lstm/lost.json"]


def test_the_code_at_hand_is_listed_with_what_changed() -> None:
    """Whoever changes a file that decides numbers says in the list what changed, and the next test shows the effect."""
    assert code_version() in set(VERSIONS.code), f"add {code_version()} to data/code_versions.csv, and say what changed"


def test_a_part_of_the_hash_that_matches_no_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PARTS", (*provenance.PARTS, "moved.py", "methods/*.py"))
    with pytest.raises(LmamError, match=r"moved\.py, methods/\*\.py of provenance\.PARTS matches no file"):
        code_version.__wrapped__()  # around its cache


UNHASHED = {
    "__init__.py": "the package's public names and where they live",
    "errors.py": "the kinds of sentences",
    "limits.py": "what a file may take, beyond which it is not read",
    "file_errors.py": "turns what other libraries raise into sentences",
    "runs/__init__.py": "empty",
    "runs/device.py": "says whether a device is there",
    "runs/predictions.py": "writes down what a model gave",
    "runs/peak_memory.py": "measures the use of memory",
    "paths.py": "where files lie",
    "hashing.py": "by what a file is known, which stands with the run",
    "data/__init__.py": "empty",
    "data/notes.py": "collects what a reader of files remarks",
    "data/fetching/__init__.py": "empty",
    "data/fetching/gather.py": "make a dataset's file, whose sha256 stands with the run",
    "data/fetching/recipe.py": "make a dataset's file, whose sha256 stands with the run",
    "data/fetching/recipes/*.py": "make a dataset's file, whose sha256 stands with the run",
}
"""What a run imports of the package and what decides none of its numbers, each with the reason."""


def test_every_module_that_a_run_imports_is_hashed_or_decides_no_number() -> None:
    code = """if True:
        import sys
        from lmam_core.runs.experiment import Experiment
        from lmam_core.runs.run import run

        run(Experiment(dialogues=4, epochs=1))
        print(*(m.__file__ for name, m in sys.modules.items() if name.split(".")[0] == "lmam_core"), sep="\\n")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    package = Path(experiment.__file__).parents[1]
    imported = {Path(line) for line in done.stdout.splitlines()}
    hashed = {path for part in provenance.PARTS for path in package.glob(part)}
    unhashed = {path for part in UNHASHED for path in package.glob(part)}
    assert package / "models" / "backbones" / "bc_lstm.py" in imported & hashed
    assert imported - hashed == unhashed


def test_arms_of_a_plan_differ_in_the_arm_alone() -> None:
    for name in PLANS:
        budgets = {
            (a.learning_rate, a.weight_decay, a.batch_size, a.epochs, a.patience, a.dialogues, a.protocol)
            for a in plan(name).arms()
        }
        assert len(budgets) == 1


def test_no_arm_of_the_second_protocol_was_stopped_early_or_left_at_the_edge_of_its_search(runs: list[Run]) -> None:
    """Of conversations: 600 updates at least, and a rate inside those that its search tried."""

    def arm(e: experiment.Experiment) -> experiment.Experiment:
        fixed = {"protocol": "", "seed": 0, "updates": 0, "learning_rate": 0, "dropout": None, "weight_decay": 0}
        return dataclasses.replace(e, **fixed)

    mine = [r for r in runs if isinstance(r.experiment, experiment.Experiment) and r.experiment.dataset not in SMALL]
    tried: dict[experiment.Experiment, set[float]] = {}
    for e in (r.experiment for r in mine if r.experiment.protocol == "tuning"):
        tried.setdefault(arm(e), set()).add(e.learning_rate)
    measured = [r for r in mine if r.experiment.protocol == "honest"]
    assert len(measured) > 100
    for r in measured:
        rates = tried[arm(r.experiment)]
        assert min(rates) < r.experiment.learning_rate < max(rates), r.experiment.key
        assert r.training.updates >= LEAST, r.experiment.key


@pytest.mark.real_data
@pytest.mark.parametrize(("backbone", "arm"), [("bc_lstm", "lmam.late.algorithm1.r45"), ("text_cnn", "concat.late")])
def test_a_stored_run_comes_out_again(runs: list[Run], backbone: str, arm: str) -> None:
    """The code at hand gives the numbers of a run that is stored: at once a check of all that lies between.

    Of runs whose float32 roundings the code at hand still has; `data/code_versions.csv` tells where they changed. A
    processor of another kind rounds otherwise as well, and training amplifies that: a text CNN was the same to 3e-6 up
    to its best epoch, 8, and 1.6e-3 away after ten more. So the run goes as far as what decided it.
    """
    asked = ("mosi", backbone, arm, "tuning1", 3e-3, 1000)
    fields = ("dataset", "backbone", "arm", "protocol", "learning_rate", "seed")
    stored = next(r for r in runs if tuple(getattr(r.experiment, name) for name in fields) == asked)
    best = stored.training.best_epoch
    again = run(dataclasses.replace(stored.experiment, epochs=best))
    if again.provenance["torch"] != stored.provenance["torch"]:
        pytest.skip("another torch version may round otherwise")
    assert again.training.best_epoch == best
    assert again.training.selection_score == pytest.approx(stored.training.selection_score[:best], abs=1e-4)
