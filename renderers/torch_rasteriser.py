"""The rasteriser in plain torch operations, for devices that have no compiled kernel.

Every pair of a face and a pixel centre within the face's box is a candidate. Candidates of the
whole batch stand in one flat list, worked through in pieces; the z-buffer is one 64-bit minimum of
(depth, face) a pixel. Operations and their order are those of `kernels/rasteriser_numba.py`, so
both give the same float32 numbers.
"""

import torch
from torch import Tensor

CANDIDATES_AT_ONCE = 2**21  # about 200 bytes each
_INFINITY_BITS = 0x7F800000  # of a float32
_LOW_32 = 0xFFFFFFFF
_EMPTY = (_INFINITY_BITS << 32) | _LOW_32  # unpacks to depth inf and face -1


def _project(vertices: Tensor, cam_k: Tensor) -> Tensor:
    """(u px, v px, 1/z) of every vertex, 1/z = 0 where it cannot be projected: (B, V, 3)."""
    x, y, z = vertices.unbind(-1)  # (B, V)
    k = cam_k[:, :, :, None]  # (B, 3, 3, 1)
    u = (k[:, 0, 0] * (x / z) + k[:, 0, 1] * (y / z)) + k[:, 0, 2]
    v = (k[:, 1, 0] * (x / z) + k[:, 1, 1] * (y / z)) + k[:, 1, 2]
    inverse_z = 1 / z
    drawable = (z > 0) & u.isfinite() & v.isfinite() & inverse_z.isfinite()
    return torch.stack([u, v, torch.where(drawable, inverse_z, 0)], dim=-1)


def _centres_within(coordinates: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First pixel whose centre lies in the range of the 3 coordinates, and how many there are."""
    first = (coordinates.amin(-1) - 0.5).ceil().clamp(min=0, max=size).long()
    last = (coordinates.amax(-1) - 0.5).floor().clamp(min=-1, max=size - 1).long()
    return first, (last - first + 1).clamp(min=0)


def _fragment_depth(corners: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Depth of faces (N, 3, 3) at the centres of pixels (N,), inf where the face does not reach.

    The weights are twice the areas of the triangles that the centre makes with the edges; they are
    taken relative to the centre, which makes them exactly antisymmetric in an edge's ends.
    """
    x = corners[:, :, 0] - (column.float() + 0.5)[:, None]  # (N, 3)
    y = corners[:, :, 1] - (row.float() + 0.5)[:, None]
    w_a = x[:, 1] * y[:, 2] - y[:, 1] * x[:, 2]
    w_b = x[:, 2] * y[:, 0] - y[:, 2] * x[:, 0]
    w_c = x[:, 0] * y[:, 1] - y[:, 0] * x[:, 1]
    inside = ((w_a >= 0) & (w_b >= 0) & (w_c >= 0)) | ((w_a <= 0) & (w_b <= 0) & (w_c <= 0))
    iz_a, iz_b, iz_c = corners[:, :, 2].unbind(-1)
    z = ((w_a + w_b) + w_c) / ((w_a * iz_a + w_b * iz_b) + w_c * iz_c)
    return torch.where(inside & ~z.isnan(), z, torch.inf)


@torch.no_grad()
def rasterise(
    vertices: Tensor,
    cam_k: Tensor,
    faces: Tensor,
    image_size: tuple[int, int],
    clip: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Face index and depth of a batch, on the device of the vertices.

    The size of the candidate list is read from the device: one synchronisation a call.

    Args:
        vertices: (B, V, 3) float32, metres, camera frame.
        cam_k: (B, 3, 3) float32 intrinsics, pixels.
        faces: (F, 3) int64.
        image_size: (height, width), pixels.
        clip: (near, far), metres.

    Returns:
        face_index (B, H, W) int32, -1 where empty; depth (B, H, W) float32, inf where empty.
    """
    height, width = image_size
    near, far = clip
    batch, n_faces = vertices.shape[0], faces.shape[0]
    corners = _project(vertices, cam_k)[:, faces].flatten(0, 1)  # (B F, 3, 3)
    left, columns = _centres_within(corners[..., 0], width)  # (B F)
    top, rows = _centres_within(corners[..., 1], height)
    drawable = (corners[..., 2] > 0).all(-1)
    count = torch.where(drawable, rows * columns, 0)
    end = count.cumsum(0)  # where the next face's candidates begin in the flat list
    packed = vertices.new_full((batch * height * width,), _EMPTY, dtype=torch.int64)
    total = int(count.sum())
    for start in range(0, total, CANDIDATES_AT_ONCE):
        stop = min(start + CANDIDATES_AT_ONCE, total)
        candidate = torch.arange(start, stop, device=vertices.device)
        face = torch.searchsorted(end, candidate, right=True)
        within = candidate - (end[face] - count[face])
        row = top[face] + within // columns[face]
        column = left[face] + within % columns[face]
        z = _fragment_depth(corners[face], column, row)
        # Bits of positive floats sort as the floats do, so the least number is the nearest
        # fragment and, at equal depth, the lowest face.
        nearest = (z.view(torch.int32).long() << 32) | (face % n_faces)
        nearest = torch.where((near < z) & (z < far), nearest, _EMPTY)
        pixel = ((face // n_faces) * height + row) * width + column
        packed.scatter_reduce_(0, pixel, nearest, "amin")
    packed = packed.view(batch, height, width)
    face_index = (packed << 32 >> 32).to(torch.int32)  # sign-extends the low half: -1 when empty
    depth = (packed >> 32).to(torch.int32).view(torch.float32)
    return face_index, depth
