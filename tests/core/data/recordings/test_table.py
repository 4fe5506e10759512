"""Tables as people have them: what is meant is read, and what is not sure is said."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lmam_core.data.recordings import table
from lmam_core.errors import LmamError
from lmam_core.limits import TABLE_BYTES as LARGEST

HEADER = ("dialogue", "turn", "speaker", "text", "label")


def read(folder: Path, text: str | bytes, encoding: str = "utf-8") -> tuple[list[table.Row], list[str]]:
    (folder / table.TABLE).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    rows, _, notes = table.read(folder / table.TABLE)
    return rows, notes


def lines(*rows: tuple[str, ...], header: tuple[str, ...] = HEADER, separator: str = ",", end: str = "\n") -> str:
    return "".join(separator.join(row) + end for row in (header, *rows))


TWO = (("d", "1", "A", "hello", "sad"), ("d", "2", "B", "bye", "happy"))


@pytest.mark.parametrize(
    "content",
    [
        lines(*TWO),
        lines(*TWO, separator=";"),
        lines(*TWO, separator="\t", end="\r\n"),
        lines(*TWO, separator=" | "),
        lines(*TWO, end="\r"),
        "\ufeff" + lines(*TWO),
        "sep=;\n" + lines(*TWO, separator=";"),
        '"sep=;"\r\n' + lines(*TWO, separator=";", end="\r\n"),
        "\n\n" + lines(*TWO, end="\n\n"),
        lines(*TWO, end=",\n"),
        lines(*TWO).replace("sad", "sad,").replace("happy", "happy,,"),
        lines(*TWO, header=("Dialogue", "TURN", " Speaker", "Text", "label ")),
        lines(*TWO).replace("hello", '"hello"').replace("dialogue", '"dialogue"'),
        lines(*TWO, ("", "", "", "", "")),
        ",".join(("", *HEADER)) + "\n" + "".join(f"{i}," + ",".join(row) + "\n" for i, row in enumerate(TWO)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_one_table_in_many_dresses(tmp_path, content, encoding):
    if encoding != "utf-8":
        content = content.removeprefix("\ufeff")
    rows, notes = read(tmp_path, content, encoding)
    assert [(r.dialogue, r.turn, r.speaker, r.text, r.label) for r in rows] == [
        ("d", 1, "A", "hello", "sad"),
        ("d", 2, "B", "bye", "happy"),
    ]
    assert notes == []


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("at", [0, 7, 23])
def test_a_quotation_mark_that_is_not_closed_is_text(tmp_path, separator, at):
    rows = [("d", str(t), "A", "she said", "sad") for t in range(24)]
    rows[at] = ("d", str(at), "A", '"Hello there', "sad")
    if at == 7:
        rows[9] = ("d", "9", "A", '"And this', "sad")
        rows[11] = ("d", "11", "A", 'so it ends"', "sad")
        rows[13] = ("d", "13", "A", '"You" he said', "sad")
    found, notes = read(tmp_path, lines(*rows, separator=separator))
    assert [r.turn for r in found] == list(range(24))
    assert [r.text for r in found] == [row[3] for row in rows]
    assert notes == []


@pytest.mark.parametrize("last", [False, True])
def test_a_cell_in_quotation_marks_may_hold_lines_separators_and_marks(tmp_path, last):
    header = (*HEADER[:3], "label", "text") if last else HEADER
    text = '"One, and\nsaid ""two""\n\n; three"'
    row = ("d", "1", "A", "sad", text) if last else ("d", "1", "A", text, "sad")
    found, notes = read(tmp_path, lines(row, ("d", "2", "B", "x", "x"), header=header))
    assert [r.text for r in found] == ['One, and\nsaid "two"\n\n; three', "x"]
    assert [r.line for r in found] == [2, 6]
    assert notes == []


def test_an_open_mark_and_too_many_cells_are_named(tmp_path):
    found, notes = read(tmp_path, lines(("d", "1", "A", '"Well, hello', "sad"), *TWO[1:]))
    assert [r.turn for r in found] == [2]
    assert notes == ["line 2 is left out: it has 6 cells where the header has 5, and a quotation mark is not closed."]


def test_signs_of_windows_are_read_and_said_once(tmp_path):
    rows = [("d", str(t), "Jos\xe9", "it\u2019s", "sad") for t in range(9)]
    found, notes = read(tmp_path, lines(*rows), "cp1252")
    assert {(r.speaker, r.text) for r in found} == {("Jos\xe9", "it\u2019s")}
    (note,) = notes
    assert note.startswith("line 2 is not UTF-8 and was read as Windows-1252 ('Jos\xe9'), one of 9 such lines")
    mixed = lines(rows[0]).encode("cp1252") + "d,1,\u041f\u0440\u0438\u0432\u0435\u0442,x,sad\n".encode()
    assert [r.speaker for r in read(tmp_path, mixed)[0]] == ["Jos\xe9", "\u041f\u0440\u0438\u0432\u0435\u0442"]
    # As MELD's tables have it: the bytes of Windows-1252, taken for Unicode and written as UTF-8.
    found, notes = read(tmp_path, lines(("d", "1", "A", "company\x92s", "sad")))
    assert found[0].text == "company\u2019s"
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("turns", "order"),
    [
        ([f"1.{k}" for k in range(1, 13)], range(12)),
        (["1.1", "2.1", "1.10", "1.2"], [0, 3, 2, 1]),
        (["1.2.10", "1.2.9"], [1, 0]),
        (["12.5", "12.25", "3"], [2, 1, 0]),
        (["12,5", "12,25", "3"], [2, 1, 0]),
        (["00:01:02.5", "0:59", "1:00:00"], [1, 0, 2]),
        (["998", "999", "1,000", "1,001"], range(4)),
        (["999", "1.000", "2"], [2, 0, 1]),
        (["0.500", "1.250", "1.125"], [0, 2, 1]),
        (["1e1", "2", "\N{MINUS SIGN}1"], [2, 1, 0]),
    ],
)
def test_turns_order_a_dialogue_as_they_are_meant(tmp_path, turns, order):
    rows = [("d", turn, "A", str(k), "sad") for k, turn in enumerate(turns)]
    found, _ = read(tmp_path, lines(*rows, separator=";"))
    assert [int(r.text) for r in sorted(found, key=lambda r: r.turn)] == list(order)
    assert [r.written for r in found] == turns


@pytest.mark.parametrize(
    "turn", ["1e999", "9" * 400, "1." + "9" * 5000, "9" * 5000 + ":00", "inf", "nan", "1_0", "²", "0x10"]
)
def test_a_turn_beyond_all_numbers_is_left_out(tmp_path, turn):
    found, notes = read(tmp_path, lines(("d", turn, "A", "x", "sad"), ("d", "1.5", "A", "x", "sad")))
    left_out = [r.turn for r in found] == [1.5]
    assert left_out == any("is left out: its turn" in note for note in notes)
    assert all(len(note) < 200 for note in notes)
    assert all(abs(r.turn) < 1e308 for r in found)


def test_one_odd_turn_does_not_decide_for_all(tmp_path):
    turns = [("a", "12.5"), ("a", "12.25"), ("b", "12.5"), ("b", "12.50"), ("c", "7.5"), ("c", "7.25"), ("c", "1.2.3")]
    found, notes = read(tmp_path, lines(*((d, turn, str(k), "x", "sad") for k, (d, turn) in enumerate(turns))))
    assert [r.turn for r in found] == [12.5, 12.25, 12.5, 12.5, 7.5, 7.25]
    assert notes == ["line 8 is left out: its turn '1.2.3' is not a number."]


def test_a_number_that_may_be_two_is_left_out(tmp_path):
    found, notes = read(
        tmp_path, lines(*(("d", turn, "A", "x", "sad") for turn in ("0.5", "1,000", "2.5")), separator=";")
    )
    assert [r.turn for r in found] == [0.5, 2.5]
    assert notes == ["line 3 is left out: its turn '1,000' is not a number."]


def test_where_nothing_is_left_the_reasons_are_told(tmp_path):
    rows = [("d", f"utt{k}", "A", "x", "sad") for k in range(2000)]
    with pytest.raises(
        LmamError, match=r"no utterance that can be used in 2,000 rows\. line 2 .* turn 'utt0' is not"
    ) as error:
        read(tmp_path, lines(*rows))
    assert "... and 1,997 more like these, 2,000 in all." in str(error.value)
    assert len(str(error.value)) < 600


def test_one_spelling_of_dialogues_and_speakers(tmp_path):
    rows = [
        ("1", "1", "Ann"),
        ("01", "2", "ann"),
        ("1.0", "3", "Ann"),
        ("2", "1", "Bo"),
        ("02", "1", "Bo"),
        ("1.10", "1", "C"),
    ]
    found, notes = read(tmp_path, lines(*((*row, "x", "sad") for row in rows)))
    assert [r.dialogue for r in found] == ["1", "1", "1", "2", "02", "1.10"]
    assert [r.speaker for r in found] == ["Ann", "Ann", "Ann", "Bo", "Bo", "C"]
    assert notes == [
        "dialogues '1' and '01' and '1.0' are read as one.",
        "dialogues '2' and '02' share turns and stay apart; are they one?",
        "The speakers 'Ann' and 'ann' are read as one.",
    ]


def test_signs_that_nobody_sees_are_not_read(tmp_path):
    """Files that were joined hold byte order marks within, texts of web pages blanks without width."""
    found, notes = read(
        tmp_path, lines(("1", "1", "A", "x", "sad"), ("\ufeff1", "2", "A\u200b", "a\u200bb", " \u2060sad"))
    )
    assert [(r.dialogue, r.speaker, r.text, r.label) for r in found] == [
        ("1", "A", "x", "sad"),
        ("1", "A", "a\u200bb", "sad"),
    ]
    assert notes == []


def test_a_path_as_windows_writes_it_and_one_in_another_case(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").write_bytes(b"RIFF    ")
    assert table.recording(tmp_path, "clips\\a.wav", {}) == (tmp_path / "clips" / "a.wav", "")
    assert table.recording(tmp_path, "clips/A.WAV", {}) == "there is no file 'clips/A.WAV' (there is 'a.wav')"
    assert "leads out of the folder" in table.recording(tmp_path / "clips", "..\\clips\\a.wav", {})


def test_cells_that_say_nothing(tmp_path):
    found, notes = read(
        tmp_path, lines(("NaN", "1", "A", "x", "sad"), ("d", "2", "nan", "None", "sad"), ("d", "-", "A", "x", "y"))
    )
    assert [(r.speaker, r.text) for r in found] == [("", "None")]
    assert notes == [
        "line 2 is left out: it names no dialogue.",
        "line 4 is left out: its turn '-' is not a number.",
    ]


def test_a_row_that_stands_there_twice_counts_once(tmp_path):
    found, notes = read(tmp_path, lines(*TWO, TWO[0]))
    assert len(found) == 2
    assert notes == ["line 4 is left out: it is line 2 again, in every cell."]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / table.TABLE)
    with pytest.raises(LmamError, match=r"utterances\.csv is not a file"):
        table.read(tmp_path / table.TABLE)


def test_a_table_without_end_is_not_read(tmp_path):
    (tmp_path / table.TABLE).write_text(lines(*TWO))
    os.truncate(tmp_path / table.TABLE, LARGEST + 1)
    with pytest.raises(LmamError, match=r"has 268,435,457 bytes; a table of utterances may have 268,435,456"):
        table.read(tmp_path / table.TABLE)


def test_another_file_beside_the_missing_table_is_named(tmp_path):
    (tmp_path / "Utterances.xlsx").write_bytes(b"PK")
    with pytest.raises(LmamError, match=r"holds no utterances\.csv \(Utterances\.xlsx is another file\)"):
        table.read(tmp_path / table.TABLE)


@pytest.mark.parametrize("text", ["hello", '"open', 'a "b" c', '"a""b'])
def test_time_grows_with_the_rows_alone(tmp_path, text):
    rows = [(f"d{k // 20}", str(k), "A", text, "sad") for k in range(20_000)]
    start = time.process_time()
    found, _ = read(tmp_path, lines(*rows))
    assert len(found) == 20_000
    assert time.process_time() - start < 5
