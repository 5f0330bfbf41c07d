"""Places the arms of drawn poses: by their angles, or so that a wrist reaches its target.

Everything is worked out for the left arm, in the chest's frame; right arms are its mirror image.
"""

import numpy as np

from tools.pose_tables import ARMS, LIMITS, SIDED_JOINTS, ArmAngles, ArmTarget, Spread, limit
from tools.pose_tools import (
    JOINT,
    MIRROR,
    REST_JOINTS,
    global_from_local,
    measure_twist,
    place_joints,
    rotate_about,
    rotate_collar,
    to_axis_angle,
    to_rotmats,
    transpose,
)

MIN_ACROSS = -55.0  # degrees of arm abduction; beyond it the chest is in the way
# Joints of the left arm at rest, metres from the chest's.
REST = {
    name: REST_JOINTS[JOINT[f"left_{name}"]] - REST_JOINTS[JOINT["spine3"]]
    for name in ("collar", "shoulder", "elbow", "wrist")
}


def set_arm(
    local: np.ndarray,
    generator: np.random.Generator,
    side: str,
    sign: float,
    names: np.ndarray,
    normal: np.ndarray,
    swing: np.ndarray,
) -> np.ndarray:
    """Writes one arm, collar to fingers, into (N, 24, 3, 3) rotations.

    Works on the left arm; for the right one, in a mirror.

    Args:
        local: trunk and legs are set already.
        generator: randomness of wrist and fingers.
        side: "left" or "right".
        sign: 1 or -1.
        names: (N,) in ARMS.
        normal: (N, 8) standard normal numbers, partly common to both arms.
        swing: (N,) degrees, forward swing of the thigh on the same side while walking or running.

    Returns:
        Whether the arm stays within its limits (N,).
    """
    by_target = np.array([isinstance(ARMS[name], ArmTarget) for name in names])
    table = np.array([_arm_row(ARMS[name]) for name in names])  # (N, 5, 2)
    values = table[..., 0] + table[..., 1] * normal[:, :5]
    swinging = np.isin(names, ("swing", "run_swing"))
    values[:, 0] += np.where(swinging, -0.9 * swing, 0.0)
    upper, elbow = place_arm_by_angles(values)
    wrist = place_targets(local, side, sign, names, values)
    shrug = to_rotmats(np.radians(normal[:, 5:] * (0, 4, 4)))  # collar; y reaches, z raises
    target_upper, target_elbow, in_reach = place_arm_at_target(wrist, shrug, names, values)
    upper = np.where(by_target[:, None, None], target_upper, upper)
    elbow = np.where(by_target, target_elbow, elbow)
    collar = rotate_collar(upper[:, :, 0], 1.0) @ shrug
    pronation = np.radians(limit("pronation", values[:, 4]))
    rotations = {
        "collar": collar,
        "shoulder": transpose(collar) @ upper,
        "elbow": rotate_about("y", -elbow) @ rotate_about("x", pronation / 2),
        "wrist": rotate_about("x", pronation / 2) @ draw_wrists(generator, len(names)),
        "hand": draw_fingers(generator, len(names)),
    }
    for joint, rotation in rotations.items():
        mirrored = rotation if sign > 0 else to_rotmats(to_axis_angle(rotation) * MIRROR)
        local[:, JOINT[f"{side}_{joint}"]] = mirrored
    return check_arm_limits(upper) & (in_reach | ~by_target)


def _arm_row(arm: ArmAngles | ArmTarget) -> tuple[Spread, ...]:
    if isinstance(arm, ArmAngles):
        return arm.flexion, arm.abduction, arm.rotation, arm.elbow, arm.pronation
    return arm.x, arm.y, arm.z, (0.0, arm.swivel), arm.pronation


def place_arm_by_angles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left upper arm in the chest's frame (N, 3, 3) and elbow (N,) rad from degrees (N, 5)."""
    flexion, abduction, rotation, elbow, _ = values.T
    flexion = limit("arm_behind", flexion)
    elevation = np.radians(limit("arm_elevation", np.hypot(flexion, abduction)))
    plane = np.arctan2(flexion, abduction)
    rotation = np.radians(limit("arm_rotation", rotation))
    upper = swing_upper_arm(elevation, plane) @ rotate_about("x", rotation)
    return upper, np.radians(limit("elbow", np.abs(elbow)))


def swing_upper_arm(elevation: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Left upper arm swung from hanging straight to an elevation in a plane, without twist.

    Args:
        elevation: (N,) rad, 0 hanging, pi / 2 level.
        plane: (N,) rad, 0 sideways, pi / 2 forward.

    Returns:
        (N, 3, 3) in the chest's frame; the elbow bends forward when the arm hangs, up when it
        reaches forward.
    """
    swing = rotate_about("y", -plane) @ rotate_about("z", elevation - np.pi / 2)
    return swing @ rotate_about("x", -plane)


def place_targets(
    local: np.ndarray, side: str, sign: float, names: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Wrist targets of one side in the chest's frame, mirrored to the left: (N, 3) metres."""
    world = global_from_local(local)
    positions = place_joints(world)
    rows = np.arange(len(names))
    joints = np.array([_target_joint(name, side) for name in names])
    offset = values[:, :3] * (sign, 1.0, 1.0)
    point = positions[rows, joints] + np.einsum("nab,nb->na", world[rows, joints], offset)
    chest = JOINT["spine3"]
    relative = point - positions[:, chest]
    return np.einsum("nba,nb->na", world[:, chest], relative) * (sign, 1.0, 1.0)


def _target_joint(name: str, side: str) -> int:
    arm = ARMS[name]
    if not isinstance(arm, ArmTarget):
        return 0
    return JOINT[f"{side}_{arm.joint}" if arm.joint in SIDED_JOINTS else arm.joint]


def place_arm_at_target(
    wrist: np.ndarray, shrug: np.ndarray, names: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left arms that bring the wrist to a target.

    Args:
        wrist: (N, 3) metres in the chest's frame.
        shrug: (N, 3, 3) collar rotation on top of the rhythm.
        names: (N,) arm positions, for where the elbow points.
        values: (N, 5); column 3 turns the elbow about the line from shoulder to wrist, degrees.

    Returns:
        Upper arm in the chest's frame (N, 3, 3), elbow flexion (N,) rad, and whether the target is
        within reach (N,).
    """
    towards = np.array([getattr(ARMS[name], "elbow_towards", (0, -1, 0)) for name in names], float)
    collar = shrug
    for _ in range(2):  # the collar follows the arm, and the shoulder the collar
        shoulder = REST["collar"] + np.einsum(
            "nab,b->na", collar, REST["shoulder"] - REST["collar"]
        )
        swivel = np.radians(values[:, 3])
        upper, elbow, in_reach = reach_with_two_bones(wrist - shoulder, towards, swivel)
        collar = rotate_collar(upper[:, :, 0], 1.0) @ shrug
    return upper, elbow, in_reach


def reach_with_two_bones(
    reach: np.ndarray, towards: np.ndarray, swivel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two-bone inverse kinematics of the left arm (law of cosines).

    Args:
        reach: (N, 3) from shoulder to wrist, metres.
        towards: (N, 3) direction in which the elbow points.
        swivel: (N,) rad, turn of the elbow about `reach`.

    Returns:
        Upper arm (N, 3, 3), elbow flexion (N,) rad, whether the wrist gets there (N,).
    """
    first = np.linalg.norm(REST["elbow"] - REST["shoulder"])
    second = np.linalg.norm(REST["wrist"] - REST["elbow"])
    distance = np.linalg.norm(reach, axis=1)
    bent_most = np.radians(LIMITS["elbow"][1])
    nearest = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(bent_most))
    in_reach = (distance < first + second) & (distance > nearest)
    length = np.clip(distance, nearest, 0.999 * (first + second))
    along = reach / distance[:, None]
    across = towards - (towards * along).sum(1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    across = np.einsum("nab,nb->na", to_rotmats(along * swivel[:, None]), across)
    cosine = (first**2 + length**2 - second**2) / (2 * first * length)
    sine = np.sqrt(1 - cosine**2)
    upper = cosine[:, None] * along + sine[:, None] * across
    forearm = length[:, None] * along - first * upper
    x = upper
    z = forearm - (forearm * x).sum(1, keepdims=True) * x  # the elbow bends x towards z
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    rotation = np.stack([x, np.cross(z, x), z], axis=-1)
    inner = (first**2 + second**2 - length**2) / (2 * first * second)
    return rotation, np.pi - np.arccos(np.clip(inner, -1, 1)), in_reach


def check_arm_limits(upper: np.ndarray) -> np.ndarray:
    """Whether left upper arms (N, 3, 3) in the chest's frame can be held so: (N,)."""
    elevation, plane, rotation = measure_upper_arm(upper)
    behind = np.degrees(elevation) * np.sin(plane)
    lowest, highest = LIMITS["arm_rotation"]
    across = np.degrees(elevation) * np.cos(plane)
    turned = np.degrees(rotation)
    # Angles cut off at a limit lie on it; rounding must not decide about them.
    slack = 1e-6
    return (
        (behind > LIMITS["arm_behind"][0] - slack)
        & (across > MIN_ACROSS)
        & (turned > lowest - slack)
        & (turned < highest + slack)
    )


def measure_upper_arm(upper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elevation, plane and rotation, (N,) rad each, of left upper arms (N, 3, 3)."""
    arm = upper[:, :, 0]
    elevation = np.arccos(np.clip(-arm[:, 1], -1, 1))
    plane = np.arctan2(arm[:, 2], arm[:, 0])
    relative = transpose(swing_upper_arm(elevation, plane)) @ upper
    return elevation, plane, measure_twist(relative, np.array([1.0, 0.0, 0.0]))


def draw_wrists(generator: np.random.Generator, count: int) -> np.ndarray:
    """Left wrists (N, 3, 3): flexion towards the palm, deviation towards the little finger."""
    flexion = limit("wrist_flexion", generator.normal(4, 17, count))
    deviation = limit("wrist_deviation", generator.normal(3, 8, count))
    return rotate_about("y", np.radians(deviation)) @ rotate_about("z", -np.radians(flexion))


def draw_fingers(generator: np.random.Generator, count: int) -> np.ndarray:
    """Left fingers (N, 3, 3), curled a little."""
    curl = limit("fingers", np.abs(generator.normal(0, 20, count)))
    return rotate_about("z", -np.radians(curl))
