"""Fragments of the touchable pages in a real browser, without a built book: `tests/test_browser.py` has the pages."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from lmam_core import paths
from tests.test_browser import QuietHandler

ROOT = paths.CHECKOUT


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """A checkout with TextCNN's runs alone, so that reading its store takes a moment."""
    root = tmp_path_factory.mktemp("checkout")
    for place in ("iemocap/text_cnn", "mosi/text_cnn", "iemocap/bc_lstm_att"):
        shutil.copytree(ROOT / "data" / "results" / place, root / "data" / "results" / place)
    shutil.copytree(ROOT / "book" / "_static", root / "_static")
    (root / "notebooks").mkdir()
    for chapter in (ROOT / "notebooks").glob("*.ipynb"):
        (root / "notebooks" / chapter.name).touch()
    for name in ("_config.yml", "data/scoreboard.csv", "data/scorecheck.csv"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def show(browser, root):
    """A function that shows a fragment as a page and returns the page; whatever goes wrong in it fails the test."""
    complaints = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context(viewport={"width": 1000, "height": 800})

        def show_(html: str, address: str = "", script: bool = True):
            (root / "book").mkdir(exist_ok=True)
            head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
            (root / "book" / "page.html").write_text(f"{head}<h1>A page</h1>{html}", encoding="utf-8")
            page = (context if script else browser.new_context(java_script_enabled=False)).new_page()
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.server_port}/book/page.html{address}")
            if script and "lmam-touch" in html:
                page.locator(".lmam-touch[data-ready]").first.wait_for()
            return page

        yield show_
        context.close()
        server.shutdown()
    assert complaints == []
