"""Makes the training poses that come with the project, from free sources only.

    pip install -r tools/requirements.txt      (only needed to build them again)
    python -m tools.build_open_poses --output-folder data

Three sources: 15 human motion clips inside PyPI's `pybullet` wheel (DeepMimic's; format at `Clip`),
the anatomical sampler of `pose_sampler.py`, and Mesh2Motion's human animations. The last come as
two .glb files, named by `--cc0-clips`; without it their poses are kept as they are in
data/open_poses_train.npz. Validation poses come from clips of which training sees nothing,
and from another seed of the sampler.
"""

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tools.mocap_conversion import convert_recording
from tools.penetration import find_self_penetration
from tools.pose_sampler import sample_poses
from tools.pose_tools import (
    JOINT,
    JOINT_COUNT,
    SIDES,
    compute_leg_corrections,
    find_halfway,
    global_from_local,
    local_from_global,
    mirror_poses,
    rotate_about,
    round_poses,
    scale_rotations,
    share_with_collars,
    to_axis_angle,
    to_rotmats,
    turn_to_cameras,
    write_poses,
)
from tools.read_gltf import read_glb
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.paths import OPEN_POSES_TRAIN
from utils.readers import read_npz

FLOOR_CLIPS = ("crawl", "getup_facedown", "getup_faceup", "roll")
VAL_CLIPS = ("dance_a", "kick")

CC0 = "cc0/"  # how the names of their poses begin
CC0_FPS = 24.0  # at which they were animated
CC0_LEFT_OUT = ("Rest_Pose", "T-Pose", "Crawl_RM")  # the rig at rest; the same motion as Crawl
# How the names of clips begin that show what is rare: at least `cc0_rare` poses of each are tried.
CC0_RARE = (
    "Backflip", "Bow", "Crawl", "Crouch", "Death", "Driving", "Fighting", "Fixing", "Flying",
    "Jumping", "Kneeling", "Meditate", "Punch", "Push", "Roll", "Shivering", "Sitting", "Sleeping",
    "Swim", "Sword", "Tired",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How many poses of which source, and where they go."""

    output_folder: Path  # open_poses_train.npz and open_poses_val.npz are written here
    clips: Path | None = None  # folder of humanoid3d_*.txt; default: that of the installed pybullet
    train_sampled: int = 52_000  # poses of the sampler
    val_sampled: int = 3_000
    clip_views: int = 5  # headings per clip frame and mirror image, each with its own small changes
    val_clip_views: int = 2  # the same for validation
    floor_clip_views: int = 1  # the same for clips that crawl, roll or get up from the floor
    cc0_clips: Path | None = None  # folder of human_*.glb; default: keeps the poses of them
    cc0_views: int = 1  # headings per frame and mirror image of these clips
    cc0_min_change: float = 4.0  # degrees some joint must turn for a frame to be kept
    cc0_rare: int = 160  # poses to try at least, mirror images included, of each clip in CC0_RARE
    joint_noise: float = 4.0  # degrees, standard deviation of those changes per axis
    seed: int = 20201


def main(options: Options) -> None:
    """Builds and writes both files."""
    folder = options.clips or find_pybullet_clips()
    files = sorted(folder.glob("humanoid3d_*.txt"))
    if not files:
        raise InputError(f"{folder}: no humanoid3d_*.txt in it; expected pybullet's motion clips")
    held_out = [file for file in files if clip_name(file) in VAL_CLIPS]
    seen = [file for file in files if clip_name(file) not in VAL_CLIPS]
    options.output_folder.mkdir(parents=True, exist_ok=True)
    for split, clips, sampled, views, seed in (
        ("train", seen, options.train_sampled, options.clip_views, options.seed),
        ("val", held_out, options.val_sampled, options.val_clip_views, options.seed + 1),
    ):
        # A generator for each step, so that a change in one leaves the others' numbers alone.
        changes, samples, views_seen = (np.random.default_rng((seed, step)) for step in range(3))
        parts = [vary_clip(clip, changes, views, options) for clip in clips]
        parts.append(draw_named_samples(samples, sampled))
        names, poses = (np.concatenate(each) for each in zip(*parts, strict=True))
        turned = [(names, turn_to_cameras(poses, views_seen))]
        if split == "train":
            turned.append(read_cc0_poses(options))
        names, poses = (np.concatenate(each) for each in zip(*turned, strict=True))
        path = options.output_folder / f"open_poses_{split}.npz"
        write_poses(path, names, round_poses(poses))
        print(f"{path}: {len(poses)} poses")


def draw_named_samples(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Names (N,) and poses (N, 24, 3) of the anatomical sampler."""
    poses, names = sample_poses(generator, count)
    return np.char.add("sampler/", names), poses


def read_cc0_poses(options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Names (M,) and poses (M, 24, 3), seen by cameras, of Mesh2Motion's clips.

    Raises:
        InputError: no .glb file in the folder, or one that cannot be read.
    """
    if options.cc0_clips is None:
        there = read_npz(OPEN_POSES_TRAIN, ["fnames", "poses"])
        kept = np.char.startswith(there["fnames"], CC0)
        return there["fnames"][kept], there["poses"][kept].reshape(-1, JOINT_COUNT, 3)
    files = sorted(options.cc0_clips.glob("*.glb"))
    if not files:
        raise InputError(
            f"{options.cc0_clips}: no .glb file in it; expected Mesh2Motion's human ones"
        )
    changes, views_seen = (np.random.default_rng((options.seed, step)) for step in (3, 4))
    parts = []
    for recording in (each for file in files for each in read_glb(file, CC0_FPS)):
        clip = convert_recording(recording, options.cc0_min_change)
        if clip.name in CC0_LEFT_OUT or len(clip.frames) == 0:
            continue
        views = options.cc0_views
        if clip.name.startswith(CC0_RARE):
            views = max(views, -(-options.cc0_rare // (2 * len(clip.frames))))
        names = [f"{CC0}{clip.name}/{frame:03d}" for frame in clip.frames]
        parts.append(vary_poses(names, clip.poses, changes, views, options.joint_noise))
    if not parts:
        raise InputError(f"{options.cc0_clips}: no motion in its .glb files; see data/README.md")
    names, poses = (np.concatenate(each) for each in zip(*parts, strict=True))
    return names, turn_to_cameras(poses, views_seen)


def find_pybullet_clips() -> Path:
    """The folder of motion clips of the installed `pybullet` package."""
    found = importlib.util.find_spec("pybullet_data")
    if found is None or found.origin is None:
        raise InputError(
            "pybullet is not installed; `pip install -r tools/requirements.txt` "
            "or name the folder of its clips with --clips"
        )
    return Path(found.origin).parent / "data" / "motions"


def clip_name(file: Path) -> str:
    """humanoid3d_walk.txt -> walk."""
    return file.stem.removeprefix("humanoid3d_")


def vary_clip(
    file: Path, generator: np.random.Generator, views: int, options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """Every frame of a clip and its mirror image, several times with small changes.

    Returns:
        Names (M,) and poses (M, 24, 3) axis-angle in a y-up world, without self-penetrating ones.
    """
    frames = to_axis_angle(convert_clip(read_clip(file)))
    names = [f"clip/{clip_name(file)}/{index:03d}" for index in range(len(frames))]
    if clip_name(file) in FLOOR_CLIPS:
        views = options.floor_clip_views
    return vary_poses(names, frames, generator, views, options.joint_noise)


def vary_poses(
    names: list[str], poses: np.ndarray, generator: np.random.Generator, views: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Poses and their mirror images, several times with small changes.

    Args:
        names: N of them; those of mirror images get an "m" behind.
        poses: (N, 24, 3) axis-angle.
        generator: draws the changes.
        views: how many times each pose is given.
        noise: standard deviation of the changes per axis, degrees, times `NOISE_SHARE`.

    Returns:
        Names (M,) and poses (M, 24, 3), without self-penetrating ones.
    """
    all_names = np.tile(np.array([*names, *(f"{name}m" for name in names)]), views)
    both = np.tile(np.concatenate([poses, mirror_poses(poses)]), (views, 1, 1))
    turns = generator.normal(0, np.radians(noise), both.shape) * NOISE_SHARE[:, None]
    changed = to_axis_angle(to_rotmats(both) @ to_rotmats(turns))
    free = ~find_self_penetration(global_from_local(to_rotmats(changed)))
    return all_names[free], changed[free]


# Hinges and the short bones of trunk and feet are changed less; wrists and fingers, which the clips
# leave straight, more.
_SHARES = {
    "elbow": 0.5, "knee": 0.5, "foot": 0.5, "wrist": 3.0, "hand": 2.0, "spine": 0.5, "collar": 0.7,
}  # fmt: skip
NOISE_SHARE = np.array([
    next((share for part, share in _SHARES.items() if part in joint), 1.0) for joint in JOINT
])  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """A motion of DeepMimic's humanoid: x forward, y up, z right; arms hang at rest.

    Attributes:
        balls: joint name -> (N, 3, 3) parent-relative rotations.
        hinges: joint name -> (N,) rad about z; knees bend with negative angles, elbows with
            positive ones.
    """

    balls: dict[str, np.ndarray]
    hinges: dict[str, np.ndarray]


# Columns of a frame after duration (1) and root position (3): name and number of values.
CLIP_COLUMNS = (
    ("root", 4), ("chest", 4), ("neck", 4),
    ("right_hip", 4), ("right_knee", 1), ("right_ankle", 4),
    ("right_shoulder", 4), ("right_elbow", 1),
    ("left_hip", 4), ("left_knee", 1), ("left_ankle", 4),
    ("left_shoulder", 4), ("left_elbow", 1),
)  # fmt: skip
CLIP_WIDTH = 4 + sum(count for _, count in CLIP_COLUMNS)


def read_clip(file: Path) -> Clip:
    """Reads a DeepMimic motion: JSON with "Frames", quaternions as w, x, y, z.

    Raises:
        InputError: not such a file.
    """
    try:
        frames = np.array(json.loads(file.read_text())["Frames"], float)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a DeepMimic motion clip ({error!r})") from error
    if frames.ndim != 2 or frames.shape[1] != CLIP_WIDTH:
        raise InputError(f"{file}: frames have shape {frames.shape}; expected (N, {CLIP_WIDTH})")
    balls, hinges, column = {}, {}, 4
    for name, count in CLIP_COLUMNS:
        values = frames[:, column : column + count]
        column += count
        if count == 1:
            hinges[name] = values[:, 0]
        else:
            balls[name] = Rotation.from_quat(values[:, [1, 2, 3, 0]]).as_matrix()
    return Clip(balls, hinges)


# SMPL's x (left), y (up), z (forward) from the clips' x (forward), y (up), z (right).
BODY_FROM_CLIP = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


def convert_clip(clip: Clip) -> np.ndarray:
    """SMPL's parent-relative rotations (N, 24, 3, 3) of a clip.

    The clips' humanoid rests with arms and legs hanging straight, so S = G A as for CMU's skeleton
    (`mocap_conversion.py`): A lowers SMPL's arms and straightens its legs. The one joint of the
    trunk is shared out over three, that of the neck over two; collars follow the arms.
    """
    turned = {name: BODY_FROM_CLIP @ value @ BODY_FROM_CLIP.T for name, value in clip.balls.items()}
    for name, angle in clip.hinges.items():
        turned[name] = rotate_about("x", -angle)  # the clips' z is SMPL's -x
    count = len(turned["root"])
    world = np.broadcast_to(np.eye(3), (count, JOINT_COUNT, 3, 3)).copy()
    parent = world[:, JOINT["pelvis"]] = turned["root"]
    for joint in ("spine1", "spine2", "spine3"):
        parent = world[:, JOINT[joint]] = parent @ scale_rotations(turned["chest"], 1 / 3)
    world[:, JOINT["head"]] = parent @ turned["neck"]
    world[:, JOINT["neck"]] = find_halfway(parent, world[:, JOINT["head"]])
    for side, sign in SIDES:
        set_clip_leg(world, turned, side)
        set_clip_arm(world, turned, side, sign)
    return local_from_global(share_with_collars(world))


def set_clip_leg(world: np.ndarray, turned: dict[str, np.ndarray], side: str) -> None:
    """Writes global rotations of hip, knee, ankle and foot; legs hang straight at rest."""
    down, ahead = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    corrections = compute_leg_corrections(side, thigh=down, shank=down, foot=ahead)
    parent = world[:, JOINT["pelvis"]]
    for joint in ("hip", "knee", "ankle"):
        parent = parent @ turned[f"{side}_{joint}"]
        world[:, JOINT[f"{side}_{joint}"]] = parent @ corrections[f"{side}_{joint}"]
    world[:, JOINT[f"{side}_foot"]] = world[:, JOINT[f"{side}_ankle"]]


def set_clip_arm(world: np.ndarray, turned: dict[str, np.ndarray], side: str, sign: float) -> None:
    """Writes global rotations of shoulder to hand; arms hang, palms inward, at rest."""
    lowered = rotate_about("z", -sign * np.pi / 2)
    upper = world[:, JOINT["spine3"]] @ turned[f"{side}_shoulder"]
    fore = upper @ turned[f"{side}_elbow"]
    world[:, JOINT[f"{side}_shoulder"]] = upper @ lowered
    for joint in ("elbow", "wrist", "hand"):
        world[:, JOINT[f"{side}_{joint}"]] = fore @ lowered


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
