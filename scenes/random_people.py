"""People drawn at random, and photographed like those of the demo: for the open benchmark.

Shapes are drawn as training draws them, poses are taken from a file and stood on the ground;
clothes, skin, place, light and camera vary.
"""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from data.made_shapes import read_made_people
from data.pose_dataset import PoseData
from models.body_model import BodyModel, read_mean_parameters
from scenes.people import Clothes, Person
from scenes.photograph import Camera, Figure, photograph, pose_person, stand_before_camera
from scenes.picture_options import PictureOptions
from scenes.scenery import PLACES, Place
from utils.errors import InputError
from utils.joints import SMPL_JOINTS
from utils.options import NotNegative, Share
from utils.rotations import pose_to_rotmats

STANCES_ON_STOOLS = ("sitting", "ankle_on_knee", "legs_crossed")
STANCES_LEFT_OUT = ("tailor_seat",)  # their feet touch the ground before the seat does
MAX_LEAN = 60.0  # degrees, most that the trunk leans
MAX_TILT = 20.0  # degrees between the pose's camera and the ground that it stands on
TILT_STD = 8.0  # degrees, spread of the tilts that the poses were given
CONTACT_DEPTH = 0.015  # m, what is this near to the ground touches it
MIN_CONTACT = 0.0025  # m^2, two toes; with less nobody stands
DISTANCES = (3.6, 7.5)  # m from the camera
SPANS = (1.15, 1.5)  # height of the picture over the person's extent

_SKINS = ((0.90, 0.74, 0.65), (0.85, 0.66, 0.55), (0.74, 0.54, 0.42), (0.60, 0.42, 0.31),
          (0.46, 0.31, 0.22), (0.33, 0.22, 0.16))  # fmt: skip
_HAIRS = ((0.06, 0.05, 0.05), (0.16, 0.10, 0.07), (0.32, 0.20, 0.11), (0.62, 0.46, 0.26),
          (0.45, 0.18, 0.08), (0.68, 0.67, 0.66))  # fmt: skip
_SHOES = ((0.12, 0.10, 0.10), (0.86, 0.86, 0.88), (0.36, 0.25, 0.17), (0.72, 0.22, 0.20))


class Shape(NamedTuple):
    """Whose body it is."""

    betas: np.ndarray  # (10,), or more with shape details
    offsets: np.ndarray | None = None  # (V, 3) metres, of the T-pose, beyond what betas tell


@dataclass(frozen=True)
class ShapeSpread:
    """How shapes are drawn, as `synthesis.options.AugmentationOptions` names it."""

    betas_std: NotNegative = 1.5  # per component, around the mean shape
    betas_wide: Share = 0.0  # share of people whose betas spread up to twice as far
    shape_details: NotNegative = 0.0  # standard deviation of the betas after the first ten
    made_shapes: Path | None = None  # npz of shapes, see `data.made_shapes`
    made_share: Share = 0.6  # of the people, who have one of those shapes, if there are any


class Scene(NamedTuple):
    """One person before they are rendered."""

    person: Person  # clothes and stool; sizes and turns are not used
    place: Place
    figure: Figure


def photograph_scene(scene: Scene, seed: int) -> np.ndarray:
    """The finished picture, (H, W, 3) uint8 RGB."""
    return photograph(*scene, neutral_body(), seed)


def draw_scene(
    poses: PoseData,
    spread: ShapeSpread,
    generator: np.random.Generator,
    picture: PictureOptions = PictureOptions(),
    shape: Shape | None = None,
) -> Scene:
    """Draws a person: shape, pose, clothes, place, light and camera.

    Args:
        poses: to choose from.
        spread: of the shapes.
        generator: of everything.
        picture: that will be taken.
        shape: theirs; None draws betas.

    Raises:
        InputError: the body can stand in none of the poses.
    """
    if shape is None:
        shape = Shape(draw_betas(spread, generator))
    level, stance = _draw_pose(shape, poses, generator)
    figure = place_figure(*shape, level, generator, picture)
    name, place = _draw_place(figure, generator)
    person = Person(
        "", "neutral", 0, 0, 0, {}, 0, _draw_clothes(generator), name, stance in STANCES_ON_STOOLS
    )
    return Scene(person, place, figure)


def draw_betas(spread: ShapeSpread, generator: np.random.Generator) -> np.ndarray:
    """Betas around the mean shape, or a made person's, the first that is drawn of a person.

    Returns:
        (10,) float32, or with shape details where the spread has any.
    """
    if spread.made_shapes is not None and generator.random() < spread.made_share:
        return generator.choice(_read_made_shapes(spread.made_shapes))
    mean = read_mean_parameters("open").betas.numpy()
    away = spread.betas_std * generator.normal(size=mean.shape)
    if spread.betas_wide > 0 and generator.random() < spread.betas_wide:
        away = away * (1 + generator.random())
    if spread.shape_details > 0 or spread.made_shapes is not None:
        count = neutral_body().num_betas - len(mean)
        mean = np.append(mean, np.zeros(count))
        away = np.append(away, spread.shape_details * generator.normal(size=count))
    return (mean + away).astype(np.float32)


@lru_cache(maxsize=1)
def _read_made_shapes(path: Path) -> np.ndarray:
    body = neutral_body()
    betas = read_made_people([path], body.identity["hash"]).betas
    return np.pad(betas, ((0, 0), (0, body.num_betas - betas.shape[1])))


def _draw_pose(
    shape: Shape, poses: PoseData, generator: np.random.Generator
) -> tuple[torch.Tensor, str]:
    """A pose in which this body stands, made level, and the name of its stance."""
    for row in generator.permutation(len(poses)):
        stance = poses.fnames[row].split("/")[1]
        if stance in STANCES_LEFT_OUT:
            continue
        rotmats = pose_to_rotmats(torch.from_numpy(poses.poses[row]))
        level = stand_up(shape.betas, rotmats, shape.offsets)
        if level is not None:
            return level, stance
    raise InputError("none of the poses stands on the ground")


@torch.inference_mode()
def stand_up(
    betas: np.ndarray, rotmats: torch.Tensor, offsets: np.ndarray | None = None
) -> torch.Tensor | None:
    """The pose with the ground that the person stands on made level.

    Poses were given small camera tilts. The ground is the plane under the person, among those that
    are tilted by at most `MAX_TILT`, that much of the body touches and that is little tilted.

    Args:
        betas: (10,).
        rotmats: (24, 3, 3) joint rotations, the root's in the camera frame (y down).
        offsets: (V, 3) metres, added to the T-posed body; None for none.

    Returns:
        (24, 3, 3), or None when nobody stands like this: lying, or hardly touching the ground.
    """
    body = neutral_body()
    output = pose_person(body, betas, rotmats, offsets)
    joints = output.joints3d[0, : len(SMPL_JOINTS)].double().numpy()
    vertices = output.vertices[0].double().numpy()
    down = _ground_under(vertices, body.faces.numpy())
    if down is None:
        return None
    turn, _ = Rotation.align_vectors([[0.0, 1.0, 0.0]], [down])
    trunk = turn.apply(joints[SMPL_JOINTS.index("neck")] - joints[0])
    if -trunk[1] < np.cos(np.radians(MAX_LEAN)) * np.linalg.norm(trunk):
        return None
    to_level = torch.from_numpy(turn.as_matrix()).float()
    return torch.cat([(to_level @ rotmats[0])[None], rotmats[1:]])


def _ground_under(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray | None:
    """(3,) unit normal, downwards, of the likeliest ground; None where too little touches it."""
    normals = ConvexHull(vertices).equations[:, :3]
    candidates = np.unique(np.round(normals, 3), axis=0)
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    tilts = np.degrees(np.arccos(np.clip(candidates[:, 1], -1, 1)))
    candidates, tilts = candidates[tilts < MAX_TILT], tilts[tilts < MAX_TILT]
    if not len(candidates):
        return None
    height = vertices @ candidates.T  # (V, G) along each candidate
    touching = height > height.max(axis=0) - CONTACT_DEPTH
    corners = vertices[faces]
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    contact = areas / 2 @ touching[faces].all(axis=1)  # (G,) m^2
    likelihood = np.log(np.maximum(contact, 1e-9)) - (tilts / TILT_STD) ** 2 / 2
    best = likelihood.argmax()
    return candidates[best] if contact[best] > MIN_CONTACT else None


def place_figure(
    betas: np.ndarray,
    offsets: np.ndarray | None,
    level: torch.Tensor,
    generator: np.random.Generator,
    picture: PictureOptions = PictureOptions(),
) -> Figure:
    """Stands a body on the ground before a camera, all of it in the picture.

    Args:
        betas: (10,).
        offsets: (V, 3) metres, added to the T-posed body; None for none.
        level: (24, 3, 3) joint rotations in the frame of a level camera.
        generator: of distance and framing.
        picture: that will be taken.
    """
    distance = generator.uniform(*DISTANCES)
    camera_for = partial(_draw_camera, picture=picture, generator=generator)
    return stand_before_camera(neutral_body(), betas, level, distance, camera_for, offsets)


def _draw_camera(
    vertices: np.ndarray,
    distance: float,
    picture: PictureOptions,
    generator: np.random.Generator,
) -> Camera:
    """A camera that looks down at the person's middle and keeps them whole in its picture."""
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    to_camera = Rotation.from_euler("x", np.arctan2(middle[1], distance)).as_matrix()
    seen = vertices @ to_camera.T
    points = seen[:, :2] / seen[:, 2:]  # on a plane at a distance of 1
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.array([picture.width, picture.height])
    focal = (size / (high - low)).min() / generator.uniform(*SPANS)
    free = size - focal * (high - low)  # px beside the person, all of them positive
    corner = free * generator.uniform(0.25, 0.75, 2)
    centre = corner - focal * low
    cam_k = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    return Camera(cam_k, to_camera, distance, picture)


def _draw_place(figure: Figure, generator: np.random.Generator) -> tuple[str, Place]:
    """A place with the light coming from somewhere else each time."""
    name = generator.choice(sorted(PLACES))
    place = PLACES[name]
    aside, height = np.radians([generator.uniform(-65, 65), generator.uniform(25, 60)])
    main = (np.sin(aside) * np.cos(height), -np.sin(height), -np.cos(aside) * np.cos(height))
    strength = generator.uniform(0.75, 1.15)
    light = replace(
        place.light,
        main=tuple(float(value) for value in main),
        main_colour=tuple(strength * np.array(place.light.main_colour)),
    )
    reach = figure.vertices[:, 2].max() - figure.camera.distance
    wall = max(place.wall_distance + generator.uniform(0, 1.5), reach + 0.2)
    exposure = place.exposure * generator.uniform(0.85, 1.15)
    return name, replace(place, light=light, wall_distance=wall, exposure=exposure)


def _draw_clothes(generator: np.random.Generator) -> Clothes:
    shirt, trousers, stripe = (_draw_cloth(generator) for _ in range(3))
    hair = generator.random()
    return Clothes(
        skin=_SKINS[generator.integers(len(_SKINS))],
        hair=_HAIRS[generator.integers(len(_HAIRS))],
        shirt=shirt,
        trousers=trousers,
        shoes=_SHOES[generator.integers(len(_SHOES))],
        sleeve=float(generator.choice([0.0, 0.25, 0.45, 0.6, 0.95])),
        leg=float(generator.choice([0.42, 0.7, 1.0, 1.0])),
        stripes=bool(generator.random() < 0.25),
        stripe=stripe,
        bun=bool(hair < 0.35),
        bald=bool(hair > 0.9),
    )


def _draw_cloth(generator: np.random.Generator) -> tuple[float, float, float]:
    """A colour, more often muted than loud, from nearly black to nearly white."""
    grey, tint = generator.uniform(0.12, 0.85), generator.uniform(-1, 1, 3)
    colour = np.clip(grey + 0.22 * generator.random() * tint, 0.05, 0.95)
    return tuple(float(value) for value in colour)


@lru_cache(maxsize=1)
def neutral_body() -> BodyModel:
    """The body that everybody here has."""
    return BodyModel.load("open", "neutral").eval()
