"""Training npz files: what is read, and one clear line for everything that cannot be used."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from data.pose_dataset import load_poses
from utils.errors import InputError
from utils.paths import OPEN_POSES_TRAIN, OPEN_POSES_VAL
from utils.rotations import axis_angle_to_rotmat


def upright_poses(count: int = 4) -> np.ndarray:
    poses = np.random.default_rng(0).normal(0, 0.1, (count, 72)).astype(np.float32)
    poses[:, :3] = (np.pi, 0, 0)
    return poses


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        load_poses(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_reads_and_concatenates(tmp_path):
    poses = upright_poses()
    first = write(tmp_path / "a.npz", fnames=list("abcd"), poses=poses, shapes=np.ones((4, 10)))
    second = write(tmp_path / "b.npz", poses=poses[:1].astype(np.float64))
    data = load_poses([first, second])
    np.testing.assert_array_equal(data.poses, np.concatenate([poses, poses[:1]]))
    assert data.poses.dtype == data.shapes.dtype == np.float32
    assert list(data.fnames) == ["a", "b", "c", "d", "b_000000"]
    assert data.shapes.sum() == 40  # ones from the first, zeros where the second has none


def test_poses_are_served_in_float32(tmp_path):
    poses = upright_poses()
    data = load_poses(write(tmp_path / "a.npz", poses=poses.astype(np.float64)))
    assert len(data) == 4
    assert data.poses.dtype == np.float32
    np.testing.assert_array_equal(data.poses, poses)


def test_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.npz")


def test_no_file_named():
    with pytest.raises(InputError, match="no training poses named"):
        load_poses([])


@pytest.mark.parametrize("content", [b"", b"poses", b"PK\x03\x04 cut short"])
def test_not_an_npz(tmp_path, content):
    path = tmp_path / "text.npz"
    path.write_bytes(content)
    assert "is not a readable npz file" in refusal(path)


def test_pickled_arrays_are_not_loaded(tmp_path):
    path = write(tmp_path / "a.npz", poses=np.array([{"a": 1}], dtype=object))
    assert "is not a readable npz file of plain arrays" in refusal(path)


def test_single_array(tmp_path):
    np.save(tmp_path / "a.npy", upright_poses())
    assert "single array" in refusal(tmp_path / "a.npy")


def test_missing_key_names_what_is_there(tmp_path):
    message = refusal(write(tmp_path / "a.npz", pose=upright_poses()))
    assert "no poses" in message
    assert "it holds pose" in message


@pytest.mark.parametrize("shape", [(4, 24, 3), (4, 156), (72,)])
def test_wrong_pose_shape(tmp_path, shape):
    message = refusal(write(tmp_path / "a.npz", poses=np.zeros(shape)))
    assert str(shape) in message
    assert "(N, 72)" in message


def test_wrong_shape_and_count_of_shapes(tmp_path):
    poses = upright_poses()
    message = refusal(write(tmp_path / "a.npz", poses=poses, shapes=np.zeros((4, 16))))
    assert "`shapes` has shape (4, 16); expected (N, 10)" in message
    message = refusal(write(tmp_path / "a.npz", poses=poses, shapes=np.zeros((3, 10))))
    assert "`shapes` has 3 rows but `poses` has 4" in message
    message = refusal(write(tmp_path / "a.npz", poses=poses, fnames=["a"]))
    assert "`fnames` has 1 rows but `poses` has 4" in message


def test_integers_and_degrees(tmp_path):
    assert "int64" in refusal(write(tmp_path / "a.npz", poses=np.zeros((4, 72), int)))
    assert "radians" in refusal(write(tmp_path / "a.npz", poses=np.degrees(upright_poses())))


def test_not_finite(tmp_path):
    poses = upright_poses()
    poses[2, 30] = np.nan
    assert "not finite in 1 rows (first: row 2)" in refusal(write(tmp_path / "a.npz", poses=poses))


def test_empty(tmp_path):
    assert "is empty" in refusal(write(tmp_path / "a.npz", poses=np.zeros((0, 72))))


def test_upside_down_data_is_refused_with_the_way_to_convert(tmp_path):
    poses = upright_poses(10)
    poses[:9, :3] = (0.1, 1.0, 0.0)  # y-up: the root is near the identity, whatever the heading
    message = refusal(write(tmp_path / "a.npz", poses=poses))
    assert "90% of the people are upside down" in message
    assert "left-multiply every root rotation by a rotation of pi about x" in message


def test_z_up_data_is_refused(tmp_path):
    poses = upright_poses(10)
    poses[:, :3] = (np.pi / 2, 0, 0)  # as in AMASS: the body's up axis is z
    message = refusal(write(tmp_path / "a.npz", poses=poses))
    assert "z-up" in message
    # The advice is right: turned so, the people are upright.
    assert "rotation of pi/2 about x" in message
    turned = Rotation.from_euler("x", np.pi / 2) * Rotation.from_rotvec(poses[:, :3])
    poses[:, :3] = turned.as_rotvec()
    load_poses(write(tmp_path / "a.npz", poses=poses))


def test_lying_people_and_some_handstands_are_allowed(tmp_path):
    poses = upright_poses(10)
    poses[:8, :3] = (0, 0, np.pi / 2)  # up axis along -x: lying
    poses[8, :3] = 0  # a handstand
    assert len(load_poses(write(tmp_path / "a.npz", poses=poses))) == 10


@pytest.mark.parametrize(("path", "least"), [(OPEN_POSES_TRAIN, 50_000), (OPEN_POSES_VAL, 3_000)])
def test_committed_poses(path, least):
    data = load_poses(path)
    assert len(data) >= least
    root = axis_angle_to_rotmat(torch.from_numpy(data.poses[:, :3]))
    upright = (root[:, 1, 1] < -0.5).double().mean()
    assert 0.85 < upright < 0.98  # nearly all stand, a few per cent lie or bend down
    facing = torch.atan2(root[:, 0, 2], -root[:, 2, 2])[root[:, 1, 1] < -0.8]
    quarter = torch.histc(facing, 4, -torch.pi, torch.pi) / len(facing)
    assert (quarter - 0.25).abs().max() < 0.03  # all headings alike
    assert np.linalg.norm(data.poses.reshape(-1, 24, 3), axis=-1).max() < np.pi + 1e-3


def test_committed_validation_poses_are_held_out():
    train, val = load_poses(OPEN_POSES_TRAIN), load_poses(OPEN_POSES_VAL)

    def clips(fnames):
        return {name.split("/")[1] for name in fnames if name.startswith("clip/")}

    assert clips(train.fnames)
    assert clips(val.fnames)
    assert not clips(train.fnames) & clips(val.fnames)
    body = {row.tobytes() for row in train.poses[:, 3:]}
    assert not any(row.tobytes() in body for row in val.poses[:, 3:])
