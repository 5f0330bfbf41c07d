"""Posing vertices on the CPU without gradients, from the few numbers that are not zero."""

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from kernels.numba_support import compiled
from kernels.threads import in_threads

MAX_DENSITY = 0.1  # share of a matrix that may be set for a sparse product to be the faster one

Sparse = tuple[np.ndarray, ...]  # rows, starts, columns and values as `correct` takes them


def make_sparse(matrix: Tensor) -> Sparse | None:
    """The transpose of a matrix (P, 3 V) for `pose_vertices`, if hardly any of it is set."""
    if matrix.count_nonzero() > MAX_DENSITY * matrix.numel():
        return None
    transposed = scipy.sparse.csr_matrix(matrix.T.cpu().numpy())
    rows = np.flatnonzero(np.diff(transposed.indptr)).astype(np.int32)
    starts = np.append(transposed.indptr[rows], transposed.indptr[-1])
    return rows, starts, transposed.indices, transposed.data


def pose_vertices(
    tpose: Tensor,
    pose_feature: Tensor,
    posedirs: Sparse | None,
    affine: Tensor,
    bones: Tensor,
    bone_weights: Tensor,
) -> Tensor:
    """Corrects vertices for the pose and moves them by their bones.

    Args:
        tpose: (B, 3 V) float32 metres, in the T-pose, x of all vertices first.
        pose_feature: (B, P) float32.
        posedirs: of `make_sparse`; None where the vertices are corrected already.
        affine: (B, K, 3, 4) float32, what moves each bone.
        bones: (V, M), the bones of each vertex.
        bone_weights: (V, M) float32.

    Returns:
        (B, 3, V) metres.
    """
    corrected = tpose if posedirs is None else tpose.clone()
    vertices = torch.empty_like(corrected).unflatten(1, (3, -1))
    rows, source = corrected.numpy(), corrected.view_as(vertices).numpy()
    target, features, transforms = vertices.numpy(), pose_feature.numpy(), affine.flatten(2).numpy()
    skinned_by = bones.numpy(), bone_weights.numpy()

    def pose_piece(piece: slice) -> None:
        if posedirs is not None:
            correct(rows[piece], features[piece], *posedirs)
        skin(source[piece], transforms[piece], *skinned_by, target[piece])

    in_threads(pose_piece, len(vertices))
    return vertices


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
