"""The repository's address: read from `_config.yml`, carried from there to every other place that names it."""

import re
from pathlib import Path

import nbformat
import yaml

from lmam_core import paths
from lmam_core.errors import LmamError

ROOT = paths.CHECKOUT

BOOTSTRAP = """\
from importlib.util import find_spec

if find_spec("lmam_core") is None:  # on Colab the repository brings package and data
    import subprocess
    import sys
    from pathlib import Path

    if "google.colab" not in sys.modules:
        raise ImportError("lmam_core is missing: run `pip install -e .[media]` in the repository.")
    here, address = "/content/lmam-book", "{address}"
    if not Path(here, "pyproject.toml").exists():  # a second try finds what the first one fetched
        subprocess.run(["git", "clone", "--depth=1", address, here], check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "-e", here + "[media]"], check=True)
    sys.path[:0] = here, here + "/book"  # an editable install is seen only by the next interpreter"""

# The lines of other files that hold the address, as `(file, pattern)`; the pattern's group is what stands before it.
LINES = [
    ("CITATION.cff", re.compile(r"^((?:repository-code|url): )\S+$", re.M)),
    ("pyproject.toml", re.compile(r'^((?:Repository|Homepage) = )"[^"]+"$', re.M)),
]


def address(root: Path | None = ROOT) -> str:
    """Return `repository.url` of `_config.yml`; raise when it is missing or is not an https address."""
    config = yaml.safe_load(((root or paths.checkout()) / "_config.yml").read_text(encoding="utf-8"))
    url = (config.get("repository") or {}).get("url") or ""
    if not re.fullmatch(r"https://[\w.-]+/[\w./-]*[\w-]", url):
        raise LmamError(f"repository.url in _config.yml is {url!r}: give it as https://host/owner/name.")
    return url


def bootstrap_source(root: Path | None = ROOT) -> str:
    """Return the source of the cell that makes a chapter run on Colab, where only the notebook itself is opened."""
    return BOOTSTRAP.format(address=address(root))


def in_step(root: Path | None = ROOT) -> dict[Path, str]:
    """Return, for every file that names the address, the text that it should hold."""
    root = root or paths.checkout()
    texts = {path: _notebook_in_step(path, root) for path in sorted((root / "notebooks").glob("*.ipynb"))}
    for name, pattern in LINES:
        quote = '"' if name.endswith(".toml") else ""
        text = (root / name).read_text(encoding="utf-8")
        texts[root / name] = pattern.sub(rf"\g<1>{quote}{address(root)}{quote}", text)
    return texts


def sync(root: Path | None = ROOT) -> list[Path]:
    """Bring every file into step and return those that had to change."""
    changed = [(path, text) for path, text in in_step(root).items() if path.read_text(encoding="utf-8") != text]
    for path, text in changed:
        path.write_text(text, encoding="utf-8")
    return [path for path, _ in changed]


def _notebook_in_step(path: Path, root: Path) -> str:
    """Return the notebook's text with its bootstrap cell rewritten, and unchanged where the cell is already right."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    cells = [cell for cell in notebook.cells if "bootstrap" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise LmamError(f"{path.name} has {len(cells)} cells tagged `bootstrap`: it needs exactly one.")
    if cells[0].source == bootstrap_source(root):
        return text
    cells[0].source = bootstrap_source(root)
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    for changed in sync():
        print(f"brought into step: {changed.relative_to(ROOT)}")
