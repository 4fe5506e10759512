"""Where runs, caches and data lie: in a checkout, and where the package was installed without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmam_book.cli import main
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.runs.store import Store

TINY = ["--rank", "4", "--epochs", "1", "--dialogues", "4"]


def test_a_checkout_is_known_by_its_project_and_the_papers_numbers(tmp_path: Path) -> None:
    assert paths.CHECKOUT == paths.SOURCE == Path(__file__).resolve().parents[2]
    (tmp_path / "data" / "paper").mkdir(parents=True)
    assert not paths._is_checkout(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert not paths._is_checkout(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "lmam-book"\n')
    assert paths._is_checkout(tmp_path)
    (tmp_path / "data" / "paper").rmdir()
    assert not paths._is_checkout(tmp_path)


def test_a_name_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.store(None) == paths.store("book") == Store().root == paths.checkout() / "data" / "results"
    assert paths.store("here") == Path("here")
    monkeypatch.setattr(paths, "CHECKOUT", None)
    with pytest.raises(LmamError, match="needs the book's repository"):
        paths.store("book")


def test_in_a_checkout_runs_of_ones_own_go_to_my_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = Store().paths()
    assert main(["run", *TINY]) == main(["sweep", *TINY, "--seeds", "1", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.count("Runs go to my-runs in this folder") == 2
    assert len(Store("my-runs").paths()) == 2
    assert main(["run", *TINY, "--store", "other"]) == 0
    assert "Runs go to" not in capsys.readouterr().out
    assert len(Store("other").paths()) == 1
    assert Store().paths() == before


def test_plans_go_where_they_are_sent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []
    monkeypatch.setattr(
        "lmam_book.plans.plans.carry_out", lambda names, store, *_: asked.append((*names, store.root)) or []
    )
    for store in ([], ["--store", "book"], ["--store", "here"]):
        assert main(["sweep", "bc_lstm", *store]) == 0
    assert asked == [("bc_lstm", Path(name)) for name in ("my-runs", paths.data("results"), "here")]
    capsys.readouterr()
    assert main(["results", "--csv"]) == 0
    of_conversations = [run for run in Store() if run.experiment.task == "conversation"]
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(of_conversations)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory):
    """Runs Python where the package, installed by pip, lies without its repository; in another, empty folder."""
    root = tmp_path_factory.mktemp("alone")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (root / "source").mkdir(exist_ok=True)
        shutil.copy(paths.checkout() / name, root / "source")
    leftout = shutil.ignore_patterns("__pycache__")
    for name in ("lmam_core", "book/lmam_book"):
        shutil.copytree(paths.checkout() / name, root / "source" / name, ignore=leftout)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", root / "packages", root / "source"], check=True)
    shutil.rmtree(root / "source")
    (root / "work").mkdir()
    places = {"PYTHONPATH": root / "packages", "HOME": root / "home", "XDG_CACHE_HOME": root / "home" / "cache"}
    environment = {**os.environ, **{k: str(v) for k, v in places.items()}, "PYTHONDONTWRITEBYTECODE": "1"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=root / "work", env=environment)

    return root, python


def files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_without_a_checkout_runs_go_to_my_runs_and_nothing_to_the_package(alone) -> None:
    root, python = alone
    before = files(root / "packages")
    done = python("-c", f"from lmam_book.cli import main; print(main(['run', *{TINY}]), main(['results']))")
    assert done.stdout.endswith("0 0\n"), done.stderr
    assert "Runs go to my-runs in this folder" in done.stdout
    assert "lmam.early.paper.r4" in done.stdout.split("kept in")[1].partition("\n")[2]
    assert [name.split(os.sep)[:3] for name in files(root / "work") if name.endswith(".json")] == [
        ["my-runs", "synthetic-iemocap", "bc_lstm"]
    ]
    assert files(root / "packages") == before


def test_without_a_checkout_what_needs_none_works_and_the_cache_is_the_users(alone) -> None:
    root, python = alone
    code = "import lmam_core; from lmam_core import paths; print(lmam_core.__file__, paths.CHECKOUT, paths.CACHE)"
    package, checkout, cache = python("-c", code).stdout.split()
    assert Path(package).is_relative_to(root / "packages")
    assert checkout == "None"
    assert Path(cache).is_relative_to(root / "home")
    assert "verify" in python("-m", "lmam_book.cli", "--help").stdout


def test_without_a_checkout_what_needs_one_says_so(alone) -> None:
    _, python = alone
    commands = [["verify"], ["book"], ["results", "--store", "book"]]
    done = python("-c", f"from lmam_book.cli import main; print(*(main(command) for command in {commands}))")
    assert done.stdout == "2 2 2\n"
    assert done.stderr.count("This needs the book's repository: clone it") == done.stderr.count("\n") == 3
