"""The user's own masks and keypoints as a detector: any program can have found them."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.frames import read_mask
from predict.detectors.interface import Detection
from predict.detectors.keypoint_files import (
    Keypoints,
    find_in_table,
    read_coco_table,
    read_keypoints,
)
from predict.detectors.masks import tight_box
from predict.detectors.matching import (
    MaskCandidate,
    PoseCandidate,
    match_people,
    measure_share_inside,
)
from predict.detectors.rules import DetectorRules
from utils.errors import InputError

FILES = "files"  # what `--silh_from` takes
KEYPOINT_ENDINGS = (".npz", ".json", "_keypoints.json")
MIN_INSIDE = 0.5  # share of the seen joints that must lie in the only mask
# From the box of the joints to that of the person, in shares of its longer side: there is a head
# above the eyes, feet below the ankles, and flesh around all.
JOINT_MARGINS = (0.08, 0.12, 0.08, 0.06)  # left, top, right, bottom


class OwnFiles(NamedTuple):
    """Where a user's masks and keypoints are."""

    masks: Path  # folder of png files
    keypoints: Path  # folder of files, or one json file for all photos


def check_own_files(detector: str, masks: Path | None, keypoints: Path | None) -> OwnFiles | None:
    """The user's files where they are asked for.

    Args:
        detector: its name.
        masks: folder, or None where none was given.
        keypoints: folder or json file, or None.

    Raises:
        InputError: they are not given, are not there, or are given to a detector that needs none.
    """
    if detector != FILES:
        if masks or keypoints:
            raise InputError(
                f"--masks and --keypoints are for --silh_from {FILES}, not for {detector}"
            )
        return None
    if masks is None or keypoints is None:
        raise InputError(
            f"--silh_from {FILES} needs --masks FOLDER and --keypoints FOLDER (or one json file of "
            "all photos)"
        )
    if not masks.is_dir():
        raise InputError(f"--masks {masks} is not a folder; expected one of png files")
    if not keypoints.exists():
        raise InputError(f"--keypoints {keypoints} is not there; expected a folder or a json file")
    return OwnFiles(masks, keypoints)


class OwnFilesDetector:
    """Finds for each photo what its user's files say.

    Args:
        files: where they are.
        rules: which joints count. Masks stay as they are.

    Raises:
        InputError: the json file of all photos cannot be read.
    """

    def __init__(self, files: OwnFiles, rules: DetectorRules) -> None:
        self._files, self._rules = files, replace(rules, tidy=False)
        self._table = None if files.keypoints.is_dir() else read_coco_table(files.keypoints)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Without its file's name nothing is known of a photo; see `detect_in`."""
        raise InputError(f"--silh_from {FILES} needs photos in files, whose names its files share")

    def detect_in(self, image: np.ndarray, photo: Path) -> list[Detection]:
        """The people in a photo, the most prominent first.

        Args:
            image: (H, W, 3) uint8 RGB.
            photo: the file that it was read from.

        Raises:
            InputError: files are missing, cannot be read, or do not fit the photo or each other.
        """
        masks = self._read_masks(image, photo)
        keypoints, path = self._read_keypoints(photo)
        if len(keypoints) < len(masks):
            raise InputError(f"{path} has keypoints of {len(keypoints)} people for {photo.name}, "
                             f"expected one for each of {len(masks)} masks")  # fmt: skip
        poses = [_make_pose(each) for each in keypoints]
        if len(masks) == len(poses) == 1:
            poses = [replace(poses[0], box=masks[0].box)]
            share = measure_share_inside(masks[0].mask, poses[0])
            if share < MIN_INSIDE:
                raise InputError(
                    f"{path}: {share:.0%} of the joints lie in the mask of {photo.name}; expected "
                    "pixels of that photo, and the same person"
                )
        people = match_people(masks, poses, self._rules)
        if len(people) < len(masks):
            raise InputError(
                f"{path}: {len(people)} of {len(masks)} masks of {photo.name} fit keypoints of a "
                "person of their own; expected all"
            )
        return people

    def _read_masks(self, image: np.ndarray, photo: Path) -> list[MaskCandidate]:
        paths = list_masks(self._files.masks, photo.stem)
        masks = []
        for path in paths:
            mask = read_mask(path)
            if mask.shape != image.shape[:2]:
                (height, width), (high, wide) = mask.shape, image.shape[:2]
                raise InputError(f"{path} has {width} x {height} pixels, expected the {wide} x "
                                 f"{high} of {photo.name}")  # fmt: skip
            if not mask.any():
                raise InputError(f"{path} is black; expected a person's pixels in another shade")
            masks.append(MaskCandidate(mask, tight_box(mask), 1.0))
        return masks

    def _read_keypoints(self, photo: Path) -> tuple[Keypoints, Path]:
        """Of everybody in a photo, and the file that they are from."""
        folder = self._files.keypoints
        if self._table is not None:
            return find_in_table(self._table, photo), folder
        paths = [folder / f"{photo.stem}{ending}" for ending in KEYPOINT_ENDINGS]
        found = [path for path in paths if path.is_file()]
        if not found:
            names = ", ".join(path.name for path in paths)
            raise InputError(f"no keypoints of {photo.name} in {folder}; expected one of: {names}")
        return read_keypoints(found[0]), found[0]


def list_masks(folder: Path, stem: str) -> list[Path]:
    """The masks of a photo: `<stem>.png`, else `<stem>_1.png`, `<stem>_2.png` and so on.

    Raises:
        InputError: there is none.
    """
    path = folder / f"{stem}.png"
    if path.is_file():
        return [path]
    paths = []
    while (path := folder / f"{stem}_{len(paths) + 1}.png").is_file():
        paths.append(path)
    if not paths:
        raise InputError(f"no mask {stem}.png in {folder}, and no {stem}_1.png")
    return paths


def _make_pose(keypoints: np.ndarray) -> PoseCandidate:
    """A person of keypoints (17, 3), with a box that their silhouette may have."""
    points, confidence = keypoints[:, :2], keypoints[:, 2]
    seen = points[confidence > 0]
    if not len(seen):
        seen = np.zeros((1, 2), np.float32)
    low, high = seen.min(axis=0), seen.max(axis=0)
    left, top, right, bottom = np.array(JOINT_MARGINS, np.float32) * (high - low).max()
    box = np.concatenate([low - [left, top], high + np.array([right, bottom])])
    return PoseCandidate(points, confidence, box, 1.0)
