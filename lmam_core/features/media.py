"""Reading media through FFmpeg's libraries (PyAV), never more than a block of sound or one frame at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

RATE = 16_000
"""Hz of all sound that leaves this module: what was recorded at another rate is resampled."""
BLOCK = 60.0
"""Seconds of sound that are in memory at a time."""
JUMP = 5.0
"""Seconds from the current frame to the next one wanted, beyond which seeking is cheaper than decoding on."""


class MediaError(Exception):
    """One item cannot be used; the sentence goes into `Extracted.failed` and the others go on."""


@dataclass(frozen=True)
class Media:
    """A file, or the seconds `start` to `end` of it; `end` None is its end."""

    path: Path
    start: float = 0.0
    end: float | None = None


def parse(item: str | Path) -> Media:
    """`talk.mp4` or `talk.mp4#t=12.5,16` (a media fragment, in s); raises MediaError where that file is not there."""
    path, span = Path(item), None
    if not path.exists() and (span := re.fullmatch(r"(.+)#t=([\d.]*)(?:,([\d.]+))?", str(item))):
        path = Path(span[1])
    if not path.is_file():
        raise MediaError(f"{path} is not a file; check the path.")
    try:
        start, end = (float(span[2] or 0), float(span[3]) if span[3] else None) if span else (0.0, None)
    except ValueError:
        raise MediaError(f"{item} does not name a time span; write #t=START,END in seconds.") from None
    if end is not None and end <= start:
        raise MediaError(f"{item} ends before it starts; write #t=START,END in seconds.")
    return Media(path, start, end)


def blocks(media: Media, seconds: float = BLOCK) -> Iterator[np.ndarray]:
    """The sound in blocks of at most `seconds`: float32 (n,), mono (the mean of all channels), 16 kHz, about -1..1.

    Raises MediaError for a file that cannot be decoded or has no sound stream; yields nothing where it holds no sample.
    """
    import av

    size = round(seconds * RATE)
    with _opened(media.path) as container:
        if not container.streams.audio:
            raise MediaError(f"{media.path.name} has no sound stream.")
        stream = container.streams.audio[0]
        at = _origin(container) + media.start
        if media.start:
            container.seek(int(at * av.time_base), backward=True)
        left = None if media.end is None else round((media.end - media.start) * RATE)
        held, length, count = [], 0, 0
        for piece in _mono(container, stream, at):
            piece = piece if left is None else piece[: left - count]
            held.append(piece)
            length, count = length + len(piece), count + len(piece)
            while length >= size:
                joined = np.concatenate(held)
                yield joined[:size]
                held, length = [joined[size:]], length - size
            if count == left:
                break
        if length:
            yield np.concatenate(held)


def _mono(container, stream, at: float) -> Iterator[np.ndarray]:
    """Decoded sound from second `at` on, frame by frame."""
    import av

    resampler, skip = av.AudioResampler(format="fltp", rate=RATE), None
    for frame in _then_flush(container.decode(stream)):
        if skip is None:
            skip = max(0, round((at - (frame.time or 0.0)) * RATE))
        for out in resampler.resample(frame):
            # The mean, since FFmpeg's own mixing down raises the level of equal channels by 3 dB.
            piece = out.to_ndarray().mean(0).astype(np.float32)
            dropped = min(skip, len(piece))
            skip -= dropped
            if len(piece) > dropped:
                yield piece[dropped:]


def _then_flush(frames: Iterator) -> Iterator:
    """The frames, then None, which asks the resampler for what it still holds; nothing for no frame."""
    last = None
    for last in frames:
        yield last
    if last is not None:
        yield None


def frames(media: Media, count: int) -> Iterator[np.ndarray]:
    """`count` frames at the middles of `count` equal spans of time: uint8 (height, width, 3), RGB, one at a time.

    A video with fewer frames gives some of them more than once. What lies far apart is sought, not decoded. Raises
    MediaError for a file that cannot be decoded, has no pictures (a cover image is none) or ends before the span.
    """
    import av

    with _opened(media.path) as container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise MediaError(f"{media.path.name} has no video stream.")
        stream, origin = streams[0], _origin(container)
        stream.thread_type = "AUTO"
        end = _duration(container, stream, media)
        if media.end is not None:
            end = min(end, media.end)
        if media.start > end:
            raise MediaError(f"{media.path.name} has no frame at {media.start:g} s: it ends at {end:g} s.")
        step = (end - media.start) / count
        pictures, shown = _timed(container, stream), None
        for k in range(count):
            wanted = origin + media.start + (k + 0.5) * step
            if wanted - (origin if shown is None else shown[0]) > JUMP:
                container.seek(int(wanted * av.time_base), backward=True)
                pictures = _timed(container, stream)
            while shown is None or shown[0] + shown[2] <= wanted:
                if (following := next(pictures, None)) is None:
                    break
                shown = following
            if shown is None:
                raise MediaError(f"{media.path.name} holds no video frame that can be decoded.")
            # Phones write pictures as the sensor lies and say how to turn them.
            yield np.rot90(shown[1].to_ndarray(format="rgb24"), round(shown[1].rotation / 90))


def _timed(container, stream) -> Iterator[tuple[float, object, float]]:
    """Decoded frames with the second at which each appears and how long it stays."""
    lasts = float(1 / (stream.average_rate or Fraction(25)))
    time = -lasts
    for frame in container.decode(stream):
        time = time + lasts if frame.time is None else frame.time
        yield time, frame, lasts


def _duration(container, stream, media: Media) -> float:
    """Seconds of video, as the container says, or counted in packets where it does not."""
    import av

    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return container.duration / av.time_base
    packets = sum(packet.size > 0 for packet in container.demux(stream))
    container.seek(0)
    return float(packets / (stream.average_rate or 25))


def _origin(container) -> float:
    """The second at which the file's own clock starts."""
    import av

    return (container.start_time or 0) / av.time_base


@contextmanager
def _opened(path: Path):
    """The file, opened; whatever FFmpeg says against it becomes one sentence."""
    import av

    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, ValueError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{path.name} cannot be decoded: {reason[:1].lower()}{reason[1:]}.") from None
