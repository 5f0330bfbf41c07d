"""Where proxies come from in an evaluation: photos through a detector, or the truth itself."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.frames import Frame
from data.truth import read_truth
from evaluate.evaluator import Evaluator, Outcome, Prediction, SeenPerson
from predict.detectors.interface import Detector
from utils.errors import InputError
from utils.proxy import Observation

Pictures = Callable[[], Iterable[tuple[Observation, dict[str, Tensor]]]]
Progress = Callable[[int], object]


class PhotoSource:
    """A detector, or the dataset's own silhouettes and joints.

    Args:
        evaluator: measures.
        detector: None for the dataset's own.
    """

    def __init__(self, evaluator: Evaluator, detector: Detector | None) -> None:
        """Keeps both."""
        self._evaluator, self._detector = evaluator, detector

    def evaluate(
        self, frames: Sequence[Frame], batch_size: int, progress: Progress
    ) -> list[Outcome]:
        """See `Evaluator.evaluate_photos`."""
        return self._evaluator.evaluate_photos(frames, self._detector, batch_size, progress)

    def predict(
        self, frames: Sequence[Frame], rows: Sequence[int]
    ) -> tuple[Prediction, list[np.ndarray | None]]:
        """Some people again, who were found before, with their photos."""
        seen = [self._evaluator.see(frames[row], self._detector) for row in rows]
        people = [person for person in seen if isinstance(person, SeenPerson)]
        return self._evaluator.predict_seen(people), [person.photo for person in people]


class ProxySource:
    """Proxies made from the truth, without photos.

    Args:
        evaluator: measures.
        pictures: starts them anew, see `Evaluator.evaluate_proxies`.
    """

    def __init__(self, evaluator: Evaluator, pictures: Pictures) -> None:
        """Keeps both."""
        self._evaluator, self._pictures = evaluator, pictures

    def evaluate(
        self, frames: Sequence[Frame], batch_size: int, progress: Progress
    ) -> list[Outcome]:
        """See `Evaluator.evaluate_proxies`; batches are as the pictures come."""
        return self._evaluator.evaluate_proxies(frames, self._pictures(), progress)

    def predict(
        self, frames: Sequence[Frame], rows: Sequence[int]
    ) -> tuple[Prediction, list[np.ndarray | None]]:
        """Some people again; there are no photos."""
        start, chosen = 0, {}
        for observation, target in self._pictures():
            count = len(observation.silhouettes)
            for row in set(rows) & set(range(start, start + count)):
                at = slice(row - start, row - start + 1)
                person = {name: value[at] for name, value in target.items()}
                chosen[row] = (observation.rows(at), person)
            start += count
        observations, targets = zip(*(chosen[row] for row in rows), strict=True)
        target = {name: torch.cat([each[name] for each in targets]) for name in targets[0]}
        people = [frames[row] for row in rows]
        observation = Observation(*map(torch.cat, zip(*observations, strict=True)))
        return self._evaluator.predict_proxies(people, observation, target), [None] * len(rows)


def open_frames(
    photos: Sequence[Path], truth_of: Callable[[Path], Path], body_hash: str
) -> list[Frame]:
    """Frames of rendered photos with their truth files.

    Args:
        photos: image files.
        truth_of: where the truth of a photo lies.
        body_hash: of the neutral open body here.

    Raises:
        InputError: a truth cannot be read or is of another body.
    """
    frames = []
    for photo in photos:
        truth = read_truth(truth_of(photo))
        if truth.body_hash != body_hash:
            raise InputError(
                f"{truth_of(photo)} is of the body {truth.body_hash}, but the open body here is "
                f"{body_hash}; delete {photo.parent} to have it made again"
            )
        numbers = {
            name: getattr(truth, name).numpy() for name in ("betas", "pose", "cam_t", "cam_k")
        }
        frames.append(Frame(photo.name, photo.name, photo, truth.gender, **numbers))
    return frames
