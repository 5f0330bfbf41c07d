"""Rendered people shown to a detector: what is kept, and how an interrupted run goes on."""

from dataclasses import replace

import numpy as np
import pytest

import tools.observe_people as script
from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from scenes.random_people import neutral_body
from synthesis.observed_people import read_observed_people
from utils.errors import InputError
from utils.joints import COCO17

NOSE, ANKLES = COCO17.index("nose"), [COCO17.index(f"{side}_ankle") for side in ("left", "right")]


class _Detector:
    """Takes the middle of what it is shown for a person, or finds nobody in every second photo."""

    def __init__(self, misses: bool = False) -> None:
        self._misses, self.shown = misses, 0

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.shown += 1
        if self._misses and self.shown % 2:
            return []
        height, width = image.shape[:2]
        mask = np.zeros((height, width), dtype=bool)
        mask[height // 8 : -height // 8, width // 4 : -width // 4] = True
        joints = np.tile(np.float32([width / 4, height / 2]), (17, 1))
        return [Detection(mask, joints, np.full(17, 0.5, dtype=np.float32), tight_box(mask))]


@pytest.fixture
def detector(monkeypatch):
    detector = _Detector()
    monkeypatch.setattr(script, "load_detector", lambda _: detector)
    return detector


@pytest.fixture
def options(tmp_path, small_pictures) -> script.Options:
    return script.Options(tmp_path / "people.npz", count=2, image_size=32, picture=small_pictures)


def _contents(path) -> dict[str, np.ndarray]:
    with np.load(path) as content:
        return dict(content)


def test_what_is_kept(options, detector):
    script.main(options)
    rows = _contents(options.output)
    assert rows["betas"].shape == (4, 10)  # two people, each in photo and mirror image
    np.testing.assert_array_equal(rows["betas"][::2], rows["betas"][1::2])
    # Found on the left of the photo, on the right by the mirror image, in the crop about both.
    side = 1.2 * 90  # of the crop: 1.2 times the mask's 90 px
    np.testing.assert_allclose(rows["joints2d"][0, :, 0], 0.5 - 24 / side, atol=1e-3)
    np.testing.assert_allclose(rows["joints2d"][1, :, 0], 0.5 + 24 / side, atol=1e-3)
    np.testing.assert_array_equal(rows["true_joints2d"][::2], rows["true_joints2d"][1::2])
    assert (
        rows["true_joints2d"][:, ANKLES, 1].min(axis=1) > rows["true_joints2d"][:, NOSE, 1]
    ).all()
    masks = np.unpackbits(rows["silhouettes"], axis=1).mean(axis=1)
    np.testing.assert_allclose(masks, 48 * 90 / side**2, atol=0.03)
    observed = read_observed_people([options.output], 32, neutral_body().identity["hash"], 0.4)
    assert len(observed) == 4


def test_a_stopped_run_goes_on_with_what_is_missing(options, detector, capsys):
    options = replace(options, part_size=1)
    script.main(options)
    expected, parts = _contents(options.output), options.output.with_name("people_parts")
    options.output.unlink()
    (parts / "people_000001_000002.npz").unlink()
    detector.shown = 0
    script.main(options)
    assert detector.shown == 2  # the second person's photo and its mirror image
    found = _contents(options.output)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    # Asked for one alone, the first is the same.
    script.main(replace(options, count=1))
    assert detector.shown == 2
    np.testing.assert_array_equal(_contents(options.output)["betas"], expected["betas"][:2])
    assert "2 observations, 0 times nobody was found" in capsys.readouterr().out


def test_parts_of_other_people_are_refused(options, detector):
    script.main(replace(options, count=1))
    with pytest.raises(InputError, match="people_parts holds people made with another seed; del"):
        script.main(replace(options, count=1, seed=5))
    with pytest.raises(InputError, match="--count is 0"):
        script.main(replace(options, count=0))


def test_who_is_not_found_is_left_out(options, monkeypatch, capsys):
    monkeypatch.setattr(script, "load_detector", lambda _: _Detector(misses=True))
    script.main(options)
    assert "2 observations, 2 times nobody was found" in capsys.readouterr().out
    monkeypatch.setattr(script, "find_in_window", lambda *_: None)
    with pytest.raises(InputError, match="mediapipe finds none of the 2 people"):
        script.main(replace(options, output=options.output.with_name("none.npz")))
