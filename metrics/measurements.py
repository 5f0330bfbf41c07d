"""Body measurements of a T-posed body, in the units people use.

From one photo without a scale the height is what the training shapes make likely, not what was
measured; proportions are better founded than absolute sizes.
"""

from typing import NamedTuple

import cv2
import numpy as np

BODY_DENSITY = 1000.0  # kg / m^3, people with air in their lungs float
WAIST_SHARE = 0.61  # of the height: between the lowest rib and the hip bone
HIP_SHARES = (0.45, 0.54)  # of the height, where the widest girth of the hips is looked for
CHEST_SHARES = (0.69, 0.73)  # of the height, where the widest girth of the chest is looked for
LEVELS = 10  # cuts where a widest girth is looked for
ARM_REACH = 0.2  # of the height: what is further from the body's middle is no trunk
ARMPIT_ROOM = 0.01  # of the height: the chest is measured at least this far below the arms


class Measurements(NamedTuple):
    """Of a body that stands in the T-pose."""

    height_m: float  # soles to crown
    weight_kg: float  # volume times `BODY_DENSITY`
    waist_m: float  # girth of the convex outline at `WAIST_SHARE` of the height
    hips_m: float  # largest such girth between `HIP_SHARES` of the height
    chest_m: float  # largest such girth of the trunk below the arms, see `measure`

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"height {self.height_m:.2f} m, weight {self.weight_kg:.0f} kg, "
            f"waist {100 * self.waist_m:.0f} cm, hips {100 * self.hips_m:.0f} cm, "
            f"chest {100 * self.chest_m:.0f} cm"
        )


def measure(vertices_tpose: np.ndarray, faces: np.ndarray) -> Measurements:
    """Measures a body.

    The chest is measured as a tape is laid for it, under the armpits: its girth is the largest
    between `CHEST_SHARES` of the height. Where a body's arms begin lower than that, the range ends
    `ARMPIT_ROOM` below them, so that no cut passes through an arm. All levels are shares of the
    body's own height: a body that is scaled has its girths scaled alike.

    Args:
        vertices_tpose: (V, 3) metres, T-pose, y up.
        faces: (F, 3) ints of a closed mesh.
    """
    vertices = np.asarray(vertices_tpose, dtype=np.float64)
    floor, crown = vertices[:, 1].min(), vertices[:, 1].max()
    height = crown - floor
    lowest, highest = CHEST_SHARES
    under_arms = _find_arm_level(vertices, lowest) - ARMPIT_ROOM
    shares = (
        np.array([WAIST_SHARE]),
        np.linspace(*HIP_SHARES, LEVELS),
        np.linspace(lowest, np.clip(under_arms, lowest, highest), LEVELS),
    )
    girths = measure_girths(vertices, find_edges(faces), floor + height * np.concatenate(shares))
    waist, hips, chest = np.split(girths, np.cumsum([len(each) for each in shares])[:-1])
    return Measurements(
        height_m=float(height),
        weight_kg=compute_volume(vertices, faces) * BODY_DENSITY,
        waist_m=float(waist.max()),
        hips_m=float(hips.max()),
        chest_m=float(chest.max()),
    )


def _find_arm_level(vertices: np.ndarray, lowest: float) -> float:
    """The level of the lowest point of the arms, a share of the height; 1 where there are none.

    Args:
        vertices: (V, 3) metres, T-pose, y up.
        lowest: share of the height below which nothing is taken for an arm.
    """
    x, y = vertices[:, 0], vertices[:, 1]
    shares = (y - y.min()) / np.ptp(y)
    middle = (x.min() + x.max()) / 2
    arms = (np.abs(x - middle) > ARM_REACH * np.ptp(y)) & (shares >= lowest)
    return float(shares[arms].min(initial=1.0))


def compute_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume of a closed mesh, m^3: the sum of signed tetrahedra to the origin.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) ints, either winding.
    """
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return float(abs(np.einsum("ij,ij->", a, np.cross(b, c))) / 6)


def measure_girths(vertices: np.ndarray, edges: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Lengths of a tape around the mesh: hulls of its cuts with the planes y = level.

    Args:
        vertices: (V, 3) metres, y up.
        edges: (E, 2) vertex numbers, `find_edges`.
        levels: (L,) heights of the planes, metres.

    Returns:
        (L,) metres; 0 where the plane misses the mesh.
    """
    from_y, to_y = vertices[edges[:, 0], 1], vertices[edges[:, 1], 1]
    low, high = np.minimum(from_y, to_y), np.maximum(from_y, to_y)
    near = (low < levels.max()) & (high >= levels.min())  # few edges; the others meet no plane
    low, high = low[near], high[near]
    start, end = np.moveaxis(vertices[edges[near]], 1, 0)  # (N, 3) each
    return np.array(
        [
            _measure_girth(start[cut], end[cut], level)
            for level in levels
            for cut in [(low < level) & (level <= high)]
        ]
    )


def _measure_girth(start: np.ndarray, end: np.ndarray, level: float) -> float:
    """Perimeter of the convex outline where edges (N, 3) to (N, 3) meet the plane y = level."""
    if len(start) < 3:
        return 0.0
    along = ((level - start[:, 1]) / (end[:, 1] - start[:, 1]))[:, None]
    outline = (start + along * (end - start))[:, [0, 2]]
    # In float32 a corner may be taken or left that is no corner by 0.1 um, which no tape feels.
    centred = (outline - outline.mean(axis=0)).astype(np.float32)
    corners = outline[cv2.convexHull(centred, returnPoints=False)[:, 0]]
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).sum())


def find_edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) edges of (F, 3) faces of a closed mesh, each once.

    There the two faces of an edge run through it in opposite directions; one of them goes up.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return edges[edges[:, 0] < edges[:, 1]]
