"""What "Deriving LMAM" prints, read from the executed copy that the book is built from, is held to its prose."""

from __future__ import annotations

import math
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lmam_book.bench import cost
from lmam_book.paper import printed as paper
from lmam_core.errors import LmamError
from tests.notebooks.here import execute

CHAPTER = Path(__file__).resolve().parents[2] / "notebooks" / "02-deriving-lmam.ipynb"
L, WIDTH, RANK = 50, 100, 45  # the chapter's defaults


@pytest.fixture(scope="module")
def outputs(stage: Path) -> list[dict]:
    """What the chapter's code cells show, in order."""
    executed = nbformat.read(stage / CHAPTER.name, as_version=4)
    return [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.fixture(scope="module")
def text(outputs) -> str:
    """All printed lines and computed paragraphs; white space is single, so that a sentence may wrap."""
    parts = [o["text"] if o.output_type == "stream" else o.get("data", {}).get("text/markdown", "") for o in outputs]
    return re.sub(r"\s+", " ", " ".join(parts))


@pytest.fixture(scope="module")
def tables(outputs) -> dict[str, pd.DataFrame]:
    """The tables by the names of their first two columns; what reads as a number is one."""
    frames = {}
    for output in outputs:
        found = BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser").select("table.lmam-table tr")
        if found:
            header, *rows = ([cell.get_text() for cell in row.select("th, td")] for row in found)
            frame = pd.DataFrame(rows, columns=header)
            frames["/".join(header[:2])] = frame.apply(_numbers)
    return frames


def _numbers(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except ValueError:
        return column


def number(pattern: str, text: str) -> float:
    (found,) = re.findall(pattern.replace("#", r"(-?[\d.,]*\d(?:e[+-]\d+)?)"), text)
    return float(found.replace(",", ""))


def test_nothing_is_warned_about(outputs) -> None:
    assert [o["text"] for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []


def test_everything_said_to_be_equal_is_equal(text) -> None:
    gaps = [float(v) for v in re.findall(r"max \|difference\| = (\S+)", text)]
    assert len(gaps) >= 15
    assert max(gaps) < 1e-6


def test_the_rank_means_nothing_to_a_sum_of_vectors_and_something_to_a_sum_of_products(text) -> None:
    assert number(rf"gates of rank {RANK} against one gate: max \|difference\| = #", text) < 1e-12
    assert number(r"rank of U V\^T: #", text) == RANK
    assert number(r"rank of U V\^T with b in its first row: #", text) == RANK + 1


def test_rank_space_is_counted(text) -> None:
    assert number("rank space #", text) == 2 * L * (1 + WIDTH) * RANK + L * L * RANK
    assert number("then using it #,", text) == L * (1 + WIDTH) ** 2 + L * L * (1 + WIDTH)
    assert number(r"\*\*rank #\*\*", text) == cost.break_even_rank_multiply_adds(WIDTH, L)


def test_the_bound_is_never_exceeded(text) -> None:
    assert 0.9 < number("largest weight over its bound, all draws: #", text) <= 1
    assert number("No weight exceeds another by more than \\$e\\^2\\$ = #:", text) == round(math.e**2, 2)
    assert 0 < number("largest weight over its bound, corpus: #", text) <= 1
    assert number("no utterance ever gets more than #%", text) == round(100 * math.e**2 / (math.e**2 + L - 1), 1)
    assert number("log n - H, largest found: #", text) <= 0.5
    assert number("smallest share of keys in effective use: #%", text) >= 100 * math.exp(-0.5)
    assert number("excess over the hull, 1000 directions: #", text) <= 0


def test_the_answer_holds_the_measured_and_counted_numbers(text) -> None:
    assert "6 of 6 derivatives between modalities are exactly 0" in text
    ours, theirs = (
        [count([WIDTH] * 3, *given, output) for output in (False, True)]
        for count, given in ((cost.lmam_parameters, (RANK,)), (cost.self_attention_parameters, ()))
    )
    shares = [a / b for a, b in zip(ours, theirs, strict=True)]
    assert f"has {shares[0]:.0%} of self-attention's parameters where neither has an output layer" in text
    assert f"and {shares[1]:.0%} where both have" in text


def test_the_chapter_is_short_and_reads_well_where_myst_is_not_rendered() -> None:
    prose = " ".join(c.source for c in nbformat.read(CHAPTER, 4).cells if c.cell_type == "markdown")
    assert len(prose.split()) <= 1700
    assert ":::" not in prose


def test_the_scale_decides_whether_the_odds_depend_on_the_length(tables) -> None:
    odds = tables["d_k is the/odds, 3 utterances"].set_index("d_k is the")
    changed = odds["odds, 3 utterances"] != odds[f"odds, {L} utterances"]
    assert changed.to_dict() == {"length": True, "width": False, "none": False}


def test_nothing_crosses_modalities_under_the_printed_equations(text, tables) -> None:
    crossing = tables["keys/output part"]
    for reading, zeros in {"own": 6, "others": 0, "all": 0, "text": 4}.items():
        assert f"{reading}: {zeros} of 6 paths between modalities are exactly 0" in text
        part = crossing[crossing["keys"] == reading]
        assert (part[["∂ text", "∂ audio", "∂ video"]].to_numpy() == 0).sum() == zeros
        assert all(part[f"∂ {m}"][part["output part"] == m].item() > 0 for m in ("text", "audio", "video"))


def test_the_residual_outweighs_the_attention_on_the_corpus(tables) -> None:
    dominance = tables["scores/modality"]
    assert dominance["|A| / |I|"].max() < 0.5
    assert dominance["cos(E, Norm I)"].min() > 0.9


def test_parameters_and_break_even(text, tables) -> None:
    assert "difference 0 " in text
    for width, pair, module in ((100, 50, 49), (512, 256, 255)):
        assert f"width {width}: U and V are smaller than W up to rank {pair}," in text
        assert f"than its full form up to rank {module}" in text
    thirds = tables["widths/W"].set_index(["widths", "W"])
    assert thirds.loc[("100, 100, 100", f"rank {RANK}"), "without output layers"] == pytest.approx(0.310)
    assert thirds.loc[("100, 100, 100", f"rank {RANK}"), "with output layers"] == pytest.approx(0.482)
    assert "Below a third: 2 of 2 low-rank settings without output layers, 1 of 2 with." in text


def test_the_papers_counts_stand_beside_ours(tables) -> None:
    counts = tables["what/million parameters"].set_index("what")["million parameters"]
    assert counts["paper, Table XII: LMAM"] == paper.cell(12, "LMAM", "overall", "params_M")
    assert counts["paper, Table VI: LMAM adds, 7 backbones"] == counts["paper, Table XII: LMAM"]
    assert round(counts["design A"], 2) == round(counts["design C"], 2) == counts["paper, Table XII: LMAM"]
    assert round(counts["nine projections, all of width 616"], 2) == counts["paper, Table XII: self-attention"]
    ours = cost.lmam_parameters([100, 100, 512], RANK) / 1e6
    assert counts[f"ours, rank {RANK}, widths 100, 100, 512"] == pytest.approx(ours, abs=5e-4)


def test_multiply_adds_are_torchs(text) -> None:
    assert number("torch's count minus the closed form: #", text) == 0


def test_figures_are_drawn(outputs) -> None:
    assert sum("image/svg+xml" in o.get("data", {}) for o in outputs) == 1


def test_answers_to_the_exercises_are_right() -> None:
    prose = "\n".join(c.source for c in nbformat.read(CHAPTER, 4).cells if c.cell_type == "markdown")
    assert prose.count("<details><summary>Answer</summary>\n\n") == prose.count("\n\n</details>") - 1 == 2
    keys = 100 / (1 + math.e**2)
    assert f"= {keys:.1f}$. It takes at least {math.ceil(keys)} utterances" in prose
    assert rf"\log 441 = {math.log(9 * 49) / 2:.2f}$" in prose


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"rnak": 30},
            "This notebook has no parameter 'rnak' (did you mean 'rank'?); it has profile, rank, width, length, seed.",
        ),
        ({"rank": 0}, "rank must lie in 1..1024; got 0."),
        ({"rank": 80, "width": 64}, "rank must not exceed width; got rank 80 with width 64."),
    ],
    ids=["misspelt", "zero", "too wide"],
)
def test_a_wrong_parameter_stops_it_with_a_sentence(given, sentence, monkeypatch) -> None:
    with pytest.raises(LmamError) as stopped:
        execute(CHAPTER.stem, given, monkeypatch, slice(0, 4))
    assert str(stopped.value) == sentence
