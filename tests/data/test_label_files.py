"""Label files: every mistake in one line."""

import numpy as np
import pytest

from data.label_files import check_files, read_genders, read_labels
from utils.errors import InputError

SHAPES = {"names": (), "poses": (72,), "unused": None}
GOOD = {"names": np.array(["a", "b"]), "poses": np.zeros((2, 72)), "unused": np.zeros((2, 5))}


def test_good_labels(tmp_path):
    np.savez(tmp_path / "labels.npz", **GOOD, other=np.zeros(3))
    labels = read_labels(tmp_path / "labels.npz", SHAPES, {"joints": (17, 3)})
    assert labels.keys() == GOOD.keys()
    np.savez(tmp_path / "labels.npz", **GOOD, joints=np.zeros((2, 17, 3)))
    assert "joints" in read_labels(tmp_path / "labels.npz", SHAPES, {"joints": (17, 3)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": None}, "has no poses; it holds"),
        ({"poses": np.zeros((2, 69))}, r"poses has shape \(2, 69\), expected \(2, 72\)"),
        ({"poses": np.zeros((3, 72))}, r"poses has shape \(3, 72\), expected \(2, 72\)"),
        ({"unused": np.zeros((1, 5))}, r"unused has shape \(1, 5\), expected \(2, 5\)"),
        ({"poses": np.full((2, 72), np.nan)}, "poses has values that are not finite"),
        ({"poses": np.full((2, 72), "x")}, "poses holds <U1, expected numbers"),
        ({"names": np.array([])}, "labels of no frame"),
        ({"names": np.array([{}, {}])}, "not a readable npz file of plain arrays"),
        ({"joints": np.zeros((2, 16, 3))}, r"joints has shape \(2, 16, 3\), expected \(2, 17, 3\)"),
    ],
)
def test_bad_labels(tmp_path, changes, message):
    arrays = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    np.savez(tmp_path / "labels.npz", **arrays)
    with pytest.raises(InputError, match=message) as error:
        read_labels(tmp_path / "labels.npz", SHAPES, {"joints": (17, 3)})
    assert "\n" not in str(error.value)


def test_no_labels(tmp_path):
    with pytest.raises(InputError, match=r"no labels.npz in .*README"):
        read_labels(tmp_path / "labels.npz", SHAPES)
    (tmp_path / "labels.npz").write_text("hello")
    with pytest.raises(InputError, match="not a readable npz"):
        read_labels(tmp_path / "labels.npz", SHAPES)


def test_genders(tmp_path):
    for codes in (np.array(["m", "f"]), np.array([b"m", b"f"])):
        assert read_genders(codes, tmp_path) == ["male", "female"]
    with pytest.raises(InputError, match="genders 'n', 'x'; expected 'm' or 'f'"):
        read_genders(np.array(["x", "n", "m"]), tmp_path)


def test_files(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    check_files(tmp_path, ["a", "c"])
    with pytest.raises(InputError, match=r"lacks 4 of the 5 files .*: d, e, f and 1 more"):
        check_files(tmp_path, ["a", "d", "e", "f", "g"])
    with pytest.raises(InputError, match="name files twice: a"):
        check_files(tmp_path, ["a", "b", "a"])
    with pytest.raises(InputError, match="no folder"):
        check_files(tmp_path / "x", ["a"])
