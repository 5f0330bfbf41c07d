"""The square of a fixed size that the released code brings photos to before it looks at them."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class SquareFrame:
    """A photo padded with black to a square, its shorter side at both ends, and resized.

    One scale and one shift lead from the photo to the frame and back: pixels of both are
    continuous, pixel i covering [i, i + 1).

    Attributes:
        height: of the photo, pixels.
        width: of the photo, pixels.
        size: side of the frame in its own pixels.
    """

    height: int
    width: int
    size: int

    @property
    def scale(self) -> float:
        """Pixels of the frame in a pixel of the photo."""
        return self.size / max(self.height, self.width)

    @property
    def shift(self) -> np.ndarray:
        """(2,) float32: x and y that padding adds, pixels of the photo; an odd rest goes behind."""
        side = max(self.height, self.width)
        return np.array([(side - self.width) // 2, (side - self.height) // 2], np.float32)

    def picture(self, photo: np.ndarray) -> np.ndarray:
        """The frame, (S, S, 3) uint8 RGB, of a photo (H, W, 3)."""
        left, top = self.shift.astype(int)
        side = max(self.height, self.width)
        padded = np.zeros((side, side, 3), np.uint8)
        padded[top : top + self.height, left : left + self.width] = photo
        return cv2.resize(padded, (self.size, self.size), interpolation=cv2.INTER_LINEAR)

    def points_to_photo(self, points_px: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of the frame to pixels of the photo."""
        return (points_px / self.scale - self.shift).astype(np.float32)

    def crops_to_photo(self, crops: Tensor) -> Tensor:
        """Crops (P, 3), centre x, centre y and side, of the frame as crops of the photo."""
        shift = torch.from_numpy(self.shift).to(crops)
        return torch.cat([crops[:, :2] / self.scale - shift, crops[:, 2:] / self.scale], dim=1)

    def mask_to_photo(self, mask: np.ndarray) -> np.ndarray:
        """A mask (S, S) of the frame as one of the photo (H, W), each pixel by its centre."""
        left, top = self.shift
        rows, columns = (
            ((np.arange(count) + 0.5 + before) * self.scale).astype(int)
            for count, before in ((self.height, top), (self.width, left))
        )
        return mask[np.ix_(rows, columns)]

    def covered(self) -> np.ndarray:
        """(S, S) bool: the pixels whose centres lie in the photo, not in the padding."""
        places = (np.arange(self.size) + 0.5) / self.scale
        left, top = self.shift
        rows = (places >= top) & (places < top + self.height)
        columns = (places >= left) & (places < left + self.width)
        return rows[:, None] & columns
