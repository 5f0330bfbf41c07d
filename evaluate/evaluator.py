"""Predictions of people whose truth is known, and their metrics.

2D metrics are taken in one square crop for everybody: `REFERENCE_SIZE` px around the true person,
whatever crop the network saw, so that detectors and image sizes can be compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from data.frames import Frame
from evaluate.datasets import RENDERED
from evaluate.true_people import TrueBodies, TruePeople, TrueView
from metrics.comparison import compare_people, measure_people
from metrics.metrics import silhouette_overlap
from models.checkpoints import Predictor, load_predictor
from models.decoder import Bodies, BodyParameters, decode_in_photos, decode_parameters
from predict.detectors.interface import Detection, Detector
from predict.detectors.matching import box_overlaps
from predict.people import observe_people
from renderers.rasteriser import Rasteriser
from utils.cameras import (
    boxes_of_silhouettes,
    crop_intrinsics,
    fit_weak_perspective,
    pixels_to_norm,
    points_to_crops,
)
from utils.errors import InputError, Skipped
from utils.joints import COCO17_IN_90
from utils.proxy import REFERENCE_SIZE, Observation

# What `silhouette_iou` is the ratio of, pixels of the photo: for the IoU over many people together.
OVERLAP = ("silhouette_intersection", "silhouette_union")
MIN_IOU = 0.3  # of boxes; a detection that overlaps the true one less is of somebody else

Seen = TypeVar("Seen")  # whatever a prediction is made from


def load_predictors(
    checkpoints: Sequence[Path],
    dataset: str,
    device: torch.device,
    additional: Path,
    **chosen: Any,
) -> dict[str, Predictor]:
    """Checkpoints by the names of their files.

    Args:
        checkpoints: the files.
        dataset: that they will be evaluated on: open, strangers, ssp3d or 3dpw.
        device: where the networks go.
        additional: folder with the body-model files.
        chosen: how they estimate, as `load_predictor` takes it: rounds, refine, mirror and proxy.

    Raises:
        InputError: a checkpoint cannot be read, or nothing could be compared.
    """
    predictors = {}
    for path in checkpoints:
        predictor = load_predictor(path, device, additional=additional, **chosen)
        body = predictor.body_model.identity["name"]
        if dataset in RENDERED and body != "open":
            raise InputError(
                f"{path} is for the body {body}, but --dataset {dataset} shows open bodies; "
                "use --dataset ssp3d or 3dpw"
            )
        predictors[path.stem] = predictor
    return predictors


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
    """The result of a frame."""

    frame: Frame
    values: dict[str, float]  # by metric; empty when nobody was found
    problem: str = ""  # why there is no prediction; empty when there is one


class Evaluator:
    """Predicts people and measures the predictions.

    Args:
        predictor: a loaded checkpoint.
        truth: the bodies that the frames' truth is given for.
        device: where the predictor is, and where everything is computed.

    Attributes:
        same_mesh: whether vertices of predicted and true bodies can be compared.
    """

    def __init__(self, predictor: Predictor, truth: TrueBodies, device: torch.device) -> None:
        self.predictor, self.truth, self._device = predictor, truth, device
        body = predictor.body_model
        self.same_mesh = torch.equal(body.faces, truth.faces)
        self._same_betas = truth.hashes == {body.identity["hash"]}
        self._rasteriser = Rasteriser(body.faces, body.face_parts, REFERENCE_SIZE).to(device)

    def evaluate(
        self,
        frames: Sequence[Frame],
        batch_size: int,
        see: Callable[[Frame], Seen | Skipped],
        predict: Callable[[list[Seen]], Prediction],
        progress: Callable[[int], object] = lambda done: None,
    ) -> list[Outcome]:
        """Looks at each photo, and predicts and measures the people who were found.

        Args:
            frames: the dataset.
            batch_size: photos at a time.
            see: what a person is predicted from, or why they cannot be.
            predict: people from what was seen of them.
            progress: called with the number of photos just done.

        Returns:
            An outcome for every frame, in order.
        """
        outcomes = []
        for start in range(0, len(frames), batch_size):
            piece = frames[start : start + batch_size]
            seen = [see(frame) for frame in piece]
            found = [person for person in seen if not isinstance(person, Skipped)]
            values = iter(self.measure(predict(found)) if found else [])
            outcomes += [
                Outcome(frame, {}, person.reason)
                if isinstance(person, Skipped)
                else Outcome(frame, next(values))
                for frame, person in zip(piece, seen, strict=True)
            ]
            progress(len(piece))
        return outcomes

    def look(self, frame: Frame) -> tuple[TruePeople, TrueView] | Skipped:
        """The true person of a photo, without any detection."""
        try:
            return self.truth.look(frame, frame.photo_size())
        except InputError as error:
            return Skipped(frame.name, str(error))

    @torch.inference_mode()
    def see(self, frame: Frame, detector: Detector | None) -> SeenPerson | Skipped:
        """The true person of a photo and their detection, or why there is none.

        Args:
            frame: the photo.
            detector: finds silhouette and joints; None takes the dataset's own.
        """
        try:
            photo = frame.read_photo()
            people, view = self.truth.look(frame, photo.shape[:2])
            if detector is None:
                detection = self.truth.detect(frame, people, view, photo.shape[:2])
            else:
                detection = _detect(detector, photo, view.boxes, frame.name)
        except InputError as error:
            return Skipped(frame.name, str(error))
        if isinstance(detection, Skipped):
            return detection
        return SeenPerson(photo, detection, people, view)

    @torch.inference_mode()
    def predict_seen(self, seen: Sequence[SeenPerson]) -> Prediction:
        """Predicts people from their detections."""
        predictor = self.predictor
        detections = [person.detection for person in seen]
        observation, crops, _ = observe_people(
            detections, predictor.image_size, self._device, predictor.proxy_rule
        )
        bodies = decode_in_photos(predictor.regressor(observation), predictor.body_model, crops)
        people, view = (_join([getattr(p, name) for p in seen]) for name in ("people", "view"))
        return Prediction(observation, bodies, people, view)

    @torch.inference_mode()
    def predict_mean(self, seen: Sequence[tuple[TruePeople, TrueView]]) -> Prediction:
        """Predicts the mean body in the mean pose for everybody, where the network starts."""
        people, view = (_join(parts) for parts in zip(*seen, strict=True))
        estimate = self.predictor.regressor.initial_estimate
        parameters = decode_parameters(estimate.expand(len(seen), -1))
        return self._place(None, parameters, people, view)

    @torch.inference_mode()
    def predict_best_betas(self, seen: Sequence[tuple[TruePeople, TrueView]]) -> Prediction:
        """True poses and cameras, and the betas that come nearest: what no network can surpass.

        There are as many betas as the network estimates.
        """
        people, view = (_join(parts) for parts in zip(*seen, strict=True))
        points = points_to_crops(view.joints2d_px, view.crops, REFERENCE_SIZE)
        cam_wp = fit_weak_perspective(
            people.joints3d[:, COCO17_IN_90], pixels_to_norm(points, REFERENCE_SIZE)
        )
        count = len(self.predictor.mean_betas)
        betas = self.predictor.body_model.find_nearest_betas(people.vertices_tpose, count)
        parameters = BodyParameters(cam_wp, people.pose_rotmats, betas)
        return self._place(None, parameters, people, view)

    @torch.inference_mode()
    def predict_proxies(
        self, frames: Sequence[Frame], observation: Observation, target: dict[str, Tensor]
    ) -> Prediction:
        """Predicts people from proxies made from their truth; the crop is their whole picture.

        Args:
            frames: of B people.
            observation: of the same people.
            target: of the same view at `REFERENCE_SIZE`: silhouettes, joints2d_px and visibility.
        """
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
        return self._place(observation, parameters, self.truth.pose(frames), view)

    def _place(
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
        pred, target = self._pair(prediction)
        values = compare_people(pred, target)
        if "silhouettes" in pred:
            values |= _count_pixels(pred, target, prediction.view.crops)
        columns = zip(*(column.tolist() for column in values.values()), strict=True)
        return [dict(zip(values, row, strict=True)) for row in columns]

    def _pair(self, prediction: Prediction) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Prediction and truth as `metrics.comparison.compare_people` takes them."""
        bodies, people, view = prediction.bodies, prediction.people, prediction.view
        compared = ["pose_rotmats", "joints3d"]
        compared += ["vertices", "vertices_tpose"] if self.same_mesh else []
        compared += ["betas"] if self._same_betas else []
        pred, target = ({n: getattr(body, n) for n in compared} for body in (bodies, people))
        if self.same_mesh:
            pred["measurements"] = measure_people(bodies.vertices_tpose, self.truth.anatomy)
            target["measurements"] = people.measurements
        if view.joints2d_px is not None:
            joints2d_px = bodies.joints2d_px[:, COCO17_IN_90]
            for side, points in ((pred, joints2d_px), (target, view.joints2d_px)):
                side["joints2d_px"] = points_to_crops(points, view.crops, REFERENCE_SIZE)
            target["visibility"] = view.visibility
        if view.silhouettes is not None:
            pred["silhouettes"] = self.render_silhouettes(prediction)
            target |= {"silhouettes": view.silhouettes, "counted": view.counted}
        return pred, target

    @torch.inference_mode()
    def render_silhouettes(self, prediction: Prediction) -> Tensor:
        """(B, R, R) bool: the predicted bodies in the reference crops."""
        bodies = prediction.bodies
        cam_k = crop_intrinsics(bodies.cam_k, prediction.view.crops, REFERENCE_SIZE)
        vertices_cam = bodies.vertices + bodies.cam_t[:, None]
        return self._rasteriser.part_segmentation(vertices_cam, cam_k) > 0


def _count_pixels(
    pred: dict[str, Tensor], target: dict[str, Tensor], crops: Tensor
) -> dict[str, Tensor]:
    """(B,) pixels of the photo in which silhouettes overlap, and which either of them covers."""
    areas = (crops[:, 2] / REFERENCE_SIZE).square()  # of a pixel of the reference crop
    masks = pred["silhouettes"], target["silhouettes"], target["counted"]
    return {
        name: count * areas for name, count in zip(OVERLAP, silhouette_overlap(*masks), strict=True)
    }


def _detect(
    detector: Detector, photo: np.ndarray, boxes: Tensor | None, name: str
) -> Detection | Skipped:
    """The detection of the person in a true box (1, 4); where there is no box, the first one."""
    try:
        detections = detector.detect(photo)
    except Exception as error:  # a detector may fail in its own ways; the other photos go on
        failure = f"the detector failed: {type(error).__name__}: {error}"
        return Skipped(name, " ".join(failure.split()))
    if not detections:
        return Skipped(name, "nobody found")
    if boxes is None:
        return detections[0]
    found = np.stack([detection.box for detection in detections])
    overlaps = box_overlaps(found, boxes.cpu().numpy())[:, 0]
    if overlaps.max() < MIN_IOU:
        return Skipped(name, "somebody else found")
    return detections[int(overlaps.argmax())]


def _join(parts: Sequence[NamedTuple]) -> NamedTuple:
    """Named tuples of batches of one as one batch; a field that is None in one is None."""
    fields = zip(*parts, strict=True)
    joined = (None if any(p is None for p in field) else torch.cat(field) for field in fields)
    return type(parts[0])(*joined)
