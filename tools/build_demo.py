"""Makes the demo images: rendered people of known shape and pose, dressed, in places.

    python -m tools.build_demo

For every person of `scenes.people.PEOPLE` it writes `demo/<name>.jpg` and, beside it, the truth as
`demo/<name>_truth.npz` (what its keys mean is said in `data.truth`). The same code and body
files give the same images.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from models.body_model import BodyModel
from scenes.people import PEOPLE, Person, build_pose, fit_betas
from scenes.photograph import Camera, Figure, photograph, stand_before_camera, write_photo
from scenes.picture_options import PictureOptions
from scenes.scenery import PLACES
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.paths import DEMO

SPAN = 1.22  # height of the picture over the person's extent


@dataclass(frozen=True)
class DemoOptions:
    """Options of build_demo.py."""

    output: Path = DEMO  # folder for images and truths
    seed: int = 0  # of textures and grain
    only: str = ""  # name of one person; empty for all
    picture: PictureOptions = PictureOptions()


def main(options: DemoOptions) -> None:
    """Builds the images that the options ask for."""
    people = [person for person in PEOPLE if options.only in ("", person.name)]
    if not people:
        names = ", ".join(person.name for person in PEOPLE)
        raise InputError(f"--only {options.only}: nobody of that name; there are: {names}")
    for person in people:
        print(build(person, options))


def build(person: Person, options: DemoOptions) -> str:
    """Writes a person's image and truth; returns a line about them."""
    body = BodyModel.load("open", person.gender).eval()
    figure = pose_figure(person, body, options.picture)
    seed = options.seed + 1000 * PEOPLE.index(person)
    picture = photograph(person, PLACES[person.place], figure, body, seed)
    path = options.output / f"{person.name}.jpg"
    options.output.mkdir(parents=True, exist_ok=True)
    found = write_photo(path, picture, figure, body)
    return f"{path}: {person.gender}, {found}, |betas| at most {np.abs(figure.betas).max():.1f}"


def pose_figure(
    person: Person, body: BodyModel, picture: PictureOptions = PictureOptions()
) -> Figure:
    """Shapes and poses the body, stands it on the ground and points the camera at it."""
    camera_for = partial(_place_camera, picture=picture)
    return stand_before_camera(
        body, fit_betas(person, body), build_pose(person), person.distance, camera_for
    )


def _place_camera(vertices: np.ndarray, distance: float, picture: PictureOptions) -> Camera:
    width, height = picture.width, picture.height
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    centre = (low + high) / 2
    pitch = np.arctan2(centre[1], distance)
    to_camera = Rotation.from_euler("x", pitch).as_matrix()
    extent = max(high[1] - low[1], (high[0] - low[0]) * height / width)
    focal = height * distance / (SPAN * extent)
    cam_k = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera(cam_k, to_camera, distance, picture)


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(DemoOptions, __doc__))))
