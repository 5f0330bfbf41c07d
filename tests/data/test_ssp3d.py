"""SSP-3D in its published layout."""

import numpy as np
import pytest

from data.ssp3d import load_ssp3d
from tests.evaluation_sets import write_picture, write_ssp3d
from utils.errors import InputError


@pytest.fixture
def folder(tmp_path, licensed_set):
    write_ssp3d(tmp_path, licensed_set)
    return tmp_path


def test_frames(folder):
    frames = load_ssp3d(folder)
    labels = np.load(folder / "labels.npz")
    assert [frame.name for frame in frames] == ["man_front.png", "woman.png", "man_aside.png"]
    assert [frame.gender for frame in frames] == ["male", "female", "male"]
    for row, frame in enumerate(frames):
        np.testing.assert_allclose(frame.betas, labels["shapes"][row])
        np.testing.assert_allclose(frame.pose, labels["poses"][row])
        # Joints stay where they are in the photo, and lie on the person.
        corner = frame.window[:2]
        np.testing.assert_allclose(
            frame.joints2d_px + corner, labels["joints2D"][row, :, :2], atol=1e-3
        )
        columns, rows = frame.joints2d_px.astype(int).T
        assert frame.read_silhouette()[rows, columns].mean() > 0.8
        assert frame.visibility.all()
        assert frame.read_photo().shape[:2] == frame.photo_size()


def test_the_window_is_one_and_a_half_times_the_person(folder):
    mask = np.zeros((160, 160), np.uint8)
    mask[40:100, 60:90] = 255  # centre (75, 70), longer side 60: 45 to each side
    write_picture(folder / "silhouettes" / "woman.png", mask)
    assert load_ssp3d(folder)[1].window == (30, 25, 120, 115)
    mask[:] = 0
    mask[100:160, 0:30] = 255  # centre (15, 130), cut at the border
    write_picture(folder / "silhouettes" / "woman.png", mask)
    assert load_ssp3d(folder)[1].window == (0, 85, 60, 160)


def test_joints_without_confidence_are_not_visible(folder):
    labels = dict(np.load(folder / "labels.npz"))
    labels["joints2D"][1, 4, 2] = 0
    np.savez(folder / "labels.npz", **labels)
    assert np.flatnonzero(~load_ssp3d(folder)[1].visibility).tolist() == [4]


def test_what_is_missing_is_said_at_once(folder):
    (folder / "images" / "woman.png").unlink()
    with pytest.raises(InputError, match=r"images lacks 1 of the 3 files .*: woman.png"):
        load_ssp3d(folder)


def test_an_empty_silhouette(folder):
    write_picture(folder / "silhouettes" / "woman.png", np.zeros((160, 160), np.uint8))
    with pytest.raises(InputError, match=r"woman.png shows nobody"):
        load_ssp3d(folder)


def test_labels_of_another_form(folder):
    labels = dict(np.load(folder / "labels.npz"))
    np.savez(folder / "labels.npz", **{**labels, "genders": np.array(["m", "f", "n"])})
    with pytest.raises(InputError, match="genders 'n'"):
        load_ssp3d(folder)
    np.savez(folder / "labels.npz", **{**labels, "joints2D": labels["joints2D"][:, :16]})
    with pytest.raises(InputError, match="joints2D has shape"):
        load_ssp3d(folder)
