"""The real book, built through the manifest: every page is there, whole, and needs nothing from elsewhere."""

import copy
import json
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from lmam_book import build as book

SOURCES = book.toc_sources(book.ROOT)
CHAPTERS = [source for source in SOURCES if source.endswith(".ipynb")]


@pytest.fixture(scope="module")
def html(stage) -> Path:
    return book.ROOT / "_build" / "html"


@pytest.fixture(scope="module")
def pages(html) -> dict[str, BeautifulSoup]:
    """Every page of the table of contents, parsed, by its source."""
    paths = {source: (html / source).with_suffix(".html") for source in SOURCES}
    return {source: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for source, path in paths.items()}


def test_front_door_leads_to_the_first_page(html):
    assert Path(SOURCES[0]).with_suffix(".html").as_posix() in (html / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES)
def test_page_has_a_title_and_text(pages, source):
    article = pages[source].select_one("article")
    assert article.select_one("h1")
    assert len(article.get_text()) > len(article.select_one("h1").get_text())


@pytest.mark.parametrize("source", CHAPTERS)
def test_chapter_shows_its_outputs_and_neither_error_nor_warning(html, pages, source):
    executed = json.loads((html.parent / "stage" / source).read_text(encoding="utf-8"))["cells"]
    with_outputs = [c for c in executed if c.get("outputs") and "remove-cell" not in c["metadata"].get("tags", [])]
    assert len(pages[source].select(".cell_output")) >= len(with_outputs) > 0
    assert not pages[source].select(".jupyter-error, .output.traceback, .cell_output .output.error")
    assert "Traceback (most recent call last)" not in pages[source].get_text()
    shown = [o for c in with_outputs for o in c["outputs"]]
    assert not [o["text"] for o in shown if o.get("name") == "stderr"]
    values = ["".join(o["data"]["text/plain"]) for o in shown if set(o.get("data", {})) == {"text/plain"}]
    assert [v[:80] for v in values if len(v) > 400] == [], "a cell ends in an object that nobody wants to read"


RESULT = "img, table, .lmam-dots, .lmam-touch, .cell_output"
ANSWERS = [SOURCES[0], "book/headline.md", *CHAPTERS]
"""Pages that answer a question."""


@pytest.mark.parametrize("source", ANSWERS)
def test_the_answer_comes_soon(pages, source):
    article = copy.copy(pages[source].select_one("article"))
    for part in article.select("details, .cell_input, script, style"):  # what is folded is not read first
        part.decompose()
    first = article.select_one(RESULT)
    words = " ".join(text for text in first.find_all_previous(string=True) if article in text.parents).split()
    assert len(words) < (60 if source == SOURCES[0] else 160)


HIDDEN = "details, .cell_input, table, pre, figcaption, svg, script, style, .headerlink, .math, .sd-hide-link-text"


def prose(page: BeautifulSoup) -> int:
    """Words of running text: no code, tables, captions, figures, nor what is folded away."""
    article = copy.copy(page.select_one("article"))
    for part in article.select(HIDDEN):
        part.decompose()
    return len(article.get_text(" ").split())


@pytest.mark.parametrize("source", [SOURCES[0], *CHAPTERS])
def test_a_page_is_short(pages, source):
    assert prose(pages[source]) <= (450 if source == SOURCES[0] else 1800)


@pytest.mark.parametrize("source", CHAPTERS)
def test_an_answer_has_at_most_three_points_and_a_number(pages, source):
    """From the question to the first heading below it; a chapter whose runs are missing has no number."""
    title = pages[source].select_one("article h1")
    parts = [part for part in title.find_all_next(["h2", "img", "table", "ul"]) if not part.find_parent("details")]
    points = parts[0].find_all("li", recursive=False) if parts[0].name == "ul" else []
    assert len(points) <= 3
    end = next(part for part in parts if part.name != "ul")
    text = " ".join(p.get_text() for p in end.find_all_previous(["p", "li"]) if title in p.find_all_previous("h1"))
    assert re.search(r"\d", text) or "Not measured yet" in text


@pytest.mark.parametrize("source", CHAPTERS)
def test_pictures_have_words_for_those_who_cannot_see_them(pages, source):
    pictures = pages[source].select(".cell_output img")
    assert all(" " in picture["alt"] for picture in pictures)  # without words it is the file's name


@pytest.mark.parametrize("source", SOURCES)
def test_tables_and_figures_have_number_caption_and_anchor(pages, source):
    article = pages[source].select_one("article")
    assert all(head.get("scope") == "col" for head in article.select("thead th"))
    if source not in CHAPTERS:
        return
    open_ = [table for table in article.select("table.lmam-table") if not table.find_parent(folding)]
    assert [table.get_text(" ")[:80] for table in open_ if not table.caption] == []
    numbers = [caption.em.get_text() for caption in article.select("table.lmam-table > caption")]
    chapter = article.select_one("h1 .section-number").get_text().strip(". ")
    assert numbers == [f"Table {chapter}.{k}" for k in range(1, len(numbers) + 1)]
    anchors = [caption["id"] for caption in article.select("table.lmam-table > caption")]
    assert len(set(anchors)) == len(anchors)
    bare = [img for img in article.select(".cell_output img") if not img.find_parent("figure")]
    assert all(img.find_next("figure") for img in bare)  # the last picture of a cell has the caption of all
    assert all(figure.select_one("figcaption .caption-number") and figure["id"] for figure in article.select("figure"))


def folding(tag):
    """What names its tables itself: a fold by its summary, a tab by its label."""
    return tag.name == "details" or "sd-tab-content" in tag.get("class", [])


@pytest.mark.parametrize("source", CHAPTERS)
def test_reader_does_not_see_bootstrap_and_injected_cells(pages, source):
    code = "\n".join(block.get_text() for block in pages[source].select(".cell_input"))
    assert "google.colab" not in code
    assert "# Parameters" not in code
    assert ": str = " in code


@pytest.mark.parametrize("source", SOURCES)
def test_internal_links_resolve(html, pages, source):
    here = (html / source).with_suffix(".html")
    broken = []
    for link in pages[source].select("a[href]"):
        target = urlsplit(link["href"])
        path = (here.parent / unquote(target.path)).resolve() if target.path else here
        if target.scheme or link["href"] == "#":
            continue
        anchors = pages[source] if path == here else None
        if not path.is_file() or (anchors and target.fragment and not anchors.find(id=unquote(target.fragment))):
            broken.append(link["href"])
    assert not broken


def test_next_leads_through_the_whole_book(html, pages):
    for source, after in pairwise(SOURCES):
        (link,) = pages[source].select("a.right-next[href]")
        target = ((html / source).parent / unquote(link["href"])).resolve()
        assert target == (html / after).with_suffix(".html").resolve()
    assert pages[SOURCES[-1]].select("a.right-next") == []


@pytest.mark.parametrize("source", SOURCES)
def test_one_search_field(pages, source):
    assert len(pages[source].select("form.bd-search input[type=search]")) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_is_loaded_from_elsewhere(pages, source):
    loads = "script[src], link[href]:not([rel=canonical]), img[src]"
    loaded = [tag.get("src") or tag.get("href") for tag in pages[source].select(loads)]
    assert loaded
    assert [url for url in loaded if urlsplit(url).scheme in ("http", "https") or url.startswith("//")] == []


@pytest.mark.parametrize("source", SOURCES)
def test_buttons_name_the_repository(pages, source):
    links = {link["href"] for link in pages[source].select(".article-header-buttons a[href]")}
    repository = yaml.safe_load((book.ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    assert repository["url"] in links
    owner_and_name = urlsplit(repository["url"]).path
    colab = f"https://colab.research.google.com/github{owner_and_name}/blob/{repository['branch']}/{source}"
    assert (colab in links) == (source in CHAPTERS)
