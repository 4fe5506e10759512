"""The playground computes what the book computes."""

from __future__ import annotations

import pytest

from lmam_book.bench.cost import lmam_parameters, self_attention_parameters
from lmam_book.web import playground


@pytest.fixture
def page(show, root):
    return show(playground.attention(root) + playground.parameters(root))


def slide(page, name: str, value: float) -> None:
    page.locator(f"input[name={name}]").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


@pytest.mark.parametrize(("n", "scale"), [(2, 4), (30, 4), (110, 0), (30, -2)])
def test_no_weight_passes_the_bound(page, n, scale):
    slide(page, "n", n)
    slide(page, "scale", scale)
    soft, bounded = (float(b.inner_text().rstrip(" %")) for b in page.locator("[data-largest]").all())
    bound = float(page.locator("[data-bound]").inner_text().rstrip(" %"))
    assert bound == pytest.approx(100 * playground.bound(n), abs=0.051)
    assert 100 / n - 0.05 <= bounded <= bound + 0.05
    if scale == 4:
        assert soft > 99 > bounded


@pytest.mark.parametrize(("d", "r", "output"), [(512, 45, True), (512, 45, False), (100, 100, True), (1024, 1, False)])
def test_parameters_are_counted_as_in_the_book(page, d, r, output):
    slide(page, "width", d)
    slide(page, "rank", r)
    page.locator("input[type=checkbox]").set_checked(output)
    ours, theirs, share = (page.locator(f"[data-{k}]").inner_text() for k in ("ours", "theirs", "share"))
    assert int(ours.replace(",", "")) == lmam_parameters((d,), r, output)
    assert int(theirs.replace(",", "")) == self_attention_parameters((d,), output)
    holds = lmam_parameters((d,), r, output) < self_attention_parameters((d,), output) / 3
    assert ("does not hold" in page.locator("[data-part=parameters] p").inner_text()) != holds
    assert float(share) == pytest.approx(int(ours.replace(",", "")) / int(theirs.replace(",", "")), abs=6e-4)


def test_sliders_work_by_key(page):
    slider = page.locator("input[name=n]")
    slider.focus()
    before = int(slider.input_value())
    page.keyboard.press("ArrowRight")
    assert int(slider.input_value()) == before + 1
    assert f"of {before + 1}" in page.locator(".lmam-two").inner_text()


def test_without_a_script_there_are_tables(show, root):
    page = show(playground.attention(root) + playground.parameters(root), script=False)
    assert page.locator("table").count() == 2
    assert f"{100 * playground.bound(30):.1f} %" in page.locator("table").first.inner_text()
