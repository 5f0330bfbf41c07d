"""What people are predicted from in an evaluation: photos and a detector, or their truth itself."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.frames import Frame
from evaluate.datasets import RENDERED
from evaluate.evaluator import Evaluator, Outcome, Prediction, SeenPerson
from evaluate.open_benchmark import synthesise_people
from predict.detectors.interface import Detector
from predict.detectors.registry import available_detectors, build_detector
from predict.detectors.rules import OWN, DetectorRules
from synthesis.options import AugmentationOptions
from utils.conventions import ProxyRule
from utils.errors import Skipped
from utils.proxy import REFERENCE_SIZE, Observation

DATASET = "dataset"  # the dataset's own silhouettes and joints
MEAN = "mean pose and shape"
BEST_BETAS = "true pose, best betas"
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


def build_detectors(
    names: Sequence[str],
    dataset: str,
    device: torch.device,
    weights: Path,
    rules: DetectorRules = OWN,
) -> Detectors:
    """Detectors by name, or why they are skipped, which is printed.

    Args:
        names: `DATASET` and detectors; none for all that there are with people who are rendered
            here, and for `DATASET` alone with other datasets.
        dataset: open, strangers, ssp3d or 3dpw.
        device: where their networks run, if they can.
        weights: folder with the weights of those that need some.
        rules: how they are used.

    Raises:
        InputError: a detector that is named cannot be had.
    """
    if names or dataset not in RENDERED:
        return {
            name: None if name == DATASET else build_detector(name, device, weights, rules)
            for name in names or (DATASET,)
        }
    detectors = {DATASET: None, **available_detectors(device, weights, rules)}
    skipped: dict[str, list[str]] = {}  # detectors by the reason why they cannot be had
    for name, detector in detectors.items():
        if isinstance(detector, Skipped):
            skipped.setdefault(detector.reason, []).append(name)
    for reason, same in skipped.items():
        print(f"{' and '.join(same)} {'is' if len(same) == 1 else 'are'} left out: {reason}")
    return detectors


def list_missing(detectors: Iterable[Detectors]) -> dict[str, str]:
    """Why detectors are skipped, by name."""
    return {
        name: each.reason
        for found in detectors
        for name, each in found.items()
        if isinstance(each, Skipped)
    }


def build_sources(
    evaluator: Evaluator, detectors: Detectors, frames: Sequence[Frame], dataset: str
) -> Sources:
    """The sources by name; of people rendered here, `DATASET` is proxies made from the truth."""
    sources: Sources = {}
    for name, detector in detectors.items():
        if name == DATASET and dataset in RENDERED:
            for kind, augmentation in (("perfect", None), ("corrupted", AugmentationOptions())):
                pictures = partial(_make_pictures, evaluator, frames, augmentation)
                sources[f"{kind} proxies"] = ProxySource(evaluator, pictures)
        elif not isinstance(detector, Skipped):
            sources[name] = PhotoSource(evaluator, detector)
    return sources


def _make_pictures(
    evaluator: Evaluator, frames: Sequence[Frame], augmentation: AugmentationOptions | None
) -> Iterator[tuple[Observation, dict[str, Tensor]]]:
    """Proxies made from the truth, with targets of the same view at the reference size."""
    poses, betas = (
        torch.from_numpy(np.stack([getattr(frame, name) for frame in frames]))
        for name in ("pose", "betas")
    )
    offsets = None
    if frames[0].offsets is not None:
        offsets = torch.from_numpy(np.stack([frame.offsets for frame in frames]))
    cuts = torch.tensor([frame.cut for frame in frames])
    more = {"offsets": offsets, "cuts": cuts if cuts.any() else None}
    seen, true = (
        synthesise_people(poses, betas, size, augmentation, CORRUPTION_SEED, **more)
        for size in (evaluator.predictor.image_size, REFERENCE_SIZE)
    )
    return ((one.observation, other.target) for one, other in zip(seen, true, strict=True))


def evaluate_all(
    evaluators: Mapping[str, Evaluator],
    detectors: Mapping[ProxyRule, Detectors],
    frames: Sequence[Frame],
    dataset: str,
    batch_size: int,
) -> tuple[Sources, dict[str, list[Outcome]], dict[str, float]]:
    """Evaluates checkpoints on all sources.

    Args:
        evaluators: by the names of their checkpoints.
        detectors: by the rule of the networks that they work for.
        frames: the dataset.
        dataset: open, strangers, ssp3d or 3dpw.
        batch_size: photos at a time.

    Returns:
        Sources, outcomes and seconds by source; where there are several checkpoints, their names
        stand before those of the sources.
    """
    sources, results, seconds = {}, {}, {}
    for name, evaluator in evaluators.items():
        if not evaluator.same_mesh:
            print(f"{name}'s body has another mesh than the truth's: joints alone are compared.")
        prefix = f"{name}, " if len(evaluators) > 1 else ""
        rule = evaluator.predictor.proxy_rule
        built = build_sources(evaluator, detectors[rule], frames, dataset)
        built = {prefix + source: each for source, each in built.items()}
        found, took = run_sources(built, frames, batch_size)
        found[prefix + MEAN] = evaluate_mean(evaluator, frames, batch_size)
        if dataset == "strangers":
            found[prefix + BEST_BETAS] = evaluate_best_betas(evaluator, frames, batch_size)
        sources, results, seconds = sources | built, results | found, seconds | took
    return sources, results, seconds


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


def evaluate_best_betas(
    evaluator: Evaluator, frames: Sequence[Frame], batch_size: int
) -> list[Outcome]:
    """Outcomes of the nearest people whom the network's betas can tell."""
    return evaluator.evaluate(frames, batch_size, evaluator.look, evaluator.predict_best_betas)
