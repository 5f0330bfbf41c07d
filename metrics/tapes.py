"""Where tapes lie on a T-posed body: lines whose lengths are its measurements.

A girth is the convex outline of the cross-section of one limb or of the trunk alone, as a tape
spans hollows; its plane is perpendicular to the limb, at a share of the way between two joints.
All places are shares of lengths of the body itself: one that is scaled has its lines scaled alike.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np

from metrics.anatomy import Anatomy
from utils.joints import SMPL_JOINTS

WAIST_SHARE = 0.61  # of the height: between the lowest rib and the hip bone
UNDERBUST_SHARE = 0.67  # of the height: below the breasts
HIP_SHARES = (0.45, 0.54)  # of the height, where the widest girth of the hips is looked for
CHEST_SHARES = (0.69, 0.73)  # of the height, where the widest girth of the chest is looked for
LEVELS = 10  # cuts where a widest girth of the trunk is looked for
ARM_REACH = 0.2  # of the height: what is further from the body's middle is no trunk
ARMPIT_ROOM = 0.01  # of the height: the chest is measured at least this far below the arms
THIGH_SHARES = (0.01, 0.03)  # of the height below the crotch: the widest girth is the thigh's
HEAD_SHARES = (0.5, 0.8)  # from the joint below the skull to the crown: forehead and temples
UP = (0.0, 1.0, 0.0)

Lines = dict[str, np.ndarray]  # (N, 3) metres each


class LimbTape(NamedTuple):
    """A girth of a limb, perpendicular to it."""

    limb: Literal["head", "arm", "leg"]  # an attribute of `Anatomy`
    start: str  # the joint where the share is 0
    end: str  # the joint where the share is 1
    shares: tuple[float, ...]  # where the limb is cut
    choose: Literal["widest", "narrowest"] = "widest"  # of several cuts


LIMB_TAPES = {
    "neck_m": LimbTape("head", "neck", "head", (0.3, 0.45, 0.6, 0.75), "narrowest"),
    "upper_arm_m": LimbTape("arm", "shoulder", "elbow", (0.5,)),
    "forearm_m": LimbTape("arm", "elbow", "wrist", (0.1, 0.2, 0.3, 0.4)),
    "wrist_m": LimbTape("arm", "elbow", "wrist", (0.9, 0.95, 1.0), "narrowest"),
    "knee_m": LimbTape("leg", "knee", "ankle", (0.0,)),
    "calf_m": LimbTape("leg", "knee", "ankle", (0.15, 0.22, 0.29, 0.36, 0.43)),
    "ankle_m": LimbTape("leg", "knee", "ankle", (0.8, 0.85, 0.9, 0.95), "narrowest"),
}


def lay_tapes(vertices: np.ndarray, anatomy: Anatomy) -> tuple[Lines, Lines]:
    """Lays all tapes on a body.

    Args:
        vertices: (V, 3) metres, T-pose, y up.
        anatomy: of the same mesh.

    Returns:
        By the name of a measurement: closed lines, around the body (N, 3), empty where a plane
        misses it; and open lines from one end to the other.
    """
    joints = dict(zip(SMPL_JOINTS, anatomy.locate_joints(vertices), strict=True))
    side = anatomy.side
    crotch, crown = vertices[anatomy.crotch], vertices[:, 1].max()
    around = {
        **_lay_around_trunk(vertices, anatomy),
        "head_m": _choose_line(
            _cut_level(vertices, anatomy.head, _between(joints["head"][1], crown, HEAD_SHARES))
        ),
        "thigh_m": _choose_line(
            _cut_level(vertices, anatomy.leg, _below(vertices, crotch[1], THIGH_SHARES))
        ),
    }
    for name, tape in LIMB_TAPES.items():
        start, end = (joints.get(j, joints.get(f"{side}_{j}")) for j in (tape.start, tape.end))
        points = start + np.array(tape.shares)[:, None] * (end - start)
        cuts = cut_mesh(vertices, getattr(anatomy, tape.limb), points, end - start)
        around[name] = _choose_line(cuts, tape.choose)
    return around, _lay_along(vertices, anatomy, joints, around["waist_m"])


def _lay_around_trunk(vertices: np.ndarray, anatomy: Anatomy) -> Lines:
    """Chest, under-bust, waist and hips.

    The chest is measured as a tape is laid for it, under the armpits: its girth is the largest
    between `CHEST_SHARES` of the height. Where a body's arms begin lower than that, the range ends
    `ARMPIT_ROOM` below them, so that no cut passes through the root of an arm. The hips are looked
    for above the crotch: below it a tape would go around two legs that stand apart.
    """
    floor, height = vertices[:, 1].min(), np.ptp(vertices[:, 1])
    lowest, highest = CHEST_SHARES
    under_arms = _find_arm_level(vertices, lowest) - ARMPIT_ROOM
    crotch = (vertices[anatomy.crotch, 1] - floor) / height
    shares = {
        "chest_m": np.linspace(lowest, np.clip(under_arms, lowest, highest), LEVELS),
        "underbust_m": np.array([UNDERBUST_SHARE]),
        "waist_m": np.array([WAIST_SHARE]),
        "hips_m": np.linspace(np.clip(crotch, *HIP_SHARES), HIP_SHARES[1], LEVELS),
    }
    cuts = iter(
        _cut_level(vertices, anatomy.trunk, floor + height * np.concatenate([*shares.values()]))
    )
    return {name: _choose_line([next(cuts) for _ in each]) for name, each in shares.items()}


def _find_arm_level(vertices: np.ndarray, lowest: float) -> float:
    """The level of the lowest point of the arms, a share of the height; 1 where there are none.

    Args:
        vertices: (V, 3) metres, T-pose, y up.
        lowest: share of the height below which nothing is taken for an arm.
    """
    x, y = vertices[:, 0], vertices[:, 1]
    shares = (y - y.min()) / np.ptp(y)
    middle = (x.min() + x.max()) / 2
    arms = (np.abs(x - middle) > ARM_REACH * np.ptp(y)) & (shares >= lowest)
    return float(shares[arms].min(initial=1.0))


def _lay_along(
    vertices: np.ndarray, anatomy: Anatomy, joints: dict[str, np.ndarray], waist: np.ndarray
) -> Lines:
    """Lengths of limbs and trunk; they go from joint to joint, but for the back's."""
    crotch, floor = vertices[anatomy.crotch], vertices[:, 1].min()
    shoulders = [joints["left_shoulder"], joints["right_shoulder"]]
    between = np.array([crotch[0], np.mean(shoulders, axis=0)[1], crotch[2]])
    arm = [joints[f"{anatomy.side}_{name}"] for name in ("shoulder", "elbow", "wrist")]
    return {
        "shoulder_breadth_m": np.stack(shoulders),
        "arm_length_m": np.stack(arm),
        "inside_leg_m": np.stack([crotch, [crotch[0], floor, crotch[2]]]),
        "back_length_m": _follow_back(vertices, anatomy, joints, waist),
        "shoulder_to_crotch_m": np.stack([between, crotch]),
    }


def _follow_back(
    vertices: np.ndarray, anatomy: Anatomy, joints: dict[str, np.ndarray], waist: np.ndarray
) -> np.ndarray:
    """The skin over the spine (N, 3) from the level of the neck's lowest joint to the waist."""
    spine = np.stack([joints[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck")])
    (skin,) = cut_edges(vertices, anatomy.trunk, spine[:1], np.array([1.0, 0, 0]))
    back = skin[skin[:, 2] < np.interp(skin[:, 1], spine[:, 1], spine[:, 2])]
    back = back[np.argsort(back[:, 1])]
    top, bottom = spine[-1, 1], waist[:, 1].min(initial=spine[-1, 1])
    levels = back[:, 1]
    levels = np.concatenate([[bottom], levels[(levels > bottom) & (levels < top)], [top]])[::-1]
    along_x, along_z = (np.interp(levels, back[:, 1], back[:, axis]) for axis in (0, 2))
    return np.stack([along_x, levels, along_z], axis=1)


def _between(start: float, end: float, shares: tuple[float, float]) -> np.ndarray:
    return start + (end - start) * np.linspace(*shares, 4)


def _below(vertices: np.ndarray, level: float, shares: tuple[float, float]) -> np.ndarray:
    return level - np.ptp(vertices[:, 1]) * np.linspace(*shares, 3)


def _choose_line(lines: list[np.ndarray], choose: str = "widest") -> np.ndarray:
    lengths = [measure_closed(line) for line in lines]
    return lines[int(np.argmax(lengths) if choose == "widest" else np.argmin(lengths))]


def measure_closed(line: np.ndarray) -> float:
    """Length of a line (N, 3) that ends where it begins, metres; 0 of an empty one."""
    return measure_open(np.concatenate([line[-1:], line]))


def measure_open(line: np.ndarray) -> float:
    """Length of a line (N, 3) from its first to its last point, metres."""
    steps = line[1:] - line[:-1]
    return float(np.sqrt(np.einsum("ij,ij->i", steps, steps)).sum())


def _cut_level(vertices: np.ndarray, edges: np.ndarray, levels: np.ndarray) -> list[np.ndarray]:
    points = np.zeros((len(levels), 3))
    points[:, 1] = levels
    return cut_mesh(vertices, edges, points, np.array(UP))


def cut_mesh(
    vertices: np.ndarray, edges: np.ndarray, points: np.ndarray, normal: np.ndarray
) -> list[np.ndarray]:
    """Convex outlines of a mesh's cuts by parallel planes.

    Args:
        vertices: (V, 3) metres.
        edges: (E, 2) vertex numbers, of the part that is cut.
        points: (P, 3) one in each plane.
        normal: (3,) of the planes, of any length but 0.

    Returns:
        For each plane the corners (N, 3), in order; none where it misses the mesh.
    """
    # The corners are the same ones seen along any axis that does not lie in the plane.
    seen = [axis for axis in range(3) if axis != np.abs(normal).argmax()]
    return [_wrap(cut, cut[:, seen]) for cut in cut_edges(vertices, edges, points, normal)]


def cut_edges(
    vertices: np.ndarray, edges: np.ndarray, points: np.ndarray, normal: np.ndarray
) -> list[np.ndarray]:
    """Where a mesh's edges cross parallel planes, (N, 3) each; arguments as of `cut_mesh`."""
    heights, levels = vertices @ normal, points @ normal
    start, end = heights[edges[:, 0]], heights[edges[:, 1]]  # (E,) each
    low, high = np.minimum(start, end), np.maximum(start, end)
    near = np.flatnonzero((low < levels.max()) & (high >= levels.min()))  # few meet any plane
    start, end, low, high = start[near], end[near], low[near], high[near]
    ends = vertices[edges[near]]  # (N, 2, 3)
    cuts = []
    for level in levels:
        cut = np.flatnonzero((low < level) & (level <= high))
        first, second = ends[cut, 0], ends[cut, 1]
        along = (level - start[cut]) / (end[cut] - start[cut])
        cuts.append(first + along[:, None] * (second - first))
    return cuts


def _wrap(cut: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Corners of the convex outline of a plane's points (N, 3), which are seen at (N, 2)."""
    if len(cut) < 3:
        return cut[:0]
    # In float32 a corner may be taken or left that is no corner by 0.1 um, which no tape feels.
    outline = (seen - seen[0]).astype(np.float32)
    return cut[cv2.convexHull(outline, returnPoints=False)[:, 0]]
