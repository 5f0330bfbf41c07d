"""Clothes, hair and face, painted on the body by where a point lies in the T-pose."""

from typing import NamedTuple

import numpy as np

from scenes.noise import value_noise
from scenes.people import Clothes
from utils.joints import BODY_MODEL_JOINTS, PARTS

SKIN, SHIRT, TROUSERS, SHOES, SOLE, HAIR = range(6)
THICKNESS = (0.0, 0.010, 0.008, 0.0, 0.0, 0.016)  # m, by the labels above
HAIRLINE = ((-0.20, -2.2), (0.06, -0.6), (0.22, 1.1), (0.60, 1.6), (1.2, 1.7))
SCALP_OF_THE_BALD = ((-0.2, 1.0), (0.06, 0.8), (0.2, 0.4))
SOLE_HEIGHT = 0.016  # m
GAMMA = 2.2


class Marks(NamedTuple):
    """Landmarks of a T-posed body, (3,) metres each, y up, z to the front, x to its left."""

    joints: dict[str, np.ndarray]
    floor: float

    @classmethod
    def of(cls, joints3d: np.ndarray, vertices: np.ndarray) -> "Marks":
        """From the body model's (90, 3) joints and (V, 3) vertices in the T-pose."""
        joints = dict(zip(BODY_MODEL_JOINTS, joints3d, strict=True))
        return cls(joints, float(vertices[:, 1].min()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.joints[name]


def label_garments(
    rest: np.ndarray, parts: np.ndarray, marks: Marks, clothes: Clothes
) -> np.ndarray:
    """What covers each point: (N, 3) T-pose positions and (N,) part labels to (N,) labels."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    leg = np.isin(parts, [PARTS.index("left_leg"), PARTS.index("right_leg")])
    arm = np.isin(parts, [PARTS.index("left_arm"), PARTS.index("right_arm")])
    head, torso = parts == PARTS.index("head"), parts == PARTS.index("torso")
    hip, ankle = marks["left_hip"], marks["left_ankle"]
    shoulder, wrist, neck = marks["left_shoulder"], marks["left_wrist"], marks["neck"]
    size = (marks["extra_head_top"][1] - marks.floor) / 1.75

    labels = np.full(len(rest), SKIN)
    hem = hip[1] + clothes.leg * (ankle[1] - hip[1])
    labels[(leg | torso) & (y > hem) & (y < marks["pelvis"][1] + 0.07 * size)] = TROUSERS
    sleeve_end = shoulder[0] + clothes.sleeve * (wrist[0] - shoulder[0])
    # The neckline is lower in front, and rises towards the shoulders.
    rise = 0.10 * (x / (0.48 * shoulder[0])) ** 2
    below_neckline = (y - neck[1] + 0.035 * size) + 0.45 * (z - neck[2]) < rise
    covered = (y > hip[1] - 0.03 * size) & below_neckline
    if clothes.sleeve == 0:
        # A tank top leaves the shoulder free but covers the side of the chest.
        covered &= (x < 0.72 * shoulder[0]) | (~arm & (y < shoulder[1] - 0.13 * size))
    else:
        covered &= x < sleeve_end
    labels[covered] = SHIRT
    labels[leg & (y < ankle[1] + 0.015 * size)] = SHOES
    labels[leg & (y < marks.floor + SOLE_HEIGHT)] = SOLE
    labels[head & _hairy(rest, marks, clothes)] = HAIR
    return labels


def _hairy(rest: np.ndarray, marks: Marks, clothes: Clothes) -> np.ndarray:
    up, front = _face_coordinates(rest, marks)
    if clothes.bald:
        top = np.interp(front, *zip(*SCALP_OF_THE_BALD, strict=True))
        return (front < 0.1) & (up > -2.2) & (up < top)
    ear = np.linalg.norm((rest - marks["left_ear"])[:, 1:], axis=1) < 0.028
    return (up > np.interp(front, *zip(*HAIRLINE, strict=True))) & ~(ear & (up < 0.3))


def _face_coordinates(rest: np.ndarray, marks: Marks) -> tuple[np.ndarray, np.ndarray]:
    """Height over the eyes in units of the eyes' height over the nose; 0 ear to 1 nose."""
    eye, nose, ear = marks["left_eye"], marks["nose"], marks["left_ear"]
    up = (rest[:, 1] - eye[1]) / (eye[1] - nose[1])
    return up, (rest[:, 2] - ear[2]) / (nose[2] - ear[2])


def measure_thickness(garments: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V,) metres by which clothes and hair stand off, smoothed over neighbouring vertices."""
    thickness = np.asarray(THICKNESS)[garments]
    for _ in range(2):
        thickness = (thickness + _neighbour_means(thickness, faces)) / 2
    return thickness


def _neighbour_means(values: np.ndarray, faces: np.ndarray) -> np.ndarray:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    total = np.bincount(edges[:, 0], values[edges[:, 1]], len(values))
    total += np.bincount(edges[:, 1], values[edges[:, 0]], len(values))
    return total / np.maximum(np.bincount(edges.ravel(), minlength=len(values)), 1)


def paint(
    rest: np.ndarray, garments: np.ndarray, marks: Marks, clothes: Clothes, seed: int
) -> np.ndarray:
    """Linear RGB albedo of points: (N, 3) T-pose positions and (N,) garment labels to (N, 3)."""
    palette = np.array(
        [
            clothes.skin, clothes.shirt, clothes.trousers, clothes.shoes,
            np.minimum(1, 0.6 * np.array(clothes.shoes) + 0.35), clothes.hair,
        ]
    )  # fmt: skip
    colour = palette[garments].astype(float)
    if clothes.stripes:
        # Arms lie level in the T-pose: stripes run around them, as around the chest.
        along = np.where(np.abs(rest[:, 0]) > marks["left_shoulder"][0], rest[:, 0], rest[:, 1])
        striped = (garments == SHIRT) & (np.mod(along, 0.055) < 0.018)
        colour[striped] = clothes.stripe
    colour = _paint_face(colour, rest, garments, marks, clothes)
    folds = value_noise(rest * [7, 12, 7], seed, 3)
    grain = value_noise(rest * [60, 25, 60], seed + 7, 2)
    cloth = (garments == SHIRT) | (garments == TROUSERS)
    strength = np.where(cloth, 0.14, 0.03) * folds + np.where(garments == HAIR, 0.25, 0.02) * grain
    return np.clip(colour, 0, 1) ** GAMMA * (1 + strength)[:, None]


def _paint_face(
    colour: np.ndarray, rest: np.ndarray, garments: np.ndarray, marks: Marks, clothes: Clothes
) -> np.ndarray:
    _, front = _face_coordinates(rest, marks)
    face = (garments == SKIN) & (front > 0.45) & (rest[:, 1] > marks["neck"][1])
    eye, nose = marks["left_eye"], marks["nose"]
    unit = eye[1] - nose[1]  # 4 cm
    x, y = np.abs(rest[:, 0]), rest[:, 1]

    def ellipse(centre_x: float, centre_y: float, width: float, height: float) -> np.ndarray:
        return face & (
            ((x - centre_x) / (width * unit)) ** 2 + ((y - centre_y) / (height * unit)) ** 2 < 1
        )

    skin = np.array(clothes.skin)
    layers = (
        (ellipse(eye[0], eye[1], 0.46, 0.26), skin * 0.75),
        (ellipse(eye[0], eye[1], 0.36, 0.15), np.array([0.85, 0.84, 0.82])),
        (ellipse(eye[0], eye[1], 0.15, 0.15), np.array([0.14, 0.09, 0.06])),
        (ellipse(eye[0], eye[1] + 0.55 * unit, 0.50, 0.10), np.array(clothes.hair) * 0.8),
        (ellipse(0.0, nose[1] - 0.72 * unit, 0.58, 0.20), skin * [0.82, 0.58, 0.58]),
        (ellipse(0.0, nose[1] - 0.72 * unit, 0.50, 0.03), skin * [0.42, 0.28, 0.28]),
    )
    for where, tone in layers:
        colour[where] = tone
    return colour
