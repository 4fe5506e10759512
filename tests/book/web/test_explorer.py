"""The page of every run: its data say what the store says, and a reader reaches each run by mouse, finger and key."""

from __future__ import annotations

import base64
import gzip
import json
import shutil

import pytest

from lmam_book.verdicts.intervals import interval
from lmam_book.web import explorer
from lmam_core.runs.store import Store
from tests.book.web.conftest import ROOT


@pytest.fixture(scope="module")
def data(root):
    script = explorer.script(root)
    return json.loads(gzip.decompress(base64.b64decode(script.split(b'"')[1])))


def test_the_data_are_those_of_the_store(root, data):
    runs = {store.path(run.experiment): run for store in [Store(root / "data/results")] for run in store}
    scored = {path: run for path, run in runs.items() if run.experiment.protocol in explorer.PROTOCOLS}
    assert len(data["seed"]) == len(scored) > 50
    for k, arm in enumerate(data["arm"]):
        place, _, _, stem, _ = data["arms"][arm]
        dataset, backbone, inputs, protocol = data["places"][place]
        name = f"{stem}.s{data['seed'][k]}.{data['key'][k]}.json"
        run = scored[root / "data/results" / dataset / backbone / name]
        assert (run.experiment.protocol, "+".join(run.experiment.modalities)) == (protocol, inputs)
        assert data["parameters"][k] == run.parameters
        assert data["rate"][k] == run.experiment.learning_rate
        for metric in data["metrics"][dataset]:
            assert data["scores"][metric][k] == pytest.approx(run.metrics[metric], abs=0.006)


def test_an_arm_has_each_seed_once(data):
    pairs = list(zip(data["arm"], data["seed"], strict=True))
    assert len(set(pairs)) == len(pairs)


def test_the_papers_number_stands_beside_its_row_alone(data):
    printed = {(*data["places"][place], label): values for place, label, _, _, values in data["arms"] if values}
    assert printed["iemocap", "text_cnn", "text+audio", "protocol1", "LMAM late"] == {
        "accuracy": 60.35,
        "weighted_f1": 59.34,
    }
    assert all("keys=others" not in label for *_, label in printed)


def test_a_new_run_is_on_the_page(root, tmp_path, data):
    shutil.copytree(root / "data", tmp_path / "data")
    shutil.copy(root / "_config.yml", tmp_path)
    new = next((ROOT / "data/results/iemocap/dialogue_rnn").glob("*honest*.json"))
    (tmp_path / "data/results/iemocap/dialogue_rnn").mkdir()
    shutil.copy(new, tmp_path / "data/results/iemocap/dialogue_rnn")
    script = explorer.script(tmp_path)
    after = json.loads(gzip.decompress(base64.b64decode(script.split(b'"')[1])))
    assert len(after["seed"]) == len(data["seed"]) + 1
    assert "DialogueRNN" in explorer.page(tmp_path)


def test_the_committed_store_packs_small(root):
    bytes_each = len(explorer.script(root)) / len(explorer._frame(root))
    assert bytes_each < 60  # some 40 kB for 1,400 runs, base64 and all


@pytest.fixture
def explore(show, root):
    (root / "_static" / "runs.js").write_bytes(explorer.script(root))
    return lambda address="": show(explorer.page(root), address)


def test_dots_intervals_and_diamonds(explore, root):
    page = explore("#data=iemocap&backbone=text_cnn&protocol=protocol1")
    frame = explorer._frame(root)
    mine = frame[(frame.dataset == "iemocap") & (frame.backbone == "text_cnn") & (frame.protocol == "protocol1")]
    assert page.locator("#lmam-explorer svg .runs circle").count() == len(mine)
    assert page.locator("#lmam-explorer svg .paper path").count() == 2  # concatenation and LMAM
    label = mine.groupby("label").weighted_f1.mean().idxmax()
    best = interval(mine[mine.label == label].weighted_f1.tolist())
    said = page.locator("#lmam-explorer .lmam-say").inner_text()
    assert f"Best mean: {label} {best.mean:.1f} ± {best.high - best.mean:.1f}" in said


def test_keys_and_taps_name_a_run(explore):
    page = explore("#data=iemocap&backbone=text_cnn&protocol=protocol1")
    figure, card = page.locator("#lmam-explorer figure"), page.locator("#lmam-explorer .lmam-card")
    figure.focus()
    page.keyboard.press("ArrowRight")
    first = card.inner_text()
    for part in ("seed", "parameters", "learning rate", ".json"):
        assert part in first
    page.keyboard.press("ArrowDown")
    assert card.inner_text() != first
    assert page.locator("circle.marked").count() == 1
    dot = page.locator(".runs circle").nth(7)
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "marked" in dot.get_attribute("class")
    href = card.locator("a").get_attribute("href")
    assert (ROOT / href[href.index("data/results/") :]).is_file()


def test_a_view_can_be_cited(explore):
    page = explore()
    page.select_option("select[name=data]", "mosi")
    page.select_option("select[name=metric]", "mae")
    again = explore(page.evaluate("location.hash"))
    assert again.locator("select[name=data]").input_value() == "mosi"
    assert again.locator("select[name=metric]").input_value() == "mae"
    assert again.locator(".lmam-say").inner_text() == page.locator(".lmam-say").inner_text()


def test_the_runs_stand_in_a_table_too(explore):
    page = explore("#data=iemocap&backbone=text_cnn&protocol=protocol1")
    page.locator("#lmam-explorer summary").click()
    page.locator("#lmam-explorer tbody tr").first.wait_for()
    assert page.locator("#lmam-explorer tbody tr").count() == page.locator(".runs circle").count()


def test_without_a_script_there_is_a_table(show, root):
    page = show(explorer.page(root), script=False)
    assert page.locator("#lmam-explorer tbody tr").count() > 10
    assert "TextCNN" in page.locator("#lmam-explorer").inner_text()
