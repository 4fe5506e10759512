"""Where things lie: the checkout, if the package is in one, the book's data, the caches, and the stores of runs."""

from __future__ import annotations

from pathlib import Path

from lmam_core.errors import LmamError

SOURCE = Path(__file__).resolve().parents[1]
"""The folder that Python found the package in: a checkout, or wherever pip puts packages."""


def _is_checkout(folder: Path) -> bool:
    """Whether a folder is a clone of the book's repository: its pyproject.toml and the paper's numbers are there."""
    project = folder / "pyproject.toml"
    ours = project.is_file() and 'name = "lmam-book"' in project.read_text(encoding="utf-8")
    return ours and (folder / "data" / "paper").is_dir()


CHECKOUT = SOURCE if _is_checkout(SOURCE) else None
"""The clone of the repository that the package lies in; None where it was installed without one."""


def _cache() -> Path:
    """`data/cache` of the checkout, else the user's own folder for caches."""
    if CHECKOUT is not None:
        return CHECKOUT / "data" / "cache"
    import pooch

    return Path(pooch.os_cache("lmam-book"))


CACHE = _cache()
"""What was downloaded or computed, and can be had again."""

MINE = Path("my-runs")
"""The store of one's own runs, in the current folder."""

STORE = CHECKOUT / "data" / "results" if CHECKOUT else MINE
"""What `Store()` opens: the book's own store, and without a checkout, one's own."""


def given(text: str | Path) -> Path:
    """A path as a user writes it, with `~` for the home folder; raises LmamError for what no system takes as one."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        name = str(text) if len(str(text)) < 100 else f"{str(text)[:100]}..."
        raise LmamError(f"{name!r} is not a path ({getattr(error, 'strerror', None) or error}).") from None
    return path


def checkout() -> Path:
    """The clone of the repository; raises LmamError where the package was installed without one."""
    if CHECKOUT is None:
        raise LmamError(
            "This needs the book's repository: clone it, and install the package there, `pip install -e .`."
        )
    return CHECKOUT


def data(*parts: str) -> Path:
    """The path of what comes with the book in `data/`; raises LmamError where there is no checkout."""
    return checkout().joinpath("data", *parts)


def store(name: str | None) -> Path:
    """The folder of the store that a command was given: `book` means the book's own, None the usual one.

    Raises LmamError for an empty name, which an unset variable of a shell leaves.
    """
    if name is not None and not name.strip():
        raise LmamError("--store is empty; name a folder, or `book` for the book's own store.")
    return data("results") if name == "book" else Path(name or STORE)
