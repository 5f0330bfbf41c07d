"""MediaPipe's pose on torch: geometry by hand, and what mediapipe 0.10.21 itself found."""

import cv2
import numpy as np
import pytest

from predict.detectors.blazepose import (
    BlazePose,
    Region,
    anchors,
    cut,
    merge_overlapping,
    paste,
    refine,
    windows,
)
from utils.errors import InputError
from utils.images import read_image
from utils.paths import DEMO, MEDIAPIPE_POSE


@pytest.fixture(scope="module")
def networks():
    return BlazePose(MEDIAPIPE_POSE)


# What `mediapipe.solutions.pose.Pose(static_image_mode=True, enable_segmentation=True)` of 0.10.21
# gives for these pictures: x, y in pixels and visibility of landmarks, and the mask's pixels.
LANDMARKS = (0, 11, 12, 15, 16, 27, 28)
FOUND_BY_MEDIAPIPE = {
    "arms_up": (
        [
            (322.6, 216.9, 1.000),
            (384.2, 282.1, 0.999),
            (274.6, 286.3, 0.999),
            (446.0, 125.1, 0.992),
            (208.5, 133.0, 0.993),
            (413.4, 691.6, 0.991),
            (253.0, 687.7, 0.992),
        ],
        63443,
    ),
    "sitting": (
        [
            (287.7, 139.8, 1.000),
            (323.8, 226.0, 1.000),
            (175.5, 222.8, 1.000),
            (465.8, 397.6, 0.989),
            (167.3, 412.3, 0.993),
            (395.6, 693.2, 0.962),
            (240.0, 717.3, 0.990),
        ],
        131003,
    ),
    "lunging": (
        [
            (316.6, 181.5, 1.000),
            (373.7, 241.4, 1.000),
            (256.1, 249.7, 1.000),
            (521.3, 255.3, 0.994),
            (107.6, 301.4, 0.986),
            (451.0, 608.4, 0.999),
            (166.5, 597.7, 0.998),
        ],
        58913,
    ),
}


@pytest.mark.parametrize("name", FOUND_BY_MEDIAPIPE)
def test_it_finds_what_mediapipe_finds(networks, name):
    (pose,) = networks.poses(read_image(DEMO / f"{name}.jpg"))
    expected, pixels = FOUND_BY_MEDIAPIPE[name]
    found = pose.landmarks[list(LANDMARKS)]
    np.testing.assert_allclose(found[:, :2], np.array(expected)[:, :2], atol=1.0)
    np.testing.assert_allclose(found[:, 2], np.array(expected)[:, 2], atol=0.01)
    assert (pose.mask > 0.5).sum() == pytest.approx(pixels, rel=0.002)


def test_anchors_lie_in_the_middle_of_cells():
    centres = anchors()
    assert centres.shape == (2254, 2)
    np.testing.assert_allclose(centres[:3] * 28, [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5]])
    np.testing.assert_allclose(centres[-1] * 7, [6.5, 6.5])


def test_overlapping_people_are_averaged_by_score():
    person = np.array([[0.5, 0.5], [0.2, 0.4], *[[0.5, 0.5]] * 4])
    nearby, other = person.copy(), person.copy()
    nearby[[0, 2, 3, 4, 5], 0] += 0.03
    other[[0, 2, 3, 4, 5], 0] += 0.4
    found = merge_overlapping(np.stack([nearby, person, other]), np.array([0.6, 0.9, 0.8]))
    assert len(found) == 2
    # 0.5 with 0.9 and 0.53 with 0.6: 0.5 + 0.03 * 0.6 / 1.5.
    np.testing.assert_allclose(found[0][0][0], [0.512, 0.5])
    np.testing.assert_allclose(found[1][0], other)
    assert [score for _, score in found] == [0.9, 0.8]


def test_a_turned_region_is_cut_and_goes_back():
    image = np.zeros((100, 120, 3), np.uint8)
    cv2.circle(image, (70, 30), 8, (255, 255, 255), -1)
    region = Region(np.array([60.0, 50]), 80.0, np.pi / 2)
    crop = cut(image, region, 160, cv2.BORDER_CONSTANT)
    # A quarter turn clockwise: the square's right is the photo's bottom. The circle is 10 px to
    # the right and 20 px above the middle, in the square 20 px to the left and 10 px above.
    rows, columns = np.nonzero(crop[:, :, 0] > 127)
    np.testing.assert_allclose([columns.mean(), rows.mean()], [80 - 40, 80 - 20], atol=0.5)
    back = paste(crop[:, :, 0].astype(np.float32) / 255, region, image.shape[:2])
    assert np.abs(back - image[:, :, 0] / 255.0).mean() < 0.003


def test_a_landmark_moves_to_the_probability_around_it():
    heatmap = np.zeros((8, 8, 3))
    heatmap[4, 4, 0] = heatmap[4, 6, 0] = 0.8  # mean: column 5, row 4
    heatmap[4, 4, 1] = 0.4  # not sure enough
    points = np.array([[4.5, 4.5], [4.5, 4.5], [-1, 3]]) / 8
    found = refine(points, heatmap) * 8
    np.testing.assert_allclose(found, [[5, 4], [4.5, 4.5], [-1, 3]])


def test_doubtful_detections_count_only_where_there_is_nothing_better():
    sure = np.array([[50.0, 50], [20, 40], *[[50, 50]] * 4])
    doubtful, elsewhere = sure + 0.5, sure + 0.5
    elsewhere[[0, 2, 3, 4, 5], 0] += 60
    found = merge_overlapping(np.stack([doubtful, sure, elsewhere]), np.array([0.4, 0.6, 0.2]))
    np.testing.assert_allclose([mean for mean, _ in found], [sure, elsewhere])


@pytest.mark.parametrize(
    ("height", "width", "count"), [(800, 640, 1), (300, 1000, 7), (500, 200, 5)]
)
def test_elongated_photos_are_searched_in_squares(height, width, count):
    whole, *squares = windows(height, width)
    assert whole.side == max(height, width)
    assert len(squares) == count - 1
    ends = [(each.centre - each.side / 2, each.centre + each.side / 2) for each in squares]
    if squares:
        np.testing.assert_allclose(ends[0][0], [0, 0])
        np.testing.assert_allclose(ends[-1][1], [width, height])
        steps = np.diff([low.max() for low, _ in ends])
        assert (steps <= min(height, width) / 2 + 1e-6).all()


def test_a_poses_landmarks_and_mask_move_with_the_photo(networks):
    """A photo with a border around it: same person, elsewhere; also in a view of another one."""
    photo = read_image(DEMO / "standing.jpg")
    (expected,) = networks.poses(photo)
    bordered = np.pad(photo, ((0, 0), (40, 120), (0, 0)), mode="edge")
    (found,) = networks.poses(bordered[:, ::-1][:, ::-1])
    moved = found.landmarks[:, :2] - (40, 0)
    assert np.abs(moved - expected.landmarks[:, :2])[:13].max() < 10  # px, head and shoulders
    same = (found.mask[:, 40:-120] > 0.5) == (expected.mask > 0.5)
    assert same.mean() > 0.99


def test_backgrounds_are_nobody(networks):
    photo = read_image(DEMO / "lunging.jpg")
    assert networks.poses(cv2.resize(photo[:, :110], (640, 800))) == []
    assert networks.poses(photo[:60]) == []


def test_a_photo_that_opencv_cannot_take_is_refused_in_one_line(networks):
    for width in (32766, 32767):
        strip = np.zeros((2, width, 3), np.uint8)
        if width == 32766:
            assert networks.poses(strip[:, ::-1]) == []
            continue
        with pytest.raises(InputError, match=r"32767 x 2 pixels, .* at most 32766"):
            networks.poses(strip)
