"""Detectors by the name that `--silh_from` takes."""

from collections.abc import Callable

from predict.detectors.interface import Detector
from utils.errors import InputError


def _mediapipe() -> Detector:
    # Imported only when asked for: detectors bring in heavy libraries.
    from predict.detectors.mediapipe_pose import MediaPipeDetector

    return MediaPipeDetector()


DETECTORS: dict[str, Callable[[], Detector]] = {"mediapipe": _mediapipe}


def build_detector(name: str) -> Detector:
    """The detector of that name, loaded.

    Raises:
        InputError: there is no such detector, or its libraries or weights are missing.
    """
    if name not in DETECTORS:
        raise InputError(
            f"--silh_from {name}: there is no such detector here; "
            f"available: {', '.join(sorted(DETECTORS))}"
        )
    return DETECTORS[name]()
