"""What a detector takes and gives, whatever library stands behind it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One person in a photo: silhouette and joints of the SAME person.

    Attributes:
        silhouette: (H, W) bool, the person's pixels in the photo.
        joints2d_px: (17, 2) float32, COCO joints, pixels of the photo (pixel i covers [i, i + 1)).
        joint_confidence: (17,) float32 in [0, 1]; 0 marks a joint that was not detected or lies
            outside the photo.
        box: (4,) float32, tight box (x0, y0, x1, y1) of the silhouette, pixels of the photo.
    """

    silhouette: np.ndarray
    joints2d_px: np.ndarray
    joint_confidence: np.ndarray
    box: np.ndarray


class Detector(Protocol):
    """Finds people in a photo."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        """The people in `image`, (H, W, 3) uint8 RGB, the most prominent first; empty if none."""
        ...
