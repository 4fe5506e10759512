"""The built pages in a real browser: desktop and phone, light and dark, with no network but loopback."""

import functools
import http.server
import io
import re
import shutil
import threading
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image

from lmam_book import build as book
from lmam_book.pages.style import INK, TONES

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
TOUCH = ["book/explore.html", "book/playground.html", "book/audit.html", "book/scoreboard.html"]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
HEAVIEST = 1_500_000
"""Bytes that a page may load, uncompressed, MathJax apart."""
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
def site(stage):
    """The address of the built book, served over loopback."""
    handler = functools.partial(QuietHandler, directory=book.ROOT / "_build" / "html")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def failed(request):
    """Whether a request failed of itself: a page that is left while its icon or fonts are on their way aborts them."""
    return "ERR_ABORTED" not in (request.failure or "")


@pytest.fixture
def open_page(browser, site):
    """A function that opens a page of the book and returns it with the list of everything that went wrong in it."""
    contexts = []

    def open_(path: str, size: str, scheme: str = "light"):
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
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


OTHER_FORM = """figure => {
    const form = figure.closest(".lmam-wide, .lmam-narrow");
    return form !== null && getComputedStyle(form).display === "none";
}"""
"""Whether a figure is the one for screens of another width."""


def blank_figures(page) -> list[str]:
    """Name the figures without a size or with hardly more than one colour."""
    blank = []
    for figure in page.locator(FIGURES).all():
        if figure.evaluate(OTHER_FORM):
            continue
        name = figure.get_attribute("src") or "inline svg"
        if not figure.evaluate(HAS_SIZE):
            blank.append(f"{name}: no size")
            continue
        colours = Image.open(io.BytesIO(figure.screenshot())).convert("RGB").getcolors(maxcolors=1 << 24)
        if len(colours) < 4:
            blank.append(f"{name}: {len(colours)} colours")
    return blank


WEIGHT = """besides => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .filter(entry => !["mathjax", ...besides].some(part => entry.name.includes(part)))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0)"""
"""What a page has loaded, but for files whose names have one of some parts in them."""
SERIOUS = """rules => axe.run(document, {resultTypes: ["violations"], rules}).then(found => found.violations
    .filter(v => ["serious", "critical"].includes(v.impact))
    .map(v => v.id + ": " + v.nodes[0].html.slice(0, 200) + " " + v.nodes[0].failureSummary))"""


def serious(page, contrast: bool) -> list[str]:
    """What axe-core finds serious; contrast takes it most of its time."""
    page.add_script_tag(path=AXE)
    return page.evaluate(SERIOUS, {"color-contrast": {"enabled": contrast}})


@pytest.mark.parametrize("path", PAGES)
def test_page_is_whole(open_page, path):
    """Each page on a light phone and on a dark desktop: the size decides what fits, the scheme with which ink."""
    page, complaints = open_page(path, "phone", "light")
    for size, scheme in (("phone", "light"), ("desktop", "dark")):
        page.set_viewport_size(SIZES[size])
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        page.evaluate(OPEN_FOLDS)
        page.wait_for_function("[...document.images].every(image => image.complete)")
        assert blank_figures(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        search = page.locator(".search-button__button, form.bd-search input[type=search]").all()
        assert sum(field.is_visible() for field in search) == 1
        assert page.evaluate(WEIGHT, [".narrow."] if size == "desktop" else []) < HEAVIEST
        if size == "phone":  # where figures fit, and shrink so little that their letters can be read
            sizes = page.locator(".cell_output picture img").evaluate_all(
                "all => all.map(e => e.width / e.naturalWidth)"
            )
            assert [at for at in sizes if at < 0.96] == []
            figures = page.locator(".cell_output:has(img, svg)")
            assert figures.evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth + 2).length") == 0
    # Outputs are transparent and undimmed in the dark.
    style = "all => all.map(e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).filter].join())"
    found = set(page.locator(".cell_output img, .cell_output .text_html").evaluate_all(style))
    assert found <= {"rgba(0, 0, 0, 0),none"}
    assert serious(page, contrast=False) == []
    assert page.locator("mjx-merror").count() == 0
    assert complaints == []


@pytest.mark.parametrize("scheme", TONES)
@pytest.mark.parametrize("path", [PAGES[0], PAGES[1], *TOUCH])
def test_words_can_be_read(open_page, path, scheme):
    page, _ = open_page(path, "desktop", scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    if path in TOUCH:
        page.locator(".lmam-touch[data-ready]").first.wait_for()
    assert serious(page, contrast=True) == []


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `#rrggbb`."""
    parts = [v / 255 for v in bytes.fromhex(colour.removeprefix("#"))]
    red, green, blue = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


PAPER = {"light": ("#ffffff", "#f3f4f5"), "dark": ("#121212", "#222832")}
"""The page and its tables' stripes."""


@pytest.mark.parametrize("scheme", PAPER)
def test_badges_and_figures_stand_out(scheme):
    style = (book.ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    block = re.search(
        {"light": r":root \{(.*?)\}", "dark": r'html\[data-theme="dark"\] \{\s*(--.*?)\}'}[scheme], style, re.S
    )
    colours = re.findall(r"--[a-z-]+: (#[0-9a-f]{6})", block[1])
    assert len(colours) == 7
    for colour in [*colours, *TONES[scheme].values()]:
        for ground in PAPER[scheme]:
            assert contrast(colour, ground) >= 4.5, (colour, ground)


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
        assert shows(figure, TONES[scheme][INK]), scheme


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


def test_search_finds_what_outputs_say(open_page):
    page, complaints = open_page("search.html?q=1564", "desktop")
    page.locator("#search-results li a").first.wait_for()
    assert complaints == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_says_what_it_is(site, path):
    soup = BeautifulSoup((book.ROOT / "_build/html" / path).read_text(encoding="utf-8"), "html.parser")
    title = soup.title.get_text()
    assert len(set(re.split(" [—·] ", title))) == len(re.split(" [—·] ", title))
    assert len(soup.find("meta", {"name": "description"})["content"]) > 60
    assert soup.find("link", {"rel": "canonical"})["href"].endswith(path)
    told = {tag["property"]: tag["content"] for tag in soup.find_all("meta", property=re.compile("^og:"))}
    assert told["og:title"]
    assert told["og:url"].endswith(path)
    assert (book.ROOT / "_build/html/_static" / told["og:image"].rsplit("/", 1)[1]).is_file()
    chapters = soup.select(".bd-sidebar-primary a[href*='notebooks/'], .bd-sidebar-primary li.current a")
    assert any(re.match(r"\d+\. ", link.get_text().strip()) for link in chapters)


def scrolling(page):
    """The wide tables of a page, once the audit of the first example stands there."""
    page.locator("#lmam-audit[data-ready]").wait_for(state="attached")
    page.get_by_role("button", name="Audit the table").click()
    page.locator("#lmam-audit[data-done]").wait_for(state="attached", timeout=120_000)
    return page.locator(".lmam-table-box:has(.lmam-audit)")


def test_what_is_wider_than_its_box_fades_until_its_end(open_page):
    page, _ = open_page("book/audit.html", "phone")
    box = scrolling(page)
    page.wait_for_function("document.querySelector('.lmam-table-box:has(.lmam-audit)').matches('.lmam-more')")
    assert "gradient" in box.evaluate("box => getComputedStyle(box).maskImage")
    box.evaluate("box => box.scrollLeft = box.scrollWidth")
    page.wait_for_function("!document.querySelector('.lmam-table-box:has(.lmam-audit)').matches('.lmam-more')")


WIDEST = """() => {
    const range = document.createRange(), lines = [];
    for (const paragraph of document.querySelectorAll(".bd-article section > p, .bd-article section > ul > li")) {
        const text = document.createTreeWalker(paragraph, NodeFilter.SHOW_TEXT);
        let bottom = -1;
        while (text.nextNode()) for (let k = 0; k < text.currentNode.length; k++) {
            range.setStart(text.currentNode, k);
            range.setEnd(text.currentNode, k + 1);
            const box = range.getBoundingClientRect();
            if (!box.width) continue;
            if (box.top > bottom) { lines.push(0); bottom = box.bottom; }
            lines[lines.length - 1]++;
        }
    }
    return lines.sort((a, b) => a - b);
}"""


@pytest.mark.parametrize("path", [PAGES[0], PAGES[1], "book/headline.html"])
def test_lines_of_text_have_at_most_75_characters(open_page, path):
    """But for a few, of narrow letters."""
    page, _ = open_page(path, "desktop")
    lines = page.evaluate(WIDEST)
    assert len(lines) > 20
    assert lines[int(0.9 * len(lines))] <= 75
    assert lines[-1] <= 80


@pytest.mark.parametrize("path", ["book/headline.html", "notebooks/10-backbones-compared.html"])
def test_the_table_of_gains_fits_a_desktop(open_page, path):
    page, _ = open_page(path, "desktop")
    box = page.locator(".bd-article table").first.locator("..")
    assert box.evaluate("box => box.scrollWidth - box.clientWidth") <= 0


def test_wide_tables_scroll_by_key_and_keep_their_first_column(open_page):
    page, complaints = open_page("book/audit.html", "phone")
    box = scrolling(page)
    page.wait_for_function("document.querySelector('.lmam-table-box:has(.lmam-audit)').matches('.lmam-scrolls')")
    assert (box.get_attribute("tabindex"), box.get_attribute("role")) == ("0", "region")
    first, second = box.locator("tbody tr").first.locator("th, td").all()[:2]
    before = first.bounding_box()["x"], second.bounding_box()["x"]
    box.evaluate("box => box.scrollLeft = 120")
    assert first.bounding_box()["x"] == pytest.approx(before[0], abs=1)
    assert second.bounding_box()["x"] < before[1] - 60
    box.evaluate("box => box.scrollLeft = 0")
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.lmam-table-box:has(.lmam-audit)').scrollLeft > 0")
    assert complaints == []


def test_the_scoreboard_is_cards_on_a_phone(open_page):
    page, complaints = open_page("book/scoreboard.html#improves_text_cnn_mosi", "phone", "dark")
    page.locator("#lmam-scoreboard[data-ready]").wait_for()
    card = page.locator("tr#improves_text_cnn_mosi")
    assert card.evaluate("card => getComputedStyle(card).display") == "block"
    assert card.bounding_box()["width"] <= SIZES["phone"]["width"]
    assert 0 <= card.bounding_box()["y"] < SIZES["phone"]["height"]  # its address leads there
    card.get_by_role("link", name="runs").click()
    page.locator("#lmam-explorer[data-ready]").wait_for()
    assert page.locator("select[name=data]").input_value() == "mosi"
    assert complaints == []


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_every_run_can_be_touched(open_page, size, scheme):
    page, complaints = open_page("book/explore.html", size, scheme)
    page.locator("#lmam-explorer[data-ready]").wait_for()
    assert page.locator(".runs circle").count() > 3
    page.locator("#lmam-explorer figure").focus()
    page.keyboard.press("ArrowRight")
    assert ".json" in page.locator(".lmam-card").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    axis = page.locator("#lmam-explorer svg [aria-label^='x-axis tick label'] text").first
    assert axis.evaluate("text => getComputedStyle(text).fill") == page.evaluate(
        "getComputedStyle(document.body).color"
    )
    assert complaints == []


CHOSEN = "all => all.map(input => input.nextElementSibling.textContent)"


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_a_backbone_is_chosen_for_all_tables_of_a_page(open_page, size, scheme):
    page, complaints = open_page("notebooks/10-backbones-compared.html", size, scheme)
    chosen = page.locator(".sd-tab-set > input:checked")
    page.locator(".sd-tab-set").last.locator("label", has_text="bc-LSTM").click()
    assert chosen.evaluate_all(CHOSEN) == ["bc-LSTM"] * 2
    page.keyboard.press("ArrowRight")
    assert chosen.evaluate_all(CHOSEN) == ["DialogueGCN"] * 2
    assert page.locator(".sd-tab-content:visible").count() == 2
    assert serious(page, contrast=True) == []
    page.emulate_media(media="print")
    assert page.locator(".sd-tab-content:visible").count() == page.locator(".sd-tab-content").count()
    assert complaints == []


def test_the_front_pages_figure_is_tapped_on_a_phone(open_page):
    page, complaints = open_page(PAGES[0], "phone", "dark")
    row = page.locator(".lmam-narrow .lmam-dot path").first
    row.scroll_into_view_if_needed()
    row.click()
    assert "seeds; the paper reports" in page.locator(".lmam-dot:focus").get_attribute("aria-label").replace(". ", "; ")
    assert page.locator(".lmam-dot text:visible").bounding_box()["width"] <= SIZES["phone"]["width"]
    assert complaints == []


def test_what_is_printed_has_no_forms(open_page):
    page, _ = open_page("book/explore.html", "desktop")
    page.emulate_media(media="print")
    assert not page.locator("#lmam-explorer form").is_visible()
    assert page.locator("#lmam-explorer svg").first.is_visible()
