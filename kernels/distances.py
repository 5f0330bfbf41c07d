"""Signed distances of silhouettes: how far a place is from the outline, and on which side.

Exact Euclidean distances between pixel centres, less the half pixel to the outline between them, so
that a pixel beside the outline has +-0.5 px. Kept up to a limit: further away they say nothing that
matters, and a limited distance costs little.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from kernels.threads import in_threads
from kernels.triton_support import triton_problem

DISTANCE_LIMIT = 0.15  # of the crop's side


def signed_distances(silhouettes: Tensor) -> Tensor:
    """How far every pixel's centre is from the silhouette's outline.

    Args:
        silhouettes: (B, S, S) bool.

    Returns:
        (B, S, S) float32 in shares of the crop's side, negative inside, cut off at
        +-`DISTANCE_LIMIT`; an empty silhouette is far away everywhere.
    """
    if silhouettes.device.type == "cpu":
        return _measure_on_cpu(silhouettes)
    if silhouettes.device.type == "cuda" and triton_problem("cuda") is None:
        from kernels.distances_triton import limited_distances  # not everywhere installed

        return _measure_anywhere(silhouettes, limited_distances)
    return _measure_anywhere(silhouettes)


def _measure_anywhere(
    silhouettes: Tensor, limited_distances: Callable[[Tensor, int], Tensor] | None = None
) -> Tensor:
    """See `signed_distances`; `limited_distances` is `limited_distances_anywhere` or its like."""
    limited_distances = limited_distances or limited_distances_anywhere
    size = silhouettes.shape[-1]
    # Whole pixels that a distance within the limit can span.
    reach = math.ceil(DISTANCE_LIMIT * size + 0.5)
    outside = limited_distances(silhouettes, reach)
    inside = limited_distances(~silhouettes, reach)
    distances = torch.where(outside > 0, outside - 0.5, 0.5 - inside) / size
    return distances.clamp(-DISTANCE_LIMIT, DISTANCE_LIMIT)


def _measure_on_cpu(silhouettes: Tensor) -> Tensor:
    size = silhouettes.shape[-1]
    masks = silhouettes.contiguous().numpy().view(np.uint8)
    distances = torch.empty(silhouettes.shape)
    to = distances.numpy()

    def measure_piece(piece: slice) -> None:
        for mask, row in zip(masks[piece], to[piece], strict=True):
            # cv2 measures to the nearest zero; where there is none it gives a huge number.
            outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            difference = outside - inside
            # Squared distances are whole numbers. Without rounding, cv2's last digit depends on
            # where the mask lies in memory, and training would not be repeatable.
            length = np.sqrt(np.rint(np.square(difference)))
            np.copysign(length - 0.5, difference, out=row)

    in_threads(measure_piece, len(masks))
    return distances.div_(size).clamp_(-DISTANCE_LIMIT, DISTANCE_LIMIT)


def limited_distances_anywhere(targets: Tensor, reach: int) -> Tensor:
    """Distances to the nearest pixel that is set, by plain torch operations.

    Args:
        targets: (B, S, S) bool.
        reach: largest distance along x or y that is looked at, pixels.

    Returns:
        (B, S, S) float32 pixels, exact up to `reach`; above it at least `reach`.
    """
    far = float(reach + 1)
    along_y = torch.where(targets, 0.0, far)
    for _ in range(reach):  # each round lets a distance spread by one pixel, up and down
        spread = along_y.clone()
        spread[:, 1:] = torch.minimum(spread[:, 1:], along_y[:, :-1] + 1)
        spread[:, :-1] = torch.minimum(spread[:, :-1], along_y[:, 1:] + 1)
        along_y = spread
    squared = along_y.square()
    nearest = squared.clone()
    for shift in range(1, min(reach, targets.shape[-1] - 1) + 1):
        left, right = nearest[..., :-shift], nearest[..., shift:]
        torch.minimum(right, squared[..., :-shift] + shift**2, out=right)
        torch.minimum(left, squared[..., shift:] + shift**2, out=left)
    return nearest.sqrt()
