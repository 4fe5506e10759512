"""Pinned files from the net: checked by sha256, kept, and gone on with where a download broke."""

from __future__ import annotations

import http.client
import sys
import threading
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pooch
from tqdm import tqdm

from lmam_core.errors import LmamError
from lmam_core.hashing import sha256

PATIENCE = 5.0
"""Seconds that a server has to answer at all."""

SILENCE = 30.0
"""Seconds without a byte after which a connection counts as broken."""

_BLOCK = 1 << 16


class Kept:
    """Files of one server, by path; `get` downloads what the folder does not hold yet."""

    def __init__(self, folder: Path, address: str, sha256: dict[str, str]) -> None:
        pooch.get_logger().setLevel("WARNING")
        self.folder, self.address = folder, address
        self._pooch = pooch.create(folder, f"{address}/", registry={k: f"sha256:{h}" for k, h in sha256.items()})
        self._reached = False

    def get(self, key: str) -> Path:
        """The verified copy of a file.

        Raises LmamError where the server cannot be reached, lacks the file, breaks off or sends another content.
        """
        path = self.folder / key
        if not self._reached and not (path.is_file() and f"sha256:{sha256(path)}" == self._pooch.registry[key]):
            _reach(f"{self.address}/{key}")
            self._reached = True
        part = path.with_name(f"{path.name}.part")
        try:
            return Path(self._pooch.fetch(key, downloader=partial(_resume, part=part)))
        except LmamError:
            raise
        except ValueError as error:
            raise LmamError(
                f"{self.address}/{key} sent another file than the recorded one (sha256 "
                f"{self._pooch.registry[key][7:19]}...), which was thrown away; ask again, and if that does not help, "
                "the file has changed at its source."
            ) from error


def _resume(url: str, output: str, _: pooch.Pooch, *, part: Path) -> None:
    """Download to `part`, going on behind what it holds where the server can, and move it to `output` once whole."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=SILENCE) as answer:
            if answer.status != 206:  # the server sends all of it, whatever was asked
                have = 0
            whole = have + int(answer.headers.get("Content-Length", 0))
            _append(answer, part, have, whole)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing stands behind what is there: it is whole, or of another file
            part.replace(output)
            return
        raise LmamError(
            f"{url} cannot be had (HTTP {error.code}); if it was removed from its repository, ask its owner for it and "
            "put it into a folder that LMAM_SOURCES names."
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise LmamError(_broken(url, part)) from error
    if part.stat().st_size < whole:
        raise LmamError(_broken(url, part))
    part.replace(output)


def _append(answer, part: Path, have: int, whole: int) -> None:
    """Write what comes behind the first `have` bytes of `part`, with a bar where someone watches."""
    bar = tqdm(
        total=whole or None,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=part.name.removesuffix(".part"),
        disable=not sys.stderr.isatty(),
    )
    with bar, part.open("ab" if have else "wb") as stream:
        while block := answer.read(_BLOCK):
            stream.write(block)
            bar.update(len(block))


def _broken(url: str, part: Path) -> str:
    have = part.stat().st_size if part.exists() else 0
    return f"The connection broke after {have:,} bytes of {url}; ask again and the download goes on from there."


def _reach(url: str) -> None:
    """Raise LmamError where the server of `url` does not answer within a few seconds."""
    said: list[str] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE).close()
            said.append("")
        except urllib.error.HTTPError:  # it answers, whatever it says
            said.append("")
        except OSError as error:
            said.append(str(getattr(error, "reason", error)))

    # In a thread, because looking a name up has no time limit of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE + 1)
    if (reason := said[0] if said else "no answer") != "":
        raise LmamError(
            f"{urlsplit(url).hostname} cannot be reached ({reason}); go online, or name a folder with the original "
            "files in LMAM_SOURCES."
        )
