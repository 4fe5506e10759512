"""What the book consists of, and what of it is stale: `_build/manifest.json`."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from lmam_core.errors import LmamError

PARAMETERS = {"profile": "quick"}
SKIPPED_FOLDERS = {"__pycache__", ".locks", ".ipynb_checkpoints", "cache"}


def toc_sources(root: Path) -> list[str]:
    """List the sources of all pages of `_toc.yml` in reading order, with suffix; raise for a page without a source."""
    sources = []
    for name in _page_names(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))):
        found = [name + suffix for suffix in (".md", ".ipynb") if (root / (name + suffix)).is_file()]
        if len(found) != 1:
            raise LmamError(f"_toc.yml names {name}, which must be one file: {name}.md or {name}.ipynb.")
        sources += found
    return sources


def _page_names(node) -> Iterator[str]:
    """Walk the table of contents and yield the pages that it names."""
    if isinstance(node, list):
        for child in node:
            yield from _page_names(child)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key in ("root", "file") else _page_names(value)


def fingerprints(root: Path, chapters: list[str]) -> dict[str, dict[str, str]]:
    """Hash, for every chapter, all that its outputs depend on, by kind."""
    shared = {
        "package": tree_hash(root / "lmam_core", root / "book" / "lmam_book"),
        "data": tree_hash(root / "data"),
        "parameters": digest(PARAMETERS),
        "versions": digest([file_hash(root / "requirements.lock"), sys.version]),
    }
    return {chapter: {"notebook": notebook_hash(root / chapter), **shared} for chapter in chapters}


def notebook_hash(path: Path) -> str:
    """Hash what a notebook says: its cells' kind, source, tags and alt texts, not outputs or an editor's metadata."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (json.JSONDecodeError, KeyError) as error:
        raise LmamError(f"{path.name} is not a notebook ({error}): restore it from git.") from error
    told = [[sorted(c["metadata"].get("tags", [])), c["metadata"].get("mystnb")] for c in cells]
    return digest([told, [[c["cell_type"], "".join(c["source"])] for c in cells]])


def tree_hash(*folders: Path) -> str:
    """Hash names and contents of all files under the folders; a folder that does not exist counts as empty."""
    files = [
        [path.relative_to(folder.parent).as_posix(), file_hash(path)]
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not SKIPPED_FOLDERS & set(path.relative_to(folder).parts)
    ]
    return digest(files)


def file_hash(path: Path) -> str:
    """Hash a file's content; a file that does not exist counts as empty."""
    return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()


def html_fingerprint(root: Path, chapters: dict[str, dict[str, str]]) -> str:
    """Hash all that the pages are made from."""
    return digest([chapters, tree_hash(root / "book"), file_hash(root / "_config.yml"), file_hash(root / "_toc.yml")])


def stale(root: Path, now: dict[str, dict[str, str]], force: bool) -> dict[str, str]:
    """Return the chapters that have to run, each with the reason."""
    then, reasons = read_manifest(root).get("notebooks", {}), {}
    for chapter, kinds in now.items():
        changed = [kind for kind in kinds if then.get(chapter, {}).get(kind) != kinds[kind]]
        if force:
            reasons[chapter] = "forced"
        elif chapter not in then or not (root / "_build" / "stage" / chapter).is_file():
            reasons[chapter] = "never run"
        elif changed:
            reasons[chapter] = " and ".join(changed) + " changed"
    return reasons


def read_manifest(root: Path) -> dict:
    """Read the manifest; one that is missing or damaged counts as empty, so that everything is stale."""
    try:
        manifest = json.loads((root / "_build" / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def write_manifest(root: Path, manifest: dict) -> None:
    """Write the manifest so that a reader finds the old one or the new one, never a part."""
    path = root / "_build" / "manifest.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)
