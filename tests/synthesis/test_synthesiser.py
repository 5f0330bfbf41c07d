"""Synthesis: targets fit inputs, batches do not mix, and photos take the same path."""

import math

import numpy as np
import pytest
import torch

from metrics.metrics import silhouette_iou
from models.body_model import BodyModel, read_mean_parameters
from predict.detectors.interface import Detection
from predict.people import observe_people
from synthesis.detector_errors import read_detector_errors
from synthesis.options import AugmentationOptions, CameraOptions
from synthesis.synthesiser import Synthesiser, SyntheticBatch
from synthesis.variation import CropVariation, Variation, draw_betas, draw_variation
from utils.cameras import boxes_of_silhouettes
from utils.paths import DETECTOR_ERRORS
from utils.rotations import axis_angle_to_rotmat
from utils.tensors import match_betas

_SIZE = 128


@pytest.fixture(scope="module")
def synthesiser(body_model):
    mean_betas = read_mean_parameters("open").betas
    return Synthesiser(body_model, mean_betas, _SIZE, CameraOptions())


def _poses(count: int) -> torch.Tensor:
    poses = torch.randn(count, 72, generator=torch.Generator().manual_seed(1)) * 0.2
    poses[:, :3] = torch.tensor([math.pi, 0, 0])  # upright, seen from the front
    return poses


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _plain(synthesiser: Synthesiser, count: int) -> SyntheticBatch:
    """A batch of the mean shape, of which nothing varies."""
    return synthesiser(_poses(count), synthesiser.mean_betas.expand(count, -1))


def _varied(
    synthesiser: Synthesiser, options: AugmentationOptions, poses: torch.Tensor
) -> SyntheticBatch:
    """A batch as training makes it."""
    generator, vertices = _generator(), synthesiser.body_model.identity["vertices"]
    betas = draw_betas(options, synthesiser.mean_betas, len(poses), generator)
    return synthesiser(poses, betas, draw_variation(options, len(poses), vertices, generator))


def test_without_augmentation_the_person_fills_the_crop(synthesiser):
    observation, target = _plain(synthesiser, 3)
    boxes = boxes_of_silhouettes(target["silhouettes"])
    longer = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    torch.testing.assert_close(longer, torch.full((3,), _SIZE / 1.2), atol=1.5, rtol=0)
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    torch.testing.assert_close(centres, torch.full((3, 2), _SIZE / 2), atol=1.0, rtol=0)
    assert torch.equal(observation.silhouettes, target["silhouettes"])
    assert torch.equal(observation.joints2d_px, target["joints2d_px"])
    assert torch.equal(observation.confidence, torch.ones(3, 17))
    assert target["visibility"].all()


def test_a_larger_crop_scale_leaves_more_room(body_model):
    mean_betas, camera = read_mean_parameters("open").betas, CameraOptions(crop_scale=1.6)
    target = _plain(Synthesiser(body_model, mean_betas, _SIZE, camera), 3).target
    boxes = boxes_of_silhouettes(target["silhouettes"])
    longer = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    torch.testing.assert_close(longer, torch.full((3,), _SIZE / 1.6), atol=1.5, rtol=0)


def _crops(body_model, camera: CameraOptions, shift: float = 0.0) -> list[float]:
    """Where the crop of two points lies that span x 108 to 148 and y -22 to 228 in the frame."""
    points = torch.tensor([[[-0.2, -1.5, 50], [0.2, 1.0, 50]]])  # 100 px a metre, from 128
    crop = CropVariation(torch.zeros(1), torch.full((1, 2), shift))
    synthesiser = Synthesiser(body_model, torch.zeros(10), _SIZE, camera)
    return synthesiser.frame_people(points, Variation(crop=crop)).crops[0].tolist()


def test_crops_at_the_frames_border_by_hand(body_model):
    # 250 px high, 1.2 * 250 = 300; the middle of -22 and 228 is 103.
    assert _crops(body_model, CameraOptions()) == pytest.approx([128, 103, 300])
    # Seen are y 0 to 228: side 1.2 * 228 = 273.6 about y 114: x -8.8 to 264.8, y -22.8 to 250.8,
    # of which x 0 to 256 and y 0 to 250.8 lie in the frame.
    stretched = CameraOptions(crop_border="stretch")
    assert _crops(body_model, stretched) == pytest.approx([128, 125.4, 256, 250.8], abs=1e-3)


def test_the_crops_shift_is_of_the_crop_or_of_the_frame(body_model):
    # 10 px of 256: of the crop's 300 px they are 11.72 px of the frame.
    of_crop, of_frame = (
        _crops(body_model, CameraOptions(crop_shift_in=unit), shift=10 / 256)
        for unit in ("crop", "frame")
    )
    assert of_crop == pytest.approx([128 + 11.71875, 103 + 11.71875, 300], abs=1e-3)
    assert of_frame == pytest.approx([138, 113, 300], abs=1e-3)


def test_a_stretched_crop_shows_the_frame_alone(body_model):
    """What is beyond the frame is nowhere to be seen, and joints lie on the stretched body."""
    mean_betas = read_mean_parameters("open").betas
    camera = CameraOptions(crop_border="stretch", mean_translation=(0.0, 1.2, 42.0))
    observation, target = _plain(Synthesiser(body_model, mean_betas, _SIZE, camera), 3)
    ankles, nose = target["joints2d_px"][:, 15:, 1], target["joints2d_px"][:, 0, 1]
    assert (ankles > _SIZE).all()
    assert ((nose > 0) & (nose < _SIZE)).all()
    assert not target["visibility"][:, 15:].any()
    assert target["silhouettes"][:, -1].any(dim=1).all()  # cut at the bottom
    seen = target["joints2d_px"][:, [0, 5, 6]].long()
    people = torch.arange(3)[:, None]
    assert target["silhouettes"][people, seen[..., 1], seen[..., 0]].all()
    assert torch.equal(observation.silhouettes, target["silhouettes"])


def test_upright_people_are_upright_in_the_picture(synthesiser):
    target = _plain(synthesiser, 3).target
    nose, ankles = target["joints2d_px"][:, 0, 1], target["joints2d_px"][:, 15:, 1]
    assert (nose[:, None] < ankles).all()


def test_heatmaps_peak_at_the_joints_and_joints_lie_on_the_body(synthesiser):
    observation, target = _plain(synthesiser, 4)
    peaks = observation.proxy()[:, 1:].flatten(2).argmax(-1)
    peaks = torch.stack([peaks % _SIZE, peaks // _SIZE], dim=-1) + 0.5
    assert (peaks - target["joints2d_px"]).abs().max() <= 0.5
    columns, rows = target["joints2d_px"].long().unbind(-1)
    people = torch.arange(4)[:, None]
    on_body = target["silhouettes"][people, rows, columns]
    assert on_body.float().mean() > 0.95


def test_a_batch_is_its_samples_one_by_one(synthesiser):
    poses = _poses(3)
    betas = torch.randn(3, 10, generator=_generator())
    together = synthesiser(poses, betas)
    for index in range(3):
        part = slice(index, index + 1)
        alone = synthesiser(poses[part], betas[part])
        assert (together.observation.proxy()[part] - alone.observation.proxy()).abs().mean() < 1e-4
        torch.testing.assert_close(
            together.target["vertices"][part], alone.target["vertices"], atol=1e-5, rtol=0
        )


def test_same_numbers_same_batch_and_targets_stay_uncorrupted(synthesiser):
    options = AugmentationOptions(joint_dropout=0.2, truncate=0.5)
    first = _varied(synthesiser, options, _poses(4))
    second = _varied(synthesiser, options, _poses(4))
    assert torch.equal(first.observation.proxy(), second.observation.proxy())
    clean = synthesiser(_poses(4), first.target["betas"]).target
    torch.testing.assert_close(first.target["vertices"], clean["vertices"])
    assert (first.observation.silhouettes != first.target["silhouettes"]).any()


def test_targets_are_of_the_varied_poses(synthesiser, body_model):
    options = AugmentationOptions(turn=180, joint_angle_std=10, exchange_limbs=0.5)
    target = _varied(synthesiser, options, _poses(4)).target
    of_file = axis_angle_to_rotmat(_poses(4).view(4, 24, 3))
    assert ((target["pose_rotmats"] - of_file).abs().amax(dim=(2, 3)) > 1e-3).all()
    expected = body_model(target["betas"], target["pose_rotmats"]).vertices
    assert torch.equal(target["vertices"], expected)
    validated = _plain(synthesiser, 4).target
    torch.testing.assert_close(validated["pose_rotmats"], of_file)


def test_details_of_the_shape_are_the_betas_after_the_first_ten():
    """The second person is 8 cm broader by two details: 2 x 1 cm and -3 x -2 cm of x."""
    body_model = BodyModel.load("open", "male")  # which has none of its own
    outwards = torch.zeros(body_model.identity["vertices"], 3, 2)
    outwards[:, 0] = body_model.skinning.template.unflatten(0, (3, -1))[0].sign()[:, None]
    outwards *= torch.tensor([0.01, -0.02])
    body_model.skinning.add_shapes(outwards.numpy())
    detailed = Synthesiser(body_model, torch.zeros(10), 64, CameraOptions())
    assert detailed.details == 2
    poses, betas = _poses(2), torch.ones(2, 10)
    batch = detailed(poses, torch.cat([betas, torch.tensor([[0.0, 0.0], [2.0, -3.0]])], dim=1))
    plain = detailed(poses, betas)
    shift = (batch.target["vertices_tpose"] - plain.target["vertices_tpose"])[..., 0].abs()
    torch.testing.assert_close(shift[0], torch.zeros_like(shift[0]))
    moved = outwards[:, 0, 0] != 0
    assert shift[1, moved].sub(0.08).abs().max() < 1e-6
    expected = torch.cat([betas, torch.tensor([[0.0, 0.0], [2.0, -3.0]])], dim=1)
    assert torch.equal(batch.target["betas"], expected)
    assert torch.equal(plain.target["betas"], match_betas(betas, 12))
    areas = batch.observation.silhouettes.float().mean(dim=(1, 2))
    assert areas[1] > 1.1 * plain.observation.silhouettes.float().mean(dim=(1, 2))[1]


def test_truncated_people_end_at_the_frame(synthesiser):
    none = dict.fromkeys(
        (
            "cam_xy_std", "cam_z_range", "vertex_noise", "crop_scale_range", "crop_shift",
            "occlude", "joint_noise", "remove_torso", "remove_head", "remove_left_arm",
            "remove_right_arm", "remove_left_leg", "remove_right_leg",
        ),
        0.0,
    )  # fmt: skip
    options = AugmentationOptions(**none, truncate=1.0)
    observation, target = _varied(synthesiser, options, _poses(32))
    boxes = boxes_of_silhouettes(target["silhouettes"])
    # The crop is set around what is left: no side of it lies beyond 1 / 1.2 of the crop.
    assert (boxes[:, 2:] - boxes[:, :2]).max() <= _SIZE / 1.2 + 1.5
    hidden = ~target["visibility"]
    assert hidden.any()
    assert not observation.proxy()[:, 1:].flatten(2).any(-1)[hidden].any()
    assert not observation.visibility[hidden].any()
    assert torch.equal(observation.silhouettes, target["silhouettes"])


def test_predicting_makes_the_observation_that_training_makes(synthesiser):
    """The same people in one large picture, as a photo is, go through predicting's own half."""
    poses, betas, size = _poses(2), torch.zeros(2, 10), 768
    trained = synthesiser(poses, betas)

    photos = Synthesiser(synthesiser.body_model, betas[0], size, CameraOptions())
    pictures = photos(poses, betas).observation
    detections = [
        Detection(silhouette.numpy(), joints.numpy(), np.ones(17, np.float32), np.zeros(4))
        for silhouette, joints, _ in zip(*pictures, strict=True)
    ]
    predicted, _, _ = observe_people(detections, _SIZE, torch.device("cpu"))

    for found, expected in zip(predicted, trained.observation, strict=True):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
    assert torch.equal(predicted.confidence, trained.observation.confidence)
    # A pixel of the crop spans seven of the photo: outlines differ by fractions of a pixel.
    ious = silhouette_iou(predicted.silhouettes, trained.observation.silhouettes)
    assert ious.min() > 0.98
    # The crop is set around the silhouette there, around the vertices here.
    torch.testing.assert_close(
        predicted.joints2d_px, trained.observation.joints2d_px, atol=0.25, rtol=0
    )
    differences = predicted.proxy()[:, 1:] - trained.observation.proxy()[:, 1:]
    assert differences.abs().max() < 0.15


def test_measured_and_published_errors_and_none_stand_beside_each_other(body_model):
    """Of 12 people 4 have MediaPipe's errors, 4 the published ones, 4 none."""
    errors = read_detector_errors(DETECTOR_ERRORS)
    mean_betas = read_mean_parameters("open").betas
    synthesiser = Synthesiser(
        body_model, mean_betas, _SIZE, CameraOptions(), detector_errors=errors
    )
    options = AugmentationOptions(corrupt=2 / 3, detector="mediapipe", detector_share=1 / 3)
    observation, target = _varied(synthesiser, options, _poses(12))
    offsets = (observation.joints2d_px - target["joints2d_px"]).norm(dim=-1)  # (12, 17)
    assert offsets[:8].min(dim=1).values.max() > 0
    assert offsets[8:].max() == 0
    assert torch.equal(observation.silhouettes[8:], target["silhouettes"][8:])
    changed = (observation.silhouettes != target["silhouettes"]).flatten(1).any(dim=1)
    assert changed[:4].all()
    guessed = (observation.confidence > 0) & (observation.confidence < 1)
    assert guessed[:4].any(dim=1).all()
    assert not guessed[4:].any()


def test_perspective_shows_from_nearby(body_model):
    """Near and far pictures of the same people differ, and each target fits its own picture."""
    mean_betas = read_mean_parameters("open").betas
    synthesiser = Synthesiser(body_model, mean_betas, _SIZE, CameraOptions())
    still = AugmentationOptions(corrupt=0, betas_std=0, crop_scale_range=0, crop_shift=0)
    near = AugmentationOptions(
        corrupt=0, betas_std=0, crop_scale_range=0, crop_shift=0, near=1, near_distances=(2.5, 2.6)
    )
    poses = _poses(4)
    poses[:, 3:6] = torch.tensor([-1.2, 0, 0])  # the left thigh is lifted towards the camera
    far_batch, near_batch = (_varied(synthesiser, each, poses) for each in (still, near))
    difference = near_batch.target["joints2d_px"] - far_batch.target["joints2d_px"]
    assert difference.norm(dim=-1).max() > 2  # px of 128
    rows = near_batch.target["joints2d_px"].long().clamp(0, _SIZE - 1)
    people = torch.arange(4)[:, None]
    on_body = near_batch.target["silhouettes"][people, rows[..., 1], rows[..., 0]]
    assert on_body.float().mean() > 0.95
