"""Places: ground, wall or landscape behind a person, and the light there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes.lighting import Light
from scenes.noise import value_noise

Texture = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # (N, 2) m, (N,) m, seed to (N, 3)


def _mixed(low: tuple, high: tuple, amount: np.ndarray) -> np.ndarray:
    amount = np.clip(amount, 0, 1)[:, None]
    return np.array(low) * (1 - amount) + np.array(high) * amount


def _lines(along: np.ndarray, period: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1], soft lines of a width at every period, fading where pixels are wider."""
    distance = np.abs(np.mod(along + period / 2, period) - period / 2)
    soft = np.maximum(footprint, 1e-4)
    return np.clip((width / 2 - distance) / soft + 0.5, 0, 1) * np.clip(width / soft, 0, 1)


def _grid(points: np.ndarray, period: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1], soft lines both ways."""
    across, along = (_lines(column, period, width, footprint) for column in points.T)
    return np.maximum(across, along)


def planks(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """Floor boards along the depth."""
    board = np.floor(points[:, 0] / 0.14)
    tone = value_noise(np.stack([board * 3.7, board * 1.3 + 0.5], axis=1), seed, 1)
    fibre = value_noise(points * [26, 2.2], seed + 1, 3, footprint * 26)
    joints = _lines(points[:, 0], 0.14, 0.006, footprint)
    joints = np.maximum(joints, _lines(points[:, 1] + board * 0.71, 1.6, 0.006, footprint))
    colour = _mixed((0.42, 0.27, 0.16), (0.66, 0.47, 0.30), 0.5 + 0.3 * tone + 0.25 * fibre)
    return colour * (1 - 0.5 * joints)[:, None]


def carpet(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """A grey-green carpet."""
    tuft = value_noise(points * 70, seed, 2, footprint * 70)
    worn = value_noise(points * 1.5, seed + 1, 3, footprint * 1.5)
    return _mixed((0.30, 0.34, 0.33), (0.46, 0.50, 0.47), 0.5 + 0.3 * tuft + 0.2 * worn)


def grass(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """A lawn."""
    blades = value_noise(points * [45, 18], seed, 3, footprint * 45)
    patches = value_noise(points * 0.8, seed + 1, 4, footprint * 0.8)
    return _mixed((0.18, 0.27, 0.08), (0.48, 0.56, 0.24), 0.45 + 0.28 * blades + 0.35 * patches)


def asphalt(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """A pavement of slabs."""
    grit = value_noise(points * 55, seed, 3, footprint * 55)
    stain = value_noise(points * 1.2, seed + 1, 4, footprint * 1.2)
    joints = _grid(points, 0.9, 0.012, footprint)
    colour = _mixed((0.42, 0.41, 0.40), (0.62, 0.61, 0.59), 0.5 + 0.25 * grit + 0.3 * stain)
    return colour * (1 - 0.45 * joints)[:, None]


def sand(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """A beach."""
    ripples = value_noise(points * [3, 9], seed, 4, footprint * 9)
    grains = value_noise(points * 80, seed + 1, 2, footprint * 80)
    return _mixed((0.66, 0.56, 0.41), (0.86, 0.77, 0.60), 0.5 + 0.4 * ripples + 0.15 * grains)


def rubber(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """The mats of a gym."""
    specks = value_noise(points * 60, seed, 2, footprint * 60)
    joints = np.maximum(
        _lines(points[:, 0] + 0.4, 1.0, 0.008, footprint),
        _lines(points[:, 1], 1.0, 0.008, footprint),
    )
    colour = _mixed((0.15, 0.16, 0.18), (0.27, 0.28, 0.31), 0.5 + 0.35 * specks)
    return colour * (1 - 0.5 * joints)[:, None]


def court(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """A sports court with white lines."""
    worn = value_noise(points * 3, seed, 5, footprint * 3)
    colour = _mixed((0.50, 0.24, 0.17), (0.62, 0.33, 0.24), 0.5 + 0.4 * worn)
    white = np.maximum(
        _lines(points[:, 0] - 1.3, 9.0, 0.06, footprint),
        _lines(points[:, 1] - 7.2, 9, 0.06, footprint),
    )
    return colour * (1 - white)[:, None] + 0.85 * white[:, None]


def tiles(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """Large pale tiles."""
    cloud = value_noise(points * 2.5, seed, 4, footprint * 2.5)
    joints = np.maximum(
        _lines(points[:, 0] + 0.2, 0.6, 0.008, footprint),
        _lines(points[:, 1], 0.6, 0.008, footprint),
    )
    colour = _mixed((0.62, 0.60, 0.56), (0.76, 0.74, 0.70), 0.5 + 0.4 * cloud)
    return colour * (1 - 0.4 * joints)[:, None]


def _rectangle(
    points: np.ndarray, footprint: np.ndarray, x0: float, x1: float, y0: float, y1: float
) -> np.ndarray:
    """(N,) in [0, 1], soft-edged; y counts upwards from the floor."""
    soft = np.maximum(footprint, 1e-4)
    inside = [
        np.clip(distance / soft + 0.5, 0, 1)
        for distance in (points[:, 0] - x0, x1 - points[:, 0], points[:, 1] - y0, y1 - points[:, 1])
    ]
    return np.prod(inside, axis=0)


def _pasted(colour: np.ndarray, where: np.ndarray, tone: np.ndarray | tuple) -> np.ndarray:
    return colour * (1 - where)[:, None] + np.broadcast_to(tone, colour.shape) * where[:, None]


def plaster(tone: tuple[float, float, float], pictures: tuple = ()) -> Texture:
    """A painted wall with a skirting board and framed pictures (x0, x1, y0, y1, colour)."""

    def texture(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
        rough = value_noise(points * 4, seed, 5, footprint * 4)
        colour = np.array(tone) * (1 + 0.035 * rough)[:, None]
        for index, (x0, x1, y0, y1, paint) in enumerate(pictures):
            frame = _rectangle(points, footprint, x0 - 0.04, x1 + 0.04, y0 - 0.04, y1 + 0.04)
            colour = _pasted(colour, frame, (0.20, 0.15, 0.11))
            brush = value_noise(points * 5 + index * 17, seed + 5, 4, footprint * 5)
            canvas = np.array(paint) * (0.9 + 0.5 * brush)[:, None]
            colour = _pasted(colour, _rectangle(points, footprint, x0, x1, y0, y1), canvas)
        skirting = _rectangle(points, footprint, -99, 99, 0, 0.10)
        return _pasted(colour, skirting, (0.82, 0.81, 0.78))

    return texture


def bricks(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """A brick wall."""
    row = np.floor(points[:, 1] / 0.075)
    shifted = points[:, 0] + 0.11 * np.mod(row, 2)
    brick = np.stack([np.floor(shifted / 0.22) * 3.1, row * 2.3], axis=1)
    tone = value_noise(brick + 0.37, seed, 1)
    rough = value_noise(points * 30, seed + 1, 3, footprint * 30)
    mortar = np.maximum(
        _lines(points[:, 1], 0.075, 0.011, footprint), _lines(shifted, 0.22, 0.011, footprint)
    )
    colour = _mixed((0.42, 0.20, 0.14), (0.64, 0.36, 0.27), 0.5 + 0.35 * tone + 0.2 * rough)
    return _pasted(colour, mortar, (0.62, 0.59, 0.55))


def gym_wall(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    """A grey wall with a blue band and a row of windows."""
    rough = value_noise(points * 3, seed, 4, footprint * 3)
    colour = np.array([0.66, 0.68, 0.70]) * (1 + 0.04 * rough)[:, None]
    colour = _pasted(colour, _rectangle(points, footprint, -99, 99, 0, 1.1), (0.25, 0.36, 0.52))
    for x0 in (-5.2, -3.2, -1.2, 0.8, 2.8, 4.8):
        frame = _rectangle(points, footprint, x0 - 0.06, x0 + 1.46, 2.15, 3.6)
        colour = _pasted(colour, frame, (0.35, 0.36, 0.38))
        pane = _rectangle(points, footprint, x0, x0 + 1.4, 2.2, 3.55)
        colour = _pasted(colour, pane, (0.86, 0.91, 0.96))
    return colour


@dataclass(frozen=True)
class Landscape:
    """What stands behind where there is no wall, by direction of view."""

    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    hills: tuple[float, float, float]
    hill_height: float  # tangent of their height over the horizon
    roughness: float  # of their outline


def paint_landscape(rays: np.ndarray, landscape: Landscape, seed: int) -> np.ndarray:
    """(N, 3) picture colours of (N, 3) rays that meet neither ground nor wall."""
    along = rays[:, 0] / rays[:, 2]
    up = -rays[:, 1] / rays[:, 2]
    colour = _mixed(landscape.horizon, landscape.zenith, up * 2.2)
    clouds = value_noise(np.stack([along * 3, up * 9], axis=1), seed, 5)
    colour = _pasted(colour, np.clip(clouds * 1.6 - 0.25, 0, 0.7), (0.96, 0.96, 0.97))
    outline = value_noise(np.stack([along * 5, 0 * along], axis=1), seed + 1, 5)
    top = landscape.hill_height * (1 + landscape.roughness * outline)
    leaves = value_noise(np.stack([along * 60, up * 60], axis=1), seed + 2, 3)
    hills = np.array(landscape.hills) * (1 + 0.3 * leaves * (landscape.roughness > 0.1))[:, None]
    return _pasted(colour, np.clip((top - up) * 300, 0, 1), hills)


@dataclass(frozen=True)
class Place:
    """Where a person stands.

    Attributes:
        ground: its texture.
        light: its light.
        wall: texture of the wall behind, or None.
        wall_distance: metres behind the person.
        landscape: what is seen where there is no wall.
        exposure: brightness of the picture.
    """

    ground: Texture
    light: Light
    wall: Texture | None = None
    wall_distance: float = 1.6
    landscape: Landscape | None = None
    exposure: float = 1.0


def _indoors(main: tuple, warmth: float = 1.0) -> Light:
    warm = np.array([1.0, 0.95, 0.86]) ** warmth
    return Light(main, tuple(0.62 * warm), 16, tuple(0.46 * warm), tuple(0.10 * warm))


def _outdoors(main: tuple, sun: float = 0.85) -> Light:
    return Light(main, (sun, 0.94 * sun, 0.82 * sun), 3, (0.36, 0.42, 0.50), (0.12, 0.12, 0.09))


_TREES = Landscape((0.36, 0.56, 0.84), (0.80, 0.88, 0.94), (0.16, 0.26, 0.12), 0.16, 0.6)
_SEA = Landscape((0.30, 0.54, 0.84), (0.82, 0.90, 0.95), (0.16, 0.42, 0.52), 0.03, 0.0)
_TOWN = Landscape((0.50, 0.62, 0.80), (0.88, 0.90, 0.92), (0.40, 0.42, 0.46), 0.10, 0.35)

PLACES = {
    "room": Place(
        planks, _indoors((-0.8, -0.8, -0.9)),
        plaster((0.78, 0.75, 0.68), ((-1.45, -0.75, 1.25, 1.75, (0.45, 0.36, 0.22)),
                                     (0.85, 1.35, 1.1, 1.8, (0.25, 0.40, 0.45)))),
    ),
    "park": Place(grass, _outdoors((0.7, -1.0, -0.8)), landscape=_TREES),
    "gym": Place(rubber, _indoors((0.5, -1.0, -0.7), 0.3), gym_wall, 3.5, exposure=1.15),
    "study": Place(
        carpet, _indoors((0.9, -0.7, -0.8)),
        plaster((0.62, 0.68, 0.70), ((-1.3, -0.4, 1.1, 1.7, (0.62, 0.50, 0.30)),)), 1.3,
    ),
    "street": Place(asphalt, _outdoors((-0.9, -1.0, -0.7)), bricks, 1.2),
    "beach": Place(sand, _outdoors((-0.6, -1.1, -0.9), 0.9), landscape=_SEA, exposure=0.95),
    "court": Place(court, _outdoors((0.8, -1.1, -0.6)), landscape=_TOWN),
    "hall": Place(
        tiles, _indoors((-0.4, -0.9, -0.9), 0.6),
        plaster((0.70, 0.62, 0.52), ((0.55, 1.35, 0.9, 1.9, (0.30, 0.30, 0.42)),)), 2.0,
    ),
}  # fmt: skip
