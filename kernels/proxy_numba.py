"""The proxy representation written on the CPU: zeros, then only the pixels that are not zero."""

import numpy as np

from kernels.numba_support import compiled


@compiled
def write_float32(proxy, silhouettes, profiles, floor):
    """Writes silhouettes and heatmaps.

    Args:
        proxy: (B, S, S, 1 + J) float32, written over.
        silhouettes: (B, S, S) bool.
        profiles: (B, J, 2, S) float32, each joint's Gaussian along x and along y.
        floor: float32, products up to it are cut off.
    """
    for sample in range(len(proxy)):
        _clear_and_write_silhouette(proxy[sample], silhouettes[sample], np.float32(1))
        for joint in range(profiles.shape[1]):
            along_x, along_y = profiles[sample, joint, 0], profiles[sample, joint, 1]
            x0, x1 = _support(along_x, floor)
            y0, y1 = _support(along_y, floor)
            for row in range(y0, y1):
                for column in range(x0, x1):
                    value = along_y[row] * along_x[column]
                    if value > floor:
                        proxy[sample, row, column, 1 + joint] = value


@compiled
def write_bfloat16(proxy, silhouettes, profiles, floor):
    """`write_float32` for bfloat16 numbers, which numpy does not know: `proxy` holds their bits.

    Args:
        proxy: (B, S, S, 1 + J) uint16, written over.
        silhouettes: (B, S, S) bool.
        profiles: (B, J, 2, S) float32.
        floor: float32.
    """
    bits = np.empty(1, np.uint32)
    value = bits.view(np.float32)
    for sample in range(len(proxy)):
        _clear_and_write_silhouette(proxy[sample], silhouettes[sample], np.uint16(0x3F80))  # 1.0
        for joint in range(profiles.shape[1]):
            along_x, along_y = profiles[sample, joint, 0], profiles[sample, joint, 1]
            x0, x1 = _support(along_x, floor)
            y0, y1 = _support(along_y, floor)
            for row in range(y0, y1):
                for column in range(x0, x1):
                    value[0] = along_y[row] * along_x[column]
                    if value[0] > floor:
                        # To nearest, ties to even: as torch rounds.
                        rounded = bits[0] + np.uint32(0x7FFF) + ((bits[0] >> 16) & np.uint32(1))
                        proxy[sample, row, column, 1 + joint] = np.uint16(rounded >> 16)


@compiled
def _clear_and_write_silhouette(proxy, silhouette, one):
    proxy[:] = 0  # sample by sample: what is written next is still in the cache
    for row in range(silhouette.shape[0]):
        for column in range(silhouette.shape[1]):
            if silhouette[row, column]:
                proxy[row, column, 0] = one


@compiled
def _support(profile, floor):
    """The range outside which no product can exceed the floor: the other factor is at most 1."""
    start = 0
    while start < len(profile) and not profile[start] > floor:
        start += 1
    end = len(profile)
    while end > start and not profile[end - 1] > floor:
        end -= 1
    return start, end
