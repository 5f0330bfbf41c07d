"""What detectors on detectron2 share: one network for masks, Keypoint R-CNN for joints."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from predict.detectors.detectron import PersonNetwork, require_detectron2
from predict.detectors.detectron_weights import WeightsFile, load_weights, read_weights
from predict.detectors.interface import Detection
from predict.detectors.keypoint_rcnn import KeypointRcnn, find_weights
from predict.detectors.matching import MaskCandidate, match_people
from predict.detectors.rules import DetectorRules

if TYPE_CHECKING:
    from detectron2.config import CfgNode


class MaskAndPoseDetector:
    """Finds the people in a photo with one network for masks and one for joints.

    Args:
        device: where both networks run.
        checkpoints: folder with the weights.
        file: weights of the network for masks.
        with_config: from the weights read to the weights by their current names, and the
            configuration of the network that they are for.
        select_masks: the people among what that network found.
        rules: who counts as a person, and what of them.

    Raises:
        InputError: detectron2 or weights are missing, or the weights cannot be read.
    """

    def __init__(
        self,
        device: torch.device,
        checkpoints: Path,
        file: WeightsFile,
        with_config: Callable[[dict[str, Tensor]], tuple[dict[str, Tensor], "CfgNode"]],
        select_masks: Callable[[Any, DetectorRules], list[MaskCandidate]],
        rules: DetectorRules,
    ) -> None:
        require_detectron2()
        # Both files are looked for before a network is built: a missing one is reported soon.
        mask_path, pose_path = file.find(checkpoints), find_weights(checkpoints)
        weights, config = with_config(read_weights(mask_path, file))
        self._masks = PersonNetwork(config, device, rules.mask_score)
        load_weights(self._masks.module, weights, mask_path, file)
        self._poses = KeypointRcnn(device, pose_path, rules)
        self._select_masks, self._rules = select_masks, rules

    def detect(self, image: np.ndarray) -> list[Detection]:
        """See `Detector.detect`."""
        masks = self._select_masks(self._masks(image), self._rules)
        return match_people(masks, self._poses.poses(image), self._rules)
