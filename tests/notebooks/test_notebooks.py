"""How chapters are stored, and that the repository's address is everywhere the same; test_built_book runs them."""

import re
import subprocess
import sys

import nbformat
import pytest

from lmam_book.build import address
from lmam_core.errors import LmamError

CHAPTERS = sorted((address.ROOT / "notebooks").glob("*.ipynb"))


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
    assert notebook.cells[1].source == address.bootstrap_source()
    assert {"remove-cell", "hide-input"} & set(notebook.cells[1].metadata.tags)


def test_parameters_are_typed_commented_and_checked(notebook):
    (cell,) = tagged(notebook, "parameters")
    lines = [line for line in cell.source.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.match(r"\w+: .+ = .+  # .+", line)] == []
    assert 'profile: str = "quick"' in cell.source  # what the page shows is what `make book` runs
    after = notebook.cells[notebook.cells.index(cell) + 1]
    assert after.cell_type == "code"
    assert "check_parameters(" in after.source


def test_what_trains_live_does_so_on_the_device_of_the_parameters(notebook):
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    calls = re.findall(r"(?:live_runs\.live|page = Chapter|(?<!\.)trained)\((?:[^()]|\([^()]*\))*\)", code)
    assert all(re.search(r"\bdevice\b", call) for call in calls)
    assert bool(calls) == ('device: str = "cpu"' in code) == ('device=("cpu", "cuda")' in code)


def test_every_figure_says_what_it_shows(notebook):
    shown = [cell for cell in notebook.cells if "plt.show()" in cell.source]
    told = [cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "") for cell in shown]
    assert [alt for alt in told if not re.fullmatch(r"[A-Z0-9].{30,}\.", alt)] == []


def lines_of(cell) -> list[str]:
    """The lines of a cell but for its imports."""
    return [line for line in cell.source.splitlines() if not re.match("(?:from|import) ", line)]


def test_cells_are_short(notebook):
    long = [cell.source for cell in notebook.cells if cell.cell_type == "code" and len(lines_of(cell)) > 24]
    assert long == []


def test_address_is_everywhere_the_same():
    texts = address.in_step()
    assert {path.name for path in CHAPTERS} | {"CITATION.cff", "pyproject.toml"} == {path.name for path in texts}
    out_of_step = [path.name for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    assert out_of_step == [], "run `make address`"
    for name in ("CITATION.cff", "pyproject.toml"):
        assert address.address() in texts[address.ROOT / name]


@pytest.fixture
def moved(tmp_path):
    """A small repository whose `_config.yml` holds a new address while all else holds the old one."""
    (tmp_path / "notebooks").mkdir()
    cells = [
        nbformat.v4.new_markdown_cell("# A"),
        nbformat.v4.new_code_cell("old", metadata={"tags": ["bootstrap", "remove-cell"]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "a.ipynb")
    (tmp_path / "_config.yml").write_text("repository: {url: 'https://example.org/new/place'}\n")
    (tmp_path / "CITATION.cff").write_text("title: A\nrepository-code: https://example.org/old\n")
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/old"\n')
    return tmp_path


def test_sync_carries_a_new_address_everywhere(moved):
    assert {path.name for path in address.sync(moved)} == {"a.ipynb", "CITATION.cff", "pyproject.toml"}
    cell = nbformat.read(moved / "notebooks" / "a.ipynb", as_version=4).cells[1]
    assert cell.source == address.bootstrap_source(moved)
    assert '"https://example.org/new/place"' in cell.source
    assert (moved / "CITATION.cff").read_text() == "title: A\nrepository-code: https://example.org/new/place\n"
    assert 'Repository = "https://example.org/new/place"' in (moved / "pyproject.toml").read_text()
    assert address.sync(moved) == []


@pytest.mark.parametrize("config", ["title: A\n", "repository: {url: github.com/a/b}\n", "repository:\n"])
def test_no_address_is_one_sentence(moved, config):
    (moved / "_config.yml").write_text(config)
    with pytest.raises(LmamError, match=r"repository\.url"):
        address.address(moved)


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
    command = [sys.executable, "-c", ON_COLAB.format(colab=colab), address.bootstrap_source()]
    return subprocess.run(command, capture_output=True, text=True)


def test_bootstrap_fetches_the_repository_on_colab():
    clone, install, path = bootstrap("sys.modules['google.colab'] = sys").stdout.splitlines()
    assert clone == f"git clone --depth=1 {address.address()} /content/lmam-book"
    assert install.endswith("pip install -q -e /content/lmam-book[media]")
    assert path == "/content/lmam-book"


def test_bootstrap_says_what_to_do_elsewhere():
    done = bootstrap("")
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("ImportError: lmam_core is missing: run")


def test_bootstrap_does_nothing_where_the_package_is():
    code = "import sys; before = set(sys.modules); exec(sys.argv[1]); print('subprocess' in set(sys.modules) - before)"
    command = [sys.executable, "-c", code, address.bootstrap_source()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=address.ROOT)
    assert done.stdout.strip() == "False", done.stderr
