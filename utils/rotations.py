"""Rotations as batched tensors: axis-angle, matrices and the continuous 6D form.

6D rotations (Zhou et al., "On the Continuity of Rotation Representations in Neural Networks",
CVPR 2019) are read here as a (3, 2) matrix, row-major: its two COLUMNS become the first two columns
of the rotation matrix. Other codebases read the six numbers as (2, 3) rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALL_ANGLE = 1e-4  # radians; below it the Taylor series is exact in float32


def skew(vectors: Tensor) -> Tensor:
    """Cross-product matrices: `skew(a) @ b == cross(a, b)`.

    Args:
        vectors: (..., 3).

    Returns:
        (..., 3, 3).
    """
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    return rows.unflatten(-1, (3, 3))


def axis_angle_to_rotmat(axis_angle: Tensor) -> Tensor:
    """Rotation matrices of axis-angle vectors (Rodrigues' formula).

    Args:
        axis_angle: (..., 3), axis times angle in radians; gradients are finite at zero.

    Returns:
        (..., 3, 3) rotation matrices.
    """
    squared = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = squared < _SMALL_ANGLE**2
    angle = torch.sqrt(torch.where(small, torch.ones_like(squared), squared))
    sine = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)
    cosine = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / angle**2)
    cross = skew(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + sine * cross + cosine * (cross @ cross)


def pose_to_rotmats(pose: Tensor) -> Tensor:
    """Joint rotations of a body's pose: (..., 3 J) axis-angle, rad, to (..., J, 3, 3) matrices."""
    return axis_angle_to_rotmat(pose.unflatten(-1, (-1, 3)))


def rotmat_to_axis_angle(rotmats: Tensor) -> Tensor:
    """Axis-angle vectors of rotation matrices, angle in [0, pi]; accurate at every angle.

    Args:
        rotmats: (..., 3, 3).

    Returns:
        (..., 3) radians.
    """
    quaternion = rotmat_to_quaternion(rotmats)
    vector = quaternion[..., 1:]
    norm = vector.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(norm, quaternion[..., :1])
    return vector * torch.where(norm < 1e-8, torch.full_like(norm, 2.0), angle / norm)


def rotmat_to_quaternion(rotmats: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z) of rotation matrices, w not negative.

    For each matrix the numerically largest component is picked, so that they are accurate at every
    angle, half turns included.

    Args:
        rotmats: (..., 3, 3).

    Returns:
        (..., 4).
    """
    m = rotmats
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)
    # Row k is 4 * q_k * (w, x, y, z); the row with the largest diagonal term is well conditioned.
    w = torch.stack(
        [
            1 + trace,
            m[..., 2, 1] - m[..., 1, 2],
            m[..., 0, 2] - m[..., 2, 0],
            m[..., 1, 0] - m[..., 0, 1],
        ],
        dim=-1,
    )
    x = torch.stack(
        [
            w[..., 1],
            1 + 2 * m[..., 0, 0] - trace,
            m[..., 0, 1] + m[..., 1, 0],
            m[..., 0, 2] + m[..., 2, 0],
        ],
        dim=-1,
    )
    y = torch.stack(
        [w[..., 2], x[..., 2], 1 + 2 * m[..., 1, 1] - trace, m[..., 1, 2] + m[..., 2, 1]], dim=-1
    )
    z = torch.stack([w[..., 3], x[..., 3], y[..., 3], 1 + 2 * m[..., 2, 2] - trace], dim=-1)
    candidates = torch.stack([w, x, y, z], dim=-2)  # (..., 4, 4)
    largest = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    quaternion = F.normalize(candidates.gather(-2, index).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_rotmat(quaternion: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z) (..., 4) to (..., 3, 3)."""
    w, x, y, z = quaternion.unbind(-1)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def average_rotations(first: Tensor, second: Tensor) -> Tensor:
    """The rotation halfway between two, (..., 3, 3) each; of opposite ones any such."""
    one, other = rotmat_to_quaternion(first), rotmat_to_quaternion(second)
    near = (one * other).sum(dim=-1, keepdim=True) >= 0
    return quaternion_to_rotmat(F.normalize(one + torch.where(near, other, -other), dim=-1))


def rotmat_to_rot6d(rotmats: Tensor) -> Tensor:
    """The first two columns of each matrix, (3, 2) row-major.

    Args:
        rotmats: (..., 3, 3).

    Returns:
        (..., 6).
    """
    return rotmats[..., :, :2].flatten(-2)


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """Rotation matrices of 6D rotations by Gram-Schmidt (Zhou et al. 2019, Eq. 15).

    Args:
        rot6d: (..., 6), read as (..., 3, 2): two column vectors.

    Returns:
        (..., 3, 3) rotation matrices.
    """
    first, second = rot6d.unflatten(-1, (3, 2)).unbind(-1)
    column1 = F.normalize(first, dim=-1)
    overlap = (column1 * second).sum(-1, keepdim=True)
    column2 = F.normalize(second - overlap * column1, dim=-1)
    column3 = torch.linalg.cross(column1, column2)
    return torch.stack([column1, column2, column3], dim=-1)
