"""The bench's own arithmetic; the times and peaks are for the machine that it runs on."""

from lmam_book.bench import extractors as bench
from lmam_core.features.media import RATE, blocks, parse


def test_a_missed_target_is_said(capsys):
    assert bench._line("a", 29.9, "s", 30)
    assert not bench._line("b", 30.1, "s", 30)
    assert bench._line("c", 0.95, "", 0.9, above=True)
    assert not bench._line("d", 0.85, "", 0.9, above=True)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if "MISSED" in line] == ["b", "d"]


def test_recordings_have_their_length(tmp_path):
    files = bench._recordings(tmp_path, 2, 1.5)
    assert [sum(map(len, blocks(parse(f)))) for f in files] == [1.5 * RATE] * 2


def test_the_peak_is_that_of_a_process_that_extracts(tmp_path):
    (file,) = bench._recordings(tmp_path, 1, 1.0)
    assert 50 < bench._peak("egemaps88", file) < 2000
