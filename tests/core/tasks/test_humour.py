"""Humour detection: equations against naive float64, padding, what a generated set can tell at best, bad input."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmam_core.data import catalogue
from lmam_core.data.sources.synthetic_humour import DEFAULT, Incongruity, generate, oracle
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.runs.run import run
from lmam_core.runs.store import Store
from lmam_core.tasks.humour import experiment, segments
from lmam_core.tasks.humour.cmfn import CMFN, EMBEDDINGS, SETTINGS
from lmam_core.tasks.humour.experiment import Humour, build, evaluate, fit, prepared
from lmam_core.tasks.humour.reference import reference
from lmam_core.tasks.humour.segments import Segments, checked

CLASSES = ("no", "yes")
SMALL = Incongruity(sizes={"train": 60, "test": 40}, empty=0.3)
CPU = torch.device("cpu")


def small(config: Incongruity = SMALL) -> Segments:
    return checked("small", generate(config), CLASSES)


def filled(model: torch.nn.Module) -> Any:
    """The model with every parameter, those that start from 0 too, at random numbers."""
    torch.manual_seed(1)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model.double().eval()


def doubled(data: Segments) -> Segments:
    return dataclasses.replace(data, features={m: x.astype(np.float64) for m, x in data.features.items()})


def model_of(
    setting: str, method: str, embedding: str, modalities: tuple[str, ...] = ("text", "audio", "video")
) -> CMFN:
    widths = {m: SMALL.widths[m] for m in modalities}
    rank = {"rank": 3} if method == "lmam" else {}
    makes = None if method == "none" else lambda widths: fusion.build(method, widths, **rank)
    return filled(CMFN(widths, setting, makes, embedding, context=3, hidden=4, memory=5, heads=2))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", ["none", "lmam late", "lmam early_residual", "concat late"])
def test_the_model_is_its_equations(setting: str, method: str) -> None:
    name, _, embedding = method.partition(" ")
    model = model_of(setting, name, embedding or "late")
    batch = doubled(small()).batch(np.arange(12), model.context)
    assert not batch.turns.mask.any(1).all(), "a segment without context is among them"
    assert batch.turns.mask.all(1).any(), "and one with more than is read"
    parameters = [p for p in model.parameters() if p.requires_grad]
    fast, slow = (f(batch) for f in (model, lambda b: reference(model, b)))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    both = (torch.autograd.grad(x.sin().sum(), parameters, allow_unused=True) for x in (fast, slow))
    for ours, plain in zip(*both, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_a_segments_logit_does_not_depend_on_its_batch_or_on_what_is_padded(setting: str, embedding: str) -> None:
    model, data = model_of(setting, "lmam", embedding), doubled(small())
    together = model(data.batch(np.arange(12), 3))
    alone = torch.cat([model(data.batch(np.array([i]), 3)) for i in range(12)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    dirty = data.batch(np.arange(12), 3)
    for sentences in (dirty.punchline, dirty.context):
        for x in sentences.features.values():
            x[~sentences.turns.mask] = 0 if embedding == "early_residual" else 9.0
    torch.testing.assert_close(model(dirty), together, rtol=0, atol=1e-12)


def test_what_is_not_read_changes_nothing() -> None:
    data = doubled(small())
    batch, other = data.batch(np.arange(8), 3), data.batch(np.arange(8), 3)
    for x in other.punchline.features.values():
        x += 1.0
    assert torch.equal(model_of("context", "lmam", "late")(batch), model_of("context", "lmam", "late")(other))
    for x in other.context.features.values():
        x += 1.0
    unread = dataclasses.replace(batch, context=other.context)
    assert torch.equal(model_of("punchline", "lmam", "late")(batch), model_of("punchline", "lmam", "late")(unread))
    assert not torch.allclose(model_of("both", "lmam", "late")(batch), model_of("both", "lmam", "late")(unread))


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_with_lmam_the_model_starts_as_cmfn_and_every_part_then_learns(setting: str, embedding: str) -> None:
    e = Humour(setting=setting, modalities=("text", "video")).resolved()
    fused = dataclasses.replace(e, fusion="lmam", embedding=embedding, rank=None).resolved()
    data = prepared(e, small())
    plain, model = build(e, data.widths).eval(), build(fused, data.widths).eval()
    batch = data.batch(np.arange(20), e.context)
    torch.testing.assert_close(model(batch), plain(batch))
    for name, p in model.named_parameters():
        if "match" in name:
            torch.nn.init.normal_(p)
    assert not torch.allclose(model(batch), plain(batch))
    torch.nn.functional.binary_cross_entropy_with_logits(model(batch), batch.label.float()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def naive(config: Incongruity, data: Segments, i: int, modalities: list[str], setting: str) -> float:
    """p(y = 1 | words) of a segment by all topics of context and punchline, with the words' normal densities."""
    joint = np.zeros(2)
    first, last = data.segments[i], data.segments[i + 1] - 1

    def density(m: str, s: int, topic: int) -> float:
        x = data.features[m][data.sentences[s] : data.sentences[s + 1]].astype(np.float64)
        return float(np.exp(-0.5 * ((x - config.loud[m] * config.directions[m][topic]) ** 2).sum()))

    for y in (0, 1):
        for a in range(config.topics):
            p = config.humorous()[a, y]
            for m in modalities:
                if setting != "punchline":
                    p *= np.prod([density(m, s, a) for s in range(first, last)])
                if setting != "context":
                    stays = config.keep[m] if y == 0 else 1 - config.keep[m]
                    p *= sum(
                        density(m, last, b) * (stays if a == b else (1 - stays) / (config.topics - 1))
                        for b in range(config.topics)
                    )
            joint[y] += p
    return float(joint[1] / joint.sum())


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_best_answer_is_bayes_rule(setting: str) -> None:
    arrays, data = generate(SMALL), small()
    for modalities in (["text"], ["audio", "video"]):
        posterior = oracle(SMALL, arrays, modalities, setting)
        expected = [naive(SMALL, data, i, modalities, setting) for i in range(12)]
        np.testing.assert_allclose(posterior[:12], expected, rtol=1e-6)


def test_a_generated_set_is_what_its_settings_say() -> None:
    arrays = generate(DEFAULT)
    sure = {s: np.abs(oracle(DEFAULT, arrays, list(DEFAULT.widths), s) - 0.5).mean() + 0.5 for s in SETTINGS}
    right = {s: ((oracle(DEFAULT, arrays, list(DEFAULT.widths), s) > 0.5) == arrays["label"]).mean() for s in SETTINGS}
    assert sure == pytest.approx(right, abs=0.02), "the posterior is calibrated"
    assert right["both"] > 0.84 > 0.75 > right["punchline"] > right["context"] > 0.6
    assert (np.diff(arrays["segment_offsets"]) == 1).mean() == pytest.approx(DEFAULT.empty, abs=0.02)
    assert catalogue.entry("synthetic-humour").sha256 == DEFAULT.sha256
    assert not np.array_equal(generate(dataclasses.replace(DEFAULT, seed=1))["label"], arrays["label"])


def test_a_short_training_comes_near_the_best_answer() -> None:
    config = Incongruity(sizes={"train": 2000, "test": 1000}, loud={"text": 4.0, "audio": 4.0, "video": 4.0})
    arrays = generate(config)
    e = Humour(modalities=("text",), epochs=14)
    model, data, _ = fit(e, data=checked("small", arrays, CLASSES))
    (counts,) = [sum(evaluate(model, data, 2, CPU).values())]
    best = ((oracle(config, arrays, ["text"]) > 0.5) == arrays["label"])[data.of(2)].mean()
    alone = ((oracle(config, arrays, ["text"], "punchline") > 0.5) == arrays["label"])[data.of(2)].mean()
    assert (counts[0] + counts[3]) / counts.sum() > best - 0.05 > alone + 0.1


def arrays(**changed: Any) -> dict[str, Any]:
    """Two train segments and a test segment of text and audio, the second without context."""
    contents = {
        "label": [0, 1, 1],
        "split": [0, 0, 2],
        "segment_offsets": [0, 2, 3, 5],
        "sentence_offsets": [0, 2, 3, 4, 6, 7],
        "text": np.arange(14.0).reshape(7, 2),
        "audio": np.ones((7, 1)),
    }
    return {name: np.asarray(value) for name, value in (contents | changed).items()}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"label": [0, 1, 2]}, "segment 2 has the label 2; a label is 0 or 1"),
        ({"label": [0.0, 0.5, 1.0]}, "segment 1 has the label 0.5"),
        ({"label": [0, 1]}, "2 labels need as many splits and one offset more"),
        ({"sentence_offsets": [0, 2, 2, 4, 6, 7]}, "segment 0 has a punchline without words; leave it out"),
        ({"segment_offsets": [0, 2, 2, 5]}, "segment 1 has a punchline without words"),
        ({"segment_offsets": [0, 3, 2, 5]}, "segment_offsets must rise from 0 to 5"),
        ({"sentence_offsets": [0, 2, 3, 4, 6, 8]}, "sentence_offsets must rise from 0 to 7"),
        ({"audio": np.ones((6, 1))}, r"audio has the shape \(6, 1\); there are 7 words"),
        ({"audio": np.full((7, 1), np.nan)}, "no training word has audio; choose modalities without it"),
    ],
)
def test_odd_segments_are_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LmamError, match=sentence):
        checked("odd", arrays(**changed), CLASSES)


def test_a_punchline_without_audio_has_the_training_mean_and_is_counted() -> None:
    audio = np.array([[1.0], [2.0], [np.nan], [3.0], [9.0], [9.0], [9.0]])
    data = checked("odd", arrays(audio=audio), CLASSES)
    assert data.features["audio"][:, 0].tolist() == [1, 2, 2, 3, 9, 9, 9], "test words are no part of the mean"
    assert data.notes == ["Words that lack audio and have the training mean instead: 1, of 1 punchlines all."]


def test_an_empty_sentence_is_no_context() -> None:
    data = checked("odd", arrays(sentence_offsets=[0, 0, 3, 4, 6, 7]), CLASSES)
    batch = data.batch(np.arange(3), 2)
    assert batch.turns.lengths.tolist() == [0, 0, 1]
    assert batch.punchline.turns.lengths.tolist() == [3, 1, 1]
    assert batch.context.features["text"][0].tolist() == [[8, 9], [10, 11]]


def test_long_sentences_and_contexts_are_read_from_their_end() -> None:
    many = 2 * segments.LONGEST
    given = arrays(sentence_offsets=[0, 2, 3, 3 + many, 4 + many, 5 + many], text=np.arange(many + 5.0)[:, None])
    del given["audio"]
    batch = checked("odd", given, CLASSES).batch(np.array([1]), 2)
    assert batch.punchline.features["text"].flatten().tolist() == list(range(3 + segments.LONGEST, 3 + many))
    longer = checked("odd", arrays(segment_offsets=[0, 1, 1 + 1, 5]), CLASSES).batch(np.array([2]), 1)
    assert longer.context.features["text"].tolist() == [[[8, 9], [10, 11]]], "the sentence before the punchline"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"setting": "laughter"}, "no setting 'laughter'; choose one of punchline, context, both"),
        ({"fusion": "lmam", "embedding": "early"}, "no embedding 'early'; choose one of late, early_residual"),
        ({"fusion": "cmcf_srnet"}, "fuses conversations alone"),
        ({"fusion": "lora_trained"}, "fuses conversations alone"),
        ({"modalities": ("text", "smell")}, "synthetic-humour has no modality 'smell'; it has text, audio, video"),
        ({"modalities": ("text", "text")}, "named once each"),
        ({"dataset": "diginetica"}, "holds no punchlines; the datasets for humour are ur-funny, mustard"),
        ({"protocol": "released"}, "choose one of honest, tuning"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"dropout": 1.0}, "dropout 0 to below 1"),
        ({"rank": 0, "fusion": "lmam"}, "rank must be at least 1"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_an_impossible_question_is_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LmamError, match=sentence) as error:
        Humour(**changed).resolved()
    assert "\n" not in str(error.value)


def test_a_rank_that_is_too_wide_says_so() -> None:
    e = Humour(fusion="lmam", rank=17, modalities=("text",)).resolved()
    with pytest.raises(LmamError, match="from 1 to 16"):
        build(e, {"text": 8})


def test_a_question_has_one_key_and_a_run_goes_into_the_store_and_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(experiment, "load", lambda name: small())
    every = Humour(fusion="lmam", epochs=1)
    named = Humour(fusion="lmam", epochs=1, modalities=("video", "text", "audio"), embedding="late", rank=4)
    assert every.key == named.key != dataclasses.replace(every, setting="context").key
    assert every.arm == "both.T+A+V.lmam.late.r4"
    store, result = Store(tmp_path), run(every)
    store.add(result)
    (back,) = store
    assert back.experiment == result.experiment
    assert back.key == every.key
    assert back.metrics == pytest.approx(result.metrics)
    assert sum(back.outcomes.values()).sum() == SMALL.sizes["test"]
    assert result.fusion_parameters == 2 * (fusion.method("lmam").size(dict.fromkeys("tav", 16), rank=4) + 48 * 48)
    assert run(every).metrics == result.metrics, "the same question gives the same numbers"
    tuned = run(dataclasses.replace(every, protocol="tuning"))
    assert not tuned.metrics
    assert tuned.training.selection_score == result.training.selection_score


def test_validation_is_drawn_anew_for_each_seed_and_a_brought_one_is_kept() -> None:
    data = small()
    first, second = (np.flatnonzero(data.with_validation(seed).split == 1) for seed in (0, 1))
    assert len(first) == len(second) == 12
    assert set(first) != set(second)
    brought = dataclasses.replace(data, split=np.where(np.arange(100) < 5, 1, data.split))
    assert brought.with_validation(3).split.tolist() == brought.split.tolist()


def test_features_are_standardised_by_words_of_train_alone() -> None:
    data = small().with_validation(0)
    moved = dataclasses.replace(data, features={m: x.copy() for m, x in data.features.items()})
    words = np.repeat(np.repeat(data.split > 0, np.diff(data.segments)), np.diff(data.sentences))
    for m, x in moved.features.items():
        x[words] += 100
        inside = data.standardised().features[m][~words]
        np.testing.assert_array_equal(moved.standardised().features[m][~words], inside)
        np.testing.assert_allclose(inside.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(inside.std(0), 1, atol=1e-4)


def sdk(folder: Path) -> None:
    """UR-FUNNY's six files with eight segments: the second without audio, the third with a strange label."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ids = list(range(8))
    words = {i: {"punchline_embedding_indexes": [1, 2], "context_embedding_indexes": [[3], [4, 5]]} for i in ids}
    words[3]["context_embedding_indexes"] = []
    words[4]["punchline_embedding_indexes"] = []

    def features(width: int) -> dict[int, Any]:
        lengths = {i: ([len(s) for s in w["context_embedding_indexes"]], 2) for i, w in words.items()}
        return {
            i: {
                "context_features": [rng.normal(size=(n, width)).tolist() for n in context],
                "punchline_features": rng.normal(size=(n, width)).tolist(),
            }
            for i, (context, n) in lengths.items()
        }

    covarep = features(2)
    del covarep[1]
    covarep[0]["punchline_features"][0][1] = -np.inf
    contents = {
        "data_folds.pkl": {"train": [0, 1, 2, 3, 4], "dev": [5], "test": [6, 7]},
        "humor_label_sdk.pkl": {i: 3 if i == 2 else i % 2 for i in ids},
        "language_sdk.pkl": words,
        "word_embedding_list.pkl": rng.normal(size=(6, 4)).tolist(),
        "covarep_features_sdk.pkl": covarep,
        "openface_features_sdk.pkl": features(3),
    }
    for name, value in contents.items():
        (folder / name).write_bytes(pickle.dumps(value, protocol=4))


def test_ur_funny_is_read_word_by_word_from_its_six_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    segments.load.cache_clear()
    monkeypatch.setenv("LMAM_DATA", str(tmp_path))
    with pytest.raises(LmamError, match=r"ur-funny needs the file ur-funny/data_folds\.pkl and those"):
        segments.load("ur-funny")
    sdk(tmp_path / "ur-funny")
    data = segments.load("ur-funny")
    assert data.split.tolist() == [0, 0, 0, 1, 2, 2]
    assert data.label.tolist() == [0, 1, 1, 1, 0, 1]
    assert data.widths == {"text": 4, "audio": 2, "video": 3}
    assert np.diff(data.segments).tolist() == [3, 3, 1, 3, 3, 3]
    assert data.features["audio"][data.sentences[2], 1] == 0, "a number that is not finite"
    assert any("segment 2 is left out: its label is 3" in note for note in data.notes)
    assert any("segment 4 is left out: its punchline has no words" in note for note in data.notes)
    assert any("lack audio" in note and "5, of 1 punchlines" in note for note in data.notes)
    e = Humour(dataset="ur-funny", epochs=1, width=4).resolved()
    assert e.modalities == ("text", "audio", "video")
    model, prepared_, _ = fit(e)
    assert sum(evaluate(model, prepared_, 2, CPU).values()).sum() == 2
    segments.load.cache_clear()
    whole = (tmp_path / "ur-funny" / "covarep_features_sdk.pkl").read_bytes()
    (tmp_path / "ur-funny" / "covarep_features_sdk.pkl").write_bytes(whole[:99])
    with pytest.raises(LmamError, match=r"^[^\n]*covarep_features_sdk\.pkl[^\n]*$|six files"):
        segments.load("ur-funny")
    (tmp_path / "ur-funny" / "covarep_features_sdk.pkl").unlink()
    with pytest.raises(LmamError, match=r"lacks covarep_features_sdk\.pkl"):
        segments.load("ur-funny")


def test_mustard_has_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = arrays() | {"fold": np.array([0, 3, 4]), "word": np.arange(7) % 3, "text_glove300": np.eye(3)}
    monkeypatch.setattr(catalogue, "arrays", lambda name: (stored, "sha"))
    segments.load.cache_clear()
    data = segments.load("mustard")
    segments.load.cache_clear()
    assert data.split.tolist() == [2, 0, 0]
    assert data.classes == ("not sarcastic", "sarcastic")
    with pytest.raises(LmamError, match="mustard has no modality 'audio'; it has text"):
        data.select(["audio"])
