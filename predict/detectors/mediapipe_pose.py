"""MediaPipe Pose as the detector: everybody's silhouette and joints from one network.

Its networks are part of this repository, so that this detector needs no download: `blazepose`.
"""

from pathlib import Path

import numpy as np

from predict.detectors.blazepose import BlazePose, Pose
from predict.detectors.interface import Detection
from predict.detectors.masks import tidy_silhouette, tight_box
from predict.detectors.matching import order_people
from utils.cameras import inside_image
from utils.joints import COCO17, indices_of
from utils.paths import MEDIAPIPE_POSE

# MediaPipe's 33 landmarks in its order, by our names where COCO has them.
MEDIAPIPE33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
    "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
    "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip",
    "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
COCO17_IN_33 = indices_of(COCO17, MEDIAPIPE33)
WELL_VISIBLE = 0.5  # MediaPipe's visibility above which a landmark counts as seen, not guessed


class MediaPipeDetector:
    """Finds the people in a photo, on the CPU.

    Args:
        path: of the networks.

    Raises:
        InputError: they are not there or cannot be read.
    """

    def __init__(self, *_: object, path: Path = MEDIAPIPE_POSE) -> None:
        # No device, other weights or rules: the networks are small, shipped, and run on the CPU.
        self._networks = BlazePose(path)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """See `Detector.detect`."""
        people = (detection_of(pose) for pose in self._networks.poses(image))
        return order_people(person for person in people if person)


def detection_of(pose: Pose) -> Detection | None:
    """One person's detection out of MediaPipe's output; None where the mask holds no person.

    A joint's confidence is MediaPipe's visibility: the probability of being in the photo and not
    hidden by something.
    """
    height, width = pose.mask.shape
    points_px, visibility = pose.landmarks[:, :2], pose.landmarks[:, 2]
    silhouette = tidy_silhouette(pose.mask, points_px[visibility > WELL_VISIBLE])
    if not silhouette.any():
        return None
    joints2d_px = points_px[list(COCO17_IN_33)]
    confidence = visibility[list(COCO17_IN_33)]
    confidence = np.where(inside_image(joints2d_px, width, height), confidence, 0)
    return Detection(silhouette, joints2d_px, confidence.astype(np.float32), tight_box(silhouette))
