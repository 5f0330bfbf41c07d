"""Skeleton arithmetic shared by the scripts that prepare training poses (numpy, float64).

Two frames occur. The BODY frame is SMPL's: x to the person's left, y up, z forward, T-pose at rest.
The CAMERA frame has x right, y down, z away; only root rotations are ever moved there.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from utils.files import round_to_steps, write_npz
from utils.joints import SMPL_JOINTS, SMPL_PARENTS, SMPL_SWAP

JOINT = {name: index for index, name in enumerate(SMPL_JOINTS)}
JOINT_COUNT = len(SMPL_JOINTS)
SIDES = (("left", 1.0), ("right", -1.0))  # and the sign of x there

# An average adult's joints in the T-pose, metres; only proportions and bone directions matter here.
_RIGHT_HALF_OF_REST = {
    "pelvis": (0.0, -0.22, 0.03),
    "right_hip": (-0.09, -0.29, 0.05),
    "spine1": (0.0, -0.13, 0.03),
    "right_knee": (-0.124, -0.67, 0.04),
    "spine2": (0.0, -0.05, 0.03),
    "right_ankle": (-0.11, -1.10, -0.005),
    "spine3": (0.0, 0.08, 0.02),
    "right_foot": (-0.134, -1.15, 0.135),
    "neck": (0.0, 0.28, 0.05),
    "right_collar": (-0.065, 0.21, 0.06),
    "head": (0.0, 0.36, 0.07),
    "right_shoulder": (-0.175, 0.195, 0.06),
    "right_elbow": (-0.435, 0.195, 0.06),
    "right_wrist": (-0.67, 0.195, 0.06),
    "right_hand": (-0.77, 0.195, 0.06),
}
# How far the line from hip to ankle stands out at rest, and the shank back, rad.
REST_LEG_OUT = np.arctan2(0.02, 0.81)
REST_SHANK_BACK = np.arctan2(0.045, 0.43)
MIRROR = np.array([1.0, -1.0, -1.0])  # what reflecting x does to an axis-angle vector

CAMERA_FROM_BODY = np.diag([1.0, -1.0, -1.0])  # half a turn about x: y up to y down

# Part of an arm's elevation and reach that the collar bone makes (scapulohumeral rhythm; the T-pose
# has the arm at 90 degrees, so a hanging arm lowers the collar by 0.15 x 90 = 13 degrees).
COLLAR_LOWERING = 0.15
COLLAR_RAISING = 0.22
COLLAR_REACHING = 0.15


def rest_joints() -> np.ndarray:
    """The rest skeleton, (24, 3) metres, body frame, left/right symmetric."""
    rows = []
    for name in SMPL_JOINTS:
        x, y, z = _RIGHT_HALF_OF_REST[name.replace("left_", "right_")]
        rows.append((-x if name.startswith("left_") else x, y, z))
    return np.array(rows)


REST_JOINTS = rest_joints()  # (24, 3)


def rotate_about(axis: str, angle: np.ndarray | float) -> np.ndarray:
    """Rotation matrices about a coordinate axis.

    Args:
        axis: "x", "y" or "z".
        angle: (...) radians.

    Returns:
        (..., 3, 3).
    """
    return to_rotmats(np.asarray(angle)[..., None] * np.eye(3)["xyz".index(axis)])


def to_rotmats(axis_angle: np.ndarray) -> np.ndarray:
    """(..., 3) radians to (..., 3, 3)."""
    axis_angle = np.asarray(axis_angle, float)
    flat = Rotation.from_rotvec(axis_angle.reshape(-1, 3)).as_matrix()
    return flat.reshape(*axis_angle.shape, 3)


def to_axis_angle(rotmats: np.ndarray) -> np.ndarray:
    """(..., 3, 3) to (..., 3) radians, angle in [0, pi]."""
    flat = Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_rotvec()
    return flat.reshape(rotmats.shape[:-1])


def scale_rotations(rotmats: np.ndarray, share: float) -> np.ndarray:
    """The same turn, `share` of the way: (..., 3, 3) to (..., 3, 3)."""
    return to_rotmats(share * to_axis_angle(rotmats))


def transpose(rotmats: np.ndarray) -> np.ndarray:
    """Inverse rotations, (..., 3, 3)."""
    return np.swapaxes(rotmats, -1, -2)


def find_shortest_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotation that turns direction `source` (3,) into direction `target` (3,)."""
    source = source / np.linalg.norm(source)
    target = target / np.linalg.norm(target)
    axis = np.cross(source, target)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        if source @ target < 0:
            raise ValueError("opposite directions have no unique shortest rotation")
        return np.eye(3)
    return to_rotmats(axis / sine * np.arctan2(sine, source @ target))


def find_halfway(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The orientation in the middle between two: (..., 3, 3)."""
    return first @ scale_rotations(transpose(first) @ second, 0.5)


def compute_leg_corrections(
    side: str, thigh: np.ndarray, shank: np.ndarray, foot: np.ndarray
) -> dict[str, np.ndarray]:
    """Turns SMPL's rest leg onto the rest leg of another skeleton.

    Sideways the leg turns as a whole, by the line from hip to ankle, so that the knee stays a hinge
    about x; forward, thigh and shank each follow their own bone. The sole is taken as square to the
    leg in both rest poses; only its heading is matched.

    Args:
        side: "left" or "right".
        thigh: (3,) from hip to knee in the other skeleton's rest pose, body frame, any unit.
        shank: (3,) the same from knee to ankle.
        foot: (3,) the same from ankle to toes.

    Returns:
        A of S = G A (S, G global rotations of SMPL's and the source's bones) per joint: (3, 3).
    """
    hip, knee, ankle, toes = (
        REST_JOINTS[JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle", "foot")
    )
    outward = np.arctan2(thigh[0] + shank[0], -thigh[1] - shank[1])
    lean = outward - REST_LEG_OUT * np.sign(hip[0])
    tilt = rotate_about("z", outward)
    corrections = {}
    for joint, source, rest in (("hip", thigh, knee - hip), ("knee", shank, ankle - knee)):
        upright = tilt.T @ source
        forward = np.arctan2(-rest[2], -rest[1]) - np.arctan2(-upright[2], -upright[1])
        corrections[f"{side}_{joint}"] = rotate_about("z", lean) @ rotate_about("x", -forward)
    level = np.array([1.0, 0.0, 1.0])
    heading = find_shortest_rotation((toes - ankle) * level, (tilt.T @ foot) * level)
    corrections[f"{side}_ankle"] = corrections[f"{side}_foot"] = tilt @ heading
    return corrections


def measure_twist(rotmats: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Angle of the twist about `axis` in the swing-twist decomposition R = swing @ twist.

    Args:
        rotmats: (..., 3, 3).
        axis: (3,) unit vector.

    Returns:
        (...) radians in (-pi, pi].
    """
    quaternion = Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_quat()  # x, y, z, w
    angle = 2 * np.arctan2(quaternion[:, :3] @ axis, quaternion[:, 3])
    return ((angle + np.pi) % (2 * np.pi) - np.pi).reshape(rotmats.shape[:-2])


def global_from_local(local: np.ndarray) -> np.ndarray:
    """Orientations of all joints in the root's frame from parent-relative ones: (N, 24, 3, 3)."""
    world = np.empty_like(local)
    for joint, parent in enumerate(SMPL_PARENTS):
        world[:, joint] = local[:, joint] if parent < 0 else world[:, parent] @ local[:, joint]
    return world


def local_from_global(world: np.ndarray) -> np.ndarray:
    """Inverse of `global_from_local`: (N, 24, 3, 3)."""
    local = world.copy()
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            local[:, joint] = transpose(world[:, parent]) @ world[:, joint]
    return local


def place_joints(world: np.ndarray) -> np.ndarray:
    """Joints of the rest skeleton in a pose.

    Args:
        world: (N, 24, 3, 3) global orientations.

    Returns:
        (N, 24, 3) metres, the pelvis at the origin.
    """
    positions = np.zeros((len(world), JOINT_COUNT, 3))
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            bone = REST_JOINTS[joint] - REST_JOINTS[parent]
            positions[:, joint] = positions[:, parent] + world[:, parent] @ bone
    return positions


def mirror_poses(axis_angle: np.ndarray) -> np.ndarray:
    """Swaps left and right: (N, 24, 3) to (N, 24, 3); valid in the body and the camera frame."""
    return axis_angle[:, list(SMPL_SWAP)] * MIRROR


def share_with_collars(world: np.ndarray) -> np.ndarray:
    """Lets the collar bones take their part of where the upper arms point.

    Sources without clavicles put the whole movement into the shoulder joint, which on a skinned
    body draws a raised shoulder over a hanging arm. The upper arm's orientation stays as it is.

    Args:
        world: (N, 24, 3, 3) global orientations.

    Returns:
        A copy with new global orientations of both collars.
    """
    world = world.copy()
    chest = world[:, JOINT["spine3"]]
    for side, sign in SIDES:
        arm = transpose(chest) @ world[:, JOINT[f"{side}_shoulder"]] @ (sign, 0.0, 0.0)  # (N, 3)
        world[:, JOINT[f"{side}_collar"]] = chest @ rotate_collar(arm, sign)
    return world


def rotate_collar(arm: np.ndarray, sign: float) -> np.ndarray:
    """Collar rotation in the chest's frame for an upper-arm direction.

    Args:
        arm: (N, 3) unit vectors in the chest's frame.
        sign: 1 for the left side, -1 for the right.

    Returns:
        (N, 3, 3).
    """
    elevation = np.arcsin(np.clip(arm[:, 1], -1, 1))
    reach = np.arcsin(np.clip(arm[:, 2], -1, 1))
    raising = np.where(elevation < 0, COLLAR_LOWERING, COLLAR_RAISING) * elevation
    forward = rotate_about("y", -sign * COLLAR_REACHING * reach)
    return forward @ rotate_about("z", sign * raising)


def to_camera_frame(root: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray):
    """Root rotations as a camera sees them.

    Args:
        root: (N, 3, 3) root rotations in a y-up world.
        yaw: (N,) radians added to the heading, about the vertical.
        pitch: (N,) radians by which the camera looks down (positive) or up, about its x axis.
        roll: (N,) radians, about its optical axis.

    Returns:
        (N, 3, 3) root rotations in the camera frame (y down).
    """
    tilt = rotate_about("z", roll) @ rotate_about("x", pitch)
    return tilt @ CAMERA_FROM_BODY @ rotate_about("y", yaw) @ root


def draw_views(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Headings and camera tilts: yaw uniform, pitch and roll normal, one in eight seen steeply.

    Returns:
        Arguments of `to_camera_frame` after `root`: yaw, pitch and roll, (N,) radians.
    """
    yaw = generator.uniform(-np.pi, np.pi, count)
    pitch = np.radians(generator.normal(3.0, 8.0, count))
    steep = generator.random(count) < 0.125
    pitch = np.where(steep, np.radians(generator.uniform(-25, 40, count)), pitch)
    roll = np.radians(generator.normal(0.0, 5.0, count))
    return {"yaw": yaw, "pitch": pitch, "roll": roll}


def turn_to_cameras(poses: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A copy of (N, 24, 3) poses whose roots are in the frames of random cameras."""
    poses = poses.copy()
    root = to_camera_frame(to_rotmats(poses[:, 0]), **draw_views(generator, len(poses)))
    poses[:, 0] = to_axis_angle(root)
    return poses


def share_with_forearms(world: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Moves part of the hand's pronation into the forearm, so that the wrist is not wrung.

    Args:
        world: (N, 24, 3, 3) global orientations.
        share: of the twist between forearm and hand that the forearm takes.

    Returns:
        A copy with new global orientations of both elbows.
    """
    world = world.copy()
    for side in ("left", "right"):
        elbow, wrist = JOINT[f"{side}_elbow"], JOINT[f"{side}_wrist"]
        relative = transpose(world[:, elbow]) @ world[:, wrist]
        pronation = measure_twist(relative, np.array([1.0, 0.0, 0.0]))
        world[:, elbow] = world[:, elbow] @ rotate_about("x", share * pronation)
    return world


def round_poses(radians: np.ndarray) -> np.ndarray:
    """Float32 in steps of 1/2048 rad (0.03 degrees), which halves the file's size."""
    return round_to_steps(radians, 1 / 2048)


def write_poses(path: Path, names: np.ndarray, poses: np.ndarray) -> None:
    """Writes names (N,) and poses (N, 24, 3), seen by cameras, in the training format."""
    count = len(poses)
    write_npz(
        path,
        {
            "fnames": names,
            "poses": poses.reshape(count, -1).astype(np.float32),
            "shapes": np.zeros((count, 10), np.float32),
        },
    )
