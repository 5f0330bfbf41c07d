"""The body model: betas and pose in, vertices and 90 joints out, by linear blend skinning.

Loper et al., "SMPL: A Skinned Multi-Person Linear Model", SIGGRAPH Asia 2015. The same numbers as
`smplx` (a test compares them), in a fraction of its time: joints come from betas without the mesh,
the kinematic tree is walked by levels, and vertices are computed as three planes of x, y and z, so
that every product is one large matrix product and every other operation runs along whole planes.
"""

import copy
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kernels import skinning_numba
from models.landmarks import (
    Landmarks,
    read_arrays,
    read_open_landmarks,
    read_shape_details,
    read_smpl_landmarks,
)
from models.smpl_files import SmplArrays, find_licensed_model, read_smpl_file
from utils.conventions import NUM_BETAS
from utils.errors import InputError
from utils.joints import COCOPLUS_JOINTS, EXTRA_JOINTS, H36M_JOINTS, PARTS, PICKED_JOINTS
from utils.paths import ADDITIONAL, OPEN_BODY, SHAPE_DETAILS

BODIES = ("open", "smpl")
GENDERS = ("neutral", "male", "female")
POSE_DIMS = 24 * 6


class BodyOutput(NamedTuple):
    """A posed body."""

    vertices: Tensor  # (B, V, 3) metres
    joints3d: Tensor  # (B, 90, 3) metres, `utils.joints.BODY_MODEL_JOINTS` order
    vertices_tpose: Tensor  # (B, V, 3) metres, the same shape in the T-pose, y up
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
            "hash": _hash_body(arrays, landmarks),
        }

    @classmethod
    def load(
        cls,
        body: str = "open",
        gender: str = "neutral",
        additional: Path = ADDITIONAL,
        details: bool = True,
    ) -> "BodyModel":
        """Loads a body by name.

        Args:
            body: "open", the body shipped with the project, or "smpl", the licensed files.
            gender: one of `GENDERS`.
            additional: folder with the body-model files, laid out as README.md shows.
            details: whether the open neutral body has its shape details as further betas.

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
        model = cls(arrays, read_open_landmarks(folder / "landmarks.npz"), body, gender)
        if gender == "neutral" and details:
            path = folder / SHAPE_DETAILS.name
            model.skinning.add_shapes(read_shape_details(path, model.identity["hash"]))
        return model

    @property
    def num_betas(self) -> int:
        """How many betas it takes at most: ten, and shape details where it has any."""
        return len(self.skinning.shapedirs)

    def forward(
        self, betas: Tensor, pose_rotmats: Tensor, offsets: Tensor | None = None
    ) -> BodyOutput:
        """Poses the body.

        Args:
            betas: (B, N) shape, N up to `num_betas`; those left out are 0.
            pose_rotmats: (B, 24, 3, 3) joint rotations, the root's first.
            offsets: (B, V, 3) metres, by which the T-posed bodies depart from what betas tell.

        Returns:
            Vertices and joints, in the frame that the root rotation leads to, metres.
        """
        vertices, skeleton, vertices_tpose, transforms = self.skinning(betas, pose_rotmats, offsets)
        needed = vertices.mT.index_select(2, self.landmark_vertices)  # (B, 3, N)
        landmarks = needed @ self.landmark_regressors.T  # (B, 3, 21 + 45)
        joints3d = torch.cat([skeleton, landmarks.mT], dim=1)
        return BodyOutput(vertices, joints3d, vertices_tpose, transforms)

    def reduce_to(self, vertex_ids: Tensor) -> "BodyModel":
        """The same body with few of its vertices, without faces; all 90 joints stay exact.

        Args:
            vertex_ids: (N,) vertex numbers, each once, all `landmark_vertices` among them.
        """
        reduced = copy.deepcopy(self)
        reduced.skinning = self.skinning.reduce_to(vertex_ids)
        matches = self.landmark_vertices[:, None] == vertex_ids
        if not matches.any(dim=1).all():
            raise ValueError("a reduced body must keep the landmark vertices")
        reduced.landmark_vertices = matches.int().argmax(dim=1)
        reduced.faces, reduced.face_parts = self.faces[:0], self.face_parts[:0]
        return reduced

    def tpose(self, betas: Tensor) -> Tensor:
        """Vertices in the T-pose: shape alone, no skinning; (B, N) betas to (B, V, 3) metres."""
        return self.skinning.shape(betas)

    def find_nearest_betas(self, vertices_tpose: Tensor, count: int = NUM_BETAS) -> Tensor:
        """The betas whose T-posed bodies come nearest, by least squares, wherever both stand.

        Args:
            vertices_tpose: (B, V, 3) metres.
            count: N, of the betas.

        Returns:
            (B, N) float32.
        """
        template = self.skinning.template.unflatten(0, (3, -1))
        wanted = vertices_tpose.mT.double() - template.double()  # (B, 3, V)
        directions = self.skinning.shapedirs[:count].unflatten(1, (3, -1)).double()  # (N, 3, V)
        wanted, directions = (
            (each - each.mean(dim=2, keepdim=True)).flatten(1) for each in (wanted, directions)
        )
        return torch.linalg.lstsq(directions.T, wanted.T).solution.T.float()


class Skinning(nn.Module):
    """The body of SMPL's files as batched tensor code, with gradients.

    Args:
        arrays: the model's arrays; V vertices, K joints.
    """

    def __init__(self, arrays: SmplArrays):
        super().__init__()
        template = torch.from_numpy(arrays.v_template)
        shapedirs = torch.from_numpy(arrays.shapedirs)
        regressor = torch.from_numpy(arrays.J_regressor)
        parents = arrays.kintree_table[0].tolist()
        weights = torch.from_numpy(arrays.weights)
        most_bones = int((weights != 0).sum(dim=1).max())
        bone_weights, bones = weights.topk(most_bones, dim=1)
        levels = _sort_by_level(parents)
        order = [joint for level in levels for joint in level]
        buffers = {
            "template": template.T.flatten(),  # (3 * V,)
            "shapedirs": _to_planes(shapedirs),  # (10 or more, 3 * V)
            "posedirs": _to_planes(torch.from_numpy(arrays.posedirs)),  # (9 (K - 1), 3 * V)
            "weights": weights,  # (V, K)
            "bones": bones,  # (V, M), those of each vertex
            "bone_weights": bone_weights,  # (V, M)
            "j_regressor": regressor,  # (K, V)
            "j_template": regressor @ template,  # (K, 3)
            "j_shapedirs": torch.einsum("kv,vcb->kcb", regressor, shapedirs),  # (K, 3, 10 or more)
            "parents": torch.tensor([0, *parents[1:]]),  # the root stands for its own parent
            "by_level": torch.tensor(order),
            "from_level": torch.argsort(torch.tensor(order)),
            "last_row": torch.tensor([0.0, 0.0, 0.0, 1.0]),
            "identity": torch.eye(3),
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)
        self._sparse_posedirs = skinning_numba.make_sparse(self.posedirs)
        self.level_sizes = [len(level) for level in levels]
        for number in range(1, len(levels)):
            places = [levels[number - 1].index(parents[joint]) for joint in levels[number]]
            self.register_buffer(
                f"parents_of_level_{number}", torch.tensor(places), persistent=False
            )

    def add_shapes(self, shapedirs: np.ndarray) -> None:
        """Takes (V, 3, M) more directions of shape, metres, which further betas tell."""
        directions = torch.from_numpy(shapedirs)
        moved = torch.einsum("kv,vcb->kcb", self.j_regressor, directions)
        self.shapedirs = torch.cat([self.shapedirs, _to_planes(directions)])
        self.j_shapedirs = torch.cat([self.j_shapedirs, moved], dim=2)

    def shape(self, betas: Tensor) -> Tensor:
        """Vertices in the T-pose: (B, N) betas to (B, V, 3) metres."""
        return self._shaped_planes(betas).unflatten(1, (3, -1)).mT

    def reduce_to(self, vertex_ids: Tensor) -> "Skinning":
        """The same body with some of its vertices alone: (N,) vertex numbers; joints stay exact."""
        reduced = copy.deepcopy(self)
        for name in ("template", "shapedirs", "posedirs"):
            planes = getattr(self, name).unflatten(-1, (3, -1))
            setattr(reduced, name, planes[..., vertex_ids].flatten(-2).contiguous())
        for name in ("weights", "bones", "bone_weights"):
            setattr(reduced, name, getattr(self, name)[vertex_ids])
        reduced.j_regressor = self.j_regressor[:, vertex_ids]
        reduced._sparse_posedirs = skinning_numba.make_sparse(reduced.posedirs)
        return reduced

    def forward(
        self, betas: Tensor, pose_rotmats: Tensor, offsets: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Shapes and poses a batch of bodies.

        Args:
            betas: (B, N).
            pose_rotmats: (B, K, 3, 3), the root's first.
            offsets: (B, V, 3) metres, added to the T-posed vertices; None for none.

        Returns:
            Vertices (B, V, 3), joints (B, K, 3), and vertices in the T-pose (B, V, 3); metres. The
            vertices' x, y and z each lie in one piece in memory. Last the bones' affine matrices
            (B, K, 3, 4), see `bone_transforms`.
        """
        tpose = self._shaped_planes(betas)  # (B, 3 * V)
        if offsets is not None:
            tpose = tpose + offsets.mT.flatten(1)
        affine, places = self.bone_transforms(betas, pose_rotmats, offsets)
        pose_feature = (pose_rotmats[:, 1:] - self.identity).flatten(1)  # (B, 9 (K - 1))
        needs_gradients = tpose.requires_grad or affine.requires_grad
        fast = tpose.device.type == "cpu" and tpose.dtype == torch.float32 and not needs_gradients
        pose = self._pose_on_cpu if fast else self._pose_anywhere
        vertices = pose(tpose, pose_feature, affine)  # (B, 3, V)
        return vertices.mT, places, tpose.unflatten(1, (3, -1)).mT, affine

    def bone_transforms(
        self, betas: Tensor, pose_rotmats: Tensor, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What moves each bone from the T-pose to the pose.

        Args:
            betas: (B, N).
            pose_rotmats: (B, K, 3, 3), the root's first.
            offsets: (B, V, 3) metres, added to the T-posed vertices; None for none.

        Returns:
            Affine matrices (B, K, 3, 4) and the posed joints (B, K, 3), metres.
        """
        directions = self.j_shapedirs[:, :, : betas.shape[1]]
        joints = self.j_template + torch.einsum("kcb,nb->nkc", directions, betas)
        if offsets is not None:
            joints = joints + self.j_regressor @ offsets
        transforms = self._transforms_of_joints(joints, pose_rotmats)  # (B, K, 4, 4)
        rotations, places = transforms[:, :, :3, :3], transforms[:, :, :3, 3]
        shifts = places - (rotations @ joints[..., None])[..., 0]
        return torch.cat([rotations, shifts[..., None]], dim=-1), places

    def _pose_anywhere(self, tpose: Tensor, pose_feature: Tensor, affine: Tensor) -> Tensor:
        """Planes of vertices (B, 3, V), corrected and moved by the bones' (B, K, 3, 4) matrices.

        At most 4 of a vertex's K weights are not zero, but a sparse product takes as long here.
        """
        corrected = torch.addmm(tpose, pose_feature, self.posedirs).unflatten(1, (3, -1))
        blended = affine.permute(0, 2, 3, 1).flatten(0, 2) @ self.weights.T  # (12 B, V)
        # Unbound, not picked one by one: the gradients of picks are mostly zeros, each added.
        *columns, vertices = blended.unflatten(0, (-1, 3, 4)).unbind(2)  # (B, 3, V) each
        for column, coordinate in zip(columns, corrected.unbind(1), strict=True):
            vertices = torch.addcmul(vertices, column, coordinate[:, None])
        return vertices

    def _pose_on_cpu(self, tpose: Tensor, pose_feature: Tensor, affine: Tensor) -> Tensor:
        """The same without gradients by compiled kernels, which skip what is zero."""
        posedirs = self._sparse_posedirs
        if posedirs is None:
            tpose = torch.addmm(tpose, pose_feature, self.posedirs)
        return skinning_numba.pose_vertices(
            tpose, pose_feature, posedirs, affine, self.bones, self.bone_weights
        )

    def _shaped_planes(self, betas: Tensor) -> Tensor:
        """(B, 3 * V) metres: x of all vertices in the T-pose, then y, then z."""
        return torch.addmm(self.template, betas, self.shapedirs[: betas.shape[1]])

    def _transforms_of_joints(self, joints: Tensor, pose_rotmats: Tensor) -> Tensor:
        """(B, K, 4, 4) from each joint's frame to the body's, level by level from the root."""
        # `index_select` and not brackets, whose gradients are sorted before they are added.
        relative = joints - joints.index_select(1, self.parents)
        bones = torch.cat([joints[:, :1], relative[:, 1:]], dim=1)
        local = torch.cat([pose_rotmats, bones[..., None]], dim=-1)
        last_row = self.last_row.expand(*local.shape[:2], 1, 4)
        local = torch.cat([local, last_row], dim=2).index_select(1, self.by_level)
        levels = list(local.split(self.level_sizes, dim=1))
        for number in range(1, len(levels)):
            parents = getattr(self, f"parents_of_level_{number}")
            levels[number] = levels[number - 1].index_select(1, parents) @ levels[number]
        return torch.cat(levels, dim=1).index_select(1, self.from_level)


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


def _hash_body(arrays: SmplArrays, landmarks: Landmarks) -> str:
    """A short hash of every number that a prediction depends on."""
    digest = hashlib.sha256()
    for array in (*arrays, *landmarks):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _to_planes(directions: Tensor) -> Tensor:
    """Blend shapes (V, 3, N) as the rows of a matrix (N, 3 * V), x of all vertices first."""
    return directions.permute(2, 1, 0).flatten(1).contiguous()


def _sort_by_level(parents: list[int]) -> list[list[int]]:
    """Joints by their distance from the root, whose number is 0."""
    levels = [[0]]
    while True:
        below = [joint for joint, parent in enumerate(parents) if joint and parent in levels[-1]]
        if not below:
            return levels
        levels.append(below)
