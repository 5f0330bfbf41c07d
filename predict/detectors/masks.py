"""From a detector's soft mask to one person's clean silhouette."""

import cv2
import numpy as np

from utils.cameras import inside_image

MASK_THRESHOLD = 0.5
MIN_PERSON_PIXELS = 100  # px of silhouette; less is no person that a body can be fitted to
SPECK_SHARE = 0.002  # of the silhouette; holes smaller than this are noise, not background


def tidy_silhouette(mask: np.ndarray, joints2d_px: np.ndarray) -> np.ndarray:
    """The pixels of a soft mask that belong to the person whose joints are given.

    Kept are the largest connected component and those that hold one of the joints, such as a
    forearm cut off by a barbell; a second person or a piece of furniture is dropped. Pinholes are
    filled, since a rendered silhouette, which the network was trained with, has none.

    Args:
        mask: (H, W) float in [0, 1], probability of belonging to a person.
        joints2d_px: (N, 2) pixels, well visible joints of the person; those outside are ignored.

    Returns:
        (H, W) bool; all False when there is nothing the size of a person.
    """
    silhouette = mask > MASK_THRESHOLD
    if not silhouette.any():
        return silhouette
    x0, y0, x1, y1 = tight_box(silhouette).astype(int)
    # Beyond its box is background alone: what touches the box's border is no hole here either.
    part = silhouette[y0:y1, x0:x1]
    part[:] = _tidy_part(part, joints2d_px - (x0, y0))
    return silhouette


def _tidy_part(silhouette: np.ndarray, joints2d_px: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(silhouette.astype(np.uint8))
    kept = np.zeros(count, dtype=bool)
    kept[1 + stats[1:, cv2.CC_STAT_AREA].argmax()] = True
    kept[_labels_at(labels, joints2d_px)] = True
    kept[0] = False
    silhouette = kept[labels]
    if silhouette.sum() < MIN_PERSON_PIXELS:
        return np.zeros_like(silhouette)
    return _fill_pinholes(silhouette)


def tight_box(silhouette: np.ndarray) -> np.ndarray:
    """(4,) float32 tight box (x0, y0, x1, y1) of a non-empty (H, W) bool mask, on pixel edges."""
    columns, rows = np.flatnonzero(silhouette.any(axis=0)), np.flatnonzero(silhouette.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def _labels_at(labels: np.ndarray, joints2d_px: np.ndarray) -> np.ndarray:
    height, width = labels.shape
    inside = joints2d_px[inside_image(joints2d_px, width, height)].astype(int)
    return labels[inside[:, 1], inside[:, 0]]


def _fill_pinholes(silhouette: np.ndarray) -> np.ndarray:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (~silhouette).astype(np.uint8), connectivity=4
    )
    small = stats[:, cv2.CC_STAT_AREA] < SPECK_SHARE * silhouette.sum()
    # Background that touches the photo's border is outside the person, however small.
    small[np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))] = False
    return silhouette | small[labels]
