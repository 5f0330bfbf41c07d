"""3DPW's test set: videos of people outdoors, with SMPL parameters from body-worn sensors.

T. von Marcard et al., "Recovering Accurate 3D Human Pose in The Wild Using IMUs and a Moving
Camera", ECCV 2018. `tools/prepare_3dpw.py` brings the original files into the layout read here:
`test/3dpw_test.npz` and `test/cropped_frames/`.
"""

import re
from pathlib import Path

import numpy as np

from data.frames import Frame
from data.label_files import check_files, read_genders, read_labels
from utils.joints import COCO17, SMPL_JOINTS

LABELS = "3dpw_test.npz"
FRAMES = "cropped_frames"
_SHAPES = {"imgname": (), "pose": (3 * len(SMPL_JOINTS),), "shape": (10,), "gender": ()}
# What tools/prepare_3dpw.py adds: the dataset's own joints, and the camera of the cropped frame.
_OPTIONAL = {"joints2d": (len(COCO17), 3), "cam_t": (3,), "cam_k": (3, 3)}


def load_threedpw(folder: Path) -> list[Frame]:
    """Reads the labels and checks that every cropped frame is there.

    Args:
        folder: that holds `test/`.

    Returns:
        The frames in their order. A group is all that goes before the frame's number in its name:
        one person in one sequence.

    Raises:
        InputError: a file or key is missing, or has another form.
    """
    path = folder / "test" / LABELS
    labels = read_labels(path, _SHAPES, _OPTIONAL)
    # Some lists give a path; the file lies in the folder of cropped frames all the same.
    names = [Path(name).name for name in labels["imgname"].astype(str)]
    genders = read_genders(labels["gender"], path)
    check_files(folder / "test" / FRAMES, names)
    return [
        Frame(
            name=name,
            group=re.sub(r"_?\d+$", "", Path(name).stem),
            photo=folder / "test" / FRAMES / name,
            gender=genders[row],
            betas=labels["shape"][row].astype(np.float32),
            pose=labels["pose"][row].astype(np.float32),
            **_read_observed(labels, row),
        )
        for row, name in enumerate(names)
    ]


def _read_observed(labels: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    """A frame's joints and camera, as far as they are known."""
    seen = {key: labels[key][row].astype(np.float32) for key in _OPTIONAL if key in labels}
    if "joints2d" in seen:
        joints2d = seen.pop("joints2d")
        seen |= {"joints2d_px": joints2d[:, :2], "visibility": joints2d[:, 2] > 0}
    return seen
