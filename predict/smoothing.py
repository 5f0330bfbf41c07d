"""Smooths motion by the One-Euro filter: much where hardly anything moves, little in fast motion.

Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012. It is a low-pass filter whose cutoff frequency grows with speed.
Vectors are filtered as they are, rotations along the shortest turn between them (on SO(3)), so that
no angle jumps. A clip is known to its end: it is filtered forwards, and what that gives backwards,
which takes back the delay of the first pass.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle


@dataclass(frozen=True)
class OneEuroOptions:
    """How much is smoothed.

    Attributes:
        min_cutoff: Hz, of what does not move; less smooths more.
        speed_coefficient: Hz that the cutoff grows for each unit a second (radians, metres).
        speed_cutoff: Hz, at which the speed itself is smoothed.
        both_ways: whether to filter backwards too; without it the result comes late.
    """

    min_cutoff: float
    speed_coefficient: float
    speed_cutoff: float = 1.0
    both_ways: bool = True


def smooth_vectors(values: Tensor, times: Tensor, options: OneEuroOptions) -> Tensor:
    """Smooths vectors over time.

    Args:
        values: (N, ..., D); each of the ... has a speed of its own.
        times: (N,) seconds, increasing.
        options: of the filter.

    Returns:
        (N, ..., D).
    """
    return _filter(values, times, options, lambda start, end: end - start, torch.add)


def smooth_rotations(rotmats: Tensor, times: Tensor, options: OneEuroOptions) -> Tensor:
    """Smooths rotations over time.

    Args:
        rotmats: (N, J, 3, 3); each joint has a speed of its own.
        times: (N,) seconds, increasing.
        options: of the filter.

    Returns:
        (N, J, 3, 3).
    """
    return _filter(rotmats, times, options, _turn_between, _turned)


def interpolate_rotations(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Rotations between two along the shortest turn (slerp).

    Args:
        start: (..., 3, 3), at share 0.
        end: (..., 3, 3), at share 1.
        shares: of the turn, of a shape that broadcasts with (..., 1).
    """
    return _turned(start, shares * _turn_between(start, end))


def _turn_between(start: Tensor, end: Tensor) -> Tensor:
    """Axis-angle (..., 3) of the turn from one rotation to another, in the first one's frame."""
    return rotmat_to_axis_angle(start.mT @ end)


def _turned(rotmats: Tensor, turns: Tensor) -> Tensor:
    return rotmats @ axis_angle_to_rotmat(turns)


def _filter(
    values: Tensor,
    times: Tensor,
    options: OneEuroOptions,
    difference: Callable[[Tensor, Tensor], Tensor],
    move: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    if len(values) < 2:
        return values
    times = times.double()
    filtered = _one_pass(values.double(), times, options, difference, move)
    if options.both_ways:
        back = _one_pass(filtered.flip(0), -times.flip(0), options, difference, move)
        filtered = back.flip(0)
    return filtered.to(values.dtype)


def _one_pass(values, times, options, difference, move) -> Tensor:
    """The filter of the paper (Algorithm 1), with steps as long as they are."""
    steps = torch.diff(times)
    velocities = difference(values[:-1], values[1:])
    velocities = velocities / steps.view(-1, *[1] * (velocities.dim() - 1))
    smoothing = _share(torch.tensor(options.speed_cutoff, dtype=steps.dtype), steps)
    velocity = torch.zeros_like(velocities[0])
    filtered = [values[0]]
    for number, step in enumerate(steps):
        velocity = velocity + smoothing[number] * (velocities[number] - velocity)
        speed = velocity.norm(dim=-1, keepdim=True)
        cutoff = options.min_cutoff + options.speed_coefficient * speed
        change = difference(filtered[-1], values[number + 1])
        filtered.append(move(filtered[-1], _share(cutoff, step) * change))
    return torch.stack(filtered)


def _share(cutoff: Tensor, step: Tensor) -> Tensor:
    """What part of the way to a new value is gone in a step (the paper's alpha)."""
    return 1 / (1 + 1 / (2 * torch.pi * cutoff * step))
