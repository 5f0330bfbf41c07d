"""Shows rendered people to a detector, in their photo, in its mirror image or in a part of it."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evaluate.evaluator import MIN_IOU
from predict.detectors.interface import Detection, Detector
from predict.detectors.matching import box_overlaps
from predict.detectors.mirrored import mirror_detection
from scenes.random_people import neutral_body
from synthesis.detector_errors import measure_facing
from utils.cameras import boxes_of_points, project_perspective
from utils.files import round_to_steps
from utils.joints import COCO17_IN_90


class TruePerson(NamedTuple):
    """A rendered person; pixels are the photo's."""

    vertices_cam: Tensor  # (1, V, 3) metres
    cam_k: Tensor  # (1, 3, 3)
    joints2d_px: np.ndarray  # (17, 2)
    box: np.ndarray  # (4,) tight, of the bare body
    facing: float  # radians, see `synthesis.detector_errors.measure_facing`


class Window(NamedTuple):
    """What a detector is shown of a photo."""

    mirrored: bool
    frame: tuple[int, int, int, int]  # x0, y0, x1, y1 pixels of the photo as rendered


@torch.inference_mode()
def project_person(betas: Tensor, pose_rotmats: Tensor, cam_t: Tensor, cam_k: Tensor) -> TruePerson:
    """Where in the photo a person truly is.

    Args:
        betas: (N,) of the neutral open body.
        pose_rotmats: (24, 3, 3) joint rotations, the root's in the camera frame.
        cam_t: (3,) metres.
        cam_k: (3, 3) of the photo, pixels.
    """
    output = neutral_body()(betas[None], pose_rotmats[None])
    vertices_cam, cam_k = output.vertices + cam_t, cam_k[None]
    joints2d_px = project_perspective(output.joints3d[:, COCO17_IN_90] + cam_t, cam_k)
    box = boxes_of_points(project_perspective(vertices_cam, cam_k))
    return TruePerson(
        vertices_cam,
        cam_k,
        joints2d_px[0].numpy(),
        box[0].numpy(),
        measure_facing(output.joints3d).item(),
    )


def find_in_window(
    detector: Detector,
    image: np.ndarray,
    window: Window,
    person: TruePerson,
    min_iou: float = MIN_IOU,
) -> Detection | None:
    """The detection of a person in a window, see `put_back`; None where they are not found.

    Args:
        detector: looks at the window alone.
        image: (H, W, 3) uint8 RGB, the photo.
        window: of the photo.
        person: who is looked for.
        min_iou: of the detected and the true box.
    """
    box = clip_box(person.box, window.frame)
    x0, y0, x1, y1 = window.frame
    shown = image[y0:y1, x0:x1]
    shown = np.ascontiguousarray(shown[:, ::-1] if window.mirrored else shown)
    for detection in detector.detect(shown):
        found = put_back(detection, window)
        if box_overlaps(found.box[None], box[None]) > min_iou:
            return found
    return None


def put_back(detection: Detection, window: Window) -> Detection:
    """A detection in a window as one in the photo: mirrored back, in the photo's pixels.

    The silhouette still covers the window alone.
    """
    found = mirror_detection(detection) if window.mirrored else detection
    corner = np.array(window.frame[:2], dtype=np.float32)
    return replace(
        found, joints2d_px=found.joints2d_px + corner, box=found.box + np.tile(corner, 2)
    )


def clip_box(box: np.ndarray, frame: tuple[int, int, int, int]) -> np.ndarray:
    """The part of a box (4,) that lies in a frame; both pixels of the photo."""
    low, high = np.array(frame[:2] * 2), np.array(frame[2:] * 2)
    return box.clip(low, high)


def pack_floats(array: np.ndarray) -> np.ndarray:
    """Floats in steps of 1/4096, a sixteenth of a pixel of 256, and in 16 bits."""
    return round_to_steps(array, 1 / 4096, np.float16)
