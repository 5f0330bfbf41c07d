"""True parameters beside a photo."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.truth import TruthComparer, read_truth, truth_path
from models.body_model import BodyModel
from models.decoder import BodyParameters, decode_in_photos
from utils.errors import InputError
from utils.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load().eval()


def _truth_file(folder: Path, body: BodyModel, **changes) -> Path:
    content = {
        "body": "open",
        "gender": "neutral",
        "body_hash": body.identity["hash"],
        "betas": np.linspace(-1, 1, 10),
        "pose": np.concatenate([[np.pi, 0, 0], np.linspace(-0.2, 0.2, 69)]),
        "cam_t": np.array([0.0, 0.2, 42]),
        "cam_k": np.array([[5000.0, 0, 128], [0, 5000, 128], [0, 0, 1]]),
        **changes,
    }
    path = folder / "a_truth.npz"
    np.savez(path, **content)
    return path


def _prediction(truth, turn: torch.Tensor, scale: float) -> BodyParameters:
    """The truth itself, turned in space, seen by a camera of `scale`."""
    rotmats = axis_angle_to_rotmat(truth.pose.unflatten(0, (24, 3)))[None]
    rotmats = torch.cat([turn @ rotmats[:, :1], rotmats[:, 1:]], dim=1)
    return BodyParameters(torch.tensor([[scale, 0.0, 0.2]]), rotmats, truth.betas[None])


def _compare(body, truth, turn=None, scale=0.93):
    turn = torch.eye(3) if turn is None else turn
    parameters = _prediction(truth, turn, scale)
    # 42 m away, 5000 px focal: 5000 / 42 px a metre, which is s * side / 2 at side 256.
    bodies = decode_in_photos(parameters, body, torch.tensor([[128.0, 128, 256]]))
    comparer = TruthComparer(body.faces, body.face_parts, 64)
    return comparer.compare(bodies.person(0), truth)


def test_the_truth_predicted_has_no_error(tmp_path, body):
    truth = read_truth(_truth_file(tmp_path, body))
    compared = _compare(body, truth, scale=5000 / 42 / 128)
    for name, tensor in compared.pred.items():
        if name == "silhouettes":
            both = (tensor & compared.target[name]).sum()
            assert both / (tensor | compared.target[name]).sum() > 0.98
        else:
            torch.testing.assert_close(tensor, compared.target[name], atol=1e-5, rtol=0)
    assert compared.height_error_m == pytest.approx(0, abs=1e-6)
    assert compared.weight_error_kg == pytest.approx(0, abs=1e-3)


def test_a_turned_body_differs_in_pose_but_not_in_shape(tmp_path, body):
    truth = read_truth(_truth_file(tmp_path, body))
    turn = axis_angle_to_rotmat(torch.tensor([0.0, 0.5, 0.0]))
    assert rotmat_to_axis_angle(turn)[1].item() == pytest.approx(0.5)
    compared = _compare(body, truth, turn)
    torch.testing.assert_close(
        compared.pred["tpose_vertices"], compared.target["tpose_vertices"], atol=1e-5, rtol=0
    )
    assert (compared.pred["joints3d"] - compared.target["joints3d"]).norm(dim=-1).max() > 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"betas": np.zeros(9)}, r"betas has shape \(9,\), expected \(10,\)"),
     ({"body_hash": "0123"}, "another version of the body open/neutral")],
)  # fmt: skip
def test_truths_that_cannot_be_used_say_why(tmp_path, body, changes, message):
    path = _truth_file(tmp_path, body, **changes)
    with pytest.raises(InputError, match=message):
        _compare(body, read_truth(path))


def test_files_that_are_no_truth(tmp_path):
    path = tmp_path / "a_truth.npz"
    np.savez(path, betas=np.zeros(10))
    with pytest.raises(InputError, match=r"has no .*pose"):
        read_truth(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="not a readable npz"):
        read_truth(path)


def test_truth_lies_beside_the_photo():
    assert truth_path(Path("demo/a.b.jpg")) == Path("demo/a.b_truth.npz")
