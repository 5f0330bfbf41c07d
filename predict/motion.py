"""From the estimates of a followed person to their motion: one shape, no gaps, smooth."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.body_model import BodyModel
from predict.rigged_mesh import Motion
from predict.smoothing import (
    OneEuroOptions,
    interpolate_rotations,
    smooth_rotations,
    smooth_vectors,
)
from utils.cameras import fit_weak_perspective, weak_perspective_to_pinhole
from utils.joints import COCO17_IN_90
from utils.rotations import rotmat_to_axis_angle, skew
from utils.tensors import pick

BRIDGED = 0.5  # seconds; longer gaps stay gaps
SPIKE = float(np.radians(20))  # turn from the frames around, from which on a joint is wrong
SPIKE_FRAMES = 3  # on each side, that it is compared with
SPIKE_BATCH = 1000  # frames that are looked through together
OUTLIER = 2.0  # typical distances from the mean shape from which on a frame's betas weigh less
ROUNDS = 10  # of finding that mean
BATCH = 64  # frames that are posed together
# Of the One-Euro filter at strength 1; `python -m benchmarks.video` shows what they do.
JOINTS = OneEuroOptions(min_cutoff=1.5, speed_coefficient=1.5)
PLACE = OneEuroOptions(min_cutoff=4.0, speed_coefficient=8.0)
SIZE = OneEuroOptions(min_cutoff=2.0, speed_coefficient=8.0)


@dataclass(frozen=True)
class MotionOptions:
    """How the estimates of a person become their motion."""

    smoothing: float = 1.0  # strength; 0: none, wrong frames too stay; 2: cutoffs halved
    one_shape: bool = True  # for all frames
    both_ways: bool = True  # smoothing without delay


class TrackedPerson(NamedTuple):
    """A person in N frames, not all of a clip; the camera's axes are x right, y down, z away."""

    frames: np.ndarray  # (N,) their numbers in the clip
    times: Tensor  # (N,) seconds
    pose_rotmats: Tensor  # (N, 24, 3, 3) root in the camera frame
    betas: Tensor  # (N, 10 or more), all the same with one shape
    cam_photo: Tensor  # (N, 3) pixel = scale * (x, y) + offset, of metres from the body's origin
    estimated: np.ndarray  # (N,) bool; False where it was interpolated


class Trajectory(NamedTuple):
    """The same person seen by one pinhole camera that stands still, near enough to be real."""

    root: Tensor  # (N, 3, 3) the root's rotation in that camera's frame
    cam_t: Tensor  # (N, 3) metres
    cam_k: Tensor  # (3, 3) pixels


def build_motion(
    estimates: TrackedPerson,
    weights: Tensor,
    body_model: BodyModel,
    options: MotionOptions = MotionOptions(),
    inform: Callable[[Tensor], Tensor] | None = None,
) -> TrackedPerson:
    """One shape for all frames, short gaps bridged, poses and camera smoothed.

    Args:
        estimates: of one person, frame by frame.
        weights: (N,) how much each frame's shape counts.
        body_model: of the betas.
        options: what of this is done.
        inform: from the frames' mean betas (M,) to that one shape; None: as they are.
    """
    person = estimates
    if options.smoothing > 0:
        person = remove_spikes(person)
    if options.one_shape:
        betas = combine_betas(person.betas, weights)
        betas = betas if inform is None else inform(betas)
        betas = betas.expand_as(person.betas)
        cameras = keep_in_picture(person, betas, body_model)
        person = person._replace(betas=betas, cam_photo=cameras)
    person = bridge_gaps(person)
    return smooth(person, options) if options.smoothing > 0 else person


def combine_betas(betas: Tensor, weights: Tensor) -> Tensor:
    """One shape out of many estimates of it, of which some are far off.

    The weighted mean, in which estimates count less the further they are from it (Huber's weights).

    Args:
        betas: (N, M).
        weights: (N,) not all 0.

    Returns:
        (M,).
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
def keep_in_picture(person: TrackedPerson, betas: Tensor, body_model: BodyModel) -> Tensor:
    """(N, 3) cameras that show people of other betas (N, M) where the person is seen."""
    cameras = []
    for rows in torch.arange(len(person.frames)).split(BATCH):
        scale, offset = person.cam_photo[rows].split([1, 2], dim=1)
        before, after = (
            pick(body_model(each[rows], person.pose_rotmats[rows]).joints3d, COCO17_IN_90)
            for each in (person.betas, betas)
        )
        seen = scale[:, None] * before[..., :2] + offset[:, None]
        found = fit_weak_perspective(after, seen)
        cameras.append(torch.cat([found[:, :1], found[:, :1] * found[:, 1:]], dim=1))
    return torch.cat(cameras)


def remove_spikes(person: TrackedPerson) -> TrackedPerson:
    """Takes out joints that turn away for a frame or two, such as legs taken for each other.

    Where a joint is turned by more than `SPIKE` from what is most central among the frames around
    it (their medoid), it is given that rotation.
    """
    pieces = torch.arange(len(person.frames)).split(SPIKE_BATCH)
    parts = [_find_central(person, rows) for rows in pieces]
    return person._replace(pose_rotmats=torch.cat(parts))


def _find_central(person: TrackedPerson, rows: Tensor) -> Tensor:
    """(R, 24, 3, 3) the rotations of some rows without spikes."""
    around = torch.arange(-SPIKE_FRAMES, SPIKE_FRAMES + 1)
    places = rows[:, None] + around  # (R, W)
    within = (places >= 0) & (places < len(person.frames))
    places = places.clamp(0, len(person.frames) - 1)
    apart = np.abs(person.frames[places.numpy()] - person.frames[rows.numpy()][:, None])
    near = torch.from_numpy(apart <= SPIKE_FRAMES) & within
    windows = person.pose_rotmats[places]  # (R, W, 24, 3, 3)
    cosines = (torch.einsum("nvjab,nwjab->nvwj", windows, windows) - 1) / 2
    angles = torch.acos(cosines.clamp(-1, 1)) * near[:, None, :, None]
    sums = angles.sum(dim=2).masked_fill(~near[..., None], torch.inf)  # (R, W, 24)
    central = sums.argmin(dim=1)  # (R, 24)
    medoids = windows.gather(1, central[:, None, :, None, None].expand(-1, 1, -1, 3, 3))[:, 0]
    away = angles[:, SPIKE_FRAMES].gather(1, central[:, None])[:, 0] > SPIKE
    return torch.where(away[..., None, None], medoids, windows[:, SPIKE_FRAMES])


def bridge_gaps(person: TrackedPerson) -> TrackedPerson:
    """Fills gaps of up to `BRIDGED` seconds between frames.

    Frames in between are numbered, and timed evenly.
    """
    parts, start = [], 0
    for end in range(1, len(person.frames)):
        missing = int(person.frames[end] - person.frames[end - 1]) - 1
        seconds = float(person.times[end] - person.times[end - 1])
        if missing and seconds <= BRIDGED:
            parts += [_rows(person, start, end), _between(person, end - 1, missing)]
            start = end
    parts.append(_rows(person, start, len(person.frames)))
    return _join(parts)


def _rows(person: TrackedPerson, start: int, end: int) -> TrackedPerson:
    return TrackedPerson(*(values[start:end] for values in person))


def _join(parts: list[TrackedPerson]) -> TrackedPerson:
    columns = zip(*parts, strict=True)
    return TrackedPerson(
        *(
            np.concatenate(each) if isinstance(each[0], np.ndarray) else torch.cat(each)
            for each in columns
        )
    )


def _between(person: TrackedPerson, row: int, count: int) -> TrackedPerson:
    """The frames between a row and the next one."""
    shares = torch.arange(1, count + 1, dtype=torch.float32) / (count + 1)
    first, second = (TrackedPerson(*(values[k] for values in person)) for k in (row, row + 1))

    def mix(one: Tensor, other: Tensor) -> Tensor:
        share = shares.to(one.dtype).view(-1, *[1] * one.dim())
        return one + share * (other - one)

    logs = [torch.cat([each.cam_photo[:1].log(), each.cam_photo[1:]]) for each in (first, second)]
    cameras = mix(*logs)
    return TrackedPerson(
        frames=first.frames + 1 + np.arange(count),
        times=mix(first.times, second.times),
        pose_rotmats=interpolate_rotations(
            first.pose_rotmats, second.pose_rotmats, shares[:, None, None]
        ),
        betas=mix(first.betas, second.betas),
        cam_photo=torch.cat([cameras[:, :1].exp(), cameras[:, 1:]], dim=1),
        estimated=np.zeros(count, bool),
    )


def smooth(person: TrackedPerson, options: MotionOptions) -> TrackedPerson:
    """Smooths poses and camera, each stretch without a gap by itself."""
    ends = np.flatnonzero(np.diff(person.frames) > 1) + 1
    bounds = [0, *ends.tolist(), len(person.frames)]
    stretches = [_rows(person, *pair) for pair in itertools.pairwise(bounds)]
    return _join([_smooth_stretch(stretch, options) for stretch in stretches])


def _smooth_stretch(person: TrackedPerson, options: MotionOptions) -> TrackedPerson:
    joints, place, size = (
        replace(
            each,
            min_cutoff=each.min_cutoff / options.smoothing,
            speed_coefficient=each.speed_coefficient / options.smoothing,
            both_ways=options.both_ways,
        )
        for each in (JOINTS, PLACE, SIZE)
    )
    scale, offset = person.cam_photo[:, :1], person.cam_photo[:, 1:]
    metres = offset / scale.mean()
    smooth_scale = smooth_vectors(scale.log(), person.times, size).exp()
    smooth_offset = smooth_vectors(metres, person.times, place) * scale.mean()
    return person._replace(
        pose_rotmats=smooth_rotations(person.pose_rotmats, person.times, joints),
        cam_photo=torch.cat([smooth_scale, smooth_offset], dim=1).to(person.cam_photo.dtype),
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
    # A crop of side 2 about the middle: its normalised coordinates are pixels from there.
    middle = cam_photo.new_tensor([size[0] / 2, size[1] / 2, 2]).expand(len(cam_photo), -1)
    cam_wp = torch.cat([scale, (offset - middle[:, :2]) / scale], dim=1)
    return weak_perspective_to_pinhole(cam_wp, middle)


def find_trajectory(
    person: TrackedPerson, joints3d: Tensor, focal_px: float, size: tuple[int, int]
) -> Trajectory:
    """Where the person is in the room before a camera of a given focal length.

    The network sees each crop as if the camera looked straight at it. A camera that stands still
    sees a person beside its axis under an angle, by which the root is turned; the translation is
    the one that puts the joints where they are seen, by least squares.

    Args:
        person: whose motion it is.
        joints3d: (N, J, 3) of that motion, metres, body origin, the pelvis first.
        focal_px: pixels.
        size: width and height of the picture, pixels.
    """
    scale, offset = person.cam_photo[:, None, :1], person.cam_photo[:, None, 1:]
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
    return Trajectory(turns @ person.pose_rotmats[:, 0], cam_t, cam_k)


def _turns_from_axis(rays: Tensor) -> Tensor:
    """(N, 3, 3) shortest rotations from the optical axis to rays (N, 3)."""
    rays = rays / rays.norm(dim=1, keepdim=True)
    axis = torch.tensor([0.0, 0.0, 1.0]).expand_as(rays)
    third = torch.linalg.cross(axis, rays)
    cosine = rays[:, 2:]  # of the angle; positive: what is seen is before the camera
    cross = skew(third)
    return torch.eye(3) + cross + cross @ cross / (1 + cosine[..., None])


def resample(person: TrackedPerson, trajectory: Trajectory, fps: float) -> Motion:
    """The motion at a constant rate, without gaps, as files of animation programs have it.

    Args:
        person: whose motion it is.
        trajectory: of the same frames.
        fps: frames a second.
    """
    times = person.times
    count = int(torch.floor((times[-1] - times[0]) * fps + 0.5)) + 1
    wanted = (times[0] + torch.arange(count) / fps).clamp(max=times[-1])
    after = torch.searchsorted(times, wanted).clamp(1, max(len(times) - 1, 1))
    before = after - 1
    after = after.clamp(max=len(times) - 1)  # of a single frame
    steps = (times[after] - times[before]).clamp(min=1e-9)
    shares = ((wanted - times[before]) / steps).clamp(0, 1).float()
    rotmats = person.pose_rotmats.clone()
    rotmats[:, 0] = trajectory.root
    turned = interpolate_rotations(rotmats[before], rotmats[after], shares[:, None, None])
    start, end = trajectory.cam_t[before], trajectory.cam_t[after]
    return Motion(
        person.betas[0].numpy(),
        turned.numpy(),
        (start + shares[:, None] * (end - start)).double().numpy(),
        fps,
    )


@torch.inference_mode()
def pose_bodies(person: TrackedPerson, body_model: BodyModel) -> Tensor:
    """Joints (N, 90, 3), metres, camera axes, body origin."""
    return torch.cat(
        [
            body_model(person.betas[rows], person.pose_rotmats[rows]).joints3d
            for rows in torch.arange(len(person.frames)).split(BATCH)
        ]
    )


def describe(person: TrackedPerson, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """A person's arrays by the names of `models.decoder.Bodies`."""
    cam_t, cam_k = far_cameras(person.cam_photo, size)
    return {
        "pose": rotmat_to_axis_angle(person.pose_rotmats).flatten(1).numpy(),
        "pose_rotmats": person.pose_rotmats.numpy(),
        "betas": person.betas.numpy(),
        "cam_photo": person.cam_photo.numpy(),
        "cam_t": cam_t.numpy(),
        "cam_k": cam_k.numpy(),
    }
