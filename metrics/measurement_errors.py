"""How far measurements are from the truth, as an evaluation found it, in a file by the checkpoint.

`python -m evaluate.measurement_errors` writes it; what is printed and saved of a predicted person
carries these errors.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from metrics.measurements import Measurements
from utils.errors import InputError
from utils.files import write_whole
from utils.joints import COCO17, SMPL_JOINTS, indices_of
from utils.readers import open_file, reading

Seen = Literal["whole", "knees", "hips", "chest"]
_LOWEST_JOINTS: dict[Seen, tuple[int, ...]] = {
    "knees": indices_of(("left_knee", "right_knee"), COCO17),
    "hips": indices_of(("left_hip", "right_hip"), COCO17),
}
_ADVICE = "make it again with python -m evaluate.measurement_errors"
EDGE_SHARE = 0.01  # of the picture's height: what reaches as far down as that is cut by its edge
PERCENT = 90  # of people, whose errors are below what is printed
_HEIGHT = Measurements._fields.index("height_m")
# How a measurement grows with the body's height.
_POWERS = np.array([3 if name == "weight_kg" else 1 for name in Measurements._fields])


class MeasurementErrors(NamedTuple):
    """Of the fields of `Measurements`, in their units."""

    mean: np.ndarray  # (N,) mean absolute error
    p90: np.ndarray  # (N,) that nine of ten people's errors are below
    # (24,) metres, the same for the places of SMPL's joints relative to the pelvis; None: not known
    joints_p90: np.ndarray | None = None

    def named(self) -> dict[str, float]:
        """By the measurement's name, what nine of ten people's errors are below."""
        return dict(zip(Measurements._fields, self.p90.tolist(), strict=True))


def compute_measurement_errors(
    pred: np.ndarray, true: np.ndarray, with_height: bool
) -> MeasurementErrors:
    """Errors over P people.

    Args:
        pred: (P, N) the fields of `Measurements`.
        true: (P, N) the true ones.
        with_height: whether predicted bodies are scaled to the true height first.
    """
    errors = compute_errors(pred, true, with_height)
    return MeasurementErrors(errors.mean(axis=0), np.percentile(errors, PERCENT, axis=0))


def compute_errors(pred: np.ndarray, true: np.ndarray, with_height: bool) -> np.ndarray:
    """Absolute errors (P, N); see `compute_measurement_errors`."""
    scale = true[:, _HEIGHT] / pred[:, _HEIGHT] if with_height else np.ones(len(pred))
    return np.abs(pred * scale[:, None] ** _POWERS - true)


def measurement_errors_path(checkpoint: Path) -> Path:
    """Where the errors of a checkpoint's measurements lie: beside it."""
    return checkpoint.with_name(f"{checkpoint.stem}_measurement_errors.json")


def tell_seen(silhouette: np.ndarray, joint_confidence: np.ndarray) -> Seen:
    """How much of a person is in the picture.

    Somebody whose silhouette ends above the picture's lower edge is whole; detectors place the
    joints of others in the picture too, so of these the lowest joints decide.

    Args:
        silhouette: (H, W) bool, of the picture.
        joint_confidence: (17,) of the COCO joints, 0 for those that are not in the picture.
    """
    edge = max(1, round(EDGE_SHARE * len(silhouette)))
    if not silhouette[-edge:].any():
        return "whole"
    for seen, joints in _LOWEST_JOINTS.items():
        if joint_confidence[list(joints)].any():
            return seen
    return "chest"


class ErrorKey(NamedTuple):
    """Whose errors they are."""

    source: str  # what people were seen through: perfect, or a detector
    photos: int = 1  # of each person
    with_height: bool = False  # whether the height was given
    seen: Seen = "whole"


ErrorTable = dict[ErrorKey, MeasurementErrors]


@dataclass(frozen=True)
class KnownErrors:
    """What an evaluation found of a checkpoint's measurements, through one source."""

    table: ErrorTable = field(default_factory=dict)
    source: str = ""

    def choose(
        self, photos: int = 1, with_height: bool = False, seen: Seen = "whole"
    ) -> MeasurementErrors | None:
        """The errors of people seen in so many photos, or in the next fewer that there are.

        Args:
            photos: of the person.
            with_height: whether the height was given.
            seen: how much of the person, where there is one photo.
        """
        seen = seen if photos == 1 else "whole"
        counts = [
            key.photos
            for key in self.table
            if key == ErrorKey(self.source, key.photos, with_height, seen) and key.photos <= photos
        ]
        if not counts:
            return None
        return self.table[ErrorKey(self.source, max(counts), with_height, seen)]


def write_measurement_errors(path: Path, table: ErrorTable, checkpoint_hash: str) -> None:
    """Writes a table as json: names of measurements, and rows."""
    rows = [
        {
            **key._asdict(),
            **{
                name: [float(f"{value:.4g}") for value in values]
                for name, values in errors._asdict().items()
                if values is not None
            },
        }
        for key, errors in table.items()
    ]
    content = {
        "checkpoint_hash": checkpoint_hash,
        "measurements": Measurements._fields,
        "rows": rows,
    }
    lines = ",\n  ".join(json.dumps(row) for row in content.pop("rows"))
    head = json.dumps(content)[:-1]
    write_whole(path, f'{head}, "rows": [\n  {lines}\n]}}\n'.encode())


def read_measurement_errors(checkpoint: Path, checkpoint_hash: str) -> ErrorTable:
    """Reads the errors of a checkpoint's measurements.

    Returns:
        The table; an empty one where nothing was measured for this version of the checkpoint.

    Raises:
        InputError: there is a file, which cannot be read.
    """
    path = measurement_errors_path(checkpoint)
    if not path.is_file():
        return {}
    with reading(path, "json file of measurement errors", _ADVICE), open_file(path) as file:
        content = json.loads(file.read())
        if content["checkpoint_hash"] != checkpoint_hash:
            return {}
        if content["measurements"] != list(Measurements._fields):
            raise InputError(f"{path} holds other measurements than there are now; {_ADVICE}")
        return dict(_read_row(row) for row in content["rows"])


def _read_row(row: dict[str, Any]) -> tuple[ErrorKey, MeasurementErrors]:
    sizes = {"mean": len(Measurements._fields), "p90": len(Measurements._fields)}
    if "joints_p90" in row:
        sizes["joints_p90"] = len(SMPL_JOINTS)
    errors = {name: np.array(row[name], dtype=np.float64) for name in sizes}
    for name, values in errors.items():
        if values.shape != (sizes[name],) or not np.isfinite(values).all():
            raise ValueError("expected a number for each measurement")
    if row["seen"] not in get_args(Seen):
        raise ValueError(f"expected seen to be one of {', '.join(get_args(Seen))}")
    key = ErrorKey(str(row["source"]), int(row["photos"]), bool(row["with_height"]), row["seen"])
    return key, MeasurementErrors(**errors)
