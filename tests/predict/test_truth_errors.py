"""Predictions against the truth beside a photo."""

import numpy as np
import pytest
import torch

from data.truth import read_truth
from metrics.anatomy import Anatomy
from metrics.measurements import Measurements, measure
from models.body_model import BodyModel
from models.decoder import BodyParameters, decode_in_photos
from predict.truth_errors import TruthComparer
from tests.evaluation_sets import write_truth_file
from utils.errors import InputError
from utils.rotations import axis_angle_to_rotmat, pose_to_rotmats, rotmat_to_axis_angle


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load().eval()


def _prediction(truth, turn: torch.Tensor, scale: float) -> BodyParameters:
    """The truth itself, turned in space, seen by a camera of `scale`."""
    rotmats = pose_to_rotmats(truth.pose)[None]
    rotmats = torch.cat([turn @ rotmats[:, :1], rotmats[:, 1:]], dim=1)
    return BodyParameters(torch.tensor([[scale, 0.0, 0.2]]), rotmats, truth.betas[None])


def _compare(body, truth, turn=None, scale=0.93):
    turn = torch.eye(3) if turn is None else turn
    parameters = _prediction(truth, turn, scale)
    # 42 m away, 5000 px focal: 5000 / 42 px a metre, which is s * side / 2 at side 256.
    bodies = decode_in_photos(parameters, body, torch.tensor([[128.0, 128, 256]]))
    comparer = TruthComparer(body, 64)
    return comparer.pair_with(bodies.person(0), _measure(bodies, body), truth)


def _measure(bodies, body) -> Measurements:
    return measure(bodies.vertices_tpose[0].numpy(), Anatomy.of(body))


def test_the_truth_predicted_has_no_error(tmp_path, body):
    truth = read_truth(write_truth_file(tmp_path, body_hash=body.identity["hash"]))
    pred, target = _compare(body, truth, scale=5000 / 42 / 128)
    assert pred.keys() == target.keys()
    for name in ("vertices", "vertices_tpose", "joints3d"):
        torch.testing.assert_close(pred[name], target[name], atol=1e-5, rtol=0)
    both = (pred["silhouettes"] & target["silhouettes"]).sum()
    assert both / (pred["silhouettes"] | target["silhouettes"]).sum() > 0.98
    sizes, true_sizes = (Measurements(*each["measurements"][0].tolist()) for each in (pred, target))
    assert sizes.height_m == pytest.approx(true_sizes.height_m, abs=1e-6)
    assert sizes.weight_kg == pytest.approx(true_sizes.weight_kg, abs=1e-3)


def test_a_turned_body_differs_in_pose_but_not_in_shape(tmp_path, body):
    truth = read_truth(write_truth_file(tmp_path, body_hash=body.identity["hash"]))
    turn = axis_angle_to_rotmat(torch.tensor([0.0, 0.5, 0.0]))
    assert rotmat_to_axis_angle(turn)[1].item() == pytest.approx(0.5)
    pred, target = _compare(body, truth, turn)
    torch.testing.assert_close(pred["vertices_tpose"], target["vertices_tpose"], atol=1e-5, rtol=0)
    assert (pred["joints3d"] - target["joints3d"]).norm(dim=-1).max() > 0.05


def test_errors_are_those_of_evaluating(tmp_path, body):
    """Predicted is a larger body: errors by hand, and in the units that are printed."""
    path = write_truth_file(tmp_path, body_hash=body.identity["hash"])
    truth = read_truth(path)
    larger = truth._replace(betas=truth.betas + 1)
    bodies = decode_in_photos(
        _prediction(larger, torch.eye(3), 0.93), body, torch.tensor([[128.0, 128, 256]])
    )
    comparer = TruthComparer(body, 64)
    given = {"scaled_by": np.float32(1), "gender_given": np.array("female")}  # compare nothing
    predicted = {**bodies.person(0), **given}, _measure(bodies, body)
    errors = comparer.errors_beside(tmp_path / "a.jpg", *predicted)
    rest = [body.tpose(each.betas[None])[0].numpy() for each in (larger, truth)]
    pred, true = (measure(each, Anatomy.of(body)) for each in rest)
    assert abs(pred.weight_kg - true.weight_kg) > 1
    assert errors["weight error (kg)"] == pytest.approx(abs(pred.weight_kg - true.weight_kg))
    assert errors["height error (cm)"] == pytest.approx(100 * abs(pred.height_m - true.height_m))
    path.unlink()
    assert comparer.errors_beside(tmp_path / "a.jpg", *predicted) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"betas": np.zeros(9)}, r"betas has shape \(9,\), expected \(10,\)"),
     ({"body_hash": "0123"}, "another version of the body open/neutral")],
)  # fmt: skip
def test_truths_that_cannot_be_used_say_why(tmp_path, body, changes, message):
    path = write_truth_file(tmp_path, **{"body_hash": body.identity["hash"], **changes})
    with pytest.raises(InputError, match=message):
        _compare(body, read_truth(path))
