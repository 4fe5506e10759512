"""Reading media: rates, channels, spans, long recordings in bounded memory, frames at the right seconds."""

import numpy as np
import pytest

from lmam_core.features.extract import extract
from lmam_core.features.media import BLOCK, RATE, Media, MediaError, blocks, frames, parse
from lmam_core.features.sample.sample import write_mp4, write_wav

quiet = {"progress": False, "cache": None}


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def whole(path) -> np.ndarray:
    return np.concatenate([np.zeros(0), *blocks(parse(path))])


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 12345])
@pytest.mark.parametrize("channels", [1, 2, 6])
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
    for name in ("egemaps88", "opensmile100", "is10_1582"):
        found = extract(name, [tmp_path / "a.wav"], **quiet)
        assert found.failed == {}
        assert np.isfinite(found.values).all()


def test_samples_that_are_not_numbers_are_named(tmp_path):
    import soundfile

    sound = tone(1, RATE)
    sound[500] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    assert "not numbers" in extract("egemaps88", [tmp_path / "a.wav"], **quiet).failed[0]


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


@pytest.mark.parametrize("span", ["#t=5,5", "#t=5,2", "#t=1.2.3,4"])
def test_spans_that_are_none(tmp_path, span):
    write_wav(tmp_path / "a.wav", tone(1, RATE))
    with pytest.raises(MediaError, match="#t=START,END"):
        parse(f"{tmp_path / 'a.wav'}{span}")


def test_a_span_behind_the_end_fails_alone(tmp_path):
    write_mp4(tmp_path / "a.mp4", np.zeros((12, 32, 32, 3), np.uint8), tone(1, RATE).astype(np.float32))
    for name in ("egemaps88", "cnn3d512"):
        found = extract(name, [f"{tmp_path / 'a.mp4'}#t=20,24", tmp_path / "a.mp4"], **quiet)
        assert list(found.failed) == [0]
        assert "a.mp4" in found.failed[0]


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
    long, first, second = extract("egemaps88", [path, f"{path}#t=0,60", f"{path}#t=60"], **quiet).values
    np.testing.assert_allclose(long, (2 * first + second) / 3, rtol=1e-3, atol=1e-3)
    assert not np.allclose(first, second, rtol=0.05)


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
    from lmam_core.features import media

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
