"""Errors of a detector as they were measured: drawn apart from being applied.

The file (see `data/README.md`) has a row for each time that the detector was shown a rendered
person. A sample gets all its errors from one row, that of somebody seen from a similar side, so
that what comes together stays together: confidence and error, joints and mask. Which side that is
shows only once the sample is posed, so random numbers are drawn first, and choose the row later.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from utils.cameras import inside_image
from utils.errors import InputError
from utils.joints import COCO17, COCO17_SWAP, SMPL_JOINTS, indices_of, mirrored
from utils.readers import read_rows
from utils.tensors import constant, normal, pick, uniform

WINDOW = 0.06  # of the rows, to each side of the one whose person is seen just as the sample is
STRETCH = 0.2  # +-, by how much a row's joint offsets are made longer
TURN_STD = 0.2  # radians, by how much each of them is turned
BUMP_RADIUS = 0.06  # of the crop's side, standard deviation of the bump at a joint
NOISE_CELLS = 20  # of the outline's smooth noise, along the crop's side
# Where bumps are: the face's joints lie too close together to tell them apart.
OUTLINE_JOINTS = ("nose", *COCO17[COCO17.index("left_shoulder") :])
# Standard deviation of white noise smoothed by cubic B-splines along x and y: the integral of a
# spline's square.
SMOOTHED_STD = 151 / 315

_TRUNK = ("left_hip", "left_shoulder", "right_hip", "right_shoulder", "pelvis", "neck")
_TRUNK_IN_SMPL = indices_of(_TRUNK, SMPL_JOINTS)
OUTLINE_IN_COCO17 = indices_of(OUTLINE_JOINTS, COCO17)
_OUTLINE_SWAP = indices_of(tuple(map(mirrored, OUTLINE_JOINTS)), OUTLINE_JOINTS)
_SHAPES = {  # of a row, in the file
    "confidences": (len(COCO17),),
    "offsets": (len(COCO17), 2),
    "swapped": (len(COCO17),),
    "facing": (),
    "truncation": (4,),
    "outline_level": (),
    "outline_bumps": (len(OUTLINE_JOINTS),),
    "outline_rest": (),
}


class DetectorDraws(NamedTuple):
    """Random numbers that make a detector's errors of a batch."""

    aside: Tensor  # (B,) the row, in shares of all rows from the one whose person is seen alike
    stretch: Tensor  # (B, 1, 1) factor of the row's joint offsets
    turns: Tensor  # (B, 17) radians, by which they are turned
    outline_noise: Tensor  # (B, G, G) control points of a field with standard deviation 1


class ChosenErrors(NamedTuple):
    """Detector errors of a batch; lengths are shares of the crop's side."""

    joint_shift: Tensor  # (B, 17, 2) detected minus true joint
    confidence: Tensor  # (B, 17) in [0, 1]
    swapped: Tensor  # (B, 17) bool: the joint is taken for that of the other side, then moved
    outline_bumps: Tensor  # (B, 13) by how much the outline lies too far out about OUTLINE_JOINTS
    outline_noise: Tensor  # (B, G, G) and by how much everywhere: a cubic B-spline's control points


class DetectorErrors(nn.Module):
    """Rows to draw from: those of a file and their mirror images.

    They are sorted by the side that people are seen from, whole people first, then those whom the
    photo's border cuts.

    Args:
        rows: the file's arrays by name, (N, ...) each.
    """

    def __init__(self, rows: dict[str, np.ndarray]) -> None:
        super().__init__()
        tensors = {name: torch.from_numpy(rows[name]) for name in _SHAPES}
        tensors = {name: each.to(_row_type(name)) for name, each in tensors.items()}
        mirror = _mirror(tensors)
        both = {name: torch.cat([tensors[name], mirror[name]]) for name in _SHAPES}
        cut = (both.pop("truncation") > 0).any(dim=1)
        order = _sorting_key(both["facing"], cut).argsort()
        self.whole_count, self.cut_count = int((~cut).sum()), int(cut.sum())
        self.register_buffer("keys", _sorting_key(both["facing"], cut)[order], persistent=False)
        for name in both:
            self.register_buffer(name, both[name][order].contiguous(), persistent=False)


def _row_type(name: str) -> torch.dtype:
    return torch.bool if name == "swapped" else torch.float32


def _sorting_key(facing: Tensor, cut: Tensor) -> Tensor:
    """Facing in [-pi, pi], behind all of them for people who are cut."""
    return facing + 4 * torch.pi * cut


def _mirror(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    swap = list(COCO17_SWAP)
    return {
        **rows,
        "confidences": rows["confidences"][:, swap],
        "offsets": rows["offsets"][:, swap] * torch.tensor([-1.0, 1.0]),
        "swapped": rows["swapped"][:, swap],
        "facing": -rows["facing"],
        "outline_bumps": rows["outline_bumps"][:, list(_OUTLINE_SWAP)],
    }


def read_detector_errors(path: Path) -> DetectorErrors:
    """Reads measured errors.

    Args:
        path: npz as `tools.measure_detector_errors` writes it.

    Raises:
        InputError: it cannot be read, or what it holds is not what is expected.
    """
    rows = read_rows(path, _SHAPES)
    cut = (rows["truncation"] > 0).any(axis=1)
    if cut.all() or not cut.any():
        raise InputError(
            f"{path} has {(~cut).sum()} rows of whole people and {cut.sum()} of people whom the "
            "photo's border cuts; expected some of both, as measure_detector_errors.py writes them"
        )
    return DetectorErrors(rows)


def measure_facing(joints3d: Tensor) -> Tensor:
    """Which side of people the camera sees, by the front of their trunk.

    Args:
        joints3d: (B, 24 or more, 3) SMPL's joints first; camera axes (y down), metres.

    Returns:
        (B,) radians in [-pi, pi]: 0 for those who face the camera, +-pi for those seen from behind,
        pi / 2 for those who face the picture's right border.
    """
    left_hip, left_shoulder, right_hip, right_shoulder, pelvis, neck = (
        joints3d[:, joint] for joint in _TRUNK_IN_SMPL
    )
    to_left = left_hip + left_shoulder - right_hip - right_shoulder
    front = torch.linalg.cross(to_left, neck - pelvis)
    return torch.atan2(front[:, 0], -front[:, 2])


def draw_detector_errors(batch: int, generator: Generator) -> DetectorDraws:
    """Draws what makes the detector's errors of B people."""
    points = NOISE_CELLS + 3
    return DetectorDraws(
        aside=uniform((batch,), WINDOW, generator),
        stretch=1 + uniform((batch, 1, 1), STRETCH, generator),
        turns=TURN_STD * normal((batch, len(COCO17)), generator),
        outline_noise=normal((batch, points, points), generator) / SMOOTHED_STD,
    )


def choose_errors(
    errors: DetectorErrors, draws: DetectorDraws, facing: Tensor, cut: Tensor
) -> ChosenErrors:
    """The detector's errors of people seen from given sides.

    Args:
        errors: to choose from.
        draws: of the same batch.
        facing: (B,) radians, see `measure_facing`.
        cut: (B,) bool, whom the photo's border cuts.
    """
    row = _choose_rows(errors, draws.aside, facing, cut)
    level, rest = errors.outline_level[row], errors.outline_rest[row]
    return ChosenErrors(
        _turn(errors.offsets[row] * draws.stretch, draws.turns),
        errors.confidences[row],
        errors.swapped[row],
        errors.outline_bumps[row],
        draws.outline_noise * rest[:, None, None] + level[:, None, None],
    )


def _choose_rows(errors: DetectorErrors, aside: Tensor, facing: Tensor, cut: Tensor) -> Tensor:
    """(B,) rows of people seen from a similar side, cut or not like the sample."""
    place = torch.searchsorted(errors.keys, _sorting_key(facing, cut))
    start = errors.whole_count * cut
    count = errors.whole_count + (errors.cut_count - errors.whole_count) * cut
    # Facing is a circle: beyond the last row comes the first.
    return start + (place - start + (aside * count).round().long()).remainder(count)


def _turn(vectors: Tensor, angles: Tensor) -> Tensor:
    """Vectors (..., 2) turned by angles (...), radians."""
    cos, sin = angles.cos(), angles.sin()
    x, y = vectors.unbind(dim=-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def apply_to_joints(
    joints2d_px: Tensor, visibility: Tensor, chosen: ChosenErrors, size: int
) -> tuple[Tensor, Tensor]:
    """Joints as the detector would give them.

    Args:
        joints2d_px: (B, 17, 2) the true ones, pixels of the crop.
        visibility: (B, 17) bool, which of them are in the photo.
        chosen: of the same batch.
        size: side of the crop in pixels.

    Returns:
        The joints (B, 17, 2), and the confidence (B, 17) in each: 0 where the joint that was taken
        is not visible, or was moved out of the crop.
    """
    swap = constant(COCO17_SWAP, joints2d_px.device, torch.int64)
    taken = torch.where(chosen.swapped[..., None], joints2d_px[:, swap], joints2d_px)
    visible = torch.where(chosen.swapped, visibility[:, swap], visibility)
    moved = taken + chosen.joint_shift * size
    return moved, chosen.confidence * (visible & inside_image(moved, size, size))


def apply_to_distances(
    signed_distance: Tensor, joints2d_px: Tensor, chosen: ChosenErrors
) -> Tensor:
    """The signed distance of a mask as the detector would give it.

    The outline is moved by a smooth field: bumps at joints (hair, sleeves, a hand that is missed)
    and noise. Its silhouette is where the result is below 0.

    Args:
        signed_distance: (B, S, S) to the true outline, negative inside, shares of the crop's side.
        joints2d_px: (B, 17, 2) the true ones, pixels of the crop.
        chosen: of the same batch.

    Returns:
        (B, S, S), in the same unit; near the outline a distance.
    """
    size = signed_distance.shape[-1]
    centres = torch.arange(size, dtype=signed_distance.dtype, device=signed_distance.device) + 0.5
    bumps_at = pick(joints2d_px, OUTLINE_IN_COCO17)[..., None]  # (B, 13, 2, 1)
    bumps_x, bumps_y = _bump_profiles((centres - bumps_at) / size).unbind(dim=2)  # (B, 13, S)
    splines = _spline_weights(centres / size).mT  # (G, S)
    # Both are sums of products of a function of y and one of x: one matrix product for all.
    heights = -chosen.outline_bumps[..., None]
    along_y = torch.cat([bumps_y * heights, -chosen.outline_noise @ splines], dim=1)
    along_x = torch.cat([bumps_x, splines.expand(len(bumps_x), -1, -1)], dim=1)  # (B, 13 + G, S)
    return torch.bmm(along_y.mT, along_x).add_(signed_distance)


def _bump_profiles(distances: Tensor) -> Tensor:
    """Heights in [0, 1] of Gaussian bumps at these distances, shares of the crop's side."""
    return (distances.square() * (-1 / (2 * BUMP_RADIUS**2))).exp()


def _spline_weights(places: Tensor) -> Tensor:
    """Weights (S, NOISE_CELLS + 3) of a cubic B-spline's control points at places (S,) in [0, 1].

    They sum to 1 at every place.
    """
    knots = torch.arange(NOISE_CELLS + 3, dtype=places.dtype, device=places.device) - 1
    distance = (places[:, None] * NOISE_CELLS - knots).abs()
    near = 2 / 3 - distance.square() + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
