"""MediaPipe Pose as the detector: silhouette and joints of one person from one network.

BlazePose (Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking", 2020). Its models
come inside the mediapipe 0.10.21 package, so that this detector needs no download.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

import numpy as np

from predict.detectors.interface import Detection
from predict.detectors.masks import tidy_silhouette, tight_box
from utils.cameras import inside_image
from utils.errors import InputError
from utils.joints import COCO17, indices_of

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
    """Finds the most prominent person of a photo.

    Raises:
        InputError: mediapipe is not installed or cannot be loaded on this machine.
    """

    def __init__(self, *_: object) -> None:
        # Neither device nor weights: its models are part of the package, and run on the CPU.
        self._quiet = True  # until the first person was found: only then has everything loaded
        with _silenced_stderr():
            try:
                from mediapipe.python.solutions.pose import Pose
            except ImportError as error:
                raise InputError(
                    f"--silh_from mediapipe cannot load mediapipe ({error}); install it with: "
                    "pip install mediapipe==0.10.21"
                ) from error
            self._pose = Pose(static_image_mode=True, model_complexity=1, enable_segmentation=True)
            # Its threads still load after this returns; a first image waits for them, and for
            # what they log.
            self._pose.process(np.zeros((64, 64, 3), dtype=np.uint8))

    def detect(self, image: np.ndarray) -> list[Detection]:
        """See `Detector.detect`; gives no person or one."""
        # MediaPipe wants rows in one piece, which a cropped or flipped view is not.
        image = np.ascontiguousarray(image)
        with _silenced_stderr() if self._quiet else contextlib.nullcontext():
            result = self._pose.process(image)
        if result.pose_landmarks is None or result.segmentation_mask is None:
            return []
        self._quiet = False
        landmarks = np.array(
            [(point.x, point.y, point.visibility) for point in result.pose_landmarks.landmark],
            dtype=np.float32,
        )  # (33, 3)
        return detection_of(landmarks, result.segmentation_mask)


def detection_of(landmarks: np.ndarray, mask: np.ndarray) -> list[Detection]:
    """One person's detection out of MediaPipe's output.

    Args:
        landmarks: (33, 3) x and y in [0, 1] across the photo (beyond it when out of frame) and
            visibility in [0, 1].
        mask: (H, W) float, probability of person.

    Returns:
        One detection, or none where the mask holds no person.
    """
    height, width = mask.shape
    points_px = landmarks[:, :2] * np.array([width, height], dtype=np.float32)
    silhouette = tidy_silhouette(mask, points_px[landmarks[:, 2] > WELL_VISIBLE])
    if not silhouette.any():
        return []
    joints2d_px = points_px[list(COCO17_IN_33)]
    confidence = landmarks[list(COCO17_IN_33), 2]
    confidence = np.where(inside_image(joints2d_px, width, height), confidence, 0)
    return [
        Detection(silhouette, joints2d_px, confidence.astype(np.float32), tight_box(silhouette))
    ]


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Sends file descriptor 2 nowhere: MediaPipe's C++ libraries log there whatever one asks."""
    if sys.stderr:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without a stderr has nothing to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
