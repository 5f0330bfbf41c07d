"""Poses beyond those of the files: drawn here, applied to joint rotations."""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from synthesis.options import AugmentationOptions
from utils.joints import SMPL_JOINTS, indices_of
from utils.rotations import axis_angle_to_rotmat
from utils.tensors import (
    constant,
    happens,
    normal,
    uniform,
)

# What is exchanged together: a person's own arm may become another's.
_LIMBS = (
    ("neck", "head"),
    ("left_collar", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    ("right_collar", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
)
_LIMB_OF_JOINT = tuple(
    next((number for number, limb in enumerate(_LIMBS) if joint in limb), len(_LIMBS))
    for joint in SMPL_JOINTS
)
_BODY_JOINTS = indices_of(SMPL_JOINTS[1:], SMPL_JOINTS)


class PoseVariation(NamedTuple):
    """How poses depart from those of the file; None where nothing varies."""

    turns: Tensor | None  # (B, 3) radians about the camera's vertical axis
    shakes: Tensor | None  # (B, 23, 3) axis-angle, radians, of every joint but the root
    exchanged: Tensor | None  # (B, 4) bool: head, left and right arm come from the next person


def draw_pose_variation(
    options: AugmentationOptions, batch: int, generator: Generator
) -> PoseVariation:
    """Draws how the poses of a batch vary."""
    turns = shakes = exchanged = None
    if options.turn > 0:
        turns = torch.zeros(batch, 3, device=generator.device)
        turns[:, 1] = uniform((batch,), math.radians(options.turn), generator)
    if options.joint_angle_std > 0:
        std = math.radians(options.joint_angle_std)
        shakes = normal((batch, len(_BODY_JOINTS), 3), generator) * std
    if options.exchange_limbs > 0:
        probabilities = constant((*(options.exchange_limbs for _ in _LIMBS), 0.0), generator.device)
        exchanged = happens((batch, len(_LIMBS) + 1), probabilities, generator)
    return PoseVariation(turns, shakes, exchanged)


def vary_poses(pose_rotmats: Tensor, variation: PoseVariation) -> Tensor:
    """Applies what was drawn.

    Args:
        pose_rotmats: (B, 24, 3, 3), the root's in the camera frame.
        variation: of the same batch.

    Returns:
        (B, 24, 3, 3).
    """
    if variation.exchanged is not None:
        limbs = constant(_LIMB_OF_JOINT, pose_rotmats.device, torch.int64)
        theirs = variation.exchanged.index_select(1, limbs)  # (B, 24)
        others = pose_rotmats.roll(-1, dims=0)
        pose_rotmats = torch.where(theirs[..., None, None], others, pose_rotmats)
    root, joints = pose_rotmats[:, :1], pose_rotmats[:, 1:]
    if variation.shakes is not None:
        joints = joints @ axis_angle_to_rotmat(variation.shakes)
    if variation.turns is not None:
        root = axis_angle_to_rotmat(variation.turns)[:, None] @ root
    return torch.cat([root, joints], dim=1)
