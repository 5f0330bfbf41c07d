"""A detector that looks at a photo and at its mirror image: two looks err less than one."""

from dataclasses import replace

import numpy as np

from predict.detectors.interface import Detection, Detector
from predict.detectors.matching import box_overlaps
from utils.joints import COCO17_SWAP

MIN_OVERLAP = 0.5  # of two boxes of the same person
_LEAST_WEIGHT = 1e-6  # of a joint that neither look saw


class MirroredDetector:
    """Gives the people of a photo with their joints averaged over both looks.

    Joints weigh by their confidence. Silhouettes, and who is there, are those of the photo itself;
    whom the mirror image does not show keeps their joints.

    Args:
        detector: that looks.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def detect(self, image: np.ndarray) -> list[Detection]:
        """See `Detector.detect`."""
        found = self._detector.detect(image)
        if not found:
            return []
        again = self._detector.detect(np.ascontiguousarray(image[:, ::-1]))
        others = [mirror_detection(each) for each in again]
        return [_average_joints(each, others) for each in found]


def mirror_detection(detection: Detection) -> Detection:
    """A person of a picture as one of its mirror image; the other way round it is the same."""
    width, swap = detection.silhouette.shape[1], list(COCO17_SWAP)
    x0, y0, x1, y1 = detection.box
    return Detection(
        np.ascontiguousarray(detection.silhouette[:, ::-1]),  # torch takes no other
        (detection.joints2d_px * (-1, 1) + (width, 0))[swap].astype(np.float32),
        detection.joint_confidence[swap],
        np.array([width - x1, y0, width - x0, y1], np.float32),
    )


def _average_joints(detection: Detection, others: list[Detection]) -> Detection:
    if not others:
        return detection
    boxes = np.stack([each.box for each in others])
    overlaps = box_overlaps(detection.box[None], boxes)[0]
    if overlaps.max() < MIN_OVERLAP:
        return detection
    looks = (detection, others[int(overlaps.argmax())])
    joints = np.stack([each.joints2d_px for each in looks])  # (2, 17, 2)
    confidences = np.stack([each.joint_confidence for each in looks])  # (2, 17)
    weights = confidences.clip(min=_LEAST_WEIGHT)[..., None]
    return replace(
        detection,
        joints2d_px=((weights * joints).sum(axis=0) / weights.sum(axis=0)).astype(np.float32),
        joint_confidence=confidences.mean(axis=0),
    )
