"""A caption belongs to one picture, whatever else a cell puts out."""

from __future__ import annotations

import pytest

from lmam_book.build.pages import captioned

PICTURE = {"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"}, "metadata": {}}
TEXT = {"output_type": "display_data", "data": {"text/markdown": "- answer"}, "metadata": {}}


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([PICTURE], [([PICTURE], True)]),
        ([], [([], False)]),
        ([TEXT], [([TEXT], False)]),
        ([TEXT, PICTURE], [([TEXT], False), ([PICTURE], True)]),
        ([PICTURE, TEXT], [([], False), ([PICTURE], True), ([TEXT], False)]),
        ([PICTURE, PICTURE], [([PICTURE], False), ([PICTURE], True)]),
    ],
)
def test_the_last_picture_alone_has_the_caption(outputs: list[dict], expected: list[tuple[list[dict], bool]]) -> None:
    figure = {"name": "fig-a", "caption": "What is drawn."}
    cell = {"cell_type": "code", "id": "a1", "source": ["draw()"], "outputs": outputs}
    cell["metadata"] = {"tags": ["hide-input"], "mystnb": {"code_prompt_show": "Code: drawing", "figure": figure}}
    cells = list(captioned(cell))
    assert [(c["outputs"], "figure" in c["metadata"]["mystnb"]) for c in cells] == expected
    assert cells[0]["source"] == ["draw()"]
    assert all(c["metadata"]["tags"] == ["remove-input"] for c in cells[1:])
    assert len({c["id"] for c in cells}) == len(cells)


def test_a_cell_without_a_caption_stays_as_it_is() -> None:
    cell = {"cell_type": "code", "id": "a1", "source": [], "outputs": [TEXT, PICTURE], "metadata": {}}
    assert list(captioned(cell)) == [cell]
