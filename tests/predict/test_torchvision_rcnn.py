"""Mask R-CNN and Keypoint R-CNN: what is taken from them, and where their weights come from."""

from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.models import WeightsEnum
from torchvision.models.detection import keypointrcnn_resnet50_fpn
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from predict.detectors import registry
from predict.detectors import torchvision_rcnn as rcnn
from predict.detectors.matching import MaskCandidate, PoseCandidate, match_people
from predict.detectors.registry import DETECTORS, available_detectors, build_detector
from utils.errors import InputError
from utils.joints import COCO17

CPU = torch.device("cpu")
HEIGHT, WIDTH = 60, 80


def _objects(boxes: list[list[float]], labels: list[int], scores: list[float]) -> dict:
    """What both of torchvision's networks return, for boxes that are filled entirely."""
    masks = torch.zeros(len(boxes), 1, HEIGHT, WIDTH)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[0, int(y0) : int(y1), int(x0) : int(x1)] = 0.9
    corners = torch.tensor(boxes).reshape(-1, 4)
    shares = torch.linspace(0.1, 0.9, 17)[None, :, None]
    places = (1 - shares) * corners[:, None, :2] + shares * corners[:, None, 2:]  # (N, 17, 2)
    return {
        "boxes": corners,
        "labels": torch.tensor(labels),
        "scores": torch.tensor(scores),
        "masks": masks,
        "keypoints": torch.cat([places, torch.ones(len(boxes), 17, 1)], dim=-1),
        "keypoints_scores": torch.full((len(boxes), 17), 9.0),
    }


def test_only_sure_people_are_taken():
    boxes = [[10.0, 10, 30, 50], [40, 10, 70, 50], [10, 10, 30, 50], [0, 0, 80, 60]]
    found = _objects(boxes, labels=[1, 1, 62, 1], scores=[0.9, 0.5, 0.95, 0.49])
    masks, poses = rcnn.select_masks(found), rcnn.select_poses(found)
    for people in (masks, poses):
        assert [person.box.tolist() for person in people] == boxes[:2]
        assert [person.score for person in people] == pytest.approx([0.9, 0.5])
    assert masks[1].mask.shape == (HEIGHT, WIDTH)
    assert masks[1].mask.sum() == 30 * 40
    assert poses[0].joints2d_px.shape == (17, 2)
    np.testing.assert_allclose(poses[0].joints2d_px[0], [12, 14])  # a tenth of 20 x 40


def test_confidence_by_hand():
    logits = torch.tensor([2.0, 2 + np.log(3), 0.01, 0.0, -4.0, 16.0])
    expected = [0.5, 0.75, 1 / (1 + np.exp(1.99)), 0, 0, 1]
    np.testing.assert_allclose(rcnn.compute_confidence(logits), expected, atol=1e-4)


def test_people_of_both_networks_are_joined():
    """The networks list them in different order; one of them finds a third person."""
    left, right = [10.0, 10, 30, 50], [40.0, 10, 70, 50]
    masks = _objects([left, right, [0, 0, 9, 60]], [1, 1, 1], [0.9, 0.8, 0.7])
    poses = _objects([right, left], [1, 1], [0.9, 0.9])
    poses["keypoints_scores"][0, 3] = -1
    seen = []

    def mask_model(images: list[torch.Tensor]) -> list[dict]:
        seen.append(images[0])
        return [masks]

    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[5, 7] = (255, 51, 0)
    people = rcnn.detect_people(image[:, ::-1], mask_model, lambda images: [poses], CPU)
    assert [person.box.tolist() for person in people] == [right, left]
    np.testing.assert_allclose(people[0].joints2d_px[0], [43, 14])
    assert people[0].joint_confidence[3] == 0
    assert people[1].joint_confidence[3] > 0.99
    torch.testing.assert_close(seen[0][:, 5, WIDTH - 1 - 7], torch.tensor([1.0, 0.2, 0]))


def test_an_empty_photo_of_both_networks():
    nothing = _objects([], [], [])
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert rcnn.detect_people(image, lambda _: [nothing], lambda _: [nothing], CPU) == []


def test_a_heatmap_cell_is_returned_as_its_centre():
    """Torchvision's convention is ours: the cell that covers [i, i + 1) is returned as i + 0.5."""
    heatmaps = torch.full((1, 17, 56, 56), -10.0)
    heatmaps[0, :, 5, 3] = 4
    places, _ = heatmaps_to_keypoints(heatmaps, torch.tensor([[10.0, 20, 66, 76]]))
    np.testing.assert_allclose(places[0, 0, :2], [10 + 3.5, 20 + 5.5], atol=1e-5)


def test_joints_are_in_coco_order():
    assert tuple(rcnn.POSE_WEIGHTS.meta["keypoint_names"]) == COCO17
    assert rcnn.MASK_WEIGHTS.meta["categories"][rcnn.PERSON] == "person"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A folder with weights under the official names; random, but repeatable."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights")
    for build, weights in (
        (rcnn.build_mask_rcnn, rcnn.MASK_WEIGHTS),
        (rcnn.build_keypoint_rcnn, rcnn.POSE_WEIGHTS),
    ):
        torch.save(build().state_dict(), path / weights.url.rpartition("/")[2])
    yield path
    for file in path.iterdir():  # 0.4 GB
        file.unlink()


def test_the_real_networks_run(folder, monkeypatch):
    """Random weights find nobody unless they are told that everything is a person."""
    detector = build_detector("maskrcnn", CPU, folder)
    for model in (detector._mask_model, detector._pose_model):
        model.roi_heads.box_predictor.cls_score.bias.data[rcnn.PERSON] = 10
        # For speed: the photo's own size instead of 800, and few proposals.
        model.transform.min_size = (64,)
        model.rpn._post_nms_top_n["testing"] = 40
    found = {}

    def match(masks: list[MaskCandidate], poses: list[PoseCandidate], rules) -> list:
        found.update(masks=masks, poses=poses)
        return match_people(masks, poses, rules)

    monkeypatch.setattr(rcnn, "match_people", match)
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    assert isinstance(detector.detect(image), list)
    assert found["masks"][0].mask.shape == (48, 64)
    assert found["poses"][0].joints2d_px.shape == (17, 2)
    assert found["poses"][0].joint_confidence.shape == (17,)
    for candidates in found.values():
        assert 0 < len(candidates) <= rcnn.MAX_INSTANCES
        assert candidates[0].box.shape == (4,)
        assert 0.5 <= candidates[0].score <= 1


def test_the_pose_network_is_the_one_that_torchvision_builds(folder, monkeypatch):
    """Frozen normalisation and its epsilon included: same weights, same features."""
    path = folder / "keypointrcnn_resnet50_fpn_coco-fc266e95.pth"
    weights = torch.load(path, weights_only=True)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: weights)
    official = keypointrcnn_resnet50_fpn(weights=rcnn.POSE_WEIGHTS).eval()
    ours = rcnn.load_weights(rcnn.build_keypoint_rcnn(), path).eval()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, features = official.backbone(image), ours.backbone(image)
    for level, values in expected.items():
        assert torch.equal(features[level], values)
    epsilons = {module.eps for module in ours.modules() if hasattr(module, "eps")}
    assert epsilons == {0.0}


def test_without_weights_or_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))

    def no_network(url: str, *_) -> None:
        raise URLError("Name or service\nnot known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(InputError) as error:
        build_detector("maskrcnn", CPU, tmp_path)
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "https://download.pytorch.org/models/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        f"put it into {tmp_path}",
        "--silh_from mediapipe",
    ):
        assert part in message
    assert "needs maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth" in message


def test_weights_are_downloaded_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    downloads = []

    def download(url: str, path: str, hash_prefix: str) -> None:
        downloads.append((url, hash_prefix))
        Path(path).write_text("weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    first = rcnn.find_weights(rcnn.POSE_WEIGHTS, tmp_path)
    assert first == tmp_path / "cache/checkpoints/keypointrcnn_resnet50_fpn_coco-fc266e95.pth"
    assert rcnn.find_weights(rcnn.POSE_WEIGHTS, tmp_path) == first
    assert downloads == [(rcnn.POSE_WEIGHTS.url, "fc266e95")]
    (tmp_path / first.name).write_text("mine")
    assert rcnn.find_weights(rcnn.POSE_WEIGHTS, tmp_path) == tmp_path / first.name


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    for content in (b"", b"not weights", b"\x80\x02."):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"weights\.pth is not a .* torchvision's weights"):
            rcnn.load_weights(rcnn.build_keypoint_rcnn(), path)
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="download it again"):
        rcnn.load_weights(rcnn.build_keypoint_rcnn(), path)


def test_detectors_that_cannot_be_had_say_why(tmp_path, monkeypatch):
    def unavailable(url: str, *_) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unavailable)
    monkeypatch.setattr(
        registry, "DETECTORS",
        {"fake": lambda *_: "a detector", "maskrcnn": DETECTORS["maskrcnn"]},
    )  # fmt: skip
    found = available_detectors(CPU, tmp_path)
    assert found["fake"] == "a detector"
    assert "no network" in found["maskrcnn"].reason
