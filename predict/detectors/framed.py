"""A detector that is shown photos in a square of a fixed size, as the released code does."""

from dataclasses import replace

import numpy as np

from predict.detectors.interface import Detection, Detector, FramedView
from predict.detectors.masks import tight_box
from predict.detectors.square_frame import SquareFrame

LEAST_CONFIDENCE = 1e-6  # of a joint that counts although its network gives it none


class FramedDetector:
    """Looks for people in the `SquareFrame` of a photo, and carries them back to the photo.

    What the network is given of them are the pixels of the frame (`Detection.framed`), with every
    joint, whatever its confidence.

    Args:
        detector: that looks.
        size: side of the frame, pixels.
    """

    def __init__(self, detector: Detector, size: int) -> None:
        self._detector, self._size = detector, size

    def detect(self, image: np.ndarray) -> list[Detection]:
        """See `Detector.detect`."""
        frame = SquareFrame(*image.shape[:2], self._size)
        found = (_to_photo(each, frame) for each in self._detector.detect(frame.picture(image)))
        return [detection for detection in found if detection is not None]


def _to_photo(found: Detection, frame: SquareFrame) -> Detection | None:
    """A person of the frame as one of the photo; None where no pixel of theirs is left."""
    silhouette = frame.mask_to_photo(found.silhouette)
    if not silhouette.any():
        return None
    return replace(
        found,
        silhouette=silhouette,
        joints2d_px=frame.points_to_photo(found.joints2d_px),
        joint_confidence=found.joint_confidence.clip(min=LEAST_CONFIDENCE),
        box=tight_box(silhouette),
        framed=FramedView(frame, found.silhouette, found.joints2d_px),
    )
