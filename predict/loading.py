"""Loads what predicts: a detector, and a network with its body."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from metrics.measurement_errors import KnownErrors, read_measurement_errors
from models.checkpoints import Predictor, load_predictor
from models.shape_errors import has_shape_errors, know_gender, read_shape_errors
from predict.detectors.interface import Detector
from predict.detectors.own_files import check_own_files
from predict.detectors.registry import build_detector
from predict.detectors.rules import choose_rules
from predict.known_people import ShapeEstimator
from predict.people import BodyPredictor
from predict.records import ResultSource, describe_source
from utils.conventions import Mirror, ProxyRule
from utils.files import hash_file
from utils.paths import CHECKPOINTS, DEFAULT_CHECKPOINT


@dataclass(frozen=True)
class SystemOptions:
    """Which detector and network predict; as in run_predict.py."""

    checkpoint: Path = DEFAULT_CHECKPOINT
    body: str | None = None  # None: the checkpoint's
    gender: str | None = None  # of the people, where known; None: the checkpoint's
    rounds: int | None = None  # of feedback; None: what validated best
    refine: bool = True  # where joints are nearly exact
    proxy: ProxyRule | None = None  # None: what the checkpoint says
    mirror: Mirror = "network"
    silh_from: str = "mediapipe"  # detector
    detector_weights: Path = CHECKPOINTS  # folder
    masks: Path | None = None  # of `--silh_from files`: folder
    keypoints: Path | None = None  # of `--silh_from files`: folder or json file
    batch_size: int = 8  # people that pass through the network together


class System(NamedTuple):
    """Everything that predicts people in photos."""

    detector: Detector
    body_predictor: BodyPredictor
    predictor: Predictor
    source: ResultSource
    known_errors: KnownErrors  # of measurements through this checkpoint and detector


def load_system(options: SystemOptions, device: torch.device) -> System:
    """Loads detector and network.

    Args:
        options: which.
        device: where both run.

    Raises:
        InputError: a file is missing, is damaged or does not fit the others.
    """
    own_files = check_own_files(options.silh_from, options.masks, options.keypoints)
    with ThreadPoolExecutor(1) as aside:  # hashing takes as long as reading
        checkpoint_hash = aside.submit(hash_file, options.checkpoint)
        predictor = load_predictor(
            options.checkpoint,
            device,
            options.body,
            options.gender,
            rounds=options.rounds,
            refine=options.refine,
            proxy=options.proxy,
            mirror=options.mirror != "none",
        )
    rules = choose_rules(predictor.proxy_rule, options.mirror)
    detector = build_detector(options.silh_from, device, options.detector_weights, rules, own_files)
    source = describe_source(
        predictor, options.checkpoint, checkpoint_hash.result(), options.silh_from
    )
    table = read_measurement_errors(options.checkpoint, source.checkpoint_hash)
    return System(
        detector,
        BodyPredictor(predictor, device, options.batch_size),
        predictor,
        source,
        KnownErrors(table, options.silh_from),
    )


def build_estimator(
    system: System,
    checkpoint: Path,
    heights: Mapping[str, float],
    several: bool = False,
    genders: Mapping[str, str] | None = None,
) -> ShapeEstimator | None:
    """What shapes people by what is known of them, if anything is.

    Where it was not measured how the network errs, a height that is known scales people alone.

    Args:
        system: loaded.
        checkpoint: its file.
        heights: metres, see `ShapeEstimator`.
        several: whether photos of one person get one shape.
        genders: of people, see `ShapeEstimator`.

    Raises:
        InputError: it was not measured, and a gender or several photos cannot do without.
    """
    gender, genders = system.predictor.known_gender, genders or {}
    checkpoint_hash = system.source.checkpoint_hash
    needed = several or gender is not None or genders
    # Looked up for heights alone: whoever knows nothing of people need not read how shapes err.
    if not needed and not (heights and has_shape_errors(checkpoint, checkpoint_hash)):
        return None
    errors = read_shape_errors(checkpoint, checkpoint_hash, "detector")
    for known in {gender, *genders.values()} - {None}:
        know_gender(errors, known)  # complains now where it was not measured
    return ShapeEstimator(system.body_predictor, errors, gender, heights, genders)
