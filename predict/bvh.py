"""Motions as BVH files, which animation programs read: a skeleton of 24 joints, and its turns.

Lengths are centimetres, as most programs take them (Blender: scale 0.01), y up and z towards the
viewer; channels are Euler angles in degrees about the joint's own axes in the order Z, X, Y, and
the root's place.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from models.body_model import Skinning
from predict.rigged_mesh import CAMERA_TO_GLTF, Motion
from utils.files import write_whole
from utils.joints import SMPL_JOINTS, SMPL_PARENTS

CM_PER_METRE = 100.0
TIP = 0.08  # m, of the bones that end a limb, which have a length only to be drawn
_TURNS = "Zrotation Xrotation Yrotation"


def write_bvh(path: Path, skinning: Skinning, motion: Motion) -> None:
    """Writes a person's motion; raises InputError where the file cannot be written.

    Args:
        path: of the file.
        skinning: of the person's body model, on the CPU.
        motion: of the person, in the camera frame.
    """
    betas = torch.from_numpy(np.asarray(motion.betas, np.float32))[None]
    resting = torch.eye(3).expand(1, len(SMPL_JOINTS), 3, 3)
    joints = skinning.bone_transforms(betas, resting)[1][0].double().numpy() * CM_PER_METRE
    lines = ["HIERARCHY", *_describe_joint(0, joints, 0), "MOTION"]
    lines += [f"Frames: {len(motion.pose_rotmats)}", f"Frame Time: {1 / motion.fps:.8f}"]
    rows = _channels(motion, joints[0])
    lines += [" ".join(f"{value:.5f}" for value in row) for row in rows]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _describe_joint(joint: int, joints: np.ndarray, depth: int) -> list[str]:
    """The lines of a joint and of those that hang on it."""
    indent = "  " * depth
    parent = SMPL_PARENTS[joint]
    offset = np.zeros(3) if parent < 0 else joints[joint] - joints[parent]
    places = "6 Xposition Yposition Zposition" if parent < 0 else "3"
    lines = [
        f"{indent}{'ROOT' if parent < 0 else 'JOINT'} {SMPL_JOINTS[joint]}",
        indent + "{",
        f"{indent}  OFFSET {_format(offset)}",
        f"{indent}  CHANNELS {places} {_TURNS}",
    ]
    children = [child for child, above in enumerate(SMPL_PARENTS) if above == joint]
    for child in children:
        lines += _describe_joint(child, joints, depth + 1)
    if not children:
        tip = offset / np.linalg.norm(offset) * TIP * CM_PER_METRE
        lines += [f"{indent}  End Site", indent + "  {", f"{indent}    OFFSET {_format(tip)}"]
        lines += [indent + "  }"]
    return [*lines, indent + "}"]


def _format(values: np.ndarray) -> str:
    return " ".join(f"{value:.5f}" for value in values)


def _channels(motion: Motion, pelvis: np.ndarray) -> np.ndarray:
    """(T, 3 + 24 * 3) values of all channels, in the order of the hierarchy.

    Args:
        motion: of the person.
        pelvis: (3,) in the T-pose, body axes, cm.
    """
    rotmats = np.array(motion.pose_rotmats, np.float64)
    rotmats[:, 0] = CAMERA_TO_GLTF @ rotmats[:, 0]
    # The root turns about the pelvis: it is where it is in the T-pose, in the camera's axes.
    places = (pelvis + CM_PER_METRE * motion.translations) @ CAMERA_TO_GLTF
    order = _list_depth_first(0)
    turns = Rotation.from_matrix(rotmats[:, order].reshape(-1, 3, 3)).as_euler("ZXY", degrees=True)
    return np.concatenate([places, turns.reshape(len(rotmats), -1)], axis=1)


def _list_depth_first(joint: int) -> list[int]:
    below = [child for child, parent in enumerate(SMPL_PARENTS) if parent == joint]
    return [joint, *(each for child in below for each in _list_depth_first(child))]
