"""Making the pages from the staging tree, and checking them."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lmam_book.build.chapters import ANSI, HEARTBEAT
from lmam_book.build.kernel import END_WITH_BUILD, LIGHT, environment
from lmam_book.build.manifest import (
    Json,
    digest,
    executed,
    file_hash,
    files,
    read_manifest,
    say,
    toc_sources,
    write_manifest,
)
from lmam_book.pages.narrow import NARROW
from lmam_book.pages.style import TONES
from lmam_book.web import filled, head
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.fusion import FUSIONS


def build_html(root: Path) -> bool:
    """Make all pages from the staging tree, put them in place of the former ones; return False if nothing had changed.

    Sphinx reads again only those pages whose source changed, and writes all: each carries the titles of all others.
    What it read is kept in `_build/site`, and only from a build that was whole: it repeats no warning of a page that it
    does not read again.
    """
    stage, site, html = root / "_build" / "stage", root / "_build" / "site", root / "_build" / "html"
    former = html.with_name("html.former")
    if former.exists() and not html.exists():
        os.replace(former, html)  # a build was killed between the two renames below
    fill_stage(root, stage)
    settings = digest(
        [file_hash(path) for path in (root / "requirements.lock", stage / "_config.yml", stage / "_toc.yml")]
        + [sys.version, file_hash(Path(__file__)), file_hash(Path(head.__file__))]
    )
    inputs = digest([settings, [[name, file_hash(stage / name)] for name in files(stage)]])
    manifest = read_manifest(root)
    if manifest.get("html") == inputs and not missing_pages(root, html) and not altered(html, manifest.get("pages")):
        return False
    if manifest.pop("site", None) != settings:
        shutil.rmtree(site, ignore_errors=True)
    write_manifest(root, manifest)
    new = site / "_build" / "html"
    shutil.rmtree(new, ignore_errors=True)
    _run_jupyter_book(root, stage, site)
    if problems := check_pages(root, stage, new):
        raise LmamError("The pages are not whole: " + "; ".join(problems) + ".")
    narrowed(stage, new)
    numbered(new)
    ink(new)
    pages = {name: file_hash(new / name) for name in files(new)}
    shutil.rmtree(former, ignore_errors=True)
    if html.exists():
        os.replace(html, former)
    os.replace(new, html)
    shutil.rmtree(former, ignore_errors=True)
    write_manifest(root, {**read_manifest(root), "html": inputs, "site": settings, "pages": pages})
    return True


def altered(html: Path, pages: dict[str, str] | None) -> list[str]:
    """List the files of the built book that are not as the build left them."""
    pages = pages or {}
    return [name for name in sorted({*pages, *files(html)}) if file_hash(html / name) != pages.get(name)]


def fill_stage(root: Path, stage: Path) -> None:
    """Fill the staging tree: configuration, prose, executed chapters, and nothing that is in the book no more.

    Only what differs is written: Sphinx takes a file for changed by its time.
    """
    prose = (name for name in files(root, "book") if not name.startswith("book/lmam_book/"))
    content = {name: (root / name).read_bytes() for name in ("_config.yml", "_toc.yml", *prose)}
    for name in (name for name in content if name.endswith(".md")):
        content[name] = with_register_names(content[name].decode()).encode()
    content |= filled(root, content)
    for chapter in (source for source in toc_sources(root) if source.endswith(".ipynb")):
        content[chapter] = with_prose(root / chapter, executed(root, chapter))
    for name, data in content.items():
        staged = stage / name
        if not staged.is_file() or staged.read_bytes() != data:
            staged.parent.mkdir(parents=True, exist_ok=True)
            staged.write_bytes(data)
    for name in set(files(stage)) - set(content):
        (stage / name).unlink()


def with_prose(source: Path, run: Path) -> bytes:
    """Return an executed chapter with the prose of its source, which may be newer; the code cells are the same."""
    written, notebook = (json.loads(path.read_text(encoding="utf-8")) for path in (source, run))
    ran = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    cells = []
    for cell in written["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        cells += captioned(next(ran))
    return json.dumps({**notebook, "cells": cells}, ensure_ascii=False, indent=1).encode()


def captioned(cell: Json) -> Iterator[Json]:
    """Yield a code cell as cells of which the last picture alone has the caption: myst-nb gives it to every output.

    What follows the cell needs a source, which is not shown: without one its outputs are not, either.
    """
    outputs, figure = cell["outputs"], cell["metadata"].get("mystnb", {}).get("figure")
    pictures = [i for i, o in enumerate(outputs) if any(kind.startswith("image/") for kind in o.get("data", {}))]
    if not figure or pictures == [0] == list(range(len(outputs))):
        yield cell
        return
    settings = {name: value for name, value in cell["metadata"]["mystnb"].items() if name != "figure"}
    bare = {**cell, "metadata": {**cell["metadata"], "mystnb": settings}}
    last = pictures[-1] if pictures else len(outputs)
    yield {**bare, "outputs": outputs[:last]}
    for i, output in enumerate(outputs[last:]):
        of = cell["metadata"] if i == 0 else bare["metadata"]
        hidden = {**of, "tags": ["remove-input"]}
        yield {**cell, "id": f"{cell['id']}-{i}", "source": ["# above"], "metadata": hidden, "outputs": [output]}


def _run_jupyter_book(root: Path, stage: Path, site: Path) -> None:
    """Run Jupyter Book with warnings as errors; raise with its last words when it fails."""
    log = root / "_build" / "logs" / "jupyter-book.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    code = END_WITH_BUILD + LIGHT + "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", code, "build", str(stage), "--path-output", str(site), "-W", "-n", "--keep-going"]
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
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
    if process.returncode:
        lines = ANSI.sub("", log.read_text(errors="replace")).splitlines()
        complaints = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-30:]
        say("\n".join(["FAILED  jupyter-book", *("  " + line.replace(f"{stage}/", "") for line in complaints)]))
        raise LmamError(f"jupyter-book failed with {len(complaints)} complaints, shown above; all of it is in {log}.")
    say(f"jupyter-book done in {time.monotonic() - begun:.0f} s")


def narrowed(stage: Path, html: Path) -> None:
    """Have pages show figures in their narrow form on a phone, where the run of a chapter made one."""
    forms = {}
    for chapter in (stage / "notebooks").glob("*.ipynb"):
        for cell in json.loads(chapter.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if small := output.get("metadata", {}).get(NARROW):
                    wide = "".join(output["data"]["image/svg+xml"])
                    forms["\n".join(wide.splitlines())] = small  # as myst-nb writes it
    for path in list((html / "_images").glob("*.svg")):
        if form := forms.get(path.read_text(encoding="utf-8")):
            path.with_suffix(".narrow.svg").write_text(form, encoding="utf-8")

    def pair(picture: re.Match[str]) -> str:
        small = picture[1].replace(".svg", ".narrow.svg")
        if not (html / "_images" / Path(small).name).is_file():
            return picture[0]
        return f'<picture><source media="(max-width: 768px)" srcset="{small}">{picture[0]}</picture>'

    for page in (html / "notebooks").glob("*.html"):
        page.write_text(IMAGE.sub(pair, page.read_text(encoding="utf-8")), encoding="utf-8")


IMAGE = re.compile(r'<img [^>]*src="([^"]*_images/[^"]*\.svg)"[^>]*>')


def ink(html: Path) -> None:
    """Give the pages' figures the tones of the scheme: one tone for both has little contrast in each.

    A picture follows the scheme of the page it is on, also one that was chosen with the page's switch.
    """
    rules = {
        scheme: "".join(
            f'[style*="{kind}: {colour}"]{{{kind}:#{tone}!important}}'
            for colour, tone in tones.items()
            for kind in ("fill", "stroke")
        )
        for scheme, tones in TONES.items()
    }
    style = f"<style>{rules['light']}@media (prefers-color-scheme: dark){{{rules['dark']}}}</style>"
    for path in (html / "_images").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        if any(colour in text for colour in TONES["light"]):
            opening = text.index(">", text.index("<svg")) + 1
            path.write_text(text[:opening] + style + text[opening:], encoding="utf-8")


def numbered(html: Path) -> None:
    """Give chapters' tables number, caption and anchor, as figures have them, and heads of all tables their scope."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        chapter = re.search(r'<h1><span class="section-number">(\d+)\.', text)
        numbers = itertools.count(1)

        def named(match: re.Match[str], of: str = chapter[1] if chapter else "", count: Iterator[int] = numbers) -> str:
            number = f"{of}.{next(count)}" if of else ""
            opened = f'<caption id="table-{number.replace(".", "-")}">' if number else "<caption>"
            label = f"<em>Table {number}</em> " if number else ""
            return f"{match[2]}{opened}<span>{label}{match[1]}</span></caption>"

        new = HEAD.sub(lambda head: re.sub(r"<th(?=[ >])(?![^>]*scope=)", '<th scope="col"', head[0]), text)
        new = CAPTION.sub(named, new)
        if new != text:
            page.write_text(new, encoding="utf-8")


HEAD = re.compile(r"<thead>.*?</thead>", re.S)
CAPTION = re.compile(r"<p class='lmam-caption'>(.*?)</p>\s*(<table[^>]*>)", re.S)
"""A table's caption as `pages.style.table` writes it, which every notebook shows."""


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
        visible = [c for c in cells if c.get("outputs") and not {"remove-cell", "remove-output"} & set(_tags(c))]
        text = page.read_text(encoding="utf-8")
        shown = text.count('<div class="cell_output ')
        if not visible:
            problems.append(f"{chapter} has no outputs")
        if shown < len(visible):
            problems.append(f"{page.name} shows {shown} of {len(visible)} outputs")
        if any(output["output_type"] == "error" for cell in visible for output in cell["outputs"]):
            problems.append(f"{chapter} shows an error")
        if "&lt;IPython.core.display" in text:
            problems.append(f"{page.name} shows the name of an object where it has nothing to say")
    return problems


def _tags(cell: Json) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def with_register_names(text: str) -> str:
    """A page with the names in the place of the comments `<!-- backbones -->` and `<!-- fusion methods -->`.

    Those of the package: chapters that run in the same process register others.
    """
    registers = {
        "backbones": {name: kind.__module__ for name, kind in BACKBONES.items()},
        "fusion methods": {name: method.make.__module__ for name, method in FUSIONS.items()},
    }
    for what, modules in registers.items():
        names = [name for name, module in modules.items() if module.startswith("lmam_core.")]
        text = text.replace(f"<!-- {what} -->", ": " + ", ".join(f"`{name}`" for name in names))
    return text
