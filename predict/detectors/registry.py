"""Detectors by the name that `--silh_from` takes."""

from collections.abc import Callable
from pathlib import Path

import torch

from predict.detectors.interface import Detector
from utils.errors import InputError
from utils.paths import CHECKPOINTS

# Imported only when asked for: detectors bring in heavy libraries, and not all are installed.


def _mediapipe(device: torch.device, checkpoints: Path) -> Detector:
    from predict.detectors.mediapipe_pose import MediaPipeDetector

    return MediaPipeDetector()  # its networks are part of the repository, and run on the CPU


def _maskrcnn(device: torch.device, checkpoints: Path) -> Detector:
    from predict.detectors.torchvision_rcnn import MaskRcnnDetector

    return MaskRcnnDetector(device, checkpoints)


def _pointrend(device: torch.device, checkpoints: Path) -> Detector:
    from predict.detectors.pointrend import PointRendDetector

    return PointRendDetector(device, checkpoints)


def _densepose(device: torch.device, checkpoints: Path) -> Detector:
    from predict.detectors.densepose import DensePoseDetector

    return DensePoseDetector(device, checkpoints)


DETECTORS: dict[str, Callable[[torch.device, Path], Detector]] = {
    "mediapipe": _mediapipe,
    "maskrcnn": _maskrcnn,
    "pointrend": _pointrend,
    "densepose": _densepose,
}


def build_detector(name: str, device: torch.device, checkpoints: Path = CHECKPOINTS) -> Detector:
    """The detector of that name, loaded.

    Args:
        name: as in `DETECTORS`.
        device: where its networks run, if they can.
        checkpoints: folder with the weights of those that need some.

    Raises:
        InputError: there is no such detector, or its libraries or weights are missing.
    """
    if name not in DETECTORS:
        raise InputError(
            f"--silh_from {name}: there is no such detector; expected one of: "
            f"{', '.join(DETECTORS)}"
        )
    return DETECTORS[name](device, checkpoints)


def available_detectors(
    device: torch.device, checkpoints: Path = CHECKPOINTS
) -> dict[str, Detector | str]:
    """Every detector by name: loaded, or in one line why it cannot be had on this machine.

    Weights that torchvision offers are downloaded where there is a network.
    """
    found: dict[str, Detector | str] = {}
    for name in DETECTORS:
        try:
            found[name] = build_detector(name, device, checkpoints)
        except InputError as error:
            found[name] = str(error)
    return found
