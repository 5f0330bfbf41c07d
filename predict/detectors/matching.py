"""From masks of one network and poses of another to people: who is who, and who comes first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from predict.detectors.interface import Detection
from predict.detectors.masks import MASK_THRESHOLD, tidy_silhouette, tight_box
from predict.detectors.rules import OWN, DetectorRules
from utils.cameras import inside_image

MIN_IOU = 0.5  # IoU of boxes; two networks' boxes of one person agree to 0.8 and more
SAME_PERSON = 0.8  # share of the smaller silhouette that lies in another: the same person again
SAME_JOINTS = 0.2  # median distance of joints, by the root of the smaller silhouette's area
FEWEST_JOINTS = 3  # that two poses must both show before their distances say something
WELL_VISIBLE = 0.5  # confidence of a joint that was seen, and may claim a loose piece of the mask
CENTRED = 0.25  # a centred person's box centre lies so near the photo's, as a share of its sides


@dataclass(frozen=True)
class MaskCandidate:
    """A person's mask from one network.

    Attributes:
        mask: (H, W) bool, or float32 in [0, 1], of the whole photo.
        box: (4,) float32 (x0, y0, x1, y1), pixels of the photo.
        score: of being a person, in [0, 1].
    """

    mask: np.ndarray
    box: np.ndarray
    score: float


@dataclass(frozen=True)
class PoseCandidate:
    """A person's joints from another network.

    Attributes:
        joints2d_px: (17, 2) float32, COCO joints, pixels of the photo (pixel i covers [i, i + 1)).
        joint_confidence: (17,) float32 in [0, 1]; 0 marks a joint that was not seen.
        box: (4,) float32 (x0, y0, x1, y1), pixels of the photo.
        score: of being a person, in [0, 1].
    """

    joints2d_px: np.ndarray
    joint_confidence: np.ndarray
    box: np.ndarray
    score: float


@dataclass(frozen=True)
class _Person:
    detection: Detection
    score: float


def match_people(
    masks: Sequence[MaskCandidate], poses: Sequence[PoseCandidate], rules: DetectorRules = OWN
) -> list[Detection]:
    """Pairs masks and poses: silhouette and joints of each person whom both networks found.

    Masks and poses are matched one to one. A pair's boxes must overlap by `MIN_IOU`; among
    such pairs the assignment with the largest sum of overlap and share of joints inside the mask
    is taken, since the boxes of people in front of each other are too much alike. Masks and poses
    without a partner are dropped, and so is a person found twice.

    Args:
        masks: of one photo, in any order.
        poses: of the same photo, in any order.
        rules: whether masks are tidied, and which joints count.

    Returns:
        The people, the most prominent first (`measure_prominence`).
    """
    pairs = _assign(masks, poses)
    matched = [_build_person(masks[mask], poses[pose], rules) for mask, pose in pairs]
    people = sorted((person for person in matched if person), key=_score, reverse=True)
    return order_people(person.detection for person in people)


def order_people(detections: Iterable[Detection]) -> list[Detection]:
    """Everybody once, the most prominent first; `detections` come the most certain first."""
    kept: list[Detection] = []
    for detection in detections:
        if not any(_same_person(detection, other) for other in kept):
            kept.append(detection)
    # Sorting is stable: of two that are equally prominent the surer one stays first.
    return sorted(kept, key=measure_prominence, reverse=True)


def measure_prominence(detection: Detection) -> tuple[bool, int]:
    """What people are ordered by: being roughly in the middle, then the silhouette's size.

    Someone whose box centre is within `CENTRED` of the photo's width and height from its middle
    comes before all people at the border, however large; within either group the larger
    silhouette comes first.
    """
    height, width = detection.silhouette.shape
    centre = (detection.box[:2] + detection.box[2:]) / 2 / (width, height)
    return bool((abs(centre - 0.5) <= CENTRED).all()), int(detection.silhouette.sum())


def box_overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every other.

    Args:
        boxes: (M, 4) x0, y0, x1, y1.
        others: (N, 4).

    Returns:
        (M, N) in [0, 1]; 0 where both boxes are empty.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])  # (M, N, 2)
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=-1)
    areas = [(each[:, 2:] - each[:, :2]).clip(min=0).prod(axis=-1) for each in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0)


def _assign(
    masks: Sequence[MaskCandidate], poses: Sequence[PoseCandidate]
) -> list[tuple[int, int]]:
    """Index pairs (mask, pose) of those that belong together."""
    if not masks or not poses:
        return []
    overlaps = box_overlaps(np.stack([m.box for m in masks]), np.stack([p.box for p in poses]))
    near = overlaps >= MIN_IOU
    agreement = np.zeros_like(overlaps)  # 0 for strangers: they win nothing by being paired
    for mask, pose in np.argwhere(near):
        inside = measure_share_inside(masks[mask].mask, poses[pose])
        agreement[mask, pose] = overlaps[mask, pose] + inside
    pairs = zip(*linear_sum_assignment(agreement, maximize=True), strict=True)
    return [(int(mask), int(pose)) for mask, pose in pairs if near[mask, pose]]


def measure_share_inside(mask: np.ndarray, pose: PoseCandidate) -> float:
    """Share of a pose's seen joints that lie in the mask; 0 when none was seen."""
    height, width = mask.shape
    seen = (pose.joint_confidence > 0) & inside_image(pose.joints2d_px, width, height)
    if not seen.any():
        return 0.0
    columns, rows = pose.joints2d_px[seen].astype(int).T
    return float((mask[rows, columns] > 0.5).mean())


def _build_person(mask: MaskCandidate, pose: PoseCandidate, rules: DetectorRules) -> _Person | None:
    """A matched pair as a detection; None where the mask has nothing that could be a person."""
    height, width = mask.mask.shape
    counted = rules.every_joint | inside_image(pose.joints2d_px, width, height)
    confidence = np.where(counted, pose.joint_confidence, 0).astype(np.float32)
    if rules.tidy:
        silhouette = tidy_silhouette(mask.mask, pose.joints2d_px[confidence > WELL_VISIBLE])
    else:
        silhouette = mask.mask > MASK_THRESHOLD
    if not silhouette.any():
        return None
    joints2d_px = pose.joints2d_px.astype(np.float32)
    detection = Detection(silhouette, joints2d_px, confidence, tight_box(silhouette))
    return _Person(detection, mask.score * pose.score)


def _score(person: _Person) -> float:
    return person.score


def _same_person(one: Detection, other: Detection) -> bool:
    """Whether one silhouette lies in the other, or the joints that both show are at one place."""
    smaller = min(one.silhouette.sum(), other.silhouette.sum())
    if (one.silhouette & other.silhouette).sum() > SAME_PERSON * smaller:
        return True
    seen = np.minimum(one.joint_confidence, other.joint_confidence) > WELL_VISIBLE
    if seen.sum() < FEWEST_JOINTS:
        return False
    apart = np.linalg.norm(one.joints2d_px - other.joints2d_px, axis=1)[seen]
    return bool(np.median(apart) < SAME_JOINTS * np.sqrt(smaller))
