"""3DPW in the layout that its preparation leaves, and as others prepare it."""

import numpy as np
import pytest

from data.threedpw import load_threedpw
from tests.evaluation_sets import write_picture
from utils.errors import InputError


def _write(folder, **changes) -> None:
    """Two frames with the four keys that everybody has."""
    labels = {
        "imgname": np.array(
            ["imageFiles/downtown_walking_0_00012.jpg", "downtown_walking_1_3.jpg"]
        ),
        "pose": np.ones((2, 72)),
        "shape": np.full((2, 10), 2.0),
        "gender": np.array(["f", "m"]),
    }
    (folder / "test").mkdir(exist_ok=True)
    np.savez(folder / "test" / "3dpw_test.npz", **{**labels, **changes})


@pytest.fixture
def folder(tmp_path):
    _write(tmp_path)
    for name in ("downtown_walking_0_00012.jpg", "downtown_walking_1_3.jpg"):
        write_picture(tmp_path / "test" / "cropped_frames" / name, np.zeros((20, 10, 3), np.uint8))
    return tmp_path


def test_frames_without_joints_and_cameras(folder):
    frames = load_threedpw(folder)
    assert [frame.gender for frame in frames] == ["female", "male"]
    assert [frame.group for frame in frames] == ["downtown_walking_0", "downtown_walking_1"]
    assert frames[0].pose.dtype == np.float32
    assert frames[0].read_photo().shape == (20, 10, 3)
    assert (frames[0].joints2d_px, frames[0].cam_t, frames[0].silhouette) == (None, None, None)


def test_what_is_missing_is_said_at_once(folder):
    (folder / "test" / "cropped_frames" / "downtown_walking_1_3.jpg").unlink()
    with pytest.raises(InputError, match="cropped_frames lacks 1 of the 2 files"):
        load_threedpw(folder)
    _write(folder, cam_k=np.zeros((2, 4, 4)))
    with pytest.raises(InputError, match="cam_k has shape"):
        load_threedpw(folder)
    with pytest.raises(InputError, match=r"no 3dpw_test.npz"):
        load_threedpw(folder / "test")
