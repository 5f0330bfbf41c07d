"""MediaPipe Pose: everybody's landmarks and silhouette, with MediaPipe's networks on torch.

Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking", 2020. One network finds
people in the whole photo and says where they stand and how they are turned; another one takes an
upright crop of each and gives landmarks and a mask. What happens around the networks follows the
graphs of mediapipe 0.10.21 for still images, so that the results are that library's. They are run
here, and not there, because later releases carry no networks, and send usage figures to their
maker at every start.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from predict.detectors.matching import box_overlaps
from predict.detectors.tensor_graph import TensorGraph
from utils.errors import InputError

DETECTOR, LANDMARKS = "detector", "landmarks"  # names of the networks in the file
FINDING_SIZE = 224  # px, of the image in which people are looked for
POSE_SIZE = 256  # px, of a person's crop
ANCHOR_GRIDS = ((28, 2), (14, 2), (7, 6))  # cells a side, anchors a cell
MIN_SCORE = 0.5  # of there being a person, for both networks
DOUBTFUL_SCORE = 0.1  # less certain than MIN_SCORE: counts if the second network is sure
SURE_VISIBILITY = 0.8  # mean of the landmarks; above 0.87 for people, below 0.75 for backgrounds
ELONGATED = (2.0, 8.0)  # long side by short side of photos that are searched in squares as well
NMS_IOU = 0.3  # boxes that overlap more are of one person
MAX_PEOPLE = 16  # that are looked at, the most certain ones
CROP_SCALE = 1.25  # of the circle around the person that the detector gives
MAX_SIDE = 32766  # px of a photo
LANDMARK_COUNT = 33  # of 39; the others are for following a video
REFINE_RADIUS = 3  # px of the heatmap
REFINE_MIN = 0.5  # largest probability around a landmark from which the heatmap corrects it


@dataclass(frozen=True)
class Pose:
    """One person.

    Attributes:
        landmarks: (33, 3) float32, x and y in pixels of the photo (beyond it when out of frame),
            and visibility in [0, 1]: the probability of being in the photo and not hidden.
        mask: (H, W) float32, probability of person.
    """

    landmarks: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Region:
    """A square of the photo, turned so that the person in it is upright.

    Attributes:
        centre: (2,) pixels of the photo.
        side: pixels of the photo.
        angle: radians by which the square is turned, clockwise as one sees it.
    """

    centre: np.ndarray
    side: float
    angle: float

    def to_photo(self) -> np.ndarray:
        """(2, 3), from positions in [0, 1] across the square to pixels of the photo."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turn = self.side * np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([turn, self.centre - turn @ (0.5, 0.5)])


class BlazePose:
    """Both networks.

    Args:
        path: npz that tools/build_pose_bundle.py wrote.

    Raises:
        InputError: the file is not there or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        """Loads them."""
        self._detector = TensorGraph.read(path, DETECTOR)
        self._landmarks = TensorGraph.read(path, LANDMARKS)
        self._anchors = anchors()

    def poses(self, image: np.ndarray) -> list[Pose]:
        """Everybody in `image`, (H, W, 3) uint8 RGB, the most certain first.

        Raises:
            InputError: it is wider or higher than OpenCV's `warpAffine` takes.
        """
        height, width = image.shape[:2]
        if max(height, width) > MAX_SIDE:
            raise InputError(
                f"the photo has {width} x {height} pixels, and the detector takes at most "
                f"{MAX_SIDE} in each direction; make it smaller"
            )
        image = np.ascontiguousarray(image)  # as OpenCV wants it, and a flipped view is not
        found = []
        for region, score in self.regions(image):
            pose = self.pose_in(image, region)
            if pose and (score >= MIN_SCORE or pose.landmarks[:, 2].mean() >= SURE_VISIBILITY):
                found.append(pose)
        return found

    def regions(self, image: np.ndarray) -> list[tuple[Region, float]]:
        """Where people may be, with the score of that, the most certain first."""
        found = [self._find(image, window) for window in windows(*image.shape[:2])]
        people, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        merged = merge_overlapping(people, scores)[:MAX_PEOPLE]
        return [(_region(person[2:4]), score) for person, score in merged]

    def _find(self, image: np.ndarray, window: Region) -> tuple[np.ndarray, np.ndarray]:
        """(N, 6, 2) people in pixels of the photo, as `merge_overlapping` takes them; scores."""
        crop = cut(image, window, FINDING_SIZE, cv2.BORDER_CONSTANT)
        numbers, logits = self._detector.run(_to_tensor(crop) * 2 - 1)
        scores = torch.sigmoid(logits[0, :, 0]).numpy()
        likely = np.flatnonzero(scores >= DOUBTFUL_SCORE)
        people = numbers[0].numpy()[likely].reshape(-1, 6, 2) / FINDING_SIZE * window.side
        corner = window.centre - window.side / 2
        people[:, [0, 2, 3, 4, 5]] += self._anchors[likely, None] * window.side + corner
        return people, scores[likely]

    def pose_in(self, image: np.ndarray, region: Region) -> Pose | None:
        """The person in a region; None where there is none after all."""
        crop = cut(image, region, POSE_SIZE, cv2.BORDER_REPLICATE)
        rows, present, mask, heatmap, _ = self._landmarks.run(_to_tensor(crop))
        if present.item() < MIN_SCORE:
            return None
        rows = rows.numpy().reshape(-1, 5)[:LANDMARK_COUNT]  # x, y, z, visibility, presence
        visibility = torch.sigmoid(torch.from_numpy(rows[:, 3])).numpy()
        points = refine(rows[:, :2] / POSE_SIZE, torch.sigmoid(heatmap[0]).numpy())
        matrix = region.to_photo()
        points_px = points @ matrix[:, :2].T + matrix[:, 2]
        landmarks = np.column_stack([points_px, visibility]).astype(np.float32)
        probability = torch.sigmoid(mask[0, :, :, 0]).numpy()
        return Pose(landmarks, paste(probability, region, image.shape[:2]))


def anchors() -> np.ndarray:
    """(2254, 2) float32 centres of the detector's anchors, in [0, 1], in the network's order."""
    centres = []
    for side, count in ANCHOR_GRIDS:
        steps = (np.arange(side, dtype=np.float32) + 0.5) / side
        grid = np.stack(np.meshgrid(steps, steps), axis=-1)  # (side, side, 2), x first
        centres.append(np.repeat(grid.reshape(-1, 2), count, axis=0))
    return np.concatenate(centres)


def merge_overlapping(people: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Makes one of all that were found about the same person: their mean, weighted by score.

    What is doubtful counts only where there is nothing better.

    Args:
        people: (N, 6, 2) centre and size of the box, then the detector's four points; pixels.
        scores: (N,) in [0, 1].

    Returns:
        (6, 2) and the best score for each person, the most certain first.
    """
    boxes = np.concatenate([people[:, 0] - people[:, 1] / 2, people[:, 0] + people[:, 1] / 2], 1)
    left = np.argsort(-scores, kind="stable")
    merged = []
    while len(left):
        same = box_overlaps(boxes[left[:1]], boxes[left])[0] > NMS_IOU
        same[0] = True  # a box without area overlaps nothing
        counted = left[same]
        if scores[counted[0]] >= MIN_SCORE:
            counted = counted[scores[counted] >= MIN_SCORE]
        weights = scores[counted]
        mean = np.tensordot(weights, people[counted], 1) / weights.sum()
        merged.append((mean, float(weights[0])))
        left = left[~same]
    return merged


def windows(height: int, width: int) -> list[Region]:
    """Where people are looked for: the whole photo, and overlapping squares of an elongated one."""
    centre, long, short = np.array([width, height]) / 2, max(height, width), min(height, width)
    found = [Region(centre, long, 0.0)]
    if ELONGATED[0] <= long / short <= ELONGATED[1]:
        count = int(np.ceil(2 * long / short)) - 1  # at least half of each lies in the next one
        along = np.array([1, 0] if width > height else [0, 1])
        for shift in np.linspace(-1, 1, count) * (long - short) / 2:
            found.append(Region(centre + shift * along, short, 0.0))
    return found


def _region(points_px: np.ndarray) -> Region:
    """From (2, 2): the middle of the hips, and a point above the head on the circle around all."""
    centre, top = points_px
    upwards = top - centre
    angle = np.pi / 2 - np.arctan2(-upwards[1], upwards[0])
    return Region(centre, 2 * CROP_SCALE * float(np.hypot(*upwards)), angle)


def cut(image: np.ndarray, region: Region, size: int, border: int) -> np.ndarray:
    """A region of an image, (size, size, 3) uint8; `border` says what is outside it."""
    to_photo = region.to_photo()
    to_photo[:, :2] /= size
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, to_photo, (size, size), flags=flags, borderMode=border)


def paste(mask: np.ndarray, region: Region, shape: tuple[int, int]) -> np.ndarray:
    """The photo's mask, `shape` float32, out of a region's square one; 0 outside the region."""
    size, (height, width) = len(mask), shape
    to_photo = region.to_photo()
    to_photo[:, :2] /= size
    # No half pixels, as in `cut`: what was cut out of the photo goes back to where it was.
    return cv2.warpAffine(mask, to_photo, (width, height), flags=cv2.INTER_LINEAR)


def refine(points: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Moves landmarks to the mean of the probability around them, where there is some.

    Args:
        points: (N, 2) in [0, 1] across the crop.
        heatmap: (h, w, >= N) in [0, 1].

    Returns:
        (N, 2).
    """
    height, width = heatmap.shape[:2]
    refined = points.copy()
    for number, (column, row) in enumerate((points * (width, height)).astype(int)):
        if not (0 <= column < width and 0 <= row < height):
            continue
        top, left = max(row - REFINE_RADIUS, 0), max(column - REFINE_RADIUS, 0)
        around = heatmap[top : row + REFINE_RADIUS + 1, left : column + REFINE_RADIUS + 1, number]
        if around.max() >= REFINE_MIN:
            x = (around.sum(axis=0) @ (left + np.arange(around.shape[1]))) / around.sum()
            y = (around.sum(axis=1) @ (top + np.arange(around.shape[0]))) / around.sum()
            refined[number] = x / width, y / height
    return refined


def _to_tensor(crop: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(crop)[None].float() / 255  # (1, S, S, 3)
