"""Measured detector errors: drawn as they come in the file, applied to joints and masks."""

import cv2
import numpy as np
import pytest
import torch

from synthesis.detector_errors import (
    NOISE_CELLS,
    OUTLINE_JOINTS,
    ChosenErrors,
    DetectorErrors,
    apply_to_distances,
    apply_to_joints,
    choose_errors,
    draw_detector_errors,
    measure_facing,
    read_detector_errors,
)
from utils.errors import InputError
from utils.joints import COCO17, COCO17_SWAP
from utils.paths import DETECTOR_ERRORS
from utils.readers import read_npz
from utils.rotations import axis_angle_to_rotmat

SIZE = 128
LEFT_WRIST, RIGHT_WRIST = COCO17.index("left_wrist"), COCO17.index("right_wrist")


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    names = ("confidences", "offsets", "swapped", "facing", "truncation", "iou", "area")
    return {
        name: array if array.dtype == bool else array.astype(np.float32)
        for name, array in read_npz(DETECTOR_ERRORS, names).items()
    }


@pytest.fixture(scope="module")
def errors() -> DetectorErrors:
    return read_detector_errors(DETECTOR_ERRORS)


def _drawn(
    errors: DetectorErrors,
    facing: torch.Tensor,
    seed: int = 0,
    cut: torch.Tensor | None = None,
) -> ChosenErrors:
    """Errors of people seen from these sides, whole if nothing else is said."""
    cut = torch.zeros_like(facing, dtype=torch.bool) if cut is None else cut
    draws = draw_detector_errors(len(facing), torch.Generator().manual_seed(seed))
    return choose_errors(errors, draws, facing, cut)


def _made_rows(count: int = 40) -> dict[str, np.ndarray]:
    """Rows without errors, of people seen from all sides; every third one is cut."""
    return {
        "confidences": np.ones((count, 17)),
        "offsets": np.zeros((count, 17, 2)),
        "swapped": np.zeros((count, 17), dtype=bool),
        "facing": np.linspace(-3.1, 3.1, count),
        "truncation": np.outer(np.arange(count) % 3 == 0, [0, 0, 0, 0.3]),
        "outline_level": np.zeros(count),
        "outline_bumps": np.zeros((count, len(OUTLINE_JOINTS))),
        "outline_rest": np.zeros(count),
    }


def _figures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Silhouettes (B, S, S) of stick people with thick limbs, and their joints (B, 17, 2)."""
    generator = np.random.default_rng(3)
    places = {
        "nose": (64, 18), "shoulder": (76, 34), "elbow": (85, 49), "wrist": (90, 65),
        "hip": (72, 68), "knee": (74, 92), "ankle": (75, 115),
    }  # fmt: skip
    masks, joints = [], []
    for _ in range(count):
        points = np.zeros((17, 2))
        for index, name in enumerate(COCO17):
            kind = name.removeprefix("left_").removeprefix("right_")
            x, y = places.get(kind, places["nose"])
            points[index] = 128 - x if name.startswith("right_") else x, y
        points += generator.uniform(-2, 2, points.shape)
        masks.append(_draw_figure(points.round().astype(int), generator.integers(8, 13)))
        joints.append(points)
    return torch.from_numpy(np.stack(masks)), torch.tensor(np.stack(joints)).float()


def _draw_figure(points: np.ndarray, width: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    at = {name: tuple(map(int, point)) for name, point in zip(COCO17, points, strict=True)}
    for side in ("left", "right"):
        for limb in ("shoulder elbow", "elbow wrist", "hip knee", "knee ankle"):
            start, end = (at[f"{side}_{joint}"] for joint in limb.split())
            cv2.line(mask, start, end, 1, width)
    trunk = [at[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
    cv2.fillConvexPoly(mask, np.array(trunk), 1)
    cv2.circle(mask, at["nose"], 10, 1, -1)
    cv2.line(mask, at["nose"], (64, 40), 1, width)
    return mask > 0


def _signed_distances(masks: torch.Tensor) -> torch.Tensor:
    found = []
    for mask in masks.numpy():
        outside, inside = (
            cv2.distanceTransform(each.astype(np.uint8), cv2.DIST_L2, 5) for each in (~mask, mask)
        )
        found.append(np.where(mask, 0.5 - inside, outside - 0.5) / SIZE)
    return torch.from_numpy(np.stack(found)).float()


def _ious(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return (found & true).sum(dim=(1, 2)) / (found | true).sum(dim=(1, 2))


def _similar(errors: DetectorErrors, rows: dict[str, np.ndarray]) -> ChosenErrors:
    """Errors for people who face as those of the file's whole photos do, many times over."""
    facing = torch.from_numpy(rows["facing"][_whole(rows)]).repeat(20)
    return _drawn(errors, facing)


def _whole(rows: dict[str, np.ndarray]) -> np.ndarray:
    return (rows["truncation"] == 0).all(axis=1)


def test_confidences_are_drawn_as_they_come(errors, rows):
    drawn = _similar(errors, rows).confidence.numpy().mean(axis=0)
    measured = rows["confidences"][_whole(rows)].mean(axis=0)
    measured = (measured + measured[list(COCO17_SWAP)]) / 2  # mirror images are drawn as well
    np.testing.assert_allclose(drawn, measured, atol=0.03)


@pytest.mark.parametrize("band", [(0.0, 0.3), (0.3, 0.7), (0.7, 0.97), (0.97, 1.01)])
def test_errors_of_a_confidence_are_drawn_as_they_come(errors, rows, band):
    drawn = _similar(errors, rows)
    whole = _whole(rows)
    rms = []
    for shift, confidence in (
        (drawn.joint_shift.numpy(), drawn.confidence.numpy()),
        (rows["offsets"][whole], rows["confidences"][whole]),
    ):
        chosen = (confidence >= band[0]) & (confidence < band[1])
        rms.append(np.sqrt((shift[chosen] ** 2).sum(axis=1).mean()))
    assert rms[0] == pytest.approx(rms[1], rel=0.15)


@pytest.mark.parametrize("degrees", [(0, 60), (60, 120), (120, 180)])
def test_sides_are_swapped_as_often_as_measured(errors, rows, degrees):
    low, high = np.radians(degrees)
    away = np.abs(rows["facing"])
    chosen = _whole(rows) & (away >= low) & (away <= high)
    facing = torch.empty(20_000).uniform_(low, high) * torch.tensor([1.0, -1.0]).repeat(10_000)
    drawn = _drawn(errors, facing).swapped
    measured = rows["swapped"][chosen].mean()
    assert drawn.float().mean().item() == pytest.approx(measured, abs=0.01)


def test_rows_are_of_people_seen_from_a_similar_side_and_cut_alike():
    rows = _made_rows(400)
    # A row's confidences tell which it is: (1 + cos(facing)) / 4, half a unit more when cut.
    cut = (rows["truncation"] > 0).any(axis=1)
    marks = (1 + np.cos(rows["facing"])) / 4 + cut / 2
    rows["confidences"] = np.repeat(marks[:, None], 17, axis=1)
    facing = torch.tensor([-torch.pi, 3.1, 1.5, 0.0, -1.5]).repeat(200)
    for wanted in (False, True):
        drawn = _drawn(DetectorErrors(rows), facing, cut=torch.full((1000,), wanted))
        expected = (1 + facing.cos()) / 4 + wanted / 2
        # 6 % of a full turn are 0.38 rad, over which the mark changes by at most 0.38 / 4.
        assert (drawn.confidence[:, 0] - expected).abs().max() < 0.1
        assert drawn.confidence[:, 0].unique().numel() > 20


def test_mirror_images_serve_people_turned_to_the_other_side():
    rows = _made_rows()
    rows["facing"] = np.linspace(0.5, 2.5, 40)  # all of them turned to the picture's right
    rows["offsets"][:, LEFT_WRIST] = (0.25, 0.125)
    rows["confidences"][:, LEFT_WRIST] = 0.5
    rows["outline_bumps"][:, OUTLINE_JOINTS.index("left_wrist")] = -0.0625
    drawn = _drawn(DetectorErrors(rows), torch.full((50,), -1.5))
    assert (drawn.confidence[:, RIGHT_WRIST] == 0.5).all()
    assert (drawn.confidence[:, LEFT_WRIST] == 1).all()
    assert (drawn.joint_shift[:, RIGHT_WRIST, 0] < 0).all()
    assert (drawn.joint_shift[:, RIGHT_WRIST].norm(dim=1) < 1.2 * 0.2796).all()
    assert (drawn.outline_bumps[:, OUTLINE_JOINTS.index("right_wrist")] == -0.0625).all()


def test_a_seed_gives_the_same_errors(errors):
    facing = torch.linspace(-3, 3, 7)
    one, same, other = (_drawn(errors, facing, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.joint_shift, other.joint_shift)


def test_swapped_joints_are_those_of_the_other_side():
    rows = _made_rows()
    rows["swapped"][:, [LEFT_WRIST, RIGHT_WRIST]] = True
    drawn = _drawn(DetectorErrors(rows), torch.zeros(1))
    joints = torch.rand(1, 17, 2) * SIZE
    visibility = torch.ones(1, 17, dtype=torch.bool)
    visibility[0, LEFT_WRIST] = False
    found, confidence = apply_to_joints(joints, visibility, drawn, SIZE)
    assert torch.equal(found[0, LEFT_WRIST], joints[0, RIGHT_WRIST])
    assert torch.equal(found[0, RIGHT_WRIST], joints[0, LEFT_WRIST])
    assert (confidence[0, LEFT_WRIST], confidence[0, RIGHT_WRIST]) == (1, 0)
    others = [index for index in range(17) if index not in (LEFT_WRIST, RIGHT_WRIST)]
    assert torch.equal(found[0, others], joints[0, others])


def test_joints_moved_out_of_the_crop_are_not_found():
    rows = _made_rows()
    rows["offsets"][:] = (0.7, 0.0)
    drawn = _drawn(DetectorErrors(rows), torch.zeros(1))
    joints = torch.full((1, 17, 2), 0.5 * SIZE)
    _, confidence = apply_to_joints(joints, torch.ones(1, 17, dtype=torch.bool), drawn, SIZE)
    assert (confidence == 0).all()


def test_no_errors_leave_everything_as_it_is():
    drawn = _drawn(DetectorErrors(_made_rows()), torch.zeros(3))
    masks, joints = _figures(3)
    visibility = torch.rand(3, 17) < 0.5
    found, confidence = apply_to_joints(joints, visibility, drawn, SIZE)
    assert torch.equal(found, joints)
    assert torch.equal(confidence, visibility.float())
    distances = _signed_distances(masks)
    assert torch.equal(apply_to_distances(distances, joints, drawn), distances)


def test_a_level_moves_the_outline_everywhere():
    rows = _made_rows()
    rows["outline_level"][:] = 2 / SIZE
    drawn = _drawn(DetectorErrors(rows), torch.zeros(2))
    masks, joints = _figures(2)
    distances = _signed_distances(masks)
    moved = apply_to_distances(distances, joints, drawn)
    torch.testing.assert_close(moved, distances - 2 / SIZE, atol=1e-5, rtol=0)


def test_noise_spreads_as_the_row_says():
    rows = _made_rows()
    rows["outline_rest"][:] = 0.01
    drawn = _drawn(DetectorErrors(rows), torch.zeros(200))
    field = apply_to_distances(torch.zeros(200, SIZE, SIZE), torch.zeros(200, 17, 2), drawn)
    assert field.std().item() == pytest.approx(0.01, rel=0.02)
    assert field.mean().item() == pytest.approx(0, abs=2e-4)
    # Neighbouring pixels are alike, those two cells apart are not.
    step = round(2 * SIZE / NOISE_CELLS)
    near, far = ((field[..., each:] * field[..., :-each]).mean() for each in (1, step))
    assert near > 0.95e-4
    assert far < 0.2e-4


def test_a_deep_bump_takes_the_hand_away():
    rows = _made_rows()
    rows["outline_bumps"][:, OUTLINE_JOINTS.index("left_wrist")] = -0.06
    drawn = _drawn(DetectorErrors(rows), torch.zeros(1))
    masks, joints = _figures(1)
    found = apply_to_distances(_signed_distances(masks), joints, drawn) < 0
    # Facing 0 draws rows and their mirror images: one hand is gone, the other is there.
    hands = [found[(0, *joints[0, wrist].long().flip(0))].item() for wrist in (9, 10)]
    assert sorted(hands) == [False, True]
    assert not (found & ~masks).any()


def test_masks_are_as_good_as_the_detectors(errors, rows):
    masks, joints = _figures(100)
    drawn = _drawn(errors, torch.linspace(-3.1, 3.1, 100))
    found = apply_to_distances(_signed_distances(masks), joints, drawn) < 0
    ious, measured = _ious(found, masks).numpy(), rows["iou"][_whole(rows)]
    assert ious.mean() == pytest.approx(measured.mean(), abs=0.03)
    assert np.percentile(ious, 10) == pytest.approx(np.percentile(measured, 10), abs=0.04)
    areas = (found.sum(dim=(1, 2)) / masks.sum(dim=(1, 2))).mean().item()
    assert areas == pytest.approx(rows["area"][_whole(rows)].mean(), abs=0.03)


@pytest.mark.parametrize("batch", [0, 1])
def test_small_batches(errors, batch):
    drawn = _drawn(errors, torch.zeros(batch))
    joints = torch.rand(batch, 17, 2) * SIZE
    found, confidence = apply_to_joints(joints, torch.ones(batch, 17, dtype=torch.bool), drawn, 128)
    assert found.shape == (batch, 17, 2)
    assert confidence.shape == (batch, 17)
    assert apply_to_distances(torch.zeros(batch, 64, 64), joints, drawn).shape == (batch, 64, 64)


def test_facing(body_model):
    turns = torch.tensor([0.0, 0.5, -0.5, 3.0])
    upright = torch.zeros(4, 24, 3)
    rotmats = axis_angle_to_rotmat(upright)
    to_camera = axis_angle_to_rotmat(torch.tensor([[torch.pi, 0.0, 0.0]]))
    yaw = axis_angle_to_rotmat(torch.stack([0 * turns, turns, 0 * turns], dim=1))
    rotmats[:, 0] = to_camera @ yaw
    joints = body_model(torch.zeros(4, 10), rotmats).joints3d
    # A positive yaw about the body's y axis (up) turns z, the front, to x: the picture's right.
    torch.testing.assert_close(measure_facing(joints), turns, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"offsets": np.zeros((40, 16, 2))}, r"offsets has shape \(40, 16, 2\); expected \(40, 17"),
        ({"confidences": np.full((40, 17), np.nan)}, "confidences has values that are not finite"),
        ({"truncation": np.zeros((40, 4))}, "40 rows of whole people and 0 of people whom"),
    ],
)
def test_unfit_files_are_refused(tmp_path, change, complaint):
    np.savez(tmp_path / "errors.npz", **{**_made_rows(), **change})
    with pytest.raises(InputError, match=complaint):
        read_detector_errors(tmp_path / "errors.npz")


def test_a_file_without_a_key_is_refused(tmp_path):
    rows = _made_rows()
    del rows["swapped"]
    np.savez(tmp_path / "errors.npz", **rows)
    with pytest.raises(InputError, match="has no swapped"):
        read_detector_errors(tmp_path / "errors.npz")
