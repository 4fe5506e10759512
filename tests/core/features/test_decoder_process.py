"""Decoding in a process of its own: the same arrays, and a decoder that dies or stops costs one file."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from lmam_core.features import decoder_process
from lmam_core.features.decoder_process import Decoders
from lmam_core.features.extract import extract
from lmam_core.features.media import RATE, MediaError, blocks, frames, parse
from lmam_core.features.sample.sample import write_mp4, write_wav


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Three minutes of noise, so that its decoder still has work when its first block is there."""
    path = tmp_path_factory.mktemp("media") / "long.wav"
    write_wav(path, np.random.default_rng(0).uniform(-0.5, 0.5, 180 * RATE))
    return path


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if decoder_process.__name__ in " ".join(p.cmdline())]


def test_the_same_arrays_as_in_this_process(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (24, 48, 64, 3), np.uint8)
    write_mp4(tmp_path / "ä #t=1.mp4", pictures, np.float32(np.linspace(-0.5, 0.5, 2 * RATE)))
    item = parse(f"{tmp_path / 'ä #t=1.mp4'}#t=0.5,1.5")
    with Decoders() as decoders:
        for ours, theirs in (
            (decoders.blocks(item, 0.3), blocks(item, 0.3)),
            (decoders.frames(item, 3), frames(item, 3)),
        ):
            for a, b in zip(ours, theirs, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)
        assert len(children()) == 1, "one decoder takes one file after the other"
        (tmp_path / "b.wav").write_bytes(b"RIFF")
        with pytest.raises(MediaError, match="cannot be decoded"):
            next(decoders.blocks(parse(tmp_path / "b.wav")))
        assert len(children()) == 1
    assert children() == []


def test_a_decoder_that_dies_costs_its_file_alone(long):
    with Decoders() as decoders:
        reading = decoders.blocks(parse(long))
        next(reading)
        (child,) = children()
        child.send_signal(signal.SIGSEGV)
        with pytest.raises(MediaError, match=r"long\.wav ends the decoder \(SIGSEGV\)"):
            list(reading)
        assert sum(map(len, decoders.blocks(parse(f"{long}#t=1,2")))) == RATE


def test_a_decoder_that_stops_is_given_up(long, monkeypatch):
    with Decoders() as decoders:
        reading = decoders.blocks(parse(long), 10)
        next(reading)
        (child,) = children()
        child.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(decoder_process, "PATIENCE", 0.3)
        with pytest.raises(MediaError, match=r"long\.wav was given up: a piece of it took more than 0\.3 s"):
            list(reading)
        assert children() == []


def test_a_reader_that_loses_interest_leaves_no_decoder(long):
    with Decoders() as decoders:
        reading = decoders.blocks(parse(long))
        next(reading)
        reading.close()
        assert children() == []


def test_extraction_leaves_no_decoder(long):
    found = extract("acoustic96", [f"{long}#t=0,1", f"{long}#t=1,2"], cache=None, progress=False)
    assert found.failed == {}
    assert children() == []


def test_no_decoder_outlives_a_killed_process(long):
    program = (
        "import os, sys, time\n"
        "from lmam_core.features.decoder_process import Decoders\n"
        "from lmam_core.features.media import parse\n"
        "reading = Decoders().blocks(parse(sys.argv[1]))\n"
        "next(reading)\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, long], stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


def test_modules_of_the_working_folder_are_not_imported(long, tmp_path, monkeypatch):
    """A `numpy.py` or `av.py` beside the recordings is not ours."""
    for name in ("av", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with Decoders() as decoders:
        assert sum(map(len, decoders.blocks(parse(f"{long}#t=1,2")))) == RATE
    assert not os.path.exists(tmp_path / "ran")


def test_waiting_for_a_first_answer_is_short(long):
    started = time.perf_counter()
    with Decoders() as decoders:
        next(decoders.blocks(parse(f"{long}#t=1,2")))
    assert time.perf_counter() - started < 10
