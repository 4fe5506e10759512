"""Pickles: what is allowed comes back as it was, and a hostile file does nothing but earn a sentence."""

from __future__ import annotations

import collections
import datetime
import io
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lmam_core.data import pickles
from lmam_core.errors import LmamError

PROTOCOLS = range(6)


def stored(path: Path, value: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def same(a: object, b: object) -> bool:
    """Whether two values are of one type and equal throughout, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype.hasobject:
            return all(same(x, y) for x, y in zip(a.flat, b.flat, strict=True))
        return a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(),
    st.binary(),
    st.complex_numbers(allow_nan=False),
    st.frozensets(st.integers()),
    st.builds(bytearray, st.binary()),
    npst.arrays(
        st.one_of(
            npst.boolean_dtypes(),
            npst.integer_dtypes(endianness="?"),
            npst.floating_dtypes(endianness="?"),
            npst.complex_number_dtypes(),
            npst.byte_string_dtypes(min_len=1),
            npst.unicode_string_dtypes(min_len=1),
        ),
        npst.array_shapes(min_dims=0, min_side=0, max_side=4),
    ),
    st.builds(np.float32, st.floats(width=32)),
    st.builds(np.int64, st.integers(-(2**63), 2**63 - 1)),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.tuples(st.text(), st.integers())), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(values, st.sampled_from(PROTOCOLS))
def test_arrays_and_containers_come_back_as_they_were(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp() / "value.pkl"
    assert same(pickles.load(stored(path, value, protocol)), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_arrays_orders_and_dicts_of_a_kind(tmp_path, protocol):
    objects = np.empty((2, 2), object)
    objects[:] = [[[1], "x"], [None, np.ones(2)]]
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    shared = [1.0]
    value = {
        "objects": objects,
        "fortran": fortran,
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, {"a": [1]}),
        "set": {1, 2},
        "shared": [shared, shared],
    }
    found = pickles.load(stored(tmp_path / "v.pkl", value, protocol))
    assert same(found["objects"], objects)
    np.testing.assert_array_equal(found["fortran"], fortran)
    assert list(found["ordered"].items()) == [("b", 1), ("a", 2)]
    assert found["default"] == {"a": [1]}
    assert found["set"] == {1, 2}
    assert found["shared"][0] is found["shared"][1]
    assert type(found["ordered"]) is type(found["default"]) is dict
    found["fortran"][0, 0] = 7  # in memory of its own


def test_a_pickle_of_python_2(tmp_path):
    """Written by hand in the opcodes of Python 2: a byte string as key, an array from numpy.core with raw bytes."""
    raw = struct.pack("<2d", 1.5, -2.0)
    program = (
        b"\x80\x02}U\x06Ses\xe901cnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U" + bytes([len(raw)]) + raw + b"tbs."
    )
    (tmp_path / "two.pkl").write_bytes(program)
    found = pickles.load(tmp_path / "two.pkl")
    assert list(found) == ["Ses\xe901"]
    assert found["Ses\xe901"].tolist() == [1.5, -2.0]


class Asks:
    """Pickled, it asks for a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(marker: Path) -> dict[str, bytes]:
    """Pickles that would create `marker`, or read or change something, if anything that they ask for were done."""
    touch = f"open({str(marker)!r}, 'w').close()"
    path = str(marker).encode()
    inside = np.empty(1, object)
    inside[0] = Asks(exec, touch)
    system = Asks(os.system, f"touch {marker}")
    return {
        "os.system": pickle.dumps(system),
        "os.system of Python 2": b"cposix\nsystem\n(S'touch " + path + b"'\ntR.",
        "exec": pickle.dumps(Asks(exec, touch)),
        "eval": pickle.dumps(Asks(eval, f"__import__('os').system('touch {marker}')"), 0),
        "open": pickle.dumps(Asks(io.open, str(marker), "w")),
        "getattr": b"c__builtin__\ngetattr\n(c__builtin__\ndict\nS'__subclasses__'\ntR.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
        "import": b"c__builtin__\n__import__\n(S'os'\ntR.",
        "inst": b"(S'touch " + path + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch " + path + b"'\no.",
        "numpy.load": pickle.dumps(Asks(np.load, str(marker))),
        "in an array of objects": pickle.dumps({"x": inside}),
        "in a list in a dict": pickle.dumps({"x": [1, (2, system)]}),
        "in a set": pickle.dumps([frozenset([1]), {"a": system}]),
        "persistent": b"Pmarker\n.",
        "extension": b"\x82\x01.",
    }


@pytest.mark.parametrize("name", attacks(Path("marker")))
def test_a_hostile_pickle_does_nothing(tmp_path, name):
    marker = tmp_path / "marker"
    path = tmp_path / "hostile.pkl"
    path.write_bytes(attacks(marker)[name])
    with pytest.raises(LmamError, match=r"hostile\.pkl (was not opened: |cannot be read as a whole pickle)"):
        pickles.load(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["os.system", "exec", "open"])
def test_the_attacks_work_on_an_unpickler_that_believes_them(tmp_path, name):
    """So that the test above does not pass because its files are harmless."""
    pickle.loads(attacks(tmp_path / "marker")[name])
    assert (tmp_path / "marker").exists()


def test_the_sentence_names_what_the_file_asked_for(tmp_path):
    with pytest.raises(LmamError, match=r"it asks for \w+\.system, which is neither an array nor a container\.$"):
        pickles.load(stored(tmp_path / "v.pkl", Asks(os.system, "true")))
    with pytest.raises(LmamError, match=r"it asks for datetime\.date, "):
        pickles.load(stored(tmp_path / "v.pkl", datetime.date(2020, 1, 1)))


RECONSTRUCT = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
F8, O8, V8 = (b"cnumpy\ndtype\nU\x02" + code + b"K\x00K\x01\x87R" for code in (b"f8", b"O8", b"V8"))
HUGE = b"\x8a\x08" + struct.pack("<q", 10**15)


CLAIMS = [
    # An array of 10^15 doubles with eight bytes, as a state and as a call of ndarray itself.
    (
        "size",
        RECONSTRUCT + b"(K\x01" + HUGE + b"\x85" + F8 + b"\x89U\x01xtb.",
        "bytes",
    ),
    ("negative", RECONSTRUCT + b"(K\x01J\xff\xff\xff\xff\x85" + F8 + b"\x89U\x01xtb.", "shape"),
    ("ndarray", b"\x80\x02cnumpy\nndarray\n" + HUGE + b"\x85\x85R.", "callable"),
    ("bytearray", b"\x80\x02c__builtin__\nbytearray\n" + HUGE + b"\x85R.", "int"),
    ("frame", b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.", "announces 4,611,"),
    ("bytes", b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.", "announces 4,611,"),
    ("bytes to change", b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.", "announces 4,611,"),
    ("long", b"\x80\x02\x8b\xff\xff\xff\x7f.", "announces 2,147,483,647 bytes and 1 are left"),
    # Raw bytes that would stand for pointers: objects without a list, and records.
    (
        "pointers",
        RECONSTRUCT + b"(K\x01K\x01\x85" + O8 + b"\x89U\x08aaaaaaaatb.",
        "lists",
    ),
    ("record", RECONSTRUCT + b"(K\x01K\x01\x85" + V8 + b"\x89U\x08aaaaaaaatb.", "V8"),
    # Changing what was named: a later file would meet the change.
    ("change", b"\x80\x02cnumpy\ndtype\n}U\x09_functionK\x01sb.", "wants to change"),
    ("slots", b"\x80\x02cnumpy\ndtype\nN}U\x09_functionK\x01s\x86b.", "wants to change"),
    ("list", b"\x80\x02c__builtin__\nlist\n.", "where a value should stand"),
    ("called list", b"\x80\x02c__builtin__\nlist\n)R.", "callable"),
    ("itself", b"\x80\x02]q\x00h\x00a.", "hold themselves"),
    ("deep", b"\x80\x02" + b"]" * 200 + b"a" * 199 + b".", "deep"),
    # The hash of such a key overruns the stack of the process.
    ("key", b"\x80\x02}()" + b"\x85" * 200_000 + b"K\x01u.", "deep"),
    ("key of few", b"\x80\x02}()" + b"\x85" * 65 + b"K\x01u.", "deep"),
    ("marks", b"\x80\x02" + b"(" * 200_000, "deep"),
    ("key by memo", b"\x80\x02}()" + b"q\x000h\x00\x85" * 200_000 + b"K\x01u.", "deep"),
]


# One string of a megabyte in some 4,000 arrays, each a copy; the same bytes as arguments of calls and in sets.
SHARED = b"\x80\x03cnumpy.core.multiarray\n_reconstruct\nq\x000cnumpy\nndarray\nq\x010B" + struct.pack("<I", 10**6)
SHARED += bytes(10**6) + b"q\x020cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87Rq\x030J" + struct.pack("<i", 125_000)
SHARED += b"\x85q\x040c__builtin__\nset\nq\x060c__builtin__\nbytearray\nq\x080](K\x01"
EQUAL_HASHES = [b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") for k in range(1, 70_000)]
COLLIDING, COLLIDING_TUPLES = (b"".join(key + code + b"K\x01" for key in EQUAL_HASHES) for code in (b"", b"\x85"))
OBJECTS = b"q\x000" + RECONSTRUCT[2:] + b"(K\x01K\x02\x85" + O8 + b"\x89](h\x00h\x00etb"
MANY = [
    ("tuples as a key", b"\x80\x02})" + b"2\x86" * 40 + b"K\x01s.", "over and over"),
    (
        "tuples by memo",
        b"\x80\x02})" + b"".join(b"q%ch%c\x86" % (k, k) for k in range(40)) + b"K\x01s.",
        "over and over",
    ),
    ("tuples in a set", b"\x80\x04\x8f()" + b"2\x86" * 40 + b"\x90.", "over and over"),
    ("tuples in a frozenset", b"\x80\x04()" + b"2\x86" * 40 + b"\x91.", "over and over"),
    ("tuples in a list in a set", b"\x80\x02c__builtin__\nset\n])" + b"2\x86" * 40 + b"a\x85R.", "16 times"),
    # All of these have one hash, so that a dict of n of them takes n * n steps.
    ("numbers as keys", b"\x80\x02}(" + COLLIDING + b"u.", "over and over"),
    ("numbers in tuples as keys", b"\x80\x02}(" + COLLIDING_TUPLES + b"u.", "over and over"),
    ("fewer numbers as keys", b"\x80\x02}(" + COLLIDING[: len(COLLIDING) // 3] + b"u.", "over and over"),
    ("numbers in a set", b"\x80\x04\x8f(" + COLLIDING + b"\x90.", "over and over"),
    (
        "long strings",
        b"\x80\x02](X\x40\x42\x0f\x00" + b"x" * 1_000_000 + b"q\x00" + b"h\x00" * 9_999 + b"e.",
        "16 times",
    ),
    ("lists of lists", b"\x80\x02]" + b"q\x000](h\x00h\x00e" * 40 + b".", "16 times"),
    ("dicts of dicts", b"\x80\x02}" + b"q\x000}(K\x01h\x00K\x02h\x00u" * 40 + b".", "16 times"),
    ("objects of objects", b"\x80\x02]" + OBJECTS * 40 + b".", "16 times"),
    ("empty sets", b"\x80\x04](" + b"\x8f" * 1_000_000 + b"e.", "16 times"),
    ("empty sets by call", b"\x80\x02c__builtin__\nset\nq\x000](" + b"h\x00)R" * 250_000 + b"e.", "16 times"),
    (
        "arrays",
        SHARED + b"h\x00h\x01K\x00\x85C\x01b\x87R(K\x01h\x04h\x03\x89h\x02tb" * 4000 + b"e.",
        "16 times as large",
    ),
    ("bytes", SHARED + b"h\x08h\x02\x85R" * 4000 + b"e.", "16 times as large"),
    ("lists", SHARED + b"](" + b"K\x01" * 1000 + b"eq\x09" + b"h\x06h\x09\x85R" * 20_000 + b"e.", "16 times as large"),
    (
        "empty strings",
        RECONSTRUCT + b"(K\x01J\x00\x00\x00\x40\x85cnumpy\ndtype\nU\x01UK\x00K\x01\x87R\x89U\x00tb.",
        "16 times",
    ),
    ("bytes by number", RECONSTRUCT + b"(K\x01K\x01\x85" + F8 + b"\x89J\x00\x00\x00\x40tb.", "container from int"),
]


LIMITED = """
import os, psutil, resource, sys
from lmam_core.data import pickles
from lmam_core.errors import LmamError
room = psutil.Process().memory_info().vms + 300_000_000
for path in sys.argv[1:]:
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CPU, (3, 3))
        try:
            pickles.load(path)
        except LmamError as error:
            print(error, flush=True)
        os._exit(0)
    if status := os.waitpid(child, 0)[1]:
        print(path, "ended with", status, flush=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, str]:
    """What is said of each file, by its name."""
    folder = tmp_path_factory.mktemp("small")
    for k, (_, program, _) in enumerate(MANY):
        assert len(program) < 1_200_000
        (folder / f"small-{k}.pkl").write_bytes(program)
    done = subprocess.run([sys.executable, "-c", LIMITED, *folder.iterdir()], capture_output=True, text=True)
    return {f"small-{found[1]}.pkl": found[0] for found in re.finditer(r".*small-(\d+)\.pkl .*", done.stdout)}


@pytest.mark.parametrize(
    ("k", "sentence"), [(k, sentence) for k, (*_, sentence) in enumerate(MANY)], ids=[w for w, *_ in MANY]
)
def test_a_small_file_neither_grows_nor_goes_on_for_ever(told, k, sentence):
    """In a process of its own, with three seconds of processor time and 300 MB beyond what it has."""
    assert re.search(sentence, told.get(f"small-{k}.pkl", ""))


@pytest.mark.parametrize(("what", "program", "sentence"), CLAIMS, ids=[what for what, *_ in CLAIMS])
def test_claims_and_tricks_are_refused(tmp_path, what, program, sentence):
    path = tmp_path / f"{what}.pkl"
    path.write_bytes(program)
    with pytest.raises(LmamError, match=sentence):
        pickles.load(path)
    assert same(pickles.load(stored(path, np.ones(2))), np.ones(2))  # and nothing of it stays behind


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_file_is_a_sentence(tmp_path_factory, noise, at, byte):
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    whole = bytearray(pickle.dumps({"a": np.arange(6.0), "b": [np.ones((2, 2), object), "x", {"c": 1.5}]}, 2))
    whole[at % len(whole)] = byte
    for content in (noise, bytes(whole), bytes(whole[: at % len(whole)])):
        path.write_bytes(content)
        assert "\n" not in sentence_about(path)


def sentence_about(path: Path) -> str:
    """What `load` says against a file; "" where it has read it, since not every changed byte is damage."""
    try:
        pickles.load(path)
    except LmamError as error:
        return str(error)
    return ""


def test_an_index_of_four_thousand_millions_sets_no_memory_aside(tmp_path):
    (tmp_path / "memo.pkl").write_bytes(b"\x80\x02Nr\xff\xff\xff\xff.")
    assert pickles.load(tmp_path / "memo.pkl") is None


def test_what_occurs_often_may_do_so_up_to_a_point(tmp_path):
    """A vector of zeros stands for a clip that is missing, and is one object in memory and file."""
    zeros = np.zeros(10)
    found = pickles.load(stored(tmp_path / "v.pkl", [[zeros, np.ones(100)] for _ in range(50)]))
    assert found[0][0] is found[49][0]
    small = [[np.int8(k % 5)] for k in range(20_000)], [{k % 100} for k in range(20_000)], [[]] * 1000
    assert len(pickles.load(stored(tmp_path / "v.pkl", small, 4))[0]) == 20_000
    keys = {(f"video {k}", k): [k] for k in range(5000)}
    assert pickles.load(stored(tmp_path / "v.pkl", keys)) == keys


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "it is a Git LFS pointer .* lfs pull",
        ),
        (b"/annex/objects/SHA256E-s1--0.pkl\n", "a git-annex pointer"),
        (b"\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning", "it is a web page and not the file"),
        (b'{"message": "Bad credentials"}', "JSON text, as a server sends it"),
        (b"\x1f\x8b\x08\x00", "a packed file; unpack it first"),
        (b"PK\x03\x04 a checkpoint", "a zip archive"),
        (b"\x89HDF\r\n\x1a\n", r"an HDF5 file \(so are the \.csd"),
        (b"", "it is empty"),
        (bytes(1000), "a file of zeros"),
        (pickle.dumps(np.ones(1000))[:900], "announces 8,141 bytes and [0-9]+ are left, as of a file that was cut off"),
        (pickle.dumps([np.ones(10)] * 3)[:100], "cannot be read as a whole pickle"),
    ],
)
def test_a_download_that_is_not_the_file_is_called_by_its_name(tmp_path, content, sentence):
    (tmp_path / "mosi_data.pkl").write_bytes(content)
    with pytest.raises(LmamError, match=sentence) as error:
        pickles.load(tmp_path / "mosi_data.pkl")
    assert "mosi_data.pkl" in str(error.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(LmamError, match=r"pipe\.pkl is not a file"):
        pickles.load(tmp_path / "pipe.pkl")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LmamError, match=r"nowhere\.pkl cannot be read \(No such file"):
        pickles.load(tmp_path / "nowhere.pkl")
