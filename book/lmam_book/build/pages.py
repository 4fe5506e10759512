"""Making the pages from the staging tree, and checking them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lmam_book.build.chapters import ANSI, HEARTBEAT, environment
from lmam_book.build.manifest import say, toc_sources
from lmam_book.pages.choices import listed
from lmam_book.pages.style import INK
from lmam_core.errors import LmamError

SCHEMES = {"light": "#48566b", "dark": "#9ca4af"}
"""The theme's own colours for muted text."""


def build_html(root: Path) -> None:
    """Make all pages from the staging tree, check them, and put them in place of the former ones."""
    stage, site = root / "_build" / "stage", root / "_build" / "site"
    fill_stage(root, stage)
    shutil.rmtree(site, ignore_errors=True)  # from nothing: every page carries the navigation of all others
    _run_jupyter_book(root, stage, site)
    problems = check_pages(root, stage, site / "_build" / "html")
    if problems:
        raise LmamError("The pages are not whole: " + "; ".join(problems) + ".")
    ink(site / "_build" / "html")
    html = root / "_build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    os.replace(site / "_build" / "html", html)


def fill_stage(root: Path, stage: Path) -> None:
    """Put configuration and prose beside the executed chapters, and take away chapters that are in the book no more."""
    sources = set(toc_sources(root))
    for chapter in stage.rglob("*.ipynb"):
        if chapter.relative_to(stage).as_posix() not in sources:
            chapter.unlink()
    stage.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(stage / "book", ignore_errors=True)
    shutil.copytree(root / "book", stage / "book", ignore=shutil.ignore_patterns("lmam_book"))
    for page in (stage / "book").glob("*.md"):
        page.write_text(listed(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, stage / name)


def _run_jupyter_book(root: Path, stage: Path, site: Path) -> None:
    """Run Jupyter Book with warnings as errors; raise with its last words when it fails."""
    log = root / "_build" / "logs" / "jupyter-book.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    code = "from lmam_book.build.chapters import end_with_build; end_with_build(); "
    code += "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", code, "build", stage, "--path-output", site, "-W", "-n", "--keep-going"]
    begun = time.monotonic()
    say("jupyter-book started")
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=environment(root), start_new_session=True
        )
    try:
        while process.poll() is None:
            try:
                process.wait(HEARTBEAT)
            except subprocess.TimeoutExpired:
                say(f"jupyter-book: {time.monotonic() - begun:.0f} s")
    finally:
        process.stdin.close()
        process.wait()
    if process.returncode:
        said = ANSI.sub("", log.read_text(errors="replace")).splitlines()
        told = [line for line in said if "WARNING" in line or "ERROR" in line] or said[-30:]
        say("\n".join(["FAILED  jupyter-book", *("  " + line.replace(f"{stage}/", "") for line in told)]))
        raise LmamError(f"jupyter-book failed with {len(told)} complaints, shown above; all of it is in {log}.")
    say(f"jupyter-book done in {time.monotonic() - begun:.0f} s")


def ink(html: Path) -> None:
    """Give text and axes of the pages' figures the ink of the scheme: one tone for both has little contrast in each.

    A picture follows the scheme of the page it is on, also one that was chosen with the page's switch.
    """
    rules = {
        scheme: "".join(f'[style*="{kind}: {INK}"]{{{kind}:{tone}!important}}' for kind in ("fill", "stroke"))
        for scheme, tone in SCHEMES.items()
    }
    style = f"<style>{rules['light']}@media (prefers-color-scheme: dark){{{rules['dark']}}}</style>"
    for path in (html / "_images").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        if INK in text:
            opening = text.index(">", text.index("<svg")) + 1
            path.write_text(text[:opening] + style + text[opening:], encoding="utf-8")


def missing_pages(root: Path, html: Path) -> list[str]:
    """List the pages of `_toc.yml`, and the front door, that did not come out."""
    pages = ["index.html", *(Path(source).with_suffix(".html").as_posix() for source in toc_sources(root))]
    return [f"{page} is missing" for page in pages if not (html / page).is_file()]


def check_pages(root: Path, stage: Path, html: Path) -> list[str]:
    """List what is wrong with the pages: missing ones; chapters whose outputs are missing, lost, empty or errors."""
    problems = missing_pages(root, html)
    for chapter in (source for source in toc_sources(root) if source.endswith(".ipynb")):
        page = (html / chapter).with_suffix(".html")
        if not page.is_file():
            continue
        cells = json.loads((stage / chapter).read_text(encoding="utf-8"))["cells"]
        kept = [c for c in cells if c.get("outputs") and not {"remove-cell", "remove-output"} & set(_tags(c))]
        shown = page.read_text(encoding="utf-8").count('<div class="cell_output ')
        if not kept:
            problems.append(f"{chapter} has no outputs")
        if shown < len(kept):
            problems.append(f"{page.name} shows {shown} of {len(kept)} outputs")
        if any(output["output_type"] == "error" for cell in kept for output in cell["outputs"]):
            problems.append(f"{chapter} shows an error")
        if "&lt;IPython.core.display" in page.read_text(encoding="utf-8"):
            problems.append(f"{page.name} shows the name of an object where it has nothing to say")
    return problems


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])
