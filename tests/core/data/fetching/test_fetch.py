"""Fetching: a broken download goes on, every mistake is one sentence, and nothing half-made takes the whole's name."""

import errno
import hashlib
import socket
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from lmam_book.cli import main
from lmam_core import paths
from lmam_core.data.fetching import download, fetch, gather
from lmam_core.data.fetching.recipe import EMBEDDING, Recipe, content_sha256, sampled, wrong
from lmam_core.data.sources.base import PublicFile
from lmam_core.errors import LmamError
from lmam_core.features import extract as features
from lmam_core.features import weights

CONTENT = {"numbers.txt": b"\n".join(b"%d" % i for i in range(5000)), "name.txt": b"toy"}
COMMIT = "c" * 40


def key(name):
    return f"owner/toy/{COMMIT}/data/{name}"


def toy_arrays(originals):
    return {
        "numbers": np.loadtxt(originals["numbers.txt"], dtype=np.int32),
        "name": np.array([originals["name.txt"].read_text()]),
    }


ARRAYS = {"numbers": np.arange(5000, dtype=np.int32), "name": np.array(["toy"])}
RECIPE = Recipe(
    name="toy",
    files=tuple(
        PublicFile("owner/toy", COMMIT, f"data/{name}", len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENT.items()
    ),
    licences={"owner/toy": "MIT"},
    arrays=toy_arrays,
    sha256={name: content_sha256(array) for name, array in ARRAYS.items()},
    notice="The toys themselves belong to the children.",
)


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `ranges` and `limit` say whether it can go on in the middle and when it hangs up."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hung_up = threading.Event()
        self.files = {f"/{key(name)}": content for name, content in CONTENT.items()}
        self.ranges, self.limit, self.asked, self.hostile = True, None, [], None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        given = self.headers.get("Range")
        self.server.asked.append((self.path.rsplit("/", 1)[1], given))
        if self.path not in self.server.files:
            return self.send_error(404)
        if self.server.hostile is not None:
            return self.server.hostile(self)
        body, status = self.server.files[self.path], 200
        if given and self.server.ranges:
            start, size = int(given.removeprefix("bytes=").removesuffix("-")), len(body)
            body, status = body[start:], 206
            if not body:
                return self.send_error(416)
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.limit])

    def send(self, body, status=200, **headers):
        """An answer with these headers and no other; whoever hangs up is right."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        try:
            for block in body:
                self.wfile.write(block)
        except OSError:
            self.server.hung_up.set()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A mirror of the toy's one repository, which LMAM_SOURCES names."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("LMAM_SOURCES", server.address)
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(gather.RECIPES, "toy", RECIPE)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def check(path):
    with np.load(path, allow_pickle=False) as found:
        assert list(found) == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)


def test_gathers_originals_into_one_npz(server, tmp_path, capsys):
    path = fetch.fetch("toy", tmp_path)
    assert path == tmp_path / "toy.npz"
    check(path)
    assert (tmp_path / "sources" / key("name.txt")).read_bytes() == b"toy"
    assert "2 of 2 arrays are exactly the recorded ones" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.part"))


def test_what_is_there_is_not_asked_for_again(server, tmp_path, capsys):
    fetch.fetch("toy", tmp_path)
    server.shutdown()
    server.server_close()
    fetch.fetch("toy", tmp_path)
    assert "is there already" in capsys.readouterr().out
    (tmp_path / "toy.npz").unlink()
    check(fetch.fetch("toy", tmp_path))
    assert len(server.asked) == 2


def test_additional_file_is_made_beside_the_first(server, monkeypatch, tmp_path, capsys):
    extra = replace(
        RECIPE,
        name="toy_extra",
        files=RECIPE.files[1:],
        arrays=lambda originals: {"name": np.array([originals["name.txt"].read_text()])},
        sha256={"name": RECIPE.sha256["name"]},
    )
    monkeypatch.setitem(gather.RECIPES, "toy", replace(RECIPE, extra=extra))
    assert fetch.fetch("toy", tmp_path) == tmp_path / "toy.npz"
    check(tmp_path / "toy.npz")
    with np.load(tmp_path / "toy_extra.npz", allow_pickle=False) as found:
        assert {name: a.tolist() for name, a in found.items()} == {"name": ["toy"]}
    assert len(server.asked) == 2, "an original of both is downloaded once"
    # The fuller file that the catalogue describes is as good, and whoever has the first one is given the second.
    np.savez(tmp_path / "toy_extra.npz", name=np.array(["toy"]), more=np.ones(3))
    (tmp_path / "toy.npz").unlink()
    capsys.readouterr()
    fetch.fetch("toy", tmp_path)
    assert "toy_extra is there already" in capsys.readouterr().out
    (tmp_path / "toy_extra.npz").unlink()
    fetch.fetch("toy", tmp_path)
    assert "toy is there already" in capsys.readouterr().out
    assert (tmp_path / "toy_extra.npz").is_file()


def test_default_folder_is_where_the_catalogue_looks(server, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.delenv("LMAM_DATA", raising=False)
    assert fetch.fetch("toy") == tmp_path / "cache" / "toy.npz"
    monkeypatch.setenv("LMAM_DATA", str(tmp_path / "given"))
    assert fetch.fetch("toy") == tmp_path / "given" / "toy.npz"
    assert fetch.fetch("toy", tmp_path / "to") == tmp_path / "to" / "toy.npz"


def test_damaged_npz_is_made_again(server, tmp_path):
    path = fetch.fetch("toy", tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    check(fetch.fetch("toy", tmp_path))


def test_broken_download_goes_on_where_it_stopped(server, tmp_path):
    server.limit = 1000
    with pytest.raises(LmamError, match=r"broke after 1,000 bytes of http.*numbers\.txt; ask again"):
        fetch.fetch("toy", tmp_path)
    assert not (tmp_path / "toy.npz").exists()
    server.limit = None
    check(fetch.fetch("toy", tmp_path))
    assert server.asked[:2] == [("numbers.txt", None), ("numbers.txt", "bytes=1000-")]


def test_server_that_cannot_go_on_starts_afresh(server, tmp_path):
    server.ranges, server.limit = False, 1000
    with pytest.raises(LmamError, match="broke after 1,000 bytes"):
        fetch.fetch("toy", tmp_path)
    server.limit = None
    check(fetch.fetch("toy", tmp_path))


def test_whole_part_is_taken_over(server, tmp_path):
    part = tmp_path / "sources" / f"{key('numbers.txt')}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT["numbers.txt"])
    check(fetch.fetch("toy", tmp_path))
    assert not part.exists()


def test_part_of_another_file_is_thrown_away(server, tmp_path):
    part = tmp_path / "sources" / f"{key('numbers.txt')}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 100)
    with pytest.raises(LmamError, match="sent another file than the recorded one"):
        fetch.fetch("toy", tmp_path)
    check(fetch.fetch("toy", tmp_path))


def test_changed_source(server, tmp_path):
    server.files[f"/{key('name.txt')}"] = b"joy"  # as long as the recorded one
    recorded = hashlib.sha256(b"toy").hexdigest()[:12]
    with pytest.raises(
        LmamError, match=rf"name\.txt sent another file than the recorded one \(sha256 {recorded}\.\.\."
    ):
        fetch.fetch("toy", tmp_path)
    assert not list(tmp_path.rglob("name.txt*"))
    assert not (tmp_path / "toy.npz").exists()


def test_removed_source(server, tmp_path):
    del server.files[f"/{key('name.txt')}"]
    with pytest.raises(LmamError, match=r"name\.txt cannot be had: it is not there \(HTTP 404\); .* LMAM_SOURCES"):
        fetch.fetch("toy", tmp_path)


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (410, {}, r"it is not there \(HTTP 410\); if it was removed"),
        (401, {}, r"the server refuses it \(HTTP 401\)"),
        (403, {}, r"the server refuses it \(HTTP 403\), perhaps to this network"),
        (429, {}, r"asked too often \(HTTP 429\); ask again later"),
        (429, {"Retry_After": 90}, r"asked too often \(HTTP 429\); ask again in 90 s"),
        (500, {}, r"a fault of its own \(HTTP 500\); ask again later"),
        (503, {}, r"a fault of its own \(HTTP 503\)"),
        (418, {}, r"the server answers HTTP 418"),
        (302, {"Location": "/nowhere"}, r"it is not there \(HTTP 404\)"),
        (302, {"Location": "file:///etc/hostname"}, r"HTTP 302"),
    ],
)
def test_what_a_server_answers_is_told_apart(server, tmp_path, status, headers, sentence):
    server.hostile = lambda handler: handler.send([], status, Content_Length=0, **headers)
    with pytest.raises(LmamError, match=rf"numbers\.txt cannot be had: .*{sentence}") as told:
        fetch.fetch("toy", tmp_path)
    assert "\n" not in str(told.value)
    server.hostile = None
    check(fetch.fetch("toy", tmp_path))


def endless():
    while True:
        yield bytes(1 << 16)


def trickle(content):
    for i in range(len(content)):
        yield content[i : i + 1]
        if i > 100:
            time.sleep(0.02)


@pytest.mark.parametrize(
    "headers", [{}, {"Content_Length": len(CONTENT["numbers.txt"])}], ids=["of no length", "of the right length"]
)
def test_an_endless_stream_ends_at_the_recorded_size(server, tmp_path, headers):
    server.hostile = lambda handler: handler.send(endless(), **headers)
    with pytest.raises(LmamError, match=r"numbers\.txt sent another file than the recorded one .* was thrown away"):
        fetch.fetch("toy", tmp_path)
    assert server.hung_up.wait(10)
    assert not list(tmp_path.rglob("numbers*"))


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"Content_Length": 10**12}, "a file of 1,000,000,000,000 bytes in place of the recorded one of 23,889 bytes"),
        ({"Content_Length": 5}, "a file of 5 bytes in place of the recorded one of 23,889 bytes"),
        (
            {"Content_Length": 5, "Content_Type": "text/html; charset=utf-8"},
            "a web page in place of the recorded one of 23,889 bytes",
        ),
    ],
)
def test_another_length_is_not_downloaded(server, tmp_path, headers, sentence):
    server.hostile = lambda handler: handler.send(endless(), **headers)
    with pytest.raises(LmamError, match=rf"numbers\.txt sent {sentence}, which was thrown away"):
        fetch.fetch("toy", tmp_path)
    assert not list(tmp_path.rglob("numbers*"))


def test_a_trickle_is_given_up_and_kept(server, monkeypatch, tmp_path):
    """Byte after byte, none of them late: each silence is short, and the whole would take for ever."""
    monkeypatch.setattr(download, "SILENCE", 0.5)
    content = CONTENT["numbers.txt"]
    server.hostile = lambda handler: handler.send(trickle(content), Content_Length=len(content))
    started = time.monotonic()
    with pytest.raises(LmamError, match=r"bytes per s, of which 5,000 are needed; .* goes on after \d+"):
        fetch.fetch("toy", tmp_path)
    assert time.monotonic() - started < 5
    kept = (tmp_path / "sources" / f"{key('numbers.txt')}.part").stat().st_size
    assert 100 < kept < 1000
    server.hostile = None
    check(fetch.fetch("toy", tmp_path))
    assert ("numbers.txt", f"bytes={kept}-") in server.asked


def test_headers_that_trickle_count_as_no_answer(server, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "PATIENCE", 0.5)

    def hostile(handler):
        for _ in range(20):
            handler.wfile.write(b"H")
            time.sleep(0.1)

    server.hostile = hostile
    with pytest.raises(LmamError, match=r"127\.0\.0\.1 cannot be reached \(no answer\)"):
        fetch.fetch("toy", tmp_path)


def test_silence_in_the_middle_is_a_broken_connection(server, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "SILENCE", 0.3)
    content = CONTENT["numbers.txt"]

    def hostile(handler):
        handler.send([content[:500]], Content_Length=len(content))
        time.sleep(1)

    server.hostile = hostile
    with pytest.raises(LmamError, match="The connection broke after 500 bytes"):
        fetch.fetch("toy", tmp_path)
    server.hostile = None
    check(fetch.fetch("toy", tmp_path))
    assert ("numbers.txt", "bytes=500-") in server.asked


def test_a_server_that_speaks_no_http(server, tmp_path):
    server.hostile = lambda handler: handler.wfile.write(b"\x00\xff" * 100 + b"\n")
    with pytest.raises(LmamError, match=r"127\.0\.0\.1 cannot be reached"):
        fetch.fetch("toy", tmp_path)


def test_a_server_that_goes_on_elsewhere(server, tmp_path):
    content = CONTENT["numbers.txt"]
    part = tmp_path / "sources" / f"{key('numbers.txt')}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:100])
    rest = content[50:]
    server.hostile = lambda handler: handler.send(
        [rest], 206, Content_Range=f"bytes 50-{len(content) - 1}/{len(content)}", Content_Length=len(rest)
    )
    with pytest.raises(LmamError, match="went on elsewhere than it was asked to; ask again"):
        fetch.fetch("toy", tmp_path)
    server.hostile = None
    check(fetch.fetch("toy", tmp_path))


def test_a_part_that_is_too_long_is_none(server, tmp_path):
    part = tmp_path / "sources" / f"{key('numbers.txt')}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT["numbers.txt"] + b"more")
    check(fetch.fetch("toy", tmp_path))
    assert ("numbers.txt", None) in server.asked


def test_every_recipe_knows_the_size_of_each_of_its_files():
    for recipe in gather.RECIPES.values():
        for one in filter(None, (recipe, recipe.extra)):
            assert all(0 < file.bytes < 5_000_000 for file in one.files)


def test_offline_is_said_after_the_licence(monkeypatch, tmp_path, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("LMAM_SOURCES", f"http://127.0.0.1:{port}")
    with pytest.raises(LmamError, match=r"127\.0\.0\.1 cannot be reached \(.*refused.*\); go online, or name a folder"):
        fetch.fetch("toy", tmp_path)
    out = capsys.readouterr().out
    assert "https://github.com/owner/toy (2 files): MIT" in out
    assert "belong to the children" in out


def test_silent_server_counts_as_offline(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("LMAM_SOURCES", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(LmamError, match="cannot be reached"):
            fetch.fetch("toy", tmp_path)


def test_name_that_is_looked_up_without_end(monkeypatch, tmp_path):
    released = threading.Event()
    monkeypatch.setattr(download, "PATIENCE", 0.1)

    def looking(*_, **__):
        released.wait(60)
        raise OSError("too late")

    monkeypatch.setattr(download.urllib.request, "urlopen", looking)
    monkeypatch.setenv("LMAM_SOURCES", "http://mirror.invalid")
    with pytest.raises(LmamError, match=r"mirror\.invalid cannot be reached \(no answer\)"):
        fetch.fetch("toy", tmp_path)
    released.set()


def test_full_disk_keeps_what_arrived(server, monkeypatch, tmp_path):
    whole = download._append

    def half(answer, part, *_):
        part.write_bytes(answer.read(500))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_append", half)
    with pytest.raises(LmamError, match=r"The disk that holds .* is full; make room .* what has arrived is kept"):
        fetch.fetch("toy", tmp_path)
    monkeypatch.setattr(download, "_append", whole)
    check(fetch.fetch("toy", tmp_path))
    assert server.asked[1] == ("numbers.txt", "bytes=500-")


def test_disk_full_at_the_end_leaves_no_half_npz(server, monkeypatch, tmp_path):
    def full(stream, **_):
        stream.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(LmamError, match="is full"):
        fetch.fetch("toy", tmp_path)
    assert not (tmp_path / "toy.npz").exists()


def test_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LmamError, match=r"file.* cannot be read or written \(.*\); check its permissions"):
        fetch.fetch("toy", tmp_path / "file")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder with the originals, which LMAM_SOURCES names."""
    for name, content in CONTENT.items():
        path = tmp_path / "mirror" / key(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.setenv("LMAM_SOURCES", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def test_mirror_folder_needs_no_net(mirror, monkeypatch, tmp_path):
    monkeypatch.setattr(socket, "create_connection", None)
    check(fetch.fetch("toy", tmp_path / "to"))
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["toy.npz"]


def test_mirror_folder_that_lacks_or_changes_a_file(mirror, tmp_path):
    (mirror / key("name.txt")).write_text("joy")
    with pytest.raises(
        LmamError, match=r"name\.txt has the sha256 .* copy the file again from https://github.com/owner"
    ):
        fetch.fetch("toy", tmp_path)
    (mirror / key("name.txt")).unlink()
    with pytest.raises(LmamError, match=rf"which lacks owner/toy/{COMMIT}/data/name\.txt; copy that file there from"):
        fetch.fetch("toy", tmp_path)


def test_names_that_cannot_be_fetched(tmp_path):
    with pytest.raises(
        LmamError, match="'xyz' is not fetched from anywhere; what can be fetched is mosi, iemocap, meld"
    ):
        fetch.fetch("xyz", tmp_path)
    with pytest.raises(LmamError, match="'synthetic-meld' is generated by the package and is not fetched"):
        fetch.fetch("synthetic-meld", tmp_path)


def with_embedding(monkeypatch, computed):
    """The toy with an embedding: recorded are equal numbers in rows of length 1; `computed` makes ours of them."""
    recorded = np.full((5000, 384), 384**-0.5, np.float32)
    found = computed(recorded)
    monkeypatch.setattr(weights, "hub", lambda extractor: None if found is None else Path("snapshot"))
    monkeypatch.setattr(features, "extract", lambda name, texts: features.Extracted(found, {}, "hub: ..."))
    return with_texts(monkeypatch, ["a"] * 5000, recorded)


def with_texts(monkeypatch, texts, recorded):
    """The toy with these texts and the recorded embedding of them."""
    sample = tuple(map(tuple, sampled(recorded).tolist()))
    hashes = RECIPE.sha256 | {EMBEDDING: content_sha256(recorded)}
    recipe = Recipe("toy", RECIPE.files, {}, toy_arrays, hashes, lambda *_: texts, sample)
    monkeypatch.setitem(gather.RECIPES, "toy", recipe)
    return recipe


@pytest.mark.parametrize(
    ("computed", "kept", "said"),
    [
        (lambda x: x.copy(), True, "3 of 3 arrays"),
        (lambda x: x + 1e-6, True, "agrees with the recorded sample, but not to the last bit"),
        (lambda x: x + 1e-2, False, "is left out"),
        (lambda x: np.where(np.arange(5000)[:, None] == 7, np.nan, x), False, "is left out"),
        (lambda x: None, False, "is left out"),
    ],
    ids=["same bits", "close", "another encoder", "an utterance failed", "no weights"],
)
def test_embedding_is_exact_close_or_left_out(mirror, monkeypatch, tmp_path, capsys, computed, kept, said):
    recipe = with_embedding(monkeypatch, computed)
    path = fetch.fetch("toy", tmp_path)
    assert said in capsys.readouterr().out
    with np.load(path, allow_pickle=False) as arrays:
        assert (EMBEDDING in arrays) == kept
    assert not wrong(recipe.states_in(path))
    # Asked for again without an encoder, an embedding that is there stays, and one that is not is missed again.
    with_embedding(monkeypatch, lambda x: None)
    fetch.fetch("toy", tmp_path)
    out = capsys.readouterr().out
    assert said in out
    assert ("is there already" in out) == kept


TEXTS = ["It rains.", "Again?", "I like it.", "So do I."]


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """Puts an encoder of MiniLM's shape into the hub's cache on this machine, which is empty; no hub can be reached."""
    from lmam_core.features.encoders import tiny

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "create_connection", None)
    monkeypatch.setitem(features.extract.__kwdefaults__, "cache", None)
    clear = weights.online.cache_clear
    clear()

    def put():
        model = tmp_path / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2"
        for part in tiny.text(features.extractor("minilm384")):
            part.save_pretrained(model / "snapshots" / COMMIT)
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text(COMMIT)
        return model / "snapshots" / COMMIT

    yield put
    clear()


def test_embedding_is_made_with_the_encoder_on_this_machine(mirror, encoder, monkeypatch, tmp_path, capsys):
    expected = features.extract("minilm384", TEXTS, weights=encoder()).values
    with_texts(monkeypatch, TEXTS, expected)
    path = fetch.fetch("toy", tmp_path)
    assert "3 of 3 arrays are exactly the recorded ones" in capsys.readouterr().out
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays[EMBEDDING], expected)


def test_no_embedding_and_no_tiny_encoder_in_its_place_where_there_are_no_weights(
    mirror, encoder, monkeypatch, tmp_path, capsys
):
    tiny = features.extract("minilm384", TEXTS, weights="random", progress=False).values
    with_texts(monkeypatch, TEXTS, tiny)  # so that the tiny one would be taken for the recorded one
    path = fetch.fetch("toy", tmp_path)
    check(path)
    printed = capsys.readouterr()
    assert f"{EMBEDDING} is left out" in printed.out
    assert printed.err == ""


def test_download_of_the_encoder_that_breaks_leaves_the_embedding_out(mirror, encoder, monkeypatch, tmp_path, capsys):
    def broken(repository, *, local_files_only=False, **_):
        raise LocalEntryNotFoundError("not here") if local_files_only else OSError("connection lost")

    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    monkeypatch.setattr(weights, "online", lambda: True)
    with_texts(monkeypatch, TEXTS, np.ones((4, 384), np.float32))
    check(fetch.fetch("toy", tmp_path))
    printed = capsys.readouterr()
    assert f"{EMBEDDING} is left out" in printed.out
    assert "could not be downloaded: connection lost" in printed.err


def test_the_command(mirror, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LMAM_DATA", str(tmp_path / "given"))
    assert main(["data", "fetch", "toy"]) == main(["data", "fetch", "toy", "--to", str(tmp_path / "to")]) == 0
    check(tmp_path / "given" / "toy.npz")
    check(tmp_path / "to" / "toy.npz")
    assert main(["data", "fetch", "xyz"]) == 2
    assert "'xyz' is not fetched from anywhere" in capsys.readouterr().err


def test_array_that_comes_out_otherwise_is_not_written(mirror, monkeypatch, tmp_path):
    recipe = Recipe("toy", RECIPE.files, {}, toy_arrays, RECIPE.sha256 | {"name": "0" * 64})
    monkeypatch.setitem(gather.RECIPES, "toy", recipe)
    with pytest.raises(LmamError, match="name of toy came out otherwise than recorded"):
        fetch.fetch("toy", tmp_path)
    assert not (tmp_path / "toy.npz").exists()
    np.savez(tmp_path / "toy.npz", **ARRAYS)
    assert wrong(recipe.states_in(tmp_path / "toy.npz"))
    assert not wrong(RECIPE.states_in(tmp_path / "toy.npz"))
