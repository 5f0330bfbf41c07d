"""Compiled CPU kernels that draw shaded meshes with smooth edges, and lay pictures on photos."""

import numpy as np

from kernels.numba_support import compiled
from kernels.rasteriser_numba import EMPTY, fill_z_buffer, make_workspace

SAMPLES = 2  # a pixel and direction, averaged
_SHARE = np.float32(1 / SAMPLES**2)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
_WHITE = np.float32(255.0)


@compiled
def draw_shaded(vertices, cam_k, faces, clip, colours, picture):
    """Draws one mesh on nothing.

    Args:
        vertices: (V, 3) float32, metres, camera frame.
        cam_k: (3, 3) float32 intrinsics, in samples: `SAMPLES` times those of the pixels.
        faces: (F, 3) uint32.
        clip: (near, far), float32, metres.
        colours: (2, V, 3) float32 RGB of the vertices, on the side that the faces' winding makes
            the outer one, and on the other.
        picture: (H, W, 4) float32, written: RGBA in [0, 1], colour multiplied by alpha.

    Returns:
        How many vertices are not finite; the faces at them are not drawn.
    """
    height, width = picture.shape[:2]
    workspace = make_workspace(vertices.shape[0], faces.shape[0])
    projected = workspace[0]
    z_buffer = np.empty((SAMPLES * height, SAMPLES * width), np.int64)
    not_finite = fill_z_buffer(vertices, cam_k, faces, clip, workspace, z_buffer)
    for row in range(height):
        for column in range(width):
            first = z_buffer[SAMPLES * row, SAMPLES * column]
            one_face = True
            for i in range(SAMPLES):
                for j in range(SAMPLES):
                    number = z_buffer[SAMPLES * row + i, SAMPLES * column + j]
                    one_face &= np.uint32(number) == np.uint32(first)
            pixel = picture[row, column]
            pixel[:] = _ZERO
            if not one_face:
                _add_samples(projected, faces, colours, z_buffer, row, column, pixel)
            elif first != EMPTY:
                x, y = np.float32(SAMPLES) * (column + _HALF), np.float32(SAMPLES) * (row + _HALF)
                _add_colour(projected, faces, colours, np.uint32(first), x, y, _ONE, pixel)
    return not_finite


@compiled
def _add_samples(projected, faces, colours, z_buffer, row, column, pixel):
    """Adds the colours of a pixel's samples, each a share, to `pixel` (4,)."""
    for i in range(SAMPLES):
        for j in range(SAMPLES):
            y, x = SAMPLES * row + i, SAMPLES * column + j
            number = z_buffer[y, x]
            if number != EMPTY:
                face, x, y = np.uint32(number), np.float32(x) + _HALF, np.float32(y) + _HALF
                _add_colour(projected, faces, colours, face, x, y, _SHARE, pixel)


@compiled
def _add_colour(projected, faces, colours, face, x, y, share, pixel):
    """Adds a share of what a face has at the sample (x, y) to `pixel` (4,)."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    x_a, x_b, x_c = projected[a, 0] - x, projected[b, 0] - x, projected[c, 0] - x
    y_a, y_b, y_c = projected[a, 1] - y, projected[b, 1] - y, projected[c, 1] - y
    w_a = x_b * y_c - y_b * x_c
    w_b = x_c * y_a - y_c * x_a
    w_c = x_a * y_b - y_a * x_b
    # y points down: a face whose corners go round clockwise, as they are seen, shows its inside.
    side = 1 if (w_a + w_b) + w_c > _ZERO else 0
    # A face's own plane is linear in x / z, y / z and 1 / z.
    w_a, w_b, w_c = w_a * projected[a, 2], w_b * projected[b, 2], w_c * projected[c, 2]
    scale = share / ((w_a + w_b) + w_c)
    for channel in range(3):
        blended = (
            w_a * colours[side, a, channel] + w_b * colours[side, b, channel]
        ) + w_c * colours[side, c, channel]
        pixel[channel] += scale * blended
    pixel[3] += share


@compiled
def blend(picture, opacity, photo):
    """Lays a picture over a photo.

    Args:
        picture: (H, W, 4) float32 RGBA in [0, 1], colour multiplied by alpha.
        opacity: float32, of the picture.
        photo: (H, W, 3) uint8, written over.
    """
    for row in range(photo.shape[0]):
        for column in range(photo.shape[1]):
            alpha = picture[row, column, 3] * opacity
            if alpha > _ZERO:
                for channel in range(3):
                    below = np.float32(photo[row, column, channel]) * (_ONE - alpha)
                    mixed = picture[row, column, channel] * opacity * _WHITE + below
                    photo[row, column, channel] = np.uint8(min(mixed, _WHITE) + _HALF)


@compiled
def shade_points(normals, rays, albedo, lights, sky, ground, gloss, sharpness, gamma, colours):
    """Writes the colours of lit surface points, see `renderers.shading.shade`.

    Args:
        normals: (N, 3) float32, unit.
        rays: (N, 3) float32, unit, from the camera.
        albedo: (N, 3) float32 RGB in [0, 1], as in a picture.
        lights: (L, 4) float32, each a unit direction towards the light and its strength.
        sky: float32, ambient light on a surface that faces up.
        ground: float32, on one that faces down.
        gloss: float32, strength of the highlights.
        sharpness: float32, their exponent.
        gamma: float32, between linear light and the values of pictures.
        colours: (N, 3) float32, written: RGB in [0, 1], as in a picture.
    """
    for i in range(normals.shape[0]):
        up = (_ONE - normals[i, 1]) * _HALF  # y points down
        light, highlight = ground + (sky - ground) * up, _ZERO
        for j in range(lights.shape[0]):
            # Half-way between the directions to the light and to the camera.
            x, y, z = (
                lights[j, 0] - rays[i, 0],
                lights[j, 1] - rays[i, 1],
                lights[j, 2] - rays[i, 2],
            )
            length = np.sqrt(x * x + y * y + z * z)
            facing = normals[i, 0] * lights[j, 0] + normals[i, 1] * lights[j, 1]
            facing += normals[i, 2] * lights[j, 2]
            cosine = normals[i, 0] * x + normals[i, 1] * y + normals[i, 2] * z
            light += lights[j, 3] * max(facing, _ZERO)
            if cosine > _ZERO:
                highlight += lights[j, 3] * (cosine / length) ** sharpness
        for channel in range(3):
            linear = albedo[i, channel] ** gamma * light + gloss * highlight
            colours[i, channel] = min(max(linear, _ZERO), _ONE) ** (_ONE / gamma)
