"""What `lmam data fetch` made is taken: other bytes with the recorded arrays, and embeddings computed elsewhere."""

import numpy as np
import pytest

from lmam_core.data import catalogue
from lmam_core.data.fetching import gather
from lmam_core.data.fetching.recipe import write
from lmam_core.errors import LmamError

pytestmark = pytest.mark.real_data


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Writes mosi.npz with arrays changed, where the catalogue finds it first."""

    def write(change):
        with np.load(catalogue._find("mosi.npz")) as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez(tmp_path / "mosi.npz", **arrays)
        monkeypatch.setenv("LMAM_DATA", str(tmp_path))

    return write


def test_same_arrays_in_other_bytes(changed):
    changed(lambda arrays: None)
    assert catalogue.load("mosi").sha256 == catalogue.fingerprint("mosi")


def test_close_embedding_is_told_from_the_recorded_one(changed):
    changed(lambda arrays: arrays.update(text_minilm384=arrays["text_minilm384"] + np.float32(1e-6)))
    assert catalogue.load("mosi").sha256 != catalogue.fingerprint("mosi")


def test_missing_embedding_is_named_only_where_it_is_wanted(changed):
    changed(lambda arrays: arrays.pop("text_minilm384"))
    with pytest.raises(LmamError, match=r"was gathered without minilm384, .* choose other text features of .*cnn100"):
        catalogue.load("mosi")
    assert catalogue.load("mosi", {"text": "cnn100"}).sha256 == catalogue.fingerprint("mosi")


def test_additional_file_of_the_measures_alone(tmp_path, monkeypatch):
    """`lmam data fetch meld` makes less than the recorded file holds; what a dataset reads of it is the same."""
    whole = catalogue.load("meld")
    with np.load(catalogue._find("meld_extra.npz")) as stored:
        arrays = {name: stored[name] for name in gather.RECIPES["meld"].extra.sha256}
    write(tmp_path / "meld_extra.npz", arrays)
    (tmp_path / "meld.npz").symlink_to(catalogue._find("meld.npz"))
    monkeypatch.setenv("LMAM_DATA", str(tmp_path))
    again = catalogue.load("meld")
    assert again.sha256 == whole.sha256
    np.testing.assert_array_equal(again.splits["test"][3].features["audio"], whole.splits["test"][3].features["audio"])
    arrays["audio_praat8"][0, 0] += 1
    write(tmp_path / "meld_extra.npz", arrays)
    with pytest.raises(LmamError, match=r"meld_extra\.npz is not the file that the catalogue describes"):
        catalogue.load("meld")


def test_changed_label_is_refused(changed):
    changed(lambda arrays: arrays.update(label=arrays["label"] + 1))
    with pytest.raises(LmamError, match="is not the file that the catalogue describes"):
        catalogue.load("mosi")
