"""A figure's form for a phone: as wide as the screen, its letters readable, the figure itself untouched."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from lmam_book.pages import narrow as module
from lmam_book.pages.figures import common
from lmam_book.pages.narrow import SMALLEST, WIDTH, narrow
from lmam_book.pages.style import look


@pytest.fixture(autouse=True)
def _look():
    with plt.rc_context({**look(), "svg.fonttype": "none"}):
        yield
    plt.close("all")


def panels() -> Figure:
    figure, axes = plt.subplots(2, 3, figsize=(9, 4), sharey=True)
    for ax in axes.flat[:5]:
        ax.plot([1, 2], label="a line with a name that is far too long for the screen of any phone")
        ax.set_yticks([1, 2], ["first", "a name of more than twenty characters"], fontsize=6)
        ax.set_xlabel("what is measured here, in units that take more words than fit on a line")
    axes.flat[5].axis("off")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=6)
    return figure


def size(svg: str) -> tuple[float, float]:
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    return float(width), float(height)


def test_panels_stand_below_each_other_and_can_be_read() -> None:
    svg = narrow(panels())
    width, height = size(svg)
    assert width <= 72 * WIDTH * 1.04
    assert height > 2 * width
    assert svg.count('id="axes_') == 5
    assert min(map(float, re.findall(r"font(?:-size)?:[^;]*?([\d.]+)px", svg))) >= SMALLEST
    assert svg.count(">first<") == 5  # the names of rows that only the first column had
    assert svg.count(">a name of more than<") == 5  # broken into lines


def test_many_names_of_an_axis_stand_upright() -> None:
    figure, ax = plt.subplots(figsize=(7, 3))
    ax.plot(range(8))
    ax.set_xticks(range(8), [f"rank {k}" for k in range(8)])
    assert re.search(r"rotate\(-90[^>]*>rank 7<", narrow(figure))


def test_the_figure_itself_stays_as_it_is() -> None:
    figure = panels()
    before = [(ax.get_position().bounds, ax.get_xlabel()) for ax in figure.axes], figure.get_size_inches().tolist()
    others = plt.get_fignums()
    narrow(figure)
    after = [(ax.get_position().bounds, ax.get_xlabel()) for ax in figure.axes], figure.get_size_inches().tolist()
    assert after == before
    assert plt.get_fignums() == others


def test_drawings_tables_panels_with_a_colour_bar_and_narrow_figures_have_none(monkeypatch) -> None:
    assert narrow(common.embeddings("TextCNN", ("text", "audio"), True, ("late",))) is None
    assert narrow(plt.figure(figsize=(3, 2))) is None
    figure, axes = plt.subplots(1, 2)
    figure.colorbar(axes[0].imshow([[0, 1]]), ax=axes)
    assert narrow(figure) is None
    monkeypatch.setattr(module, "CELLS", 2)
    figure, ax = plt.subplots()
    for k in range(3):
        ax.text(k, k, "0.5")
    assert narrow(figure) is None
