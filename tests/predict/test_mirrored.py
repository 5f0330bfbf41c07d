"""Two looks at a photo: as it is, and in the mirror."""

from pathlib import Path

import numpy as np
import pytest
import torch

from predict.detectors.interface import Detection
from predict.detectors.masks import tight_box
from predict.detectors.mirrored import MirroredDetector, mirror_detection
from predict.detectors.own_files import OwnFiles
from predict.detectors.registry import DETECTORS, build_detector
from predict.detectors.rules import choose_rules
from utils.errors import InputError
from utils.joints import COCO17

KNEES = [COCO17.index(f"{side}_knee") for side in ("left", "right")]
HEIGHT, WIDTH = 40, 60


def _detection(x: int, confidence: float, knee: tuple[float, float]) -> Detection:
    """A person 10 px broad from column x on, whose left knee is there."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:35, x : x + 10] = True
    joints = np.full((17, 2), x + 5, np.float32)
    joints[KNEES[0]] = knee
    return Detection(mask, joints, np.full(17, confidence, np.float32), tight_box(mask))


class _Looks:
    """Finds the people of one list in the photo, and those of another in its mirror image."""

    def __init__(self, straight, mirrored) -> None:
        self.answers = [straight, mirrored]
        self.seen = []

    def detect(self, image):
        self.seen.append(image)
        return self.answers[len(self.seen) - 1]


def test_joints_are_averaged_by_confidence():
    """The left knee at x = 12 with 0.75; in the mirror, as a right one, at 60 - 16 with 0.25."""
    there = mirror_detection(_detection(11, 0.25, (16.0, 24.0)))
    assert there.joints2d_px[KNEES[1]].tolist() == [44, 24]
    looks = _Looks([_detection(10, 0.75, (12.0, 20.0))], [there])
    image = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    (found,) = MirroredDetector(looks).detect(image)
    np.testing.assert_array_equal(looks.seen[1], image[:, ::-1])
    np.testing.assert_allclose(found.joints2d_px[KNEES[0]], (13, 21), rtol=1e-6)
    np.testing.assert_allclose(found.joint_confidence, 0.5)
    np.testing.assert_array_equal(found.silhouette, _detection(10, 1, (0, 0)).silhouette)


def test_whom_the_mirror_does_not_show_stays():
    first, second = _detection(10, 0.9, (12.0, 20.0)), _detection(40, 0.8, (44.0, 20.0))
    other = mirror_detection(_detection(41, 0.8, (46.0, 20.0)))
    found = MirroredDetector(_Looks([first, second], [other])).detect(np.zeros((HEIGHT, WIDTH, 3)))
    assert found[0] is first
    np.testing.assert_allclose(found[1].joints2d_px[KNEES[0]], (45, 20), rtol=1e-6)
    alone = MirroredDetector(_Looks([first], [])).detect(np.zeros((HEIGHT, WIDTH, 3)))
    assert alone == [first]


def test_nobody_is_looked_for_twice():
    looks = _Looks([], [])
    assert MirroredDetector(looks).detect(np.zeros((HEIGHT, WIDTH, 3))) == []
    assert len(looks.seen) == 1


@pytest.mark.parametrize("proxy", ["own", "published"])
def test_it_is_built_where_it_is_asked_for(monkeypatch, proxy):
    looks = _Looks([], [])
    monkeypatch.setitem(DETECTORS, "mediapipe", lambda *_: looks)

    def build(mirror):
        rules = choose_rules(proxy, mirror)
        return build_detector("mediapipe", torch.device("cpu"), rules=rules)

    plain, twice = build("network"), build("detector")
    inner = [getattr(each, "_detector", each) for each in (plain, twice)]
    if proxy == "own":  # the published one looks at a square, and there twice
        assert plain is looks
        assert isinstance(twice, MirroredDetector)
    else:
        assert inner[0] is looks
        assert isinstance(inner[1], MirroredDetector)


def test_own_files_have_no_second_look():
    files = OwnFiles(Path("masks"), Path("keypoints"))
    with pytest.raises(InputError, match="choose --mirror network"):
        build_detector(
            "files", torch.device("cpu"), rules=choose_rules("own", "detector"), own_files=files
        )
