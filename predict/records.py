"""What is known about a predicted person and what predicted it, as it is written to files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metrics.measurement_errors import KnownErrors, MeasurementErrors, tell_seen
from metrics.measurements import Measurements
from models.checkpoints import Predictor
from models.feedback import FeedbackRegressor
from models.refinement import Refiner
from predict.people import Person
from utils.files import pack_npz, write_npz
from utils.joints import BODY_MODEL_JOINTS, COCO17, PARTS
from utils.readers import read_npz, reading

SOURCE_WORDS = ("body", "gender", "body_hash", "checkpoint", "checkpoint_hash", "detector")
_RECORDED = (
    "person", "measurements", "measurement_names", "betas", "silhouette_iou", "detected_box",
    "image_size",
)  # fmt: skip


@dataclass(frozen=True)
class ResultSource:
    """What predicted: a result stands alone with it.

    Attributes:
        body: its name.
        gender: of the body.
        body_hash: of the body's numbers.
        checkpoint: the file's name.
        checkpoint_hash: of the file, see `utils.files.hash_file`.
        detector: its name, as `--silh_from` takes it.
        rounds: of feedback; 0 where the network has none.
        faces: (F, 3) of the body.
        face_parts: (F,) uint8 their labels, numbers in `utils.joints.PARTS`.
    """

    body: str
    gender: str
    body_hash: str
    checkpoint: str
    checkpoint_hash: str
    detector: str
    rounds: int
    faces: np.ndarray = field(repr=False, compare=False)
    face_parts: np.ndarray = field(repr=False, compare=False)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """What all results have in common, by the names in an npz."""
        return {
            **{name: np.array(getattr(self, name)) for name in (*SOURCE_WORDS, "rounds")},
            # The smallest integers that can number the vertices: 2 bytes with either body.
            "faces": self.faces.astype(np.min_scalar_type(self.faces.max())),
            "face_parts": self.face_parts,
            "part_names": np.array(PARTS),
            "joint_names": np.array(BODY_MODEL_JOINTS),
            "detected_joint_names": np.array(COCO17),
            "measurement_names": np.array(Measurements._fields),
        }

    @cached_property
    def packed(self) -> bytes:
        """The same as the content of an npz."""
        return pack_npz(self.arrays, compress=False)


class PersonRecord(NamedTuple):
    """A person's row in the tables of a folder."""

    file: str  # name of the photo
    person: int  # in the photo, the most prominent is 1
    name: str  # that their files begin with
    image_size: tuple[int, int]  # width and height, pixels
    box: tuple[float, ...]  # x0, y0, x1, y1 of the detected silhouette, pixels
    silhouette_iou: float  # predicted with detected silhouette
    measurements: Mapping[str, float]  # by the names of `Measurements`
    betas: tuple[float, ...]  # 10


def describe_source(
    predictor: Predictor, checkpoint: Path, checkpoint_hash: str, detector: str
) -> ResultSource:
    """What predicts, of what was loaded.

    Args:
        predictor: the loaded checkpoint.
        checkpoint: its file.
        checkpoint_hash: of that file.
        detector: its name.
    """
    network, body = predictor.regressor, predictor.body_model
    network = network.regressor if isinstance(network, Refiner) else network
    return ResultSource(
        body.identity["name"],
        body.identity["gender"],
        body.identity["hash"],
        checkpoint.name,
        checkpoint_hash,
        detector,
        network.rounds if isinstance(network, FeedbackRegressor) else 0,
        body.faces.cpu().numpy(),
        body.face_parts.cpu().numpy(),
    )


def describe_person(
    file: str, number: int, name: str, person: Person, measurements: Measurements
) -> PersonRecord:
    """A predicted person's row.

    Args:
        file: name of the photo.
        number: of the person in it, from 1.
        name: that their files begin with.
        person: predicted.
        measurements: theirs.
    """
    height, width = person.detection.silhouette.shape
    return PersonRecord(
        file,
        number,
        name,
        (width, height),
        tuple(person.detection.box.tolist()),
        person.silhouette_iou,
        measurements._asdict(),
        tuple(person.arrays["betas"].tolist()),
    )


def choose_margins(known: KnownErrors, person: Person, photos: int = 1) -> MeasurementErrors | None:
    """The errors that a person's measurements are known to have, None where they are not.

    Args:
        known: of the checkpoint and the detector.
        person: predicted, and scaled where the height is known.
        photos: that the shape is estimated from.
    """
    seen = tell_seen(person.detection.silhouette, person.detection.joint_confidence)
    return known.choose(photos, "scaled_by" in person.arrays, seen)


def add_margins(person: Person, margins: MeasurementErrors | None) -> Person:
    """The same person with the errors of their measurements, where they are known."""
    if margins is None:
        return person
    return replace(person, arrays={**person.arrays, **name_margins(margins)})


def name_margins(margins: MeasurementErrors) -> dict[str, np.ndarray]:
    """Arrays of npz files: mean absolute errors, and what nine of ten people are below."""
    arrays = {"measurement_errors_mean": margins.mean, "measurement_errors_p90": margins.p90}
    if margins.joints_p90 is not None:
        arrays["joint_errors_p90"] = margins.joints_p90
    return arrays


def collect_arrays(person: Person, record: PersonRecord) -> dict[str, np.ndarray]:
    """Everything that is known about a person, by the names in an npz.

    Args:
        person: predicted.
        record: theirs.
    """
    return {
        "photo": np.array(record.file),
        "person": np.array(record.person),
        "image_size": np.array(record.image_size),
        **person.arrays,
        "measurements": np.array(list(record.measurements.values())),
        "silhouette_iou": np.array(record.silhouette_iou),
        "detected_joints2d_px": person.detection.joints2d_px,
        "detected_joint_confidence": person.detection.joint_confidence,
        "detected_box": person.detection.box,
    }


def save_person(
    path: Path, person: Person, record: PersonRecord, source: ResultSource | None
) -> None:
    """Writes everything that is known about a person, and what predicted it, to an npz file.

    Args:
        path: of the file.
        person: predicted.
        record: theirs.
        source: what predicted; None: unknown, and left out.
    """
    start = source.packed if source else b""
    # Not compressed: the numbers are floats, which would shrink by a tenth and take thrice as long.
    write_npz(path, collect_arrays(person, record), compress=False, start=start)


def read_record(path: Path, file: str) -> tuple[PersonRecord, dict[str, str]]:
    """A person's row out of an npz that `save_person` wrote.

    Args:
        path: of the file.
        file: name of the photo.

    Returns:
        The row, and what predicted it: the `SOURCE_WORDS` by name.

    Raises:
        InputError: it cannot be read, or was written before it held all that.
    """
    with reading(path, "result of run_predict.py", "delete it to have it made again"):
        arrays = read_npz(path, (*_RECORDED, *SOURCE_WORDS))
        names, sizes = (arrays[name].tolist() for name in ("measurement_names", "measurements"))
        (width, height), box = arrays["image_size"].tolist(), arrays["detected_box"].tolist()
        record = PersonRecord(
            file,
            int(arrays["person"]),
            path.stem,
            (width, height),
            tuple(box),
            float(arrays["silhouette_iou"]),
            dict(zip(names, sizes, strict=True)),
            tuple(arrays["betas"].tolist()),
        )
        return record, {name: str(arrays[name]) for name in SOURCE_WORDS}
