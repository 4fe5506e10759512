"""`utterances.csv`, the list of a folder's recordings: one line per utterance."""

from __future__ import annotations

import codecs
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from lmam_core import file_errors
from lmam_core.data.notes import reasons
from lmam_core.errors import LmamError

TABLE = "utterances.csv"
REQUIRED = ("dialogue", "turn", "speaker", "label")
LINES = 50
"""How many lines a cell in quotation marks may take."""

_SPAN = re.compile(r"(?P<path>.+\.\w+)(?P<span>#t=[^#]*)")
_WAV = (b"RIFF", b"RIFX", b"RF64")
_MP4 = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Windows-1252 has no sign for five of them.
_CONTROLS = {i: bytes([i]).decode("cp1252") for i in range(0x80, 0xA0) if i not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
_NOTHING = re.compile(
    r"[-\u2013\u2014?.\s]*|nan|<?na>?|n[./] ?[ad]\.?|k\. ?a\.?|none|null|\\n|#\S+[!?]|#n/?[adv]+", re.IGNORECASE
)
_DECIMAL = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:[.,]\d+)?)")
_SECTION = re.compile(r"\d{1,9}(\.\d{1,9})*")
_THOUSANDS = re.compile(r"\d{1,3}(?:[., '\u2019\xa0\u202f]\d{3}){1,4}")


@dataclass(frozen=True)
class Row:
    """A line of the table; `line` counts the file's lines from 1, `turn` orders a dialogue's utterances.

    `written` is the turn as it stands there.
    """

    line: int
    dialogue: str
    turn: float
    speaker: str
    label: str
    text: str
    file: str
    split: str
    written: str

    @property
    def where(self) -> str:
        """How sentences name the utterance."""
        return f"line {self.line} (dialogue {self.dialogue:.60}, turn {self.written:.60})"


def missing(cell: str) -> bool:
    """Whether a cell says that nothing stands there: empty, `nan`, `NULL`, `n/a`, `-`, a spreadsheet's `#N/A`."""
    return _NOTHING.fullmatch(cell) is not None


def number(cell: str) -> float | None:
    """A cell as a number, with a point or a comma before its decimals; None for what is none or can be two numbers."""
    plain = cell.replace("\N{MINUS SIGN}", "-")
    if not _DECIMAL.fullmatch(plain) or re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", plain):
        return None
    value = float(plain.replace(",", "."))
    return value if math.isfinite(value) else None


def read(path: Path, labelled: bool = True) -> tuple[list[Row], set[str], list[str]]:
    """The usable rows, the columns that there are, and a sentence for each row that was left out or mended.

    The table is UTF-8 or, with its mark, UTF-16, separated by commas, semicolons, tabs or bars; a line in Windows-1252
    is read as that. A cell in quotation marks may go over several lines, unless these are rows by themselves: then the
    mark is text. Every cell is stripped and brought to Unicode form C, so that "é" is one character however it was
    typed. A row with the wrong number of cells, without a dialogue, with a turn that is no number or time, and one that
    stands there twice are left out. Turns 1.1 to 1.10 of one dialogue are numbers of sections. Speakers and dialogues
    that differ in case, leading zeros or `.0` alone are one, dialogues only where they share no turn. Where it is not
    `labelled`, a column `label` is not needed. Raises LmamError for a file that is not such a table.
    """
    text, notes = _text(path)
    names, lines = _cells(text)
    _check_header(path, names, labelled)
    rows: list[Row] = []
    before: dict[tuple[str, ...], int] = {}
    count = 0
    for line, cells in lines:
        count += 1
        row = _row(line, names, cells)
        if isinstance(row, Row) and labelled and (first := before.setdefault(tuple(cells), line)) != line:
            row = f"line {line} is left out: it is line {first} again, in every cell."
        if isinstance(row, str):
            notes.append(row)
        else:
            rows.append(row)
    rows = _one_spelling(_timed(rows, notes), notes)
    if not count:
        raise LmamError(f"{path} holds no utterances; write one line for each below the header.")
    if not rows:
        raise LmamError(f"{path} holds no utterance that can be used in {count:,} rows. {reasons(notes)}")
    return rows, set(names), notes


def _text(path: Path) -> tuple[str, list[str]]:
    try:
        if path.exists() and not path.is_file():
            raise LmamError(f"{path} is not a file.")
        raw = path.read_bytes()
    except FileNotFoundError:
        others = (
            [f.name for f in path.parent.glob("*") if f.stem.casefold() == path.stem] if path.parent.is_dir() else []
        )
        hint = f" ({others[0]} is another file)" if others else ""
        raise LmamError(
            f"{path.parent.absolute()} holds no {TABLE}{hint}; write one with the columns dialogue, turn, speaker, "
            "text, file, label."
        ) from None
    except OSError as error:
        raise LmamError(f"{path} cannot be read ({error.strerror}).") from error
    if kind := file_errors.mistaken_for(path):
        raise LmamError(f"{path} is no table: it is {kind}. A table is text, which spreadsheets save as 'CSV UTF-8'.")
    try:
        if mark := next((mark for mark in _MARKS if raw.startswith(mark)), None):
            text = raw.decode(_MARKS[mark])
        else:
            text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _western(path, raw)
    if "\0" in text:
        raise LmamError(f"{path} is not UTF-8 text; save it as 'CSV UTF-8'.")
    mended = text.translate(_CONTROLS)
    if mended == text:
        return text, []
    return mended, ["Control characters that stand for signs of Windows-1252, such as \u2019, were read as these."]


def _western(path: Path, raw: bytes) -> tuple[str, list[str]]:
    """A table of which some lines are in Windows-1252, and the note that says so."""
    lines: list[str] = []
    other: list[int] = []
    for i, line in enumerate(raw.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            try:
                lines.append(line.decode("cp1252"))
            except UnicodeDecodeError:
                lines.append("\0")
            # Four such letters on end are a word of another alphabet.
            if lines[-1] == "\0" or re.search(rb"[\x80-\xff]{4}", line):
                raise LmamError(
                    f"{path}, line {i}: the text is neither UTF-8 nor Windows-1252; save the table as 'CSV UTF-8'."
                ) from None
            other.append(i)
    word = re.search(r"\w*[^\x00-\x7f]\w*", lines[other[0] - 1])
    return "\n".join(lines), [
        f"line {other[0]} is not UTF-8 and was read as Windows-1252 ('{word[0] if word else ''}'), one of {len(other)} "
        "such lines; save the table as 'CSV UTF-8' if that is wrong."
    ]


def _cells(text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header's names in small letters, and each row that is not empty with the number of its first line."""
    lines = re.split(r"\r\n|\r|\n", text)
    at = next((i for i, line in enumerate(lines) if line.strip()), 0)
    separator = ""
    if separated := re.fullmatch(r'"?sep=(.)"?\s*', lines[at], re.IGNORECASE):  # Excel's own first line
        separator, at = separated[1], at + 1
    at = next((i for i in range(at, len(lines)) if lines[i].strip()), at)
    header = lines[at] if at < len(lines) else ""
    separator = separator or max(",;\t|", key=header.count)
    split = _splitter(separator)
    names = [unicodedata.normalize("NFC", name.strip()).casefold() for name in split(header)[0]]
    while len(names) > 1 and not names[-1]:
        del names[-1]
    return names, _rows(lines, at + 1, len(names), separator)


def _splitter(separator: str) -> Callable[[str], tuple[list[str], bool]]:
    """What cuts a line into cells, and says whether a quotation mark that begins one is not closed."""
    cell = re.compile(r' *"((?:[^"]++|"")*+)" *({s}|\Z)|([^{s}]*)({s}|\Z)'.replace("{s}", re.escape(separator)))

    def split(line: str) -> tuple[list[str], bool]:
        cells, opened, at = [], False, 0
        while match := cell.match(line, at):
            if match[1] is not None:
                cells.append(match[1].replace('""', '"'))
            else:
                cells.append(match[3])
                opened |= match[3].lstrip().startswith('"')
            if not (match[2] or match[4]):
                break
            at = match.end()
        return cells, opened

    return split


def _rows(lines: list[str], at: int, width: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    split = _splitter(separator)
    closes = re.compile(r'(?<!")(?:"")*" *(?:{s}|\Z)'.replace("{s}", re.escape(separator)))
    while at < len(lines):
        first, whole = at, lines[at]
        cells, opened = split(whole)
        at += 1
        if opened:
            for k in range(at, min(at + LINES, len(lines))):
                if len(split(lines[k])[0]) == width > 1:
                    break
                whole += "\n" + lines[k]
                if closes.search(lines[k]):
                    if len(joined := split(whole)[0]) == width:
                        cells, at = joined, k + 1
                    break
        if any(cell.strip() for cell in cells):
            while len(cells) > width and not cells[-1].strip():
                del cells[-1]
            yield first + 1, [unicodedata.normalize("NFC", cell.strip()) for cell in cells]


def _check_header(path: Path, names: list[str], labelled: bool) -> None:
    twice = [name for name in names if name and names.count(name) > 1]
    absent = [name for name in REQUIRED if name not in names and (labelled or name != "label")]
    if absent or twice:
        fault = f"the column {absent[0]} is missing" if absent else f"the column '{twice[0]}' stands there twice"
        listed = ", ".join(name for name in names[:20] if name)
        raise LmamError(
            f"{path}: {fault}; the first line names dialogue, turn, speaker, label, text or file or both, "
            f"and, where you want to choose it, split. It names {listed[:300] or 'nothing'}."
        )
    if "text" not in names and "file" not in names:
        raise LmamError(f"{path} has neither a column text nor a column file; nothing can be computed from it.")


def _row(line: int, names: list[str], cells: list[str]) -> Row | str:
    """A row whose turn is not read yet, or the sentence that says why it is none."""
    if len(cells) != len(names):
        mark = ", and a quotation mark is not closed" if sum(cell.count('"') for cell in cells) % 2 else ""
        return f"line {line} is left out: it has {len(cells)} cells where the header has {len(names)}{mark}."
    cell = dict(zip(names, cells, strict=True))
    for name in ("dialogue", "speaker", "file", "split"):
        if missing(cell.get(name, "")):
            cell[name] = ""
    if not cell["dialogue"]:
        return f"line {line} is left out: it names no dialogue."
    rest = {name: cell.get(name, "") for name in ("label", "text", "file", "split")}
    return Row(line, cell["dialogue"], math.nan, cell["speaker"], **rest, written=cell["turn"])


def _timed(rows: Sequence[Row], notes: list[str]) -> list[Row]:
    """The rows with their turns as numbers that order them; a sentence in `notes` for each that has none."""
    cells = {r.written for r in rows}
    order: dict[str, float]
    if _sections(rows):
        parts = {c: tuple(map(int, c.split("."))) for c in cells if _SECTION.fullmatch(c)}
        places = {part: i for i, part in enumerate(sorted(set(parts.values())))}
        order = {c: float(places[part]) for c, part in parts.items()}
        notes.append("The turns are read as numbers of sections, in which 1.10 follows 1.9.")
    elif grouped := [c for c in cells if _THOUSANDS.fullmatch(c)]:
        plain = {c for c in cells if re.fullmatch(r"\d{1,3}", c)}
        order = {c: value for c in cells if (value := _time(c)) is not None}
        if plain and not any(number(c) is not None for c in cells - plain - set(grouped)):
            order |= {c: float(re.sub(r"\D", "", c)) for c in grouped}
            notes.append(f"Turns such as '{grouped[0]}' are read as thousands.")
    else:
        order = {c: value for c in cells if (value := _time(c)) is not None}
    notes += [
        f"line {r.line} is left out: its turn '{r.written:.60}' is not a number."
        for r in rows
        if r.written not in order
    ]
    return [replace(r, turn=order[r.written]) for r in rows if r.written in order]


def _time(cell: str) -> float | None:
    """A turn as a number, or a time of day or of a film, `1:02:03.5`, in s."""
    if clock := _CLOCK.fullmatch(cell):
        return 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3].replace(",", "."))
    return number(cell)


def _sections(rows: Sequence[Row]) -> bool:
    """Whether turns number sections: most have three parts, 1.2.3, or dialogues have both 1.1 and 1.10.

    One dialogue that writes a time in two ways, 12.5 and 12.50, does not decide for many.
    """
    if 2 * sum(r.written.count(".") > 1 for r in rows) > len(rows):
        return True
    written: dict[str, set[str]] = {}
    for r in rows:
        if re.fullmatch(r"\d{1,9}\.\d{1,9}", r.written):
            written.setdefault(r.dialogue, set()).add(r.written)
    mixed = [cells for cells in written.values() if len({len(c.partition(".")[2]) for c in cells}) > 1]
    proofs = sum(
        len({float(c) for c in cells}) < len({tuple(map(int, c.split("."))) for c in cells}) for cells in mixed
    )
    return 2 * proofs >= len(mixed) > 0


def _one_spelling(rows: list[Row], notes: list[str]) -> list[Row]:
    """The rows with one spelling for each dialogue and each speaker."""
    turns: dict[str, set[float]] = {}
    for r in rows:
        turns.setdefault(r.dialogue, set()).add(r.turn)
    dialogues: dict[str, str] = {}
    speakers: dict[str, str] = {}
    for alike in _alike(r.dialogue for r in rows):
        if sum(len(turns[d]) for d in alike) > len(set().union(*(turns[d] for d in alike))):
            notes.append(f"dialogues {_quoted(alike)} share turns and stay apart; are they one?")
        else:
            notes.append(f"dialogues {_quoted(alike)} are read as one.")
            dialogues |= dict.fromkeys(alike, alike[0])
    for alike in _alike(r.speaker for r in rows):
        notes.append(f"The speakers {_quoted(alike)} are read as one.")
        speakers |= dict.fromkeys(alike, alike[0])
    if not dialogues and not speakers:
        return rows
    return [
        replace(r, dialogue=dialogues.get(r.dialogue, r.dialogue), speaker=speakers.get(r.speaker, r.speaker))
        for r in rows
    ]


def _alike(names: Iterable[str]) -> list[list[str]]:
    """Names that differ in case, leading zeros or `.0` alone, the most frequent spelling first."""
    groups: dict[str, list[str]] = {}
    for name, _ in Counter(names).most_common():
        whole = re.fullmatch(r"0*(\d+)(\.0+)?", name)
        groups.setdefault(whole[1] if whole else name.casefold(), []).append(name)
    return [alike for alike in groups.values() if len(alike) > 1]


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def recording(folder: Path, name: str, opened: dict[str, Path | str]) -> tuple[Path, str] | str:
    """The recording that a cell names, with its span (`#t=12.5,16`, in s, or ""), or why it cannot be taken.

    Only a wav or mp4 file inside the folder is taken, by its name and its first bytes: a name that leads out of it, by
    `..`, as an absolute path or through a link, is refused. `opened` keeps what was found, so that a film of many
    utterances is opened once.
    """
    span = ""
    if (match := _SPAN.fullmatch(name)) and not os.path.exists(folder / name):
        name, span = match["path"], match["span"]
    if name not in opened:
        opened[name] = _file(folder, name)
    path = opened[name]
    return path if isinstance(path, str) else (path, span)


def _file(folder: Path, name: str) -> Path | str:
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or name.startswith("\\"):
        return f"'{name}' is an absolute path; name files inside the folder"
    if ".." in re.split(r"[/\\]", name):
        return f"'{name}' leads out of the folder; name files inside it"
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            return f"'{name}' is a link that leads out of the folder; copy the file into it"
        if not path.is_file():
            return f"there is no file '{name}'"
        with path.open("rb") as file:
            start = file.read(8)
    except (OSError, ValueError, RuntimeError):
        return f"'{name}' cannot be opened"
    if path.suffix.casefold() not in (".wav", ".mp4"):
        return f"'{name}' is neither wav nor mp4"
    # A decoder goes by content, and a playlist under such a name would make it open other files.
    if start[:4] not in _WAV and start[4:] not in _MP4:
        return f"'{name}' does not begin as a wav or mp4 file does"
    return path
