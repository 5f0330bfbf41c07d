"""The licensed set of files, made up in its real layout, loads into a body model."""

import shutil

import numpy as np
import pytest
import smplx
import torch

from models.body_model import BodyModel, read_mean_parameters
from models.landmarks import (
    derive_parts_from_texture,
    derive_parts_from_weights,
    read_open_landmarks,
)
from models.smpl_files import read_smpl_file
from tests.licensed import (
    GENDERS,
    TRUE_REGRESSORS,
    renumbered,
    vertex_order,
    write_licensed_set,
)
from utils.errors import InputError
from utils.joints import PARTS
from utils.paths import OPEN_BODY
from utils.rotations import axis_angle_to_rotmat


@pytest.fixture(scope="module")
def licensed_body(licensed_set):
    return BodyModel.load("smpl", "neutral", licensed_set).eval()


def test_licensed_files_are_those_of_the_renumbered_body(licensed_body, licensed_set, body_model):
    assert licensed_body.identity["name"] == "smpl"
    assert licensed_body.identity["hash"] != body_model.identity["hash"]
    betas, order = torch.randn(2, 10), torch.from_numpy(vertex_order())
    pose_rotmats = axis_angle_to_rotmat(torch.randn(2, 24, 3) * 0.3)
    found, expected = licensed_body(betas, pose_rotmats), body_model(betas, pose_rotmats)
    torch.testing.assert_close(found.vertices, expected.vertices[:, order], atol=1e-5, rtol=0)
    regressed = slice(45, None)
    torch.testing.assert_close(
        found.joints3d[:, regressed], expected.joints3d[:, regressed], atol=1e-5, rtol=0
    )
    # The labels took the way through texture and colour table.
    assert torch.equal(licensed_body.face_parts, body_model.face_parts)
    assert read_mean_parameters("smpl", licensed_set).pose.shape == (144,)


@pytest.mark.parametrize("gender", GENDERS)
def test_smplx_itself_agrees_on_the_licensed_body(licensed_set, gender):
    """smplx, fed the same model from an npz of its own, picks SMPL's vertices by itself."""
    order = vertex_order()
    arrays = renumbered(read_smpl_file(OPEN_BODY / f"OPEN_{gender.upper()}.npz"), order)
    oracle = smplx.SMPL("", data_struct=arrays, gender=gender)
    betas, axis_angles = torch.randn(3, 10), torch.randn(3, 24, 3) * 0.4
    expected = oracle(
        betas=betas, global_orient=axis_angles[:, 0], body_pose=axis_angles[:, 1:].flatten(1)
    )
    body = BodyModel.load("smpl", gender, licensed_set)
    found = body(betas, axis_angle_to_rotmat(axis_angles))
    torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.joints3d[:, :45], expected.joints, atol=1e-5, rtol=0)


@pytest.mark.skipif(not TRUE_REGRESSORS.is_dir(), reason="SMPL's own regressors are not here")
def test_the_true_regressors_load(tmp_path):
    write_licensed_set(tmp_path, true_regressors=True)
    body = BodyModel.load("smpl", "female", tmp_path)
    betas, pose_rotmats = torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)
    posed = body(betas, pose_rotmats)
    # Human3.6M's regressor, the last 17 joints, applied by numpy.
    regressor = np.load(TRUE_REGRESSORS / "J_regressor_h36m.npy")
    expected = regressor @ posed.vertices[0].double().numpy()
    np.testing.assert_allclose(posed.joints3d[0, 73:], expected, atol=1e-5)


def test_all_missing_files_are_named_at_once(licensed_set, tmp_path):
    with pytest.raises(InputError) as complaint:
        BodyModel.load("smpl", "male", tmp_path)
    for told in ("SMPL_MALE.pkl", "smpl.is.tue.mpg.de", "J_regressor_extra.npy", "mean_params"):
        assert told in str(complaint.value)
    shutil.copytree(licensed_set, tmp_path / "additional")
    (tmp_path / "additional" / "cocoplus_regressor.npy").unlink()
    with pytest.raises(InputError, match=r"not in .*: cocoplus_regressor\.npy \(from") as complaint:
        BodyModel.load("smpl", "neutral", tmp_path / "additional")
    assert "SMPL_NEUTRAL" not in str(complaint.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cocoplus_regressor.npy", np.ones((19, 5)), r"has shape \(19, 5\), expected \(19, 6890"),
        ("J_regressor_h36m.npy", np.full((17, 6890), np.nan), "not finite"),
        ("J_regressor_extra.npy", np.array(["a"]), "expected numbers"),
        ("smpl_faces.npy", np.zeros((13776, 3), int), "do not belong together"),
        ("cube_parts.npy", None, r"no file at .*cube_parts\.npy"),
        ("vertex_texture.npy", None, r"no file at .*vertex_texture\.npy"),
        ("vertex_texture.npy", np.zeros((1, 5, 2, 2, 2, 3)), "face_parts have shape"),
    ],
)
def test_files_that_do_not_fit_are_named(licensed_set, tmp_path, name, content, message):
    folder = tmp_path / "additional"
    shutil.copytree(licensed_set, folder)
    (folder / name).unlink()
    if content is not None:
        np.save(folder / name, content)
    with pytest.raises(InputError, match=message):
        BodyModel.load("smpl", "neutral", folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pose": np.zeros(144)}, "has no shape"),
        ({"pose": np.zeros(72), "shape": np.zeros(10)}, r"pose has shape \(72,\)"),
        ({"pose": np.zeros(144), "shape": np.full(10, np.inf)}, "not finite"),
    ],
)
def test_mean_parameters_that_do_not_fit(tmp_path, content, message):
    np.savez(tmp_path / "neutral_smpl_mean_params_6dpose.npz", **content)
    with pytest.raises(InputError, match=message):
        read_mean_parameters("smpl", tmp_path)


def test_labels_from_weights_are_those_of_the_open_body():
    """The open body's own labels were made when it was built; both mean the same parts."""
    arrays = read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz")
    expected = read_open_landmarks(OPEN_BODY / "landmarks.npz").face_parts
    found = derive_parts_from_weights(arrays)
    assert set(found) == set(range(1, len(PARTS)))
    assert (found == expected).mean() > 0.9


def test_labels_from_the_texture_by_hand():
    # Colour (0.25, 0.5, 1.0) indexes [25, 50, 100]; three of the second face's eight texels differ.
    cube = np.zeros((101, 101, 101), np.uint8)
    cube[25, 50, 100], cube[10, 0, 0] = 4, 2
    texture = np.zeros((1, 2, 2, 2, 2, 3))
    texture[0, 0] = (0.105, 0.001, 0.009)
    texture[0, 1] = (0.25, 0.5, 1.0)
    texture[0, 1, 0, 0, :] = (0.105, 0, 0)
    texture[0, 1, 0, 1, 0] = (0.105, 0, 0)
    assert derive_parts_from_texture(texture, cube).tolist() == [2, 4]
    with pytest.raises(InputError, match="too small"):
        derive_parts_from_texture(texture, cube[:20])
    with pytest.raises(InputError, match="expected"):
        derive_parts_from_texture(texture[0], cube)
