"""Frames of evaluation datasets: windows of photos and masks."""

import cv2
import numpy as np
import pytest

from data.frames import Frame, read_mask
from utils.errors import InputError


def _frame(path, **more) -> Frame:
    return Frame("a", "a", path, "neutral", np.zeros(10), np.zeros(72), **more)


def test_a_window_is_cut_out_of_photo_and_mask(tmp_path):
    image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    mask = np.zeros((20, 30), np.uint8)
    mask[5, 7], mask[6, 8] = 1, 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    frame = _frame(tmp_path / "a.png", window=(6, 4, 16, 20), silhouette=tmp_path / "mask.png")
    np.testing.assert_array_equal(frame.read_photo(), image[4:20, 6:16])
    assert np.argwhere(frame.read_silhouette()).tolist() == [[1, 1], [2, 2]]
    assert frame.photo_size() == (16, 10)
    whole = _frame(tmp_path / "a.png")
    assert whole.read_photo().shape == (20, 30, 3)
    assert whole.photo_size() == (20, 30)


def test_a_window_outside_the_photo_is_an_error(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    frame = _frame(tmp_path / "a.png", window=(0, 0, 31, 20))
    with pytest.raises(InputError, match=r"30 x 20 pixels.*of one size"):
        frame.read_photo()


def test_masks_that_are_none(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(InputError, match="not hold an image"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(InputError, match="cannot read"):
        read_mask(tmp_path / "none.png")
