"""Tables of the pages have a number, a caption that belongs to them, an anchor, and heads with a scope."""

from __future__ import annotations

from pathlib import Path

from bs4 import BeautifulSoup
from IPython.display import HTML
from pandas import DataFrame

from lmam_book.build.pages import numbered
from lmam_book.pages.style import table


def test_tables_of_a_chapter_are_numbered_and_named(tmp_path: Path) -> None:
    first, second = (table(DataFrame({"a": [k]}), f"caption {k}").data for k in (1, 2))
    bare: HTML = table(DataFrame({"a": [3]}))
    page = tmp_path / "notebooks" / "04.html"
    page.parent.mkdir()
    page.write_text(
        f'<h1><span class="section-number">4. </span>Title</h1>{first}{bare.data}{second}'.replace(
            "</p><table", "</p>\n<table"
        )
    )  # as myst-nb writes it
    numbered(tmp_path)
    soup = BeautifulSoup(page.read_text(), "html.parser")
    assert [caption.get_text() for caption in soup.select("table > caption")] == [
        "Table 4.1 caption 1",
        "Table 4.2 caption 2",
    ]
    assert [caption["id"] for caption in soup.select("caption")] == ["table-4-1", "table-4-2"]
    assert not soup.select(".lmam-caption")
    assert {head.get("scope") for head in soup.select("thead th")} == {"col"}
    once = page.read_text()
    numbered(tmp_path)
    assert page.read_text() == once
