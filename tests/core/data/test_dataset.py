"""The batch and the dataset: padding, checks, splits and scaling."""

import dataclasses

import numpy as np
import pytest
import torch

from lmam_core.batch import Conversation, Conversations, collate
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError


def conversation(name: str, length: int, label: list[int] | None = None, seed: int = 0) -> Conversation:
    rng = np.random.default_rng([seed, length])
    features = {"text": rng.normal(3, 2, (length, 4)).astype(np.float32), "audio": np.ones((length, 2), np.float32)}
    labels = np.array(label if label is not None else np.arange(length) % 2, np.int64)
    return Conversation(name, features, np.arange(length) % 2, labels)


def dataset(train: int = 10, **changes) -> Dataset:
    settings = {
        "name": "toy",
        "feature_sets": {"text": "random", "audio": "ones"},
        "classes": ("no", "yes"),
        "splits": {
            "train": [conversation(f"train-{i}", 2 + i) for i in range(train)],
            "test": [conversation(f"test-{i}", 3 + i, seed=1) for i in range(4)],
        },
        "sha256": "0" * 64,
        "about": "A toy.",
    }
    return Dataset(**settings | changes)


def ids(d: Dataset, split: str) -> list[str]:
    return [c.id for c in d.splits[split]]


def test_collate_pads_with_zeros_and_marks_what_is_real():
    short, long = conversation("short", 2, [1, 1]), conversation("long", 5, [1] * 5)
    batch = collate([short, long])
    assert batch.features["text"].shape == (2, 5, 4)
    assert batch.mask.tolist() == [[True, True, False, False, False], [True] * 5]
    torch.testing.assert_close(batch.features["text"][0, :2], torch.from_numpy(short.features["text"]))
    for padded in (*batch.features.values(), batch.speaker, batch.label):
        assert not padded[0, 2:].any()
    assert batch.ids == ("short", "long")
    assert batch.label.dtype == batch.speaker.dtype == torch.int64


def test_collate_keeps_regression_targets_real():
    c = conversation("video", 3)
    batch = collate([Conversation(c.id, c.features, c.speaker, np.array([-3, 0.5, 3], np.float32))])
    assert batch.label.dtype == torch.float32
    assert batch.label[0].tolist() == [-3.0, 0.5, 3.0]


def test_collate_refuses_nothing_and_emptiness():
    with pytest.raises(LmamError, match="at least one conversation"):
        collate([])
    with pytest.raises(LmamError, match="'hollow' has no utterances"):
        collate([conversation("full", 2), conversation("hollow", 0)])


def test_a_batch_refuses_padding_before_an_utterance_and_speakers_below_0():
    x, mask, speaker = torch.zeros(1, 3, 2), torch.tensor([[True, False, True]]), torch.zeros(1, 3, dtype=torch.long)
    with pytest.raises(LmamError, match="before an utterance"):
        Conversations({"text": x}, speaker, mask, speaker)
    with pytest.raises(LmamError, match="the batch has a speaker -1"):
        Conversations({"text": x}, speaker - 1, mask.flip(0), speaker)


def test_the_speakers_stay_on_the_cpu_when_a_batch_moves():
    batch = Conversations(
        {"text": torch.zeros(1, 2, 2)}, torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2)
    )
    moved = batch.to("meta")
    assert moved.speaker.device.type == "meta"
    assert moved.turns.who.tolist() == [[0, 1]]
    assert moved.turns.lengths.tolist() == [2]
    other = dataclasses.replace(batch, speaker=torch.tensor([[1, 0]]))
    assert other.turns.who.tolist() == [[1, 0]]


def test_batch_moves_as_a_whole():
    batch = collate([conversation("a", 2)]).to("meta")
    tensors = (*batch.features.values(), batch.speaker, batch.mask, batch.label)
    assert {t.device.type for t in tensors} == {"meta"}
    assert batch.ids == ("a",)


def broken_features() -> Conversation:
    c = conversation("bad", 3)
    c.features["text"][1, 2] = np.nan
    return c


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (broken_features(), "toy, split 'test', conversation 'bad': text holds NaN or infinity at utterance 1"),
        (conversation("bad", 0), "conversation 'bad': it has no utterances"),
        (conversation("bad", 2, [0, 2]), r"a label lies outside 0\.\.1"),
        (conversation("bad", 2, [-1, 0]), r"a label lies outside 0\.\.1"),
        (
            Conversation("bad", {"text": np.zeros((3, 4)), "audio": np.zeros((2, 2))}, np.zeros(3), np.zeros(3)),
            r"audio has shape \(2, 2\), expected \(3, 2\)",
        ),
    ],
)
def test_dataset_refuses_broken_conversations(bad, sentence):
    with pytest.raises(LmamError, match=sentence):
        dataset(splits={"train": [conversation("good", 4)], "test": [bad]})


def test_two_conversations_of_a_split_have_two_names():
    """Outcomes are kept by name, so that one would take the place of the other."""
    with pytest.raises(LmamError, match=r"split 'test': two conversations are called 'a'"):
        dataset(splits={"train": [conversation("a", 4)], "test": [conversation("a", 2), conversation("a", 3)]})


def test_dataset_refuses_a_missing_regression_target():
    c = conversation("bad", 2)
    target = Conversation(c.id, c.features, c.speaker, np.array([0.0, np.nan], np.float32))
    with pytest.raises(LmamError, match="a label is NaN"):
        dataset(splits={"train": [target]}, classes=None)


def test_outputs():
    assert dataset().outputs == 2
    assert dataset(classes=None).outputs == 1
    assert dataset().widths == {"text": 4, "audio": 2}


def test_validation_is_taken_from_train_and_never_from_test():
    whole = dataset()
    split = whole.with_validation(0.3, seed=7)
    train, validation = ids(split, "train"), ids(split, "validation")
    assert len(validation) == 3
    assert not set(train) & set(validation)
    assert sorted(train + validation) == sorted(ids(whole, "train"))
    assert train == [i for i in ids(whole, "train") if i in train]
    assert split.splits["test"] == whole.splits["test"]
    assert "validation" not in whole.splits


def test_validation_depends_on_the_seed_alone():
    assert ids(dataset().with_validation(seed=3), "validation") == ids(dataset().with_validation(seed=3), "validation")
    choices = {tuple(ids(dataset().with_validation(seed=s), "validation")) for s in range(8)}
    assert len(choices) > 1


def test_validation_of_the_source_is_kept():
    own = dataset().splits | {"validation": [conversation("own", 4)]}
    split = dataset(splits=own).with_validation(0.5)
    assert ids(split, "validation") == ["own"]
    assert len(split.splits["train"]) == 10


def test_validation_needs_conversations_to_spare():
    with pytest.raises(LmamError, match="1 training conversations cannot spare"):
        dataset(train=1).with_validation()


def test_a_class_that_train_lacks_is_named():
    splits = {"train": [conversation(f"c{i}", 3, [0, 0, 0]) for i in range(4)], "test": [conversation("t", 2, [0, 1])]}
    with pytest.raises(LmamError, match="no training utterance has the class yes"):
        dataset(splits=splits).with_validation()


def test_standardised_measures_train_alone():
    scaled = dataset().standardised()
    x = np.concatenate([c.features["text"] for c in scaled.splits["train"]])
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(0), 1, atol=1e-4)
    assert all(not c.features["audio"].any() for c in scaled.splits["train"]), "constant columns become 0"
    elsewhere = dataset()
    shifted = [
        Conversation(c.id, {m: x + 100 for m, x in c.features.items()}, c.speaker, c.label)
        for c in elsewhere.splits["test"]
    ]
    again = dataset(splits=elsewhere.splits | {"test": shifted}).standardised()
    for before, after in zip(scaled.splits["train"], again.splits["train"], strict=True):
        np.testing.assert_array_equal(before.features["text"], after.features["text"])
    assert again.splits["test"][0].features["text"].min() > 10


def test_standardised_leaves_out_validation():
    split = dataset().with_validation(0.3)
    x = np.concatenate([c.features["text"] for c in split.standardised().splits["train"]])
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)


def test_select_keeps_the_fixed_order():
    picked = dataset().select(["audio", "text"])
    assert list(picked.widths) == list(picked.feature_sets) == ["text", "audio"]
    assert list(picked.splits["test"][0].features) == ["text", "audio"]
    assert dataset().select(["audio"]).widths == {"audio": 2}


def test_select_refuses_what_is_not_there():
    with pytest.raises(LmamError, match="toy has no modality 'video'; it has text, audio"):
        dataset().select(["text", "video"])
    with pytest.raises(LmamError, match="At least one modality"):
        dataset().select([])


def test_batches_visit_every_conversation_once():
    d = dataset()
    stored = [i for batch in d.batches("train", 4) for i in batch.ids]
    assert stored == ids(d, "train")
    shuffled = [i for batch in d.batches("train", 4, torch.Generator().manual_seed(1)) for i in batch.ids]
    again = [i for batch in d.batches("train", 4, torch.Generator().manual_seed(1)) for i in batch.ids]
    assert shuffled == again != stored
    assert sorted(shuffled) == sorted(stored)
    assert [len(batch.ids) for batch in d.batches("train", 4)] == [4, 4, 2]
