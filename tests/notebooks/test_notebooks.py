"""How chapters are stored, and that the repository's address is everywhere the same; test_built_book runs them."""

import re
import subprocess
import sys

import nbformat
import pytest
import yaml

from lmam_core.paths import CHECKOUT
from tests.notebooks.here import assert_folds_are_labelled

CHAPTERS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
ADDRESS = yaml.safe_load((CHECKOUT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
"""The one place where it is said; the others are held to it here."""
BOOTSTRAP = nbformat.read(CHAPTERS[0], as_version=4).cells[1].source
"""The cell that makes a chapter run on Colab, where only the notebook itself is opened: in all of them the same."""


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def tagged(notebook, tag: str) -> list:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_chapters_are_found():
    assert CHAPTERS


def test_stored_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert [cell.source for cell in code if cell.outputs or cell.execution_count] == []


def test_has_ids_and_the_kernel_that_everyone_has(notebook):
    ids = [cell.get("id") for cell in notebook.cells]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"


def test_starts_with_a_title_and_the_bootstrap_cell(notebook):
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert tagged(notebook, "bootstrap") == [notebook.cells[1]]
    assert notebook.cells[1].source == BOOTSTRAP
    assert {"remove-cell", "hide-input"} & set(notebook.cells[1].metadata.tags)


def test_parameters_are_typed_commented_and_checked(notebook):
    (cell,) = tagged(notebook, "parameters")
    lines = [line for line in cell.source.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.match(r"\w+: .+ = .+  # .+", line)] == []
    if "profile: str" in cell.source:
        assert 'profile: str = "quick"' in cell.source  # what the page shows is what `make book` runs
    assert len(cell.source.splitlines()) > 1  # alone, `store: str = ...` is IPython's magic %store
    after = notebook.cells[notebook.cells.index(cell) + 1]
    assert after.cell_type == "code"
    assert "check_parameters(" in after.source


def test_what_trains_live_does_so_on_the_device_of_the_parameters(notebook):
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    if "page = Card(" in code:  # which reads the parameters itself
        assert 'device: str = "auto"' in code
        return
    if 'torch.device("cpu")' in code:  # a shop of sixty items, which no GPU makes faster
        assert "device:" not in code
        return
    calls = re.findall(
        r"(?:live_runs\.(?:live|train)|(?<!\.)trained|(?<!def )\b(?:fit|compare))\((?:[^()]|\([^()]*\))*\)", code
    )
    assert all(re.search(r"\bdevice\b", call) or "device = usable(device)" in code for call in calls)
    assert bool(calls) == bool(re.search(r'device: str = "(?:cpu|auto)"', code))
    checked = re.search(r'device=\((?:"auto", )?"cpu", "cuda"\)', code) or "RULES[name]" in code
    assert bool(calls) == bool(checked)


def test_every_figure_says_what_it_shows(notebook):
    shown = [cell for cell in notebook.cells if "plt.show()" in cell.source]
    told = [cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "") for cell in shown]
    assert [alt for alt in told if not re.fullmatch(r"[A-Z0-9].{30,}\.", alt)] == []


def test_folds_are_labelled_and_no_directive_shows_raw_in_jupyterlab(notebook):
    assert_folds_are_labelled(notebook.cells)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert ":::" not in prose
    assert len(prose.split()) <= 1800


def lines_of(cell) -> list[str]:
    """The lines of a cell but for its imports."""
    return [line for line in cell.source.splitlines() if not re.match("(?:from|import) ", line)]


def test_cells_are_short(notebook):
    long = [cell.source for cell in notebook.cells if cell.cell_type == "code" and len(lines_of(cell)) > 24]
    assert long == []


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("CITATION.cff", r"^repository-code: (\S+)$"), ("pyproject.toml", r'^Repository = "(\S+)"$')],
)
def test_the_address_is_everywhere_the_same(name, pattern):
    assert re.findall(pattern, (CHECKOUT / name).read_text(encoding="utf-8"), re.M) == [ADDRESS]


# What the bootstrap cell does, with every command replaced by a note of it.
ON_COLAB = """
import importlib.util, subprocess, sys
importlib.util.find_spec = lambda name: None
subprocess.run = lambda command, check: print(" ".join(command))
{colab}
exec(sys.argv[1])
print(sys.path[0])
"""


def bootstrap(colab: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", ON_COLAB.format(colab=colab), BOOTSTRAP]
    return subprocess.run(command, capture_output=True, text=True)


def test_bootstrap_fetches_the_repository_on_colab():
    clone, told, install, path = bootstrap("sys.modules['google.colab'] = sys").stdout.splitlines()
    assert told == "Installing what the book needs: a few minutes, once per session."
    assert clone == f"git clone --depth=1 {ADDRESS} /content/lmam-book"
    assert install.endswith("pip install -q -e /content/lmam-book[media]")
    assert path == "/content/lmam-book"


def test_bootstrap_says_what_to_do_elsewhere():
    done = bootstrap("")
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("ImportError: lmam_core is missing: run")


def test_bootstrap_does_nothing_where_the_package_is():
    code = "import sys; before = set(sys.modules); exec(sys.argv[1]); print('subprocess' in set(sys.modules) - before)"
    command = [sys.executable, "-c", code, BOOTSTRAP]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.stdout.strip() == "False", done.stderr
