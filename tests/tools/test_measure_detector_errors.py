"""How detections are compared with the truth, and the file that comes of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tools.measure_detector_errors as script
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from synthesis.detector_errors import OUTLINE_JOINTS, read_detector_errors
from utils.errors import InputError
from utils.joints import COCO17

LEFT_KNEE, RIGHT_KNEE = COCO17.index("left_knee"), COCO17.index("right_knee")


class _Detector:
    """Takes the whole of what it is shown for a person, or finds nobody."""

    def __init__(self, finds: bool = True) -> None:
        self._finds = finds

    def detect(self, image: np.ndarray) -> list[Detection]:
        if not self._finds:
            return []
        mask = np.ones(image.shape[:2], dtype=bool)
        joints = np.tile(np.float32(image.shape[1::-1]) / 2, (17, 1))
        return [Detection(mask, joints, np.full(17, 0.5, dtype=np.float32), tight_box(mask))]


def _disc(radius: float, size: int = 256) -> np.ndarray:
    centres = np.arange(size) + 0.5 - size / 2
    return np.hypot(*np.meshgrid(centres, centres)) < radius


def test_offsets_are_shares_of_the_crop():
    true = np.random.default_rng(0).uniform(0, 100, (17, 2))
    measured = script.measure_joints(true + np.array([5, -10]), true, 200.0)
    np.testing.assert_allclose(measured["offsets"], np.tile((0.025, -0.05), (17, 1)), atol=1e-9)
    assert not measured["swapped"].any()


def test_a_swapped_pair_is_told_from_its_error():
    true = np.random.default_rng(0).uniform(0, 100, (17, 2))
    true[LEFT_KNEE], true[RIGHT_KNEE] = (40, 80), (70, 80)
    found = true.copy()
    found[LEFT_KNEE], found[RIGHT_KNEE] = (71, 80), (40, 82)
    measured = script.measure_joints(found, true, 100.0)
    assert np.flatnonzero(measured["swapped"]).tolist() == [LEFT_KNEE, RIGHT_KNEE]
    np.testing.assert_allclose(measured["offsets"][LEFT_KNEE], (0.01, 0), atol=1e-9)
    np.testing.assert_allclose(measured["offsets"][RIGHT_KNEE], (0, 0.02), atol=1e-9)


def test_an_outline_too_far_out_has_a_level_and_nothing_else():
    joints = np.full((len(OUTLINE_JOINTS), 2), 0.5)
    seen = np.ones((256, 256), dtype=bool)
    measured = script.measure_outline(_disc(60), _disc(64), seen, joints)
    assert measured["outline_level"] == pytest.approx(4 / 256, abs=0.2 / 256)
    assert measured["outline_mean"] == pytest.approx(4 / 256, abs=0.2 / 256)
    assert measured["outline_std"] < 0.5 / 256
    assert measured["outline_rest"] < 0.5 / 256
    np.testing.assert_allclose(measured["outline_bumps"], 0, atol=0.2 / 256)


def test_the_border_is_no_outline():
    """Half of a person is in the photo, and the detector finds all of that half."""
    joints = np.full((len(OUTLINE_JOINTS), 2), 0.5)
    seen = np.zeros((256, 256), dtype=bool)
    seen[:, :128] = True
    found = _disc(60) & seen
    found[:, 122:] = False  # the mask ends 6 px before the border
    measured = script.measure_outline(_disc(60) & seen, found, seen, joints)
    assert measured["outline_mean"] == pytest.approx(0, abs=0.3 / 256)
    assert measured["outline_level"] == 0


def test_a_missing_piece_is_a_deep_bump_at_its_joint():
    wrist = OUTLINE_JOINTS.index("left_wrist")
    joints = np.full((len(OUTLINE_JOINTS), 2), 0.5)
    joints[wrist] = (0.9, 0.5)
    true = _disc(60)
    true[120:136, 128:240] = True
    measured = script.measure_outline(true, _disc(60), np.ones_like(true), joints)
    assert measured["outline_bumps"][wrist] == pytest.approx(-script.PIECE_DEPTH, rel=0.1)
    assert np.abs(np.delete(measured["outline_bumps"], wrist)).max() < 0.01
    assert measured["outline_level"] == 0


def test_the_file_can_be_drawn_from(tmp_path, small_pictures, monkeypatch):
    monkeypatch.setattr(script, "build_detector", lambda *_: _Detector())
    options = script.Options(
        tmp_path / "errors.npz", tmp_path / "photos", 2, picture=small_pictures, min_iou=0.0
    )
    script.main(options)
    with np.load(tmp_path / "errors.npz") as content:
        rows = dict(content)
    assert rows["person"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]  # whole, cut, both mirrored
    cut = (rows["truncation"] > 0).any(axis=1)
    assert cut.tolist() == [False, True] * 4
    assert (rows["confidences"] == 0.5).all()
    assert (rows["area"] > 1.5).all()
    assert (rows["missed_parts"] == 0).all()
    # A facing person's mirror image, put back, is the person.
    np.testing.assert_array_equal(rows["facing"][:1], rows["facing"][3:4])
    errors = read_detector_errors(tmp_path / "errors.npz")
    assert (errors.whole_count, errors.cut_count) == (8, 8)
    monkeypatch.setattr(script, "build_detector", lambda *_: _Detector(finds=False))
    with pytest.raises(InputError, match="mediapipe finds nobody"):
        script.main(replace(options, output=tmp_path / "none.npz"))


def test_cut_off_joints_are_as_in_the_whole_photo():
    person = script.TruePerson(torch.zeros(1), torch.zeros(1), np.zeros((17, 2)), np.zeros(4), 0.0)
    person.joints2d_px[LEFT_KNEE] = (50, 150)
    whole, cut = (
        {
            "confidences": np.full(17, value),
            "offsets": np.full((17, 2), value),
            "swapped": np.full(17, value == 1),
            "iou": np.array(value),
        }
        for value in (1.0, 0.0)
    )
    row = script.complete(cut, whole, person, (0, 0, 100, 100))
    assert row["iou"] == 0
    for name in ("confidences", "offsets", "swapped"):
        assert (row[name][LEFT_KNEE] == 1).all()
        assert not np.delete(row[name], LEFT_KNEE, axis=0).any()
