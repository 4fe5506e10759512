"""A small generated sample, made once; nothing here may reach for the network."""

import pytest

from lmam_core.features import weights
from lmam_core.features.sample.sample import make_sample


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """The same on every machine: no hub, and no cache of its."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(weights, "hub", lambda extractor: None)


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The folder and the table of a sample of 32 utterances."""
    folder = tmp_path_factory.mktemp("sample")
    return folder, make_sample(folder, seed=1, dialogues=4, turns=8)
