"""What chapters show, as HTML."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from bs4 import BeautifulSoup
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import HTML
from markupsafe import Markup

from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common, features
from lmam_book.verdicts.intervals import interval
from lmam_core.data import catalogue
from lmam_core.features.extract import Extracted
from lmam_core.runs.store import Store, read


def test_a_table_rounds_and_wraps_sentences_alone() -> None:
    sentence = "Each modality attends to every other one, then to itself."
    badge = reporting.badge("not testable")
    frame = pd.DataFrame({"gain": [1.234, float("nan")], "what": [sentence, badge]})
    found = reporting.table(frame, "caption", digits=1).data
    assert "<td>1.2</td>" in found
    assert "<td>–</td>" in found
    assert f"<td><span class='lmam-sentence'>{sentence}</span></td>" in found
    assert f"<td>{badge}</td>" in found  # long as markup, short to read
    assert "<p class='lmam-caption'>caption</p>" in found


def test_tabs_are_radio_buttons_of_one_set_each_and_sphinx_designs_script_knows_them() -> None:
    panels = {"a": ("A & B", HTML("<p>first</p>")), "c": ("C", HTML("<p>second</p>"))}
    sets = [BeautifulSoup(reporting.tabs("backbone", panels).data, "html.parser") for _ in range(2)]
    names = [{button["name"] for button in one.select("input")} for one in sets]
    assert [len(name) for name in names] == [1, 1]
    assert names[0] != names[1]
    assert [button["id"] for button in sets[0].select("input[checked]")] == [sets[0].label["for"]]
    labels = [(at.text, at["data-sync-group"], at["data-sync-id"]) for at in sets[0].select("label.sd-tab-label")]
    assert labels == [("A & B", "backbone", "a"), ("C", "backbone", "c")]
    assert [at.text for at in sets[0].select("label + .sd-tab-content")] == ["first", "second"]


def test_words_wrap_and_what_holds_a_number_stays_on_a_line() -> None:
    frame = pd.DataFrame({"cell": ["LMAM early + residual", "+0.20 ± 2.17", "accuracy"]})
    found = reporting.table(frame).data
    assert "<td><span class='lmam-words'>LMAM early + residual</span></td>" in found
    assert "<td>+0.20 ± 2.17</td>" in found
    assert "<td>accuracy</td>" in found


def test_an_empty_text_leaves_nothing_on_a_page() -> None:
    assert reporting.prose("some *words*").data == "some *words*"
    bundle, _ = DisplayFormatter().format(reporting.prose(""))
    assert bundle["text/html"] == ""  # pages prefer it to the name of the class


def test_a_footer_counts_the_runs_that_were_read(tmp_path: Path) -> None:
    few = Store().paths()[:5]
    for k, path in enumerate(few):
        copied = tmp_path / "mosi/bc_lstm" / path.name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_text(re.sub(r'"code": "\w+"', f'"code": "version{k}"', path.read_text(encoding="utf-8")))
    store = Store(tmp_path)
    assert "0 read<" in reporting.footer(store).data
    read(store.paths()[0])
    assert re.search(r"1 read, made by code version\d<", reporting.footer(store).data)
    assert len(list(store)) == 5
    assert "5 read, made by code 5 versions (data/code_versions.csv)" in reporting.footer(store).data


HOSTILE = "<img src=x onerror='alert(1)'>"


def test_names_from_files_stay_text() -> None:
    """A dataset.json names feature sets as it likes."""
    data = catalogue.load("synthetic-iemocap")
    data = dataclasses.replace(data, about=HOSTILE, feature_sets={**data.feature_sets, "text": HOSTILE})
    frame = pd.DataFrame({HOSTILE: [HOSTILE, HOSTILE + " in a sentence of more than 40 characters", (HOSTILE,)]})
    shown = [
        reporting.table(frame, HOSTILE),
        reporting.table(pd.DataFrame([[HOSTILE]], columns=pd.MultiIndex.from_tuples([(HOSTILE, HOSTILE)]))),
        reporting.note(data),
        reporting.footer(parameters={HOSTILE: HOSTILE}),
        features.banner({HOSTILE: Extracted(np.zeros((1, 2)), {}, f"random (tiny) {HOSTILE}")}),
        HTML(reporting.badge(HOSTILE)),
    ]
    for html in shown:
        assert "<img" not in html.data
        assert BeautifulSoup(html.data, "html.parser").get_text().count(HOSTILE) >= 1


def test_what_is_ours_stays_html_where_it_is_joined() -> None:
    both = Markup(", ").join([reporting.badge("undecided"), reporting.badge("excluded")])
    found = reporting.table(pd.DataFrame({"verdicts": [both]})).data
    assert f"{reporting.badge('undecided')}, {reporting.badge('excluded')}" in found


def test_names_with_tex_are_drawn_letter_by_letter() -> None:
    r"""`$\href$` ended a chapter in matplotlib, which knows no such command."""
    names = [r"$\href{javascript:alert(1)}$", "a $5 b $6"]
    drawn = [common.attention({"text": np.full((2, 2), 0.5)}, names), features.words(names[0], [0.5])]
    for figure in drawn:
        svg = io.StringIO()
        figure.savefig(svg, format="svg")
        assert r"javascript:alert(1)" in "".join(re.findall(r"<!-- (.*?) -->", svg.getvalue()))
        plt.close(figure)


def test_a_figure_is_the_same_bytes_again() -> None:
    """As a chapter shows it; matplotlib would write the microsecond into it."""
    shell = InteractiveShell.instance()
    shell.display_formatter.formatters["image/svg+xml"].enabled = True
    reporting.style()
    drawn = []
    for _ in range(2):
        figure = common.attention({"text": np.eye(2)}, ["a", "b"])
        drawn.append(shell.display_formatter.format(figure, include={"image/svg+xml"})[0]["image/svg+xml"])
        plt.close(figure)
    assert drawn[0] == drawn[1]
    assert "<dc:date>" not in drawn[0]
    dots = {"a": (1.0, interval([1.0, 2.0, 3.0])), "b": (2.0, interval([2.0, 2.5, 3.0]))}
    assert common.trade(dots, "cost", "F1").data == common.trade(dots, "cost", "F1").data
