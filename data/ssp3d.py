"""SSP-3D: 311 sports photos of people of unusual shapes, with SMPL parameters fitted to them.

A. Sengupta et al., BMVC 2020. The folder holds `labels.npz`, `images/` and `silhouettes/`, as
published. Betas are of the male or female SMPL body, poses are in the camera frame.
"""

from pathlib import Path

import numpy as np

from data.frames import Frame, read_mask, square_window
from data.label_files import check_files, read_genders, read_labels
from utils.errors import InputError
from utils.joints import COCO17, SMPL_JOINTS

WINDOW_SCALE = 1.5  # side of what a detector sees over the longer side of the person's box
_SHAPES = {
    "fnames": (),
    "shapes": (10,),
    "poses": (3 * len(SMPL_JOINTS),),
    "cam_trans": None,
    "joints2D": (len(COCO17), 3),
    "bbox_centres": None,
    "bbox_whs": None,
    "genders": (),
}


def load_ssp3d(folder: Path) -> list[Frame]:
    """Reads the labels and checks every file.

    The person's box is that of the silhouette: `bbox_centres` (row before column) and `bbox_whs`,
    which tell the same, are not used, nor is the camera of the fit (`cam_trans`), since silhouettes
    and joints are annotated.

    Args:
        folder: of the dataset.

    Returns:
        The frames in their order. A frame's window is the square around the person's box, scaled by
        `WINDOW_SCALE` and cut at the photo's border, so that a detector looks at the right person.

    Raises:
        InputError: a file or key is missing, or has another form.
    """
    labels = read_labels(folder / "labels.npz", _SHAPES)
    names = [str(name) for name in labels["fnames"]]
    genders = read_genders(labels["genders"], folder / "labels.npz")
    for kind in ("images", "silhouettes"):
        check_files(folder / kind, names)
    return [_make_frame(folder, labels, row, genders[row]) for row in range(len(names))]


def _make_frame(folder: Path, labels: dict[str, np.ndarray], row: int, gender: str) -> Frame:
    name = str(labels["fnames"][row])
    window = _find_window(read_mask(folder / "silhouettes" / name), folder / "silhouettes" / name)
    joints2d = labels["joints2D"][row].astype(np.float32)
    return Frame(
        name=name,
        group=name,
        photo=folder / "images" / name,
        gender=gender,
        betas=labels["shapes"][row].astype(np.float32),
        pose=labels["poses"][row].astype(np.float32),
        window=window,
        silhouette=folder / "silhouettes" / name,
        joints2d_px=joints2d[:, :2] - np.array(window[:2], np.float32),
        visibility=joints2d[:, 2] > 0,
    )


def _find_window(silhouette: np.ndarray, path: Path) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(silhouette.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise InputError(f"{path} shows nobody: it is black all over")
    low = np.array([columns[0], rows[0]])
    high = np.array([columns[-1], rows[-1]]) + 1
    return square_window(low, high, WINDOW_SCALE, silhouette.shape)
