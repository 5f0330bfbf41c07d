"""From the estimates of a followed person to their motion: one shape, no gaps, smooth."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.body_model import BodyModel
from predict.smoothing import (
    OneEuroOptions,
    interpolate_rotations,
    smooth_rotations,
    smooth_vectors,
)
from utils.cameras import BODY_DISTANCE, fit_weak_perspective
from utils.joints import COCO17_IN_90
from utils.rotations import rotmat_to_axis_angle, skew
from utils.tensors import pick

BRIDGED = 0.5  # seconds; longer gaps stay gaps
OUTLIER = 2.0  # typical distances from the mean shape from which on a frame's betas weigh less
ROUNDS = 10  # of finding that mean
BATCH = 64  # frames that are posed together
# Of the One-Euro filter at strength 1; `python -m benchmarks.video` shows what they do.
JOINTS = OneEuroOptions(min_cutoff=1.5, speed_coefficient=1.0)
PLACE = OneEuroOptions(min_cutoff=1.5, speed_coefficient=2.0)
SIZE = OneEuroOptions(min_cutoff=0.5, speed_coefficient=2.0)


@dataclass(frozen=True)
class MotionOptions:
    """How estimates become a motion."""

    smoothing: float = 1.0  # strength; 0: none, 2: cutoff frequencies halved
    one_shape: bool = True  # for all frames
    both_ways: bool = True  # smoothing without delay


class Motion(NamedTuple):
    """A person in N frames, not all of a clip; the camera's axes are x right, y down, z away."""

    frames: np.ndarray  # (N,) their numbers in the clip
    times: Tensor  # (N,) seconds
    pose_rotmats: Tensor  # (N, 24, 3, 3) root in the camera frame
    betas: Tensor  # (N, 10), all the same with one shape
    cam_photo: Tensor  # (N, 3) pixel = scale * (x, y) + offset, of metres from the body's origin
    estimated: np.ndarray  # (N,) bool; False where it was interpolated


class Trajectory(NamedTuple):
    """The same person seen by one pinhole camera that stands still, near enough to be real."""

    root: Tensor  # (N, 3, 3) the root's rotation in that camera's frame
    cam_t: Tensor  # (N, 3) metres
    cam_k: Tensor  # (3, 3) pixels


def build_motion(
    estimates: Motion,
    weights: Tensor,
    body_model: BodyModel,
    options: MotionOptions = MotionOptions(),
) -> Motion:
    """One shape for all frames, short gaps bridged, poses and camera smoothed.

    Args:
        estimates: of one person, frame by frame.
        weights: (N,) how much each frame's shape counts.
        body_model: of the betas.
        options: what of this is done.
    """
    motion = estimates
    if options.one_shape:
        betas = combine_betas(motion.betas, weights).expand_as(motion.betas)
        cameras = keep_in_picture(motion, betas, body_model)
        motion = motion._replace(betas=betas, cam_photo=cameras)
    motion = bridge_gaps(motion)
    return smooth(motion, options) if options.smoothing > 0 else motion


def combine_betas(betas: Tensor, weights: Tensor) -> Tensor:
    """One shape out of many estimates of it, of which some are far off.

    The weighted mean, in which estimates count less the further they are from it (Huber's weights).

    Args:
        betas: (N, 10).
        weights: (N,) not all 0.

    Returns:
        (10,).
    """
    weights = weights.clamp(min=1e-6)
    mean = (weights[:, None] * betas).sum(dim=0) / weights.sum()
    for _ in range(ROUNDS):
        distances = (betas - mean).norm(dim=1)
        typical = distances.median().clamp(min=1e-6)
        trusted = weights * (OUTLIER * typical / distances.clamp(min=1e-6)).clamp(max=1)
        mean = (trusted[:, None] * betas).sum(dim=0) / trusted.sum()
    return mean


@torch.inference_mode()
def keep_in_picture(motion: Motion, betas: Tensor, body_model: BodyModel) -> Tensor:
    """(N, 3) cameras that show people of other betas (N, 10) where those of the motion are seen."""
    cameras = []
    for rows in torch.arange(len(motion.frames)).split(BATCH):
        scale, offset = motion.cam_photo[rows].split([1, 2], dim=1)
        before, after = (
            pick(body_model(each[rows], motion.pose_rotmats[rows]).joints3d, COCO17_IN_90)
            for each in (motion.betas, betas)
        )
        seen = scale[:, None] * before[..., :2] + offset[:, None]
        found = fit_weak_perspective(after, seen)
        cameras.append(torch.cat([found[:, :1], found[:, :1] * found[:, 1:]], dim=1))
    return torch.cat(cameras)


def bridge_gaps(motion: Motion) -> Motion:
    """Fills gaps of up to `BRIDGED` seconds between frames.

    Frames in between are numbered, and timed evenly.
    """
    parts, start = [], 0
    for end in range(1, len(motion.frames)):
        missing = int(motion.frames[end] - motion.frames[end - 1]) - 1
        seconds = float(motion.times[end] - motion.times[end - 1])
        if missing and seconds <= BRIDGED:
            parts += [_rows(motion, start, end), _between(motion, end - 1, missing)]
            start = end
    parts.append(_rows(motion, start, len(motion.frames)))
    return _join(parts)


def _rows(motion: Motion, start: int, end: int) -> Motion:
    return Motion(*(values[start:end] for values in motion))


def _join(parts: list[Motion]) -> Motion:
    columns = zip(*parts, strict=True)
    return Motion(
        *(
            np.concatenate(each) if isinstance(each[0], np.ndarray) else torch.cat(each)
            for each in columns
        )
    )


def _between(motion: Motion, row: int, count: int) -> Motion:
    """The frames between a row and the next one."""
    shares = torch.arange(1, count + 1, dtype=torch.float32) / (count + 1)
    first, second = (Motion(*(values[k] for values in motion)) for k in (row, row + 1))

    def mix(one: Tensor, other: Tensor) -> Tensor:
        share = shares.to(one.dtype).view(-1, *[1] * one.dim())
        return one + share * (other - one)

    logs = [torch.cat([each.cam_photo[:1].log(), each.cam_photo[1:]]) for each in (first, second)]
    cameras = mix(*logs)
    return Motion(
        frames=first.frames + 1 + np.arange(count),
        times=mix(first.times, second.times),
        pose_rotmats=interpolate_rotations(
            first.pose_rotmats, second.pose_rotmats, shares[:, None, None]
        ),
        betas=mix(first.betas, second.betas),
        cam_photo=torch.cat([cameras[:, :1].exp(), cameras[:, 1:]], dim=1),
        estimated=np.zeros(count, bool),
    )


def smooth(motion: Motion, options: MotionOptions) -> Motion:
    """Smooths poses and camera, each stretch without a gap by itself."""
    ends = np.flatnonzero(np.diff(motion.frames) > 1) + 1
    bounds = [0, *ends.tolist(), len(motion.frames)]
    stretches = [_rows(motion, *pair) for pair in zip(bounds[:-1], bounds[1:], strict=True)]
    return _join([_smooth_stretch(stretch, options) for stretch in stretches])


def _smooth_stretch(motion: Motion, options: MotionOptions) -> Motion:
    joints, place, size = (
        replace(
            each,
            min_cutoff=each.min_cutoff / options.smoothing,
            speed_coefficient=each.speed_coefficient / options.smoothing,
            both_ways=options.both_ways,
        )
        for each in (JOINTS, PLACE, SIZE)
    )
    scale, offset = motion.cam_photo[:, :1], motion.cam_photo[:, 1:]
    metres = offset / scale.mean()
    smooth_scale = smooth_vectors(scale.log(), motion.times, size).exp()
    smooth_offset = smooth_vectors(metres, motion.times, place) * scale.mean()
    return motion._replace(
        pose_rotmats=smooth_rotations(motion.pose_rotmats, motion.times, joints),
        cam_photo=torch.cat([smooth_scale, smooth_offset], dim=1).to(motion.cam_photo.dtype),
    )


def far_cameras(cam_photo: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The pinhole cameras that picture bodies as their weak-perspective ones do.

    Args:
        cam_photo: (N, 3) scale and offset, pixels.
        size: width and height of the picture, pixels.

    Returns:
        Translations (N, 3), metres, and intrinsics (N, 3, 3), pixels; they stand `BODY_DISTANCE`
        away and look at the picture's middle.
    """
    scale, offset = cam_photo[:, :1], cam_photo[:, 1:]
    centre = torch.tensor(size, dtype=cam_photo.dtype) / 2
    cam_t = torch.cat([(offset - centre) / scale, torch.full_like(scale, BODY_DISTANCE)], dim=1)
    focal = scale * BODY_DISTANCE
    cam_k = torch.diag_embed(torch.cat([focal, focal, torch.ones_like(focal)], dim=1))
    cam_k[:, :2, 2] = centre
    return cam_t, cam_k


def find_trajectory(
    motion: Motion, joints3d: Tensor, focal_px: float, size: tuple[int, int]
) -> Trajectory:
    """Where the person is in the room before a camera of a given focal length.

    The network sees each crop as if the camera looked straight at it. A camera that stands still
    sees a person beside its axis under an angle, by which the root is turned; the translation is
    the one that puts the joints where they are seen, by least squares.

    Args:
        motion: of the person.
        joints3d: (N, J, 3) of the motion, metres, body origin, the pelvis first.
        focal_px: pixels.
        size: width and height of the picture, pixels.
    """
    scale, offset = motion.cam_photo[:, None, :1], motion.cam_photo[:, None, 1:]
    slopes = (scale * joints3d[..., :2] + offset - torch.tensor(size) / 2) / focal_px  # (N, J, 2)
    rays = torch.cat([slopes[:, 0], torch.ones_like(slopes[:, 0, :1])], dim=1)
    turns = _turns_from_axis(rays)
    pelvis = joints3d[:, :1]
    turned = pelvis + (joints3d - pelvis) @ turns.mT
    # slope * (z + t_z) = x + t_x, and the same for y: two rows for each joint.
    zero, one = torch.zeros_like(slopes[..., 0]), torch.ones_like(slopes[..., 0])
    left = torch.cat(
        [
            torch.stack([one, zero, -slopes[..., 0]], dim=-1),
            torch.stack([zero, one, -slopes[..., 1]], dim=-1),
        ],
        dim=1,
    )
    right = slopes * turned[..., 2:] - turned[..., :2]
    right = torch.cat([right[..., 0], right[..., 1]], dim=1)[..., None]
    cam_t = torch.linalg.solve(left.mT @ left, left.mT @ right)[..., 0]
    cam_k = torch.tensor([[focal_px, 0, size[0] / 2], [0, focal_px, size[1] / 2], [0, 0, 1]])
    return Trajectory(turns @ motion.pose_rotmats[:, 0], cam_t, cam_k)


def _turns_from_axis(rays: Tensor) -> Tensor:
    """(N, 3, 3) shortest rotations from the optical axis to rays (N, 3)."""
    rays = rays / rays.norm(dim=1, keepdim=True)
    axis = torch.tensor([0.0, 0.0, 1.0]).expand_as(rays)
    third = torch.linalg.cross(axis, rays)
    cosine = rays[:, 2:]  # of the angle; positive: what is seen is before the camera
    cross = skew(third)
    return torch.eye(3) + cross + cross @ cross / (1 + cosine[..., None])


@torch.inference_mode()
def pose_bodies(motion: Motion, body_model: BodyModel) -> Tensor:
    """Joints (N, 90, 3), metres, camera axes, body origin."""
    return torch.cat(
        [
            body_model(motion.betas[rows], motion.pose_rotmats[rows]).joints3d
            for rows in torch.arange(len(motion.frames)).split(BATCH)
        ]
    )


def describe(motion: Motion, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """A motion's arrays by the names of `models.decoder.Bodies`."""
    cam_t, cam_k = far_cameras(motion.cam_photo, size)
    return {
        "pose": rotmat_to_axis_angle(motion.pose_rotmats).flatten(1).numpy(),
        "pose_rotmats": motion.pose_rotmats.numpy(),
        "betas": motion.betas.numpy(),
        "cam_photo": motion.cam_photo.numpy(),
        "cam_t": cam_t.numpy(),
        "cam_k": cam_k.numpy(),
    }
