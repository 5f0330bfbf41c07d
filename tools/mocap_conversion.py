"""From a motion-capture skeleton, whatever its file, to SMPL's joint rotations.

Rest poses differ: CMU's legs stand 20 degrees out, its feet point straight along them and its elbow
hinges are tilted; other skeletons rest with lowered arms. So a joint's global rotation is S = G A:
G is the source bone's, A turns SMPL's rest bone (and, for arms, the elbow hinge) onto the source's.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tools.pose_tools import (
    JOINT,
    JOINT_COUNT,
    SIDES,
    compute_leg_corrections,
    find_halfway,
    find_shortest_rotation,
    local_from_global,
    rotate_about,
    share_with_collars,
    share_with_forearms,
    to_axis_angle,
    to_rotmats,
    transpose,
)
from utils.errors import InputError


@dataclass(frozen=True)
class Recording:
    """One motion of one person as its file tells it, in a y-up world.

    Attributes:
        file: where it is from.
        name: of the sequence; a file may hold several.
        frames: (N,) numbers of the frames that were read.
        starts: bone -> (3,) where it begins in the rest pose, body frame, any unit.
        rotations: bone -> (N, 3, 3) global rotation from its rest pose.
        hinges: forearm -> (3,) axis about which it flexes, body frame, where the file says so.
    """

    file: Path
    name: str
    frames: np.ndarray
    starts: dict[str, np.ndarray]
    rotations: dict[str, np.ndarray]
    hinges: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Sequence:
    """A converted motion, thinned.

    Attributes:
        name: of the motion.
        frames: (N,) numbers in its file.
        poses: (N, 24, 3) axis-angle, y-up world.
    """

    name: str
    frames: np.ndarray
    poses: np.ndarray


def _bone_names(trunk: str, limbs: str, sides: tuple[str, str]) -> dict[str, str]:
    """SMPL joint -> the bone whose rotation it takes; "{}" stands for a side in `limbs`."""
    names = dict(zip(("pelvis", "spine1", "spine2", "spine3", "head"), trunk.split(), strict=True))
    joints = ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
    for (side, _), word in zip(SIDES, sides, strict=True):
        for joint, bone in zip(joints, limbs.split(), strict=True):
            names[f"{side}_{joint}"] = bone.format(word)
    return names


# How skeletons name the bones that SMPL's joints follow; the neck is shared with the head.
NAMINGS = (
    _bone_names(  # CMU's own ASF/AMC files
        "root lowerback upperback thorax head",
        "{}femur {}tibia {}foot {}toes {}humerus {}radius {}hand",
        ("l", "r"),
    ),
    _bone_names(  # CMU's motions as BVH (B. Hahne's conversion)
        "Hips LowerBack Spine Spine1 Head",
        "{0}UpLeg {0}Leg {0}Foot {0}ToeBase {0}Arm {0}ForeArm {0}FingerBase",
        ("Left", "Right"),
    ),
    _bone_names(  # Blender's Rigify
        "DEF-hips DEF-spine.001 DEF-spine.002 DEF-spine.003 DEF-head",
        "DEF-thigh.{0} DEF-shin.{0} DEF-foot.{0} DEF-toe.{0} "
        "DEF-upper_arm.{0} DEF-forearm.{0} DEF-hand.{0}",
        ("L", "R"),
    ),
    _bone_names(  # Unreal's mannequin
        "pelvis spine_01 spine_02 spine_03 head",
        "thigh_{0} calf_{0} foot_{0} ball_{0} upperarm_{0} lowerarm_{0} hand_{0}",
        ("l", "r"),
    ),
)

# Degrees; what lies beyond it in CMU's files is a marker lost or swapped.
MAX_TURN = {
    "left_ankle": 85, "right_ankle": 85, "left_wrist": 100, "right_wrist": 100,
    "spine1": 70, "spine2": 60, "spine3": 60, "neck": 70, "head": 70,
}  # fmt: skip
MIN_FLEXION = np.radians(5)  # mean over a motion; with less, an elbow does not show its hinge


def convert_recording(recording: Recording, min_change: float) -> Sequence:
    """One motion as SMPL poses, without broken frames and near-duplicates.

    Args:
        recording: as its file tells it.
        min_change: degrees some joint must turn for a frame to be kept.

    Raises:
        InputError: a rotation is not finite, or as of `convert_rotations`.
    """
    if not all(np.isfinite(rotations).all() for rotations in recording.rotations.values()):
        raise InputError(f"{recording.file}, {recording.name}: it has values that are not finite")
    poses = to_axis_angle(convert_rotations(recording))
    sound = np.flatnonzero(~broken_frames(poses))
    kept = sound[distinct_frames(poses[sound], np.radians(min_change))]
    return Sequence(recording.name, recording.frames[kept], poses[kept])


def convert_rotations(recording: Recording) -> np.ndarray:
    """SMPL's parent-relative rotations (N, 24, 3, 3) of a recorded motion, y-up world.

    Raises:
        InputError: the skeleton lacks bones, or does not rest upright facing z.
    """
    bones = source_bones(recording)
    corrections = rest_corrections(recording, bones)
    smpl = np.empty((len(recording.frames), JOINT_COUNT, 3, 3))
    for joint, bone in bones.items():
        smpl[:, JOINT[joint]] = recording.rotations[bone] @ corrections[joint]
    smpl[:, JOINT["neck"]] = find_halfway(smpl[:, JOINT["spine3"]], smpl[:, JOINT["head"]])
    smpl = share_with_forearms(share_with_collars(smpl))
    for side, _ in SIDES:
        smpl[:, JOINT[f"{side}_hand"]] = smpl[:, JOINT[f"{side}_wrist"]]
    return local_from_global(smpl)


def source_bones(recording: Recording) -> dict[str, str]:
    """SMPL joint -> bone of the recording, by the naming that fits it."""
    found = set(recording.rotations)
    naming = min(NAMINGS, key=lambda names: len(set(names.values()) - found))
    missing = sorted(set(naming.values()) - found)
    if missing:
        raise InputError(
            f"{recording.file}, {recording.name}: the skeleton has no bones "
            f"{', '.join(missing)}; expected names as CMU's ASF or BVH files, Rigify or Unreal's "
            "mannequin have them (add others to NAMINGS in tools/mocap_conversion.py)"
        )
    return naming


def rest_corrections(recording: Recording, bones: dict[str, str]) -> dict[str, np.ndarray]:
    """A of S = G A for every joint: SMPL's rest bone turned onto the source's, (3, 3).

    Spine and head keep the identity: both skeletons stand straight there, their bones only run
    through different places of the trunk.
    """

    def rest_bone(start: str, end: str) -> np.ndarray:
        return recording.starts[bones[end]] - recording.starts[bones[start]]

    across, up = rest_bone("right_hip", "left_hip"), rest_bone("pelvis", "head")
    if across.argmax() != 0 or up.argmax() != 1:
        raise InputError(
            f"{recording.file}, {recording.name}: in the rest pose the left hip is at "
            f"{across.round(2)} from the right one and the head at {up.round(2)} from the pelvis; "
            "expected a person who stands upright along y and looks along z"
        )
    corrections = {joint: np.eye(3) for joint in bones}
    for side, sign in SIDES:
        corrections |= compute_leg_corrections(
            side,
            thigh=rest_bone(f"{side}_hip", f"{side}_knee"),
            shank=rest_bone(f"{side}_knee", f"{side}_ankle"),
            foot=rest_bone(f"{side}_ankle", f"{side}_foot"),
        )
        hinge = elbow_hinge(recording, bones, side)
        for joint, end in (("shoulder", "elbow"), ("elbow", "wrist")):
            along = find_shortest_rotation(
                np.array([sign, 0.0, 0.0]), rest_bone(f"{side}_{joint}", f"{side}_{end}")
            )
            corrections[f"{side}_{joint}"] = along @ hinge_correction(along.T @ hinge, sign)
        corrections[f"{side}_wrist"] = along  # hands lie flat at rest: no hinge to follow
    return corrections


def hinge_correction(hinge: np.ndarray, sign: float) -> np.ndarray:
    """Turns SMPL's elbow hinge (vertical: the forearm bends forward) about a T-posed arm.

    Args:
        hinge: (3,) axis of positive flexion to turn it to; its part along x is of no account.
        sign: 1 for the left side, -1 for the right.

    Returns:
        (3, 3).
    """
    return rotate_about("x", np.arctan2(-sign * hinge[2], -sign * hinge[1]))


def elbow_hinge(recording: Recording, bones: dict[str, str], side: str) -> np.ndarray:
    """Axis (3,) about which a forearm flexes in the rest pose, body frame.

    Where the file does not say it, the motion does: it is the mean turn of the forearm on the upper
    arm, without pronation. Elbows that hardly bend get SMPL's hinge, turned with the arm.
    """
    upper, fore = bones[f"{side}_shoulder"], bones[f"{side}_elbow"]
    if fore in recording.hinges:
        return recording.hinges[fore]
    along = recording.starts[bones[f"{side}_wrist"]] - recording.starts[fore]
    along = along / np.linalg.norm(along)
    relative = transpose(recording.rotations[upper]) @ recording.rotations[fore]
    turn = to_axis_angle(relative).mean(axis=0)
    turn = turn - (turn @ along) * along
    if np.linalg.norm(turn) < MIN_FLEXION:
        sign = dict(SIDES)[side]
        return find_shortest_rotation(np.array([sign, 0.0, 0.0]), along) @ (0.0, -sign, 0.0)
    return turn / np.linalg.norm(turn)


def broken_frames(poses: np.ndarray) -> np.ndarray:
    """Frames (N,) in which a foot, hand or spine joint is turned as no body can."""
    angles = np.degrees(np.linalg.norm(poses, axis=-1))  # (N, 24)
    joints = [JOINT[name] for name in MAX_TURN]
    return (angles[:, joints] > list(MAX_TURN.values())).any(axis=1)


def distinct_frames(poses: np.ndarray, min_change: float) -> np.ndarray:
    """Indices of frames in which some joint turned by `min_change` rad since the last kept one."""
    rotmats = to_rotmats(poses)
    kept = list(range(min(1, len(rotmats))))
    for index in range(1, len(rotmats)):
        trace = np.einsum("jab,jab->j", rotmats[index], rotmats[kept[-1]])
        if np.arccos(np.clip((trace - 1) / 2, -1, 1)).max() >= min_change:
            kept.append(index)
    return np.array(kept, int)
