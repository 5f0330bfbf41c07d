"""The proxy representation: what the network sees, in training and in predicting alike."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.joints import COCO17

REFERENCE_SIZE = 256  # pixel-valued settings are given for crops of this side and scale with it
HEATMAP_STD = 4.0  # px at REFERENCE_SIZE
HEATMAP_RADIUS = 8.0  # px at REFERENCE_SIZE
PROXY_CHANNELS = 1 + len(COCO17)


def inside_image(joints2d_px: Tensor, size: int) -> Tensor:
    """Which points lie in a size x size image: (..., 2) pixels to (...) bool; NaN is outside."""
    return ((joints2d_px >= 0) & (joints2d_px < size)).all(dim=-1)


def make_heatmaps(joints2d_px: Tensor, visibility: Tensor, size: int) -> Tensor:
    """One Gaussian a joint: std 4 px, cut at 8 px, peak 1 (for a side of 256, else in proportion).

    Args:
        joints2d_px: (B, J, 2) pixels of the crop.
        visibility: (B, J) bool; an invisible joint gives an empty channel, and so does a joint
            outside the crop.
        size: side of the crop in pixels.

    Returns:
        (B, J, size, size) in the dtype of joints2d_px, sampled at pixel centres.
    """
    std = HEATMAP_STD * size / REFERENCE_SIZE
    centres = torch.arange(size, dtype=joints2d_px.dtype, device=joints2d_px.device) + 0.5
    present = visibility & inside_image(joints2d_px, size)
    # An absent joint goes far away, where the exponential is zero; this also removes NaNs.
    places = torch.where(present[..., None], joints2d_px, joints2d_px.new_tensor(-100.0 * size))
    profiles = torch.exp(-((centres - places[..., None]) ** 2) / (2 * std**2))  # (B, J, 2, size)
    heatmaps = profiles[:, :, 1, :, None] * profiles[:, :, 0, None, :]
    # The value at the cut radius: cutting by value is cutting by distance.
    floor = math.exp(-(HEATMAP_RADIUS**2) / (2 * HEATMAP_STD**2))
    return F.threshold_(heatmaps, floor, 0.0)


def make_proxy(silhouettes: Tensor, joints2d_px: Tensor, visibility: Tensor) -> Tensor:
    """The network's input: the silhouette, then one heatmap for each of the 17 COCO joints.

    Args:
        silhouettes: (B, S, S) bool masks of the square crop.
        joints2d_px: (B, 17, 2) pixels of the crop, COCO order.
        visibility: (B, 17) bool.

    Returns:
        (B, 18, S, S) in the dtype of joints2d_px.
    """
    heatmaps = make_heatmaps(joints2d_px, visibility, silhouettes.shape[-1])
    return torch.cat([silhouettes[:, None].to(heatmaps.dtype), heatmaps], dim=1)
