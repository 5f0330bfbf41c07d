"""Whether a posed body runs through itself: capsules around the rest skeleton's bones."""

from dataclasses import dataclass, replace

import numpy as np

from tools.pose_tools import JOINT, REST_JOINTS, SIDES, place_joints


@dataclass(frozen=True)
class Capsule:
    """A body part as a thick line that moves with one joint; rest coordinates of the left side."""

    joint: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


SIDED_CAPSULES = {
    "upper_arm": Capsule("shoulder", (0.22, 0.195, 0.06), (0.435, 0.195, 0.06), 0.043),
    "forearm": Capsule("elbow", (0.435, 0.195, 0.06), (0.67, 0.195, 0.06), 0.036),
    "hand": Capsule("wrist", (0.69, 0.195, 0.06), (0.79, 0.195, 0.06), 0.033),
    "thigh": Capsule("hip", (0.09, -0.32, 0.05), (0.124, -0.67, 0.04), 0.068),
    "shank": Capsule("knee", (0.124, -0.67, 0.03), (0.11, -1.07, -0.005), 0.047),
    "foot": Capsule("ankle", (0.11, -1.14, -0.03), (0.14, -1.15, 0.16), 0.035),
}
MIDDLE_CAPSULES = {
    "skull": Capsule("head", (0.0, 0.42, 0.09), (0.0, 0.49, 0.07), 0.088),
    "throat": Capsule("neck", (0.0, 0.28, 0.05), (0.0, 0.34, 0.07), 0.052),
    "ribs": Capsule("spine3", (-0.055, 0.09, 0.045), (0.055, 0.09, 0.045), 0.112),
    "belly": Capsule("spine1", (-0.05, -0.06, 0.045), (0.05, -0.06, 0.045), 0.1),
    "hips": Capsule("pelvis", (-0.065, -0.23, 0.03), (0.065, -0.23, 0.03), 0.105),
}

TOUCHING = 0.015  # metres capsules may overlap: skin gives way
YIELDING = 0.035  # the same where flesh is soft, or the capsules only roughly follow the body

PRESSING = 0.05  # hands, which lie flat on what they touch, and upper arms against the ribs


def list_penetration_pairs() -> list[tuple[str, str, float]]:
    """Names of capsules that must not penetrate one another, and the overlap in metres allowed."""
    pairs = []
    for side, other in (("left", "right"), ("right", "left")):
        for part, overlap in (("forearm", TOUCHING), ("hand", PRESSING)):
            for fixed in ("skull", "throat", "ribs", "belly", "hips"):
                pairs.append((f"{side}_{part}", fixed, overlap))
            for moving in ("upper_arm", "thigh", "shank", "foot"):
                pairs.append((f"{side}_{part}", f"{other}_{moving}", overlap))
            for moving in ("thigh", "shank", "foot"):
                pairs.append((f"{side}_{part}", f"{side}_{moving}", overlap))
        for fixed in ("skull", "ribs", "belly", "hips"):
            pairs.append((f"{side}_upper_arm", fixed, PRESSING))
        for part in ("shank", "foot"):
            pairs.append((f"{side}_{part}", f"{other}_thigh", YIELDING))
            for fixed in ("hips", "belly", "ribs"):
                pairs.append((f"{side}_{part}", fixed, YIELDING))
        pairs.append((f"{side}_upper_arm", f"{side}_thigh", YIELDING))
        pairs.append((f"{side}_foot", f"{other}_shank", TOUCHING))
        pairs.append((f"{side}_hand", f"{other}_forearm", TOUCHING))
    for part, overlap in (("forearm", TOUCHING), ("hand", PRESSING), ("thigh", YIELDING),
                          ("shank", TOUCHING), ("foot", TOUCHING)):  # fmt: skip
        pairs.append((f"left_{part}", f"right_{part}", overlap))
    return pairs


def find_self_penetration(world: np.ndarray) -> np.ndarray:
    """Whether body parts penetrate one another.

    Args:
        world: (N, 24, 3, 3) global orientations.

    Returns:
        (N,) bool.
    """
    capsules = dict(MIDDLE_CAPSULES)
    for name, capsule in SIDED_CAPSULES.items():
        for side, sign in SIDES:
            capsules[f"{side}_{name}"] = replace(
                capsule,
                joint=f"{side}_{capsule.joint}",
                start=(sign * capsule.start[0], *capsule.start[1:]),
                end=(sign * capsule.end[0], *capsule.end[1:]),
            )
    positions = place_joints(world)
    placed = {name: _placed(capsule, positions, world) for name, capsule in capsules.items()}
    hit = np.zeros(len(world), bool)
    for first, second, overlap in list_penetration_pairs():
        distance = measure_segment_distance(*placed[first], *placed[second])
        hit |= distance < capsules[first].radius + capsules[second].radius - overlap
    return hit


def _placed(
    capsule: Capsule, positions: np.ndarray, world: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    joint = JOINT[capsule.joint]
    ends = np.array([capsule.start, capsule.end]) - REST_JOINTS[joint]  # (2, 3)
    moved = positions[:, joint, None] + np.einsum("nab,kb->nka", world[:, joint], ends)
    return moved[:, 0], moved[:, 1]


def measure_segment_distance(
    start1: np.ndarray, end1: np.ndarray, start2: np.ndarray, end2: np.ndarray
) -> np.ndarray:
    """Smallest distance of two line segments (Ericson, Real-Time Collision Detection, 5.1.9).

    Args:
        start1: (N, 3) one end of the first.
        end1: (N, 3) its other end.
        start2: (N, 3) one end of the second.
        end2: (N, 3) its other end.

    Returns:
        (N,).
    """
    d1, d2, between = end1 - start1, end2 - start2, start1 - start2
    a, e = (d1 * d1).sum(1) + 1e-12, (d2 * d2).sum(1) + 1e-12
    b, c, f = (d1 * d2).sum(1), (d1 * between).sum(1), (d2 * between).sum(1)
    s = np.clip((b * f - c * e) / np.maximum(a * e - b * b, 1e-12), 0, 1)
    t = np.clip((b * s + f) / e, 0, 1)
    s = np.clip((b * t - c) / a, 0, 1)
    return np.linalg.norm(start1 + s[:, None] * d1 - start2 - t[:, None] * d2, axis=1)
