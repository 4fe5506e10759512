"""Humour detection: equations against naive float64, padding, what a generated set can tell at best, bad input."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from lmam_core.data import catalogue
from lmam_core.data.sources.synthetic_humour import DEFAULT, Incongruity, generate, oracle
from lmam_core.models import fusion
from lmam_core.tasks.humour.asked import Humour, build, evaluate, fit, prepared
from lmam_core.tasks.humour.cmfn import CMFN, EMBEDDINGS, SETTINGS
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


def made(setting: str, method: str, embedding: str, modalities: tuple[str, ...] = ("text", "audio", "video")) -> CMFN:
    widths = {m: SMALL.widths[m] for m in modalities}
    rank = {"rank": 3} if method == "lmam" else {}
    makes = None if method == "none" else lambda widths: fusion.build(method, widths, **rank)
    return filled(CMFN(widths, setting, makes, embedding, context=3, hidden=4, memory=5, heads=2))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", ["none", "lmam late", "lmam early_residual", "concat late"])
def test_the_model_is_its_equations(setting: str, method: str) -> None:
    name, _, embedding = method.partition(" ")
    model = made(setting, name, embedding or "late")
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
    model, data = made(setting, "lmam", embedding), doubled(small())
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
    assert torch.equal(made("context", "lmam", "late")(batch), made("context", "lmam", "late")(other))
    for x in other.context.features.values():
        x += 1.0
    unread = dataclasses.replace(batch, context=other.context)
    assert torch.equal(made("punchline", "lmam", "late")(batch), made("punchline", "lmam", "late")(unread))
    assert not torch.allclose(made("both", "lmam", "late")(batch), made("both", "lmam", "late")(unread))


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
        found = oracle(SMALL, arrays, modalities, setting)
        expected = [naive(SMALL, data, i, modalities, setting) for i in range(12)]
        np.testing.assert_allclose(found[:12], expected, rtol=1e-6)


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
