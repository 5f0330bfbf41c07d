"""Measures how far measurements are from the truth, on people whom betas cannot represent.

    python -m evaluate.shape_errors
    python -m evaluate.measurement_errors --people others.npz --path data/others --scene-seed 1
    python -m evaluate.measurement_errors --check

Writes `<checkpoint>_measurement_errors.json` beside the checkpoint, whose errors run_predict.py
prints and saves beside its measurements, and prints the table: mean absolute error and the error
that nine of ten people stay below, as predicted and with the true height given; by how much of the
person is in the photo (default detector), through exact silhouettes and joints ("perfect"), and,
for several photos of one person, through drawn errors of that detector. `--check` says on other
people how many of their errors stay below what was written.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from tqdm import tqdm

from evaluate.datasets import RENDERED_STRANGERS, load_frames, load_true_bodies
from evaluate.evaluator import Evaluator, SeenPerson
from evaluate.half_bodies import cut_frames
from evaluate.open_benchmark import BenchmarkOptions
from evaluate.same_person import combine_people, stack_betas
from evaluate.true_people import TrueBodies
from metrics.anatomy import Anatomy
from metrics.comparison import measure_people
from metrics.measurement_errors import (
    PERCENT,
    ErrorKey,
    ErrorTable,
    MeasurementErrors,
    Seen,
    compute_errors,
    compute_measurement_errors,
    measurement_errors_path,
    read_measurement_errors,
    tell_seen,
    write_measurement_errors,
)
from metrics.measurements import Measurements
from models.checkpoints import load_predictor
from models.shape_errors import CombinedShape, describe_estimate, know_height, read_shape_errors
from predict.detectors.registry import build_detector
from predict.people import BodyPredictor
from utils.command_line import parse_options, run_script
from utils.conventions import Cut
from utils.files import hash_file
from utils.joints import SMPL_JOINTS
from utils.paths import ADDITIONAL, CHECKPOINTS, DEFAULT_CHECKPOINT, STRANGERS

DETECTOR = "mediapipe"
BATCH_SIZE = 8  # photos at a time
MIN_PEOPLE = 20  # seen as much as others; of fewer a percentile says nothing
_UNITS = {"weight_kg": "kg", "bmi_kg_per_m2": "kg/m²"}


@dataclass(frozen=True)
class ErrorOptions:
    """Which network is measured, and on whom."""

    checkpoint: Path = DEFAULT_CHECKPOINT  # of a network for the open body
    # npz of people as tools/open_body/build_strangers.py makes them; None: data/strangers.npz
    people: Path | None = None
    path: Path | None = None  # folder of their photos; None: data/rendered_strangers
    count: int = 200  # people
    workers: int = 1  # processes that render people who are not there yet
    seed: int = 23  # of poses and errors of several photos
    scene_seed: int = BenchmarkOptions.seed  # of poses, clothes and places in the photos
    # print how many people's errors stay below those that were measured before, and write nothing
    check: bool = False


@dataclass(frozen=True)
class SizedPeople:
    """What was predicted of P people, and the truth.

    Attributes:
        shapes: of the network's estimates, for those whose height is given.
        pred: (P, N) measurements as predicted.
        true: (P, N) the true ones.
        joint_errors: (P, 24) metres, relative to the pelvis; None: not measured.
    """

    shapes: Sequence[CombinedShape]
    pred: np.ndarray
    true: np.ndarray
    joint_errors: np.ndarray | None = None

    def rows(self, chosen: np.ndarray) -> "SizedPeople":
        """Some of them: (P,) bool."""
        joints = None if self.joint_errors is None else self.joint_errors[chosen]
        shapes = [self.shapes[row] for row in np.flatnonzero(chosen)]
        return SizedPeople(shapes, self.pred[chosen], self.true[chosen], joints)


class ErrorMeter:
    """Measures the errors of a checkpoint's measurements.

    Args:
        options: which, and on whom.
    """

    def __init__(self, options: ErrorOptions) -> None:
        """Loads the network and the people, who are rendered where they are missing."""
        device = torch.device("cpu")
        self._options = options
        self._predictor = load_predictor(options.checkpoint, device)
        people = BenchmarkOptions(
            options.count, options.scene_seed, strangers=options.people or STRANGERS
        )
        folder = options.path or RENDERED_STRANGERS
        self._frames = load_frames("open", folder, people, options.workers)
        bodies = load_true_bodies("open", self._frames, ADDITIONAL)
        self._truth = TrueBodies(bodies, device)
        self._evaluator = Evaluator(self._predictor, self._truth, device)
        self._anatomy = Anatomy.of(self._predictor.body_model)
        estimator = BodyPredictor(self._predictor, device, BATCH_SIZE)
        self._measure_heights = estimator.measure_heights
        self._true = self._truth.measure(self._frames).numpy()

    def measure(self) -> Iterator[tuple[ErrorKey, SizedPeople]]:
        """People by what they were seen through; the key's `with_height` is False."""
        seen, people = self._measure_photos()
        for part in get_args(Seen):
            chosen = np.array([each == part for each in seen])
            if chosen.sum() >= MIN_PEOPLE:
                yield ErrorKey(DETECTOR, seen=part), people.rows(chosen)
        for source, name in (("perfect", "perfect"), ("detector", DETECTOR)):
            for photos, shapes in self._combine(source).items():
                if (name, photos) != (DETECTOR, 1):
                    sizes = self._measure_shapes(shapes)
                    yield ErrorKey(name, photos), SizedPeople(shapes, sizes, self._true)

    def size_with_height(self, people: SizedPeople) -> np.ndarray:
        """(P, N) measurements where the true height is given, before bodies are scaled to it."""
        heights = people.true[:, Measurements._fields.index("height_m")]
        return self._measure_shapes(
            [
                know_height(shape, height, self._measure_heights)
                for shape, height in zip(people.shapes, heights, strict=True)
            ]
        )

    def _combine(self, source: str) -> dict[int, list[CombinedShape]]:
        betas, offsets = (
            torch.from_numpy(np.stack([getattr(frame, name) for frame in self._frames]))
            for name in ("betas", "offsets")
        )
        options = self._options
        return combine_people(
            options.checkpoint, self._predictor, betas, source, options.seed, offsets
        )

    def _measure_shapes(self, shapes: Sequence[CombinedShape]) -> np.ndarray:
        vertices = self._predictor.body_model.tpose(stack_betas(shapes))
        return measure_people(vertices, self._anatomy).numpy()

    def _measure_photos(self) -> tuple[list[Seen], SizedPeople]:
        """Those who were found in their photos, whole and cut, and how much of them was seen."""
        detector = build_detector(DETECTOR, torch.device("cpu"), CHECKPOINTS)
        seen: list[Seen] = []
        rows: list[int] = []
        found: list[tuple[np.ndarray, ...]] = []
        for cut in (None, *get_args(Cut)):
            frames = self._frames
            frames = frames if cut is None else cut_frames(frames, cut, self._truth)
            for start in tqdm(range(0, len(frames), BATCH_SIZE), desc=cut or "whole", disable=None):
                numbers = range(start, min(start + BATCH_SIZE, len(frames)))
                looked = {row: self._evaluator.see(frames[row], detector) for row in numbers}
                people = {r: each for r, each in looked.items() if isinstance(each, SeenPerson)}
                if people:
                    rows += people
                    seen += [
                        tell_seen(each.detection.silhouette, each.detection.joint_confidence)
                        for each in people.values()
                    ]
                    found.append(self._predict(list(people.values())))
        betas, sizes, joint_errors = map(np.concatenate, zip(*found, strict=True))
        errors = read_shape_errors(
            self._options.checkpoint, hash_file(self._options.checkpoint), "detector"
        )
        shapes = [describe_estimate(each, errors) for each in betas]
        return seen, SizedPeople(shapes, sizes, self._true[rows], joint_errors)

    def _predict(self, people: list[SeenPerson]) -> tuple[np.ndarray, ...]:
        """Betas (B, 10), measurements (B, N) and errors of joints (B, 24) in metres."""
        prediction = self._evaluator.predict_seen(people)
        bodies, count = prediction.bodies, len(SMPL_JOINTS)
        away = [
            each.joints3d[:, :count] - each.joints3d[:, :1] for each in (bodies, prediction.people)
        ]
        sizes = measure_people(bodies.vertices_tpose, self._anatomy)
        errors = (away[0] - away[1]).norm(dim=2)
        return bodies.betas.double().numpy(), sizes.numpy(), errors.numpy()


def measure_errors(options: ErrorOptions) -> None:
    """Measures and prints; writes, or with `check` compares with what was written before."""
    meter = ErrorMeter(options)
    known = {}
    if options.check:
        known = read_measurement_errors(options.checkpoint, hash_file(options.checkpoint))
    table: ErrorTable = {}
    for key, people in meter.measure():
        for with_height in (False, True):
            pred = meter.size_with_height(people) if with_height else people.pred
            errors = compute_measurement_errors(pred, people.true, with_height)
            if people.joint_errors is not None:
                joints = np.percentile(people.joint_errors, PERCENT, axis=0)
                errors = errors._replace(joints_p90=joints)
            table[key._replace(with_height=with_height)] = errors
            if key._replace(with_height=with_height) in known:
                margins = known[key._replace(with_height=with_height)]
                print(describe_coverage(key, with_height, pred, people, margins))
    print(format_table(table))
    if not options.check:
        path = measurement_errors_path(options.checkpoint)
        write_measurement_errors(path, table, hash_file(options.checkpoint))
        print(f"written to {path}")


def describe_coverage(
    key: ErrorKey,
    with_height: bool,
    pred: np.ndarray,
    people: SizedPeople,
    known: MeasurementErrors,
) -> str:
    """How many people's errors are below those of nine of ten people before, in a line."""
    below = compute_errors(pred, people.true, with_height) <= known.p90
    below = below[:, known.p90 > 0]  # a height that is given has no error
    shares = 100 * below.mean(axis=0)
    words = f"{key.source}, {key.seen}, {key.photos} photos{', with height' if with_height else ''}"
    line = f"{words}, {len(below)} people: {shares.mean():.1f} % of measurements"
    line += f" ({shares.min():.0f} to {shares.max():.0f} by measurement)"
    if people.joint_errors is not None and known.joints_p90 is not None:
        joints = (people.joint_errors[:, 1:] <= known.joints_p90[1:]).mean()
        line += f", {100 * joints:.1f} % of joints"
    return f"{line} stay below"


def format_table(table: ErrorTable) -> str:
    """The table for people: centimetres and kilograms, "mean / p90", a row a measurement."""
    heads = [
        f"{source}, {seen if photos == 1 else photos}{', with height' if with_height else ''}"
        for source, photos, with_height, seen in table
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
