"""How far measurements are from the truth, as an evaluation found it, in a file by the checkpoint.

`python -m evaluate.measurement_errors` writes it; what is printed and saved of a predicted person
carries these errors.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metrics.measurements import Measurements
from utils.errors import InputError
from utils.files import write_whole
from utils.readers import open_file, reading

_ADVICE = "make it again with python -m evaluate.measurement_errors"
_HEIGHT = Measurements._fields.index("height_m")
# How a measurement grows with the body's height.
_POWERS = np.array([3 if name == "weight_kg" else 1 for name in Measurements._fields])


class MeasurementErrors(NamedTuple):
    """Of the fields of `Measurements`, in their units."""

    mean: np.ndarray  # (N,) mean absolute error
    p90: np.ndarray  # (N,) that nine of ten people's errors are below

    def named(self) -> dict[str, float]:
        """Mean absolute errors by the measurement's name."""
        return dict(zip(Measurements._fields, self.mean.tolist(), strict=True))


def compute_measurement_errors(
    pred: np.ndarray, true: np.ndarray, with_height: bool
) -> MeasurementErrors:
    """Errors over P people.

    Args:
        pred: (P, N) the fields of `Measurements`.
        true: (P, N) the true ones.
        with_height: whether predicted bodies are scaled to the true height first.
    """
    scale = true[:, _HEIGHT] / pred[:, _HEIGHT] if with_height else np.ones(len(pred))
    errors = np.abs(pred * scale[:, None] ** _POWERS - true)
    return MeasurementErrors(errors.mean(axis=0), np.percentile(errors, 90, axis=0))


def measurement_errors_path(checkpoint: Path) -> Path:
    """Where the errors of a checkpoint's measurements lie: beside it."""
    return checkpoint.with_name(f"{checkpoint.stem}_measurement_errors.json")


# By what people were seen through, the number of photos of each, and whether the height was given.
ErrorTable = dict[tuple[str, int, bool], MeasurementErrors]


@dataclass(frozen=True)
class KnownErrors:
    """What an evaluation found of a checkpoint's measurements, through one source."""

    table: ErrorTable = field(default_factory=dict)
    source: str = ""

    def choose(self, photos: int = 1, with_height: bool = False) -> MeasurementErrors | None:
        """The errors of people seen in so many photos, or in the next fewer that there are."""
        counts = [
            count
            for source, count, height in self.table
            if source == self.source and height == with_height and count <= photos
        ]
        return self.table[self.source, max(counts), with_height] if counts else None


def write_measurement_errors(path: Path, table: ErrorTable, checkpoint_hash: str) -> None:
    """Writes a table as json: names of measurements, and rows."""
    rows = [
        {
            "source": source,
            "photos": photos,
            "with_height": with_height,
            "mean": [float(f"{value:.4g}") for value in errors.mean],
            "p90": [float(f"{value:.4g}") for value in errors.p90],
        }
        for (source, photos, with_height), errors in table.items()
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


def _read_row(row: dict[str, Any]) -> tuple[tuple[str, int, bool], MeasurementErrors]:
    errors = MeasurementErrors(*(np.array(row[name], dtype=np.float64) for name in ("mean", "p90")))
    for values in errors:
        if values.shape != (len(Measurements._fields),) or not all(map(math.isfinite, values)):
            raise ValueError("expected a number for each measurement")
    return (str(row["source"]), int(row["photos"]), bool(row["with_height"])), errors
