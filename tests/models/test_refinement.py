"""Refinement: what it brings back, what it leaves alone, and that nobody depends on the others."""

import math

import pytest
import torch

from models import refinement
from models.decoder import BodyParameters
from models.refinement import (
    INITIAL_DAMPING,
    Fit,
    Refiner,
    change_parameters,
    measure_parameter_errors,
)
from renderers.rasteriser import Rasteriser
from tests.evaluation_sets import upright_pose
from tests.networks import random_network
from utils.cameras import norm_to_pixels, project_weak_perspective, weak_perspective_to_pinhole
from utils.joints import COCO17_IN_90
from utils.proxy import Observation
from utils.rotations import axis_angle_to_rotmat

_SIZE = 128
_PEOPLE = 3
_CHANGES = 87  # numbers, with twelve betas


@pytest.fixture(scope="module")
def true_people() -> BodyParameters:
    yaws = (0.0, 0.7, -0.5)
    poses = torch.stack([torch.from_numpy(upright_pose(yaw, elbow=0.6)) for yaw in yaws])
    rotmats = axis_angle_to_rotmat(poses.view(_PEOPLE, 24, 3)).float()
    betas = torch.randn(_PEOPLE, 12, generator=torch.Generator().manual_seed(0))
    return BodyParameters(torch.tensor([[0.9, 0.0, 0.3]] * _PEOPLE), rotmats, betas)


@pytest.fixture(scope="module")
def observation(true_people, body_model) -> Observation:
    """What is seen of them without any error."""
    body = body_model(true_people.betas, true_people.pose_rotmats)
    joints_norm = project_weak_perspective(body.joints3d[:, COCO17_IN_90], true_people.cam_wp)
    whole = torch.tensor([[_SIZE / 2, _SIZE / 2, _SIZE]]).expand(_PEOPLE, -1)
    cam_t, cam_k = weak_perspective_to_pinhole(true_people.cam_wp, whole)
    rasteriser = Rasteriser(body_model.faces, body_model.face_parts, _SIZE)
    silhouettes = rasteriser.part_segmentation(body.vertices + cam_t[:, None], cam_k) > 0
    return Observation(silhouettes, norm_to_pixels(joints_norm, _SIZE), torch.ones(_PEOPLE, 17))


@pytest.fixture
def displaced(true_people) -> BodyParameters:
    """Estimates that are a little off in everything; joints by less than a pixel of 256."""
    change = 0.005 * torch.randn(_PEOPLE, _CHANGES, generator=torch.Generator().manual_seed(2))
    change[:, :3] /= 10
    change[:, -12:] *= 20
    return change_parameters(true_people, change)


class Told(torch.nn.Module):
    """A feedback regressor's body, and what it is told to estimate."""

    def __init__(self, body_model, said: BodyParameters):
        super().__init__()
        network = random_network("feedback", body_model)
        self.body, self.normals, self.vertex_ids = network.body, network.normals, network.vertex_ids
        self.said = said

    def forward(self, observation):
        return self.said


def _covariance() -> torch.Tensor:
    variances = torch.full((_CHANGES,), 0.005**2)
    variances[:3] /= 100
    variances[-12:] *= 400
    return variances.diag()


def _refiner(body_model, said=None, covariance=None) -> Refiner:
    return Refiner(Told(body_model, said), _covariance() if covariance is None else covariance)


def _same(found: BodyParameters, expected: BodyParameters) -> bool:
    return all(map(torch.equal, found, expected))


def test_a_displaced_body_comes_back(body_model, observation, true_people, displaced):
    with torch.inference_mode():  # as when predicting
        found = _refiner(body_model, displaced)(observation)
    refiner = _refiner(body_model)

    def places(parameters):
        return refiner._project(refinement._to_double(parameters))[0]

    before, after = (
        (places(each) - places(true_people)).norm(dim=-1).mean(dim=1) for each in (displaced, found)
    )
    assert (after < before / 3).all()
    spread = _covariance().diagonal().sqrt()
    before, after = (
        (measure_parameter_errors(each, true_people) / spread).square().sum(dim=1)
        for each in (displaced, found)
    )
    assert (after < before).all()
    assert found.betas.dtype == torch.float32


def test_without_spread_the_estimate_stays(body_model, observation, displaced):
    nothing = torch.zeros(_CHANGES, _CHANGES)
    found = _refiner(body_model, covariance=nothing).refine(observation, displaced)
    assert _same(found, displaced)


def test_a_fit_that_worsens_the_outline_is_rejected(
    body_model, observation, true_people, monkeypatch
):
    """Joints of the first lie beside those of the true body, which can but move sideways."""
    joints = observation.joints2d_px.clone()
    joints[0, :, 0] += 0.5
    seen = observation._replace(joints2d_px=joints)
    sideways = torch.zeros(_CHANGES, _CHANGES)
    sideways[1, 1] = 1e-3
    refiner = _refiner(body_model, covariance=sideways)
    found = refiner.refine(seen, true_people)
    assert _same(*(BodyParameters(*(v[:1] for v in each)) for each in (found, true_people)))
    monkeypatch.setattr(Fit, "outline_cost", Fit.joint_cost)  # as if joints alone counted
    assert not torch.equal(refiner.refine(seen, true_people).cam_wp[0], true_people.cam_wp[0])


def test_people_whose_joints_are_not_exact_are_left_alone(body_model, observation, displaced):
    joints = observation.joints2d_px.clone()
    joints[1] += 4 * torch.randn(17, 2)  # as a detector errs
    confidence = observation.confidence.clone()
    confidence[2, 9] = 0.98  # one wrist of the last is not certain
    seen = Observation(observation.silhouettes, joints, confidence)
    found = _refiner(body_model, displaced)(seen)
    assert (found.betas != displaced.betas).any(dim=1).tolist() == [True, False, False]
    unseen = joints.clone()
    unseen[2] = torch.nan
    again = _refiner(body_model, displaced)(seen._replace(joints2d_px=unseen))
    assert _same(again, found)


def test_nobody_is_posed_again_for_what_a_detector_saw(
    body_model, observation, displaced, monkeypatch
):
    refiner = _refiner(body_model, displaced)
    monkeypatch.setattr(refiner, "_project", None)  # posing fails
    detected = observation._replace(confidence=0.98 * observation.confidence)
    assert _same(refiner(detected), displaced)


def test_a_joint_that_was_not_seen_may_be_anywhere(body_model, observation, displaced):
    confidence = observation.confidence.clone()
    confidence[:, 9] = 0
    places = (torch.nan, 1e6)
    first, second = (
        _refiner(body_model).refine(
            observation._replace(
                joints2d_px=observation.joints2d_px.index_fill(1, torch.tensor([9]), place),
                confidence=confidence,
            ),
            displaced,
        )
        for place in places
    )
    assert (first.betas != displaced.betas).any()
    assert _same(first, second)


def test_together_as_one_by_one(body_model, observation, displaced, monkeypatch):
    together = _refiner(body_model, displaced)(observation)
    monkeypatch.setattr(refinement, "MAX_BATCH_SIZE", 1)
    single = _refiner(body_model, displaced)(observation)
    for found, expected in zip(single, together, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_a_step_by_hand(body_model, monkeypatch):
    """One joint, off by 2 noises in x, which the first parameter moves by 1 noise a unit.

    Its weight is 4 / (4 + 2^2) = 1/2: the gradient 1/2 * 2 = 1, the curvature 1/2 * 1 from the
    joint and 1 + damping from the prior. The step is -1 / (1.5 + damping).
    """
    refiner = _refiner(body_model)
    vertices = refiner.vertices
    by_places = torch.zeros(1, vertices + 17, 2, _CHANGES, dtype=torch.float64)
    by_places[0, vertices, 0, 0] = 1
    monkeypatch.setattr(refiner, "_derivatives", lambda start, units: by_places)
    residuals = torch.zeros(1, 17, 2, dtype=torch.float64)
    residuals[0, 0, 0] = 2
    none = torch.zeros(1, vertices, dtype=torch.float64)
    fit = Fit(residuals, torch.ones(1, 17), none, none[..., None].expand(-1, -1, 2), none)
    units = torch.zeros(1, _CHANGES, dtype=torch.float64)
    step = refiner._step(None, units, fit, torch.tensor([INITIAL_DAMPING]))
    expected = torch.zeros_like(units)
    expected[0, 0] = -1 / (1.5 + INITIAL_DAMPING)
    torch.testing.assert_close(step, expected)
    assert fit.joint_cost.item() == pytest.approx(4 * math.log(2))  # 4 log(1 + 2^2 / 4)


def test_errors_are_the_change_that_leads_to_the_truth(true_people, displaced):
    change = measure_parameter_errors(displaced, true_people)
    found = change_parameters(displaced, change)
    for values, expected in zip(found, true_people, strict=True):
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)
