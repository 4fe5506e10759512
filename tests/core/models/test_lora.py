"""LoRA: what is frozen, what is added, where it starts, and what it is trained from."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from lmam_core.errors import LmamError
from lmam_core.models.lora import LowRank, adapt
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import build, prepared, run, trained

SMALL = Experiment("synthetic-iemocap", fusion="lora_random", dialogues=6, epochs=2, batch_size=3, seed=3)


def data():
    return prepared(SMALL)


@pytest.mark.parametrize("backbone", ["bc_lstm", "emocaps", "dialogue_rnn"])
def test_it_starts_as_the_frozen_model(backbone: str) -> None:
    e = dataclasses.replace(SMALL, backbone=backbone)
    adapted, plain = build(e, data()).eval(), build(dataclasses.replace(e, fusion="concat"), data()).eval()
    batch = next(data().batches("test", 4))
    torch.testing.assert_close(adapted(batch), plain(batch))


def test_recurrences_are_adapted_and_count_r_times_rows_and_columns() -> None:
    model = build(SMALL, data())
    lstm = model.backbone.context["fused"].rnn
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    sides = [f"{part}_l{layer}{way}" for part in ("ih", "hh") for layer in (0, 1) for way in ("", "_reverse")]
    expected = {f"backbone.context.fused.rnn.parametrizations.weight_{s}.0.{side}" for s in sides for side in "AB"}
    assert {n for n in names if n.startswith("backbone")} == expected
    width, hidden = sum(data().widths.values()), lstm.hidden_size
    matrices = [(4 * hidden, n) for n in (width, hidden, 2 * hidden, hidden)] * 2 + [(hidden, 2 * hidden)]
    additions = sum(p.numel() for m in model.modules() if isinstance(m, LowRank) for p in m.parameters())
    assert additions == 8 * sum(rows + columns for rows, columns in matrices)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == additions + 6 * hidden + 6


@pytest.mark.parametrize("backbone", ["bc_lstm", "emocaps", "dialogue_rnn"])
def test_additions_get_gradients_and_the_base_gets_none(backbone: str) -> None:
    model = build(dataclasses.replace(SMALL, backbone=backbone), data()).train()
    batch = next(data().batches("train", 4))
    for _, module in model.named_modules():
        if isinstance(module, LowRank):
            module.B.data.normal_(std=0.1)  # at its start, zero, A has no gradient
    nn.functional.cross_entropy(model(batch)[batch.mask], batch.label[batch.mask]).backward()
    for name, p in model.named_parameters():
        assert (p.grad is not None) == p.requires_grad, name
        assert p.grad is None or p.grad.abs().sum() > 0, name


def test_the_weight_is_the_frozen_one_and_the_product() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 3))
    before, x = model[0].weight.detach().clone(), torch.randn(4, 20)
    adapt(model, rank=2)
    addition = model[0].parametrizations.weight[0]
    addition.B.data.normal_()
    expected = x @ (before + addition.B @ addition.A).T + model[0].bias
    torch.testing.assert_close(model[0](x), expected)
    assert not hasattr(model[2], "parametrizations")
    assert all(p.requires_grad for p in model[2].parameters())


def test_the_trained_base_is_the_concatenations_model() -> None:
    e = dataclasses.replace(SMALL, fusion="lora_trained")
    adapted, prepared_data, _ = trained(e)
    base, *_ = trained(dataclasses.replace(e, fusion="concat"))
    frozen = adapted.backbone.context["fused"].rnn.parametrizations.weight_ih_l0.original
    torch.testing.assert_close(frozen, base.backbone.context["fused"].rnn.weight_ih_l0)
    assert prepared_data.outputs == 6


def test_a_run_counts_what_is_trained() -> None:
    found = run(SMALL)
    assert found.experiment.rank == 8
    assert found.experiment.arm == "lora_random.early.r8"
    assert found.parameters - found.fusion_parameters == 6 * 100 + 6
    assert found.fusion_parameters < 60_000


@pytest.mark.parametrize("rank", [0, 2.5, True])
def test_a_rank_that_is_none_is_refused(rank: object) -> None:
    with pytest.raises(LmamError, match="rank of LoRA must be a whole number from 1"):
        adapt(nn.Linear(3, 3), rank)
