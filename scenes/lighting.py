"""Soft light on a scene: how much of the sky and of the main light every point sees."""

from dataclasses import dataclass

import numpy as np
import torch

from renderers.rasteriser import Rasteriser
from scenes.picture_options import PictureOptions

MAP_EXTENT = 4.6  # m across
MAP_DISTANCE = 60.0  # m, far enough for nearly parallel rays
BIAS = 0.025  # m, what lies less than this behind a surface is lit


@dataclass(frozen=True)
class Light:
    """Light of a place; colours are linear RGB, directions are towards the light.

    Attributes:
        main: direction of the main light (x right, y down, z away from the camera).
        main_colour: what it gives to a surface that faces it.
        spread: degrees, how wide the main light is: a sun 1, a window 20.
        sky_colour: what the whole upper hemisphere gives to a surface that faces up.
        bounce_colour: what the ground gives to a surface that faces down.
    """

    main: tuple[float, float, float]
    main_colour: tuple[float, float, float]
    spread: float
    sky_colour: tuple[float, float, float]
    bounce_colour: tuple[float, float, float]


class ShadowMaps:
    """Tells which points see the light from given directions, past a mesh.

    Args:
        vertices: (V, 3) metres, world frame (y down).
        faces: (F, 3) ints.
        picture: how finely it is lit.
    """

    def __init__(
        self, vertices: np.ndarray, faces: np.ndarray, picture: PictureOptions = PictureOptions()
    ) -> None:
        self.picture = picture
        self._vertices = vertices
        self._centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        parts = torch.ones(len(faces), dtype=torch.uint8)
        self._rasteriser = Rasteriser(
            torch.from_numpy(faces.astype(np.int64)), parts, image_size=picture.map_size, far=np.inf
        )
        focal = picture.map_size / MAP_EXTENT * MAP_DISTANCE
        half = picture.map_size / 2
        self._cam_k = np.array([[focal, 0, half], [0, focal, half], [0, 0, 1]])

    def visible(self, points: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """(N,) floats in [0, 1], whether (N, 3) points see the light from `direction`."""
        frame = _frame_looking_along(-direction)
        mesh = self._to_light(self._vertices, frame)
        depth = self._rasteriser(
            torch.from_numpy(mesh.astype(np.float32))[None],
            torch.from_numpy(self._cam_k.astype(np.float32))[None],
        ).depth[0].numpy()  # fmt: skip
        local = self._to_light(points, frame)
        pixels = local @ self._cam_k.T
        column, row = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(int).T
        size = self.picture.map_size
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        nearest = np.full(len(points), np.inf)
        nearest[inside] = depth[row[inside], column[inside]]
        return (local[:, 2] < nearest + BIAS).astype(np.float64)

    def _to_light(self, points: np.ndarray, frame: np.ndarray) -> np.ndarray:
        return (points - self._centre) @ frame.T + [0, 0, MAP_DISTANCE]


def irradiance(
    points: np.ndarray, normals: np.ndarray, shadows: ShadowMaps, light: Light
) -> np.ndarray:
    """Linear light on surface points.

    Args:
        points: (N, 3) metres, world frame.
        normals: (N, 3) unit, outwards.
        shadows: of everything that casts any; their `picture` says from how many directions.
        light: of the place.

    Returns:
        (N, 3) linear RGB; times albedo it is what the camera sees.
    """
    offset = points + 0.01 * normals
    sky, most = np.zeros(len(points)), 0.0
    for direction in _hemisphere(shadows.picture.sky_directions):
        cosine = np.clip(normals @ direction, 0, None)
        sky += cosine * shadows.visible(offset, direction)
        most += max(0.0, -direction[1])
    main, count = np.zeros(len(points)), shadows.picture.main_directions
    for direction in _around(np.array(light.main), light.spread, count):
        cosine = np.clip(normals @ direction, 0, None)
        main += cosine * shadows.visible(offset, direction) / count
    # The ground lights what faces down, less where the sky does not reach the surface either.
    bounce = (1 + normals[:, 1]) / 2
    return (
        (sky / most)[:, None] * light.sky_colour
        + main[:, None] * light.main_colour
        + bounce[:, None] * light.bounce_colour
    )


def _hemisphere(count: int) -> np.ndarray:
    """(count, 3) directions spread evenly over the upper half, -y being up."""
    height = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), -height, radius * np.sin(angle)], axis=1)


def _around(direction: np.ndarray, spread: float, count: int) -> np.ndarray:
    """(count, 3) unit directions in a cone of `spread` degrees around one."""
    frame = _frame_looking_along(direction)
    radius = np.tan(np.radians(spread)) * np.sqrt((np.arange(count) + 0.5) / count)
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.ones(count)], axis=1)
    directions = local @ frame
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _frame_looking_along(direction: np.ndarray) -> np.ndarray:
    """(3, 3) rows are the axes of a camera whose z axis is `direction`."""
    z_axis = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    helper = np.array([1.0, 0, 0]) if abs(z_axis[0]) < 0.8 else np.array([0, 1.0, 0])
    y_axis = np.cross(z_axis, helper)
    y_axis /= np.linalg.norm(y_axis)
    return np.stack([np.cross(y_axis, z_axis), y_axis, z_axis])
