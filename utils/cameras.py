"""Pixels, cameras, boxes and square crops; training and predicting share them.

Camera frame: x right, y down, z away from the camera; metres. Pixels: x right, y down, continuous;
pixel i covers [i, i + 1), so its centre is at i + 0.5 and an image of width W spans [0, W].
Normalised image coordinates run over the same span from -1 to 1.

A box is (x0, y0, x1, y1) in pixels. A crop is (centre x, centre y, side) in pixels of the source
image; it is cut out without stretching, and what lies outside the source image is background. A
crop that is stretched to a square, which `cut_crops` alone makes, has two sides: (centre x, centre
y, width, height).
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.conventions import CROP_SCALE
from utils.tensors import constant

BODY_DISTANCE = 42.0  # metres from the camera, the mean of training
MIN_SCALE = 1e-2  # of a weak-perspective camera; at less, a person is smaller than a pixel


def norm_to_pixels(points_norm: Tensor, size: int) -> Tensor:
    """Pixels of normalised coordinates in a square image: -1 is the left edge, 1 the right edge."""
    return (points_norm + 1) * (size / 2)


def pixels_to_norm(points_px: Tensor, size: int) -> Tensor:
    """Normalised coordinates of pixels in a square image, the inverse of `norm_to_pixels`."""
    return points_px * (2 / size) - 1


def inside_image(
    points_px: Tensor | np.ndarray, width: float | Tensor, height: float | Tensor
) -> Tensor | np.ndarray:
    """Which points lie in an image: on its left and upper edge yes, on the others no, NaN never.

    Args:
        points_px: (..., 2) pixels.
        width: of the image, pixels; a number or a tensor of shape (...).
        height: the same.

    Returns:
        (...) bool.
    """
    x, y = points_px[..., 0], points_px[..., 1]
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)


def project_weak_perspective(points3d: Tensor, cam_wp: Tensor) -> Tensor:
    """Scaled orthographic projection u = s (x + tx), v = s (y + ty).

    Args:
        points3d: (B, N, 3) metres, camera axes, body origin.
        cam_wp: (B, 3) scale s (1 / metre), tx, ty (metres).

    Returns:
        (B, N, 2) normalised image coordinates.
    """
    scale, shift = cam_wp[:, None, :1], cam_wp[:, None, 1:]
    return scale * (points3d[..., :2] + shift)


def fit_weak_perspective(points3d: Tensor, points_norm: Tensor) -> Tensor:
    """The weak-perspective camera that pictures points best, by least squares.

    Args:
        points3d: (B, N, 3) metres, camera axes, body origin; not all in one place.
        points_norm: (B, N, 2) where they are seen, normalised image coordinates.

    Returns:
        (B, 3) scale, tx, ty; see `project_weak_perspective`.
    """
    flat = points3d[..., :2]
    means = flat.mean(dim=1), points_norm.mean(dim=1)
    centred, seen = flat - means[0][:, None], points_norm - means[1][:, None]
    scale = (centred * seen).sum(dim=(1, 2)) / centred.square().sum(dim=(1, 2))
    return torch.cat([scale[:, None], means[1] / scale[:, None] - means[0]], dim=1)


def project_perspective(points3d_cam: Tensor, cam_k: Tensor) -> Tensor:
    """Pinhole projection.

    Args:
        points3d_cam: (B, N, 3) metres, camera frame, z > 0.
        cam_k: (B, 3, 3) intrinsics in pixels.

    Returns:
        (B, N, 2) pixels.
    """
    projected = points3d_cam @ cam_k.transpose(-1, -2)
    return projected[..., :2] / projected[..., 2:]


def perspective_intrinsics(focal_px: float, size: int, like: Tensor) -> Tensor:
    """(3, 3) intrinsics of a square image whose principal point is its centre."""
    cam_k = torch.eye(3, dtype=like.dtype, device=like.device)
    cam_k[0, 0] = cam_k[1, 1] = focal_px
    cam_k[0, 2] = cam_k[1, 2] = size / 2
    return cam_k


def weak_perspective_to_pinhole(cam_wp: Tensor, crops: Tensor) -> tuple[Tensor, Tensor]:
    """The pinhole camera that pictures a body as a crop's weak-perspective camera does.

    It stands `BODY_DISTANCE` away and looks along the axis through the crop's centre.

    Args:
        cam_wp: (B, 3) scale, tx, ty; scales below `MIN_SCALE` are raised to it.
        crops: (B, 3) centre x, centre y, side in pixels of the picture that the result is for.

    Returns:
        (B, 3) translation in metres and (B, 3, 3) intrinsics in pixels.
    """
    scale_px = cam_wp[:, :1].clamp(min=MIN_SCALE) * crops[:, 2:] / 2  # (B, 1) px per metre
    focal_px = scale_px * BODY_DISTANCE
    cam_k = torch.diag_embed(torch.cat([focal_px, focal_px, torch.ones_like(focal_px)], dim=1))
    cam_k[:, :2, 2] = crops[:, :2]
    cam_t = torch.cat([cam_wp[:, 1:], torch.full_like(scale_px, BODY_DISTANCE)], dim=1)
    return cam_t, cam_k


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


def cut_crops(crops: Tensor, size: int) -> Tensor:
    """Square crops without what lies outside a square image.

    Args:
        crops: (B, 3).
        size: of the image, pixels.

    Returns:
        (B, 4) crops (centre x, centre y, width, height), pixels; a pixel wide at least.
    """
    half = crops[:, 2:] / 2
    low = (crops[:, :2] - half).clamp(0, size - 1)
    extent = ((crops[:, :2] + half).clamp(max=size) - low).clamp(min=1)
    return torch.cat([low + extent / 2, extent], dim=1)


def points_to_crops(points_px: Tensor, crops: Tensor, size: int) -> Tensor:
    """Source pixels to pixels of the size x size crop.

    Args:
        points_px: (B, N, 2) pixels of the source image.
        crops: (B, 3), or (B, 4) where they are stretched.
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
        crops: (B, 3), or (B, 4) where they are stretched.
        size: side of the crop in its own pixels.

    Returns:
        (B, 3, 3).
    """
    zoom = size / crops[:, 2:]  # (B, 1), or along x and along y
    to_crop = torch.zeros(len(crops), 3, 3, dtype=crops.dtype, device=crops.device)
    to_crop[:, 0, 0], to_crop[:, 1, 1] = zoom[:, 0], zoom[:, -1]
    to_crop[:, :2, 2] = (crops[:, 2:] / 2 - crops[:, :2]) * zoom
    to_crop[:, 2, 2].fill_(1)
    return to_crop @ cam_k


def cut_silhouettes(
    silhouettes: Tensor, crops: Tensor, size: int, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """Silhouettes sampled at the pixel centres of the crop, as a renderer samples a body.

    Args:
        silhouettes: (B, H, W) bool masks of the source images.
        crops: (B, 3).
        size: side of the crop in its own pixels.
        mode: how the mask is read between its pixels' centres.

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
        silhouettes[:, None].to(crops.dtype), grid, mode=mode, align_corners=False
    )
    return values[:, 0] > 0.5
