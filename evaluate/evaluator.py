"""Predictions against the truth: on photos, through a detector, and on proxies made from the truth.

3D metrics compare bodies that are put together at the Human3.6M pelvis, as is customary. 2D metrics
are taken in one square crop for everybody: `REFERENCE_SIZE` px around the true person, whatever
crop the network saw, so that detectors and image sizes can be compared.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.frames import Frame
from evaluate.true_people import TruePeople, TrueView, Truth
from metrics.metrics import Metrics
from metrics.size_errors import measure_people, size_errors
from models.checkpoints import Predictor
from models.decoder import Bodies, BodyParameters, decode_in_photos, decode_parameters
from predict.detectors.interface import Detection, Detector
from predict.detectors.matching import box_overlaps
from predict.people import observe_people
from renderers.rasteriser import Rasteriser
from utils.cameras import boxes_of_silhouettes, crop_intrinsics, points_to_crops
from utils.errors import InputError
from utils.joints import BODY_MODEL_JOINTS, COCO17_IN_90, LSP14_IN_90
from utils.proxy import (
    REFERENCE_SIZE,
    Observation,
)

LEAST_OVERLAP = 0.3  # IoU of boxes; a detection that overlaps less is somebody else
_PELVIS = BODY_MODEL_JOINTS.index("h36m_pelvis")


class SeenPerson(NamedTuple):
    """One frame with what was found in it."""

    photo: np.ndarray  # (H, W, 3) uint8 RGB
    detection: Detection
    people: TruePeople  # B = 1
    view: TrueView


class Prediction(NamedTuple):
    """B predicted people beside the true ones."""

    observation: Observation | None  # what the network saw
    bodies: Bodies
    people: TruePeople
    view: TrueView


@dataclass(frozen=True)
class Outcome:
    """What became of a frame.

    Attributes:
        frame: the photo and its truth.
        values: by metric; empty when nobody was found.
        problem: why there is no prediction; empty when there is one.
    """

    frame: Frame
    values: dict[str, float]
    problem: str = ""


class Evaluator:
    """Predicts people and measures the predictions.

    Args:
        predictor: a loaded checkpoint.
        truth: of the frames.
        device: where the predictor is, and where everything is computed.
    """

    def __init__(self, predictor: Predictor, truth: Truth, device: torch.device) -> None:
        """Finds out what can be compared between the predicted and the true bodies."""
        self.predictor, self.truth, self._device = predictor, truth, device
        body = predictor.body_model
        self.same_mesh = torch.equal(body.faces, truth.faces)
        self._same_betas = truth.hashes == {body.identity["hash"]}
        self._rasteriser = Rasteriser(body.faces, body.face_parts, REFERENCE_SIZE).to(device)

    def evaluate_photos(
        self,
        frames: Sequence[Frame],
        detector: Detector | None,
        batch_size: int,
        progress: Callable[[int], object] = lambda done: None,
    ) -> list[Outcome]:
        """Predicts the person in each photo.

        Args:
            frames: the dataset.
            detector: finds silhouette and joints; None takes the dataset's own.
            batch_size: photos at a time.
            progress: called with the number of photos just done.

        Returns:
            An outcome for every frame, in order.
        """
        outcomes = []
        for start in range(0, len(frames), batch_size):
            piece = frames[start : start + batch_size]
            seen = [self.see(frame, detector) for frame in piece]
            people = [person for person in seen if not isinstance(person, str)]
            values = self.measure(self.predict_seen(people)) if people else []
            outcomes += _outcomes(piece, seen, values)
            progress(len(piece))
        return outcomes

    def evaluate_proxies(
        self,
        frames: Sequence[Frame],
        pictures: Iterable[tuple[Observation, dict[str, Tensor]]],
        progress: Callable[[int], object] = lambda done: None,
    ) -> list[Outcome]:
        """Predicts people from proxies that were made from their truth.

        Args:
            frames: the dataset.
            pictures: of the same people in order, in batches: an observation, and targets of the
                same view at `REFERENCE_SIZE`: silhouettes, joints2d_px and visibility.
            progress: called with the number of people just done.
        """
        outcomes: list[Outcome] = []
        for observation, target in pictures:
            piece = frames[len(outcomes) : len(outcomes) + len(observation.silhouettes)]
            values = self.measure(self.predict_proxies(piece, observation, target))
            outcomes += [Outcome(*pair) for pair in zip(piece, values, strict=True)]
            progress(len(piece))
        return outcomes

    @torch.inference_mode()
    def evaluate_mean(self, frames: Sequence[Frame], batch_size: int) -> list[Outcome]:
        """Takes everybody for the mean body in the mean pose, which is where the network starts."""
        outcomes = []
        estimate = self.predictor.regressor.initial_estimate
        for start in range(0, len(frames), batch_size):
            piece = frames[start : start + batch_size]
            seen = [self._look(frame) for frame in piece]
            found = [pair for pair in seen if not isinstance(pair, str)]
            values = []
            if found:
                people, view = (_joined(parts) for parts in zip(*found, strict=True))
                parameters = decode_parameters(estimate.expand(len(found), -1))
                values = self.measure(self._predicted(None, parameters, people, view))
            outcomes += _outcomes(piece, seen, values)
        return outcomes

    def _look(self, frame: Frame) -> tuple[TruePeople, TrueView] | str:
        try:
            return self.truth.view(frame, frame.photo_size())
        except InputError as error:
            return str(error)

    @torch.inference_mode()
    def see(self, frame: Frame, detector: Detector | None) -> SeenPerson | str:
        """Looks at a photo: the true person and their detection, or why there is none."""
        try:
            photo = frame.read_photo()
            people, view = self.truth.view(frame, photo.shape[:2])
            if detector is None:
                detection = self.truth.own_detection(frame, people, view, photo.shape[:2])
            else:
                detection = _detected(detector, photo, view.boxes)
        except InputError as error:
            return str(error)
        if isinstance(detection, str):
            return detection
        return SeenPerson(photo, detection, people, view)

    @torch.inference_mode()
    def predict_seen(self, seen: Sequence[SeenPerson]) -> Prediction:
        """Predicts people from their detections."""
        size = self.predictor.image_size
        detections = [person.detection for person in seen]
        observation, crops, _ = observe_people(detections, size, self._device)
        parameters = self.predictor.regressor(observation)
        bodies = decode_in_photos(parameters, self.predictor.body_model, crops)
        people, view = (_joined([getattr(p, name) for p in seen]) for name in ("people", "view"))
        return Prediction(observation, bodies, people, view)

    @torch.inference_mode()
    def predict_proxies(
        self, frames: Sequence[Frame], observation: Observation, target: dict[str, Tensor]
    ) -> Prediction:
        """Predicts people from proxies, see `evaluate_proxies`; the crop is their whole picture."""
        silhouettes = target["silhouettes"].to(self._device)
        whole = torch.tensor([REFERENCE_SIZE / 2, REFERENCE_SIZE / 2, REFERENCE_SIZE])
        view = TrueView(
            crops=whole.to(self._device).expand(len(silhouettes), -1),
            boxes=boxes_of_silhouettes(silhouettes),
            silhouettes=silhouettes,
            counted=torch.ones_like(silhouettes),
            joints2d_px=target["joints2d_px"].to(self._device),
            visibility=target["visibility"].to(self._device),
        )
        observation = observation.to(self._device)
        parameters = self.predictor.regressor(observation)
        return self._predicted(observation, parameters, self.truth.people(frames), view)

    def _predicted(
        self,
        observation: Observation | None,
        parameters: BodyParameters,
        people: TruePeople,
        view: TrueView,
    ) -> Prediction:
        bodies = decode_in_photos(parameters, self.predictor.body_model, view.crops)
        return Prediction(observation, bodies, people, view)

    @torch.inference_mode()
    def measure(self, prediction: Prediction) -> list[dict[str, float]]:
        """Every metric that can be computed, for each person."""
        pred, target = self._for_metrics(prediction)
        values = Metrics().update(pred, target)
        if self.same_mesh:
            sizes = measure_people(prediction.bodies.vertices_tpose, self.truth.faces)
            values |= size_errors(sizes, prediction.people.measurements)
        columns = zip(*(column.tolist() for column in values.values()), strict=True)
        return [dict(zip(values, row, strict=True)) for row in columns]

    def _for_metrics(self, prediction: Prediction) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        bodies, people, view = prediction.bodies, prediction.people, prediction.view
        pred: dict[str, Tensor] = {"pose_rotmats": bodies.pose_rotmats}
        target: dict[str, Tensor] = {"pose_rotmats": people.pose_rotmats}
        for side, body in ((pred, bodies), (target, people)):
            pelvis = body.joints3d[:, _PELVIS : _PELVIS + 1]
            side["joints3d"] = body.joints3d[:, LSP14_IN_90] - pelvis
            if self.same_mesh:
                side["vertices"] = body.vertices - pelvis
                side["tpose_vertices"] = body.vertices_tpose
            if self._same_betas:
                side["betas"] = body.betas
        if view.joints2d_px is not None:
            joints2d_px = bodies.joints2d_px[:, COCO17_IN_90]
            for side, points in ((pred, joints2d_px), (target, view.joints2d_px)):
                side["joints2d_px"] = points_to_crops(points, view.crops, REFERENCE_SIZE)
            target["visibility"] = view.visibility
        if view.silhouettes is not None:
            pred["silhouettes"] = self.predicted_silhouettes(prediction) & view.counted
            target["silhouettes"] = view.silhouettes & view.counted
        return pred, target

    @torch.inference_mode()
    def predicted_silhouettes(self, prediction: Prediction) -> Tensor:
        """(B, R, R) bool: the predicted bodies in the reference crops."""
        bodies = prediction.bodies
        cam_k = crop_intrinsics(bodies.cam_k, prediction.view.crops, REFERENCE_SIZE)
        vertices_cam = bodies.vertices + bodies.cam_t[:, None]
        return self._rasteriser.part_segmentation(vertices_cam, cam_k) > 0


def _detected(detector: Detector, photo: np.ndarray, boxes: Tensor | None) -> Detection | str:
    """The detection of the person in a true box (1, 4); where there is no box, the first one."""
    try:
        detections = detector.detect(photo)
    except Exception as error:  # a detector may fail in its own ways; the other photos go on
        return " ".join(f"the detector failed: {type(error).__name__}: {error}".split())
    if not detections:
        return "nobody found"
    if boxes is None:
        return detections[0]
    found = np.stack([detection.box for detection in detections])
    overlaps = box_overlaps(found, boxes.cpu().numpy())[:, 0]
    if overlaps.max() < LEAST_OVERLAP:
        return "somebody else found"
    return detections[int(overlaps.argmax())]


def _outcomes(
    frames: Sequence[Frame], seen: Sequence[object], values: Iterable[dict[str, float]]
) -> list[Outcome]:
    """Outcomes of frames; what was seen is the problem where it is a string."""
    remaining = iter(values)
    return [
        Outcome(frame, {}, person) if isinstance(person, str) else Outcome(frame, next(remaining))
        for frame, person in zip(frames, seen, strict=True)
    ]


def _joined(parts: Sequence[NamedTuple]) -> NamedTuple:
    """Named tuples of batches of one as one batch; a field that is None in one is None."""
    fields = zip(*parts, strict=True)
    joined = (None if any(p is None for p in field) else torch.cat(field) for field in fields)
    return type(parts[0])(*joined)
