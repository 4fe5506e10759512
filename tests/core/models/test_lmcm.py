"""LMCM against its equations, one conversation and one head at a time; its parts, its registry entries, its plan."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_book.pages import live_runs
from lmam_book.plans import arms, plans
from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.backbones.utterance import Utterance
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from lmam_core.models.layers.transformer import Places
from lmam_core.models.lmcm import LMCM, NORMS, CrossAttention, DyT
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes, summarise
from lmam_core.runs.run import Run, run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.core.models.backbones.cases import WIDTHS, streams, turns
from tests.core.models.backbones.test_contract import batch
from tests.notebooks.here import execute

TWO = {"text": WIDTHS["text"], "video": WIDTHS["video"]}
PARTS = [
    {},
    {"branches": 1},
    {"residual": False},
    {"norm": "layer"},
    {"branches": 1, "residual": False, "norm": "layer"},
]
SUBSETS = [("text", "video"), ("text",), ("text", "audio", "video")]


def made(widths: dict[str, int] = TWO, **options: object) -> LMCM:
    """A small LMCM with no parameter at the one or zero that it starts from, so that a wrong use shows."""
    torch.manual_seed(0)
    module = LMCM(widths, **{"width": 12, "heads": 3, **options}).double().eval()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return module


def attention(made: nn.Module, queries: Tensor, keys: Tensor) -> Tensor:
    """softmax(Q K^T / √(d / heads)) V of one conversation, head by head, and the output map."""
    q, k, v = (getattr(made, n)(x) for n, x in (("query", queries), ("key", keys), ("value", keys)))
    heads = []
    for part in torch.arange(q.shape[-1]).chunk(made.heads):
        scores = q[:, part] @ k[:, part].T / len(part) ** 0.5
        heads.append(torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True) @ v[:, part])
    return made.output(torch.cat(heads, -1))


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """DyT's formula, or LayerNorm's, from the parameters alone."""
    if isinstance(norm, DyT):
        return norm.weight * torch.tanh(norm.alpha * x) + norm.bias
    middle, spread = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return norm.weight * (x - middle) / (spread + norm.eps).sqrt() + norm.bias


def test_dyt_is_its_formula_and_starts_as_its_paper_does() -> None:
    norm, x = DyT(5).double(), torch.randn(2, 3, 5, dtype=torch.float64)
    assert norm.alpha.shape == ()
    torch.testing.assert_close(norm(x), torch.tanh(0.5 * x), rtol=0, atol=1e-15)
    with torch.no_grad():
        for p in norm.parameters():
            p.add_(torch.randn_like(p))
    for index in ((0, 0, 0), (1, 2, 4)):
        c = index[-1]
        expected = norm.weight[c] * torch.tanh(norm.alpha * x[index]) + norm.bias[c]
        torch.testing.assert_close(norm(x)[index], expected)
    assert sum(p.numel() for p in norm.parameters()) == 2 * 5 + 1
    assert DyT(5, alpha=0.2).alpha.item() == pytest.approx(0.2)


def test_gradients_of_dyt_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    norm, x = DyT(4).double(), torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def values(x: Tensor, alpha: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"alpha": alpha, "weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(values, (x, norm.alpha, norm.weight, norm.bias))


def test_dyt_looks_at_each_number_by_itself_and_layer_norm_does_not() -> None:
    x = torch.randn(1, 6)
    other = x.clone()
    other[0, 5] += 3
    for name, alone in (("dyt", True), ("layer", False)):
        norm = NORMS[name](6)
        assert torch.equal(norm(other)[0, :5], norm(x)[0, :5]) == alone


def test_cross_attention_adds_the_attention_to_what_asks_or_is_the_attention_alone() -> None:
    torch.manual_seed(0)
    who = turns(4, 1, 3)
    places = Places.of(who)
    x, queries, keys = (places.pack(torch.randn(3, 4, 12, dtype=torch.float64)) for _ in range(3))
    with_residual = CrossAttention(12, 3, 0.1).double().eval()
    without = CrossAttention(12, 3, 0.1, residual=False).double().eval()
    without.load_state_dict(with_residual.state_dict())
    found = without(x, queries, keys, places)
    assert torch.equal(found, without.attention(queries, keys, keys, places))
    assert torch.equal(with_residual(x, queries, keys, places), x + found)
    start = 0
    for n in (4, 1, 3):
        here = slice(start, start + n)
        torch.testing.assert_close(found[here], attention(without.attention, queries[here], keys[here]))
        start += n


@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize("kept", SUBSETS, ids="+".join)
def test_lmcm_is_its_equations(parts: dict, kept: tuple[str, ...]) -> None:
    widths = {m: WIDTHS[m] for m in kept}
    module, who = made(widths, **parts), turns(5, 1, 3)
    given = streams(who, widths=widths)
    got = module(given, who.mask)
    assert got.shape == (3, 5, module.d_out)
    for b, n in enumerate((5, 1, 3)):
        z = {m: x[b, :n] @ module.project[m].weight.T + module.project[m].bias for m, x in given.items()}
        h = {m: normed(module.norm[m], z[m]) for m in kept}
        asking = kept if parts.get("branches", 2) == 2 else kept[:1]
        pairs = [(i, j) for i in asking for j in kept if j != i] if len(kept) > 1 else [("text", "text")]
        u = []
        for (i, j), branch in zip(pairs, module.branches, strict=True):
            found = attention(branch.attention, h[i], h[j])
            u.append(z[i] + found if parts.get("residual", True) else found)
        torch.testing.assert_close(got[b, :n], torch.cat(u, -1))
    assert (got[~who.mask] == 0).all()


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_padding_and_the_order_of_conversations_and_of_utterances_change_nothing(parts: dict) -> None:
    module, who, more = made(**parts), turns(6, 4, 1), turns(6, 4, 1, pad=5)
    given = streams(who, widths=TWO)
    out = module(given, who.mask)
    padded = module(streams(more, fill=50.0, widths=TWO), more.mask)
    torch.testing.assert_close(padded[:, :6], out, rtol=0, atol=1e-12)
    order = torch.tensor([2, 0, 1])
    mixed = module({m: x[order] for m, x in given.items()}, who.mask[order])
    torch.testing.assert_close(mixed, out[order], rtol=0, atol=1e-12)
    back = module({m: x[:1].flip(1) for m, x in given.items()}, who.mask[:1])
    torch.testing.assert_close(back, out[:1].flip(1), rtol=0, atol=1e-12)


def test_without_a_mask_every_place_holds_an_utterance_and_a_mask_may_be_of_numbers() -> None:
    module, who = made(), turns(4, 4)
    given = streams(who, widths=TWO)
    assert torch.equal(module(given), module(given, who.mask))
    half = turns(4, 2)
    assert torch.equal(module(given, half.mask.float()), module(given, half.mask))


@pytest.mark.parametrize("kept", SUBSETS, ids="+".join)
@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_parameters_are_those_of_the_formula_and_each_gets_a_gradient(parts: dict, kept: tuple[str, ...]) -> None:
    widths, d = {m: WIDTHS[m] for m in kept}, 12
    module, who = made(widths, **parts).train(), turns(5, 3)
    P = max((len(kept) if parts.get("branches", 2) == 2 else 1) * (len(kept) - 1), 1)
    norm = 2 * d if parts.get("norm") == "layer" else 2 * d + 1
    expected = sum((d_m + 1) * d + norm for d_m in widths.values()) + P * (4 * d * d + 3 * d)
    assert sum(p.numel() for p in module.parameters()) == expected
    assert module.d_out == P * d
    module(streams(who, widths=widths), who.mask).square().sum().backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


def test_dropout_falls_on_what_attention_adds() -> None:
    module, who = made(dropout=1.0).train(), turns(4)
    given = streams(who, widths=TWO)
    z = torch.cat([module.project[m](x) for m, x in given.items()], -1)
    torch.testing.assert_close(module(given, who.mask), z)


def test_the_second_branch_is_what_the_single_one_leaves_out() -> None:
    whole, single, who = made(), made(branches=1), turns(4, 2)
    given = streams(who, widths=TWO)
    single.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("branches.1")})
    torch.testing.assert_close(single(given, who.mask), whole(given, who.mask)[..., :12])
    assert whole.pairs == [("text", "video"), ("video", "text")]
    assert single.pairs == [("text", "video")]


def test_without_the_residual_what_text_says_is_lost_where_video_never_changes() -> None:
    """Keys and values that are all alike answer every question alike."""
    who = turns(6)
    given = streams(who, widths=TWO)
    given["video"] = given["video"][:, :1].expand(-1, 6, -1)
    spread = {kind: made(branches=1, residual=kind)(given, who.mask)[0].std(0).max() for kind in (True, False)}
    assert spread[False] < 1e-12 < 0.1 < spread[True]


def test_an_utterance_alone_is_answered_the_same_whatever_it_asks() -> None:
    """One key has weight 1: attention between two vectors of one utterance is a linear map of one of them."""
    module, who = made(branches=1, residual=False), turns(1, 1)
    given = streams(who, widths=TWO)
    other = {**given, "text": given["text"] + 1}
    torch.testing.assert_close(module(other, who.mask), module(given, who.mask), rtol=0, atol=1e-12)
    part = module.branches[0].attention
    h = module.norm["video"](module.project["video"](given["video"]))
    torch.testing.assert_close(module(given, who.mask), part.output(part.value(h)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"norm": "batch"}, "no norm 'batch'; choose one of dyt, layer"),
        ({"branches": 3}, "2 branches, or 1 where only the first modality asks; got 3"),
        ({"heads": 5}, "width 12 and 5 heads"),
        ({"heads": 0}, "width 12 and 0 heads"),
    ],
)
def test_what_cannot_be_built_is_told_in_a_sentence(options: dict, said: str) -> None:
    with pytest.raises(LmamError, match=said):
        LMCM(TWO, **{"width": 12, "heads": 3, **options})


def test_missing_modalities_are_told_in_a_sentence() -> None:
    with pytest.raises(LmamError, match="at least one modality"):
        LMCM({})
    with pytest.raises(LmamError, match="built for text, video; video is missing"):
        made()({"text": torch.zeros(1, 2, 7, dtype=torch.float64)})


def test_the_registry_holds_the_whole_and_each_part_taken_away() -> None:
    found = {}
    for name in arms.LMCM:
        module = build(name, TWO).whole
        residual = {branch.residual for branch in module.branches}
        found[name] = (len(module.branches), residual, {type(norm) for norm in module.norm.values()})
    assert found == {
        "lmcm": (2, {True}, {DyT}),
        "lmcm_single": (1, {True}, {DyT}),
        "lmcm_plain": (2, {False}, {DyT}),
        "lmcm_layer_norm": (2, {True}, {nn.LayerNorm}),
    }


@pytest.mark.parametrize(("dataset", "second"), [("mosi", "video"), ("iemocap", "audio")])
def test_the_plan_compares_everything_behind_one_classifier_of_single_utterances(dataset: str, second: str) -> None:
    found = [e for e in plans.plan("lmcm").arms() if e.dataset == dataset]
    assert len({e.key for e in found}) == len(found) == 9
    assert {e.backbone for e in found} == {"utterance"}
    kinds = [(e.fusion, "+".join(e.modalities), e.shuffled) for e in found]
    both = f"text+{second}"
    assert kinds[0] == ("concat", "text", "")
    assert {kind[0] for kind in kinds if kind[1:] == (both, "")} == {"concat", "lmam", *arms.LMCM}
    assert kinds[-2:] == [("lmcm", "text", ""), ("lmcm", both, second)]


def test_the_registrys_adapter_gives_what_lmcm_gives() -> None:
    module, who = build("lmcm", TWO).double().eval(), turns(5, 2)
    given = streams(who, widths=TWO)
    torch.testing.assert_close(module(given, who), module.whole(given, who.mask), rtol=0, atol=1e-14)
    assert module.d_out == module.whole.d_out


@pytest.mark.parametrize("backbone", ["bc_lstm", "emocaps"])
def test_the_comparison_of_table_nine_leaves_lmcm_out(backbone: str) -> None:
    assert not {e.fusion for e in arms.fusions(backbone)()} & set(arms.LMCM)


def test_behind_concatenation_no_utterance_hears_of_another() -> None:
    """Only of the classifier: with LMCM in front an utterance does."""
    for fusion, heard in (("concat", False), ("lmcm", True)):
        torch.manual_seed(0)
        model = embed(WIDTHS, 6, Utterance, lambda w, fusion=fusion: build(fusion, w), "late").double().eval()
        some = batch((4, 3))
        other = dataclasses.replace(some, features={m: x.clone() for m, x in some.features.items()})
        other.features["video"][0, 2] += 1
        change = (model(other) - model(some)).abs().amax(-1)
        assert change[0, 2] > 0
        assert (change[0, 0] > 0) == heard
        assert change[1].max() == 0


def test_the_utterance_backbone_is_two_linear_maps_of_the_features() -> None:
    torch.manual_seed(0)
    model = embed(TWO, 6, Utterance, lambda w: build("concat", w), "late").double().eval()
    some = batch((4, 3))
    first, last = model.classifier[0], model.classifier[-1]
    x = torch.cat([some.features[m] for m in TWO], -1)
    expected = F.relu(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(model(some), expected)
    assert first.weight.shape == (100, sum(TWO.values()))
    who = Turns(some.speaker, some.mask, some.mask.sum(1))
    assert all(torch.equal(x, some.features[m]) for m, x in model.backbone(some.features, who).items())


def test_lmcm_goes_the_whole_way_and_gives_the_same_numbers_twice() -> None:
    asked = Experiment(modalities=("text", "video"), backbone="utterance", fusion="lmcm", dialogues=8, epochs=1)
    first, second = run(asked), run(asked)
    assert first.metrics == second.metrics
    d, widths = 128, {"text": 100, "video": 512}
    assert first.fusion_parameters == sum((n + 1) * d + 2 * d + 1 for n in widths.values()) + 2 * (4 * d * d + 3 * d)
    assert first.parameters == first.fusion_parameters + (2 * d + 1) * 100 + 101 * 6


def answers(e: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions: few errors with the whole of LMCM, more without a residual, many with anything else."""
    rng = np.random.default_rng(e.seed)
    whole = len(e.modalities) == 2 and not e.shuffled
    wrong = ({"lmcm": 0.2, "lmcm_plain": 0.4}.get(e.fusion, 0.6) if whole else 0.6) + 0.02 * rng.normal()
    label = rng.uniform(-3, 2, 400) if e.dataset == "mosi" else rng.integers(6, size=400)
    return label, np.where(rng.random(400) < wrong, -2 if e.dataset == "mosi" else 5, label)


def made_up(e: Experiment) -> Run:
    classes = None if e.dataset == "mosi" else tuple("abcdef")
    halves = zip(*(np.split(part, 2) for part in answers(e)), strict=True)
    found = {name: outcomes(*half, classes and 6) for name, half in zip(("one", "two"), halves, strict=True)}
    once = Training(1, 50.0, [1.0], [50.0], 0.1)
    return Run(e.resolved(), summarise(sum(found.values()), classes and 6), found, classes, once, 10, 1, 1.0, 99.0)


def mean_recall(e: Experiment) -> float:
    label, prediction = answers(e)
    if e.dataset == "mosi":
        label, prediction = label >= 0, prediction >= 0
    return 100 * np.mean([(prediction[label == c] == c).mean() for c in np.unique(label)])


def said(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All text of the chapter on LMCM with the store at `root`; it trains nothing."""
    monkeypatch.setattr(live_runs, "train", lambda arms, device: {})
    root.mkdir(exist_ok=True)
    return execute("20-lmcm", {"store": str(root)}, monkeypatch)


def test_without_runs_the_chapter_says_so_and_what_makes_them(tmp_path: Path, monkeypatch) -> None:
    text = said(tmp_path, monkeypatch)
    assert len(re.findall(r"9 have none yet; lmam sweep lmcm --store \S+ goes on\.", text)) == 2
    assert "than earlier baselines on IEMOCAP. not testable" in text
    measured = sum(e.dataset in ("mosi", "iemocap") for e in plans.plan("lmcm").arms()) - 2  # but LMCM itself
    assert text.count("fewer than five seeds") == 2 * 3 + measured - 2  # the answer; the table, without text alone
    assert "another text moves the answer by 0.0e+00" in text
    assert "video all alike: 1.000 with the residual, 0.000 without" in text


def test_with_runs_the_chapter_says_what_they_show(store: Store, monkeypatch) -> None:
    chosen = plans.plan("lmcm")
    for e in plans.tuning(chosen, chosen.arms()):
        store.add(dataclasses.replace(made_up(e), metrics={}, outcomes={}))
    for e in plans.measured(chosen, chosen.arms(), store, range(5)):
        store.add(made_up(e))
    text = said(store.root, monkeypatch)
    assert "nan" not in text
    full = r"(\d+) of \1 cells on (?:CMU-MOSI|IEMOCAP) have at least five seeds; lmam sweep lmcm --store \S+ goes on to"
    assert len(re.findall(full, text)) == 2
    for data, kinds, metric in (("CMU-MOSI", "text and video", "MAE"), ("IEMOCAP", "text and audio", "weighted F1")):
        start = text.index(f"**{data}**, {kinds}, gain of LMCM in {metric}, first protocol: over concatenation +")
        for other in ("concatenation", "LMAM", "text alone"):
            assert re.search(rf"over {other} \+[\d.]+ \(\+[\d.]+ to \+[\d.]+\)", text[start : start + 250])
    assert "than earlier baselines on IEMOCAP. not testable" in text
    for e in (e for e in chosen.arms() if e.fusion == "lmcm_plain"):
        by_seed = [made_up(dataclasses.replace(e, seed=seed)) for seed in range(5)]
        recall = np.mean([mean_recall(r.experiment) for r in by_seed])
        accuracy = np.mean([r.metrics.get("accuracy", r.metrics.get("acc2")) for r in by_seed])
        assert abs(recall - accuracy) > 0.1  # or the two readings could be confused
        mae = r"[\d.]+ ± [\d.]+ " if e.dataset == "mosi" else ""
        row = rf"LMCM, no residual 5 {mae}{accuracy:.1f} ± [\d.]+ {recall:.1f} ±"
        assert re.search(row, text), e.dataset
