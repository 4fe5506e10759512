"""The spectra of trained weights: what the tables hold, that they go on, and that the committed ones are whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lmam_book.bench import spectra, spectrum
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import build, prepared, run
from lmam_core.runs.store import Store

SMALL = dict(embedding="late", dialogues=6, epochs=2, batch_size=3, modalities=("text", "audio"), learning_rate=3e-3)
ARMS = [Experiment(rank=5, **SMALL).resolved(), Experiment(readings="weight=full", **SMALL).resolved()]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> Store:
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(spectra, "experiments", lambda store: ARMS)
    return store


def test_the_weights_of_a_run_before_after_and_cut(tables: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    spectra.measure(tables)
    found, cut = spectra.table(), spectra.cuts_table()
    assert len(found) == len(ARMS) * 2 * 3  # modalities, kinds
    low = found[found.arm == "rank 5"].set_index(["modality", "kind"])
    assert (low.effective_rank <= 10).all()  # a change of U V^T moves both factors
    assert (low.drop("change", level="kind").energy_rank <= 5).all()
    start = build(ARMS[0], prepared(ARMS[0])).fusion.weights["audio"]
    s = spectrum.singular_values(spectrum.matrix(start))
    assert low.effective_rank["audio", "before"] == pytest.approx(spectrum.effective_rank(s), abs=1e-3)
    assert (low.norm.xs("change", level="kind") > 0).all()

    whole = cut[cut.kept == spectra.KEPT[-1]].iloc[0]
    assert whole.same == 100
    assert whole.weighted_f1 == pytest.approx(run(ARMS[1]).metrics["weighted_f1"], abs=1e-3)
    assert list(cut.kept) == list(spectra.KEPT)

    monkeypatch.setattr(spectra, "trained", lambda e: pytest.fail("a run that the tables hold is trained again"))
    spectra.measure(tables)
    assert len(spectra.table()) == len(found)


def test_only_arms_that_are_tuned_are_asked_for(store: Store) -> None:
    assert spectra.experiments(store) == []


def test_a_cut_leaves_the_model_as_it_was() -> None:
    data = prepared(ARMS[1])
    model = build(ARMS[1], data)
    before = [p.clone() for p in model.parameters()]
    list(spectra.cuts(model, data))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_weights_without_a_spectrum_are_named() -> None:
    with pytest.raises(LmamError, match="have a spectrum"):
        list(spectra.spectra({"text": torch.nn.Linear(2, 2)}, {"text": torch.nn.Linear(2, 2)}))
