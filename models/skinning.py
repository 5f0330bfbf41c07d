"""Linear blend skinning: shape and pose in, vertices and skeleton joints out.

Loper et al., "SMPL: A Skinned Multi-Person Linear Model", SIGGRAPH Asia 2015. The same numbers as
`smplx` (a test compares them), in a fraction of its time: joints come from betas without the mesh,
the kinematic tree is walked by levels, and vertices are computed as three planes of x, y and z, so
that every product is one large matrix product and every other operation runs along whole planes.
"""

import copy

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from kernels import skinning_numba
from kernels.threads import in_threads
from models.smpl_files import SmplArrays

MAX_DENSITY = 0.1  # share of a matrix that may be set for a sparse product to be the faster one


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
            "shapedirs": _to_planes(shapedirs),  # (10, 3 * V)
            "posedirs": _to_planes(torch.from_numpy(arrays.posedirs)),  # (9 (K - 1), 3 * V)
            "weights": weights,  # (V, K)
            "bones": bones,  # (V, M), those of each vertex
            "bone_weights": bone_weights,  # (V, M)
            "j_template": regressor @ template,  # (K, 3)
            "j_shapedirs": torch.einsum("kv,vcb->kcb", regressor, shapedirs),  # (K, 3, 10)
            "parents": torch.tensor([0, *parents[1:]]),  # the root stands for its own parent
            "by_level": torch.tensor(order),
            "from_level": torch.argsort(torch.tensor(order)),
            "last_row": torch.tensor([0.0, 0.0, 0.0, 1.0]),
            "identity": torch.eye(3),
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)
        self._sparse_posedirs = _make_sparse(self.posedirs)
        self.level_sizes = [len(level) for level in levels]
        for number in range(1, len(levels)):
            places = [levels[number - 1].index(parents[joint]) for joint in levels[number]]
            self.register_buffer(
                f"parents_of_level_{number}", torch.tensor(places), persistent=False
            )

    def shape(self, betas: Tensor) -> Tensor:
        """Vertices in the T-pose: (B, 10) to (B, V, 3) metres."""
        return self._shaped_planes(betas).unflatten(1, (3, -1)).mT

    def reduce_to(self, vertex_ids: Tensor) -> "Skinning":
        """The same body with some of its vertices alone: (N,) vertex numbers; joints stay exact."""
        reduced = copy.deepcopy(self)
        for name in ("template", "shapedirs", "posedirs"):
            planes = getattr(self, name).unflatten(-1, (3, -1))
            setattr(reduced, name, planes[..., vertex_ids].flatten(-2).contiguous())
        for name in ("weights", "bones", "bone_weights"):
            setattr(reduced, name, getattr(self, name)[vertex_ids])
        reduced._sparse_posedirs = _make_sparse(reduced.posedirs)
        return reduced

    def forward(self, betas: Tensor, pose_rotmats: Tensor) -> tuple[Tensor, ...]:
        """Shapes and poses a batch of bodies.

        Args:
            betas: (B, 10).
            pose_rotmats: (B, K, 3, 3), the root's first.

        Returns:
            Vertices (B, V, 3), joints (B, K, 3), and vertices in the T-pose (B, V, 3); metres. The
            vertices' x, y and z each lie in one piece in memory. Last the bones' affine matrices
            (B, K, 3, 4), see `bone_transforms`.
        """
        tpose = self._shaped_planes(betas)  # (B, 3 * V)
        affine, places = self.bone_transforms(betas, pose_rotmats)
        pose_feature = (pose_rotmats[:, 1:] - self.identity).flatten(1)  # (B, 9 (K - 1))
        needs_gradients = tpose.requires_grad or affine.requires_grad
        fast = tpose.device.type == "cpu" and tpose.dtype == torch.float32 and not needs_gradients
        pose = self._pose_on_cpu if fast else self._pose_anywhere
        vertices = pose(tpose, pose_feature, affine)  # (B, 3, V)
        return vertices.mT, places, tpose.unflatten(1, (3, -1)).mT, affine

    def bone_transforms(self, betas: Tensor, pose_rotmats: Tensor) -> tuple[Tensor, Tensor]:
        """What moves each bone from the T-pose to the pose.

        Args:
            betas: (B, 10).
            pose_rotmats: (B, K, 3, 3), the root's first.

        Returns:
            Affine matrices (B, K, 3, 4) and the posed joints (B, K, 3), metres.
        """
        joints = self.j_template + torch.einsum("kcb,nb->nkc", self.j_shapedirs, betas)
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
        if self._sparse_posedirs is None:
            corrected = torch.addmm(tpose, pose_feature, self.posedirs)
        else:
            corrected = tpose.clone()
        vertices = torch.empty_like(corrected).unflatten(1, (3, -1))
        rows, source, target = (
            corrected.numpy(),
            corrected.view_as(vertices).numpy(),
            vertices.numpy(),
        )
        features, transforms = pose_feature.numpy(), affine.flatten(2).numpy()
        bones, weights = self.bones.numpy(), self.bone_weights.numpy()

        def pose_piece(piece: slice) -> None:
            if self._sparse_posedirs is not None:
                skinning_numba.correct(rows[piece], features[piece], *self._sparse_posedirs)
            skinning_numba.skin(source[piece], transforms[piece], bones, weights, target[piece])

        in_threads(pose_piece, len(vertices))
        return vertices

    def _shaped_planes(self, betas: Tensor) -> Tensor:
        """(B, 3 * V) metres: x of all vertices in the T-pose, then y, then z."""
        return torch.addmm(self.template, betas, self.shapedirs)

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


def _to_planes(directions: Tensor) -> Tensor:
    """Blend shapes (V, 3, N) as the rows of a matrix (N, 3 * V), x of all vertices first."""
    return directions.permute(2, 1, 0).flatten(1).contiguous()


def _make_sparse(matrix: Tensor) -> tuple[np.ndarray, ...] | None:
    """A matrix's transpose for `skinning_numba.correct`, if hardly any of it is set."""
    if matrix.count_nonzero() > MAX_DENSITY * matrix.numel():
        return None
    transposed = scipy.sparse.csr_matrix(matrix.T.cpu().numpy())
    rows = np.flatnonzero(np.diff(transposed.indptr)).astype(np.int32)
    starts = np.append(transposed.indptr[rows], transposed.indptr[-1])
    return rows, starts, transposed.indices, transposed.data


def _sort_by_level(parents: list[int]) -> list[list[int]]:
    """Joints by their distance from the root, whose number is 0."""
    levels = [[0]]
    while True:
        below = [joint for joint, parent in enumerate(parents) if joint and parent in levels[-1]]
        if not below:
            return levels
        levels.append(below)
