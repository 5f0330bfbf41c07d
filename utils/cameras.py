"""Cameras and the pixel convention.

Camera frame: x right, y down, z away from the camera; metres. Pixels: x right, y down, continuous;
pixel i covers [i, i + 1), so its centre is at i + 0.5 and an image of width W spans [0, W].
Normalised image coordinates run over the same span from -1 to 1.
"""

import torch
from torch import Tensor

BODY_DISTANCE = 42.0  # metres, the mean of training: the perspective that the network knows
SMALLEST_SCALE = 1e-2  # of a weak-perspective camera; one further away pictures nobody


def norm_to_pixels(points_norm: Tensor, size: int) -> Tensor:
    """Pixels of normalised coordinates in a square image: -1 is the left edge, 1 the right edge."""
    return (points_norm + 1) * (size / 2)


def pixels_to_norm(points_px: Tensor, size: int) -> Tensor:
    """Normalised coordinates of pixels in a square image, the inverse of `norm_to_pixels`."""
    return points_px * (2 / size) - 1


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
        cam_wp: (B, 3) scale, tx, ty; scales below `SMALLEST_SCALE` are raised to it.
        crops: (B, 3) centre x, centre y, side in pixels of the picture that the result is for.

    Returns:
        (B, 3) translation in metres and (B, 3, 3) intrinsics in pixels.
    """
    scale_px = cam_wp[:, :1].clamp(min=SMALLEST_SCALE) * crops[:, 2:] / 2  # (B, 1) px per metre
    focal_px = scale_px * BODY_DISTANCE
    cam_k = torch.diag_embed(torch.cat([focal_px, focal_px, torch.ones_like(focal_px)], dim=1))
    cam_k[:, :2, 2] = crops[:, :2]
    cam_t = torch.cat([cam_wp[:, 1:], torch.full_like(scale_px, BODY_DISTANCE)], dim=1)
    return cam_t, cam_k
