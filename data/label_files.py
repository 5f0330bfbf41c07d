"""Label files of evaluation datasets: read and checked before anything is computed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.readers import read_npz

GENDERS = {"m": "male", "f": "female"}
_MAX_NAMES = 3  # file names that an error lists


def read_labels(
    path: Path,
    shapes: dict[str, tuple[int, ...] | None],
    optional: dict[str, tuple[int, ...]] | None = None,
) -> dict[str, np.ndarray]:
    """Reads an npz of labels, one row a frame.

    Args:
        path: of the file.
        shapes: the shape of a row by key; None where it does not matter.
        optional: the same of keys that may be missing.

    Returns:
        The arrays that are there, by key.

    Raises:
        InputError: the file or a key is missing, a shape is another one, or a number not finite.
    """
    if not path.is_file():
        raise InputError(f"no {path.name} in {path.parent}; data/README.md shows the layout")
    labels = read_npz(path, shapes, optional or {})
    shapes = {**shapes, **(optional or {})}
    count = len(np.atleast_1d(labels[next(iter(shapes))]))
    if not count:
        raise InputError(f"{path} has labels of no frame")
    for key, array in labels.items():
        _check_array(f"{path}: {key}", array, count, shapes[key])
    return labels


def _check_array(name: str, array: np.ndarray, count: int, row: tuple[int, ...] | None) -> None:
    expected = (count, *(array.shape[1:] if row is None else row))
    if array.shape != expected:
        raise InputError(f"{name} has shape {array.shape}, expected {expected}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} has values that are not finite numbers")
    if row and array.dtype.kind not in "fiu":
        raise InputError(f"{name} holds {array.dtype}, expected numbers")


def read_genders(codes: np.ndarray, path: Path) -> list[str]:
    """Genders by name from their letters; raises InputError for another letter."""
    letters = codes.astype(str).tolist()
    unknown = sorted(set(letters) - set(GENDERS))
    if unknown:
        raise InputError(f"{path} has genders {', '.join(map(repr, unknown))}; expected 'm' or 'f'")
    return [GENDERS[letter] for letter in letters]


def check_files(folder: Path, names: Sequence[str]) -> None:
    """Raises InputError unless every name is that of a file in the folder, and no name is twice."""
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; data/README.md shows the layout")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"the labels for {folder} name files twice: {_list_some(twice)}")
    there = {path.name for path in folder.iterdir()}
    missing = [name for name in names if name not in there]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the {len(names)} files that the labels name: "
            f"{_list_some(missing)}"
        )


def _list_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
