"""What chapters show, as HTML."""

from __future__ import annotations

import pandas as pd
from IPython.core.formatters import DisplayFormatter

from lmam_book.pages import style as reporting


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
