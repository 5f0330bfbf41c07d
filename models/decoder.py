"""From a network's numbers to bodies, in the crop and in the photo.

Every network ends in 157 numbers a person: camera, pose, betas; in more where it estimates shape
details as well, which are further betas. They are read here, and nowhere else: as parameters, as
posed bodies in the crop for losses and metrics, and as bodies in the photo for results.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.body_model import POSE_DIMS, BodyModel, BodyOutput, MeanParameters
from utils.cameras import (
    MIN_SCALE,
    norm_to_pixels,
    points_from_crops,
    project_weak_perspective,
    weak_perspective_to_pinhole,
)
from utils.conventions import NUM_BETAS
from utils.joints import COCO17_IN_90, LSP14_IN_90, SMPL_SWAP
from utils.rotations import average_rotations, rot6d_to_rotmat, rotmat_to_axis_angle
from utils.tensors import constant, match_betas, pick

CAMERA_DIMS = 3
PARAMETER_DIMS = CAMERA_DIMS + POSE_DIMS + NUM_BETAS  # 157
INITIAL_CAMERA = (0.9, 0.0, 0.0)
MAX_TURN = 90.0  # degrees between two estimates' roots, beyond which they are not averaged
# What turns a weak-perspective camera, and a rotation matrix, into those of the mirror image.
_MIRROR_SIGNS = ((1.0, -1.0, 1.0), ((1.0, -1.0, -1.0), (-1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)))


class Estimate(NamedTuple):
    """A network's numbers by name."""

    cam_wp: Tensor  # (..., 3) weak-perspective scale, tx, ty
    pose: Tensor  # (..., 144) 24 rotations in 6D, root in the camera frame
    betas: Tensor  # (..., N), 10 or more


class BodyParameters(NamedTuple):
    """What a network estimates for each person."""

    cam_wp: Tensor  # (B, 3) weak-perspective scale, tx, ty
    pose_rotmats: Tensor  # (B, 24, 3, 3) root in the camera frame
    betas: Tensor  # (B, N), 10 or more

    def mirrored(self) -> "BodyParameters":
        """Their mirror images, in which left is right; shapes are symmetric."""
        camera, entries = (constant(signs, self.betas.device) for signs in _MIRROR_SIGNS)
        rotmats = pick(self.pose_rotmats, SMPL_SWAP) * entries
        return BodyParameters(self.cam_wp * camera, rotmats, self.betas)


class Bodies(NamedTuple):
    """P people in their photos; camera axes are x right, y down, z away.

    The names are also those of the arrays in the npz files of run_predict.py.
    """

    betas: Tensor  # (P, N), 10 or more
    pose: Tensor  # (P, 72) axis-angle, rad, root in the camera frame
    pose_rotmats: Tensor  # (P, 24, 3, 3) the same pose
    cam_wp: Tensor  # (P, 3) weak-perspective camera of the crop: u = s (x + tx) in [-1, 1]
    crops: Tensor  # (P, 3) centre x, centre y, side, pixels of the photo
    cam_photo: Tensor  # (P, 3) the same camera in the photo: pixel = scale * (x, y) + offset
    cam_t: Tensor  # (P, 3) metres, translation for the pinhole camera cam_k
    cam_k: Tensor  # (P, 3, 3) pinhole camera of the photo, pixels
    vertices: Tensor  # (P, V, 3) metres, camera axes, body origin
    vertices_tpose: Tensor  # (P, V, 3) metres, body axes (y up)
    joints3d: Tensor  # (P, 90, 3) metres, camera axes, body origin
    joints2d_px: Tensor  # (P, 90, 2) pixels of the photo

    def person(self, index: int) -> dict[str, np.ndarray]:
        """One person's arrays by name, without the leading dimension."""
        return {name: value[index].cpu().numpy() for name, value in self._asdict().items()}


def build_initial_estimate(mean_parameters: MeanParameters, betas: int = NUM_BETAS) -> Tensor:
    """Where estimates start: a camera that shows a whole person, mean pose and betas.

    Args:
        mean_parameters: mean pose and the mean of the first ten betas; that of others is 0.
        betas: how many there are, N.

    Returns:
        (147 + N,).
    """
    mean_betas = match_betas(mean_parameters.betas, betas)
    return torch.cat([torch.tensor(INITIAL_CAMERA), mean_parameters.pose, mean_betas])


def split_estimate(numbers: Tensor) -> Estimate:
    """A network's numbers (..., 147 + N) by name."""
    return Estimate(*numbers.tensor_split([CAMERA_DIMS, CAMERA_DIMS + POSE_DIMS], dim=-1))


def decode_parameters(numbers: Tensor) -> BodyParameters:
    """A network's numbers (B, 147 + N) as camera, rotation matrices and betas."""
    cam_wp, pose, betas = split_estimate(numbers)
    return BodyParameters(cam_wp, rot6d_to_rotmat(pose.unflatten(1, (24, 6))), betas)


def average_parameters(first: BodyParameters, second: BodyParameters) -> BodyParameters:
    """What lies halfway between two estimates of the same people.

    Where they look different ways, halfway between them is neither: there the first one stays.
    """
    means = BodyParameters(
        (first.cam_wp + second.cam_wp) / 2,
        average_rotations(first.pose_rotmats, second.pose_rotmats),
        (first.betas + second.betas) / 2,
    )
    # The trace of a rotation is 1 + 2 cos(angle).
    cosines = ((first.pose_rotmats[:, 0] * second.pose_rotmats[:, 0]).sum(dim=(1, 2)) - 1) / 2
    alike = cosines > math.cos(math.radians(MAX_TURN))  # (B,)
    return BodyParameters(
        *(
            torch.where(alike.view(-1, *[1] * (mean.ndim - 1)), mean, values)
            for mean, values in zip(means, first, strict=True)
        )
    )


def decode_in_crops(
    parameters: BodyParameters, body_model: BodyModel, image_size: int
) -> dict[str, Tensor]:
    """Poses the estimated bodies and projects their joints into the crops, as losses need them.

    Args:
        parameters: of B people.
        body_model: the body that the network was trained for.
        image_size: side S of the crop, pixels.

    Returns:
        cam_wp (B, 3), joints2d_norm (B, 17, 2) COCO joints, the same in pixels of the crop,
        joints2d_px, and what `describe_body` gives.
    """
    body = body_model(parameters.betas, parameters.pose_rotmats)
    joints2d_norm = project_weak_perspective(pick(body.joints3d, COCO17_IN_90), parameters.cam_wp)
    return {
        "cam_wp": parameters.cam_wp,
        **describe_body(body, parameters.betas, parameters.pose_rotmats),
        "joints2d_norm": joints2d_norm,
        "joints2d_px": norm_to_pixels(joints2d_norm, image_size),
    }


def describe_body(body: BodyOutput, betas: Tensor, pose_rotmats: Tensor) -> dict[str, Tensor]:
    """What losses and metrics compare of posed bodies, predicted or true, by the names they use.

    Args:
        body: what the body model gave for the other two.
        betas: (B, N).
        pose_rotmats: (B, 24, 3, 3).

    Returns:
        vertices and vertices_tpose (B, V, 3) metres, joints3d (B, 14, 3) LSP joints, metres,
        pose_rotmats and betas.
    """
    return {
        "vertices": body.vertices,
        "vertices_tpose": body.vertices_tpose,
        "joints3d": pick(body.joints3d, LSP14_IN_90),
        "pose_rotmats": pose_rotmats,
        "betas": betas,
    }


def decode_in_photos(parameters: BodyParameters, body_model: BodyModel, crops: Tensor) -> Bodies:
    """Poses the estimated bodies and places them in the photos that their crops are part of.

    Args:
        parameters: of P people; scales below `MIN_SCALE` are raised to it.
        body_model: the body that the network was trained for.
        crops: (P, 3) centre x, centre y, side in pixels of each person's photo.
    """
    scale, shift = parameters.cam_wp[:, :1].clamp(min=MIN_SCALE), parameters.cam_wp[:, 1:]
    cam_wp = torch.cat([scale, shift], dim=1)
    cam_t, cam_k = weak_perspective_to_pinhole(cam_wp, crops)
    body = body_model(parameters.betas, parameters.pose_rotmats)
    centre, half_side = crops[:, :2], crops[:, 2:] / 2
    scale_px = scale * half_side  # (P, 1) pixels of the photo per metre
    # A crop of side 2 has normalised coordinates for pixels, but for its corner.
    joints_norm = project_weak_perspective(body.joints3d, cam_wp)
    return Bodies(
        betas=parameters.betas,
        pose=rotmat_to_axis_angle(parameters.pose_rotmats).flatten(1),
        pose_rotmats=parameters.pose_rotmats,
        cam_wp=cam_wp,
        crops=crops,
        cam_photo=torch.cat([scale_px, centre + scale_px * shift], dim=1),
        cam_t=cam_t,
        cam_k=cam_k,
        vertices=body.vertices,
        vertices_tpose=body.vertices_tpose,
        joints3d=body.joints3d,
        joints2d_px=points_from_crops(joints_norm + 1, crops, 2),
    )
