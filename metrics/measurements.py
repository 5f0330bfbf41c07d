"""Body measurements of a T-posed body, in the units people use.

From one photo without a scale the height is what the training shapes make likely, not what was
measured; proportions are better founded than absolute sizes. `metrics/README.md` defines each one.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from metrics.anatomy import Anatomy
from metrics.tapes import lay_tapes, measure_closed, measure_open

BODY_DENSITY = 1000.0  # kg / m^3, people with air in their lungs float


class Measurements(NamedTuple):
    """Of a body that stands in the T-pose; girths are those of a tape, see `metrics.tapes`."""

    height_m: float  # soles to crown
    weight_kg: float  # volume times `BODY_DENSITY`
    waist_m: float
    hips_m: float
    chest_m: float  # men's chest, women's bust
    bmi_kg_per_m2: float  # body-mass index: weight over the square of the height
    head_m: float
    neck_m: float
    shoulder_breadth_m: float
    underbust_m: float
    upper_arm_m: float
    forearm_m: float
    wrist_m: float
    thigh_m: float
    knee_m: float
    calf_m: float
    ankle_m: float
    arm_length_m: float
    inside_leg_m: float
    back_length_m: float
    shoulder_to_crotch_m: float

    def __str__(self) -> str:
        """One line for people."""
        return self.describe({})

    def describe(self, errors: Mapping[str, float]) -> str:
        """One line for people, with the errors that measurements are known to have, by name."""
        words = []
        for label, name, factor, digits, unit in _PRINTED:
            error = round(factor * errors.get(name, 0.0), max(digits, 1))
            margin = f" (±{error:.{max(digits, 1)}f})" if error > 0 else ""
            words.append(f"{label} {factor * getattr(self, name):.{digits}f} {unit}{margin}")
        return ", ".join(words)


# What, of which field, times what, with how many digits after the point, in which unit.
_PRINTED = (
    ("height", "height_m", 1, 2, "m"),
    ("weight", "weight_kg", 1, 0, "kg"),
    ("waist", "waist_m", 100, 0, "cm"),
    ("hips", "hips_m", 100, 0, "cm"),
    ("chest", "chest_m", 100, 0, "cm"),
)


def measure(vertices_tpose: np.ndarray, anatomy: Anatomy) -> Measurements:
    """Measures a body.

    Args:
        vertices_tpose: (V, 3) metres, T-pose, y up.
        anatomy: of the same mesh.
    """
    vertices = np.asarray(vertices_tpose, dtype=np.float64)
    around, along = lay_tapes(vertices, anatomy)
    height = float(np.ptp(vertices[:, 1]))
    weight = compute_volume(vertices, anatomy.faces) * BODY_DENSITY
    return Measurements(
        height_m=height,
        weight_kg=weight,
        bmi_kg_per_m2=weight / height**2,
        **{name: measure_closed(line) for name, line in around.items()},
        **{name: measure_open(line) for name, line in along.items()},
    )


def compute_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume of a closed mesh, m^3: the sum of signed tetrahedra to the origin.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) ints, either winding.
    """
    a, b, c = vertices[faces.T]
    ax, ay, az, bx, by, bz, cx, cy, cz = (plane for corner in (a, b, c) for plane in corner.T)
    dets = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return float(abs(dets.sum()) / 6)
