"""DensePose for silhouettes and Keypoint R-CNN for joints, both on detectron2.

The network, R101-FPN trained with the s1x schedule, and its paper: `densepose_head`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from predict.detectors.densepose_head import (
    ROI_SAMPLES,
    paste_silhouette,
    register_roi_heads,
)
from predict.detectors.detectron import (
    Found,
    read_zoo_config,
    select_people,
)
from predict.detectors.detectron_weights import WeightsFile
from predict.detectors.mask_and_pose import MaskAndPoseDetector
from predict.detectors.matching import MaskCandidate
from predict.detectors.rules import OWN, DetectorRules

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


class DensePoseDetector(MaskAndPoseDetector):
    """Finds the people in a photo; see `MaskAndPoseDetector`."""

    def __init__(self, device: torch.device, checkpoints: Path, rules: DetectorRules = OWN) -> None:
        super().__init__(
            device,
            checkpoints,
            WEIGHTS,
            lambda weights: (weights, build_densepose_config(weights)),
            select_masks,
            rules,
        )


def select_masks(found: FoundCharts, rules: DetectorRules = OWN) -> list[MaskCandidate]:
    """The people that DensePose found."""
    people = select_people(found, rules.mask_score)
    height, width = found.image_size
    return [
        MaskCandidate(
            paste_silhouette(coarse, fine, box, height, width).cpu().numpy(),
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


def build_densepose_config(weights: Mapping[str, Tensor]) -> "CfgNode":
    """The configuration of the published network to which the weights belong, by their names."""
    from detectron2.config import CfgNode

    config = read_zoo_config("Base-RCNN-FPN.yaml")
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
