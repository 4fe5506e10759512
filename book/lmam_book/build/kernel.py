"""How one chapter runs: in which environment, with which parameters, and what is noted of it."""

import json
import os
import sys
import threading
from pathlib import Path

from lmam_book.build.manifest import PARAMETERS
from lmam_core.paths import SOURCE

TRACING = Path(__file__).with_name("tracing")
"""The folder whose `sitecustomize` notes what a process reads."""


def environment(root: Path) -> dict[str, str]:
    """Return the environment of a run: this interpreter as kernel `python3`, no user settings, one thread.

    One thread whatever the number of runs: a chapter's numbers must not depend on how many others are stale.
    """
    kernels = root / "_build" / "jupyter"
    (kernels / "kernels" / "python3").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernels / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    settings = {"JUPYTER_PATH": kernels, "IPYTHONDIR": root / "_build" / "ipython", "OMP_NUM_THREADS": 1}
    # A package that is not installed but lies beside this file (a plain checkout) is found by the runs as well.
    settings["PYTHONPATH"] = _search_path(SOURCE, SOURCE / "book")
    return {**os.environ, **{name: str(value) for name, value in settings.items()}}


def _search_path(*first: Path) -> str:
    return os.pathsep.join(filter(None, [*map(str, first), os.environ.get("PYTHONPATH")]))


def end_with_build() -> None:
    """End this process when its standard input closes, so that it outlives its build in no case, not even SIGKILL."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()


def run_one(source: str, output: str, notes: str, root: str) -> None:
    """Execute one notebook, and have its kernel and all processes below note what they read of `root`."""
    end_with_build()
    import nbformat
    import papermill

    # For the kernel, not for this process: a chapter does not depend on what builds the book.
    os.environ.update(LMAM_TRACE=notes, LMAM_TRACE_ROOT=root, PYTHONPATH=_search_path(TRACING))
    place = {"kernel_name": "python3", "language": "python", "cwd": Path(source).parent}
    papermill.execute_notebook(source, output, PARAMETERS, **place, progress_bar=False)
    notebook = nbformat.read(output, as_version=4)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("remove-cell")  # the reader sees the notebook's own parameters
    nbformat.write(notebook, output)
