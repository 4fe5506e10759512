"""The front page's figure: whoever points at a row, taps it or comes to it by key reads what the store says."""

from __future__ import annotations

import pytest

from lmam_book.verdicts import headline
from lmam_book.web import forest
from lmam_core.paths import CHECKOUT
from lmam_core.runs.store import Store

STYLE = '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="../_static/book.css">'


@pytest.fixture(scope="module")
def cell(root):
    known = headline.cells(Store(root / "data" / "results"))
    return next(cell for cell in known if (cell.backbone, cell.dataset) == ("text_cnn", "iemocap"))


@pytest.fixture(scope="module")
def html(root):
    return f'{STYLE}<div class="bd-content">{forest.figure(root)}</div><a href="#after">After</a>'


@pytest.fixture
def page(show, html):
    return show(html)


def test_a_row_says_gain_interval_seeds_report_and_word(page, cell):
    row = headline.row(cell)
    assert page.locator(".lmam-hint:visible").count() == 1
    page.keyboard.press("Tab")
    said = page.locator(".lmam-dot text:visible").text_content()
    for told in (f"{row['gain']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})", f"{row['seeds']} seeds"):
        assert told in said
    assert f"the paper reports {cell.reported:+.1f}: {row['word']}" in said
    assert page.locator(".lmam-dot:focus").get_attribute("aria-label").startswith("TextCNN, IEMOCAP")
    assert page.locator(".lmam-hint:visible").count() == 0


def test_the_pointer_wins_over_the_key(page):
    page.keyboard.press("Tab")
    page.locator(".lmam-wide .lmam-dot path").nth(4).hover()
    assert page.locator(".lmam-dot text:visible").count() == 1
    assert "bc-LSTM" in page.locator(".lmam-dot text:visible").text_content()


def test_each_backbone_is_one_stop_of_the_tab_key(page, root):
    for _ in {cell.backbone for cell in headline.cells(Store(root / "data" / "results"))}:
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('class')") == "lmam-dot"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "After"


def test_on_a_phone_the_figure_is_narrow_can_be_read_and_is_tapped(page):
    page.set_viewport_size({"width": 390, "height": 844})
    figure = page.locator(".lmam-forest svg:visible")
    assert figure.bounding_box()["width"] <= 390
    sizes = "svg => [...svg.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize))"
    scale = figure.evaluate("svg => svg.getScreenCTM().a")
    assert min(figure.evaluate(sizes)) * scale >= 10
    last = page.locator(".lmam-narrow .lmam-dot path").last
    last.scroll_into_view_if_needed()
    last.click()  # which is what a tap comes to
    text = page.locator(".lmam-dot text:visible")
    assert "MELD" in text.text_content()
    assert text.bounding_box()["y"] - last.bounding_box()["y"] < 80  # where one looks


def test_without_a_script_it_is_the_same(show, html):
    page = show(html, script=False)
    page.locator(".lmam-wide .lmam-dot path").first.hover()
    assert "TextCNN" in page.locator(".lmam-dot text:visible").text_content()


def test_print_has_no_hint(page):
    page.emulate_media(media="print")
    assert page.locator(".lmam-hint:visible").count() == 0


def test_the_page_for_readers_of_the_repository_has_the_picture():
    text = (CHECKOUT / forest.PAGE).read_text(encoding="utf-8")
    assert len(forest.PICTURE.findall(text)) == 1
