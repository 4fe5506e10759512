"""The scoreboard: each claim once, with anchor, chapter, runs and rule; sorted and filtered by words of the data."""

from __future__ import annotations

import pandas as pd
import pytest

from lmam_book.verdicts.claims import RULES, read
from lmam_book.web import scoreboard
from tests.book.web.conftest import ROOT

CLAIMS = pd.read_csv(ROOT / "data/scoreboard.csv", keep_default_na=False)


@pytest.fixture
def page(show, root):
    return show(scoreboard.page(root))


def test_each_claim_has_one_row_with_its_anchor(show, root):
    page = show(scoreboard.page(root), script=False)
    rows = page.locator("#lmam-scoreboard tbody tr")
    assert [row.get_attribute("id") for row in rows.all()] == CLAIMS.id.tolist()
    for row, word in zip(rows.all()[:10], CLAIMS.verdict, strict=False):
        assert row.locator(".verdict").inner_text() == word
        assert row.locator("details").count() == 1


def test_filters_take_their_words_from_the_data(page):
    for word, count in CLAIMS.verdict.value_counts().items():
        page.select_option("select[name=word]", word)
        assert page.locator("#lmam-scoreboard tbody tr:visible").count() == count
        assert page.locator(".lmam-say").inner_text() == f"{count} of {len(CLAIMS)} claims"
    assert "word=" in page.url
    page.select_option("select[name=word]", "")
    page.fill("input[name=text]", "bc-LSTM mosi")
    shown = page.locator("#lmam-scoreboard tbody tr:visible")
    assert 0 < shown.count() < 20
    assert all("bc-lstm" in text.lower() and "mosi" in text.lower() for text in shown.all_inner_texts())


def test_columns_sort_both_ways(page):
    button = page.locator("#lmam-scoreboard thead button", has_text="paper")
    ends = []
    for direction in ("ascending", "descending"):
        button.click()
        assert page.locator(f"th[aria-sort={direction}]").count() == 1
        ends.append(page.locator("#lmam-scoreboard tbody tr").first.get_attribute("id"))
    assert ends[0] != ends[1]


def test_links_lead_somewhere():
    chapters = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    named = {claim.family: scoreboard.chapter(claim, chapters) for claim in read()}
    assert sum(stem is not None for stem in named.values()) >= len(named) - 2
    claim = next(c for c in read() if c.id == "improves_mm_dfn_iemocap")
    assert scoreboard.chapter(claim, ["07-mm-dfn", "10-backbones-compared"]) == "07-mm-dfn"
    assert scoreboard.view(claim, "2") == "data=iemocap&backbone=mm_dfn"
    assert scoreboard.view(claim, "1").endswith("&protocol=protocol1")
    html = scoreboard.page(ROOT)
    for rule in {claim.rule for claim in read()}:
        assert f"{RULES[rule].__module__.replace('.', '/')}" in html


def test_names_are_escaped(root, monkeypatch, tmp_path):
    claims = CLAIMS.assign(reason="<script>alert(1)</script>")
    (tmp_path / "data").mkdir()
    claims.to_csv(tmp_path / "data/scoreboard.csv", index=False)
    (tmp_path / "_config.yml").write_text((root / "_config.yml").read_text())
    assert "<script>alert" not in scoreboard.page(tmp_path)
