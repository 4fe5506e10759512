"""`utterances.csv`, the list of a folder's recordings: one line an utterance."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from lmam_core.errors import LmamError

TABLE = "utterances.csv"
REQUIRED = ("dialogue", "turn", "speaker", "label")
_SPAN = re.compile(r"(?P<path>.+\.\w+)(?P<span>#t=[\d.]*(?:,[\d.]+)?)")


_WAV = (b"RIFF", b"RIFX", b"RF64")
_MP4 = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


@dataclass(frozen=True)
class Row:
    """A line of the table; `line` counts the file's lines from 1, `turn` orders a dialogue's utterances."""

    line: int
    dialogue: str
    turn: float
    speaker: str
    label: str
    text: str
    file: str
    split: str

    @property
    def where(self) -> str:
        """How sentences name the utterance."""
        return f"line {self.line} (dialogue {self.dialogue}, turn {self.turn:g})"


def read(path: Path, labelled: bool = True) -> tuple[list[Row], set[str], list[str]]:
    """The usable rows, the columns that there are, and a sentence for each row that was left out or mended.

    The table is UTF-8, with or without a mark at its start, separated by commas, semicolons or tabs. Every cell is
    stripped and brought to Unicode form C, so that "é" is one character however it was typed. A row with the wrong
    number of cells, without a dialogue, or with a turn that is no number is left out; bytes that are not UTF-8 become
    the replacement character. Where it is not `labelled`, a column `label` is not needed. Raises LmamError for a file
    that is not such a table.
    """
    text, notes = _text(path)
    header, *_ = text.lstrip("\r\n").split("\n", 1)
    separator = max(",;\t", key=header.count)
    csv.field_size_limit(1 << 24)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = [name.strip().casefold() for name in next(lines, [])]
        _check_header(path, names, labelled)
        rows: list[Row] = []
        for cells in lines:
            if any(cell.strip() for cell in cells):
                row = _row(lines.line_num, names, cells)
                (notes if isinstance(row, str) else rows).append(row)
    except csv.Error as error:
        raise LmamError(
            f"{path} is not a table after line {lines.line_num} ({error}); write it as CSV again."
        ) from None
    if not rows:
        raise LmamError(f"{path} holds no utterances; write one line for each below the header.")
    return rows, set(names), notes


def _text(path: Path) -> tuple[str, list[str]]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise LmamError(
            f"{path.parent} holds no {TABLE}; write one with the columns dialogue, turn, speaker, text, file, label."
        ) from None
    except OSError as error:
        raise LmamError(f"{path} cannot be read ({error.strerror}).") from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw:
        raise LmamError(f"{path} is not UTF-8 text; save it as 'CSV UTF-8'.")
    text = raw.decode("utf-8-sig", errors="surrogateescape")
    bad = [i for i, line in enumerate(text.split("\n"), 1) if any("\udc80" <= c <= "\udcff" for c in line)]
    notes = [f"line {i}: bytes that are not UTF-8 were read as \N{REPLACEMENT CHARACTER}." for i in bad]
    return re.sub("[\udc80-\udcff]+", "\N{REPLACEMENT CHARACTER}", text), notes


def _check_header(path: Path, names: list[str], labelled: bool) -> None:
    twice = [name for name in names if names.count(name) > 1]
    missing = [name for name in REQUIRED if name not in names and (labelled or name != "label")]
    if missing or twice:
        fault = f"the column {missing[0]} is missing" if missing else f"the column '{twice[0]}' stands there twice"
        raise LmamError(
            f"{path}: {fault}; the first line names dialogue, turn, speaker, label, text or file or both, "
            "and, where you want to choose it, split."
        )
    if "text" not in names and "file" not in names:
        raise LmamError(f"{path} has neither a column text nor a column file; nothing can be computed from it.")


def _row(line: int, names: list[str], cells: list[str]) -> Row | str:
    """A row, or the sentence that says why it is none."""
    if len(cells) != len(names):
        return f"line {line} is left out: it has {len(cells)} cells where the header has {len(names)}."
    cell = dict(zip(names, (unicodedata.normalize("NFC", c.strip()) for c in cells), strict=True))
    if not cell["dialogue"]:
        return f"line {line} is left out: it names no dialogue."
    try:
        turn = float(cell["turn"])
    except ValueError:
        turn = math.nan
    if not math.isfinite(turn):
        return f"line {line} is left out: its turn '{cell['turn']}' is not a number."
    rest = {name: cell.get(name, "") for name in ("label", "text", "file", "split")}
    return Row(line, cell["dialogue"], turn, cell["speaker"], **rest)


def recording(folder: Path, name: str) -> tuple[Path, str] | str:
    """The recording that a cell names, with its span (`#t=12.5,16`, in s, or ""), or why it cannot be taken.

    Only a wav or mp4 file inside the folder is taken, by its name and its first bytes: a name that leads out of it, by
    `..`, as an absolute path or through a link, is refused.
    """
    span = ""
    if (found := _SPAN.fullmatch(name)) and not (folder / name).exists():
        name, span = found["path"], found["span"]
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
    return path, span
