"""Pages show a figure's narrow form on a phone, where its run made one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmam_book.build.pages import narrowed
from lmam_book.pages.narrow import NARROW


@pytest.fixture
def built(tmp_path: Path) -> Path:
    wide = {"output_type": "display_data", "data": {"image/svg+xml": ["<svg>\n", "wide</svg>\n"]}, "metadata": {}}
    other = {"output_type": "display_data", "data": {"image/svg+xml": "<svg>drawing</svg>"}, "metadata": {}}
    cells = [{"outputs": [{**wide, "metadata": {NARROW: "<svg>narrow</svg>"}}, other]}, {"cell_type": "markdown"}]
    for folder in ("stage/notebooks", "html/notebooks", "html/_images"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "stage/notebooks/a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "html/_images/1.svg").write_text("<svg>\nwide</svg>")
    (tmp_path / "html/_images/2.svg").write_text("<svg>drawing</svg>")
    (tmp_path / "html/notebooks/a.html").write_text(
        '<p><img alt="a" src="../_images/1.svg" /><img src="../_images/2.svg"/></p>'
    )
    narrowed(tmp_path / "stage", tmp_path / "html")
    return tmp_path / "html"


def test_a_figure_with_a_narrow_form_has_both(built: Path) -> None:
    assert (built / "_images/1.narrow.svg").read_text() == "<svg>narrow</svg>"
    page = (built / "notebooks/a.html").read_text()
    source = '<source media="(max-width: 768px)" srcset="../_images/1.narrow.svg">'
    assert f'<picture>{source}<img alt="a" src="../_images/1.svg" /></picture>' in page


def test_one_without_stays_as_it_is(built: Path) -> None:
    assert not (built / "_images/2.narrow.svg").exists()
    assert (built / "notebooks/a.html").read_text().count("<picture>") == 1
