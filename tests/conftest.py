"""Shared pieces: a store in a temporary folder and the quickest experiment that goes the whole way."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from lmam_book import build as book
from lmam_core.data import catalogue
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.store import Store


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors gain nothing from threads, and several tests run beside each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _told_to_end() -> None:
    """What a test starts listens to every signal, also where the tests themselves were started by nohup or with `&`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def stage() -> Path:
    """The executed chapters that the book is built from; what is stale runs first."""
    book.build()
    return book.ROOT / "_build" / "stage" / "notebooks"


@pytest.fixture(scope="module")
def browser():
    """A Chromium; of a module, since while one is there no other event loop may run."""
    from playwright.sync_api import sync_playwright

    from tests.test_browser import ARGUMENTS, CHROMIUM

    if CHROMIUM is None:
        pytest.skip("no Chromium found")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def quick() -> Experiment:
    """One epoch of bc-LSTM with LMAM on a few generated conversations; under a second."""
    return Experiment(dataset="synthetic-iemocap", embedding="early", rank=4, epochs=1, dialogues=12)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real data say plainly why they are skipped; those of the built book come first.

    Of two workers the first then runs the chapters while the second has half of all tests, and neither waits.
    """
    items.sort(key=lambda item: "stage" not in item.fixturenames)
    absent = [file for name in ("mosi", "iemocap", "meld") for file in catalogue.absent(name)]
    for item in items:
        if item.get_closest_marker("real_data") and absent:
            item.add_marker(pytest.mark.skip(reason=f"LMAM_DATA does not hold {', '.join(absent)}"))
