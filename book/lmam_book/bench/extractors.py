"""`python -m lmam_book.bench.extractors`: the extractors' speed and memory, against plain loops and limits."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmam_core.features.encoders import tiny
from lmam_core.features.extract import EXTRACTORS, extract
from lmam_core.features.media import RATE
from lmam_core.features.sample.sample import write_mp4, write_wav
from lmam_core.features.sample.sentences import SENTENCES
from lmam_core.features.sample.voice import speak


def main() -> int:
    """Print every comparison with its target; returns 1 when one misses it, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=120, help="length of the long recording")
    minutes = parser.parse_args().minutes
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{_cores()} cores{load}, torch {torch.__version__} on {torch.get_num_threads()} threads\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = [_opensmile(Path(folder)), _text(Path(folder)), _cached(Path(folder)), _long(Path(folder), minutes)]
    return 0 if all(rows) else 1


def _seconds(program: Callable[[], Any]) -> float:
    started = time.perf_counter()
    program()
    return time.perf_counter() - started


def _line(what: str, value: float, unit: str, limit: float, above: bool = False) -> bool:
    met = value >= limit if above else value < limit
    wanted = f"{'at least' if above else 'under'} {limit:g}{'' if met else ': MISSED'}"
    print(f"  {what:58} {value:8.2f} {unit:3} ({wanted})", flush=True)
    return met


def _recordings(folder: Path, count: int, seconds: float = 4.0) -> list[Path]:
    """Voices of exactly `seconds`."""
    rng = np.random.default_rng(0)
    said = [s for group in SENTENCES.values() for s in group]
    files = []
    for k in range(count):
        sound = np.concatenate([speak(said[(k + j) % len(said)], "neutral", 100 + k, rng) for j in range(4)])
        files.append(folder / f"{k}.wav")
        write_wav(files[-1], np.resize(sound, round(seconds * RATE)))
    return files


def _opensmile(folder: Path) -> bool:
    files = _recordings(folder, 100)
    print("openSMILE, 100 utterances of 4 s")
    met = True
    for name in ("opensmile100", "is13_6373", "is10_1582", "egemaps88"):
        busy = time.process_time()
        spent = _seconds(lambda name=name: extract(name, files, cache=None, progress=False))
        busy = time.process_time() - busy
        met &= _line(f"{name} ({busy:.1f} s of CPU time in all threads)", spent, "s", 30)
    print()
    return met


def _text(folder: Path) -> bool:
    """Against a plain loop over length-sorted texts, in batches of the size that suits it best."""
    from transformers import BertConfig, BertModel

    from lmam_core.features.encoders.text import encoder, load
    from lmam_core.features.weights import find

    sizes = {"num_hidden_layers": 6, "num_attention_heads": 12, "hidden_size": 384, "intermediate_size": 1536}
    tokenizer = tiny.tokenizer()
    BertModel(BertConfig(vocab_size=30522, **sizes)).save_pretrained(folder / "minilm")
    tokenizer.save_pretrained(folder / "minilm")
    entry = EXTRACTORS["minilm384"]
    weights = find(entry, folder / "minilm")
    rng = np.random.default_rng(0)
    words = " ".join(s for group in SENTENCES.values() for s in group).split()
    texts = [" ".join(rng.choice(words, 1 + int(rng.gamma(2, 5)))) for _ in range(400)]
    tokenizer, model = load(entry, weights)
    encode = encoder(entry, weights)

    @torch.inference_mode()
    def plain(size: int) -> None:
        order = sorted(texts, key=len)
        for start in range(0, len(order), size):
            batch = tokenizer(order[start : start + size], padding=True, return_tensors="pt")
            states = model(**batch).last_hidden_state
            keep = batch["attention_mask"][..., None].float()
            torch.nn.functional.normalize((states * keep).sum(1) / keep.sum(1)).numpy()

    plain(32)  # warm-up
    times: dict[str, list[float]] = {}
    for size in (8, 16, 32, 64):
        times[f"plain loop, batch {size}"] = [_seconds(lambda size=size: plain(size))]
    best = min(times, key=lambda name: times[name][0])
    fastest = int(best.split()[-1])
    for _ in range(3):  # in turn, so that a busy machine is busy for both
        times[best].append(_seconds(lambda: plain(fastest)))
        times.setdefault("ours", []).append(_seconds(lambda: list(encode(texts, None))))
    print("Text, 400 utterances through MiniLM's shape (random weights)")
    for name, spent in times.items():
        print(f"  {name:58} {len(texts) / np.median(spent):8.0f} utterances/s")
    met = _line("ours / best plain loop", np.median(times[best]) / np.median(times["ours"]), "", 0.9, above=True)
    print()
    return met


def _cached(folder: Path) -> bool:
    files = [folder / f"{k}.wav" for k in range(100)]
    extract("egemaps88", files, cache=folder / "cache", progress=False)
    print("Again, out of the cache")
    spent = _seconds(lambda: extract("egemaps88", files, cache=folder / "cache", progress=False))
    met = _line("100 utterances, egemaps88", spent, "s", 1)
    print()
    return met


def _long(folder: Path, minutes: int) -> bool:
    """The peak of a fresh process for a long recording and for one of a minute: what the length adds must be small."""
    import soundfile

    minute = np.concatenate([np.resize(soundfile.read(f)[0], 4 * RATE) for f in sorted(folder.glob("?.wav"))] * 2)
    minute = np.resize(minute, 60 * RATE)
    rng = np.random.default_rng(0)
    for name, count in (("minute", 1), ("long", minutes)):
        with soundfile.SoundFile(folder / f"{name}.wav", "w", RATE, 1, "PCM_16") as out:
            for _ in range(count):
                out.write(minute)
        write_mp4(folder / f"{name}.mp4", (_scene(rng) for _ in range(300 * count)), None, fps=5)
    samples = minutes * 60 * RATE * 4 / 1e6
    print(f"A recording of {minutes} minutes ({samples:.0f} MB of samples, {minutes * 300} frames)")
    met = True
    for name, file in (("egemaps88", "wav"), ("cnn3d512", "mp4"), ("clip512", "mp4")):
        short = _peak(name, folder / f"minute.{file}")
        started = time.perf_counter()
        long = _peak(name, folder / f"long.{file}")
        print(f"  {name + ', peak for one minute':58} {short:8.0f} MB")
        met &= _line(f"{name}, peak ({time.perf_counter() - started:.0f} s)", long, "MB", short + 100)
    return met


def _scene(rng: np.random.Generator) -> np.ndarray:
    """A frame of coloured squares, uint8 (90, 160, 3)."""
    return rng.integers(0, 255, (9, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1)


def _peak(name: str, path: Path) -> float:
    """Megabytes of a fresh process that extracts one file."""
    code = (
        "import sys; from lmam_core.runs.peak_memory import PeakMemory; "
        "from lmam_core.features.extract import extract\n"
        "with PeakMemory() as memory:\n"
        "    found = extract(sys.argv[1], [sys.argv[2]], cache=None, progress=False)\n"
        "assert not found.failed, found.failed\nprint(memory.megabytes)"
    )
    done = subprocess.run([sys.executable, "-c", code, name, path], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
