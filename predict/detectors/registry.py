"""Detectors by the name that `--silh_from` takes."""

import importlib
from collections.abc import Callable
from pathlib import Path

import torch

from predict.detectors.framed import FramedDetector
from predict.detectors.interface import Detector
from predict.detectors.mirrored import MirroredDetector
from predict.detectors.own_files import FILES, OwnFiles, OwnFilesDetector
from predict.detectors.rules import OWN, DetectorRules
from utils.errors import InputError, Skipped
from utils.paths import CHECKPOINTS

BuildDetector = Callable[[torch.device, Path, DetectorRules], Detector]


def _import_later(module: str, name: str) -> BuildDetector:
    """Builds a detector, whose module is imported only when it is asked for.

    Detectors bring in heavy libraries, and not all are installed.
    """

    def build(device: torch.device, checkpoints: Path, rules: DetectorRules) -> Detector:
        return getattr(importlib.import_module(module), name)(device, checkpoints, rules)

    return build


DETECTORS: dict[str, BuildDetector] = {
    "mediapipe": _import_later("predict.detectors.mediapipe_pose", "MediaPipeDetector"),
    "maskrcnn": _import_later("predict.detectors.torchvision_rcnn", "MaskRcnnDetector"),
    "pointrend": _import_later("predict.detectors.pointrend", "PointRendDetector"),
    "densepose": _import_later("predict.detectors.densepose", "DensePoseDetector"),
}


def build_detector(
    name: str,
    device: torch.device,
    checkpoints: Path = CHECKPOINTS,
    rules: DetectorRules = OWN,
    own_files: OwnFiles | None = None,
) -> Detector:
    """The detector of that name, loaded.

    Args:
        name: as in `DETECTORS`.
        device: where its networks run, if they can.
        checkpoints: folder with the weights of those that need some.
        rules: who counts as a person and what of them, and in which pixels it looks.
        own_files: the user's masks and keypoints, whose "detector" is `FILES`.

    Raises:
        InputError: there is no such detector, or its libraries or weights are missing.
    """
    if name == FILES and own_files is not None:
        if rules.mirror:
            raise InputError(
                "--mirror detector asks for a second look, but masks and keypoints are your own "
                "(--silh_from files); choose --mirror network"
            )
        return OwnFilesDetector(own_files, rules)  # in the photo's own pixels, whatever the rules
    if name not in DETECTORS:
        raise InputError(
            f"--silh_from {name}: there is no such detector; expected one of: "
            f"{', '.join(DETECTORS)}"
        )
    detector = DETECTORS[name](device, checkpoints, rules)
    if rules.mirror:
        detector = MirroredDetector(detector)
    return detector if rules.frame_size is None else FramedDetector(detector, rules.frame_size)


def available_detectors(
    device: torch.device, checkpoints: Path = CHECKPOINTS, rules: DetectorRules = OWN
) -> dict[str, Detector | Skipped]:
    """Every detector by name: loaded, or in one line why it cannot be had on this machine.

    Weights that torchvision offers are downloaded where there is a network.
    """
    found: dict[str, Detector | Skipped] = {}
    for name in DETECTORS:
        try:
            found[name] = build_detector(name, device, checkpoints, rules)
        except InputError as error:
            found[name] = Skipped(name, str(error))
    return found
