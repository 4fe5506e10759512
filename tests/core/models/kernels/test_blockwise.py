"""Matching in blocks against whole α: the same outputs and gradients, chosen by length, in memory that grows with L."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest.mock import Mock

import pandas as pd
import pytest
import torch
from torch import Tensor

from lmam_book.bench import crossover
from lmam_book.bench import modules as bench
from lmam_core import LMAM
from lmam_core.batch import Turns
from lmam_core.models.kernels import blockwise
from lmam_core.runs.store import DEFAULT
from tests.core.models.test_lmam import READ, WIDTHS


def batch(pad: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """Conversations of 11, 4, 0 and 7 utterances, the last with gaps; what stands in the padding is large."""
    generator = torch.Generator().manual_seed(7)
    mask = torch.arange(11 + pad)[None] < torch.tensor([11, 4, 0, 11])[:, None]
    mask[3, 2:9:2] = False
    features = {}
    for m, d in WIDTHS.items():
        x = torch.randn(4, 11, d, generator=generator, dtype=torch.float64)
        features[m] = torch.cat([x, torch.full((4, pad, d), 1e3, dtype=torch.float64)], 1)
        features[m][~mask] = 1e3
    return features, mask


def outcome(module: LMAM, features: dict[str, Tensor], mask: Tensor | Turns) -> list[Tensor]:
    """The output, and the gradients of features and parameters for one random direction."""
    x = {m: value.clone().requires_grad_() for m, value in features.items()}
    out = module(x, mask)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(8), dtype=out.dtype).to(out.device)
    inputs = [*x.values(), *module.parameters()]
    return [out, *torch.autograd.grad((out * direction).sum(), inputs)]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every conversation counts as blockwise."""
    for name in ("LONG", "LONG_ON_THREADS", "LONG_ON_GPU"):
        monkeypatch.setattr(blockwise, name, 0)


def whole(monkeypatch: pytest.MonkeyPatch, *arguments) -> list[Tensor]:
    """The same outcome, none of the conversations being blockwise."""
    with monkeypatch.context() as patch:
        for name in ("LONG", "LONG_ON_THREADS", "LONG_ON_GPU"):
            patch.setattr(blockwise, name, 10**9)
        return outcome(*arguments)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("reading", [*READ, {"variant": "released"}], ids=lambda r: "-".join(r.values()))
def test_blocks_equal_whole_alpha(reading: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, **reading).double()
    expected = whole(monkeypatch, module, *batch())
    for block in (1, 3, 4, 64):
        monkeypatch.setattr(blockwise, "BLOCK", block)
        torch.testing.assert_close(outcome(module, *batch()), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("keys", ["own", "others", "all", "text"])
def test_padding_changes_nothing_and_masked_places_are_zero(keys: str) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, keys=keys).double()
    features, mask = batch()
    longer, longer_mask = batch(pad=5)
    out = module(longer, longer_mask)
    torch.testing.assert_close(out[:, :11], module(features, mask), rtol=0, atol=1e-12)
    assert (out[~longer_mask] == 0).all()
    mask = torch.zeros_like(mask)
    nothing = outcome(module, features, Turns(mask.long(), mask, mask.sum(1)))
    assert all((part == 0).all() for part in nothing)


@pytest.mark.usefixtures("always")
def test_saturated_scores_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, keys="all", scale="none").double()
    for p in module.weights.parameters():
        p.data *= 100
    torch.testing.assert_close(outcome(module, *batch()), whole(monkeypatch, module, *batch()), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("keys", ["own", "others"])
def test_float32_differs_by_less_than_a_hundred_thousandth(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    widths = {"text": 100, "audio": 100, "video": 128}
    module = LMAM(widths, keys=keys)
    features = {m: torch.randn(2, blockwise.LONG, d) for m, d in widths.items()}
    mask = torch.arange(blockwise.LONG) < torch.tensor([[blockwise.LONG], [700]])
    blocks, dense = outcome(module, features, mask), whole(monkeypatch, module, features, mask)
    torch.testing.assert_close(blocks[0], dense[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(blocks[1:], dense[1:], rtol=1e-4, atol=1e-4)


def test_gradients_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "BLOCK", 2)
    torch.manual_seed(0)
    tensors = [torch.randn(2, 3, width, dtype=torch.float64, requires_grad=True) for width in (2, 2, 2, 4, 4)]
    mask = torch.tensor([[True, False, True], [True, True, True]])
    assert torch.autograd.gradcheck(
        lambda q, a, b, v, w: blockwise.matched(q, [a, b], [v, w], mask, [mask, mask]), tensors
    )


def test_length_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "LONG", 5)
    monkeypatch.setattr(blockwise, "LONG_ON_THREADS", 5)
    monkeypatch.setattr(blockwise, "matched", Mock(side_effect=blockwise.matched))
    module = LMAM(WIDTHS, rank=3)
    for L in (4, 5):
        x = {m: torch.randn(2, L, d) for m, d in WIDTHS.items()}
        module(x)
        module.attention(x)
        assert blockwise.matched.call_count == (3 if L == 5 else 0)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("d", [7, 128, 300])
def test_the_path_for_gpus_has_the_right_score_mask_and_heads(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    monkeypatch.setattr(blockwise, "_kernel", lambda: flex_attention)
    torch.manual_seed(0)
    lengths = torch.tensor([300, 130, 0])
    mask = (torch.arange(300) < lengths[:, None]).repeat(1, 2)  # (3, 600), two modalities
    q, k, v = torch.randn(3, 300, 5), torch.randn(3, 600, 5), torch.randn(3, 600, d)
    scores = torch.tanh(q @ k.mT).masked_fill(~mask[:, None], -torch.inf)
    expected = torch.softmax(scores, -1).nan_to_num(0) @ v
    torch.testing.assert_close(blockwise._flex(q, k, v, mask), expected, rtol=0, atol=1e-6)
    blocks = create_block_mask(lambda b, h, t, s: mask[b, s], 3, 1, 300, 600, device="cpu")
    assert torch.equal(blockwise._block_mask(mask, 300).to_dense(), blocks.to_dense())


@pytest.mark.parametrize(
    ("device", "threads", "name"), [("cpu", 1, "LONG"), ("cpu", 2, "LONG_ON_THREADS"), ("cuda:0", 1, "LONG_ON_GPU")]
)
def test_threads_and_a_gpu_have_a_length_of_their_own(
    device: str, threads: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    shortest = getattr(blockwise, name)
    assert blockwise.is_long(shortest, torch.device(device))
    assert not blockwise.is_long(shortest - 1, torch.device(device))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("keys", ["own", "others"])
def test_second_derivatives_are_those_of_whole_alpha(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a plain sum, too, whose own gradient depends on nothing."""
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3, variant="algorithm1", keys=keys).double()  # without a norm
    features, mask = batch()

    def penalty() -> list[Tensor]:
        x = {m: value.clone().requires_grad_() for m, value in features.items()}
        first = torch.autograd.grad(module(x, mask).sum(), list(x.values()), create_graph=True)
        return list(torch.autograd.grad(sum(g.square().sum() for g in first), module.weights.parameters()))

    blocks = penalty()
    with monkeypatch.context() as patch:
        for name in ("LONG", "LONG_ON_THREADS"):
            patch.setattr(blockwise, name, 10**9)
        torch.testing.assert_close(blocks, penalty(), rtol=1e-9, atol=1e-11)
    assert max(g.abs().max() for g in blocks) > 1e-6


@pytest.mark.usefixtures("always")
def test_autocast_reaches_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = LMAM(WIDTHS, rank=3)
    features, mask = batch()
    features = {m: x.float().requires_grad_() for m, x in features.items()}
    with torch.autocast("cpu", torch.bfloat16):
        out = module(features, mask)
        out.float().square().sum().backward()  # inside, where products would be of half precision again
    torch.testing.assert_close(out.float(), module(features, mask), rtol=0, atol=0.05)
    assert all(x.grad.isfinite().all() for x in (*features.values(), *module.parameters()))


@pytest.mark.usefixtures("always")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("keys", ["own", "others"])
def test_a_gpu_matches_long_conversations_with_its_kernel(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "_flex", Mock(side_effect=blockwise._flex))
    torch.manual_seed(0)
    widths = {"text": 100, "audio": 100, "video": 512}
    module = LMAM(widths, keys=keys).cuda()
    features = {m: torch.randn(2, 2048, d, device="cuda") for m, d in widths.items()}
    mask = torch.arange(2048, device="cuda") < torch.tensor([[2048], [700]], device="cuda")
    kernel = outcome(module, features, mask)
    assert blockwise._flex.call_count == 3
    dense = whole(monkeypatch, module, features, mask)
    assert blockwise._flex.call_count == 3
    torch.testing.assert_close(kernel[0], dense[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(kernel[1:], dense[1:], rtol=1e-4, atol=1e-4)


def test_memory_stays_small() -> None:
    """Of a whole process that takes the gradients of every weight and all three streams of 4,096 utterances.

    430 MB, of which 250 are Python and torch; whole α takes 960. The table of measurements has 20,000 utterances
    (`test_the_measured_table_says_where_it_comes_from`), and chapter 13 that memory doubles with the length.
    """
    code = """if True:
        import torch
        from lmam_core import LMAM
        from lmam_core.runs.peak_memory import PeakMemory
        widths = {"text": 100, "audio": 100, "video": 512}
        module = LMAM(widths, rank=45)
        features = {m: torch.randn(1, 4_096, d, requires_grad=True) for m, d in widths.items()}
        with PeakMemory() as peak:
            module(features).square().mean().backward()
        assert all(x.grad.isfinite().all() for x in (*features.values(), *module.parameters()))
        print(peak.megabytes)
    """
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=one_thread, capture_output=True, text=True, check=True)
    assert 100 < float(done.stdout) < 700


def test_long_lies_at_the_measured_crossover() -> None:
    found = crossover.by_length(crossover.table())
    assert tuple(found.L) == crossover.LENGTHS
    assert crossover.crossing(crossover.table()) == blockwise.LONG
    assert crossover.heavy(crossover.table()) == blockwise.LONG_ON_THREADS
    on_gpu = crossover.table("cuda")
    assert tuple(crossover.by_length(on_gpu).L) == crossover.LENGTHS
    assert crossover.by_length(on_gpu).ratio.min() > 1
    assert crossover.heavy(on_gpu) == blockwise.LONG_ON_GPU


def test_the_block_is_among_the_fastest() -> None:
    swept = crossover.table().query("program == 'matching' and L == @crossover.SWEPT").set_index("block")
    assert tuple(swept.index) == crossover.BLOCKS
    assert swept.blocks_s[blockwise.BLOCK] <= crossover.SLACK * swept.blocks_s.min()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_measured_table_says_where_it_comes_from(device: str) -> None:
    found = crossover.table(device)
    assert not found.duplicated(["program", "L", "block"]).any()
    assert found[["blocks_s", "blocks_mb", "device", "machine", "threads", "torch", "code", "date"]].notna().all().all()
    assert (found.threads == 1).all()
    assert found.code.isin(pd.read_csv(DEFAULT.parent / "code_versions.csv").code).all()
    matching = found[found.program == "matching"]
    assert (matching.ratio / (matching.blocks_s / matching.whole_s) - 1).abs().max() < 0.01
    (module,) = found[found.program == "module"].itertuples()
    assert module.L == crossover.LONGEST
    assert module.blocks_mb < 2000


def test_a_length_is_measured_with_blocks_of_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Mock(side_effect=[(0.004, 1.0), (0.001, 1.0), (0.002, 1.0)])
    monkeypatch.setattr(crossover, "alone", alone)
    before = blockwise.BLOCK
    rows = crossover.measured(40, (8, 64), 1, "cpu")
    assert before == blockwise.BLOCK
    assert [(row["block"], row["whole_mb"], row["blocks_mb"]) for row in rows] == [(8, 4, 1), (64, 4, 2)]
    assert all(row["ratio"] == row["blocks_s"] / row["whole_s"] > 0 for row in rows)
    assert [call.args[2:] for call in alone.call_args_list] == [(), (8,), (64,)]


def test_a_program_alone_says_what_it_took() -> None:
    assert bench.module(5, "cpu")().shape == (1, 5, 712)
    gigabytes, taken = bench.alone("matching(300, 'cpu')['blocks']", "cpu", 64)
    assert 0 < gigabytes < 0.5
    assert taken > 0


def test_the_crossing_is_the_length_from_which_on_blocks_stay_ahead() -> None:
    rows = {"L": [1, 2, 4, 8], "ratio": [0.9, 1.2, 1.04, 0.5], "whole_mb": [9.0] * 4, "blocks_mb": [1.0] * 4}
    found = pd.DataFrame(rows).assign(program="matching", block=blockwise.BLOCK)
    assert crossover.crossing(found) == 4
    assert crossover.crossing(found.assign(blocks_mb=[1.0, 1.0, 9.0, 1.0])) == 8
    assert crossover.crossing(found.assign(ratio=2.0)) is None
