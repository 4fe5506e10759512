"""The generated corpus carries exactly the signal that was put in: a probe and the exact posterior both find it."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from lmam_core.batch import Conversation
from lmam_core.data.synthetic import (
    IEMOCAP_LIKE,
    MELD_LIKE,
    SyntheticConfig,
    _directions,
    generate,
    oracle,
    oracle_accuracy,
)
from lmam_core.errors import LmamError

SILENT = SyntheticConfig(
    sizes={"train": 120, "test": 80},
    widths={"text": 18, "audio": 12, "video": 16},
    alone={},
    interaction=0.0,
    context=0.0,
    reach=2,
    inertia=0.0,
)
"""No signal at all; each test turns one knob. Narrow features leave a probe little to overfit on."""


def windowed(x: np.ndarray, window: int) -> np.ndarray:
    """Each utterance (L, d) with its neighbours: (L, (2 window + 1) d), zeros outside."""
    padded = np.pad(x, ((window, window), (0, 0)))
    return np.concatenate([padded[i : i + len(x)] for i in range(2 * window + 1)], axis=1)


def beside(c: Conversation, modalities) -> np.ndarray:
    return np.concatenate([c.features[m] for m in modalities], axis=1)


def multiplied(c: Conversation) -> np.ndarray:
    text, audio = c.features["text"], c.features["audio"]
    return np.einsum("ti,tj->tij", text, audio).reshape(len(c), -1)  # (L, d_text d_audio)


def labels(conversations) -> np.ndarray:
    return np.concatenate([c.label for c in conversations])


def probe(d, look) -> float:
    """Test accuracy of a linear model on `look(conversation)` (L, d)."""
    rows = {s: (np.concatenate([look(c) for c in cs]), labels(cs)) for s, cs in d.splits.items()}
    return LogisticRegression(C=0.01, max_iter=300).fit(*rows["train"]).score(*rows["test"])


def majority(d) -> float:
    """Test accuracy of always guessing the class that is most frequent in the prior."""
    return float(np.mean(labels(d.splits["test"]) == len(SILENT.prior) - 1))


def ceiling(config, d, modalities=None, window=None) -> float:
    return oracle_accuracy(config, d.splits["test"], modalities, window)


def posteriors(config, d, **options) -> np.ndarray:
    return np.concatenate([oracle(config, c, **options) for c in d.splits["test"]])


def test_oracle_equals_the_sum_over_all_label_sequences():
    """Against the definition: every sequence of labels, every shift, full Gaussian densities."""
    C, reach = 3, 2
    config = SyntheticConfig(
        classes=("a", "b", "c"),
        prior=(0.5, 0.3, 0.2),
        sizes={"train": 1, "test": 1},
        shortest=4,
        mean_length=4.5,
        longest=5,
        length_deviation=0.4,
        widths={"text": 9, "audio": 6, "video": 4},
        alone={"text": 0.8, "audio": 0.5, "video": 0.6},
        interaction=1.5,
        context=1.0,
        reach=reach,
        inertia=0.4,
    )
    (c,) = generate(config).splits["train"]
    L = len(c)
    means = {m: _directions(config.seed, m, width, C) for m, width in config.widths.items()}

    def density(m, t, y, k):
        mean = config.alone[m] * means[m]["alone"][y[t]]
        if m != "video":
            shown = k if m == "text" else (y[t] + k) % C
            mean = mean + config.interaction * means[m]["interaction"][shown]
        if m == "text" and t >= reach:
            mean = mean + config.context * means[m]["context"][y[t - reach]]
        return np.exp(-((c.features[m][t] - mean) ** 2).sum() / 2)

    def by_definition(modalities, visible):
        total = np.zeros((L, C))
        for y in product(range(C), repeat=L):
            p = config.prior[y[0]]
            for a, b in pairwise(y):
                p *= config.inertia * (a == b) + (1 - config.inertia) * config.prior[b]
            for t in visible:
                p *= sum(np.prod([density(m, t, y, k) for m in modalities]) for k in range(C))
            total[np.arange(L), y] += p
        return total / total.sum(1, keepdims=True)

    everything = ("text", "audio", "video")
    np.testing.assert_allclose(oracle(config, c), by_definition(everything, range(L)), rtol=1e-4, atol=1e-7)
    for m in ("text", "audio"):
        np.testing.assert_allclose(oracle(config, c, [m]), by_definition([m], range(L)), rtol=1e-4, atol=1e-7)
    for t in range(L):
        near = [s for s in range(L) if abs(s - t) <= 1]
        seen = oracle(config, c, window=1)[t]
        np.testing.assert_allclose(seen, by_definition(everything, near)[t], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("modality", ["text", "audio", "video"])
def test_directions_of_a_modality_are_orthonormal(modality):
    u = np.concatenate(list(_directions(0, modality, 30, 6).values()))
    np.testing.assert_allclose(u @ u.T, np.eye(len(u)), atol=1e-6)


def test_without_any_signal_the_prior_is_all_there_is():
    config = replace(SILENT, inertia=0.5)
    d = generate(config)
    np.testing.assert_allclose(posteriors(config, d), np.tile(config.prior, (len(labels(d.splits["test"])), 1)))
    assert ceiling(config, d) == majority(d)
    everything = ("text", "audio", "video")
    assert abs(probe(d, lambda c: windowed(beside(c, everything), 1)) - majority(d)) < 0.025


@pytest.mark.parametrize("modality", ["text", "audio", "video"])
def test_a_modality_alone(modality):
    config = replace(SILENT, alone={modality: 1.5})
    d = generate(config)
    best = ceiling(config, d, [modality])
    assert best > majority(d) + 0.3
    assert abs(probe(d, lambda c: c.features[modality]) - best) < 0.02
    others = [m for m in config.widths if m != modality]
    assert abs(probe(d, lambda c: beside(c, others)) - majority(d)) < 0.025
    assert ceiling(config, d, others) == majority(d)
    assert ceiling(config, d) == best, "the other modalities add nothing"


def test_the_interaction_is_in_the_pair_only():
    config = replace(SILENT, interaction=3.5)
    d = generate(config)
    prior = np.tile(config.prior, (len(labels(d.splits["test"])), 1))
    for m in ("text", "audio"):
        np.testing.assert_allclose(posteriors(config, d, modalities=[m]), prior)
    assert abs(probe(d, lambda c: beside(c, ("text", "audio"))) - majority(d)) < 0.025
    best = ceiling(config, d, ["text", "audio"])
    assert best > 0.9
    assert probe(d, multiplied) > majority(d) + 0.5


@pytest.mark.parametrize("reach", [1, 3])
def test_context_is_found_just_where_it_reaches(reach):
    config = replace(SILENT, context=3.0, reach=reach)
    d = generate(config)
    best = ceiling(config, d)
    assert best > 0.85
    assert ceiling(config, d, window=reach) == best
    assert ceiling(config, d, window=reach - 1) == majority(d)
    assert best - 0.03 < probe(d, lambda c: windowed(c.features["text"], reach)) < best + 0.01
    assert abs(probe(d, lambda c: windowed(c.features["text"], reach - 1)) - majority(d)) < 0.025
    assert ceiling(config, d, ["audio", "video"]) == majority(d)


def test_context_beyond_the_end_tells_nothing():
    config = replace(SILENT, context=3.0, reach=300)
    d = generate(config)
    assert ceiling(config, d) == majority(d)


def test_inertia_is_what_neighbours_are_worth():
    still, moving = replace(SILENT, alone={"text": 1.2}), replace(SILENT, alone={"text": 1.2}, inertia=0.6)
    apart, together = generate(still), generate(moving)
    assert ceiling(still, apart) == ceiling(still, apart, window=0)
    alone, smoothed = ceiling(moving, together, window=0), ceiling(moving, together)
    assert abs(probe(together, lambda c: c.features["text"]) - alone) < 0.03
    assert alone + 0.05 < probe(together, lambda c: windowed(c.features["text"], 2)) < smoothed + 0.01
    pairs = np.concatenate([c.label[1:] == c.label[:-1] for c in together.splits["train"]])
    kept = 0.6 + 0.4 * sum(p * p for p in moving.prior)
    assert abs(pairs.mean() - kept) < 0.02


def test_the_prior_holds_at_the_end_of_conversations_too():
    short = {"shortest": 2, "mean_length": 3.0, "longest": 9, "length_deviation": 1.0}
    config = replace(SILENT, inertia=0.6, sizes={"train": 4000, "test": 1}, **short)
    last = [c.label[-1] for c in generate(config).splits["train"]]
    np.testing.assert_allclose(np.bincount(last) / len(last), config.prior, atol=0.025)


MEASURED = [
    pytest.param(IEMOCAP_LIKE, 90, 82, (49, 40, 38), (12, 3, 4), id="iemocap"),
    pytest.param(MELD_LIKE, 87, 83, (57, 51, 51), (13, 3, 1), id="meld"),
]
"""What the docstrings of the presets say: all, without context, single modalities, and the worth of each knob, in %."""


@pytest.mark.parametrize(("config", "full", "here", "single", "worth"), MEASURED)
def test_presets_are_as_hard_as_they_say(config, full, here, single, worth):
    conversations = everyone(generate(config))
    best = 100 * oracle_accuracy(config, conversations)
    assert best == pytest.approx(full, abs=1.5)
    assert 100 * oracle_accuracy(config, conversations, window=0) == pytest.approx(here, abs=1.5)
    for m, expected in zip(("text", "audio", "video"), single, strict=True):
        assert 100 * oracle_accuracy(config, conversations, [m], window=0) == pytest.approx(expected, abs=1.5)
    for knob, expected in zip(("interaction", "context", "inertia"), worth, strict=True):
        less = replace(config, **{knob: 0.0})
        assert best - 100 * oracle_accuracy(less, everyone(generate(less))) == pytest.approx(expected, abs=1.5)


def test_a_linear_model_misses_the_interaction_of_the_preset():
    d = generate(IEMOCAP_LIKE)
    reached = probe(d, lambda c: beside(c, ("text", "audio")))
    assert reached == pytest.approx(0.57, abs=0.02)
    assert ceiling(IEMOCAP_LIKE, d, ["text", "audio"], 0) == pytest.approx(0.79, abs=0.02)


class Products(nn.Module):
    """Logits from text, audio and r products of their projections: the least that can see the interaction."""

    def __init__(self, width: int, classes: int, r: int = 32):
        super().__init__()
        self.u, self.v = nn.Linear(width, r), nn.Linear(width, r)
        self.out = nn.Linear(2 * width + r, classes)

    def forward(self, x):
        text, audio = nn.functional.dropout(x, 0.3, self.training).chunk(2, dim=1)
        return self.out(torch.cat([text, audio, self.u(text) * self.v(audio)], dim=1))


def test_a_model_of_products_learns_the_interaction_of_the_preset():
    d = generate(IEMOCAP_LIKE)
    pairs = {
        s: torch.from_numpy(np.concatenate([beside(c, ("text", "audio")) for c in cs])) for s, cs in d.splits.items()
    }
    y = torch.from_numpy(labels(d.splits["train"]))
    torch.manual_seed(0)
    model = Products(100, len(d.classes))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(10):
        for rows in torch.randperm(len(y)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(pairs["train"][rows]), y[rows]).backward()
            optimiser.step()
    guessed = model.eval()(pairs["test"]).argmax(1).numpy()
    linear = probe(d, lambda c: beside(c, ("text", "audio")))
    assert np.mean(guessed == labels(d.splits["test"])) > linear + 0.05


@pytest.mark.parametrize(("modalities", "window"), [(None, None), (["text"], 0), (["audio", "video"], 2)])
def test_the_oracle_is_calibrated(modalities, window):
    conversations = everyone(generate(IEMOCAP_LIKE))
    p = np.concatenate([oracle(IEMOCAP_LIKE, c, modalities, window) for c in conversations])  # (T, C)
    np.testing.assert_allclose(p.sum(1), 1)
    assert abs(p.max(1).mean() - np.mean(p.argmax(1) == labels(conversations))) < 0.012


def everyone(d) -> list[Conversation]:
    return [c for cs in d.splits.values() for c in cs]


@pytest.mark.parametrize(
    ("config", "sizes", "lengths", "mean", "speakers"),
    [
        pytest.param(IEMOCAP_LIKE, {"train": 120, "test": 31}, (8, 110), 49.2, {2}, id="iemocap"),
        pytest.param(
            MELD_LIKE, {"train": 1038, "validation": 114, "test": 280}, (1, 33), 9.6, set(range(1, 10)), id="meld"
        ),
    ],
)
def test_presets_have_the_shapes_of_the_real_sets(config, sizes, lengths, mean, speakers):
    d = generate(config)
    assert {s: len(cs) for s, cs in d.splits.items()} == sizes
    assert d.widths == {"text": 100, "audio": 100, "video": 512}
    assert d.synthetic
    length = np.array([len(c) for c in everyone(d)])
    assert lengths[0] <= length.min()
    assert length.max() <= lengths[1]
    assert length.mean() == pytest.approx(mean, rel=0.01)
    assert length.std() == pytest.approx(config.length_deviation, rel=0.03)
    found = {int(c.speaker.max()) + 1 for c in everyone(d)}
    assert found <= speakers
    assert max(found) > 1
    assert all(c.speaker[0] == 0 for c in everyone(d))
    y = labels(everyone(d))
    np.testing.assert_allclose(np.bincount(y) / len(y), config.prior, atol=0.02)


def test_the_same_settings_give_the_same_numbers():
    config = replace(IEMOCAP_LIKE, conversations=6)
    first, second = generate(config), generate(config)
    assert first.sha256 == second.sha256
    for a, b in zip(everyone(first), everyone(second), strict=True):
        np.testing.assert_array_equal(a.label, b.label)
        np.testing.assert_array_equal(a.speaker, b.speaker)
        for m in a.features:
            np.testing.assert_array_equal(a.features[m], b.features[m])
    other = generate(replace(config, seed=1))
    assert other.sha256 != first.sha256
    assert not np.array_equal(labels(everyone(other)), labels(everyone(first)))


def test_amplitudes_leave_labels_and_noise_alone():
    config = replace(IEMOCAP_LIKE, conversations=6)
    louder = generate(replace(config, interaction=5.0))
    for a, b in zip(everyone(generate(config)), everyone(louder), strict=True):
        np.testing.assert_array_equal(a.label, b.label)
        np.testing.assert_array_equal(a.features["video"], b.features["video"])
        assert np.abs(a.features["text"] - b.features["text"]).max() > 0.1


@pytest.mark.parametrize("count", [2, 3, 7, 151])
def test_a_shrunk_corpus_keeps_every_split(count):
    d = generate(replace(IEMOCAP_LIKE, conversations=count))
    assert len(everyone(d)) == count
    assert min(len(cs) for cs in d.splits.values()) >= 1
    assert len(d.splits["train"]) >= len(d.splits["test"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"alone": {"text": -1.0}}, r"alone\[text\] is an amplitude and must be 0 or more, not -1"),
        ({"interaction": -0.1}, "interaction is an amplitude"),
        ({"context": float("nan")}, "context is an amplitude"),
        ({"alone": {"smell": 1.0}}, "alone names smell"),
        ({"reach": 0}, "reach counts utterances and must be 1 or more, not 0"),
        ({"inertia": 1.0}, "inertia must lie in"),
        ({"prior": (0.5, 0.5)}, "prior must give each of the 6 classes"),
        ({"widths": {"text": 17, "audio": 12}}, "text needs a width of at least 18 for its orthogonal parts, not 17"),
        ({"widths": {"text": 18}}, "widths must name text, audio"),
        ({"mean_length": 200.0}, "lengths must fulfil"),
        ({"length_deviation": 60.0}, "cannot deviate by 60"),
        ({"speakers": {0: 1.0}}, "speakers must map"),
        ({"sizes": {"test": 3}}, "sizes must give every split"),
        ({"conversations": 1}, "conversations must be 2 or more"),
    ],
)
def test_settings_that_cannot_be_generated(change, sentence):
    with pytest.raises(LmamError, match=sentence):
        replace(SILENT, **change)


def test_the_oracle_names_a_modality_that_is_not_there():
    d = generate(SILENT)
    with pytest.raises(LmamError, match="has no modality 'nonverbal'; it has text, audio, video"):
        oracle(SILENT, d.splits["test"][0], ["nonverbal"])
