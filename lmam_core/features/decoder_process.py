"""Decoding in a process of its own: a file that ends a decoder, or stops it, costs its own item and nothing else."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import IO, Any, Self

import numpy as np

from lmam_core import paths
from lmam_core.features import media as inline
from lmam_core.features.media import Media, MediaError
from lmam_core.limits import DECODE_SECONDS as PATIENCE


class Decoders:
    """Child processes that decode, started when they are needed and ended with the `with` block; for any threads."""

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._idle:
            _end(child)
        self._idle.clear()

    def blocks(self, media: Media, seconds: float = inline.BLOCK) -> Iterator[np.ndarray]:
        """As `media.blocks`; raises MediaError also where the decoder dies or takes too long."""
        return self._answers("blocks", media, seconds)

    def frames(self, media: Media, count: int) -> Iterator[np.ndarray]:
        """As `media.frames`; raises MediaError also where the decoder dies or takes too long."""
        return self._answers("frames", media, count)

    def _answers(self, way: str, media: Media, number: float) -> Iterator[np.ndarray]:
        child = self._idle.pop() if self._idle else _start()
        whole = False
        try:
            _send(child.stdin, [way, str(media.path), media.start, media.end, number])
            while True:
                head, content = _answer(child, media)
                if "shape" not in head:
                    whole = True
                    if "error" in head:
                        raise MediaError(head["error"])
                    return
                yield np.frombuffer(content, head["dtype"]).reshape(head["shape"])
        except BrokenPipeError:
            raise _died(child, media) from None
        finally:
            if whole:
                self._idle.append(child)
            else:
                child.kill()
                _end(child)


def _start() -> subprocess.Popen[bytes]:
    """A child that waits for its first file; it ends when its input does, so that none outlives us."""
    path = [str(paths.SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        start_new_session=True,  # Ctrl-C is ours to answer
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.communicate()


def _send(stream: IO[bytes] | None, head: Any, content: bytes | memoryview = b"") -> None:
    assert stream is not None
    stream.write(json.dumps(head).encode() + b"\n")
    stream.write(content)
    stream.flush()


def _answer(child: subprocess.Popen[bytes], media: Media) -> tuple[dict[str, Any], bytes]:
    """The next array, error or end; raises MediaError where none comes."""
    assert child.stdout is not None
    late = Timer(PATIENCE, child.kill)
    late.daemon = True
    late.start()
    try:
        head = json.loads(child.stdout.readline() or "null")
        size = math.prod(head["shape"]) * np.dtype(head["dtype"]).itemsize if head and "shape" in head else 0
        content = child.stdout.read(size)
    finally:
        killed = late.finished.is_set()
        late.cancel()
    if head is None or len(content) < size:
        raise _died(child, media, killed)
    return head, content


def _died(child: subprocess.Popen[bytes], media: Media, killed: bool = False) -> MediaError:
    code = child.wait()
    if killed:
        return MediaError(f"{media.path.name} was given up: a piece of it took more than {PATIENCE:g} s to decode.")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return MediaError(f"{media.path.name} ends the decoder ({how}); convert it to wav or mp4.")


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """The child: a line for each file, answered by its arrays and a last line, an error if there was one."""
    for line in requests:
        way, path, start, end, number = json.loads(line)
        media, last = Media(Path(path), start, end), {}
        try:
            for array in (inline.blocks if way == "blocks" else inline.frames)(media, number):
                _send(answers, {"shape": array.shape, "dtype": str(array.dtype)}, np.ascontiguousarray(array).data)
        except MediaError as error:
            last = {"error": str(error)}
        except MemoryError:
            last = {"error": f"{media.path.name} needs more memory than there is."}
        _send(answers, last)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        _serve(sys.stdin.buffer, answers)
    except BrokenPipeError:  # nobody listens any more
        os._exit(0)
