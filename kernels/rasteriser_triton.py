"""The rasteriser as Triton kernels, for CUDA devices.

Three launches a call and no synchronisation, so a call can be captured in a CUDA graph (after one
call outside of it, which compiles):

1. `_prepare` empties the z-buffer and projects every vertex once.
2. `_draw_faces` gives every lane a face and walks over the few pixels of its box; the z-buffer
   takes one 64-bit atomic minimum of (depth, face) a fragment. Faces with a large box, which would
   hold up the lanes beside them, go to a queue.
3. `_resolve` gives every lane a pixel: it draws the queued faces, whose fragments need no atomics
   there, and turns what is nearest into labels.

Operations and their order are those of `rasteriser_numba.py`; nothing is fused and divisions are
rounded as IEEE 754 says, so all paths give the same float32 numbers.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# One warp a program: its loop ends with the largest box of its own faces and not of a whole block.
DRAW_OPTIONS = {"FACES": 64, "LARGEST_BOX": 256, "num_warps": 1}
PREPARE_OPTIONS = {"BLOCK": 1024, "num_warps": 4}
RESOLVE_OPTIONS = {"TILE_ROWS": 16, "TILE_COLUMNS": 64, "num_warps": 4}
EXACT = {"enable_fp_fusion": False}  # no fused multiply-add, neither by LLVM nor by ptxas

_INFINITY = tl.constexpr(float("inf"))
_LOW_32 = tl.constexpr(0xFFFFFFFF)
_EMPTY = tl.constexpr((0x7F800000 << 32) | 0xFFFFFFFF)  # unpacks to depth inf and face -1


def rasterise(
    vertices: Tensor,
    cam_k: Tensor,
    faces: Tensor,
    face_parts: Tensor,
    image_size: tuple[int, int],
    clip: tuple[float, float],
    with_fragments: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Part segmentation, face index and depth of a batch, on the device of the vertices.

    Args:
        vertices: (B, V, 3) float32, metres, camera frame.
        cam_k: (B, 3, 3) float32 intrinsics, pixels.
        faces: (F, 3) int32, contiguous.
        face_parts: (F,) uint8.
        image_size: (height, width), pixels.
        clip: (near, far), metres.
        with_fragments: whether face index and depth are wanted too.

    Returns:
        parts (B, H, W) uint8, 0 where empty; then, or else None twice, face_index (B, H, W) int32,
        -1 where empty, and depth (B, H, W) float32, inf where empty.
    """
    vertices, cam_k = vertices.detach().contiguous(), cam_k.detach().contiguous()
    batch, n_vertices = vertices.shape[:2]
    n_faces, (height, width) = len(faces), image_size
    new = vertices.new_empty
    size = (batch, height, width)
    parts = new(size, dtype=torch.uint8)
    face_index = new(size, dtype=torch.int32) if with_fragments else None
    depth = new(size) if with_fragments else None
    if batch == 0:
        return parts, face_index, depth
    projected = new((batch, n_vertices, 4))
    z_buffer = new(size, dtype=torch.int64)
    queue = new((batch, n_faces), dtype=torch.int32)
    queue_length = new(batch, dtype=torch.int32)
    blocks = triton.cdiv(max(height * width, n_vertices), PREPARE_OPTIONS["BLOCK"])
    face_blocks = triton.cdiv(n_faces, DRAW_OPTIONS["FACES"])
    tiles = triton.cdiv(height, RESOLVE_OPTIONS["TILE_ROWS"]) * triton.cdiv(
        width, RESOLVE_OPTIONS["TILE_COLUMNS"]
    )
    mesh, frame = (projected, faces), (n_vertices, n_faces, height, width, *clip)
    with torch.cuda.device_of(vertices):
        _prepare[(batch * blocks,)](
            *(vertices, cam_k, projected, z_buffer, queue_length, n_vertices, height * width),
            **(PREPARE_OPTIONS | EXACT),
        )
        if n_faces:
            _draw_faces[(batch * face_blocks,)](
                *(*mesh, z_buffer, queue, queue_length, *frame), **(DRAW_OPTIONS | EXACT)
            )
        _resolve[(batch * tiles,)](
            *(*mesh, z_buffer, queue, queue_length, face_parts, parts, face_index, depth, *frame),
            **(RESOLVE_OPTIONS | EXACT),
        )
    return parts, face_index, depth


@triton.jit
def _prepare(
    vertices, cam_k, projected, z_buffer, queue_length, n_vertices, n_pixels, BLOCK: tl.constexpr
):
    """Empty a run of the z-buffer, and project a run of vertices to (u px, v px, 1/z, unused).

    1/z is 0 where a vertex cannot be projected.
    """
    blocks = tl.cdiv(tl.maximum(n_pixels, n_vertices), BLOCK)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    block = tl.program_id(0) % blocks
    i = block * BLOCK + tl.arange(0, BLOCK)
    tl.store(z_buffer + sample * n_pixels + i, _EMPTY, mask=i < n_pixels)
    tl.store(queue_length + sample, 0, mask=block == 0)
    if block * BLOCK < n_vertices:
        exists = i < n_vertices
        at = vertices + (sample * n_vertices + i) * 3
        x = tl.load(at, mask=exists, other=0.0)
        y = tl.load(at + 1, mask=exists, other=0.0)
        z = tl.load(at + 2, mask=exists, other=1.0)
        k = cam_k + sample * 9
        x_over_z, y_over_z = tl.div_rn(x, z), tl.div_rn(y, z)
        u = (tl.load(k) * x_over_z + tl.load(k + 1) * y_over_z) + tl.load(k + 2)
        v = (tl.load(k + 3) * x_over_z + tl.load(k + 4) * y_over_z) + tl.load(k + 5)
        inverse_z = tl.div_rn(tl.full((BLOCK,), 1.0, tl.float32), z)
        drawable = (z > 0) & (tl.abs(u) < _INFINITY) & (tl.abs(v) < _INFINITY)
        drawable &= inverse_z < _INFINITY
        to = projected + (sample * n_vertices + i) * 4
        tl.store(to, u, mask=exists)
        tl.store(to + 1, v, mask=exists)
        tl.store(to + 2, tl.where(drawable, inverse_z, 0.0), mask=exists)


@triton.jit
def _corner(projected, faces, face, number: tl.constexpr, exists):
    """(u, v, 1/z) of one corner of faces; 1/z = 0 where there is no such face."""
    vertex = tl.load(faces + face * 3 + number, mask=exists, other=0)
    at = projected + vertex.to(tl.int64) * 4
    u = tl.load(at, mask=exists, other=0.0)
    v = tl.load(at + 1, mask=exists, other=0.0)
    return u, v, tl.load(at + 2, mask=exists, other=0.0)


@triton.jit
def _centres_within(a, b, c, size, drawable):
    """First and last pixel whose centre lies in the range of 3 coordinates; none: last < first."""
    # Clamped while they are floats: a coordinate far outside need not fit an integer.
    first = tl.maximum(tl.ceil(tl.minimum(tl.minimum(a, b), c) - 0.5), 0.0)
    last = tl.minimum(tl.floor(tl.maximum(tl.maximum(a, b), c) - 0.5), size - 1.0)
    some = drawable & (first <= last)
    return tl.where(some, first, 0.0).to(tl.int32), tl.where(some, last, -1.0).to(tl.int32)


@triton.jit
def _boxes(a, b, c, height, width):
    """First and last column, first and last row of faces; no pixel: a last before a first."""
    drawable = tl.minimum(tl.minimum(a[2], b[2]), c[2]) > 0
    left, right = _centres_within(a[0], b[0], c[0], width, drawable)
    top, bottom = _centres_within(a[1], b[1], c[1], height, drawable)
    return left, right, top, bottom


@triton.jit
def _fragments(a, b, c, face, column, row, near, far):
    """The z-buffer's number for faces at pixel centres, `_EMPTY` where a face does not reach.

    Bits of positive floats sort as the floats do, so the least number is the nearest fragment and,
    at equal depth, the lowest face.
    """
    x, y = column.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5
    x_a, x_b, x_c = a[0] - x, b[0] - x, c[0] - x
    y_a, y_b, y_c = a[1] - y, b[1] - y, c[1] - y
    w_a = x_b * y_c - y_b * x_c
    w_b = x_c * y_a - y_c * x_a
    w_c = x_a * y_b - y_a * x_b
    # nan where the area is 0, which no comparison lets pass
    z = tl.div_rn((w_a + w_b) + w_c, (w_a * a[2] + w_b * b[2]) + w_c * c[2])
    inside = ((w_a >= 0) & (w_b >= 0) & (w_c >= 0)) | ((w_a <= 0) & (w_b <= 0) & (w_c <= 0))
    nearest = (z.to(tl.int32, bitcast=True).to(tl.int64) << 32) | face
    return tl.where(inside & (near < z) & (z < far), nearest, _EMPTY)


@triton.jit
def _draw_faces(
    projected,
    faces,
    z_buffer,
    queue,
    queue_length,
    n_vertices,
    n_faces,
    height,
    width,
    near,
    far,
    FACES: tl.constexpr,
    LARGEST_BOX: tl.constexpr,
):
    """Draw a run of one sample's faces into the z-buffer, and queue those with a large box."""
    blocks = tl.cdiv(n_faces, FACES)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    face = (tl.program_id(0) % blocks) * FACES + tl.arange(0, FACES)
    exists = face < n_faces
    vertices = projected + sample * n_vertices * 4
    a = _corner(vertices, faces, face, 0, exists)
    b = _corner(vertices, faces, face, 1, exists)
    c = _corner(vertices, faces, face, 2, exists)
    left, right, top, bottom = _boxes(a, b, c, height, width)
    count = tl.maximum(right - left + 1, 0) * tl.maximum(bottom - top + 1, 0)

    large = count > LARGEST_BOX
    place = tl.atomic_add(
        queue_length + sample + tl.zeros((FACES,), tl.int32), 1, mask=large, sem="relaxed"
    )
    tl.store(queue + sample * n_faces + place, face, mask=large)

    count = tl.where(large, 0, count)
    image = z_buffer + sample * height * width
    column, row = left, top
    for i in range(tl.max(count)):
        nearest = _fragments(a, b, c, face, column, row, near, far)
        hit = (i < count) & (nearest != _EMPTY)
        tl.atomic_min(image + row * width + column, nearest, mask=hit, sem="relaxed")
        row = tl.where(column == right, row + 1, row)
        column = tl.where(column == right, left, column + 1)


@triton.jit
def _resolve(
    projected,
    faces,
    z_buffer,
    queue,
    queue_length,
    face_parts,
    parts,
    face_index,
    depth,
    n_vertices,
    n_faces,
    height,
    width,
    near,
    far,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
):
    """Draw the queued faces within one tile of a sample, and write what is nearest.

    `face_index` and `depth` may be None.
    """
    across = tl.cdiv(width, TILE_COLUMNS)
    tiles = across * tl.cdiv(height, TILE_ROWS)
    sample = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    first_row, first_column = (tile // across) * TILE_ROWS, (tile % across) * TILE_COLUMNS
    row = first_row + tl.arange(0, TILE_ROWS)[:, None]
    column = first_column + tl.arange(0, TILE_COLUMNS)[None, :]
    exists = (row < height) & (column < width)
    pixel = sample * height * width + row * width + column
    nearest = tl.load(z_buffer + pixel, mask=exists, other=_EMPTY)
    vertices = projected + sample * n_vertices * 4
    for i in range(tl.load(queue_length + sample)):
        face = tl.load(queue + sample * n_faces + i)
        a = _corner(vertices, faces, face, 0, face >= 0)
        b = _corner(vertices, faces, face, 1, face >= 0)
        c = _corner(vertices, faces, face, 2, face >= 0)
        left, right, top, bottom = _boxes(a, b, c, height, width)
        beside = (right < first_column) | (left >= first_column + TILE_COLUMNS)
        beside |= (bottom < first_row) | (top >= first_row + TILE_ROWS)
        if not beside:
            in_box = (column >= left) & (column <= right) & (row >= top) & (row <= bottom)
            fragment = _fragments(a, b, c, face, column, row, near, far)
            nearest = tl.minimum(nearest, tl.where(in_box, fragment, _EMPTY))

    face = (nearest & _LOW_32).to(tl.int32)  # -1 when empty
    part = tl.load(face_parts + face, mask=face >= 0, other=0)
    tl.store(parts + pixel, part, mask=exists)
    if face_index is not None:
        tl.store(face_index + pixel, face, mask=exists)
        tl.store(depth + pixel, (nearest >> 32).to(tl.int32).to(tl.float32, bitcast=True), exists)
