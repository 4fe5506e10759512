"""Experiments: one question has one key, the same question has the same answer, bad questions get a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from lmam_core.batch import Conversation
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError
from lmam_core.runs import training
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import summarise, total
from lmam_core.runs.run import build, carry_out, prepared, run, trained
from lmam_core.runs.store import Store
from lmam_core.runs.training import Budget, _loss, evaluate, train


def test_one_question_has_one_key(quick: Experiment) -> None:
    assert (
        Experiment(fusion="concat", rank=7).key == Experiment(fusion="concat", variant="paper", embedding="early").key
    )
    assert (
        Experiment(variant="released", rank=7, embedding="late").key
        == Experiment(variant="released", embedding="late").key
    )
    assert Experiment(dataset="mosi").key == Experiment(dataset="mosi", features="text=minilm384").key
    assert Experiment(dataset="mosi", modalities=("video", "text")).key == (
        Experiment(dataset="mosi", modalities=("text", "video")).key
    )
    own = Experiment(readings="keys=own", rank=45)
    assert own.key == Experiment(rank=45).key
    assert Experiment(readings="weight=full", rank=7).key == Experiment(readings="weight=full").key
    different = [
        dataclasses.replace(quick, seed=1),
        dataclasses.replace(quick, rank=5),
        dataclasses.replace(quick, epochs=2),
    ]
    assert len({quick.key, *(e.key for e in different)}) == 4
    assert Experiment(seed=np.int64(3), rank=np.int32(7), learning_rate=1).key == (
        Experiment(seed=3, rank=7, learning_rate=1.0).key
    )


def test_the_key_of_a_stored_question_stays_what_it_is() -> None:
    """A field added later must be empty by default, or every stored run would be asked for again."""
    e = Experiment(dataset="mosi", modalities=("text", "audio", "video"), fusion="concat", seed=3)
    e = dataclasses.replace(e, protocol="protocol1")
    assert e.key == "fb37bc8225c11643"


def test_a_public_function_resolves_an_experiment_once(
    quick: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = dataclasses.replace(quick, fusion="lora_trained", rank=None)  # which trains its base first
    data, calls, resolved = prepared(e), [], Experiment.resolved
    monkeypatch.setattr(Experiment, "resolved", lambda self: calls.append(self) or resolved(self))
    for function in (prepared, lambda e: build(e, data), trained, carry_out, run, Store(tmp_path).path):
        calls.clear()
        function(e)
        assert calls == [e], function


def test_the_same_experiment_gives_the_same_numbers(quick: Experiment) -> None:
    first, second = run(quick), run(quick)
    assert first.metrics == second.metrics
    assert first.training.train_loss == second.training.train_loss
    other = run(dataclasses.replace(quick, seed=1))
    assert other.training.train_loss != first.training.train_loss


@pytest.mark.real_data
def test_melds_text_alone_and_its_text_with_sound_are_two_questions_on_two_contents() -> None:
    asked = {"dataset": "meld", "embedding": "late", "dialogues": 12, "epochs": 1}
    both, alone = (run(Experiment(**asked, modalities=m)) for m in (("text", "audio"), ("text",)))
    assert Experiment(**asked).key == both.experiment.key != alone.experiment.key
    assert both.experiment.features == "text=minilm384,audio=praat8"
    assert both.provenance["data_sha256"] == catalogue.fingerprint("meld")
    assert alone.provenance["data_sha256"] == catalogue.entry("meld").sha256 != catalogue.fingerprint("meld")


@pytest.mark.real_data
def test_early_lmam_on_melds_narrow_sound_says_which_ranks_there_are() -> None:
    e = Experiment(dataset="meld", embedding="early", dialogues=12)
    with pytest.raises(LmamError, match="rank must be a whole number from 1 to 10, the narrowest width; got 45"):
        run(e)


def test_numbers_do_not_depend_on_threads_around_a_run(quick: Experiment) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run(quick)
        torch.set_num_threads(3)
        three = run(quick)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert one.training.train_loss == three.training.train_loss


def test_a_run_carries_what_it_needs(quick: Experiment) -> None:
    found = run(quick)
    assert set(found.metrics) == {"accuracy", "weighted_f1", "macro_f1"}
    data = prepared(found.experiment)
    assert set(found.outcomes) == {c.id for c in data.splits["test"]}
    assert found.total.sum() == sum(len(c) for c in data.splits["test"])
    assert found.parameters == sum(p.numel() for p in build(quick, data).parameters())
    assert 0 < found.fusion_parameters < found.parameters
    assert found.peak_memory_mb > 50
    assert {"code", "data_sha256", "torch", "device"} <= found.provenance.keys()


def test_training_learns_what_the_corpus_holds() -> None:
    e = Experiment(dataset="synthetic-iemocap", fusion="concat", epochs=6, learning_rate=3e-3)
    assert run(e).metrics["accuracy"] > 45  # the largest class has 26


def test_tuning_never_reads_the_test_set(quick: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = Dataset.batches
    monkeypatch.setattr(Dataset, "batches", lambda self, split, *a: (seen.append(split), original(self, split, *a))[1])
    found = run(dataclasses.replace(quick, protocol="tuning"))
    assert set(seen) == {"train", "validation"}
    assert found.metrics == {}
    assert found.outcomes == {}
    seen.clear()
    run(quick)
    assert seen.count("test") == 1
    assert seen[-1] == "test"


def test_released_protocol_selects_on_test_and_trains_on_all_of_train(quick: Experiment) -> None:
    released = dataclasses.replace(quick, protocol="released", epochs=3)
    found = run(released)
    e = found.experiment
    data = prepared(e)
    assert "validation" not in data.splits
    assert found.training.best_score == pytest.approx(max(found.training.selection_score))
    assert found.metrics["weighted_f1"] == pytest.approx(found.training.best_score)


def test_early_stopping_keeps_the_best_epoch(quick: Experiment) -> None:
    asked = dataclasses.replace(quick, protocol="protocol1", epochs=40, patience=2, learning_rate=0.02)
    model, data, training = trained(asked)
    assert len(training.train_loss) == min(training.best_epoch + 2, 40)
    assert training.best_score == max(training.selection_score)
    total = sum(evaluate(model, data, "validation", torch.device("cpu")).values())
    assert summarise(total, 6)["weighted_f1"] == pytest.approx(training.best_score)


def tiny(values: list[float] | None = None) -> Dataset:
    def talk(name: str, n: int) -> Conversation:
        x = np.random.default_rng(len(name)).normal(size=(n, 3)).astype(np.float32)
        label = np.arange(n) % 2 if values is None else np.resize(np.array(values, np.float32), n)
        return Conversation(name, {"text": x}, np.zeros(n, np.int64), label)

    splits = {"train": [talk("a", 4), talk("bb", 2)], "validation": [talk("c", 3)], "test": [talk("d", 3)]}
    return Dataset("tiny", {"text": "x"}, None if values else ("no", "yes"), splits, "0" * 64, "Tiny.")


def test_validation_and_order_are_drawn_anew_for_each_seed_and_shared_by_arms_of_one(quick: Experiment) -> None:
    def validation(**asked: object) -> list[str]:
        return [c.id for c in prepared(dataclasses.replace(quick, **asked)).splits["validation"]]

    assert validation() == validation(fusion="concat", rank=None, embedding="late", learning_rate=0.1)
    assert validation() != validation(seed=1)
    assert validation(protocol="protocol1") == validation(protocol="protocol1", seed=1)


def test_models_of_one_seed_share_the_weights_of_what_they_have_in_common(quick: Experiment) -> None:
    def weights(**asked: object) -> dict[str, torch.Tensor]:
        e = dataclasses.replace(quick, **asked)
        return build(e, prepared(e)).state_dict()

    plain = weights(fusion="concat", rank=None, embedding="late")
    lmam, other = weights(embedding="late"), weights(embedding="late", seed=1)
    shared = [name for name in plain if name.startswith(("backbone", "classifier"))]
    assert len(shared) == 3 * 16 + 4  # a two-layer LSTM in two directions for each modality, and the classifier
    assert all(torch.equal(plain[name], lmam[name]) for name in shared)
    assert not any(torch.equal(plain[name], other[name]) for name in shared)
    first = weights(embedding="late", protocol="protocol1")
    assert not torch.equal(first["classifier.0.weight"], lmam["classifier.0.weight"])


def counted(data: Dataset, score: list[float], updates: int, patience: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many updates training makes when the selection score after each epoch is given."""
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.zeros(3, 2))
    left = iter(score)
    monkeypatch.setattr(training, "_epoch", lambda *_: 1.0)
    monkeypatch.setattr(training, "evaluate", lambda *_: {"c": np.zeros(4)})
    monkeypatch.setattr(training, "summarise", lambda *_: {"weighted_f1": next(left)})
    budget = Budget(None, patience, 1, 1e-3, 0.0, updates)
    return train(model, data, budget, "honest", 0, torch.device("cpu")).updates


def test_patience_is_counted_in_updates_and_ends_nothing_early(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny()  # two updates an epoch
    falling = [float(-i) for i in range(2000)]
    assert counted(data, falling, 4000, 50, monkeypatch) == training.LEAST
    late = [0.0] * 290 + [1.0] + [0.0] * 1000  # the best of all comes after 582 updates
    assert counted(data, late, 4000, 50, monkeypatch) == 2 * 291 + 50
    assert counted(data, late, 4000, 2, monkeypatch) == max(training.LEAST, 2 * (291 + training.READINGS))
    assert counted(data, [float(i) for i in range(2000)], 777, 50, monkeypatch) == 778


def test_the_rate_warms_up_and_the_gradient_is_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    data, rates, norms = tiny(), [], []
    model = torch.nn.Linear(3, 2)
    model.outputs = lambda b: [1e4 * torch.nn.functional.linear(b.features["text"], model.weight, model.bias)]
    model.forward = lambda b: model.outputs(b)[0]
    original = torch.optim.Adam.step

    def spy(self: torch.optim.Adam, *a: object, **k: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
        return original(self, *a, **k)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    train(model, data, Budget(None, 9, 1, 0.5, 0.0, 100), "honest", 0, torch.device("cpu"))
    assert rates[:10] == pytest.approx([0.05 * i for i in range(1, 11)])  # a tenth of 100
    assert set(rates[10:]) == {0.5}
    assert max(norms) <= training.CLIP * 1.0001
    assert max(norms) == pytest.approx(training.CLIP)
    rates.clear(), norms.clear()
    train(model, data, Budget(4, 9, 1, 0.5, 0.0), "protocol1", 0, torch.device("cpu"))
    assert set(rates) == {0.5}
    assert max(norms) > 100


def test_dropout_acts_on_features_and_takes_the_place_of_the_backbones(quick: Experiment) -> None:
    def model(dropout: float | None) -> torch.nn.Module:
        e = dataclasses.replace(quick, dropout=dropout)
        return build(e, prepared(e))

    assert [model(p).dropout.p for p in (None, 0.0, 0.4)] == [0.0, 0.0, 0.4]
    assert [model(p).backbone.dropout for p in (None, 0.0, 0.4)] == [0.25, 0.0, 0.4]
    batch = next(prepared(quick).batches("train", 4))
    some = model(0.4).train()
    entered = some.fusion_inputs(batch)["text"]
    there = batch.features["text"][batch.mask] != 0
    assert (entered[batch.mask][there] == 0).float().mean() == pytest.approx(0.4, abs=0.02)
    assert torch.equal(some.eval().fusion_inputs(batch)["text"], batch.features["text"])
    keys = {dataclasses.replace(quick, dropout=p).key for p in (None, 0.0, 0.4)}
    assert len(keys) == 3


def test_a_file_from_before_updates_were_counted_is_of_the_first_protocol() -> None:
    fields = dataclasses.asdict(Experiment(dataset="mosi").resolved())
    del fields["updates"], fields["dropout"]
    for name, protocol in (("honest", "protocol1"), ("tuning", "tuning1"), ("released", "released")):
        found = Experiment.stored(fields | {"protocol": name, "epochs": 60, "patience": 10, "batch_size": 32})
        assert found.protocol == protocol
        assert found.filed == name
    now = dataclasses.asdict(Experiment(dataset="mosi", protocol="protocol1").resolved())
    assert Experiment.stored(now) == Experiment(dataset="mosi", protocol="protocol1").resolved()


def test_padding_never_reaches_the_honest_loss_and_does_the_released_one() -> None:
    data = tiny()
    batch = next(data.batches("train", 2))
    output = torch.zeros(2, 4, 2)
    output[1, 2:] = torch.tensor([-9.0, 9.0])  # a confident error, were padding of class 0 counted
    assert _loss(output, batch, True, None, padded=False).item() == pytest.approx(np.log(2))
    assert _loss(output, batch, True, None, padded=True).item() > 4


def test_training_that_diverges_is_told_in_a_sentence() -> None:
    data = tiny([-1.0, 2.0, 0.5])
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.full((3, 1), float("inf")))
    model.forward = lambda b: b.features["text"] @ model.weight
    model.outputs = lambda b: [model(b)]
    with pytest.raises(LmamError, match="diverged in epoch 1"):
        train(model, data, Budget(3, 3, 2, 0.1, 0.0), "honest", 0, torch.device("cpu"))


def test_a_tuning_run_that_diverges_is_a_result(store: Store, quick: Experiment) -> None:
    """A search of several trials goes on without it, and it loses."""
    asked = dataclasses.replace(quick, protocol="tuning", updates=2, learning_rate=1e30, epochs=1)
    diverged = run(asked)
    assert (diverged.training.best_epoch, diverged.training.train_loss, diverged.metrics) == (0, [], {})
    untrained = score_of(build(asked, prepared(asked)), prepared(asked))
    assert diverged.training.best_score == pytest.approx(untrained, abs=1e-4)
    store.add(diverged)
    assert store.get(asked).training == dataclasses.replace(diverged.training)
    with pytest.raises(LmamError, match="diverged in epoch 1"):
        run(dataclasses.replace(asked, protocol="honest"))


def score_of(model: torch.nn.Module, data: Dataset) -> float:
    counts = total(evaluate(model, data, "validation", torch.device("cpu")))
    return summarise(counts, data.outputs)["weighted_f1"]


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_training_that_diverges_later_keeps_the_epochs_before(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are not finite would still predict a class, and might be kept for its score."""
    data, seen = tiny(), []
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.zeros(3, 2))
    model.forward = lambda b: b.features["text"] @ model.weight
    model.outputs = lambda b: [model(b)]

    def epoch(model: torch.nn.Module, *_: object, **__: object) -> float:
        seen.append(1.0)
        if len(seen) == 3 and where == "weights":
            model.weight.data.fill_(float("nan"))
        return float("inf") if len(seen) == 3 and where == "loss" else 1.0

    monkeypatch.setattr(training, "_epoch", epoch)
    found = train(model, data, Budget(9, 9, 2, 0.1, 0.0), "honest", 0, torch.device("cpu"))
    assert len(seen) == 3
    assert found.train_loss == [1.0, 1.0]
    assert len(found.selection_score) == 2
    assert model.weight.isfinite().all()


def test_dialogue_gcn_is_built_for_the_longest_conversation_of_its_data() -> None:
    """One of 113 utterances in the test part would be refused after all of the training."""
    asked, data = Experiment(backbone="dialogue_gcn", fusion="concat"), tiny()
    assert build(asked, data).backbone.longest == 110
    talk = data.splits["test"][0]
    longer = Conversation(
        "e", {"text": np.ones((113, 3), np.float32)}, np.zeros(113, np.int64), np.zeros(113, talk.label.dtype)
    )
    data = dataclasses.replace(data, splits=data.splits | {"test": [talk, longer]})
    model = build(asked, data).eval()
    assert model.backbone.longest == 113
    assert model(next(data.batches("test", 2))).shape == (2, 113, 2)


def test_regression_trains_on_absolute_error() -> None:
    data = tiny([-1.0, 2.0, 0.5])
    batch = next(data.batches("train", 2))
    expected = batch.label[batch.mask].abs().mean()
    assert _loss(torch.zeros(2, 4, 1), batch, False, None, padded=False) == expected
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.zeros(3, 1))
    model.forward = lambda b: b.features["text"] @ model.weight
    model.outputs = lambda b: [model(b)]
    training = train(model, data, Budget(3, 3, 2, 0.1, 0.0), "honest", 0, torch.device("cpu"))
    assert training.best_score == min(training.selection_score)


def test_a_shuffled_modality_keeps_its_values_and_loses_its_places(quick: Experiment) -> None:
    plain, dealt = prepared(quick), prepared(dataclasses.replace(quick, shuffled="audio"))
    for split in ("train", "validation", "test"):
        before, after = (np.concatenate([c.features["audio"] for c in d.splits[split]]) for d in (plain, dealt))
        np.testing.assert_allclose(np.sort(before, 0), np.sort(after, 0), atol=1e-5)
        assert (before == after).all(1).mean() < 0.2
        for one, other in zip(plain.splits[split], dealt.splits[split], strict=True):
            assert (one.features["text"] == other.features["text"]).all()
            assert (one.label == other.label).all()
    both = prepared(dataclasses.replace(quick, shuffled="audio+video")).splits["test"]
    places = []
    for m in ("audio", "video"):
        before = np.concatenate([c.features[m] for c in plain.splits["test"]])
        after = np.concatenate([c.features[m] for c in both])
        places.append([int(np.abs(before - x).sum(1).argmin()) for x in after])
    assert np.mean(np.equal(*places)) < 0.2  # audio and video are dealt apart from each other
    again, other = (prepared(dataclasses.replace(quick, shuffled="audio", seed=s)) for s in (0, 1))
    assert (again.splits["test"][0].features["audio"] == dealt.splits["test"][0].features["audio"]).all()
    assert (other.splits["test"][0].features["audio"] != dealt.splits["test"][0].features["audio"]).any()


def test_width_and_shuffled_are_questions_of_their_own(quick: Experiment) -> None:
    wide = dataclasses.replace(quick, fusion="concat", width=7, shuffled="video+audio").resolved()
    assert wide.shuffled == "audio+video"
    assert wide.arm == "concat.early.w7.shuffled-audio+video"
    assert wide.key != quick.key
    assert build(wide, prepared(wide)).backbone.d_out == {"fused": 14}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (dict(dataset="iemocpa"), "no dataset 'iemocpa' .did you mean 'iemocap'"),
        (dict(modalities=("text", "smell")), "no modality 'smell'"),
        (dict(modalities=("text",), shuffled="audio"), "'audio' cannot be shuffled: the modalities are text"),
        (dict(width=0), "width must be at least 1"),
        (dict(dataset="meld", modalities=("video",)), "meld has no modality 'video'; it has text, audio"),
        (dict(features="text=word2vec"), "no features 'text=word2vec'"),
        (dict(features="minilm384"), "written name=value"),
        (dict(dataset="iemocap", features="nonverbal=nonverbal11"), "chosen for nonverbal, but the modalities"),
        (dict(seed=1.5), "seed must be a whole number; got 1.5"),
        (dict(rank=True), "rank must be a whole number; got True"),
        (dict(learning_rate="fast"), "learning_rate must be a number; got 'fast'"),
        (dict(weight_decay=None), "weight_decay must be a number; got None"),
        (dict(backbone="bc_rnn"), "no backbone 'bc_rnn'"),
        (dict(fusion="glue"), "no fusion method 'glue'"),
        (dict(embedding="middle"), "no embedding way 'middle'"),
        (dict(protocol="lucky"), "no protocol 'lucky'"),
        (dict(readings="keys=mine"), "no reading 'keys=mine'"),
        (dict(rank=0), "rank must be at least 1"),
        (dict(epochs=0), "epochs must be at least 1"),
        (dict(updates=0), "updates must be at least 1"),
        (dict(dropout=1.0), "dropout must lie from 0"),
        (dict(protocol="released", updates=9), "released counts its budget in epochs"),
        (dict(learning_rate=-1.0), "learning_rate must be a positive number"),
        (dict(learning_rate=float("nan")), "learning_rate must be a positive number"),
        (dict(seed=-1), "seed must lie in"),
        (dict(variant="printed"), "no variant 'printed'"),
        (dict(variant="released", readings="keys=own"), "has its own readings"),
    ],
)
def test_a_bad_question_gets_a_sentence(fields: dict, sentence: str) -> None:
    with pytest.raises(LmamError, match=sentence):
        Experiment(**fields).resolved()


def test_a_rank_above_the_width_gets_a_sentence(quick: Experiment) -> None:
    with pytest.raises(LmamError, match="from 1 to 100"):
        run(dataclasses.replace(quick, rank=101))
