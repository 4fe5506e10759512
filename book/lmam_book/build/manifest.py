"""What the book consists of, and what of it is stale: `_build/manifest.json`."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lmam_core.errors import LmamError

Json = dict[str, Any]

SOURCES = ("lmam_core", "book", "data", "notebooks")
"""The folders that the book is made from; whatever else of the checkout a chapter reads counts as well."""
STORE = "data/results/"
SKIPPED = {"__pycache__", "cache", "_build", "site-packages", "pyproject.toml"}
"""Names of files and folders that no chapter depends on, beside those that begin with a dot (locks, .git, .venv): what
was downloaded or built; what requirements.lock stands for; what tells a checkout from other folders."""
RUNNER = ("kernel.py", "runner.py", "tracing/sitecustomize.py")
"""The files here that decide how a chapter runs and what is noted of it."""


def toc_sources(root: Path) -> list[str]:
    """List the sources of all pages of `_toc.yml` in reading order, with suffix; raise for a page without a source."""
    sources = []
    for name in _page_names(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))):
        files = [name + suffix for suffix in (".md", ".ipynb") if (root / (name + suffix)).is_file()]
        if len(files) != 1:
            raise LmamError(f"_toc.yml names {name}, which must be one file: {name}.md or {name}.ipynb.")
        sources += files
    return sources


def _page_names(node: object) -> Iterator[str]:
    """Walk the table of contents and yield the pages that it names."""
    if isinstance(node, list):
        for child in node:
            yield from _page_names(child)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key in ("root", "file") else _page_names(value)


class Tree:
    """The files of a checkout as they were at one moment, by hash: what chapters depend on is looked up here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = {name: file_hash(root / name) for folder in SOURCES for name in files(root, folder)}

    def hash(self, name: str) -> str:
        """Hash what a chapter read under this name: a file, the names in a folder (`data/paper/`), or all runs.

        A chapter that asked for one run depends on all: most pages list the store, and one run more is another mean.
        """
        if name == STORE:
            return digest([item for item in self.files.items() if item[0].startswith(STORE)])
        if name.endswith("/"):
            return digest(sorted(self._names(name)))
        if name.split("/")[0] not in SOURCES:
            return file_hash(self.root / name)
        inside = any(file.startswith(name + "/") for file in self.files)
        return self.files.get(name, "a folder" if inside else "nothing")

    def _names(self, folder: str) -> set[str]:
        """The names in a folder."""
        if folder.split("/")[0] in SOURCES:
            return {file[len(folder) :].split("/")[0] for file in self.files if file.startswith(folder)}
        path = self.root / folder.strip("/")
        return {child.name for child in path.iterdir() if not skipped(child.name)} if path.is_dir() else set()


def files(root: Path, folder: str = "") -> Iterator[str]:
    """Walk the files of a folder of the checkout in a fixed order, by their paths in the checkout."""
    for path, folders, names in os.walk(root / folder):
        folders[:] = sorted(name for name in folders if not skipped(name))
        here = Path(path).relative_to(root)
        yield from ((here / name).as_posix() for name in sorted(names) if not skipped(name))


def skipped(name: str) -> bool:
    """Whether no chapter depends on a path of the checkout, because of one of the names on the way."""
    return any(part in SKIPPED or part.startswith(".") for part in name.split("/"))


def traced(notes: Path) -> list[str]:
    """Read what a chapter's run noted, as the names that `Tree.hash` takes; raise when nothing was noted at all."""
    try:
        names = set(notes.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError as error:
        raise LmamError(
            f"What {notes.stem} read was not noted: is there another sitecustomize, or does the kernel run with -I?"
        ) from error
    names = {name or "/" for name in names if not skipped(name.strip("/"))}  # the checkout itself, listed, is ""
    return sorted({STORE if f"{name}/".startswith(STORE) else name for name in names})


def fingerprints(tree: Tree, chapters: list[str]) -> dict[str, Json]:
    """Hash, for every chapter, all that its outputs depend on, by kind; `read` has a hash for each file."""
    then = read_manifest(tree.root).get("notebooks", {})
    here = Path(__file__).parent
    shared = {
        "versions": digest([file_hash(tree.root / "requirements.lock"), sys.version]),
        "runner": digest([file_hash(here / name) for name in RUNNER]),
    }
    return {
        chapter: {
            "notebook": notebook_hash(tree.root / chapter),
            **shared,
            "read": {name: tree.hash(name) for name in then.get(chapter, {}).get("read", ())},
        }
        for chapter in chapters
    }


def executed(root: Path, chapter: str) -> Path:
    """Return where the chapter lies as its last run left it."""
    return root / "_build" / "executed" / chapter


def notebook_hash(path: Path) -> str:
    """Hash what a notebook runs: its code cells' source, tags and alt texts, not outputs or an editor's metadata.

    Its prose is not run: an edit of it is on the page without a run, see `pages.with_prose`.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (json.JSONDecodeError, KeyError) as error:
        raise LmamError(f"{path.name} is not a notebook ({error}): restore it from git.") from error
    code = [(cell["metadata"], "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    return digest([[sorted(meta.get("tags", [])), meta.get("mystnb"), source] for meta, source in code])


def file_hash(path: Path) -> str:
    """Hash a file's content; a file that does not exist, or no more, counts as empty."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        content = b""
    return hashlib.sha256(content).hexdigest()


def stale(root: Path, now: dict[str, Json], force: bool) -> dict[str, str]:
    """Return the chapters that have to run, each with the reason."""
    then, reasons = read_manifest(root).get("notebooks", {}), {}
    for chapter, kinds in now.items():
        if force:
            reasons[chapter] = "forced"
        elif "read" not in then.get(chapter, {}) or not executed(root, chapter).is_file():
            reasons[chapter] = "never run"
        elif file_hash(executed(root, chapter)) != then[chapter].get("output"):
            reasons[chapter] = "its outputs were changed since it ran"
        elif changed := changes(then[chapter], kinds):
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            reasons[chapter] = ", ".join(changed[:3]) + more + " changed"
    return reasons


def changes(then: Json, now: Json) -> list[str]:
    """Name what changed between two fingerprints of a chapter: kinds, and files by their paths."""
    kinds = [kind for kind in now if kind != "read" and then.get(kind) != now[kind]]
    return kinds + [name for name, hashed in now["read"].items() if then.get("read", {}).get(name) != hashed]


def read_manifest(root: Path) -> Json:
    """Read the manifest; one that is missing or not as it was written counts as empty, so that everything is stale."""
    path = root / "_build" / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return manifest if manifest.pop("digest") == digest(manifest) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def write_manifest(root: Path, manifest: Json) -> None:
    """Write the manifest so that a reader finds the old one or the new one, never a part."""
    path = root / "_build" / "manifest.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"digest": digest(manifest), **manifest}, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)
