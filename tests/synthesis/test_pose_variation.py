"""Poses are varied as drawn, and only where asked for."""

import pytest
import torch

from synthesis.options import AugmentationOptions
from synthesis.variation import PoseVariation, draw_pose_variation, vary_poses
from utils.joints import SMPL_JOINTS
from utils.rotations import axis_angle_to_rotmat

_MANY = 20_000
_EVERYTHING = AugmentationOptions(turn=180, joint_angle_std=10, exchange_limbs=0.5)
_NOTHING = PoseVariation(None, None, None)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def rotmats():
    """Four people who stand upright, in different poses."""
    axis_angles = torch.randn(4, 24, 3, generator=torch.Generator().manual_seed(1)) * 0.4
    axis_angles[:, 0] = torch.tensor([torch.pi, 0, 0])
    return axis_angle_to_rotmat(axis_angles)


def _degrees(rotmats: torch.Tensor) -> torch.Tensor:
    """How far rotations turn, from their trace 1 + 2 cos."""
    trace = rotmats.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return ((trace - 1) / 2).clamp(-1, 1).acos().rad2deg()


def test_the_published_options_vary_nothing_and_draw_nothing(rotmats, generator):
    state = generator.get_state()
    variation = draw_pose_variation(AugmentationOptions(), 4, generator)
    assert variation == _NOTHING
    assert torch.equal(generator.get_state(), state)
    assert torch.equal(vary_poses(rotmats, variation), rotmats)


def test_variations_have_the_spread_asked_for(generator):
    options = AugmentationOptions(turn=60, joint_angle_std=10, exchange_limbs=0.3)
    turns, shakes, exchanged = draw_pose_variation(options, _MANY, generator)
    assert not turns[:, [0, 2]].any()
    assert 59.9 < turns[:, 1].abs().max().rad2deg() <= 60
    assert turns[:, 1].mean().abs().rad2deg() < 1
    assert shakes.shape == (_MANY, 23, 3)
    assert shakes.std().rad2deg().item() == pytest.approx(10, rel=0.01)
    often = exchanged.float().mean(dim=0)
    torch.testing.assert_close(often, torch.tensor([0.3, 0.3, 0.3, 0]), atol=0.02, rtol=0)


def test_rotations_stay_rotations_and_arguments_as_they_are(rotmats, generator):
    before = rotmats.clone()
    varied = vary_poses(rotmats, draw_pose_variation(_EVERYTHING, 4, generator))
    assert torch.equal(rotmats, before)
    assert varied.shape == rotmats.shape
    identity = torch.eye(3).expand(4, 24, 3, 3)
    torch.testing.assert_close(varied @ varied.mT, identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(varied), torch.ones(4, 24), atol=1e-5, rtol=0)
    assert (_degrees(varied.mT @ rotmats) > 0.1).float().mean() > 0.95


def test_turning_leaves_heights_of_joints(rotmats, body_model, generator):
    variation = draw_pose_variation(AugmentationOptions(turn=180), 4, generator)
    assert variation.shakes is None
    assert variation.exchanged is None
    turned = vary_poses(rotmats, variation)
    assert torch.equal(turned[:, 1:], rotmats[:, 1:])
    before, after = (body_model(torch.zeros(4, 10), each).joints3d for each in (rotmats, turned))
    # The body turns about its pelvis, and y is the camera's vertical.
    torch.testing.assert_close(after[..., 1], before[..., 1], atol=1e-5, rtol=0)
    assert (after[..., 0] - before[..., 0]).abs().amax(dim=1).min() > 0.01
    # By hand: a quarter turn about the downward y takes what is at z = 1 to x = 1.
    quarter = PoseVariation(torch.tensor([[0, torch.pi / 2, 0]]), None, None)
    upright = torch.eye(3).expand(1, 24, 3, 3)
    found = vary_poses(upright, quarter)[0, 0] @ torch.tensor([0.0, 0, 1])
    torch.testing.assert_close(found, torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)


def test_every_joint_but_the_root_is_shaken_by_its_own_angle(rotmats):
    shakes = torch.zeros(4, 23, 3)
    shakes[1, SMPL_JOINTS.index("left_knee") - 1, 0] = 0.5  # 28.6 degrees
    found = _degrees(rotmats.mT @ vary_poses(rotmats, PoseVariation(None, shakes, None)))
    expected = torch.zeros(4, 24)
    expected[1, SMPL_JOINTS.index("left_knee")] = 0.5
    torch.testing.assert_close(found, expected.rad2deg(), atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("limb", "joints"),
    [
        (0, ("neck", "head")),
        (1, ("left_collar", "left_shoulder", "left_elbow", "left_wrist", "left_hand")),
        (2, ("right_collar", "right_shoulder", "right_elbow", "right_wrist", "right_hand")),
    ],
)
def test_exchanged_limbs_come_from_the_next_person(rotmats, limb, joints):
    exchanged = torch.zeros(4, 4, dtype=torch.bool)
    exchanged[1, limb] = exchanged[3, limb] = True
    found = vary_poses(rotmats, PoseVariation(None, None, exchanged))
    expected = rotmats.clone()
    for joint in joints:
        number = SMPL_JOINTS.index(joint)
        expected[1, number], expected[3, number] = rotmats[2, number], rotmats[0, number]
    assert torch.equal(found, expected)
