"""Joint regressors, picked vertices and part labels that belong to a body's vertex order."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.smpl_files import SmplArrays
from utils.errors import InputError
from utils.joints import (
    COCOPLUS_JOINTS,
    EXTRA_JOINTS,
    H36M_JOINTS,
    PARTS,
    PICKED_JOINTS,
    SMPL_JOINTS,
)
from utils.readers import check_body_hash, read_npy, read_npz

# The regressor files in the order of the 90 joints, with the number of their rows.
_REGRESSORS = {
    "J_regressor_extra": len(EXTRA_JOINTS),
    "cocoplus_regressor": len(COCOPLUS_JOINTS),
    "J_regressor_h36m": len(H36M_JOINTS),
}
# SMPL's own vertices for the picked joints, the same for every gender.
SMPL_PICKED_VERTICES = {
    "nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583,
    "left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387, "right_big_toe": 6617,
    "right_small_toe": 6624, "right_heel": 6787, "left_thumb": 2746, "left_index": 2319,
    "left_middle": 2445, "left_ring": 2556, "left_pinky": 2673, "right_thumb": 6191,
    "right_index": 5782, "right_middle": 5905, "right_ring": 6016, "right_pinky": 6133,
}  # fmt: skip
_JOINTS_OF_PART = {
    "left_arm": ("left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    "right_arm": ("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    "head": ("neck", "head"),
    "left_leg": ("left_hip", "left_knee", "left_ankle", "left_foot"),
    "right_leg": ("right_hip", "right_knee", "right_ankle", "right_foot"),
}  # every other joint moves the torso
_COLOUR_STEPS = 100  # a texture colour c in [0, 1] indexes cube_parts at floor(100 c)


class Landmarks(NamedTuple):
    """What goes with a body model's vertex order beside the model itself."""

    regressors: np.ndarray  # (9 + 19 + 17, V) float32: extra, cocoplus, Human3.6M joints
    vertex_ids: np.ndarray  # (21,) int64, `utils.joints.PICKED_JOINTS` order
    face_parts: np.ndarray  # (F,) uint8, indices into `utils.joints.PARTS`


def read_open_landmarks(path: Path) -> Landmarks:
    """Reads the open body's landmarks.

    Raises:
        InputError: the file is missing, unreadable or incomplete.
    """
    content = read_arrays(path, (*_REGRESSORS, "vertex_ids", "face_parts"))
    regressors = np.concatenate([content[key] for key in _REGRESSORS])
    return Landmarks(regressors, content["vertex_ids"], content["face_parts"])


def read_smpl_landmarks(folder: Path, arrays: SmplArrays) -> Landmarks:
    """Reads the licensed body's landmarks from the files that the user placed.

    Args:
        folder: with the three regressors, and `vertex_texture.npy` and `cube_parts.npy`; without
            those two, part labels are derived from the skinning weights. `smpl_faces.npy`, if
            there, must hold the body's own faces.
        arrays: the licensed body.

    Raises:
        InputError: a file is missing, unreadable, or does not fit the body.
    """
    vertices = len(arrays.v_template)
    regressors = []
    for key, rows in _REGRESSORS.items():
        regressor = _read_npy(folder / f"{key}.npy")
        if regressor.shape != (rows, vertices):
            raise InputError(
                f"{folder / key}.npy has shape {regressor.shape}, expected {(rows, vertices)}"
            )
        regressors.append(regressor.astype(np.float32))
    _check_faces(folder / "smpl_faces.npy", arrays)
    ids = np.array([SMPL_PICKED_VERTICES[name] for name in PICKED_JOINTS], np.int64)
    texture, cube = folder / "vertex_texture.npy", folder / "cube_parts.npy"
    if texture.is_file() or cube.is_file():
        # One without the other is a mistake: reading the missing one raises.
        face_parts = derive_parts_from_texture(_read_npy(texture), _read_npy(cube))
    else:
        face_parts = derive_parts_from_weights(arrays)
    return Landmarks(np.concatenate(regressors), ids, face_parts)


def _check_faces(path: Path, arrays: SmplArrays) -> None:
    if not path.is_file():
        return
    faces = _read_npy(path)
    if not np.array_equal(faces, arrays.f):
        raise InputError(
            f"{path} holds other faces, of shape {faces.shape}, than the body model's "
            f"{arrays.f.shape}; the two files do not belong together"
        )


def derive_parts_from_texture(texture: np.ndarray, cube_parts: np.ndarray) -> np.ndarray:
    """One label a face from the published texture and its colour table.

    Args:
        texture: (1, F, T, T, T, 3) colours in [0, 1].
        cube_parts: 3-D table of labels, indexed by floor(100 * colour).

    Returns:
        (F,) uint8, for each face the label that most of its texels have.

    Raises:
        InputError: the arrays are not of these forms.
    """
    if texture.ndim != 6 or texture.shape[0] != 1 or texture.shape[-1] != 3:
        raise InputError(
            f"vertex_texture.npy has shape {texture.shape}, expected (1, F, T, T, T, 3)"
        )
    index = np.floor(texture[0].reshape(texture.shape[1], -1, 3) * _COLOUR_STEPS).astype(int)
    if cube_parts.ndim != 3 or index.min() < 0 or (index.max((0, 1)) >= cube_parts.shape).any():
        raise InputError(
            f"cube_parts.npy has shape {cube_parts.shape}, too small for the colours of "
            f"vertex_texture.npy, which reach {index.max((0, 1))}"
        )
    labels = cube_parts[tuple(index.transpose(2, 0, 1))].astype(int)  # (F, texels)
    votes = np.stack([(labels == part).sum(axis=1) for part in range(len(PARTS))], axis=1)
    return votes.argmax(axis=1).astype(np.uint8)


def derive_parts_from_weights(arrays: SmplArrays) -> np.ndarray:
    """One label a face, (F,) uint8: the part whose joints move its three vertices most."""
    members = np.zeros((len(SMPL_JOINTS), len(PARTS)), np.float32)
    members[:, PARTS.index("torso")] = 1
    for part, joints in _JOINTS_OF_PART.items():
        for joint in joints:
            members[SMPL_JOINTS.index(joint)] = np.eye(len(PARTS))[PARTS.index(part)]
    weights = arrays.weights @ members  # (V, 7)
    return weights[arrays.f].sum(axis=1).argmax(axis=1).astype(np.uint8)


def read_shape_details(path: Path, body_hash: str) -> np.ndarray:
    """Reads directions of shape that the first ten betas do not have, (V, 3, K) float32 metres.

    Args:
        path: npz of tools/open_body with `shapedirs` (V, 3, K) and `body_hash`.
        body_hash: of the body that they are wanted for.

    Raises:
        InputError: the file is missing or unreadable, or is of another body.
    """
    _check_there(path)
    found = str(read_npz(path, ["body_hash"])["body_hash"])
    advice = (
        "take both files of the body from the repository, or build both with "
        "tools/open_body/build_open_body.py"
    )
    check_body_hash(path, "holds shape details", found, body_hash, advice)
    shapedirs = read_arrays(path, ("shapedirs",))["shapedirs"].astype(np.float32)
    if shapedirs.ndim != 3 or shapedirs.shape[1] != 3 or not shapedirs.shape[2]:
        raise InputError(
            f"{path}: shapedirs has shape {shapedirs.shape}, expected (V, 3, K) directions"
        )
    return shapedirs


def read_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Reads arrays of an npz file by name; raises InputError when one is not there."""
    _check_there(path)
    arrays = read_npz(path, keys)
    for key, array in arrays.items():
        _check_numbers(array, f"{path}: {key}")
    return arrays


def _read_npy(path: Path) -> np.ndarray:
    _check_there(path)
    array = read_npy(path)
    _check_numbers(array, str(path))
    return array


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"no file at {path}; see 'Additional files' in README.md")


def _check_numbers(array: np.ndarray, name: str) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype}, expected numbers")
    if not np.isfinite(array).all():
        raise InputError(f"{name} has values that are not finite numbers")
