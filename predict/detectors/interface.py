"""What a detector takes and gives, whatever library stands behind it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from predict.detectors.square_frame import SquareFrame


@dataclass(frozen=True)
class FramedView:
    """A person in the square that their photo was brought to.

    Attributes:
        frame: where the photo lies in the square.
        silhouette: (S, S) bool, pixels of the frame.
        joints2d_px: (17, 2) float32, pixels of the frame.
    """

    frame: SquareFrame
    silhouette: np.ndarray
    joints2d_px: np.ndarray


@dataclass(frozen=True)
class Detection:
    """One person in a photo: silhouette and joints of the SAME person.

    Attributes:
        silhouette: (H, W) bool, the person's pixels in the photo.
        joints2d_px: (17, 2) float32, COCO joints, pixels of the photo (pixel i covers [i, i + 1)).
        joint_confidence: (17,) float32 in [0, 1]; 0 marks a joint that was not detected or lies
            outside the photo. Where the rules count every joint, none has 0.
        box: (4,) float32, tight box (x0, y0, x1, y1) of the silhouette, pixels of the photo.
        framed: the same person where the detector was shown a resized photo: the network is given
            this. None: it is given the photo's pixels.
    """

    silhouette: np.ndarray
    joints2d_px: np.ndarray
    joint_confidence: np.ndarray
    box: np.ndarray
    framed: FramedView | None = None


class Detector(Protocol):
    """Finds people in a photo."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        """The people in `image`, (H, W, 3) uint8 RGB, the most prominent first; empty if none."""
        ...


@runtime_checkable
class PhotoDetector(Protocol):
    """Finds people in a photo by what lies beside its file."""

    def detect_in(self, image: np.ndarray, photo: Path) -> list[Detection]:
        """As `Detector.detect`; `photo` is the file that the image was read from."""
        ...
