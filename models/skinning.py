"""Linear blend skinning: shape and pose in, vertices and skeleton joints out.

Loper et al., "SMPL: A Skinned Multi-Person Linear Model", SIGGRAPH Asia 2015. The same numbers as
`smplx` (a test compares them), in a third of its time: joints come from betas without the mesh, the
kinematic tree is walked by levels, and blended transforms are applied without homogeneous vertices.
"""

import torch
from torch import Tensor, nn

from models.smpl_files import SmplArrays


class Skinning(nn.Module):
    """The body of SMPL's files as batched tensor code, with gradients.

    Args:
        arrays: the model's arrays; V vertices, K joints.
    """

    def __init__(self, arrays: SmplArrays):
        """Precomputes what does not depend on the person."""
        super().__init__()
        template, shapedirs = (
            torch.from_numpy(arrays.v_template),
            torch.from_numpy(arrays.shapedirs),
        )
        regressor = torch.from_numpy(arrays.J_regressor)
        parents = arrays.kintree_table[0].tolist()
        levels = _levels(parents)
        order = [joint for level in levels for joint in level]
        buffers = {
            "v_template": template,  # (V, 3)
            "shapedirs": shapedirs.flatten(0, 1).T.contiguous(),  # (10, V * 3)
            "posedirs": torch.from_numpy(arrays.posedirs).flatten(0, 1).T.contiguous(),
            "weights": torch.from_numpy(arrays.weights),  # (V, K)
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
        self.level_sizes = [len(level) for level in levels]
        for number in range(1, len(levels)):
            places = [levels[number - 1].index(parents[joint]) for joint in levels[number]]
            self.register_buffer(
                f"parents_of_level_{number}", torch.tensor(places), persistent=False
            )

    def shape(self, betas: Tensor) -> Tensor:
        """Vertices in the T-pose: (B, 10) to (B, V, 3) metres."""
        shaped = torch.addmm(self.v_template.flatten(), betas, self.shapedirs)
        return shaped.unflatten(1, (-1, 3))

    def forward(self, betas: Tensor, pose_rotmats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shapes and poses a batch of bodies.

        Args:
            betas: (B, 10).
            pose_rotmats: (B, K, 3, 3), the root's first.

        Returns:
            Vertices (B, V, 3), joints (B, K, 3), and vertices in the T-pose (B, V, 3); metres.
        """
        tpose = self.shape(betas)
        joints = self.j_template + torch.einsum("kcb,nb->nkc", self.j_shapedirs, betas)
        pose_feature = (pose_rotmats[:, 1:] - self.identity).flatten(1)  # (B, 9 (K - 1))
        corrected = torch.addmm(tpose.flatten(1), pose_feature, self.posedirs)
        corrected = corrected.unflatten(1, (-1, 3))

        transforms = self._transforms_of_joints(joints, pose_rotmats)  # (B, K, 4, 4)
        rotations, places = transforms[:, :, :3, :3], transforms[:, :, :3, 3]
        shifts = places - (rotations @ joints[..., None])[..., 0]
        affine = torch.cat([rotations, shifts[..., None]], dim=-1)  # (B, K, 3, 4)
        # At most 4 of a vertex's 24 weights are not zero, but a sparse product takes as long here.
        blended = (self.weights @ affine.flatten(2)).unflatten(2, (3, 4))  # (B, V, 3, 4)
        vertices = blended[..., 3]
        for axis in range(3):
            vertices = torch.addcmul(vertices, blended[..., axis], corrected[..., axis, None])
        return vertices, places, tpose

    def _transforms_of_joints(self, joints: Tensor, pose_rotmats: Tensor) -> Tensor:
        """(B, K, 4, 4) from each joint's frame to the body's, level by level from the root."""
        bones = torch.cat([joints[:, :1], (joints - joints[:, self.parents])[:, 1:]], dim=1)
        local = torch.cat([pose_rotmats, bones[..., None]], dim=-1)
        last_row = self.last_row.expand(*local.shape[:2], 1, 4)
        local = torch.cat([local, last_row], dim=2)[:, self.by_level]
        levels = list(local.split(self.level_sizes, dim=1))
        for number in range(1, len(levels)):
            parents = getattr(self, f"parents_of_level_{number}")
            levels[number] = levels[number - 1][:, parents] @ levels[number]
        return torch.cat(levels, dim=1)[:, self.from_level]


def _levels(parents: list[int]) -> list[list[int]]:
    """Joints by their distance from the root, whose number is 0."""
    levels = [[0]]
    while True:
        below = [joint for joint, parent in enumerate(parents) if joint and parent in levels[-1]]
        if not below:
            return levels
        levels.append(below)
