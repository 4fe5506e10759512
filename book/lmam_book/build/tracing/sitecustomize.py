"""Notes what a process reads of the checkout, for the manifest: what a chapter depends on is what its run asked for.

Python imports a module of this name, if the path has one, at the start of every process: `runner.run_one` puts this
folder on the path of a chapter's kernel, so that the processes which a chapter starts are covered as well.
`LMAM_TRACE` names the file of notes, one path per line, relative to `LMAM_TRACE_ROOT`; a folder whose names were listed
ends with a slash. Noted are the files that were opened to be read, modules among them, and those in `data` that were
asked for and not there. What only a library in C opens (sqlite, a decoder of media) is not seen.
"""

import os
import sys
from importlib.util import source_from_cache
from typing import Any

IMPORTS = ("<frozen importlib", os.path.join(os.path.dirname(os.__file__), "importlib", ""))
"""Where the code of the import system lies. It lists every folder of the path to find one module or one package."""
CODE_VERSION = ("provenance.py", "code_version")
"""It reads all code that decides a run's numbers, imported or not. A page that names the version says which code it was
made by, and that stays true; what the page was made of are the modules that it imported."""


def trace(notes: str, root: str) -> None:
    """Begin to note; every note is one short write to the end of the file, which the processes of a run share."""
    out = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    inside, plain_stat = root.rstrip(os.sep) + os.sep, os.stat
    noted: set[str] = set()
    data = os.path.join(inside, "data", "")

    def note(path: Any, ending: str = "") -> None:
        if isinstance(path, int):  # a file that is open already
            return
        path = os.path.abspath(os.fsdecode("." if path is None else path)) + ending
        if path in noted:
            return
        real = os.path.realpath(path) + ending
        if not real.startswith(inside):
            noted.add(path)
        elif not _for_code_version():
            noted.add(path)
            os.write(out, f"{real[len(inside) :].replace(os.sep, '/')}\n".encode())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_TRUNC):
                note(_source(path))
        elif event in ("os.listdir", "os.scandir") and not _importing():
            note(arguments[0], ending="/")

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        try:
            return plain_stat(path, *arguments, **options)
        except (FileNotFoundError, NotADirectoryError):
            # Elsewhere it tells nothing: IPython asks of every text that it displays whether it is a file's name.
            if os.path.abspath(os.fsdecode(path)).startswith(data):
                note(path)
            raise

    sys.addaudithook(hook)
    os.stat = stat  # no audit event tells of it, and a page shows something else once the file is there
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        able.add(stat)


def _importing() -> bool:
    """Whether what happens is done by the import system."""
    return sys._getframe(2).f_code.co_filename.startswith(IMPORTS)


def _source(path: Any) -> Any:
    """The source of a compiled module, and any other path as it is."""
    if isinstance(path, str) and path.endswith(".pyc"):
        try:
            return source_from_cache(path)
        except ValueError:  # it lies somewhere else than in __pycache__
            return path
    return path


def _for_code_version() -> bool:
    frame = sys._getframe().f_back
    while frame is not None:
        code = frame.f_code
        if (os.path.basename(code.co_filename), code.co_name) == CODE_VERSION:
            return True
        frame = frame.f_back
    return False


if "LMAM_TRACE" in os.environ:
    trace(os.environ["LMAM_TRACE"], os.environ["LMAM_TRACE_ROOT"])
