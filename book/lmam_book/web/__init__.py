"""The pages that one can touch, and the data that they read: made at build from the store, the tables and the claims.

A page says where with a comment (`<!-- explorer -->`). What takes its place is whole without JavaScript; the script of
the same name in `book/_static` makes it more. `filled` is called for every build, so that new runs are on the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from lmam_book.web import audit, explorer, forest, playground, scoreboard

FILLED: dict[str, Callable[[Path], str]] = {
    "<!-- explorer -->": explorer.page,
    "<!-- playground: attention -->": playground.attention,
    "<!-- playground: parameters -->": playground.parameters,
    "<!-- audit -->": audit.page,
    "<!-- audit: side by side -->": audit.side_by_side,
}
"""What stands for which comment, as HTML."""
BLOCKS: dict[str, tuple[re.Pattern[str], Callable[[Path], str]]] = {
    scoreboard.PAGE: (scoreboard.BLOCK, scoreboard.page),
    forest.PAGE: (forest.PICTURE, forest.figure),
}
"""What of a page is written for readers of the repository, and what the built page has in its place, as HTML."""
DATA: dict[str, Callable[[Path], bytes]] = {
    "book/_static/runs.js": explorer.script,
    "book/_static/card.png": forest.preview,
}
"""What follows the store beside the pages: the explorer's data, and the picture that a link shows elsewhere."""
READ = ("data", "lmam_core", "book/lmam_book", "_config.yml", "notebooks")
"""What all of it is made from."""


def filled(root: Path, content: Mapping[str, bytes]) -> dict[str, bytes]:
    """The pages of `content` that have one of the comments, filled, and the data files that their scripts read.

    The fillings are cached in `_build/web.json` until something changes that they come from.
    """
    pages = {name: text.decode() for name, text in content.items() if name.endswith(".md")}
    comments = [comment for comment in FILLED if any(comment in text for text in pages.values())]
    blocks = {name: BLOCKS[name][0] for name in BLOCKS if name in pages and BLOCKS[name][0].search(pages[name])}
    if not comments and not blocks:
        return {}
    fillings = _fillings(root, comments)
    files = {name: base64.b64decode(fillings[name]) for name in DATA}
    for name, text in pages.items():
        new = text
        for comment in comments:
            new = new.replace(comment, fillings[comment])
        if name in blocks:
            new = blocks[name].sub(lambda _, name=name: fillings[name], new)  # type: ignore[misc]
        if new != text:
            files[name] = new.encode()
    return files


def _fillings(root: Path, comments: list[str]) -> dict[str, str]:
    """What takes each comment's place, the scoreboard's block, and the data files in base64, by name."""
    cache = root / "_build" / "web.json"
    state = hashlib.sha256(repr([comments, [_state(root / name) for name in READ]]).encode()).hexdigest()
    try:
        former: dict[str, str] = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        former = {}
    if former.get("state") == state:
        return former
    fillings = {"state": state} | {name: raw(make(root)) for name, (_, make) in BLOCKS.items()}
    fillings |= {comment: raw(FILLED[comment](root)) for comment in comments}
    fillings |= {name: base64.b64encode(make(root)).decode() for name, make in DATA.items()}
    cache.parent.mkdir(exist_ok=True)
    cache.write_text(json.dumps(fillings), encoding="utf-8")
    return fillings


def _state(path: Path) -> list[tuple[str, int, int]]:
    """The files of a path with their times and sizes."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc") if path.is_dir() else [path]
    return [(p.as_posix(), (s := p.stat()).st_mtime_ns, s.st_size) for p in files]


def raw(html: str) -> str:
    """HTML as a block of a MyST page."""
    return "```{raw} html\n" + re.sub(r"\n\s*\n", "\n", html.strip()) + "\n```\n"
