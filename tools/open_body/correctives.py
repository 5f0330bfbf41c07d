"""Sparse pose correctives: linear skinning loses volume at bends, dual quaternions bulge.

The correctives are fitted so that linearly skinned bodies come near a blend of the two.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from tools.open_body.poses import NAMED, named_pose, random_poses
from tools.open_body.skeleton import skin, world_transforms
from tools.pose_tools import to_rotmats
from utils.joints import SMPL_JOINTS, SMPL_PARENTS, SMPL_SWAP

DUAL_QUATERNION_SHARE = 0.6  # of the target; the rest is linear skinning
RIDGE = 0.02  # per pose; keeps correctives from cancelling one another
SMALLEST = 1e-4  # m per unit of rotation matrix; smaller correctives are dropped
STEP = 2.0**-15  # m; correctives are stored on this grid, which makes the files small
NAMED_REPEATS = 10  # named poses count this often among the random ones
FEATURES = 9  # numbers in a joint's rotation matrix


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of quaternions (..., 4), scalar last."""
    vector = a[..., 3:] * b[..., :3] + b[..., 3:] * a[..., :3] + np.cross(a[..., :3], b[..., :3])
    scalar = a[..., 3:] * b[..., 3:] - (a[..., :3] * b[..., :3]).sum(-1, keepdims=True)
    return np.concatenate([vector, scalar], -1)


def blended_dual_quaternions(weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Dual quaternion skinning's rigid map of every vertex.

    Kavan et al., Geometric skinning with approximate dual quaternion blending, 2008.

    Args:
        weights: (V, 24) skinning weights.
        transforms: (B, 24, 3, 4) the joints' maps.

    Returns:
        (B, V, 3, 4).
    """
    batch, joints = transforms.shape[:2]
    real = Rotation.from_matrix(transforms[..., :3].reshape(-1, 3, 3)).as_quat()
    real = real.reshape(batch, joints, 4)
    shift = np.concatenate([transforms[..., 3], np.zeros((batch, joints, 1))], -1)
    dual = 0.5 * multiply(shift, real)
    pivot = real[:, weights.argmax(1)]  # (B, V, 4): q and -q are one rotation; agree on a sign
    signs = np.where(np.einsum("bvi,bji->bvj", pivot, real) < 0, -1.0, 1.0) * weights
    real, dual = signs @ real, signs @ dual
    norm = np.linalg.norm(real, axis=-1, keepdims=True)
    real, dual = real / norm, dual / norm
    conjugate = real * [-1, -1, -1, 1]
    rotations = Rotation.from_quat(real.reshape(-1, 4)).as_matrix()
    shifts = 2 * multiply(dual, conjugate)[..., :3]
    return np.concatenate([rotations.reshape(*shifts.shape, 3), shifts[..., None]], -1)


def wanted_offsets(
    vertices: np.ndarray, joints: np.ndarray, rotmats: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Offsets (B, V, 3) of T-posed vertices after which linear skinning meets the target."""
    transforms = world_transforms(joints, rotmats)[0]
    linear = skin(vertices, weights, transforms)
    maps = blended_dual_quaternions(weights, transforms)
    dual = (maps[..., :3] @ vertices[..., None])[..., 0] + maps[..., 3]
    matrices = np.tensordot(weights, transforms[..., :3], ([1], [1]))  # (V, B, 3, 3)
    moved = DUAL_QUATERNION_SHARE * (dual - linear)
    return np.linalg.solve(np.swapaxes(matrices, 0, 1), moved[..., None])[..., 0]


def active_joints(weights: np.ndarray) -> np.ndarray:
    """Joints whose rotation bends the skin at a vertex: (V, 24) bool.

    These are the vertex's joints and those on the way between them, without the topmost.
    """
    active = np.zeros(weights.shape, bool)
    ancestors = [set() for _ in SMPL_PARENTS]
    for joint, parent in enumerate(SMPL_PARENTS):
        ancestors[joint] = {joint} | (ancestors[parent] if parent >= 0 else set())
    for vertex, row in enumerate(weights > 0):
        joints = np.flatnonzero(row)
        chains = [ancestors[joint] for joint in joints]
        active[vertex, list(set.union(*chains) - set.intersection(*chains))] = True
    return active


def fit_half(offsets: np.ndarray, rotmats: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ridge fit of offsets (N, H, 3) by rotations (N, 24, 3, 3): (H, 3, 207)."""
    features = (rotmats[:, 1:] - np.eye(3)).reshape(len(rotmats), -1)
    posedirs = np.zeros((offsets.shape[1], 3, features.shape[1]))
    active = active_joints(weights)
    for pattern in np.unique(active, axis=0):
        if not pattern.any():
            continue
        columns = np.flatnonzero(np.repeat(pattern[1:], FEATURES))
        vertices = np.flatnonzero((active == pattern).all(1))
        design = features[:, columns]
        gram = design.T @ design + RIDGE * len(design) * np.eye(len(columns))
        goal = design.T @ offsets[:, vertices].reshape(len(offsets), -1)
        solution = np.linalg.solve(gram, goal).reshape(len(columns), len(vertices), 3)
        posedirs[vertices[:, None], :, columns] = solution.transpose(1, 0, 2)
    posedirs[np.abs(posedirs) < SMALLEST] = 0
    return np.round(posedirs / STEP) * STEP


def mirror_posedirs(half: np.ndarray, midline: np.ndarray) -> np.ndarray:
    """Whole body's posedirs (V, 3, 207) from the left half's (H, 3, 207), symmetric."""
    flip = np.array([-1.0, 1, 1])
    swap = [joint - 1 for joint in SMPL_SWAP[1:]]
    by_joint = half.reshape(len(half), 3, len(SMPL_JOINTS) - 1, 3, 3)
    image = by_joint[:, :, swap] * flip[:, None, None, None] * np.outer(flip, flip)
    image = image.reshape(half.shape)
    left = half.copy()
    left[midline] = 0.5 * (half[midline] + image[midline])
    return np.concatenate([left, image[~midline]])


def pose_correctives(
    halves: np.ndarray, joints: np.ndarray, weights: np.ndarray, midline: np.ndarray, seed: int
) -> np.ndarray:
    """Fit the correctives.

    Args:
        halves: (N, H, 3) T-posed left halves of different people, one pose is drawn for each.
        joints: (N, 24, 3) their joints.
        weights: (H, 24) skinning weights.
        midline: (H,) bool.
        seed: of the poses.

    Returns:
        (V, 3, 207) float64 on a grid of STEP, mirror-symmetric.
    """
    rotmats = random_poses(len(halves), np.random.default_rng(seed))
    named = [to_rotmats(named_pose(name)) for name in NAMED]
    for i in range(min(NAMED_REPEATS * len(named), len(rotmats) // 2)):
        rotmats[i] = named[i % len(named)]
    offsets = np.concatenate(
        [
            wanted_offsets(halves[i : i + 20], joints[i : i + 20], rotmats[i : i + 20], weights)
            for i in range(0, len(halves), 20)
        ]
    )
    return mirror_posedirs(fit_half(offsets, rotmats, weights), midline)
