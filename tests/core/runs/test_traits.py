"""Traits of whole conversations: every backbone learns and scores them, padding changes nothing, runs are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lmam_core.batch import Conversation, collate
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset
from lmam_core.data.sources import pom
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.model_file import Model, fit
from lmam_core.runs.run import build, carry_out
from lmam_core.runs.store import Store
from lmam_core.runs.training import evaluate, step

SEVEN = ("text_cnn", "bc_lstm", "dialogue_rnn", "dialogue_gcn", "mm_dfn", "m2fnet", "emocaps")


def video(name: str, steps: int, rng: np.random.Generator) -> Conversation:
    """A generated video of POM's shape, whose first trait is the mean of its first feature."""
    x = {"audio": rng.normal(size=(steps, 43)), "video": rng.normal(size=(steps, 42))}
    label = rng.uniform(1, 7, (1, 17))
    label[0, 0] = np.clip(4 + 4 * x["audio"][:, 0].mean(), 1, 7)
    kept = {m: v.astype(np.float32) for m, v in x.items()}
    return Conversation(name, kept, np.zeros(steps, np.int64), label.astype(np.float32))


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A set of POM's shape in its place, so that these tests need no file."""
    rng = np.random.default_rng(0)
    sizes = {"train": 40, "validation": 8, "test": 9}
    splits = {s: [video(f"{s}-{i}", int(rng.integers(1, 21)), rng) for i in range(n)] for s, n in sizes.items()}
    sets = {"audio": "covarep43", "video": "facet41"}
    data = Dataset("pom", sets, None, splits, "0" * 64, "Generated.", synthetic=True, traits=pom.TRAITS)
    monkeypatch.setattr(catalogue, "load", lambda *_: data)
    monkeypatch.setattr(catalogue, "fingerprint", lambda *_: data.sha256)
    return data


def asked(**given: object) -> Experiment:
    return Experiment("pom", updates=4, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("fusion", ["concat", "lmam"])
@pytest.mark.parametrize("backbone", SEVEN)
def test_every_backbone_judges_a_video_whatever_it_is_padded_with(
    backbone: str, fusion: str, generated: Dataset
) -> None:
    rank = {"rank": 8} if fusion == "lmam" else {}
    model = build(asked(backbone=backbone, fusion=fusion, **rank), generated.standardised()).double().eval()
    talks = [c for c in generated.splits["test"] if len(c) != max(map(len, generated.splits["test"]))]
    double = [replace(c, features={m: x.astype(np.float64) for m, x in c.features.items()}) for c in talks]
    batch = collate(double)
    batch = replace(batch, features={m: x.double() for m, x in batch.features.items()})
    together = model(batch)
    assert together.shape == (len(talks), 1, 17)
    longer = torch.nn.functional.pad(batch.mask, (0, 3))
    padded = replace(
        batch,
        features={m: torch.nn.functional.pad(x, (0, 0, 0, 3), value=9.0) for m, x in batch.features.items()},
        speaker=torch.nn.functional.pad(batch.speaker, (0, 3)),
        mask=longer,
        who=None,
    )
    filled = {m: torch.where(longer[..., None], x, 50.0) for m, x in padded.features.items()}
    torch.testing.assert_close(model(replace(padded, features=filled)), together, rtol=0, atol=1e-10)


def test_the_loss_is_the_mean_absolute_error_over_videos_and_traits(generated: Dataset) -> None:
    model = build(asked(backbone="text_cnn", fusion="concat"), generated.standardised())
    batch = collate(generated.splits["train"][:5])
    model.dropout.p = 0.0
    assert model.centre.numpy() == pytest.approx(
        np.mean([c.label[0] for c in generated.splits["train"]], 0), abs=1e-5
    ), "it starts from the training means"
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    given = model(batch).detach().double()
    label = np.stack([c.label for c in generated.splits["train"][:5]]).astype(np.float64)
    naive = np.mean([abs(given[b, 0, k].item() - label[b, 0, k]) for b in range(5) for k in range(17)])
    loss = step(model.train(), batch, False, torch.optim.SGD(model.parameters(), lr=0.0))
    assert loss.item() == pytest.approx(naive, abs=1e-5)


def test_a_run_is_scored_kept_and_read_again(generated: Dataset, store: Store) -> None:
    e = asked(backbone="text_cnn", embedding="late", rank=4)
    result, model, data = carry_out(e, predictions=True)
    path = store.add(result)
    again = store.get(e)
    assert path.stat().st_size < 30_000
    assert again.outcomes.keys() == {c.id for c in generated.splits["test"]}
    for name, value in again.summarise(again.total).items():
        assert result.metrics[name] == pytest.approx(value, abs=1e-3)
    kept = result.predictions
    assert list(kept.columns[[0, 1, 18]]) == ["dialogue", "label_confident", "prediction_confident"]
    assert len(kept) == 9
    naive = np.abs(kept.filter(like="label_").to_numpy() - kept.filter(like="prediction_").to_numpy()).mean()
    assert result.metrics["mae"] == pytest.approx(naive, abs=1e-3)
    found = evaluate(model, data, "test", torch.device("cpu"))
    assert all(np.allclose(found[name], counts) for name, counts in result.outcomes.items())
    damaged = path.read_text().replace("]\n}", ", 1]\n}")
    path.write_text(damaged)
    with pytest.raises(LmamError, match="is not a run of this store"):
        store.get(e)


def test_a_model_learns_what_a_trait_depends_on(generated: Dataset) -> None:
    e = Experiment("pom", backbone="text_cnn", fusion="concat", updates=300, learning_rate=3e-3, dropout=0.0)
    _, model, data = carry_out(e)
    talks = data.splits["train"]
    given = model.eval()(collate(talks)).detach()[:, 0, 0].numpy()
    assert np.corrcoef(given, [c.label[0, 0] for c in talks])[0, 1] > 0.8


def test_a_model_file_predicts_traits(generated: Dataset, tmp_path: Path) -> None:
    model = fit(asked(backbone="text_cnn", embedding="late", rank=4))
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.traits == pom.TRAITS
    table = loaded.predict("pom")
    assert list(table.columns[:3]) == ["split", "dialogue", "label_confident"]
    assert len(table) == 57
    new = loaded.predict(generated.splits["test"])
    assert [*new.columns] == ["dialogue", *(f"prediction_{t}" for t in pom.TRAITS)]
    np.testing.assert_array_equal(new["prediction_vivid"], table[table.split == "test"]["prediction_vivid"])


@pytest.mark.real_data
@pytest.mark.skipif(bool(catalogue.absent("pom")), reason="LMAM_DATA does not hold pom.npz")
def test_pom_itself_goes_the_whole_way() -> None:
    result, *_ = carry_out(Experiment("pom", backbone="text_cnn", embedding="late", updates=150))
    assert len(result.outcomes) == 203
    assert result.metrics["mae"] < 1.5
