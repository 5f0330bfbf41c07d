"""Turns CMU motion capture (ASF/AMC) into training poses.

    python data/prepare_cmu_mocap.py --input CMU_FOLDER --output data/cmu_poses.npz

The folder holds one folder per subject with `NN.asf` and `NN_MM.amc` files (mocap.cs.cmu.edu).
Frames are thinned to `--fps`, near-duplicates and frames with lost markers are dropped, and every
pose gets a random heading and a small camera tilt. `--val-output` puts a share of the sequences,
never single frames, into a second file.

CMU's rest pose is not SMPL's: its legs stand 20 degrees out, its feet point straight along them and
its elbow hinges are tilted. So a joint's global rotation is S = G A: G is the CMU bone's, A turns
SMPL's rest bone (and, for arms, the elbow hinge) onto CMU's.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.pose_tools import (
    JOINT,
    JOINT_COUNT,
    SIDES,
    draw_views,
    halfway,
    leg_corrections,
    local_from_global,
    mirrored_poses,
    rotation_about,
    share_with_collars,
    share_with_forearms,
    shortest_rotation,
    to_axis_angle,
    to_camera_frame,
    to_rotmats,
)
from utils.command_line import parse_options, run_script
from utils.errors import InputError


@dataclass(frozen=True)
class Options:
    """What to read, how densely, and where to write."""

    input: Path  # folder searched, with its subfolders, for .asf and .amc files
    output: Path  # npz of training poses
    val_output: Path | None = None  # npz of validation poses; none: everything is for training
    val_share: float = 0.1  # of the sequences, drawn by the seed
    source_fps: float = 120.0  # frame rate of the AMC files
    fps: float = 15.0  # frame rate kept
    min_change: float = 3.0  # degrees some joint must turn for a frame to be kept
    views: int = 1  # headings and tilts drawn per frame
    mirror: bool = False  # adds every pose with left and right swapped
    seed: int = 0


@dataclass(frozen=True)
class Bone:
    """One bone of an ASF skeleton; rotations about the rest pose are axis @ motion @ axis^-1."""

    name: str
    direction: np.ndarray  # (3,) unit vector in the rest pose, body frame
    length: float  # in the file's unit
    axis: np.ndarray  # (3, 3)
    dof: tuple[str, ...]  # of "rx", "ry", "rz", in the order of the AMC values


@dataclass(frozen=True)
class Skeleton:
    """An ASF skeleton."""

    bones: dict[str, Bone]
    parents: dict[str, str]  # bone -> parent bone, "root" at the top; parents come first
    root_order: tuple[str, ...]  # of "tx", ..., "rz", in the order of the AMC values
    root_axis: np.ndarray  # (3, 3)
    degrees: bool = True
    metres_per_unit: float = 0.0254  # CMU's lengths are inches times the file's scale


# SMPL joint -> CMU bone whose rotation it takes.
SOURCE_BONE = {
    "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax",
    "neck": "upperneck", "head": "head",
    "left_hip": "lfemur", "left_knee": "ltibia", "left_ankle": "lfoot", "left_foot": "ltoes",
    "right_hip": "rfemur", "right_knee": "rtibia", "right_ankle": "rfoot", "right_foot": "rtoes",
    "left_shoulder": "lhumerus", "left_elbow": "lradius", "left_wrist": "lhand",
    "right_shoulder": "rhumerus", "right_elbow": "rradius", "right_wrist": "rhand",
}  # fmt: skip

# Degrees; what lies beyond it in CMU's files is a marker lost or swapped.
LARGEST_TURN = {
    "left_ankle": 85, "right_ankle": 85, "left_wrist": 100, "right_wrist": 100,
    "spine1": 70, "spine2": 60, "spine3": 60, "neck": 70, "head": 70,
}  # fmt: skip


def main(options: Options) -> None:
    """Reads every sequence, splits by sequence, writes one or two files."""
    sequences = list(find_sequences(options.input))
    generator = np.random.default_rng(options.seed)
    val_names = draw_val_sequences(sequences, options, generator)
    if options.val_output is not None:
        val = [pair for pair in sequences if pair[1].stem in val_names]
        write_poses(options.val_output, val, options, generator)
    train = [pair for pair in sequences if pair[1].stem not in val_names]
    write_poses(options.output, train, options, generator)


def draw_val_sequences(
    sequences: list[tuple[Path, Path]], options: Options, generator: np.random.Generator
) -> set[str]:
    """Names of the sequences held out for validation; empty without `val_output`."""
    if options.val_output is None:
        return set()
    count = round(options.val_share * len(sequences))
    if not 0 < count < len(sequences):
        raise InputError(
            f"--val-share {options.val_share} of {len(sequences)} sequences leaves {count} for "
            "validation; choose a share that leaves some on both sides"
        )
    chosen = generator.permutation(len(sequences))[:count]
    return {sequences[index][1].stem for index in chosen}


def write_poses(
    path: Path,
    sequences: list[tuple[Path, Path]],
    options: Options,
    generator: np.random.Generator,
) -> None:
    """Converts sequences and writes one npz in the training format."""
    names, poses = [], []
    for skeleton_file, motion_file in sequences:
        frames, body_poses = convert_sequence(skeleton_file, motion_file, options)
        for view in range(options.views):
            poses.append(seen_by_cameras(body_poses, generator))
            names.append([f"{motion_file.stem}_f{frame:05d}_v{view}" for frame in frames])
            if options.mirror:
                poses.append(seen_by_cameras(mirrored_poses(body_poses), generator))
                names.append([f"{name}_mirror" for name in names[-1]])
        print(f"{motion_file.name}: {len(frames)} poses")
    stacked = np.concatenate(poses).reshape(-1, 3 * JOINT_COUNT).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        fnames=np.concatenate(names),
        poses=stacked,
        shapes=np.zeros((len(stacked), 10), np.float32),
    )
    print(f"{path}: {len(stacked)} poses of {len(sequences)} sequences")


def find_sequences(folder: Path) -> Iterator[tuple[Path, Path]]:
    """(skeleton, motion) files, sorted by name.

    Raises:
        InputError: no such folder, no motion in it, or a motion without its subject's skeleton.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with .asf and .amc files")
    motions = sorted(folder.rglob("*.amc"))
    if not motions:
        raise InputError(f"{folder}: no .amc file in it or its subfolders")
    for motion in motions:
        skeleton = motion.with_name(motion.stem.split("_")[0] + ".asf")
        if not skeleton.is_file():
            raise InputError(f"{motion}: its skeleton {skeleton.name} is not beside it")
        yield skeleton, motion


def convert_sequence(
    skeleton_file: Path, motion_file: Path, options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """One sequence as SMPL poses in a y-up world.

    Returns:
        Frame numbers (N,) counted from 1 as in the file, and poses (N, 24, 3) axis-angle.
    """
    skeleton = read_asf(skeleton_file)
    step = max(1, round(options.source_fps / options.fps))
    frames, values = read_amc(motion_file, skeleton, step)
    poses = to_axis_angle(smpl_rotations(skeleton, bone_rotations(skeleton, values)))
    sound = np.flatnonzero(~broken_frames(poses))
    if len(sound) == 0:
        raise InputError(f"{motion_file}: every frame has a joint turned as no body can")
    kept = sound[distinct_frames(poses[sound], np.radians(options.min_change))]
    return frames[kept], poses[kept]


def broken_frames(poses: np.ndarray) -> np.ndarray:
    """Frames (N,) in which a foot, hand or spine joint is turned as no body can."""
    angles = np.degrees(np.linalg.norm(poses, axis=-1))  # (N, 24)
    joints = [JOINT[name] for name in LARGEST_TURN]
    return (angles[:, joints] > list(LARGEST_TURN.values())).any(axis=1)


def distinct_frames(poses: np.ndarray, min_change: float) -> np.ndarray:
    """Indices of frames in which some joint turned by `min_change` rad since the last kept one."""
    rotmats = to_rotmats(poses)
    kept = [0]
    for index in range(1, len(rotmats)):
        trace = np.einsum("jab,jab->j", rotmats[index], rotmats[kept[-1]])
        if np.arccos(np.clip((trace - 1) / 2, -1, 1)).max() >= min_change:
            kept.append(index)
    return np.array(kept)


def seen_by_cameras(poses: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A copy of (N, 24, 3) poses whose roots are in the frames of random cameras."""
    poses = poses.copy()
    root = to_camera_frame(to_rotmats(poses[:, 0]), **draw_views(generator, len(poses)))
    poses[:, 0] = to_axis_angle(root)
    return poses


def read_asf(path: Path) -> Skeleton:
    """Reads an Acclaim skeleton.

    Raises:
        InputError: a section or a value is missing or malformed.
    """
    try:
        return _parse_asf(path.read_text(encoding="latin-1"))
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not an Acclaim skeleton ({error!r})") from error


def _parse_asf(text: str) -> Skeleton:
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(":"):
            current = sections.setdefault(words[0], [])
            words = words[1:]
        if words:
            current.append(words)
    units = {words[0]: words[1] for words in sections[":units"]}
    degrees = units["angle"].startswith("deg")
    bones = {bone.name: bone for bone in _parse_bones(sections[":bonedata"], degrees)}
    parents = {
        child: words[0]
        for words in sections[":hierarchy"]
        if words[0] not in ("begin", "end")
        for child in words[1:]
    }
    root = {words[0]: words[1:] for words in sections[":root"]}
    orientation = np.array([float(number) for number in root["orientation"][:3]])
    return Skeleton(
        bones=bones,
        parents=parents,
        root_order=tuple(word.lower() for word in root["order"]),
        root_axis=euler_rotation(root["axis"][0].lower(), orientation, degrees),
        degrees=degrees,
        metres_per_unit=0.0254 / float(units.get("length", 1.0)),
    )


def _parse_bones(lines: list[list[str]], degrees: bool) -> Iterator[Bone]:
    for words in lines:
        if words[0] == "begin":
            values = {}
        elif words[0] == "end":
            direction = np.array([float(number) for number in values["direction"]])
            angles = np.array([float(number) for number in values["axis"][:3]])
            yield Bone(
                name=values["name"][0],
                direction=direction / np.linalg.norm(direction),
                length=float(values["length"][0]),
                axis=euler_rotation(values["axis"][3].lower(), angles, degrees),
                dof=tuple(word.lower() for word in values.get("dof", [])),
            )
        else:
            values[words[0]] = words[1:]


def euler_rotation(order: str, angles: np.ndarray, degrees: bool) -> np.ndarray:
    """Acclaim's Euler angles: "xyz" turns about x first, then y, then z, all fixed axes."""
    if angles.shape[-1] == 0:
        return np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    flat = Rotation.from_euler(order, angles.reshape(-1, len(order)), degrees=degrees)
    return flat.as_matrix().reshape(*angles.shape[:-1], 3, 3)


def read_amc(
    path: Path, skeleton: Skeleton, step: int = 1
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Reads every `step`-th frame of an Acclaim motion.

    Returns:
        Frame numbers (N,) and, per bone with degrees of freedom (and "root"), values (N, D).

    Raises:
        InputError: a frame lacks a bone, has another number of values, or is not a number.
    """
    wanted = {name: len(bone.dof) for name, bone in skeleton.bones.items() if bone.dof}
    wanted["root"] = len(skeleton.root_order)
    numbers: list[int] = []
    values: dict[str, list[list[float]]] = {name: [] for name in wanted}
    position, keep = -1, False
    for line in path.read_text(encoding="latin-1").splitlines():
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            position += 1
            keep = position % step == 0
            if keep:
                numbers.append(int(words[0]))
        elif keep and words[0] in wanted:
            values[words[0]].append(_amc_values(path, words, wanted[words[0]]))
    for name, rows in values.items():
        if len(rows) != len(numbers) or not numbers:
            raise InputError(
                f"{path}: {len(numbers)} frames but {len(rows)} lines for {name}; "
                "expected one line per bone and frame"
            )
    return np.array(numbers), {name: np.array(rows) for name, rows in values.items()}


def _amc_values(path: Path, words: list[str], count: int) -> list[float]:
    try:
        numbers = [float(word) for word in words[1:]]
    except ValueError as error:
        raise InputError(f"{path}: {' '.join(words)!r} is not a bone with numbers") from error
    if len(numbers) != count:
        raise InputError(
            f"{path}: {words[0]} has {len(numbers)} values in a frame; its skeleton says {count}"
        )
    return numbers


def bone_rotations(skeleton: Skeleton, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Global rotation of every bone from its rest pose, "root" included: name -> (N, 3, 3)."""
    columns = [k for k, name in enumerate(skeleton.root_order) if name.startswith("r")]
    order = "".join(skeleton.root_order[k][1] for k in columns)
    motion = euler_rotation(order, values["root"][:, columns], skeleton.degrees)
    world = {"root": skeleton.root_axis @ motion @ skeleton.root_axis.T}
    for name, parent in skeleton.parents.items():
        bone = skeleton.bones[name]
        rotation = np.eye(3)
        if bone.dof:
            order = "".join(dof[1] for dof in bone.dof)
            motion = euler_rotation(order, values[name], skeleton.degrees)
            rotation = bone.axis @ motion @ bone.axis.T
        world[name] = world[parent] @ rotation
    return world


def bone_ends(skeleton: Skeleton, world: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Far end of every bone relative to the root, metres: name -> (N, 3)."""
    ends = {"root": np.zeros((len(world["root"]), 3))}
    for name, parent in skeleton.parents.items():
        bone = skeleton.bones[name]
        offset = bone.direction * bone.length * skeleton.metres_per_unit
        ends[name] = ends[parent] + world[name] @ offset
    return ends


def smpl_rotations(skeleton: Skeleton, world: dict[str, np.ndarray]) -> np.ndarray:
    """SMPL's parent-relative rotations (N, 24, 3, 3) of CMU's bone rotations."""
    missing = sorted(set(SOURCE_BONE.values()) - set(world))
    if missing:
        raise InputError(f"the skeleton has no bones {', '.join(missing)}; is it one of CMU's?")
    corrections = rest_corrections(skeleton)
    smpl = np.empty((len(world["root"]), JOINT_COUNT, 3, 3))
    for joint, bone in SOURCE_BONE.items():
        smpl[:, JOINT[joint]] = world[bone] @ corrections[joint]
    smpl[:, JOINT["neck"]] = halfway(smpl[:, JOINT["spine3"]], smpl[:, JOINT["head"]])
    smpl = share_with_forearms(share_with_collars(smpl))
    for side in ("left", "right"):
        smpl[:, JOINT[f"{side}_hand"]] = smpl[:, JOINT[f"{side}_wrist"]]
    return local_from_global(smpl)


def rest_corrections(skeleton: Skeleton) -> dict[str, np.ndarray]:
    """A of S = G A for every joint: SMPL's rest bone turned onto CMU's, (3, 3).

    Spine, neck and head keep the identity: both skeletons stand straight there, their bones only
    run through different places of the trunk.
    """
    corrections = {joint: np.eye(3) for joint in SOURCE_BONE}
    for side, sign in SIDES:
        thigh, shank, foot = (
            skeleton.bones[SOURCE_BONE[f"{side}_{joint}"]].direction
            for joint in ("hip", "knee", "ankle")
        )
        corrections |= leg_corrections(side, thigh, shank, foot)
        arm = arm_correction(skeleton, SOURCE_BONE[f"{side}_elbow"], sign)
        corrections[f"{side}_shoulder"] = corrections[f"{side}_elbow"] = arm
    return corrections


def arm_correction(skeleton: Skeleton, forearm: str, sign: float) -> np.ndarray:
    """Turns SMPL's rest arm and elbow hinge (vertical: the forearm bends forward) onto CMU's."""
    bone = skeleton.bones[forearm]
    along = shortest_rotation(np.array([sign, 0.0, 0.0]), bone.direction)
    hinge = along.T @ bone.axis[:, 0]  # flexion turns about the bone's x axis
    return along @ rotation_about("x", np.arctan2(-sign * hinge[2], -sign * hinge[1]))


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
