"""Compiled CPU kernels of the rasteriser: many samples a call, no Python objects, no lock held.

All arithmetic is float32 in a fixed order and nothing may be fused or reassociated (no fastmath):
the edge functions are exactly antisymmetric in float32, and only so do two faces that share an
edge leave no gap between them. `torch_rasteriser.py` does the same operations in the same order.
"""

from collections.abc import Callable

import numba
import numpy as np

_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_INFINITY = np.float32(np.inf)
_NEXT = np.uint32(1)

# Kinds of faces by their box of pixels: rows * _SMALL + columns (each less one), then the others.
_SMALL = np.float32(4)
_LARGE = 16  # more than 4 rows or columns
_NOTHING = 17  # no pixel centre


def _compiled(function: Callable) -> Callable:
    """Compile at the first call, and keep the result on disk where a folder can be written.

    numba tries `__pycache__` beside this file, then the user's cache folder. Where neither can be
    written it refuses to compile at all, so then every process compiles anew (about 3 s).
    """
    options = {"nogil": True, "error_model": "numpy"}  # numpy: x / 0 is inf or nan, not an error
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:
        return numba.njit(function, **options)


@_compiled
def _project(vertices, cam_k, projected):
    """Write (u px, v px, 1/z) of every vertex into `projected` (V, 4), column 3 being padding.

    1/z is 0 where the vertex cannot be projected. Returns how many vertices are not finite.
    """
    not_finite = 0
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        x_over_z, y_over_z = x / z, y / z
        u = (cam_k[0, 0] * x_over_z + cam_k[0, 1] * y_over_z) + cam_k[0, 2]
        v = (cam_k[1, 0] * x_over_z + cam_k[1, 1] * y_over_z) + cam_k[1, 2]
        inverse_z = _ONE / z
        drawable = (z > _ZERO) & np.isfinite(u) & np.isfinite(v) & np.isfinite(inverse_z)
        projected[i, 0] = u
        projected[i, 1] = v
        projected[i, 2] = inverse_z if drawable else _ZERO
        not_finite += not (np.isfinite(x) & np.isfinite(y) & np.isfinite(z))
    return not_finite


@_compiled
def _sort_by_box_size(projected, faces, height, width, boxes, order):
    """Write every face's box of pixels, and the faces that hold a pixel centre, by size of box.

    Drawing faces of one size after another lets the processor foresee how often the loops over
    rows and columns turn; in the mesh's own order most of the time goes into wrong guesses.

    Args:
        projected: (V, 4) from `_project`.
        faces: (F, 3).
        height: of the image, pixels.
        width: of the image, pixels.
        boxes: (F, 4) float32, written: first and last column, first and last row.
        order: (F,) uint32, written: the faces to draw come first.

    Returns:
        How many faces are to be drawn.
    """
    last_column, last_row = np.float32(width - 1), np.float32(height - 1)
    kinds = np.empty(faces.shape[0], np.uint8)
    starts = np.zeros(_NOTHING + 2, np.uint32)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        u_a, v_a, u_b, v_b = projected[a, 0], projected[a, 1], projected[b, 0], projected[b, 1]
        u_c, v_c = projected[c, 0], projected[c, 1]
        # Clamped while they are floats: a coordinate far outside need not fit an integer.
        left = max(np.ceil(min(u_a, u_b, u_c) - _HALF), _ZERO)
        right = min(np.floor(max(u_a, u_b, u_c) - _HALF), last_column)
        top = max(np.ceil(min(v_a, v_b, v_c) - _HALF), _ZERO)
        bottom = min(np.floor(max(v_a, v_b, v_c) - _HALF), last_row)
        farthest = min(projected[a, 2], projected[b, 2], projected[c, 2])
        holds_centre = (left <= right) & (top <= bottom) & (farthest > _ZERO)
        columns, rows = right - left, bottom - top  # less one
        small = holds_centre & (columns < _SMALL) & (rows < _SMALL)
        kind = np.uint8(rows * _SMALL + columns) if small else np.uint8(_LARGE)
        kind = kind if holds_centre else np.uint8(_NOTHING)
        boxes[face, 0], boxes[face, 1], boxes[face, 2], boxes[face, 3] = left, right, top, bottom
        kinds[face] = kind
        starts[kind + _NEXT] += _NEXT
    for kind in range(_NOTHING + 1):
        starts[kind + 1] += starts[kind]
    drawn = starts[_NOTHING]
    for face in range(faces.shape[0]):
        place = starts[kinds[face]]
        order[place] = face
        starts[kinds[face]] = place + _NEXT
    return drawn


@_compiled
def _draw_faces(projected, faces, face_parts, clip, boxes, order, depth, face_index, parts):
    """Draw the faces listed in `order` into one sample's (H, W) buffers.

    A pixel is written whether it changes or not, and conditions are joined by & and not by `and`:
    the processor cannot foresee which faces reach a pixel, so nothing branches on it.
    """
    near, far = clip
    for face in order:
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        u_a, v_a, iz_a = projected[a, 0], projected[a, 1], projected[a, 2]
        u_b, v_b, iz_b = projected[b, 0], projected[b, 1], projected[b, 2]
        u_c, v_c, iz_c = projected[c, 0], projected[c, 1], projected[c, 2]
        left, end_column = np.uint32(boxes[face, 0]), np.uint32(boxes[face, 1]) + _NEXT
        top, end_row = np.uint32(boxes[face, 2]), np.uint32(boxes[face, 3]) + _NEXT
        for row in range(top, end_row):
            y = np.float32(row) + _HALF
            y_a, y_b, y_c = v_a - y, v_b - y, v_c - y
            for column in range(left, end_column):
                x = np.float32(column) + _HALF
                x_a, x_b, x_c = u_a - x, u_b - x, u_c - x
                w_a = x_b * y_c - y_b * x_c
                w_b = x_c * y_a - y_c * x_a
                w_c = x_a * y_b - y_a * x_b
                area = (w_a + w_b) + w_c
                z = area / ((w_a * iz_a + w_b * iz_b) + w_c * iz_c)  # nan where the area is 0
                inside = ((w_a >= _ZERO) & (w_b >= _ZERO) & (w_c >= _ZERO)) | (
                    (w_a <= _ZERO) & (w_b <= _ZERO) & (w_c <= _ZERO)
                )
                old_z, old_face = depth[row, column], face_index[row, column]
                nearer = (z < old_z) | ((z == old_z) & (np.int32(face) < old_face))
                hit = inside & (near < z) & (z < far) & nearer
                depth[row, column] = z if hit else old_z
                face_index[row, column] = np.int32(face) if hit else old_face
                parts[row, column] = face_parts[face] if hit else parts[row, column]


@_compiled
def rasterise_samples(vertices, cam_k, faces, face_parts, clip, depth, face_index, parts):
    """Rasterise N samples one after the other.

    Args:
        vertices: (N, V, 3) float32, metres, camera frame.
        cam_k: (N, 3, 3) float32 intrinsics, pixels.
        faces: (F, 3) uint32.
        face_parts: (F,) uint8.
        clip: (near, far), float32, metres.
        depth: (N or 1, H, W) float32, written; a single image is scratch used by every sample.
        face_index: (N or 1, H, W) int32, written; likewise.
        parts: (N, H, W) uint8, written.

    Returns:
        How many vertices are not finite; when it is not 0 the faces at them were not drawn.
    """
    projected = np.empty((vertices.shape[1], 4), np.float32)  # 16 bytes: one cache line a vertex
    boxes = np.empty((faces.shape[0], 4), np.float32)
    order = np.empty(faces.shape[0], np.uint32)
    height, width = parts.shape[1:]
    not_finite = 0
    for sample in range(vertices.shape[0]):
        image = (depth[sample % depth.shape[0]], face_index[sample % face_index.shape[0]])
        image[0][:] = _INFINITY
        image[1][:] = -1
        parts[sample] = 0
        not_finite += _project(vertices[sample], cam_k[sample], projected)
        drawn = _sort_by_box_size(projected, faces, height, width, boxes, order)
        _draw_faces(
            *(projected, faces, face_parts, clip, boxes, order[:drawn]), *image, parts[sample]
        )
    return not_finite
