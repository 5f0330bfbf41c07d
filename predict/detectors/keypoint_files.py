"""Reads keypoints that other programs found: npz files, COCO's json and OpenPose's json.

All become COCO's 17 joints in pixels of the photo with a confidence in [0, 1]; 0: not seen.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils.joints import COCO17, indices_of
from utils.readers import open_file, read_npz, reading

PERSON = 1  # COCO's number of that category
# OpenPose's joints in its order, by our names where COCO has them.
_ARMS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist",
)  # fmt: skip
_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_FACE = ("right_eye", "left_eye", "right_ear", "left_ear")
_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe",
         "right_heel")  # fmt: skip
BODY_25 = (*_ARMS, "mid_hip", *_LEGS, *_FACE, *_FEET)
BODY_18 = (*_ARMS, *_LEGS, *_FACE)
_COCO17_IN = {len(names): indices_of(COCO17, names) for names in (BODY_25, BODY_18)}
_KIND = "file of keypoints"
_ADVICE = "README.md, 'Your own masks and keypoints', says what it should hold"

Keypoints = list[np.ndarray]  # of each person in a photo: (17, 3) x, y, confidence


def read_keypoints(path: Path) -> Keypoints:
    """The people of a photo in a file of its own.

    Args:
        path: an npz file, or json of COCO's results or of OpenPose.

    Raises:
        InputError: it cannot be read, or does not hold what it should.
    """
    if path.suffix.lower() == ".npz":
        keypoints = read_npz(path, ["keypoints"])["keypoints"]
        with reading(path, _KIND, _ADVICE):
            return [
                _check(each) for each in (keypoints[None] if keypoints.ndim == 2 else keypoints)
            ]
    content = _read_json(path)
    with reading(path, _KIND, _ADVICE):
        if isinstance(content, dict) and "people" in content:
            return [_from_openpose(person) for person in content["people"]]
        return [keypoints for _, keypoints in _list_coco(content)]


def read_coco_table(path: Path) -> dict[str, Keypoints]:
    """The people of many photos in one json file of COCO's results or annotations.

    Args:
        path: a list of people, or a dictionary with their list as `annotations` and, as `images`,
            the names of the photos. A person's photo is named by `file_name`, or by `image_id`: the
            file's name, with or without its ending, or a number, as which COCO names its photos.

    Returns:
        By what names a photo, see `find_in_table`.

    Raises:
        InputError: it cannot be read, or does not hold what it should.
    """
    content = _read_json(path)
    with reading(path, _KIND, _ADVICE):
        table: dict[str, Keypoints] = {}
        for photo, keypoints in _list_coco(content):
            if photo is None:
                raise ValueError("a person has neither image_id nor file_name")
            table.setdefault(photo, []).append(keypoints)
        return table


def find_in_table(table: Mapping[str, Keypoints], photo: Path) -> Keypoints:
    """The people of a photo in the table of `read_coco_table`; empty where it has none."""
    names = [photo.name, photo.stem]
    if photo.stem.isdecimal():
        names.append(str(int(photo.stem)))
    return next((table[name] for name in names if name in table), [])


def _read_json(path: Path) -> Any:
    with reading(path, _KIND, _ADVICE), open_file(path) as file:
        return json.load(file)


def _list_coco(content: Any) -> Iterator[tuple[str | None, np.ndarray]]:
    """What names the photo, and the keypoints, of every person in COCO's json."""
    people, names = content, {}
    if isinstance(content, dict):
        people = content["annotations"]
        names = {image["id"]: Path(image["file_name"]).name for image in content.get("images", [])}
    for person in people:
        if person.get("category_id", PERSON) != PERSON:
            continue
        photo = person.get("file_name", person.get("image_id"))
        if isinstance(photo, str):
            photo = Path(photo).name
        elif photo is not None:
            photo = names.get(photo, str(photo))
        yield photo, _check(np.reshape(_numbers(person["keypoints"]), (-1, 3)))


def _from_openpose(person: Mapping[str, Any]) -> np.ndarray:
    numbers = _numbers(person["pose_keypoints_2d"])
    if len(numbers) // 3 not in _COCO17_IN:
        expected = " or ".join(str(3 * count) for count in _COCO17_IN)
        raise ValueError(f"pose_keypoints_2d has {len(numbers)} numbers, expected {expected}")
    rows = numbers.reshape(-1, 3)
    return _check(rows[list(_COCO17_IN[len(rows)])])


def _numbers(values: Iterable[float]) -> np.ndarray:
    return np.array([float(value) for value in values])


def _check(keypoints: np.ndarray) -> np.ndarray:
    """(17, 3) float32 with confidences cut to [0, 1]; ValueError for other shapes and values."""
    if keypoints.shape != (len(COCO17), 3):
        raise ValueError(f"keypoints of shape {keypoints.shape}, expected {(len(COCO17), 3)}")
    if keypoints.dtype.kind not in "fiu":
        raise ValueError("keypoints are no numbers")
    seen = keypoints[:, 2] > 0
    # Not seen, a joint is anywhere: some programs write NaN.
    keypoints = np.where(seen[:, None], keypoints, 0).astype(np.float32)
    if not np.isfinite(keypoints).all():
        raise ValueError("keypoints are not finite numbers")
    # COCO's annotations have 1 and 2 here: hidden or visible, known in either case.
    keypoints[:, 2] = keypoints[:, 2].clip(max=1)
    return keypoints
