"""Reading npz files that users bring."""

import os
import threading
import zipfile

import numpy as np
import pytest

import utils.readers
from utils.errors import InputError
from utils.readers import read_npy, read_npz, read_rows


def _write_member(path, content, name="poses.npy", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)


def _npy(header, content=b""):
    header = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


_HEADER = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"


def test_what_is_asked_for_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.ones(3), more=np.zeros(2), other=np.zeros(1))
    arrays = read_npz(tmp_path / "a.npz", ["poses"], ["more", "absent"])
    assert set(arrays) == {"poses", "more"}
    assert arrays["poses"].tolist() == [1, 1, 1]


def test_what_is_missing_and_what_is_there(tmp_path):
    np.savez(tmp_path / "a.npz", shapes=np.ones(3))
    with pytest.raises(InputError, match=r"a\.npz has no poses, trans; it holds shapes"):
        read_npz(tmp_path / "a.npz", ["poses", "trans"])


def test_rows_are_of_the_same_things(tmp_path):
    path, shapes = tmp_path / "a.npz", {"betas": (10,), "swapped": (2,)}
    np.savez(path, betas=np.ones((3, 10)), swapped=np.ones((3, 2), bool), other=np.ones(1))
    assert {name: len(rows) for name, rows in read_rows(path, shapes).items()} == {
        "betas": 3, "swapped": 3
    }  # fmt: skip
    np.savez(path, betas=np.ones((3, 10)), swapped=np.ones((2, 2)))
    with pytest.raises(InputError, match=r"swapped has shape \(2, 2\); expected \(3, 2\)"):
        read_rows(path, shapes)
    np.savez(path, betas=np.float32(1), swapped=np.ones((1, 2)))
    with pytest.raises(InputError, match=r"betas has shape \(\); expected \(1, 10\)"):
        read_rows(path, shapes)
    np.savez(path, betas=np.full((3, 10), np.inf), swapped=np.ones((3, 2)))
    with pytest.raises(InputError, match="betas has values that are not finite numbers"):
        read_rows(path, shapes)


def test_files_that_are_no_npz(tmp_path):
    np.save(tmp_path / "single.npy", np.ones(3))
    with pytest.raises(InputError, match="holds a single array; expected an npz with poses"):
        read_npz(tmp_path / "single.npy", ["poses"])
    (tmp_path / "text.npz").write_text("no zip")
    np.savez(tmp_path / "objects.npz", poses=np.array([{}]))
    with pytest.raises(InputError, match=r"cannot read .*absent\.npz: No such file"):
        read_npz(tmp_path / "absent.npz", ["poses"])
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read_npz(tmp_path, ["poses"])
    for name in ("text.npz", "objects.npz"):
        with pytest.raises(InputError, match=f"{name} is not a readable npz file"):
            read_npz(tmp_path / name, ["poses"])


def test_a_damaged_file(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, poses=np.random.default_rng(0).normal(size=1000))
    content = bytearray(path.read_bytes())
    content[200:900] = bytes(700)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a readable npz file"):
        read_npz(path, ["poses"])


def test_arrays_of_every_plain_kind_are_read_as_numpy_reads_them(tmp_path):
    arrays = {
        "big": np.arange(6, dtype=">i4").reshape(2, 3), "fortran": np.asfortranarray(np.eye(3, 2)),
        "text": np.array(["m", "female"]), "bytes": np.array([b"ab"]), "one": np.float32(2),
        "none": np.zeros((0, 3)), "half": np.ones(2, np.float16), "flags": np.array([True, False]),
    }  # fmt: skip
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz", arrays)
        for name, expected in arrays.items():
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == expected.dtype.newbyteorder("=")
            assert found[name].dtype.isnative
    np.save(tmp_path / "a.npy", arrays["big"])
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), arrays["big"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no array", "poses is not an array"),
        (_npy(_HEADER % ("<f8", "(3,)"), bytes(16)), "another size than its header says"),
        (_npy(_HEADER % ("<f8", "(9999999999999999999, 9)")), "a shape that no array has"),
        (_npy(_HEADER % ("<f8", "(0, 99999999999)")), "a shape that no array has"),
        (_npy(_HEADER % ("<f8", "(-1,)")), "header of poses is damaged"),
        (_npy("{'descr': " + "(" * 90), "header of poses is damaged"),
        (_npy(_HEADER % ("|O", "(1,)"), bytes(8)), "expected plain numbers"),
        (_npy(_HEADER % ("<c16", "(1,)"), bytes(16)), "expected plain numbers"),
        (_npy(_HEADER % ("<U1", "(1,)"), b"\xff" * 4), "text that is none"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", "the header of poses has 2147483647 bytes"),
    ],
)
def test_hostile_members_are_one_line(tmp_path, content, told):
    _write_member(tmp_path / "a.npz", content)
    with pytest.raises(InputError, match=told) as refused:
        read_npz(tmp_path / "a.npz", ["poses"])
    assert len(str(refused.value).splitlines()) == 1
    (tmp_path / "a.npy").write_bytes(content[:-1])
    with pytest.raises(InputError, match="is not a readable npy file"):
        read_npy(tmp_path / "a.npy")


def test_bytes_that_are_neither_true_nor_false_are_true(tmp_path):
    _write_member(tmp_path / "a.npz", _npy(_HEADER % ("|b1", "(3,)"), b"\x00\x01\x07"))
    flags = read_npz(tmp_path / "a.npz", ["poses"])["poses"]
    assert flags.view(np.uint8).tolist() == [0, 1, 1]


def test_bombs_are_refused_before_they_are_loaded(tmp_path, monkeypatch):
    """Each array is small enough, and all together are not; sizes are those of the headers."""
    monkeypatch.setattr(utils.readers, "MAX_BYTES", 20_000)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1500), b=np.zeros(1500))
    assert set(read_npz(tmp_path / "bomb.npz", ["a"])) == {"a"}
    monkeypatch.setattr(utils.readers, "read_bytes", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(InputError, match=r"2\.4e-05 GB; at most 2e-05 GB are read"):
        read_npz(tmp_path / "bomb.npz", ["a", "b"])


def test_members_that_are_encrypted_or_packed_otherwise(tmp_path):
    path = tmp_path / "a.npz"
    _write_member(path, _npy(_HEADER % ("|u1", "(3,)"), bytes(3)), method=zipfile.ZIP_BZIP2)
    with pytest.raises(InputError, match=r"poses\.npy is compressed by the unknown method 12"):
        read_npz(path, ["poses"])
    np.savez(path, poses=np.ones(3))
    content = bytearray(path.read_bytes())
    for start, flags in ((content.rindex(b"PK\x01\x02"), 8), (content.index(b"PK\x03\x04"), 6)):
        content[start + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"poses\.npy is encrypted"):
        read_npz(path, ["poses"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    found = []

    def read():
        with pytest.raises(InputError, match="it is no file, but a folder, pipe or device"):
            read_npz(tmp_path / "a.npz", ["poses"])
        found.append(True)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert found
