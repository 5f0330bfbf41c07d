"""The licensed set of files, made up in its real layout, loads into a body model."""

import numpy as np
import pytest
import torch

from models.body_model import BodyModel, read_mean_parameters
from models.landmarks import parts_from_texture, parts_from_weights, read_open_landmarks
from models.smpl_files import read_smpl_file
from utils.errors import InputError
from utils.joints import PARTS
from utils.paths import OPEN_BODY


@pytest.fixture(scope="module")
def licensed(tmp_path_factory):
    """The open body under the licensed file names: it has SMPL's counts."""
    folder = tmp_path_factory.mktemp("additional")
    (folder / "smpl").mkdir()
    arrays = read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz")
    np.savez(folder / "smpl" / "SMPL_NEUTRAL.npz", **arrays._asdict())
    regressors = read_open_landmarks(OPEN_BODY / "landmarks.npz").regressors
    starts = {
        "J_regressor_extra": (0, 9),
        "cocoplus_regressor": (9, 28),
        "J_regressor_h36m": (28, 45),
    }
    for name, (start, end) in starts.items():
        np.save(folder / f"{name}.npy", regressors[start:end].astype(np.float64))
    mean = read_mean_parameters("open")
    np.savez(folder / "neutral_smpl_mean_params_6dpose.npz", pose=mean.pose, shape=mean.betas)
    return folder


def test_licensed_files_load(licensed, body_model):
    body = BodyModel.load("smpl", "neutral", licensed)
    assert body.identity["name"] == "smpl"
    assert body.identity["hash"] != body_model.identity["hash"]
    betas, identity = torch.randn(2, 10), torch.eye(3).expand(2, 24, 3, 3)
    found, expected = body(betas, identity), body_model(betas, identity)
    torch.testing.assert_close(found.vertices, expected.vertices)
    torch.testing.assert_close(found.joints3d[:, 45:], expected.joints3d[:, 45:])
    assert read_mean_parameters("smpl", licensed).pose.shape == (144,)


def test_missing_and_misfit_files_are_named(licensed, tmp_path):
    with pytest.raises(InputError, match=r"no SMPL_MALE\.pkl or SMPL_MALE\.npz"):
        BodyModel.load("smpl", "male", licensed)
    with pytest.raises(InputError, match="no SMPL_NEUTRAL"):
        BodyModel.load("smpl", "neutral", tmp_path)
    for path in licensed.rglob("*.np*"):
        target = tmp_path / path.relative_to(licensed)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    np.save(tmp_path / "cocoplus_regressor.npy", np.ones((19, 5)))
    with pytest.raises(InputError, match=r"cocoplus_regressor.npy has shape \(19, 5\)"):
        BodyModel.load("smpl", "neutral", tmp_path)
    (tmp_path / "cocoplus_regressor.npy").unlink()
    with pytest.raises(InputError, match=r"no file at .*cocoplus_regressor"):
        BodyModel.load("smpl", "neutral", tmp_path)


def test_labels_from_weights_are_those_of_the_open_body():
    """The open body's own labels were made when it was built; both mean the same parts."""
    arrays = read_smpl_file(OPEN_BODY / "OPEN_NEUTRAL.npz")
    expected = read_open_landmarks(OPEN_BODY / "landmarks.npz").face_parts
    found = parts_from_weights(arrays)
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
    assert parts_from_texture(texture, cube).tolist() == [2, 4]
    with pytest.raises(InputError, match="too small"):
        parts_from_texture(texture, cube[:20])
    with pytest.raises(InputError, match="expected"):
        parts_from_texture(texture[0], cube)
