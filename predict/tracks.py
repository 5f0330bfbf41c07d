"""Follows people from frame to frame: which estimates of a clip are of the same person.

In every frame, tracks and people found are paired by the Hungarian assignment. What a pair costs
is how far the person is from where the track should be by now (boxes and joints, moved on with the
track's velocity), and how much their colours differ, which tells people apart who cross.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from predict.detectors.matching import box_overlaps

SEEN = 0.5  # confidence of a joint whose place counts
MAX_GAP = 2.0  # seconds that a person may be out of sight
MIN_IOU = 0.35  # of a body that was estimated from one person and not from pieces of two
MIN_SECONDS = 0.3  # of a track; what is shorter is mostly nobody
MAX_DISTANCE = 0.3  # of joints from where they should be, in sizes of the person
SLIP = 0.6  # sizes a second that this grows while a person is out of sight
MAX_AHEAD = 0.5  # seconds that a velocity is trusted
VELOCITY_SHARE = 0.5  # of a new velocity in the mean
COLOUR_SHARE = 0.1  # of new colours in the mean
MAX_GROWTH = 1.6  # of a person's size between two sights
DISTANCE_WEIGHT, COLOUR_WEIGHT = 2.0, 2.0  # beside 1 - IoU
MAX_COLOUR = 0.5  # difference of colours that is as good as any larger one
NEVER = 1e6  # cost of an impossible pair


class Sights(NamedTuple):
    """Everybody found in a clip, a row for each person in each frame."""

    frame: np.ndarray  # (P,) ints, growing
    box: np.ndarray  # (P, 4) x0, y0, x1, y1, pixels
    joints2d_px: np.ndarray  # (P, 17, 2)
    joint_confidence: np.ndarray  # (P, 17)
    colours: np.ndarray  # (P, C) in [0, 1]
    rank: np.ndarray  # (P,) 0: the most prominent person of the frame
    silhouette_iou: np.ndarray  # (P,) of the estimated with the detected silhouette


@dataclass
class _Track:
    """Somebody on the way."""

    rows: list[int]
    time: float  # when last seen
    colours: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))  # pixels a second


def follow_people(sights: Sights, times: np.ndarray) -> tuple[list[np.ndarray], int]:
    """The rows of each person, the most prominent person first.

    Args:
        sights: of all frames.
        times: (F,) seconds, of the frames.

    Returns:
        Rows (N,) for each track, and how many tracks were too short to count.
    """
    tracks: list[_Track] = []
    bounds = np.searchsorted(sights.frame, np.arange(len(times) + 1))
    for frame, time in enumerate(times):
        rows = np.arange(bounds[frame], bounds[frame + 1])
        rows = rows[sights.silhouette_iou[rows] >= MIN_IOU]
        waiting = [track for track in tracks if time - track.time <= MAX_GAP]
        pairs = _pair(waiting, rows, sights, time)
        for track, row in pairs:
            _continue(waiting[track], row, sights, time)
        paired = {row for _, row in pairs}
        tracks += [_Track([row], time, sights.colours[row]) for row in rows if row not in paired]
    step = float(np.median(np.diff(times))) if len(times) > 1 else MIN_SECONDS
    fewest = max(1, min(round(MIN_SECONDS / step), len(times) // 2))
    kept = [np.array(track.rows) for track in tracks if len(track.rows) >= fewest]
    kept.sort(key=lambda rows: (-(sights.rank[rows] == 0).sum(), -len(rows)))
    return kept, len(tracks) - len(kept)


def _continue(track: _Track, row: int, sights: Sights, time: float) -> None:
    last, step = track.rows[-1], time - track.time
    velocity = _shift(sights, last, row) / step
    share = VELOCITY_SHARE if len(track.rows) > 1 else 1.0
    track.velocity = track.velocity + share * (velocity - track.velocity)
    track.colours = track.colours + COLOUR_SHARE * (sights.colours[row] - track.colours)
    track.rows.append(row)
    track.time = time


def _shift(sights: Sights, start: int, end: int) -> np.ndarray:
    """(2,) pixels that a person moved: the median of the joints that both sights show."""
    moved = sights.joints2d_px[end] - sights.joints2d_px[start]
    seen = _both_see(sights, start, np.array([end]))[0]
    return np.median(moved[seen], axis=0)


def _both_see(sights: Sights, one: int, others: np.ndarray) -> np.ndarray:
    """(N, 17) joints that a sight shares with N others; all where they share none."""
    confidence = np.minimum(sights.joint_confidence[one], sights.joint_confidence[others])
    seen = confidence > SEEN
    return seen | ~seen.any(axis=1, keepdims=True)


def _pair(
    tracks: list[_Track], rows: np.ndarray, sights: Sights, time: float
) -> list[tuple[int, int]]:
    """Pairs of a track's number and a row."""
    if not tracks or not len(rows):
        return []
    costs = np.stack([_cost(track, rows, sights, time) for track in tracks])
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return [(track, int(rows[place])) for track, place in pairs if costs[track, place] < NEVER]


def _cost(track: _Track, rows: np.ndarray, sights: Sights, time: float) -> np.ndarray:
    """(N,) what it costs to go on with each row; `NEVER` where it cannot be the same person."""
    last, step = track.rows[-1], time - track.time
    ahead = track.velocity * min(step, MAX_AHEAD)
    overlap = box_overlaps(sights.box[last : last + 1] + np.tile(ahead, 2), sights.box[rows])[0]
    sizes = _size(sights.box[rows])
    growth = sizes / _size(sights.box[last])
    apart = np.linalg.norm(sights.joints2d_px[last] + ahead - sights.joints2d_px[rows], axis=-1)
    seen = _both_see(sights, last, rows)
    distance = (apart * seen).sum(axis=1) / seen.sum(axis=1) / sizes
    colour = np.abs(track.colours - sights.colours[rows]).mean(axis=1)
    cost = (1 - overlap) + DISTANCE_WEIGHT * distance
    cost += COLOUR_WEIGHT * np.minimum(colour / MAX_COLOUR, 1)
    near = distance < MAX_DISTANCE + SLIP * step
    alike = np.abs(np.log(growth)) < np.log(MAX_GROWTH) + step
    return np.where(near & alike, cost, NEVER)


def _size(box: np.ndarray) -> np.ndarray:
    """The longer side of boxes (..., 4), pixels."""
    return np.maximum((box[..., 2:] - box[..., :2]).max(axis=-1), 1)


def describe_colours(image: np.ndarray, silhouette: np.ndarray, box: np.ndarray) -> np.ndarray:
    """What a person wears, roughly: mean colours of head, trunk and legs.

    Args:
        image: (H, W, 3) uint8 RGB.
        silhouette: (H, W) bool.
        box: (4,) tight box of the silhouette, pixels.

    Returns:
        (9,) RGB in [0, 1] of the silhouette's upper fifth, from there to the middle, and below.
    """
    x0, y0, x1, y1 = box.astype(int)
    stride = max(1, int(max(x1 - x0, y1 - y0)) // 64)  # some thousand pixels are enough
    mask = silhouette[y0:y1:stride, x0:x1:stride]
    pixels = image[y0:y1:stride, x0:x1:stride].astype(np.float32) / 255
    heights = np.linspace(0, 1, len(mask))
    colours = []
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 1.01)):
        band = mask & ((heights >= low) & (heights < high))[:, None]
        colours.append(pixels[band].mean(axis=0) if band.any() else np.full(3, 0.5, np.float32))
    return np.concatenate(colours)
