"""Measure the committed open body against Anny and print the table for its README.md.

    python -m tools.open_body.measure_open_body

Everything is measured on people, shapes and poses that the build did not see (other seeds).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from scipy.spatial import cKDTree
from trimesh.triangles import closest_point

from tools.open_body.build_open_body import GENDERS, Options, make_mesh
from tools.open_body.poses import named_pose, random_poses
from tools.open_body.shapes import (
    DENSITY,
    Half,
    Population,
    draw_people,
    stature,
    tposed_people,
)
from tools.open_body.skeleton import pose_body
from tools.open_body.source import Source, load_source
from tools.open_body.topology import closed_left_half, mirror_faces, mirror_vertices
from tools.pose_tools import to_rotmats
from utils.joints import COCOPLUS_JOINTS, SMPL_JOINTS
from utils.paths import OPEN_BODY

MM = 1000.0
PERCENTILES = (0.5, 50, 99.5)
# People as common as in a crowd: what the trial's figures were measured on comes near this.
ORDINARY = Population(
    size=400, height_mean=(1.77, 1.64), height_std=0.073, girth_mean=4.9, girth_std=0.38, seed=99
)
LIMBS = ("hip", "knee", "elbow", "shoulder", "wrist", "ankle")


@dataclass(frozen=True)
class Measured:
    """What is measured and how much of it."""

    folder: Path = OPEN_BODY  # where the files are
    draws: int = 6000  # shapes drawn as training draws them
    people: int = 400  # held-out people
    poses: int = 300  # held-out posed bodies


class OpenBody:
    """One of the files, and its skinning."""

    def __init__(self, path: Path):
        """Read an SMPL-format npz."""
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files}
        self.faces = self.arrays["f"]

    def shaped(self, betas: np.ndarray) -> np.ndarray:
        """T-posed vertices (B, V, 3) of betas (B, 10)."""
        offsets = np.tensordot(betas, self.arrays["shapedirs"], ([1], [2]))
        return (self.arrays["v_template"] + offsets).astype(np.float32)

    def posed(self, betas: np.ndarray, rotmats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posed vertices (B, V, 3) and joints (B, 24, 3)."""
        vertices = self.shaped(betas)
        joints = np.matmul(self.arrays["J_regressor"], vertices)
        weights, posedirs = self.arrays["weights"], self.arrays["posedirs"]
        return pose_body(vertices, joints, rotmats, weights, posedirs)

    def volumes(self, vertices: np.ndarray) -> np.ndarray:
        """Volumes in m^3 of bodies (B, V, 3)."""
        a, b, c = (vertices[:, self.faces[:, i]] for i in range(3))
        return np.einsum("bfi,bfi->b", np.cross(a, b), c) / 6

    def fitted(self, vertices: np.ndarray) -> np.ndarray:
        """The nearest bodies (B, V, 3) that betas can make, in the least-squares sense."""
        offsets = (vertices - self.arrays["v_template"]).reshape(len(vertices), -1)
        basis = self.arrays["shapedirs"].reshape(-1, self.arrays["shapedirs"].shape[2])
        return self.shaped(np.linalg.lstsq(basis, offsets.T, rcond=None)[0].T)


def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean Euclidean distance in mm of points (..., 3)."""
    return MM * float(np.linalg.norm(a - b, axis=-1).mean())


def print_spread(body: OpenBody, name: str, draws: int, betas_std: float) -> None:
    """Height and BMI of the shapes that training draws."""
    rng = np.random.default_rng(123)
    heights, volumes = [], []
    for _ in range(draws // 500):
        vertices = body.shaped(betas_std * rng.standard_normal((500, 10)))
        heights.append(stature(vertices))
        volumes.append(body.volumes(vertices))
    height, volume = np.concatenate(heights), np.concatenate(volumes)
    for what, values in (("height (m)", height), ("BMI", volume * DENSITY / height**2)):
        low, middle, high = np.percentile(values, PERCENTILES)
        print(f"{name} {what} at {PERCENTILES} %: {low:.2f} {middle:.2f} {high:.2f}")


def print_people(bodies: dict, source: Source, half: Half, midline: np.ndarray) -> None:
    """Shape and joint errors on held-out people."""
    base = replace(Population(), size=ORDINARY.size, seed=ORDINARY.seed)
    for label, population in (("wide", base), ("ordinary", ORDINARY)):
        for gender, body in bodies.items():
            people = replace(population, gender=GENDERS[gender])
            coefficients = draw_people(source, half, people)[0]
            halves, joints = tposed_people(source, half, coefficients)
            vertices = mirror_vertices(halves, midline)
            error = mean_distance(body.fitted(vertices), vertices)
            alone = mean_distance(vertices.mean(0), vertices)
            neutral = mean_distance(bodies["NEUTRAL"].fitted(vertices), vertices)
            print(
                f"{label} {gender}: shape error {error:.2f} mm (neutral base {neutral:.2f}, "
                f"mean shape {alone:.1f})"
            )
            if gender == "NEUTRAL":
                regressed = np.matmul(body.arrays["J_regressor"], vertices)
                errors = MM * np.linalg.norm(regressed - joints, axis=2).mean(0)
                each = ", ".join(
                    f"{name} {error:.1f}"
                    for name, error in zip(SMPL_JOINTS, errors, strict=True)
                    if not name.startswith("right")
                )
                print(f"{label} joints: mean {errors.mean():.2f} mm ({each})")


def print_poses(body: OpenBody, landmarks: dict, poses: int, betas_std: float) -> None:
    """Landmark errors and volume changes of posed bodies."""
    rng = np.random.default_rng(321)
    betas = betas_std * rng.standard_normal((poses, 10))
    vertices, joints = body.posed(betas, random_poses(poses, rng))
    for limb in LIMBS:
        row = landmarks["cocoplus_regressor"][COCOPLUS_JOINTS.index(f"cocoplus_left_{limb}")]
        error = mean_distance(row @ vertices, joints[:, SMPL_JOINTS.index(f"left_{limb}")])
        print(f"landmark {limb}: {error:.2f} mm")
    rest = body.volumes(body.shaped(np.zeros((1, 10))))
    for name in ("stand", "sit", "squat", "arms up"):
        posed = body.posed(np.zeros((1, 10)), to_rotmats(named_pose(name))[None])[0]
        print(f"volume, {name}: {100 * (body.volumes(posed) / rest - 1)[0]:+.2f} %")


def distance_to(points: np.ndarray, triangles: np.ndarray, near: int = 24) -> np.ndarray:
    """Distances (N,) of points to the nearest of the triangles (F, 3, 3) with near centres."""
    faces = cKDTree(triangles.mean(1)).query(points, near)[1].reshape(-1)
    repeated = np.repeat(points, near, 0)
    nearest = closest_point(triangles[faces], repeated)
    return np.linalg.norm(nearest - repeated, axis=1).reshape(-1, near).min(1)


def print_decimation(source: Source, kept: np.ndarray, half_faces: np.ndarray) -> None:
    """Distance of the full mesh's vertices to the decimated surface, over 50 people."""
    faces, _ = closed_left_half(source)
    all_kept, numbered = np.unique(faces, return_inverse=True)
    full = Half.of(source, all_kept, numbered.reshape(faces.shape))
    people = draw_people(source, full, replace(Population(), size=50, seed=77))[0]
    halves = tposed_people(source, full, people)[0]
    chosen = np.searchsorted(all_kept, kept)
    midline = np.abs(source.vertices[kept, 0]) < 1e-6
    distances = []
    for half in halves:
        surface = mirror_vertices(half[chosen], midline)
        distances.append(distance_to(half, surface[mirror_faces(half_faces, midline)]))
    distances = MM * np.concatenate(distances)
    print(f"decimation: mean {distances.mean():.4f} mm, worst {distances.max():.2f} mm")


def main(measured: Measured) -> None:
    """Print all figures."""
    options = Options()
    bodies = {gender: OpenBody(measured.folder / f"OPEN_{gender}.npz") for gender in GENDERS}
    with np.load(measured.folder / "landmarks.npz") as file:
        landmarks = {name: file[name] for name in file.files}
    for gender, body in bodies.items():
        print_spread(body, gender, measured.draws, options.betas_std)
    print_poses(bodies["NEUTRAL"], landmarks, measured.poses, options.betas_std)
    source = load_source()
    kept, half_faces, _ = make_mesh(source, options)
    midline = np.abs(source.vertices[kept, 0]) < 1e-6
    print_people(bodies, source, Half.of(source, kept, half_faces), midline)
    print_decimation(source, kept, half_faces)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(Measured))
