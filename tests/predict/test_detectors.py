"""Detectors: names, masks, MediaPipe's landmarks."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, label

from predict.detectors import registry
from predict.detectors.blazepose import Pose
from predict.detectors.masks import SPECK_SHARE, tidy_silhouette, tight_box
from predict.detectors.matching import measure_prominence
from predict.detectors.mediapipe_pose import MEDIAPIPE33, MediaPipeDetector, detection_of
from utils.cameras import inside_image
from utils.errors import InputError
from utils.images import read_image
from utils.joints import COCO17
from utils.paths import DEMO, ROOT

CPU = torch.device("cpu")
PHOTOS = ROOT.parent / "shared" / "photos"
FOUR = ("standing", "waving", "hands_on_hips", "walking")


def test_detectors_by_name():
    assert set(registry.DETECTORS) == {"mediapipe", "maskrcnn", "pointrend", "densepose"}
    assert isinstance(registry.build_detector("mediapipe", CPU), MediaPipeDetector)


def test_unknown_detector_is_refused_with_what_there_is():
    with pytest.raises(InputError, match=r"pointrendd.*expected one of: mediapipe, maskrcnn"):
        registry.build_detector("pointrendd", CPU)


def test_mask_keeps_the_person_and_what_holds_a_joint():
    mask = np.zeros((100, 100), dtype=np.float32)
    mask[10:60, 20:50] = 0.9  # the person, 50 x 30
    mask[80:90, 20:30] = 0.8  # a cut-off foot
    mask[5:25, 80:95] = 0.7  # somebody else
    mask[30, 30] = 0.1  # a pinhole
    mask[0:9, 0:9] = 0.49  # below the threshold
    silhouette = tidy_silhouette(mask, np.array([[25.5, 85.5], [200.0, -3.0]]))
    expected = np.zeros((100, 100), dtype=bool)
    expected[10:60, 20:50] = expected[80:90, 20:30] = True
    np.testing.assert_array_equal(silhouette, expected)


def test_mask_keeps_real_holes_and_gaps_at_the_border():
    mask = np.ones((100, 100), dtype=np.float32)
    mask[40:60, 40:60] = 0  # between arm and body
    mask[0, 0] = 0  # one pixel of background in a corner
    np.testing.assert_array_equal(tidy_silhouette(mask, np.zeros((0, 2))), mask > 0)


@pytest.mark.parametrize("seed", range(8))
def test_mask_is_tidied_as_scipy_would_do_it(seed):
    """Blobs with holes, some of them cut by the photo's border."""
    generator = np.random.default_rng(seed)
    noise = gaussian_filter(generator.normal(size=(90, 120)), 2.5)
    mask = (noise > 0.02).astype(np.float32)
    mask[: 10 * (seed % 3)] = 0  # also with nothing at the border
    mask[:, 100 + 10 * (seed % 3) :] = 0
    joints = generator.uniform(-10, 130, (12, 2)).astype(np.float32)

    labels, count = label(mask, structure=np.ones((3, 3)))
    areas = [0, *(int((labels == number).sum()) for number in range(1, count + 1))]
    inside = joints[inside_image(joints, 120, 90)].astype(int)
    kept = {int(np.argmax(areas)), *labels[inside[:, 1], inside[:, 0]].tolist()} - {0}
    expected = np.isin(labels, list(kept))
    holes, count = label(~expected)
    whole = expected.sum()
    for number in range(1, count + 1):
        hole = np.pad(holes == number, 1)
        at_border = (np.argwhere(hole)[:, None] == [[1, 1], [90, 120]]).any()
        if hole.sum() < SPECK_SHARE * whole and not at_border:
            expected |= holes == number
    np.testing.assert_array_equal(tidy_silhouette(mask, joints), expected)


def test_mask_is_left_as_it_is():
    mask = np.zeros((60, 60), dtype=bool)
    mask[10:30, 10:30] = mask[40:45, 40:45] = True
    before = mask.copy()
    tidy_silhouette(mask, np.zeros((0, 2)))
    np.testing.assert_array_equal(mask, before)


def test_mask_of_a_few_pixels_is_nobody():
    mask = np.zeros((50, 50), dtype=np.float32)
    mask[10:15, 10:15] = 1
    assert not tidy_silhouette(mask, np.array([[12.0, 12.0]])).any()


def test_tight_box_is_on_pixel_edges():
    mask = np.zeros((20, 30), dtype=bool)
    mask[4:7, 11:13] = True
    np.testing.assert_array_equal(tight_box(mask), [11, 4, 13, 7])


def test_mediapipe_landmarks_become_coco_joints():
    landmarks = np.zeros((33, 3), dtype=np.float32)
    landmarks[:, 0] = np.arange(33) * 10  # landmark i at x = i * 10 px, y = 100 px
    landmarks[:, 1] = 100
    landmarks[:, 2] = 0.7
    landmarks[MEDIAPIPE33.index("right_ankle"), 1] = 240  # below the photo
    mask = np.zeros((200, 400), dtype=np.float32)
    mask[50:150, 0:300] = 1
    detection = detection_of(Pose(landmarks, mask))
    # nose 0, left eye 2, right eye 5, ears 7 and 8, then 11 to 16 and 23 to 28.
    numbers = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    np.testing.assert_allclose(detection.joints2d_px[:, 0], np.array(numbers) * 10, atol=1e-3)
    assert detection.joint_confidence[COCO17.index("right_ankle")] == 0
    np.testing.assert_allclose(detection.joint_confidence[:-1], 0.7)
    np.testing.assert_array_equal(detection.box, [0, 50, 300, 150])
    assert detection.joints2d_px.dtype == detection.joint_confidence.dtype == np.float32


def test_mediapipe_without_a_mask_finds_nobody():
    landmarks = np.full((33, 3), 0.5, np.float32)
    assert detection_of(Pose(landmarks, np.zeros((64, 64), np.float32))) is None


def test_mediapipe_finds_nobody_in_noise_and_says_nothing(capfd):
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    assert MediaPipeDetector().detect(image[:, ::-1]) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("columns", [4, 2])
def test_mediapipe_finds_everybody(columns):
    """Four rendered people in one picture, side by side and two by two, each as by themselves."""
    detector = MediaPipeDetector()
    photos = [read_image(DEMO / f"{name}.jpg") for name in FOUR]
    height, width = photos[0].shape[:2]
    rows = [np.hstack(photos[start : start + columns]) for start in range(0, 4, columns)]
    found = detector.detect(np.vstack(rows))
    assert len(found) == 4
    prominences = [measure_prominence(each) for each in found]
    assert prominences == sorted(prominences, reverse=True)
    for number, photo in enumerate(photos):
        row, column = divmod(number, columns)
        corner = np.array([column * width, row * height])
        (alone,) = detector.detect(photo)
        together = min(
            found, key=lambda each: np.abs(each.box - alone.box - [*corner, *corner]).sum()
        )
        silhouette = together.silhouette[corner[1] :, corner[0] :][:height, :width]
        shared, either = silhouette & alone.silhouette, silhouette | alone.silhouette
        assert shared.sum() > 0.95 * either.sum()
        apart = np.linalg.norm(together.joints2d_px - corner - alone.joints2d_px, axis=1)
        assert apart.max() < 0.02 * height


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos are not here")
@pytest.mark.parametrize(("name", "people"), [("person_01", 2), ("person_07", 1)])
def test_mediapipe_finds_everybody_once_in_real_photos(name, people):
    """Of the second one's blurred background come several poses of the same runner."""
    assert len(MediaPipeDetector().detect(read_image(PHOTOS / f"{name}.png"))) == people
