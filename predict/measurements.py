"""Body measurements of a T-posed body, in the units people use.

From one photo without a scale the height is what the training shapes make likely, not what was
measured; proportions are better founded than absolute sizes.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import ConvexHull

BODY_DENSITY = 1000.0  # kg / m^3, people with air in their lungs float
WAIST_SHARE = 0.61  # of the height: between the lowest rib and the hip bone
HIP_SHARES = (0.45, 0.54)  # of the height, where the widest girth of the hips is looked for
HIP_LEVELS = 10


class Measurements(NamedTuple):
    """Of a body that stands in the T-pose."""

    height_m: float  # soles to crown
    weight_kg: float  # volume times `BODY_DENSITY`
    waist_m: float  # girth of the convex outline at `WAIST_SHARE` of the height
    hips_m: float  # largest such girth between `HIP_SHARES` of the height

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"height {self.height_m:.2f} m, weight {self.weight_kg:.0f} kg, "
            f"waist {100 * self.waist_m:.0f} cm, hips {100 * self.hips_m:.0f} cm"
        )


def measure(vertices_tpose: np.ndarray, faces: np.ndarray) -> Measurements:
    """Measures a body.

    Args:
        vertices_tpose: (V, 3) metres, T-pose, y up.
        faces: (F, 3) ints of a closed mesh.
    """
    vertices = np.asarray(vertices_tpose, dtype=np.float64)
    floor, crown = vertices[:, 1].min(), vertices[:, 1].max()
    height = crown - floor
    edges = edges_of(faces)
    hip_levels = floor + height * np.linspace(*HIP_SHARES, HIP_LEVELS)
    return Measurements(
        height_m=float(height),
        weight_kg=volume_of(vertices, faces) * BODY_DENSITY,
        waist_m=girth_at(vertices, edges, floor + WAIST_SHARE * height),
        hips_m=max(girth_at(vertices, edges, level) for level in hip_levels),
    )


def volume_of(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume of a closed mesh, m^3: the sum of signed tetrahedra to the origin.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) ints, either winding.
    """
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return float(abs(np.einsum("ij,ij->", a, np.cross(b, c))) / 6)


def girth_at(vertices: np.ndarray, edges: np.ndarray, level: float) -> float:
    """Length of a tape around the mesh at a height: the hull of its cut with the plane y = level.

    Args:
        vertices: (V, 3) metres, y up.
        edges: (E, 2) vertex numbers, `edges_of`.
        level: height of the plane, metres.

    Returns:
        Metres; 0 where the plane misses the mesh.
    """
    above = vertices[:, 1] >= level
    start, end = vertices[edges[above[edges[:, 0]] != above[edges[:, 1]]].T]  # (N, 3) each
    if len(start) < 3:
        return 0.0
    along = ((level - start[:, 1]) / (end[:, 1] - start[:, 1]))[:, None]
    outline = (start + along * (end - start))[:, [0, 2]]
    # The "area" of a hull in the plane is its perimeter.
    return float(ConvexHull(outline).area)


def edges_of(faces: np.ndarray) -> np.ndarray:
    """(E, 2) edges of (F, 3) faces of a closed mesh, each once.

    There the two faces of an edge run through it in opposite directions; one of them goes up.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return edges[edges[:, 0] < edges[:, 1]]
