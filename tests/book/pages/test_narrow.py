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


def test_a_drawing_runs_down_the_page_and_its_words_stay_level() -> None:
    wide = common.embeddings("DialogueRNN", ("text", "audio"), True, ("early_residual",))
    boxes = [(box.get_x(), box.get_y(), box.get_width()) for box in wide.axes[0].patches]
    width, height = size(svg := narrow(wide))
    assert width <= 72 * WIDTH * 1.04
    assert height > 0.8 * width
    places = {word: (round(float(x)), round(float(y))) for x, y, word in PLACED.findall(svg)}
    assert places["text"][1] == places["audio"][1] < places["LMAM"][1] < places["+"][1] < places["text'"][1]
    assert places["text"][0] < places["LMAM"][0] == places["+"][0] == places["DialogueRNN"][0] < places["audio"][0]
    assert "rotate(-90" not in svg
    assert boxes == [(box.get_x(), box.get_y(), box.get_width()) for box in wide.axes[0].patches]


PLACED = re.compile(r'<text [^>]*transform="rotate\(-0 ([\d.]+) ([\d.]+)\)"[^>]*>([^<]+)</text>')


def test_a_film_shrinks_and_panels_keep_their_colour_bar() -> None:
    film, axes = plt.subplots(3, 5, figsize=(6, 4))
    for ax in axes.flat:
        ax.imshow([[0, 1]])
        ax.set(xticks=[], yticks=[])
    svg = narrow(film)
    assert size(svg)[0] <= 72 * WIDTH
    assert size(svg)[1] < 72 * WIDTH
    assert svg.count('id="axes_') == 15
    maps, axes = plt.subplots(1, 2, figsize=(7, 3))
    maps.colorbar(axes[0].imshow([[0, 1]]), ax=axes, label="weight")
    axes[1].imshow([[0, 1]])
    svg = narrow(maps)
    assert size(svg)[0] <= 72 * WIDTH * 1.04 < size(svg)[1]
    assert ">weight<" in svg


def test_a_table_of_many_numbers_keeps_its_colours_and_narrow_figures_have_no_other_form(monkeypatch) -> None:
    assert narrow(plt.figure(figsize=(3, 2))) is None
    monkeypatch.setattr(module, "CELLS", 2)
    figure, ax = plt.subplots()
    for k in range(3):
        ax.text(k, k, "0.125")
        ax.add_patch(plt.Rectangle((k, k), 1, 1, color="#123456"))
    svg = narrow(figure)
    assert ">0.125<" not in svg
    assert svg.count("#123456") >= 3


def test_names_of_an_axis_that_would_stand_on_each_other_are_left_out() -> None:
    figure, ax = plt.subplots(figsize=(7, 3))
    ranks = (1, 5, 15, 30, 45, 55, 65, 100, 200)
    ax.set(xscale="log", xlim=(0.8, 250))
    ax.set_xticks(ranks, [f"rank {k}" for k in ranks])
    shown = re.findall(r">rank (\d+)<", narrow(figure))
    assert {"1", "45", "100", "200"} < set(shown)
    assert "55" not in shown
    few, ax = plt.subplots(figsize=(7, 3))
    ax.set_xticks(range(6), ["We", "lost", "everything", "that", "we", "had."])
    assert re.search(r"rotate\(-90[^>]*>everything<", narrow(few))
