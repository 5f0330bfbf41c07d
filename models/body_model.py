"""The body model: betas and pose in, vertices and 90 joints out."""

import copy
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.landmarks import Landmarks, read_arrays, read_open_landmarks, read_smpl_landmarks
from models.skinning import Skinning
from models.smpl_files import NUM_BETAS, SmplArrays, find_licensed_model, read_smpl_file
from utils.errors import InputError
from utils.joints import COCOPLUS_JOINTS, EXTRA_JOINTS, H36M_JOINTS, PARTS, PICKED_JOINTS
from utils.paths import ADDITIONAL, OPEN_BODY

BODIES = ("open", "smpl")
GENDERS = ("neutral", "male", "female")
POSE_DIMS = 24 * 6


class BodyOutput(NamedTuple):
    """A posed body."""

    vertices: Tensor  # (B, V, 3) metres
    joints3d: Tensor  # (B, 90, 3) metres, `utils.joints.BODY_MODEL_JOINTS` order
    tpose_vertices: Tensor  # (B, V, 3) metres, the same shape in the T-pose, y up
    bone_transforms: Tensor  # (B, 24, 3, 4) affine, from the T-pose to the pose


class MeanParameters(NamedTuple):
    """Where the regressor's estimate starts."""

    pose: Tensor  # (144,) 24 rotations in 6D, camera frame
    betas: Tensor  # (10,)


class BodyModel(nn.Module):
    """SMPL-format body with 90 joints.

    Args:
        arrays: the model's arrays.
        landmarks: joint regressors, picked vertices and part labels of the same vertex order.
        name: which body this is, "open" or "smpl".
        gender: one of `GENDERS`.
    """

    def __init__(self, arrays: SmplArrays, landmarks: Landmarks, name: str, gender: str):
        """Checks that the landmarks fit the arrays; raises InputError where they do not."""
        super().__init__()
        _check_landmarks(arrays, landmarks)
        self.skinning = Skinning(arrays)
        # Picked vertices and regressed joints alike are products with the few vertices they need.
        picked = np.zeros((len(landmarks.vertex_ids), len(arrays.v_template)), np.float32)
        picked[np.arange(len(picked)), landmarks.vertex_ids] = 1
        regressors = np.concatenate([picked, landmarks.regressors.astype(np.float32)])
        needed = np.flatnonzero(regressors.any(axis=0))
        buffers = {
            "landmark_vertices": torch.from_numpy(needed),  # (N,) vertex numbers
            "landmark_regressors": torch.from_numpy(regressors[:, needed]),  # (21 + 45, N)
        }
        for key, tensor in buffers.items():
            self.register_buffer(key, tensor, persistent=False)
        self.register_buffer("faces", torch.from_numpy(arrays.f), persistent=False)
        self.register_buffer(
            "face_parts", torch.from_numpy(landmarks.face_parts.astype(np.uint8)), persistent=False
        )
        self.identity = {
            "name": name,
            "gender": gender,
            "vertices": len(arrays.v_template),
            "faces": len(arrays.f),
            "hash": _hash_of(arrays, landmarks),
        }

    @classmethod
    def load(
        cls, body: str = "open", gender: str = "neutral", additional: Path = ADDITIONAL
    ) -> "BodyModel":
        """Loads a body by name.

        Args:
            body: "open", the body shipped with the project, or "smpl", the licensed files.
            gender: one of `GENDERS`.
            additional: folder with the body-model files, laid out as README.md shows.

        Raises:
            InputError: unknown name or gender; a file is missing or does not fit the others.
        """
        check_body_name(body)
        if gender not in GENDERS:
            raise InputError(f"unknown gender {gender!r}; expected one of {', '.join(GENDERS)}")
        if body == "smpl":
            arrays = read_smpl_file(find_licensed_model(additional, gender))
            return cls(arrays, read_smpl_landmarks(additional, arrays), body, gender)
        folder = additional / OPEN_BODY.name
        arrays = read_smpl_file(folder / f"OPEN_{gender.upper()}.npz")
        return cls(arrays, read_open_landmarks(folder / "landmarks.npz"), body, gender)

    def forward(self, betas: Tensor, pose_rotmats: Tensor) -> BodyOutput:
        """Poses the body.

        Args:
            betas: (B, 10) shape.
            pose_rotmats: (B, 24, 3, 3) joint rotations, the root's first.

        Returns:
            Vertices and joints, in the frame that the root rotation leads to, metres.
        """
        vertices, skeleton, tpose_vertices, transforms = self.skinning(betas, pose_rotmats)
        needed = vertices.mT.index_select(2, self.landmark_vertices)  # (B, 3, N)
        landmarks = needed @ self.landmark_regressors.T  # (B, 3, 21 + 45)
        joints3d = torch.cat([skeleton, landmarks.mT], dim=1)
        return BodyOutput(vertices, joints3d, tpose_vertices, transforms)

    def reduced_to(self, vertex_ids: Tensor) -> "BodyModel":
        """The same body with few of its vertices and no faces; all 90 joints stay exact.

        Args:
            vertex_ids: (N,) vertex numbers, each once, all `landmark_vertices` among them.
        """
        reduced = copy.deepcopy(self)
        reduced.skinning = self.skinning.reduced_to(vertex_ids)
        matches = self.landmark_vertices[:, None] == vertex_ids
        if not matches.any(dim=1).all():
            raise ValueError("a reduced body must keep the landmark vertices")
        reduced.landmark_vertices = matches.int().argmax(dim=1)
        reduced.faces, reduced.face_parts = self.faces[:0], self.face_parts[:0]
        return reduced

    def tpose(self, betas: Tensor) -> Tensor:
        """Vertices in the T-pose: shape alone, no skinning; (B, 10) to (B, V, 3) metres."""
        return self.skinning.shape(betas)


def check_body_name(body: str) -> None:
    """Raises InputError for a body that is not one of `BODIES`."""
    if body not in BODIES:
        raise InputError(f"unknown body {body!r}; expected one of {', '.join(BODIES)}")


def read_mean_parameters(body: str = "open", additional: Path = ADDITIONAL) -> MeanParameters:
    """Reads the mean pose and shape at which the regressor starts.

    Args:
        body: one of `BODIES`.
        additional: folder with the body-model files.

    Raises:
        InputError: unknown body; the file is missing, unreadable or has other shapes.
    """
    check_body_name(body)
    folder = additional / OPEN_BODY.name if body == "open" else additional
    path = folder / "neutral_smpl_mean_params_6dpose.npz"
    content = read_arrays(path, ("pose", "shape"))
    for key, size in (("pose", POSE_DIMS), ("shape", NUM_BETAS)):
        if content[key].shape != (size,):
            raise InputError(f"{path}: {key} has shape {content[key].shape}, expected ({size},)")
    pose, shape = (torch.from_numpy(content[key].astype(np.float32)) for key in ("pose", "shape"))
    return MeanParameters(pose, shape)


def _check_landmarks(arrays: SmplArrays, landmarks: Landmarks) -> None:
    vertices, faces = len(arrays.v_template), len(arrays.f)
    rows = len(EXTRA_JOINTS) + len(COCOPLUS_JOINTS) + len(H36M_JOINTS)
    expected = {
        "regressors": (rows, vertices),
        "vertex_ids": (len(PICKED_JOINTS),),
        "face_parts": (faces,),
    }
    for key, shape in expected.items():
        found = getattr(landmarks, key).shape
        if found != shape:
            raise InputError(
                f"the body model's {key} have shape {found}, expected {shape} for a body of "
                f"{vertices} vertices and {faces} faces; the files do not belong together"
            )
    if landmarks.vertex_ids.min() < 0 or landmarks.vertex_ids.max() >= vertices:
        raise InputError(f"the body model's vertex_ids are not all within 0..{vertices - 1}")
    if landmarks.face_parts.min() < 1 or landmarks.face_parts.max() >= len(PARTS):
        raise InputError(f"the body model's face_parts are not all within 1..{len(PARTS) - 1}")


def _hash_of(arrays: SmplArrays, landmarks: Landmarks) -> str:
    """A short hash of every number that a prediction depends on."""
    digest = hashlib.sha256()
    for array in (*arrays, *landmarks):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
