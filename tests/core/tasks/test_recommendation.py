"""Session recommendation: the original's numbers, equations against naive float64, bad input, one store for all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lmam_core.data import catalogue
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import total
from lmam_core.runs.record import TASKS, record
from lmam_core.runs.run import run
from lmam_core.runs.store import Store
from lmam_core.tasks.recommendation import experiment, ranking, sessions
from lmam_core.tasks.recommendation.dhcn import DHCN, line_graph
from lmam_core.tasks.recommendation.experiment import BestOnTest, Recommendation, evaluate, fit
from lmam_core.tasks.recommendation.sessions import LONGEST, UNSEEN, beginnings, clicks, continued, prepare
from tests.peers import fill, probe
from tests.peers.recommendation import BATCH, ITEMS, SESSIONS, small

GOLDEN = Path(__file__).parents[2] / "golden" / "tasks" / "dhcn.json"
CPU = torch.device("cpu")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> sessions.Sessions:
    """Sixty sessions that walk round a ring of twelve items, in the place of Diginetica, and a cache of their own."""
    rng = np.random.default_rng(0)
    ring = [[int(i) % 12 for i in range(a, a + n)] for a, n in rng.integers((0, 2), (12, 7), (60, 2))]
    found = prepare(clicks(ring[:45]), beginnings(*clicks(ring[45:])), 1, True, 0, "ring")
    monkeypatch.setattr(experiment, "load", lambda *_: found)
    monkeypatch.setattr("lmam_core.paths.CACHE", tmp_path / "cache")
    return found


ASKED = Recommendation(epochs=3, batch_size=20, width=16, fraction=1)


def test_loss_scores_and_gradients_are_the_originals() -> None:
    recorded = json.loads(GOLDEN.read_text())
    assert recorded["output_difference"] <= 1e-6
    assert recorded["gradient_difference"] <= 1e-6
    _, model, batch = small()
    fill(model)
    torch.manual_seed(0)
    loss = model.loss(batch)
    loss.backward()
    assert loss.item() == pytest.approx(recorded["loss"], abs=1e-6)
    torch.testing.assert_close(
        model.ranker()(batch), torch.tensor(recorded["scores"], dtype=torch.float64), rtol=0, atol=1e-6
    )
    for name, p in model.named_parameters():
        assert probe(p.grad) == pytest.approx(recorded["gradients"][name], rel=1e-6, abs=1e-6), name
    assert sum(p.numel() for p in model.parameters()) == recorded["parameters"] == 100 * ITEMS + 60_300


def naive(model: DHCN, sequences: list[list[int]], target: list[int]) -> torch.Tensor:
    """DHCN's loss with dense matrices and loops over sessions and clicks, its line channel training the items."""
    X, A, att = model.embedding.weight, model.A.to_dense(), model.attention
    table = sum((torch.linalg.matrix_power(A, k) @ X for k in range(1, model.layers + 1)), X) / (model.layers + 1)
    theta, line = [], []
    for sequence in sequences:
        x = table[sequence]
        m = len(sequence)
        place = torch.stack([att.positions.weight[m - 1 - t] for t in range(m)])
        x_star = torch.tanh(att.W1(torch.cat([place, x], -1)))
        alpha = att.f(torch.sigmoid(att.W2(x.mean(0)) + att.W3(x_star)))
        theta.append((alpha * x).sum(0))
        line.append(X[sequence].mean(0))
    B = len(sequences)
    share = torch.eye(B, dtype=X.dtype)
    for i in range(B):
        for j in range(B):
            a, b = set(sequences[i]), set(sequences[j])
            if i != j:
                share[i, j] = len(a & b) / len(a | b)
    share = share / share.sum(1, keepdim=True)
    h, l0 = torch.stack(theta), torch.stack(line)
    l = sum((torch.linalg.matrix_power(share, k) @ l0 for k in range(1, model.layers + 1)), l0) / (model.layers + 1)
    rows, columns = torch.randperm(B), torch.randperm(h.shape[1])
    agree, other = (h * l).sum(1), (h[rows][:, columns] * l).sum(1)
    contrast = -torch.log(1e-8 + torch.sigmoid(agree)) - torch.log(1e-8 + 1 - torch.sigmoid(other))
    return torch.nn.functional.cross_entropy(h @ table.T, torch.tensor(target)) + model.weight * contrast.sum()


def test_the_model_is_its_equations_and_the_line_channel_can_train_the_items() -> None:
    train, _, batch = small()
    model = DHCN(sessions.hypergraph(train, ITEMS), 12, line="trained").double()
    fill(model)
    given = [train.items[a:b].tolist() for a, b in zip(train.start, train.stop, strict=True)][:BATCH]
    gradients = []
    for loss in (lambda: model.loss(batch), lambda: naive(model, given, train.target[:BATCH].tolist())):
        torch.manual_seed(3)
        value = loss()
        gradients.append((value.item(), *torch.autograd.grad(value, list(model.parameters()))))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    model.line = "detached"
    torch.manual_seed(3)
    held = torch.autograd.grad(model.loss(batch), list(model.parameters()))
    moved = [not torch.allclose(a, b) for a, b in zip(held, gradients[0][1:], strict=True)]
    assert dict(zip(dict(model.named_parameters()), moved, strict=True)) == {
        name: name == "embedding.weight" for name, _ in model.named_parameters()
    }


@pytest.mark.parametrize("streams", ["channels", "hops"])
@pytest.mark.parametrize("method", ["lmam", "concat"])
def test_with_a_fusion_the_model_starts_as_dhcn_and_every_part_then_learns(streams: str, method: str) -> None:
    train, _, batch = small()
    graph = sessions.hypergraph(train, ITEMS)
    rank = {"rank": 4} if method == "lmam" else {}
    torch.manual_seed(0)
    plain = DHCN(graph, 8)
    torch.manual_seed(0)
    fused = DHCN(graph, 8, fusion=lambda widths: fusion.build(method, widths, **rank), streams=streams)
    torch.testing.assert_close(fused.ranker()(batch), plain.ranker()(batch))
    torch.nn.init.normal_(fused.match.weight)
    assert not torch.allclose(fused.ranker()(batch), plain.ranker()(batch))
    fused.loss(batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fused.parameters())


def test_a_sequences_scores_do_not_depend_on_its_batch() -> None:
    train, _, batch = small()
    build = lambda widths: fusion.build("lmam", widths, rank=4)  # noqa: E731
    model = DHCN(sessions.hypergraph(train, ITEMS), 8, fusion=build).eval()
    torch.nn.init.normal_(model.match.weight)
    alone = torch.cat([model.ranker()(train.batch(np.array([i]))) for i in range(BATCH)])
    torch.testing.assert_close(model.ranker()(batch), alone)


def test_the_hypergraph_is_its_definition() -> None:
    train, _, _ = small()
    edges = [set(train.items[a:b].tolist()) for a, b in zip(train.start, train.stop, strict=True)]
    H = np.array([[float(i in edge) for edge in edges] for i in range(ITEMS)])
    D, B = np.maximum(H.sum(1), 1), H.sum(0)
    np.testing.assert_allclose(sessions.hypergraph(train, ITEMS).toarray(), (H / D[:, None]) @ (H / B).T, atol=1e-12)


def test_beginnings_and_what_continues_them() -> None:
    items, offsets = clicks([[1, 2, 3], [7], [4, 5]])
    found = beginnings(items, offsets)
    assert [found.items[a:b].tolist() for a, b in zip(found.start, found.stop, strict=True)] == [[1], [1, 2], [4]]
    assert found.target.tolist() == [2, 3, 5]
    assert found.session.tolist() == [0, 0, 2]  # a session of one click gives none
    prefixes = continued(*clicks([[1, 2], [1], [4], [9, 8]]), np.array([3, 2, 5, 4]))
    assert prefixes.session.tolist() == [0, 0, 1, 2]


def test_training_validation_and_items_come_from_the_recent_part_alone() -> None:
    ring = [[i, i + 1, i + 2] for i in range(40)]
    found = prepare(clicks(ring), beginnings(*clicks([[38, 39, 40], [1, 38, 39]])), 2, True, 5)
    assert len(found.train) + len(found.validation) == 2 * 20
    assert len(found.validation) == 2 * 2
    assert not set(found.train.session) & set(found.validation.session)
    assert set(found.items) <= set(range(20, 42))
    other = prepare(clicks(ring), found.test, 2, True, 6)
    assert set(other.validation.session) != set(found.validation.session)
    # Item 1 is left out of the second session; as a beginning of its own it is empty.
    lengths = (found.test.stop - found.test.start).tolist()
    assert lengths[2:] == [0, 1]


def test_a_session_of_unseen_items_and_an_unseen_target_are_misses() -> None:
    found = prepare(clicks([[1, 2, 3]] * 12), beginnings(*clicks([[8, 1], [1, 9], [1, 2]])), 1, False, 0)
    assert found.test.target.tolist()[1] == UNSEEN
    model = DHCN(found.graph, 8)
    model.embedding.weight.data.fill_(1.0)  # alike: they share the last place
    rank = ranking.ranks(model.ranker()(found.test.batch(np.arange(3))), found.test.batch(np.arange(3)).target)
    assert rank.tolist() == [3, 0, 2]  # item 3 is in no hyperedge, so that it scores less
    outcome = total(ranking.outcomes(np.array([21, 0, 2]), found.test.session))
    assert ranking.summarise(outcome)["P@20"] == pytest.approx(100 / 3)


def test_of_a_session_of_more_than_a_thousand_clicks_the_last_200_are_read() -> None:
    long = list(range(1200))
    batch = beginnings(*clicks([long])).batch(np.array([1198]))
    assert batch.items.shape == (1, LONGEST)
    assert batch.items[0, :3].tolist() == [1198, 1197, 1196]
    model = DHCN(sessions.hypergraph(beginnings(*clicks([long[:1100]])), 1200), 8)
    assert torch.isfinite(model.ranker()(batch)).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[1, 2], []], "Session 1 has no clicks; leave it out."),
        ([[1, 2.5]], "Session 0 holds the item 2.5; items are whole numbers from 0."),
        ([[1, "x"]], "Session 0 holds the item 'x'"),
        ([[1, -3]], "Session 0 holds the item -3"),
        ([[True, 3]], "Session 0 holds the item True"),
    ],
)
def test_bad_sessions_get_a_sentence(given: list[list[object]], said: str) -> None:
    with pytest.raises(LmamError, match=said.replace(".", r"\.")):
        clicks(given)


def test_bad_files_get_a_sentence() -> None:
    whole, offsets = np.array([1, 2, 3]), np.array([0, 2, 3])
    for items, ends, said in (
        (whole / 2, offsets, "items must be whole numbers in one row; they are float64"),
        (whole - 2, offsets, "one is -1"),
        (whole, np.array([0, 2, 2, 3]), "session 1 has no clicks"),
        (whole, np.array([0, 2]), "offsets must run from 0 to the number of clicks, 3"),
    ):
        with pytest.raises(LmamError, match=said):
            sessions.checked("mine", items, ends)
    with pytest.raises(LmamError, match="too few"):
        prepare(clicks([[1], [2]]), beginnings(*clicks([[1, 2]])), 1, False, 0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"fusion": "sum"}, "no fusion 'sum'"),
        ({"line": "both"}, "no line 'both'"),
        ({"streams": "text"}, "no streams 'text'"),
        ({"protocol": "released"}, "no protocol 'released'"),
        ({"fraction": 0}, "fraction must be at least 1"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"learning_rate": None}, "learning_rate must be a number"),
        ({"fusion": "lmam", "rank": 0}, "rank must be at least 1"),
    ],
)
def test_bad_questions_get_a_sentence(fields: dict[str, object], said: str) -> None:
    with pytest.raises(LmamError, match=said):
        Recommendation(**fields).resolved()


def test_a_dataset_of_another_task_gets_a_sentence() -> None:
    with pytest.raises(LmamError, match="mosi holds no sessions; the datasets for recommendation are diginetica"):
        sessions.load("mosi", 64, True, 0)
    with pytest.raises(LmamError, match="diginetica holds no conversations; it is for `lmam run --task recomm"):
        Experiment(dataset="diginetica").resolved()
    with pytest.raises(LmamError, match="diginetica holds no conversations"):
        catalogue.load("diginetica")
    with pytest.raises(LmamError, match="There is no task 'music'; choose one of conversation, recommendation"):
        record("music")
    assert {record(task).task for task in TASKS} == set(TASKS)


def test_one_question_has_one_key_that_names_the_task() -> None:
    assert Recommendation().key == Recommendation(rank=7, streams="hops").key  # without fusion they mean nothing
    assert Recommendation(fusion="lmam").key == Recommendation(fusion="lmam", rank=45, streams="channels").key
    assert Recommendation().key_fields()["task"] == "recommendation"
    assert len({Recommendation(**f).key for f in ({}, {"line": "trained"}, {"seed": 1}, {"fraction": 1})}) == 4


@pytest.mark.parametrize("protocol", ["honest", "tuning", "best_on_test"])
def test_a_run_is_kept_in_the_store_of_all_tasks(shop: sessions.Sessions, tmp_path: Path, protocol: str) -> None:
    store, question = Store(tmp_path / "runs"), dataclasses.replace(ASKED, protocol=protocol)
    found = run(question)
    path = store.add(found)
    assert path.parent.parts[-2:] == ("diginetica", "dhcn")
    assert path.name == f"none.{protocol}.s0.{question.key}.json"
    (again,) = store
    assert again.experiment == found.experiment == question.resolved()
    assert isinstance(again.experiment, Recommendation)
    assert again.metrics == found.metrics
    assert found.provenance["data_sha256"] == "ring"
    assert store.frame().task.tolist() == ["recommendation"]
    if protocol == "tuning":
        assert found.outcomes == {}
        return
    assert {n: float(v) for n, v in found.summarise(found.total).items()} == found.metrics
    assert run(question).metrics == found.metrics


def test_training_on_a_ring_finds_the_next_item(shop: sessions.Sessions) -> None:
    model, data, *_ = fit(dataclasses.replace(ASKED, epochs=20, patience=20, learning_rate=0.02))
    found = ranking.summarise(total(evaluate(model, data.test, CPU)))
    assert found["P@5"] > 80  # by chance 42


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(shop: sessions.Sessions) -> None:
    question = dataclasses.replace(ASKED, epochs=5, patience=5, protocol="best_on_test")
    whole = fit(question)

    class Killed(Exception):
        pass

    def kill(epoch: int, loss: float, score: float) -> None:
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        fit(question, progress=kill)
    epochs: list[int] = []
    rest = fit(question, progress=lambda epoch, *_: epochs.append(epoch))
    assert epochs == [3, 4, 5]  # the third was not kept yet
    assert rest[2].train_loss == whole[2].train_loss
    assert rest[2].selection_score == whole[2].selection_score
    outcomes = [found[3].outcomes() for found in (whole, rest)]
    assert all((outcomes[0][k] == outcomes[1][k]).all() for k in outcomes[0])


def test_best_on_test_takes_each_metric_from_its_best_epoch() -> None:
    best = BestOnTest()
    best.read({"a": np.array([2.0, 1, 1]), "b": np.array([2.0, 0, 1])})
    best.read({"a": np.array([2.0, 2, 0]), "b": np.array([2.0, 1, 0])})
    assert {k: v.tolist() for k, v in best.outcomes().items()} == {"a": [2, 2, 1], "b": [2, 1, 1]}


def test_the_line_graph_is_the_share_of_items_in_common() -> None:
    _, _, batch = small()
    sets = [set(row[mask].tolist()) for row, mask in zip(batch.items, batch.mask, strict=True)]
    share = torch.tensor([[len(a & b) / len(a | b) for b in sets] for a in sets], dtype=torch.float64)
    torch.testing.assert_close(line_graph(batch), share / share.sum(1, keepdim=True))
    assert len(SESSIONS) < len(sets)  # sequences of one session share all that the shorter holds


@pytest.mark.real_data
def test_diginetica_is_what_its_sentence_says() -> None:
    found = sessions.load("diginetica", 1, False, 0)
    about = catalogue.entry("diginetica").about
    for number in (len(found.train), len(found.test), found.test.session[-1] + 1, len(found.items)):
        assert f"{number:,}" in about
    assert (found.test.target != UNSEEN).all()
