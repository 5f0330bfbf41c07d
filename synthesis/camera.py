"""Random camera, frame and crop: drawn apart from being applied."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from synthesis.options import AugmentationOptions
from utils.proxy import REFERENCE_SIZE
from utils.tensors import (
    constant,
    happens,
    normal,
    uniform,
)

# Where in [0, 1) the sides of the frame lie, in proportion to how often they cut: left, top, right,
# bottom.
_CUT_PLACES = (0.0, 0.2, 0.3, 0.5, 1.0)


class NearCamera(NamedTuple):
    """Cameras that stand near people, where perspective shows."""

    near: Tensor  # (B,) bool, whom
    distance: Tensor  # (B,) metres


class CropVariation(NamedTuple):
    """How a crop departs from the standard one."""

    scale: Tensor  # (B,) added to the crop scale
    shift: Tensor  # (B, 2) of the crop's side, added to the centre


def draw_camera_shift(options: AugmentationOptions, batch: int, generator: Generator) -> Tensor:
    """(B, 3) metres to add to the mean camera translation."""
    shift = normal((batch, 3), generator) * options.cam_xy_std
    shift[:, 2] = uniform((batch,), options.cam_z_range, generator)
    return shift


def draw_near_camera(options: AugmentationOptions, batch: int, generator: Generator) -> NearCamera:
    """Who is pictured from nearby, and from how far; the inverse of the distance is uniform."""
    near = happens((batch,), options.near, generator)
    least, most = options.near_distances
    middle, half = (1 / least + 1 / most) / 2, (1 / least - 1 / most) / 2
    return NearCamera(near, 1 / (middle + uniform((batch,), half, generator)))


def apply_near_camera(cam_t: Tensor, camera: NearCamera) -> Tensor:
    """Brings the near cameras to their distance: (B, 3) metres from camera to body."""
    return torch.cat(
        [cam_t[:, :2], torch.where(camera.near, camera.distance, cam_t[:, 2])[:, None]], dim=1
    )


def draw_crop_variation(
    options: AugmentationOptions, batch: int, generator: Generator
) -> CropVariation:
    """Random scale and position of the crop."""
    scale = uniform((batch,), options.crop_scale_range, generator)
    shift = uniform((batch, 2), options.crop_shift / REFERENCE_SIZE, generator)
    return CropVariation(scale, shift)


def draw_truncation(options: AugmentationOptions, batch: int, generator: Generator) -> Tensor:
    """How much of the person each side of the frame cuts off.

    One side cuts at a time. The bottom cuts most often: photos from the knees, hips or chest up are
    what people take.

    Returns:
        (B, 4) shares of the person's box cut off at left, top, right and bottom.
    """
    place = torch.rand((batch, 1), generator=generator, device=generator.device)
    start, end = (constant(_CUT_PLACES[which], place.device) for which in (slice(4), slice(1, 5)))
    side = (place >= start) & (place < end)  # (B, 4), true once
    amount = torch.rand(batch, generator=generator, device=generator.device)
    amount = amount * options.truncate_most * happens((batch,), options.truncate, generator)
    return side * amount[:, None]


def apply_truncation(boxes: Tensor, truncation: Tensor) -> Tensor:
    """Cuts boxes (B, 4) x0, y0, x1, y1 by the shares (B, 4) of `draw_truncation`."""
    extent = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + constant((1, 1, -1, -1), boxes.device) * truncation * extent
