"""Known heights: a predicted person is scaled to theirs, which one photo cannot tell."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from predict.people import Person, Photo
from utils.errors import InputError
from utils.readers import open_file, reading

NAME_COLUMN, COLUMN = "file", "height_m"
RANGE = (0.4, 2.8)  # metres, of people
SCALED = ("height_given_m", "scaled_by")  # arrays of a person who was scaled
_LENGTHS = ("vertices", "vertices_tpose", "joints3d", "cam_t")  # of a person's arrays, metres


def read_heights(given: str, names: Sequence[str]) -> dict[str, float]:
    """Heights in metres by the photos' file names, or by people's names.

    Args:
        given: a number of metres, which is everybody's height, or a CSV file with the columns file
            and height_m; who is not in it is not scaled.
        names: of the photos that will be predicted, or of the people of `--same-person`.

    Raises:
        InputError: it is neither, a height is no person's, or a row names no photo.
    """
    try:
        height = float(given)
    except ValueError:
        return _read_table(Path(given), names)
    return dict.fromkeys(names, _check_height(height, "--height"))


def _read_table(path: Path, names: Sequence[str]) -> dict[str, float]:
    if not path.exists():
        raise InputError(f"--height {path} is no number of metres, and no file either")
    heights = {}
    for name, (value, place) in read_table(path, COLUMN, names).items():
        try:
            height = float(value)
        except ValueError as error:
            raise InputError(f"{place}: {value} is no number of metres") from error
        heights[name] = _check_height(height, place)
    return heights


def read_table(path: Path, column: str, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What a CSV file tells of people.

    Args:
        path: of the file, with the columns file and `column`; others are left out.
        column: what is asked.
        names: of the photos that will be predicted, or of the people of `--same-person`.

    Returns:
        The text of the column, and its place in the file for complaints, by name.

    Raises:
        InputError: the file cannot be read, lacks a column or a value, or a row names no photo.
    """
    expected = f"expected the columns {NAME_COLUMN}, {column}"
    with reading(path, "CSV file", expected), open_file(path) as file:
        rows = list(csv.DictReader(file.read().decode("utf-8-sig").splitlines()))
    told = {}
    for number, row in enumerate(rows, start=2):
        place = f"{path}, line {number}"
        if not all(row.get(each) for each in (NAME_COLUMN, column)):
            raise InputError(f"{place}: {expected}")
        name, value = (row[each].strip() for each in (NAME_COLUMN, column))
        if name not in names:
            raise InputError(f"{place}: {name} is not among what is predicted")
        told[name] = (value, place)
    return told


def _check_height(height: float, place: str) -> float:
    if not RANGE[0] <= height <= RANGE[1]:
        raise InputError(f"{place}: {height} m is no person's height; expected metres, as in 1.78")
    return height


def scale_photo(photo: Photo, heights: dict[str, float]) -> Photo:
    """The same photo with its people scaled to their height, where it is known."""
    height = heights.get(photo.subject)
    if height is None:
        return photo
    return replace(photo, people=tuple(scale_person(person, height) for person in photo.people))


def scale_person(person: Person, height: float) -> Person:
    """A predicted person scaled to their height, further from the camera by the same factor.

    Where they are seen in the photo does not change. Betas stay as they were predicted, so
    `scaled_by` is what the body of these betas is scaled by.

    Args:
        person: predicted.
        height: metres.
    """
    arrays = person.arrays
    scale = np.float32(height / np.ptp(arrays["vertices_tpose"][:, 1]))
    return replace(
        person,
        arrays={
            **arrays,
            **{name: scale * arrays[name] for name in _LENGTHS},
            # Weak-perspective cameras: u = s (x + t), and pixel = s x + offset.
            "cam_wp": arrays["cam_wp"] * np.array([1 / scale, scale, scale], dtype=np.float32),
            "cam_photo": arrays["cam_photo"] * np.array([1 / scale, 1, 1], dtype=np.float32),
            "height_given_m": np.float32(height),
            "scaled_by": scale,
        },
    )
