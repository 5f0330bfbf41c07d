"""Errors of detectors, imitated on the proxy representation: drawn apart from being applied."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from synthesis.options import AugmentationOptions
from utils.joints import COCO17, PARTS
from utils.proxy import REFERENCE_SIZE
from utils.tensors import (
    constant,
    happens,
    uniform,
)


class Corruption(NamedTuple):
    """Detector errors of a batch; lengths are shares of the image's side."""

    removed_parts: Tensor  # (B, 7) bool, by `utils.joints.PARTS`
    boxes: Tensor  # (B, 4) x0, y0, x1, y1 cleared from the silhouette; zero area for none
    joint_shift: Tensor  # (B, 17, 2)
    dropped_joints: Tensor  # (B, 17) bool


def draw_corruption(options: AugmentationOptions, batch: int, generator: Generator) -> Corruption:
    """Draws the detector errors of a batch."""
    probabilities = (0.0, *(getattr(options, f"remove_{part}") for part in PARTS[1:]))
    removed = happens((batch, len(PARTS)), constant(probabilities, generator.device), generator)
    centre = 0.5 + uniform((batch, 2), options.occlude_centre / 2, generator)
    occluded = happens((batch, 1), options.occlude, generator)
    half = options.occlude_side / REFERENCE_SIZE / 2 * occluded
    shift = uniform((batch, len(COCO17), 2), options.joint_noise / REFERENCE_SIZE, generator)
    dropped = happens((batch, len(COCO17)), options.joint_dropout, generator)
    boxes = torch.cat([centre - half, centre + half], dim=1)
    if options.corrupt < 1 or options.detector != "published":
        affected = choose_published(options, batch, generator.device)
        removed, dropped = removed & affected[:, None], dropped & affected[:, None]
        boxes, shift = boxes * affected[:, None], shift * affected[:, None, None]
    return Corruption(removed, boxes, shift, dropped)


def count_errors(options: AugmentationOptions, batch: int) -> tuple[int, int]:
    """How many people of a batch have a detector's measured errors, and how many have any.

    The order of a batch means nothing: the first have measured errors, then come those with the
    published ones, and the last have none.
    """
    measured = 0 if options.detector == "published" else round(batch * options.detector_share)
    return measured, max(measured, round(batch * options.corrupt))


def choose_published(options: AugmentationOptions, batch: int, device: torch.device) -> Tensor:
    """(B,) bool: who has the published errors."""
    measured, any_errors = count_errors(options, batch)
    place = torch.arange(batch, device=device)
    return (place >= measured) & (place < any_errors)


def corrupted_silhouettes(part_segmentation: Tensor, corruption: Corruption) -> Tensor:
    """Silhouettes without the removed body parts and without what a box hides.

    Args:
        part_segmentation: (B, S, S) uint8 labels, `utils.joints.PARTS`.
        corruption: of the same batch.

    Returns:
        (B, S, S) bool.
    """
    size, device = part_segmentation.shape[-1], part_segmentation.device
    # One byte a person: bit n says whether part n stays. Background, bit 0, never does.
    bits = 2 ** torch.arange(len(PARTS), device=device)
    kept = ((~corruption.removed_parts[:, 1:]) * bits[1:]).sum(dim=1).to(torch.uint8)
    centres = (torch.arange(size, device=device) + 0.5) / size
    low, high = corruption.boxes[:, :2, None], corruption.boxes[:, 2:, None]
    seen = ((centres < low) | (centres >= high)).to(torch.uint8)  # (B, 2, S): in x, in y
    silhouettes = kept[:, None, None] >> part_segmentation
    silhouettes &= seen[:, 1, :, None] | seen[:, 0, None, :]  # 0 or 1, so the other bits go
    return silhouettes.view(torch.bool)


def corrupt_joints(
    joints2d_px: Tensor, visibility: Tensor, corruption: Corruption, size: int
) -> tuple[Tensor, Tensor]:
    """Moves joints and loses some.

    Args:
        joints2d_px: (B, 17, 2) pixels of the crop.
        visibility: (B, 17) bool.
        corruption: of the same batch.
        size: side of the crop in pixels.

    Returns:
        The corrupted joints and visibility, same shapes.
    """
    moved = joints2d_px + corruption.joint_shift * size
    return moved, visibility & ~corruption.dropped_joints
