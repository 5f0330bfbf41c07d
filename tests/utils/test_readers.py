"""Reading npz files that users bring."""

import numpy as np
import pytest

from utils.errors import InputError
from utils.readers import read_npz, read_rows


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
    for name in ("text.npz", "objects.npz", "absent.npz"):
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
