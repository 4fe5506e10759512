"""Pinned files from the net: checked by size and sha256, kept, and gone on with where a download broke.

Own code, since what it needs is in no library that is here: pooch and huggingface_hub neither stop at a known size nor
have a limit on time or a floor on speed, and pooch cannot go on with a part.
"""

from __future__ import annotations

import http.client
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from lmam_core.data.sources.base import PublicFile
from lmam_core.errors import LmamError
from lmam_core.hashing import sha256
from lmam_core.limits import ANSWER_SECONDS as PATIENCE
from lmam_core.limits import BYTES_PER_SECOND as SLOWEST
from lmam_core.limits import SILENT_SECONDS as SILENCE

_BLOCK = 1 << 16


class Kept:
    """Files of one server, by path; `get` downloads what the folder does not hold yet."""

    def __init__(self, folder: Path, address: str, files: dict[str, PublicFile]) -> None:
        self.folder, self.address, self.files = folder, address, files

    def get(self, key: str) -> Path:
        """The verified copy of a file.

        Raises LmamError where the server cannot be reached, refuses or lacks the file, breaks off, is too slow, or
        sends another content; never more than the recorded number of bytes is kept.
        """
        path, recorded = self.folder / key, self.files[key]
        if path.is_file() and sha256(path) == recorded.sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part, url = path.with_name(f"{path.name}.part"), f"{self.address}/{key}"
        if _size(part) > recorded.bytes:
            part.unlink()
        if _size(part) < recorded.bytes:
            _resume(url, part, recorded)
        if sha256(part) != recorded.sha256:
            raise _another(part, url, f"another file than the recorded one (sha256 {recorded.sha256[:12]}...)")
        part.replace(path)
        return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _resume(url: str, part: Path, recorded: PublicFile) -> None:
    """Download to `part`, going on behind what it holds where the server can."""
    have = _size(part)
    with _opened(url, have) as answer:
        served = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if answer.status != 206 or served is None or int(served[1]) != have:
            if answer.status == 206:
                part.unlink()
                raise LmamError(f"{url} went on elsewhere than it was asked to; ask again, from the start.")
            have = 0  # the server sends all of it, whatever was asked
        length = answer.headers.get("Content-Length")
        if length is not None and length.isdecimal() and have + int(length) != recorded.bytes:
            page = "text/html" in answer.headers.get("Content-Type", "")
            sent = "a web page" if page else f"a file of {have + int(length):,} bytes"
            raise _another(part, url, f"{sent} in place of the recorded one of {recorded.bytes:,} bytes")
        _append(answer, part, have, recorded.bytes, url)


def _append(answer: http.client.HTTPResponse, part: Path, have: int, whole: int, url: str) -> None:
    """Write what comes behind the first `have` bytes of `part` up to the `whole`, with a bar where someone watches."""
    bar = tqdm(
        total=whole,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=part.name.removesuffix(".part"),
        disable=not sys.stderr.isatty(),
    )
    since, before = time.monotonic(), have
    with bar, part.open("ab" if have else "wb") as stream:
        while have < whole:
            try:
                block = answer.read1(min(_BLOCK, whole - have))  # what has arrived: `read` would wait for all of it
            except (OSError, http.client.HTTPException):
                block = b""
            stream.write(block)
            have += len(block)
            bar.update(len(block))
            if not block:
                raise LmamError(
                    f"The connection broke after {have:,} bytes of {url}; ask again and the download goes on there."
                )
            if (passed := time.monotonic() - since) >= SILENCE:
                if have - before < SLOWEST * passed:
                    raise LmamError(
                        f"{url} came with {(have - before) / passed:,.0f} bytes per s, of which {SLOWEST:,} are needed;"
                        f" ask again later and the download goes on after {have:,} bytes."
                    )
                since, before = time.monotonic(), have


def _another(part: Path, url: str, what: str) -> LmamError:
    """The sentence for a content that was not recorded, of which nothing is kept."""
    part.unlink(missing_ok=True)
    return LmamError(
        f"{url} sent {what}, which was thrown away; ask again, and if that does not help, the file has changed at its "
        "source."
    )


def _opened(url: str, have: int) -> http.client.HTTPResponse:
    """The server's answer, from byte `have` on if it can; raises LmamError where there is none, or an error."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    answers: list[http.client.HTTPResponse] = []
    errors: list[OSError | http.client.HTTPException] = []

    def ask() -> None:
        try:
            answers.append(urllib.request.urlopen(request, timeout=SILENCE))
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    # In a thread, because looking a name up has no time limit of its own, and headers can come byte by byte.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    if answers:
        return answers[0]
    if errors and isinstance(errors[0], urllib.error.HTTPError):
        raise LmamError(f"{url} cannot be had: {_refusal(errors[0])}.")
    reason = getattr(errors[0], "reason", errors[0]) if errors else "no answer"
    raise LmamError(
        f"{urlsplit(url).hostname} cannot be reached ({reason}); go online, or name a folder with the original files "
        "in LMAM_SOURCES."
    )


def _refusal(error: urllib.error.HTTPError) -> str:
    """What a status means, and what to do about it."""
    code = error.code
    if code in (404, 410):
        return (
            f"it is not there (HTTP {code}); if it was removed from its repository, ask its owner for it and put it "
            "into a folder that LMAM_SOURCES names"
        )
    if code in (401, 403, 407, 451):
        return (
            f"the server refuses it (HTTP {code}), perhaps to this network; try another one, or put the file into a "
            "folder that LMAM_SOURCES names"
        )
    if code == 429:
        wait = error.headers.get("Retry-After", "")
        return f"the server was asked too often (HTTP 429); ask again {f'in {wait} s' if wait.isdecimal() else 'later'}"
    if code >= 500:
        return f"the server has a fault of its own (HTTP {code}); ask again later"
    return f"the server answers HTTP {code}"
