"""The square crop around a person: one implementation for synthesis and for photos.

A crop is (centre x, centre y, side) in pixels of the source image. It is cut out without
stretching; what lies outside the source image is background.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.cameras import project_perspective
from utils.constants import constant

CROP_SCALE = 1.2  # side of the crop over the longer side of the person's tight box


def boxes_of_points(points_px: Tensor) -> Tensor:
    """Tight boxes (x0, y0, x1, y1) of point sets.

    Args:
        points_px: (B, N, 2) pixels.

    Returns:
        (B, 4) pixels.
    """
    # Coordinate by coordinate in one piece each, and twice: several times faster than aminmax.
    planes = points_px.mT.contiguous()
    return torch.cat([planes.amin(dim=-1), planes.amax(dim=-1)], dim=-1)


def boxes_of_bodies(vertices_cam: Tensor, cam_k: Tensor) -> Tensor:
    """Tight boxes (x0, y0, x1, y1) around what a pinhole camera sees of point sets.

    The same as projecting all the points, without projecting them: their extremes are enough.

    Args:
        vertices_cam: (B, N, 3) metres, camera frame, z > 0.
        cam_k: (3, 3) or (B, 3, 3) intrinsics without skew, pixels.

    Returns:
        (B, 4) pixels.
    """
    slopes = vertices_cam[..., :2] / vertices_cam[..., 2:]
    corners = boxes_of_points(slopes).unflatten(1, (2, 2))  # (B, 2, 2)
    corners = torch.cat([corners, torch.ones_like(corners[..., :1])], dim=-1)
    return project_perspective(corners, cam_k).flatten(1)


def boxes_of_silhouettes(silhouettes: Tensor) -> Tensor:
    """Tight boxes (x0, y0, x1, y1) of masks, on pixel edges.

    Args:
        silhouettes: (B, H, W) bool.

    Returns:
        (B, 4) float pixels; a lone pixel i gives x0 = i and x1 = i + 1; an empty mask gives an
        inside-out box (x1 < x0).
    """
    spans = []
    for occupied in (silhouettes.any(dim=1), silhouettes.any(dim=2)):  # columns, then rows
        index = torch.arange(occupied.shape[1], device=occupied.device, dtype=torch.float32)
        far = torch.full_like(index, float(occupied.shape[1]))
        low = torch.where(occupied, index, far).amin(dim=1)
        high = torch.where(occupied, index + 1, torch.zeros_like(index)).amax(dim=1)
        spans.append((low, high))
    (x0, x1), (y0, y1) = spans
    return torch.stack([x0, y0, x1, y1], dim=-1)


def square_crops(boxes: Tensor, scale: Tensor | float = CROP_SCALE, shift: Tensor | float = 0.0):
    """Square crops around tight boxes.

    Args:
        boxes: (B, 4) tight boxes (x0, y0, x1, y1), pixels.
        scale: (B,) or a number: side of the crop over the longer side of the box.
        shift: (B, 2) or a number: pixels added to the centre.

    Returns:
        (B, 3) crops (centre x, centre y, side), pixels.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    centre = (low + high) / 2 + shift
    side = (high - low).amax(dim=-1) * scale
    return torch.cat([centre, side[:, None]], dim=-1)


def points_to_crops(points_px: Tensor, crops: Tensor, size: int) -> Tensor:
    """Source pixels to pixels of the size x size crop.

    Args:
        points_px: (B, N, 2) pixels of the source image.
        crops: (B, 3).
        size: side of the crop in its own pixels.

    Returns:
        (B, N, 2) pixels of the crop.
    """
    corner, side = crops[:, None, :2] - crops[:, None, 2:] / 2, crops[:, None, 2:]
    return (points_px - corner) * (size / side)


def points_from_crops(points_crop_px: Tensor, crops: Tensor, size: int) -> Tensor:
    """Pixels of the crop to source pixels, the inverse of `points_to_crops`."""
    corner, side = crops[:, None, :2] - crops[:, None, 2:] / 2, crops[:, None, 2:]
    return points_crop_px * (side / size) + corner


def crop_intrinsics(cam_k: Tensor, crops: Tensor, size: int) -> Tensor:
    """Intrinsics with which a pinhole camera renders straight into the crop.

    Args:
        cam_k: (3, 3) or (B, 3, 3) intrinsics of the source image, pixels.
        crops: (B, 3).
        size: side of the crop in its own pixels.

    Returns:
        (B, 3, 3).
    """
    zoom = size / crops[:, 2]
    to_crop = torch.zeros(len(crops), 3, 3, dtype=crops.dtype, device=crops.device)
    to_crop[:, 0, 0] = to_crop[:, 1, 1] = zoom
    to_crop[:, :2, 2] = (crops[:, 2:] / 2 - crops[:, :2]) * zoom[:, None]
    to_crop[:, 2, 2].fill_(1)
    return to_crop @ cam_k


def cut_silhouettes(silhouettes: Tensor, crops: Tensor, size: int) -> Tensor:
    """Silhouettes sampled at the pixel centres of the crop, as a renderer samples a body.

    Args:
        silhouettes: (B, H, W) bool masks of the source images.
        crops: (B, 3).
        size: side of the crop in its own pixels.

    Returns:
        (B, size, size) bool; outside the source image is background.
    """
    height, width = silhouettes.shape[1:]
    centres = torch.arange(size, dtype=crops.dtype, device=crops.device) + 0.5
    grid_y, grid_x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack([grid_x, grid_y], dim=-1).flatten(0, 1)  # (size * size, 2)
    source_px = points_from_crops(points.expand(len(crops), -1, -1), crops, size)
    grid = (source_px * (2 / constant((width, height), crops.device)) - 1).unflatten(
        1, (size, size)
    )
    values = F.grid_sample(
        silhouettes[:, None].to(crops.dtype), grid, mode="bilinear", align_corners=False
    )
    return values[:, 0] > 0.5
