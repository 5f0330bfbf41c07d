"""What people are predicted from in an evaluation: photos and a detector, or their truth itself."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.frames import Frame
from evaluate.evaluator import Evaluator, Outcome, Prediction, SeenPerson
from evaluate.open_benchmark import synthesise_people
from evaluate.true_people import TrueBodies
from models.checkpoints import Predictor
from predict.detectors.interface import Detector
from predict.detectors.registry import available_detectors, build_detector
from synthesis.options import AugmentationOptions
from utils.errors import Skipped
from utils.proxy import REFERENCE_SIZE, Observation

DATASET = "dataset"  # the dataset's own silhouettes and joints
MEAN = "mean pose and shape"
CORRUPTION_SEED = 0

# By name; None is the dataset's own.
Detectors = dict[str, Detector | Skipped | None]
# Starts the pictures of people in order, in batches: observations, and targets of the same view.
Pictures = Callable[[], Iterator[tuple[Observation, dict[str, Tensor]]]]
Progress = Callable[[int], object]


class PhotoSource:
    """A detector, or the dataset's own silhouettes and joints.

    Args:
        evaluator: predicts and measures.
        detector: None for the dataset's own.
    """

    def __init__(self, evaluator: Evaluator, detector: Detector | None) -> None:
        self.evaluator = evaluator
        self._see = partial(evaluator.see, detector=detector)

    def evaluate(
        self, frames: Sequence[Frame], batch_size: int, progress: Progress = lambda done: None
    ) -> list[Outcome]:
        """See `Evaluator.evaluate`."""
        return self.evaluator.evaluate(
            frames, batch_size, self._see, self.evaluator.predict_seen, progress
        )

    def predict(
        self, frames: Sequence[Frame], rows: Sequence[int]
    ) -> tuple[Prediction, list[np.ndarray | None]]:
        """Some people again, who were found before, with their photos."""
        seen = [self._see(frames[row]) for row in rows]
        people = [person for person in seen if isinstance(person, SeenPerson)]
        return self.evaluator.predict_seen(people), [person.photo for person in people]


class ProxySource:
    """Proxies made from the truth, without photos.

    Args:
        evaluator: predicts and measures.
        pictures: of the dataset; see `Evaluator.predict_proxies` for the targets.
    """

    def __init__(self, evaluator: Evaluator, pictures: Pictures) -> None:
        self.evaluator, self._pictures = evaluator, pictures

    def evaluate(
        self, frames: Sequence[Frame], batch_size: int, progress: Progress = lambda done: None
    ) -> list[Outcome]:
        """See `Evaluator.evaluate`; batches are as the pictures come."""
        outcomes: list[Outcome] = []
        for observation, target in self._pictures():
            piece = frames[len(outcomes) : len(outcomes) + len(observation.silhouettes)]
            prediction = self.evaluator.predict_proxies(piece, observation, target)
            values = self.evaluator.measure(prediction)
            outcomes += [Outcome(*pair) for pair in zip(piece, values, strict=True)]
            progress(len(piece))
        return outcomes

    def predict(
        self, frames: Sequence[Frame], rows: Sequence[int]
    ) -> tuple[Prediction, list[np.ndarray | None]]:
        """Some people again; there are no photos."""
        observations, targets = zip(*self._pictures(), strict=True)
        chosen = torch.tensor(rows)
        observation = Observation(*map(torch.cat, zip(*observations, strict=True))).rows(chosen)
        target = {name: torch.cat([each[name] for each in targets])[chosen] for name in targets[0]}
        people = [frames[row] for row in rows]
        return self.evaluator.predict_proxies(people, observation, target), [None] * len(rows)


Sources = dict[str, PhotoSource | ProxySource]


class Evaluated(NamedTuple):
    """What came of an evaluation; by source where nothing else is said."""

    frames: Sequence[Frame]
    bmis: list[float]  # of the frames
    sources: Sources
    results: dict[str, list[Outcome]]  # with those of `MEAN`
    seconds: dict[str, float]


def build_detectors(
    names: Sequence[str], dataset: str, device: torch.device, weights: Path
) -> Detectors:
    """Detectors by name, or why they are skipped, which is printed.

    Args:
        names: `DATASET` and detectors; none for all that there are with the open benchmark, and
            for `DATASET` alone with other datasets.
        dataset: open, ssp3d or 3dpw.
        device: where their networks run, if they can.
        weights: folder with the weights of those that need some.

    Raises:
        InputError: a detector that is named cannot be had.
    """
    if names or dataset != "open":
        return {
            name: None if name == DATASET else build_detector(name, device, weights)
            for name in names or (DATASET,)
        }
    detectors = {DATASET: None, **available_detectors(device, weights)}
    skipped: dict[str, list[str]] = {}  # detectors by the reason why they cannot be had
    for name, detector in detectors.items():
        if isinstance(detector, Skipped):
            skipped.setdefault(detector.reason, []).append(name)
    for reason, same in skipped.items():
        print(f"{' and '.join(same)} {'is' if len(same) == 1 else 'are'} left out: {reason}")
    return detectors


def build_sources(
    evaluator: Evaluator, detectors: Detectors, frames: Sequence[Frame], dataset: str
) -> Sources:
    """The sources by name; with the open benchmark, `DATASET` stands for proxies from the truth."""
    sources: Sources = {}
    for name, detector in detectors.items():
        if name == DATASET and dataset == "open":
            for kind, augmentation in (("perfect", None), ("corrupted", AugmentationOptions())):
                pictures = partial(_make_pictures, evaluator, frames, augmentation)
                sources[f"{kind} proxies"] = ProxySource(evaluator, pictures)
        elif not isinstance(detector, Skipped):
            sources[name] = PhotoSource(evaluator, detector)
    return sources


def _make_pictures(
    evaluator: Evaluator, frames: Sequence[Frame], augmentation: AugmentationOptions | None
) -> Iterator[tuple[Observation, dict[str, Tensor]]]:
    """The open benchmark's proxies, with targets of the same view at the reference size."""
    poses, betas = (
        torch.from_numpy(np.stack([getattr(frame, name) for frame in frames]))
        for name in ("pose", "betas")
    )
    seen, true = (
        synthesise_people(poses, betas, size, augmentation, CORRUPTION_SEED)
        for size in (evaluator.predictor.image_size, REFERENCE_SIZE)
    )
    return ((one.observation, other.target) for one, other in zip(seen, true, strict=True))


def run_sources(
    sources: Sources, frames: Sequence[Frame], batch_size: int
) -> tuple[dict[str, list[Outcome]], dict[str, float]]:
    """Outcomes and seconds by source."""
    results, seconds = {}, {}
    for name, source in sources.items():
        started = time.perf_counter()
        with tqdm(total=len(frames), desc=name, unit="person", disable=None) as progress:
            results[name] = source.evaluate(frames, batch_size, progress.update)
        seconds[name] = round(time.perf_counter() - started, 2)
    return results, seconds


def evaluate_mean(evaluator: Evaluator, frames: Sequence[Frame], batch_size: int) -> list[Outcome]:
    """Outcomes where the mean body in the mean pose is predicted for everybody."""
    return evaluator.evaluate(frames, batch_size, evaluator.look, evaluator.predict_mean)


def evaluate_predictors(
    predictors: Mapping[str, Predictor],
    truth: TrueBodies,
    device: torch.device,
    detectors: Detectors,
    frames: Sequence[Frame],
    dataset: str,
    batch_size: int,
) -> Evaluated:
    """Every predictor on every source of people, and on the mean body.

    Args:
        predictors: by name, which precedes the sources' names where there are several.
        truth: the frames' people.
        device: where the predictors and the truth are.
        detectors: of `build_detectors`.
        frames: of the dataset.
        dataset: open, ssp3d or 3dpw.
        batch_size: photos at a time.
    """
    sources, results, seconds = {}, {}, {}
    for name, predictor in predictors.items():
        evaluator = Evaluator(predictor, truth, device)
        if not evaluator.same_mesh:
            print(f"{name}'s body has another mesh than the truth's: joints alone are compared.")
        prefix = f"{name}, " if len(predictors) > 1 else ""
        built = build_sources(evaluator, detectors, frames, dataset)
        built = {prefix + source: each for source, each in built.items()}
        found, took = run_sources(built, frames, batch_size)
        found[prefix + MEAN] = evaluate_mean(evaluator, frames, batch_size)
        sources, results, seconds = sources | built, results | found, seconds | took
    return Evaluated(frames, truth.compute_bmis(frames), sources, results, seconds)
