"""Cuts 3DPW's test people out of its videos, for `run_evaluate.py --dataset 3dpw`.

    python -m tools.prepare_3dpw --input path/to/3DPW --output data/3dpw

The input folder holds `sequenceFiles/test/*.pkl` and `imageFiles/` as published. Written are
`test/3dpw_test.npz` and, for every person in every frame, a picture in `test/cropped_frames/`. The
npz holds imgname (N,), pose (N, 72) with the root in the camera frame, shape (N, 10), gender (N,)
'm' or 'f', joints2d (N, 17, 3) COCO joints with confidence, and the camera of the cropped picture:
cam_t (N, 3) metres from the body's origin and cam_k (N, 3, 3) pixels.

Left out are frames whose camera was not aligned, and people with few joints detected.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from data.frames import square_window
from data.label_files import GENDERS
from data.threedpw import FRAMES, LABELS
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import write_npz
from utils.images import read_image, write_image
from utils.joints import COCO17, indices_of
from utils.paths import DATA
from utils.pickles import read_pickle

# The 18 joints of `poses2d`, OpenPose's COCO order.
OPENPOSE18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
COCO17_IN_18 = indices_of(COCO17, OPENPOSE18)
_REQUIRED = (
    "sequence", "poses", "betas", "trans", "genders", "cam_poses", "cam_intrinsics", "poses2d",
    "campose_valid", "jointPositions",
)  # fmt: skip
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Options:
    """What to read, and what to keep of it."""

    input: Path  # 3DPW as published
    output: Path = DATA / "3dpw"  # folder to write into
    margin: float = 0.5  # side of a picture over the longer side of the joints' box, less 1
    min_joints: int = 6  # of 17, detected; people with fewer are left out
    every: int = 1  # keep every n-th frame


class Sequence(NamedTuple):
    """One video; I frames at 30 Hz, a list entry per person."""

    name: str
    poses: list[np.ndarray]  # (I, 72) axis-angle, rad, world frame
    betas: list[np.ndarray]  # (10,)
    trans: list[np.ndarray]  # (I, 3) metres
    pelvis: list[np.ndarray]  # (I, 3) metres, world frame
    genders: list[str]  # m or f
    joints2d: list[np.ndarray]  # (I, 17, 3) pixels and confidence
    valid: list[np.ndarray]  # (I,) bool
    cam_poses: np.ndarray  # (I, 4, 4) world to camera
    cam_k: np.ndarray  # (3, 3) pixels


def main(options: Options) -> None:
    """Prepares every sequence and writes the labels at the end."""
    check_options(options)
    files = sorted((options.input / "sequenceFiles" / "test").glob("*.pkl"))
    images = options.input / "imageFiles"
    if not files or not images.is_dir():
        raise InputError(
            f"{options.input} is not 3DPW: expected sequenceFiles/test/*.pkl and imageFiles/ in it"
        )
    frames = options.output / "test" / FRAMES
    frames.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, path in enumerate(files, 1):
        found = list(prepare_sequence(read_sequence(path), images, frames, options))
        rows += found
        print(f"{number}/{len(files)} {path.stem}: {len(found)} people", flush=True)
    if not rows:
        raise InputError(f"{options.input}: no frame has a valid camera and enough joints")
    labels = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    write_npz(options.output / "test" / LABELS, labels)
    print(f"{len(rows)} people in {options.output / 'test'}")


def check_options(options: Options) -> None:
    """Raises InputError for values that no run can use."""
    if options.margin < 0 or options.every < 1 or not 1 <= options.min_joints <= len(COCO17):
        raise InputError(
            f"--margin {options.margin} must be 0 or more, --every {options.every} 1 or more and "
            f"--min-joints {options.min_joints} from 1 to {len(COCO17)}"
        )


def read_sequence(path: Path) -> Sequence:
    """Reads a sequence file, written by Python 2, without running code from it.

    Raises:
        InputError: it cannot be read, is incomplete, or its arrays do not fit together.
    """
    content = read_pickle(path, "3DPW sequence", "get it again from where 3DPW is published")
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, expected a dictionary")
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise InputError(f"{path} has no {', '.join(missing)}; it is not a 3DPW sequence")
    try:
        return _check_sequence(path, _parse_sequence(content))
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: its arrays are not those of 3DPW: {error}") from error


def _parse_sequence(content: dict[str, Any]) -> Sequence:
    def arrays(key: str) -> list[np.ndarray]:
        values = content[key]
        if not isinstance(values, list) or not all(isinstance(v, np.ndarray) for v in values):
            raise ValueError(f"{key} is no list of arrays")
        return values

    def floats(key: str) -> list[np.ndarray]:
        return [value.astype(np.float64) for value in arrays(key)]

    return Sequence(
        name=str(content["sequence"]),
        poses=floats("poses"),
        betas=[betas[:10] for betas in floats("betas")],
        trans=floats("trans"),
        pelvis=[joints[:, :3] for joints in floats("jointPositions")],
        genders=[str(gender) for gender in content["genders"]],
        joints2d=[joints.transpose(0, 2, 1)[:, COCO17_IN_18] for joints in floats("poses2d")],
        valid=[np.asarray(valid).astype(bool) for valid in content["campose_valid"]],
        cam_poses=np.asarray(content["cam_poses"], dtype=np.float64),
        cam_k=np.asarray(content["cam_intrinsics"], dtype=np.float64),
    )


def _check_sequence(path: Path, sequence: Sequence) -> Sequence:
    count, people = len(sequence.cam_poses), len(sequence.poses)
    rows = {
        "poses": (count, 72), "betas": (10,), "trans": (count, 3), "pelvis": (count, 3),
        "joints2d": (count, len(COCO17), 3), "valid": (count,),
    }  # fmt: skip
    for key, shape in rows.items():
        arrays = getattr(sequence, key)
        found = sorted({array.shape for array in arrays})
        if len(arrays) != people or found != [shape]:
            raise InputError(
                f"{path}: {key} has shapes {found} for {len(arrays)} people, expected {shape} for "
                f"{people}"
            )
    if sequence.cam_poses.shape[1:] != (4, 4) or sequence.cam_k.shape != (3, 3):
        raise InputError(f"{path}: cam_poses or cam_intrinsics are no 4 x 4 and 3 x 3 matrices")
    if len(sequence.genders) != people or not set(sequence.genders) <= set(GENDERS):
        raise InputError(f"{path}: genders are {sequence.genders}, expected 'm' or 'f' for each")
    return sequence


def prepare_sequence(
    sequence: Sequence, images: Path, output: Path, options: Options
) -> Iterator[dict[str, Any]]:
    """Writes the pictures of a sequence and yields their labels.

    Args:
        sequence: the video.
        images: folder of the videos' folders.
        output: folder for the pictures.
        options: what to keep.
    """
    for frame in range(0, len(sequence.cam_poses), options.every):
        people = [
            person
            for person in range(len(sequence.poses))
            if sequence.valid[person][frame]
            and (sequence.joints2d[person][frame, :, 2] > 0).sum() >= options.min_joints
        ]
        if not people:
            continue
        image = read_image(images / sequence.name / f"image_{frame:05d}.jpg")
        for person in people:
            window = find_window(sequence.joints2d[person][frame], image.shape, options.margin)
            if window is not None:
                name = f"{sequence.name}_{person}_{frame:05d}.jpg"
                x0, y0, x1, y1 = window
                write_image(output / name, image[y0:y1, x0:x1], _JPEG_QUALITY)
                yield {"imgname": name, **make_labels(sequence, person, frame, window)}


def find_window(
    joints2d: np.ndarray, image_shape: tuple[int, ...], margin: float
) -> tuple[int, int, int, int] | None:
    """The part of a frame that shows a person: x0, y0, x1, y1, cut at the frame's border.

    The joints end at ankles and face, hence the margin: the square's side is the longer side of
    their box times 1 + margin.

    Args:
        joints2d: (17, 3) pixels and confidence.
        image_shape: of the frame.
        margin: see `Options`.

    Returns:
        None when the joints lie outside the frame.
    """
    points = joints2d[joints2d[:, 2] > 0, :2]
    window = square_window(points.min(axis=0), points.max(axis=0), 1 + margin, image_shape[:2])
    x0, y0, x1, y1 = window
    return window if x1 > x0 and y1 > y0 else None


def make_labels(
    sequence: Sequence, person: int, frame: int, window: tuple[int, int, int, int]
) -> dict[str, Any]:
    """The labels of a person in a frame, in the frame of the camera and the window's pixels."""
    extrinsics = sequence.cam_poses[frame]
    to_camera, origin = extrinsics[:3, :3], extrinsics[:3, 3]
    pose = sequence.poses[person][frame].copy()
    pose[:3] = Rotation.from_matrix(
        to_camera @ Rotation.from_rotvec(pose[:3]).as_matrix()
    ).as_rotvec()
    # A body's root turns about its pelvis, which stands away from the body's origin.
    pelvis = sequence.pelvis[person][frame]
    pelvis_at_rest = pelvis - sequence.trans[person][frame]
    corner = np.array(window[:2])
    joints2d = sequence.joints2d[person][frame].copy()
    joints2d[:, :2] -= corner
    cam_k = sequence.cam_k.copy()
    cam_k[:2, 2] -= corner
    return {
        "pose": pose.astype(np.float32),
        "shape": sequence.betas[person].astype(np.float32),
        "gender": sequence.genders[person],
        "joints2d": joints2d.astype(np.float32),
        "cam_t": (to_camera @ pelvis + origin - pelvis_at_rest).astype(np.float32),
        "cam_k": cam_k.astype(np.float32),
    }


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
