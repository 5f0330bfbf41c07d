"""Measures how far measurements are from the truth, on the people of the open benchmark.

    python -m evaluate.measurement_errors

Writes `<checkpoint>_measurement_errors.json` beside the checkpoint, whose errors run_predict.py
prints and saves beside its measurements, and prints the table: mean absolute error and the error
that nine of ten people stay below, as predicted and with the true height given; through exact
silhouettes and joints ("perfect"), through photos and the default detector, and, for several photos
of one person, through drawn errors of that detector (needs `evaluate.shape_errors`).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from data.frames import Frame
from evaluate.datasets import load_frames, load_true_bodies
from evaluate.evaluator import Evaluator, SeenPerson
from evaluate.open_benchmark import BenchmarkOptions
from evaluate.same_person import COUNTS, combine_people
from evaluate.true_people import TrueBodies
from metrics.anatomy import Anatomy
from metrics.comparison import measure_people
from metrics.measurement_errors import (
    ErrorTable,
    compute_measurement_errors,
    measurement_errors_path,
    write_measurement_errors,
)
from metrics.measurements import Measurements
from models.checkpoints import Predictor, load_predictor
from predict.detectors.registry import build_detector
from utils.command_line import parse_options, run_script
from utils.files import hash_file
from utils.paths import ADDITIONAL, CHECKPOINTS, DEFAULT_CHECKPOINT

DETECTOR = "mediapipe"
_UNITS = {"weight_kg": "kg", "bmi_kg_per_m2": "kg/m²"}
BATCH_SIZE = 8  # photos at a time


@dataclass(frozen=True)
class ErrorOptions:
    """Which network is measured, and on whom."""

    checkpoint: Path = DEFAULT_CHECKPOINT  # of a network for the open body
    path: Path | None = None  # the open benchmark's folder; None: data/open_benchmark
    count: int = 300  # people
    workers: int = 1  # processes that render people who are not there yet
    seed: int = 23  # of poses and errors of several photos


def measure_errors(options: ErrorOptions) -> None:
    """Measures, prints and writes."""
    device = torch.device("cpu")
    predictor = load_predictor(options.checkpoint, device)
    people = BenchmarkOptions(options.count)
    frames = load_frames("open", options.path, people, options.workers)
    truth = TrueBodies(load_true_bodies("open", frames, ADDITIONAL), device)
    evaluator = Evaluator(predictor, truth, device)
    betas = torch.from_numpy(np.stack([frame.betas for frame in frames]))
    true = _measure_shapes(predictor, betas)
    table: ErrorTable = {}
    found, seen = _measure_photos(evaluator, frames)
    _add_rows(table, DETECTOR, 1, found, true[seen])
    for source, name in (("perfect", "perfect"), ("detector", DETECTOR)):
        shapes = combine_people(options.checkpoint, predictor, betas, source, options.seed)
        for photos in COUNTS:
            if (name, photos, False) not in table:
                _add_rows(table, name, photos, _measure_shapes(predictor, shapes[photos]), true)
    path = measurement_errors_path(options.checkpoint)
    write_measurement_errors(path, table, hash_file(options.checkpoint))
    print(format_table(table))
    print(f"written to {path}")


def _measure_shapes(predictor: Predictor, betas: torch.Tensor) -> np.ndarray:
    """(P, N) measurements of bodies of betas (P, 10)."""
    body = predictor.body_model
    return measure_people(body.tpose(betas.float()), Anatomy.of(body)).numpy()


def _measure_photos(evaluator: Evaluator, frames: Sequence[Frame]) -> tuple[np.ndarray, list[int]]:
    """Predicted measurements (P, N) of those who were found in their photos, and their numbers."""
    detector = build_detector(DETECTOR, torch.device("cpu"), CHECKPOINTS)
    found, rows = [], []
    for start in tqdm(range(0, len(frames), BATCH_SIZE), desc=DETECTOR, disable=None):
        piece = range(start, min(start + BATCH_SIZE, len(frames)))
        seen = {row: evaluator.see(frames[row], detector) for row in piece}
        seen = {row: each for row, each in seen.items() if isinstance(each, SeenPerson)}
        bodies = evaluator.predict_seen(list(seen.values())).bodies
        found.append(measure_people(bodies.vertices_tpose, evaluator.truth.anatomy).numpy())
        rows += seen
    return np.concatenate(found), rows


def _add_rows(
    table: ErrorTable, source: str, photos: int, pred: np.ndarray, true: np.ndarray
) -> None:
    for with_height in (False, True):
        errors = compute_measurement_errors(pred, true, with_height)
        table[source, photos, with_height] = errors


def format_table(table: ErrorTable) -> str:
    """The table for people: centimetres and kilograms, "mean / p90", a row a measurement."""
    heads = [
        f"{source}, {photos}{', with height' if with_height else ''}"
        for source, photos, with_height in table
    ]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for column, name in enumerate(Measurements._fields):
        factor, unit = (100, "cm") if name.endswith("_m") else (1, _UNITS[name])
        cells = [
            f"{factor * errors.mean[column]:.1f} / {factor * errors.p90[column]:.1f}"
            for errors in table.values()
        ]
        label = name.removesuffix("_m").removesuffix("_kg_per_m2").removesuffix("_kg")
        lines.append(f"| {label.replace('_', ' ')} ({unit}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_script(lambda: measure_errors(parse_options(ErrorOptions, __doc__))))
