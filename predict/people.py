"""The steps of `run_predict.py`: photos to people found, to bodies, to files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.checkpoints import Predictor
from models.regressed_body import regressed_silhouettes
from predict.detectors.interface import Detection, Detector
from predict.measurements import Measurements, measure
from predict.outputs import save_meshes, save_person
from predict.pictures import draw_overlay, draw_proxy, draw_tpose
from predict.pipeline import (
    predict_bodies,
    prepare_proxies,
    silhouette_iou,
)
from renderers.overlay import BodyRenderer
from renderers.rasteriser import Rasteriser
from utils.errors import InputError
from utils.images import read_image, write_image


@dataclass(frozen=True)
class Photo:
    """An image file and the name that its results go by."""

    path: Path
    name: str


@dataclass(frozen=True)
class FoundPerson:
    """The person to predict in a photo."""

    photo: Photo
    image: np.ndarray  # (H, W, 3) uint8 RGB
    detection: Detection


@dataclass(frozen=True)
class PredictedPerson:
    """A person with everything predicted about them."""

    found: FoundPerson
    arrays: dict[str, np.ndarray]  # `predict.pipeline.Bodies.person`
    measurements: Measurements
    silhouette_iou: float  # of the predicted with the detected silhouette, inside the photo

    @property
    def photo(self) -> Photo:
        """The photo they are in."""
        return self.found.photo


@dataclass(frozen=True)
class Skipped:
    """A photo without a result."""

    photo: Photo
    reason: str


def find_person(photo: Photo, detector: Detector) -> FoundPerson | Skipped:
    """Reads a photo and finds its most prominent person; never raises for a bad photo."""
    try:
        image = read_image(photo.path)
        detections = detector.detect(image)
    except InputError as error:
        return Skipped(photo, str(error))
    except Exception as error:  # a detector may fail in its own ways; the other photos go on
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Skipped(photo, f"{photo.path}: the detector failed ({reason})")
    if not detections:
        return Skipped(photo, f"{photo.path}: no person found")
    return FoundPerson(photo, image, detections[0])


class BodyPredictor:
    """Network, body and silhouette renderer, ready to predict people.

    Args:
        predictor: a loaded checkpoint.
        device: where the predictor's modules are.
    """

    def __init__(self, predictor: Predictor, device: torch.device) -> None:
        """Prepares the silhouette renderer."""
        self._regressor, self._body_model = predictor.regressor, predictor.body_model
        self._size, self._device = predictor.image_size, device
        self.faces = predictor.body_model.faces.cpu().numpy()  # (F, 3)
        self._rasteriser = Rasteriser(
            predictor.body_model.faces, predictor.body_model.face_parts, image_size=self._size
        ).to(device)

    def predict(self, people: Sequence[FoundPerson]) -> list[PredictedPerson]:
        """Predicts all people in one batch."""
        if not people:
            return []
        batch = prepare_proxies([found.detection for found in people], self._size, self._device)
        bodies = predict_bodies(self._regressor, self._body_model, batch)
        silhouettes = regressed_silhouettes(bodies.vertices, bodies.cam_wp, self._rasteriser)
        ious = silhouette_iou(silhouettes, batch.silhouettes, batch.inside_photo).tolist()
        return [
            PredictedPerson(
                found,
                arrays := bodies.person(index),
                measure(arrays["vertices_tpose"], self.faces),
                ious[index],
            )
            for index, found in enumerate(people)
        ]


def predict_photos(
    photos: Sequence[Photo], detector: Detector, body_predictor: BodyPredictor, batch_size: int
) -> Iterator[PredictedPerson | Skipped]:
    """Predicts the person of each photo, `batch_size` photos at a time."""
    for start in range(0, len(photos), batch_size):
        results = [find_person(photo, detector) for photo in photos[start : start + batch_size]]
        yield from (result for result in results if isinstance(result, Skipped))
        yield from body_predictor.predict(
            [result for result in results if isinstance(result, FoundPerson)]
        )


@dataclass(frozen=True)
class ResultWriter:
    """Writes the files of each person.

    Attributes:
        output: an existing folder.
        faces: (F, 3) of the body.
        renderer: for the pictures; None for parameters only.
        save_meshes: whether to write meshes too.
    """

    output: Path
    faces: np.ndarray
    renderer: BodyRenderer | None
    save_meshes: bool

    def write(self, person: PredictedPerson) -> PredictedPerson | Skipped:
        """Writes a person's files; a file that cannot be written makes it a skipped photo."""
        try:
            self._write(person, self.output / person.photo.name)
        except (InputError, OSError) as error:
            return Skipped(person.photo, f"{person.photo.path}: {error}")
        return person

    def _write(self, person: PredictedPerson, stem: Path) -> None:
        found = person.found
        save_person(_beside(stem, ".npz"), person.arrays, found.detection)
        if self.save_meshes:
            save_meshes(stem, person.arrays, self.faces)
        if self.renderer is None:
            return
        pictures = {
            "overlay": draw_overlay(found.image, self.renderer, person.arrays),
            "tpose": draw_tpose(self.renderer, person.arrays["vertices_tpose"]),
            "proxy": draw_proxy(found.image, found.detection, person.arrays["crops"]),
        }
        for kind, picture in pictures.items():
            write_image(_beside(stem, f"_{kind}.png"), picture)


def _beside(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)
