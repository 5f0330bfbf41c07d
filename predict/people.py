"""From photos to predicted people: the steps of `run_predict.py` before anything is drawn.

Crop, proxy representation and decoder are those of training (`utils.cameras`, `utils.proxy`,
`models.decoder`); here they are applied to what a detector found.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from metrics.metrics import silhouette_iou
from models.checkpoints import Predictor
from models.decoder import Bodies, BodyParameters, decode_in_photos
from predict.detectors.interface import Detection, Detector, PhotoDetector
from renderers.rasteriser import Rasteriser, render_silhouettes
from utils.cameras import (
    boxes_of_silhouettes,
    cut_silhouettes,
    fit_weak_perspective,
    points_to_crops,
    project_weak_perspective,
    square_crops,
)
from utils.conventions import ProxyRule
from utils.errors import InputError, Skipped
from utils.images import read_image
from utils.joints import COCO17_IN_90
from utils.proxy import Observation

Result = TypeVar("Result")


@dataclass(frozen=True)
class Person:
    """A person in a photo; what is not known yet is empty."""

    detection: Detection
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # `models.decoder.Bodies.person`
    silhouette_iou: float = float("nan")  # predicted with detected silhouette, inside the photo
    pictures: dict[str, np.ndarray] = field(default_factory=dict)  # by kind: (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class SharedShape:
    """The shape that all photos of a person agreed on, see `models.shape_errors`."""

    person: str
    photos: tuple[str, ...]  # file names of those in which they were found
    weights: np.ndarray  # (K,) of these photos, 1 for one that errs no more than usual
    odd: tuple[str, ...]  # the photos that disagree with the others
    betas: np.ndarray  # (N,)
    covariance: np.ndarray  # (N, N) of the betas


@dataclass(frozen=True)
class Photo:
    """A photo on its way; what is not known yet, or no longer needed, is None or empty."""

    path: Path
    name: str  # that its results go by
    image: np.ndarray | None = None  # (H, W, 3) uint8 RGB
    people: tuple[Person, ...] = ()  # the most prominent first
    pictures: dict[str, np.ndarray] = field(default_factory=dict)  # of all of them, as a person's
    person: str = ""  # whose photo it is, where several show the same person
    shape: SharedShape | None = None  # of that person
    folder: str = ""  # that its file's name begins with, where photos are of several folders

    @property
    def file(self) -> str:
        """The name that tables and lines call it by."""
        return self.folder + self.path.name

    @property
    def subject(self) -> str:
        """Whose height it is that may be given: the person's of several photos, or the photo's."""
        return self.person or self.file


def attempt(work: Callable[[Photo], Result], photo: Photo | Skipped, name: str) -> Result | Skipped:
    """`work(photo)`, so that one bad photo never stops the others.

    Args:
        work: what to do with a photo.
        photo: skipped already, it is passed on.
        name: of the work, for the reason.
    """
    if isinstance(photo, Skipped):
        return photo
    path = photo.path
    try:
        return work(photo)
    except InputError as error:
        reason = str(error)
        return Skipped(photo.file, reason if str(path) in reason else f"{path}: {reason}")
    except Exception as error:  # libraries fail in their own ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Skipped(photo.file, f"{path}: {name} failed ({reason})")


def read_photo(photo: Photo) -> Photo:
    """Reads a photo's pixels; raises InputError where that cannot be done."""
    return replace(photo, image=read_image(photo.path))


def find_people(photo: Photo, detector: Detector, everyone: bool, keep_image: bool) -> Photo:
    """Finds the people to predict.

    Args:
        photo: with its image.
        detector: of people.
        everyone: all of them, else the most prominent one.
        keep_image: whether the image will be needed again.

    Raises:
        InputError: nobody was found.
    """
    if isinstance(detector, PhotoDetector):
        detections = detector.detect_in(photo.image, photo.path)
    else:
        detections = detector.detect(photo.image)
    if not detections:
        raise InputError(f"{photo.path}: no person found")
    people = tuple(map(Person, detections[: None if everyone else 1]))
    return replace(photo, image=photo.image if keep_image else None, people=people)


def observe_people(
    detections: Sequence[Detection], size: int, device: torch.device, rule: ProxyRule = "own"
) -> tuple[Observation, Tensor, Tensor]:
    """Cuts out each person, which is what the network looks at.

    Args:
        detections: P people, of one photo or of several.
        size: S, side of the network's crops in pixels.
        device: where the tensors go.
        rule: whose input it is; the published one cuts silhouettes by their nearest pixels.

    Returns:
        The observation; the crops (P, 3), centre x, centre y, side in pixels of each person's
        photo; and which pixels of the crop the photo covers, (P, S, S) bool.
    """
    parts = [_cut_person(detection, size, device, rule) for detection in detections]
    crops, silhouettes, inside, joints2d_px, confidence = map(torch.cat, zip(*parts, strict=True))
    return Observation(silhouettes, joints2d_px, confidence), crops, inside


def _cut_person(
    detection: Detection, size: int, device: torch.device, rule: ProxyRule
) -> tuple[Tensor, ...]:
    framed = detection.framed
    seen = detection if framed is None else framed
    covered = np.ones_like(seen.silhouette) if framed is None else framed.frame.covered()
    silhouette, covered, joints2d_px, confidence = (
        torch.from_numpy(array).to(device)[None]  # (1, H, W) twice, (1, 17, 2), (1, 17)
        for array in (seen.silhouette, covered, seen.joints2d_px, detection.joint_confidence)
    )
    crops = square_crops(boxes_of_silhouettes(silhouette))
    mode = "nearest" if rule == "published" else "bilinear"
    return (
        crops if framed is None else framed.frame.crops_to_photo(crops),
        cut_silhouettes(silhouette, crops, size, mode),
        cut_silhouettes(covered, crops, size, mode),
        points_to_crops(joints2d_px, crops, size),
        confidence,
    )


class BodyPredictor:
    """Network, body and silhouette renderer, ready to predict people.

    Args:
        predictor: a loaded checkpoint.
        device: where the predictor's modules are.
        batch_size: people that pass through the network together, at most.
    """

    def __init__(self, predictor: Predictor, device: torch.device, batch_size: int) -> None:
        # Convolutions on the CPU are a fifth faster with channels last; numbers change by rounding.
        self._regressor = predictor.regressor.to(memory_format=torch.channels_last)
        self._body_model = predictor.body_model
        self._size, self._device = predictor.image_size, device
        self._proxy_rule = predictor.proxy_rule
        self.batch_size = batch_size
        self._rasteriser = Rasteriser(
            predictor.body_model.faces, predictor.body_model.face_parts, image_size=self._size
        ).to(device)

    def predict(self, people: Sequence[Person]) -> list[Person]:
        """Predicts people from their detections, `batch_size` at a time."""
        predicted: list[Person] = []
        for start in range(0, len(people), self.batch_size):
            predicted.extend(self._predict_batch(people[start : start + self.batch_size]))
        return predicted

    @torch.inference_mode()
    def _predict_batch(self, people: Sequence[Person]) -> list[Person]:
        detections = [person.detection for person in people]
        observation, crops, inside_photo = observe_people(
            detections, self._size, self._device, self._proxy_rule
        )
        parameters = self._regressor(observation)
        return self._place(people, parameters, observation, crops, inside_photo)

    def reshape(self, people: Sequence[Person], betas: np.ndarray) -> list[Person]:
        """Predicted people with another shape: they keep their poses, and stand where they stood.

        Cameras are fitted so that the joints fall where those of the predicted bodies fell.

        Args:
            people: predicted.
            betas: (N,) float32.
        """
        shaped: list[Person] = []
        for start in range(0, len(people), self.batch_size):
            shaped.extend(self._reshape_batch(people[start : start + self.batch_size], betas))
        return shaped

    @torch.inference_mode()
    def measure_heights(self, betas: np.ndarray) -> np.ndarray:
        """Heights (M,) in metres, soles to crown, of bodies of betas (M, N)."""
        vertices = self._body_model.tpose(torch.from_numpy(betas).float().to(self._device))
        rows = vertices[..., 1]
        return (rows.amax(dim=1) - rows.amin(dim=1)).double().cpu().numpy()

    @torch.inference_mode()
    def _reshape_batch(self, people: Sequence[Person], betas: np.ndarray) -> list[Person]:
        detections = [person.detection for person in people]
        seen = observe_people(detections, self._size, self._device, self._proxy_rule)
        cam_wp, pose_rotmats, old_betas = (
            torch.from_numpy(np.stack([person.arrays[name] for person in people])).to(self._device)
            for name in BodyParameters._fields
        )
        new_betas = torch.from_numpy(betas).to(self._device).expand(len(people), -1)
        before, after = (
            self._body_model(each, pose_rotmats).joints3d[:, COCO17_IN_90]
            for each in (old_betas, new_betas)
        )
        camera = fit_weak_perspective(after, project_weak_perspective(before, cam_wp))
        return self._place(people, BodyParameters(camera, pose_rotmats, new_betas), *seen)

    def _place(
        self,
        people: Sequence[Person],
        parameters: BodyParameters,
        observation: Observation,
        crops: Tensor,
        inside_photo: Tensor,
    ) -> list[Person]:
        bodies = decode_in_photos(parameters, self._body_model, crops)
        silhouettes = render_silhouettes(bodies.vertices, bodies.cam_wp, self._rasteriser)
        # Outside the photo nothing could be detected.
        ious = silhouette_iou(silhouettes, observation.silhouettes, inside_photo).tolist()
        bodies = Bodies(*(values.cpu() for values in bodies))
        return [
            replace(person, arrays=bodies.person(index), silhouette_iou=ious[index])
            for index, person in enumerate(people)
        ]


def predict_photos(
    photos: Iterable[Photo | Skipped], body_predictor: BodyPredictor
) -> Iterator[Photo | Skipped]:
    """Predicts the people of photos in their order, gathering them into whole batches."""
    waiting: list[Photo | Skipped] = []
    people = 0
    for photo in photos:
        waiting.append(photo)
        people += 0 if isinstance(photo, Skipped) else len(photo.people)
        if people >= body_predictor.batch_size or people == 0:
            yield from _predict_together(waiting, body_predictor)
            waiting, people = [], 0
    yield from _predict_together(waiting, body_predictor)


def _predict_together(
    waiting: Sequence[Photo | Skipped], body_predictor: BodyPredictor
) -> Iterator[Photo | Skipped]:
    found = [photo for photo in waiting if isinstance(photo, Photo)]
    try:
        people = body_predictor.predict([person for photo in found for person in photo.people])
    except Exception:  # one of them, or all together, are too much: each photo by itself
        for photo in waiting:
            yield attempt(
                lambda one: replace(one, people=tuple(body_predictor.predict(one.people))),
                photo,
                "predicting",
            )
        return
    remaining = iter(people)
    for photo in waiting:
        if isinstance(photo, Photo):
            photo = replace(photo, people=tuple(next(remaining) for _ in photo.people))
        yield photo
