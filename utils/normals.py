"""Normals of meshes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted unit normals; the side they point to follows the faces' winding.

    Args:
        vertices: (V, 3).
        faces: (F, 3) int64.

    Returns:
        (V, 3); zero for a vertex without faces.
    """
    corners = vertices[faces]  # (F, 3, 3)
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = torch.zeros_like(vertices)
    summed.index_add_(0, faces.flatten(), normals.repeat_interleave(3, dim=0))
    return F.normalize(summed, dim=-1)
