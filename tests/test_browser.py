"""The built pages in a real browser: desktop and phone, light and dark, with no network but loopback."""

import functools
import http.server
import io
import shutil
import threading
from pathlib import Path

import pytest
from PIL import Image

from lmam_book import build as book
from lmam_book.build import pages

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
PAGES = [Path(source).with_suffix(".html").as_posix() for source in book.toc_sources(book.ROOT)]
FIGURES = ".bd-article img, .bd-article .cell_output svg:not(button svg)"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found (chromium, chromium-browser, google-chrome)"),
]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line of log for each."""

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture(scope="module")
def site():
    """The address of the built book, served over loopback."""
    book.build()
    handler = functools.partial(QuietHandler, directory=book.ROOT / "_build" / "html")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def failed(request):
    """Whether a request failed of itself: a page that is left while its icon or fonts are on their way aborts them."""
    return "ERR_ABORTED" not in (request.failure or "")


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, site):
    """A function that opens a page of the book and returns it with the list of everything that went wrong in it."""
    contexts = []

    def open_(path: str, size: str, scheme: str = "light"):
        context = chromium.new_context(viewport=SIZES[size], color_scheme=scheme)
        contexts.append(context)
        page, complaints = context.new_page(), []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}") if failed(request) else 0)
        page.on(
            "response", lambda answer: complaints.append(f"{answer.status}: {answer.url}") if answer.status > 399 else 0
        )
        context.route(lambda url: not url.startswith((site, "data:", "blob:")), lambda route: route.abort())
        page.goto(f"{site}/{path}", wait_until="load")
        if page.locator(".bd-article .math").count():
            page.locator(".bd-article mjx-container").first.wait_for(state="attached")
            page.evaluate("MathJax.startup.promise")
        return page, complaints

    yield open_
    for context in contexts:
        context.close()


OPEN_FOLDS = """() => {
    document.querySelectorAll("details").forEach(fold => fold.open = true);
    document.querySelectorAll(".toggle-hidden").forEach(fold => fold.classList.remove("toggle-hidden"));
}"""
HAS_SIZE = """figure => {
    const box = figure.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && (figure.tagName != "IMG" || figure.complete && figure.naturalWidth > 0);
}"""


def blank_figures(page) -> list[str]:
    """Name the figures without a size or with hardly more than one colour."""
    blank = []
    for figure in page.locator(FIGURES).all():
        name = figure.get_attribute("src") or "inline svg"
        if not figure.evaluate(HAS_SIZE):
            blank.append(f"{name}: no size")
            continue
        colours = Image.open(io.BytesIO(figure.screenshot())).convert("RGB").getcolors(maxcolors=1 << 24)
        if len(colours) < 4:
            blank.append(f"{name}: {len(colours)} colours")
    return blank


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desktop", "dark")])
@pytest.mark.parametrize("path", PAGES)
def test_page_is_whole(open_page, path, size, scheme):
    """Each page in each size and each scheme once: the size decides what fits, the scheme with which ink."""
    page, complaints = open_page(path, size, scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.evaluate(OPEN_FOLDS)
    assert blank_figures(page) == []
    assert page.locator("mjx-merror").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    search = page.locator(".search-button__button, form.bd-search input[type=search]").all()
    assert sum(field.is_visible() for field in search) == 1
    if scheme == "dark":  # outputs are transparent and undimmed
        style = "all => all.map(e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).filter].join())"
        found = set(page.locator(".cell_output img, .cell_output .text_html").evaluate_all(style))
        assert found <= {"rgba(0, 0, 0, 0),none"}
    assert complaints == []


def shows(figure, colour: str) -> bool:
    """Whether a figure has pixels of a colour. Smoothing goes from an ink towards the page, never beyond the ink."""
    red_green_blue = tuple(bytes.fromhex(colour.removeprefix("#")))
    found = Image.open(io.BytesIO(figure.screenshot())).convert("RGB").getcolors(maxcolors=1 << 24)
    return any(max(abs(a - b) for a, b in zip(c, red_green_blue, strict=True)) <= 6 for _, c in found)


@pytest.mark.parametrize("kind", [".cell_output img", ".lmam-dots svg"])
def test_figures_take_the_ink_of_the_scheme_also_when_it_is_switched(open_page, kind):
    page, _ = open_page("notebooks/14-fusion-methods.html", "desktop", "light")
    figure = page.locator(kind).first
    for scheme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
        assert shows(figure, pages.SCHEMES[scheme]), scheme


@pytest.mark.parametrize("size", SIZES)
def test_next_can_be_clicked(open_page, site, size):
    """Over three pages, the first chapter among them; `test_built_book` follows the links through the whole book."""
    first = next(k for k, path in enumerate(PAGES) if path.startswith("notebooks/"))
    page, complaints = open_page(PAGES[first - 1], size)
    for path in PAGES[first : first + 2]:
        page.locator("a.right-next").click()
        page.wait_for_url(f"{site}/{path}")
    assert complaints == []


def test_sidebar_opens_on_a_phone_and_leads_to_a_chapter(open_page, site):
    page, _ = open_page(PAGES[0], "phone")
    link = page.locator(f'.bd-sidebar-primary a[href$="{PAGES[-1].split("/")[-1]}"]:visible')
    assert link.count() == 0
    page.locator("button.primary-toggle:visible").click()
    link.first.click()
    page.wait_for_url(f"{site}/{PAGES[-1]}")


@pytest.mark.parametrize("size", SIZES)
def test_search_finds_a_chapter(open_page, size):
    page, complaints = open_page(PAGES[0], size)
    page.locator(".search-button__button:visible").click()
    page.locator("form.bd-search input[type=search]:visible").fill("LMAM")
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    assert complaints == []
