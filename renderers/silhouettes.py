"""Silhouettes of estimated bodies."""

import torch
from torch import Tensor

from renderers.rasteriser import Rasteriser
from utils.cameras import weak_perspective_to_pinhole
from utils.tensors import constant


@torch.no_grad()
def regressed_silhouettes(vertices: Tensor, cam_wp: Tensor, rasteriser: Rasteriser) -> Tensor:
    """Silhouettes of estimated bodies as their weak-perspective cameras see them.

    Args:
        vertices: (B, V, 3) metres.
        cam_wp: (B, 3).
        rasteriser: of the body's faces, square.

    Returns:
        (B, S, S) bool.
    """
    size = rasteriser.image_size[0]
    whole = constant((size / 2, size / 2, float(size)), vertices.device).expand(len(vertices), -1)
    cam_t, cam_k = weak_perspective_to_pinhole(cam_wp, whole)
    return rasteriser.part_segmentation(vertices + cam_t[:, None], cam_k) > 0
