"""Which thresholds reach detectron2's networks, with a made-up detectron2 that says what it got."""

import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from predict.detectors import keypoint_rcnn, mask_and_pose, pointrend
from predict.detectors.registry import build_detector
from predict.detectors.rules import OWN, PUBLISHED
from predict.detectors.torchvision_rcnn import build_keypoint_rcnn, build_mask_rcnn

CPU = torch.device("cpu")
BOX = slice(100, 300), slice(150, 250)  # rows and columns of the person whom both networks find


@dataclass
class _Found:
    """What a network found: one person, by detectron2's names."""

    image_size: tuple[int, int]
    scores: torch.Tensor
    pred_masks: torch.Tensor
    pred_keypoints: torch.Tensor
    pred_boxes = SimpleNamespace(tensor=torch.tensor([[150.0, 100, 250, 300]]))
    pred_classes = torch.zeros(1, dtype=torch.long)


class _Network(nn.Module):
    """Finds a person with a score, in a mask with a pinhole and with joints hard to see."""

    def __init__(self, config) -> None:
        super().__init__()
        self.config, self.score = config, config.score
        self.sizes = []

    def forward(self, inputs):
        size = inputs[0]["height"], inputs[0]["width"]
        self.sizes.append(size)
        mask = torch.zeros(1, *size, dtype=torch.bool)
        mask[0][BOX] = True
        mask[0, 200, 200] = False
        keypoints = torch.tensor([200.0, 200, 0.01]).repeat(1, 17, 1)
        keypoints[0, 0, 0] = -5  # outside the photo
        return [{"instances": _Found(size, torch.tensor([self.score]), mask, keypoints)}]


@pytest.fixture
def networks(monkeypatch):
    """The networks that were built, masks first; PointRend's is half sure, the other's surer."""
    built = []

    def build_model(config):
        built.append(_Network(config))
        return built[-1]

    def make_config(score):
        heads = SimpleNamespace(SCORE_THRESH_TEST=None)
        return SimpleNamespace(
            score=score,
            MODEL=SimpleNamespace(DEVICE=None, ROI_HEADS=heads),
            INPUT=SimpleNamespace(FORMAT="BGR", MIN_SIZE_TEST=1, MAX_SIZE_TEST=1),
        )

    unchanged = SimpleNamespace(
        get_transform=lambda _: SimpleNamespace(apply_image=lambda pixels: pixels)
    )
    modules = {name: ModuleType(name) for name in ("detectron2", "detectron2.data")}
    modules["detectron2.data.transforms"] = SimpleNamespace(ResizeShortestEdge=lambda *_: unchanged)
    modules["detectron2.modeling"] = SimpleNamespace(build_model=build_model)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for module in (mask_and_pose, keypoint_rcnn):
        monkeypatch.setattr(module, "read_weights", lambda *_: {})
        monkeypatch.setattr(module, "load_weights", lambda *_: None)
    monkeypatch.setattr(mask_and_pose, "require_detectron2", lambda: None)
    monkeypatch.setattr(mask_and_pose, "find_weights", lambda _: None)
    monkeypatch.setattr(type(pointrend.WEIGHTS), "find", lambda *_: None)
    monkeypatch.setattr(pointrend, "build_pointrend_config", lambda: make_config(0.3))
    monkeypatch.setattr(keypoint_rcnn, "read_zoo_config", lambda _: make_config(0.8))
    return built


def test_our_rules(networks):
    detector = build_detector("pointrend", CPU, rules=OWN)
    assert [network.config.MODEL.ROI_HEADS.SCORE_THRESH_TEST for network in networks] == [0.5, 0.5]
    photo = np.zeros((400, 320, 3), np.uint8)
    assert detector.detect(photo) == []  # the mask is not sure enough
    networks[0].score = 0.6
    (person,) = detector.detect(photo)
    assert networks[0].sizes == networks[1].sizes == [(400, 320)] * 2
    assert person.silhouette[BOX].all()  # the pinhole is filled
    assert not person.joint_confidence.any()
    assert person.framed is None


def test_the_released_rules(networks):
    detector = build_detector("pointrend", CPU, rules=PUBLISHED)
    thresholds = [network.config.MODEL.ROI_HEADS.SCORE_THRESH_TEST for network in networks]
    assert thresholds == [0.05, 0.7]
    photo = np.zeros((512, 512, 3), np.uint8)
    (person,) = detector.detect(photo)
    assert not person.silhouette[200, 200]
    np.testing.assert_allclose(person.joint_confidence, 0.01)  # outside the photo too
    detector.detect(photo[:300, :200])
    assert networks[0].sizes == networks[1].sizes == [(512, 512)] * 2
    networks[1].score = 0.69  # enough for us
    assert detector.detect(photo) == []


def test_torchvisions_networks_have_the_same_thresholds():
    for rules in (OWN, PUBLISHED):
        with torch.device("meta"):  # without their weights
            masks, poses = build_mask_rcnn(rules.mask_score), build_keypoint_rcnn(rules.pose_score)
        assert masks.roi_heads.score_thresh == rules.mask_score
        assert poses.roi_heads.score_thresh == rules.pose_score
