"""detectron2's detectors: weights files, what is made of the networks' output, and the networks.

The networks need detectron2 and are skipped without it; they have random weights and few channels.
"""

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from predict.detectors import densepose, detectron, keypoint_rcnn, pointrend
from predict.detectors.densepose import DensePoseDetector
from predict.detectors.densepose_head import (
    ChartPredictor,
    PyramidDecoder,
    StackedConvHead,
    paste_silhouette,
)
from predict.detectors.detectron_weights import WeightsFile, load_weights, read_weights
from predict.detectors.pointrend import PointRendDetector, rename_weights
from utils.errors import InputError

CPU = torch.device("cpu")
FILE = WeightsFile("Some network", "some_network", "https://example.org/some_network.pkl")
DETECTORS = {"pointrend": PointRendDetector, "densepose": DensePoseDetector}


@dataclass
class FakeFound:
    """detectron2's `Instances` by the names that are used here."""

    image_size: tuple[int, int]
    boxes: torch.Tensor
    pred_classes: torch.Tensor
    scores: torch.Tensor
    pred_masks: torch.Tensor | None = None
    pred_keypoints: torch.Tensor | None = None
    densepose_coarse: torch.Tensor | None = None
    densepose_fine: torch.Tensor | None = None

    @property
    def pred_boxes(self):
        return SimpleNamespace(tensor=self.boxes)


def _three_found(**fields) -> FakeFound:
    """A sure person, a dog and a doubtful person in a photo of 20 x 30 pixels."""
    boxes = torch.tensor([[2.0, 3, 12, 13], [0, 0, 30, 20], [5, 5, 9, 9]])
    scores = torch.tensor([0.9, 0.95, 0.49])
    return FakeFound((20, 30), boxes, torch.tensor([0, 16, 0]), scores, **fields)


def _write_pickle(path: Path, content, protocol=4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def _format_error(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Weights files


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_published_form_is_read(tmp_path, protocol):
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([7])}
    content = {"model": arrays, "__author__": "somebody", "matching_heuristics": True}
    path = _write_pickle(tmp_path / "some_network.pkl", content, protocol)
    weights = read_weights(path, FILE)
    assert weights.keys() == arrays.keys()
    torch.testing.assert_close(weights["a.weight"], torch.tensor([[0.0, 1, 2], [3, 4, 5]]))


def test_torch_file_is_read(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "iteration": 3}, tmp_path / "some_network.pth")
    path = FILE.find(tmp_path)
    assert path.suffix == ".pth"
    torch.testing.assert_close(read_weights(path, FILE), {"a": torch.ones(2)})


def test_malicious_pickle_is_refused_before_it_acts(tmp_path):
    class Malicious:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was_here",)

    path = _write_pickle(tmp_path / "some_network.pkl", {"model": {"a": Malicious()}})
    with pytest.raises(InputError, match=r"asks for pathlib\.\S+, which is refused") as error:
        read_weights(path, FILE)
    assert FILE.url in _format_error(error)
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a pickle", id="text"),
        pytest.param(b"<html>\n<body>404</body>", id="web page"),
        pytest.param(pickle.dumps({"model": {"a": np.ones(3)}}, 2)[:-20], id="cut off"),
        pytest.param(pickle.dumps([1, 2], 2), id="list"),
        pytest.param(pickle.dumps({"model": {}}, 2), id="no arrays"),
        pytest.param(pickle.dumps({"model": {"a": "text"}}, 2), id="no numbers"),
    ],
)
@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_what_holds_no_weights_is_told_in_one_line(tmp_path, content, suffix):
    path = tmp_path / f"some_network{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="the weights of Some network") as error:
        read_weights(path, FILE)
    assert FILE.url in _format_error(error)


def test_missing_weights_are_told_with_place_and_source(tmp_path):
    with pytest.raises(InputError, match=r"some_network\.pkl, which is not there") as error:
        FILE.find(tmp_path)
    message = _format_error(error)
    assert str(tmp_path / "some_network.pkl") in message
    assert FILE.url in message
    assert "--silh_from mediapipe" in message


def test_weights_load_strictly_but_for_what_old_files_hold_besides():
    network = nn.Sequential(nn.Linear(2, 1))
    good = {"0.weight": torch.tensor([[3.0, 4]]), "0.bias": torch.tensor([5.0])}
    old = {
        "pixel_mean": torch.ones(3, 1, 1),
        "proposal_generator.anchor_generator.cell_anchors.0": torch.ones(3, 4),
    }
    load_weights(network, good | old, Path("x.pkl"), FILE)
    assert network(torch.tensor([[1.0, 10]])).item() == 48  # 3 + 40 + 5
    for weights, told in (
        ({"0.weight": good["0.weight"]}, r"1 of its arrays are missing, 0\.bias"),
        (good | {"1.bias": torch.ones(1)}, r"1 of its arrays are not part of it, 1\.bias"),
        (good | {"0.bias": torch.ones(2)}, r"0\.bias is \(2,\), expected \(1,\)"),
    ):
        with pytest.raises(InputError, match=told) as error:
            load_weights(network, weights, Path("x.pkl"), FILE)
        assert FILE.url in _format_error(error)


def test_names_of_2020_become_current_ones():
    old = {
        "backbone.fpn_lateral2.weight": 1,
        "roi_heads.mask_coarse_head.coarse_mask_fc1.weight": 2,
        "roi_heads.mask_coarse_head.prediction.bias": 3,
        "roi_heads.mask_point_head.fc1.weight": 4,
    }
    new = {
        "backbone.fpn_lateral2.weight": 1,
        "roi_heads.mask_head.coarse_head.fc1.weight": 2,
        "roi_heads.mask_head.coarse_head.prediction.bias": 3,
        "roi_heads.mask_head.point_head.fc1.weight": 4,
    }
    assert rename_weights(old) == new
    assert rename_weights(new) == new


# What is made of the networks' output


def test_only_sure_people_have_masks():
    masks = torch.zeros(3, 20, 30, dtype=torch.bool)
    masks[0, 3:13, 2:12] = True
    (candidate,) = pointrend.select_masks(_three_found(pred_masks=masks))
    np.testing.assert_array_equal(candidate.mask, masks[0].numpy())
    np.testing.assert_array_equal(candidate.box, [2, 3, 12, 13])
    assert candidate.score == pytest.approx(0.9)


def test_improbable_joints_and_those_outside_count_as_unseen():
    keypoints = torch.zeros(3, 17, 3)
    keypoints[..., :2] = torch.tensor([4.5, 6.5])
    keypoints[..., 2] = 0.3
    keypoints[0, 1, 2] = 0.049
    keypoints[0, 2, 2] = 0.05
    keypoints[0, 3, 2] = 1.2  # an interpolated peak
    keypoints[0, 4, 0] = 30.0  # the photo's far edge
    (candidate,) = keypoint_rcnn.select_poses(_three_found(pred_keypoints=keypoints))
    expected = np.full(17, 0.3, dtype=np.float32)
    expected[1:5] = 0, 0.05, 1, 0
    np.testing.assert_array_equal(candidate.joint_confidence, expected)
    np.testing.assert_array_equal(candidate.joints2d_px, keypoints[0, :, :2].numpy())
    assert candidate.joints2d_px.dtype == candidate.joint_confidence.dtype == np.float32


def test_nothing_found_gives_no_candidates():
    none = FakeFound(
        (20, 30), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0),
        torch.zeros(0, 20, 30, dtype=torch.bool), torch.zeros(0, 17, 3),
        torch.zeros(0, 2, 8, 8), torch.zeros(0, 25, 8, 8),
    )  # fmt: skip
    assert (
        pointrend.select_masks(none)
        == keypoint_rcnn.select_poses(none)
        == densepose.select_masks(none)
        == []
    )


def test_networks_get_the_colour_order_they_want():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(detectron.order_colours(image, "RGB"), image)
    swapped = detectron.order_colours(image[:, ::-1], "BGR")
    np.testing.assert_array_equal(swapped[0, 0], [11, 10, 9])  # blue first
    assert swapped.flags.c_contiguous


def test_densepose_silhouette_needs_both_segmentations_to_say_person():
    # Scores at the box's own size of 4 x 2 cells, so that nothing is interpolated.
    coarse, fine = torch.zeros(2, 4, 2), torch.zeros(25, 4, 2)
    coarse[1, :3] = 1  # person in the upper three rows
    fine[7, 1:] = 1  # a part in the lower three rows
    box = torch.tensor([3.9, 2.2, 6.6, 6.5])  # cut down to x 3 to 5, y 2 to 6
    silhouette = paste_silhouette(coarse, fine, box, 10, 8)
    expected = torch.zeros(10, 8, dtype=torch.bool)
    expected[3:5, 3:5] = True
    assert torch.equal(silhouette, expected)


def test_densepose_scores_are_enlarged_before_the_best_class_is_taken():
    coarse, fine = torch.zeros(2, 1, 2), torch.zeros(25, 1, 2)
    coarse[1] = 1
    fine[0, 0] = torch.tensor([1.0, 0])  # background wins on the left ...
    fine[3, 0] = torch.tensor([0.0, 5])  # ... part 3 on the right, five times as surely
    # Enlarged to 4 cells, background has 1, 3/4, 1/4, 0 and part 3 has 0, 5/4, 15/4, 5.
    silhouette = paste_silhouette(coarse, fine, torch.tensor([0.0, 0, 4, 1]), 1, 4)
    assert silhouette.tolist() == [[False, True, True, True]]


def test_densepose_box_thinner_than_a_pixel_covers_one():
    scores = torch.ones(2, 4, 4) * torch.tensor([0.0, 1]).view(2, 1, 1)
    silhouette = paste_silhouette(scores, scores, torch.tensor([4.2, 0.0, 4.9, 2.0]), 3, 5)
    assert silhouette.nonzero().tolist() == [[0, 4], [1, 4]]


def test_densepose_candidates_are_people_in_the_photo():
    coarse, fine = torch.zeros(3, 2, 8, 8), torch.zeros(3, 25, 8, 8)
    coarse[:, 1] = fine[:, 1] = 1
    (candidate,) = densepose.select_masks(
        _three_found(densepose_coarse=coarse, densepose_fine=fine)
    )
    expected = np.zeros((20, 30), dtype=bool)
    expected[3:13, 2:12] = True
    np.testing.assert_array_equal(candidate.mask, expected)


def test_densepose_layers_have_the_published_names_and_sizes():
    head, predictor = StackedConvHead(256), ChartPredictor(coarse_classes=15)
    shapes = {name: tuple(values.shape) for name, values in predictor.state_dict().items()}
    assert shapes["ann_index_lowres.weight"] == (512, 15, 4, 4)
    assert shapes["index_uv_lowres.weight"] == shapes["u_lowres.weight"] == (512, 25, 4, 4)
    assert shapes["v_lowres.bias"] == (25,)
    names = {f"body_conv_fcn{n}.{kind}" for n in range(1, 9) for kind in ("weight", "bias")}
    assert set(head.state_dict()) == names
    coarse, fine = predictor(head(torch.zeros(1, 256, 3, 3)))
    assert coarse.shape == (1, 15, 12, 12)
    assert fine.shape == (1, 25, 12, 12)


def test_densepose_decoder_brings_levels_together():
    decoder = PyramidDecoder({"p2": 4, "p3": 8, "p4": 16}, in_channels=3)
    names = {name.rpartition(".")[0] for name in decoder.state_dict()}
    assert names == {"p2.0", "p3.0", "p4.0", "p4.2", "predictor"}
    levels = {
        "p2": torch.ones(1, 3, 8, 4),
        "p3": torch.ones(1, 3, 4, 2),
        "p4": torch.ones(1, 3, 2, 1),
    }
    assert decoder(levels).shape == (1, 256, 8, 4)


@pytest.mark.parametrize("name", DETECTORS)
def test_missing_detectron2_is_told_with_the_command(tmp_path, name):
    with (
        mock.patch.dict(sys.modules, {"detectron2": None, "detectron2.config": None}),
        pytest.raises(InputError, match=r"--silh_from .*need detectron2") as error,
    ):
        DETECTORS[name](CPU, tmp_path)
    message = _format_error(error)
    assert (
        "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"
        in message
    )
    assert "--silh_from mediapipe" in message


# The networks, on detectron2


def _narrow(read_zoo_config):
    """`read_zoo_config`, but for networks of few channels that look at small pictures."""

    def config_of(name: str):
        config = read_zoo_config(name)
        config.MODEL.RESNETS.STEM_OUT_CHANNELS = 8
        config.MODEL.RESNETS.WIDTH_PER_GROUP = 4
        config.MODEL.RESNETS.RES2_OUT_CHANNELS = 16
        config.MODEL.ROI_BOX_HEAD.FC_DIM = 8
        config.MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS = (8,)
        config.INPUT.MIN_SIZE_TEST = 96
        config.TEST.DETECTIONS_PER_IMAGE = 5
        return config

    return config_of


@pytest.fixture(scope="module")
def narrow_networks():
    pytest.importorskip("detectron2", reason="detectron2 is not installed")
    with pytest.MonkeyPatch.context() as patch:
        for module in (keypoint_rcnn, pointrend, densepose):
            patch.setattr(module, "read_zoo_config", _narrow(detectron.read_zoo_config))
        detectron.require_detectron2()
        yield


def _random_weights(config) -> dict[str, np.ndarray]:
    """A network's arrays by name, such that it believes every proposal to be a person."""
    torch.manual_seed(0)
    weights = detectron.PersonNetwork(config, CPU, 0.5).module.state_dict()
    weights["roi_heads.box_predictor.cls_score.bias"][0] = 10
    for name, values in weights.items():
        if name.endswith("norm.weight"):
            values.fill_(0.5)  # else what is not trained grows from layer to layer
    return {name: values.numpy() for name, values in weights.items()}


def _write_published(folder: Path, file: WeightsFile, weights) -> None:
    content = {"model": weights, "__author__": "Detectron2 Model Zoo"}
    _write_pickle(folder / f"{file.stem}.pkl", content)


def _names_of_2020(weights) -> dict[str, np.ndarray]:
    renamed = {}
    for name, values in weights.items():
        old = name.replace("mask_head.coarse_head.fc", "mask_head.coarse_head.coarse_mask_fc")
        old = old.replace("mask_head.coarse_head", "mask_coarse_head")
        renamed[old.replace("mask_head.point_head", "mask_point_head")] = values
    return renamed


def _densepose_weights(decoder: bool, coarse_classes: int) -> dict[str, np.ndarray]:
    hints = {densepose._COARSE_WEIGHTS: torch.zeros(512, coarse_classes, 4, 4)}
    if decoder:
        hints["roi_heads.decoder.predictor.bias"] = torch.zeros(256)
    return _random_weights(densepose.build_densepose_config(hints))


@pytest.fixture(scope="module")
def checkpoints(narrow_networks, tmp_path_factory):
    """A folder with random weights of PointRend, by its names of 2020, and of Keypoint R-CNN."""
    folder = tmp_path_factory.mktemp("checkpoints")
    masks = _random_weights(pointrend.build_pointrend_config())
    _write_published(folder, pointrend.WEIGHTS, _names_of_2020(masks))
    poses = _random_weights(keypoint_rcnn.read_zoo_config(keypoint_rcnn.CONFIG))
    # The same proposals for both, so that their people are the same.
    poses |= {name: masks[name] for name in poses if name.startswith(("backbone", "proposal"))}
    poses["roi_heads.keypoint_head.score_lowres.weight"] *= 0.3  # heatmaps of moderate peaks
    _write_published(folder, keypoint_rcnn.WEIGHTS, poses)
    return folder


def _link_keypoint_weights(checkpoints: Path, folder: Path) -> None:
    path = keypoint_rcnn.WEIGHTS.find(checkpoints)
    (folder / path.name).symlink_to(path)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)


def _check_detections(detections, height, width):
    for person in detections:
        assert person.silhouette.shape == (height, width)
        assert person.silhouette.dtype == bool
        assert person.joints2d_px.shape == (17, 2)
        assert person.joint_confidence.shape == (17,)
        assert ((person.joint_confidence >= 0) & (person.joint_confidence <= 1)).all()
        assert person.box.shape == (4,)


def test_pointrend_runs_with_either_naming(checkpoints, photo, tmp_path):
    detector = PointRendDetector(CPU, checkpoints)
    _check_detections(detector.detect(photo), 60, 80)
    masks = pointrend.select_masks(detector._masks(photo))
    poses = detector._poses.poses(photo)
    assert masks
    assert all(mask.mask.shape == (60, 80) for mask in masks)
    assert any((pose.joint_confidence > 0).any() for pose in poses)
    old = read_weights(pointrend.WEIGHTS.find(checkpoints), pointrend.WEIGHTS)
    current = {name: values.numpy() for name, values in rename_weights(old).items()}
    assert current.keys() != old.keys()
    _write_published(tmp_path, pointrend.WEIGHTS, current)
    _link_keypoint_weights(checkpoints, tmp_path)
    again = pointrend.select_masks(PointRendDetector(CPU, tmp_path)._masks(photo))
    np.testing.assert_array_equal([mask.mask for mask in again], [mask.mask for mask in masks])


def test_pointrend_refuses_other_weights(checkpoints, tmp_path):
    poses = read_weights(keypoint_rcnn.WEIGHTS.find(checkpoints), keypoint_rcnn.WEIGHTS)
    poses = {name: values.numpy() for name, values in poses.items()}
    for file in (pointrend.WEIGHTS, keypoint_rcnn.WEIGHTS):
        _write_published(tmp_path, file, poses)
    with pytest.raises(InputError, match="does not hold the weights of PointRend") as error:
        PointRendDetector(CPU, tmp_path)
    assert pointrend.WEIGHTS.url in _format_error(error)


@pytest.mark.parametrize(("decoder", "coarse_classes"), [(False, 15), (True, 2)])
def test_densepose_runs_in_both_published_forms(
    checkpoints, photo, tmp_path, decoder, coarse_classes
):
    _write_published(tmp_path, densepose.WEIGHTS, _densepose_weights(decoder, coarse_classes))
    _link_keypoint_weights(checkpoints, tmp_path)
    detector = DensePoseDetector(CPU, tmp_path)
    found = detector._masks(photo)
    cells = 4 * (28 if decoder else 14)  # doubled twice
    assert found.densepose_coarse.shape[1:] == (coarse_classes, cells, cells)
    assert found.densepose_fine.shape[1:] == (25, cells, cells)
    masks = densepose.select_masks(found)
    assert masks
    assert any(mask.mask.any() for mask in masks)
    _check_detections(detector.detect(photo), 60, 80)


def test_networks_find_nobody_without_failing(checkpoints, photo, tmp_path):
    nobody = _densepose_weights(decoder=False, coarse_classes=15)
    nobody["roi_heads.box_predictor.cls_score.bias"][0] = -10
    _write_published(tmp_path, densepose.WEIGHTS, nobody)
    _link_keypoint_weights(checkpoints, tmp_path)
    assert DensePoseDetector(CPU, tmp_path).detect(photo) == []


def test_network_is_given_blue_first_and_answers_in_pixels_of_the_photo(checkpoints):
    network = PointRendDetector(CPU, checkpoints)._masks
    given = []
    network.module.register_forward_pre_hook(lambda _, inputs: given.extend(inputs[0]))
    red = np.zeros((48, 120, 3), dtype=np.uint8)
    red[..., 0] = 200
    found = network(red)
    (picture,) = given
    assert picture["image"].shape == (3, 96, 240)  # the shorter side as configured
    assert picture["image"].amax(dim=(1, 2)).tolist() == [0, 0, 200]
    assert found.image_size == (48, 120)
    assert (found.pred_boxes.tensor.amax(dim=0) <= torch.tensor([120, 48, 120, 48])).all()


def test_keypoint_weights_that_cannot_be_downloaded_are_told(narrow_networks, tmp_path):
    from detectron2.utils.file_io import PathManager

    with (
        mock.patch.object(PathManager, "get_local_path", side_effect=OSError("no network")),
        pytest.raises(InputError, match=r"downloading it failed \(no network\)") as error,
    ):
        keypoint_rcnn.find_weights(tmp_path)
    message = _format_error(error)
    assert keypoint_rcnn.WEIGHTS.url in message
    assert str(tmp_path / "keypoint_rcnn_R_50_fpn.pkl") in message
