"""Mask R-CNN and Keypoint R-CNN of torchvision as the detector: as many people as there are.

He et al., "Mask R-CNN", ICCV 2017. torchvision is installed with torch; the official weights,
trained on COCO, are two files of 0.4 GB together that are downloaded when first asked for.

The masks come from the second version of torchvision's Mask R-CNN: its mask AP on COCO is 41.8
against 34.6, for 2.5 times the work. Half of what the network sees is the silhouette, and body
shape shows in nothing else.
"""

from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlparse

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.detection import (
    KeypointRCNN,
    KeypointRCNN_ResNet50_FPN_Weights,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from predict.detectors.interface import Detection
from predict.detectors.masks import MASK_THRESHOLD
from predict.detectors.matching import MaskCandidate, PoseCandidate, match_people
from predict.detectors.rules import OWN, DetectorRules
from utils.errors import InputError
from utils.joints import COCO17
from utils.readers import reading
from utils.torch_files import check_tensors, read_torch

MASK_WEIGHTS = MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
POSE_WEIGHTS = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1
PERSON = 1  # label in both networks
MAX_INSTANCES = 30  # in one photo: each has a mask of the photo's size
# Keypoint R-CNN's scores are inputs of a softmax over places, not probabilities of being visible;
# its authors' Detectron draws a joint from 2 on. Joints in plain sight score 5 to 17.
SURE_LOGIT = 2.0
UNSEEN_LOGIT = 0.0


class RcnnModel(Protocol):
    """What torchvision's detection models do when evaluated."""

    def __call__(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Objects in each image, (3, H, W) RGB in [0, 1], by torchvision's names."""
        ...


class MaskRcnnDetector:
    """Finds the people in a photo with one network for masks and one for joints.

    Args:
        device: where both networks run.
        checkpoints: folder that is looked into for the weights before torch's own.
        rules: who counts as a person, and what of them.

    Raises:
        InputError: weights are neither there nor to be downloaded, or cannot be read.
    """

    def __init__(self, device: torch.device, checkpoints: Path, rules: DetectorRules = OWN) -> None:
        # Both files are looked for before a network is built: a missing one is reported soon.
        mask_weights, pose_weights = (
            find_weights(weights, checkpoints) for weights in (MASK_WEIGHTS, POSE_WEIGHTS)
        )
        mask_model, pose_model = (
            build_mask_rcnn(rules.mask_score), build_keypoint_rcnn(rules.pose_score)
        )  # fmt: skip
        self._mask_model = load_weights(mask_model, mask_weights).eval().to(device)
        self._pose_model = load_weights(pose_model, pose_weights).eval().to(device)
        self._device, self._rules = device, rules

    def detect(self, image: np.ndarray) -> list[Detection]:
        """See `Detector.detect`."""
        return detect_people(image, self._mask_model, self._pose_model, self._device, self._rules)


@torch.inference_mode()
def detect_people(
    image: np.ndarray,
    mask_model: RcnnModel,
    pose_model: RcnnModel,
    device: torch.device,
    rules: DetectorRules = OWN,
) -> list[Detection]:
    """Runs both networks and joins what they found; see `Detector.detect`."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    pixels = pixels.permute(2, 0, 1).float() / 255  # (3, H, W)
    masks = select_masks(mask_model([pixels])[0], rules)
    return match_people(masks, select_poses(pose_model([pixels])[0], rules), rules)


def select_masks(found: dict[str, Tensor], rules: DetectorRules = OWN) -> list[MaskCandidate]:
    """The people among the objects that Mask R-CNN found.

    Args:
        found: boxes (N, 4) pixels, labels (N,), scores (N,), masks (N, 1, H, W) in [0, 1].
        rules: who counts as a person.
    """
    people = _select_people(found, rules.mask_score)
    masks = (found["masks"][people, 0] > MASK_THRESHOLD).cpu().numpy()
    boxes, scores = (found[key][people].cpu().numpy() for key in ("boxes", "scores"))
    return [
        MaskCandidate(mask, box, float(score))
        for mask, box, score in zip(masks, boxes, scores, strict=True)
    ]


def select_poses(found: dict[str, Tensor], rules: DetectorRules = OWN) -> list[PoseCandidate]:
    """The people that Keypoint R-CNN found.

    Its positions need no change: the centre of a heatmap's first cell is returned as half a cell,
    so that pixel i covers [i, i + 1), as here.

    Args:
        found: boxes (N, 4) pixels, labels (N,), scores (N,), keypoints (N, 17, 3) x and y in pixels
            and a 1, keypoints_scores (N, 17) logits.
        rules: who counts as a person.
    """
    people = _select_people(found, rules.pose_score)
    confidence = compute_confidence(found["keypoints_scores"][people]).cpu().numpy()
    joints2d_px = found["keypoints"][people, :, :2].cpu().numpy()
    boxes, scores = (found[key][people].cpu().numpy() for key in ("boxes", "scores"))
    return [
        PoseCandidate(*each[:3], score=float(each[3]))
        for each in zip(joints2d_px, confidence, boxes, scores, strict=True)
    ]


def compute_confidence(logits: Tensor) -> Tensor:
    """Keypoint R-CNN's scores as confidences.

    Args:
        logits: any shape.

    Returns:
        The logistic function of `logits - SURE_LOGIT`: 0.5 where Detectron begins to draw a joint;
        exactly 0, not seen, from `UNSEEN_LOGIT` down (which would be 0.12).
    """
    return torch.where(logits > UNSEEN_LOGIT, torch.sigmoid(logits - SURE_LOGIT), 0.0)


def _select_people(found: dict[str, Tensor], min_score: float) -> Tensor:
    return (found["labels"] == PERSON) & (found["scores"] >= min_score)


def build_mask_rcnn(min_score: float = OWN.mask_score) -> nn.Module:
    """Mask R-CNN for `MASK_WEIGHTS`, not loaded, reporting what it believes from a score on."""
    return maskrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None,
        box_score_thresh=min_score, box_detections_per_img=MAX_INSTANCES,
    )  # fmt: skip


def build_keypoint_rcnn(min_score: float = OWN.pose_score) -> nn.Module:
    """Keypoint R-CNN for `POSE_WEIGHTS`, not loaded, reporting whom it believes from a score on."""
    # torchvision's own builder freezes the normalisation, with an epsilon of 0 as these weights
    # were trained with, only when it may load the weights itself.
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=partial(FrozenBatchNorm2d, eps=0.0)
    )
    return KeypointRCNN(
        backbone, num_classes=2, num_keypoints=len(COCO17),
        box_score_thresh=min_score, box_detections_per_img=MAX_INSTANCES,
    )  # fmt: skip


def find_weights(weights: WeightsEnum, checkpoints: Path) -> Path:
    """The file of official weights: in `checkpoints`, else in torch's cache, else downloaded there.

    Raises:
        InputError: it is in neither place and cannot be downloaded.
    """
    name = Path(urlparse(weights.url).path).name
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    for path in (checkpoints / name, cached):
        if path.is_file():
            return path
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        # The end of the name is the beginning of the file's SHA-256.
        hash_prefix = cached.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(weights.url, str(cached), hash_prefix)
    except (OSError, RuntimeError) as error:  # no network, no space, or a wrong file
        reason = " ".join(str(error).split())
        raise InputError(
            f"--silh_from maskrcnn needs {name}, which could not be downloaded ({reason}); get "
            f"{weights.url} and put it into {checkpoints}, or use --silh_from mediapipe, which "
            "needs nothing"
        ) from error
    return cached


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """The model with a file of weights loaded strictly, without running code from the file.

    Raises:
        InputError: the file cannot be read or holds the weights of something else.
    """
    kind = "file of torchvision's weights of that name"
    advice = "delete it and download it again"
    with reading(path, kind, advice):
        model.load_state_dict(check_tensors(read_torch(path, kind, advice)))
    return model
