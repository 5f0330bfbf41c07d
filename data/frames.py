"""A photo of one person whose body is known: what every evaluation dataset consists of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.images import read_image


@dataclass(frozen=True)
class Frame:
    """One person in one photo; pixels are those of the window, x right, y down.

    Attributes:
        name: no other frame of the dataset has it.
        group: frames of one group show the same person or scene and are not independent.
        photo: image file.
        gender: of the body that the truth is given for: neutral, male or female.
        betas: (10,) float32 true shape.
        pose: (72,) float32 true pose, axis-angle, rad, root in the camera frame.
        window: x0, y0, x1, y1, the part of the photo that is used; None for all of it.
        silhouette: mask file of the photo's size, or None.
        joints2d_px: (17, 2) float32 true COCO joints, or None.
        visibility: (17,) bool, which of them are known, or None.
        cam_t: (3,) float32 metres from body origin to camera, or None.
        cam_k: (3, 3) float32 intrinsics of the window, or None.
        offsets: (V, 3) float32 metres, of the T-posed body beyond what betas tell, or None.
        cut: share of the person's height in the photo that lies below the window.
    """

    name: str
    group: str
    photo: Path
    gender: str
    betas: np.ndarray
    pose: np.ndarray
    window: tuple[int, int, int, int] | None = None
    silhouette: Path | None = None
    joints2d_px: np.ndarray | None = None
    visibility: np.ndarray | None = None
    cam_t: np.ndarray | None = None
    cam_k: np.ndarray | None = None
    offsets: np.ndarray | None = None
    cut: float = 0.0

    def read_photo(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the window of the photo.

        Raises:
            InputError: it cannot be read, or the window is not inside it.
        """
        return self._cut(read_image(self.photo), self.photo)

    def photo_size(self) -> tuple[int, int]:
        """Height and width of the window, pixels."""
        if self.window is None:
            return self.read_photo().shape[:2]
        x0, y0, x1, y1 = self.window
        return y1 - y0, x1 - x0

    def read_silhouette(self) -> np.ndarray:
        """(H, W) bool, the window of the mask file; raises InputError as `read_photo` does."""
        return self._cut(read_mask(self.silhouette), self.silhouette)

    def _cut(self, image: np.ndarray, path: Path) -> np.ndarray:
        if self.window is None:
            return image
        x0, y0, x1, y1 = self.window
        height, width = image.shape[:2]
        if x1 > width or y1 > height:
            raise InputError(
                f"{path} has {width} x {height} pixels, but the person is looked for in columns "
                f"{x0} to {x1} and rows {y0} to {y1}; photo and silhouette must be of one size"
            )
        return image[y0:y1, x0:x1]


def square_window(
    low: np.ndarray, high: np.ndarray, scale: float, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A square around a box, in whole pixels, cut where the photo ends: x0, y0, x1, y1.

    Args:
        low: (2,) x and y of the box's corner, pixels.
        high: (2,) of the opposite corner.
        scale: of the square's side over the box's longer one.
        size: height and width of the photo, pixels.
    """
    half = scale * (high - low).max() / 2
    corners = np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half]).round()
    height, width = size
    x0, y0, x1, y1 = corners.clip(0, [width, height, width, height]).astype(int).tolist()
    return x0, y0, x1, y1


def read_mask(path: Path) -> np.ndarray:
    """A mask file as (H, W) bool; what is not black belongs to the person.

    Raises:
        InputError: it cannot be read.
    """
    return read_image(path).any(axis=2)
