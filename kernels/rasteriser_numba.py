"""Compiled CPU kernels of the rasteriser: many samples a call, no Python objects, no lock held.

All arithmetic is float32 in a fixed order and nothing may be fused or reassociated (no fastmath):
the edge functions are exactly antisymmetric in float32, and only so do two faces that share an
edge leave no gap between them. The torch and Triton rasterisers do the same operations in the same
order.
"""

import numpy as np

from kernels.numba_support import compiled

_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_INFINITY = np.float32(np.inf)
_NEXT = np.uint32(1)

EMPTY = np.int64((0x7F800000 << 32) | 0xFFFFFFFF)  # z-buffer's number of nothing: inf, face -1

# Kinds of faces by their box of pixels: rows * _SIDE + columns (each less one), then the others.
_SIDE = 8
_SMALL = np.float32(_SIDE)
_LARGE = _SIDE * _SIDE  # more than 8 rows or columns
_NOTHING = _LARGE + 1  # no pixel centre
_LANES = 16  # small faces drawn side by side: float32 numbers in the widest vector register


@compiled
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


@compiled
def _sort_by_box_size(projected, faces, height, width, boxes, order):
    """Write every face's box of pixels, and the faces that hold a pixel centre, by size of box.

    Faces with boxes of one size can be drawn side by side; and the processor foresees how often
    the loops over rows and columns turn.

    Args:
        projected: (V, 4) from `_project`.
        faces: (F, 3).
        height: of the image, pixels.
        width: of the image, pixels.
        boxes: (F, 4) float32, written: first and last column, first and last row.
        order: (F,) uint32, written: the faces to draw come first.

    Returns:
        (_NOTHING + 2,) uint32, where each kind of face ends in `order`.
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
    for face in range(faces.shape[0]):
        place = starts[kinds[face]]
        order[place] = face
        starts[kinds[face]] = place + _NEXT  # in the end, where the kind ends
    return starts


@compiled
def _fragment(corner_a, corner_b, corner_c, x, y, clip):
    """Depth of a face at the pixel centre (x, y), inf where it does not reach or does not count.

    The corners are (u, v, 1/z).
    """
    x_a, x_b, x_c = corner_a[0] - x, corner_b[0] - x, corner_c[0] - x
    y_a, y_b, y_c = corner_a[1] - y, corner_b[1] - y, corner_c[1] - y
    w_a = x_b * y_c - y_b * x_c
    w_b = x_c * y_a - y_c * x_a
    w_c = x_a * y_b - y_a * x_b
    area = (w_a + w_b) + w_c
    # nan where the area is 0
    z = area / ((w_a * corner_a[2] + w_b * corner_b[2]) + w_c * corner_c[2])
    inside = ((w_a >= _ZERO) & (w_b >= _ZERO) & (w_c >= _ZERO)) | (
        (w_a <= _ZERO) & (w_b <= _ZERO) & (w_c <= _ZERO)
    )
    return z if inside & (clip[0] < z) & (z < clip[1]) else _INFINITY


@compiled
def _packed(z, face):
    """The z-buffer's number: bits of positive floats sort as the floats do.

    The least number is the nearest fragment and, at equal depth, the lowest face.
    """
    return (np.int64(np.float32(z).view(np.int32)) << 32) | np.int64(face)


@compiled
def _gather(projected, faces, boxes, order, corners):
    """Write what `_fragments_of` needs of the faces in `order` into the lanes of `corners`."""
    for lane in range(order.shape[0]):
        face = order[lane]
        for corner in range(3):
            vertex = faces[face, corner]
            for axis in range(3):
                corners[3 * corner + axis, lane] = projected[vertex, axis]
        corners[9, lane], corners[10, lane] = boxes[face, 0], boxes[face, 2]


@compiled
def _fragments_of(corners, rows, columns, clip, depths):
    """Write the depths of `_LANES` faces at every pixel of their boxes, by vector instructions.

    Args:
        corners: (11, _LANES) u, v, 1/z of three corners, first column and first row of the box.
        rows: of every box.
        columns: of every box.
        clip: (near, far).
        depths: (rows * columns or more, _LANES) float32, written.
    """
    for row in range(rows):
        for column in range(columns):
            for lane in range(_LANES):
                x = (corners[9, lane] + np.float32(column)) + _HALF
                y = (corners[10, lane] + np.float32(row)) + _HALF
                corner_a = (corners[0, lane], corners[1, lane], corners[2, lane])
                corner_b = (corners[3, lane], corners[4, lane], corners[5, lane])
                corner_c = (corners[6, lane], corners[7, lane], corners[8, lane])
                z = _fragment(corner_a, corner_b, corner_c, x, y, clip)
                depths[row * columns + column, lane] = z


@compiled
def _draw_alike(projected, faces, clip, boxes, order, rows, columns, z_buffer):
    """Draw the faces listed in `order`, whose boxes all have so many rows and columns.

    The fragments that count are listed before they are written: the processor cannot foresee which
    they are, so nothing branches on it.
    """
    width = np.uint32(z_buffer.shape[1])
    pixels = z_buffer.reshape(-1)
    corners = np.zeros((11, _LANES), np.float32)
    depths = np.empty((_LARGE, _LANES), np.float32)
    hit_pixels = np.empty(_LARGE * _LANES + 1, np.uint32)  # one more: written before it is counted
    hit_numbers = np.empty(_LARGE * _LANES + 1, np.int64)
    for start in range(0, order.shape[0], _LANES):
        some = order[start : start + _LANES]
        _gather(projected, faces, boxes, some, corners)
        _fragments_of(corners, rows, columns, clip, depths)
        hits = np.uint32(0)
        for lane in range(some.shape[0]):
            face = some[lane]
            pixel = np.uint32(boxes[face, 2]) * width + np.uint32(boxes[face, 0])
            i = np.uint32(0)
            for _ in range(rows):
                for column in range(columns):
                    z = depths[i, lane]
                    hit_pixels[hits] = pixel + column
                    hit_numbers[hits] = _packed(z, face)
                    hits += np.uint32(z < _INFINITY)
                    i += _NEXT
                pixel += width
        for i in range(hits):
            pixel = hit_pixels[i]
            pixels[pixel] = min(pixels[pixel], hit_numbers[i])


@compiled
def _draw_large(projected, faces, clip, boxes, order, z_buffer):
    """Draw the faces listed in `order`, one after the other."""
    for face in order:
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        corner_a = (projected[a, 0], projected[a, 1], projected[a, 2])
        corner_b = (projected[b, 0], projected[b, 1], projected[b, 2])
        corner_c = (projected[c, 0], projected[c, 1], projected[c, 2])
        left, end_column = np.uint32(boxes[face, 0]), np.uint32(boxes[face, 1]) + _NEXT
        top, end_row = np.uint32(boxes[face, 2]), np.uint32(boxes[face, 3]) + _NEXT
        for row in range(top, end_row):
            y = np.float32(row) + _HALF
            for column in range(left, end_column):
                x = np.float32(column) + _HALF
                z = _fragment(corner_a, corner_b, corner_c, x, y, clip)
                number = _packed(z, face) if z < _INFINITY else EMPTY
                z_buffer[row, column] = min(z_buffer[row, column], number)


@compiled
def _resolve(z_buffer, face_parts, parts):
    """Write the label of what is nearest."""
    for row in range(z_buffer.shape[0]):
        for column in range(z_buffer.shape[1]):
            number = z_buffer[row, column]
            drawn = number != EMPTY
            parts[row, column] = face_parts[np.uint32(number)] if drawn else np.uint8(0)


@compiled
def _unpack(z_buffer, depth, face_index):
    """Write depth and face of what is nearest."""
    for row in range(z_buffer.shape[0]):
        for column in range(z_buffer.shape[1]):
            number = z_buffer[row, column]
            depth[row, column] = np.int32(number >> 32).view(np.float32)
            face_index[row, column] = np.int32(number)  # the low half


@compiled
def make_workspace(vertices, faces):
    """Memory for `fill_z_buffer` to work in, of counts of vertices and faces.

    Returns:
        Projected vertices (V, 4) as `_project` writes them, and two arrays for sorting faces.
    """
    projected = np.empty((vertices, 4), np.float32)  # 16 bytes: one cache line a vertex
    return projected, np.empty((faces, 4), np.float32), np.empty(faces, np.uint32)


@compiled
def fill_z_buffer(vertices, cam_k, faces, clip, workspace, z_buffer):
    """Write what is nearest at every pixel of one sample.

    Args:
        vertices: (V, 3) float32, metres, camera frame.
        cam_k: (3, 3) float32 intrinsics, pixels.
        faces: (F, 3) uint32.
        clip: (near, far), float32, metres.
        workspace: of `make_workspace`, written.
        z_buffer: (H, W) int64, written: numbers of `_packed`, `EMPTY` where nothing is drawn.

    Returns:
        How many vertices are not finite; when it is not 0 the faces at them were not drawn.
    """
    projected, boxes, order = workspace
    z_buffer[:] = EMPTY
    not_finite = _project(vertices, cam_k, projected)
    height, width = z_buffer.shape
    ends = _sort_by_box_size(projected, faces, height, width, boxes, order)
    start = np.uint32(0)
    for kind in range(_LARGE):
        alike = order[start : ends[kind]]
        rows, columns = np.uint32(kind // _SIDE + 1), np.uint32(kind % _SIDE + 1)
        _draw_alike(projected, faces, clip, boxes, alike, rows, columns, z_buffer)
        start = ends[kind]
    _draw_large(projected, faces, clip, boxes, order[start : ends[_LARGE]], z_buffer)
    return not_finite


@compiled
def rasterise_samples(vertices, cam_k, faces, face_parts, clip, depth, face_index, parts):
    """Rasterise N samples one after the other.

    Args:
        vertices: (N, V, 3) float32, metres, camera frame.
        cam_k: (N, 3, 3) float32 intrinsics, pixels.
        faces: (F, 3) uint32.
        face_parts: (F,) uint8.
        clip: (near, far), float32, metres.
        depth: (N, H, W) float32, written; or (0, H, W), then it and `face_index` are not written.
        face_index: (N, H, W) int32, written; or (0, H, W).
        parts: (N, H, W) uint8, written.

    Returns:
        How many vertices are not finite; when it is not 0 the faces at them were not drawn.
    """
    workspace = make_workspace(vertices.shape[1], faces.shape[0])
    height, width = parts.shape[1:]
    z_buffer = np.empty((height, width), np.int64)
    not_finite = 0
    for sample in range(vertices.shape[0]):
        not_finite += fill_z_buffer(
            vertices[sample], cam_k[sample], faces, clip, workspace, z_buffer
        )
        _resolve(z_buffer, face_parts, parts[sample])
        if depth.shape[0]:
            _unpack(z_buffer, depth[sample], face_index[sample])
    return not_finite
