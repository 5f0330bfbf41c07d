"""detectron2's Keypoint R-CNN: where people's joints are, for detectors whose network gives masks.

He et al., "Mask R-CNN", ICCV 2017, section 5, in the R50-FPN 3x configuration of detectron2's model
zoo, which knows people alone and COCO's 17 joints.
"""

import logging
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from predict.detectors.detectron import (
    Found,
    PersonNetwork,
    read_zoo_config,
    select_people,
)
from predict.detectors.detectron_weights import WeightsFile, load_weights, read_weights
from predict.detectors.matching import PoseCandidate
from predict.detectors.rules import OWN, DetectorRules
from utils.cameras import inside_image

WEIGHTS = WeightsFile(
    "Keypoint R-CNN R50-FPN 3x",
    "keypoint_rcnn_R_50_fpn",
    "https://dl.fbaipublicfiles.com/detectron2/COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x/137849621/"
    "model_final_a6e10b.pkl",
)
CONFIG = "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml"
SEEN = 0.05  # probability in the heatmap's peak from which detectron2 draws a joint


class FoundPoses(Found, Protocol):
    """Adds pred_keypoints, (N, 17, 3): x and y in pixels of the photo, probability."""

    pred_keypoints: Tensor


class KeypointRcnn:
    """Finds people's joints in a photo.

    Args:
        device: where the network runs.
        weights_path: as `find_weights` returns it.
        rules: who counts as a person, and which joints.

    Raises:
        InputError: the weights cannot be read or are something else's.
    """

    def __init__(self, device: torch.device, weights_path: Path, rules: DetectorRules) -> None:
        weights = read_weights(weights_path, WEIGHTS)
        self.network = PersonNetwork(read_zoo_config(CONFIG), device, rules.pose_score)
        load_weights(self.network.module, weights, weights_path, WEIGHTS)
        self._rules = rules

    def poses(self, image: np.ndarray) -> list[PoseCandidate]:
        """The people in `image`, (H, W, 3) uint8 RGB, in any order."""
        return select_poses(self.network(image), self._rules)


def select_poses(found: FoundPoses, rules: DetectorRules = OWN) -> list[PoseCandidate]:
    """The people that Keypoint R-CNN found.

    Positions need no half-pixel correction: detectron2 adds 0.5 to COCO's pixel numbers when it
    reads them for training and places a heatmap cell at its centre, so that pixel i covers
    [i, i + 1), as here.
    """
    people = select_people(found, rules.pose_score)
    boxes, scores = (
        values[people].cpu().numpy() for values in (found.pred_boxes.tensor, found.scores)
    )
    height, width = found.image_size
    candidates = []
    for joints, box, score in zip(
        found.pred_keypoints[people].cpu().numpy(), boxes, scores, strict=True
    ):
        joints2d_px, probability = joints[:, :2], joints[:, 2]
        inside = inside_image(joints2d_px, width, height)
        seen = rules.every_joint | ((probability >= SEEN) & inside)
        # Interpolating the heatmap may lift its peak above 1.
        confidence = np.where(seen, probability.clip(max=1), 0).astype(np.float32)
        candidates.append(PoseCandidate(joints2d_px, confidence, box, float(score)))
    return candidates


def find_weights(checkpoints: Path) -> Path:
    """The weights: in `checkpoints`, else in detectron2's cache, else downloaded there.

    Raises:
        InputError: they are in neither place and cannot be downloaded.
    """
    path = WEIGHTS.in_folder(checkpoints)
    return path if path is not None else _cached_weights(checkpoints)


def _cached_weights(checkpoints: Path) -> Path:
    from detectron2.utils.file_io import PathManager

    logging.getLogger("iopath.common.download").setLevel(logging.CRITICAL)  # said below
    try:
        return Path(PathManager.get_local_path(WEIGHTS.url))
    except OSError as error:
        reason = " ".join(str(error).split())
        raise WEIGHTS.missing(checkpoints, f"and downloading it failed ({reason})") from error
