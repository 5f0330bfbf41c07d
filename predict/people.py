"""From photos to predicted people: the steps of `run_predict.py` before anything is written."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch

from metrics.metrics import silhouette_iou
from models.checkpoints import Predictor
from predict.detectors.interface import Detection, Detector
from predict.pipeline import Bodies, observe_people, predict_bodies
from renderers.rasteriser import Rasteriser
from renderers.silhouettes import regressed_silhouettes
from utils.errors import InputError
from utils.images import read_image


@dataclass(frozen=True)
class Photo:
    """An image file and the name that its results go by."""

    path: Path
    name: str

    @property
    def photo(self) -> "Photo":
        """Itself, as with every later stage of a photo."""
        return self


@dataclass(frozen=True)
class ReadPhoto:
    """A photo with its pixels."""

    photo: Photo
    image: np.ndarray  # (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class FoundPeople:
    """The people to predict in a photo."""

    photo: Photo
    image: np.ndarray | None  # (H, W, 3) uint8 RGB, if pictures will be drawn
    detections: list[Detection]  # one or more, the most prominent first


@dataclass(frozen=True)
class PredictedPerson:
    """A person with everything predicted about them."""

    detection: Detection
    arrays: dict[str, np.ndarray]  # `predict.pipeline.Bodies.person`
    silhouette_iou: float  # of the predicted with the detected silhouette, inside the photo


@dataclass(frozen=True)
class PredictedPhoto:
    """The people of a photo, predicted."""

    photo: Photo
    image: np.ndarray | None  # (H, W, 3) uint8 RGB
    people: list[PredictedPerson]  # the most prominent first


@dataclass(frozen=True)
class Skipped:
    """A photo without a result."""

    photo: Photo
    reason: str


class OfPhoto(Protocol):
    """Any stage of a photo."""

    @property
    def photo(self) -> Photo:
        """The photo."""
        ...


Before = TypeVar("Before", bound=OfPhoto)
After = TypeVar("After", bound=OfPhoto)


def attempt(work: Callable[[Before], After], photo: Before | Skipped, name: str) -> After | Skipped:
    """`work(photo)`, so that one bad photo never stops the others.

    Args:
        work: what to do with a photo.
        photo: at the stage that `work` takes, or skipped already, which is passed on.
        name: of the work, for the reason.
    """
    if isinstance(photo, Skipped):
        return photo
    path = photo.photo.path
    try:
        return work(photo)
    except InputError as error:
        reason = str(error)
        return Skipped(photo.photo, reason if str(path) in reason else f"{path}: {reason}")
    except Exception as error:  # libraries fail in their own ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Skipped(photo.photo, f"{path}: {name} failed ({reason})")


def read_photo(photo: Photo) -> ReadPhoto:
    """Reads a photo; raises InputError where that cannot be done."""
    return ReadPhoto(photo, read_image(photo.path))


def find_people(
    read: ReadPhoto, detector: Detector, everyone: bool, keep_image: bool
) -> FoundPeople:
    """Finds the people to predict.

    Args:
        read: the photo.
        detector: of people.
        everyone: all of them, else the most prominent one.
        keep_image: whether the image will be needed again.

    Raises:
        InputError: nobody was found.
    """
    detections = detector.detect(read.image)
    if not detections:
        raise InputError(f"{read.photo.path}: no person found")
    return FoundPeople(
        read.photo, read.image if keep_image else None, detections[: None if everyone else 1]
    )


class BodyPredictor:
    """Network, body and silhouette renderer, ready to predict people.

    Args:
        predictor: a loaded checkpoint.
        device: where the predictor's modules are.
        batch_size: people that pass through the network together, at most.
    """

    def __init__(self, predictor: Predictor, device: torch.device, batch_size: int) -> None:
        """Prepares the silhouette renderer."""
        # Convolutions on the CPU are a fifth faster with channels last; numbers change by rounding.
        self._regressor = predictor.regressor.to(memory_format=torch.channels_last)
        self._body_model = predictor.body_model
        self._size, self._device = predictor.image_size, device
        self.batch_size = batch_size
        self._rasteriser = Rasteriser(
            predictor.body_model.faces, predictor.body_model.face_parts, image_size=self._size
        ).to(device)

    def predict(self, detections: Sequence[Detection]) -> list[PredictedPerson]:
        """Predicts people, `batch_size` at a time."""
        people: list[PredictedPerson] = []
        for start in range(0, len(detections), self.batch_size):
            people.extend(self._predict_batch(detections[start : start + self.batch_size]))
        return people

    def _predict_batch(self, detections: Sequence[Detection]) -> list[PredictedPerson]:
        observed = observe_people(detections, self._size, self._device)
        bodies = predict_bodies(self._regressor, self._body_model, observed)
        silhouettes = regressed_silhouettes(bodies.vertices, bodies.cam_wp, self._rasteriser)
        ious = silhouette_iou(
            silhouettes, observed.observation.silhouettes, observed.inside_photo
        ).tolist()
        bodies = Bodies(*(values.cpu() for values in bodies))
        return [
            PredictedPerson(detection, bodies.person(index), ious[index])
            for index, detection in enumerate(detections)
        ]


def predict_photos(
    found: Iterable[FoundPeople | Skipped], body_predictor: BodyPredictor
) -> Iterator[PredictedPhoto | Skipped]:
    """Predicts the people of photos in their order, gathering them into whole batches."""
    waiting: list[FoundPeople | Skipped] = []
    people = 0
    for photo in found:
        waiting.append(photo)
        people += 0 if isinstance(photo, Skipped) else len(photo.detections)
        if people >= body_predictor.batch_size or people == 0:
            yield from _predict_together(waiting, body_predictor)
            waiting, people = [], 0
    yield from _predict_together(waiting, body_predictor)


def _predict_together(
    waiting: Sequence[FoundPeople | Skipped], body_predictor: BodyPredictor
) -> Iterator[PredictedPhoto | Skipped]:
    found = [photo for photo in waiting if isinstance(photo, FoundPeople)]
    try:
        people = body_predictor.predict([each for photo in found for each in photo.detections])
    except Exception:  # one of them, or all together, are too much: each photo by itself
        for photo in waiting:
            yield attempt(lambda one: _predicted(one, body_predictor), photo, "predicting")
        return
    remaining = iter(people)
    for photo in waiting:
        if isinstance(photo, Skipped):
            yield photo
        else:
            theirs = [next(remaining) for _ in photo.detections]
            yield PredictedPhoto(photo.photo, photo.image, theirs)


def _predicted(photo: FoundPeople, body_predictor: BodyPredictor) -> PredictedPhoto:
    return PredictedPhoto(photo.photo, photo.image, body_predictor.predict(photo.detections))
