"""DensePose for silhouettes and Keypoint R-CNN for joints, both on detectron2.

The network, R101-FPN trained with the s1x schedule, and its paper: `densepose_head`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from predict.detectors.densepose_head import (
    ROI_SAMPLES,
    register_roi_heads,
    silhouette_in_photo,
)
from predict.detectors.detectron import (
    Found,
    PersonNetwork,
    people_in,
    require_detectron2,
    zoo_config,
)
from predict.detectors.detectron_weights import WeightsFile, load_weights, read_weights
from predict.detectors.interface import Detection
from predict.detectors.keypoint_rcnn import KeypointRcnn, find_weights
from predict.detectors.matching import MaskCandidate, match_people

if TYPE_CHECKING:
    from detectron2.config import CfgNode

WEIGHTS = WeightsFile(
    "DensePose R101-FPN s1x",
    "densepose_rcnn_R_101_fpn_s1x",
    "https://dl.fbaipublicfiles.com/densepose/densepose_rcnn_R_101_FPN_s1x/165712084/"
    "model_final_c6ab63.pkl",
)
_COARSE_WEIGHTS = "roi_heads.densepose_predictor.ann_index_lowres.weight"
_DECODER_PREFIX = "roi_heads.decoder."


class FoundCharts(Found, Protocol):
    """Adds densepose_coarse and densepose_fine, (N, classes, S, S) scores in the boxes."""

    densepose_coarse: Tensor
    densepose_fine: Tensor


class DensePoseDetector:
    """Finds the people in a photo with one network for silhouettes and one for joints.

    Args:
        device: where both networks run.
        checkpoints: folder with the weights.

    Raises:
        InputError: detectron2 or weights are missing, or the weights cannot be read.
    """

    def __init__(self, device: torch.device, checkpoints: Path) -> None:
        """Loads both networks."""
        require_detectron2()
        # Both files are looked for before a network is built, so that missing ones are told soon.
        mask_path, pose_path = WEIGHTS.find(checkpoints), find_weights(checkpoints)
        weights = read_weights(mask_path, WEIGHTS)
        self._masks = PersonNetwork(densepose_config(weights), device)
        load_weights(self._masks.module, weights, mask_path, WEIGHTS)
        self._poses = KeypointRcnn(device, pose_path)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """See `Detector.detect`."""
        return match_people(masks_of(self._masks(image)), self._poses.poses(image))


def masks_of(found: FoundCharts) -> list[MaskCandidate]:
    """The people that DensePose found."""
    people = people_in(found)
    height, width = found.image_size
    return [
        MaskCandidate(
            silhouette_in_photo(coarse, fine, box, height, width).cpu().numpy(),
            box.cpu().numpy(),
            float(score),
        )
        for coarse, fine, box, score in zip(
            found.densepose_coarse[people],
            found.densepose_fine[people],
            found.pred_boxes.tensor[people],
            found.scores[people],
            strict=True,
        )
    ]


def densepose_config(weights: Mapping[str, Tensor]) -> "CfgNode":
    """The configuration of the published network to which the weights belong, by their names."""
    from detectron2.config import CfgNode

    config = zoo_config("Base-RCNN-FPN.yaml")
    config.MODEL.RESNETS.DEPTH = 101
    config.MODEL.ROI_HEADS.NAME = register_roi_heads()
    config.MODEL.ROI_HEADS.NUM_CLASSES = 1
    config.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = ROI_SAMPLES
    config.MODEL.ROI_BOX_HEAD.POOLER_TYPE = "ROIAlign"
    decoder = any(name.startswith(_DECODER_PREFIX) for name in weights)
    coarse = weights.get(_COARSE_WEIGHTS)  # (512, coarse classes, 4, 4)
    config.MODEL.ROI_DENSEPOSE_HEAD = CfgNode(
        {
            "DECODER_ON": decoder,
            "POOLER_RESOLUTION": 28 if decoder else 14,
            "NUM_COARSE_SEGM_CHANNELS": (
                coarse.shape[1] if coarse is not None and coarse.ndim == 4 else 2
            ),
        }
    )
    return config
