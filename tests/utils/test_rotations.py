import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from utils.rotations import (
    average_rotations,
    axis_angle_to_rotmat,
    rot6d_to_rotmat,
    rotmat_to_axis_angle,
    rotmat_to_rot6d,
)


def _random_axis_angles(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    axes = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return axes.double() * torch.linspace(0, math.pi, count).double()[:, None]


def test_rodrigues_agrees_with_scipy():
    axis_angles = _random_axis_angles(500)
    expected = Rotation.from_rotvec(axis_angles.numpy()).as_matrix()
    torch.testing.assert_close(axis_angle_to_rotmat(axis_angles), torch.from_numpy(expected))


def test_quarter_turn_about_z_by_hand():
    # x goes to y, y goes to -x.
    expected = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    found = axis_angle_to_rotmat(torch.tensor([0.0, 0, math.pi / 2]))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1e-3, 1.0, math.pi - 1e-6, math.pi])
def test_axis_angle_round_trip(angle):
    axis = torch.nn.functional.normalize(torch.tensor([[3.0, -2, 1]]).double(), dim=-1)
    matrices = axis_angle_to_rotmat(axis * angle)
    torch.testing.assert_close(axis_angle_to_rotmat(rotmat_to_axis_angle(matrices)), matrices)
    recovered = rotmat_to_axis_angle(matrices)
    assert recovered.norm() == pytest.approx(angle, abs=1e-7)


@pytest.mark.parametrize("scale", [0.0, 1e-7, 1.0])
def test_rodrigues_gradient(scale):
    axis_angles = (torch.randn(4, 3).double() * scale).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_rotmat, (axis_angles,))


def test_the_average_of_two_rotations_is_scipys():
    pairs = Rotation.random(20, random_state=1), Rotation.random(20, random_state=2)
    first, second = (torch.from_numpy(each.as_matrix()) for each in pairs)
    expected = [
        Rotation.concatenate([one, other]).mean().as_matrix()
        for one, other in zip(*pairs, strict=True)
    ]
    found = average_rotations(first, second)
    torch.testing.assert_close(found, torch.from_numpy(np.stack(expected)), atol=1e-6, rtol=0)
    torch.testing.assert_close(average_rotations(first, first), first, atol=1e-6, rtol=0)


def test_rot6d_reads_columns_of_a_3_by_2_matrix():
    # Row-major (3, 2): columns (0, 2, 0) and (3, 5, 0). The first gives y; the second less its
    # y component gives x; their cross product y x x gives -z.
    rot6d = torch.tensor([0.0, 3, 2, 5, 0, 0])
    expected = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    torch.testing.assert_close(rot6d_to_rotmat(rot6d), expected)


def test_rot6d_round_trip_and_orthonormality():
    matrices = axis_angle_to_rotmat(_random_axis_angles(100))
    torch.testing.assert_close(rot6d_to_rotmat(rotmat_to_rot6d(matrices)), matrices)
    noisy = rot6d_to_rotmat(torch.randn(200, 6).double())
    identity = torch.eye(3).double().expand(200, 3, 3)
    torch.testing.assert_close(noisy @ noisy.transpose(1, 2), identity)
    torch.testing.assert_close(torch.linalg.det(noisy), torch.ones(200).double())
