"""Loads what predicts: a detector, and a network with its body."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from models.checkpoints import Predictor, load_predictor
from predict.detectors.interface import Detector
from predict.detectors.own_files import check_own_files
from predict.detectors.registry import build_detector
from predict.detectors.rules import RULES
from predict.people import BodyPredictor
from predict.records import ResultSource, describe_source
from utils.files import hash_file
from utils.paths import CHECKPOINTS, DEFAULT_CHECKPOINT
from utils.proxy import ProxyRule


@dataclass(frozen=True)
class SystemOptions:
    """Which detector and network predict; as in run_predict.py."""

    checkpoint: Path = DEFAULT_CHECKPOINT
    body: str | None = None  # None: the checkpoint's
    gender: str | None = None  # of the body; None: the checkpoint's
    rounds: int | None = None  # of feedback; None: what validated best
    refine: bool = False
    proxy: ProxyRule | None = None  # None: what the checkpoint says
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
        )
    detector = build_detector(
        options.silh_from, device, options.detector_weights, RULES[predictor.proxy_rule], own_files
    )
    source = describe_source(
        predictor, options.checkpoint, checkpoint_hash.result(), options.silh_from
    )
    return System(detector, BodyPredictor(predictor, device, options.batch_size), predictor, source)
