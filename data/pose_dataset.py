"""Training poses: read from npz files, and checked before the first epoch.

A training file holds `poses` (N, 72), axis-angle in radians, 24 SMPL joints in order, the first
being the root in the CAMERA frame (x right, y DOWN, z away from the camera). It usually also holds
`fnames` (N,) and `shapes` (N, 10); training draws its own body shapes, so they may be left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from utils.errors import InputError
from utils.joints import SMPL_JOINTS
from utils.readers import read_npz
from utils.rotations import axis_angle_to_rotmat

POSE_SIZE = 3 * len(SMPL_JOINTS)
SHAPE_SIZE = 10
MAX_ANGLE = 4 * np.pi  # rad; beyond it the numbers are degrees, or not rotations
UPRIGHT_COSINE = 0.5  # an up axis within 60 degrees of the vertical counts as upright
ALONG_VIEW_COSINE = 0.8  # an up axis this close to the optical axis points straight away from us
REFUSED_SHARE = 0.8  # of the samples; a few handstands are fine, a whole file is not
TO_CAMERA_FRAME_HINT = (
    "left-multiply every root rotation by a rotation of pi about x "
    "(R_camera = diag(1, -1, -1) @ R_root) and store it as axis-angle again"
)


@dataclass(frozen=True)
class PoseData:
    """Poses of one or several training files, in the order read.

    Attributes:
        fnames: (N,) str, where each pose comes from.
        poses: (N, 72) float32, axis-angle, rad, root in the camera frame.
        shapes: (N, 10) float32 betas stored with the poses; zeros where a file has none.
    """

    fnames: np.ndarray
    poses: np.ndarray
    shapes: np.ndarray

    def __len__(self) -> int:
        return len(self.poses)


def load_poses(paths: str | Path | Sequence[str | Path]) -> PoseData:
    """Reads, checks and concatenates training poses.

    Args:
        paths: one npz file or several, concatenated in the order given.

    Returns:
        The poses of all files.

    Raises:
        InputError: no file named; or a file missing, not an npz, without `poses`, of wrong shapes,
            empty, with values that are not finite or not radians, or not in the camera frame.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    parts = [_load_file(Path(path)) for path in paths]
    if not parts:
        raise InputError("no training poses named: give at least one npz file with `poses` (N, 72)")
    return PoseData(
        fnames=np.concatenate([part.fnames for part in parts]),
        poses=np.concatenate([part.poses for part in parts]),
        shapes=np.concatenate([part.shapes for part in parts]),
    )


def _load_file(path: Path) -> PoseData:
    arrays = _read_arrays(path)
    poses = _check_numbers(path, "poses", arrays["poses"], POSE_SIZE)
    count = len(poses)
    if count == 0:
        raise InputError(f"{path}: `poses` is empty; at least one pose is needed")
    shapes = arrays.get("shapes")
    if shapes is None:
        shapes = np.zeros((count, SHAPE_SIZE), np.float32)
    shapes = _check_numbers(path, "shapes", shapes, SHAPE_SIZE)
    fnames = arrays.get("fnames")
    if fnames is None:
        fnames = np.array([f"{path.stem}_{index:06d}" for index in range(count)])
    for name, array in (("shapes", shapes), ("fnames", fnames)):
        if len(np.atleast_1d(array)) != count:
            raise InputError(
                f"{path}: `{name}` has {len(np.atleast_1d(array))} rows but `poses` has {count}; "
                "they must agree (or leave it out)"
            )
    _refuse_other_frames(path, poses)
    return PoseData(fnames=np.atleast_1d(fnames).astype(str), poses=poses, shapes=shapes)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected an npz of training poses")
    return read_npz(path, ["poses"], ["fnames", "shapes"])


def _check_numbers(path: Path, name: str, array: np.ndarray, width: int) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(f"{path}: `{name}` has shape {array.shape}; expected (N, {width})")
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{path}: `{name}` is {array.dtype}; expected floating-point numbers")
    bad_rows = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad_rows):
        raise InputError(
            f"{path}: `{name}` has values that are not finite in {len(bad_rows)} rows "
            f"(first: row {bad_rows[0]}); remove those rows"
        )
    return array.astype(np.float32)


def _refuse_other_frames(path: Path, poses: np.ndarray) -> None:
    """Refuses degrees, y-up and z-up data, which would train a network that predicts nonsense.

    Lying and bent people are allowed: only samples whose up axis is clearly vertical are judged.
    """
    angles = np.linalg.norm(poses.reshape(len(poses), -1, 3), axis=-1)
    if angles.max() > MAX_ANGLE:
        raise InputError(
            f"{path}: `poses` has a rotation of {angles.max():.4g} rad; expected axis-angle in "
            "radians (divide degrees by 57.29578)"
        )
    up_axis = axis_angle_to_rotmat(torch.from_numpy(poses[:, :3]))[:, :, 1].numpy()  # (N, 3)
    vertical = np.abs(up_axis[:, 1]) > UPRIGHT_COSINE
    inverted = up_axis[:, 1] > UPRIGHT_COSINE
    if vertical.mean() > 1 - REFUSED_SHARE and inverted.sum() > REFUSED_SHARE * vertical.sum():
        share = inverted.sum() / vertical.sum()
        raise InputError(
            f"{path}: {share:.0%} of the people are upside down; this is y-up data, but "
            f"training poses are in the camera frame (y down): {TO_CAMERA_FRAME_HINT}"
        )
    away = up_axis[:, 2] > ALONG_VIEW_COSINE
    if away.mean() > REFUSED_SHARE:
        raise InputError(
            f"{path}: {away.mean():.0%} of the people lie with the head straight away from the "
            "camera; this is z-up data (AMASS?), but training poses are in the camera frame "
            "(y down): left-multiply every root rotation by a rotation of pi/2 about x"
        )
