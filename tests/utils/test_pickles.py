"""Pickles are read as data, and hostile ones end in one line: no code, no crash, no hang."""

import contextlib
import pickle
import struct
import time
from collections import OrderedDict

import numpy as np
import pytest

from utils.errors import InputError
from utils.pickles import Unbuilt, read_pickle


def _read(path):
    return read_pickle(path, "pickle", "get it again")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_pickles_hold(tmp_path, protocol):
    content = {
        "f": np.random.default_rng(0).random((3, 4)), "fortran": np.asfortranarray(np.eye(2, 3)),
        "text": np.array(["ab", "cde"]), "flags": np.array([True, False]), "none": None,
        "big": [np.arange(3, dtype=">i4")], "empty": np.zeros((0, 3)), "bytes": b"\xff\x00",
        "word": "Grüße", "number": np.int64(4), "half": 1.5, "huge": 2**70, "set": {1, 2},
        "ordered": OrderedDict(a=1), "tuple": (1, "a", ()), "no bytes": b"",
    }  # fmt: skip
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = _read(tmp_path / "a.pkl")
    assert found.keys() == content.keys()
    for name, expected in content.items():
        np.testing.assert_equal(found[name], expected)
    assert found["f"].flags.writeable
    assert found["big"][0].dtype.isnative


def test_text_of_python_2(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"(dp0\nS'a\\xe9'\np1\nI3\ns.")
    assert _read(tmp_path / "a.pkl") == {"aé": 3}


def test_arrays_of_objects_are_nothing(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": np.array([{}, None]), "b": np.ones(1)}))
    found = _read(tmp_path / "a.pkl")
    assert found["a"] is None
    assert found["b"] == 1


def _array_pickle(shape, dtype, raw, order="<"):
    """An array's pickle whose state says what it likes; protocol 2."""

    def text(word):
        return b"X" + struct.pack("<I", len(word)) + word

    numbers = b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in shape) + b"t"
    state = b"(K\x03" + text(order.encode()) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    kind = b"cnumpy\ndtype\n(" + text(dtype) + b"K\x00K\x01tR" + state
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
    raw = b"B" + struct.pack("<I", len(raw)) + raw
    return b"\x80\x03" + start + b"(K\x01" + numbers + kind + b"\x89" + raw + b"tb."


_ONE = _array_pickle((1,), b"f8", bytes(8))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cut off, or no pickle"),
        (_ONE[:-5], "remain|cut off"),
        (_array_pickle((10**6,), b"f8", bytes(8)), "8 bytes are not those of float64"),
        (_array_pickle((2**62, 2**62), b"f8", bytes(8)), "the shape of an array is damaged"),
        (_array_pickle((-1,), b"f8", bytes(8)), "the shape of an array is damaged"),
        (_array_pickle((0, 2**40), b"f8", b""), "the shape of an array is damaged"),
        (_array_pickle((1,) * 100, b"f8", bytes(8)), "the shape of an array is damaged"),
        (_array_pickle((1,), b"V8", bytes(8)), "expected plain numbers"),
        (_array_pickle((1,), b"M8", bytes(8)), "expected plain numbers"),
        (_array_pickle((1,), b"f8,f8", bytes(16)), "expected plain numbers"),
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "asks for os.system, which is refused"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "gives a state to what has none"),
        (b"\x80\x02]}b.", "gives a state to what has none"),
        (b"\x80\x02}]K\x01s.", "it has a list for a key"),
        (b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.", "it has a tuple for a key"),
        (b"\x80\x02K\x01\x51.", "asks for what lies outside of it"),
        (b"\x80\x02(i__main__\nA\n.", "asks for INST, which is refused"),
        (b"\x80\x02\x82\x01.", "asks for EXT1, which is refused"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "a.pkl"),  # text of 2**63 bytes
    ],
)
def test_hostile_pickles_are_one_line(tmp_path, content, told):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(InputError, match=told) as refused:
        _read(tmp_path / "a.pkl")
    assert len(str(refused.value).splitlines()) == 1


def test_what_never_got_its_state_is_no_array(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02cnumpy\ndtype\n(K\x01K\x00K\x01tR.")
    assert isinstance(_read(tmp_path / "a.pkl"), Unbuilt)


def test_an_honest_array_by_the_same_writer(tmp_path):
    (tmp_path / "a.pkl").write_bytes(_ONE)
    assert _read(tmp_path / "a.pkl").tolist() == [0]


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"]" * 500_000 + b"a" * 499_999 + b".",  # half a million lists in lists
        b"\x80\x02]" + b"h\x00h\x00\x86q\x00" * 1000 + b".",  # nothing in the memo yet
        b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 10_000 + b".",  # 2 to the power of 10,000
        b"\x80\x02" + b"N" * 2_100_000 + b".",
    ],
)
def test_depth_and_time_are_bounded(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    started = time.monotonic()
    with contextlib.suppress(InputError):
        _read(tmp_path / "a.pkl")
    assert time.monotonic() - started < 60
