"""Posing vertices on the CPU without gradients, from the few numbers that are not zero."""

import numpy as np

from kernels.numba_support import compiled


@compiled
def correct(vertices, pose_feature, rows, starts, columns, values):
    """Adds pose correctives in place: a sparse matrix (3 V, P) times the feature.

    Args:
        vertices: (N, 3 * V) float32, metres; changed.
        pose_feature: (N, P) float32.
        rows: (R,) int32, the matrix's rows that are not all zero.
        starts: (R + 1,) int32, where each of them begins in what follows.
        columns: int32.
        values: float32, metres.
    """
    for sample in range(len(vertices)):
        feature = pose_feature[sample]
        for place in range(len(rows)):
            total = np.float32(0)
            for i in range(starts[place], starts[place + 1]):
                total += values[i] * feature[columns[i]]
            vertices[sample, rows[place]] += total


@compiled
def skin(vertices, transforms, bones, weights, skinned):
    """Moves vertices by their weighted bones.

    Args:
        vertices: (N, 3, V) float32, metres.
        transforms: (N, K, 12) float32, the rows of each bone's affine matrix (3, 4).
        bones: (V, M) integers, the bones of each vertex; those of weight 0 do nothing.
        weights: (V, M) float32.
        skinned: (N, 3, V) float32, written.
    """
    blended = np.empty(12, np.float32)
    for sample in range(len(vertices)):
        for vertex in range(len(bones)):
            blended[:] = 0
            for place in range(bones.shape[1]):
                transform = transforms[sample, bones[vertex, place]]
                weight = weights[vertex, place]
                for entry in range(12):
                    blended[entry] += weight * transform[entry]
            x, y, z = (
                vertices[sample, 0, vertex],
                vertices[sample, 1, vertex],
                vertices[sample, 2, vertex],
            )
            for axis in range(3):
                first = 4 * axis
                moved = blended[first] * x + blended[first + 1] * y + blended[first + 2] * z
                skinned[sample, axis, vertex] = moved + blended[first + 3]
