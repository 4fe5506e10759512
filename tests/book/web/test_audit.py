"""The page's arithmetic is that of `lmam_book.forensics`, on 1,000 random tables in a real browser."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmam_book.forensics import paste
from lmam_book.forensics.audit import Audit
from lmam_book.forensics.counts import READINGS, Digits, possible, solutions
from lmam_book.forensics.pasted import in_units
from lmam_book.forensics.simulated import plant, table
from lmam_book.forensics.supports import Supports, coincidence, fits
from lmam_book.web import audit
from lmam_core.errors import LmamError

TABLES = 1000
CELLS = [(0, 0, "recall"), (0, 1, "precision"), (0, 1, "accuracy")]
"""Of each table, the cells and readings whose counts are compared one by one."""
COMPUTE = """tables => tables.map(({text, n, rounding, cells}) => {
    const A = LmamAudit, t = A.printed(A.paste(text)), d = A.digits(t.scale, rounding);
    const total = n.reduce((a, b) => a + b);
    const every = (r, of) => t.acc.map((row, k) => row.map((a, c) => of(a, t.f1[k][c], n[c], r)));
    return {
        rows: t.rows, classes: t.classes, acc: t.acc, f1: t.f1, scale: t.scale,
        average: t.average.map(row => row.map(v => Number.isNaN(v) ? null : v)),
        possible: A.READINGS.map(r => every(r, (a, f, m) => a >= 0 && f >= 0 && A.possible(a, f, m, total, r, d))),
        solutions: cells.map(([k, c, r]) => A.solutions(t.acc[k][c], t.f1[k][c], n[c], total, r, d)),
        fits: Array.from({length: 20}, (_, k) => A.fits(t, 0, "precision", k + 1, d)),
    };
})"""
JUDGE = """tables => tables.map(({text, n, rounding}) => {
    const A = LmamAudit, t = A.printed(A.paste(text)), d = A.digits(t.scale, rounding);
    const total = n.reduce((a, b) => a + b);
    const {rows, verdicts, averages} = A.judge(t, [{name: "given", n, total}], d);
    return {verdicts, averages, readings: rows.map(r => r.named ? r.best.reading : "none"),
        rates: t.acc.map((row, k) => row.map((a, c) => A.coincidence(a, t.f1[k][c], n[c], total, "recall", d)))};
})"""


@pytest.fixture(scope="module")
def tables():
    """Correct tables, some with errors, a missing cell, no average, digits cut off, or with one decimal."""
    rng, made = np.random.default_rng(0), []
    for k in range(TABLES):
        classes = int(rng.integers(2, 6))
        support = {f"class {c}": int(rng.integers(4, 500)) for c in range(classes)}
        rows, places = int(rng.integers(1, 4)), int(rng.choice([1, 2], p=[0.2, 0.8]))
        frame, _ = table(support, str(rng.choice(READINGS)), rows, runs=1 + k % 2, places=places, seed=k)
        if k % 3 == 0 and places == 2:
            frame, _ = plant(frame, support, 1, k)
        if k % 5 == 0:
            frame.iloc[0, 1] = "–"
        if k % 7 == 0:
            frame = frame.drop(columns="Average(w)", level=0)
        rounding = "truncated" if k % 4 == 0 else "rounded"
        made.append((frame, list(support.values()), rounding))
    return made


@pytest.fixture
def arithmetic(show, root):
    return show('<script src="../_static/audit-arithmetic.js"></script>')


def given_to_page(tables) -> list[dict]:
    return [{"text": audit.text(f), "n": n, "rounding": r, "cells": CELLS} for f, n, r in tables]


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore:divide by zero")  # of a missing cell, of which nothing is said
def test_a_thousand_tables_are_counted_alike(arithmetic, tables):
    found = arithmetic.evaluate(COMPUTE, given_to_page(tables))
    assert len(found) == TABLES
    for (frame, n, rounding), page in zip(tables, found, strict=True):
        mine = in_units(paste(audit.text(frame)))
        digits, total = Digits(mine.scale, rounding), sum(n)
        assert (page["rows"], page["classes"], page["scale"]) == (mine.rows, mine.classes, mine.scale)
        assert page["acc"] == mine.acc.tolist()
        assert page["f1"] == mine.f1.tolist()
        assert np.array_equal(np.array(page["average"], float), mine.average, equal_nan=True)
        for k, reading in enumerate(READINGS):
            exist = possible(mine.acc, mine.f1, np.array(n), total, reading, digits) & mine.there
            assert page["possible"][k] == exist.tolist()
        for (row, c, reading), listed in zip(CELLS, page["solutions"], strict=True):
            if mine.there[row, c]:
                alike = solutions(mine.acc[row, c], mine.f1[row, c], n[c], total, reading, digits).listed()
                assert [tuple(s) for s in listed] == alike
        assert page["fits"] == fits(mine, 0, "precision", np.arange(1, 21), digits).sum(0).tolist()


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_verdicts_readings_and_averages_are_alike(arithmetic, tables):
    some = tables[:60]
    for (frame, n, rounding), page in zip(some, arithmetic.evaluate(JUDGE, given_to_page(some)), strict=True):
        mine = in_units(paste(audit.text(frame)))
        supports = Supports.of(dict(zip(mine.classes, n, strict=True)))
        python = Audit(mine, Digits(mine.scale, rounding), [supports], {})
        # Python draws 200 arbitrary pairs for its rate of coincidences, the page counts all of them.
        rates = coincidence(mine, supports, "recall", python.digits)
        there = mine.testable
        assert np.abs(np.array(page["rates"]) - rates)[there].max(initial=0) < 0.15
        means = {(a["row"], a["metric"]): (a["recomputed"], a["agrees"]) for a in page["averages"]}
        for row in python.averages.to_dict("records"):
            recomputed, agrees = means[row["row"], row["metric"]]
            assert recomputed == pytest.approx(row["recomputed"])
            assert agrees == row["agrees"]
        p = python.rows.p.to_numpy()
        clear = [k for k in range(len(p)) if np.isnan(p[k]) or not 1e-5 < p[k] < 0.1]
        verdicts = python.pairs.set_index(["row", "class"]).verdict
        for k in clear:
            assert page["readings"][k] == python.rows.reading[k]
            assert page["verdicts"][k] == [verdicts[mine.rows[k], c] for c in mine.classes]


@pytest.mark.browser
def test_sizes_that_nobody_tells_are_found(arithmetic):
    support = {"a": 37, "b": 61, "c": 90}
    frame, _ = table(support, "precision", 8)
    found = arithmetic.evaluate(
        "async text => { const r = await LmamAudit.audit(text, '', 'rounded', 200);"
        " return [r.searched.precision.map(s => s.n), r.rows.map(r => r.named && r.best.reading)]; }",
        audit.text(frame),
    )
    assert found == [[37, 61, 90], ["precision"] * 8]


BAD = [
    "nothing",
    "a\tb\n",
    "method\tA Acc\tA F1\nx\t10.0\n",
    "method\tA Acc\tA F1\nx\t101\t10\n",
    "method\tA Acc\tB F1\nx\t10\t10\n",
    "method\tA Acc\tA F1\nx\t10\t10\nx\t10\t11\n",
    "method\tA\tB\nx\tone\ttwo\n",
]


@pytest.mark.browser
@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_read_is_told_in_one_sentence(arithmetic, text):
    with pytest.raises(LmamError):
        in_units(paste(text))
    said = arithmetic.evaluate(
        "t => { try { LmamAudit.printed(LmamAudit.paste(t)); } catch (e) { return e.message; } }", text
    )
    assert said
    assert said.endswith(".")


def test_a_star_tells_two_methods_apart():
    frame = paste("method\tA Acc\tA F1\nTextCNN\t10.0\t11.0\n**TextCNN***\t12.0\t**13.0**\n")
    assert list(frame.index) == ["TextCNN", "TextCNN*"]


def test_examples_can_be_pasted():
    for example in audit.examples():
        assert in_units(paste(example["text"])).testable.any()


@pytest.fixture
def page(show, root, monkeypatch):
    monkeypatch.setattr(audit, "_fallback", lambda: "<table></table>")  # tested below
    return lambda address="": show(audit.page(root), address)


@pytest.mark.browser
def test_a_table_is_audited_and_its_link_opens_it_again(page):
    shown = page()
    text = "method\tA Acc\tA F1\tB Acc\tB F1\nx\t50.00\t50.00\t66.67\t66.67\ny\t33.33\t41.00\t51.00\t0.00\n"
    shown.fill("textarea", text)
    shown.fill("input[name=supports]", "A 4, B 3")
    shown.get_by_role("button", name="Audit the table").click()
    shown.locator("#lmam-audit[data-done]").wait_for(state="attached")
    cells = shown.locator(".lmam-audit td button")
    assert cells.count() == 4
    assert "impossible" in cells.nth(2).get_attribute("aria-label")
    cells.nth(2).focus()
    shown.keyboard.press("Enter")
    told = shown.locator(".lmam-panel").inner_text()
    assert "t / n" in told
    assert "n = 4" in told
    again = page("#" + shown.url.split("#")[1])
    again.locator("#lmam-audit[data-done]").wait_for(state="attached")
    assert again.input_value("textarea") == text
    assert again.locator("[role=status]").inner_text() == shown.locator("[role=status]").inner_text()


@pytest.mark.browser
def test_a_name_is_text_not_markup(page):
    shown = page()
    shown.fill("textarea", "method\tA Acc\tA F1\n&lt;b onclick=1>\t50.00\t50.00\n")
    shown.get_by_role("button", name="Audit the table").click()
    shown.locator("#lmam-audit[data-done]").wait_for(state="attached")
    assert shown.locator(".lmam-audit b").count() == 0


def test_without_a_script_stands_table_two():
    html = audit._fallback()
    assert html.count("<tr>") == 16
    assert html.count("✗") > 40


def test_examples_do_not_end_their_script():
    html = json.dumps(audit.examples()).replace("<", "\\u003c")
    assert "<" not in html
