"""PointRend for silhouettes and Keypoint R-CNN for joints, both on detectron2.

Kirillov et al., "PointRend: Image Segmentation as Rendering", CVPR 2020: its instance segmentation
of COCO's 80 classes, R50-FPN, trained with the 3x schedule, which detectron2 brings along.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

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
    "PointRend R50-FPN 3x",
    "pointrend_rcnn_R_50_fpn",
    "https://dl.fbaipublicfiles.com/detectron2/PointRend/InstanceSegmentation/"
    "pointrend_rcnn_R_50_FPN_3x_coco/164955410/model_final_edd263.pkl",
)
# Parameter names of 2020, in which the weights were published, and what became of them. detectron2
# converts them only for a configuration of that time, and then reports no name that is left over.
_RENAMED = (
    ("roi_heads.mask_coarse_head.", "roi_heads.mask_head.coarse_head."),
    ("roi_heads.mask_point_head.", "roi_heads.mask_head.point_head."),
    ("roi_heads.mask_head.coarse_head.coarse_mask_fc", "roi_heads.mask_head.coarse_head.fc"),
)


class FoundMasks(Found, Protocol):
    """Adds pred_masks, (N, H, W) bool, of the whole photo."""

    pred_masks: Tensor


class PointRendDetector(MaskAndPoseDetector):
    """Finds the people in a photo; see `MaskAndPoseDetector`."""

    def __init__(self, device: torch.device, checkpoints: Path, rules: DetectorRules = OWN) -> None:
        super().__init__(
            device,
            checkpoints,
            WEIGHTS,
            lambda weights: (rename_weights(weights), build_pointrend_config()),
            select_masks,
            rules,
        )


def select_masks(found: FoundMasks, rules: DetectorRules = OWN) -> list[MaskCandidate]:
    """The people among the objects that PointRend found."""
    people = select_people(found, rules.mask_score)
    masks, boxes, scores = (
        values[people].cpu().numpy()
        for values in (found.pred_masks, found.pred_boxes.tensor, found.scores)
    )
    return [
        MaskCandidate(mask, box, float(score))
        for mask, box, score in zip(masks, boxes, scores, strict=True)
    ]


def build_pointrend_config() -> "CfgNode":
    """The configuration of the published network: detectron2 packs PointRend's code without it."""
    from detectron2.projects.point_rend import add_pointrend_config

    config = read_zoo_config("Base-RCNN-FPN.yaml")
    add_pointrend_config(config)
    config.MODEL.MASK_ON = True
    config.MODEL.ROI_MASK_HEAD.NAME = "PointRendMaskHead"
    config.MODEL.ROI_MASK_HEAD.POOLER_TYPE = ""  # the head itself samples the features
    config.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = True
    return config


def rename_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """PointRend's weights by the names that detectron2 gives them now, whichever they had."""
    return {_rename_weight(name): values for name, values in weights.items()}


def _rename_weight(name: str) -> str:
    for old, new in _RENAMED:
        if name.startswith(old):
            name = new + name.removeprefix(old)
    return name
