"""Who is in the demo images: bodies, poses, clothes and places."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from metrics.anatomy import Anatomy
from metrics.measurements import measure
from models.body_model import BodyModel
from utils.joints import SMPL_JOINTS

# How far a wish may be missed, and the pull towards likely shapes (betas in standard deviations).
HEIGHT_TOLERANCE, WEIGHT_TOLERANCE, WAIST_TOLERANCE, SHAPE_TOLERANCE = 0.005, 1.0, 0.02, 4.0
BETA_STEP = 0.05  # for slopes; sizes are measured in float32

Turns = tuple[str, tuple[float, ...]]  # axes in order, about the body's fixed axes, and degrees


@dataclass(frozen=True)
class Clothes:
    """Colours are RGB in [0, 1] as in a picture; a length is a share of the limb."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    shirt: tuple[float, float, float]
    trousers: tuple[float, float, float]
    shoes: tuple[float, float, float]
    sleeve: float = 0.45  # of the way from shoulder to wrist; 0 for a tank top
    leg: float = 1.0  # of the way from hip to ankle
    stripes: bool = False
    stripe: tuple[float, float, float] = (0.9, 0.9, 0.9)
    bun: bool = False
    bald: bool = False


@dataclass(frozen=True)
class Person:
    """One demo image: a person of given sizes, in a pose, dressed, in a place.

    Attributes:
        name: of the image.
        gender: of the body model.
        height: metres.
        weight: kilograms.
        waist: girth in metres.
        turns: rotation of each named joint.
        yaw: degrees that the person is turned to their left.
        clothes: what they wear.
        place: key of `scenes.scenery.PLACES`.
        stool: whether they sit on one.
        distance: metres from the camera.
    """

    name: str
    gender: str
    height: float
    weight: float
    waist: float
    turns: Mapping[str, Turns]
    yaw: float
    clothes: Clothes
    place: str
    stool: bool = False
    distance: float = 5.0


def fit_betas(person: Person, body: BodyModel) -> np.ndarray:
    """The likeliest shape of the person's height, weight and waist, (10,) float32."""
    anatomy = Anatomy.of(body)

    def misses(betas: np.ndarray) -> np.ndarray:
        vertices = body.tpose(torch.from_numpy(betas.astype(np.float32))[None])[0].numpy()
        found = measure(vertices, anatomy)
        wishes = [
            (found.height_m - person.height) / HEIGHT_TOLERANCE,
            (found.weight_kg - person.weight) / WEIGHT_TOLERANCE,
            (found.waist_m - person.waist) / WAIST_TOLERANCE,
        ]
        return np.concatenate([wishes, betas / SHAPE_TOLERANCE])

    def slopes(betas: np.ndarray) -> np.ndarray:
        steps = np.eye(len(betas)) * BETA_STEP
        rises = [misses(betas + step) - misses(betas - step) for step in steps]
        return np.stack(rises, axis=1) / (2 * BETA_STEP)

    solved = least_squares(misses, np.zeros(10), jac=slopes, max_nfev=20)
    return np.round(solved.x, 4).astype(np.float32)


def build_pose(person: Person) -> torch.Tensor:
    """(24, 3, 3) float32 joint rotations; the root stands upright in a level camera's frame."""
    rotmats = np.tile(np.eye(3), (len(SMPL_JOINTS), 1, 1))
    for joint, (axes, degrees) in person.turns.items():
        turn = Rotation.from_euler(axes, degrees, degrees=True).as_matrix()
        rotmats[SMPL_JOINTS.index(joint)] = turn
    upright = (
        np.diag([1.0, -1.0, -1.0]) @ Rotation.from_euler("y", person.yaw, degrees=True).as_matrix()
    )
    rotmats[0] = upright @ rotmats[0]
    return torch.from_numpy(rotmats.astype(np.float32))


def _arms_down(left: float = 68, right: float = 68, bend: float = 15) -> dict[str, Turns]:
    return {
        "left_shoulder": ("z", (-left,)),
        "right_shoulder": ("z", (right,)),
        "left_elbow": ("y", (-bend,)),
        "right_elbow": ("y", (bend,)),
    }


_STANDING = {**_arms_down(62, 60, 20), "left_hip": ("z", (4,)), "right_hip": ("z", (-4,))}
_WALKING = {
    "left_shoulder": ("zx", (-72, 25)),
    "right_shoulder": ("zx", (72, -28)),
    "left_elbow": ("y", (-25,)),
    "right_elbow": ("y", (35,)),
    "left_hip": ("x", (-28,)),
    "right_hip": ("x", (20,)),
    "left_knee": ("x", (8,)),
    "right_knee": ("x", (28,)),
    "right_ankle": ("x", (15,)),
    "spine2": ("y", (6,)),
}
_ARMS_UP = {
    "left_collar": ("z", (14,)),
    "right_collar": ("z", (-14,)),
    "left_shoulder": ("z", (42,)),
    "right_shoulder": ("z", (-38,)),
    "left_elbow": ("z", (28,)),
    "right_elbow": ("z", (-30,)),
    "left_hip": ("z", (8,)),
    "right_hip": ("z", (-8,)),
}
_SITTING = {
    "left_shoulder": ("zx", (-66, -24)),
    "right_shoulder": ("zx", (66, -24)),
    "left_elbow": ("y", (-38,)),
    "right_elbow": ("y", (38,)),
    "left_hip": ("xy", (-80, 12)),
    "right_hip": ("xy", (-80, -12)),
    "left_knee": ("x", (82,)),
    "right_knee": ("x", (82,)),
    "spine1": ("x", (4,)),
}
_REACHING = {
    **_arms_down(64, 60, 18),
    "left_collar": ("z", (16,)),
    "left_shoulder": ("zx", (48, -10)),
    "left_elbow": ("z", (12,)),
    "left_hip": ("z", (5,)),
    "right_hip": ("z", (-6,)),
    "spine1": ("z", (-5,)),
    "head": ("xz", (-8, -6)),
}
_HANDS_ON_HIPS = {
    "left_shoulder": ("zx", (-46, 20)),
    "right_shoulder": ("zx", (46, 20)),
    "left_elbow": ("zy", (-82, -30)),
    "right_elbow": ("zy", (82, 30)),
    "left_hip": ("z", (9,)),
    "right_hip": ("z", (-9,)),
}
_LUNGING = {
    "left_shoulder": ("z", (-8,)),
    "right_shoulder": ("z", (12,)),
    "left_hip": ("xz", (-42, 20)),
    "right_hip": ("xz", (14, -26)),
    "left_knee": ("x", (52,)),
    "right_knee": ("x", (12,)),
    "spine1": ("z", (4,)),
}
_WAVING = {
    **_arms_down(66, 60, 22),
    "right_shoulder": ("z", (14,)),
    "right_elbow": ("zy", (-95, 15)),
    "left_hip": ("z", (3,)),
    "right_hip": ("xz", (-6, -5)),
    "right_knee": ("x", (8,)),
    "head": ("yz", (-8, 5)),
}

PEOPLE = (
    Person(
        "standing", "male", 1.76, 128, 1.28, _STANDING, 12, place="room", distance=5.2,
        clothes=Clothes((0.80, 0.62, 0.52), (0.20, 0.13, 0.09), (0.24, 0.36, 0.52),
                        (0.20, 0.21, 0.26), (0.16, 0.12, 0.10), sleeve=0.42),
    ),
    Person(
        "walking", "female", 1.74, 53, 0.66, _WALKING, -32, place="park", distance=5.6,
        clothes=Clothes((0.87, 0.71, 0.61), (0.46, 0.28, 0.14), (0.86, 0.85, 0.80),
                        (0.18, 0.24, 0.38), (0.85, 0.85, 0.86), sleeve=0.9, stripes=True,
                        stripe=(0.20, 0.26, 0.45), bun=True),
    ),
    Person(
        "arms_up", "male", 1.84, 97, 0.88, _ARMS_UP, -8, place="gym", distance=6.2,
        clothes=Clothes((0.42, 0.28, 0.20), (0.06, 0.05, 0.05), (0.72, 0.16, 0.14),
                        (0.10, 0.10, 0.12), (0.88, 0.88, 0.90), sleeve=0.0, leg=0.45),
    ),
    Person(
        "sitting", "female", 1.62, 92, 1.06, _SITTING, 34, place="study", stool=True,
        distance=4.6,
        clothes=Clothes((0.72, 0.53, 0.42), (0.10, 0.08, 0.07), (0.55, 0.22, 0.36),
                        (0.22, 0.22, 0.24), (0.35, 0.25, 0.18), sleeve=0.6, bun=True),
    ),
    Person(
        "reaching", "male", 2.00, 76, 0.76, _REACHING, 18, place="street", distance=6.6,
        clothes=Clothes((0.85, 0.68, 0.58), (0.62, 0.46, 0.24), (0.30, 0.46, 0.34),
                        (0.52, 0.46, 0.36), (0.28, 0.28, 0.30), sleeve=0.95),
    ),
    Person(
        "hands_on_hips", "female", 1.49, 47, 0.66, _HANDS_ON_HIPS, -16, place="beach",
        distance=4.6,
        clothes=Clothes((0.66, 0.46, 0.34), (0.08, 0.06, 0.05), (0.93, 0.72, 0.22),
                        (0.12, 0.36, 0.42), (0.75, 0.70, 0.62), sleeve=0.2, leg=0.42, bun=True),
    ),
    Person(
        "lunging", "female", 1.69, 66, 0.74, _LUNGING, 10, place="court", distance=5.4,
        clothes=Clothes((0.50, 0.33, 0.24), (0.07, 0.05, 0.05), (0.20, 0.56, 0.60),
                        (0.14, 0.12, 0.18), (0.90, 0.45, 0.20), sleeve=0.25, leg=0.7, bun=True),
    ),
    Person(
        "waving", "male", 1.62, 70, 0.92, _WAVING, -22, place="hall", distance=4.8,
        clothes=Clothes((0.86, 0.69, 0.62), (0.70, 0.69, 0.68), (0.80, 0.80, 0.84),
                        (0.36, 0.32, 0.28), (0.22, 0.15, 0.10), sleeve=0.95, stripes=True,
                        stripe=(0.50, 0.56, 0.70), bald=True),
    ),
)  # fmt: skip
