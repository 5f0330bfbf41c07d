"""Who is who among masks and poses, and who comes first."""

import numpy as np
import pytest

from predict.detectors.interface import Detection
from predict.detectors.matching import (
    MaskCandidate,
    PoseCandidate,
    box_overlaps,
    match_people,
    order_people,
)

HEIGHT, WIDTH = 120, 200


def _mask(x0: int, y0: int, x1: int, y1: int, score: float = 0.9) -> MaskCandidate:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    mask[max(y0, 0) : y1, max(x0, 0) : x1] = 1
    return MaskCandidate(mask, np.array([x0, y0, x1, y1], np.float32), score)


def _pose(x0: float, y0: float, x1: float, y1: float, score: float = 0.9) -> PoseCandidate:
    """Joints on the box's diagonal, away from its border."""
    shares = np.linspace(0.1, 0.9, 17)[:, None]
    joints = (1 - shares) * [x0, y0] + shares * [x1, y1]
    box = np.array([x0, y0, x1, y1], np.float32)
    return PoseCandidate(joints.astype(np.float32), np.full(17, 0.8, np.float32), box, score)


def _boxes(masks: list[MaskCandidate], poses: list[PoseCandidate]) -> list[list[float]]:
    return [detection.box.tolist() for detection in match_people(masks, poses)]


def test_overlaps_by_hand():
    boxes = np.array([[0, 0, 4, 4], [2, 2, 2, 2]], np.float32)
    others = np.array([[2, 0, 6, 4], [0, 0, 4, 4], [8, 8, 9, 9], [2, 2, 2, 2]], np.float32)
    # 4 x 4 boxes sharing 2 x 4: 8 / (16 + 16 - 8).
    np.testing.assert_allclose(box_overlaps(boxes, others), [[1 / 3, 1, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("swapped", [False, True])
def test_two_people_whose_lists_are_in_different_order(swapped):
    masks = [_mask(60, 20, 90, 100), _mask(110, 20, 150, 100)]
    poses = [_pose(111, 21, 149, 99), _pose(61, 21, 89, 99)]
    people = match_people(masks, poses[::-1] if swapped else poses)
    assert [person.box.tolist() for person in people] == [[110, 20, 150, 100], [60, 20, 90, 100]]
    for person in people:
        columns, rows = person.joints2d_px.astype(int).T
        assert person.silhouette[rows, columns].all()


def test_leftovers_are_dropped():
    person, other = (60, 20, 90, 100), (110, 20, 150, 100)
    assert _boxes([_mask(*person), _mask(*other)], [_pose(*other)]) == [list(other)]
    assert _boxes([_mask(*person)], [_pose(*other), _pose(*person)]) == [list(person)]
    # Boxes 40 wide that are shifted by 14 share 26 / 54 < 0.5; by 13, 27 / 53 > 0.5.
    assert _boxes([_mask(60, 20, 100, 100)], [_pose(74, 20, 114, 100)]) == []
    assert len(_boxes([_mask(60, 20, 100, 100)], [_pose(73, 20, 113, 100)])) == 1


def test_nothing_gives_nobody():
    assert match_people([], []) == []
    assert match_people([_mask(60, 20, 90, 100)], []) == []
    assert match_people([], [_pose(60, 20, 90, 100)]) == []
    nobody = MaskCandidate(
        np.zeros((HEIGHT, WIDTH), np.float32), np.array([60, 20, 90, 100], np.float32), 0.9
    )
    assert match_people([nobody], [_pose(60, 20, 90, 100)]) == []


def test_a_big_person_at_the_border_comes_after_a_smaller_centred_one():
    border, centred = (0, 0, 60, 120), (85, 40, 115, 80)
    masks, poses = [_mask(*border), _mask(*centred)], [_pose(*border), _pose(*centred)]
    assert _boxes(masks, poses) == [list(centred), list(border)]


def test_roughly_centred_is_a_quarter_of_either_side():
    # Box centres at x = 150 and 151 of 200: 0.25 and 0.255 of the width from the middle.
    within, without = (140, 50, 160, 70), (131, 30, 171, 90)
    masks, poses = [_mask(*without), _mask(*within)], [_pose(*without), _pose(*within)]
    # The inner one is a part of the outer's box, but not the same person: cut it out of the mask.
    masks[0].mask[50:70, 140:160] = 0
    assert _boxes(masks, poses) == [list(within), list(without)]
    # And up and down: y = 95 of 120 is 0.29 of the height away.
    low, small = (60, 75, 100, 115), (90, 20, 105, 60)
    masks, poses = [_mask(*low), _mask(*small)], [_pose(*low), _pose(*small)]
    assert _boxes(masks, poses) == [list(small), list(low)]


def test_people_in_front_of_each_other_are_told_apart_by_their_joints():
    """Boxes alone would give each the other's joints."""
    front, behind = _mask(60, 20, 100, 110), _mask(64, 10, 104, 100)
    behind.mask[front.mask > 0] = 0  # what is left: a strip above and one at the right
    joints_behind = np.tile(np.float32([[102, 50]]), (17, 1))
    # Its box is nearer to the front person's mask than to its own.
    pose_behind = PoseCandidate(joints_behind, np.full(17, 0.8, np.float32), front.box, 0.9)
    joints_front = np.tile(np.float32([[70, 90]]), (17, 1))
    pose_front = PoseCandidate(joints_front, np.full(17, 0.8, np.float32), behind.box, 0.9)
    people = match_people([front, behind], [pose_behind, pose_front])
    assert [person.joints2d_px[0].tolist() for person in people] == [[70, 90], [102, 50]]


def test_a_person_found_twice_counts_once_by_the_better_score():
    masks = [_mask(60, 20, 100, 100, 0.6), _mask(60, 20, 100, 98, 0.95)]
    poses = [_pose(60, 20, 100, 100), _pose(60, 20, 100, 98)]
    assert _boxes(masks, poses) == [[60, 20, 100, 98]]


def test_two_poses_of_one_person_count_once_whatever_their_masks():
    def detection(x0, shift, confidence=0.9):
        silhouette = np.zeros((HEIGHT, WIDTH), bool)
        silhouette[:100, x0 : x0 + 100] = True
        joints = np.full((17, 2), 50.0, np.float32)
        joints[:9] += shift
        seen = np.full(17, confidence, np.float32)
        return Detection(silhouette, joints, seen, np.array([x0, 0, x0 + 100, 100], np.float32))

    # 9 of 17 joints are so far apart, so that is the median; 0.2 of 100 px counts as one place.
    # Half of each mask lies in the other.
    first = detection(0, 0)
    assert order_people([first, detection(50, 13)]) == [first]  # 13 * sqrt(2) < 20
    assert len(order_people([first, detection(50, 15)])) == 2
    assert len(order_people([first, detection(50, 13, confidence=0.1)])) == 2  # joints unseen


def test_of_equals_the_surer_comes_first_then_the_first_listed():
    left, right = (60, 20, 90, 100), (110, 20, 140, 100)
    poses = [_pose(*left), _pose(*right)]
    assert _boxes([_mask(*left, 0.7), _mask(*right, 0.8)], poses) == [list(right), list(left)]
    # With equal scores too, the order is always the same.
    assert _boxes([_mask(*left), _mask(*right)], poses) == [list(left), list(right)]


def test_joints_outside_the_photo_and_unsure_ones():
    pose = _pose(60, 20, 90, 100)
    pose.joints2d_px[3] = [-5, 50]
    pose.joint_confidence[4] = 0.3
    mask = _mask(60, 20, 90, 100)
    loose, unsure = (slice(0, 10), slice(0, 10)), (slice(110, 118), slice(190, 198))
    mask.mask[loose] = mask.mask[unsure] = 1
    pose.joints2d_px[5], pose.joints2d_px[4] = [5, 5], [194, 114]
    (person,) = match_people([mask], [pose])
    assert person.joint_confidence[3] == 0
    assert person.joint_confidence[4] == pytest.approx(0.3)
    assert person.silhouette[loose].all()  # holds a joint that is surely there
    assert not person.silhouette[unsure].any()
    assert person.box.tolist() == [0, 0, 90, 100]
    assert person.joint_confidence.dtype == person.joints2d_px.dtype == np.float32
