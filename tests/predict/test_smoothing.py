"""The One-Euro filter on vectors and on rotations."""

import pytest
import torch

from predict.smoothing import (
    OneEuroOptions,
    interpolate_rotations,
    smooth_rotations,
    smooth_vectors,
)
from utils.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle

OPTIONS = OneEuroOptions(min_cutoff=1.0, speed_coefficient=0.5, both_ways=False)


def _about_y(angles: torch.Tensor) -> torch.Tensor:
    """(N, 1, 3, 3) rotations of one joint."""
    zero = torch.zeros_like(angles)
    return axis_angle_to_rotmat(torch.stack([zero, angles, zero], dim=-1))[:, None]


def test_a_step_by_hand():
    # The speed is 1 / 0.1 = 10, smoothed at 1 Hz: 10 / (1 + 1 / (2 pi 0.1)) = 3.859. The cutoff is
    # 1 + 0.5 * 3.859 = 2.929 Hz, and of the way 1 / (1 + 1 / (2 pi 2.929 0.1)) = 0.648 is gone.
    values, times = torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, 0.1])
    assert smooth_vectors(values, times, OPTIONS)[:, 0].tolist() == pytest.approx(
        [0, 0.648], abs=1e-3
    )
    # Half the step takes half the time: 0.1 s at another rate is another share.
    later = smooth_vectors(values, 2 * times, OPTIONS)[1, 0]
    assert later > 0.7


def test_rotations_about_one_axis_are_their_angle():
    times = torch.arange(30) / 25
    angles = torch.sin(4 * times) + 0.1 * torch.randn(30)
    smooth = smooth_rotations(_about_y(angles), times, OPTIONS)
    expected = smooth_vectors(angles[:, None], times, OPTIONS)[:, 0]
    torch.testing.assert_close(smooth, _about_y(expected), atol=1e-5, rtol=0)


def test_half_turns_do_not_jump():
    times = torch.arange(50) / 25
    angles = 3 * times  # through 180 degrees and once around
    for options in (OPTIONS, OneEuroOptions(1.0, 0.5)):
        smooth = smooth_rotations(_about_y(angles), times, options)
        steps = rotmat_to_axis_angle(smooth[:-1].mT @ smooth[1:]).norm(dim=-1)
        assert steps.max() < 0.13  # rad; 0.12 each frame went in
        assert (smooth.det() - 1).abs().max() < 1e-5


@pytest.mark.parametrize(("both_ways", "least", "most"), [(False, 0.03, 0.3), (True, -0.01, 0.01)])
def test_backwards_too_there_is_no_delay(both_ways, least, most):
    times = torch.arange(200) / 50
    wave = torch.sin(2 * times)[:, None]
    options = OneEuroOptions(1.0, 0.0, both_ways=both_ways)
    error = (smooth_vectors(wave, times, options) - wave)[50:150, 0]
    velocity = (2 * torch.cos(2 * times))[50:150]
    delay = -(error * velocity).sum() / velocity.square().sum()
    assert least < delay < most


def test_jitter_goes_and_motion_stays():
    times = torch.arange(200) / 25
    motion = torch.sin(3 * times)[:, None]
    noisy = motion + 0.05 * torch.randn(200, 1)
    smooth = smooth_vectors(noisy, times, OneEuroOptions(2.0, 1.0))
    bend = [each.diff(dim=0).diff(dim=0).sub(motion.diff(dim=0).diff(dim=0)).abs().mean()
            for each in (noisy, smooth)]  # fmt: skip
    assert bend[1] < 0.3 * bend[0]
    assert (smooth - motion).abs().mean() < (noisy - motion).abs().mean()


def test_one_frame_and_uneven_times():
    one = torch.eye(3).expand(1, 24, 3, 3)
    assert smooth_rotations(one, torch.zeros(1), OPTIONS) is one
    times = torch.tensor([0, 0.04, 0.1, 0.5])
    still = torch.full((4, 3), 2.0)
    torch.testing.assert_close(smooth_vectors(still, times, OPTIONS), still)


def test_between_two_rotations():
    start, end = _about_y(torch.tensor([0.2])), _about_y(torch.tensor([1.2]))
    middle = interpolate_rotations(start, end, torch.tensor([0.25]))
    torch.testing.assert_close(middle, _about_y(torch.tensor([0.45])))
