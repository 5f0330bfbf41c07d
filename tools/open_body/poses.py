"""Poses to fit and show the body in: random ones over the joints' ranges, and named ones."""

import numpy as np

from tools.pose_tools import MIRROR, to_rotmats
from utils.joints import SMPL_JOINTS

# Joint -> range in radians of its axis-angle's x, y, z; of the left side where there are two.
RANGES = {
    "spine1": ((-0.2, 0.5), (-0.2, 0.2), (-0.2, 0.2)),
    "spine2": ((-0.1, 0.4), (-0.2, 0.2), (-0.15, 0.15)),
    "spine3": ((-0.1, 0.2), (-0.15, 0.15), (-0.1, 0.1)),
    "neck": ((-0.3, 0.4), (-0.4, 0.4), (-0.2, 0.2)),
    "head": ((-0.3, 0.4), (-0.4, 0.4), (-0.2, 0.2)),
    "collar": ((-0.05, 0.05), (-0.2, 0.1), (-0.15, 0.3)),
    "shoulder": ((-0.5, 0.5), (-1.2, 0.5), (-1.4, 1.1)),
    "elbow": ((-0.4, 0.4), (-2.2, 0.0), (-0.1, 0.1)),
    "wrist": ((-0.6, 0.6), (-0.2, 0.2), (-0.6, 0.6)),
    "hip": ((-1.9, 0.4), (-0.4, 0.4), (-0.2, 0.7)),
    "knee": ((0.0, 2.2), (-0.05, 0.05), (-0.05, 0.05)),
    "ankle": ((-0.3, 0.5), (-0.2, 0.2), (-0.2, 0.2)),
}
NAMED = {
    "stand": {"shoulder": (0, 0, -1.15), "elbow": (0, -0.25, 0)},
    "walk": {
        "shoulder": (0, 0, -1.2),
        "elbow": (0, -0.5, 0),
        "left_hip": (-0.5, 0, 0),
        "right_hip": (0.35, 0, 0),
        "left_knee": (0.15, 0, 0),
        "right_knee": (0.6, 0, 0),
        "left_shoulder": (0.2, 0.45, -1.2),
        "right_shoulder": (0.2, 0.5, 1.2),
    },
    "sit": {"hip": (-1.5, 0, 0.05), "knee": (1.5, 0, 0), "shoulder": (0, -0.5, -1.1)}
    | {"elbow": (0, -1.0, 0)},
    "squat": {"hip": (-1.9, 0, 0.35), "knee": (2.1, 0, 0), "ankle": (-0.3, 0, 0)}
    | {"spine1": (0.4, 0, 0), "spine2": (0.3, 0, 0), "shoulder": (0, -1.1, -0.3)},
    "arms up": {"shoulder": (0, -0.1, 1.15), "collar": (0, 0, 0.3)},
    "crossed": {"shoulder": (0.3, -0.6, -1.1), "elbow": (0, -1.9, 0)},
    "kick": {"left_hip": (-1.3, 0, 0), "left_knee": (0.2, 0, 0), "shoulder": (0, 0, -0.2)},
}


def named_pose(name: str) -> np.ndarray:
    """Axis-angles (24, 3) of a named pose, root at zero (y up)."""
    pose = np.zeros((len(SMPL_JOINTS), 3))
    for joint, angles in NAMED[name].items():
        for i, full_name in enumerate(SMPL_JOINTS):
            if full_name in (joint, f"left_{joint}"):
                pose[i] = angles
            elif full_name == f"right_{joint}":
                pose[i] = angles * MIRROR
    return pose


def random_poses(count: int, rng: np.random.Generator) -> np.ndarray:
    """Rotations (count, 24, 3, 3) uniform in RANGES, both sides apart, root at zero."""
    angles = np.zeros((count, len(SMPL_JOINTS), 3))
    for i, joint in enumerate(SMPL_JOINTS):
        limits = np.array(RANGES.get(joint.split("_")[-1], ((0, 0),) * 3))
        drawn = rng.uniform(limits[:, 0], limits[:, 1], (count, 3))
        angles[:, i] = drawn * (MIRROR if joint.startswith("right") else 1)
    return to_rotmats(angles)
