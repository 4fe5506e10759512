"""The table of sizes: counts of built models, the originals' and the paper's."""

from __future__ import annotations

import pytest

from lmam_book.plans.arms import TABLE_SIX
from lmam_book.verdicts import sizes
from lmam_core.models.backbones import BACKBONES
from lmam_core.runs import names as run_names

COUNTS = {
    "text_cnn": (35_456, 229_256),
    "bc_lstm": (423_906, 913_506),
    "bc_lstm_att": (464_106, 953_706),
    "dialogue_rnn": (8_880_406, 13_164_406),
    "dialogue_gcn": (1_186_646, 1_676_246),
    "m2fnet": (2_062_256, 8_474_056),
    "emocaps": (4_452_714, 12_721_274),
    "mm_dfn": (1_167_706, 1_294_106),
}


@pytest.mark.parametrize(("name", "expected"), COUNTS.items())
def test_counts_at_the_papers_widths(name: str, expected: tuple[int, int]) -> None:
    assert (sizes.count(name, sizes.TEXT), sizes.count(name, sizes.ALL)) == expected


def test_the_table_has_every_row_of_table_six() -> None:
    table = sizes.table().set_index("backbone")
    assert list(table.index) == [run_names.title(name) for name in TABLE_SIX]
    assert set(TABLE_SIX) == set(sizes.REACHING)
    assert table.loc["MM-DFN", "Table VI"] == "2.21 M"
    assert table.loc["bc-LSTM+Att", "Table VI"] == "4.7 M"


@pytest.mark.parametrize("name", sizes.REACHING)
def test_sizes_said_to_reach_the_printed_figure_do(name: str) -> None:
    """To half of the last printed digit, which is 0.005 M but for 4.7 M; a miss is said to be one."""
    words, widths, options = sizes.REACHING[name]
    count, printed = sizes.count(name, widths, **options), sizes.printed(name)
    shown = sizes.table(name)["sizes that come to it"][0]
    assert shown.startswith(f"{words}: {count:,}")
    assert shown.endswith("(nearest)") != (abs(count / 1e6 - printed) <= (0.05 if printed == 4.7 else 0.005))


@pytest.mark.parametrize(
    ("name", "option", "size", "expected"),
    [
        ("bc_lstm_att", "hidden", 284, 4_694_242),
        ("dialogue_rnn", "d_emotion", 415, 14_471_266),
        ("dialogue_gcn", "hidden", 319, 12_891_674),
        ("mm_dfn", "hidden", 133, 2_221_505),
    ],
)
def test_no_other_size_comes_nearer(name: str, option: str, size: int, expected: int) -> None:
    """More width is more parameters, so that the two neighbours are enough."""
    assert sizes.REACHING[name][1:] == (sizes.ALL, {option: size})
    counts = {n: sizes.count(name, sizes.ALL, **{option: n}) for n in (size - 1, size, size + 1)}
    assert counts[size] == expected
    assert min(counts, key=lambda n: abs(counts[n] / 1e6 - sizes.printed(name))) == size


def test_originals_are_close_and_slower() -> None:
    """What was measured once, in one run: outputs and gradients equal, ours faster at the fewest threads measured."""
    found = sizes.originals()
    assert set(found.index) >= {"bc_lstm", "bc_lstm_att", "dialogue_rnn", "dialogue_gcn", "mm_dfn"}
    assert (found[["output_difference", "gradient_difference"]] <= 1e-6).all().all()
    assert (found.ratio > 1).all()
    assert (found.ratio >= found.target).all()


@pytest.mark.parametrize("name", sizes.originals().index)
def test_originals_are_timed_often_enough_and_in_every_mode_of_ours(name: str) -> None:
    times = sizes.timings().query("backbone == @name")
    assert (times.repeats >= 3).all()
    assert set(times["mode"]) == ({"default", "faithful"} if BACKBONES[name].leak else {"default"})
