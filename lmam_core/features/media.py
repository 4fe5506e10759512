"""Reading media through FFmpeg's libraries (PyAV), by the file's own clock, a block of sound or one frame at a time.

These functions decode in the process that calls them. `decoder_process` has the same two in a process of their own,
which is what extractors use: a library in C that meets a damaged file can end the process that it runs in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmam_core.limits import PICTURE_PIXELS as PIXELS
from lmam_core.limits import SOUND_CHANNELS as CHANNELS
from lmam_core.limits import SOUND_RATES as RATES
from lmam_core.limits import SOUND_SECONDS as LONGEST

if TYPE_CHECKING:
    import av

RATE = 16_000
"""Hz of all sound that leaves this module: what was recorded at another rate is resampled."""
BLOCK = 60.0
"""Seconds of sound that are in memory at a time."""
JUMP = 5.0
"""Seconds from the next frame to the one wanted, beyond which seeking is cheaper than decoding on."""
PREROLL = 0.25
"""Seconds before a span at which decoding starts, since a codec's first frame after a seek needs those before it."""
APART = 0.05
"""Seconds by which a timestamp must differ from where the sound before it ends to count as a gap or an overlap."""
SHORT = 1.0
"""Seconds that an MP4 may end before its header says; beyond, a part of the file is missing."""
ZEROED = 60.0
"""Seconds within which an MP4 or Matroska file begins whose clock starts at 0; later, it is a piece of a stream."""


class MediaError(Exception):
    """One item cannot be used; the sentence goes into `Extracted.failed` and the others go on."""


@dataclass(frozen=True)
class Media:
    """A file, or the seconds `start` to `end` of it; `end` None is its end."""

    path: Path
    start: float = 0.0
    end: float | None = None


def parse(item: str | Path) -> Media:
    """`talk.mp4`, or a media fragment of it: `#t=12.5,16`, `#t=12.5`, `#t=,16`, `#t=npt:12,16`, `#t=00:01:02,00:01:05`.

    Raises MediaError where that file is not there, or the span is none.
    """
    path, span = Path(item), ""
    if not path.exists() and "#t=" in str(item):
        name, _, span = str(item).rpartition("#t=")
        path = Path(name)
    if not path.is_file():
        raise MediaError(f"{path} is not a file; check the path.")
    if path == Path(item):
        return Media(path)
    begins, _, ends = span.removeprefix("npt:").partition(",")
    start, end = _seconds(begins or "0"), _seconds(ends) if ends else None
    if not begins + ends or start is None or (ends and end is None):
        raise MediaError(f"{item} does not name a time span; write #t=START,END in seconds, or as 00:01:02.5.")
    if end is not None and end <= start:
        raise MediaError(f"{item} ends before it starts; write #t=START,END in seconds.")
    return Media(path, start, end)


def _seconds(text: str) -> float | None:
    """`12.5`, `01:02.5` or `00:01:02.5` in seconds; None for anything else."""
    if not (match := re.fullmatch(r"(?:(?:(\d{1,4}):)?([0-5]?\d):)?(\d{1,9}(?:\.\d*)?)", text, re.ASCII)):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return None if match[2] and seconds >= 60 else 3600 * hours + 60 * minutes + seconds


def blocks(media: Media, seconds: float = BLOCK) -> Iterator[np.ndarray]:
    """The sound in blocks of at most `seconds`: float32 (n,), mono (the mean of all channels), 16 kHz, about -1..1.

    Samples lie where their timestamps say, and where there is none there is silence: before sound that starts late, in
    gaps, and as long as the pictures go on. Yields nothing where the whole file holds no sample. Raises MediaError for
    a file that cannot be decoded or has no sound stream, a span behind its end, and more than `LONGEST`.
    """
    size, wanted = round(seconds * RATE), None
    with _opened(media.path) as container:
        if not container.streams.audio:
            raise MediaError(f"{media.path.name} has no sound stream.")
        stream = container.streams.audio[0]
        _check_sound(media, stream)
        origin = _origin(container)
        shown = max((e for s in _pictures(container) if (e := _end(container, s, origin))), default=0.0)
        if media.end is not None:
            wanted, shown = round((media.end - media.start) * RATE), min(shown, media.end)
        pieces: list[np.ndarray] = []
        length = count = 0
        for piece in _placed(media, container, stream, origin + media.start, shown - media.start):
            piece = piece if wanted is None else piece[: wanted - count]
            pieces.append(piece)
            length, count = length + len(piece), count + len(piece)
            while length >= size:
                joined = np.concatenate(pieces)
                yield joined[:size]
                pieces, length = [joined[size:]], length - size
            if count == wanted:
                break
            if count > LONGEST * RATE:
                raise MediaError(f"{media.path.name} holds more than {LONGEST / 3600:g} hours of sound; cut it.")
        if not count and media.start:
            ends = _end(container, stream, origin)
            hint = "" if ends is None else f": it ends at {max(ends, shown):g} s"
            raise MediaError(f"{media.path.name} has no sound at {media.start:g} s{hint}.")
        if length:
            yield np.concatenate(pieces)


def _check_sound(media: Media, stream: av.AudioStream) -> None:
    """Raise MediaError for what no recording has, before anything is decoded."""
    _check_codec(media, stream)
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(f"{media.path.name} claims a sampling rate of {rate:,} Hz; convert it.")
    if channels > CHANNELS:
        raise MediaError(f"{media.path.name} has {channels} channels; at most {CHANNELS} can be read.")


def _check_codec(media: Media, stream: av.AudioStream | av.VideoStream) -> None:
    if stream.codec_context is None:
        raise MediaError(f"{media.path.name} cannot be decoded: {_UNKNOWN}; convert it to wav or mp4.")


def _placed(media: Media, container: Any, stream: av.AudioStream, at: float, until: float) -> Iterator[np.ndarray]:
    """Sound from second `at` of the file's clock on, each sample in its place, and silence up to `until` after `at`."""
    import av

    if at > PREROLL:
        with suppress(av.FFmpegError):  # what cannot be sought is decoded from its start
            container.seek(int((at - PREROLL) * av.time_base), backward=True)
    done = skip = 0  # samples that were yielded, and that are still to be dropped
    resampler, ends, setup = None, 0.0, None
    for frame in chain(container.decode(stream), [None]):  # None asks the resampler for what it still holds
        if frame is not None:
            time = ends if frame.time is None else frame.time
            this = frame.sample_rate, frame.layout.name, frame.format.name
        if frame is None or this != setup or abs(time - ends) > APART:
            for piece in _mono(resampler, None):
                done, skip, kept = _kept(piece, done, skip)
                yield kept
            if frame is None:
                break
            resampler, setup, ends = av.AudioResampler(format="flt", rate=RATE), this, time
            place = round((time - at) * RATE)
            skip = max(0, done - place)
            for silence in _silence(place - done):
                done += len(silence)
                yield silence
        ends += frame.samples / frame.sample_rate
        for piece in _mono(resampler, frame):
            done, skip, kept = _kept(piece, done, skip)
            yield kept
    _check_whole(media, container, stream, ends)
    yield from _silence(round(until * RATE) - done)


def _kept(piece: np.ndarray, done: int, skip: int) -> tuple[int, int, np.ndarray]:
    """The part of a piece that lies behind the first `skip` samples, with both counts brought up to date."""
    dropped = min(skip, len(piece))
    return done + len(piece) - dropped, skip - dropped, piece[dropped:]


def _mono(resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
    """What the resampler has for a frame, or at the end: the mean of all channels, float32 (n,)."""
    for out in [] if resampler is None else resampler.resample(frame):
        # Packed, because a frame has room for the addresses of 8 planes and NumPy would read beyond them. The mean,
        # because FFmpeg's own mixing down raises the level of equal channels by 3 dB.
        yield out.to_ndarray().reshape(-1, out.layout.nb_channels).mean(1, dtype=np.float32)


def _silence(samples: int) -> Iterator[np.ndarray]:
    """Zeros, in blocks; nothing for a negative number."""
    size = round(BLOCK * RATE)
    for start in range(0, samples, size):
        yield np.zeros(min(size, samples - start), np.float32)


def frames(media: Media, count: int) -> Iterator[np.ndarray]:
    """`count` frames at the middles of `count` equal spans of time: uint8 (height, width, 3), RGB, one at a time.

    At each of these times the frame is taken that is on screen: the last one that has appeared. A frame stays until
    the next one, and the last one until the file ends, its sound included. What lies far apart is sought, not decoded.
    Raises MediaError for a file that cannot be decoded, has no pictures (a cover image is none), and a span that lies
    before them or behind the end.
    """
    with _opened(media.path) as container:
        if not (streams := _pictures(container)):
            raise MediaError(f"{media.path.name} has no video stream.")
        stream, origin = streams[0], _origin(container)
        _check_codec(media, stream)
        if stream.width * stream.height > PIXELS:
            raise MediaError(f"{media.path.name} claims pictures of {stream.width:,} by {stream.height:,} pixels.")
        stream.thread_type = "AUTO"
        start, end = _shown(container, stream, origin, media)
        step = (end - start) / count
        shown, pictures = None, _timed(container, stream)
        ahead = next(pictures, None)
        for k in range(count):
            wanted = origin + start + (k + 0.5) * step
            if ahead is not None and wanted - ahead[0] > JUMP:
                pictures = _sought(container, stream, wanted)
                shown, ahead = None, next(pictures, None)
            while ahead is not None and ahead[0] <= wanted:
                shown, ahead = ahead, next(pictures, None)
            if ahead is None and shown is not None:
                _check_whole(media, container, stream, shown[0] + _at(stream, shown[1].duration))
            if (current := shown or ahead) is None:
                raise MediaError(f"{media.path.name} holds no video frame that can be decoded.")
            # Phones write pictures as the sensor lies and say how to turn them.
            picture = current[1].to_ndarray(format="rgb24")
            yield np.ascontiguousarray(np.rot90(picture, round(current[1].rotation / 90)))


def _shown(container: Any, stream: av.VideoStream, origin: float, media: Media) -> tuple[float, float]:
    """The seconds of the file's clock between which frames are wanted."""
    first = 0.0 if stream.start_time is None else max(0.0, _at(stream, stream.start_time) - origin)
    last = _end(container, stream, origin) or _counted(container, stream, origin)
    if not media.start and media.end is None:
        return first, last
    ends = max(last, *(_end(container, s, origin) or 0.0 for s in container.streams.audio), 0.0)
    if media.start >= ends:
        raise MediaError(f"{media.path.name} has no frame at {media.start:g} s: it ends at {ends:g} s.")
    if media.end is not None and media.end <= first:
        raise MediaError(f"{media.path.name} has no frame before {first:g} s.")
    return max(first, media.start), ends if media.end is None else min(ends, media.end)


def _check_whole(media: Media, container: Any, stream: av.AudioStream | av.VideoStream, ends: float) -> None:
    """Raise MediaError where a stream that was read to its last frame ends long before its header says.

    Asked of MP4 alone, whose header knows the length; that of an MP3, for one, is a guess from its first frames.
    """
    if stream.duration and "mp4" in container.format.name.split(","):
        claimed = _at(stream, (stream.start_time or 0) + stream.duration)
        if claimed - ends > SHORT:
            raise MediaError(f"{media.path.name} is cut off: its header promises {claimed:g} s; copy it again.")


def _timed(container: Any, stream: av.VideoStream) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decoded frames with the second of the file's clock at which each appears."""
    lasts = float(1 / (stream.average_rate or Fraction(25)))
    time = -lasts
    for frame in container.decode(stream):
        time = time + lasts if frame.time is None else frame.time
        yield time, frame


def _sought(container: Any, stream: av.VideoStream, wanted: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames from one that appears at or before `wanted`; from the first where seeking does not lead there."""
    import av

    with suppress(av.FFmpegError):
        container.seek(int(wanted / _at(stream, 1)), stream=stream, backward=True)
    pictures = _timed(container, stream)
    first = next(pictures, None)
    if first is None or first[0] > wanted:
        container.seek(stream.start_time or 0, stream=stream, backward=True)
        return _timed(container, stream)
    return chain([first], pictures)


def _pictures(container: Any) -> list[av.VideoStream]:
    """The video streams; a cover image is none."""
    import av

    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def _end(container: Any, stream: av.AudioStream | av.VideoStream, origin: float) -> float | None:
    """The second of the file's clock at which a stream ends, as the stream or else the container says."""
    import av

    if stream.duration:
        return _at(stream, (stream.start_time or 0) + stream.duration) - origin
    return container.duration / av.time_base if container.duration else None


def _at(stream: av.AudioStream | av.VideoStream, ticks: int) -> float:
    """A timestamp of a stream in seconds."""
    return float(ticks * (stream.time_base or 0))


def _counted(container: Any, stream: av.VideoStream, origin: float) -> float:
    """The second at which the pictures end, from the packets themselves."""
    lasts = float(1 / (stream.average_rate or Fraction(25)))
    packets = [packet for packet in container.demux(stream) if packet.size]
    times = [_at(stream, p.pts + (p.duration or 0)) - origin for p in packets if p.pts is not None]
    container.seek(0)
    return max(times, default=len(packets) * lasts)


def _origin(container: Any) -> float:
    """The second at which the file's own clock starts: 0 in MP4 and Matroska, the first timestamp in other formats.

    Their samples lie on a presentation's time line; a transport stream's begin anywhere.
    """
    import av

    start = (container.start_time or 0) / av.time_base
    dated = {"mp4", "matroska"} & set(container.format.name.split(","))
    return 0.0 if dated and abs(start) < ZEROED else start


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, opened; whatever FFmpeg says against it becomes one sentence."""
    import av

    try:
        with path.open("rb") as file:
            start = file.read(200).lstrip()
        if start.startswith(b"RIFX"):  # FFmpeg reads its header, and then its samples as if they were a RIFF's
            raise MediaError(f"{path.name} is a big-endian wav (RIFX), which cannot be read; convert it to wav.")
        if start.startswith(b"version https://git-lfs"):
            raise MediaError(f"{path.name} is a Git LFS pointer and not the recording; get that with `git lfs pull`.")
        if start.startswith(b"<"):
            raise MediaError(f"{path.name} is a web page and not the recording; download the file itself.")
        with av.open(str(path), metadata_errors="replace") as container:
            yield container
    except (av.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise MediaError(f"{path.name} cannot be decoded: {_reason(error)}; convert it to wav or mp4.") from None
    except OSError as error:
        raise MediaError(f"{path.name} cannot be read: {error.strerror}.") from None


_UNKNOWN = "FFmpeg has no decoder for what it holds"


def _reason(error: Exception) -> str:
    """What FFmpeg says, where it is meant for its developers in words of ours."""
    import av

    if isinstance(error, av.error.DecoderNotFoundError | av.error.PatchWelcomeError):
        return _UNKNOWN
    if isinstance(error, av.error.InvalidDataError | av.error.EOFError | av.error.PermissionError):
        return "it is damaged or not what its name says"
    if isinstance(error, av.error.ArgumentError):
        return "its header holds what FFmpeg does not take"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{text[:1].lower()}{text[1:]}".rstrip(".")
