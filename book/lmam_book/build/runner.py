"""In the process of one chapter: papermill runs its cells, and the process ends with one sentence where they cannot."""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from lmam_book.build.kernel import TOLD, TRACING, search_path
from lmam_core.limits import CELL_BYTES as OUTPUT


def run_one(source: str, output: str, notes: str, root: str) -> None:
    """Execute one notebook, and have its kernel and all processes below note what they read of `root`."""
    # For the kernel, not for this process: a chapter does not depend on what builds the book.
    os.environ.update(LMAM_TRACE=notes, LMAM_TRACE_ROOT=root, PYTHONPATH=search_path(TRACING))
    place = {"kernel_name": "python3", "language": "python", "cwd": Path(source).parent}
    papermill_engines.register("lmam", _Engine)
    try:
        papermill.execute_notebook(source, output, **place, engine_name="lmam", progress_bar=False)
    except DeadKernelError:
        _end("The kernel died in this cell: its code ended it, or the machine for want of memory.")


def _end(sentence: str) -> NoReturn:
    print(f"\n{TOLD}{sentence}", file=sys.stderr, flush=True)
    os._exit(1)  # the kernel ends with this process


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Gives up with the cell that puts out more than a page can show."""

    cell, size = -1, 0

    def process_message(self, message: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        self.cell, self.size = cell_index, self.size if self.cell == cell_index else 0
        self.size += len(str(message["content"]))
        if self.size > OUTPUT:
            _end(f"This cell puts out more than {OUTPUT / 2**20:.0f} MB, which no page shows: print less of it.")
        return super().process_message(message, cell, cell_index)


class _Engine(NBClientEngine):  # type: ignore[misc]
    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **more: Any) -> NotebookNode:
        # Whatever is put out within the limit is waited for.
        return _Client(nb_man, kernel_name=kernel_name, startup_timeout=60, timeout=None, iopub_timeout=120).execute()
