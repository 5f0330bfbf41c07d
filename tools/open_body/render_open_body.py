"""Draw the pictures of the open body: its betas, random draws, poses, and made people.

PYOPENGL_PLATFORM=egl python -m tools.open_body.render_open_body
"""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro

from data.made_shapes import read_made_people
from metrics.anatomy import Anatomy
from metrics.measurements import measure
from models.body_model import BodyModel
from tools.open_body.measure_open_body import OpenBody
from tools.open_body.poses import NAMED, named_pose
from tools.open_body.shapes import DENSITY, stature
from tools.pose_tools import to_rotmats
from utils.files import write_whole
from utils.paths import OPEN_BODY, OPEN_SHAPES

SKIN = (0.75, 0.70, 0.68, 1.0)
LIGHTS = (((-0.5, 0.6, 1.0), 3.0), ((0.9, 0.3, 0.6), 1.5))  # direction towards it, intensity
FRAME_M = 2.15  # metres that a cell shows from top to bottom


@dataclass(frozen=True)
class Pictures:
    """What is drawn."""

    folder: Path = OPEN_BODY  # where the files are and the pictures go
    cell: tuple[int, int] = (150, 190)  # width and height in pixels
    draws: int = 30  # random shapes
    betas_std: float = 1.5  # spread of the betas
    extreme: float = 4.0  # betas of the first picture, plus and minus


class Painter:
    """Orthographic pictures of meshes with pyrender."""

    def __init__(self, faces: np.ndarray, cell: tuple[int, int]):
        """Open an off-screen renderer for meshes of `faces` and cells of that size."""
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
        import pyrender

        self.pyrender, self.faces, self.cell = pyrender, faces, cell
        self.renderer = pyrender.OffscreenRenderer(*cell)

    def __call__(self, vertices: np.ndarray, label: str, yaw: float = 25.0) -> np.ndarray:
        """Draw vertices (V, 3), turned by yaw degrees; (H, W, 3) uint8 BGR."""
        import trimesh

        pyrender = self.pyrender
        vertices = vertices @ to_rotmats([0, np.radians(yaw), 0]).T
        vertices = vertices - (vertices.min(0) + vertices.max(0)) / 2
        scene = pyrender.Scene(bg_color=(255, 255, 255, 255), ambient_light=(0.25,) * 3)
        material = pyrender.MetallicRoughnessMaterial(
            baseColorFactor=SKIN, metallicFactor=0.0, roughnessFactor=0.8
        )
        mesh = trimesh.Trimesh(vertices, self.faces, process=False)
        scene.add(pyrender.Mesh.from_trimesh(mesh, material=material))
        width, height = self.cell
        camera = pyrender.OrthographicCamera(FRAME_M / 2 * width / height, FRAME_M / 2, zfar=20)
        pose = np.eye(4)
        pose[2, 3] = 5
        scene.add(camera, pose=pose)
        for direction, intensity in LIGHTS:
            scene.add(pyrender.DirectionalLight(intensity=intensity), pose=looking(direction))
        picture = np.ascontiguousarray(self.renderer.render(scene)[0][..., ::-1])
        cv2.putText(picture, label, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 160), 1, 16)
        return picture


def looking(direction: tuple[float, float, float]) -> np.ndarray:
    """Pose (4, 4) of a light that shines from a direction towards the origin."""
    back = np.array(direction) / np.linalg.norm(direction)
    right = np.cross([0, 1, 0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], 1)
    return pose


def sheet(cells: list[np.ndarray], columns: int) -> np.ndarray:
    """Cells of equal size in rows of `columns`."""
    blank = np.full_like(cells[0], 255)
    cells = cells + [blank] * (-len(cells) % columns)
    rows = [np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows)


def shape_cells(body: OpenBody, paint: Painter, options: Pictures) -> list[np.ndarray]:
    """Every beta at its extremes, then random draws with their height and BMI."""
    cells = []
    for component in range(10):
        for value in (-options.extreme, options.extreme):
            betas = np.zeros((1, 10))
            betas[0, component] = value
            cells.append(paint(body.shaped(betas)[0], f"beta {component}: {value:+.0f}"))
    betas = options.betas_std * np.random.default_rng(5).standard_normal((options.draws, 10))
    drawn = body.shaped(betas)
    bmi = body.volumes(drawn) * DENSITY / stature(drawn) ** 2
    for vertices, mass in zip(drawn, bmi, strict=True):
        cells.append(paint(vertices, f"{stature(vertices):.2f} m, BMI {mass:.0f}"))
    return cells


def pose_cells(body: OpenBody, paint: Painter, options: Pictures) -> list[np.ndarray]:
    """The named poses of the mean body and of the thinnest and heaviest hundredth."""
    betas = options.betas_std * np.random.default_rng(3).standard_normal((1000, 10))
    shaped = body.shaped(betas)
    order = np.argsort(body.volumes(shaped) / stature(shaped) ** 2)
    cells = []
    people = {"mean": 0 * betas[:1], "1 %": betas[order[9:10]], "99 %": betas[order[989:990]]}
    for label, one in people.items():
        for name in NAMED:
            vertices = body.posed(one, to_rotmats(named_pose(name))[None])[0][0]
            cells.append(paint(vertices, f"{label}, {name}", yaw=30))
    return cells


def made_cells(paint: Painter, options: Pictures) -> list[np.ndarray]:
    """The first of the made people of data/open_shapes.npz."""
    body = BodyModel.load("open", "neutral")
    people = read_made_people([OPEN_SHAPES], body.identity["hash"])
    anatomy = Anatomy.of(body)
    cells = []
    for vertices in body.tpose(torch.from_numpy(people.betas[: options.draws])).double().numpy():
        height, weight = measure(vertices, anatomy)[:2]
        cells.append(paint(vertices, f"{height:.2f} m, BMI {weight / height**2:.0f}"))
    return cells


def main(options: Pictures) -> None:
    """Write shapes.png and poses.png, and open_shapes.png beside its people."""
    body = OpenBody(options.folder / "OPEN_NEUTRAL.npz")
    paint = Painter(body.faces, options.cell)
    pictures = {
        options.folder / "shapes.png": sheet(shape_cells(body, paint, options), 10),
        options.folder / "poses.png": sheet(pose_cells(body, paint, options), len(NAMED)),
        OPEN_SHAPES.with_suffix(".png"): sheet(made_cells(paint, options), 10),
    }
    for path, picture in pictures.items():
        _, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        write_whole(path, encoded.tobytes())


if __name__ == "__main__":
    main(tyro.cli(Pictures))
