"""The truth of a photo: the body, shape, pose and camera of the person in it, in a file beside it.

A file `<stem>_truth.npz` beside `<stem>.jpg` holds body (str), gender (str), body_hash (str),
betas (10,), pose (72,) axis-angle with the root in the camera frame, cam_t (3,) metres and
cam_k (3, 3), the pinhole camera of the whole photo in pixels. The body's height_m and weight_kg are
written too, for whoever looks into the file. Reading ignores these and other keys. People whom
betas cannot tell have `offsets` (V, 3) besides, metres, which are added to the T-posed body.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.errors import InputError
from utils.files import write_npz
from utils.readers import read_npz

TRUTH_ENDING = "_truth.npz"
_SHAPES = {"betas": (10,), "pose": (72,), "cam_t": (3,), "cam_k": (3, 3)}
_WORDS = ("body", "gender", "body_hash")
_OFFSETS = "offsets"


class Truth(NamedTuple):
    """The person in a photo as they truly are."""

    body: str  # open or smpl
    gender: str
    body_hash: str
    betas: Tensor  # (10,)
    pose: Tensor  # (72,) axis-angle, rad, root in the camera frame
    cam_t: Tensor  # (3,) metres, from the body's origin to the camera's
    cam_k: Tensor  # (3, 3) pixels of the photo
    offsets: Tensor | None = None  # (V, 3) metres, of the T-posed body, beyond what betas tell


def truth_path(photo: Path) -> Path:
    """Where the truth of a photo lies, if there is one."""
    return photo.with_name(photo.stem + TRUTH_ENDING)


def read_truth(path: Path) -> Truth:
    """Reads a truth file.

    Raises:
        InputError: it cannot be read, or a key is missing or has another shape.
    """
    arrays = read_npz(path, (*_SHAPES, *_WORDS), (_OFFSETS,))
    shapes = dict(_SHAPES)
    if _OFFSETS in arrays:
        shapes[_OFFSETS] = (*arrays[_OFFSETS].shape[:1], 3)
    for key, shape in shapes.items():
        if arrays[key].shape != shape:
            raise InputError(f"{path}: {key} has shape {arrays[key].shape}, expected {shape}")
        # Beyond what a float32 holds are no numbers of a person either.
        largest = np.abs(arrays[key]).max() if arrays[key].dtype.kind in "fiu" else np.inf
        if not largest < np.finfo(np.float32).max:
            raise InputError(f"{path}: {key} has values that are not finite numbers")
    numbers = {key: torch.from_numpy(arrays[key].astype(np.float32)) for key in shapes}
    return Truth(**numbers, **{key: str(arrays[key]) for key in _WORDS})


def write_truth(path: Path, truth: Truth, height_m: float, weight_kg: float) -> None:
    """Writes a truth file whole or not at all; raises InputError when it cannot be written."""
    arrays = {name: np.asarray(value) for name, value in truth._asdict().items()}
    if truth.offsets is None:
        del arrays[_OFFSETS]
    sizes = {"height_m": np.float32(height_m), "weight_kg": np.float32(weight_kg)}
    write_npz(path, {**arrays, **sizes})
