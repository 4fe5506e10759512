"""Reading media: rates, channels, spans, long recordings in bounded memory, frames at the right seconds."""

import struct
from fractions import Fraction

import numpy as np
import pytest

from lmam_core.features import media
from lmam_core.features.extract import extract
from lmam_core.features.media import BLOCK, RATE, Media, MediaError, blocks, frames, parse
from lmam_core.features.sample.sample import write_mp4, write_wav

quiet = {"progress": False, "cache": None}


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def whole(path) -> np.ndarray:
    return np.concatenate([np.zeros(0), *blocks(parse(path))])


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 12345])
@pytest.mark.parametrize("channels", [1, 2, 6, 8, 24, 64])
def test_any_rate_and_any_number_of_channels(tmp_path, rate, channels):
    sound = tone(1.0, rate)
    write_wav(tmp_path / "a.wav", np.repeat(sound[:, None], channels, 1), rate)
    found = whole(tmp_path / "a.wav")
    assert found.dtype == np.float64 or found.dtype == np.float32
    assert len(found) == pytest.approx(RATE, abs=20)
    power = np.abs(np.fft.rfft(found))
    assert np.argmax(power) * RATE / len(found) == pytest.approx(440, abs=2)
    # Equal channels give the level of one: nothing is added up.
    assert np.sqrt(np.mean(found[2000:-2000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_stereo_is_the_mean_of_its_channels(tmp_path):
    left, right = tone(1, RATE, 300), tone(1, RATE, 1000)
    write_wav(tmp_path / "a.wav", np.stack([left, right], 1))
    np.testing.assert_allclose(whole(tmp_path / "a.wav"), (left + right) / 2, atol=1e-4)


def test_silence_is_sound(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(RATE))
    found = extract("acoustic96", [tmp_path / "a.wav"], **quiet)
    assert found.failed == {}
    assert np.isfinite(found.values).all()


def test_samples_that_are_not_numbers_are_named(tmp_path):
    import soundfile

    sound = tone(1, RATE)
    sound[500] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    assert "not numbers" in extract("acoustic96", [tmp_path / "a.wav"], **quiet).failed[0]


def test_spans_of_a_recording(tmp_path):
    """Each second has its own pitch; a span has exactly the pitches of its seconds, in any file format."""
    pitches = 200 + 100 * np.arange(12)
    sound = np.concatenate([tone(1, RATE, h) for h in pitches]).astype(np.float32)
    write_wav(tmp_path / "a.wav", sound)
    write_mp4(tmp_path / "a.mp4", None, sound)
    for name in ("a.wav", "a.mp4"):
        for start in (0, 3, 10):
            piece = whole(f"{tmp_path / name}#t={start},{start + 1}")
            assert len(piece) == RATE
            assert np.argmax(np.abs(np.fft.rfft(piece))) == pytest.approx(pitches[start], abs=2)
        assert len(whole(f"{tmp_path / name}#t=9.5")) == pytest.approx(2.5 * RATE, abs=1100)
    np.testing.assert_allclose(whole(f"{tmp_path / 'a.wav'}#t=2.25,2.75"), sound[36000:44000], atol=1e-4)


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("1.5,3", (1.5, 3.0)),
        ("1.5", (1.5, None)),
        (",3", (0.0, 3.0)),
        ("npt:1,2", (1.0, 2.0)),
        ("npt:,2.", (0.0, 2.0)),
        ("00:00:01,00:00:02", (1.0, 2.0)),
        ("npt:01:02.5,1:00:00", (62.5, 3600.0)),
        ("59,01:00", (59.0, 60.0)),
    ],
)
def test_the_notations_of_media_fragments(tmp_path, span, seconds):
    (tmp_path / "a.wav").touch()
    assert parse(f"{tmp_path / 'a.wav'}#t={span}") == Media(tmp_path / "a.wav", *seconds)


@pytest.mark.parametrize(
    "span",
    ["#t=5,5", "#t=5,2", "#t=1.2.3,4", "#t=", "#t=,", "#t=a", "#t=1,b", "#t=00:61,00:62", "#t=00:00:60", "#t=-1,2"],
)
def test_spans_that_are_none(tmp_path, span):
    write_wav(tmp_path / "a.wav", tone(1, RATE))
    with pytest.raises(MediaError, match="#t=START,END"):
        parse(f"{tmp_path / 'a.wav'}{span}")


def test_a_span_behind_the_end_fails_alone(tmp_path):
    write_mp4(tmp_path / "a.mp4", np.zeros((12, 32, 32, 3), np.uint8), tone(1, RATE).astype(np.float32))
    for name, what in (("acoustic96", "sound"), ("cnn3d512", "frame")):
        found = extract(name, [f"{tmp_path / 'a.mp4'}#t=20,24", tmp_path / "a.mp4"], **quiet)
        assert list(found.failed) == [0]
        assert f"a.mp4 has no {what} at 20 s: it ends at 1" in found.failed[0]


def test_a_file_whose_name_looks_like_a_span(tmp_path):
    path = tmp_path / "a#t=1,2"
    path.write_bytes(b"")
    assert parse(path) == Media(path)


def test_long_recordings_come_in_blocks(tmp_path):
    sound = np.concatenate([tone(90, 8000), 0.1 * tone(40, 8000, 900)])
    write_wav(tmp_path / "a.wav", sound, 8000)
    found = [len(b) / RATE for b in blocks(parse(tmp_path / "a.wav"))]
    assert found == pytest.approx([60, 60, 10], abs=0.01)
    assert BLOCK == 60


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """Arrays alive at a time: a few blocks, where the whole recording would be 38 MB."""
    import tracemalloc

    write_wav(tmp_path / "a.wav", np.tile(tone(1, RATE), 600))
    tracemalloc.start()
    count = sum(len(block) for block in blocks(parse(tmp_path / "a.wav")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 600 * RATE
    assert peak < 16e6


def test_functionals_of_a_long_recording_are_the_mean_of_its_windows(tmp_path):
    rng = np.random.default_rng(0)
    sound = np.concatenate([0.3 * rng.standard_normal(60 * RATE), 0.01 * rng.standard_normal(30 * RATE)])
    write_wav(tmp_path / "a.wav", np.clip(sound, -1, 1))
    path = str(tmp_path / "a.wav")
    long, first, second = extract("acoustic96", [path, f"{path}#t=0,60", f"{path}#t=60"], **quiet).values
    np.testing.assert_allclose(long, (2 * first + second) / 3, rtol=1e-3, atol=1e-3)
    assert not np.allclose(first, second, rtol=0.05)


def film(path, pictures=None, sound=()) -> None:
    """A film of grey `pictures` {second: grey} and of `sound` {second: samples}, each with the timestamps given."""
    import av

    with av.open(str(path), "w") as out:
        streams = []
        if pictures:
            video = out.add_stream("mpeg4", rate=1000)
            video.width = video.height = 32
            video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, 1000)
            streams.append(video)
        if sound:
            streams.append(audio := out.add_stream("aac", rate=RATE, layout="mono"))
        for at, grey in (pictures or {}).items():
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), grey, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            out.mux(video.encode(frame))
        for at, samples in dict(sound).items():
            for start in range(0, len(samples), 1024):
                piece = samples[None, start : start + 1024].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, round(at * RATE) + start, Fraction(1, RATE)
                out.mux(audio.encode(frame))
        for stream in streams:
            out.mux(stream.encode())


def loud(sound: np.ndarray) -> list[int]:
    """1 for each quarter of a second with sound, 0 for one of silence."""
    return [int(np.abs(sound[i : i + 4000]).mean() > 0.05) for i in range(0, len(sound) - 3999, 4000)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("pictures", [None, {t / 10: t for t in range(60)}])
def test_sound_that_starts_late_has_silence_before_it(tmp_path, suffix, pictures):
    path = tmp_path / f"a.{suffix}"
    film(path, pictures, {2.0: tone(2, RATE)})
    assert loud(whole(f"{path}#t=0,2")) == [0] * 8
    assert loud(whole(f"{path}#t=1.5,2.5")) == [0, 0, 1, 1]
    assert loud(whole(f"{path}#t=2,4")) == [1] * 8
    assert loud(whole(path))[:16] == [0] * 8 + [1] * 8
    # It is silent as long as the pictures go on, and no longer.
    if pictures:
        assert loud(whole(f"{path}#t=3.5,5")) == [1, 1, 0, 0, 0, 0]
        assert loud(whole(f"{path}#t=4.5,5")) == [0, 0]
        assert len(whole(path)) / RATE == pytest.approx(5.9, abs=0.1)
    else:
        with pytest.raises(MediaError, match=r"has no sound at 4\.5 s: it ends at 4"):
            whole(f"{path}#t=4.5,5")


def test_a_gap_in_the_sound_is_silence(tmp_path):
    film(tmp_path / "a.mkv", None, {0: tone(1, RATE), 2: tone(1, RATE)})
    assert loud(whole(tmp_path / "a.mkv"))[:12] == [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert loud(whole(f"{tmp_path / 'a.mkv'}#t=0.5,2.5")) == [1, 1, 0, 0, 0, 0, 1, 1]


def test_a_transport_streams_clock_starts_with_it(tmp_path):
    film(tmp_path / "a.ts", None, {100.0: np.concatenate([np.zeros(RATE), tone(1, RATE)])})
    assert loud(whole(f"{tmp_path / 'a.ts'}#t=0.5,1.5")) == [0, 0, 1, 1]


def grey(item, count=1) -> list[float]:
    return [float(picture.mean()) for picture in frames(parse(item), count)]


def test_the_frame_that_is_on_screen(tmp_path):
    """Frames 0.2 to 5 s apart: what was asked for is the time and not the number of a frame."""
    path = tmp_path / "a.mp4"
    film(path, {0: 10, 0.2: 50, 0.4: 90, 4: 130, 9: 170, 9.5: 210, 9.9: 250})
    for span, expected in (
        ("0.5,3.9", [90] * 4),
        ("4,9", [130] * 4),
        ("8,9.2", [130, 130, 130, 170]),
        ("9,9.5", [170] * 4),
        ("0,0.4", [10, 10, 50, 50]),
    ):
        assert grey(f"{path}#t={span}", 4) == pytest.approx(expected, abs=4)
    assert grey(path, 5) == pytest.approx([90, 90, 130, 130, 130], abs=4)
    for span in ("20,24", "9.95"):
        with pytest.raises(MediaError, match=r"has no frame at .* s: it ends at 9\.9"):
            grey(f"{path}#t={span}")


def test_a_picture_that_stays(tmp_path):
    """As long as the sound goes on, in a film of one picture, and until the next one where it stays for minutes."""
    film(tmp_path / "a.mp4", {0: 100}, {0: tone(6, RATE)})
    assert grey(f"{tmp_path / 'a.mp4'}#t=4,5") == pytest.approx([100], abs=4)
    with pytest.raises(MediaError, match=r"has no frame at 7 s: it ends at 6"):
        grey(f"{tmp_path / 'a.mp4'}#t=7,8")
    film(tmp_path / "b.mp4", {0: 40, 300: 200, 301: 220})
    assert grey(tmp_path / "b.mp4", 3) == pytest.approx([40] * 3, abs=4)
    assert grey(f"{tmp_path / 'b.mp4'}#t=299,301", 2) == pytest.approx([40, 200], abs=4)


def test_pictures_too_large_to_hold_are_not_decoded(tmp_path, monkeypatch):
    film(tmp_path / "a.mp4", {0: 100})
    monkeypatch.setattr(media, "PIXELS", 32 * 32 - 1)
    with pytest.raises(MediaError, match=r"a\.mp4 claims pictures of 32 by 32 pixels"):
        grey(tmp_path / "a.mp4")


def test_pictures_that_start_late(tmp_path):
    film(tmp_path / "a.mp4", {2: 100, 3: 200}, {0: tone(5, RATE)})
    assert grey(f"{tmp_path / 'a.mp4'}#t=1,4", 2) == pytest.approx([100, 200], abs=4)
    with pytest.raises(MediaError, match="has no frame before 2 s"):
        grey(f"{tmp_path / 'a.mp4'}#t=0,1")


def test_half_a_film_is_no_still(tmp_path):
    """A header that stands in front promises what was not copied: no last frame and no silence take its place."""
    import av

    with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": "faststart"}) as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono")
        rng = np.random.default_rng(0)
        for k in range(200):
            out.mux(video.encode(av.VideoFrame.from_ndarray(rng.integers(0, 255, (64, 64, 3), np.uint8))))
            frame = av.AudioFrame.from_ndarray(np.float32(tone(0.1, RATE)[None]), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, k * RATE // 10
            out.mux(audio.encode(frame))
        out.mux(video.encode())
        out.mux(audio.encode())
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(content[: len(content) // 2])
    for span in ("", "#t=15,16"):
        with pytest.raises(MediaError, match=r"half\.mp4 is cut off: its header promises 20 s"):
            grey(f"{tmp_path / 'half.mp4'}{span}", 4)
        with pytest.raises(MediaError, match=r"half\.mp4 (is cut off|cannot be decoded)"):
            whole(f"{tmp_path / 'half.mp4'}{span}")
    assert len(grey(f"{tmp_path / 'half.mp4'}#t=2,4", 4)) == 4
    assert loud(whole(f"{tmp_path / 'half.mp4'}#t=2,3")) == [1] * 4


def raw_wav(path, rate=RATE, channels=1, bits=16, tag=1, claims=None, riff=b"RIFF", order="<") -> None:
    """A second of a tone, 16 bits a sample, under a header that says what it is told to."""
    data = (16000 * tone(1, RATE)).astype(f"{order}i2").tobytes()
    width = channels * bits // 8
    about = struct.pack(f"{order}HHIIHH", tag, channels, rate, rate * width % 2**32, width % 2**16, bits)
    sizes = [struct.pack(f"{order}I", n) for n in (36 + len(data), len(about), len(data) if claims is None else claims)]
    path.write_bytes(riff + sizes[0] + b"WAVEfmt " + sizes[1] + about + b"data" + sizes[2] + data)


def test_a_wav_that_was_not_copied_to_its_end_is_named(tmp_path):
    raw_wav(tmp_path / "a.wav")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError, match=r"half\.wav is cut off: its header promises 1 s"):
        whole(tmp_path / "half.wav")
    assert len(whole(f"{tmp_path / 'half.wav'}#t=0.1,0.3")) == pytest.approx(0.2 * RATE, abs=20)
    (tmp_path / "odd.wav").write_bytes(content[:-2])  # a writer that miscounts by a sample
    assert len(whole(tmp_path / "odd.wav")) == pytest.approx(RATE, abs=20)
    for claims in (0, 0x7FFFF000, 0xFFFFFFFF):  # written into a pipe
        raw_wav(tmp_path / "pipe.wav", claims=claims)
        assert len(whole(tmp_path / "pipe.wav")) == pytest.approx(RATE, abs=20)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"rate": 0}, "cannot be decoded"),
        ({"rate": 1}, "claims a sampling rate of 1 Hz"),
        ({"rate": 1000}, "claims a sampling rate of 1,000 Hz"),
        ({"rate": 2_000_000_000}, "claims a sampling rate of 2,000,000,000 Hz"),
        ({"rate": 2**32 - 1}, "cannot be decoded"),
        ({"channels": 0}, "its header holds what FFmpeg does not take"),
        ({"channels": 65}, "has 65 channels; at most 64"),
        ({"channels": 1000}, "cannot be decoded"),
        ({"channels": 65535}, "cannot be decoded"),
        *(({"bits": bits}, "FFmpeg has no decoder for what it holds") for bits in (0, 36, 45, 53, 65535)),
        ({"tag": 0}, "FFmpeg has no decoder"),
        ({"tag": 0x55}, "it is damaged or not what its name says"),
        ({"tag": 0x1234}, "FFmpeg has no decoder"),
        ({"riff": b"RIFX", "order": ">"}, r"big-endian wav \(RIFX\)"),
        ({"riff": b"RF64"}, "cannot be decoded"),
        ({"claims": 0}, None),
        ({"claims": 2**32 - 1}, None),
    ],
)
def test_headers_that_are_wrong(tmp_path, header, sentence):
    """A wav that claims 1 Hz would become 256 million samples, a RIFX wav noise, a wav of 0 channels a crash."""
    raw_wav(tmp_path / "a.wav", **header)
    if sentence is None:
        assert loud(whole(tmp_path / "a.wav")) == [1] * 4
        return
    with pytest.raises(MediaError, match=sentence) as told:
        whole(tmp_path / "a.wav")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html>", "is a web page"),
    ],
)
def test_a_download_that_is_no_recording(tmp_path, content, sentence):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(MediaError, match=sentence):
        whole(tmp_path / "a.wav")


def test_tags_in_another_encoding_do_no_harm(tmp_path):
    """A wav whose title is in Windows-1252."""
    raw_wav(tmp_path / "a.wav")
    tag = b"INFOINAM\x06\x00\x00\x00caf\xe9\x92\x00"
    content = (tmp_path / "a.wav").read_bytes() + b"LIST" + struct.pack("<I", len(tag)) + tag
    (tmp_path / "a.wav").write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    assert loud(whole(tmp_path / "a.wav"))[:4] == [1] * 4


def test_sound_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "LONGEST", 3.0)
    write_wav(tmp_path / "a.wav", np.tile(tone(1, RATE), 5))
    with pytest.raises(MediaError, match="hours of sound"):
        for _ in blocks(parse(tmp_path / "a.wav"), 1):
            pass
    assert len(whole(f"{tmp_path / 'a.wav'}#t=1,3")) == 2 * RATE
    film(tmp_path / "b.mkv", None, {0: tone(1, RATE), 40_000: tone(1, RATE)})
    monkeypatch.undo()
    with pytest.raises(MediaError, match="holds more than 4 hours of sound"):
        for _ in blocks(parse(tmp_path / "b.mkv")):
            pass


def counted(seconds: int, fps: int) -> np.ndarray:
    """A video whose grey tells the time: it starts at black and ends at white."""
    grey = np.linspace(0, 255, seconds * fps).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (len(grey), 32, 32, 3))


@pytest.mark.parametrize("seconds", [2, 60])
def test_frames_are_those_of_their_seconds(tmp_path, seconds):
    """In the short video frames are decoded one after the other, in the long one they are sought."""
    write_mp4(tmp_path / "a.mp4", counted(seconds, 10), None, fps=10)
    found = [p.mean() for p in frames(parse(tmp_path / "a.mp4"), 8)]
    assert found == pytest.approx(list(255 * (np.arange(8) + 0.5) / 8), abs=12)
    part = [p.mean() for p in frames(parse(f"{tmp_path / 'a.mp4'}#t={seconds / 2},{seconds}"), 4)]
    assert part == pytest.approx(list(127.5 + 127.5 * (np.arange(4) + 0.5) / 4), abs=12)


def test_seeking_leaves_most_of_a_long_video_undecoded(tmp_path, monkeypatch):
    write_mp4(tmp_path / "a.mp4", counted(120, 10), None, fps=10)
    decoded, real = [], media._timed

    def counting(*given):
        for shown in real(*given):
            decoded.append(shown[0])
            yield shown

    monkeypatch.setattr(media, "_timed", counting)
    assert len(list(frames(parse(tmp_path / "a.mp4"), 8))) == 8
    assert len(decoded) < 1200 / 4


def test_a_video_with_fewer_frames_gives_some_again(tmp_path):
    pictures = np.stack([np.full((32, 32, 3), v, np.uint8) for v in (40, 200)])
    write_mp4(tmp_path / "a.mp4", pictures, None, fps=2)
    found = [p.mean() for p in frames(parse(tmp_path / "a.mp4"), 8)]
    assert found == pytest.approx([40] * 4 + [200] * 4, abs=8)
    assert np.isfinite(extract("cnn3d512", [tmp_path / "a.mp4"], **quiet).values).all()


def test_a_cover_image_is_no_video(tmp_path):
    """Music files carry one; it is not what the speaker looked like."""
    import av

    with av.open(str(tmp_path / "b.mp4"), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in [*cover.encode(picture), *cover.encode()]:
            out.mux(packet)
    with pytest.raises(MediaError, match="no video stream"):
        list(frames(parse(tmp_path / "b.mp4"), 2))


def test_a_turned_video_is_turned_back(tmp_path):
    """A phone held upright: the file says that its pictures are to be turned by 90 degrees clockwise."""
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, 32:] = 255  # dark on the left, which is the top once turned
    write_mp4(tmp_path / "a.mp4", [picture] * 4, None)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    turned = (0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in turned)
    (tmp_path / "a.mp4").write_bytes(content)
    (found,) = frames(parse(tmp_path / "a.mp4"), 1)
    assert found.shape == (64, 32, 3)
    assert found[:28].mean() < 30 < 225 < found[36:].mean()
    assert np.isfinite(extract("cnn3d512", [tmp_path / "a.mp4"], **quiet).values).all()
