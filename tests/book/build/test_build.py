"""The book's machinery on a tiny book: what is stale, what a failure says, what an interruption leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

from lmam_book import build as book
from lmam_book.build import manifest, verify
from lmam_book.build.pages import check_pages
from lmam_book.build.serve import watch_sources
from lmam_book.cli import main as lmam
from lmam_core.errors import LmamError
from lmam_core.runs.store import Store

REPOSITORY = book.ROOT
PARAMETERS = 'profile: str = "quick"  # quick or full'
COUNT = (
    "from pathlib import Path\n\nwith Path('runs.txt').open('a') as runs:\n    runs.write('{name} ')\nprint(profile)"
)


def write_notebook(path: Path, *sources: str) -> None:
    """Write a chapter of a title, a parameters cell and the given code cells."""
    cell = nbformat.v4.new_code_cell
    cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}"), cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    cells += [cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A book of one page and the chapters `a` and `b`, each of which notes its run in `runs.txt`."""
    monkeypatch.delenv("LMAM_DATA", raising=False)
    monkeypatch.setattr(book, "ROOT", tmp_path)
    for folder in ("book/_static", "book/other", "notebooks", "lmam_core", "data/results", "data/paper"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_config.yml").write_text(
        "title: tiny\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
    )
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: notebooks/a\n- file: notebooks/b\n"
    )
    (tmp_path / "book" / "index.md").write_text("# Tiny\n\nSee {doc}`../notebooks/a`.\n")
    (tmp_path / "lmam_core" / "__init__.py").write_text("")
    (tmp_path / "lmam_core" / "model.py").write_text("rank = 1\n")
    (tmp_path / "book" / "other" / "cli.py").write_text("")
    (tmp_path / "data" / "results" / "runs.csv").write_text("f1\n0.5\n")
    (tmp_path / "data" / "paper" / "table.csv").write_text("1\n")
    (tmp_path / "requirements.lock").write_text("torch==1\n")
    for name in "ab":
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", COUNT.format(name=name))
    return tmp_path


def plan(root: Path, force: bool = False) -> tuple[book.Tree, dict, dict]:
    """Return the tree, the fingerprints of all chapters in it, and the stale ones with their reasons."""
    tree = book.Tree(root)
    now = book.fingerprints(tree, [source for source in book.toc_sources(root) if source.endswith(".ipynb")])
    return tree, now, book.stale(root, now, force)


def reasons(root: Path, force: bool = False) -> dict[str, str]:
    return plan(root, force)[2]


def run_stale(root: Path) -> str:
    """Run what is stale and return the names of the chapters that ran, in alphabetical order."""
    runs = root / "notebooks" / "runs.txt"
    runs.unlink(missing_ok=True)
    book.run_chapters(*plan(root))
    return "".join(sorted(runs.read_text().split())) if runs.exists() else ""


def pretend_all_ran(root: Path) -> None:
    """Leave the tree as a build of all chapters would, without running them."""
    now = plan(root)[1]
    for chapter in now:
        for path in (manifest.executed(root, chapter), root / "_build" / "stage" / chapter):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / chapter, path)
        now[chapter]["output"] = manifest.file_hash(root / chapter)
    manifest.write_manifest(root, {"notebooks": now})


USE = """
import subprocess, sys

sys.path.insert(0, {root!r})
import lmam_core.model
subprocess.run([sys.executable, "-c", "import lmam_core.below"], cwd={root!r}, check=True)
subprocess.run([sys.executable, "lmam_core/script.py"], cwd={root!r}, check=True)
"""
READ = """
from pathlib import Path

root = Path({root!r})
(root / "data" / "paper" / "table.csv").read_text()
(root / "data" / "later.csv").exists()
list((root / "book" / "_static").iterdir()), list(root.iterdir())
"""


CHANGES = {
    "lmam_core/model.py": "a",  # imported
    "lmam_core/below.py": "a",  # imported by a process that the chapter starts
    "lmam_core/script.py": "a",  # run by one
    "data/paper/table.csv": "b",  # read
    "data/later.csv": "b",  # asked for, and not there at the time
    "book/_static/": "b",  # its names were listed
    "/": "b",
    "book/other/cli.py": "",
    "lmam_core/new.py": "",  # beside the imported ones: the import system lists the folder, the chapter does not
    "data/paper/new.csv": "",
    "data/results/runs.csv": "",  # neither asked for the store
    "notebooks/new.ipynb": "",
    "pyproject.toml": "",
}


def test_a_chapter_runs_again_when_something_changed_that_it_imported_or_read(root):
    for name in ("below", "script"):
        (root / "lmam_core" / f"{name}.py").write_text("")
    for name, more in (("a", USE), ("b", READ)):
        sources = COUNT.format(name=name), more.format(root=str(root))
        write_notebook(root / "notebooks" / f"{name}.ipynb", *sources)
    assert run_stale(root) == "ab"
    assert run_stale(root) == ""
    for file, rerun in CHANGES.items():
        path = root / file.strip("/") / "new.svg" if file.endswith("/") else root / file
        before = path.read_text() if path.exists() else None
        path.write_text("# changed\n")
        assert reasons(root) == {f"notebooks/{name}.ipynb": f"{file} changed" for name in rerun}, file
        path.write_text(before) if before is not None else path.unlink()
    assert reasons(root) == {}
    (root / "lmam_core" / "model.py").write_text("rank = 2\n")
    assert run_stale(root) == "a"
    assert run_stale(root) == ""


def test_a_chapter_that_asked_the_store_depends_on_all_runs(root):
    for name, ask in {"a": "Path({!r}, 'mosi/run.json').exists()", "b": "list(Path({!r}).glob('*/*.json'))"}.items():
        cells = COUNT.format(name=name), ask.format(str(root / "data" / "results"))
        write_notebook(root / "notebooks" / f"{name}.ipynb", *cells)
    run_stale(root)
    (root / "data" / "results" / ".locks").mkdir()
    (root / "data" / "results" / ".locks" / "index.sqlite").write_text("")
    assert reasons(root) == {}
    (root / "data" / "results" / "runs.csv").write_text("f1\n0.6\n")
    assert reasons(root) == dict.fromkeys(["notebooks/a.ipynb", "notebooks/b.ipynb"], "data/results/ changed")


def test_the_reads_of_the_code_version_are_no_dependency(root):
    """A page says which code ran it; that code was read as a whole, and the page is made of what it imported."""
    (root / "lmam_core" / "provenance.py").write_text(
        "from pathlib import Path\n\n"
        "def code_version():\n    return [p.read_bytes() for p in Path(__file__).parent.glob('*.py')]\n\n"
        "code_version()\n"
    )
    use = f"import sys\n\nsys.path.insert(0, {str(root)!r})\nimport lmam_core.provenance"
    write_notebook(root / "notebooks" / "a.ipynb", use)
    run_stale(root)
    (root / "lmam_core" / "model.py").write_text("rank = 2\n")
    (root / "lmam_core" / "new.py").write_text("")
    assert reasons(root) == {}
    (root / "lmam_core" / "provenance.py").write_text("")
    assert reasons(root) == {"notebooks/a.ipynb": "lmam_core/provenance.py changed"}


def test_an_edit_while_a_chapter_runs_makes_it_stale(root):
    """What the chapter saw of it nobody knows."""
    model = root / "lmam_core" / "model.py"
    edit = f"from pathlib import Path\n\nPath({str(model)!r}).read_text()\nPath({str(model)!r}).write_text('rank = 2')"
    write_notebook(root / "notebooks" / "a.ipynb", edit)
    run_stale(root)
    assert reasons(root) == {"notebooks/a.ipynb": "lmam_core/model.py changed"}


def test_changed_libraries_make_all_stale(root):
    pretend_all_ran(root)
    assert reasons(root) == {}
    (root / "requirements.lock").write_text("torch==2\n")
    assert reasons(root) == dict.fromkeys(["notebooks/a.ipynb", "notebooks/b.ipynb"], "versions changed")


def test_outputs_and_editor_metadata_do_not_make_a_chapter_stale(root):
    pretend_all_ran(root)
    path = root / "notebooks" / "a.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].execution_count = 7
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="1")]
    notebook.metadata["widgets"] = {}
    nbformat.write(notebook, path)
    assert reasons(root) == {}
    for metadata in ({"tags": ["remove-cell"]}, {"mystnb": {"image": {"alt": "A line that rises."}}}):
        notebook.cells[-1].metadata = metadata
        nbformat.write(notebook, path)
        assert reasons(root) == {"notebooks/a.ipynb": "notebook changed"}


def test_lost_copy_force_and_damaged_manifest(root):
    pretend_all_ran(root)
    assert len(reasons(root, force=True)) == 2
    manifest.executed(root, "notebooks/b.ipynb").unlink()
    assert reasons(root) == {"notebooks/b.ipynb": "never run"}


def test_outputs_that_were_changed_since_they_ran_are_run_again(root):
    assert run_stale(root) == "ab"
    path = manifest.executed(root, "notebooks/a.ipynb")
    path.write_text(path.read_text().replace("quick", "quack"))
    assert reasons(root) == {"notebooks/a.ipynb": "its outputs were changed since it ran"}
    assert said_by_verify(root).startswith(
        "_build/executed/notebooks/a.ipynb, _build/html/index.html: not as the build"
    )
    assert run_stale(root) == "a"
    assert "quick" in path.read_text()
    assert reasons(root) == {}


def said_by_verify(root: Path) -> str:
    (root / "_build" / "html").mkdir(exist_ok=True)
    (root / "_build" / "html" / "index.html").touch()
    return "\n".join(verify.built_book_is_fresh(Store(root / "data" / "results"), root))


DAMAGED = {
    "truncated": lambda p: p.write_text(p.read_text()[:-100]),
    "empty": lambda p: p.write_text(""),
    "binary": lambda p: p.write_bytes(bytes(range(256))),
    "a list": lambda p: p.write_text("[]"),
    "null": lambda p: p.write_text("null"),
    "nested too deep": lambda p: p.write_text("[" * 100_000),
    "of chapters a list": lambda p: p.write_text('{"notebooks": []}'),
    "of a chapter nothing": lambda p: p.write_text('{"notebooks": {"notebooks/a.ipynb": null}}'),
    "of what was read a list": lambda p: p.write_text(p.read_text().replace('"read": {}', '"read": [1]')),
    "an impossible name": lambda p: p.write_text(p.read_text().replace('"read": {}', '"read": {"\\u0000": ""}')),
    "one hash": lambda p: p.write_text(p.read_text().replace('"notebook": "', '"notebook": "0')),
    "gone": Path.unlink,
    "a pipe": lambda p: (p.unlink(), os.mkfifo(p)),
}


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are Unix's")
@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_with_a_damaged_manifest_all_is_stale(root, damage):
    pretend_all_ran(root)
    damage(root / "_build" / "manifest.json")
    assert reasons(root) == dict.fromkeys(["notebooks/a.ipynb", "notebooks/b.ipynb"], "never run")
    assert "is damaged; `make book`" in said_by_verify(root)
    pretend_all_ran(root)
    assert reasons(root) == {}


def test_runs_with_the_chapters_own_parameters_and_this_interpreter(root):
    write_notebook(root / "notebooks" / "a.ipynb", "import os, sys\n\nprint(profile, sys.executable, os.getcwd())")
    run_stale(root)
    cells = json.loads(manifest.executed(root, "notebooks/a.ipynb").read_text())["cells"]
    assert "".join(cells[-1]["outputs"][0]["text"]).split() == ["quick", sys.executable, str(root / "notebooks")]


def test_a_failing_cell_is_named_and_the_others_finish(root, capsys):
    write_notebook(root / "notebooks" / "a.ipynb", "x = 1", "# a note\nraise ArithmeticError(f'no {x}')", "print(1)")
    assert lmam(["book"]) == 2
    said, error = capsys.readouterr()
    block = said[said.index("FAILED") :].splitlines()
    assert block[0] == "FAILED  notebooks/a.ipynb"
    assert block[1].split(maxsplit=1) == ["at", "cell 4 of 5: # a note"]
    assert block[2].split(maxsplit=1) == ["error", "ArithmeticError: no 1"]
    assert "1 of 2 notebooks failed: notebooks/a.ipynb" in error
    assert list(manifest.read_manifest(root)["notebooks"]) == ["notebooks/b.ipynb"]
    assert reasons(root) == {"notebooks/a.ipynb": "never run"}


def test_an_error_of_ours_is_one_sentence(root, capsys):
    code = "from lmam_core.errors import LmamError\n\nraise LmamError('rank is 0: give at least 1.')"
    write_notebook(root / "notebooks" / "a.ipynb", code)
    assert lmam(["book", "--jobs", "1"]) == 2
    assert "Traceback" not in capsys.readouterr().out


END_RUNNER = "import os, signal\n\nos.kill(os.getppid(), signal.SIGKILL)\nimport time; time.sleep(60)"
PICTURES = """import os
from IPython.display import SVG, display

for _ in range(50):
    display(SVG(f"<svg>{'x' * 2**20}</svg>"))"""
GIVE_UP = {
    "the kernel is killed": (
        "import os, signal\n\nos.kill(os.getpid(), 9)",
        "The kernel died in this cell: its code ended it, or the machine for want of memory.",
    ),
    "its process is killed": (END_RUNNER, "Its process was ended by SIGKILL."),
    "50 MB of pictures": (PICTURES, "This cell puts out more than 20 MB, which no page shows: print less of it."),
    "too long": (
        "import time\n\ntime.sleep(600)",
        "It ran for more than 0.3 minutes; `lmam book --minutes` gives it more.",
    ),
}


@pytest.mark.parametrize(("code", "sentence"), GIVE_UP.values(), ids=GIVE_UP)
def test_a_cell_that_cannot_go_on_is_one_sentence_and_leaves_no_process(root, capsys, code, sentence):
    note = f"from pathlib import Path\nimport os\n\nPath({str(root / 'pid')!r}).write_text(str(os.getpid()))"
    write_notebook(root / "notebooks" / "a.ipynb", note, code)
    limit = ["--minutes", "0.3" if "sleep(600)" in code else "5"]
    assert lmam(["book", *limit]) == 2
    block = capsys.readouterr().out.split("FAILED")[1].split("\n\n")[0].splitlines()
    if "sleep(600)" not in code:  # on a busy machine the time is over before it comes to that
        assert block[1].split(maxsplit=1) == ["at", f"cell 4 of 4: {code.splitlines()[0]}"]
    assert block[2].split(maxsplit=1)[1] == sentence
    assert block[3].split() == ["log", "_build/logs/notebooks/a.log"]
    assert len(block) == 4
    pid = root / "pid"
    wait_until(lambda: not pid.exists() or not alive(int(pid.read_text())), 10)
    assert reasons(root)["notebooks/a.ipynb"] == "never run"


def test_what_is_put_out_within_the_limit_is_kept_whole(root):
    write_notebook(
        root / "notebooks" / "a.ipynb", "for k in range(100_000):\n    print(k, 'x' * 90, flush=k % 100 == 0)"
    )
    run_stale(root)
    cells = json.loads(manifest.executed(root, "notebooks/a.ipynb").read_text())["cells"]
    assert "".join(cells[-1]["outputs"][-1]["text"]).splitlines()[-1].split()[0] == "99999"


def test_a_long_cell_gives_signs_of_life(root, capsys, monkeypatch):
    monkeypatch.setattr(book.chapters, "HEARTBEAT", 0.5)
    write_notebook(root / "notebooks" / "a.ipynb", "import time\n\ntime.sleep(4)")
    run_stale(root)
    assert "s, cell 3 of 3: import time" in capsys.readouterr().out


def test_builds_the_pages_and_then_only_what_changed(root, capsys):
    assert lmam(["book"]) == 0
    assert "[2/2]" in capsys.readouterr().out
    html = root / "_build" / "html"
    page = html / "notebooks" / "a.html"
    assert "quick" in page.read_text()

    begun = time.monotonic()
    assert lmam(["book"]) == 0
    assert "up to date" in capsys.readouterr().out
    assert time.monotonic() - begun < 2

    # A page that was not read again is written again: it names the others.
    (root / "book" / "index.md").write_text("# Small\n\nSee {doc}`../notebooks/a`.\n")
    # Nor does prose run: it comes between the outputs of the last run.
    source = root / "notebooks" / "b.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.cells[0].source = "# Bee"
    notebook.cells.insert(2, nbformat.v4.new_markdown_cell("A sentence more."))
    nbformat.write(notebook, source)
    os.replace(html, html.with_name("html.former"))  # as a build leaves it that is killed as it swaps the two
    assert lmam(["book"]) == 0
    assert "started (" not in capsys.readouterr().out
    assert "0 added, 2 changed, 0 removed" in (root / "_build" / "logs" / "jupyter-book.log").read_text()
    assert "Small" in (html / "book" / "index.html").read_text()
    assert "Small" in page.read_text()
    assert "Bee" in page.read_text()
    assert "Tiny" not in page.read_text()
    # A number that somebody changes on a page does not stay.
    whole = page.read_text()
    page.write_text(whole.replace("quick", "quack"))
    (html / "notebooks" / "more.html").write_text("")
    (sentence,) = verify.built_book_is_fresh(Store(root / "data" / "results"), root)
    assert sentence.startswith(
        "_build/html/notebooks/a.html, _build/html/notebooks/more.html: not as the build left it"
    )
    assert lmam(["book"]) == 0
    assert page.read_text() == whole
    assert not (html / "notebooks" / "more.html").exists()
    assert list(verify.built_book_is_fresh(Store(root / "data" / "results"), root)) == []
    told = (html / "notebooks" / "b.html").read_text()
    assert told.index("tag_parameters") < told.index("A sentence more.") < told.index("runs") < told.index(">quick")
    assert not html.with_name("html.former").exists()


def test_a_page_with_a_mistake_fails_every_time_and_leaves_the_last_good_book(root, capsys):
    """Also when it is built again as it is: Sphinx says of a page that it does not read again nothing."""
    assert lmam(["book"]) == 0
    page = root / "_build" / "html" / "notebooks" / "a.html"
    (root / "book" / "index.md").write_text("# Small\n\n```{nonsense}\n```\n\nSee {doc}`../notebooks/c`.\n")
    for _ in range(2):
        assert lmam(["book"]) == 2
        said, error = capsys.readouterr()
        assert "unknown document" in said
        assert "Unknown directive type" in said
        assert "jupyter-book failed" in error
        assert "Tiny" in page.read_text()


@pytest.fixture
def pages(root):
    """The tiny book as it should be when it was built, without building it."""
    html = root / "_build" / "html"
    (html / "notebooks").mkdir(parents=True)
    (html / "book").mkdir()
    for name in ("index", "book/index"):
        (html / f"{name}.html").write_text("<p>")
    pretend_all_ran(root)
    for name in "ab":
        path = root / "_build" / "stage" / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="1")]
        nbformat.write(notebook, path)
        (html / "notebooks" / f"{name}.html").write_text('<div class="cell_output docutils container">')
    return html


def problems(root: Path, html: Path) -> list[str]:
    return check_pages(root, root / "_build" / "stage", html)


def test_whole_pages_pass(root, pages):
    assert problems(root, pages) == []


def test_a_missing_page_is_found(root, pages):
    (pages / "notebooks" / "b.html").unlink()
    assert problems(root, pages) == ["notebooks/b.html is missing"]


def test_lost_outputs_are_found(root, pages):
    (pages / "notebooks" / "b.html").write_text("<p>")
    assert problems(root, pages) == ["b.html shows 0 of 1 outputs"]


def test_a_chapter_that_never_ran_is_found(root, pages):
    shutil.copy(root / "notebooks" / "a.ipynb", root / "_build" / "stage" / "notebooks" / "a.ipynb")
    assert problems(root, pages) == ["notebooks/a.ipynb has no outputs"]


def test_an_error_on_a_page_is_found(root, pages):
    path = root / "_build" / "stage" / "notebooks" / "a.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    nbformat.write(notebook, path)
    assert problems(root, pages) == ["notebooks/a.ipynb shows an error"]


def test_the_name_of_an_object_instead_of_its_content_is_found(root, pages):
    page = pages / "notebooks" / "b.html"
    page.write_text(page.read_text() + "<pre>&lt;IPython.core.display.Markdown object&gt;</pre>")
    assert problems(root, pages) == ["b.html shows the name of an object where it has nothing to say"]


def test_a_killed_build_goes_on_where_it_stopped(root):
    wait = "import os\nimport time\n\nPath('pid').write_text(str(os.getpid()))\ntime.sleep(60)"
    write_notebook(root / "notebooks" / "b.ipynb", COUNT.format(name="b"), wait)
    code = "import sys, pathlib; from lmam_book import build as book; book.build(pathlib.Path(sys.argv[1]), jobs=1)"
    build = subprocess.Popen([sys.executable, "-c", code, root], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    pid = root / "notebooks" / "pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    build.send_signal(signal.SIGKILL)
    build.wait()
    wait_until(lambda: not alive(int(pid.read_text())))  # no kernel outlives its build

    write_notebook(root / "notebooks" / "b.ipynb", COUNT.format(name="b"))
    assert run_stale(root) == "b"


def alive(pid: int) -> bool:
    """Say whether a process still runs; one that has ended and waits to be collected does not."""
    try:
        return (
            "zombie" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").exists() else not os.kill(pid, 0)
        )
    except OSError:
        return False


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_a_second_build_waits_for_the_first(root, capsys, monkeypatch):
    monkeypatch.setattr(book, "_build_locked", lambda *asked: None)
    (root / "_build").mkdir()
    first = FileLock(root / "_build" / "lock")
    first.acquire()
    second = threading.Thread(target=book.build, args=[root])
    second.start()
    time.sleep(0.5)
    assert second.is_alive()
    first.release()
    second.join(10)
    assert not second.is_alive()
    assert "Another build" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda root: (root / "_toc.yml").unlink(), "There is no _toc.yml"),
        (lambda root: (root / "notebooks" / "b.ipynb").unlink(), "_toc.yml names notebooks/b"),
        (lambda root: (root / "notebooks" / "b.ipynb").write_text("{"), "b.ipynb is not a notebook"),
        (lambda root: (root / "_build").write_text(""), "could not be built .*_build: File exists"),
    ],
)
def test_a_broken_tree_is_one_sentence(root, break_it, sentence):
    break_it(root)
    with pytest.raises(LmamError, match=sentence):
        book.build(root)


def test_no_jobs_is_refused(root):
    with pytest.raises(LmamError, match="jobs is 0"):
        book.build(root, jobs=0)
    with pytest.raises(LmamError, match="minutes is -1"):
        book.build(root, minutes=-1)


def fetch(port: str, page: str) -> str:
    with urllib.request.urlopen(f"http://localhost:{port}/{page}", timeout=10) as answer:
        return answer.read().decode()


def test_serves_the_book_and_builds_it_again_on_a_change(root):
    code = "import sys, pathlib; from lmam_book import build; build.ROOT = pathlib.Path(sys.argv[1])"
    code += "\nfrom lmam_book import cli; cli.main(['book', '--serve', '0'])"
    server = subprocess.Popen([sys.executable, "-c", code, root], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in server.stdout if line.startswith("Serving"))
        port = line.split("localhost:")[1].split(";")[0]
        built = fetch(port, "built")
        assert "Tiny" in fetch(port, "book/index.html")
        assert 'fetch("/built")' in fetch(port, "book/index.html")
        assert fetch(port, "built") == built

        (root / "book" / "index.md").write_text("# Small\n\nSee {doc}`../notebooks/a`.\n")
        wait_until(lambda: fetch(port, "built") not in (built, ""))
        assert "Small" in fetch(port, "book/index.html")
        # The open page, which has asked for `built` when it was loaded, sees another answer now and loads again.
        assert next(line for line in server.stdout if line.startswith("Serving"))
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


@pytest.mark.parametrize("recursive", [True, False])
def test_what_is_watched(root, recursive):
    """Files as editors save them, by a rename, and none that a build or a sweep writes beside them."""
    quiet = root / "data" / "results" / ".locks" / "index.sqlite", root / "_build" / "manifest.json", root / "my.md"
    for path in quiet:
        path.parent.mkdir(parents=True, exist_ok=True)
    changed = threading.Event()
    threading.Thread(target=watch_sources, args=[root, changed, recursive], daemon=True).start()
    time.sleep(1)
    for path in quiet:
        path.write_text("1")
    assert not changed.wait(2.5)
    for _ in range(2):
        changed.clear()
        (root / "saved").write_text("")
        os.replace(root / "saved", root / "lmam_core" / "model.py" if recursive else root / "_toc.yml")
        assert changed.wait(10)


def test_the_same_chapter_gives_the_same_bytes(tmp_path: Path) -> None:
    """Its figures have neither a date nor names that chance gives, in their wide form and in that for a phone."""
    draw = "from lmam_book.pages.style import style\nimport matplotlib.pyplot as plt\nstyle()"
    plot = "plt.plot([1, 2], [2, 1], label='a')\nplt.fill_between([1, 2], [0, 0], [1, 2])\nplt.legend()\nplt.show()"
    cells = [nbformat.v4.new_code_cell(code) for code in (draw, plot)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    code = "import sys; from lmam_book.build.runner import run_one; run_one(*sys.argv[1:])"
    made = []
    for k in "12":
        paths = [str(tmp_path / name) for name in ("a.ipynb", f"{k}.ipynb", f"notes{k}", ".")]
        subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True)
        made.append([cell.outputs for cell in nbformat.read(paths[1], 4).cells])
    assert made[0] == made[1]
    assert "<svg" in str(made[0][1])
