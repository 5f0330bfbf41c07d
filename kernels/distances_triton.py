"""Distances to the nearest pixel of a mask by two Triton kernels, for CUDA devices."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_OPTIONS = {"BLOCK": 256, "num_warps": 4}


def limited_distances(targets: Tensor, reach: int) -> Tensor:
    """See `kernels.distances.limited_distances_anywhere`, whose numbers these are."""
    targets = targets.contiguous()
    batch, height, width = targets.shape
    along_y = torch.empty(targets.shape, dtype=torch.int16, device=targets.device)
    distances = torch.empty(targets.shape, dtype=torch.float32, device=targets.device)
    if batch:
        blocks = batch * triton.cdiv(height * width, _OPTIONS["BLOCK"])
        with torch.cuda.device_of(targets):
            _measure_along_y[(blocks,)](
                targets.view(torch.uint8), along_y, height, width, reach, **_OPTIONS
            )
            _measure_across[(blocks,)](along_y, distances, height, width, reach, **_OPTIONS)
    return distances


@triton.jit
def _place(height, width, BLOCK: tl.constexpr):
    """The pixels of this program: which sample, row, column, and whether they exist."""
    blocks = tl.cdiv(height * width, BLOCK)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    return sample * height * width, pixel // width, pixel % width, pixel < height * width


@triton.jit
def _measure_along_y(targets, along_y, height, width, reach, BLOCK: tl.constexpr):
    """Write how many rows away the nearest set pixel of the same column is; reach + 1: further."""
    image, row, column, exists = _place(height, width, BLOCK)
    nearest = tl.full((BLOCK,), 0, tl.int32) + reach + 1
    for i in range(reach + 1):
        step = reach - i  # from far to near, so that the nearest is written last
        above, below = row - step, row + step
        at = image + column
        up = tl.load(targets + at + above * width, mask=exists & (above >= 0), other=0)
        down = tl.load(targets + at + below * width, mask=exists & (below < height), other=0)
        nearest = tl.where((up > 0) | (down > 0), step, nearest)
    tl.store(along_y + image + row * width + column, nearest.to(tl.int16), mask=exists)


@triton.jit
def _measure_across(along_y, distances, height, width, reach, BLOCK: tl.constexpr):
    """Combine the distances along y of the pixels to the left and right: Pythagoras."""
    image, row, column, exists = _place(height, width, BLOCK)
    far = reach + 1
    nearest = tl.full((BLOCK,), 0, tl.int32) + far * far
    for i in range(2 * reach + 1):
        step = i - reach
        at = column + step
        inside = exists & (at >= 0) & (at < width)
        rows = tl.load(along_y + image + row * width + at, mask=inside, other=0).to(tl.int32)
        squared = tl.where(inside, rows * rows + step * step, far * far)
        nearest = tl.minimum(nearest, squared)
    tl.store(distances + image + row * width + column, tl.sqrt(nearest.to(tl.float32)), mask=exists)
